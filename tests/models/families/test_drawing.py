"""Schedulers, sizes, LoRA files and the settings in a picture, for every family."""

import re
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import tiny
import torch
from diffusers import DiffusionPipeline
from PIL import Image
from safetensors.torch import save_file
from support import as_asked, guided, lora, reads_loras
from word_files import write_as, write_word

from pseudoword import api
from pseudoword.concept import Concept
from pseudoword.config import BaseChoice
from pseudoword.errors import BaseModelError, SettingsError
from pseudoword.models import base_model
from pseudoword.models.family import Family
from pseudoword.models.generation import generate
from pseudoword.report import picture_output

pytestmark = pytest.mark.usefixtures("models_are_kept")


def draw(base: Path, prompt: str = "a cat", **settings: Any) -> Image.Image:
    (picture,) = api.generate(prompt, base=str(base), sampler_steps=3, **settings)
    return picture


def same(one: Image.Image, other: Image.Image, within: int = 0) -> bool:
    a, b = (np.asarray(picture, dtype=np.int16) for picture in (one, other))
    return bool(np.abs(a - b).max() <= within)


@pytest.mark.parametrize("name", ["DPMSolverMultistep", "Heun", "EulerAncestral", "DDIMScheduler"])
def test_a_scheduler_draws_as_it_does_in_diffusers(base: Path, name: str) -> None:
    pipeline = DiffusionPipeline.from_pretrained(base)
    pipeline.set_progress_bar_config(disable=True)
    full = {"Heun": "HeunDiscrete", "EulerAncestral": "EulerAncestralDiscrete"}.get(name, name)
    kind = getattr(diffusers, f"{full.removesuffix('Scheduler')}Scheduler")
    pipeline.scheduler = kind.from_config(pipeline.scheduler.config)
    theirs = pipeline(
        "a cat",
        negative_prompt="",
        num_inference_steps=3,
        generator=torch.Generator().manual_seed(0),
    ).images[0]
    assert same(draw(base, scheduler=name), theirs, within=1)


@pytest.mark.parametrize("name", ["DPM++ 2M Karras", "euler_karras"])
def test_noise_levels_of_karras_are_those_of_diffusers(base: Path, name: str) -> None:
    pipeline = DiffusionPipeline.from_pretrained(base)
    pipeline.set_progress_bar_config(disable=True)
    full = "EulerDiscreteScheduler" if "euler" in name else "DPMSolverMultistepScheduler"
    config = pipeline.scheduler.config
    pipeline.scheduler = getattr(diffusers, full).from_config(config, use_karras_sigmas=True)
    source = torch.Generator().manual_seed(0)
    theirs = pipeline("a cat", num_inference_steps=3, generator=source).images[0]
    ours = draw(base, scheduler=name)
    assert same(ours, theirs, within=1)
    assert "Schedule type: Karras" in ours.info["parameters"]
    without = draw(base, scheduler=re.sub("[ _][Kk]arras", "", name))
    assert not same(ours, without, within=1)
    assert "Karras" not in without.info["parameters"]


def test_what_has_no_noise_levels_of_karras_says_so(base: Path) -> None:
    with pytest.raises(SettingsError, match="DDIMScheduler takes no noise levels of Karras's"):
        draw(base, scheduler="DDIM Karras")


def test_an_unknown_scheduler_names_those_that_work(base: Path) -> None:
    with pytest.raises(SettingsError, match=r"no scheduler Nonesuch.* work with .*DDIM.*Euler"):
        draw(base, scheduler="Nonesuch")


def test_pictures_need_not_be_square(any_base: Path) -> None:
    own, step = base_model.Unloaded(BaseChoice(base=str(any_base))).resolution
    wide, high = own + 2 * step, own + step
    assert draw(any_base, width=wide, height=high).size == (wide, high)
    assert draw(any_base, height=wide).size == (own, wide)
    with pytest.raises(SettingsError, match=f"multiple of {step}"):
        draw(any_base, width=33)


# How AUTOMATIC1111 takes the last line apart (modules/infotext_utils.py).
PAIRS = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')


def test_what_is_not_guided_reads_no_negative_prompt(base: Path) -> None:
    family: Any = base_model.load_named(str(base), "cpu")
    read: list[Any] = []
    encode = family.encode_negative

    def noting(*given: Any) -> Any:
        read.append(given)
        return encode(*given)

    family.encode_negative = noting
    drawn: dict[str, Any] = {"seeds": [0], "sampler_steps": 2}
    generate(family, ["a cat"], [], guidance=1.0, **drawn)
    assert not read
    generate(family, ["a cat"], [], guidance=2.0, **drawn)
    assert len(read) == 1


def test_a_png_holds_its_settings_as_automatic1111_reads_them(
    unet_base: Path, tmp_path: Path
) -> None:
    picture = draw(unet_base, "a cat, über", negative="dog", seed=7, scheduler="EulerDiscrete")
    (tmp_path / "x.png").write_bytes(picture_output.encode_picture(picture, "PNG"))
    word = Concept("<cat>", {"clip_l": torch.ones(1, 32)})
    write_as(word, tmp_path / "y.png", "a1111-png", picture)
    for name in ("x.png", "y.png"):
        *prompt, negative, last = Image.open(tmp_path / name).info["parameters"].split("\n")
        assert prompt == ["a cat, über"]
        assert negative == "Negative prompt: dog"
        values = dict(PAIRS.findall(last))
        assert values["Steps"] == "3"
        assert values["Sampler"] == "Euler"
        assert values["Seed"] == "7"
        assert values["Size"] == "32x32"
        assert values["Model"] == unet_base.name


