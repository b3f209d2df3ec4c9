"""`make removal`: objects removed from photographs by this package and by others, side by side.

    python -m experiments.removal.removal [--photos FOLDER] [--out FOLDER] [--only kite,dog]

Every method gets the same photograph, at most 1600 pixels on its longer side, and the same mask, in a process of its
own. What is finished stays in the output folder and is not computed again as long as the photograph, the mask and the
method's version are the same. A run of all photographs renews results.md and the pictures beside this file;
overview.jpg is the one that the README shows.
"""

import argparse
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from omegaconf import OmegaConf
from PIL import Image, ImageDraw, ImageFont, ImageOps

from experiments.gmic import Gmic, gmic_version
from experiments.pictures import save_jpeg
from inpaint.classical.filling import LOADERS, Filler
from inpaint.errors import INTERRUPTED, UserError
from inpaint.files import atomic
from inpaint.runs.provenance import peak_memory

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OBJECTS = HERE / "masks" / "objects.yaml"
LONGER_SIDE = 1600  # pixels
ENLARGED = 8  # pixels by which every mask is, as `python -m inpaint.fill` enlarges what is 32 pixels thick or more
TIME_LIMIT = 1800  # seconds, of one method for one photograph
TILE = 512  # pixels: the longer side of each picture in a side-by-side one

Result = dict[str, float]


# the methods: each `load` imports what it needs and returns a function, so that importing is not measured


def ours() -> Filler:
    from inpaint.photo.inpainter import Inpainter

    return lambda photo, mask: np.asarray(Inpainter().fill(photo, mask, dilate=0, feather=4))


class Method(NamedTuple):
    """A way to fill holes: its column's heading, and the package or program that has to be installed."""

    heading: str
    package: str
    load: Callable[[], Filler]


METHODS = {
    "ours": Method("ours", "inpaint", ours),
    "telea": Method("OpenCV Telea", "opencv-python-headless", LOADERS["telea"]),
    "ns": Method("OpenCV Navier-Stokes", "opencv-python-headless", LOADERS["ns"]),
    "biharmonic": Method("scikit-image biharmonic", "scikit-image", LOADERS["biharmonic"]),
    "patchmatch": Method("PyPatchMatch", "PyPatchMatch", LOADERS["patchmatch"]),
    "gmic": Method("G'MIC", "gmic", Gmic),
}


def version(name: str) -> str | None:
    """Finds the version that a method's results depend on: of ours a hash of its files. None if it is not installed."""
    if name == "ours":
        digest = hashlib.sha256()
        for path in sorted((*(ROOT / "inpaint").rglob("*"), *(ROOT / "conf").rglob("*.yaml"))):
            if path.suffix in (".py", ".yaml", ".safetensors"):
                digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
        return digest.hexdigest()[:12]
    if name == "gmic":
        return gmic_version()
    for package in (METHODS[name].package, METHODS[name].package.removesuffix("-headless")):
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


# photographs and masks


class Scene(NamedTuple):
    """A photograph and what is removed from it."""

    name: str
    path: Path
    what: str
    shapes: list[dict[str, list[float]]]


def read_scenes(data: Path, objects: Path = OBJECTS) -> list[Scene]:
    """Reads which photographs of the folder `data` are used, and what is removed from each."""
    entries: Any = OmegaConf.to_container(OmegaConf.load(objects))
    return [Scene(name, data / entry["photo"], entry["what"], entry["shapes"]) for name, entry in entries.items()]


def read_photo(path: Path) -> Image.Image:
    """Reads a photograph, upright and in RGB, at most `LONGER_SIDE` pixels on its longer side."""
    with Image.open(path) as image:
        photo = ImageOps.exif_transpose(image).convert("RGB")
    photo.thumbnail((LONGER_SIDE, LONGER_SIDE), Image.Resampling.LANCZOS)
    return photo


