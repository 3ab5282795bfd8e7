"""How rows come to be, and that training needs no more of a method than `Method` says."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from support import asked, train_state
from torch import Tensor, nn

from pseudoword import methods
from pseudoword.config.method import MethodSettings
from pseudoword.methods import Initialisation, Method, Rows
from pseudoword.models.family import Family
from pseudoword.runs import checkpoint
from pseudoword.training import batches, loop, loss
from pseudoword.training.batches import batch
from pseudoword.training.initialisation import begin
from pseudoword.training.sampling import sample_step
from pseudoword.training.step import take_step


class Computed(Method):
    """Rows that are no parameters: each is a mixture of a few fixed ones, of length one."""

    name = "classic"

    def __init__(self, start: Initialisation, _settings: MethodSettings) -> None:
        self.rate_unit = 1.0
        self.fixed, self.mixtures = {}, {}
        for key, rows in start.rows.items():
            more = torch.randn(7, rows.shape[1], generator=torch.Generator().manual_seed(1))
            self.fixed[key] = torch.cat([rows.detach().cpu(), more])
            self.mixtures[key] = nn.Parameter(torch.eye(len(rows), len(rows) + 7))
        self.steps: list[int] = []

    def parameters(self) -> list[nn.Parameter]:
        return list(self.mixtures.values())

    def rows(self, step: int) -> Rows:
        self.steps.append(step)
        return self.made()

    def made(self) -> dict[str, Tensor]:
        return self.constrained({key: m @ self.fixed[key] for key, m in self.mixtures.items()})

    def word(self) -> dict[str, Tensor]:
        return {key: rows.detach() for key, rows in self.made().items()}

    def constrain(self) -> None:
        pass

    def constrained(self, rows: Rows) -> dict[str, Tensor]:
        return {key: nn.functional.normalize(r, dim=-1) for key, r in rows.items()}


def test_a_method_that_computes_its_rows_trains_averages_and_resumes(
    family: Family, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(methods, "METHODS", {"classic": Computed})

    def made() -> Any:
        return train_state(
            family, pictures, vectors=2, init="red cat", average=True, lr=0.1, steps=6
        )

    whole, cut, again = made(), made(), made()
    start = whole.word()["clip_l"]
    list(loop.train(family, [whole]))
    for step in loop.train(family, [cut]):
        if step.step == 3:
            checkpoint.save(tmp_path, cut, {})
            break
    checkpoint.load(tmp_path, again, 3, {})
    list(loop.train(family, [again]))
    learned = whole.word()["clip_l"]
    assert whole.method.steps == list(range(6))
    assert torch.equal(learned, again.word()["clip_l"])
    assert not torch.allclose(learned, start, atol=1e-3)
    torch.testing.assert_close(learned.norm(dim=-1), torch.ones(2))
    assert (whole.average["clip_l"].norm(dim=-1) < 0.9999).any()


def test_the_loss_of_a_step_is_that_of_its_rows(any_family: Family, pictures: Path) -> None:
    pack = [
        train_state(any_family, pictures, "<a>", min_snr=5),
        train_state(any_family, pictures, "<b>", loss="huber"),
    ]
    with torch.no_grad():
        words = [asked(m) for m in pack]
        expected = loss.losses(
            any_family, words, batch(any_family, [m.data for m in pack], 0)
        ).tolist()
    assert [one.loss for one in take_step(any_family, pack)] == expected


def test_the_samples_of_a_step_are_drawn_once_however_many_batches_they_fill(
    family: Family, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []

    def counted(*key: Any, batch: int, **of: Any) -> Any:
        drawn.append(batch)
        return sample_step(*key, batch=batch, **of)

    monkeypatch.setattr(batches, "sample_step", counted)
    data = train_state(family, pictures, accumulate=5).data
    parts = list(batches.batches(family, [data], [2], [False]))
    assert len(parts) == 5
    assert drawn == [10]


def test_only_classic_rows_have_norms_that_may_be_anything(family: Family) -> None:
    rows = {"clip_l": torch.ones(1, 32)}

    def length(settings: Mapping[str, Any]) -> float:
        method = methods.begin(begin(family, rows), MethodSettings(**settings))
        method.parameters()[0].data *= 3
        method.constrain()
        return float(method.word()["clip_l"].norm())

    start = float(rows["clip_l"].norm())
    assert length({"norm": "none"}) == pytest.approx(3 * start)
    assert length({"norm": "keep"}) == pytest.approx(start)
    assert length({"norm": "pull"}) == pytest.approx(
        3 * start + 0.02 * (family.encoders["clip_l"].median_norm - 3 * start)
    )


@pytest.mark.parametrize("norm", ["none", "pull"])
def test_a_mean_of_classic_rows_is_not_pulled_once_more(family: Family, norm: str) -> None:
    rows = {"clip_l": torch.ones(1, 32)}
    method = methods.begin(begin(family, rows), MethodSettings.model_validate({"norm": norm}))
    torch.testing.assert_close(method.constrained(rows), rows)