def test_a_lora_draws_as_in_diffusers_and_leaves_no_trace(
    any_base: Path, any_family: Family, tmp_path: Path
) -> None:
    file = lora(any_base, tmp_path / "style.safetensors")
    pipeline = DiffusionPipeline.from_pretrained(any_base)
    pipeline.set_progress_bar_config(disable=True)
    if not reads_loras(any_base):
        kind = type(pipeline).__name__
        with pytest.raises(BaseModelError, match=f"diffusers' {kind} reads no LoRA files"):
            draw(any_base, lora=[str(file)])
        return
    pipeline.load_lora_weights(tmp_path, weight_name=file.name, adapter_name="style")
    pipeline.set_adapters(["style"], [0.5])
    theirs = pipeline(
        prompt="a cat",
        **guided(pipeline, 7.5),
        num_inference_steps=3,
        generator=torch.Generator().manual_seed(0),
        **as_asked(pipeline),
    ).images[0]
    ours = draw(any_base, guidance=7.5, lora=[f"{file}:0.5"])
    assert same(ours, theirs, within=1)
    assert 'Lora: "style: 0.5"' in ours.info["parameters"]
    before = _drawn(any_family)
    with any_family.with_loras([(file, 1.0)]):
        assert not same(_drawn(any_family), before, within=1)
    assert same(_drawn(any_family), before)


def _drawn(family: Family) -> Image.Image:
    return generate(family, ["a cat"], [], seeds=[0], sampler_steps=3)[0]


def test_a_file_that_is_no_lora_for_the_base_is_explained(base: Path, tmp_path: Path) -> None:
    wide = tmp_path / "wide.safetensors"
    key = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
    save_file({f"{key}.lora_A.weight": torch.ones(4, 2048)}, wide)
    with pytest.raises(BaseModelError, match=r"text of width 2048 SDXL, the base reads 32"):
        draw(base, lora=[str(wide)])
    write_word(Concept("<cat>", {"clip_l": torch.ones(1, 32)}), tmp_path / "word.safetensors")
    with pytest.raises(BaseModelError, match=r"is no LoRA: it is an embedding"):
        draw(base, lora=[str(tmp_path / "word.safetensors")])
    with pytest.raises(SettingsError, match="there is no such file"):
        draw(base, lora=["nowhere.safetensors:2"])


@pytest.fixture(scope="module")
def inpainting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny inpainting model: its U-Net also takes a mask and a masked picture."""
    return tiny.stable_diffusion(tmp_path_factory.mktemp("inpainting"), in_channels=9)


def test_an_inpainting_model_draws_as_diffusers_fills_an_empty_picture(inpainting: Path) -> None:
    pipeline = DiffusionPipeline.from_pretrained(inpainting)
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        "a cat",
        image=Image.new("RGB", (32, 32)),
        mask_image=Image.new("L", (32, 32), 255),
        strength=1.0,
        height=32,
        width=32,
        num_inference_steps=3,
        masked_image_latents=pipeline.vae.encode(torch.zeros(1, 3, 32, 32)).latent_dist.mean
        * pipeline.vae.config.scaling_factor,
        generator=torch.Generator().manual_seed(0),
    ).images[0]
    assert same(draw(inpainting), theirs, within=1)


def test_a_model_that_edits_pictures_is_refused(tmp_path: Path) -> None:
    edits = tiny.stable_diffusion(tmp_path, in_channels=8)
    with pytest.raises(BaseModelError, match="takes 8 channels and gives 4"):
        base_model.load_named(str(edits), "cpu")


def test_an_inpainting_model_cannot_rescale_guidance(inpainting: Path) -> None:
    with pytest.raises(SettingsError, match="StableDiffusionInpaintPipeline has no such setting"):
        api.generate("a cat", base=str(inpainting), guidance_rescale=0.7, sampler_steps=1)


def test_an_inpainting_model_learns_with_all_of_the_picture_masked(
    inpainting: Path, pictures: Path, tmp_path: Path
) -> None:
    done = api.train(
        *(pictures, "<cat>"), base=str(inpainting), out=tmp_path, init="cat", steps=2, preview=()
    )
    assert done.effect > 0
    family: Any = base_model.load_named(str(inpainting), "cpu")
    inputs = []
    family.denoiser.register_forward_pre_hook(lambda _module, args: inputs.append(args[0]))
    noisy = torch.randn(2, 4, 8, 8)
    family.predict(noisy, torch.tensor([1, 2]), family.encode_text(["a", "cat"], {}), None)
    blank = family.encode_pictures(torch.zeros(1, 3, 32, 32)).mean.expand(2, -1, -1, -1)
    assert torch.equal(inputs[0], torch.cat([noisy, torch.ones(2, 1, 8, 8), blank], dim=1))
