"""Transformers in one file, with the rest in a folder: the same models as whole folders."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import single_file
import tiny
import torch
from diffusers import QwenImageTransformer2DModel
from safetensors.torch import load_file, save_file

from pseudoword.api import train
from pseudoword.config import BaseChoice
from pseudoword.errors import BaseModelError
from pseudoword.models import base_model, detection


def qwen(base: Path, file: Path) -> Path:
    """Qwen-Image's own names of weights are diffusers'."""
    model = QwenImageTransformer2DModel.from_pretrained(base, subfolder="transformer")
    save_file({key: one.contiguous().clone() for key, one in model.state_dict().items()}, file)
    return file


WRITERS: dict[str, Callable[[Path, Path], Path]] = {
    "sd3": single_file.write_sd3_transformer,
    "qwen-image": qwen,
    "krea2": single_file.write_krea2_transformer,
    "z-image": single_file.write_z_image_transformer,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_transformer_in_one_file_is_the_same_as_in_its_folder(name: str, tmp_path: Path) -> None:
    base = tiny.BASES[name](tmp_path / "model")
    file = WRITERS[name](base, tmp_path / "transformer.safetensors")
    whole = base_model.load_named(str(base), "cpu")
    for weights in (base / "transformer").glob("*.safetensors"):
        weights.unlink()  # only the file has them now
    family = base_model.load(BaseChoice.check(base=str(file), configs=base, device="cpu"))
    for part, module in whole.modules().items():
        numbers = family.modules()[part].state_dict()
        assert numbers.keys() == module.state_dict().keys()
        assert all(torch.equal(one, numbers[key]) for key, one in module.state_dict().items())
    assert family.fingerprint() == whole.fingerprint()
    assert family.noise_schedule.timesteps == whole.noise_schedule.timesteps


def test_a_word_is_learned_on_a_transformer_in_one_file(pictures: Path, tmp_path: Path) -> None:
    base = tiny.qwen_image(tmp_path / "model")
    file = qwen(base, tmp_path / "x.safetensors")
    run: dict[str, Any] = {"base": str(file), "configs": base, "init": "cat", "preview": ()}
    done = train(pictures, "<cat>", out=tmp_path / "run", steps=1, batch=2, **run)
    assert done.concept.provenance["base"] == "x.safetensors"


def test_a_plan_needs_no_weights_of_the_rest(tmp_path: Path) -> None:
    base = tiny.qwen_image(tmp_path / "model")
    file = qwen(base, tmp_path / "x.safetensors")
    for weights in base.glob("*/*.safetensors"):
        weights.unlink()
    choice = BaseChoice.check(base=str(file), configs=base, device="cpu")
    found = detection.detect(choice)
    assert "single file with the transformer of Qwen-Image" in found.recognised_by
    family = base_model.build(found, base_model.placement(choice, empty=True))
    assert all(one.is_meta for one in family.denoiser.parameters())


KEYS: dict[str, tuple[str, ...]] = {
    "SD 3": ("model.diffusion_model.joint_blocks.0.x_block.attn.proj.weight",),
    "FLUX": (
        "model.diffusion_model.double_blocks.0.img_attn.proj.weight",
        *("model.diffusion_model.txt_in.weight", "model.diffusion_model.vector_in.in_layer.weight"),
    ),
    "FLUX.2": ("double_blocks.0.img_attn.proj.weight", "single_stream_modulation.lin.weight"),
    "Chroma": ("txt_in.weight", "distilled_guidance_layer.in_proj.weight"),
    "Qwen-Image": ("transformer_blocks.0.img_mod.1.weight", "txt_in.weight"),
    "Z-Image": ("cap_embedder.0.weight", "cap_pad_token"),
    "Lumina 2": ("model.diffusion_model.cap_embedder.0.weight",),
    "Sana": ("blocks.0.cross_attn.q_linear.weight", "blocks.0.mlp.inverted_conv.conv.weight"),
    "AuraFlow": ("cond_seq_linear.weight",),
}


UNREAD: dict[str, tuple[str, ...]] = {
    "PixArt": ("blocks.0.cross_attn.q_linear.weight",),
    "Ovis-Image": (
        *("model.diffusion_model.double_blocks.0.img_mlp.gate_proj.weight", "txt_norm.scale"),
        "model.diffusion_model.txt_in.weight",
    ),
    "LongCat-Image": ("double_blocks.0.img_attn.proj.weight", "txt_in.weight"),
}


@pytest.mark.parametrize("name", UNREAD)
def test_a_file_that_diffusers_does_not_read_is_named(tmp_path: Path, name: str) -> None:
    file = tmp_path / "x.safetensors"
    save_file({key: torch.zeros(8, 8) for key in UNREAD[name]}, file)
    told = f"it is a {name} model in one file, which diffusers does not read. Give it as a folder"
    for configs in (None, str(tmp_path)):
        with pytest.raises(BaseModelError, match=told):
            detection.detect(BaseChoice(base=str(file), configs=configs))


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("ending", ["safetensors", "pt"])
def test_a_file_with_a_transformer_is_named(tmp_path: Path, name: str, ending: str) -> None:
    tensors = {key: torch.zeros(8, 8) for key in KEYS[name]}
    file = tmp_path / f"x.{ending}"
    (save_file if ending == "safetensors" else torch.save)(tensors, file)
    with pytest.raises(BaseModelError, match=rf"is the transformer of {name}\. .* --configs"):
        base_model.load_named(str(file))


def test_what_a_file_with_a_transformer_needs_is_said(tmp_path: Path) -> None:
    base = tiny.sd3(tmp_path / "sd3")
    file = single_file.write_sd3_transformer(base, tmp_path / "x.safetensors")
    with pytest.raises(BaseModelError, match=r"transformer of SD 3\. Give the rest with"):
        detection.detect(BaseChoice(base=str(file)))
    other = tiny.flux(tmp_path / "flux")
    with pytest.raises(BaseModelError, match=r"of SD 3, and --configs .* a FluxPipeline"):
        detection.detect(BaseChoice.check(base=str(file), configs=other))
    with pytest.raises(BaseModelError, match=r"no model_index\.json"):
        detection.detect(BaseChoice.check(base=str(file), configs=base / "vae"))
    with pytest.raises(BaseModelError, match="--configs nothing: there is no such folder"):
        detection.detect(BaseChoice.check(base=str(file), configs="nothing"))


def test_a_file_that_lacks_weights_or_is_of_another_size_is_refused(tmp_path: Path) -> None:
    base = tiny.qwen_image(tmp_path / "model")
    file = qwen(base, tmp_path / "x.safetensors")
    weights = load_file(file)
    choice = BaseChoice.check(base=str(file), configs=base, device="cpu")
    save_file({key: one for key, one in weights.items() if key != "proj_out.bias"}, file)
    with pytest.raises(BaseModelError, match="the file lacks weights that its config"):
        base_model.load(choice)
    save_file(weights | {"proj_out.bias": torch.zeros(3)}, file)
    with pytest.raises(BaseModelError, match=r"transformer cannot be loaded.*Perhaps --configs"):
        base_model.load(choice)


def test_weights_that_are_to_be_scaled_are_refused(tmp_path: Path) -> None:
    base = tiny.qwen_image(tmp_path / "model")
    file = qwen(base, tmp_path / "x.safetensors")
    save_file(load_file(file) | {"proj_out.scale_weight": torch.ones(1)}, file)
    with pytest.raises(BaseModelError, match="8 bits with scales"):
        detection.detect(BaseChoice.check(base=str(file), configs=base))


def test_the_rest_may_be_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the hub's cache, as if it had been fetched, without the transformer's weights."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    base = tiny.sd3(tmp_path / "model")
    file = single_file.write_sd3_transformer(base, tmp_path / "x.safetensors")
    whole = base_model.load_named(str(base), "cpu").fingerprint()
    for weights in (base / "transformer").glob("*.safetensors"):
        weights.unlink()
    cached = tmp_path / "hub" / "models--owner--name"
    commit = "0" * 40  # of a commit, the hub is not asked again
    missing = cached / ".no_exist" / commit / "tokenizer_3" / "config.json"
    missing.parent.mkdir(parents=True)
    missing.touch()
    shutil.move(base, cached / "snapshots" / commit)
    choice = BaseChoice.check(base=str(file), configs=f"owner/name@{commit}", device="cpu")
    family = base_model.load(choice)
    assert family.fingerprint() == whole
    assert base_model.Unloaded(choice).resolution == (family.resolution, family.resolution_step)
