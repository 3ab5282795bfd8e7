"""benchmarks/families.py on little: what it measures, and that it goes on where it ended."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import tiny
import torch

from benchmarks import families, shared

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


def test_what_is_measured_again_replaces_its_own_row_only(tmp_path: Path) -> None:
    documented = json.loads((shared.DOCS / "families.json").read_text())
    assert [one["family"] for one in documented] == list(tiny.BASES)
    (tmp_path / "families.json").write_text(json.dumps(documented))
    new = families.Result("sd3", 10, 0.1, 0.5, 0.4, 0.2, (0.3, 0.5), 1.0)
    merged = families.with_documented([new], tmp_path)
    assert [one.family for one in merged] == list(tiny.BASES)
    written = families.table(merged).splitlines()
    kept = (shared.DOCS / "families.md").read_text().splitlines()
    assert [row for row in written if row not in kept] == [families.table([new]).splitlines()[-1]]


def test_a_word_that_a_random_one_equals_is_not_learned() -> None:
    made = families.Result("sd3", 10, 0.1, 0.5, 0.4, 0.2, (0.3, 0.5), 1.0)
    assert made.is_learned
    assert made.part == pytest.approx(2 / 3)
    assert "| `sd3` | 0.0 M | 0.1000 | 0.2000 | 0.4000 | 0.3000 | 0.4000 |" in families.table(
        [made]
    )
    assert not replace(made, learned=0.3).is_learned
