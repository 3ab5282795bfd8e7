"""Text encoders on a CPU: attention in the precision in which it is fastest, and no less exact."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    Qwen3Config,
    Qwen3Model,
    T5Config,
    T5EncoderModel,
)

from pseudoword.models.compute import precision
from pseudoword.models.compute.text_attention import replace_attention
from pseudoword.models.reading.lookup_site import lookup_site

WIDTH = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "vocab_size": 50}
HEADS = {"num_attention_heads": 4}


def clip() -> Any:
    return CLIPTextModel(CLIPTextConfig(**WIDTH, **HEADS, eos_token_id=49))


def t5() -> Any:
    return T5EncoderModel(
        T5Config(vocab_size=50, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4)
    )


def qwen() -> Any:
    return Qwen3Model(Qwen3Config(**WIDTH, **HEADS, num_key_value_heads=2, head_dim=8))


@pytest.fixture(params=[clip, t5, qwen], ids=["CLIP", "T5", "Qwen3"])
def encoder(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(0)
    model = request.param().requires_grad_(False).eval()
    for one in model.parameters():
        one.copy_(one.bfloat16())
    return model


def replaced(encoder: Any) -> Any:
    replace_attention(encoder)
    return encoder


def results(encoder: Any, dtype: torch.dtype, masked: bool) -> tuple[Tensor, ...]:
    """Its last states, and the gradient of its embeddings."""
    encoder = copy.deepcopy(encoder).to(dtype)
    ids = torch.arange(24).view(2, 12)
    kept: list[Tensor] = []

    def keep(_module: object, _inputs: object, found: Tensor) -> Tensor:
        kept.append(found.detach().requires_grad_())
        return kept[0]

    lookup_site(encoder).module.register_forward_hook(keep)
    mask = torch.ones(2, 12, dtype=torch.long)
    mask[1, 8:] = 0
    states = encoder(ids, **({"attention_mask": mask} if masked else {})).last_hidden_state[:, :8]
    (states * torch.linspace(-1, 1, states.numel()).view_as(states).to(dtype)).sum().backward()
    assert kept[0].grad is not None
    return states.detach(), kept[0].grad


@pytest.mark.parametrize("masked", [False, True], ids=["all", "padding"])
def test_in_16_bits_an_encoder_is_no_less_exact(encoder: Any, masked: bool) -> None:
    exact = results(encoder, torch.float64, masked)
    plain = results(encoder, torch.bfloat16, masked)
    own = results(replaced(encoder), torch.bfloat16, masked)
    for right, its, ours in zip(exact, plain, own, strict=True):
        assert ours.dtype is torch.bfloat16
        assert (ours - right).norm() <= 1.25 * (its - right).norm()


def test_attention_itself_is_computed_in_float32(
    encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[torch.dtype] = []
    attention = torch.nn.functional.scaled_dot_product_attention

    def ask(queries: Tensor, *others: Any, **options: Any) -> Tensor:
        asked.append(queries.dtype)
        return attention(queries, *others, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", ask)
    results(replaced(encoder), torch.bfloat16, masked=False)
    monkeypatch.setattr(precision, "FEW", 1)
    results(encoder, torch.bfloat16, masked=False)
    assert asked == 2 * [torch.float32] + 2 * [torch.bfloat16]


@pytest.mark.parametrize("masked", [False, True], ids=["all", "padding"])
def test_in_float32_nothing_changes(encoder: Any, masked: bool) -> None:
    plain = results(encoder, torch.float32, masked)
    for one, own in zip(plain, results(replaced(encoder), torch.float32, masked), strict=True):
        assert torch.equal(one, own)


def test_an_encoder_with_attention_of_another_kind_keeps_it(encoder: Any) -> None:
    encoder.set_attn_implementation("eager")
    replace_attention(encoder)
    assert encoder.config._attn_implementation == "eager"
