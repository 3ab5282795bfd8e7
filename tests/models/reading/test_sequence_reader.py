"""Prompts as T5 and language models read them, with words in them."""

from collections.abc import Callable
from itertools import chain
from typing import Any

import pytest
import tiny
import tiny_encoders
import tiny_tokenizers
import torch
from diffusers import ChromaPipeline, FluxPipeline
from support import Snapshot

from pseudoword.errors import BaseModelError, PromptError
from pseudoword.models.reading.prompts import ChunkedPrompts
from pseudoword.models.reading.sequence_reader import SequenceReader, Template
from pseudoword.models.reading.text_encoder import Encoded, TextEncoder
from pseudoword.placeholders import delimited
from pseudoword.prompt_weights import parse

LENGTH = 32
PROMPTS = (
    "",
    "a photo of my cat, red and blue",
    "  A Cat's toy\n\nand (one) zebra! ",
    "猫 and naïve café: 12.5%",
    "the cat " * 30,
)


KINDS = {
    "t5": (tiny_tokenizers.t5, "T5"),
    "qwen": (tiny_tokenizers.qwen, "Qwen 3"),
    "gemma": (tiny_tokenizers.gemma, "Gemma 2"),
    "llama": (tiny_tokenizers.llama, "UMT5"),
}


def chat(tokenizer: Any) -> Callable[[str], str]:
    def template(prompt: str) -> str:
        text: str = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=False,
        )
        return text

    return template


def lower(prompt: str) -> str:
    return f"Describe it: {prompt.lower().strip()} (end)"


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("tokenizers")
    return {name: make(folder / name, tiny.WORDS) for name, (make, _) in KINDS.items()}


@pytest.fixture(params=KINDS)
def tokenizer(request: pytest.FixtureRequest, tokenizers: dict[str, Any]) -> Any:
    return tokenizers[request.param]


@pytest.fixture(params=KINDS)
def encoder(request: pytest.FixtureRequest, tokenizers: dict[str, Any]) -> TextEncoder:
    return _encoder(request.param, tokenizers)


def _encoder(kind: str, tokenizers: dict[str, Any], **options: Any) -> TextEncoder:
    torch.manual_seed(0)
    model = tiny_encoders.encoder(KINDS[kind][1], len(tokenizers[kind]))
    made = TextEncoder(
        SequenceReader(tokenizers[kind], LENGTH, **options), lambda: model, masked=True
    )
    torch.nn.init.normal_(made.table, std=0.5)
    return made


def _states(encoder: TextEncoder, prompts: list[str], rows: dict[str, Any]) -> torch.Tensor:
    encoded = encoder(prompts, rows, output_hidden_states=True)
    return encoded.text(_last(encoded))


def _last(encoded: Encoded) -> torch.Tensor:
    states: torch.Tensor = encoded.part("hidden_states", -1)
    return states


@pytest.mark.parametrize("longest", [False, True])
@pytest.mark.parametrize("template", ["none", "lower", "chat"])
def test_ids_without_a_word_are_those_of_the_tokenizer(
    tokenizers: dict[str, Any], template: str, longest: bool
) -> None:
    for name, tokenizer in tokenizers.items():
        if template == "chat" and name != "qwen":
            continue
        templates: dict[str, Template] = {"none": str, "lower": lower, "chat": chat(tokenizer)}
        around = templates[template]
        reader = SequenceReader(tokenizer, LENGTH, around, pads_to_longest=longest)
        ours = reader.tokenize(PROMPTS, {"<cat>": 2})
        theirs = tokenizer(
            [around(prompt) for prompt in PROMPTS],
            padding=True if longest else "max_length",
            max_length=LENGTH,
            truncation=True,
            return_tensors="pt",
        )
        assert torch.equal(ours.ids, theirs.input_ids)
        assert torch.equal(ours.mask, theirs.attention_mask)
        assert (ours.slots == -1).all()


