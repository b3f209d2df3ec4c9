"""What it costs to spread photos with Ray, measured here; and what a million of them cost, by arithmetic.

python -m experiments.scale.scale [--photos 2000] [--seconds 10.8] [--rate 100]
"""

import argparse
import os
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from experiments.examples import problem
from inpaint.fill.cluster import LOCAL, fill_on_ray
from inpaint.fill.jobs import Entry, Job, Options
from inpaint.fill.run import one_by_one
from inpaint.imaging.pixels import composite, resize, resize_masked
from inpaint.imaging.reading import write_picture
from inpaint.photo.inpainter import Inpainter
from inpaint.refinement.features import HoleFeatures
from inpaint.refinement.scale import Scale
from inpaint.refinement.settings import preset
from inpaint.runs.provenance import peak_memory
from inpaint.vgg import load_vgg

MILLION = 1_000_000
OPTIONS = Options([], invert=False, dilate=0, feather=0, overwrite=False, intermediates=None)
MAKE = partial(Inpainter, preset="instant")


def timed(outcomes: Any) -> tuple[float, float, list[Entry]]:
    """Seconds until the first photo is done, and until all are; what came of them."""
    began, first, entries = time.perf_counter(), 0.0, []
    for _, entry in outcomes:
        first = first or time.perf_counter() - began
        entries.append(entry)
    return first, time.perf_counter() - began, entries


def ray_of(jobs: list[Job], workers: int) -> Any:
    return fill_on_ray(jobs, MAKE, OPTIONS, "cpu", LOCAL, workers)


def here(jobs: list[Job]) -> Any:
    return one_by_one(jobs, MAKE(device="cpu"), OPTIONS, lambda *_: None)


def overhead(folder: Path, count: int) -> None:
    """Photos whose results exist: all that is left is handing them out."""
    target = folder / "done.png"
    target.touch()
    jobs = [Job(folder / f"{n}.png", folder / "mask.png", target) for n in range(count)]
    start, _, _ = timed(ray_of(jobs[:1], 1))
    first, whole, _ = timed(ray_of(jobs, 1))
    _, local, _ = timed(here(jobs))
    print(f"Ray from nothing to the first photo, networks read: {start:.1f} s")
    print(
        f"handing out {count} photos: {1e3 * (whole - first) / count:.1f} ms each (local: {1e3 * local / count:.3f} ms)"
    )
    print(f"  before the first of them: {first:.1f} s; memory of the command: {(peak_memory() or 0) / 2**30:.2f} GiB")


def fills(folder: Path, count: int) -> None:
    """Small photos, filled: the same work by both engines, on as many cores as this process may use."""
    write_picture(resize(problem()[0], (256, 256)), folder / "photo.png")
    hole = Image.new("L", (256, 256))
    hole.paste(255, (96, 96, 160, 160))
    hole.save(folder / "mask.png")
    for name, engine in (("local", here), ("ray", partial(ray_of, workers=1))):
        jobs = [Job(folder / "photo.png", folder / "mask.png", folder / name / f"{n}.png") for n in range(count)]
        _, whole, entries = timed(engine(jobs))
        each = {part: sum(e["seconds"][part] for e in entries) / count for part in ("total", "read", "write")}
        print(
            f"{count} photos of 256 x 256, {name}: {whole / count:.2f} s each, start-up included; "
            f"{each['total']:.2f} s of it filling ({each['read']:.3f} s reading, {each['write']:.3f} s writing)"
        )


def operations() -> float:
    """Multiplications and additions in VGG for one picture (224 x 224 hole at 512, default preset), each counted."""
    x, mask, prediction = problem(hole=224)
    vgg, settings, total = load_vgg().on("cpu"), preset(), 0
    for size in (128, 256, 512):
        known, hole = resize_masked(x, mask, (size, size)) if size < 512 else (x, mask)
        scale = Scale(vgg, known, hole, composite(known, resize(prediction, (size, size)), hole), settings)
        assert isinstance(scale.features, HoleFeatures)
        steps = zip(scale.features.steps, scale.features.computed[1:], strict=True)
        once = sum(2 * s.weight.numel() * out.size[0] * out.size[1] for s, out in steps if s.weight is not None)
        total += 2 * once * settings.rounds * settings.iterations  # forward; backward is as much: weights stay
    return float(total)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=2000, help="that are handed out")
    parser.add_argument("--fills", type=int, default=8, help="small photos that are filled")
    parser.add_argument("--seconds", type=float, default=10.8, help="a 512 x 512 picture takes on one core")
    parser.add_argument("--rate", type=float, default=100, help="TFLOP/s that a GPU reaches in VGG")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, {torch.get_num_threads()} threads in this process")
    with tempfile.TemporaryDirectory() as name:
        overhead(Path(name), options.photos)
        fills(Path(name), options.fills)
    flop = operations()
    gpu = flop / (options.rate * 1e12)
    print(f"VGG for one picture: {flop / 1e12:.2f} TFLOP, {gpu:.3f} s at {options.rate:.0f} TFLOP/s")
    for label, seconds, counts in (("cores", options.seconds, (8, 64, 1024)), ("GPUs (arithmetic)", gpu, (8, 64))):
        hours = seconds * MILLION / 3600
        for count in counts:
            print(f"a million on {count} {label}: {hours / count:.1f} h, {hours:.0f} in all")


if __name__ == "__main__":
    main()
