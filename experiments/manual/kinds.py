"""kinds.jpg: which files are understood as masks, and what is then filled."""

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from experiments.manual.sheets import (
    FIG,
    FIG_AND_SHADOW,
    Tile,
    Workshop,
    marked_of,
    on_squares,
    polygon,
    sheet,
    tinted,
    written,
)
from inpaint.errors import UserError
from inpaint.imaging.marked import Marked
from inpaint.photo.defaults import MAX_PIXELS
from inpaint.photo.enlarge import enlarge
from inpaint.photo.files import as_photo
from inpaint.photo.masks import as_mask

RED, GREEN = (230, 20, 20), (60, 220, 30)
BOX = (255, 130, 460, 330)  # in the photograph of 640 x 433
WIDTH, HEIGHT = 226, 153


def used(path: Path | None, size: tuple[int, int], **options: Any) -> Marked:
    """The pixels that a mask file, or a box, changes: as `inpaint.fill` reads and enlarges it."""
    return enlarge(as_mask(path, size[::-1], **options)).weights > 0


def files(shop: Workshop, photo: Image.Image, marked: Image.Image) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Mask files that all mark the same, by their captions, and the options that they take."""
    clear = Image.new("RGBA", photo.size)
    erased = photo.copy()
    erased.putalpha(ImageOps.invert(marked))
    strokes = photo.copy()
    strokes.paste(GREEN, mask=marked)
    layer = clear.copy()
    layer.paste((*RED, 255), mask=marked)
    red = Image.new("RGB", photo.size)
    red.paste(RED, mask=marked)
    labels = Image.fromarray(marked_of(marked).astype(np.uint8))
    soft = marked.filter(ImageFilter.GaussianBlur(photo.width / 80))
    path = shop.keep("kinds_erased.png", erased)
    return {
        "white on black": (shop.keep("kinds_white.png", marked), {}),
        "red on black": (shop.keep("kinds_red.png", red), {}),
        "red on a clear layer": (shop.keep("kinds_layer.png", layer), {}),
        "soft edges, as JPEG": (shop.keep("kinds_soft.jpg", soft, quality=50), {}),
        "values 0 and 1, which look black": (shop.keep("kinds_labels.png", labels), {}),
        "black on white: --invert": (shop.keep("kinds_black.png", ImageOps.invert(marked)), {"invert": True}),
        "erased in the photo: --mask alpha": (path, {"alpha": as_photo(path, MAX_PIXELS).alpha}),
        "green painted into the photo": (shop.keep("kinds_strokes.png", strokes), {}),
    }


def draw(shop: Workshop, side: int = 640) -> Image.Image:
    """Each file beside the photograph with what it changes; what is refused beside the sentence that says so."""
    photo = shop.photo(FIG, side)
    pairs = []
    for caption, (path, options) in files(shop, photo, polygon(FIG_AND_SHADOW, photo.size)).items():
        with Image.open(path) as image:
            shown = on_squares(image) if image.mode == "RGBA" else image.convert("RGB")
        try:
            mask = None if "alpha" not in options else Path("alpha")
            changed = Tile("is filled", tinted(photo, used(mask or path, photo.size, **options)))
        except UserError as error:
            sentence = str(error).replace(str(path), path.name)
            changed = Tile("is refused", written("\n".join(textwrap.wrap(sentence, 34)), (WIDTH, HEIGHT)))
        pairs.append([Tile(caption, shown), changed])
    scaled = [round(value * photo.width / 640) for value in BOX]
    text = f"--box {','.join(map(str, scaled))}"
    pairs.append([
        Tile("no file, but a box", written(text, (WIDTH, HEIGHT))),
        Tile("is filled", tinted(photo, used(None, photo.size, boxes=[tuple(scaled)]))),
    ])  # fmt: skip
    rows = [[tile for pair in pairs[start : start + 3] for tile in pair] for start in range(0, len(pairs), 3)]
    return sheet(rows, WIDTH, HEIGHT)
