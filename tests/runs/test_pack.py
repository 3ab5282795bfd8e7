"""Words in one pack: what happens to one of them happens to no other."""

import math
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from pseudoword import formats, train_pack
from pseudoword.config import TrainConfig
from pseudoword.errors import PseudowordError, StoppedError, TrainingError
from pseudoword.models.family import Family
from pseudoword.progress import Ending, Silent
from pseudoword.runs import checkpoint, pack, requests
from pseudoword.runs.folder import RunFolder
from pseudoword.runs.interrupt import Interrupted
from pseudoword.runs.planned import Options
from pseudoword.runs.run import Run
from pseudoword.runs.run import evaluate as real_evaluate
from pseudoword.runs.runner import learn
from pseudoword.training import loop
from pseudoword.training.early_stopping import EvaluationLoss
from pseudoword.training.state import TrainState
from pseudoword.training.step import take_step


@pytest.fixture
def configs(base: Path, pictures: Path, tmp_path: Path) -> list[TrainConfig]:
    """Two words of four steps, the second learned from other samples."""
    settings: dict[str, Any] = {"pictures": [pictures], "base": str(base), "init": "cat"}
    settings |= {"batch": 2, "steps": 4, "preview": (), "evaluate_every": 2}
    return [
        TrainConfig.check(**settings, token=f"<{name}>", out=tmp_path / name) for name in ("a", "b")
    ]


def elsewhere(config: TrainConfig, out: Path) -> TrainConfig:
    return config.model_copy(update={"out": out})


