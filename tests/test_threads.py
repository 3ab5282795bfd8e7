"""How threads wait: what the user has decided holds."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pseudoword import threads

DECISIONS = (threads.SPIN, "OMP_WAIT_POLICY")


@pytest.mark.parametrize(
    ("decided", "becomes"),
    [
        ({}, threads.ROUNDS),
        ({threads.SPIN: "7"}, "7"),
        ({"OMP_WAIT_POLICY": "active"}, None),
    ],
)
def test_threads_wait_briefly_if_nobody_decided(
    decided: dict[str, str], becomes: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in DECISIONS:
        monkeypatch.delenv(name, raising=False)
    for name, value in decided.items():
        monkeypatch.setenv(name, value)
    threads.wait_briefly()
    assert os.environ.get(threads.SPIN) == becomes


@pytest.mark.parametrize(
    ("written", "decided", "becomes"),
    [
        ({"v2": "200000 100000\n"}, None, "2"),
        ({"v2": "250000 100000\n"}, None, "2"),
        ({"v2": "50000 100000\n"}, None, "1"),
        ({"v2": "200000 100000\n"}, "3", "3"),
        ({"v2": "800000 100000\n"}, None, None),
        ({"v2": "max 100000\n"}, None, None),
        ({"quota": "400000\n", "period": "100000\n"}, None, "4"),
        ({"quota": "-1\n", "period": "100000\n"}, None, None),
        ({}, None, None),
    ],
)
def test_in_a_container_there_are_as_many_threads_as_cores_that_it_may_use(
    written: dict[str, str],
    decided: str | None,
    becomes: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, attribute in (("v2", "QUOTA"), ("quota", "QUOTA_V1"), ("period", "PERIOD_V1")):
        monkeypatch.setattr(threads, attribute, tmp_path / name)
        if name in written:
            (tmp_path / name).write_text(written[name])
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.delenv(threads.COUNT, raising=False)
    if decided is not None:
        monkeypatch.setenv(threads.COUNT, decided)
    threads.keep_to_quota()
    assert os.environ.get(threads.COUNT) == becomes


def test_a_command_decides_before_torch_is_imported() -> None:
    code = (
        "import os, sys; from pseudoword.cli import app; "
        f"app.app = lambda: print(os.environ.get('{threads.SPIN}'), 'torch' in sys.modules); "
        "app.main()"
    )
    free = {name: value for name, value in os.environ.items() if name not in DECISIONS}
    said = subprocess.run(
        [sys.executable, "-c", code], env=free, capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == [threads.ROUNDS, "False"]


def test_a_flag_wakes_all_who_wait() -> None:
    flag, woken = threads.Flag(), list[bool]()
    waiting = [threading.Thread(target=lambda: woken.append(flag.wait(60))) for _ in range(3)]
    for thread in waiting:
        thread.start()
    assert not flag.wait(0.0)
    flag.set()
    for thread in waiting:
        thread.join(60)
    assert woken == [True] * 3
    assert flag.wait()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="Windows has no such timer")
def test_a_signal_handler_may_set_a_flag_whatever_it_has_interrupted() -> None:
    """With an event, handlers soon wait for the lock that they have interrupted."""
    code = (
        "import signal; from pseudoword import threads; made = []\n"
        "def handler(*_): made.append(1); flag.set()\n"
        "flag = threads.Flag(); signal.signal(signal.SIGALRM, handler)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0007)\n"
        "while len(made) < 3000: flag = threads.Flag(); flag.wait(0.0001)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


class Looks(threads.Flag):
    """Is set after so many looks; remembers how long each was to be."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looks, self.lengths = looks, list[float | None]()

    def _look(self, seconds: float | None) -> bool:
        """A look, which takes no time."""
        self.lengths.append(seconds)
        if len(self.lengths) == self.looks:
            self.set()
        return False


def test_on_windows_a_wait_looks_up_for_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "WINDOWS", True)
    flag = Looks(looks=1000)
    assert flag.wait()
    assert len(flag.lengths) == 1000
    assert {*flag.lengths} == {threads.LOOK_S}
    flag = Looks(looks=1000)
    assert not flag.wait(15.0)
    assert sum(length or 0 for length in flag.lengths) == pytest.approx(15, abs=threads.LOOK_S)
    monkeypatch.setattr(threads, "WINDOWS", False)
    flag = Looks(looks=1)
    assert flag.wait()
    assert flag.lengths == [None]
