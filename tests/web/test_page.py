"""The page in a real browser: what a person sees, does and keeps."""

import io
import json
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps
from scipy import ndimage

from inpaint.errors import UserError
from inpaint.fill.jobs import Job
from inpaint.fill.run import fill_one
from inpaint.photo.files import write_photo
from inpaint.photo.photo import Photo
from inpaint.web.work import Task

pytest.importorskip("playwright", reason="playwright is not installed")

from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from tests.web.browser import AWAY, PROGRAMS, Door, Fingers, Seen, Tab, as_mask, program, until
from tests.web.helpers import PATIENCE, Running, begin, encoded, filled, paint, running

if program() is None:
    pytest.skip(f"no browser is installed: {', '.join(PROGRAMS)}", allow_module_level=True)

expect.set_options(timeout=1000 * PATIENCE)

SIZE = (240, 320)  # height, width
SPOT = (200, 100)  # of the test photo, red on green
RED, GREEN = (225, 30, 40), (50, 150, 80)


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Running]:
    """A server for all tests."""
    with running(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser for all tests."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=program(), args=["--no-sandbox"])
        yield launched
        launched.close()


class Visits:
    """Pages as people see them who have never been there, all of them watched.

    `allowed` is what the console may say, beside nothing.
    """

    def __init__(self, browser: Browser, url: str) -> None:
        self.browser, self.url, self.seen = browser, url, Seen()
        self.allowed: str | None = None
        self.contexts: list[BrowserContext] = []

    def __call__(self, url: str | None = None, **options: Any) -> Tab:
        """Opens the page."""
        context = self.browser.new_context(**{"viewport": {"width": 1100, "height": 700}} | options)
        self.contexts.append(context)
        self.seen.watch(context)
        return Tab(context, url or self.url)


@pytest.fixture
def visit(server, browser) -> Iterator[Visits]:
    """Opens pages; afterwards, they asked no other host for anything, and complained of nothing."""
    visits = Visits(browser, server.url)
    yield visits
    for context in visits.contexts:
        context.close()
    visits.seen.check(visits.url, visits.allowed)


@pytest.fixture
def tab(visit) -> Tab:
    """The page."""
    return visit()


@pytest.fixture
def gate(monkeypatch) -> Iterator[threading.Event]:
    """Fills wait at it, once they are under way and their preview is there, until it is set."""
    opened, progress = threading.Event(), Task.progress

    def waiting(task: Task, share: float) -> None:
        if task.stage == "filling":
            opened.wait(PATIENCE)
        progress(task, share)

    monkeypatch.setattr(Task, "progress", waiting)
    yield opened
    opened.set()


def scene(size: tuple[int, int] = SIZE, spot: tuple[int, int] = SPOT, dtype: Any = np.uint8) -> np.ndarray:
    """A green texture with a red spot."""
    rows, columns = np.indices(size)
    wave = np.sin(rows / 5) + np.cos(columns / 7) + np.random.default_rng(0).random(size)
    pixels = np.stack([40 + 10 * wave, 130 + 20 * wave, 70 + 10 * wave], -1)
    pixels[np.hypot(columns - spot[0], rows - spot[1]) < 24] = RED
    return (pixels / 255 * np.iinfo(dtype).max).astype(dtype)


def png(**options: Any) -> bytes:
    """The test photo."""
    return encoded(Image.fromarray(scene(**options)))


def camera_jpeg() -> bytes:
    """The test photo as cameras write it: lying on its side, which its EXIF says, and with an ICC profile."""
    exif = Image.Exif()
    exif[0x0110], exif[0x0112] = "A camera", 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    lying = Image.fromarray(np.rot90(scene()).copy())
    return encoded(lying, "JPEG", quality=92, exif=exif, icc_profile=profile)


def rectangle(left: int, top: int, right: int, bottom: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A mask that is a box."""
    marked = np.zeros(size, dtype=bool)
    marked[top:bottom, left:right] = True
    return marked


def opened(tab: Tab, photo: bytes | None = None, marked: bool = True) -> Tab:
    """The page with the test photo, and its spot painted over."""
    tab.choose("photo.png", photo or png())
    if marked:
        tab.stroke(SPOT, tool="brush", size=56)
    return tab


def test_all_the_way_from_a_dropped_photo_to_the_file_that_the_command_writes(tab, gate, tmp_path):
    photo = camera_jpeg()
    tab.drop("my photo.jpg", photo)
    expect(tab["#photo-name"]).to_have_text("my photo.jpg, 320 × 240")
    tab.looks(*SPOT, RED)
    expect(tab["#remove"]).to_be_disabled()

    tab.stroke((180, 100), (220, 100), tool="brush", size=60)
    expect(tab["#mask-lines li"]).to_have_text(
        [re.compile(r"^\d\.\d % of the photo is marked$"), "enlarged by 2 pixels"]
    )
    assert np.isclose(tab.mask.mean(), (40 * 60 + np.pi * 30**2) / (240 * 320), rtol=0.02)
    shown = float(tab["#mask-lines li"].first.inner_text().split()[0])
    assert np.isclose(shown, 100 * tab.mask.mean(), atol=0.06)

    tab.remove(None, state="working")  # by the default quality
    expect(tab["#badge"]).to_have_text("Preview")
    tab.looks(*SPOT, GREEN, within=60)
    gate.set()
    tab.wait("done")
    name, kept = tab.download("#keep")
    assert name == "my photo_filled.jpg"
    assert (name, kept) == tab.by_command(tmp_path / "command", "my photo.jpg", photo)
    result = Image.open(io.BytesIO(kept))
    assert result.getexif()[0x0110] == "A camera"
    assert result.info["icc_profile"] == Image.open(io.BytesIO(photo)).info["icc_profile"]

    upright = np.asarray(ImageOps.exif_transpose(result), dtype=float)
    filled = upright[SPOT[1] - 1 : SPOT[1] + 2, SPOT[0] - 1 : SPOT[0] + 2].mean((0, 1))
    tab.looks(*SPOT, filled)
    tab["#split"].fill("100")
    tab.looks(*SPOT, RED)
    tab["#split"].fill("0")
    tab.looks(*SPOT, filled)

    # the line of the canvas, by the mouse, from the photo's edge to the middle of what is gone
    tab.page.mouse.move(*tab.screen(0, 40))
    tab.page.mouse.down()
    tab.page.mouse.move(*tab.screen(SPOT[0], 40), steps=4)
    tab.page.mouse.up()
    tab.page.mouse.move(*AWAY)
    tab.looks(SPOT[0] - 12, SPOT[1], RED)
    tab.looks(SPOT[0] + 12, SPOT[1], filled, within=50)

    tab["#split"].fill("0")
    tab["#hold"].hover()
    tab.page.mouse.down()
    expect(tab["#badge"]).to_have_text("Original")
    tab.looks(*SPOT, RED)
    tab.page.mouse.up()
    expect(tab["#badge"]).to_be_hidden()
    tab.looks(*SPOT, filled)
    tab.page.keyboard.down("c")
    tab.looks(*SPOT, RED)
    tab.page.keyboard.up("c")
    tab.looks(*SPOT, filled)


def test_a_picture_from_the_clipboard_is_opened(tab):
    tab.paste("image.png", png())
    expect(tab["#photo-name"]).to_have_text("image.png, 320 × 240")
    tab.looks(*SPOT, RED)


def test_a_photo_of_16_bits_is_chosen_and_stays_one(tab, tmp_path):
    write_photo(Photo(scene(dtype=np.uint16), "RGB"), tmp_path / "deep.png")
    photo = (tmp_path / "deep.png").read_bytes()
    opened(tab, photo)
    tab.looks(20, 20, scene()[19:22, 19:22].mean((0, 1)))
    tab.remove()
    name, kept = tab.download("#keep")
    assert name == "photo_filled.png"
    assert (name, kept) == tab.by_command(tmp_path / "command", "photo.png", photo)
    assert kept[24] == 16  # bits a channel, in the PNG's header
    report = json.loads(tab.download("#report")[1])
    assert report["photos"][0]["output"] == "photo_filled.png"


def test_what_is_painted_is_exact_to_the_pixel(tab):
    opened(tab, marked=False)
    tab.zoom(16, 160, 120)
    tab.stroke((150, 112), (168, 125), tool="box")
    wanted = rectangle(150, 112, 168, 125)
    assert np.array_equal(tab.mask, wanted)
    # what is seen agrees: red inside, the photo beyond
    photo = scene().astype(float)
    tab.looks(152.5, 114.5, photo[114, 152] + (np.array((230, 20, 50)) - photo[114, 152]) * 140 / 255)
    tab.looks(174.5, 132.5, photo[132, 174])

    tab.stroke((160.5, 129.5), tool="brush", size=1)
    wanted[129, 160] = True
    assert np.array_equal(tab.mask, wanted)
    tab.stroke((151.5, 127.5), (159.5, 127.5))
    wanted[127, 151:160] = True
    assert np.array_equal(tab.mask, wanted)
    tab.stroke((155.5, 115.5), tool="eraser")
    wanted[115, 155] = False
    assert np.array_equal(tab.mask, wanted)


def test_strokes_that_come_fast_all_count_also_if_remove_is_pressed_at_once(tab):
    opened(tab, marked=False)
    tab["input[value=instant]"].check()
    tab["[data-tool=box]"].click()
    corners = [tab.screen(left, top) for left in range(40, 240, 20) for top in (60, 150)]
    side = 10 * tab.scale
    for x, y in corners:
        tab.page.mouse.move(x, y)
        tab.page.mouse.down()
        tab.page.mouse.move(x + side, y + side)
        tab.page.mouse.up()
    tab["#remove"].click()
    tab.wait("done")
    wanted = sum(rectangle(left, top, left + 10, top + 10) for left in range(40, 240, 20) for top in (60, 150))
    assert np.array_equal(as_mask(tab.download("#result-mask")[1]), wanted > 0)


def test_strokes_are_taken_back_brought_back_swapped_and_kept_as_a_file(visit):
    tab = opened(visit(), marked=False)
    tab.zoom(8, 110, 75)
    tab.stroke((80, 60), (110, 85), tool="box")
    box = rectangle(80, 60, 110, 85)
    tab.stroke((120, 60), (130, 60), (130, 90), (120, 90), tool="lasso")
    both = box | rectangle(120, 60, 130, 90)
    assert np.array_equal(tab.mask, both)
    tab.page.keyboard.down("Shift")
    tab.stroke((100, 70), (140, 75), tool="box")
    tab.page.keyboard.up("Shift")
    less = both & ~rectangle(100, 70, 140, 75)
    assert np.array_equal(tab.mask, less)

    tab.press("#undo")
    assert np.array_equal(tab.mask, both)
    with tab.marking():
        tab.page.keyboard.press("Control+z")
    assert np.array_equal(tab.mask, box)
    with tab.marking():
        tab.page.keyboard.press("Control+Shift+Z")
    assert np.array_equal(tab.mask, both)
    tab.press("#redo")
    assert np.array_equal(tab.mask, less)
    expect(tab["#redo"]).to_be_disabled()

    tab.press("#clear")
    expect(tab["#remove"]).to_be_disabled()
    expect(tab["#why"]).to_have_text("Mark something first.")
    expect(tab["#save-mask"]).to_be_hidden()
    tab.press("#undo")
    assert np.array_equal(tab.mask, less)
    tab.press("#swap")
    assert np.array_equal(tab.mask, ~less)
    name, file = tab.download("#save-mask")
    assert name == "photo_mask.png"

    other = opened(visit(), marked=False)
    with other.marking():
        other.choose(name, file, at="#mask-file")
    assert np.array_equal(other.mask, ~less)
    other.press("#swap")
    assert np.array_equal(other.mask, less)


def test_one_of_three_variants_is_chosen_and_kept(tab, tmp_path):
    photo = png()
    opened(tab, photo)
    tab.remove(variants=3)
    buttons = tab["#variants button"]
    expect(buttons).to_have_text(["Variant 1", "Variant 2", "Variant 3"])
    places = [buttons.nth(n).bounding_box() for n in range(3)]
    assert len({place["y"] for place in places}) == 1  # side by side
    expect(buttons.nth(0)).to_have_attribute("aria-pressed", "true")
    first = tab.download("#keep")
    buttons.nth(1).click()
    expect(buttons.nth(1)).to_have_attribute("aria-pressed", "true")
    expect(tab["#command"]).to_contain_text("--seed 1")
    second = tab.download("#keep")
    assert first != second
    assert second == tab.by_command(tmp_path / "command", "photo.png", photo)


def test_more_is_removed_and_one_can_step_back_and_begin_anew_without_a_reload(tab, tmp_path):
    opened(tab)
    tab.page.evaluate("window.same = true")
    painted = tab.mask
    expect(tab["#steps"]).to_be_hidden()
    tab.remove()
    first = tab.download("#keep")[1]
    tab["#more"].click()
    tab.wait("painting")
    expect(tab["#photo-name"]).to_contain_text("photo_filled.png")
    expect(tab["#steps button"]).to_have_text(["Photo", "Step 1"])
    expect(tab["#remove"]).to_be_disabled()
    tab.looks(*SPOT, GREEN, within=60)
    tab.stroke((60, 60), tool="brush", size=20)
    tab.remove()
    assert tab.download("#keep") == tab.by_command(tmp_path / "command", "photo_filled.png", first)

    tab["#steps button"].nth(0).click()
    expect(tab["#photo-name"]).to_contain_text("photo.png")
    tab["#split"].fill("100")
    tab.looks(*SPOT, RED)
    tab["#change"].click()
    tab.wait("painting")
    assert np.array_equal(tab.mask, painted)
    tab.looks(*SPOT, RED, within=40)
    tab.press("#undo")
    tab["#steps button"].nth(1).click()
    tab.wait("done")
    tab.looks(*SPOT, GREEN, within=60)

    tab["#new-photo"].click()
    tab["#ask-yes"].click()
    tab.wait("start")
    expect(tab["#start"]).to_be_visible()
    expect(tab["#editor"]).to_be_hidden()
    opened(tab, marked=False)
    expect(tab["#undo"]).to_be_disabled()
    tab.looks(*SPOT, RED)
    assert tab.page.evaluate("window.same")


def test_a_photo_of_24_megapixels(tab, tmp_path):
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(60, 200, (160, 240, 3), dtype=np.uint8))
    photo = encoded(small.resize((6000, 4000), Image.Resampling.BICUBIC), "JPEG", quality=85)
    tab.choose("large.jpg", photo)
    expect(tab["#photo-name"]).to_have_text("large.jpg, 6000 × 4000")
    tab.stroke((1000, 1000), (1400, 1200), tool="brush", size=100)
    fitted = tab.scale
    tab.zoom(2, 3000, 2000)
    tab.stroke((2950, 1960), (3040, 2010), tool="box")
    mask = tab.mask
    assert mask.shape == (4000, 6000)
    assert np.array_equal(mask[1500:, 2000:], rectangle(2950, 1960, 3040, 2010, mask.shape)[1500:, 2000:])
    assert mask[1000, 1000]
    assert mask[1100, 1200]

    before = tab.screen(3000, 2000)
    tab.page.mouse.move(300, 400)
    tab.page.mouse.down(button="middle")
    tab.page.mouse.move(380, 350, steps=3)
    tab.page.mouse.up(button="middle")
    assert np.allclose(np.subtract(tab.screen(3000, 2000), before), (80, -50))
    tab["#canvas"].focus()
    tab.page.keyboard.down(" ")
    tab.page.mouse.move(380, 350)
    tab.page.mouse.down()
    tab.page.mouse.move(300, 400, steps=3)
    tab.page.mouse.up()
    tab.page.keyboard.up(" ")
    assert np.allclose(tab.screen(3000, 2000), before)
    tab["#zoom-fit"].click()
    assert np.isclose(tab.scale, fitted)
    assert np.array_equal(tab.mask, mask)

    tab.remove()
    assert tab.download("#keep") == tab.by_command(tmp_path / "command", "large.jpg", photo)


PHONE = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 3, "is_mobile": True, "has_touch": True}

SMALL_OR_HIDDEN = """() => {
    const wrong = [];
    const within = document.querySelector("dialog[open]") ?? document;
    for (const control of within.querySelectorAll("button, a[href], input:not([type=file])")) {
        if (!control.checkVisibility()) continue;
        const place = control.closest("label") ?? control;
        place.scrollIntoView({ block: "center" });
        const box = place.getBoundingClientRect();
        const name = control.id || control.textContent.trim() || control.value;
        if (box.height < 40 || box.width < 36) wrong.push(`${name}: ${box.width} x ${box.height}`);
        if (box.left < 0 || box.right > innerWidth) wrong.push(`${name}: from ${box.left} to ${box.right}`);
        const top = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
        if (!control.disabled && !place.contains(top)) wrong.push(`${name}: below ${top?.id || top?.tagName}`);
    }
    if (document.scrollingElement.scrollWidth > innerWidth) wrong.push(`${document.scrollingElement.scrollWidth} wide`);
    scrollTo(0, 0);
    return wrong;
}"""


def test_fingers_on_a_phone(visit):
    tab = visit(**PHONE)
    wrong = tab.page.evaluate(SMALL_OR_HIDDEN)
    tab.choose("photo.png", png())
    wrong += tab.page.evaluate(SMALL_OR_HIDDEN)
    fingers = Fingers(tab.page)
    with tab.marking():
        x, y = tab.screen(*SPOT)
        fingers("touchStart", (x - 12, y))
        for dx in range(-10, 13, 2):
            fingers("touchMove", (x + dx, y))
        fingers("touchEnd")
    mask = tab.mask
    assert mask[SPOT[1], SPOT[0] - 12 : SPOT[0] + 12].all()

    tab.page.evaluate("scrollTo(0, 0)")
    before, (x, y) = tab.scale, tab.screen(*SPOT)
    fingers("touchStart", (x - 20, y))
    fingers("touchStart", (x - 20, y), (x + 20, y))
    for apart in range(20, 61, 4):
        fingers("touchMove", (x - apart, y), (x + apart, y))
    until(lambda: np.isclose(tab.scale, 3 * before, rtol=0.01))
    assert np.allclose(tab.screen(*SPOT), (x, y), atol=2)
    fingers("touchEnd", (x - 60, y))  # one finger is lifted and comes back
    fingers("touchStart", (x - 60, y), (x + 60, y))
    for apart in range(60, 29, -5):
        fingers("touchMove", (x - apart, y), (x + apart, y))
    fingers("touchEnd")
    until(lambda: np.isclose(tab.scale, 1.5 * before, rtol=0.01))
    assert np.array_equal(tab.mask, mask)
    tab.press("#undo")
    expect(tab["#undo"]).to_be_disabled()  # there was one stroke
    tab.press("#redo")

    tab.remove()
    wrong += tab.page.evaluate(SMALL_OR_HIDDEN)
    tab["#change"].tap()
    wrong += tab.page.evaluate(SMALL_OR_HIDDEN)
    for dialog in ("#new-photo", "#help-open"):
        tab[dialog].tap()
        wrong += tab.page.evaluate(SMALL_OR_HIDDEN)
        tab.page.keyboard.press("Escape")
    assert not wrong


def test_all_the_way_by_the_keyboard(tab):
    press = tab.page.keyboard.press
    tab.tab_to("example")
    press("Enter")
    tab.wait("painting")
    tab.tab_to("canvas")
    with tab.marking():
        for key in ["ArrowRight"] * 3 + ["Enter"] + ["ArrowDown"] * 5 + ["ArrowLeft"] * 3 + ["Enter"]:
            press(key)
            assert tab.focused == "canvas"
    expect(tab["#mask-lines li"].first).to_contain_text("% of the photo is marked")
    for key in ("Control+z", "Control+y"):
        with tab.marking():
            press(key)
        assert tab.focused == "canvas"
    for button in ("undo", "redo"):  # each of which is disabled afterwards
        tab.tab_to(button)
        with tab.marking():
            press("Enter")
        expect(tab[f"#{button}"]).to_be_disabled()
        assert tab.focused != "BODY"
    for _ in range(50):
        press("Tab")
        if tab.page.evaluate("document.activeElement.name") == "preset":
            break
    press("ArrowUp")
    expect(tab["input[value=instant]"]).to_be_checked()
    tab.tab_to("remove")
    press("Enter")
    tab.wait("done")
    assert tab.focused != "BODY"
    tab.tab_to("split", "Shift+Tab")
    press("End")
    expect(tab["#split"]).to_have_value("100")
    for _ in range(4):
        press("ArrowLeft")
    expect(tab["#split"]).to_have_value("98")
    tab.tab_to("hold")
    tab.page.keyboard.down("Enter")
    expect(tab["#badge"]).to_have_text("Original")
    tab.page.keyboard.up("Enter")
    expect(tab["#badge"]).to_be_hidden()
    tab.tab_to("keep")
    with tab.page.expect_download() as download:
        press("Enter")
    assert download.value.suggested_filename == "rocket_filled.jpg"
    tab.tab_to("change")
    press("Enter")
    tab.wait("painting")
    assert tab.focused != "BODY"
    tab.tab_to("new-photo", "Shift+Tab")
    press("Enter")
    expect(tab["#ask"]).to_be_visible()
    press("Enter")  # on what loses nothing
    expect(tab["#ask"]).to_be_hidden()
    assert tab.focused == "new-photo"
    press("Enter")
    tab.tab_to("ask-yes", "Shift+Tab")
    press("Enter")
    tab.wait("start")
    assert tab.focused != "BODY"


def test_cancel_gives_the_page_back_at_once_and_the_server_soon(tab, server):
    opened(tab, marked=False)
    tab.stroke((40, 40), (280, 200), tool="box")
    mask = tab.mask
    tab.remove("best", state="working")
    expect(tab["#badge"]).to_have_text("Preview")
    expect(tab["#fill-text"]).to_contain_text("left")
    began = time.monotonic()
    tab["#cancel"].click()
    tab.wait("painting")
    assert time.monotonic() - began < 1
    expect(tab["#remove"]).to_be_enabled()
    assert tab.focused != "BODY"
    with server.client as client:
        session = begin(client)
        paint(client, session)
        filled(client, session)
    assert time.monotonic() - began < 6
    assert np.array_equal(tab.mask, mask)
    tab.press("#undo")
    tab.stroke(SPOT, tool="brush", size=56)
    tab.remove()
    tab.looks(*SPOT, GREEN, within=60)


def test_two_people_at_once_each_get_their_own(visit, gate):
    photos = [png(), png(size=(200, 260), spot=(60, 150))]
    tabs = [opened(visit(), photos[0]), visit()]
    tabs[1].choose("other.png", photos[1])
    tabs[1].stroke((60, 150), tool="brush", size=56)
    masks = [tab.mask for tab in tabs]
    for tab in tabs:
        tab.remove(state="working")
    expect(tabs[1]["#fill-text"]).to_have_text("1 before yours")
    gate.set()
    for tab, photo, mask in zip(tabs, photos, masks, strict=True):
        tab.wait("done")
        before, after = (np.asarray(Image.open(io.BytesIO(file))) for file in (photo, tab.download("#keep")[1]))
        far = ~ndimage.binary_dilation(mask, iterations=16)
        assert np.array_equal(after[far], before[far])
        assert not np.array_equal(after, before)


def test_a_reload_goes_on_and_a_page_that_is_closed_cancels(visit, server, gate, monkeypatch):
    tab = opened(visit())
    mask = tab.mask
    tab.page.reload()
    tab.wait("painting")
    tab.looks(*SPOT, RED, within=40)
    tab['html:not([data-mask=""])'].wait_for(state="attached")
    assert np.array_equal(tab.mask, mask)

    tab.remove("default", state="working")
    tab.page.reload()
    tab.wait("working")
    expect(tab["#fill-progress"]).to_be_visible()
    expect(tab["#badge"]).to_have_text("Preview")
    gate.set()
    tab.wait("done")
    tab.looks(*SPOT, GREEN, within=60)
    tab["#change"].click()
    assert np.array_equal(tab.mask, mask)

    gate.clear()
    tab.remove(state="working")
    fill = server.sessions.all[tab.session].state  # what is asked for would be a sign of life
    until(lambda: fill().state == "filling")
    monkeypatch.setattr("inpaint.web.sessions.PATIENCE", 1.0)
    tab.page.close()
    until(lambda: fill().state == "cancelled")


def test_bad_files_get_the_servers_sentence_and_the_page_works_on(visit):
    visit.allowed = "Failed to load resource"  # browsers log refusals
    tab = visit()
    frames = [Image.fromarray(scene()), Image.fromarray(scene()[::-1])]
    bad = {
        "notes.doc": b"Buy milk.",
        "half.jpg": camera_jpeg()[:4000],
        "moving.gif": encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100),
    }

    def refused(place: str, name: str, file: bytes, at: str = "#photo-file", state: str = "start") -> None:
        with tab.page.expect_response(lambda response: response.request.method == "POST") as answer:
            tab.choose(name, file, at, state)
        assert answer.value.status >= 400
        sentence = answer.value.json()["detail"]
        assert name in sentence
        alert = tab[place]
        expect(alert).to_have_text(sentence)
        expect(alert).to_have_role("alert")
        expect(alert).to_be_visible()

    for name, file in bad.items():
        refused("#start-alert", name, file)
    opened(tab)
    expect(tab["#start-alert"]).to_be_hidden()
    mask = tab.mask
    tab.choose("notes.doc", bad["notes.doc"])
    with tab.page.expect_response(lambda response: response.request.method == "POST") as answer:
        tab["#ask-yes"].click()
    expect(tab["#notice"]).to_have_text(answer.value.json()["detail"])
    expect(tab["#notice"]).to_have_role("alert")
    colours = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    masks = {
        "notes.doc": bad["notes.doc"],
        "small.png": encoded(Image.new("L", (30, 20), 255)),
        "colours.png": encoded(Image.fromarray(colours)),
    }
    for name, file in masks.items():
        refused("#mask-alert", name, file, "#mask-file", "painting")
    assert np.array_equal(tab.mask, mask)
    tab.press("#undo")
    expect(tab["#mask-alert"]).to_be_hidden()
    tab.press("#redo")
    tab.remove()


def test_a_server_that_goes_away_and_comes_back(visit, server):
    visit.allowed = "net::ERR_"
    door = Door(server.url)
    visit.url = door.url
    tab = opened(visit())
    door.close()
    expect(tab["#lost"]).to_be_visible()
    expect(tab["#lost"]).to_have_role("alert")
    expect(tab["#lost"]).to_have_text("The server does not answer; is it still running?")
    tab["#remove"].click()
    expect(tab["#fill-alert"]).to_have_text("The server does not answer; is it still running?")
    tab.wait("painting")
    door.open()
    expect(tab["#lost"]).to_be_hidden()
    tab.remove()
    door.close()


def forget(tab: Tab, server: Running) -> None:
    """Forgets the session of a page, which then tells so."""
    with server.client as client:
        client.delete(f"/api/sessions/{tab.session}")
    told_gone(tab)


def test_a_session_that_is_gone_is_told(tab, server):
    opened(tab)
    forget(tab, server)
    opened(tab)


def told_gone(tab: Tab) -> None:
    """Waits until a page tells that its session is gone."""
    tab.wait("start")
    expect(tab["#start-alert"]).to_have_text("The photo that was open here is no longer kept. Please open it again.")


def test_eight_tabs_of_one_browser_though_it_makes_six_connections(visit, server):
    visit.allowed = "404"  # browsers log refusals
    tabs: list[Tab] = []
    for _ in range(8):
        if tabs:
            tabs[-1].hide()
        tabs.append(tabs[-1].beside() if tabs else visit())
        tabs[-1]["#example"].click()
        tabs[-1].wait("painting")
    tabs[-1].stroke((200, 250), tool="brush", size=40)
    tabs[-1].remove()
    assert tabs[-1].download("#keep")[0] == "rocket_filled.jpg"
    assert len({tab.session for tab in tabs}) == 8

    with server.client as client:
        client.delete(f"/api/sessions/{tabs[0].session}")
    tabs[-1].hide()
    tabs[0].hide(False)
    told_gone(tabs[0])


def test_a_tab_that_nobody_sees_listens_as_long_as_a_fill_runs_and_then_asks_each_minute(visit, server, gate):
    visit.allowed = "404"
    tab = visit()
    tab.page.clock.install()
    tab.page.reload()
    opened(tab)
    tab.remove("default", state="working")
    tab.hide()
    expect(tab["#badge"]).to_have_text("Preview")
    gate.set()
    tab.wait("done")
    session = server.sessions.all[tab.session]
    until(lambda: session.listeners == 0)
    with server.client as client:
        client.delete(f"/api/sessions/{tab.session}")
    tab.page.wait_for_timeout(500)  # nobody tells it
    expect(tab["#editor"]).to_be_visible()
    tab.page.clock.fast_forward(60_000)
    told_gone(tab)


def test_nothing_is_lost_before_one_has_agreed(visit):
    visit.allowed = "422"
    tab = opened(visit(), marked=False)
    tab.paste("second.png", png())  # there was nothing to lose
    expect(tab["#photo-name"]).to_contain_text("second.png")
    tab.stroke(SPOT, tool="brush", size=56)
    tab.remove()
    tab["#change"].click()
    mask, session, asked = tab.mask, tab.session, len(visit.seen.requests)
    tab["#canvas"].focus()

    def stays() -> None:
        expect(tab["#ask"]).to_be_hidden()
        assert (tab.focused, tab.session) == ("canvas", session)
        assert len(visit.seen.requests) == asked
        expect(tab["#photo-name"]).to_contain_text("second.png")

    for bring in (tab.paste, tab.drop):
        bring("third.png", png())
        dialog = tab.page.get_by_role("alertdialog", name="Open the new photo?")
        expect(dialog).to_have_accessible_description(
            "This page will forget what is marked and the result of second.png. Files that were kept stay."
        )
        expect(dialog.get_by_role("button")).to_have_text(["Open the new photo", "Stay here"])
        bring("fourth.png", png())  # once more by accident
        if bring == tab.paste:
            tab.page.keyboard.press("Escape")
        else:
            tab.page.keyboard.press("Enter")
        stays()
    assert np.array_equal(tab.mask, mask)

    tab.paste("notes.doc", b"Buy milk.")
    tab["#ask-yes"].click()
    expect(tab["#notice"]).to_contain_text("notes.doc")
    assert tab.session == session
    assert np.array_equal(tab.mask, mask)
    tab["#back"].click()
    tab["#more"].click()
    tab.wait("painting")
    tab["#new-photo"].click()
    dialog = tab.page.get_by_role("alertdialog", name="Leave this photo?")
    expect(dialog).to_have_accessible_description(
        "This page will forget what is marked, the result and all 2 steps of second.png. Files that were kept stay."
    )
    dialog.get_by_role("button", name="Stay here").click()
    tab.paste("third.png", png())
    tab["#ask-yes"].click()
    expect(tab["#photo-name"]).to_contain_text("third.png")
    expect(tab["#steps"]).to_be_hidden()
    assert tab.session != session


def test_what_was_made_before_stays_until_there_is_something_new(tab, gate, monkeypatch):
    opened(tab)
    tab.remove("default", state="working")
    expect(tab["#badge"]).to_have_text("Preview")
    tab["#cancel"].click()
    tab.wait("painting")
    expect(tab["#back"]).to_be_hidden()

    gate.set()
    tab.remove("default")
    kept = tab.download("#keep")
    gate.clear()
    tab["#change"].click()
    tab.stroke((60, 60), size=20)
    tab.remove(state="working")
    tab.looks(*SPOT, RED)  # what was made before is not what is under way
    tab["#cancel"].click()
    tab.wait("painting")
    tab["#back"].click()
    tab.wait("done")
    assert tab.download("#keep") == kept

    def broken(*_: Any) -> None:
        raise UserError("The disk is on fire.")

    gate.set()
    monkeypatch.setattr("inpaint.web.filling.fill_one", broken)
    tab["#change"].click()
    tab.remove(state="painting")
    expect(tab["#fill-alert"]).to_have_text("The disk is on fire.")
    tab["#canvas"].focus()
    tab.page.keyboard.press("v")
    tab.wait("done")
    assert tab.download("#keep") == kept
    monkeypatch.undo()
    tab["#change"].click()
    tab.remove()
    expect(tab["#variants button"]).to_have_count(0)
    assert tab.download("#keep") != kept


def test_a_variant_that_fails_leaves_those_before_it_to_be_kept(tab, monkeypatch, tmp_path):
    def second_fails(inpainter: Any, job: Job, *more: Any) -> Any:
        if job.variant == 2:
            raise UserError("The disk is on fire.")
        return fill_one(inpainter, job, *more)

    monkeypatch.setattr("inpaint.web.filling.fill_one", second_fails)
    photo = png()
    opened(tab, photo)
    tab.remove(variants=3)
    expect(tab["#done-alert"]).to_have_text("The disk is on fire.")
    expect(tab["#done-alert"]).to_be_visible()
    tab.looks(*SPOT, GREEN, within=60)
    assert tab.download("#keep") == tab.by_command(tmp_path / "command", "photo.png", photo)
    tab["#more"].click()
    tab.wait("painting")


def test_a_cancel_does_not_overtake_the_fill(tab, server, gate):
    opened(tab)
    requests: list[str] = []
    tab.page.on("request", lambda request: request.url.endswith("/fill") and requests.append(request.method))
    with tab.held("**/steps/*/fill") as fills:
        tab.remove(state="working")
        tab["#cancel"].click()
        tab.wait("painting")
        tab["#remove"].click()  # waits for its turn
        tab.page.wait_for_timeout(300)
        assert len(fills) == 1
        assert requests == ["POST"]
    tab.wait("working")
    gate.set()
    tab.wait("done")
    assert requests == ["POST", "DELETE", "POST"]
    assert server.sessions.all[tab.session].state().state == "done"


def test_remove_more_tells_that_it_works_and_does_so_once(tab):
    opened(tab)
    tab.remove()
    with tab.held("**/next") as asked:
        tab["#more"].dblclick()
        expect(tab["#more"]).to_be_disabled()
        expect(tab["#more"]).to_have_attribute("aria-busy", "true")
        expect(tab["#opening"]).to_be_visible()
        assert len(asked) == 1
    tab.wait("painting")
    expect(tab["#opening"]).to_be_hidden()
    expect(tab["#steps button"]).to_have_count(2)
    assert tab.focused != "BODY"


def test_the_command_is_copied(tab):
    tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened(tab)
    tab.remove()
    tab["#copy"].click()
    expect(tab["#status"]).to_have_text("Copied.")
    command = tab["#command"].inner_text()
    assert command.startswith("python -m inpaint.fill photo.png --mask photo_mask.png --preset instant")
    assert tab.page.evaluate("navigator.clipboard.readText()") == command


def test_two_tabs_of_one_session_never_show_another_photo_under_an_old_step(visit):
    visit.allowed = "404"
    tab = opened(visit())
    tab.remove(variants=3)
    tab["#more"].click()
    tab.wait("painting")
    other = tab.duplicate()
    other.wait("painting")
    old = other.page.locator("#steps button[aria-current=step]").get_attribute("data-step")

    tab["#steps button"].nth(0).click()
    tab["#variants button"].nth(2).click()
    tab["#more"].click()
    tab.wait("painting")
    new = tab.page.locator("#steps button[aria-current=step]").get_attribute("data-step")
    assert new != old
    tab.stroke((60, 60), tool="brush", size=20)
    mask = tab.mask

    # The other one learns of it as soon as it asks for something; what it drew on the old step is not drawn on the new.
    other["[data-tool=box]"].click()
    other.page.mouse.move(*other.screen(100, 20))
    other.page.mouse.down()
    other.page.mouse.move(*other.screen(140, 60), steps=3)
    other.page.mouse.up()
    expect(other["#notice"]).to_contain_text("Another tab")
    expect(other["#mask-alert"]).to_be_hidden()
    expect(other["#steps button"]).to_have_count(2)
    expect(other[f'#steps button[data-step="{new}"]']).to_have_attribute("aria-current", "step")
    other['html:not([data-mask=""])'].wait_for(state="attached")
    assert np.array_equal(other.mask, mask)
    pictures = {url.split("/steps/")[1] for url in visit.seen.requests if re.search(r"/steps/\d+/picture$", url)}
    assert pictures == {f"{number}/picture" for number in ("0", old, new)}

    # Where one fills, the other one looks too, and hears at once when steps are given up.
    tab.remove()
    other.wait("done")
    tab["#steps button"].nth(0).click()
    tab["#change"].click()
    tab.remove()
    expect(other["#steps button"].nth(0)).to_have_attribute("aria-current", "step")
    other.wait("done")
    other["#steps button"].nth(1).click()
    tab["#more"].click()
    expect(other["#notice"]).to_contain_text("Another tab")
    expect(other[f'#steps button[data-step="{new}"]']).to_have_count(0)
    expect(other["#remove"]).to_be_disabled()


def test_the_apis_documentation_asks_no_other_host(visit, server):
    tab = visit(f"{server.url}/docs")
    expect(tab.page.get_by_text("/api/fill")).to_be_visible()
    assert len(visit.seen.requests) >= 5


NAMED = {"button", "link", "slider", "radio", "checkbox", "textbox", "progressbar", "application", "dialog", "group"}

CONTRASTS = """() => {
    const parse = (text) => {
        const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
        return [r, g, b, a];
    };
    const over = (top, below) => [0, 1, 2].map((n) => top[n] * top[3] + below[n] * (1 - top[3]));
    const light = (color) => {
        const [r, g, b] = color.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (element) => {
        if (!element) return [255, 255, 255];
        const own = parse(getComputedStyle(element).backgroundColor);
        return own[3] === 1 ? own.slice(0, 3) : over(own, ground(element.parentElement));
    };
    const low = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    let count = 0;
    while (walker.nextNode()) {
        const [text, element] = [walker.currentNode.textContent.trim(), walker.currentNode.parentElement];
        if (!text || !element.checkVisibility({ visibilityProperty: true })) continue;
        if (element.closest(".unseen, script, style")) continue;
        count += 1;
        const below = ground(element);
        const [a, b] = [light(over(parse(getComputedStyle(element).color), below)), light(below)].sort((x, y) => y - x);
        const contrast = (a + 0.05) / (b + 0.05);
        if (contrast < 4.5) low.push(`${text}: ${contrast.toFixed(2)}`);
    }
    return [count, low];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_and_name_all_that_there_is(visit, gate, scheme):
    tab = visit(color_scheme=scheme)
    tree = tab.page.context.new_cdp_session(tab.page)
    wrong = []

    def look() -> None:
        count, low = tab.page.evaluate(CONTRASTS)
        assert count >= 5
        wrong.extend(low)
        nodes = tree.send("Accessibility.getFullAXTree")["nodes"]
        for node in nodes:
            role = node.get("role", {}).get("value")
            if role in NAMED and not node["ignored"] and not node.get("name", {}).get("value", "").strip():
                wrong.append(f"{tab['html'].get_attribute('data-state')}: a {role} without a name")
        assert sum(node.get("role", {}).get("value") == "button" for node in nodes) >= 1

    assert tab["html"].get_attribute("lang") == "en"
    expect(tab["h1"]).to_have_count(1)
    red, *_ = tab.page.evaluate("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)")
    assert red > 200 if scheme == "light" else red < 50
    look()
    opened(tab)
    look()
    for button in ("#help-open", "#new-photo"):
        tab[button].click()
        look()
        tab.page.keyboard.press("Escape")
    tab.remove("default", variants=3, state="working")
    expect(tab["#badge"]).to_have_text("Preview")
    look()
    tab["#cancel"].click()
    gate.set()
    tab.remove(variants=3)
    look()
    tab["#change"].click()
    look()
    tab["#back"].click()
    tab["#more"].click()
    tab.wait("painting")
    look()
    assert not wrong


def test_a_name_that_is_html_is_shown_as_text(visit, server):
    name = "<img src=x onerror=alert(1)>.png"
    tab = visit()
    tab.choose(name, png())
    expect(tab["#photo-name"]).to_have_text(f"{name}, 320 × 240")
    tab.stroke(SPOT, tool="brush", size=56)
    tab.remove()
    expect(tab["#command"]).to_contain_text(name)
    expect(tab["img[src=x]"]).to_have_count(0)
    tab["#more"].click()
    expect(tab["#photo-name"]).to_contain_text("<img src=x onerror=alert(1)>_filled.png")
    expect(tab["img[src=x]"]).to_have_count(0)
    assert "/x" not in [url.removeprefix(server.url) for url in visit.seen.requests]