class Asking(Silent):
    """Asks the run in a folder to stop after a step of the pack."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def advance(self, done: int, total: int, detail: str = "") -> None:
        if done == 2 and detail.startswith("loss"):
            requests.ask(self.folder, "stop")


class Each:
    """Keeps what was noted of each word, which must be before it ended, and how it ended."""

    def __init__(self) -> None:
        self.how: dict[str, tuple[Ending, str]] = {}
        self.notes: list[tuple[str, str]] = []
        self.ends: dict[str, int] = {}

    def note_of(self, run: Path, text: str) -> None:
        assert run.name not in self.how
        self.notes.append((run.name, text))

    def soonest(self, run: Path, step: int) -> None:
        assert run.name not in self.how
        self.ends[run.name] = step

    def ended(self, run: Path, how: Ending, sentence: str) -> None:
        self.how[run.name] = how, sentence


def test_a_word_that_is_asked_to_stop_is_saved_and_the_others_are_finished(
    configs: list[TrainConfig], tmp_path: Path
) -> None:
    stops, goes_on = (config.folder for config in configs)
    with pytest.raises(StoppedError, match=r"Saved <a> at step 2 in .*a\. Call it"):
        train_pack(configs, progress=Asking(stops))
    assert formats.read(stops).provenance["steps"] == "2"
    assert formats.read(goes_on).provenance["steps"] == "4"
    done = train_pack(configs)
    alone = train_pack([elsewhere(configs[0], tmp_path / "alone")])[0]
    assert torch.equal(done[0].concept.vectors["clip_l"], alone.concept.vectors["clip_l"])


def test_a_word_that_is_asked_to_stop_before_it_begins_does_not_begin(
    configs: list[TrainConfig],
) -> None:
    requests.ask(configs[0].folder, "stop")
    with pytest.raises(StoppedError, match=r"^stopped, as stop\.request .* asked\. Call it"):
        train_pack(configs)
    assert not (configs[0].folder / "log.jsonl").exists()
    assert (configs[1].folder / "concept.safetensors").exists()
    assert len(train_pack(configs)) == 2


@pytest.mark.parametrize("while_preparing", ["set_up", "begin"])
def test_a_signal_stops_a_pack_that_is_being_prepared_before_its_first_step(
    configs: list[TrainConfig], monkeypatch: pytest.MonkeyPatch, while_preparing: str
) -> None:
    does, called = getattr(pack, while_preparing), []

    def and_a_signal_comes(*args: Any, **more: Any) -> Any:
        called.append(1)
        if len(called) == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return does(*args, **more)

    class Steps(Silent):
        trained = False

        def advance(self, done: int, total: int, detail: str = "") -> None:
            self.trained |= detail.startswith("loss")

    monkeypatch.setattr(pack, while_preparing, and_a_signal_comes)
    with pytest.raises(Interrupted):
        learn(configs, steps := Steps())
    assert len(called) == (1 if while_preparing == "set_up" else 2)
    assert not steps.trained
    monkeypatch.undo()
    assert all((one.folder / formats.CONCEPT_FILE).is_file() for one in learn(configs, Silent()))


def test_where_memory_is_too_small_to_evaluate_words_together_each_is_evaluated_alone(
    configs: list[TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = train_pack([elsewhere(config, tmp_path / config.token) for config in configs])

    def evaluate(family: Family, runs: Sequence[Run]) -> list[EvaluationLoss]:
        if len(runs) > 1:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return real_evaluate(family, runs)

    monkeypatch.setattr(pack, "evaluate", evaluate)
    done = train_pack(configs)
    for one, other in zip(done, usual, strict=True):
        assert torch.equal(one.concept.vectors["clip_l"], other.concept.vectors["clip_l"])


def test_a_word_whose_evaluation_fails_leaves_and_the_others_go_on(
    configs: list[TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    def evaluate(family: Family, runs: Sequence[Run]) -> list[EvaluationLoss]:
        if any(run.config.token == "<a>" and run.state.step == 2 for run in runs):
            raise PseudowordError("broken")
        return real_evaluate(family, runs)

    monkeypatch.setattr(pack, "evaluate", evaluate)
    each = Each()
    with pytest.raises(PseudowordError, match="1 of 2 words could not be learned"):
        learn(configs, Silent(), Options(keep_going=True), each=each)
    assert each.how["b"] == ("done", "<b> is ready.")
    assert each.how["a"][0] == "failed"
    assert each.how["a"][1].startswith("broken")


@pytest.mark.parametrize("steps", [1, 3])
def test_vectors_that_are_no_numbers_stop_their_own_word_only_and_are_not_saved(
    configs: list[TrainConfig], steps: int
) -> None:
    """Adam without eps divides zero by zero where a row had no gradient."""
    settings = {"optimiser": "Adam", "optimiser_option": ["eps=0.0"], "vectors": 3, "nested": 0.9}
    of_both = {"timestep_sampling": "uniform", "checkpoint_every": 1, "out": configs[0].folder}
    bad = TrainConfig.check(
        **configs[0].model_dump(exclude={*settings, *of_both, "steps"}, exclude_unset=True),
        **(settings | of_both),
        steps=steps,
    )
    for _ in range(2):  # the second time, it goes on from where it was
        with pytest.raises(TrainingError, match="1 of 2 words could not be learned") as raised:
            learn([bad, configs[1]], Silent(), Options(keep_going=True))
        failed = "<a>: step 1 made vectors that are not finite; the word of step 0 is kept"
        assert failed in str(raised.value)
    assert checkpoint.steps(bad.folder) == [0]
    assert formats.read(bad.folder).provenance["steps"] == "0"
    assert checkpoint.finished_step(configs[1].folder) == 4


def test_a_signal_saves_no_vectors_that_are_no_numbers(
    configs: list[TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Signals(Silent):
        def advance(self, done: int, total: int, detail: str = "") -> None:
            if done == 2 and detail.startswith("loss"):
                os.kill(os.getpid(), signal.SIGTERM)

    update = TrainState.update

    def spoilt(state: TrainState, lr: float) -> None:
        update(state, lr)
        if state.data.token == "<a>":
            state.method.parameters()[0].data.fill_(math.nan)
            state.average = {}

    every = [one.model_copy(update={"evaluate_every": 0, "average": False}) for one in configs]
    with monkeypatch.context() as patch:
        patch.setattr(TrainState, "update", spoilt)
        with pytest.raises(Interrupted, match="Saved <b> at step 1"):
            learn(every, Signals(), Options(keep_going=True))
    assert [checkpoint.steps(one.folder) for one in every] == [[0], [0, 1]]
    assert all((one.folder / formats.CONCEPT_FILE).is_file() for one in learn(every, Silent()))


def test_a_word_that_waits_for_memory_stops_when_it_is_asked_to(
    configs: list[TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    def crowded(family: Family, states: Sequence[TrainState]) -> Any:
        if len(states) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return take_step(family, states)

    monkeypatch.setattr(loop, "take_step", crowded)
    waits = configs[1].folder
    with pytest.raises(StoppedError, match=r"Saved <b> at step 0 in .*b\. Call it"):
        train_pack(configs, progress=Asking(waits))
    assert formats.read(configs[0].folder).provenance["steps"] == "4"


def test_a_request_that_comes_with_the_last_step_does_not_stop_what_is_added_later(
    configs: list[TrainConfig],
) -> None:
    class Late(Silent):
        def phase(self, text: str) -> None:
            if text.startswith("drawing"):
                requests.ask(configs[0].folder, "stop")

    drawn = TrainConfig.check(
        **configs[0].model_dump(exclude={"preview"}, exclude_unset=True), preview=["a [name] --s 1"]
    )
    (done,) = learn([drawn], Late())
    assert not [*done.folder.glob("*.request")]
    (longer,) = learn([drawn.model_copy(update={"extend": 2})], Silent())
    assert longer.concept.provenance["steps"] == "6"


def test_what_is_noted_of_a_finished_word_comes_before_its_end(
    configs: list[TrainConfig], pictures: Path
) -> None:
    learn(configs, Silent())
    next(pictures.iterdir()).unlink()
    each = Each()
    learn(configs, Silent(), each=each)
    told = {run for run, text in each.notes if "was learned from other" in text}
    assert told == each.how.keys() == {"a", "b"}


@pytest.mark.parametrize("joins", [False, True])
def test_each_word_that_failed_is_counted_also_of_one_name_and_where_it_joined_the_pack(
    configs: list[TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, joins: bool
) -> None:
    def evaluate(_family: Family, _runs: Sequence[Run]) -> list[EvaluationLoss]:
        raise PseudowordError("broken")

    monkeypatch.setattr(pack, "evaluate", evaluate)
    joining = [elsewhere(configs[0], tmp_path / "again")]
    first = [configs[0]] if joins else [configs[0], joining.pop()]
    with pytest.raises(TrainingError) as raised:
        learn(
            first,
            Silent(),
            Options(keep_going=True),
            more=lambda _room: [joining.pop()] if joining else [],
        )
    title, *lines = str(raised.value).splitlines()
    assert title.startswith("2 of 2 words could not be learned")
    assert lines == ["<a>: broken", "<a>: broken"]


def test_each_line_of_a_log_tells_how_many_words_shared_its_time(
    configs: list[TrainConfig],
) -> None:
    """So that a pack which goes on as a smaller one does not seem to have been as slow before."""
    stops, goes_on = (config.folder for config in configs)
    with pytest.raises(StoppedError):
        train_pack(configs, progress=Asking(stops))
    train_pack(configs)
    assert [each.get("words") for each in RunFolder(stops).read_log()] == [None, 2, 2, None, None]
    assert [each.get("words") for each in RunFolder(goes_on).read_log()] == [None, 2, 2, None, None]
