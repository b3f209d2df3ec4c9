"""The starter network against classical filling, on pictures that it never saw: `python -m experiments.starter.score`.

    python -m experiments.starter.score [--data ../shared/data] [--content starter|CHECKPOINT] [--grid OUT.jpg]

At 128 x 128, the network's prediction made to meet its surroundings as in `inpaint.fill`, and OpenCV Telea (radius 5).
Holes: the 56 x 56 centre square, and random blocks, free-form strokes and 3-pixel scratches within the middle half.
"""

import argparse
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torchvision.transforms.functional import to_pil_image

from experiments.pictures import save_jpeg
from inpaint.content.losses import hole_errors
from inpaint.content.weights import STARTER
from inpaint.data.masks import centre_square, free_form, hole_generator, random_blocks
from inpaint.evaluation.gallery import gallery
from inpaint.imaging.crops import centre_crop
from inpaint.imaging.pixels import composite
from inpaint.imaging.reading import read_picture
from inpaint.photo.first_stage import Network, Telea
from inpaint.refinement.stages import FirstStage

SETS = {
    "ImageNet sample, val": ("imagenet_sample/val", "*/*.JPEG"),
    "the authors' examples": ("authors_examples", "real_*.png"),
    "Paris StreetView, test": ("paris_streetview_sample/paris_eval/paris_eval_gt", "*.png"),
}
SIZE = (128, 128)


def scratches(size: tuple[int, int], generator: torch.Generator) -> Float[Tensor, "1 height width"]:
    return free_form(size, generator, strokes=3, vertices=3, width=(0.023, 0.024))


HOLES = {
    "centre 56 x 56": lambda size, generator: centre_square(size, generator, fraction=0.4375),
    "blocks": random_blocks,
    "strokes": free_form,
    "scratches": scratches,
}


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--content", type=Path, default=STARTER, help="a checkpoint")
    parser.add_argument("--grid", type=Path, help="a picture of 20 held-out fills")
    options = parser.parse_args()
    stages: dict[str, FirstStage] = {"telea": Telea(), "network": Network(options.content)}
    rows = []
    print("| pictures | holes | Telea, dB | network, dB | difference |\n| --- | --- | --- | --- | --- |")
    for name, (folder, pattern) in SETS.items():
        files = sorted((options.data / folder).glob(pattern))
        if not files:
            print(f"skipped, for {options.data / folder} holds no {pattern}: {name}")
            continue
        pictures = [centre_crop(read_picture(path), SIZE[0]) for path in files]
        for holes, draw in HOLES.items():
            psnr: dict[str, list[float]] = {stage: [] for stage in stages}
            for path, picture in zip(files, pictures, strict=True):
                mask = draw(SIZE, hole_generator("score", path.name, holes))
                filled = {key: stage(picture, mask) for key, stage in stages.items()}
                for key, prediction in filled.items():
                    psnr[key].append(float(hole_errors(prediction[None], picture[None], mask[None])[2]))
                if holes == "centre 56 x 56" or path.name.startswith("real"):
                    white = composite(picture, torch.ones_like(picture), mask)
                    rows.append([white, filled["telea"], filled["network"], picture])
            means = {key: sum(values) / len(values) for key, values in psnr.items()}
            gain = means["network"] - means["telea"]
            print(f"| {name} ({len(files)}) | {holes} | {means['telea']:.2f} | {means['network']:.2f} | {gain:+.2f} |")
    if options.grid and rows:
        chosen = [rows[i * len(rows) // 20] for i in range(20)]
        halves = zip(chosen[:10], chosen[10:], strict=True)
        grid = gallery([a + b for a, b in halves], ["input", "Telea", "network", "truth"] * 2, side=128)
        save_jpeg(to_pil_image(grid), options.grid)


if __name__ == "__main__":
    main()
