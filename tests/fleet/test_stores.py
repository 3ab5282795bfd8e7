import os
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import s3fs

from pseudoword import files
from pseudoword.errors import SettingsError, StorageError
from pseudoword.fleet import stores
from pseudoword.fleet.queue import make_queue, open_queue
from pseudoword.fleet.stores import FolderStore, open_store


def test_an_object_is_there_whole_until_it_is_removed(address: str) -> None:
    store = open_store(address)
    assert store.read("a/b") is None
    store.put("a/b", b"one")
    store.put("a/b", b"two")
    assert open_store(address).read("a/b") == b"two"
    store.put("a/c/d", b"")
    store.put("ab", b"")
    assert store.names("a") == ["a/b", "a/c/d"]
    assert store.names("nothing") == []
    store.remove("a/b")
    store.remove("a/b")
    assert store.names("") == ["a/c/d", "ab"]


def test_a_store_says_when_an_object_was_written(address: str) -> None:
    store = open_store(address)
    before = datetime.now(UTC)
    for name in ("a/b", "a/c/d", "e"):
        store.create(name, b"")
    times = store.times("a")
    assert list(times) == store.names("a") == ["a/b", "a/c/d"]
    assert all(time and abs(time - before) < timedelta(hours=1) for time in times.values())
    assert store.times("nothing") == {}


def test_what_is_removed_while_it_is_listed_has_no_time(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.put("a/b", b"")
    with mock.patch.object(store, "names", return_value=["a/b", "a/gone"]):
        assert list(store.times("a")) == ["a/b"]


def test_what_is_there_is_not_created_again(address: str) -> None:
    store = open_store(address)
    assert store.create("a/b", b"one")
    assert not open_store(address).create("a/b", b"two")
    assert store.read("a/b") == b"one"


def test_of_those_who_create_at_once_one_does(address: str) -> None:
    stores = [open_store(address) for _ in range(6)]
    for name in map(str, range(5)):
        ready, created = threading.Barrier(len(stores)), []

        def create(number: int, name: str = name) -> None:
            ready.wait()  # noqa: B023 - the threads end before the next round
            if stores[number].create(name, str(number).encode()):
                created.append(number)  # noqa: B023

        threads = [threading.Thread(target=create, args=(i,)) for i in range(len(stores))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(created) == 1
        assert stores[0].read(name) == str(created[0]).encode()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_what_is_created_may_be_read_by_other_users(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        FolderStore(tmp_path).create("a/b", b"")
        FolderStore(tmp_path).put("a/c", b"")
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "a").iterdir()} == {0o640}


def test_a_file_that_is_being_written_is_not_seen(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)

    def killed(*_args: object) -> None:
        raise KeyboardInterrupt

    with mock.patch("os.link", killed), pytest.raises(KeyboardInterrupt):
        store.create("jobs/a.toml", b"half of it")
    (tmp_path / "jobs" / ".pseudoword-00000000-1-abcdefgh.tmp").write_bytes(b"half of it")
    assert store.names("jobs") == []
    assert store.create("jobs/a.toml", b"all of it")


@pytest.mark.parametrize("write", [FolderStore.create, FolderStore.put])
def test_what_a_killed_worker_left_is_removed_when_another_writes_there(
    write: Callable[[FolderStore, str, bytes], object], tmp_path: Path
) -> None:
    gone = 2**22 + 1  # no process has such a high number
    folder = tmp_path / "checkpoints" / "cat"
    folder.mkdir(parents=True)
    left = {
        "killed": (f".pseudoword-{files._HOST}-{gone}-abcdefgh.tmp", 100),
        "just now, perhaps in a container": (f".pseudoword-{files._HOST}-{gone}-abcdefg_.tmp", 0),
        "alive": (f".pseudoword-{files._HOST}-{os.getppid()}-abcdefgh.tmp", 100),
        "another host's": (".pseudoword-00000000-1-abcdefgh.tmp", 100),
        "another host's, long ago": (".pseudoword-00000000-1-abcdefg_.tmp", 4000),
    }
    for name, age_s in left.values():
        (folder / name).touch()
        os.utime(folder / name, (time.time() - age_s,) * 2)
    write(FolderStore(tmp_path), "checkpoints/cat/3.zip", b"all of it")
    assert (folder / "3.zip").read_bytes() == b"all of it"
    stay = {what for what, (name, _) in left.items() if (folder / name).exists()}
    assert stay == {"just now, perhaps in a container", "alive", "another host's"}


def test_a_store_that_replaces_what_is_there_is_refused(tmp_path: Path) -> None:
    def replaces(store: FolderStore, name: str, data: bytes) -> bool:
        store.put(name, data)
        return True

    with (
        mock.patch.object(FolderStore, "create", replaces),
        pytest.raises(SettingsError, match="replaces what is there"),
    ):
        make_queue(tmp_path / "queue")


def test_a_folder_without_links_is_refused(tmp_path: Path) -> None:
    def no_links(*_args: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    said = r"not permitted\. Its disk seems to have no hard links.* Choose a folder on another disk"
    with mock.patch("os.link", no_links), pytest.raises(StorageError, match=said):
        make_queue(tmp_path / "queue")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("gs://bucket/queue", "Of gs it is not known"),
        ("https://example.org/queue", "Of https it is not known"),
        ("s3://", "names no bucket"),
        ("", "names no file or folder"),
        ("s3:/bucket/queue", "write a bucket as s3://bucket/path"),
    ],
)
def test_an_address_of_no_store_is_refused(address: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        open_store(address)


def test_a_bucket_that_is_not_there_is_told(bucket: str) -> None:
    with pytest.raises(StorageError, match=r"nobody.*cannot be reached"):
        make_queue(f"s3://nobody-{uuid.uuid4().hex}/queue")


def test_an_object_of_a_bucket_is_read_in_one_request(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(bucket)
    store.put("a/b", b"one")
    asked: list[str] = []
    call = s3fs.S3FileSystem._call_s3

    async def counted(self: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        asked.append(method)
        return await call(self, method, *args, **kwargs)

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", counted)
    assert store.read("a/b") == b"one"
    assert asked == ["get_object"]


def test_buckets_need_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_args: object, **_more: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", missing)
    with pytest.raises(SettingsError, match=r"pseudoword\[fleet\]"):
        open_store("s3://bucket/queue")


def test_a_queue_is_made_in_an_empty_place_only(address: str) -> None:
    with pytest.raises(SettingsError, match="is no queue"):
        open_queue(address)
    open_store(address).put("diary.txt", b"mine")
    with pytest.raises(SettingsError, match="holds other files"):
        make_queue(address)
    assert open_store(address).names("") == ["diary.txt"]


def test_an_address_of_a_file_on_windows_begins_with_its_drive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stores, "WINDOWS", True)
    open_store("file:///C:/queue").put("mark", b"1")
    assert (tmp_path / "C:" / "queue" / "mark").read_bytes() == b"1"
