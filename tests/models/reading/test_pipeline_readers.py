"""Each reader reads a prompt as its pipeline in diffusers does: the same states, bit for bit."""

from collections.abc import Iterator
from inspect import signature
from pathlib import Path
from typing import Any

import diffusers
import pytest
import tiny
import tiny_tokenizers
import torch
from tiny_encoders import encoder
from torch import Tensor

from pseudoword.models.compute.live_memory import count_peak
from pseudoword.models.families.auraflow import AuraFlow
from pseudoword.models.families.chroma import Chroma
from pseudoword.models.families.flux import Flux
from pseudoword.models.families.flux2 import Flux2, Flux2Klein
from pseudoword.models.families.latent import LatentFamily
from pseudoword.models.families.lumina2 import Lumina2
from pseudoword.models.families.pixart import PixArtSigma
from pseudoword.models.families.qwen_image import QwenImage
from pseudoword.models.families.sana import Sana
from pseudoword.models.families.sd3 import StableDiffusion3
from pseudoword.models.families.z_image import ZImage
from pseudoword.models.reading.prompt_reader import PromptReader, Reads
from pseudoword.models.reading.text_encoder import Encoded, TextEncoder

PROMPTS = ["", "a Photo of my cat,  red and blue ", "(Café) and naïve 猫 100%", "one cat " * 400]

KINDS = {
    "t5": ("T5", tiny_tokenizers.t5),
    "umt5": ("UMT5", tiny_tokenizers.llama),
    "gemma": ("Gemma 2", tiny_tokenizers.gemma),
    "qwen": ("Qwen 3", tiny_tokenizers.qwen),
    "qwen-vl": ("Qwen 2.5 VL", tiny_tokenizers.qwen),
}


def _reads(family: type[LatentFamily], which: int = 0) -> Reads:
    reads = family.text_encoders[which].reads
    assert reads is not None
    return reads


def _reads_negative(family: type[LatentFamily]) -> Reads:
    reads = family.text_encoders[0].reads_negative
    assert reads is not None
    return reads


@pytest.fixture(autouse=True)
def _published_lengths() -> Iterator[None]:
    for pipeline, most in tiny.PUBLISHED_LENGTHS.items():
        tiny.set_default(pipeline, "max_sequence_length", most)
    yield
    for pipeline in tiny.PUBLISHED_LENGTHS:
        tiny.set_default(pipeline, "max_sequence_length", tiny.MOST_TOKENS)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, Any]]:
    """A tokenizer and a model of each kind."""
    folder = tmp_path_factory.mktemp("tokenizers")
    made = {}
    for name, (kind, make) in KINDS.items():
        tokenizer = make(folder / name, tiny.WORDS)
        torch.manual_seed(0)
        made[name] = tokenizer, encoder(kind, len(tokenizer))
    return made


def _pipeline(name: str, tokenizer: Any, model: Any, suffix: str = "", **more: Any) -> Any:
    kind = getattr(diffusers, name)
    parts = dict.fromkeys(list(signature(kind.__init__).parameters)[1:])
    return kind(**parts | {f"tokenizer{suffix}": tokenizer, f"text_encoder{suffix}": model} | more)


def _encoder(reader: PromptReader, model: Any, masked: bool = True) -> TextEncoder:
    return TextEncoder(reader, lambda: model, masked=masked)


def _last(encoded: Encoded) -> Tensor:
    return encoded.text(encoded.part("last_hidden_state"))


@pytest.mark.parametrize("prompt", PROMPTS)
def test_t5_of_stable_diffusion_3_flux_and_chroma(
    parts: dict[str, tuple[Any, Any]], prompt: str
) -> None:
    words, model = parts["t5"]
    for name, suffix, reads, masked in (
        ("StableDiffusion3Pipeline", "_3", _reads(StableDiffusion3, 2), False),
        ("FluxPipeline", "_2", _reads(Flux, 1), False),
        ("ChromaPipeline", "", _reads(Chroma), True),
    ):
        read = _encoder(reads(words), model, masked)
        pipeline = _pipeline(name, words, model, suffix, text_encoder=model)
        theirs = pipeline._get_t5_prompt_embeds([prompt], max_sequence_length=read.reader.length)
        theirs = theirs[0] if isinstance(theirs, tuple) else theirs
        assert torch.equal(_last(read([prompt], {})), theirs)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_t5_of_pixart_and_umt5_of_aura_flow(parts: dict[str, tuple[Any, Any]], prompt: str) -> None:
    for kind, name, reads in (
        ("t5", "PixArtSigmaPipeline", _reads(PixArtSigma)),
        ("umt5", "AuraFlowPipeline", _reads(AuraFlow)),
    ):
        words, model = parts[kind]
        encoded = _encoder(reads(words), model)([prompt], {})
        theirs, mask, *_ = _pipeline(name, words, model).encode_prompt([prompt], False)
        ours = _last(encoded) * (encoded.mask.unsqueeze(-1) if kind == "umt5" else 1)
        assert torch.equal(ours, theirs)
        assert torch.equal(encoded.mask, mask.view(1, -1)[:, : encoded.mask.shape[1]]) or (
            kind == "umt5"
        )


