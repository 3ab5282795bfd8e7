"""Requests to a run: a file in its folder asks for previews, a copy or a stop."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from support import learn

from pseudoword import formats
from pseudoword.errors import StorageError
from pseudoword.progress import Silent
from pseudoword.runs.interrupt import Interrupted
from pseudoword.runs.requests import REQUESTS, Request, ask, take


class Asking(Silent):
    """Asks a run for something after one of its steps."""

    def __init__(self, folder: Path, request: Request, step: int) -> None:
        self.folder, self.request, self.step = folder, request, step

    def advance(self, done: int, total: int, detail: str = "") -> None:
        if done == self.step and detail.startswith("loss"):
            ask(self.folder, self.request)


@pytest.fixture
def request_settings() -> dict[str, Any]:
    return {"steps": 4, "batch": 2, "preview": ("a [name] --s 1",), "checkpoint_every": 100}


def test_asked_to_stop_it_saves_its_word_and_goes_on_later_as_if_it_had_not_been(
    base: Path, pictures: Path, tmp_path: Path, request_settings: dict[str, Any]
) -> None:
    out = tmp_path / "run"
    with pytest.raises(Interrupted, match="at step 3") as raised:
        learn(base, pictures, out, **request_settings, progress=Asking(out, "stop", 2))
    handed_on = pickle.loads(pickle.dumps(raised.value))  # as a pool of processes does
    assert (str(handed_on), handed_on.requested) == (str(raised.value), True)
    assert handed_on.exit_code == raised.value.exit_code
    assert formats.read(out).provenance["steps"] == "3"
    done = learn(base, pictures, out, **request_settings)
    unbroken = learn(base, pictures, tmp_path / "unbroken", **request_settings)
    assert torch.equal(done.concept.vectors["clip_l"], unbroken.concept.vectors["clip_l"])


def test_asked_for_previews_it_draws_them_once_and_learns_the_same(
    base: Path, pictures: Path, tmp_path: Path, request_settings: dict[str, Any]
) -> None:
    out = tmp_path / "run"
    done = learn(base, pictures, out, **request_settings, progress=Asking(out, "preview", 1))
    drawn = sorted(path.name for path in (out / "previews").glob("step-*"))
    assert drawn == ["step-2-1.png", "step-4-1.png"]
    plain = learn(base, pictures, tmp_path / "plain", **request_settings)
    assert torch.equal(done.concept.vectors["clip_l"], plain.concept.vectors["clip_l"])


def test_asked_to_save_it_keeps_a_copy(
    base: Path, pictures: Path, tmp_path: Path, request_settings: dict[str, Any]
) -> None:
    out = tmp_path / "run"
    learn(base, pictures, out, **request_settings, progress=Asking(out, "save", 1))
    assert [path.name for path in (out / "words").iterdir()] == ["step-2.safetensors"]


def test_a_request_is_told_once(tmp_path: Path) -> None:
    for request in REQUESTS:
        ask(tmp_path, request)
    ask(tmp_path, "stop")
    assert take(tmp_path) == set(REQUESTS)
    assert take(tmp_path) == set()
    assert take(tmp_path / "nowhere") == set()


def test_where_nothing_can_be_written_nothing_is_asked(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        ask(tmp_path / "file", "stop")
