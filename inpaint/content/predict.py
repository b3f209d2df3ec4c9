"""Stage 1: a content network fills holes anywhere in a picture, its middle by itself and the rest by diffusion."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from inpaint.content.networks import SIDE, Masks, Pictures
from inpaint.errors import UserError
from inpaint.imaging.pixels import composite, in_the_middle, resize_masked
from inpaint.imaging.smooth import diffuse, seamless


class Shown(NamedTuple):
    """What a content network is given of pictures with holes, see `show`."""

    known: Pictures  # what is known, and what was filled by diffusion; anything in `hole`
    picture: Pictures  # the same with the mean colour in `hole`: the network's input
    hole: Masks  # the part of the hole that the network fills: none of it lies outside the middle half


def check_size(picture: Float[Tensor, "*batch 3 height width"], mask: Float[Tensor, "*batch 1 height width"]) -> None:
    """Raises a UserError where a picture or its mask is not of the size that a content network works at."""
    if picture.shape[-2:] != (SIDE, SIDE) or mask.shape[-2:] != (SIDE, SIDE):
        raise UserError(
            f"The content network works at {SIDE} x {SIDE}, but the picture is {picture.shape[-2]} x "
            f"{picture.shape[-1]} and its mask {mask.shape[-2]} x {mask.shape[-1]}: resize them first."
        )


def show(picture: Pictures, mask: Masks, mean_colour: Float[Tensor, "3 1 1"]) -> Shown:
    """Fills smoothly what a content network cannot predict, and paints in the mean colour what it can.

    The network predicts the middle half. The part of a hole that lies outside it is filled by
    diffusion (`diffuse`). What `picture` holds in the hole does not matter, as long as it is finite.
    """
    known, hole = picture * (1 - mask), in_the_middle(mask)
    reaching = (mask != hole).flatten(1).any(1)
    if reaching.any():
        known[reaching] = diffuse(known[reaching], mask[reaching])
    return Shown(known, composite(known, mean_colour.expand_as(known), hole), hole)


def predict(
    generator: nn.Module,
    mean_colour: Float[Tensor, "3 1 1"],
    blend_border: bool,
    picture: Float[Tensor, "*batch 3 height width"],
    mask: Float[Tensor, "*batch 1 height width"],
) -> Float[Tensor, "*batch 3 128 128"]:
    """Stage 1 by a content network: a picture, or a batch of them, at 128 x 128 with its holes filled.

    The network fills the middle half; the other parts of the hole are filled smoothly first (`show`) and stay so. At
    the hole's border the prediction is adjusted to the picture's colours (`blend_border`), so that narrow holes are
    filled at least as well as by diffusion.

    Args:
        generator: f, from pictures [batch, 3, 128, 128] and masks to middles [batch, 3, 64, 64]; used as it is, in
            training or in evaluation mode, with gradients or without.
        mean_colour: what the generator is shown in the hole, in [0, 1].
        picture: in [0, 1], of any size; what stands in the hole is not looked at.
        mask: 1 in the hole; as large as the picture.
    """
    if picture.ndim == 3:
        return predict(generator, mean_colour, blend_border, picture[None], mask[None])[0]
    known, shown, hole = show(*resize_masked(picture, mask, (SIDE, SIDE)), mean_colour)
    predicted = F.pad(generator(shown, hole).float(), [SIDE // 4] * 4)
    if blend_border:
        return torch.stack([seamless(*one) for one in zip(known, predicted, hole, strict=True)])
    return composite(known, predicted.clamp(0, 1), hole)
