"""Prompts to draw: hidden states are AUTOMATIC1111's, computed here once more, and no row is cut.

Its formula: each chunk of 75 tokens is read on its own; its hidden states are multiplied by the
tokens' weights, and the mean of all its numbers is restored; the chunks stand side by side.
"""

import copy
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import Notes
from torch import Tensor
from word_files import write_word

import pseudoword
from pseudoword.concept import Concept
from pseudoword.errors import PromptError
from pseudoword.formats.infotext import parse as parse_infotext
from pseudoword.models import base_model
from pseudoword.models.families.sd import StableDiffusion
from pseudoword.models.family import Family
from pseudoword.models.generation import generate
from pseudoword.models.reading.chunks import COMMA_REACH, count_chunks, tokenize_chunks
from pseudoword.models.reading.injection import Words, row_counts
from pseudoword.models.reading.prompts import ChunkedPrompts
from pseudoword.models.reading.text_encoder import weighted
from pseudoword.prompt_weights import parse, plain

UP, DOWN = 1.1, 1 / 1.1
ROWS = 3

Weighted = list[tuple[str, float]]

TEN: list[tuple[str, list[Weighted]]] = [
    ("a red cat", [[("a red cat", 1)]]),
    ("", [[]]),
    ("a (red:1.3) cat", [[("a ", 1), ("red", 1.3), (" cat", 1)]]),
    ("((a)) [dog], (toy:0)", [[("a", UP**2), (" ", 1), ("dog", DOWN), (", ", 1), ("toy", 0)]]),
    ("a (<x>:1.4) on [<x>]", [[("a ", 1), ("<x>", 1.4), (" on ", 1), ("<x>", DOWN)]]),
    (r"a \(red\) (cat \[my\]:-0.5)", [[("a (red) ", 1), ("cat [my]", -0.5)]]),
    ("a (cat BREAK a <x>:1.2)", [[("a ", 1), ("cat", 1.2)], [("a ", 1.2), ("<x>", 1.2)]]),
    ("cat " * 70 + "(<x>:0.7) " * 4, [[("cat " * 70, 1), *[("<x>", 0.7)] * 4]]),
    (
        "cat " * 60 + "(red, <x>, " + "dog " * 30,
        [[("cat " * 60, 1), ("red, ", UP), ("<x>", UP), (", " + "dog " * 30, UP)]],
    ),
    (
        "BREAK (<x> " + "dog, " * 90 + ":1.6) cat",
        [[], [("<x>", 1.6), ("dog, " * 90, 1.6), (" cat", 1)]],
    ),
]
"""Ten prompts, and what they mean in AUTOMATIC1111: between BREAKs, texts with weights."""


def reference_chunks(
    encoder: Any, meant: list[Weighted], new: Sequence[int]
) -> list[list[tuple[int, float]]]:
    """The tokens of each chunk with their weights; `new` are the ids of the word's rows."""
    comma, chunks = encoder.reader.tokenizer.convert_tokens_to_ids(",</w>"), []
    for part in meant:
        line: list[tuple[int, float]] = []
        for text, weight in part:
            ids = list(new) if text == "<x>" else encoder.reader.token_ids(text)
            line += [(id_, weight) for id_ in ids]
        while len(line) > 75:
            cut = 75
            if line[cut][0] in new[1:]:  # a word that does not fit as a whole goes to the next
                cut -= new.index(line[cut][0])
            elif line[cut][0] != comma:
                commas = [i for i in range(75 - COMMA_REACH, 75) if line[i][0] == comma]
                cut = commas[-1] + 1 if commas else cut
            chunks.append(line[:cut])
            line = line[cut:]
        chunks.append(line)
    return chunks if chunks[-1] or len(chunks) == 1 else chunks[:-1]


