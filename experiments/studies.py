"""The names of the studies, in the order of the results; `python -m experiments.studies` prints them."""

import re

from inpaint.files import CONF


def studies() -> list[str]:
    """The names of the experiments whose file in `conf/experiment/` begins with "Study" and its number, by number."""
    numbers = {
        path.stem: int(number[1])
        for path in (CONF / "experiment").glob("*.yaml")
        if (number := re.search(r"^# Study (\d+)\.", path.read_text(encoding="utf-8"), re.MULTILINE))
    }
    return sorted(numbers, key=lambda name: numbers[name])


if __name__ == "__main__":
    print("\n".join(studies()))
