"""A base model that is let go of leaves memory, whether Python searches for garbage or not."""

import gc
from collections.abc import Iterator
from pathlib import Path
from weakref import ref

import pytest
import torch
from support import learn

from pseudoword import generate
from pseudoword.config import BaseChoice
from pseudoword.models import base_model
from pseudoword.models.family import Family

Weights = list["ref[torch.Tensor]"]


@pytest.fixture
def no_search() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def weights_of(family: Family) -> Weights:
    parts = [family.denoiser, *(encoder.model for encoder in family.encoders.values())]
    return [ref(weight) for part in parts for weight in part.parameters()]


def left(weights: Weights) -> int:
    return sum(weight() is not None for weight in weights)


@pytest.mark.parametrize(("dtype", "checkpointing"), [("float32", True), ("bfloat16", False)])
def test_it_leaves_memory_at_once(
    any_base: Path, dtype: str, checkpointing: bool, no_search: None
) -> None:
    choice = BaseChoice.check(base=any_base, device="cpu", dtype=dtype)
    family = base_model.load(choice, checkpointing=checkpointing)
    weights = weights_of(family)
    assert left(weights) == len(weights) > 0
    del family
    assert left(weights) == 0


def test_also_where_words_were_learned_and_drawn_with_it(
    unet_base: Path,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    no_search: None,
) -> None:
    weights: Weights = []
    load = base_model.load

    def watched(*args: object, **options: object) -> Family:
        family = load(*args, **options)  # type: ignore[arg-type]
        weights.extend(weights_of(family))
        return family

    monkeypatch.setattr(base_model, "load", watched)
    preview = ("a [name] --s 1",)
    done = learn(unet_base, pictures, tmp_path / "run", preview=preview, evaluate_every=1)
    assert weights
    assert left(weights) == 0
    weights.clear()
    generate("a <cat>", concept=done.concept, base=unet_base, sampler_steps=1)
    assert weights
    assert left(weights) == 0