def reference(family: Any, meant: list[Weighted], words: Words) -> tuple[Tensor, Tensor | None]:
    """Hidden states `[n·77, D]` and pooled text; the word's rows are new entries of the table."""
    sides, pooled = [], None
    for key, encoder in family.encoders.items():
        model, size = copy.deepcopy(encoder.model), len(encoder.table)
        table = torch.nn.Parameter(torch.cat([encoder.table, words["<x>"][key]]))
        model.get_input_embeddings().weight = table
        side = []
        tokenizer = encoder.reader.tokenizer
        for chunk in reference_chunks(encoder, meant, range(size, size + ROWS)):
            empty = 75 - len(chunk)
            ids = [tokenizer.bos_token_id, *(id_ for id_, _ in chunk), tokenizer.eos_token_id]
            ids += [tokenizer.pad_token_id] * empty
            weights = torch.tensor([1.0, *(weight for _, weight in chunk), 1.0, *[1.0] * empty])
            read = model(torch.tensor([ids]), output_hidden_states=True)
            z = read.hidden_states[-2] if family.name == "sdxl" else read.last_hidden_state
            if family.name == "sdxl" and key == "clip_g" and pooled is None:
                pooled = read.text_embeds[0]
            mean = z.mean()
            z = z * weights[None, :, None]
            side.append(z[0] * (mean / z.mean()))
        sides.append(torch.cat(side))
    return torch.cat(sides, dim=-1), pooled


def as_published(family: Family) -> Any:
    """Make `family` more like published models.

    SD 2 and SDXL's second encoder pad with "!". Hidden states have a mean, since the last layer's
    norm is trained.
    """
    for key, encoder in family.encoders.items():
        if key == "clip_g" or encoder.width == 48:
            encoder.reader.tokenizer.pad_token = "!"
        bias = dict(encoder.model.named_parameters())
        (norm,) = (value for name, value in bias.items() if name.endswith("final_layer_norm.bias"))
        norm.fill_(-0.1)
    return family


def word(family: Family, rows: int = ROWS, seed: int = 0) -> Mapping[str, Tensor]:
    chance = torch.Generator().manual_seed(seed)
    return {
        key: torch.randn(rows, one.width, generator=chance) for key, one in family.encoders.items()
    }


def chunked(family: Family, prompt: str, words: Words, at_least: int = 1) -> ChunkedPrompts:
    understood = parse(prompt, words)
    counts = [
        count_chunks(encoder.reader, understood, row_counts(words, key))
        for key, encoder in family.encoders.items()
    ]
    return ChunkedPrompts([understood], max(*counts, at_least))


@torch.no_grad()
def test_hidden_states_are_those_of_automatic1111(unet_base: Path) -> None:
    family = as_published(base_model.load_named(str(unet_base), "cpu"))
    words = {"<x>": word(family)}
    for prompt, meant in TEN:
        hidden, pooled = reference(family, meant, words)
        ours = family.encode_text(chunked(family, prompt, words), words)
        torch.testing.assert_close(ours.hidden[0], hidden, rtol=1e-4, atol=1e-5)
        assert (ours.pooled is None) == (pooled is None)
        if pooled is not None:
            torch.testing.assert_close(ours.pooled[0], pooled)


@torch.no_grad()
def test_a_short_prompt_without_weights_is_read_as_in_training(unet_family: Family) -> None:
    words = {"<x>": word(unet_family)}
    for prompt in ("a photo of <x>", r"a cat", "", "cat, " * 37):
        plainly = unet_family.encode_text([prompt], words)
        ours = unet_family.encode_text(chunked(unet_family, prompt, words), words)
        assert torch.equal(ours.hidden, plainly.hidden)
        assert plainly.pooled is None or torch.equal(ours.pooled, plainly.pooled)  # type: ignore[arg-type]


