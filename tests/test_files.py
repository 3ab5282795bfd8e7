import errno
import multiprocessing
import os
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from pseudoword import files
from pseudoword.errors import PictureError, RunFolderError, StorageError


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.bin"
    files.write_whole(path, b"old")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"a\.bin.*disk is full.*resumes"):
        files.write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="in each other's way"):
        files.write_whole(tmp_path / "file" / "a.bin", b"new")


def test_written_files_have_the_usual_permissions(tmp_path: Path) -> None:
    files.write_whole(tmp_path / "ours", b"")
    (tmp_path / "usual").touch()
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_what_is_no_regular_file_is_named_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "large").write_bytes(bytes(2001))
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    for path, says in {
        "pipe": "it is a pipe",
        "link": "it is a pipe",
        "folder": "it is a folder",
        "/dev/zero": "it is a device",
        "large": "it has 2 kB; at most 2 kB are read",
        "gone": "No such file",
        "a\0b": "no file has such a name",
        "\udc00" * 300: "cannot be read",
    }.items():
        with pytest.raises(PictureError, match=f"cannot be read: .*{says}|{says}"):
            files.read_regular(tmp_path / path, 2000, PictureError)
    (tmp_path / "large").write_bytes(bytes(2000))
    assert files.read_regular(tmp_path / "large", 2000, PictureError) == bytes(2000)


def _hold(folder: Path, held: Event, done: Event) -> None:
    with files.hold(folder):
        held.set()
        done.wait(60)


def test_a_held_folder_names_its_holder_and_is_free_after_a_kill(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path, held, done))
    other.start()
    try:
        assert held.wait(60)
        with pytest.raises(RunFolderError, match=rf"process {other.pid} on"), files.hold(tmp_path):
            pass
    finally:
        other.kill()
        other.join()
    with files.hold(tmp_path):
        pass
