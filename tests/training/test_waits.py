"""What a step waits for on a GPU, found without one."""

import json
from pathlib import Path

import pytest
import tiny
from forked import Process

SCRIPT = Path(__file__).parents[1] / "pretended_gpu.py"

OF_TRANSFORMERS = "transformers/masking_utils.py: a number is read"
"""Whether there is padding, as transformers asks for each text."""


@pytest.mark.parametrize("kind", tiny.DISTINCT)
def test_all_tensors_meet_on_the_device_and_a_step_waits_once(kind: str) -> None:
    """The gradient is that of the CPU; a graph needs nothing from main memory."""
    process = Process(kind, module=SCRIPT)
    assert process.wait(60) == 0, process.stderr
    report = json.loads(process.stdout)
    assert report["off"] < 1e-4
    assert report["graphable"] == (not report["predicting"])
    waits = {why: n for why, n in report["in 2 steps"].items() if why != OF_TRANSFORMERS}
    assert waits.pop("training/step.py: numbers are read") == 2
    assert not (report["graphable"] and waits)
