"""Z-Image: texts of different lengths side by side, and its own way to count guidance."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from support import diffusers_own
from transformers import Qwen3ForCausalLM

import pseudoword
from pseudoword.errors import SettingsError
from pseudoword.models import base_model
from pseudoword.models.generation import generate


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.z_image(tmp_path_factory.mktemp("z-image"))


def test_a_text_is_read_without_padding_and_without_its_neighbours(base: Path) -> None:
    family: Any = base_model.load_named(str(base), "cpu")
    prompts = ["a cat", "a photo of my red toy and one blue dog " * 3]
    noisy, t = torch.randn(2, 4, 8, 8), torch.tensor([300, 700])
    sizes = torch.ones(2, 6, dtype=torch.int64)
    together = family.predict(noisy, t, family.encode_text(prompts, {}), sizes)
    for i, prompt in enumerate(prompts):
        condition = family.encode_text([prompt], {})
        alone = family.predict(noisy[i : i + 1], t[i : i + 1], condition, sizes[:1])
        torch.testing.assert_close(together[i : i + 1], alone)


def test_the_last_block_of_its_language_model_is_not_kept(base: Path) -> None:
    family: Any = base_model.load_named(str(base), "cpu")
    pipeline = diffusers_own(base)
    assert len(family.encoders["qwen3_4b"].model.layers) == len(pipeline.text_encoder.layers) - 1


def test_a_guidance_of_1_is_off(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    family: Any = base_model.load_named(str(base), "cpu")
    seen = []
    forward = type(family.denoiser).forward

    def counted(self: Any, latents: list[torch.Tensor], *args: Any, **more: Any) -> Any:
        seen.append(len(latents))
        return forward(self, latents, *args, **more)

    monkeypatch.setattr(type(family.denoiser), "forward", counted)
    for guidance, at_once in ((1.0, 1), (4.0, 2)):
        seen.clear()
        generate(family, ["a cat"], [], seeds=[0], sampler_steps=2, guidance=guidance)
        assert set(seen) == {at_once}


def test_pictures_may_be_as_large_as_there_are_positions(base: Path) -> None:
    drawn: dict[str, Any] = {"base": str(base), "sampler_steps": 1, "height": 32}
    (picture,) = pseudoword.generate("a cat", width=512, **drawn)
    assert picture.size == (512, 32)
    with pytest.raises(SettingsError, match=r"520 x 32 pixels are too large.*at most 512"):
        pseudoword.generate("a cat", width=520, **drawn)


def test_weights_saved_with_the_head_of_the_language_model_are_read(
    base: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(base, tmp_path / "published")
    text = diffusers_own(base).text_encoder
    whole = Qwen3ForCausalLM(text.config)
    whole.model.load_state_dict(text.state_dict())
    whole.save_pretrained(folder / "text_encoder")
    own, other = (
        base_model.load_named(str(one), "cpu").encode_text(["a cat"], {}) for one in (base, folder)
    )
    assert torch.equal(own.hidden, other.hidden)
