"""A content network as one file, for other programs or for photos.

What an .onnx or .pt2 file holds is all of stage 1 but its seamless border (`inpaint.content.predict.predict`), in
float32: the mean colour, the smooth filling that the network is shown, and VGG-16 where it looks at its features are in
it. A .safetensors file holds the weights alone.
"""

import copy
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from inpaint.content.networks import SIDE, VGG_FEATURES, ContextEncoder, Masks, Middles, Pictures
from inpaint.content.onnx_network import INPUTS, OUTPUTS, PACKAGES, OnnxNetwork, require
from inpaint.content.predict import predict, show
from inpaint.content.weights import StoredNetwork, architecture_of, read_network, save_network
from inpaint.errors import UserError, first_line
from inpaint.files import atomic
from inpaint.imaging.pixels import composite, in_the_middle, middle
from inpaint.imaging.smooth import diffuse
from inpaint.runs.provenance import versions
from inpaint.vgg import load_vgg

TOLERANCE = 1e-3  # of the largest difference that an export may show: a quarter of a step of 8 bits
LARGEST = 2 * 10**9  # bytes of weights that fit into an .onnx file
TAKES = (
    f"picture [batch, 3, {SIDE}, {SIDE}] in [0, 1], anything in its hole; "
    f"mask [batch, 1, {SIDE}, {SIDE}], 1 in the hole, which may lie anywhere; float32"
)
GIVES = (
    f"filled [batch, 3, {SIDE}, {SIDE}] in [0, 1]; predicted [batch, 3, {SIDE // 2}, {SIDE // 2}], the middle as the "
    "network itself predicts it, which may leave [0, 1] a little; float32"
)

Run = Callable[[Pictures, Masks], tuple[Pictures, Middles]]


