"""What MkDocs leaves to the project: pages from outside docs/, pages of the API, links into code, equations.

The pages stay where they are read on a code host, and so do their links: from the file's own place in the repository.
"""

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape, unescape
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, fromstring, tostring

import griffe
from latex2mathml.converter import convert
from markdown import Markdown
from markdown.extensions import Extension
from markdown.treeprocessors import Treeprocessor
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url
from PIL import Image
from pymdownx.slugs import slugify

log = get_plugin_logger("docs/hooks.py")

ROOT = Path(__file__).resolve().parent.parent
DOCS, PACKAGE, API, FILES = "docs/", "inpaint", "api", "files"
PAGES = (
    "*.md",
    "docs/**/*.md",
    "experiments/*.md",
    "experiments/*/*.md",
    "examples/*/*.md",
    "inpaint/web/*.md",
    "inpaint/assets/*.md",
    "LICENSE",
    "NOTICE",
)
ICON = "inpaint/web/page/icon.svg"
PICTURES = (".jpg", ".jpeg", ".png", ".svg", ".gif", ".webp")
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)|^ {0,3}\[[^\]]+\]:\s*(\S+)|\b(?:src|href)=\"([^\"]+)\"", re.MULTILINE)
ELSEWHERE = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:|//|$")  # a link with a scheme or a host, or none at all
RAW = re.compile(r"(<(?:a|img|source)\b[^>]*?\s(?:href|src|srcset)=\")([^\"]+)(\")")
MATH = re.compile(r"<(span|div) class=\"arithmatex\">(.*?)</\1>", re.DOTALL)
SOURCE = re.compile(r"<details class=\"mkdocstrings-source\">.*?</details>", re.DOTALL)
ARG = re.compile(r"\\arg\s*\\(min|max)|\\operatorname\*\{arg\\,(min|max)\}")
TAG = re.compile(r"\\tag\{(.*?)\}")
ACCENTS = ("~", "^", "¯", "˙", "¨", "→")
LIMITS = ("min", "max", "arg min", "arg max")
LEXERS = {"py": "python", "yml": "yaml", "sbatch": "bash", "js": "javascript", "cff": "yaml", "": "text"}


# ---- the modules


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


@dataclass
class State:
    """What is known of the site while it is built."""

    rooms: dict[str, Room] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)  # pages by place in the site, with theirs in the repository
    code: dict[str, list[str]] = field(default_factory=dict)  # of the pages, until they are written
    page: Page | None = None  # that is being made


state = State()


# ---- where things are in the site


def place(path: str) -> str | None:
    """Where a file or folder of the repository, given by its path there, is in the site; None if there is none."""
    if (ROOT / path).is_dir():
        room = path.removeprefix(f"{PACKAGE}/")
        if (ROOT / path / "README.md").is_file():
            return place(f"{path}/README.md")
        return f"{API}/{room}.md" if room in state.rooms else None
    if not (ROOT / path).is_file():
        return None
    module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    for name, its in state.rooms.items():
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


def resolved(link: str) -> str:
    """A link of the page at hand as the site has it: from the page's place there."""
    here = state.page.file.src_uri if state.page else ""
    source = state.sources.get(here)
    aim = target(link, source) if source else None
    if not source or not aim:
        return link
    path, anchor = aim
    found = place(path) if not path.startswith("..") else None
    if found is None:
        log.warning(f"{source} links to {link}, where there is neither a file nor a folder with a README.")
        return ""
    to, _, module = found.partition("#")
    anchor = (f"{module}.{anchor}" if anchor else module) if module else anchor
    return posixpath.relpath(to, posixpath.dirname(here) or ".") + (f"#{anchor}" if anchor else "")


# ---- the site's files


def room_page(name: str, room: Room) -> str:
    """A page of the API."""
    lines = [f"# {name if name != 'top' else room.title}", "", f"{room.text[:1].upper()}{room.text[1:]}.", ""]
    for module in room.modules:
        lines += [f"::: {module}", "    options:", "      heading_level: 2", ""]
    return "\n".join(lines)


def first_page() -> str:
    """The API's first page: the class that most want, and the list of the others."""
    table = [f"| [{room.title}]({name}.md) | {room.text} |" for name, room in state.rooms.items()]
    return "\n".join(
        [
            "# API",
            "",
            "Two lines fill a photo, as the command does:",
            "",
            "```python",
            "from inpaint import Inpainter",
            "",
            'Inpainter().fill("photo.jpg", "mask.png").save("filled.png")',
            "```",
            "",
            "::: inpaint.Inpainter",
            "    options: {heading_level: 2, show_root_full_path: false}",
            "",
            "## The rooms",
            "",
            "Everything else, from the ground up; a room imports only from those above it in this list.",
            "",
            "| room | |",
            "| --- | --- |",
            *table,
        ]
    )


