"""What each choice of the refinement is worth: `python -m experiments.refinement_choices.choices`.

One variant at a time against the default preset, on the authors' own test pictures (224 x 224 hole at 512), with the
shipped content network. Writes a comparison picture a group of variants, and the table into README.md.
"""

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor

from inpaint.evaluation.gallery import gallery
from inpaint.evaluation.metrics import measure, seam_ratio, sharpness_ratio
from inpaint.first_stage import first_stage
from inpaint.images import composite, read_picture, resize, resize_masked, write_picture
from inpaint.refinement.features import load_vgg
from inpaint.refinement.pyramid import Settings, refine
from inpaint.removal import Window

HERE = Path(__file__).parent
GROUPS: dict[str, dict[str, Settings]] = {
    "alpha": {f"alpha {a:g}": Settings(alpha=a) for a in (0, 0.02, 1, 5)},
    "beta": {f"beta {b:g}": Settings(beta=b) for b in (0, 0.1)},
    "rule": {"l2 match": Settings(rule="l2")},
    "layers": {name: Settings(layers=(name,)) for name in ("relu3_1", "relu4_1")},
    "content": {"content on relu4_2": Settings(content_layer="relu4_2")},
    "rounds": {
        "1 round of 30": Settings(rounds=1, iterations=30),
        "10 rounds of 3": Settings(rounds=10, iterations=3),
        "3 rounds of 5": Settings(iterations=5),
        "3 rounds of 20": Settings(iterations=20),
    },
    "scales": {"1 scale": Settings(scales=1), "2 scales": Settings(scales=2)},
}


def load(path: Path) -> tuple[Tensor, Tensor, Tensor]:
    """Picture, mask, and what the content network predicts."""
    picture = read_picture(path)[None]
    mask = torch.zeros(1, 1, 512, 512)
    mask[..., 144:368, 144:368] = 1
    small = resize_masked(picture, mask, (128, 128))
    return picture, mask, first_stage("starter")(*small, Window(0, 0, 128), (128, 128))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/authors_examples"))
    parser.add_argument("--pictures", type=int, default=8)
    options = parser.parse_args()
    files = sorted(options.data.glob("real_*.png"))[: options.pictures]
    if not files:
        print(f"skipped, for {options.data} holds no real_*.png")
        return
    cases, vgg = [load(path) for path in files], load_vgg().on("cpu")

    def run(name: str, settings: Settings) -> list[Tensor]:
        rows, filled, began = [], [], time.perf_counter()
        for picture, mask, prediction in cases:
            filled.append(refine(picture, mask, prediction, vgg, settings)[0][0])
        seconds = (time.perf_counter() - began) / len(cases)
        for result, (picture, mask, prediction) in zip(filled, cases, strict=True):
            enlarged = composite(picture, resize(prediction, (512, 512)), mask)[0]
            psnr, before = (measure(x, picture[0], mask[0])["hole"]["psnr"] for x in (result, enlarged))
            ratios = sharpness_ratio(result, mask[0]), seam_ratio(result, mask[0])
            rows.append([psnr, psnr - before, measure(result, picture[0], mask[0])["hole"]["ssim"], *ratios])
        m = torch.tensor(rows).mean(0).tolist()
        line = f"| {name} | {m[0]:.2f} | {m[1]:+.2f} | {m[2]:.3f} | {m[3]:.2f} | {m[4]:.2f} | {seconds:.1f} |"
        print(line, flush=True)
        table.append(line)
        return [result[:, 112:400, 112:400] for result in filled]

    table = ["| variant | PSNR, dB | against stage 1 | SSIM | sharpness | seam | seconds |", "| --- " * 7 + "|"]
    default = run("**default**", Settings())
    truth = [picture[0, :, 112:400, 112:400] for picture, _, _ in cases]
    for group, variants in GROUPS.items():
        columns = [run(name, settings) for name, settings in variants.items()]
        shown = list(zip(default, *columns, truth, strict=True))[:4]
        picture = gallery([list(row) for row in shown], ["default", *variants, "truth"], side=170)
        write_picture(picture, HERE / f"{group}.jpg")
    readme = HERE / "README.md"
    start, _, rest = readme.read_text().partition("<!-- table -->\n")
    _, _, end = rest.partition("<!-- /table -->\n")
    readme.write_text(start + "<!-- table -->\n" + "\n".join(table) + "\n<!-- /table -->\n" + end)


if __name__ == "__main__":
    main()
