"""The options and the entry point of `python -m inpaint.web`."""

import os
import shlex
import sys
import threading
import webbrowser
from contextlib import suppress
from typing import Annotated

import typer

from inpaint.errors import UserError
from inpaint.fill.printing import printable
from inpaint.photo.defaults import MAX_PIXELS, MAX_SIDE
from inpaint.web.addresses import bound, is_loopback, own_address, url_host

PORT = 8472
MISSING = "The page takes further packages: pip install 'neural-patch-synthesis[web]'."


def web(
    host: Annotated[
        str, typer.Option(help="The address to listen at. By default only this machine reaches the page.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port to listen at; 0 takes one that is free.")
    ] = PORT,
    password: Annotated[
        str | None,
        typer.Option(
            envvar="INPAINT_PASSWORD",
            show_envvar=True,
            help="Everyone who uses the page must enter this password; programs too (HTTP Basic, any user name).",
        ),
    ] = None,
    anyone: Annotated[
        bool,
        typer.Option("--anyone-on-the-network", help="Lets anyone who reaches this machine use it without a password."),
    ] = False,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Whether to open the page in the browser.")
    ] = True,
    device: Annotated[
        str, typer.Option(metavar="auto|cpu|cuda[:n]|mps", help="Where to compute; several with commas: cuda:0,cuda:1.")
    ] = "auto",
    content: Annotated[
        str | None,
        typer.Option(
            metavar="starter|telea|FILE.ckpt",
            help="The first stage: the network that ships, classical filling, or a checkpoint. [default: starter]",
        ),
    ] = None,
    max_side: Annotated[
        int,
        typer.Option(
            min=128,
            help="Pixels a side of the largest square around a hole that is filled at full size.",
        ),
    ] = MAX_SIDE,
    max_pixels: Annotated[int, typer.Option(min=1, help="Refuses files with more pixels than this.")] = MAX_PIXELS,
) -> None:
    """Serves a page on this machine and opens it: paint over something in a photo, and see it gone.

    \b
    python -m inpaint.web
    python -m inpaint.web --host 0.0.0.0 --password ...
    """
    try:
        if not is_loopback(host) and not password and not anyone:
            raise UserError(
                f"--host {host} lets others on the network reach the page: give a --password, or "
                "--anyone-on-the-network if anyone may use it."
            )
        try:
            import fastapi  # noqa: F401
            import psutil  # noqa: F401
            import python_multipart  # noqa: F401
            import uvicorn
        except ImportError:
            raise UserError(MISSING) from None
        listening = bound(host, port)
        # imported here, for it takes seconds, which neither --help nor what is wrong above has need of
        from inpaint.web.server import create_app

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
    reached = own_address(listening.family) if host in ("0.0.0.0", "::") else host
    for_others = "" if is_loopback(host) else f", for others at {address.replace(url_host(host), url_host(reached), 1)}"
    print(f"The page is at {address}{for_others} (Ctrl-C ends it).", flush=True)
    if browser:
        threading.Timer(0.5, webbrowser.open, [address]).start()
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listening])
    print("Stopped. What the pages worked on is removed.", flush=True)


def main() -> None:
    """Runs the command with the arguments of the process."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command()(web)
    app()


if __name__ == "__main__":
    main()
