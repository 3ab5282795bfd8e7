import errno
import os
import re
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path, PureWindowsPath

import platformdirs
import pytest

from pseudoword import files, locks
from pseudoword.errors import PictureError, StorageError
from pseudoword.files import storage_error


def test_a_write_that_fails_keeps_the_old_file_and_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.bin"
    files.write_whole(path, b"old")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"a\.bin.*disk is full.*what was saved is kept"):
        files.write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be opened there")
def test_a_file_system_may_lack_permissions_and_syncing_of_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As FAT, and as some in a network; other errors count."""

    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    def no_folders(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(answer, os.strerror(answer))

    monkeypatch.setattr(os, "chmod", refused)
    monkeypatch.setattr(os, "fsync", no_folders)
    for answer in (errno.EINVAL, errno.EOPNOTSUPP):  # noqa: B007 - the folder's
        files.write_whole(tmp_path / "a.bin", b"new")
        assert (tmp_path / "a.bin").read_bytes() == b"new"
    answer = errno.EIO
    with pytest.raises(StorageError):
        files.write_whole(tmp_path / "b.bin", b"new")


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "The disk is full. Free some space"),
        (errno.EDQUOT, "The disk is full. Free some space"),
        (errno.EFBIG, "No larger file is allowed here (ulimit -f)"),
        (errno.EACCES, "Check the permissions"),
        (errno.EROFS, "Check the permissions"),
    ],
)
def test_a_write_that_fails_says_what_to_do(number: int, advice: str, tmp_path: Path) -> None:
    why = os.strerror(number)
    error = storage_error(tmp_path / "file", OSError(number, why))
    assert str(error).startswith(f"cannot write {tmp_path / 'file'}: {why}. {advice}")


def test_on_windows_what_another_program_keeps_open_is_to_be_closed_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "WINDOWS", True)
    error = PermissionError(errno.EACCES, "Permission denied")
    assert ". Close it in other programs, check the" in str(storage_error(tmp_path, error))


def test_a_folder_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="has the name of a"):
        files.write_whole(tmp_path / "file" / "a.bin", b"new")


def test_written_files_have_the_usual_permissions(tmp_path: Path) -> None:
    files.write_whole(tmp_path / "ours", b"")
    (tmp_path / "usual").touch()
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_files_that_are_not_regular_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "large").write_bytes(bytes(2001))
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    for path, message in {
        "pipe": "it is a pipe",
        "link": "it is a pipe",
        "folder": "it is a folder",
        "/dev/zero": "it is a device",
        "large": "it has 2 kB; at most 2 kB are read",
        "gone": "No such file",
        "a\0b": "no file can have this name",
        "\udc00" * 300: "cannot be read",
    }.items():
        with pytest.raises(PictureError, match=f"cannot be read: .*{message}|{message}"):
            files.read_regular(tmp_path / path, 2000, PictureError)
    (tmp_path / "large").write_bytes(bytes(2000))
    assert files.read_regular(tmp_path / "large", 2000, PictureError) == bytes(2000)


OURS = "checkpoint-12.pt"
LEFT = {
    "of a process that is gone": (".pseudoword-{host}-{dead}-abcdefgh.tmp", True),
    "of one that lives": (".pseudoword-{host}-{alive}-abcdefgh.tmp", False),
    "of another machine, just now": (".pseudoword-00000000-{dead}-abcdefgh.tmp", False),
    "of another machine, long ago": (".pseudoword-00000000-{dead}-abcdefg_.tmp", True),
    "somebody's": (".pseudoword-{host}-{dead}-abcdefgh.tmp2", False),
    "an editor's": (".notes.txt.a1b2c3d_", False),
    "not as we call them": (f".{OURS}.A1B2C3D", False),
    "plain": (OURS, False),
}
"""Unfinished file -> whether it is removed."""


@pytest.mark.parametrize("what", LEFT)
@pytest.mark.parametrize("ours", [False, True])
def test_only_files_of_dead_processes_are_removed(what: str, ours: bool, tmp_path: Path) -> None:
    gone = 2**22 + 1  # no process has such a high number
    with locks.lock_folder(tmp_path):
        name, goes = LEFT[what]
        path = tmp_path / name.format(host=files._HOST, dead=gone, alive=os.getppid())
        path.touch()
        if "long ago" in what:
            os.utime(path, (0, 0))
        files.remove_abandoned(tmp_path, ours=ours)
        assert path.exists() != goes


@pytest.mark.parametrize("hours", [-5, 5])
def test_the_clock_of_this_machine_may_differ_from_that_of_a_shared_folder(
    hours: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another machine writes just now is not removed, and what it left long ago is."""
    now, ago = (tmp_path / f".pseudoword-00000000-1-{name}.tmp" for name in ("a" * 8, "b" * 8))
    now.touch()
    ago.touch()
    seconds = time.time()
    os.utime(ago, (seconds - 2 * 3600,) * 2)
    monkeypatch.setattr(time, "time", lambda: seconds + hours * 3600)
    files.remove_abandoned(tmp_path, shared=True)
    assert [*tmp_path.iterdir()] == [now]


