"""The server: the page's files, what the page asks for, and `POST /api/fill` for programs."""

import asyncio
import errno
import os
import re
import shutil
import time
import unicodedata
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any
from urllib.parse import quote

import anyio.to_thread
import skimage
from fastapi import Depends, FastAPI, Form, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import AwaitableOrContextManager
from starlette.types import Receive, Scope, Send

from inpaint.errors import UserError
from inpaint.files import fitting
from inpaint.fill.jobs import LISTS, Job, Options, parse_box
from inpaint.fill.run import fill_one
from inpaint.imaging.reading import SUFFIXES
from inpaint.photo.canvas import Margins
from inpaint.photo.files import FORMATS, target_for
from inpaint.photo.inpainter import check_seeds
from inpaint.runs.provenance import PACKAGE, versions
from inpaint.web import answers
from inpaint.web.filling import Inpainters
from inpaint.web.guard import BESIDE_FILES, RETRY_AFTER, Bounded, Guard, busy, refused
from inpaint.web.room import FULL, Busy, check_disk, check_memory
from inpaint.web.sessions import MOST_SESSIONS, Session, Sessions
from inpaint.web.steps import GONE, Missing, Result, Step, called
from inpaint.web.work import Queue, Task

PAGE = Path(__file__).parent / "page"
EXAMPLE = Path(skimage.__file__).parent / "data" / "rocket.jpg"  # CC0, of SpaceX
BYTES_A_PIXEL = 4  # of the largest photo, as a file may have
SENTENCES = {  # for those of the libraries
    "Not Found": "There is nothing at this address.",
    "Method Not Allowed": "This address takes no requests of this kind.",
    "There was an error parsing the body": "The request cannot be read.",
    "Invalid multipart data.": "The form cannot be read.",
}
FIELDS = {"photo", "mask", "box", "expand", "invert", "dilate", "feather", "preset", "seed"}  # of `POST /api/fill`
TICK = 0.1  # seconds between two looks at how far a fill is
PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": answers.Problem, "description": "The request cannot be read."},
    403: {"model": answers.Problem, "description": "Another site asks, or the host has another name."},
    404: {"model": answers.Problem, "description": "It is not there (any more)."},
    413: {"model": answers.Problem, "description": "The files are too large."},
    503: {
        "model": answers.Problem,
        "description": "There is no room now for another fill, page or file, or the server is about to end.",
        "headers": {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "const": RETRY_AFTER}}},
    },
    422: {"model": answers.Problem, "description": "Something is wrong with what was given; the sentence says what."},
}


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

    @app.exception_handler(UserError)
    async def mistaken(_: Request, error: UserError) -> JSONResponse:
        return refused(422, str(error))

    @app.exception_handler(Busy)
    async def no_room(_: Request, error: Busy) -> JSONResponse:
        return busy(error)

    @app.exception_handler(OSError)
    async def not_written(_: Request, error: OSError) -> JSONResponse:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise error
        return busy(Busy(FULL))

    @app.exception_handler(Missing)
    async def missing(_: Request, error: Missing) -> JSONResponse:
        return refused(404, str(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return refused(422, what_is_wrong(error.errors()[0]))

    @app.exception_handler(HTTPException)
    async def not_taken(request: Request, error: HTTPException) -> JSONResponse:
        if isinstance(error.__cause__, OSError):  # of a form, which was stored while it came
            return await not_written(request, error.__cause__)
        return refused(error.status_code, SENTENCES.get(error.detail, f"{error.detail.rstrip('.')}."), error.headers)

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

    @app.post(
        "/api/fill", tags=["Programs"], response_class=FileResponse, responses={200: {"content": {"image/*": {}}}}
    )
    async def fill(
        request: Request,
        photo: UploadFile,
        mask: UploadFile | None = None,
        box: Annotated[
            list[str],
            Form(description="LEFT,TOP,RIGHT,BOTTOM in pixels, instead of a mask.", examples=[[]]),
        ] = [],  # noqa: B006
        expand: Annotated[
            str | None, Form(description="LEFT,TOP,RIGHT,BOTTOM, in pixels or per cent.", examples=[""])
        ] = None,
        invert: Annotated[bool, Form(description="Black removes.")] = False,
        dilate: Annotated[
            int | None,
            Form(
                ge=0, le=10_000, examples=[""], description="Pixels by which the mask is enlarged, if not as it comes."
            ),
        ] = None,
        feather: Annotated[
            int | None,
            Form(ge=0, le=10_000, examples=[""], description="Pixels over which the fill fades, if not as it comes."),
        ] = None,
        preset: Annotated[answers.Preset, Form(description="The quality.")] = "default",
        seed: Annotated[int, Form(ge=0, lt=2**63, description="Another one gives another fill.")] = 0,
    ) -> Response:
        """Fills a photo: the answer is the file that the command would have written. It waits in the queue."""
        if unknown := sorted((await request.form()).keys() - FIELDS):
            raise UserError(f"There is no field {unknown[0]}: the fields are {', '.join(sorted(FIELDS))}.")
        if mask is None and not box and expand is None:
            raise UserError("Nothing says what to remove: give a mask, a box, or more canvas by expand.")
        if mask is None and invert:
            raise UserError("invert is about masks, and there is none: give a mask, or leave invert out.")
        check_seeds(seed, 1)
        margins = None if expand is None else Margins.parse(expand)
        boxes = [parse_box(text) for text in box]
        options = Options(boxes, invert, dilate, feather, overwrite=True, intermediates=None, margins=margins)
        folder = TemporaryDirectory(dir=root, ignore_cleanup_errors=True)
        try:
            name = plain_name(photo.filename)
            own = await run_in_threadpool(stored, photo, Path(folder.name) / "photo", name, max_bytes)
            with called(own, name):
                await run_in_threadpool(check_memory, own, max_pixels, margins)
            marked = None
            mask_name = ""
            if mask is not None:
                mask_name = plain_name(mask.filename, "mask")
                marked = await run_in_threadpool(stored, mask, Path(folder.name) / "mask", mask_name, max_bytes)
            target = target_for(Path(name)).name
            job = Job(own, marked, Path(folder.name) / f"filled{Path(target).suffix}", variant=seed + 1)

            def work(device: str, task: Task) -> None:
                task.enter("filling")
                with called(own, name), called(marked or own, mask_name or name), called(job.target, target):
                    check_memory(own, max_pixels, margins)  # others may have begun since
                    fill_one(inpainters.get(preset, device), job, options, task.progress)

            queue.check_room()
            task = Task(work)
            queue.add(task)
            while not task.ended.done():
                if app.state.closing or await request.is_disconnected():
                    task.cancel()
                await asyncio.sleep(TICK / 2)
            if task.error is not None:
                raise UserError(task.error)
            if task.cancelled:
                raise Busy("The server is about to end: try again in a while.")
            return photo_file(job.target, target, BackgroundTask(folder.cleanup))
        except BaseException:
            folder.cleanup()
            raise

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


class FormRequest(Request):
    """A request whose form holds no more than those that are asked for here: what is no file is kept in memory."""

    def form(self, **_: Any) -> AwaitableOrContextManager[FormData]:
        """Its form, whatever limits FastAPI would ask for."""
        return super().form(max_files=2, max_fields=32, max_part_size=2**16)


class FormRoute(APIRoute):
    """A route whose requests are `FormRequest`s."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What answers a request."""
        answer = super().get_route_handler()

        async def answer_form(request: Request) -> Response:
            return await answer(FormRequest(request.scope, request.receive))

        return answer_form


class KeptFile(FileResponse):
    """A file of a session, which may be replaced, or removed, before it is sent; raises `Missing` then."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it."""
        try:
            await super().__call__(scope, receive, send)
        except RuntimeError:  # which is Starlette's word for it
            if os.path.exists(self.path):
                raise
            raise Missing(GONE) from None


def what_is_wrong(error: Mapping[str, Any]) -> str:
    """A sentence for what pydantic finds wrong with a request."""
    field = ".".join(map(str, error["loc"][1:]))
    match error["type"]:
        case "json_invalid":
            return "The request is no JSON."
        case "missing":
            return f"The field {field} is missing." if field else "The request is empty."
        case "value_error" if "Expected UploadFile" in error["msg"]:
            return f"The field {field} is no file."
    what, why = f"The field {field}" if field else "The request", error["msg"].rstrip(".")
    return f"{what} is wrong: {why[:1].lower()}{why[1:]}."


def stored(upload: UploadFile, path: Path, name: str, max_bytes: int) -> Path:
    """Stores an upload in a file with the suffix of its name.

    Raises:
        HTTPException: it has more than `max_bytes`.
        Busy: the disk is full.
    """
    if (upload.size or 0) > max_bytes:
        raise HTTPException(413, f"{name} is too large: a file may have {max_bytes / 2**20:.1f} MiB.")
    suffix = Path(name).suffix.lower()
    path = path.with_suffix(suffix if suffix in SUFFIXES else "")
    check_disk(path.parent, 4 * (upload.size or 0))  # results need some too
    with path.open("wb") as file:
        shutil.copyfileobj(upload.file, file)
    return path


def plain_name(name: str | None, otherwise: str = "photo") -> str:
    """What a file is called, by what somebody says it is called: no path, nothing that cannot be printed.

    It has no suffix that would make the command take a photo for a list of photos.
    """
    last = re.split(r"[/\\]", name or "")[-1]
    plain = "".join(one for one in last if not unicodedata.category(one).startswith("C")).strip()
    while Path(plain).suffix.lower() in LISTS:
        plain = Path(plain).stem
    if not plain.strip("."):
        return otherwise
    suffix = Path(plain).suffix
    return fitting(Path(plain).stem, suffix) if suffix.lower() in SUFFIXES else fitting(plain)


def painted(session: Session, step: Step, path: Path) -> Response:
    """The file of what is marked, which the next stroke replaces; raises `Missing` if nothing is."""
    with session.holding(step):
        if step.mask is None:
            raise Missing("Nothing is marked: paint over what is to go.")
        return Response(path.read_bytes(), media_type="image/png")


def photo_file(path: Path, name: str, background: BackgroundTask | None = None) -> KeptFile:
    """A filled photo, to be kept under a name."""
    kind = FORMATS[path.suffix.lower()].lower()
    return KeptFile(path, filename=name, media_type=f"image/{kind}", background=background)