class Stage1(nn.Module):
    """Stage 1 as one function of tensors that can be exported: no step depends on values, or on the batch's size.

    It gives what `predict` gives without `blend_border`, and what the generator itself predicts, which `blend_border`
    begins with. The generator is copied, and stays as it is.
    """

    mean_colour: Tensor

    def __init__(self, generator: nn.Module, mean_colour: Float[Tensor, "3 1 1"]) -> None:
        super().__init__()
        self.generator = copy.deepcopy(generator).cpu().float()
        self.register_buffer("mean_colour", mean_colour.detach().cpu().float().view(3, 1, 1))
        if isinstance(self.generator, ContextEncoder) and self.generator.vgg:
            self.vgg = load_vgg()  # anew: the generator's own may have been rounded to bfloat16
            self.generator.vgg_features = self.vgg_features  # type: ignore[method-assign]
        self.eval().requires_grad_(False)

    def vgg_features(self, picture: Pictures) -> dict[int, Float[Tensor, "batch _ _ _"]]:
        """As `ContextEncoder.vgg_features`, but always in float32, and of the whole batch at once."""
        features = self.vgg(picture, [name for name, _ in VGG_FEATURES.values()])
        return {i: features[name] for i, (name, _) in VGG_FEATURES.items()}

    def forward(self, picture: Pictures, mask: Masks) -> tuple[Pictures, Middles]:
        known, hole = diffuse(picture, mask), in_the_middle(mask)
        shown = composite(known, self.mean_colour.expand_as(known), hole)
        predicted = self.generator(shown, hole).float()
        return composite(known, F.pad(predicted.clamp(0, 1), [SIDE // 4] * 4), hole), predicted


def export(
    generator: nn.Module,
    mean_colour: Float[Tensor, "3 1 1"],
    out: Path,
    notes: Mapping[str, str] = MappingProxyType({}),
) -> float:
    """Writes a content network as a .onnx, .pt2 or .safetensors file, and reads it back to compare.

    Args:
        generator: from pictures [batch, 3, 128, 128] and masks to their middles [batch, 3, 64, 64], in [0, 1].
        mean_colour: what it is shown in a hole, in [0, 1], as `load_weights` returns it.
        out: a file that is there is replaced.
        notes: further entries of the file's metadata.

    Returns:
        The largest difference between what the file gives and what the network gives, of pixels in [0, 1]; for a
        .safetensors file that of the weights.

    Raises:
        UserError: `out` has another ending or cannot be written, a package is missing, the network cannot be exported,
            or the difference is above `TOLERANCE`. No file is written then.

    Example:
        >>> colour = load_weights(generator, Path("best.ckpt"))  # doctest: +SKIP
        >>> export(generator, colour, Path("net.onnx"))  # doctest: +SKIP
    """
    kind = kind_of(out)
    network = StoredNetwork(architecture_of(generator), generator.state_dict(), mean_colour)
    if kind == ".safetensors":
        return export_weights(network, out, notes)
    stage1 = Stage1(generator, mean_colour)
    pictures, masks = _examples(3)  # a batch of another size than the graph is made with
    with torch.no_grad():
        filled = predict(stage1.generator, stage1.mean_colour, False, pictures, masks)
        _, shown, hole = show(pictures, masks, stage1.mean_colour)
        expected = filled, stage1.generator(shown, hole).float()
    if not all(wanted.isfinite().all() for wanted in expected):
        raise UserError("The network predicts values that are not finite (its training diverged): choose another one.")
    with atomic(out) as beside, _quiet(), torch.no_grad():
        run = (_write_onnx if kind == ".onnx" else _write_pt2)(stage1, beside, _facts(network, notes))
        differences = [(x - wanted).abs().max() for x, wanted in zip(run(pictures, masks), expected, strict=True)]
        difference = float(torch.stack(differences).max())  # what is no number stays none
        if not difference <= TOLERANCE:
            raise UserError(
                f"{out} was not written: its output differs from the network's by {difference:.2g}, more than rounding "
                f"allows ({TOLERANCE})."
            )
    return difference


def export_weights(network: StoredNetwork, out: Path, notes: Mapping[str, str] = MappingProxyType({})) -> float:
    """As `export`, of what a file holds, of whichever class; `out` is a .safetensors file."""
    save_network(network, out, _facts(network, notes))
    found = read_network(out).tensors
    differences = [(found[k].double() - v.cpu().double()).abs().max() for k, v in network.tensors.items() if v.numel()]
    return float(torch.stack(differences).max())


def kind_of(out: Path) -> str:
    """The ending of a file to write, or a UserError: it is none of the three, or ONNX's packages are missing."""
    if (kind := out.suffix.lower()) not in (".onnx", ".pt2", ".safetensors"):
        raise UserError(f"{out} has to end in .onnx, .pt2 or .safetensors, which says what is written.")
    if kind == ".onnx":
        require(*PACKAGES)
    return kind


def _facts(network: StoredNetwork, notes: Mapping[str, str]) -> dict[str, str]:
    """What the file's metadata say."""
    return {
        "architecture": json.dumps({"generator": network.architecture}),
        "mean_colour": json.dumps([round(value, 6) for value in network.mean_colour.flatten().tolist()]),
        "side": str(SIDE),
        "predicted_side": str(SIDE // 2),  # of the middle, which the network predicts
        "versions": json.dumps(versions()),
        **notes,
    }


def _write_onnx(stage1: Stage1, path: Path, facts: dict[str, str]) -> Run:
    size = sum(x.numel() * x.element_size() for x in [*stage1.parameters(), *stage1.buffers()])
    if size > LARGEST:
        raise UserError(f"The network has {size / 1e9:.1f} GB of weights, but .onnx holds 2 at most: write .pt2.")
    program = _program(stage1)
    with _in_one_sentence(stage1):
        written = torch.onnx.export(
            program,
            dynamic_shapes=({0: "batch"}, {0: "batch"}),  # names them in the file
            input_names=[*INPUTS],
            output_names=[*OUTPUTS],
            dynamo=True,
            optimize=False,  # takes minutes; runtimes do it when they read the file
            verbose=False,
        )
    assert written is not None
    written.model.metadata_props.update(facts | {"inputs": TAKES, "outputs": GIVES})
    written.save(path, external_data=False)
    return OnnxNetwork(path)


def _write_pt2(stage1: Stage1, path: Path, facts: dict[str, str]) -> Run:
    record = json.dumps(facts | {"inputs": TAKES, "outputs": GIVES}, indent=2)
    torch.export.save(_program(stage1), path, extra_files={"network.json": record})
    return torch.export.load(path).module()


def _program(stage1: Stage1) -> torch.export.ExportedProgram:
    """Stage 1 as a graph, for batches of any size."""
    batch = torch.export.Dim("batch", min=1)
    with _in_one_sentence(stage1):
        return torch.export.export(stage1, _examples(2), dynamic_shapes=({0: batch}, {0: batch}))


def _examples(number: int) -> tuple[Pictures, Masks]:
    """At most three pictures of noise, with holes in the middle, from side to side, and of single pixels."""
    random = torch.Generator().manual_seed(0)
    pictures, masks = torch.rand(3, 3, SIDE, SIDE, generator=random), torch.zeros(3, 1, SIDE, SIDE)
    middle(masks[0]).fill_(1)
    masks[1, :, 20:50] = 1
    masks[2] = (torch.rand(1, SIDE, SIDE, generator=random) < 0.3).float()
    return pictures[:number], masks[:number]


@contextmanager
def _in_one_sentence(stage1: Stage1) -> Iterator[None]:
    """Turns what an exporter says about a foreign network into a UserError."""
    try:
        yield
    except Exception as error:  # whatever the network's forward does
        raise UserError(
            f"{type(stage1.generator).__name__} cannot be exported: what it computes depends on pixels' values or on "
            f"the batch's size, or is nothing that the exporter knows ({first_line(error).rstrip('.')})."
        ) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps to itself what exporters say about their own insides."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
