"""`make restoration`: four kinds of damage put on photographs, and taken away by this package and by two others.

    python -m experiments.restoration.restoration [--photos FOLDER] [--out FOLDER] [--only dust,scratches]

What is damaged is known, so each result can be compared with the truth. What is finished stays in the output folder and
is not computed again as long as the photograph, the damage and the method's version are the same. A run of all renews
results.md and the pictures beside this file.
"""

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from experiments.machine import machine
from experiments.pictures import save_jpeg
from experiments.removal.removal import version
from inpaint.classical.filling import filler
from inpaint.errors import INTERRUPTED, UserError
from inpaint.evaluation.perceptual import perceptual_distance
from inpaint.files import atomic
from inpaint.imaging.reading import opened, to_rgb
from inpaint.photo.enlarge import enlarge
from inpaint.photo.inpainter import Inpainter
from inpaint.vgg import load_vgg

HERE = Path(__file__).resolve().parent
PHOTOS = ("Bridge_by_Sander_Klootwijk", "FallenLeaf", "Kleiber_by_Lukas_Baubkus", "Wine_by_Jakkub_Mede",
          "friends_by_Aitzol_Berasategi", "sunset_by_Aitzol_Berasategi")  # fmt: skip
LONGER_SIDE = 900  # pixels
CROP = 300  # pixels of a photograph that the sheets show
METHODS = {
    "damaged": "as damaged",
    "telea": "Telea",
    "patchmatch": "PatchMatch",
    "instant": "ours, instant",
    "ours": "ours",
}
OURS = {"instant": "instant", "ours": "default"}  # presets

Damaged = tuple[np.ndarray, np.ndarray]  # the damaged photograph [height, width, 3], and what a careful hand marks


# the damage: each draws on a photograph by a generator of random numbers


def scratches(photo: np.ndarray, rng: np.random.Generator) -> Damaged:
    """Six scratches from edge to edge, 1 to 4 pixels wide, white or nearly black."""
    height, width = photo.shape[:2]
    out, whole = photo.copy(), np.zeros((height, width), dtype=bool)
    for number in range(6):
        image = Image.new("1", (width, height))
        steps = np.linspace(0, 1, 12)
        along, across = steps, rng.random() + np.cumsum(rng.normal(0, 0.015, 12))
        x, y = (along, across) if number % 2 else (across, along)
        points = list(zip((x * width).tolist(), (y * height).tolist(), strict=True))
        ImageDraw.Draw(image).line(points, fill=1, width=int(rng.integers(1, 5)))
        marked = np.array(image)
        out[marked] = 245 if number % 3 else 20
        whole |= marked
    return out, whole


def blotches(photo: np.ndarray, rng: np.random.Generator) -> Damaged:
    """Torn and stained places of any shape: an eighth of the photograph."""
    height, width = photo.shape[:2]
    noise = ndimage.gaussian_filter(rng.normal(size=(height, width)), 14)
    noise += 0.25 * ndimage.gaussian_filter(rng.normal(size=(height, width)), 4) * noise.std()
    marked = noise > np.quantile(noise, 7 / 8)
    out = photo.copy()
    out[marked] = (225, 214, 190)
    return out, marked


def watermark(photo: np.ndarray, rng: np.random.Generator) -> Damaged:
    """Half-transparent writing, aslant and all over."""
    height, width = photo.shape[:2]
    side = 2 * max(height, width)
    image = Image.new("L", (side, side))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=30)
    for row, y in enumerate(range(0, side, 90)):
        for x in range(-150 * (row % 2), side, 300):
            draw.text((x, y), "SAMPLE 2016", fill=255, font=font)
    turned = np.array(image.rotate(30, Image.Resampling.BILINEAR))
    top, left = (side - height) // 2, (side - width) // 2
    share = turned[top : top + height, left : left + width, None] / 255 * 0.6
    return (photo * (1 - share) + 255 * share).round().astype(np.uint8), share[..., 0] > 0


def dust(photo: np.ndarray, rng: np.random.Generator) -> Damaged:
    """300 specks, 2 to 8 pixels wide, white or black."""
    height, width = photo.shape[:2]
    out, whole = photo.copy(), np.zeros((height, width), dtype=bool)
    for _ in range(300):
        y, x = rng.integers(0, height), rng.integers(0, width)
        a, b = rng.uniform(1, 4, 2)
        box = (slice(max(0, y - 4), y + 5), slice(max(0, x - 4), x + 5))
        rows, columns = np.mgrid[:height, :width][(slice(None), *box)]
        speck = ((rows - y) / a) ** 2 + ((columns - x) / b) ** 2 <= 1
        out[box][speck] = 250 if rng.random() < 0.7 else 15
        whole[box] |= speck
    return out, whole


