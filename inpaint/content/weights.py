"""What a file of a content network's weights is, and the network that it is of."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from inpaint.content.networks import ContextEncoder
from inpaint.errors import UserError
from inpaint.files import read_weights

STARTER = Path(str(files("inpaint.assets") / "starter.safetensors"))  # the content network that ships


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a trained content network: `generator.*` and `mean_colour`, from a checkpoint or .safetensors.

    Raises:
        UserError: the file cannot be read, or holds none.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist: give the path of a content network's checkpoint.")
    state = read_weights(path)
    if path.suffix.lower() != ".safetensors":
        state = state.get("state_dict") if isinstance(state, dict) else None
    state = {k: v for k, v in state.items() if isinstance(v, Tensor)} if isinstance(state, dict) else {}
    if "mean_colour" not in state or not any(name.startswith("generator.") for name in state):
        raise UserError(f"{path} holds no content network: give a checkpoint written by model=content.")
    return state


def load_weights(module: nn.Module, path: str | Path) -> None:
    """Puts a checkpoint's generator and mean colour into `module`, which is all that predictions need.

    Only tensors and plain values are read (`weights_only`), so nothing in the file can name code to run. A perceptual
    generator that is still untrained may start from one that is not: what joins it adds nothing at first.

    Raises:
        UserError: the file is missing, is no checkpoint of a content network, or holds another architecture;
            `module` is then unchanged.
    """
    found = {name: value for name, value in read_state(Path(path)).items() if is_content(name)}
    own = {name: value for name, value in module.state_dict().items() if is_content(name)}
    if not any(is_join(name) for name in found):
        own = {name: value for name, value in own.items() if not is_join(name)}
    same_shapes(own, found, str(path))
    module.load_state_dict(found, strict=False)


def same_shapes(own: Mapping[str, Any], found: Mapping[str, Any], source: str) -> None:
    """Raises a UserError at the first tensor that the two sets of weights do not share."""
    for name in [*own, *found]:
        here, there = describe(own.get(name)), describe(found.get(name))
        if here != there:
            raise UserError(
                f"{source} holds another content network: {name} is {there} there and {here} here; "
                "set the model's options to those of its training."
            )


def is_content(name: str) -> bool:
    """Whether a tensor of a ContentGAN is needed to predict."""
    return name.startswith("generator.") or name == "mean_colour"


def is_join(name: str) -> bool:
    """Whether a tensor belongs to what joins VGG's features to a perceptual generator's."""
    return name.startswith("generator.joins.")


def describe(value: Any) -> str:
    """A tensor's shape in words, for comparison and for messages."""
    return " x ".join(map(str, value.shape)) or "a number" if isinstance(value, Tensor) else "missing"


def build(state: dict[str, Tensor], path: Path) -> tuple[ContextEncoder, Float[Tensor, "3 1 1"]]:
    """The generator that these tensors are of, and the colour it wants holes in.

    Its widths are read off the tensors' shapes. A channel-wise middle means the original Context Encoder, with its
    leaky ReLU and ReLU; a fully connected one the paper's, with ELU. One that sees the mask as well is a residual one,
    and one that VGG's features join a perceptual one.

    Raises:
        UserError: the tensors are those of another architecture.
    """
    other = f"{path} holds another network than the content networks of this package"
    weights = {name.removeprefix("generator."): t for name, t in state.items() if name.startswith("generator.")}
    first, inner = weights.get("encoder.0.0.weight"), weights.get("middle.0.weight")
    if first is None or inner is None or first.ndim != 4:
        raise UserError(f"{other}: it has no encoder and middle.")
    if inner.ndim == 3:  # a matrix for each channel
        generator = ContextEncoder(
            len(first),
            middle="channel_wise",
            encoder_activation=lambda: nn.LeakyReLU(0.2),
            decoder_activation=nn.ReLU,
        )
    else:
        residual = first.shape[1] == 4
        perceptual = residual and "joins.1.add.weight" in weights
        generator = ContextEncoder(len(first), len(inner), residual=residual, perceptual=perceptual)
    try:
        generator.load_state_dict({name: t.float() if t.is_floating_point() else t for name, t in weights.items()})
        mean_colour = state["mean_colour"].float().reshape(3, 1, 1)
    except RuntimeError as error:
        raise UserError(f"{other}: {str(error).strip().splitlines()[-1].strip()}") from None
    return generator.eval().requires_grad_(False), mean_colour
