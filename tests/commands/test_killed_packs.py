"""`train-many` is killed at random moments; `benchmarks/kills.py` does it more often."""

import random
from pathlib import Path

import pytest
import torch

from benchmarks import kills
from pseudoword import formats
from pseudoword.runs import checkpoint


@pytest.mark.slow
def test_many_words_are_learned_in_spite_of_kills(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kills, "PACK", 4)
    found = kills.learn_and_kill(tmp_path, 5, 4, random.Random(0), compare=["alone"])
    assert found.kills >= 3
    assert found.code == 0
    for name in found.names:
        assert checkpoint.finished_step(found.together / name) == kills.STEPS
        # Packs round as runs of one word do only where the machine's kernels allow it.
        alone, together = (
            formats.read(folder / name).vectors for folder in (found.alone, found.together)
        )
        for key, rows in alone.items():
            torch.testing.assert_close(together[key], rows, rtol=1e-3, atol=1e-3)
