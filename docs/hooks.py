"""What MkDocs leaves to the project: pages from outside docs/, pages of the API, links into code, equations.

The pages stay where they are read on a code host, and so do their links: from the file's own place in the repository.
"""

import posixpath
import re
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

from formulas import set_formula
from markdown import Markdown
from markdown.extensions import Extension
from markdown.treeprocessors import Treeprocessor
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from PIL import Image
from places import API, DOCS, FILES, PACKAGE, ROOT, Room, completed, find_rooms, place, target
from pymdownx.slugs import slugify

log = get_plugin_logger("docs/hooks.py")

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
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)")
MATH = re.compile(r"<(span|div) class=\"arithmatex\">(.*?)</\1>", re.DOTALL)
SOURCE = re.compile(r"<details class=\"mkdocstrings-source\">.*?</details>", re.DOTALL)
TAG = re.compile(r"\\tag\{(.*?)\}")
LEXERS = {"py": "python", "yml": "yaml", "sbatch": "bash", "js": "javascript", "cff": "yaml", "": "text"}


@dataclass
class State:
    """What is known of the site while it is built."""

    rooms: dict[str, Room] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)  # pages by place in the site, with theirs in the repository
    code: dict[str, list[str]] = field(default_factory=dict)  # of the pages, until they are written
    page: Page | None = None  # that is being made


state = State()


def resolved(link: str) -> str:
    """A link of the page at hand as the site has it: from the page's place there."""
    here = state.page.file.src_uri if state.page else ""
    source = state.sources.get(here)
    aim = target(link, source) if source else None
    if not source or not aim:
        return link
    path, anchor = aim
    found = place(path, state.rooms) if not path.startswith("..") else None
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
        to = place(path, state.rooms)
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
            aim = target(link, path)
            if aim and aim[0] not in found and not aim[0].startswith("..") and (ROOT / aim[0]).is_file():
                found.add(aim[0])
                waiting.append(aim[0])
    files.append(File.generated(config, f"{API}/index.md", content=first_page()))
    for name, room in state.rooms.items():
        files.append(File.generated(config, f"{API}/{name}.md", content=room_page(name, room)))
    return files


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Finds the modules, fills the navigation, and has links resolved."""
    state.rooms, state.sources = find_rooms(), {}
    config.nav = completed(config.nav, state.rooms)
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
        for paragraph in list(root.iter("p")):
            if (
                len(paragraph) == 1
                and paragraph[0].tag == "img"
                and not (paragraph.text or paragraph[0].tail or "").strip()
            ):
                self.figure(paragraph)

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
    """Remembers the page, whose links `Links` will resolve, and sets its title and its weight in the search."""
    state.page = page
    source = state.sources.get(page.file.src_uri, "")
    if source.endswith("/results.md") and not markdown.startswith("# "):
        page.meta.setdefault("title", f"{Path(source).parent.name}: results")
    if page.file.src_uri.startswith(f"{API}/"):
        page.meta.setdefault("search", {"boost": 0.3})
    elif source.startswith(DOCS) or source == "README.md":
        page.meta.setdefault("search", {"boost": 2})  # what explains comes before what was measured
    return markdown


def formula(found: re.Match[str]) -> str:
    """Replaces a formula of a page by MathML.

    One that cannot be converted stays as it is, and a warning says so, which a strict build takes as an error.
    """
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
