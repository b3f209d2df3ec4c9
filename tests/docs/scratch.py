"""The folder that a page's commands run in: a checkout, and the photos, masks and data sets that the pages name."""

import shutil
import stat
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

from tests.docs.blocks import ROOT

SIZE = (240, 180)  # of a photo
COPIED = ("conf", "examples", "experiments", "Makefile", "pyproject.toml", "constraints.txt")


def make_scratch(folder: Path) -> None:
    """Fills an empty folder."""
    ignored = shutil.ignore_patterns("*.jpg", "*.png", "__pycache__", "outputs")
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name, **({"ignore": ignored} if copy is shutil.copytree else {}))
    for path in folder.rglob("*"):  # a checkout may be read-only
        path.chmod(path.stat().st_mode | stat.S_IWUSR)
    photos = [_photo(number) for number in range(4)]
    mask = np.zeros(SIZE[::-1], np.uint8)
    mask[70:110, 90:140] = 255
    photos[0].save(folder / "photo.jpg", quality=90)
    Image.fromarray(mask).save(folder / "mask.png")
    erased = photos[0].convert("RGBA")
    erased.putalpha(Image.fromarray(255 - mask))
    erased.save(folder / "erased.png")
    other = np.array(photos[0])
    other[mask > 0] = other[mask == 0].mean(0)
    Image.fromarray(other).save(folder / "other.png")
    lines = ["photo,mask"]
    for number, photo in enumerate(photos[1:], start=1):
        for name in ("photos", "both"):
            _save(photo, folder / name / f"photo{number}.jpg")
        for name in (f"masks/photo{number}.png", f"both/photo{number}_mask.png"):
            _save(Image.fromarray(mask), folder / name)
        lines.append(f"photos/photo{number}.jpg,masks/photo{number}.png")
    (folder / "list.csv").write_text("\n".join(lines) + "\n")
    for place, count in {
        "imagenet/train/n01440764": 6,  # a tenth of the training pictures is held out
        "imagenet/train/n02102040": 6,
        "imagenet/val/n01440764": 2,
        "paris_streetview/paris_train_original": 12,
        "paris_streetview/paris_eval/paris_eval_gt": 2,
    }.items():
        for number in range(count):
            _save(photos[number % 4], folder / "data" / place / f"picture{number}.jpg")


def _photo(number: int) -> Image.Image:
    """A part of the stones that ship with scikit-image, in another colour for each number."""
    left, top = number % 2 * SIZE[0], number // 2 * SIZE[1]
    grey = Image.fromarray(data.gravel()).crop((left, top, left + SIZE[0], top + SIZE[1]))
    return Image.merge("RGB", [grey.point(lambda v, c=c: v * c // 10) for c in (10, 9, 8 - number)])


def _save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
