"""Draws pictures side by side under their headings."""

from collections.abc import Sequence

from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from inpaint.imaging.reading import to_image, to_tensor

GAP = 4
HEADING = 24  # height of a line of headings, in pixels
LINE = 17  # and of each further one, where a heading is wider than its tile


def gallery(
    rows: Sequence[Sequence[Float[Tensor, "3 _ _"]]], headings: Sequence[str], side: int = 256
) -> Float[Tensor, "3 height width"]:
    """Draws `rows` of pictures under `headings`, on white, as one picture.

    Every picture stands in a square tile of `side` pixels, which its longer side fills. A heading that is wider than
    that is broken into lines.

    Raises:
        ValueError: there are no rows, or one has not exactly one picture a heading.
    """
    if not rows or any(len(row) != len(headings) for row in rows):
        raise ValueError(f"a gallery needs rows of {len(headings)} pictures, one a heading")
    step, font = side + GAP, ImageFont.load_default(size=14)
    texts = ["\n".join(_lines(heading, side, font)) for heading in headings]
    top = HEADING + LINE * max(text.count("\n") for text in texts)
    canvas = Image.new("RGB", (len(headings) * step - GAP, top + len(rows) * step), "white")
    draw = ImageDraw.Draw(canvas)
    for x, text in enumerate(texts):
        place = (x * step + side / 2, top / 2)
        draw.text(place, text, fill="black", font=font, anchor="mm", align="center", spacing=LINE - 14)
        for y, row in enumerate(rows):
            tile = ImageOps.pad(to_image(row[x]), (side, side), Image.Resampling.BILINEAR, color="white")
            canvas.paste(tile, (x * step, top + y * step))
    return to_tensor(canvas)


def _lines(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> list[str]:
    """Breaks a text between words, and where one is too long inside it, into lines of at most `width` pixels."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".lstrip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
            continue
        lines += [""] if lines[-1] else []
        for letter in word:
            lines += [""] if font.getlength(lines[-1] + letter) > width else []
            lines[-1] += letter
    return lines
