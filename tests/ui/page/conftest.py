"""A page that is really served, and a browser to look at it: Debian's chromium, through Playwright.

Where there is none, tests that need one are skipped, and say so.
"""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize
from served import Served

import pseudoword.ui.page  # noqa: F401 (before any test imports Gradio: it takes half the time)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()

WIDE: ViewportSize = {"width": 1280, "height": 720}


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    """How pytest-playwright starts the browser."""
    if CHROMIUM is None:
        pytest.skip("no chromium here: the tests of the page in a browser need one (Debian's)")
    return {"executable_path": CHROMIUM, "args": QUIET}


@pytest.fixture(scope="session")
def window(browser: Browser) -> Iterator[BrowserContext]:
    """What all tests of a worker look through: a new one would read Gradio's files anew."""
    made = browser.new_context(viewport=WIDE)
    made.new_page()
    yield made
    made.close()


@pytest.fixture
def page(window: BrowserContext) -> Iterator[Page]:
    """A page in a browser that remembers nothing of the tests before."""
    first = window.pages[0]
    yield first
    for other in window.pages[1:]:
        other.close()
    origin = first.url
    first.unroute_all(behavior="ignoreErrors")
    first.evaluate("origin === 'null' || (window.pseudowordDataSet = sessionStorage.clear())")
    first.goto("about:blank")  # nothing is written any more
    first.set_viewport_size(WIDE)
    session = window.new_cdp_session(first)
    of_it = {"origin": origin, "storageTypes": "cookies,local_storage"}
    session.send("Storage.clearDataForOrigin", of_it)
    session.detach()


@pytest.fixture
def own_page(context: BrowserContext) -> Page:
    """A page in a browser of its own, whose marks and scripts no other test shall have."""
    return context.new_page()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    pytest.importorskip("gradio", reason="the page needs gradio")
    page = Served(tmp_path_factory.mktemp("served") / "workspace")
    yield page
    page.stop()
    page.end_trainings()
