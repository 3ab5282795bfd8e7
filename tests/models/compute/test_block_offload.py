"""Blocks that stay in main memory: the same gradient, and one block on the device at a time."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support import asked, train_state
from torch import Tensor

from pseudoword.config import BaseChoice, PlanConfig, Quantize, TrainConfig
from pseudoword.errors import SettingsError
from pseudoword.models import base_model, detection
from pseudoword.models.compute import block_offload
from pseudoword.models.compute.live_memory import nbytes
from pseudoword.training import loss, memory_plan
from pseudoword.training.batches import batch
from pseudoword.training.memory_plan import plan_memory


def load(base: Path, *, away: bool, device: str = "cpu", quantize: Quantize = "none") -> Any:
    """Also on a CPU, which has no other memory: what is moved there is moved nowhere."""
    choice = BaseChoice(base=str(base), device=device, quantize=quantize)
    place = replace(base_model.placement(choice), offload_blocks=away)
    return base_model.build(detection.detect(choice), place)


def gradients(family: Any, pictures: Path) -> list[Tensor]:
    state = train_state(family, pictures, vectors=2)
    rows = asked(state)
    loss.losses(family, [rows], batch(family, [state.data], 0))[0].backward()
    found = [parameter.grad for parameter in state.method.parameters()]
    assert all(one is not None for one in found)
    return [one for one in found if one is not None]


@pytest.mark.usefixtures("own_kernels")
def test_the_gradient_is_the_same_and_blocks_visit_one_at_a_time(
    any_base: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_visits(any_base, pictures, monkeypatch, "none")


@pytest.mark.parametrize("kind", ["sdxl", "flux"])
@pytest.mark.usefixtures("own_kernels")
def test_also_blocks_of_eight_bits(
    kind: str, tiny_base: Callable[[str], Path], pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_visits(tiny_base(kind), pictures, monkeypatch, "8bit")


def check_visits(
    any_base: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, quantize: Quantize
) -> None:
    usual = load(any_base, away=False, quantize=quantize)
    expected = gradients(usual, pictures)
    family = load(any_base, away=True, quantize=quantize)
    models = [model for name, model in family.modules().items() if name != "vae"]
    blocks = [block for model in models for block in block_offload.blocks_of(model)]
    assert len(blocks) >= 2
    homes = {w.data_ptr(): w.detach().clone() for block in blocks for w in block.parameters()}
    for block in blocks:
        for weight in block.parameters():
            weight.fill_(
                torch.nan if weight.is_floating_point() else 0
            )  # what is used at home shows
    visits: list[list[int]] = []

    def fetch(home: Tensor, _device: torch.device) -> Tensor:
        # the copies of the other blocks are gone
        away = [all(w.data_ptr() in homes for w in block.parameters()) for block in blocks]
        visits.append([i for i, at_home in enumerate(away) if not at_home])
        return homes[home.data_ptr()].clone()

    monkeypatch.setattr(block_offload, "fetch", fetch)
    found = gradients(family, pictures)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert len(visits) > 2 * len(blocks)  # forward and backward
    assert max(map(len, visits)) <= 1
    assert all(w.data_ptr() in homes for block in blocks for w in block.parameters())


def test_plan_counts_one_block(
    any_base: Path, any_family: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_encode", "_draw", "_step"):  # it is about weights alone
        monkeypatch.setattr(memory_plan, name, lambda *_: 0)
    plan = plan_memory(PlanConfig.check(base=str(any_base), device="cpu"))
    models = [model for name, model in any_family.modules().items() if name != "vae"]
    sizes = [nbytes(block) for model in models for block in block_offload.blocks_of(model)]
    whole = sum(map(nbytes, models))
    need = plan.need("none", checkpointing=False, offload=True)
    assert need.weights_nbytes == whole - sum(sizes) + max(sizes)
    assert need.nbytes < plan.need("none", checkpointing=False).nbytes


@pytest.mark.parametrize(
    "other", [{"quantize": "4bit"}, {"graphs": True}, {"method": "layered"}], ids=str
)
def test_settings_that_keep_weights_on_the_gpu_are_refused(
    other: dict[str, Any], pictures: Path
) -> None:
    with pytest.raises(SettingsError, match="--offload does not go with"):
        TrainConfig.check(pictures=(pictures,), token="<cat>", offload=True, **other)


@pytest.mark.gpu
def test_on_a_gpu_blocks_stay_in_main_memory_and_the_gradient_is_the_same(
    any_base: Path, pictures: Path
) -> None:
    expected = gradients(load(any_base, away=False, device="cuda"), pictures)
    family = load(any_base, away=True, device="cuda")
    found = gradients(family, pictures)
    torch.testing.assert_close(found, expected)
    models = [model for name, model in family.modules().items() if name != "vae"]
    for block in (block for model in models for block in block_offload.blocks_of(model)):
        assert all(weight.device.type == "cpu" for weight in block.parameters())
