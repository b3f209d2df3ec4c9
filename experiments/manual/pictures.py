"""The pictures of the manual: `python -m experiments.manual.pictures`.

    python -m experiments.manual.pictures [--photos FOLDER] [--only masks,pyramid] [--out FOLDER] [--kept FOLDER]

Writes masks.jpg, kinds.jpg, enlarged.jpg, pyramid.jpg and problems.jpg beside this file, by the default preset and from
seed 0 on. The photographs and masks that were filled are kept in a folder, and each command that fills them is printed.
"""

import argparse
import sys
import time
from pathlib import Path

from experiments.manual import enlarged, kinds, masks, problems, pyramid
from experiments.manual.sheets import Workshop
from experiments.pictures import save_jpeg
from inpaint.errors import UserError
from inpaint.photo.inpainter import Inpainter

HERE = Path(__file__).parent
MOST_BYTES = 200_000
DRAWN = {
    "masks": masks.draw,
    "kinds": kinds.draw,
    "enlarged": enlarged.draw,
    "pyramid": pyramid.draw,
    "problems": problems.draw,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=Path("../shared/data/photos"), help="folder of the photographs")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for the pictures")
    parser.add_argument("--kept", type=Path, default=Path("outputs/manual"), help="folder for photographs and masks")
    parser.add_argument("--only", help="pictures, separated by commas")
    options = parser.parse_args()
    names = options.only.split(",") if options.only else list(DRAWN)
    if unknown := set(names) - set(DRAWN):
        parser.error(f"there is no {', '.join(sorted(unknown))}: choose among {', '.join(DRAWN)}")
    options.out.mkdir(parents=True, exist_ok=True)
    shop = Workshop(options.photos, Inpainter().variants, options.kept)
    try:
        for name in names:
            began, path = time.perf_counter(), options.out / f"{name}.jpg"
            save_jpeg(DRAWN[name](shop), path, MOST_BYTES)
            print(f"{path}: {time.perf_counter() - began:.0f} s", flush=True)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
