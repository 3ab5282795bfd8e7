from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from support import Snapshot
from transformers import CLIPTokenizer

from pseudoword.errors import PromptError
from pseudoword.models.families.sd import StableDiffusion
from pseudoword.models.family import Family
from pseudoword.models.reading.clip_reader import ClipReader
from pseudoword.models.reading.prompts import ChunkedPrompts
from pseudoword.placeholders import split
from pseudoword.prompt_weights import plain


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> CLIPTokenizer:
    return tiny.tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.mark.parametrize(
    ("prompt", "tokens", "pieces"),
    [
        ("a <cat> here", ["<cat>"], ["a ", "<cat>", " here"]),
        ("<cat2> <cat>", ["<cat", "<cat>", "<cat2>"], ["", "<cat2>", " ", "<cat>", ""]),
        ("cat category bobcat", ["cat"], ["", "cat", " category bobcat"]),
        ("my cat's toy, cat!", ["cat"], ["my ", "cat", "'s toy, ", "cat", "!"]),
        ("a c++ (x) [y]", ["c++", "(x)", "[y]"], ["a ", "c++", " ", "(x)", " ", "[y]", ""]),
        ("a 猫 here", ["猫"], ["a ", "猫", " here"]),
        ("nothing", [], ["nothing"]),
    ],
)
def test_placeholders_are_found_as_text(prompt: str, tokens: list[str], pieces: list[str]) -> None:
    assert split(prompt, tokens) == pieces


def test_ids_are_those_of_a_tokenizer_that_knows_the_token(
    words: CLIPTokenizer, tmp_path: Path
) -> None:
    """Everything but the placeholder is tokenised as diffusers' way of adding tokens does it."""
    adding = tiny.tokenizer(tmp_path)
    adding.add_tokens(["<cat>", "<cat>_1"])
    new = adding.convert_tokens_to_ids(["<cat>", "<cat>_1"])
    for prompt in ("a photo of <cat>'s toy", "<cat>", "my <cat>, a <cat> and one zebra!", "  a  "):
        ours = ClipReader(words, 77).tokenize([prompt], {"<cat>": 2})
        expanded = prompt.replace("<cat>", "<cat> <cat>_1")
        theirs = adding(
            expanded, padding="max_length", max_length=77, truncation=True, return_tensors="pt"
        ).input_ids
        is_new = torch.isin(theirs, torch.tensor(new))
        assert torch.equal(ours.slots >= 0, is_new)
        assert torch.equal(ours.ids[~is_new], theirs[~is_new])
        assert ours.slots[ours.slots >= 0].tolist() == [0, 1] * prompt.count("<cat>")


def test_the_end_token_is_told_from_padding_that_has_its_id(words: CLIPTokenizer) -> None:
    assert words.pad_token_id == words.eos_token_id
    for prompt in ("a cat", "", "cat " * 75):
        given: Any = words(prompt, padding="max_length", truncation=True, return_tensors="pt")
        drawn = ChunkedPrompts([plain(prompt, {})], 1)
        for ours in (ClipReader(words, 77).tokenize(read, {}) for read in ([prompt], drawn)):
            assert torch.equal(ours.mask, given.attention_mask)


def test_fillers_are_never_the_end_of_text(words: CLIPTokenizer) -> None:
    tokens = ClipReader(words, 77).tokenize(["a <cat> photo"], {"<cat>": 3})
    assert words.eos_token_id not in tokens.ids[tokens.slots >= 0]


def test_a_placeholder_that_would_be_cut_off_is_an_error(words: CLIPTokenizer) -> None:
    with pytest.raises(PromptError, match="cut off"):
        ClipReader(words, 77).tokenize(["cat " * 75 + "<x>"], {"<x>": 1})
    with pytest.raises(PromptError, match="cut off"):
        ClipReader(words, 77).tokenize(["cat " * 70 + "<x>"], {"<x>": 8})
    ClipReader(words, 77).tokenize(["<x>" + " cat" * 100], {"<x>": 1})  # only plain words are cut


def test_injection_leaves_no_trace(family: StableDiffusion) -> None:
    model = family.encoders["clip_l"].model
    before, plain = Snapshot(model), family.encode_text(["a <new> cat"], {}).hidden
    rows = torch.randn(2, 32, requires_grad=True)
    changed = family.encode_text(["a <new> cat"], {"<new>": {"clip_l": rows}}).hidden
    assert not torch.allclose(changed, plain)
    assert before.same(model)
    assert not model.get_input_embeddings()._forward_hooks
    assert torch.equal(family.encode_text(["a <new> cat"], {}).hidden, plain)


def test_injection_leaves_no_trace_after_an_error(family: StableDiffusion) -> None:
    model = family.encoders["clip_l"].model
    with pytest.raises((RuntimeError, IndexError)):
        family.encode_text(["a <new> cat"], {"<new>": {"clip_l": torch.randn(2, 7)}})
    assert not model.get_input_embeddings()._forward_hooks


def test_a_token_of_the_vocabulary_can_be_a_placeholder(family: Family) -> None:
    """With the vocabulary's own row it changes nothing; with another row it does."""
    encoder = family.encoders["clip_l"]
    (cat,) = encoder.reader.token_ids("cat")
    row = encoder.table[cat : cat + 1].clone()
    plain = family.encode_text(["a cat"], {}).hidden
    torch.testing.assert_close(
        family.encode_text(["a cat"], {"cat": {"clip_l": row}}).hidden, plain
    )
    other = family.encode_text(["a cat"], {"cat": {"clip_l": -row}}).hidden
    assert not torch.allclose(other, plain)


def test_each_token_gets_its_own_rows_even_as_a_prefix_of_another(family: Family) -> None:
    table = family.encoders["clip_l"].table
    rows = {"<c>": table[10:11], "<c>2": table[20:21], "c": table[30:31]}
    words = {token: {"clip_l": row} for token, row in rows.items()}
    tokens = family.encoders["clip_l"].reader.tokenize(["<c>2 <c> c"], dict.fromkeys(rows, 1))
    assert tokens.slots[0, :5].tolist() == [-1, 1, 0, 2, -1]
    swapped = dict(reversed(words.items()))
    torch.testing.assert_close(
        family.encode_text(["<c>2 <c> c"], words).hidden,
        family.encode_text(["<c>2 <c> c"], swapped).hidden,
    )


def test_gradient_reaches_each_prompt_s_own_rows_only(family: Family) -> None:
    one, two = (torch.randn(1, 32, requires_grad=True) for _ in range(2))
    words = {"<one>": {"clip_l": one}, "<two>": {"clip_l": two}}
    hidden = family.encode_text(["a <one>", "a <two>"], words).hidden
    hidden[0].pow(2).sum().backward()
    assert one.grad is not None
    assert one.grad.any()
    assert two.grad is None or not two.grad.any()
