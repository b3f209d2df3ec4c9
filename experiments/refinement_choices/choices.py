"""What each choice of the refinement is worth: `python -m experiments.refinement_choices.choices`.

One variant at a time against the default preset, on the authors' own test pictures (224 x 224 hole at 512), with the
shipped content network. Writes a comparison picture a group of variants, and the table into README.md. What is measured
is kept in the folder of results: the same command goes on after an interruption; without the folder it starts anew.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.progress import track
from torch import Tensor

from experiments.examples import Mask, Picture, authors_case, near_the_hole
from inpaint.content.weights import STARTER
from inpaint.errors import INTERRUPTED
from inpaint.evaluation.gallery import gallery
from inpaint.evaluation.metrics import colour_cast, measure, seam_ratio, sharpness_ratio
from inpaint.evaluation.perceptual import perceptual_distance
from inpaint.files import atomic
from inpaint.imaging.reading import read_picture, write_picture
from inpaint.photo.first_stage import Network
from inpaint.refinement.settings import Settings, preset
from inpaint.refinement.stages import FirstStage, inpaint
from inpaint.vgg import VGG, load_vgg

HERE = Path(__file__).parent
SHOWN = 4  # pictures in a comparison
GROUPS: dict[str, dict[str, Settings]] = {
    "alpha": {f"alpha {a:g}": preset(alpha=a) for a in (0, 0.02, 1, 5)},
    "beta": {f"beta {b:g}": preset(beta=b) for b in (0, 0.1)},
    "rule": {"l2 match": preset(rule="l2")},
    "colour": {f"colour {c:g}": preset(colour=c) for c in (0, 1)},
    "smooth": {f"smooth {s:g}": preset(smooth=s) for s in (0, 4)},
    "layers": {name: preset(layers=(name,)) for name in ("relu3_1", "relu4_1")},
    "content": {f"content on relu4_2, alpha {a:g}": preset(content_layer="relu4_2", alpha=a) for a in (0.2, 1, 5)},
    "voting": {
        "no voting": preset(voting_scales=0),
        "1 voting round": preset(voting_rounds=1),
        "voting at 2 scales": preset(voting_scales=2),
        "instant": preset("instant"),
    },
    "detail": {
        "no detail": preset(detail=False),
        "instant, voting at 1 scale": preset("instant", voting_scales=1),
        "instant, voting at 3 scales": preset("instant", voting_scales=3),
    },
    "colours": {"all channels optimised": preset(keep_colours=False)},
    "rounds": {
        "1 round of 12": preset(iterations=12),
        "2 rounds of 6": preset(rounds=2),
        "best": preset("best"),
    },
    "scales": {
        "1 scale": preset(scales=1),
        "2 scales": preset(scales=2),
        "gradient at 2 of 3": preset(gradient_scales=2),
    },
}
HEADINGS = ("variant", "PSNR, dB", "against stage 1", "SSIM", "perceptual", "sharpness", "seam", "cast", "CPU seconds")

Case = tuple[Picture, Mask]


def measures(result: Picture, prediction: Picture, picture: Picture, mask: Mask, eye: VGG) -> list[float]:
    """A row's values for one result, but for the seconds; `eye` is what the perceptual distance takes."""
    errors, before = (measure(x, picture, mask)["hole"] for x in (result, prediction))
    return [
        errors["psnr"],
        errors["psnr"] - before["psnr"],
        errors["ssim"],
        perceptual_distance(result, picture, mask, eye),
        sharpness_ratio(result, mask),
        seam_ratio(result, mask),
        colour_cast(result, picture, mask),
    ]


def run(
    settings: Settings | None, cases: Sequence[Case], content: FirstStage, vgg: VGG
) -> tuple[list[float], list[Tensor]]:
    """A row's values, means over the cases, and what is shown of the results; without settings of stage 1 alone."""
    rows, results, eye = [], [], load_vgg()  # in float32, which `vgg` need not be
    for picture, mask in cases:
        began = time.process_time()
        filled = inpaint(picture, mask, content, vgg, settings or preset("instant"))
        seconds = time.process_time() - began if settings else filled.content_seconds
        result = filled.refined if settings else filled.content
        rows.append([*measures(result, filled.content, picture, mask, eye), seconds])
        results.append(near_the_hole(result))
    return torch.tensor(rows).mean(0).tolist(), results


def table(rows: dict[str, list[float]]) -> str:
    lines = ["| " + " | ".join(HEADINGS) + " |", "| --- " * len(HEADINGS) + "|"]
    for name, (psnr, difference, ssim, perceptual, sharpness, seam, cast, seconds) in rows.items():
        lines.append(
            f"| {name} | {psnr:.2f} | {difference:+.2f} | {ssim:.3f} | {perceptual:.3f} | {sharpness:.2f} | {seam:.2f} "
            f"| {cast:.1f} | {seconds:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/authors_examples"))
    parser.add_argument("--pictures", type=int, default=4)
    parser.add_argument("--results", type=Path, default=Path("outputs/refinement_choices"))
    options = parser.parse_args()
    files = sorted(options.data.glob("real_*.png"))[: options.pictures]
    if not files:
        print(f"skipped, for {options.data} holds no real_*.png")
        return
    cases, content, vgg = [authors_case(path) for path in files], Network(STARTER), load_vgg().on("cpu")
    variants: dict[str, Settings | None] = {"stage 1 alone": None, "**default**": preset()}
    variants |= {name: settings for group in GROUPS.values() for name, settings in group.items()}
    kept = options.results / "rows.json"
    measured = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    for name, settings in track(variants.items(), "variants"):
        key = f"{settings} on {', '.join(path.stem for path in files)}: {', '.join(HEADINGS)}"
        if measured.get(name, {}).get("key") != key:
            values, results = run(settings, cases, content, vgg)
            for number, result in enumerate(results):
                write_picture(result, options.results / f"{name.strip('*')}_{number}.png")
            measured[name] = {"key": key, "values": values}
            with atomic(kept) as beside:
                beside.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")

    for group, members in GROUPS.items():
        columns = ["default", *members]
        rows = [
            [*(read_picture(options.results / f"{name}_{number}.png") for name in columns), near_the_hole(picture)]
            for number, (picture, _) in enumerate(cases[:SHOWN])
        ]
        write_picture(gallery(rows, [*columns, "truth"], side=150), HERE / f"{group}.jpg")
    readme = HERE / "README.md"
    start, _, rest = readme.read_text(encoding="utf-8").partition("<!-- table -->\n")
    _, _, end = rest.partition("<!-- /table -->\n")
    written = table({name: measured[name]["values"] for name in variants})
    readme.write_text(f"{start}<!-- table -->\n{written}\n<!-- /table -->\n{end}", encoding="utf-8")
    print(f"{readme}, and a picture a group beside it")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("Interrupted: what was measured is kept, and the same command goes on.")
        sys.exit(INTERRUPTED)
