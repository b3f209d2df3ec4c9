"""The summary of a sweep, at any time: `python -m experiments.report FOLDER [--publish STUDY]`.

    python -m experiments.report outputs/alpha_sweep/2026-01-31_12-00-00

writes `summary.json`, `summary.md` and `summary.png` into the folder anew, from the jobs that it holds by now.
`--publish alpha_sweep` also writes `experiments/alpha_sweep/results.md` and `summary.jpg`, and builds
`experiments/RESULTS.md` out of all that has been published. `--publish PATH/TO/my_study` writes the first two into a
folder of one's own, as `python -m inpaint.evaluation.report` does where only the package is installed. Exit code 1: a
job failed or is not finished.
"""

from pathlib import Path
from typing import Any

from experiments.machine import machine
from experiments.pictures import save_jpeg
from experiments.studies import studies
from inpaint.errors import UserError
from inpaint.evaluation.report import publish, report
from inpaint.files import atomic

HERE = Path(__file__).parent


def publish_study(folder: Path, name: str, summary: dict[str, Any]) -> Path:
    """Writes `results.md` and `summary.jpg` of a study, and RESULTS.md; or the first two into another folder.

    Raises:
        UserError: the name is that of no study and of no folder, or the sweep has no results.
    """
    if name not in studies() and Path(name).name == name and not Path(name).is_dir():
        raise UserError(
            f"There is no study {name!r}: choose one of {', '.join(studies())}, or give a folder, as ./{name}."
        )
    target = HERE / name if name in studies() else Path(name)
    page = publish(folder, target, summary, machine(), save_jpeg)
    if name in studies():
        with atomic(HERE / "RESULTS.md") as path:
            path.write_text(chapters(), encoding="utf-8")
    return page


def chapters() -> str:
    """The text of RESULTS.md: the results of every study that has been published, under the titles of their READMEs."""
    parts = ["# Results\n\nWritten by `python -m experiments.report`; `make reproduce` makes all of it."]
    for study in studies():
        if (HERE / study / "results.md").is_file():
            title = (HERE / study / "README.md").read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
            results = (HERE / study / "results.md").read_text(encoding="utf-8").strip()
            parts.append(f"## [{title}]({study}/README.md)\n\n{results.replace('](summary', f']({study}/summary')}")
    return "\n\n".join(parts) + "\n"


def main() -> None:
    report(__doc__, "a study, or a folder of one's own, to write the results into", publish_study)


if __name__ == "__main__":
    main()
