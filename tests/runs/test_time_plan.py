"""A run says how long its parts will take, and how long they took."""

import time
from pathlib import Path
from typing import Any

import pytest
from support import Notes, learn

from pseudoword.config import TrainConfig
from pseudoword.runs.time_plan import FORWARD, TimedProgress, last_step, samples_left
from pseudoword.training.early_stopping import SAMPLES


def config(**settings: Any) -> TrainConfig:
    usual: dict[str, Any] = {"preview": ("a [name] --s 9",), "batch": 2, "evaluate_every": 0}
    return TrainConfig.check(pictures=["here"], token="<cat>", **usual | settings)


class Clock:
    """A clock that is put forward by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_each_part_that_is_left_has_its_share() -> None:
    asked = config(steps=100)
    left = samples_left(asked, "measuring", 4, 100)
    assert left == {"measuring": 16, "learning": 200, "drawing": FORWARD * 9 * 2}
    assert samples_left(asked, "learning", 90, 100) == {"learning": 20, "drawing": FORWARD * 9 * 2}
    assert samples_left(config(steps=100, preview=()), "learning", 90, 100) == {"learning": 20}


def test_previews_on_the_way_and_larger_ones_take_longer() -> None:
    lines = ["[name] --s 3 --l 1", "[name] --s 3 --w 64 --h 32"]
    asked = config(steps=10, preview=lines, preview_every=4, resolution=32)
    left = samples_left(asked, "learning", 5, 10)
    assert left["drawing"] == pytest.approx(2 * FORWARD * (3 + 12))


def test_a_run_that_stops_by_itself_is_planned_to_where_it_can_first_stop() -> None:
    asked = config(steps="auto", max_steps=500, evaluate_every=5)
    assert last_step(asked) == 40
    assert last_step(config(steps="auto", max_steps=30, evaluate_every=5)) == 30


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"lr": "10%"}, 100),
        ({"lr": "11%"}, 95),  # far enough after 91, and evaluated every 5
        ({"lr": "10%", "warmup": 100}, 150),
        ({"lr": "1%"}, 40),  # it never comes so far
        ({"lr": "5e-4"}, 40),  # who knows without the model
        ({"lr": "10%", "optimiser": "SGD"}, 40),
        ({"lr": "10%", "method": "directional"}, 40),
    ],
)
def test_at_a_low_rate_it_can_first_stop_when_the_word_can_have_moved(
    settings: dict[str, Any], expected: int
) -> None:
    assert last_step(config(steps="auto", max_steps=500, evaluate_every=5, **settings)) == expected


def timed_progress(notes: Notes, only: TrainConfig, *foretold: Any) -> TimedProgress:
    timed = TimedProgress(notes, *foretold)
    timed.config = only
    return timed


def test_where_the_end_is_open_the_plan_tells_both_ends(clock: Clock) -> None:
    notes = Notes()
    open_end = config(steps="auto", max_steps=1000, evaluate_every=10, preview=())
    timed = timed_progress(notes, open_end)
    timed.phase("measuring which timesteps move <cat>")
    clock.now = 4.0
    timed.advance(4, 20)
    assert notes.lines == [
        "at least 3 min to go, at most 38 min: "
        "measuring 16 s, learning 3 min (to step 80, at most 1000)"
    ]


def test_an_end_that_is_known_better_after_the_first_plan_is_told(clock: Clock) -> None:
    """As that of a run which has found its rate."""
    notes = Notes()
    timed = timed_progress(
        notes, config(steps="auto", max_steps=1000, evaluate_every=10, lr="auto", preview=())
    )
    timed.phase("measuring which timesteps move <cat>")
    clock.now = 4.0
    timed.advance(4, 20)
    assert "(to step 80, at most 1000)" in notes.lines[0]
    timed.soonest = 510
    timed.phase("learning <cat>")
    for step in range(1, 11):
        clock.now += 2.0 + FORWARD * SAMPLES / 10
        timed.advance(step, 1000)
    (told,) = notes.lines[1:]
    assert "(to step 510, at most 1000)" in told


def test_a_run_tells_when_it_can_first_stop_at_a_low_rate(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    notes, out = Notes(), tmp_path / "run"
    settings = {"steps": "auto", "lr": 0.01, "evaluate_every": 1, "patience": 1, "max_steps": 40}
    learn(base, pictures, out, progress=notes, **settings)
    plans = [line for line in notes.lines if "to go" in line]
    steps = [int(line.partition("to step ")[2].partition(",")[0]) for line in plans]
    (stopped,) = (line for line in notes.lines if "stopped at step" in line)
    assert 8 < steps[0] <= int(stopped.partition("at step ")[2].partition(":")[0])


def test_whoever_shows_the_time_himself_is_told_it_and_there_is_no_note(clock: Clock) -> None:
    notes, told = Notes(), []
    open_end = config(steps="auto", max_steps=1000, evaluate_every=10, preview=())
    timed = timed_progress(notes, open_end, lambda least, most: told.append((least, most)))
    timed.phase("measuring which timesteps move <cat>")
    clock.now = 4.0
    timed.advance(4, 20)
    ((least, most),) = told
    assert 3 * 60 < least < most < 38.5 * 60
    assert notes.lines == []


def test_the_plan_is_told_from_the_first_samples_and_again_if_it_was_wrong(clock: Clock) -> None:
    notes = Notes()
    timed = timed_progress(notes, config(steps=10, preview=()))
    timed.phase("measuring which timesteps move <cat>")
    clock.now = 8.0
    timed.advance(4, 20)
    assert notes.lines == ["about 72 s to go: measuring 32 s, learning 40 s (to step 10)"]
    clock.now = 20.0
    timed.phase("learning <cat>")
    for step in range(1, 11):
        clock.now += 1.0
        timed.advance(step, 10)
    assert notes.lines[1:] == ["about 6 s to go: learning 6 s (to step 10)"]
    timed.finish()
    assert notes.lines[2:] == ["took 30.0 s: measuring 20.0 s, learning 10.0 s"]


def test_of_several_words_the_end_is_told_only(clock: Clock) -> None:
    notes = Notes()
    timed = TimedProgress(notes)
    timed.phase("learning <a>, <b>")
    for step in range(1, 11):
        clock.now += 1.0
        timed.advance(step, 20)
    timed.finish()
    assert notes.lines == ["took 10.0 s: learning 10.0 s"]


def test_of_a_run_without_any_part_nothing_is_told() -> None:
    notes = Notes()
    TimedProgress(notes).finish()
    assert notes.lines == []


def test_a_resumed_run_is_planned_from_where_it_is(clock: Clock) -> None:
    notes = Notes()
    timed = timed_progress(notes, config(steps=100, preview=()))
    timed.phase("learning <cat>")
    for step in range(91, 101):
        clock.now += (2 + FORWARD * SAMPLES) / 2 if step == 91 else 1.0
        timed.advance(step, 100)
    assert notes.lines == ["about 9 s to go: learning 9 s (to step 100)"]


def test_where_nothing_is_left_after_the_first_step_nothing_is_told(clock: Clock) -> None:
    notes = Notes()
    timed = timed_progress(notes, config(steps=1, preview=()))
    timed.phase("learning <cat>")
    clock.now = 1.0
    timed.advance(1, 1)
    assert notes.lines == []


def test_a_run_tells_both(base: Path, pictures: Path, tmp_path: Path) -> None:
    notes = Notes()
    learn(base, pictures, tmp_path / "run", progress=notes, steps=4, preview=("[name] --s 1",))
    (plan,) = (line for line in notes.lines if "to go" in line)
    assert plan.endswith("(to step 4), drawing 1 s")
    (took,) = (line for line in notes.lines if line.startswith("took "))
    parts = ["loading", "reading", "learning", "drawing"]
    assert [part.split()[0] for part in took.partition(": ")[2].split(", ")] == parts
