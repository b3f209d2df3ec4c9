"""Draws pictures side by side under their headings."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from inpaint.imaging.pixels import resize
from inpaint.imaging.reading import to_tensor

GAP = 4
HEADING = 24  # height of the line of headings, in pixels


def gallery(
    rows: Sequence[Sequence[Float[Tensor, "3 _ _"]]], headings: Sequence[str], side: int = 256
) -> Float[Tensor, "3 height width"]:
    """Draws `rows` of pictures under `headings`, on white, as one picture.

    Every picture stands in a square tile of `side` pixels, which its longer side fills.

    Raises:
        ValueError: there are no rows, or one has not exactly one picture a heading.
    """
    if not rows or any(len(row) != len(headings) for row in rows):
        raise ValueError(f"a gallery needs rows of {len(headings)} pictures, one a heading")
    step = side + GAP
    canvas = torch.ones(3, HEADING + len(rows) * step, len(headings) * step - GAP)
    canvas[:, :HEADING] = _headings(headings, side, canvas.shape[-1])
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            top, left = HEADING + y * step, x * step
            canvas[:, top : top + side, left : left + side] = _tile(picture, side)
    return canvas


def _tile(picture: Float[Tensor, "3 _ _"], side: int) -> Float[Tensor, "3 side side"]:
    height, width = picture.shape[-2:]
    longer = max(height, width)
    size = (max(1, round(side * height / longer)), max(1, round(side * width / longer)))
    tile = torch.ones(3, side, side)
    top, left = (side - size[0]) // 2, (side - size[1]) // 2
    resized = resize(picture.detach().float().cpu()[None], size)[0]
    tile[:, top : top + size[0], left : left + size[1]] = resized.clamp(0, 1)
    return tile


def _headings(headings: Sequence[str], side: int, width: int) -> Float[Tensor, "3 _ width"]:
    line = Image.new("RGB", (width, HEADING), "white")
    draw = ImageDraw.Draw(line)
    font = ImageFont.load_default(size=14)
    for x, heading in enumerate(headings):
        draw.text((x * (side + GAP) + side / 2, HEADING / 2), heading, fill="black", font=font, anchor="mm")
    return to_tensor(line)
