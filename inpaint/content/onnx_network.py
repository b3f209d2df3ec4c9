"""A network in an .onnx file, of any architecture, that fills holes at 128 x 128; no such file runs code of its own."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from inpaint.content.networks import SIDE, Masks, Middles, Pictures
from inpaint.errors import UserError, first_line
from inpaint.imaging.pixels import middle

INPUTS = {"picture": (1, 3, SIDE, SIDE), "mask": (1, 1, SIDE, SIDE)}
OUTPUTS = {"filled": (1, 3, SIDE, SIDE), "predicted": (1, 3, SIDE // 2, SIDE // 2)}
PACKAGES = ("onnx", "onnxscript", "onnxruntime")  # of the extra `export`


def require(*packages: str) -> list[Any]:
    """Imports packages of the extra `export`, or raises a UserError that names it."""
    try:
        return [importlib.import_module(package) for package in packages]
    except ImportError:
        raise UserError("ONNX takes further packages: pip install 'neural-patch-synthesis[export]'.") from None


class OnnxNetwork:
    """The function from pictures and masks to filled pictures that an .onnx file holds, run on the CPU.

    The file takes first pictures [batch, 3, 128, 128] in [0, 1], then masks [batch, 1, 128, 128] (1 in the hole,
    which may lie anywhere), and gives pictures [batch, 3, 128, 128] with the holes filled, all in float32. It may also
    give their middles [batch, 3, 64, 64] as the network predicts them, which may leave [0, 1]: to blend borders with.
    So `python -m inpaint.export` writes it. The names do not matter. The batch has any size, or is one picture.

    Raises:
        UserError: ONNX Runtime is missing, the file cannot be read, or it takes or gives something else; when called:
            it cannot be computed, or what it gives has another size than it says, or is not finite.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise UserError(f"{path} does not exist: give the path of an .onnx file.")
        (runtime,) = require("onnxruntime")
        options = runtime.SessionOptions()
        options.log_severity_level = 4  # what it would print is told as an error below
        options.intra_op_num_threads = torch.get_num_threads()
        try:
            self.session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # it has dozens of its own, without a base
            raise UserError(f"{path} cannot be read as an ONNX network: {first_line(error).rstrip('.')}.") from None
        self.path, self.inputs = path, [one.name for one in self.session.get_inputs()]
        takes, gives = self.session.get_inputs(), self.session.get_outputs()
        if not (_fit(takes, [*INPUTS.values()]) and _fit(gives, [*OUTPUTS.values()][: len(gives)])):
            raise UserError(
                f"{path} takes {_in_words(takes)} and gives {_in_words(gives)}, but to fill photos it has to take "
                f"picture [batch, 3, {SIDE}, {SIDE}] and mask [batch, 1, {SIDE}, {SIDE}] and to give "
                f"filled [batch, 3, {SIDE}, {SIDE}], all in float32, as inpaint.export writes it."
            )

    def __call__(self, picture: Pictures, mask: Masks) -> tuple[Pictures, Middles]:
        """The filled pictures and the predicted middles (else the middles of those), on the device of `picture`."""
        given = [x.detach().cpu().contiguous().numpy() for x in (picture, mask)]
        try:
            found = self.session.run(None, dict(zip(self.inputs, given, strict=True)))
        except Exception as error:  # as above
            raise UserError(f"{self.path} cannot be computed: {first_line(error).rstrip('.')}.") from None
        outputs = [torch.from_numpy(x).to(picture) for x in found]
        for x, wanted in zip(outputs, (picture, middle(picture)), strict=False):
            if x.shape != wanted.shape or not x.isfinite().all():
                raise UserError(
                    f"{self.path} gave a picture of the shape {[*x.shape]}, or one with values that are not finite, "
                    f"where {[*wanted.shape]} is expected: export the network again."
                )
        filled, *predicted = outputs
        return filled, (predicted or [middle(filled)])[0]


def _fit(found: Sequence[Any], wanted: Sequence[tuple[int, ...]]) -> bool:
    """Whether what a session takes or gives can have these shapes; a side that the file leaves open has a name."""
    return len(found) == len(wanted) and all(
        one.type == "tensor(float)"
        and len(one.shape) == len(shape)
        and all(side == other for side, other in zip(one.shape, shape, strict=True) if isinstance(side, int))
        for one, shape in zip(found, wanted, strict=True)
    )


def _in_words(found: Sequence[Any]) -> str:
    """As "x [batch, 3, 64, 64]"; the type where it is another than float32."""
    words = []
    for one in found:
        kind = "" if one.type == "tensor(float)" else f" of the type {one.type}"
        words.append(f"{one.name} [{', '.join(str(side or '?') for side in one.shape)}]{kind}")
    return " and ".join(words) or "nothing"
