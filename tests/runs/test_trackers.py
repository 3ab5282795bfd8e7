"""Trackers: TensorBoard's files are read back; hosted trackers are replaced by a stand-in."""

import csv
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image
from support import Notes

from pseudoword.api import train
from pseudoword.config.callbacks import Log
from pseudoword.errors import RunFolderError, SettingsError

SETTINGS: dict[str, Any] = {"init": "cat", "steps": 3, "batch": 2, "evaluate_every": 2}


class StandIn(ModuleType):
    """The interface of wandb and trackio: `init`, `Image`, and a run's `log` and `finish`."""

    def __init__(self) -> None:
        super().__init__("stand-in")
        self.begun: dict[str, Any] = {}
        self.logged: list[tuple[int, dict[str, Any]]] = []
        self.finished = False

    def init(self, **options: Any) -> "StandIn":
        self.begun = options
        return self

    def Image(self, picture: Image.Image) -> tuple[str, tuple[int, int]]:  # noqa: N802
        return ("image", picture.size)

    def log(self, values: dict[str, Any], *, step: int) -> None:
        self.logged.append((step, values))

    def finish(self) -> None:
        self.finished = True


def test_the_csv_has_the_metrics_of_the_log(base: Path, pictures: Path, tmp_path: Path) -> None:
    done = train(
        pictures, "<cat>", base=str(base), out=tmp_path, log=["csv"], preview=(), **SETTINGS
    )
    with (done.folder / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (done.folder / "log.jsonl").read_text().splitlines()]
    assert [{k: float(v) for k, v in row.items() if v} for row in rows] == lines
    assert [bool(row["evaluation"]) for row in rows] == [True, False, True, True]


def test_tensorboard_reads_the_numbers_and_the_previews(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    preview = ["a [name] --s 1"]
    done = train(
        pictures,
        "<cat>",
        base=str(base),
        out=tmp_path,
        log=["tensorboard"],
        preview=preview,
        **SETTINGS,
    )
    events = EventAccumulator(str(done.folder / "tensorboard"))
    events.Reload()
    lines = [json.loads(line) for line in (done.folder / "log.jsonl").read_text().splitlines()]
    for name in ("loss", "lr", "evaluation"):
        expected = [(line["step"], line[name]) for line in lines if name in line]
        result = [(event.step, event.value) for event in events.Scalars(name)]
        assert result == [(step, pytest.approx(value)) for step, value in expected]
    (picture,) = events.Images("preview 1")
    assert (picture.step, picture.width, picture.height) == (3, 32, 32)


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_hosted_trackers_get_settings_metrics_and_previews(
    name: Log, base: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = StandIn()
    monkeypatch.setitem(sys.modules, name, module)
    out = tmp_path / "my-run"
    preview = ["a [name] --s 1"]
    train(pictures, "<cat>", base=str(base), out=out, log=[name], preview=preview, **SETTINGS)
    assert module.begun["project"] == "pseudoword"
    assert module.begun["name"] == "my-run"
    assert module.begun["config"]["steps"] == 3
    assert [step for step, _ in module.logged] == [0, 1, 2, 3, 3]
    assert {"loss", "lr", "norm", "grad", "evaluation"} <= set(module.logged[2][1])
    assert module.logged[-1] == (3, {"preview 1": ("image", (32, 32))})
    assert module.finished


def test_a_missing_library_is_named_before_anything_is_written(
    base: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(SettingsError, match="pip install wandb"):
        train(pictures, "<cat>", base=str(base), out=tmp_path / "run", log=["wandb"])
    assert not (tmp_path / "run").exists()


class Broken(StandIn):
    """A library that fails."""

    def __init__(self, where: str) -> None:
        super().__init__()
        for name in ("init", "log", "finish"):
            if name == where:
                setattr(self, name, self.fail)

    def fail(self, *_args: object, **_options: object) -> None:
        raise ConnectionError("the network is gone")


@pytest.mark.parametrize("where", ["log", "finish"])
def test_a_tracker_that_fails_does_not_stop_the_run(
    where: str, base: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "trackio", Broken(where))
    notes = Notes()
    done = train(
        pictures, "<cat>", base=str(base), out=tmp_path / "run", log=["trackio", "csv"],
        preview=(), progress=notes, **SETTINGS,
    )  # fmt: skip
    assert done.concept.provenance["steps"] == "3"
    (said,) = [text for text in notes.lines if "--log trackio" in text]
    assert "the network is gone" in said
    assert len((done.folder / "log.csv").read_text().splitlines()) == 5


def test_a_tracker_that_cannot_be_opened_is_an_error_before_the_first_step(
    base: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", Broken("init"))
    opened = StandIn()
    monkeypatch.setitem(sys.modules, "trackio", opened)
    with pytest.raises(SettingsError, match="--log wandb does not work: the network is gone"):
        train(
            pictures,
            "<cat>",
            base=str(base),
            out=tmp_path / "run",
            log=["trackio", "wandb"],
            **SETTINGS,
        )
    assert opened.finished
    assert not (tmp_path / "run" / "log.jsonl").exists()


def test_a_log_csv_of_someone_else_is_not_replaced(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    (tmp_path / "log.csv").write_text("mine")
    with pytest.raises(RunFolderError, match=r"log\.csv would be replaced"):
        train(pictures, "<cat>", base=str(base), out=tmp_path, log=["csv"], **SETTINGS)
    assert (tmp_path / "log.csv").read_text() == "mine"
