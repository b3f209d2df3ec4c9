"""The options and the entry point of `python -m inpaint.fill`."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from inpaint.errors import INTERRUPTED, UserError
from inpaint.fill.printing import printable
from inpaint.photo.defaults import MAX_PIXELS, MAX_SIDE


def fill(
    photo: Annotated[
        Path,
        typer.Argument(
            metavar="PHOTO",
            help="The photo, a folder of photos, or a list: a .csv or .txt file with a line `photo,mask` for each.",
        ),
    ],
    mask: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|FOLDER|alpha|itself",
            help="A picture of the photo's size: what is white in it is removed. For a folder of photos: one mask for "
            "all, or a folder with a mask for each, called photo1.png, photo1_mask.png, photo1-mask.png or "
            "photo1.jpg.png for photo1.jpg. alpha: what is transparent in the photo is removed; itself: what is "
            "opaque in it.",
        ),
    ] = None,
    box: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LEFT,TOP,RIGHT,BOTTOM", help="Removes what is in this box, in pixels; may be given several times."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Where the filled photo goes, or the folder for many. [default: beside the photo]"
        ),
    ] = None,
    recursive: Annotated[
        bool, typer.Option("--recursive", help="For a folder: takes the photos in its subfolders as well.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replaces files that exist already.")] = False,
    invert: Annotated[
        bool, typer.Option("--invert", help="Removes what is black in the mask, instead of what is white.")
    ] = False,
    dilate: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Enlarges the mask by this many pixels. [default: a quarter of its local thickness, 1 to 8]",
        ),
    ] = None,
    feather: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Width in pixels of the fade from the fill into the photo, around the enlarged mask. "
            "[default: half of the enlargement]",
        ),
    ] = None,
    expand: Annotated[
        str | None,
        typer.Option(
            metavar="LEFT,TOP,RIGHT,BOTTOM",
            help="Adds canvas on each side, in pixels or in per cent of the photo, and fills it.",
        ),
    ] = None,
    content: Annotated[
        str | None,
        typer.Option(
            metavar="starter|telea|FILE.ckpt|FILE.onnx|FILE.png",
            help="The first stage: the network that ships with this package, classical filling, a checkpoint or "
            ".safetensors file of your own training, a network in ONNX, or a picture of the photo's size. "
            "[default: starter, or telea if that file is missing]",
        ),
    ] = None,
    preset: Annotated[
        str,
        typer.Option(
            metavar="instant|default|best",
            help="How much the refinement does: instant is quickest, best takes longest.",
        ),
    ] = "default",
    alpha: Annotated[
        float | None, typer.Option(min=0, help="How much texture counts in the refinement. [default: the preset's own]")
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed gives another fill; the same seed gives the same.")] = 0,
    variants: Annotated[
        int,
        typer.Option(help="Makes this many fills of each photo, with this seed and the next ones, and numbers them."),
    ] = 1,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda[:n]|mps", help="Where to compute.")] = "auto",
    max_side: Annotated[
        int,
        typer.Option(
            min=128,
            help="Pixels a side of the largest square around a hole that is filled at full size.",
        ),
    ] = MAX_SIDE,
    max_pixels: Annotated[int, typer.Option(min=1, help="Refuses files with more pixels than this.")] = MAX_PIXELS,
    save_intermediates: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Writes each hole's input, prediction and scales into this folder."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            help="Writes seconds, energies, memory, versions and the weights' hashes into this file. For a folder, "
            "an earlier report is replaced.",
        ),
    ] = None,
    engine: Annotated[
        str, typer.Option(metavar="local|ray", help="Fills many photos one after the other, or many at a time by Ray.")
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            metavar="auto|HOST:PORT",
            help="The Ray cluster to use. [default: RAY_ADDRESS, or else Ray is started on this machine]",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="With Ray, how many photos are filled at a time; more workers than GPUs share them. "
            "[default: one for each GPU, or each core]",
        ),
    ] = None,
) -> None:
    """Removes from a photo what a mask or boxes mark, and fills the holes.

    Pixels beyond the enlarged mask stay as they are.

    \b
    python -m inpaint.fill photo.jpg --mask mask.png
    python -m inpaint.fill photo.jpg --box 410,220,640,700 -o out.png
    python -m inpaint.fill photo.jpg --expand 10%,0,10%,200
    python -m inpaint.fill photos/ --mask masks/ -o filled/
    python -m inpaint.fill list.csv --engine ray -o filled/
    """
    try:
        # imported here, for it takes seconds, which --help has no need of
        from inpaint.fill.jobs import Options, parse_box
        from inpaint.fill.run import run
        from inpaint.photo.canvas import Margins

        # shells leave the ~ of --mask=~/mask.png as it is
        photo = Path(os.path.expanduser(photo))
        mask, output, save_intermediates, report = (
            path and Path(os.path.expanduser(path)) for path in (mask, output, save_intermediates, report)
        )
        boxes = [parse_box(text) for text in box or ()]
        margins = None if expand is None else Margins.parse(expand)
        options = Options(boxes, invert, dilate, feather, overwrite, save_intermediates, variants, margins, recursive)
        choices = {
            "content": content and os.path.expanduser(content),
            "preset": preset,
            "alpha": alpha,
            "seed": seed,
            "max_side": max_side,
            "max_pixels": max_pixels,
        }
        code = run(photo, mask, output, options, choices, device, report, engine, address, workers)
    except UserError as error:
        print(f"error: {printable(str(error), sys.stderr.encoding)}", file=sys.stderr)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:  # before there was anything to do: `run` says more
        print("Interrupted; nothing was written.", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    if code:
        raise typer.Exit(code)


def main() -> None:
    """Runs the command with the arguments of the process."""
    # plain help: with Rich's markup, flags would seem to take a <bool>, and what stands in brackets would be lost
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command()(fill)
    app()


if __name__ == "__main__":
    main()
