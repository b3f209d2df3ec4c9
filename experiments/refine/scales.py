"""The three scales of the refinement, one beside the other: `python -m experiments.refine.scales`.

Writes scales.jpg: what the content network predicts, what the refinement makes of it at 128, 256 and 512 pixels, the
truth, and the result that the method's authors published, for the first of their test pictures.
"""

import argparse
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from experiments.refinement_choices.choices import load, shown
from inpaint.evaluation.gallery import gallery
from inpaint.imaging.reading import read_picture, write_picture
from inpaint.refinement.pyramid import refine
from inpaint.vgg import load_vgg

HERE = Path(__file__).parent
HEADINGS = ("content network", "128", "256", "512", "truth", "published")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/authors_examples"))
    parser.add_argument("--pictures", type=int, default=4)
    options = parser.parse_args()
    files = sorted(options.data.glob("real_*.png"))[: options.pictures]
    if not files:
        print(f"skipped, for {options.data} holds no real_*.png")
        return
    vgg, rows = load_vgg().on("cpu"), []
    for path in files:
        picture, mask, prediction = load(path)
        scales: list[Tensor] = []
        filled, _ = refine(picture, mask, prediction, vgg, callback=lambda *scale, to=scales: to.append(scale[2]))
        published = read_picture(path.with_name(path.name.replace("real", "published")))[None]
        # nearest, so that pixels are seen as large as they are
        columns = [F.interpolate(x, (512, 512)) for x in (prediction, *scales[:-1], filled, picture, published)]
        rows.append([shown(x) for x in columns])
        print(f"{path.name} [{len(rows)}/{len(files)}]", flush=True)
    write_picture(gallery(rows, HEADINGS, side=160), HERE / "scales.jpg")
    print(HERE / "scales.jpg")


if __name__ == "__main__":
    main()
