"""The options and the entry point of `python -m inpaint.export`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from inpaint.errors import INTERRUPTED, UserError


def export(
    checkpoint: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINT|starter",
            help="A training's checkpoint or a .safetensors file; starter: the network that ships with this package.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="OUT.onnx or OUT.pt2 (torch.export): the whole function, with the mean colour and all that the "
            "network looks at; OUT.safetensors: the weights alone.",
            show_default=False,
        ),
    ],
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="For a generator of your own: the config.yaml of the run that trained it, which names its class. "
            "This runs the code that it names.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replaces a file that exists already.")] = False,
) -> None:
    """Writes a content network as one file, reads it back, and says by how much the two differ.

    The function takes pictures [batch, 3, 128, 128] in [0, 1], with anything in their holes, and masks
    [batch, 1, 128, 128], 1 in the hole, which may lie anywhere. It gives the pictures with their holes filled, nothing
    blended where a hole meets its picture; and, for programs that do blend, their middles [batch, 3, 64, 64] as the
    network predicts them.

    \b
    python -m inpaint.export starter starter.onnx
    python -m inpaint.export outputs/content/RUN/checkpoints/best.ckpt net.onnx
    python -m inpaint.fill photo.jpg --mask mask.png --content net.onnx
    """
    try:
        from inpaint.export.run import run  # here, for it takes seconds, which --help has no need of

        print(run(checkpoint, out.expanduser(), config and config.expanduser(), overwrite))
    except UserError as error:
        print("error:", error, file=sys.stderr)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        print("Interrupted; nothing was written.", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None


def main() -> None:
    """Runs the command with the arguments of the process."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command()(export)
    app()


if __name__ == "__main__":
    main()
