"""A prompt that occurs twice in a batch is encoded once, and means the same."""

from typing import Any

import pytest
import torch

from pseudoword.models.family import Family
from pseudoword.training.loss import encode_distinct

PROMPTS = ["a <x>", "a photo of <x>", "a <x>", "a <x>"]


def test_a_prompt_that_occurs_again_means_the_same(any_family: Family) -> None:
    torch.manual_seed(0)
    found = []
    for encode in (any_family.encode_text, lambda *given: encode_distinct(any_family, *given)):
        rows = {
            key: torch.ones(2, one.width).requires_grad_()
            for key, one in any_family.encoders.items()
        }
        condition = encode(PROMPTS, {"<x>": rows})
        kept = [part for part in (condition.hidden, condition.pooled) if part is not None]
        weighed = [
            (part * torch.linspace(-1, 1, part.numel()).view_as(part)).sum() for part in kept
        ]
        torch.stack(weighed).sum().backward()
        found.append((kept, condition.mask, [one.grad for one in rows.values()]))
    (usual, mask, wanted), (ours, own_mask, gradients) = found
    assert all(torch.equal(one, other) for one, other in zip(usual, ours, strict=True))
    assert (mask is None) == (own_mask is None)
    assert mask is None or own_mask is None or torch.equal(mask, own_mask)
    for one, other in zip(wanted, gradients, strict=True):
        assert one is not None
        assert other is not None
        assert (one - other).norm() < 1e-4 * one.norm()


def test_it_is_encoded_once(any_family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[Any] = []
    usual = any_family.encode_text

    def count(prompts: Any, words: Any) -> Any:
        encoded.append(prompts)
        return usual(prompts, words)

    monkeypatch.setattr(any_family, "encode_text", count)
    rows = {key: torch.ones(1, one.width) for key, one in any_family.encoders.items()}
    for prompts in (PROMPTS, PROMPTS[:2]):
        assert len(encode_distinct(any_family, prompts, {"<x>": rows}).hidden) == len(prompts)
    assert encoded == [PROMPTS[:2], PROMPTS[:2]]
