"""The documentation site: whole, on its own, and readable from a folder."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

pytest.importorskip("mkdocs", reason="mkdocs is not installed (make docs)")

ROOT = Path(__file__).parents[2]
LOADED = {"src", "srcset", "poster", "data", "href"}  # what makes a browser load something; links are no such thing
SCHEMES = {"light": "default", "dark": "slate"}  # of the system, and what the theme calls them
URLS = re.compile(r"url\(\s*['\"]?([^'\")\s]+)|@import\s+['\"]([^'\"]+)")


def build(site: Path) -> subprocess.CompletedProcess[str]:
    """Builds the site strictly."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(site)]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site."""
    folder = tmp_path_factory.mktemp("site")
    built = build(folder)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


class Contents(HTMLParser):
    """What a page has, loads and links to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.style = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.style = tag == "style"
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            elif name == "style":
                self.loaded += urls(value or "")
            elif name == "href" and tag in ("a", "area"):
                self.links.append(value or "")
            elif name in LOADED and value:
                self.loaded.append(value)

    def handle_data(self, data: str) -> None:
        if self.style:
            self.loaded += urls(data)


def urls(style: str) -> list[str]:
    """What a style loads."""
    return [one or other for one, other in URLS.findall(style)]


@pytest.fixture(scope="module")
def pages(site) -> dict[Path, Contents]:
    """All pages of the site."""
    return {path: Contents(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}


def is_elsewhere(url: str) -> bool:
    """Whether an address is one of another host."""
    return bool(urlsplit(url).netloc) or urlsplit(url).scheme in ("http", "https")


def test_nothing_is_loaded_from_elsewhere(site, pages):
    loaded = {url for page in pages.values() for url in page.loaded}
    loaded |= {url for path in site.rglob("*.css") for url in urls(path.read_text(encoding="utf-8"))}
    assert {url for url in loaded if is_elsewhere(url)} == set()


def test_every_link_leads_somewhere(site, pages):
    broken = []
    for path, page in pages.items():
        if path.name == "404.html":  # whose links begin at the server's root
            continue
        for link in {*page.links, *page.loaded}:
            if is_elsewhere(link) or link.startswith(("data:", "mailto:")):
                continue
            to, anchor = map(unquote, urldefrag(link))
            file = (path.parent / to.partition("?")[0]).resolve() if to else path
            if not file.is_file():
                broken.append(f"{path.relative_to(site)} links to {link}: there is no such file")
            elif anchor and file in pages and anchor not in pages[file].ids:
                broken.append(f"{path.relative_to(site)} links to {link}: there is no such place on that page")
    assert not broken, "\n".join(sorted(broken))


def test_every_public_module_is_in_the_api(site, pages):
    described = set().union(*(page.ids for path, page in pages.items() if path.parent == site / "api"))
    modules = set()
    for path in (ROOT / "inpaint").rglob("*.py"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if path.stat().st_size and "._" not in module and module != "inpaint":
            modules.add(module)
    assert len(modules) > 80
    assert modules - described == set()
    assert {"inpaint.Inpainter", "inpaint.Inpainter.fill", "inpaint.refinement.matching.nearest"} <= described


def test_equations_are_set(site, pages):
    text = "".join(path.read_text(encoding="utf-8") for path in pages)
    assert "arithmatex" not in text
    method = (site / "method.html").read_text(encoding="utf-8")
    assert [number for number in range(1, 9) if f'class="number">({number})' in method] == [1, 2, 3, 4, 5]


def test_every_equation_is_linked_to_its_function():
    """In the paragraph before it, or after it."""
    parts = (ROOT / "docs" / "method.md").read_text(encoding="utf-8").split("$$")
    assert len(parts) == 15
    for number in range(1, len(parts), 2):
        before, after = parts[number - 1].rstrip().split("\n\n")[-1], parts[number + 1].lstrip().split("\n\n")[0]
        assert re.search(r"\]\(\.\./inpaint/\S+\.py#\w+\)", before + after), parts[number]


def test_the_api_shows_its_code_and_reads_as_it_is_written(site):
    text = (site / "api" / "refinement.html").read_text(encoding="utf-8")
    assert "mkdocstrings-source" in text
    assert "<!-- source" not in text
    assert "&lt;P_i, P_j&gt;" in text  # of the docstring of `nearest`: no tag
    assert not re.search(r"&amp;(lt|gt|amp);", text)


def test_a_picture_says_its_size_and_leads_to_itself(site):
    text = (site / "method.html").read_text(encoding="utf-8")
    assert re.search(r'<figure><a href="[^"]+pyramid\.jpg"><img[^>]* width="1394"', text)


def test_pages_have_neither_raw_links_nor_lists_that_follow_a_text_at_once():
    """MkDocs would not resolve the former, and take the latter for a part of the text, as code hosts do not."""
    pages = [path for pattern in ("*.md", "docs/**/*.md", "experiments/**/*.md", "examples/**/*.md", "inpaint/**/*.md")
             for path in ROOT.glob(pattern)]  # fmt: skip
    assert len(pages) > 60
    wrong = []
    for path in pages:
        text = re.sub(r"^( *)```.*?^\1```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        text = re.sub(r"`[^`\n]*`", "", text)
        wrong += [
            f"{path.name}: {found}" for found in re.findall(r"<(?:a|img)\s[^>]*>|^\[[^\]]+\]:.*", text, re.MULTILINE)
        ]
        wrong += [
            f"{path.name}: {found}"
            for found in re.findall(r"^(?![-*|#<>]|\d+\.|\s)[^\n]+\n[-*] .*", text, re.MULTILINE)
        ]
    assert wrong == []


@pytest.fixture(scope="module")
def hooks() -> Any:
    """docs/hooks.py."""
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        import hooks  # type: ignore[import-not-found]

        hooks.state.rooms = hooks.find_rooms()
        yield hooks
    finally:
        sys.path.remove(str(ROOT / "docs"))
        for name in ("hooks", "places", "formulas"):
            sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("latex", "expected"),
    [
        (r"\arg\min_x E", "<munder>"),
        (r"\tilde x", 'accent="true"'),
        (r"\Upsilon(x)", '<mi mathvariant="normal">Υ</mi>'),
        (r"|R^\phi|", 'stretchy="false"'),
        (r"\frac{1}{n} \sum_{i} x_i^2", "<mfrac>"),
    ],
)
def test_formulas_become_mathml(hooks, latex, expected):
    assert expected in hooks.set_formula(latex, block=True)


@pytest.mark.parametrize("latex", [r"\foo{x}", r"\frac{1}{", "a & b", r"{x"])
def test_a_formula_that_cannot_be_set_is_told(hooks, caplog, latex):
    hooks.state.page = SimpleNamespace(file=SimpleNamespace(src_uri="method.md"))
    wrong = f'<span class="arithmatex">\\({latex.replace("&", "&amp;")}\\)</span>'
    assert hooks.MATH.sub(hooks.formula, wrong) == wrong
    assert f"this formula cannot be set: {latex}" in caplog.text


@pytest.mark.parametrize(
    ("link", "leads_to"),
    [
        ("../inpaint/refinement/matching.py#nearest", "api/refinement.md#inpaint.refinement.matching.nearest"),
        ("../inpaint/refinement/matching.py", "api/refinement.md#inpaint.refinement.matching"),
        ("../inpaint/errors.py", "api/top.md#inpaint.errors"),
        ("../inpaint/imaging", "api/imaging.md"),
        ("../README.md#set-up", "README.md#set-up"),
        ("fill/masks.md", "fill/masks.md"),
        ("../experiments/removal", "experiments/removal/README.md"),
        ("../conf/model/preset/default.yaml", "files/conf/model/preset/default.yaml.md"),
        ("https://example.org/a.md", "https://example.org/a.md"),
        ("#here", "#here"),
    ],
)
def test_links_lead_where_the_site_has_it(hooks, link, leads_to):
    hooks.state.page = SimpleNamespace(file=SimpleNamespace(src_uri="method.md"))
    hooks.state.sources = {"method.md": "docs/method.md"}
    assert hooks.resolved(link) == leads_to


def test_a_link_to_nothing_is_told(hooks, caplog):
    hooks.state.page = SimpleNamespace(file=SimpleNamespace(src_uri="method.md"))
    hooks.state.sources = {"method.md": "docs/method.md"}
    for link in ("no.md", "../inpaint/none.py", "../../outside.md"):
        hooks.resolved(link)
        assert f"docs/method.md links to {link}, where there is neither a file nor a folder" in caplog.text


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    from tests.web.browser import PROGRAMS, program

    if program() is None:
        pytest.skip(f"no browser is installed: {', '.join(PROGRAMS)}")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=program(), args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_it_is_read_from_a_folder(site, browser, scheme):
    from tests.web.browser import Seen

    seen = Seen()
    with browser.new_context(color_scheme=scheme) as context:
        seen.watch(context)
        page = context.new_page()
        page.goto((site / "index.html").as_uri())
        page.locator("h1").wait_for()
        assert page.locator("body").get_attribute("data-md-color-scheme") == SCHEMES[scheme]
        page.locator("[data-md-component=search-query]").click()
        page.get_by_text("Type to start searching").wait_for()
        page.keyboard.type("PatchMatch")
        result = page.locator(".md-search-result__link").first
        result.wait_for()
        result.click()
        page.wait_for_url(re.compile(r"\.html\?h="))
        assert "patchmatch" in (page.locator("article").text_content() or "").lower()
        page.goto((site / "method.html").as_uri())
        formula = page.locator("math").first
        formula.wait_for()
        box = formula.bounding_box()
        assert box is not None
        assert box["width"] > 5
        assert box["height"] > 5
        assert {urlsplit(url).scheme for url in seen.requests} <= {"file", "data", "blob"}
        assert seen.complaints == []
