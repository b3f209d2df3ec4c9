"""`POST /api/fill`: a photo filled for a program, in one request."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

from fastapi import FastAPI, Form, Request, Response, UploadFile
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from inpaint.errors import UserError
from inpaint.fill.jobs import Job, Options, parse_box
from inpaint.fill.run import fill_one
from inpaint.photo.canvas import Margins
from inpaint.photo.files import target_for
from inpaint.photo.inpainter import check_seeds
from inpaint.web import answers
from inpaint.web.files import photo_file, plain_name, stored
from inpaint.web.filling import Inpainters
from inpaint.web.room import Busy, check_memory
from inpaint.web.steps import called
from inpaint.web.work import Queue, Task

FIELDS = {"photo", "mask", "box", "expand", "invert", "dilate", "feather", "preset", "seed"}  # of `POST /api/fill`
TICK = 0.05  # seconds between two looks at whether a fill is done


def serve_programs(
    app: FastAPI, root: Path, queue: Queue, inpainters: Inpainters, max_bytes: int, max_pixels: int
) -> None:
    """Adds it to an application.

    Args:
        root: a folder for what is uploaded and filled.
        max_bytes: of a file.
        max_pixels: of a photo.
    """

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
                await asyncio.sleep(TICK)
            if task.error is not None:
                raise UserError(task.error)
            if task.cancelled:
                raise Busy("The server is about to end: try again in a while.")
            return photo_file(job.target, target, BackgroundTask(folder.cleanup))
        except BaseException:
            folder.cleanup()
            raise
