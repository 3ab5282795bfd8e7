"""benchmarks/pareto.py on made-up scores: which settings are on the front, and what is shown."""

import json
import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import pareto
from pseudoword.benchmark.results import ResultTable
from pseudoword.benchmark.scoring import Score, Scores
from pseudoword.benchmark.tasks import Task
from pseudoword.config.variants import parse_variant

NAMES = ("octopus", "owl")


def scores(identity: float, following: float) -> Scores:
    kinds = dict.fromkeys(pareto.KINDS, following)
    return {
        name: Score(identity + more, following + more, recognised=0.5, kinds=kinds)
        for name, more in zip(NAMES, (0.0, 0.01), strict=True)
    }


def point(name: str, identity: float, following: float) -> pareto.Point:
    return pareto.Point(name, "", scores(identity, following), cpu_s=5.0 + following)


ALIKE, OBEDIENT, WORSE = (
    point("alike", 0.8, 0.6),
    point("obedient", 0.5, 0.9),
    point("no", 0.4, 0.8),
)
RESULTS = ResultTable("things", scores(0.2, 0.7), scores(0.9, 0.95), [])


def test_settings_are_on_the_front_unless_others_are_better_in_both() -> None:
    assert pareto.on_front([ALIKE, OBEDIENT, WORSE]) == [1, 1, 0]


def test_the_table_has_each_setting_and_its_difference_from_the_first() -> None:
    shown = pareto.table([ALIKE, OBEDIENT, WORSE], RESULTS)
    assert "| 1 | alike | 86% ± " in shown
    assert "| 5.6 | 100% |" in shown
    assert "| 5.8 | 0% |" in shown
    assert "| obedient | -30 ± 0 | +0 ± 0 | +30 ± 0 |" in shown


@pytest.mark.parametrize("costs", [[5.0, 6.0, math.nan], [math.nan] * 3])
def test_a_cost_that_is_not_known_is_left_out(costs: list[float]) -> None:
    points = [replace(one, cpu_s=s) for one, s in zip((ALIKE, OBEDIENT, WORSE), costs, strict=True)]
    assert "nan" not in pareto.table(points, RESULTS)
    assert pareto.picture(points, RESULTS).startswith(b"\x89PNG")


def test_all_compared_settings_are_settings() -> None:
    names = [parse_variant(settings).name for settings in pareto.COMPARED.values()]
    assert len(set(names)) == len(names)
    assert names[0] == "defaults"


def test_the_cost_of_a_pack_that_was_interrupted_is_not_counted(tmp_path: Path) -> None:
    class Run:
        learned = 0

        def learn(self, *_: Any) -> None:
            self.learned += 1

    def tasks(*names: str) -> Sequence[Task]:
        return [Task(name, "thing", [], []) for name in names]

    variant, run = parse_variant(""), Run()
    costs = pareto.Costs(tmp_path, variant)
    (tmp_path / "defaults" / "owl").mkdir(parents=True)
    for name in ("owl", "octopus", "octopus"):
        costs.learn(run, variant, tasks(name))  # type: ignore[arg-type]
    assert run.learned == 2, "the third time it is there"
    kept = json.loads((tmp_path / "cpu-seconds" / "defaults.json").read_text())
    assert kept["owl"] is None
    assert costs.mean(tasks("owl", "octopus")) == kept["octopus"]


def test_a_trial_leaves_the_figures_of_the_docs_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = SimpleNamespace(score_baseline=lambda name, _: getattr(RESULTS, name.split()[0][:5]))
    for name, made in {
        "BenchmarkRun": run,
        "Scorer": None,
        "SimilarityModel": None,
        "measure": ALIKE,
        "Console": nullcontext(),
    }.items():
        monkeypatch.setattr(pareto, name, lambda *_, made=made: made)
    tasks = SimpleNamespace(things=[], known_things=[])
    monkeypatch.setattr("benchmarks.pareto.TaskSet.build", lambda *_: tasks)
    monkeypatch.setattr(pareto, "some", lambda *_: [])
    monkeypatch.setattr(
        "benchmarks.pareto.base_model.load", lambda _: SimpleNamespace(resolution=64)
    )
    monkeypatch.setattr(pareto, "DOCS", tmp_path / "docs")
    asked = ["pareto", "--only", "defaults", "--out", str(tmp_path / "out")]
    for more, folder in ([], "out"), (["--docs"], "docs"):
        assert not (tmp_path / folder).exists()
        monkeypatch.setattr("sys.argv", [*asked, *more])
        pareto.main()
        assert "alike" in (tmp_path / folder / "methods.md").read_text()