DAMAGES: dict[str, Callable[[np.ndarray, np.random.Generator], Damaged]] = {
    "scratches": scratches,
    "blotches": blotches,
    "watermark": watermark,
    "dust": dust,
}


# filling and measuring


class Fillers:
    """The methods, each made when it is first asked for."""

    def __init__(self) -> None:
        self.made: dict[str, Any] = {}

    def __call__(self, name: str, damaged: np.ndarray, marked: np.ndarray) -> np.ndarray:
        """Fills what is marked; all methods fill what `inpaint.fill` enlarges it to."""
        if name == "damaged":
            return damaged
        if name not in self.made:
            self.made[name] = Inpainter(preset=OURS[name], device="cpu") if name in OURS else filler(name)
        if name in OURS:
            return np.asarray(self.made[name].fill(damaged, marked))
        return self.made[name](damaged, enlarge(marked).weights > 0)


def measured(filled: np.ndarray, truth: np.ndarray, marked: np.ndarray, vgg: Any) -> dict[str, float]:
    """PSNR of the whole picture in dB, and the perceptual distance in what was marked."""
    error = float(((filled.astype(float) - truth) ** 2).mean())
    ours, true = (torch.from_numpy(x.copy()).permute(2, 0, 1).float() / 255 for x in (filled, truth))
    return {
        "psnr": 10 * float(np.log10(255**2 / error)),
        "perceptual": perceptual_distance(ours, true, torch.from_numpy(marked)[None].float(), vgg),
    }


def read_truth(path: Path) -> np.ndarray:
    """Reads a photograph, at most `LONGER_SIDE` pixels on its longer side."""
    with opened(path) as image:
        photo = to_rgb(image)
    photo.thumbnail((LONGER_SIDE, LONGER_SIDE), Image.Resampling.LANCZOS)
    return np.array(photo)


def compare(photos: Path, out: Path, damages: list[str], publish: Path | None = HERE) -> int:
    """Runs what is not finished, then writes the pictures and results.md; returns the exit code.

    Args:
        publish: the folder that they are copied to when all kinds of damage on all photographs are done.
    """
    there = [photos / f"{name}.jpg" for name in PHOTOS]
    for path in (path for path in there if not path.is_file()):
        print(f"skipped: {path.stem}, for there is no {path}")
    present = [path for path in there if path.is_file()]
    versions = {name: "" if name == "damaged" else version("ours" if name in OURS else name) for name in METHODS}
    for name in (name for name, found in versions.items() if found is None):
        print(f"skipped: {METHODS[name]}, which is not installed")
    names = [name for name, found in versions.items() if found is not None]
    if not present:
        print(f"Nothing to do: none of the photographs is in {photos}.")
        return 0
    fillers, vgg = Fillers(), load_vgg().on(torch.device("cpu"))
    rows: list[dict[str, Any]] = []
    try:
        for damage in damages:
            for number, path in enumerate(present):
                truth = read_truth(path)
                damaged, marked = DAMAGES[damage](truth, np.random.default_rng(number))
                source = hashlib.sha256(damaged.tobytes() + marked.tobytes()).hexdigest()[:12]
                for name in names:
                    target = out / damage / path.stem / f"{name}.png"
                    key = f"{source}-{versions[name]}"
                    result = finished(target, key)
                    if result is None:
                        target.parent.mkdir(parents=True, exist_ok=True)
                        began = time.perf_counter()
                        filled = fillers(name, damaged, marked)
                        seconds = time.perf_counter() - began
                        result = {"key": key, "seconds": seconds} | measured(filled, truth, marked, vgg)
                        with atomic(target) as beside:
                            Image.fromarray(filled).save(beside)
                        with atomic(target.with_suffix(".json")) as beside:
                            beside.write_text(json.dumps(result) + "\n", encoding="utf-8")
                    rows.append({"damage": damage, "photo": path.stem, "method": name, **result})
                    print(
                        f"{damage}, {path.stem}, {METHODS[name]}: {result['psnr']:.1f} dB, perceptual "
                        f"{result['perceptual']:.2f}, {result['seconds']:.1f} s",
                        flush=True,
                    )
            save_jpeg(sheet(damage, present, names, out), out / f"{damage}.jpg")
    except KeyboardInterrupt:
        print("\nInterrupted: what is finished stays, and the same command goes on from there.")
        return INTERRUPTED
    with atomic(out / "results.md") as beside:
        beside.write_text(page(rows, names, damages), encoding="utf-8")
    print(f"Written: {out / 'results.md'}")
    if publish is not None and damages == list(DAMAGES) and len(present) == len(there):
        for name in ("results.md", *(f"{damage}.jpg" for damage in damages)):
            with atomic(publish / name) as beside:
                beside.write_bytes((out / name).read_bytes())
        print(f"Renewed: {publish / 'results.md'}")
    return 0


