"""What a step waits for on a GPU, and what it asks of one, found without one."""

import json
from pathlib import Path
from typing import Any

import diffusers
import pytest
import tiny
from forked import Process

SCRIPT = Path(__file__).parents[1] / "pretended_gpu.py"

OF_TRANSFORMERS = "transformers/masking_utils.py: a number is read"
"""Whether there is padding, as transformers asks for each text."""

LIBRARIES = Path(diffusers.__file__).parent.parent


@pytest.fixture(scope="module")
def reports() -> Any:
    """Of all kinds, from one process."""
    process = Process(*tiny.DISTINCT, module=SCRIPT)
    assert process.wait() == 0, process.stderr
    return json.loads(process.stdout)


@pytest.mark.parametrize("kind", tiny.DISTINCT)
def test_all_tensors_meet_on_the_device_and_a_step_waits_once(kind: str, reports: Any) -> None:
    """The gradient is that of the CPU; a graph needs nothing from main memory."""
    report = reports[kind]
    assert isinstance(report, dict), report
    assert report["off"] < 1e-4
    assert report["graphable"] == (not report["predicting"])
    waits = {why: n for why, n in report["in 2 steps"].items() if why != OF_TRANSFORMERS}
    assert waits.pop("training/step.py: numbers are read") == 2
    assert not (report["graphable"] and waits)


@pytest.mark.parametrize("kind", tiny.DISTINCT)
def test_nothing_is_in_float64_on_the_device(kind: str, reports: Any) -> None:
    """Apple's GPUs have none. Where diffusers takes it, it takes float32 on those."""
    for place in reports[kind]["doubles"]:
        (source,) = LIBRARIES.glob(f"diffusers/**/{place}")
        assert "mps" in source.read_text(encoding="utf-8").lower()