@pytest.mark.parametrize(
    "prompt", ["a photo of <C>, red", "<C>'s toy", "(<C>) and one <C> photo", "my\n<C>\ncat"]
)
def test_a_word_is_read_like_a_word_of_the_vocabulary(tokenizer: Any, prompt: str) -> None:
    """All other tokens are as they are beside `cat`."""
    reader = SequenceReader(tokenizer, LENGTH, lower)
    found = reader.tokenize([prompt], {"<C>": 1})
    like = reader.tokenize([prompt.replace("<C>", "cat")], {})
    for cat in ("Ġcat", "▁cat"):
        known = tokenizer.convert_tokens_to_ids(cat)
        if known not in {None, tokenizer.unk_token_id}:
            break
    as_known = torch.where(found.slots >= 0, known, found.ids)
    texts = [tokenizer.decode(row, skip_special_tokens=True) for row in (as_known[0], like.ids[0])]
    assert [text.replace(" ", "") for text in texts] == [texts[1].replace(" ", "")] * 2
    assert (found.slots >= 0).sum() == prompt.count("<C>")
    if not prompt.startswith(("<", "(", "my\n")):
        assert torch.equal(as_known, like.ids)


def test_rows_are_numbered_through_all_words(tokenizer: Any) -> None:
    reader = SequenceReader(tokenizer, LENGTH)
    prompt = f"a <B> and {delimited(0)}s <B>"
    slots = reader.tokenize([prompt], {"0": 2, "<B>": 1, "<b>": 3}).slots
    assert slots[slots >= 0].tolist() == [2, 0, 1, 2]
    assert reader.filler not in tokenizer.all_special_ids


def test_a_word_may_have_capital_letters_where_prompts_are_read_in_lower_case(
    encoder: TextEncoder,
) -> None:
    reader = SequenceReader(encoder.reader.tokenizer, LENGTH, lower)
    reading = encoder.reading_with(reader)
    row = torch.randn(1, 16)
    named = _states(reading, ["A photo of <My-Cat>"], {"<My-Cat>": row})
    other = _states(reading, ["a PHOTO of <x>"], {"<x>": row})
    assert torch.equal(named, other)
    assert not torch.equal(named, _states(reading, ["a photo of <my-cat>"], {"<My-Cat>": row}))


def test_a_row_of_the_vocabulary_changes_nothing_and_leaves_no_trace(encoder: TextEncoder) -> None:
    (cat,) = encoder.reader.token_ids("cat")
    before = Snapshot(encoder.model)
    plain = _states(encoder, ["a cat, red"], {})
    row = encoder.table[cat : cat + 1]
    assert torch.equal(_states(encoder, ["a <c>, red"], {"<c>": row}), plain)
    assert not torch.equal(_states(encoder, ["a <c>, red"], {"<c>": -row}), plain)
    assert before.same(encoder.model)
    encoder.check()


def test_each_prompt_s_own_rows_get_a_gradient(encoder: TextEncoder) -> None:
    one, two = (torch.randn(2, 16, requires_grad=True) for _ in range(2))
    states = _states(encoder, ["a <1> here", "a <2>"], {"<1>": one, "<2>": two})
    states[0].square().sum().backward()
    assert one.grad is not None
    assert (one.grad.norm(dim=-1) > 0).all()
    assert two.grad is None or not two.grad.any()


def test_padding_does_not_change_what_a_masked_encoder_reads(tokenizers: dict[str, Any]) -> None:
    prompts = ["a cat", "a photo of my red toy"]
    for kind in KINDS:
        encoder = _encoder(kind, tokenizers)
        longest = encoder.reading_with(
            SequenceReader(tokenizers[kind], LENGTH, pads_to_longest=True)
        )(prompts, {}, output_hidden_states=True)
        whole = encoder(prompts, {}, output_hidden_states=True)
        assert longest.mask.shape[1] < whole.mask.shape[1] == LENGTH
        for b in range(2):
            short, long = (one.text(_last(one))[b][one.mask[b].bool()] for one in (longest, whole))
            torch.testing.assert_close(short, long)


def test_only_the_positions_that_are_used_are_the_text(tokenizers: dict[str, Any]) -> None:
    whole = _encoder("qwen", tokenizers)
    used = whole.reading_with(SequenceReader(tokenizers["qwen"], LENGTH, used=slice(3, None)))
    some = whole.reading_with(SequenceReader(tokenizers["qwen"], LENGTH, used=[0, 4, 5]))
    states = _states(whole, ["a photo of one cat"], {})
    assert torch.equal(_states(used, ["a photo of one cat"], {}), states[:, 3:])
    encoded = some(["a photo of one cat"], {}, output_hidden_states=True)
    assert torch.equal(encoded.text(_last(encoded)), states[:, [0, 4, 5]])
    assert encoded.mask.tolist() == [[1, 1, 0]]


