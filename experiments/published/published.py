"""The results that the authors published, and ours at their size: `python -m experiments.published.published`.

Theirs are crops of a figure, 209 x 208 pixels for a picture of 512 x 512, up to a pixel out of place and with a JPEG's
traces. So truth and fills of ours are laid over each crop first: scaled and moved to where the pixels outside of the
hole fit best. Then both are measured against that truth, in the hole; theirs is pasted into it first, since what ours
are measured beside is the truth's as well, and sharper than what a figure left of it.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from scipy import optimize
from torch import Tensor

from experiments.examples import authors_case
from inpaint.content.weights import STARTER
from inpaint.errors import UserError
from inpaint.evaluation.metrics import measure, seam_ratio, sharpness_ratio
from inpaint.evaluation.perceptual import perceptual_distance
from inpaint.evaluation.statistics import Interval, paired_difference
from inpaint.imaging.pixels import Mask, Picture, composite, resize
from inpaint.imaging.reading import read_picture
from inpaint.photo.first_stage import Network
from inpaint.precision import find_device
from inpaint.refinement.settings import preset
from inpaint.refinement.stages import inpaint
from inpaint.vgg import VGG, load_vgg

PRESETS = ("instant", "default", "paper")
BORDER = 4  # pixels beside the hole, and at the crop's edge, that say nothing about where it lies
Place = tuple[float, float, float, float]
"""Where a crop lies in the picture: its width and height, and its middle, across and down, from -1 to 1."""


def laid(picture: Float[Tensor, "channels _ _"], size: tuple[int, int], place: Place) -> Float[Tensor, "channels _ _"]:
    """The picture as it is seen in a crop of that height and width at that place."""
    across, down, x, y = map(float, place)
    theta = torch.tensor([[[across, 0.0, x], [0.0, down, y]]])
    grid = F.affine_grid(theta, [1, len(picture), *size], align_corners=False)
    small = resize(picture, size)[None]  # with smoothing; then to the sub-pixel
    return F.grid_sample(small, grid, "bicubic", "border", align_corners=False)[0].clamp(0, 1)


def find_place(crop: Picture, picture: Picture, mask: Mask) -> Place:
    """Where the crop lies in the picture, by least squares over the known pixels."""
    size = (crop.shape[-2], crop.shape[-1])
    small = resize(picture, size)
    known = F.max_pool2d(resize(mask, size), 2 * BORDER + 1, 1, BORDER) == 0
    known[:, :BORDER] = known[:, -BORDER:] = False
    known[..., :BORDER] = known[..., -BORDER:] = False

    def error(place: Place) -> float:
        return float(((laid(small, size, place) - crop) * known).square().mean())

    start = np.array([1.0, 1.0, 0.0, 0.0])
    simplex = np.stack([start, *(start + 0.01 * np.eye(4))])
    options = {"initial_simplex": simplex, "xatol": 1e-4, "fatol": 1e-7}
    across, down, x, y = optimize.minimize(error, start, method="Nelder-Mead", options=options).x
    return float(across), float(down), float(x), float(y)


def measured(fill: Picture, truth: Picture, mask: Mask, vgg: VGG) -> dict[str, float]:
    """What is compared, in the hole."""
    hole = measure(fill, truth, mask)["hole"]
    return {
        "PSNR, dB": hole["psnr"],
        "SSIM": hole["ssim"],
        "perceptual": perceptual_distance(fill, truth, mask, vgg),
        "sharpness": sharpness_ratio(fill, mask),
        "seam": seam_ratio(fill, mask),
    }


def rows(folder: Path, device: torch.device) -> Iterator[dict[str, dict[str, float]]]:
    """The measures of one picture after the other, by what filled it."""
    content, vgg, judge = Network(STARTER), load_vgg().on(device), load_vgg().on("cpu", "float32")
    for path in sorted(folder.glob("real_*.png")):
        crop = read_picture(folder / path.name.replace("real", "published"))
        size = (crop.shape[-2], crop.shape[-1])
        picture, mask = authors_case(path)
        place = find_place(crop, picture, mask)
        truth, hole = laid(picture, size, place), (laid(mask, size, place) > 0.5).to(mask)
        outside = float(-10 * ((crop - truth) * (1 - hole)).square().sum().div(3 * (1 - hole).sum()).log10())
        print(
            f"{path.stem}: outside the hole the published crop is within {outside:.1f} dB of the truth", file=sys.stderr
        )
        published = composite(truth, crop, hole)
        found = {"published": measured(published, truth, hole, judge), "the truth": measured(truth, truth, hole, judge)}
        for name in PRESETS:
            filled = inpaint(picture.to(device), mask.to(device), content, vgg, preset(name))
            found.setdefault("content network", measured(laid(filled.content.cpu(), size, place), truth, hole, judge))
            found[name] = measured(laid(filled.refined.cpu(), size, place), truth, hole, judge)
        yield found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("../shared/data/authors_examples"))
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:<number> or mps")
    given = parser.parse_args()
    folder = given.folder
    try:
        if not list(folder.glob("real_*.png")):
            raise UserError(f"{folder} holds no real_*.png: give the folder of the authors' pictures.")
        found = list(rows(folder, find_device(given.device)))
    except UserError as error:
        print("error:", error, file=sys.stderr)
        raise SystemExit(2) from None
    names = list(found[0]["published"])
    print("|  | " + " | ".join(names) + " |\n|" + " --- |" * (len(names) + 1))
    for method in found[0]:
        cells = []
        for name in names:
            ours, theirs = ({str(i): row[m][name] for i, row in enumerate(found)} for m in (method, "published"))
            mean = sum(ours.values()) / len(ours)
            cells.append(
                f"{mean:.2f}"
                + ("" if method in ("published", "the truth") else difference(paired_difference(theirs, ours)))
            )
        print(f"| {method} | " + " | ".join(cells) + " |")


def difference(interval: Interval) -> str:
    """A paired difference to what was published, in the table's cell."""
    return f" ({interval.mean:+.2f}: {interval.low:+.2f} to {interval.high:+.2f})"


if __name__ == "__main__":
    main()
