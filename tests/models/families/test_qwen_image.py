"""Qwen-Image: what it reads of a prompt, and a VAE made for films."""

from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from support import diffusers_own

from pseudoword.concept import Concept
from pseudoword.errors import PromptError
from pseudoword.models import base_model
from pseudoword.models.generation import generate


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.qwen_image(tmp_path_factory.mktemp("qwen-image"))


@pytest.fixture(scope="module")
def family(base: Path) -> Any:
    return base_model.load_named(str(base), "cpu")


def test_the_template_before_a_prompt_is_read_and_is_no_text(family: Any) -> None:
    encoder = family.encoders["qwen25_7b"]
    ids = encoder.reader.tokenize([""], {}).ids[0]
    start, end = encoder.reader.tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
    assert [i for i, token in enumerate(ids) if token in (start, end)] == [0, 29, 31, 34, 36]
    condition = family.encode_text([" cat", " photo of a red cat"], {})
    behind = len(ids) - 34
    assert condition.mask.sum(1).tolist() == [1 + behind, 5 + behind]
    assert not condition.hidden[0, 1 + behind :].any()


def test_neither_the_head_nor_the_eyes_of_its_language_model_are_kept(family: Any) -> None:
    kept = {name.split(".")[0] for name, _ in family.encoders["qwen25_7b"].model.named_parameters()}
    assert kept == {"embed_tokens", "layers", "norm"}


def test_a_word_behind_what_the_pipeline_reads_of_a_long_prompt_is_refused(family: Any) -> None:
    word = Concept("<cat>", {"qwen25_7b": torch.randn(1, 16)})
    long = "one cat " * 255
    (picture,) = generate(family, [f"<cat> {long}"], [word], seeds=[0], sampler_steps=2)
    assert picture.size == (32, 32)
    with pytest.raises(PromptError, match="the model reads 512, and a new word in it would be cut"):
        generate(family, [f"{long} and a toy <cat>"], [word], seeds=[0], sampler_steps=2)


def test_latents_are_scaled_for_each_channel_and_come_back(base: Path, family: Any) -> None:
    pixels = torch.rand(2, 3, 32, 32) * 2 - 1
    found = family.encode_pictures(pixels)
    vae = diffusers_own(base).vae
    own = vae.encode(pixels.unsqueeze(2)).latent_dist
    mean, std = (
        torch.tensor(numbers).view(1, 4, 1, 1)
        for numbers in (vae.config.latents_mean, vae.config.latents_std)
    )
    torch.testing.assert_close(found.mean * std + mean, own.mean[:, :, 0])
    torch.testing.assert_close(found.std * std, own.std[:, :, 0])
    torch.testing.assert_close(family.decode(found.mean), vae.decode(own.mean).sample[:, :, 0])


def test_other_numbers_in_the_config_of_the_vae_mean_other_latents(tmp_path: Path) -> None:
    digests = set()
    for mean in (0.0, 0.1):
        folder = tiny.qwen_image(tmp_path / str(mean))
        config = folder / "vae" / "config.json"
        config.write_text(config.read_text().replace("-0.1,", f"{mean},"))
        digests.add(base_model.load_named(str(folder), "cpu").vae_digest())
    assert len(digests) == 2
