"""Where the site has the repository's files and modules, and the order of its pages."""

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DOCS, PACKAGE, API, FILES = "docs/", "inpaint", "api", "files"
PICTURES = (".jpg", ".jpeg", ".png", ".svg", ".gif", ".webp")
ELSEWHERE = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:|//|$")  # a link with a scheme or a host, or none at all


@dataclass
class Room:
    """The modules that share a page of the API."""

    title: str
    text: str
    modules: list[str] = field(default_factory=list)


def public_modules() -> Iterator[str]:
    """The names of all public modules, a package before what is in it."""
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if len(parts) > 1 and not any(part.startswith("_") for part in parts) and path.stat().st_size:
            yield ".".join(parts)


def find_rooms() -> dict[str, Room]:
    """The pages of the API by name, in the order of ARCHITECTURE.md; "top" is of the small modules beside the rooms."""
    listed = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").partition("```\n")[2].partition("\n```")[0]
    lines = re.findall(r"^(\w+(?:, \w+)*)/?\s{2,}(.*)$", listed, re.MULTILINE)
    rooms = {"top" if "," in names else names: Room(names, text.replace("`", "")) for names, text in lines}
    rooms.setdefault("top", Room("", ""))
    for module in public_modules():
        name = module.split(".")[1]
        if name not in rooms:
            if not (ROOT / PACKAGE / name).is_dir():
                name = "top"
            rooms.setdefault(name, Room(name, ""))
        rooms[name].modules.append(module)
    rooms["top"].title = ", ".join(module.split(".")[1] for module in rooms["top"].modules)
    return {name: room for name, room in rooms.items() if room.modules}


def place(path: str, rooms: Mapping[str, Room]) -> str | None:
    """Where a file or folder of the repository, given by its path there, is in the site; None if there is none."""
    if (ROOT / path).is_dir():
        room = path.removeprefix(f"{PACKAGE}/")
        if (ROOT / path / "README.md").is_file():
            return place(f"{path}/README.md", rooms)
        return f"{API}/{room}.md" if room in rooms else None
    if not (ROOT / path).is_file():
        return None
    module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    for name, its in rooms.items():
        if path.endswith(".py") and module in its.modules:
            return f"{API}/{name}.md#{module}"
    if path.startswith(DOCS):
        return path.removeprefix(DOCS)
    return path if path.endswith((".md", *PICTURES)) else f"{FILES}/{path}.md"


def target(link: str, source: str) -> tuple[str, str] | None:
    """The file in the repository that a page's link leads to, and the anchor; None if it leads elsewhere."""
    if ELSEWHERE.match(link) or link.startswith("#"):
        return None
    path, _, anchor = link.partition("#")
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), path)), anchor


def studies() -> list[str]:
    """The names of the studies, by number: as experiments/studies.py lists them, which wants the package."""
    numbers = {
        path.stem: int(number[1])
        for path in (ROOT / "conf/experiment").glob("*.yaml")
        if (number := re.search(r"^# Study (\d+)\.", path.read_text(encoding="utf-8"), re.MULTILINE))
    }
    return sorted(numbers, key=lambda name: numbers[name])


def listed(part: str, rooms: Mapping[str, Room]) -> list[Any]:
    """The part of the navigation that mkdocs.yml leaves open by that name."""
    if part == "<api>":
        pages = [{room.title if room.title else name: f"{API}/{name}.md"} for name, room in rooms.items()]
        return [{"Inpainter": f"{API}/index.md"}, *pages]
    readmes = {path.parent.name for path in (ROOT / "experiments").glob("*/README.md")}
    names = studies() if part == "<studies>" else sorted(readmes - set(studies()))
    first = ["experiments/README.md"] if part == "<studies>" else []
    return first + [f"experiments/{name}/README.md" for name in names]


def completed(nav: Any, rooms: Mapping[str, Room]) -> Any:
    """The navigation with its open parts filled."""
    if isinstance(nav, list):
        return [completed(part, rooms) for part in nav]
    if isinstance(nav, dict):
        return {title: completed(part, rooms) for title, part in nav.items()}
    return listed(nav, rooms) if nav.startswith("<") else nav
