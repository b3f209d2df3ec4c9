"""The README's pictures of the page, side by side: at a desk, in the dark, on a phone.

python -m experiments.serving.pictures
"""

import io
import shutil
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from experiments.serving.served import served

TARGET = Path(__file__).with_name("page.jpg")
HEIGHT = 560  # of the joined picture, to which each one is made smaller
DESK = {"viewport": {"width": 1240, "height": 756}}
PHONE = {"viewport": {"width": 360, "height": 730}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}
TOWER = [(194, 112), (211, 112), (213, 330), (212, 427), (158, 427), (161, 390), (182, 270)]  # of the example photo


def painted(browser: Browser, url: str, **options: Any) -> Page:
    """The page with the example photo, of which the tower is marked."""
    page = browser.new_context(**options).new_page()
    page.goto(url)
    page.click("#example")
    page.click("[data-tool=lasso]")
    points = [page.evaluate("([x, y]) => window.inpaintView.toScreen(x, y)", point) for point in (*TOWER, TOWER[0])]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point)
    page.mouse.up()
    page.mouse.move(0, 0)
    page.locator('html:not([data-mask=""])').wait_for(state="attached")
    return page


def removed(page: Page) -> Page:
    """The same page once the tower is gone, which the slider's line shows half of."""
    page.click("#remove")
    page.locator("html[data-state=done]").wait_for(state="attached", timeout=300_000)
    page.fill("#split", "30")
    return page


def picture(page: Page) -> Image.Image:
    """What the page looks like."""
    page.wait_for_timeout(500)  # what is drawn comes with the next frames
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    return shot.resize((round(shot.width * HEIGHT / shot.height), HEIGHT), Image.Resampling.LANCZOS)


def main() -> None:
    """Serves, looks, and joins what was seen."""
    with served() as (url, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        pictures = [
            picture(painted(browser, url, **DESK)),
            picture(removed(painted(browser, url, color_scheme="dark", **DESK))),
            picture(removed(painted(browser, url, **PHONE))),
        ]
        browser.close()
    joined = Image.new("RGB", (sum(one.width for one in pictures), HEIGHT))
    left = 0
    for one in pictures:
        joined.paste(one, (left, 0))
        left += one.width
    joined.save(TARGET, quality=88)
    print(TARGET)


if __name__ == "__main__":
    main()
