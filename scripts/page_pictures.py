"""Draw the pictures of the page in docs/page/: each tab, in light and dark, and on a phone.

Run `python scripts/page_pictures.py` after the page has changed; it needs chromium and two minutes.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from served import LONG_MS, Served, drop, keep_picture, open_page, put, quick_settings, tab  # noqa: E402
from ui.page.conftest import CHROMIUM, QUIET  # noqa: E402

from pseudoword.example_files import EXAMPLE_PICTURES  # noqa: E402

OUT = ROOT / "docs" / "page"
WIDE = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


def main() -> None:
    """Teach two words, and take a picture of each tab."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    ).parse_args()
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        served = Served(Path(folder) / "workspace")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        try:
            page = browser.new_page(viewport=WIDE, color_scheme="light", device_scale_factor=1)  # type: ignore[arg-type]
            _teach(page, served)
            _use(page)
            _words(page)
            phone = browser.new_page(viewport=PHONE, color_scheme="dark")  # type: ignore[arg-type]
            open_page(phone, served)
            expect(phone.locator("#filmstrip img")).to_be_visible(timeout=LONG_MS)
            expect(phone.locator("#curves svg")).to_be_visible(timeout=LONG_MS)
            _keep(phone, "phone-dark")
        finally:
            browser.close()
            served.stop()
            served.end_trainings()


def _teach(page: Page, served: Served) -> None:
    open_page(page, served)
    put(page, "name", "my panda")
    put(page, "init", "bear")
    drop(page, sorted(p for p in EXAMPLE_PICTURES.iterdir() if p.suffix in {".png", ".txt"}))
    expect(page.locator("#seen img")).to_have_count(4, timeout=LONG_MS)
    settings = page.get_by_role("button", name="All settings").first
    quick_settings(page, steps=120, preview_every=20, save_every=40)
    put(page, "teach-preview", "a photo of a [name]\na [name] on a blue background")
    settings.click()
    page.click("#teach-start")
    for step in (20, 40, 60, 80):
        expect(page.locator("#status")).to_contain_text("learning <my-panda>", timeout=5 * LONG_MS)
        _wait_for_step(page, step + 5)
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_timeout(2000)
    _keep(page, "teach")
    expect(page.get_by_role("button", name="Use the word")).to_be_visible(timeout=5 * LONG_MS)
    expect(page.locator("#status")).to_contain_text("ready", timeout=5 * LONG_MS)


def _wait_for_step(page: Page, step: int) -> None:
    page.wait_for_function(
        "(step) => parseInt(document.querySelector('#status .when')?.textContent || '0') >= step",
        arg=step,
        timeout=5 * LONG_MS,
    )


def _use(page: Page) -> None:
    page.get_by_role("button", name="Use the word").click()
    put(page, "use-n", 4)
    page.get_by_label("Prompt", exact=True).fill("a photo of a <my-panda> on a blue background")
    page.click("#draw")
    expect(page.locator("#results img")).to_have_count(4, timeout=5 * LONG_MS)
    page.wait_for_timeout(1000)
    _keep(page, "use")


def _words(page: Page) -> None:
    tab(page, "Words")
    page.locator("#library button", has_text="<my-panda>").click()
    expect(page.locator("#facts")).to_contain_text("Vectors", timeout=LONG_MS)
    page.locator("#format input").click()
    page.get_by_role("option", name="AUTOMATIC1111", exact=True).click()
    expect(page.locator("#files a[download]").first).to_be_visible(timeout=LONG_MS)
    page.wait_for_timeout(1000)
    _keep(page, "words")


def _keep(page: Page, name: str) -> None:
    path = OUT / f"{name}.png"
    keep_picture(page, path)
    print(path)


if __name__ == "__main__":
    main()
