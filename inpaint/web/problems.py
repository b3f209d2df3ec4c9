"""What is said of requests that cannot be met: one sentence each, whatever went wrong."""

import errno
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from inpaint.errors import UserError
from inpaint.web import answers
from inpaint.web.guard import RETRY_AFTER, busy, refused
from inpaint.web.room import FULL, Busy
from inpaint.web.steps import Missing

SENTENCES = {  # for those of the libraries
    "Not Found": "There is nothing at this address.",
    "Method Not Allowed": "This address takes no requests of this kind.",
    "There was an error parsing the body": "The request cannot be read.",
    "Invalid multipart data.": "The form cannot be read.",
}
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


def tell(app: FastAPI) -> None:
    """Lets an application answer all errors so."""

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
