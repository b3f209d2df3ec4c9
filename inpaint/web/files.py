"""Files that come with requests, and files that go back."""

import os
import re
import shutil
import unicodedata
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from fastapi import Request, Response, UploadFile
from fastapi.responses import FileResponse
from fastapi.routing import APIRoute
from starlette.background import BackgroundTask
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import AwaitableOrContextManager
from starlette.types import Receive, Scope, Send

from inpaint.files import fitting
from inpaint.fill.jobs import LISTS
from inpaint.imaging.reading import SUFFIXES
from inpaint.photo.files import FORMATS
from inpaint.web.room import check_disk
from inpaint.web.sessions import Session
from inpaint.web.steps import GONE, Missing, Step


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
