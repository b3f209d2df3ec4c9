"""The blocks of the pages: what their fences hold, and what a comment before a fence says about it.

A fence may follow an HTML comment, which no reader sees:

    <!-- file: mine/method/lama.yaml -->    the block is the content of this file
    <!-- not run: it needs a cluster. -->   the block is left out, for this reason
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

from inpaint.files import CONF

ROOT = CONF.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLE = ROOT / "examples" / "own_study" / "README.md"
MEASURED = [ROOT / "CONTRIBUTING.md", *sorted((ROOT / "experiments").rglob("README.md"))]
"""Pages whose commands are for the data sets themselves."""
COMMENT = re.compile(r"<!--\s*(file|not run):\s*(.+?)\s*-->", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fence, or an indented block."""

    page: str  # its place in the repository
    line: int  # of the fence, from 1
    language: str  # nothing for an indented block
    text: str
    file: str | None = None
    not_run: str | None = None

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """All blocks of a page, from top to bottom.

    Raises:
        ValueError: a comment stands before a fence and says neither of the two.
    """
    return [*_blocks(page.read_text(encoding="utf-8"), page.relative_to(ROOT).as_posix())]


def _blocks(text: str, page: str) -> Iterator[Block]:
    comment = ""
    for token in MarkdownIt("commonmark").parse(text):
        if token.type in ("fence", "code_block"):
            said = {}
            if comment:
                found = COMMENT.fullmatch(comment)
                if found is None:
                    raise ValueError(f"{page}:{token.map[0] + 1}: {comment} is neither file: ... nor not run: ...")
                said = {found[1].replace(" ", "_"): " ".join(found[2].split())}
            language = (token.info.split() or [""])[0]
            yield Block(page, token.map[0] + 1, language, token.content, **said)
        is_comment = token.type == "html_block" and token.content.startswith("<!--")
        comment = token.content.strip() if is_comment else ""


def inline_code(page: Path) -> Iterator[tuple[int, str]]:
    """What stands between single backticks on a page, with the first line of its paragraph."""
    for token in MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8")):
        for child in token.children or ():
            if child.type == "code_inline":
                yield token.map[0] + 1, child.content
