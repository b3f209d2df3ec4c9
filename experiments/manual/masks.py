"""masks.jpg: what becomes of one photograph under four masks."""

from PIL import Image

from experiments.manual.sheets import (
    FIG,
    FIG_ALONE,
    FIG_AND_SHADOW,
    FLESH,
    Tile,
    Workshop,
    box,
    marked_of,
    polygon,
    sheet,
    tinted,
)


def draw(shop: Workshop, side: int = 640) -> Image.Image:
    """The fig under a good mask, one that is too tight, one without its shadow, and one that is far too large."""
    photo = shop.photo(FIG, side)
    cases = {
        "good": ("good: the fig and its shadow", polygon(FIG_AND_SHADOW, photo.size), {}),
        "tight": ("too tight: the fig's edge is left out\n--dilate 0 --feather 0", polygon(FLESH, photo.size),
                  {"dilate": 0, "feather": 0}),
        "shadow": ("the shadow is left out", polygon(FIG_ALONE, photo.size), {}),
        "large": ("far too large", box(150, 100, 600, 380, photo.size), {}),
    }  # fmt: skip
    above, below = [], []
    for name, (caption, mask, options) in cases.items():
        (filled,) = shop.fill(f"masks_{name}", photo, mask, **options)
        above.append(Tile(caption, tinted(photo, marked_of(mask))))
        below.append(Tile("result", filled))
    return sheet([above, below], 340, 230)
