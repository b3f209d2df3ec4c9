"""The three scales of the refinement, one beside the other: `python -m experiments.refine.scales`.

Writes scales.jpg: what the content network predicts, what the refinement makes of it at 128, 256 and 512 pixels, the
truth, and the result that the method's authors published, for the first of their test pictures.
"""

import argparse
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from experiments.examples import authors_case, near_the_hole
from inpaint.content.weights import STARTER
from inpaint.evaluation.gallery import gallery
from inpaint.imaging.reading import read_picture, write_picture
from inpaint.photo.first_stage import Network
from inpaint.refinement.settings import preset
from inpaint.refinement.stages import inpaint
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
    content, vgg, rows = Network(STARTER), load_vgg().on("cpu"), []
    for path in files:
        picture, mask = authors_case(path)
        scales: list[Tensor] = []
        filled = inpaint(picture, mask, content, vgg, preset(), on_scale=lambda *scale, to=scales: to.append(scale[2]))
        published = read_picture(path.with_name(path.name.replace("real", "published")))
        # nearest, so that pixels are seen as large as they are
        columns = (filled.content, *scales[:-1], filled.refined, picture, published)
        rows.append([near_the_hole(F.interpolate(x[None], (512, 512))[0]) for x in columns])
        print(f"{path.name} [{len(rows)}/{len(files)}]", flush=True)
    write_picture(gallery(rows, HEADINGS, side=160), HERE / "scales.jpg")
    print(HERE / "scales.jpg")


if __name__ == "__main__":
    main()