@pytest.mark.parametrize("full", [False, True])
def test_one_that_is_whole_meanwhile_keeps_no_other_one_there(
    full: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f".pseudoword-00000000-1-{letter * 8}.tmp" for letter in "abc"]
    for name in names:
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, 0))
    listed = [*os.scandir(tmp_path)]
    (tmp_path / listed[0].name).unlink()
    monkeypatch.setattr(os, "scandir", lambda _folder: iter(listed))

    def create_temporary(_folder: Path) -> tuple[int, str]:
        raise OSError(errno.ENOSPC, "No space left on device")

    if full:
        monkeypatch.setattr(files, "create_temporary", create_temporary)
    files.remove_abandoned(tmp_path)
    assert [*tmp_path.iterdir()] == []


def test_an_unfinished_file_is_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def die(*_args: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        for name in ("replace", "unlink"):
            patch.setattr(os, name, die)
        with pytest.raises(Killed):
            files.write_whole(tmp_path / ("猫" * 85), b"as long a name as there can be")
    (left,) = tmp_path.iterdir()
    assert files._TEMPORARY.fullmatch(left.name)
    files.remove_abandoned(tmp_path)  # another of our threads might be writing it
    assert left.exists()
    files.remove_abandoned(tmp_path, ours=True)
    assert not left.exists()


@pytest.mark.parametrize("token", ["a" * 500, "猫" * 99, "é" * 101, "🐱" * 60 + "x" * 99])
def test_each_token_has_a_short_file_name_of_its_own(token: str, tmp_path: Path) -> None:
    names = {files.file_stem(token), files.file_stem(f"{token}x")}
    assert len(names) == 2
    assert all(len(name.encode()) <= files.STEM_NBYTES for name in names)
    for name in names:
        files.write_whole(tmp_path / f"marks-{name}_2.safetensors", b"")
    assert files.file_stem("a" * 100) == "a" * 100


def test_words_of_signs_only_have_file_names_of_their_own() -> None:
    names = {files.file_stem(token) for token in ("<🐱>", "🐱", "<🐶>", "*", "<>")}
    assert len(names) == 5
    assert all(re.fullmatch("concept-[0-9a-f]{8}", name) for name in names)


@pytest.mark.parametrize("token", ["<CON>", "nul", "<com1>", "lpt9.x"])
def test_no_word_has_the_name_of_a_device_of_windows(token: str) -> None:
    name = files.file_stem(token)
    assert not PureWindowsPath(f"{name}.safetensors").is_reserved()
    assert name.startswith(token.strip("<>")[:3])
    assert files.file_stem("<console>") == "console"


@pytest.mark.parametrize(
    "change",
    [lambda d: d[:-1], lambda d: d[:50] + b"?" + d[51:], lambda d: d + b"0", lambda _: b""],
)
def test_a_checksum_detects_every_change(change: Callable[[bytes], bytes]) -> None:
    whole = files.with_checksum(bytes(range(256)))
    assert files.without_checksum(whole) == bytes(range(256))
    assert files.without_checksum(change(whole)) is None


def test_a_token_s_file_name_has_only_letters_that_the_system_allows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert files.file_stem("<кот-1>") == "кот-1"
    for encoding in ("latin-1", "ascii"):
        monkeypatch.setattr(sys, "getfilesystemencoding", lambda encoding=encoding: encoding)
        assert files.file_stem("<cat>") == "cat"
        names = {files.file_stem(token) for token in ("<кот-1>", "<пёс-1>", "猫", "犬")}
        assert len(names) == 4
        assert all(re.fullmatch("(ё?-?1-)?[0-9a-f]{8}", name) and name.isascii() for name in names)


def test_the_cache_is_in_the_system_s_cache_folder_or_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = tmp_path / "Library" / "Caches" / "pseudoword"
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda *_, **__: usual)
    monkeypatch.delenv("PSEUDOWORD_CACHE")
    assert files.cache_folder() == usual
    monkeypatch.setenv("PSEUDOWORD_CACHE", str(tmp_path / "chosen"))
    assert files.cache_folder() == tmp_path / "chosen"


