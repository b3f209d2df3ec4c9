"""What the manual's pictures are made of: photographs, marked places, fills, and tiles under captions."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from inpaint.errors import UserError
from inpaint.imaging.marked import Marked

GAP, LINE = 6, 18  # pixels between tiles, and of a line of a caption
BLUE = (0, 80, 255)  # what is marked: the bowl of the photograph that most pictures show is red
SIZE = (640, 433)  # of the photograph with the fig, in whose pixels its shapes are given
FIG = "Picture_0B_by_freespace.jpg"  # Trevor "Freespace", CC BY 4.0
WINE = "Wine_by_Jakkub_Mede.jpg"  # Jakub Mede, CC BY 4.0

Points = Sequence[tuple[float, float]]
Variants = Callable[..., Iterator[Image.Image]]  # `Inpainter.variants`

FIG_AND_SHADOW: Points = (
    (262, 205), (264, 178), (285, 156), (310, 144), (345, 136), (390, 136), (410, 150), (432, 165), (446, 190),
    (450, 230), (440, 262), (425, 290), (408, 310), (388, 324), (360, 324), (330, 312), (300, 285), (276, 262),
    (262, 235),
)  # fmt: skip
FIG_ALONE: Points = (
    (260, 195), (268, 190), (300, 192), (322, 165), (345, 152), (375, 150), (405, 156), (432, 176), (448, 200),
    (450, 232), (438, 262), (422, 292), (404, 316), (380, 328), (350, 322), (322, 298), (306, 265), (302, 222),
    (290, 214), (262, 214),
)  # fmt: skip
FIG_ALMOST: Points = (
    (272, 203), (318, 190), (334, 168), (356, 158), (382, 157), (412, 168), (433, 194), (440, 222), (430, 252),
    (412, 286), (396, 308), (376, 316), (348, 308), (324, 286), (310, 252), (300, 216),
)  # fmt: skip
FLESH: Points = (
    (310, 200), (330, 174), (352, 160), (385, 158), (415, 170), (434, 195), (438, 220), (428, 250), (410, 285),
    (395, 306), (375, 314), (345, 306), (320, 280), (308, 245),
)  # fmt: skip


class Tile(NamedTuple):
    """A picture and what stands above it, in lines."""

    caption: str
    picture: Image.Image


class Workshop(NamedTuple):
    """Where photographs come from, who fills them, and where what was filled is kept for the command."""

    photos: Path
    variants: Variants
    folder: Path

    def photo(self, name: str, longest: int = max(SIZE)) -> Image.Image:
        """A photograph, made smaller.

        Raises:
            UserError: it is not there.
        """
        path = self.photos / name
        if not path.is_file():
            raise UserError(f"there is no {path}")
        with Image.open(path) as image:
            photo = image.convert("RGB")
        photo.thumbnail((longest, longest), Image.Resampling.LANCZOS)
        return photo

    def keep(self, name: str, picture: Image.Image, **options: Any) -> Path:
        """Writes a picture beside the others, and returns its path."""
        self.folder.mkdir(parents=True, exist_ok=True)
        picture.save(self.folder / name, **options)
        return self.folder / name

    def fill(
        self, name: str, photo: Image.Image, mask: Image.Image, number: int = 1, **options: int
    ) -> list[Image.Image]:
        """Fills a photograph as the command does that it prints, with seed 0 and the next ones; keeps what it took."""
        began = time.perf_counter()
        own, marked = self.keep(f"{name}.png", photo), self.keep(f"{name}_mask.png", mask)
        filled = [picture.convert("RGB") for picture in self.variants(photo, mask, number, **options)]
        texts = [f" --{option} {value}" for option, value in options.items()]
        texts += [f" --variants {number}"] if number > 1 else []
        command = f"python -m inpaint.fill {own} --mask {marked}{''.join(texts)}"
        print(f"{command}  # {time.perf_counter() - began:.0f} s", flush=True)
        return filled


def polygon(points: Points, size: tuple[int, int]) -> Image.Image:
    """A mask of that size, white inside the polygon; its points are in pixels of `SIZE`."""
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).polygon([(x * size[0] / SIZE[0], y * size[1] / SIZE[1]) for x, y in points], fill=255)
    return mask


def box(left: float, top: float, right: float, bottom: float, size: tuple[int, int]) -> Image.Image:
    """The same of a box."""
    return polygon([(left, top), (right, top), (right, bottom), (left, bottom)], size)


def marked_of(mask: Image.Image) -> Marked:
    """What a mask of black and white marks."""
    return np.asarray(mask) >= 128


def tinted(photo: Image.Image, marked: Marked, colour: tuple[int, int, int] = BLUE, part: float = 0.6) -> Image.Image:
    """The photo, what is marked covered by so much of that colour."""
    pixels = np.array(photo.convert("RGB"))
    pixels[marked] = (pixels[marked] * (1 - part) + np.array(colour) * part).astype(np.uint8)
    return Image.fromarray(pixels)


def on_squares(picture: Image.Image) -> Image.Image:
    """A picture with transparency on a grey chequerboard, as painting programs show it."""
    rows, columns = np.indices((picture.height, picture.width)) // max(4, picture.width // 40)
    board = Image.fromarray(np.where((rows + columns) % 2, 205, 255).astype(np.uint8)).convert("RGBA")
    return Image.alpha_composite(board, picture.convert("RGBA")).convert("RGB")


def written(text: str, size: tuple[int, int]) -> Image.Image:
    """A tile that holds a text instead of a picture."""
    tile = Image.new("RGB", size, (238, 238, 238))
    ImageDraw.Draw(tile).multiline_text((8, 8), text, fill=(150, 0, 0), font=ImageFont.load_default(size=13))
    return tile


def sheet(rows: Sequence[Sequence[Tile]], width: int, height: int) -> Image.Image:
    """Lays tiles out in rows, each under its caption, on white; every picture fills its tile one way at least.

    Raises:
        ValueError: there are no tiles.
    """
    if not rows or not all(rows):
        raise ValueError("a sheet needs rows of tiles")
    heads = [LINE * max(tile.caption.count("\n") + 1 for tile in row) + 4 for row in rows]
    size = (max(map(len, rows)) * (width + GAP) - GAP, sum(heads) + len(rows) * (height + GAP) - GAP)
    canvas, y = Image.new("RGB", size, "white"), 0
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=14)
    for row, head in zip(rows, heads, strict=True):
        for number, tile in enumerate(row):
            x = number * (width + GAP)
            draw.multiline_text((x + 2, y + 1), tile.caption, fill="black", font=font, spacing=2)
            picture = ImageOps.pad(tile.picture, (width, height), Image.Resampling.LANCZOS, color="white")
            canvas.paste(picture, (x, y + head))
        y += head + height + GAP
    return canvas
