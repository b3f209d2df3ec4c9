"""Keeps out what does not come from the page or a program that was meant to use it; bounds what is sent."""

import base64
import binascii
import logging
import re
import secrets
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inpaint.web.addresses import address, is_address, is_loopback
from inpaint.web.room import Busy, check_disk

POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
TAKES_FILES = re.compile("^/api/(fill|sessions|sessions/[^/]+/steps/[^/]+/masks)$")
FOR_JSON = 2**23  # bytes
RETRY_AFTER = 30  # seconds
BESIDE_FILES = 2**16  # bytes of a form, beside its files


class Guard:
    """Lets requests pass that may use the server, and sets the headers that browsers look at.

    - The host's name must be this machine's: another site's name may be made to lead here (DNS rebinding), an address
      may not.
    - A browser must say that the page itself asks, not another site (cross-site request forgery).
    - With a password, every request must bring it (HTTP Basic, any user name); see `wrong_password`.

    Args:
        host: that the server listens at.
        password: None if there is none.
    """

    def __init__(self, app: ASGIApp, host: str, password: str | None) -> None:
        self.app, self.password = app, password
        self.patience: dict[str, float] = {}  # until when no password from an address is looked at
        self.alone = is_loopback(host)
        name = socket.gethostname().lower()
        self.names = {"localhost"} if self.alone else {"localhost", host.lower(), name, f"{name}.local"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or answers why not."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no web sockets here
            await send({"type": "websocket.close", "code": 1008})
            return
        headers, begun = Headers(scope=scope), False

        async def send_with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                out = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    out[name] = value
                # the page of the API's documentation sets styles of its own
                out["content-security-policy"] = (
                    f"{POLICY}; style-src 'self' 'unsafe-inline'" if scope["path"] == "/docs" else POLICY
                )
                if scope["path"].startswith("/api"):
                    out["cache-control"] = "no-store"
                else:
                    out.setdefault("cache-control", "no-cache")
            await send(message)

        answer = self.refusal(scope, headers)
        if answer is not None:
            await answer(scope, receive, send_with_headers)
            return
        try:
            await self.app(scope, receive, send_with_headers)
        except Exception:
            logging.getLogger("uvicorn.error").exception("A fault of the server:")
            if not begun:
                await refused(500, "The server has a fault, which its log tells.")(scope, receive, send_with_headers)

    def refusal(self, scope: Scope, headers: Headers) -> JSONResponse | None:
        """Why a request must not pass; None if it may."""
        host = headers.get("host", "")
        name = (address(f"//{host}").hostname or "").rstrip(".")
        allowed = name in self.names or (is_loopback(name) if self.alone else is_address(name))
        if not allowed:
            return refused(403, f"This server is not called {host!r}: use the address that it printed when it started.")
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site is not None:
            opened = headers.get("sec-fetch-mode") == "navigate" and scope["method"] == "GET"  # by a link
            foreign = site not in ("same-origin", "none") and not (opened and not scope["path"].startswith("/api"))
        else:
            foreign = origin is not None and address(origin).netloc.lower() != host.lower()
        if foreign:
            return refused(403, "Another site asked for this: open the page itself.")
        if self.password is not None:
            return self.wrong_password(scope, headers.get("authorization"))
        return None

    def wrong_password(self, scope: Scope, authorization: str | None) -> JSONResponse | None:
        """Why a request may not pass by its password, if it has any.

        Where a wrong one came from, none is looked at for a second, right or wrong: so guessing takes long, also by
        many at once.
        """
        now, client = time.monotonic(), (scope.get("client") or ("",))[0]
        if authorization is not None and now < self.patience.get(client, 0.0):
            answer = refused(429, "A wrong password has just come from your address: wait a second, and try again.")
            answer.headers["retry-after"] = "1"
            return answer
        if authorization is not None and self.knows_password(authorization):
            return None
        if authorization is not None:
            self.patience = {one: until for one, until in self.patience.items() if now < until} | {client: now + 1}
        answer = refused(401, "Give the password that the server was started with.")
        answer.headers["www-authenticate"] = 'Basic realm="inpaint", charset="UTF-8"'
        return answer

    def knows_password(self, authorization: str) -> bool:
        """Whether a header holds the password."""
        kind, _, encoded = authorization.partition(" ")
        if kind.lower() != "basic" or self.password is None:
            return False
        try:
            given = base64.b64decode(encoded, validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return False
        known = [self.password.encode()]
        with suppress(UnicodeEncodeError):
            known.append(self.password.encode("latin-1"))  # as some programs write it, whatever they are told
        return any(secrets.compare_digest(given, one) for one in known)


class TooLarge(Exception):
    """A request's body is larger than allowed."""


class Bounded:
    """Refuses bodies that are larger than allowed: by the length they declare, or as they come.

    Forms, which are stored while they come, are refused as well where the disk might not take them.

    Args:
        most: bytes of a form, its files among them. Other bodies may have `FOR_JSON` bytes.
        folder: on the disk that takes them.
    """

    def __init__(self, app: ASGIApp, most: int, folder: Path) -> None:
        self.app, self.most, self.folder = app, most, folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or answers that it is too large, or that the disk is full."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        form = headers.get("content-type", "").startswith("multipart/form-data") and TAKES_FILES.search(scope["path"])
        most = self.most if form else FOR_JSON
        what = "The files are too large: together they" if form else "The request is too large: it"
        answer = refused(413, f"{what} may have {most / 2**20:.1f} MiB.")
        declared = headers.get("content-length", "")
        length = int(declared) if declared.isdecimal() else most if "transfer-encoding" in headers else 0
        if length > most:
            await answer(scope, receive, send)
            return
        if form:
            try:
                check_disk(self.folder, length)
            except Busy as error:
                await busy(error)(scope, receive, send)
                return
        came, over = 0, False

        async def counted() -> Message:
            nonlocal came, over
            message = await receive()
            came += len(message.get("body", b""))
            if came > most:
                over = True
                raise TooLarge
            return message

        async def checked(message: Message) -> None:
            if not over:
                await send(message)

        with suppress(TooLarge):
            await self.app(scope, counted, checked)
        if over:
            await answer(scope, receive, send)


def refused(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """An answer that says why not."""
    return JSONResponse({"detail": sentence}, status, headers)


def busy(error: Busy) -> JSONResponse:
    """An answer that there is no room now, and when to ask again."""
    return refused(503, str(error), {"retry-after": str(RETRY_AFTER)})
