"""benchmarks/full_size.py on tiny members: what it measures, and that it goes on where it ended."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import full_size
from pseudoword.config import PlanConfig
from pseudoword.training.memory_plan import plan_memory
from scripts import plan_table

CASE = full_size.Case("Sana 1.6B", None, "tiny", "cpu", "bfloat16", None, 2)


def test_a_tiny_member_is_measured_beside_its_plan(tmp_path: Path) -> None:
    measured = full_size.measure(CASE, tmp_path)
    assert measured["way"] == "16 bits"
    assert measured["px"] == 32
    assert all(seconds > 0 for seconds in measured["seconds"].values())
    assert measured["peak"].keys() == measured["planned"].keys() == full_size.PHASES.keys()
    plan = plan_memory(PlanConfig.check(base=str(tmp_path), dtype="bfloat16"))
    assert measured["planned"]["train"] == plan.need("none", checkpointing=False).nbytes
    shown = full_size.table([{"case": vars(CASE), **measured}])
    assert "| Sana 1.6B | 16 bits | 32 | CPU, " in shown


def test_a_failed_model_does_not_end_the_others_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []

    def measured(case: full_size.Case) -> dict[str, Any]:
        seen.append(case.model)
        one: dict[str, Any] = {"case": vars(case)}
        if case.model == "Z-Image" and len(seen) < 3:
            return one | {"error": "OutOfMemoryError: too large"}
        bytes_each = dict.fromkeys(full_size.PHASES, 1.0)
        return one | {
            **{"way": "8 bits", "px": 32, "card": "H100", "planned": bytes_each},
            **{"peak": bytes_each, "seconds": {"train": 1.0, "draw": 2.0}},
        }

    monkeypatch.setattr(full_size, "in_own_process", measured)
    asked = ["Z-Image", "Sana 1.6B", "--scale", "tiny", "--out", str(tmp_path)]
    with pytest.raises(SystemExit, match="not measured: Z-Image"):
        full_size.main(asked)
    assert "| Sana 1.6B | 8 bits | 32 | H100 |" in capsys.readouterr().out
    full_size.main(asked)
    assert seen == ["Z-Image", "Sana 1.6B", "Z-Image"]
    full_size.main([*asked, "--sampler-steps", "3"])  # another case
    assert len(seen) == 5


def test_what_ends_a_process_is_in_its_result(capfd: pytest.CaptureFixture[str]) -> None:
    full_size.main(["--case", json.dumps(vars(replace(CASE, way="16 bits", px=33)))])
    assert "multiple of" in json.loads(capfd.readouterr().out)["error"]


def test_the_mildest_way_that_the_plan_gives_room_for_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan_table.make_folder(tmp_path, CASE.model, tiny_member=True)
    planned = plan_memory(PlanConfig.check(base=str(tmp_path), dtype="bfloat16", device="cpu"))
    room = {"bytes": 1 << 40}
    monkeypatch.setattr(full_size, "memory_nbytes", lambda _: room["bytes"])
    assert full_size.mildest(planned, "cpu") == "16 bits"
    needs = {way: plan_table.peaks(planned, way) for way in plan_table.WAYS}
    assert needs["4 bits"].learning < needs["checkpointed"].learning < needs["16 bits"].learning
    room["bytes"] = 1
    with pytest.raises(MemoryError, match="no way fits"):
        full_size.mildest(planned, "cpu")
