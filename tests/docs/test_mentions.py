"""What the documentation has to speak of: every option, every choice, and how each of its pictures was made."""

import importlib
import importlib.util
import re

import pytest
import typer

from inpaint.files import CONF
from tests.docs.blocks import PAGES, ROOT, blocks, inline_code
from tests.docs.commands import make_targets

DOCS = ROOT / "docs"
COMMANDS = ("fill", "web", "export")
UNNAMED = ("study",)  # groups that only the files of conf/experiment choose from
IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)")
MADE = re.compile(r"`(?:python\s+-m|make)\s|^(?:python -m|make) ", re.MULTILINE)
LINES = 4  # after a picture, within which the command that made it stands


def text_of(*folders: str) -> str:
    """The text of all pages below these folders of docs/."""
    return "\n".join(path.read_text(encoding="utf-8") for name in folders for path in (DOCS / name).rglob("*.md"))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_mentioned(name: str) -> None:
    app = typer.Typer()
    app.command()(getattr(importlib.import_module(f"inpaint.{name}.__main__"), name))
    said = text_of("fill", "research")
    missing = []
    for option in typer.main.get_command(app).params:
        names = [name for name in (*option.opts, *option.secondary_opts) if name.startswith("--")]
        mentioned = any(re.search(rf"{re.escape(name)}(?![\w-])", said) for name in names)
        if names and not mentioned and not names[0].endswith("-completion"):  # these are typer's own
            missing.append(names)
    assert missing == []


def test_every_choice_is_mentioned() -> None:
    """Each file of conf/, but for those that no command line names, in code somewhere in docs/."""
    pages = [page for page in PAGES if page.is_relative_to(DOCS)]
    code = {text for page in pages for _, text in inline_code(page)}
    code |= {block.text for page in pages for block in blocks(page)}
    words = {word for text in code for word in re.findall(r"\w+", text)}
    chosen = [path.relative_to(CONF) for path in sorted(CONF.glob("*/**/*.yaml"))]
    named = [path for path in chosen if path.parts[0] not in UNNAMED and not path.stem.startswith("_")]
    assert len(named) > 60
    parts = {"content", "inputs", "refinement"}  # of conf/model: as words they would be found anywhere
    missing = [str(path) for path in named if path.stem not in words and path.stem not in parts]
    assert missing == []
    for part in parts:
        assert part in words


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_picture_names_the_command_that_made_it(page) -> None:
    text = page.read_text(encoding="utf-8")
    unnamed = []
    for image in IMAGE.finditer(text):
        after = text[image.end() :].split("\n")[: LINES + 1]
        if not MADE.search("\n".join(after)):
            unnamed.append(f"line {text.count(chr(10), 0, image.start()) + 1}: {image[0]}")
    assert unnamed == [], f"Within {LINES} lines each picture needs `make ...` or `python -m ...`."


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_within_sentences_exist(page) -> None:
    wrong = []
    for line, text in inline_code(page):
        if found := re.match(r"make ([a-z][\w-]*)", text):
            wrong += [f"line {line}: {text}"] * (found[1] not in make_targets())
        elif found := re.match(r"python -m (inpaint|experiments)([\w.]*)", text):
            wrong += [f"line {line}: {text}"] * (importlib.util.find_spec(found[1] + found[2]) is None)
    assert wrong == []
