"""Draws pictures side by side under their headings."""

from collections.abc import Sequence

from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from inpaint.imaging.reading import to_image, to_tensor

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
    canvas = Image.new("RGB", (len(headings) * step - GAP, HEADING + len(rows) * step), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=14)
    for x, heading in enumerate(headings):
        draw.text((x * step + side / 2, HEADING / 2), heading, fill="black", font=font, anchor="mm")
        for y, row in enumerate(rows):
            tile = ImageOps.pad(to_image(row[x]), (side, side), Image.Resampling.BILINEAR, color="white")
            canvas.paste(tile, (x * step, HEADING + y * step))
    return to_tensor(canvas)
