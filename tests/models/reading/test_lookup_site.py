"""New rows go in where the text encoder looks up its tokens, for every kind of text encoder."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_encoders
import torch
from tiny_encoders import KINDS, VOCABULARY, WIDTH
from torch import Tensor, nn

from pseudoword.errors import BaseModelError
from pseudoword.models import base_model
from pseudoword.models.reading.lookup_site import LookupSite, check_site, injected, lookup_site


@pytest.fixture(scope="module", params=KINDS)
def encoder(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(0)
    model = tiny_encoders.encoder(request.param)
    table = lookup_site(model).table
    torch.nn.init.normal_(table, std=0.5)  # transformers' small weights would hide a wrong scale
    return model


def _states(model: Any, ids: torch.Tensor) -> torch.Tensor:
    states: torch.Tensor = model(ids, output_hidden_states=True).hidden_states[-1]
    return states


def test_a_row_of_the_vocabulary_is_read_as_it_is(encoder: Any) -> None:
    site = lookup_site(encoder)
    check_site(encoder, site)
    ids = torch.tensor([[3, 7, 11, 13], [3, 20, 11, 21]])
    slots = torch.tensor([[-1, 0, -1, -1], [-1, 1, -1, 2]])
    expected = _states(encoder, ids)
    with injected(site, site.table[[7, 20, 21]], slots):
        found = _states(encoder, torch.where(slots < 0, ids, 5))
    assert torch.equal(found, expected)
    assert torch.equal(_states(encoder, ids), expected)  # and it leaves no trace


def test_rows_get_a_gradient(encoder: Any) -> None:
    site = lookup_site(encoder)
    rows = site.table[[7]].clone().requires_grad_(True)
    with injected(site, rows, torch.tensor([[-1, 0, -1]])):
        _states(encoder, torch.tensor([[3, 5, 11]])).square().sum().backward()
    assert rows.grad is not None
    assert rows.grad.norm() > 0


def test_a_module_that_is_never_called_is_refused(encoder: Any) -> None:
    elsewhere = nn.Embedding(VOCABULARY, WIDTH)
    elsewhere.weight = lookup_site(encoder).table
    with pytest.raises(BaseModelError, match="does not look up its tokens"):
        check_site(encoder, LookupSite(elsewhere))


def test_a_wrong_scale_is_refused(encoder: Any) -> None:
    site = lookup_site(encoder)
    with pytest.raises(BaseModelError, match="does not read a row of its own vocabulary"):
        check_site(encoder, LookupSite(site.module, 3.0 * site.scale))


@pytest.mark.parametrize("name", ["T5", "UMT5"])
def test_the_table_that_t5_shares_is_never_called(name: str) -> None:
    model = tiny_encoders.encoder(name)
    assert lookup_site(model).module is not model.shared
    with pytest.raises(BaseModelError, match="does not look up its tokens"):
        check_site(model, LookupSite(model.get_input_embeddings()))


@pytest.mark.parametrize("name", ["Gemma 2", "Gemma 3"])
def test_gemma_without_its_scale_is_refused(name: str) -> None:
    model = tiny_encoders.encoder(name)
    torch.nn.init.normal_(model.get_input_embeddings().weight, std=0.5)
    assert float(lookup_site(model).scale) == WIDTH**0.5
    with pytest.raises(BaseModelError, match="does not read a row of its own vocabulary"):
        check_site(model, LookupSite(model.get_input_embeddings()))


def test_a_base_model_is_checked_when_it_is_loaded(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def elsewhere(model: Any) -> LookupSite:
        module = nn.Embedding(8, 8)
        module.weight = model.get_input_embeddings().weight
        return LookupSite(module)

    monkeypatch.setattr("pseudoword.models.reading.text_encoder.lookup_site", elsewhere)
    with pytest.raises(BaseModelError, match="does not look up its tokens"):
        base_model.load_named(str(base), "cpu")


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_a_row_s_gradient_is_always_the_same_in_every_batch() -> None:
    """To the bit, however threads take turns: the positions of a row are added in order."""
    torch.manual_seed(0)
    site = LookupSite(nn.Embedding(8, 256))
    rows, weight = torch.randn(3, 256), torch.randn(4, 77, 256)
    positions = [range(first, first + 3) for first in (3, 4, 5, 6)]

    def gradient(words: int) -> Tensor:
        """Of the first of `words` words of three rows, each in four prompts."""
        own = rows.repeat(words, 1).requires_grad_()
        slots = torch.full((4 * words, 77), -1)
        for b in range(4 * words):
            slots[b, positions[b % 4]] = torch.arange(3) + 3 * (b // 4)
        with injected(site, own, slots):
            out = site.module(torch.zeros_like(slots))
        (out * weight.repeat(words, 1, 1)).sum().backward()
        assert own.grad is not None
        return own.grad[:3]

    alone = gradient(1)
    for words in 20 * [1, 8]:
        assert torch.equal(gradient(words), alone)