@pytest.mark.parametrize("rows", [1, 2, 8, 40, 75])
def test_no_row_of_a_word_is_cut_at_the_border_of_a_chunk(family: Family, rows: int) -> None:
    encoder = family.encoders["clip_l"]
    for before in range(68, 76):
        for filler in ("cat ", "cat, "):
            tokens = len(encoder.reader.token_ids(filler))
            text = f"{filler * (before // tokens)} <x> " * 3
            prompt = parse(text, ["<x>"])
            n = count_chunks(encoder.reader, prompt, {"<x>": rows})
            found = tokenize_chunks(encoder.reader, ChunkedPrompts([prompt], n), {"<x>": rows})
            assert found.slots[found.slots >= 0].tolist() == [*range(rows)] * 3
            for chunk in found.slots:
                kept = chunk[chunk >= 0].tolist()
                assert kept == [*range(rows)] * (len(kept) // rows)
            plain_ids = [
                id_
                for chunk, slots in zip(found.ids, found.slots, strict=True)
                for id_, slot in zip(chunk.tolist(), slots.tolist(), strict=True)
                if slot < 0 and id_ not in encoder.reader.tokenizer.all_special_ids
            ]
            assert plain_ids == encoder.reader.token_ids(text.replace("<x>", ""))
            assert (found.ids == encoder.reader.tokenizer.bos_token_id).sum() == n


def test_a_prompt_of_200_tokens_with_a_word_at_every_border_is_read_whole(
    unet_family: Family,
) -> None:
    words = {"<x>": {key: r.requires_grad_() for key, r in word(unet_family, 4).items()}}
    text = "cat " * 73 + "<x> " + "dog " * 71 + "<x> " + "cat " * 50
    assert (
        len(unet_family.encoders["clip_l"].reader.token_ids(text.replace("<x>", "a a a a"))) > 200
    )
    hidden = unet_family.encode_text(chunked(unet_family, text, words), words).hidden
    assert hidden.shape[:2] == (1, 3 * 77)
    for chunk in hidden[0].split(77)[1:]:
        for rows in words["<x>"].values():
            rows.grad = None
        chunk.pow(2).sum().backward(retain_graph=True)
        for rows in words["<x>"].values():
            assert rows.grad is not None
            assert (rows.grad.abs().amax(1) > 0).all()


@torch.no_grad()
def test_each_layer_of_a_layered_word_is_weighted_on_its_own(unet_family: Family) -> None:
    family: Any = unet_family
    plainly = word(family)
    layered = {f"{key}.{layer}": rows for key, rows in plainly.items() for layer in family.layers}
    text = "a (<x>:1.4) BREAK [<x>] (cat:0.5)"
    one, many = (
        family.encode_text(chunked(family, text, {"<x>": rows}), {"<x>": rows})
        for rows in (plainly, layered)
    )
    for own in many.hidden.chunk(len(family.layers), dim=1):
        torch.testing.assert_close(own, one.hidden)


def test_a_prompt_beyond_all_numbers_is_told(family: Family) -> None:
    with pytest.raises(PromptError, match="weight of 'cat' in the prompt is too large"):
        generate(family, ["(" * 2000 + "cat"], [], seeds=[0])
    with pytest.raises(PromptError, match="not finite"):
        weighted(torch.tensor([[[2.0, 2.0], [-1.0, -1.0]]]), torch.tensor([[1.0, 2.0]]))
    prompt = parse("a <x>", ["<x>"])
    with pytest.raises(PromptError, match="76 vectors do not fit: the model reads 75 tokens of a"):
        count_chunks(family.encoders["clip_l"].reader, prompt, {"<x>": 76})


def pixels(picture: Any) -> Any:
    return np.asarray(picture, dtype=np.int16)


def test_a_picture_does_not_depend_on_how_long_the_others_prompts_are(unet_base: Path) -> None:
    family = as_published(base_model.load_named(str(unet_base), "cpu"))
    prompts = ["a cat", "a (red:1.3) dog, " * 40, "a dog", "", "dog BREAK cat"]
    seeds = range(len(prompts))
    together = generate(family, prompts, [], seeds=seeds, negative="red", sampler_steps=2)
    for seed, prompt in enumerate(prompts):
        (alone,) = generate(family, [prompt], [], seeds=[seed], negative="red", sampler_steps=2)
        assert np.abs(pixels(alone) - pixels(together[seed])).max() <= 1
    long = "cat " * 100
    (against_long,) = generate(family, ["a cat"], [], seeds=[0], negative=long, sampler_steps=2)
    assert np.abs(pixels(against_long) - pixels(together[0])).max() > 1


def test_a_negative_prompt_without_guidance_changes_nothing_however_long(family: Family) -> None:
    one, other = (
        generate(family, ["a cat"], [], seeds=[0], negative=text, guidance=1.0, sampler_steps=1)
        for text in ("", "cat " * 100)
    )
    assert np.array_equal(pixels(one[0]), pixels(other[0]))


def test_a_picture_says_its_prompt_as_it_was_written(base: Path, tmp_path: Path) -> None:
    base = shutil.copytree(base, tmp_path / "base")
    index = base / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"_emphasis": "no-norm"}))
    word_ = Concept("[x]", {"clip_l": torch.randn(2, 32)})
    write_word(word_, tmp_path / "word.safetensors")
    prompt = r"a ([x]:1.3), \(red\) ((cat)) BREAK [dog]" + ", cat" * 80
    settings: dict[str, Any] = {"base": str(base), "sampler_steps": 1, "progress": Notes()}
    settings |= {"concept": tmp_path / "word.safetensors", "negative": "(blurry:1.2)"}
    (drawn,) = pseudoword.generate(prompt, **settings)
    told = parse_infotext(drawn.info["parameters"])
    assert (told.prompt, told.negative) == (prompt, "(blurry:1.2)")
    assert told.values["Emphasis"] == "No norm"
    assert settings["progress"].lines == []
    (plainly,) = pseudoword.generate(prompt, emphasis="none", **settings)
    assert parse_infotext(plainly.info["parameters"]).values["Emphasis"] == "None"
    assert (pixels(plainly) != pixels(drawn)).any()
    settings |= {"negative": ""}
    (without,) = pseudoword.generate("a cat, [x's toy", emphasis="none", **settings)
    assert "Emphasis: None" in without.info["parameters"]
    (without,) = pseudoword.generate("a cat, a toy", emphasis="none", **settings)
    assert "Emphasis" not in without.info["parameters"]