def test_parts_may_be_read_as_texts_of_their_own(tokenizer: Any) -> None:
    def halves(text: str) -> list[str]:
        return [text[: len(text) // 2], text[len(text) // 2 :]]

    reader = SequenceReader(tokenizer, LENGTH, apart=halves)
    for prompt in PROMPTS:
        found = reader.find(prompt, {})
        apart = [tokenizer(half, add_special_tokens=False).input_ids for half in halves(prompt)]
        assert [token.id for token in found.tokens] == [*chain.from_iterable(apart)]
        assert found.text == prompt
    rows = [token.row for token in reader.find("a <x> and <x>", {"<x>": 2}).tokens]
    assert [row for row in rows if row >= 0] == [0, 1, 0, 1]


def test_what_is_not_read_is_told_without_the_template(tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers["qwen"]
    reader = SequenceReader(tokenizer, 24, chat(tokenizer))
    room = 24 - len(tokenizer(chat(tokenizer)("@").partition("@")[0]).input_ids)
    assert reader.max_tokens == room
    reading = reader.reading("a" + " red" * (room - 1) + " and blue", {})
    assert (reading.tokens, reading.max_tokens) == (room + 2, room)
    assert reading.cut_off == "and blue"
    assert not reader.reading("cat " * 3, {}).cut_off


def test_a_word_that_would_be_cut_off_is_an_error(tokenizer: Any) -> None:
    reader = SequenceReader(tokenizer, LENGTH, lower)
    with pytest.raises(PromptError, match="cut off: 'red red"):
        reader.tokenize(["red " * reader.max_tokens + "<x>"], {"<x>": 1})
    with pytest.raises(PromptError, match="vectors do not fit"):
        reader.tokenize(["<x>"], {"<x>": LENGTH})
    reader.tokenize(["<x>" + " red" * 100], {"<x>": reader.max_tokens})


def test_a_template_that_loses_a_word_is_an_error(tokenizer: Any) -> None:
    reader = SequenceReader(tokenizer, LENGTH, lambda prompt: prompt[:9])
    with pytest.raises(PromptError, match="lost in the template"):
        reader.tokenize(["a photo of <x>"], {"<x>": 1})
    with pytest.raises(BaseModelError, match="no room for a prompt"):
        SequenceReader(tokenizer, LENGTH, lambda prompt: "red " * LENGTH + prompt)
    with pytest.raises(BaseModelError, match="no room for a prompt"):
        SequenceReader(tokenizer, LENGTH, lambda prompt: "always this")


def test_a_prompt_with_weights_and_chunks_is_refused(tokenizer: Any) -> None:
    reader = SequenceReader(tokenizer, LENGTH)
    with pytest.raises(PromptError, match="reads no weights"):
        reader.tokenize(ChunkedPrompts([parse("a (red) cat", [])], 1), {})


def test_t5_gives_the_states_that_diffusers_pipelines_make(tokenizers: dict[str, Any]) -> None:
    t5 = _encoder("t5", tokenizers)
    nothing: dict[str, Any] = dict.fromkeys(("scheduler", "vae", "transformer"))
    flux = FluxPipeline(
        **nothing,
        text_encoder=t5.model,  # it is asked for its precision
        tokenizer=None,
        text_encoder_2=t5.model,
        tokenizer_2=t5.reader.tokenizer,
    )
    chroma = ChromaPipeline(**nothing, text_encoder=t5.model, tokenizer=t5.reader.tokenizer)
    prompts = list(PROMPTS)
    unmasked = TextEncoder(t5.reader, lambda: t5.model)
    theirs = flux._get_t5_prompt_embeds(prompts, max_sequence_length=LENGTH)
    assert torch.equal(_states(unmasked, prompts, {}), theirs)
    theirs, _ = chroma._get_t5_prompt_embeds(prompts, max_sequence_length=LENGTH)
    assert torch.equal(_states(t5, prompts, {}), theirs)
