"""The options and the entry point of `python -m inpaint.web`."""

import os
import shlex
import socket
import sys
import threading
import webbrowser
from contextlib import suppress
from typing import Annotated

import typer

from inpaint.errors import UserError
from inpaint.fill.printing import printable
from inpaint.photo.defaults import MAX_PIXELS, MAX_SIDE

PORT = 8472
MISSING = "The page takes further packages: pip install 'neural-patch-synthesis[web]'."


def web(
    host: Annotated[
        str, typer.Option(help="The address to listen at. By default only this machine reaches the page.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes one that is free.")] = PORT,
    password: Annotated[
        str | None,
        typer.Option(
            envvar="INPAINT_PASSWORD",
            show_envvar=True,
            help="Asked for by the page, and of programs (HTTP Basic, any user name).",
        ),
    ] = None,
    anyone: Annotated[
        bool,
        typer.Option("--anyone-on-the-network", help="Anyone who reaches this machine may use it, without a password."),
    ] = False,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Opens the page.")] = True,
    device: Annotated[
        str, typer.Option(metavar="auto|cpu|cuda[:n]|mps", help="Where to compute; several with commas: cuda:0,cuda:1.")
    ] = "auto",
    content: Annotated[
        str | None,
        typer.Option(metavar="starter|telea|FILE.ckpt", help="The first stage. [default: starter]"),
    ] = None,
    max_side: Annotated[
        int,
        typer.Option(min=128, help="The largest part of a photo, in pixels a side, that is worked on at full size."),
    ] = MAX_SIDE,
    max_pixels: Annotated[int, typer.Option(min=1, help="Files that declare more pixels are refused.")] = MAX_PIXELS,
) -> None:
    """Serves a page on this machine, and opens it: paint over what is to go from a photo, and see it gone.

    \b
    python -m inpaint.web
    python -m inpaint.web --host 0.0.0.0 --password ...
    """
    try:
        # imported here, for it takes seconds, which --help has no need of
        try:
            import fastapi  # noqa: F401
            import psutil  # noqa: F401
            import python_multipart  # noqa: F401
            import uvicorn
        except ImportError:
            raise UserError(MISSING) from None
        from inpaint.web.guard import is_loopback
        from inpaint.web.server import create_app

        if not is_loopback(host) and not password and not anyone:
            raise UserError(
                f"--host {host} lets others on the network reach the page: give a --password, or "
                "--anyone-on-the-network if anyone may use it."
            )
        listening = bound(host, port)
        choices = {
            "content": content and os.path.expanduser(content),
            "max_side": max_side,
            "max_pixels": max_pixels,
        }
        defaults = {"content": None, "max_side": MAX_SIDE, "max_pixels": MAX_PIXELS}
        more = "".join(
            f" --{name.replace('_', '-')} {shlex.quote(str(value))}"
            for name, value in choices.items()
            if value != defaults[name]
        )
        app = create_app(choices, [name.strip() for name in device.split(",")], host, password or None, more)
    except UserError as error:
        print(f"error: {printable(str(error), sys.stderr.encoding)}", file=sys.stderr)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: object) -> None:
            app.state.closing = True
            super().handle_exit(sig, frame)  # type: ignore[arg-type]

    address = f"http://{url_host(host)}:{listening.getsockname()[1]}/"
    server = Server(
        uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=5)
    )
    for_others = "" if is_loopback(host) else f", for others at {address.replace('localhost', socket.gethostname())}"
    print(f"The page is at {address}{for_others} (Ctrl-C ends it).", flush=True)
    if browser:
        threading.Timer(0.5, webbrowser.open, [address]).start()
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listening])
    print("Stopped. What the pages worked on is removed.", flush=True)


def bound(host: str, port: int) -> socket.socket:
    """A socket that is bound to an address; a UserError if it cannot be."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(family)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)  # who comes before the server is ready waits
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "there is no such name"
        raise UserError(
            f"{host}, port {port}, cannot be listened at ({reason}): give another --port or --host."
        ) from None
    return listening


def url_host(host: str) -> str:
    """A host as it stands in an address that a browser on this machine can open."""
    if host in ("0.0.0.0", "::"):
        return "localhost"
    return f"[{host}]" if ":" in host else host


def main() -> None:
    """Runs the command with the arguments of the process."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command()(web)
    app()


if __name__ == "__main__":
    main()
