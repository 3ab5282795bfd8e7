import pytest
import torch

from pseudoword.timesteps import Timesteps


def many(low: int, high: int, spread: str, n: int = 4) -> torch.Tensor:
    source = torch.Generator().manual_seed(0)
    found = Timesteps(low, high, spread)
    return torch.stack([found.draw(n, source) for _ in range(2000)])


@pytest.mark.parametrize("spread", ["uniform", "stratified", "logit-normal"])
def test_all_of_the_range_and_nothing_else_is_drawn(spread: str) -> None:
    found = many(10, 20, spread)
    assert set(found.flatten().tolist()) == set(range(10, 20))


def test_a_logit_normal_prefers_the_middle_by_its_formula() -> None:
    """P(0.25 < sigmoid(N(0, 1)) < 0.75) = 2Φ(ln 3) − 1 = 0.728."""
    found = many(0, 1000, "logit-normal")
    middle = ((found >= 250) & (found < 750)).float().mean().item()
    assert middle == pytest.approx(0.728, abs=0.02)
    uniform = many(0, 1000, "uniform")
    assert ((uniform >= 250) & (uniform < 750)).float().mean().item() == pytest.approx(
        0.5, abs=0.02
    )


def test_stratified_samples_of_a_step_lie_in_quarters_of_their_own() -> None:
    found = many(0, 1000, "stratified")
    assert all(sorted(row) == [0, 1, 2, 3] for row in (found // 250).tolist())
    assert found[:, 0].float().std() > 250


def test_an_even_spread_takes_the_middles_of_equal_parts() -> None:
    assert Timesteps(0, 1000).even(4).tolist() == [125, 375, 625, 875]
    middle = Timesteps(0, 1000, "logit-normal").even(4)
    assert middle.tolist() == [240, 421, 578, 759]
