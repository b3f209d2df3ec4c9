"""The refinement step by step: `python -m experiments.refine.scales`.

Writes scales.jpg: what the content network predicts, what the refinement makes of it at 128, 256 and 512 pixels, the
truth, and the result that the method's authors published, for the first of their test pictures. And growth.jpg: for two
of them also what the hole at 128 pixels holds after 1, 2, 4 and 8 rounds of voting.
"""

import argparse
from pathlib import Path

from experiments.examples import authors_case, near_the_hole, published_result, scale_by_scale
from inpaint.content.weights import STARTER
from inpaint.evaluation.gallery import gallery
from inpaint.imaging.reading import write_picture
from inpaint.photo.first_stage import Network
from inpaint.refinement.settings import preset
from inpaint.vgg import load_vgg

HERE = Path(__file__).parent
HEADINGS = ("content network", "128", "256", "512", "truth", "published")
GROWN = ("real_0013.png", "real_0025.png")
ROUNDS = (1, 2, 4, 8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/authors_examples"))
    parser.add_argument("--pictures", type=int, default=4, help="in scales.jpg")
    options = parser.parse_args()
    files = sorted(options.data.glob("real_*.png"))
    files = [path for i, path in enumerate(files) if i < options.pictures or path.name in GROWN]
    if not files:
        print(f"skipped, for {options.data} holds no real_*.png")
        return
    content, vgg, rows, growth = Network(STARTER), load_vgg().on("cpu"), [], []
    for number, path in enumerate(files):
        case = authors_case(path)
        filled, scales = scale_by_scale(case, content, vgg, preset())
        columns = [filled.content, *scales[:-1], filled.refined, case[0]]
        if number < options.pictures:
            rows.append([near_the_hole(x) for x in (*columns, published_result(path.parent, path.stem))])
        if path.name in GROWN:
            votes = (preset(voting_rounds=rounds, gradient_scales=0) for rounds in ROUNDS)
            voted = [scale_by_scale(case, content, vgg, settings)[1][0] for settings in votes]
            growth.append([near_the_hole(x) for x in (columns[0], *voted, *columns[1:])])
        print(f"{path.name} [{number + 1}/{len(files)}]", flush=True)
    write_picture(gallery(rows, HEADINGS, side=160), HERE / "scales.jpg")
    print(HERE / "scales.jpg")
    if growth:
        headings = (HEADINGS[0], *(f"voted {rounds} x" for rounds in ROUNDS), *HEADINGS[1:-1])
        write_picture(gallery(growth, headings, side=160), HERE / "growth.jpg")
        print(HERE / "growth.jpg")


if __name__ == "__main__":
    main()
