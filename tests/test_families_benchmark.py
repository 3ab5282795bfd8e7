"""benchmarks/families.py on little: what it measures, and that it goes on where it ended."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from benchmarks import families

LITTLE = families.Effort(steps=2, batch=2, word_steps=1, random_words=2)


def test_a_member_is_made_once_and_its_word_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, few in {"EACH": 2, "UNSEEN": 2, "SAMPLES": 32}.items():
        monkeypatch.setattr(families, name, few)
    first = families.measure("pixart", tmp_path, LITTLE)
    monkeypatch.setattr(families, "make", lambda *_: pytest.fail("it is there already"))
    again = families.measure("pixart", tmp_path, LITTLE)
    assert replace(first, seconds=0) == replace(again, seconds=0)
    assert first.parameters > 2_000_000
    (tmp_path / "pixart.json").write_text(json.dumps(asdict(first)))
    assert families.finished(tmp_path, "pixart") == first
    member = families.Member(tmp_path / "pixart")
    assert all(
        len(reader.sequence("a photo of a blue square", {})[0]) < reader.length
        for reader in (encoder.reader for encoder in member.family.encoders.values())
    )
    whole = torch.cat([*member.latents.values()])
    assert torch.allclose(whole.std((0, 2, 3)), torch.ones(4), atol=1e-4)


def test_a_word_that_a_random_one_equals_is_not_learned() -> None:
    made = families.Result("sd3", 10, 0.1, 0.5, 0.4, 0.2, (0.3, 0.5), 1.0)
    assert made.is_learned
    assert made.part == pytest.approx(2 / 3)
    assert "| `sd3` | 0.0 M | 0.1000 | 0.2000 | 0.4000 | 0.3000 | 0.4000 |" in families.table(
        [made]
    )
    assert not replace(made, learned=0.3).is_learned