def test_a_model_that_reads_no_weights_says_so_and_reads_plain_text(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt, settings = "a (red:1.4) cat", {"base": str(base), "sampler_steps": 1}
    (plainly,) = pseudoword.generate(prompt, emphasis="none", **settings)  # type: ignore[arg-type]
    monkeypatch.setattr(StableDiffusion, "reads_weights", False)
    told = Notes()
    (drawn,) = pseudoword.generate(prompt, progress=told, **settings)  # type: ignore[arg-type]
    assert np.array_equal(pixels(drawn), pixels(plainly))
    assert f"(red:1.4) is plain text here: {base} reads no weights" in told.lines
    assert parse_infotext(drawn.info["parameters"]).values["Emphasis"] == "None"
    pseudoword.generate("cat " * 80, progress=told, **settings)  # type: ignore[arg-type]
    assert any("80 tokens, but only 75 are read; not read: 'cat" in line for line in told.lines)


@torch.no_grad()
def test_the_mean_is_restored_unless_the_model_or_the_user_says_otherwise(base: Path) -> None:
    family = as_published(base_model.load_named(str(base), "cpu"))
    text = "a (red:1.4) cat"
    plainly = family.encode_text(["a red cat"], {}).hidden
    weights = torch.ones(77)
    weights[2] = 1.4
    for restore_mean in (True, False):
        prompts = ChunkedPrompts([parse(text, [])], 1, restore_mean)
        ours = family.encode_text(prompts, {}).hidden
        expected = plainly * weights[None, :, None]
        assert torch.equal(ours, expected) == (not restore_mean)
        assert torch.isclose(ours.mean(), plainly.mean(), rtol=1e-4) == restore_mean
    no_mean = torch.tensor([[[1.0, -1.0], [0.5, -0.5]]])
    assert torch.equal(weighted(no_mean, torch.tensor([[1.0, 2.0]]))[0, 1], no_mean[0, 0])
    assert base_model.load_named("emoji", "cpu").defaults.emphasis == "no-norm"


def test_the_grammar_can_be_switched_off(family: Family) -> None:
    text = "((red)) BREAK <x> [cat]"
    words = {"<x>": word(family)}
    ours = family.encode_text(ChunkedPrompts([plain(text, words)], 1), words).hidden
    assert torch.equal(ours, family.encode_text([text], words).hidden)
