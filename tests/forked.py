"""Commands in processes of their own that need not import torch, diffusers and transformers again.

A server imports them once for each test process, and forks. What is forked is a whole process: with
streams, a folder and an environment of its own, and it can be sent any signal.
"""

import contextlib
import importlib
import multiprocessing
import os
import runpy
import signal
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing import forkserver
from pathlib import Path
from types import MappingProxyType
from typing import IO

import huggingface_hub.constants
import pytest

from pseudoword.ui import processes
from pseudoword.ui.workspace import Workspace

PRELOADED = (
    "spared",
    "matplotlib.figure",
    "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion",
    "diffusers.loaders.peft",
    "pseudoword.api",
    "pseudoword.internals",
    "pseudoword.ui.page",
    "torch.distributed.tensor",
    "basemodel.recipe",
)
"""Modules that take seconds to import, where they are there; matplotlib also searches for fonts.
To save a model, huggingface_hub imports that part of torch."""

FORKS = multiprocessing.get_context("forkserver")
"""The server that forks."""
FORKS.set_forkserver_preload(list(PRELOADED))


def start_server() -> None:
    """Start it before the first test, so that it also finds the modules of tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        forkserver.ensure_running()


class Process:
    """A command that runs beside the test, as `python -m module` or `python script.py` runs it.

    Of its streams, 0 to 2, any may be "closed", one that a reader has "left", or lead to a device;
    `env` is added to the test's own environment. Without `cwd`, it is in the test's own folder.
    """

    def __init__(
        self,
        *arguments: object,
        module: str | Path = "pseudoword",
        streams: Mapping[int, str] = MappingProxyType({}),
        env: Mapping[str, str] = MappingProxyType({}),
        cwd: Path | None = None,
    ) -> None:
        self._said = tempfile.TemporaryDirectory()
        here = (cwd or Path.cwd(), {**os.environ, **env}, self._said.name, dict(streams))
        given = (module, [*map(str, arguments)], *here)
        self._process = FORKS.Process(target=_run, args=given, daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        """The process's number."""
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """The exit code, below zero after a signal; None while it runs."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send signal `number`."""
        os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end, unless it has just ended."""
        with contextlib.suppress(ProcessLookupError):
            self.send_signal(signal.SIGTERM)

    def wait(self, seconds: float = 300) -> int:
        """Wait until it has ended, or kill it if it takes too long. Returns the exit code."""
        self._process.join(seconds)
        if self._process.exitcode is None:
            self._process.kill()
            raise TimeoutError(f"not finished after {seconds} s; it said {self.stderr!r}")
        return self._process.exitcode

    @property
    def stdout(self) -> str:
        """Everything written to stdout so far."""
        return self._read("stdout")

    @property
    def stderr(self) -> str:
        """Everything written to stderr so far."""
        return self._read("stderr")

    def _read(self, stream: str) -> str:
        path = Path(self._said.name, stream)
        return path.read_text(encoding="utf-8") if path.exists() else ""


class Trainings:
    """Starts trainings of a page's queue, as `processes.start_training` does."""

    def __init__(self) -> None:
        self.started: list[Process] = []

    def __call__(self, workspace: Workspace, name: str) -> Process:
        """Start the training of the word of that id."""
        one = Process(workspace.folder, name, module=processes.TRAINING)
        self.started.append(one)
        return one

    def kill(self) -> None:
        """Kill those that go on."""
        for one in self.started:
            if one.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    one.send_signal(signal.SIGKILL)
                one.wait()


def _give(number: int, kind: str) -> None:
    """Turn stream `number` into this kind."""
    if kind == "closed":
        os.close(number)
        return
    if kind == "left":
        reader, written = os.pipe()
        os.close(reader)
    else:
        written = os.open(kind, os.O_WRONLY)
    os.dup2(written, number)
    os.close(written)


def _stream(number: int) -> IO[str]:
    mode, lines = ("r", -1) if number == 0 else ("w", 1 if number == 2 else -1)
    return open(number, mode, encoding="utf-8", closefd=False, buffering=lines)


def _run(
    module: str | Path,
    arguments: list[str],
    cwd: Path,
    env: dict[str, str],
    said: str,
    streams: dict[int, str],
) -> None:
    """In the new process: become the command."""
    os.environ.clear()
    os.environ.update(env)
    importlib.reload(huggingface_hub.constants)  # it read the environment when it was imported
    vars(os)["fsync"] = lambda _descriptor: None  # as in shared_fixtures
    os.chdir(cwd)
    for number, name in ((1, "stdout"), (2, "stderr")):
        written = os.open(Path(said, name), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(written, number)
    for number, kind in streams.items():
        _give(number, kind)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        closed = streams.get(number) == "closed"
        setattr(sys, name, None if closed else _stream(number))
    sys.argv = [str(module), *arguments]
    if isinstance(module, str):
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    else:
        of_tests = {str(folder) for folder in Path(__file__).parents[:2]}
        sys.path[:] = [str(module.parent), *(path for path in sys.path if path not in of_tests)]
        runpy.run_path(str(module), run_name="__main__")
