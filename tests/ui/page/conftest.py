"""A page that is really served, and a browser to look at it: Debian's chromium, through Playwright.

Where there is none, tests that need one are skipped, and say so.
"""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from served import Served

import pseudoword.ui.page  # noqa: F401 (before any test imports Gradio: it takes half the time)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    """How pytest-playwright starts the browser."""
    if CHROMIUM is None:
        pytest.skip("no chromium here: the tests of the page in a browser need one (Debian's)")
    return {"executable_path": CHROMIUM, "args": QUIET}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    pytest.importorskip("gradio", reason="the page needs gradio")
    page = Served(tmp_path_factory.mktemp("served") / "workspace")
    yield page
    page.stop()
    page.end_trainings()
