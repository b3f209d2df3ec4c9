"""The pictures of a run of `+experiment=refine` in two columns, as README and documentation show them.

    python -m experiments.refine.overview RUN experiments/refine/paris.jpg
    python -m experiments.refine.overview RUN experiments/refine/authors.jpg --published ../shared/data/authors_examples

Beside the results that the method's authors published, only the hole and what surrounds it is shown; the run has to be
at 512 x 512 then.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.functional import to_pil_image

from experiments.examples import near_the_hole, published_result
from experiments.pictures import save_jpeg
from inpaint.errors import UserError
from inpaint.evaluation.gallery import gallery
from inpaint.imaging.reading import read_picture

SIDE = 150  # pixels of a picture
HEADINGS = {"input": "hole", "content": "content network", "refined": "refined", "truth": "truth"}


def row(folder: Path, published: Path | None) -> list[Tensor]:
    """One picture of the run: its stages, and what was published for it.

    Raises:
        UserError: one of them is missing, or cannot be read; the run's is not of 512 x 512.
    """
    stages = [read_picture(folder / f"{name}.png") for name in HEADINGS]
    if published is None:
        return stages
    if stages[0].shape != (3, 512, 512):
        raise UserError(
            f"{folder} is {stages[0].shape[2]} x {stages[0].shape[1]}, but what was published is of 512 x 512."
        )
    return [near_the_hole(picture) for picture in (*stages, published_result(published, folder.name))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the run's folder")
    parser.add_argument("out", type=Path, help="the JPEG to write")
    parser.add_argument("--published", type=Path, help="the folder of the published results")
    options = parser.parse_args()
    folders = sorted(path for path in (options.run / "pictures").glob("*") if path.is_dir())
    if not folders:
        parser.error(f"{options.run} holds no pictures: give the folder of a run of +experiment=refine")
    try:
        rows = [row(folder, options.published) for folder in folders]
    except UserError as error:
        parser.error(str(error))
    headings = [*HEADINGS.values(), *(["published"] if options.published else [])]
    half = (len(rows) + 1) // 2
    rows += [[torch.ones_like(picture) for picture in rows[0]]] * (2 * half - len(rows))
    pairs = [left + right for left, right in zip(rows[:half], rows[half:], strict=True)]
    save_jpeg(to_pil_image(gallery(pairs, headings * 2, side=SIDE)), options.out)
    print(options.out)


if __name__ == "__main__":
    main()
