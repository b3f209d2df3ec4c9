"""problems.jpg: what goes wrong, and what mends it."""

from pathlib import Path

import skimage
from PIL import Image, ImageDraw

from experiments.manual.sheets import (
    FIG,
    FIG_ALMOST,
    FIG_AND_SHADOW,
    SIZE,
    WINE,
    Points,
    Tile,
    Workshop,
    box,
    marked_of,
    polygon,
    sheet,
    tinted,
)

View = tuple[float, float, float, float]  # shares of width and height

ROCKET = "rocket.jpg"  # ships with scikit-image; SpaceX, CC0
BOTTLE: Points = (
    (0.478, 0.113), (0.510, 0.113), (0.512, 0.185), (0.535, 0.205), (0.535, 0.338), (0.455, 0.338), (0.455, 0.205),
    (0.475, 0.185),
)  # fmt: skip
PART: Points = ((0.484, 0.293), (0.538, 0.293), (0.538, 0.703), (0.484, 0.703))
WHOLE: Points = (
    (0.480, 0.270), (0.545, 0.270), (0.545, 0.930), (0.620, 0.930), (0.620, 1.000), (0.395, 1.000), (0.395, 0.930),
    (0.470, 0.930),
)  # fmt: skip
SCRATCH = ((180, 375), (290, 300))  # across the bowl's rim, in pixels of `SIZE`


def shares(points: Points, size: tuple[int, int]) -> Image.Image:
    """A mask of that size, white inside the polygon, whose points are shares of width and height."""
    return polygon([(x * SIZE[0], y * SIZE[1]) for x, y in points], size)


def cut(picture: Image.Image, view: View) -> Image.Image:
    """A part of a picture."""
    width, height = picture.size
    return picture.crop(tuple(round(v * n) for v, n in zip(view, (width, height) * 2, strict=True)))  # type: ignore[arg-type]


def pair(
    shop: Workshop, name: str, photo: Image.Image, mask: Image.Image, view: View, captions: tuple[str, str],
    **options: int,
) -> list[Tile]:  # fmt: skip
    """What was marked, and the result."""
    (filled,) = shop.fill(name, photo, mask, **options)
    pictures = tinted(photo, marked_of(mask)), filled
    return [Tile(caption, cut(picture, view)) for caption, picture in zip(captions, pictures, strict=True)]


def whole_object(shop: Workshop, side: int) -> list[Tile]:
    """An object of which a part is left, and the same taken whole."""
    with Image.open(Path(skimage.__file__).parent / "data" / ROCKET) as image:
        photo = image.convert("RGB")
    photo.thumbnail((side, side), Image.Resampling.LANCZOS)
    view = (0.30, 0.20, 0.72, 1.0)
    before = pair(shop, "problems_part", photo, shares(PART, photo.size), view,
                  ("1. Part of a thing is marked:", "its rest ends in a blur."))  # fmt: skip
    after = pair(shop, "problems_whole", photo, shares(WHOLE, photo.size), view,
                 ("Mark the whole thing:", "--mask whole.png"))  # fmt: skip
    return before + after


def another_fill(shop: Workshop, side: int) -> list[Tile]:
    """An unlucky fill, and the two that come with it."""
    photo = shop.photo(WINE, round(side * 1.5625))
    mask, view = shares(BOTTLE, photo.size), (0.28, 0.06, 0.75, 0.42)
    fills = shop.fill("problems_variants", photo, mask, 3)
    captions = ("2. An unlucky fill:", "--variants 3, the first (seed 0)", "the second (seed 1)", "the third (seed 2)")
    pictures = [tinted(photo, marked_of(mask)), *fills]
    return [Tile(caption, cut(picture, view)) for caption, picture in zip(captions, pictures, strict=True)]


def more_photo(shop: Workshop, side: int) -> list[Tile]:
    """A photograph of which little is left, and what it was cut from, less of which is marked."""
    photo, view = shop.photo(FIG, side), (200 / SIZE[0], 90 / SIZE[1], 520 / SIZE[0], 390 / SIZE[1])
    close = cut(photo, view)
    marked = cut(box(220, 106, 500, 374, photo.size), view)
    before = pair(shop, "problems_close", close, marked, (0, 0, 1, 1),
                  ("3. Little of the photo is left:", "most is made up."))  # fmt: skip
    after = pair(shop, "problems_uncut", photo, polygon(FIG_AND_SHADOW, photo.size), view,
                 ("Take the photo before it was cut,", "mark the thing alone: --mask fig.png"))  # fmt: skip
    return before + after


def line(shop: Workshop, side: int) -> list[Tile]:
    """A drawn scratch over the bowl's rim, in a box, and marked alone."""
    photo, view = shop.photo(FIG, side), (120 / SIZE[0], 240 / SIZE[1], 350 / SIZE[0], 433 / SIZE[1])
    scratch = Image.new("L", photo.size)
    scale = photo.width / SIZE[0]
    at = [(x * scale, y * scale) for x, y in SCRATCH]
    ImageDraw.Draw(scratch).line(at, fill=255, width=max(1, round(4 * scale)))
    photo.paste((250, 250, 250), mask=scratch)
    around = box(175, 295, 295, 380, photo.size)
    before = pair(shop, "problems_box", photo, around, view,
                  ("4. A wide mask over an edge:", "the bowl's rim is broken."))  # fmt: skip
    after = pair(shop, "problems_scratch", photo, scratch, view,
                 ("Mark the scratch alone:", "--mask scratch.png"))  # fmt: skip
    return before + after


def ghost(shop: Workshop, side: int) -> list[Tile]:
    """A mask that is just too tight, and the same enlarged by more."""
    photo, view = shop.photo(FIG, side), (200 / SIZE[0], 90 / SIZE[1], 520 / SIZE[0], 390 / SIZE[1])
    mask = polygon(FIG_ALMOST, photo.size)
    before = pair(shop, "problems_ghost", photo, mask, view,
                  ("5. The edge and the shadow are left out:", "a ghost remains."))  # fmt: skip
    after = pair(shop, "problems_dilated", photo, mask, view, ("Enlarge the same mask:", "--dilate 24"),
                 dilate=max(1, round(24 * photo.width / SIZE[0])))  # fmt: skip
    return before + after


def draw(shop: Workshop, side: int = 640) -> Image.Image:
    """Five problems, a row each: on the left what went wrong, on the right what mends it."""
    return sheet([part(shop, side) for part in (whole_object, another_fill, more_photo, line, ghost)], 310, 270)