def draw_mask(shapes: list[dict[str, list[float]]], size: tuple[int, int]) -> np.ndarray:
    """Draws a bool mask [height, width] of shapes in relative coordinates; `size` is width and height.

    Raises:
        ValueError: there is no such shape, or it reaches outside the photograph.
    """
    image = Image.new("1", size)
    draw = ImageDraw.Draw(image)
    for shape in shapes:
        ((kind, numbers),) = shape.items()
        if kind == "ellipse":
            x, y, a, b = numbers
            numbers = [x - a, y - b, x + a, y + b]
        if min(numbers) < 0 or max(numbers) > 1:
            raise ValueError(f"{kind} {shape[kind]} reaches outside the photograph")
        points = [value * size[i % 2] for i, value in enumerate(numbers)]
        if kind == "box":
            left, top, right, bottom = (round(value) for value in points)
            draw.rectangle((left, top, right - 1, bottom - 1), fill=1)
        elif kind == "ellipse":
            draw.ellipse(points, fill=1)
        elif kind == "polygon":
            draw.polygon(points, fill=1)
        else:
            raise ValueError(f"there is no shape {kind}: box, ellipse or polygon")
    return np.array(image)


def enlarge(mask: np.ndarray, by: int) -> np.ndarray:
    """Enlarges a bool mask by all that lies within `by` pixels of it."""
    from scipy.ndimage import distance_transform_edt

    return distance_transform_edt(~mask) <= by


# one method, in a process of its own


def measure(name: str, folder: Path, key: str) -> None:
    """Fills `folder`'s photograph; writes the picture and then, as the sign that it is finished, the measurements."""
    fill = METHODS[name].load()
    imports = peak_memory() or 0
    photo, mask = np.array(Image.open(folder / "input.png")), np.array(Image.open(folder / "mask.png")) > 0
    began = time.perf_counter()
    filled = fill(photo, mask)
    seconds = time.perf_counter() - began
    memory = getattr(fill, "peak", (peak_memory() or 0) - imports)  # a program of its own says what it held itself
    result = {"key": key, "seconds": seconds, "memory": memory / 2**20}
    with atomic(folder / f"{name}.png") as path:
        Image.fromarray(filled).save(path)
    with atomic(folder / f"{name}.json") as path:
        path.write_text(json.dumps(result) + "\n", encoding="utf-8")


def start(name: str, folder: Path, key: str) -> str | None:
    """Runs `measure` in a new process; returns what went wrong, or None."""
    command = [sys.executable, "-m", "experiments.removal.removal", "--measure", name, str(folder.resolve()), key]
    try:
        done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, timeout=TIME_LIMIT)
    except subprocess.TimeoutExpired:
        return f"not finished within {TIME_LIMIT} s"
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"ended with code {done.returncode}"])[-1]
    return None


def finished(name: str, folder: Path, key: str) -> Result | None:
    """Reads the measurements of an earlier run, if they are of this very photograph, mask and version."""
    try:
        result = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return result if result.get("key") == key and (folder / f"{name}.png").is_file() else None


# the whole comparison


def fill_all(scene: Scene, head: str, folder: Path, versions: dict[str, str]) -> tuple[dict[str, Result], list[str]]:
    """Fills one photograph by every method; returns the measurements by method, and what failed."""
    photo = read_photo(scene.path)
    mask = enlarge(draw_mask(scene.shapes, photo.size), ENLARGED)
    source = hashlib.sha256(photo.tobytes() + mask.tobytes()).hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True)
    for picture, name in ((photo, "input"), (Image.fromarray(mask), "mask")):
        with atomic(folder / f"{name}.png") as path:
            picture.save(path)
    results, failures = {}, []
    for name, its_version in versions.items():
        key = f"{source}-{its_version}"
        result, note = finished(name, folder, key), " (finished before)"
        if result is None:
            note, error = "", start(name, folder, key)
            result = finished(name, folder, key)
            if result is None:
                failures.append(f"{scene.name}, {METHODS[name].heading}: {error}")
                print(f"{head}: {METHODS[name].heading} failed: {error}", flush=True)
                continue
        results[name] = result
        print(f"{head}: {METHODS[name].heading} {cell(result)}{note}", flush=True)
    return results, failures


