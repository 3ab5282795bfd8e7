import pytest
import torch

from pseudoword.config import TrainConfig
from pseudoword.models.family import Family
from pseudoword.training import pack_size
from pseudoword.training.memory_plan import Need, Plan
from pseudoword.training.pack_size import MOST, words_at_once


def config(**settings: object) -> TrainConfig:
    """Settings of a word."""
    return TrainConfig.check(pictures=["pictures"], token="<word>", **settings)


def plan(weights: int, step: int) -> Plan:
    """A plan without anything but this for training."""
    needs = [
        Need(
            quantize=quantize,
            gradient_checkpointing=checkpointing,
            weights_nbytes=weights,
            step_nbytes=step // (2 if checkpointing else 1),
            nbytes=weights + step // (2 if checkpointing else 1),
        )
        for quantize in ("none", "4bit")
        for checkpointing in (False, True)
    ]
    return Plan(
        train_offloaded=[],
        base="x",
        family="sd",
        recognised_by="x",
        resolution=512,
        batch=1,
        method="classic",
        device="cpu",
        dtype="float32",
        parts={},
        pictures=[],
        train=needs,
    )


@pytest.mark.parametrize(
    ("have", "checkpointing", "words"),
    [(1000, False, 4), (1000, True, 8), (500, False, 1), (100, False, 1), (10_000, False, MOST)],
)
def test_as_many_words_as_memory_has_room_for(
    family: Family,
    monkeypatch: pytest.MonkeyPatch,
    have: int,
    checkpointing: bool,
    words: int,
) -> None:
    monkeypatch.setattr(pack_size, "room_nbytes", lambda _device: have)
    monkeypatch.setattr(pack_size, "plan_memory", lambda _config: plan(weights=400, step=100))
    settings = config(batch=1, gradient_checkpointing=checkpointing)
    assert words_at_once(family, settings, 512) == words


def test_small_pictures_are_not_computed(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    def unasked(_config: object) -> Plan:
        raise AssertionError

    monkeypatch.setattr(pack_size, "plan_memory", unasked)
    assert words_at_once(family, config(batch=4), 64) == MOST


def test_where_nobody_knows_the_memory_as_many_as_pay_try(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack_size, "room_nbytes", lambda _device: None)
    assert words_at_once(family, config(batch=1), 512) == MOST


def test_a_real_plan_is_read(base: object, family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_size, "SMALL_PX", 0)
    have = 2**40
    monkeypatch.setattr(pack_size, "room_nbytes", lambda _device: have)
    settings = config(base=str(base), batch=2)
    assert words_at_once(family, settings, family.resolution) == MOST
    have = 1
    assert words_at_once(family, settings, family.resolution) == 1
    assert family.device == torch.device("cpu")
