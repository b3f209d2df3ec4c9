"""enlarged.jpg: by how much a mask is enlarged, which follows the thickness of what is marked."""

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from experiments.manual.sheets import BLUE, FIG, FIG_AND_SHADOW, SIZE, Tile, Workshop, marked_of, polygon, sheet, tinted
from inpaint.photo.enlarge import Enlarged, enlarge

ORANGE, YELLOW = (255, 150, 0), (255, 245, 60)
TILE = 270


class Thing(NamedTuple):
    """What is marked, and where to look at it, in pixels of `SIZE`."""

    name: str
    mask: Image.Image
    view: tuple[float, float, float, float]
    edge: tuple[float, float, float, float]


def things(size: tuple[int, int]) -> list[Thing]:
    """The fig; a letter and a scratch, which are drawn."""
    scale = size[0] / SIZE[0]
    letter, scratch = Image.new("L", size), Image.new("L", size)
    font = ImageFont.load_default(size=round(70 * scale))
    ImageDraw.Draw(letter).text((20 * scale, 225 * scale), "R", fill=255, font=font)
    scratch_at = [(8 * scale, 60 * scale), (100 * scale, 20 * scale)]
    ImageDraw.Draw(scratch).line(scratch_at, fill=255, width=max(1, round(1.5 * scale)))
    letter, scratch = (mask.point(lambda value: 255 * (value >= 128)) for mask in (letter, scratch))
    return [
        Thing("an object", polygon(FIG_AND_SHADOW, size), (240, 110, 470, 340), (428, 190, 468, 230)),
        Thing("a letter", letter, (5, 220, 95, 310), (24, 250, 64, 290)),
        Thing("a scratch", scratch, (5, 5, 75, 75), (34, 22, 64, 52)),
    ]


def counted(pixels: int) -> str:
    """So many pixels, in words."""
    return f"{pixels} pixel{'s' * (pixels != 1)}"


def coloured(photo: Image.Image, mask: Image.Image, enlarged: Enlarged) -> Image.Image:
    """What is marked in blue, what is filled beyond it in orange, and where the fill fades in yellow."""
    marked = marked_of(mask)
    full = enlarged.weights == 255
    picture = tinted(photo, (enlarged.weights > 0) & ~full & ~marked, YELLOW, 0.85)
    return tinted(tinted(picture, full & ~marked, ORANGE, 0.85), marked, BLUE)


def draw(shop: Workshop, side: int = 900) -> Image.Image:
    """A row a thing: photo, what is marked, what is filled, its edge from near, and the result."""
    photo = shop.photo(FIG, side)
    found = things(photo.size)
    everything = Image.fromarray(np.maximum.reduce([np.asarray(thing.mask) for thing in found]))
    for thing in found[1:]:
        photo.paste((250, 250, 250), mask=thing.mask)
    (filled,) = shop.fill("enlarged", photo, everything)
    rows = []
    for thing in found:
        enlarged = enlarge(marked_of(thing.mask))
        shown = coloured(photo, thing.mask, enlarged)
        captions = [
            thing.name, "marked",
            f"wider by {counted(enlarged.dilate[1])} (orange),\nfading over {enlarged.feather[1]} (yellow)",
            "its edge from near", "result",
        ]  # fmt: skip
        pictures = [photo, tinted(photo, marked_of(thing.mask)), shown, shown, filled]
        views = [thing.view] * 3 + [thing.edge, thing.view]
        cut = [seen(picture, view) for picture, view in zip(pictures, views, strict=True)]
        rows.append([Tile(caption, picture) for caption, picture in zip(captions, cut, strict=True)])
    return sheet(rows, TILE, TILE)


def seen(picture: Image.Image, view: tuple[float, float, float, float]) -> Image.Image:
    """A part of a picture at the size of a tile, its pixels as they are."""
    scale = picture.width / SIZE[0]
    part = picture.crop(tuple(round(value * scale) for value in view))  # type: ignore[arg-type]
    return part.resize((TILE, TILE), Image.Resampling.NEAREST)
