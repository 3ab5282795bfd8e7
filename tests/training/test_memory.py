"""What spares memory leaves the result as it was, as far as it says so."""

import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import asked, lora, reads_loras, train_state
from torch import nn

from pseudoword import generate, load
from pseudoword.config import BaseChoice, Quantize
from pseudoword.errors import BaseModelError
from pseudoword.models import base_model, generation
from pseudoword.models.compute.live_memory import nbytes
from pseudoword.models.family import Family
from pseudoword.models.loading.quantisation import Linear8bit, dequantized
from pseudoword.training import loss
from pseudoword.training.batches import batch


def gradient(family: Family, pictures: Path) -> torch.Tensor:
    """Of all rows of a word, end to end."""
    one = train_state(family, pictures)
    loss.losses(family, [asked(one)], batch(family, [one.data], 0)).sum().backward()
    found = [rows.grad for rows in one.method.parameters()]
    return torch.cat([rows.flatten() for rows in found if rows is not None])


INNER = ("up_blocks.1.resnets.0", "transformer_blocks.0", "joint_transformer_blocks.0", "layers.0")
"""Modules of denoisers that are computed again in the backward pass."""


def test_checkpointing_gives_the_same_gradient(
    any_base: Path, any_family: Family, pictures: Path
) -> None:
    choice = BaseChoice(base=str(any_base), device="cpu")
    spared: Any = base_model.load(choice, checkpointing=True)
    calls = []
    inner = next(one for name, one in spared.denoiser.named_modules() if name in INNER)
    inner.register_forward_pre_hook(lambda *_: calls.append(1))
    found = gradient(spared, pictures)
    assert torch.equal(found, gradient(any_family, pictures))
    assert len(calls) == 2  # once forward, once again in the backward pass


def test_a_base_in_4_bits_is_smaller_and_passes_the_gradient(
    any_base: Path, any_family: Any, pictures: Path
) -> None:
    pytest.importorskip("bitsandbytes")
    check_quantised(any_base, any_family, pictures, "4bit", 0.5)


@pytest.mark.parametrize("kind", ["sdxl", "flux"])
def test_a_base_in_8_bits_is_smaller_and_passes_the_gradient(
    kind: str, tiny_base: Callable[[str], Path], pictures: Path
) -> None:
    """The others are in `test_quantised_families`."""
    plain = base_model.load_named(str(tiny_base(kind)), "cpu")
    check_quantised(tiny_base(kind), plain, pictures, "8bit", 0.05)


def check_quantised(
    base: Path, plain: Any, pictures: Path, quantize: Quantize, error: float
) -> None:
    small: Any = base_model.load(BaseChoice(base=str(base), device="cpu", quantize=quantize))
    assert nbytes(small.denoiser) < nbytes(plain.denoiser)
    rough, exact = gradient(small, pictures), gradient(plain, pictures)
    assert not torch.equal(rough, exact)
    assert ((rough - exact).norm() / exact.norm()).item() < error
    assert not any(p.requires_grad for p in small.denoiser.parameters())


def test_a_base_in_4_bits_passes_the_gradient_after_it_has_drawn(
    base: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On CPUs that multiply bfloat16, bitsandbytes packs weights anew for use without one."""
    modules = pytest.importorskip("bitsandbytes.nn.modules")
    monkeypatch.setattr(modules, "has_avx512bf16", lambda: True)
    family = base_model.load(BaseChoice(base=str(base), device="cpu", quantize="4bit"))
    before = gradient(family, pictures)
    with torch.no_grad():
        family.encode_text(["a cat"], {})
    assert torch.equal(gradient(family, pictures), before)


def weights(layer: Linear8bit) -> torch.Tensor:
    return dequantized(layer.weight, layer.scale, torch.float32)


def test_a_layer_in_eight_bits_keeps_nothing_of_what_goes_through_it() -> None:
    layer = Linear8bit(nn.Linear(64, 32).requires_grad_(False))
    x = torch.randn(2, 3, 64, requires_grad=True)
    given = x * 2
    gone = weakref.ref(given)
    found = layer(given)
    del given
    assert gone() is None
    found.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, 2 * weights(layer).sum(0).expand(2, 3, 64))


def test_weights_in_eight_bits_are_those_of_the_layer_within_half_a_step() -> None:
    plain = nn.Linear(64, 32).requires_grad_(False)
    plain.weight[0] = 0
    step = plain.weight.abs().amax(1, keepdim=True) / 127
    layer = Linear8bit(plain)
    assert ((weights(layer) - plain.weight).abs() <= 0.501 * step).all()
    x = torch.randn(5, 64)
    torch.testing.assert_close(layer(x), plain(x), rtol=0, atol=0.05)


def test_what_is_quantised_draws_offloaded_and_with_a_lora(any_base: Path, tmp_path: Path) -> None:
    model = load(any_base, quantize="8bit")
    plain = np.asarray(generate("a cat", base=model, sampler_steps=2)[0])
    spared = generate("a cat", base=any_base, sampler_steps=2, quantize="8bit", offload=True)
    assert np.array_equal(plain, np.asarray(spared[0]))
    if not reads_loras(any_base):
        return
    file = lora(any_base, tmp_path / "style.safetensors")
    (styled,) = generate("a cat", base=model, sampler_steps=2, lora=[str(file)])
    assert not np.array_equal(plain, np.asarray(styled))


def test_without_bitsandbytes_it_says_what_to_install(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes.nn", None)
    choice = BaseChoice(base=str(base), device="cpu", quantize="4bit")
    with pytest.raises(BaseModelError, match=r'pip install "pseudoword\[quantize\]"'):
        base_model.load(choice)


def test_offloaded_parts_are_on_the_device_one_after_the_other_and_draw_the_same(
    any_base: Path, any_family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is one device here; moves to it and back are told apart by what is asked for."""
    moves = []
    asked = torch.nn.Module.to

    def to(self: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        if args and isinstance(args[0], torch.device):
            moves.append((type(self).__name__, "there"))
        elif args and args[0] == "cpu":
            moves.append((type(self).__name__, "back"))
        return asked(self, *args, **kwargs)

    draw: dict[str, Any] = {"seeds": [0], "sampler_steps": 2}
    choice = BaseChoice(base=str(any_base), device="cpu")
    plain = generation.generate(any_family, ["a cat"], [], **draw)
    family = base_model.load(choice, offload=True)
    monkeypatch.setattr(torch.nn.Module, "to", to)
    spared = generation.generate(family, ["a cat"], [], **draw)
    assert np.array_equal(np.asarray(plain[0]), np.asarray(spared[0]))
    *others, vae = (type(module).__name__ for module in family.modules().values())
    # The VAE is loaded when it is first needed, and tried out.
    assert [name for name, way in moves if way == "there"] == [*others, vae, vae]
    back = [name for name, way in moves if way == "back"]
    assert back == [*others, vae, vae, vae]  # once when it is loaded
