"""Every compatible scheduler of diffusers: pictures, or an error before the model runs."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from pseudoword.errors import SettingsError
from pseudoword.models import base_model
from pseudoword.models.family import Family
from pseudoword.models.generation import check, generate

STEPS = (1, 2, 3, 1000, 1001, 5000, 10**12)


def schedulers(family: Family) -> list[str]:
    return sorted(kind.__name__ for kind in family.scheduler().compatibles)


def refusal(family: Family, scheduler: str, steps: int) -> str:
    """The error for these settings; empty if there is none."""
    try:
        check(family, scheduler=scheduler, sampler_steps=steps)
    except SettingsError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("steps", STEPS)
def test_any_scheduler_takes_any_number_of_steps_or_says_why_not(
    family: Family, steps: int
) -> None:
    refused = {name: why for name in schedulers(family) if (why := refusal(family, name, steps))}
    assert not any("\n" in why for why in refused.values())
    if steps > 1000:
        assert list(refused) == schedulers(family)
    if steps <= 3:
        assert "PNDMScheduler" in refused
        assert not {"DDIMScheduler", "EulerDiscreteScheduler", "HeunDiscreteScheduler"} & {*refused}


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_every_scheduler_that_is_not_refused_draws(family: Family, steps: int) -> None:
    for name in schedulers(family):
        if not refusal(family, name, steps):
            generate(family, ["a cat"], [], seeds=[0], scheduler=name, sampler_steps=steps)


@pytest.mark.skipif(find_spec("scipy") is not None, reason="scipy is here")
def test_a_scheduler_that_needs_another_library_is_named_with_it(family: Family) -> None:
    with pytest.raises(SettingsError, match=r"--scheduler LMS: .*requires the scipy library"):
        check(family, scheduler="LMS")


def test_checking_does_not_change_the_drawing(base: Path) -> None:
    family = base_model.load_named(str(base), "cpu")
    (before,) = generate(family, ["a cat"], [], seeds=[0], sampler_steps=2)
    check(family, scheduler="Heun", sampler_steps=7)
    (after,) = generate(family, ["a cat"], [], seeds=[0], sampler_steps=2)
    assert before.tobytes() == after.tobytes()
