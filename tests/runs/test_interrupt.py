"""Which signals ask for a stop."""

import os
import signal

import pytest

from pseudoword.runs import interrupt


def test_a_break_of_windows_asks_for_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are no such signals here, so that another one stands for it."""
    monkeypatch.setattr(interrupt, "BREAK", signal.SIGUSR1)
    came: list[int] = []
    with interrupt.signals_to(lambda number, _frame: came.append(number)):
        os.kill(os.getpid(), signal.SIGUSR1)
    assert came == [signal.SIGUSR1]
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
