"""The server: the page's files, and what the page asks for."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any
from urllib.parse import quote

import anyio.to_thread
import skimage
from fastapi import Depends, FastAPI, Response, UploadFile
from fastapi.responses import FileResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool

from inpaint.files import fitting
from inpaint.imaging.reading import SUFFIXES
from inpaint.runs.provenance import PACKAGE, versions
from inpaint.web import answers
from inpaint.web.files import FormRoute, KeptFile, painted, photo_file, plain_name, stored
from inpaint.web.filling import Inpainters
from inpaint.web.guard import BESIDE_FILES, Bounded, Guard
from inpaint.web.problems import PROBLEMS, tell
from inpaint.web.programs import serve_programs
from inpaint.web.sessions import MOST_SESSIONS, Session, Sessions
from inpaint.web.steps import Result, Step
from inpaint.web.work import Queue, Task

PAGE = Path(__file__).parent / "page"
EXAMPLE = Path(skimage.__file__).parent / "data" / "rocket.jpg"  # CC0, of SpaceX
BYTES_A_PIXEL = 4  # of the largest photo, as a file may have
TICK = 0.1  # seconds between two looks at how far a fill is


def create_app(
    choices: Mapping[str, Any], devices: list[str], host: str, password: str | None = None, more: str = ""
) -> FastAPI:
    """The server's application.

    Args:
        choices: the arguments of `Inpainter`, `max_pixels` among them, but for preset, seed and device.
        devices: names, as `Inpainter` takes them: as many fills run at a time.
        host: that it will listen at.
        password: that every request must bring.
        more: see `Filling`.

    Raises:
        UserError: as `Inpainters`.
    """
    inpainters = Inpainters(choices, devices)
    max_pixels: int = choices["max_pixels"]
    max_bytes = BYTES_A_PIXEL * max_pixels
    queue = Queue(devices)
    temporary = TemporaryDirectory(prefix="inpaint_", ignore_cleanup_errors=True)  # for this user alone
    root = Path(temporary.name)
    sessions = Sessions(root, lambda name, folder: Session(name, folder, queue, inpainters, more))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async def sweep() -> None:
            while True:
                await asyncio.sleep(1)
                await run_in_threadpool(sessions.sweep)

        # a request may hold a thread for long, while it reads a photo or waits for others that do: 40, as there would
        # be, could all belong to pages that open large photos, and no other page would be answered
        anyio.to_thread.current_default_thread_limiter().total_tokens = MOST_SESSIONS
        for _ in devices:
            queue.add(Task(inpainters.warm, counts=False))
        sweeping = asyncio.create_task(sweep())
        yield
        sweeping.cancel()
        await run_in_threadpool(queue.close)
        temporary.cleanup()

    app = FastAPI(
        title="inpaint",
        version=versions()[PACKAGE],
        description="Removes what a mask marks from a photo, and fills the place.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses=PROBLEMS,
    )
    app.router.route_class = FormRoute
    app.state.closing = False  # set when the server is told to stop: streams of events end then
    app.add_middleware(Bounded, most=2 * max_bytes + BESIDE_FILES, folder=root)
    app.add_middleware(Guard, host=host, password=password)  # the last one added is the first one asked

    tell(app)

    # these wait for nothing, so they need no thread
    async def session_of(session: str) -> Session:
        return sessions.get(session)

    async def step_of(session: Annotated[Session, Depends(session_of)], step: int) -> Step:
        return session.step(step)

    async def result_of(step: Annotated[Step, Depends(step_of)], result: int) -> Result:
        return step.result(result)

    AnySession = Annotated[Session, Depends(session_of)]
    AnyStep = Annotated[Step, Depends(step_of)]
    AnyResult = Annotated[Result, Depends(result_of)]

    def begun(source: Path, name: str) -> answers.Session:
        """A session that begins with a photo's file, which is moved."""
        session = sessions.new()
        try:
            session.begin(source, name, max_pixels)
        except BaseException:
            sessions.forget(session.id)
            raise
        return session.answer()

    @app.get("/api/about", tags=["Programs"])
    def about() -> answers.About:
        """What this server takes."""
        return answers.About(
            version=versions()[PACKAGE],
            device=", ".join(inpainters.devices),
            max_bytes=max_bytes,
            max_pixels=max_pixels,
            accept=",".join(SUFFIXES),
        )

    serve_programs(app, root, queue, inpainters, max_bytes, max_pixels)

    @app.post("/api/sessions", status_code=201, tags=["The page"])
    def begin(photo: UploadFile) -> answers.Session:
        """Begins with a photo."""
        name = plain_name(photo.filename)
        with TemporaryDirectory(dir=root, ignore_cleanup_errors=True) as folder:
            return begun(stored(photo, Path(folder) / "photo", name, max_bytes), name)

    @app.post("/api/sessions/example", status_code=201, tags=["The page"])
    def begin_with_example() -> answers.Session:
        """Begins with the example photo."""
        with TemporaryDirectory(dir=root, ignore_cleanup_errors=True) as folder:
            copy = Path(shutil.copy(EXAMPLE, folder))
            return begun(copy, EXAMPLE.name)

    @app.get("/api/sessions/{session}", tags=["The page"])
    def session(session: str) -> answers.Session:
        """All that there is of a session. A page that is hidden asks each minute, which is no use of it."""
        return sessions.get(session, used=False).answer()

    @app.delete("/api/sessions/{session}", status_code=204, tags=["The page"])
    def end(session: AnySession) -> None:
        """Cancels and forgets everything."""
        sessions.forget(session.id)

    @app.get(
        "/api/sessions/{session}/events",
        tags=["The page"],
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {}}, "description": "Each event's data is an `Event`."}},
    )
    async def events(session: AnySession) -> StreamingResponse:
        """Tells, as it happens, how far a fill is. A page that listens to it is open."""

        async def stream() -> AsyncIterator[str]:
            session.listeners += 1
            last, said = "", 0.0
            loop = asyncio.get_running_loop()
            try:
                while not app.state.closing:
                    if session.id not in sessions.all:
                        yield "event: gone\ndata: {}\n\n"
                        return
                    event = session.event().model_dump_json()
                    if event != last:
                        yield f"data: {event}\n\n"
                        last, said = event, loop.time()
                    elif loop.time() - said > 15:  # so that a connection that is dead is noticed
                        yield ": still here\n\n"
                        said = loop.time()
                    await asyncio.sleep(TICK)
            finally:
                session.listeners -= 1
                session.left = time.monotonic()

        # nginx would hold events back otherwise
        return StreamingResponse(stream(), media_type="text/event-stream", headers={"x-accel-buffering": "no"})

    @app.get("/api/sessions/{session}/steps/{step}/picture", tags=["The page"], response_class=FileResponse)
    def picture(step: AnyStep) -> KeptFile:
        """The photo as browsers can show it."""
        return KeptFile(step.picture.path, media_type=step.picture.media_type)

    @app.put("/api/sessions/{session}/steps/{step}/strokes", tags=["The page"])
    def paint(session: AnySession, step: AnyStep, strokes: answers.Strokes) -> answers.Mask | None:
        """Marks what these strokes mark, instead of what was marked before."""
        with session.holding(step):
            return step.paint(strokes.strokes)

    @app.post("/api/sessions/{session}/steps/{step}/masks", status_code=201, tags=["The page"])
    def upload_mask(session: AnySession, step: AnyStep, mask: UploadFile) -> answers.Uploaded:
        """Takes a mask file, for a stroke to name."""
        name = plain_name(mask.filename, "mask")
        with TemporaryDirectory(dir=root, ignore_cleanup_errors=True) as folder:
            own = stored(mask, Path(folder) / "mask", name, max_bytes)
            with session.holding(step):
                return answers.Uploaded(file=step.upload_mask(own, name))

    @app.get("/api/sessions/{session}/steps/{step}/overlay.png", tags=["The page"], response_class=FileResponse)
    def overlay(session: AnySession, step: AnyStep) -> Response:
        """What is marked, and how it is enlarged, to be laid over the photo."""
        return painted(session, step, step.overlay)

    @app.get("/api/sessions/{session}/steps/{step}/mask.png", tags=["The page"], response_class=FileResponse)
    def mask_file(session: AnySession, step: AnyStep) -> Response:
        """What is marked, as a mask for the command."""
        answer = painted(session, step, step.mask_file)
        answer.headers["content-disposition"] = f"attachment; filename*=utf-8''{quote(step.mask_name, safe='')}"
        return answer

    @app.post("/api/sessions/{session}/steps/{step}/fill", status_code=202, tags=["The page"])
    def fill_step(session: AnySession, step: AnyStep, wish: answers.Wish) -> answers.Fill:
        """Begins to fill; the events say how far it is."""
        with session.lock:
            session.fill(step, wish)
            state = session.state()
        assert state is not None
        return state

    @app.delete("/api/sessions/{session}/fill", tags=["The page"])
    async def cancel(session: AnySession) -> answers.Fill | None:
        """Cancels the fill, if there is one."""
        session.cancel()
        return session.state()

    prefix = "/api/sessions/{session}/steps/{step}/results/{result}"

    @app.get(f"{prefix}/picture", tags=["The page"], response_class=FileResponse)
    def result_picture(result: AnyResult) -> KeptFile:
        """The part that changed, as browsers can show it."""
        return KeptFile(result.picture.path, media_type=result.picture.media_type)

    @app.get(f"{prefix}/file", tags=["The page"], response_class=FileResponse)
    async def result_file(result: AnyResult) -> KeptFile:
        """The filled photo, byte for byte what the command writes, as soon as it is written."""
        await result.wait()
        return photo_file(result.file, result.answer.name)

    @app.get(f"{prefix}/mask", tags=["The page"], response_class=FileResponse)
    def result_mask(step: AnyStep, result: AnyResult) -> KeptFile:
        """The mask that a result was made with."""
        return KeptFile(result.mask, filename=step.mask_name)

    @app.get(f"{prefix}/report", tags=["The page"], response_class=FileResponse)
    async def result_report(result: AnyResult) -> KeptFile:
        """The report, as `--report` writes it."""
        await result.wait()
        return KeptFile(result.report, filename=fitting(Path(result.answer.name).stem, ".json"))

    @app.post(f"{prefix}/next", tags=["The page"])
    async def go_on(session: AnySession, step: AnyStep, result: AnyResult) -> answers.Session:
        """Goes on from a result: it becomes the next step's photo, and steps after that are forgotten."""
        await result.wait()
        await run_in_threadpool(session.go_on, step, result)
        return await run_in_threadpool(session.answer)

    @app.get("/", include_in_schema=False)
    def index() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    @app.get("/docs", include_in_schema=False)
    def docs() -> FileResponse:
        return FileResponse(PAGE / "docs.html")

    app.mount("/page", StaticFiles(directory=PAGE))
    return app
