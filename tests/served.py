"""A page that is really served, in a process of its own, and what a person does on it."""

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from forked import Process, Trainings
from PIL import Image
from playwright.sync_api import Page, expect

from pseudoword.errors import RunFolderError
from pseudoword.ui import worker
from pseudoword.ui.jobs import Queue
from pseudoword.ui.workspace import Workspace

LONG_MS = 300_000
"""For everything that is waited for: machines of CI are slow, and what is quick does not wait."""

expect.set_options(timeout=LONG_MS)


class Answers(Protocol):
    """A page that is served, here or in another process."""

    url: str


class Served:
    """A page that answers at `url`, over the workspace in `folder`.

    Its queue is worked on from here, where a training need not import torch again; with
    `own_worker`, by the processes that the page starts.
    """

    def __init__(self, folder: Path, *more: str, own_worker: bool = False) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._command = ("ui", "--port", self.port, "--workspace", folder, *more)
        self._own_worker = own_worker
        self._over = threading.Event()
        self._trainings = Trainings()
        self._worker = threading.Thread(target=self._work, daemon=True)
        self.start()
        if not own_worker:
            self._worker.start()

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        self.process = Process(
            *self._command,
            module="pseudoword" if self._own_worker else "page_alone",
            env={"GRADIO_ANALYTICS_ENABLED": "False"},
        )
        until = time.monotonic() + LONG_MS / 1000
        while "the page is at" not in self.process.stdout:
            assert self.process.poll() is None, self.process.stderr
            assert time.monotonic() < until, self.process.stderr
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop the server, as Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        with contextlib.suppress(TimeoutError):  # killed then
            self.process.wait(20)

    def end_trainings(self) -> None:
        """End what outlives the page, and wait for it."""
        queue = Queue(Workspace(self.folder))
        for job in queue.jobs():
            if not job.over:
                queue.stop(job.id)
        until = time.monotonic() + LONG_MS / 1000
        while time.monotonic() < until and not all(job.over for job in queue.jobs()):
            time.sleep(0.2)
        self._over.set()
        self._trainings.kill()
        if not self._own_worker:
            self._worker.join()

    def _work(self) -> None:
        while not self._over.wait(0.2):
            with contextlib.suppress(RunFolderError):  # another page's
                worker.work(Workspace(self.folder), idle_s=0.0, start=self._trainings)


def keep_picture(page: Page, path: Path) -> None:
    """Write what the page shows, from top to end, to a PNG of 256 colours, which is smaller."""
    page.mouse.move(0, 0)
    page.screenshot(path=path, full_page=True)
    with Image.open(path) as shot:
        shot.convert("RGB").quantize(256).save(path, optimize=True)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def open_page(page: Page, served: Answers) -> None:
    """Load the page, and wait until it lives."""
    page.set_default_timeout(LONG_MS)
    page.goto(served.url)
    page.wait_for_function("window.pseudowordDataSet")


def wait_until(page: Page, holds: Callable[[], object]) -> None:
    """Give the page time until `holds`."""
    until = time.monotonic() + LONG_MS / 1000
    while not holds():
        assert time.monotonic() < until, "it never came to hold"
        page.wait_for_timeout(50)


def drop(page: Page, files: Sequence[Path]) -> None:
    """Drop pictures, with their captions and masks, on the first tab."""
    page.set_input_files("#drop input[type=file]", files)


def put(page: Page, control: str, value: object) -> None:
    """Type into the control of that id, as a person does: leave it, too."""
    place = page.locator(f"#{control} textarea, #{control} input").first
    place.fill(str(value))
    place.blur()


def put_number(page: Page, slider: str, value: float) -> None:
    """Type a number into the field of the slider that is called so."""
    place = page.get_by_label(f"number input for {slider}")
    place.fill(str(value))
    place.blur()


def quick_settings(page: Page, **values: object) -> None:
    """Open all settings, and set some."""
    page.get_by_role("button", name="All settings").first.click()
    for name, value in values.items():
        put(page, f"teach-{name}".replace("_", "-"), value)


def tab(page: Page, name: str) -> None:
    """Go to a tab."""
    page.get_by_role("tab", name=name, exact=True).click()