def text_page(path: str) -> str:
    """A page that shows a text file."""
    text = (ROOT / path).read_text(encoding="utf-8")
    fence = "`" * (1 + max([2, *map(len, re.findall("`+", text))]))
    ending = Path(path).suffix.lstrip(".")
    return (
        f"---\nsearch: {{exclude: true}}\n---\n# {Path(path).name}\n\n`{path}`\n\n"
        f"{fence}{LEXERS.get(ending, ending)}\n{text.rstrip()}\n{fence}\n"
    )


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages, and whatever they show or link to."""
    found = {str(path.relative_to(ROOT)) for pattern in PAGES for path in ROOT.glob(pattern)}
    waiting = sorted(found | {ICON})
    while waiting:
        path = waiting.pop()
        to = place(path)
        if to is None or "#" in to or to.startswith(f"{API}/"):
            continue
        if to.startswith(f"{FILES}/"):
            try:
                files.append(File.generated(config, to, content=text_page(path)))
            except UnicodeDecodeError:
                log.warning(f"A page links to {path}, which is no text.")
            continue
        if not path.startswith(DOCS):
            files.append(File.generated(config, to, abs_src_path=str(ROOT / path)))
        if not path.endswith(".md"):
            continue
        state.sources[to] = path
        for link in LINK.findall((ROOT / path).read_text(encoding="utf-8")):
            aim = target("".join(link), path)
            if aim and aim[0] not in found and not aim[0].startswith("..") and (ROOT / aim[0]).is_file():
                found.add(aim[0])
                waiting.append(aim[0])
    files.append(File.generated(config, f"{API}/index.md", content=first_page()))
    for name, room in state.rooms.items():
        files.append(File.generated(config, f"{API}/{name}.md", content=room_page(name, room)))
    return files


# ---- the order of the pages


def studies() -> list[str]:
    """The names of the studies, by number: as experiments/studies.py lists them, which wants the package."""
    numbers = {
        path.stem: int(number[1])
        for path in (ROOT / "conf/experiment").glob("*.yaml")
        if (number := re.search(r"^# Study (\d+)\.", path.read_text(encoding="utf-8"), re.MULTILINE))
    }
    return sorted(numbers, key=lambda name: numbers[name])


def listed(part: str) -> list[Any]:
    """The part of the navigation that mkdocs.yml leaves open by that name."""
    if part == "<api>":
        pages = [{room.title if room.title else name: f"{API}/{name}.md"} for name, room in state.rooms.items()]
        return [{"Inpainter": f"{API}/index.md"}, *pages]
    readmes = {path.parent.name for path in (ROOT / "experiments").glob("*/README.md")}
    names = studies() if part == "<studies>" else sorted(readmes - set(studies()))
    first = ["experiments/README.md"] if part == "<studies>" else []
    return first + [f"experiments/{name}/README.md" for name in names]


def completed(nav: Any) -> Any:
    """The navigation with its open parts filled."""
    if isinstance(nav, list):
        return [completed(part) for part in nav]
    if isinstance(nav, dict):
        return {title: completed(part) for title, part in nav.items()}
    return listed(nav) if nav.startswith("<") else nav


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Finds the modules, and adds what only code can say."""
    state.rooms, state.sources = find_rooms(), {}
    config.nav = completed(config.nav)
    config.mdx_configs["toc"]["slugify"] = slugify(case="lower")  # headings have the anchors that code hosts give them
    config.markdown_extensions.append(Repository())
    config.watch += [str(ROOT / PACKAGE), str(ROOT / "experiments"), str(ROOT / "README.md")]
    return config


# ---- pages


class Links(Treeprocessor):
    """Leads links where the site has what they lead to, and makes figures of pictures that stand alone."""

    def run(self, root: Element) -> None:
        for element in root.iter():
            if element.tag == "code" and len(text := element.text or "") < 24 and " " not in text:
                element.set("class", "whole")
            for name in ("href", "src"):
                if element.tag in ("a", "img") and (link := unescape(element.get(name, ""))):
                    element.set(name, resolved(link))
                    if element.tag == "img":
                        self.measure(element, link)
        for stash in range(len(self.md.htmlStash.rawHtmlBlocks)):
            block = self.md.htmlStash.rawHtmlBlocks[stash]
            if isinstance(block, str):
                self.md.htmlStash.rawHtmlBlocks[stash] = RAW.sub(self.raw, block)
        for paragraph in list(root.iter("p")):
            if (
                len(paragraph) == 1
                and paragraph[0].tag == "img"
                and not (paragraph.text or paragraph[0].tail or "").strip()
            ):
                self.figure(paragraph)

    @staticmethod
    def raw(found: re.Match[str]) -> str:
        """The same in a page's own HTML, of which MkDocs knows nothing."""
        link = resolved(unescape(found[2]))
        if link != found[2]:
            path, hash, anchor = link.partition("#")
            assert state.page
            here = state.page.file
            to = posixpath.normpath(posixpath.join(posixpath.dirname(here.src_uri), path))
            made = File(to, None, "", here.use_directory_urls)
            link = get_relative_url(made.url, here.url) + hash + anchor
        return found[1] + escape(link) + found[3]

    @staticmethod
    def measure(picture: Element, link: str) -> None:
        """Says how large a picture is, so that nothing moves when it comes."""
        source = state.sources.get(state.page.file.src_uri) if state.page else None
        aim = target(link, source) if source else None
        if aim and (ROOT / aim[0]).is_file() and not aim[0].endswith(".svg"):
            with Image.open(ROOT / aim[0]) as opened:
                picture.attrib.update(width=str(opened.width), height=str(opened.height))

    @staticmethod
    def figure(paragraph: Element) -> None:
        """Makes a picture a link to itself at its full size."""
        picture = paragraph[0]
        paragraph.remove(picture)
        paragraph.tag = "figure"
        SubElement(paragraph, "a", href=picture.get("src", "")).append(picture)


