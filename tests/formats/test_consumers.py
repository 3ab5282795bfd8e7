"""Real consumers of what we write: diffusers' own loader, on tiny SD and SDXL pipelines."""

import re
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from embedding_files import rows
from safetensors.torch import load_file
from word_files import write_as, write_word

import pseudoword
from pseudoword.concept import Concept
from pseudoword.config.written_files import ENDINGS

SD = Concept("<cat>", {"clip_l": rows(3, 32)}, "sd", provenance={"steps": "3"})
SDXL = Concept("<cat>", {"clip_l": rows(3, 32), "clip_g": rows(3, 40)}, "sdxl")


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.sdxl(tmp_path_factory.mktemp("sdxl"))


def held(tokenizer: Any, encoder: Any, token: str = "<cat>", n: int = 3) -> torch.Tensor:
    """The rows that a pipeline has for a token of `n` vectors."""
    names = [token, *(f"{token}_{i}" for i in range(1, n))]
    table: torch.Tensor = encoder.get_input_embeddings().weight
    return table[tokenizer.convert_tokens_to_ids(names)].detach()


@pytest.mark.parametrize("writer", ["native", "diffusers", "diffusers-bin", "a1111"])
def test_diffusers_loads_a_word_into_stable_diffusion(
    base: Path, writer: str, tmp_path: Path
) -> None:
    (path,) = write_as(SD, tmp_path / f"cat{ENDINGS[writer]}", writer)
    pipeline = StableDiffusionPipeline.from_pretrained(base)
    pipeline.load_textual_inversion(str(path))
    assert torch.equal(held(pipeline.tokenizer, pipeline.text_encoder), SD.vectors["clip_l"])


@pytest.mark.parametrize("writer", ["diffusers", "diffusers-bin"])
def test_diffusers_loads_both_files_into_sdxl(sdxl: Path, writer: str, tmp_path: Path) -> None:
    ending = ENDINGS[writer]
    first, second = write_as(SDXL, tmp_path / f"learned_embeds{ending}", writer)
    assert second.name == f"learned_embeds_2{ending}"
    pipeline = StableDiffusionXLPipeline.from_pretrained(sdxl)
    for path, part in ((first, ""), (second, "_2")):
        pipeline.load_textual_inversion(
            str(path),
            text_encoder=getattr(pipeline, f"text_encoder{part}"),
            tokenizer=getattr(pipeline, f"tokenizer{part}"),
        )
    assert torch.equal(held(pipeline.tokenizer, pipeline.text_encoder), SDXL.vectors["clip_l"])
    assert torch.equal(held(pipeline.tokenizer_2, pipeline.text_encoder_2), SDXL.vectors["clip_g"])
    pipeline.set_progress_bar_config(disable=True)
    options: Any = {"num_inference_steps": 2, "output_type": "np", "height": 32, "width": 32}
    drawn = [
        pipeline(prompt, generator=torch.Generator().manual_seed(0), **options).images[0]
        for prompt in ("a <cat>", "a dog")
    ]
    assert abs(drawn[0] - drawn[1]).max() > 0


@pytest.mark.parametrize("writer", ["native", "sdxl", "comfyui", "onetrainer", "kohya"])
def test_diffusers_takes_the_tensors_of_files_with_two_keys(
    sdxl: Path, writer: str, tmp_path: Path
) -> None:
    (path,) = write_as(SDXL, tmp_path / "cat.safetensors", writer)
    tensors = load_file(path)
    pipeline = StableDiffusionXLPipeline.from_pretrained(sdxl)
    for key, part in (("clip_l", ""), ("clip_g", "_2")):
        pipeline.load_textual_inversion(
            tensors[key],
            token="<cat>",
            text_encoder=getattr(pipeline, f"text_encoder{part}"),
            tokenizer=getattr(pipeline, f"tokenizer{part}"),
        )
    assert torch.equal(held(pipeline.tokenizer, pipeline.text_encoder), SDXL.vectors["clip_l"])
    assert torch.equal(held(pipeline.tokenizer_2, pipeline.text_encoder_2), SDXL.vectors["clip_g"])


@pytest.mark.parametrize("token", ["<My-Toy>", "*"])
def test_the_advice_for_diffusers_brings_every_row_into_a_real_pipeline_s_prompt(
    base: Path, token: str, tmp_path: Path
) -> None:
    write_word(Concept(token, SD.vectors, "sd"), tmp_path / "toy.safetensors")
    said = pseudoword.inspect(tmp_path / "toy.safetensors").tools["diffusers"]
    match = re.match(r"load_textual_inversion\(file, token='(.*)'\), then write (\S+)\. ", said)
    assert match
    pipeline = StableDiffusionPipeline.from_pretrained(base)
    pipeline.load_textual_inversion(str(tmp_path / "toy.safetensors"), token=match[1])
    prompt = pipeline.maybe_convert_prompt(f"a photo of {match[2]} here", pipeline.tokenizer)
    ids = pipeline.tokenizer(prompt).input_ids
    used = pipeline.text_encoder.get_input_embeddings().weight[ids]
    assert all((used == row).all(dim=-1).any() for row in SD.vectors["clip_l"])
