"""How threads wait: what the user has decided holds."""

import os
import subprocess
import sys

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
