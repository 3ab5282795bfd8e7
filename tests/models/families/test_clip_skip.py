"""A layer of the text encoder before the last one is read, as in other tools."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from PIL import Image
from support import Notes, learn, lora
from transformers import CLIPTextModel
from typer.testing import CliRunner

from pseudoword import api
from pseudoword.cli.app import app
from pseudoword.config import BaseChoice
from pseudoword.errors import SettingsError
from pseudoword.models import base_model


def draw(base: Path, **settings: Any) -> Image.Image:
    (picture,) = api.generate("a red cat", base=str(base), sampler_steps=3, **settings)
    return picture


def difference(one: Image.Image, other: Image.Image) -> int:
    a, b = (np.asarray(picture, dtype=np.int16) for picture in (one, other))
    return int(np.abs(a - b).max())


@pytest.mark.parametrize("with_lora", [False, True])
def test_it_draws_as_diffusers_does(
    base: Path, tmp_path: Path, with_lora: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """diffusers counts the layers left out, and reads a negative prompt to the last layer.

    A LoRA may be for the layers that are left out, too.
    """
    pipeline = DiffusionPipeline.from_pretrained(base)
    pipeline.set_progress_bar_config(disable=True)
    given: dict[str, Any] = {}
    if with_lora:
        file = lora(base, tmp_path / "style.safetensors")
        pipeline.load_lora_weights(tmp_path, weight_name=file.name, adapter_name="style")
        given["lora"] = [str(file)]
    with monkeypatch.context() as patch:  # diffusers expects what transformers had before 5
        patch.setattr(CLIPTextModel, "text_model", property(lambda self: self), raising=False)
        theirs = pipeline(
            "a red cat",
            guidance_scale=1.0,
            clip_skip=1,
            num_inference_steps=3,
            generator=torch.Generator().manual_seed(0),
        ).images[0]
    ours = draw(base, guidance=1, clip_skip=2, **given)
    assert difference(ours, theirs) <= 1
    assert difference(ours, draw(base, guidance=1, **given)) > 1
    assert "Clip skip: 2" in ours.info["parameters"]


def test_words_are_learned_with_it_and_say_so(base: Path, pictures: Path, tmp_path: Path) -> None:
    usual = learn(base, pictures, tmp_path / "usual")
    skipped = learn(base, pictures, tmp_path / "skipped", clip_skip=2)
    assert not torch.equal(usual.concept.vectors["clip_l"], skipped.concept.vectors["clip_l"])
    assert skipped.concept.provenance["clip_skip"] == "2"
    assert "clip_skip" not in usual.concept.provenance

    def told(word: Path, **given: Any) -> list[str]:
        notes = Notes()
        api.generate("a <cat>", concept=word, base=base, sampler_steps=1, progress=notes, **given)
        return [line for line in notes.lines if "clip-skip" in line]

    assert told(tmp_path / "skipped", clip_skip=2) == told(tmp_path / "usual") == []
    (line,) = told(tmp_path / "skipped")
    assert "<cat> was learned with --clip-skip 2, and this is --clip-skip 1" in line
    (line,) = told(tmp_path / "usual", clip_skip=2)
    assert "--clip-skip 1, and this is --clip-skip 2" in line


def test_the_command_to_draw_with_has_it(base: Path, pictures: Path, tmp_path: Path) -> None:
    given = {"--token": "<toy>", "--base": base, "--steps": 1, "--clip-skip": 2}
    arguments = [str(one) for pair in given.items() for one in pair]
    command = ["train", str(pictures), *arguments, "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(app, [*command, "--preview", "none"])
    assert result.exit_code == 0, result.output
    assert "--clip-skip 2" in result.stdout.splitlines()[-1]


def test_it_takes_less_memory(base: Path) -> None:
    whole, skipped = (api.plan(base=str(base), clip_skip=layer).parts for layer in (1, 2))
    assert skipped["clip_l"] < whole["clip_l"]
    assert skipped["unet"] == whole["unet"]


def test_more_layers_than_there_are_and_other_families_are_refused(
    base: Path, tiny_base: Any
) -> None:
    with pytest.raises(SettingsError, match=r"--clip-skip 3 is too much .* of 2 layers"):
        base_model.load(BaseChoice.check(base=base, device="cpu", clip_skip=3))
    with pytest.raises(SettingsError, match="--clip-skip 2 is not for"):
        base_model.load(BaseChoice.check(base=tiny_base("sdxl"), device="cpu", clip_skip=2))
