"""How a fill grows, step by step: `python -m experiments.refine.growth`.

Writes growth.jpg: what the content network predicts, the hole at 128 pixels after 1, 2, 4 and 8 rounds of voting, what
the refinement makes of it at 128, 256 and 512 pixels, and the truth, for two of the authors' test pictures.
"""

import argparse
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from experiments.examples import authors_case, near_the_hole
from inpaint.content.weights import STARTER
from inpaint.evaluation.gallery import gallery
from inpaint.imaging.reading import write_picture
from inpaint.photo.first_stage import Network
from inpaint.refinement.settings import preset
from inpaint.refinement.stages import inpaint
from inpaint.vgg import load_vgg

HERE = Path(__file__).parent
ROUNDS = (1, 2, 4, 8)
HEADINGS = ("predicted", *(f"voted {n} x" for n in ROUNDS), "128", "256", "512", "truth")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/authors_examples"))
    parser.add_argument("--pictures", nargs="+", default=["real_0025.png", "real_0013.png"])
    parser.add_argument("--out", type=Path, default=HERE / "growth.jpg")
    options = parser.parse_args()
    files = [path for name in options.pictures if (path := options.data / name).exists()]
    if not files:
        print(f"skipped, for {options.data} holds none of {', '.join(options.pictures)}")
        return
    content, vgg, rows = Network(STARTER), load_vgg().on("cpu"), []
    for path in files:
        picture, mask = authors_case(path)
        voted: list[Tensor] = []
        for rounds in ROUNDS:
            stages: list[Tensor] = []
            inpaint(
                picture,
                mask,
                content,
                vgg,
                preset(voting_rounds=rounds, iterations=0),
                on_scale=lambda *scale, to=stages: to.append(scale[2]),
            )
            voted.append(stages[0])
        scales: list[Tensor] = []
        filled = inpaint(picture, mask, content, vgg, preset(), on_scale=lambda *scale, to=scales: to.append(scale[2]))
        # nearest, so that pixels are seen as large as they are
        columns = (filled.content, *voted, *scales[:-1], filled.refined, picture)
        rows.append([near_the_hole(F.interpolate(x[None], (512, 512))[0]) for x in columns])
        print(f"{path.name} [{len(rows)}/{len(files)}]", flush=True)
    write_picture(gallery(rows, HEADINGS, side=160), options.out)
    print(options.out)


if __name__ == "__main__":
    main()
