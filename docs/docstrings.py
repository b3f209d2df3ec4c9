"""The package's docstrings as Markdown, for mkdocstrings."""

import re
from typing import Any

import griffe


class Plain(griffe.Extension):
    """Docstrings are plain sentences: what looks like a tag in them, <P_i, P_j>, is none; an example is an example."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring:
            obj.docstring.value = "\n".join(map(self.plain, obj.docstring.value.splitlines()))

    @staticmethod
    def plain(line: str) -> str:
        """The same for one line."""
        if line.lstrip().startswith((">>>", "...")):
            return line
        parts = re.split(r"(`[^`]*`)", re.sub(r"^( *)Example:$", r"\1Examples:", line))
        return "".join(part if index % 2 else part.replace("<", "&lt;") for index, part in enumerate(parts))