def refusing(monkeypatch: pytest.MonkeyPatch, name: str, times: int) -> list[int]:
    """Let `os.<name>` be refused so many times, as on Windows while another has the file open."""
    usual, left = getattr(os, name), [times]

    def on_windows(*args: object, **kwargs: object) -> object:
        if left[0]:
            left[0] -= 1
            raise PermissionError(errno.EACCES, "The process cannot access the file")
        return usual(*args, **kwargs)

    monkeypatch.setattr(files, "WINDOWS", True)
    monkeypatch.setattr(os, name, on_windows)
    return left


def test_on_windows_a_file_that_somebody_reads_is_replaced_and_removed_a_moment_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "progress.json"
    files.write_whole(path, b"old")
    steps: dict[str, Callable[[], object]] = {
        "replace": lambda: files.write_whole(path, b"new"),
        "open": lambda: files.read_regular(path, 10, StorageError),
        "unlink": lambda: files.remove(path),
    }
    for name, do in steps.items():
        left = refusing(monkeypatch, name, 3)
        do()
        assert left == [0], name
    assert list(tmp_path.iterdir()) == []
    files.remove(path)  # there is nothing to remove


def test_what_nobody_may_replace_is_told_on_windows_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "PATIENCE_S", 0.0)
    refusing(monkeypatch, "replace", 1000)
    with pytest.raises(StorageError, match=r"cannot write .*a\.bin: .*check the permissions"):
        files.write_whole(tmp_path / "a.bin", b"new")
    assert list(tmp_path.iterdir()) == []


def test_elsewhere_nothing_is_tried_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = refusing(monkeypatch, "replace", 3)
    monkeypatch.setattr(files, "WINDOWS", False)
    with pytest.raises(StorageError):
        files.write_whole(tmp_path / "a.bin", b"new")
    assert left == [2]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        (r"C:\runs\my cat.v2\picture.png", ""),
        (r"runs\<cat>", "names on Windows have no < >"),
        (r"runs\cat?.png", r"names on Windows have no ?"),
        (r"D:\runs\a:b.png", "names on Windows have no :"),
        (r"runs\con", "Windows keeps the name con for a device"),
        (r"runs\AUX.png", "Windows keeps the name AUX.png for a device"),
        (r"runs\nul .\x", "Windows keeps the name nul . for a device"),
        (r"runs\console", ""),
    ],
)
def test_names_that_windows_has_not_are_known(path: str, why: str) -> None:
    inside = PureWindowsPath(path)
    assert files.unfit_for_windows(inside.relative_to(inside.anchor).parts) == why