@pytest.mark.parametrize("prompt", PROMPTS)
def test_gemma_of_sana(parts: dict[str, tuple[Any, Any]], prompt: str) -> None:
    words, model = parts["gemma"]
    pipeline = _pipeline("SanaPipeline", words, model)
    instruction = signature(pipeline.__call__).parameters["complex_human_instruction"].default
    read = _encoder(_reads(Sana)(words), model)
    negative = read.reading_with(_reads_negative(Sana)(words))
    found, found_mask, against, against_mask = pipeline.encode_prompt(
        [prompt], True, [prompt], complex_human_instruction=instruction
    )
    for one, states, mask in (
        (read([prompt], {}), found, found_mask),
        (negative([prompt], {}), against, against_mask),
    ):
        assert torch.equal(_last(one), states)
        assert torch.equal(one.mask, mask)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_gemma_of_lumina(parts: dict[str, tuple[Any, Any]], prompt: str) -> None:
    words, model = parts["gemma"]
    read = _encoder(_reads(Lumina2)(words), model)
    negative = read.reading_with(_reads_negative(Lumina2)(words))
    found, found_mask, against, against_mask = _pipeline(
        "Lumina2Pipeline", words, model
    ).encode_prompt([prompt], True, [prompt])
    for one, states, mask in (
        (read([prompt], {}, output_hidden_states=True), found, found_mask),
        (negative([prompt], {}, output_hidden_states=True), against, against_mask),
    ):
        assert torch.equal(one.text(one.part("hidden_states", -2)), states)
        assert torch.equal(one.mask, mask)


def test_qwen_2_5_of_qwen_image(parts: dict[str, tuple[Any, Any]]) -> None:
    words, model = parts["qwen-vl"]
    read = _encoder(_reads(QwenImage)(words), model)
    pipeline = _pipeline("QwenImagePipeline", words, model)
    most = signature(pipeline.__call__).parameters["max_sequence_length"].default
    for prompts, within in ((PROMPTS[:-1], 0.0), (PROMPTS, 1e-6)):  # it cuts what it has encoded
        encoded = read(prompts, {}, output_hidden_states=True)
        theirs, mask = pipeline.encode_prompt(prompts, max_sequence_length=most)
        ours = encoded.text(encoded.part("hidden_states", -1)) * encoded.mask.unsqueeze(-1)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=within)
        assert torch.equal(encoded.mask, mask)


def test_qwen_3_of_z_image_and_flux_2_klein(parts: dict[str, tuple[Any, Any]]) -> None:
    words, model = parts["qwen"]
    z_image = _encoder(_reads(ZImage)(words), model)
    encoded = z_image(PROMPTS, {}, output_hidden_states=True)
    states = encoded.text(encoded.part("hidden_states", -2))
    theirs = _pipeline("ZImagePipeline", words, model)._encode_prompt(list(PROMPTS), "cpu")
    for b, one in enumerate(theirs):
        assert torch.equal(states[b][encoded.mask[b].bool()], one)
    klein = _encoder(_reads(Flux2Klein)(words), model)
    encoded = klein(PROMPTS, {}, output_hidden_states=True, use_cache=False)
    joined = torch.cat([encoded.part("hidden_states", i) for i in (1, 2, 3)], dim=-1)
    get = diffusers.Flux2KleinPipeline._get_qwen3_prompt_embeds
    assert torch.equal(joined, get(model, words, PROMPTS, hidden_states_layers=[1, 2, 3]))


def test_mistral_of_flux_2(tmp_path: Path) -> None:
    """Its template writes the begin token, and padding is on the left."""
    words = tiny_tokenizers.mistral(tmp_path, tiny.WORDS)
    model = encoder("Qwen 3", len(words))
    read = _encoder(_reads(Flux2)(words), model)
    prompts = ["a cat", "a photo [IMG] of my Toy "]
    encoded = read(prompts, {}, output_hidden_states=True, use_cache=False)
    joined = torch.cat([encoded.part("hidden_states", i) for i in (1, 2, 3)], dim=-1)
    get = diffusers.Flux2Pipeline._get_mistral_3_small_prompt_embeds
    assert torch.equal(joined, get(model, words, prompts, hidden_states_layers=[1, 2, 3]))
    assert encoded.tokens.ids[0, -1] == words.convert_tokens_to_ids("[/INST]")


@pytest.mark.parametrize(
    ("kind", "reads"),
    [
        ("t5", _reads(PixArtSigma)),
        ("gemma", _reads(Sana)),
        ("qwen", _reads(ZImage)),
        ("qwen-vl", _reads(QwenImage)),
    ],
)
def test_what_a_step_takes_is_counted_without_weights(
    parts: dict[str, tuple[Any, Any]], kind: str, reads: Any
) -> None:
    words, _ = parts[kind]
    with torch.device("meta"):
        model = encoder(KINDS[kind][0], len(words))
    read = _encoder(reads(words), model)
    rows = torch.zeros(2, 16, device="meta", requires_grad=True)
    with count_peak() as peak:
        encoded = read(["a <x>", "a photo of <x>"], {"<x>": rows}, output_hidden_states=True)
        encoded.text(encoded.part("hidden_states", -1)).sum().backward()
        counted = peak()
    assert rows.grad is not None
    states_nbytes = 4 * 16 * encoded.tokens.ids.numel()
    assert counted > 8 * states_nbytes


def test_the_instruction_leaves_room_for_a_prompt_of_its_own_length(
    parts: dict[str, tuple[Any, Any]],
) -> None:
    """The prompt behind Sana's instruction may be as long as one without it."""
    words, _ = parts["gemma"]
    with_instruction, without = (
        reads(words).max_tokens for reads in (_reads(Sana), _reads_negative(Sana))
    )
    assert abs(with_instruction - without) <= 1
