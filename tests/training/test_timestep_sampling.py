import pytest
import torch
from diffusers.training_utils import compute_density_for_timestep_sampling

from pseudoword.training.timestep_sampling import Timesteps


def many(low: int, high: int, spread: str, n: int = 4) -> torch.Tensor:
    source = torch.Generator().manual_seed(0)
    found = Timesteps(low, high, spread)
    return torch.stack([found.draw(n, source) for _ in range(2000)])


@pytest.mark.parametrize("spread", ["uniform", "stratified", "logit-normal", "mode", "importance"])
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


def test_mode_draws_what_diffusers_draws_for_stable_diffusion_3() -> None:
    torch.manual_seed(0)
    theirs = compute_density_for_timestep_sampling("mode", 8000, mode_scale=1.29) * 1000
    found = many(0, 1000, "mode")
    parts = torch.linspace(0, 1000, 11)
    torch.testing.assert_close(
        torch.histogram(found.flatten().float(), parts).hist / 8000,
        torch.histogram(theirs, parts).hist / 8000,
        rtol=0,
        atol=0.015,
    )


def test_stratified_samples_of_a_step_lie_in_quarters_of_their_own() -> None:
    found = many(0, 1000, "stratified")
    assert all(sorted(row) == [0, 1, 2, 3] for row in (found // 250).tolist())
    assert found[:, 0].float().std() > 250


def test_an_even_spread_takes_the_middles_of_equal_parts() -> None:
    assert Timesteps(0, 1000).even(4).tolist() == [125, 375, 625, 875]
    middle = Timesteps(0, 1000, "logit-normal").even(4)
    assert middle.tolist() == [240, 421, 578, 759]


DENSITY = (0.1, 0.1, 0.3, 1.0)


def test_each_part_is_drawn_by_its_density() -> None:
    found = Timesteps(200, 600, "importance", DENSITY).even(1500)
    assert torch.bincount((found - 200) // 100).tolist() == [100, 100, 300, 1000]
    assert found.diff().min() >= 0


@pytest.mark.parametrize("high", [600, 211])  # the parts of the latter are of unequal sizes
def test_what_is_drawn_more_often_counts_for_less_so_that_the_mean_stays(high: int) -> None:
    spread = Timesteps(200, high, "importance", DENSITY)
    t = spread.even(60000)
    weight = spread.weight(t)
    assert (weight * (t - 190).double().square()).mean().item() == pytest.approx(
        (torch.arange(200, high) - 190).double().square().mean().item(), rel=0.001
    )
    assert weight[0] / weight[-1] == pytest.approx(10)
    assert Timesteps(200, 600).weight(t).eq(1).all()


def test_samples_of_a_step_are_spread_evenly_over_the_density() -> None:
    source = torch.Generator().manual_seed(0)
    spread = Timesteps(0, 1000, "importance", (1.0, 3.0))
    for _ in range(50):
        assert (spread.draw(4, source) < 500).sum() == 1
