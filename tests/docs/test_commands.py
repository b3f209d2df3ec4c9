"""Every command of the documentation is run, block by block, a page from top to bottom in a folder of its own.

`tests/docs/blocks.py` says what a page can tell this test about a block, and `tests/docs/commands.py` what is done with
each program. Blocks of a page build on each other: run them in one process, a whole page at a time.
"""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import yaml

from tests.docs.blocks import EXAMPLE, MEASURED, PAGES, ROOT, Block, blocks
from tests.docs.commands import answer
from tests.docs.scratch import make_scratch
from tests.docs.shell import install, run
from tests.web.helpers import running

NO_COMMANDS = {"text", "nginx", "caddy"}
SERVED = "http://127.0.0.1:8472"
TRIED = [
    block for page in [*PAGES, EXAMPLE] for block in blocks(page) if block.file or block.language in ("sh", "python")
]
CHECKED = [block for page in MEASURED for block in blocks(page) if block.language == "sh"]


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder that a page's commands run in, as the blocks before have left it."""
    template = tmp_path_factory.mktemp("template")
    make_scratch(template)
    folders: dict[str, Path] = {}

    def folder(page: str) -> Path:
        if page not in folders:
            folders[page] = tmp_path_factory.mktemp("page") / "checkout"
            shutil.copytree(template, folders[page])
            install(folders[page])
        return folders[page]

    return folder


@pytest.mark.parametrize("block", TRIED, ids=lambda block: block.place)
def test_block(block: Block, folder_of: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if block.not_run:
        pytest.skip(block.not_run)
    folder = folder_of(block.page)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / ".cache"))
    wandb = Path(block.page).stem == "wandb"
    monkeypatch.setenv("WANDB_MODE", "offline" if wandb else "disabled")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.delenv("INPAINT_PASSWORD", raising=False)
    if block.file:
        (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
        (folder / block.file).write_text(block.text, encoding="utf-8")
        if block.language == "yaml":
            yaml.safe_load(block.text)
    elif block.language == "sh":
        run(block.text, folder, partial(answer, wandb=wandb))
    else:
        monkeypatch.chdir(folder)
        if SERVED not in block.text:
            execute(block)
            return
        with running(tmp_path) as server:
            execute(block, server.url)


def execute(block: Block, served: str = SERVED) -> None:
    """Runs a program of a page; what it reports about a line has the line's number on the page."""
    text = "\n" * block.line + block.text.replace(SERVED, served)
    exec(compile(text, str(ROOT / block.page), "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("block", CHECKED, ids=lambda block: block.place)
def test_block_of_a_measurement(block: Block, folder_of: Callable[[str], Path]) -> None:
    """Its programs read their arguments, and its configurations are composed: the data sets are not here."""
    run(block.text, folder_of("experiments"), partial(answer, runs=False))


@pytest.mark.parametrize("page", [*PAGES, EXAMPLE, *MEASURED], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_nothing_escapes(page: Path) -> None:
    """A block of another language, or one that is merely indented, would not be tried."""
    tried = {"sh"} if page in MEASURED else {"sh", "python"}
    escaped = [
        block.place
        for block in blocks(page)
        if block.language not in tried | NO_COMMANDS and not block.file and not block.not_run
    ]
    assert escaped == [], f"Write ```sh or ```python before these blocks; none is tried in {sorted(NO_COMMANDS)}."
