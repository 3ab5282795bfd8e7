"""Workers that Ray starts; skipped where Ray is not installed."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from forked import Process
from PIL import Image

from pseudoword import api
from pseudoword.errors import SettingsError
from pseudoword.fleet import history
from pseudoword.fleet.queue import open_queue


def test_without_the_extra_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = _queue(tmp_path, tmp_path / "base")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SettingsError, match=r"pseudoword\[fleet\]"):
        api.work(queue, ray="local")


def test_workers_belong_to_ray(tmp_path: Path) -> None:
    queue = _queue(tmp_path, tmp_path / "base")
    with pytest.raises(SettingsError, match="--workers has no effect without --ray"):
        api.work(queue, workers=2)


@pytest.mark.slow
def test_a_worker_that_is_killed_is_started_again(base: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    address = _queue(tmp_path, base)
    options = ("--ray", "local", "--workers", 2, "--pack", 1, "--lease", 1)
    driver = Process("work", address, *options)
    queue = open_queue(address)
    end = time.monotonic() + 200
    while not (running := queue.store.names("workers")):
        assert time.monotonic() < end, driver.stderr
        time.sleep(0.1)
    os.kill(int(running[0].rsplit("-", 2)[1]), signal.SIGKILL)
    assert driver.wait() == 0
    histories = queue.histories().values()
    assert [history.state(events) for events in histories] == ["done"] * 4
    assert [[e.kind for e in events].count("done") for events in histories] == [1] * 4


def _queue(folder: Path, base: Path) -> str:
    for name in "abcd":
        (folder / "words" / name).mkdir(parents=True)
        Image.new("RGB", (40, 32), "red").save(folder / "words" / name / "0.png")
    settings: dict[str, Any] = {"init": "cat", "batch": 2, "preview": "none", "base": str(base)}
    settings |= {"steps": 10, "checkpoint_every": 1, "timestep_sampling": "uniform"}
    api.submit(folder / "queue", folder / "words", **settings)
    return str(folder / "queue")
