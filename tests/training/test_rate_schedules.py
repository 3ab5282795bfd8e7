import math

import pytest

from pseudoword.config import TrainConfig
from pseudoword.config.rates import Rate, Rates
from pseudoword.errors import SettingsError
from pseudoword.training.rate_schedules import Schedule


def rates(lr: str, shape: str = "constant", warmup: int = 0, steps: int = 2000) -> Schedule:
    return Schedule(Rates.parse(lr), shape, warmup, steps)


def test_automatic1111_s_string_gives_its_documented_rates() -> None:
    """0.005 for the first 100 steps, 1e-3 until 1000, 1e-5 from there on."""
    rate = rates("0.005:100, 1e-3:1000, 1e-5")
    assert [rate(i) for i in (0, 99, 100, 999, 1000, 1999)] == [5e-3, 5e-3, 1e-3, 1e-3, 1e-5, 1e-5]


@pytest.mark.parametrize(
    ("text", "at", "expected"),
    [
        ("5e-3", 10**6, 5e-3),
        (" 0.1:2 ,0.2:-1", 2, 0.2),
        ("0.1:2,", 5, 0.1),
        ("0.3:2,0.1:4", 9, 0.1),
    ],
)
def test_other_ways_to_write_it(text: str, at: int, expected: float) -> None:
    assert rates(text)(at) == expected


@pytest.mark.parametrize(
    "text",
    ["", "fast", "0", "-1", "nan", "inf", "1e-3:x", "1e-3:0", "0.1:5, 0.2:5", "0.1, 0.2"],
)
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="--lr"):
        Rates.parse(text)


def test_percentages_are_of_a_usual_number() -> None:
    assert Rates.parse("50%").absolute(usual=0.02).each == (Rate(0.01),)
    found = Rates.parse("12.5 %:10, 2e-3:20,.5%").absolute(usual=0.02)
    assert found.each == (Rate(0.0025, 10), Rate(0.002, 20), Rate(0.0001))
    assert str(found) == "0.0025:10, 0.002:20, 0.0001"
    assert Rates.parse(str(found)) == found


@pytest.mark.parametrize("text", ["%", "0%", "-5%", "x%", "50%%", "50%x", "1e1%"])
def test_what_is_no_percentage_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="--lr"):
        TrainConfig.check(pictures=["p"], token="<cat>", lr=text)


def test_linear_falls_to_nothing() -> None:
    rate = rates("1", "linear", steps=4)
    assert [rate(i) for i in range(5)] == [1, 0.75, 0.5, 0.25, 0]


def test_cosine_falls_to_nothing_after_warming_up() -> None:
    rate = rates("2", "cosine", warmup=4, steps=12)
    assert [rate(i) for i in range(5)] == [0.5, 1, 1.5, 2, 2]
    assert rate(8) == pytest.approx(1)
    assert rate(10) == pytest.approx(1 + math.cos(0.75 * math.pi))
    assert rate(12) == 0


def test_a_rate_of_any_length_is_read_or_refused_at_once() -> None:
    for text in ("1" * 100_000 + "x", "9" * 100_000, "9" * 100_000 + "%", "1:" + "9" * 100_000):
        with pytest.raises(SettingsError):
            Rates.parse(text)


def test_rates_are_the_same_however_they_are_written() -> None:
    assert Rates.parse("5e-3") == Rates.parse(" 0.005 ,")
    assert Rates.parse("5e-3") != Rates.parse("5e-3:10") != Rates.parse("0.005%:10")
