"""What `submit` checks, sends and keeps in memory."""

import sys
import weakref
from pathlib import Path
from typing import Any

import pytest
from queued_words import submit, words

from pseudoword.errors import PseudowordError
from pseudoword.fleet import archive, jobs
from pseudoword.fleet.jobs import Job
from pseudoword.fleet.stores import FolderStore


def test_a_broken_picture_is_told_before_anything_is_submitted(base: Path, tmp_path: Path) -> None:
    folder = words(tmp_path / "words", "a", "b")
    (folder / "b" / "1.png").write_bytes(b"no picture")
    with pytest.raises(PseudowordError, match=r"1\.png is plain text"):
        submit(base, str(tmp_path / "queue"), folder)
    assert not (tmp_path / "queue").exists()


def test_a_word_that_no_worker_would_unpack_is_refused(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = words(tmp_path / "words", "a")
    nbytes = sum(path.stat().st_size for path in (folder / "a").iterdir())
    monkeypatch.setattr(archive, "LARGEST_NBYTES", nbytes)
    submit(base, str(tmp_path / "queue"), folder)
    (folder / "a" / "0.txt").write_text("a toy")
    with pytest.raises(PseudowordError, match="<a>: its files have"):
        submit(base, str(tmp_path / "queue"), folder)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere file names are text")
def test_a_file_name_that_is_no_text_is_told_before_anything_is_submitted(
    base: Path, tmp_path: Path
) -> None:
    folder = words(tmp_path / "words", "a")
    (folder / "a" / "1.png").rename(folder / "a" / "\udcff.png")
    with pytest.raises(PseudowordError, match=r"file name pictures/\\xff\.png is not UTF-8"):
        submit(base, str(tmp_path / "queue"), folder)
    assert not (tmp_path / "queue").exists()


def test_the_pictures_of_all_words_are_not_in_memory_at_once(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive, counts = weakref.WeakSet[Job](), []

    def make(*given: Any) -> Job:
        job = jobs.make_job(*given)
        alive.add(job)
        counts.append(len(alive))
        return job

    monkeypatch.setattr("pseudoword.commands.submit.make_job", make)
    queue = submit(base, str(tmp_path / "queue"), words(tmp_path / "words", *"abcd"))
    assert len(queue.jobs()) == 4
    assert max(counts) <= 2


def test_pictures_are_not_sent_again(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = submit(base, str(tmp_path / "queue"), words(tmp_path / "words", "a", "b"))
    (job, _) = queue.jobs()
    queue.store.remove(f"jobs/{job}.toml")  # as if `submit` had been killed before it was there
    sent, create = [], FolderStore.create

    def counted(store: FolderStore, name: str, data: bytes) -> bool:
        sent.append(name)
        return create(store, name, data)

    monkeypatch.setattr(FolderStore, "create", counted)
    submit(base, queue.address, tmp_path / "words")
    assert [name for name in sent if name.startswith("jobs/")] == [
        f"jobs/{job}.zip",
        f"jobs/{job}.toml",
    ]
