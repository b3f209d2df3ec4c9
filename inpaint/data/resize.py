"""`python -m inpaint.data.resize SOURCE TARGET`: a copy of a folder with smaller pictures, which are read sooner."""

import os
import shutil
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.progress import track

from inpaint.data.listing import pictures_under
from inpaint.errors import UserError
from inpaint.files import atomic
from inpaint.imaging.pixels import resize
from inpaint.imaging.reading import read_pixels, write_picture

app = typer.Typer(add_completion=False, rich_markup_mode=None)


def resize_one(name: str, source: Path, target: Path, side: int) -> str | None:
    """Writes a copy of a picture with `side` pixels on the shorter side; one that has no more is copied as it is.

    A copy that is there already is left alone. Returns what went wrong, if anything did.
    """
    if (target / name).exists():
        return None
    try:
        pixels = read_pixels(source / name)
        shorter, shape = min(pixels.shape[1:]), pixels.shape[1:]
        if shorter <= side:
            with atomic(target / name) as beside:
                shutil.copyfile(source / name, beside)
        else:
            small = resize(pixels[None], (round(shape[0] * side / shorter), round(shape[1] * side / shorter)))[0]
            write_picture(small.float() / 255, target / name)
    except UserError as error:
        return str(error)
    return None


def prepare_worker() -> None:
    """Lets a process of the pool ignore Ctrl-C, which the main one handles, and use one core."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


@app.command()
def resize_folder(
    source: Annotated[Path, typer.Argument(help="The folder, searched recursively.", show_default=False)],
    target: Annotated[Path, typer.Argument(help="The copy, with the same names.", show_default=False)],
    side: Annotated[int, typer.Option(min=1, help="Pixels of a picture's shorter side.")] = 256,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = os.cpu_count() or 1,
) -> None:
    """Copies a folder of pictures, larger ones made smaller; the same command goes on with a copy that was begun."""
    try:
        if target.resolve().is_relative_to(source.resolve()):
            raise UserError(f"{target} lies inside {source}: give another place for the copy.")
        names = pictures_under(source)
        if not names:
            raise UserError(f"There are no pictures in {source}.")
    except UserError as error:
        print("error:", error, file=sys.stderr)
        raise typer.Exit(2) from None
    one = partial(resize_one, source=source, target=target, side=side)
    with ProcessPoolExecutor(workers, initializer=prepare_worker) as pool:
        try:
            done = pool.map(one, names, chunksize=32)
            bar = track(done, "Resizing", total=len(names), console=Console(stderr=True), transient=True)
            failures = [failure for failure in bar if failure]
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            print("Interrupted: what is finished stays, and the same command goes on from there.", file=sys.stderr)
            raise typer.Exit(130) from None
    for failure in failures:
        print(failure, file=sys.stderr)
    print(f"{len(names) - len(failures)} pictures, {len(failures)} failed")
    print(target)
    raise typer.Exit(1 if failures else 0)


if __name__ == "__main__":
    app()