def finished(target: Path, key: str) -> dict[str, Any] | None:
    """The measurements of an earlier run, if they are of this very photograph, damage and version."""
    try:
        result = json.loads(target.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return result if result.get("key") == key and target.is_file() else None


def sheet(damage: str, photos: list[Path], names: list[str], out: Path) -> Image.Image:
    """The middle of each photograph: damaged, as each method restores it, and the truth."""
    columns = [*names, "truth"]
    step, head = CROP + 6, 24
    picture = Image.new("RGB", (len(columns) * step - 6, head + len(photos) * step - 6), "white")
    draw = ImageDraw.Draw(picture)
    for column, name in enumerate(columns):
        label = METHODS.get(name, name)
        draw.text((column * step + 2, 3), label, fill="black", font=ImageFont.load_default(size=15))
        for row, path in enumerate(photos):
            whole = read_truth(path)
            if name in METHODS:
                whole = np.array(Image.open(out / damage / path.stem / f"{name}.png"))
            top, left = (whole.shape[0] - CROP) // 2, (whole.shape[1] - CROP) // 2
            crop = Image.fromarray(whole[top : top + CROP, left : left + CROP])
            picture.paste(crop, (column * step, head + row * step))
    return picture


def page(rows: list[dict[str, Any]], names: list[str], damages: list[str]) -> str:
    """The page in Markdown: means over the photographs, then every photograph."""
    heads = " | ".join(METHODS[name] for name in names)
    lines = [
        "# Old photographs restored: results",
        "",
        "Made by `python -m experiments.restoration.restoration`; how, says [README.md](README.md). PSNR of the whole "
        "picture in dB, perceptual distance in what was marked (lower is better), seconds.",
        "",
        f"| damage | photograph | {heads} |",
        "| --- | --- | " + " | ".join("---" for _ in names) + " |",
    ]
    for damage in damages:
        own = [row for row in rows if row["damage"] == damage]
        for photo in [None, *dict.fromkeys(row["photo"] for row in own)]:
            cells = []
            for name in names:
                values = [row for row in own if row["method"] == name and photo in (None, row["photo"])]
                psnr, perceptual, seconds = (
                    float(np.mean([row[measure] for row in values])) for measure in ("psnr", "perceptual", "seconds")
                )
                took = "" if name == "damaged" else f", {seconds:.{1 if seconds >= 1 else 2}f} s"
                cells.append(f"{psnr:.1f} dB, {perceptual:.2f}{took}")
            bold = ("**", "**") if photo is None else ("", "")
            lines.append(f"| {bold[0]}{damage}{bold[1]} | {photo or '**mean**'} | {' | '.join(cells)} |")
    lines += ["", f"Measured {machine()}."]
    for damage in damages:
        lines += ["", f"## {damage}", "", f"![{damage}: damaged, restored by each method, the truth]({damage}.jpg)"]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=Path("../shared/data/photos"), help="folder of the photographs")
    parser.add_argument("--out", type=Path, default=Path("outputs/restoration"), help="folder for the results")
    parser.add_argument("--only", help="kinds of damage, separated by commas; results.md stays as it is")
    options = parser.parse_args()
    damages = options.only.split(",") if options.only else list(DAMAGES)
    if unknown := set(damages) - set(DAMAGES):
        parser.error(f"there is no {', '.join(sorted(unknown))}: choose among {', '.join(DAMAGES)}")
    try:
        sys.exit(compare(options.photos, options.out, damages))
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