class Repository(Extension):
    """Pages whose links are those of the repository."""

    def extendMarkdown(self, md: Markdown) -> None:
        md.treeprocessors.register(Links(md), "repository_links", 6)  # after the inline patterns, before MkDocs' own


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Says which page it is whose links are led; lists that follow a text at once are lists, as on code hosts."""
    state.page = page
    source = state.sources.get(page.file.src_uri, "")
    if source.endswith("/results.md") and not markdown.startswith("# "):
        page.meta.setdefault("title", f"{Path(source).parent.name}: results")
    if source.startswith(DOCS) or source == "README.md":
        page.meta.setdefault("search", {"boost": 2})  # what explains comes before what was measured
    lines: list[str] = []
    code = listing = False
    for line in markdown.splitlines():
        code ^= line.lstrip().startswith("```")
        item = not code and re.match(r"(?:[-*]|1\.) ", line) is not None
        if item and not listing and lines and lines[-1].strip():
            lines.append("")
        listing = item or (listing and bool(line.strip()))
        lines.append(line)
    return "\n".join(lines)


def set_formula(latex: str, block: bool) -> str:
    """A formula as MathML, which browsers set by themselves; a ValueError says what is wrong with it."""
    if latex.count("{") - latex.count(r"\{") != latex.count("}") - latex.count(r"\}"):
        raise ValueError("its braces do not match")
    latex = ARG.sub(lambda found: rf"\text{{arg {found[1] or found[2]}}}", latex)
    made = convert(latex, display="block" if block else "inline")
    math = fromstring(made.replace(' xmlns="http://www.w3.org/1998/Math/MathML"', ""))
    for part in math.iter():
        if "\\" in (part.text or ""):
            raise ValueError(f"{part.text} is not known")
        if block and part.tag == "msub" and (part[0].text or "").replace("\xa0", " ") in LIMITS:
            part.tag = "munder"
        if (
            part.tag == "mo" and part.text in ("|", "‖") and "fence" not in part.attrib
        ):  # as high as a letter, and close to it
            part.attrib.update(stretchy="false", lspace="0", rspace="0")
        if part.tag == "mi" and re.fullmatch("[Α-Ω]", part.text or ""):
            part.set("mathvariant", "normal")
        if part.tag == "mover" and (part[-1].text or "") in ACCENTS:
            part.set("accent", "true")
    return tostring(math, encoding="unicode")


def formula(found: re.Match[str]) -> str:
    """The same for one that stands in a page; a warning, which a strict build takes as an error, where it cannot be."""
    latex = unescape(found[2]).strip()[2:-2].strip()
    number = TAG.search(latex)
    try:
        made = set_formula(TAG.sub("", latex), found[1] == "div")
    except Exception as error:  # whatever the converter raises
        page = state.page.file.src_uri if state.page else ""
        log.warning(f"{state.sources.get(page, page)}: this formula cannot be set: {latex} ({error!r})")
        return found[0]
    label = f'<span class="number">({number[1]})</span>' if number else ""
    return f'<{found[1]} class="math">{made}{label}</{found[1]}>'


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Sets equations, loads pictures when they come into view, and lays the API's source code aside."""
    state.page = page
    html = MATH.sub(formula, html)
    html = re.sub(r"<img\b(?![^>]*\bloading=)", '<img loading="lazy"', html)
    state.code[page.file.src_uri] = code = SOURCE.findall(html)
    numbers = iter(range(len(code)))
    return SOURCE.sub(lambda _: f"<!-- source {next(numbers)} -->", html)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Brings the source code back, which the search has not read: it doubles the time of a build."""
    code = state.code.pop(page.file.src_uri)
    return re.sub(r"<!-- source (\d+) -->", lambda found: code[int(found[1])], output)


# ---- docstrings


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