def cell(result: Result | None) -> str:
    """A result as it stands in the table."""
    if result is None:
        return "failed"
    return f"{result['seconds']:.{1 if result['seconds'] >= 1 else 2}f} s, {result['memory']:.0f} MiB"


def crops(folder: Path, names: list[str]) -> list[Image.Image]:
    """Cuts the surroundings of what is removed out of the photograph, the hole in red, and each method's result."""
    photo, mask = Image.open(folder / "input.png"), np.array(Image.open(folder / "mask.png")) > 0
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    left, top, right, bottom = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    around = max(48, round(0.3 * max(right - left, bottom - top)))
    box = (
        int(max(left - around, 0)),
        int(max(top - around, 0)),
        int(min(right + around, photo.width)),
        int(min(bottom + around, photo.height)),
    )
    pixels = np.array(photo)
    pixels[mask] = (pixels[mask] * 0.45 + np.array([255, 0, 80]) * 0.55).astype(np.uint8)
    pictures = [Image.fromarray(pixels), *(Image.open(folder / f"{name}.png") for name in names)]
    return [picture.crop(box) for picture in pictures]


def side_by_side(folder: Path, names: list[str]) -> Image.Image:
    """Lays out what is removed from one photograph, and what each method makes of it."""
    pictures = crops(folder, names)
    ratio = TILE / max(pictures[0].size)
    width, height = (max(1, round(ratio * length)) for length in pictures[0].size)
    gap, head = 6, 24
    across = -(-len(pictures) // 2) if width > height / 2 else len(pictures)
    sheet = Image.new(
        "RGB", (across * (width + gap) - gap, -(-len(pictures) // across) * (height + head + gap) - gap), "white"
    )
    draw = ImageDraw.Draw(sheet)
    headings = ["input, the hole in red", *(METHODS[name].heading for name in names)]
    for number, (heading, picture) in enumerate(zip(headings, pictures, strict=True)):
        x, y = number % across * (width + gap), number // across * (height + head + gap)
        draw.text((x + 2, y + 3), heading, fill="black", font=ImageFont.load_default(size=15))
        sheet.paste(picture.resize((width, height), Image.Resampling.LANCZOS), (x, y + head))
    return sheet


def overview(folders: list[Path], name: str, side: int = 220, across: int = 3) -> Image.Image:
    """Lays out what one method makes of all photographs, in pairs of before and after, as one picture."""
    step = side + 6
    sheet = Image.new("RGB", (2 * across * step - 6, max(1, -(-len(folders) // across)) * step - 6), "white")
    for number, folder in enumerate(folders):
        for i, picture in enumerate(crops(folder, [name])):
            x, y = 2 * (number % across) + i, number // across
            sheet.paste(ImageOps.pad(picture, (side, side), color="white"), (x * step, y * step))
    return sheet


def page(
    scenes: list[Scene], results: dict[str, dict[str, Result]], versions: dict[str, str], out: Path, notes: list[str]
) -> str:
    """Writes the page in Markdown: seconds and memory, what was compared, and the pictures."""
    lines = [
        "# Objects removed: results",
        "",
        "Made by `python -m experiments.removal.removal`; how, and under which terms, says [README.md](README.md).",
        "",
        "| removed | photograph | hole | " + " | ".join(METHODS[name].heading for name in versions) + " |",
        "| --- | --- | ---: | " + " | ".join("---:" for _ in versions) + " |",
    ]
    for scene in scenes:
        mask = np.array(Image.open(out / scene.name / "mask.png")) > 0
        cells = " | ".join(cell(results[scene.name].get(name)) for name in versions)
        size = f"{mask.shape[1]} x {mask.shape[0]}"
        lines.append(f"| [{scene.what}](#{scene.name}) | {scene.path.name}, {size} | {int(mask.sum())} | {cells} |")
    medians = []
    for name in versions:
        own = [measured[name] for measured in results.values() if name in measured]
        medians.append(cell({k: float(np.median([r[k] for r in own])) for k in ("seconds", "memory")} if own else None))
    lines.append("| median | | | " + " | ".join(medians) + " |")
    first = "the starter network" if (ROOT / "inpaint/assets/starter.safetensors").is_file() else "Telea's filling"
    compared = ", ".join(f"{METHODS[n].heading} {v}" for n, v in versions.items() if n != "ours")
    threads = os.environ.get("OMP_NUM_THREADS", "not set")
    lines += [
        "",
        "Seconds without imports, of G'MIC those of the whole command; peak main memory above that of the imports, of "
        "G'MIC all of it; the hole in pixels, enlarged. "
        f"Ours starts from {first}. {compared}. Python {platform.python_version()}, {platform.machine()}, "
        f"cores to run on: {cores()}, OMP_NUM_THREADS: {threads}.",
    ]
    lines += [f"Left out: {note}." for note in notes]
    for scene in scenes:
        lines += ["", f"## {scene.name}", "", f"{scene.what.capitalize()}.", "", f"![{scene.what}]({scene.name}.jpg)"]
    return "\n".join(lines) + "\n"


def cores() -> int:
    """How many cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def compare(data: Path, out: Path, only: list[str] | None, publish: Path | None = HERE) -> int:
    """Runs what is not finished, then writes the pictures and results.md; returns the exit code.

    Args:
        publish: the folder that they are copied to when all photographs are done.
    """
    scenes = [scene for scene in read_scenes(data) if only is None or scene.name in only]
    notes = []
    for scene in scenes:
        if not scene.path.is_file():
            notes.append(f"{scene.name}, for there is no {scene.path}")
    present = [scene for scene in scenes if scene.path.is_file()]
    versions: dict[str, str] = {}
    for name, method in METHODS.items():
        its_version = version(name)
        if its_version is None:
            notes.append(f"{method.heading}, for {method.package} is not installed")
        else:
            versions[name] = its_version
    for note in notes:
        print(f"skipped: {note}")
    if not present:
        print(f"Nothing to do: none of the photographs is in {data}.")
        return 0
    results: dict[str, dict[str, Result]] = {}
    failures: list[str] = []
    try:
        for number, scene in enumerate(present, start=1):
            folder = out / scene.name
            results[scene.name], failed = fill_all(scene, f"[{number}/{len(present)}] {scene.name}", folder, versions)
            failures += failed
            save_jpeg(side_by_side(folder, list(results[scene.name])), out / f"{scene.name}.jpg")
    except KeyboardInterrupt:
        print("\nInterrupted: what is finished stays, and the same command goes on from there.")
        return INTERRUPTED
    with atomic(out / "results.md") as path:
        path.write_text(page(present, results, versions, out, notes), encoding="utf-8")
    print(f"{len(present)} photographs compared, {len(failures)} failures: {out / 'results.md'}")
    for failure in failures:
        print(f"  {failure}")
    if publish is not None and only is None and len(present) == len(scenes):
        first = next(iter(versions))
        save_jpeg(overview([out / name for name in results if first in results[name]], first), out / "overview.jpg")
        for name in (*(f"{scene.name}.jpg" for scene in present), "overview.jpg", "results.md"):
            with atomic(publish / name) as path:
                shutil.copyfile(out / name, path)
        print(f"{publish / 'results.md'} is renewed")
    return 1 if failures else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=Path("../shared/data"), help="folder of the data sets")
    parser.add_argument("--out", type=Path, default=Path("outputs/removal"), help="folder for the results")
    parser.add_argument("--only", help="names in masks/objects.yaml, separated by commas; results.md stays as it is")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)  # a method's own process: method, folder, key
    options = parser.parse_args()
    if options.measure:
        name, folder, key = options.measure
        measure(name, Path(folder), key)
        return
    only = options.only.split(",") if options.only else None
    known = [scene.name for scene in read_scenes(options.photos)]
    if only and (unknown := set(only) - set(known)):
        parser.error(f"there is no {', '.join(sorted(unknown))}: choose among {', '.join(known)}")
    try:
        sys.exit(compare(options.photos, options.out, only))
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
