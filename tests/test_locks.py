import multiprocessing
import os
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from pseudoword import locks
from pseudoword.errors import RunFolderError


def _hold(folder: Path, held: Event, done: Event) -> None:
    with locks.lock_folder(folder):
        held.set()
        done.wait(60)


def test_a_locked_folder_names_its_process_and_is_free_after_a_kill(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path, held, done))
    other.start()
    try:
        assert held.wait(60)
        with (
            pytest.raises(RunFolderError, match=rf"process {other.pid} on"),
            locks.lock_folder(tmp_path),
        ):
            pass
    finally:
        other.kill()
        other.join()
    with locks.lock_folder(tmp_path):
        pass


def test_a_folder_is_unlocked_although_its_note_cannot_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, while somebody who waits for the folder reads who has it."""

    def refused(_path: object) -> None:
        raise PermissionError

    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", refused)
        patched.setattr(Path, "unlink", lambda _path, missing_ok=False: refused(missing_ok))
        with locks.lock_folder(tmp_path):
            pass
    assert not locks.is_locked(tmp_path)
