"""Checkpoints in one file: the same model as the folder they were made from."""

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import single_file
import tiny
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from pseudoword.api import generate, train
from pseudoword.concept import Concept
from pseudoword.config import BaseChoice
from pseudoword.errors import BaseModelError
from pseudoword.models import base_model, detection
from pseudoword.models.loading import single_file_configs


def learned(base: Path, pictures: Path, out: Path, **own: Any) -> tuple[Concept, np.ndarray]:
    """A word, and a picture that is drawn with it."""
    short: dict[str, Any] = {"init": "cat", "steps": 2, "batch": 2, "preview": ()}
    word = train(pictures, "<cat>", base=str(base), out=out, **short, **own).concept
    (drawn,) = generate("a <cat>", concept=word, base=str(base), sampler_steps=2, **own)
    return word, np.asarray(drawn)


@pytest.fixture(scope="module")
def of_folder(unet_base: Path, once: Path) -> tuple[Concept, np.ndarray]:
    """What is learned on the model's folder, and drawn."""
    return learned(unet_base, once / "pictures", once / unet_base.name)


@pytest.mark.parametrize(
    ("unet_base", "ending"),
    [*((kind, "safetensors") for kind in tiny.DISTINCT_UNETS), ("sdxl", "ckpt")],
    indirect=["unet_base"],
)
def test_one_file_trains_and_draws_like_its_folder(
    unet_base: Path,
    of_folder: tuple[Concept, np.ndarray],
    pictures: Path,
    tmp_path: Path,
    ending: str,
) -> None:
    file = single_file.write(unet_base, tmp_path / f"model.{ending}")
    word, drawn = learned(file, pictures, tmp_path / "run", configs=unet_base)
    for key, rows in of_folder[0].vectors.items():
        assert torch.equal(rows, word.vectors[key])
    assert np.array_equal(of_folder[1], drawn)
    detected = detection.detect(BaseChoice(base=str(file), configs=str(unet_base)))
    assert "single-file checkpoint with the keys of sd" in detected.recognised_by


def test_configs_are_had_where_a_cache_takes_no_folder_and_leave_nothing_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PSEUDOWORD_CACHE", str(tmp_path))
    replace = os.replace

    def refused(path: Path, to: Path) -> None:
        if Path(to).is_relative_to(tmp_path):
            raise PermissionError(errno.EACCES, "Permission denied", str(to))
        replace(path, to)

    monkeypatch.setattr(os, "replace", refused)
    assert (single_file_configs.folder("sd2") / "model_index.json").is_file()
    assert not [*(tmp_path / "layouts").iterdir()]


def test_configs_are_had_where_there_can_be_no_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PSEUDOWORD_CACHE", str(tmp_path / "file" / "cache"))
    one, again = (single_file_configs.folder("sd1") for _ in range(2))
    assert one == again
    assert any((one / "tokenizer").iterdir())
    assert (one / "unet" / "config.json").is_file()


@pytest.mark.parametrize(
    ("more", "prediction", "zero_snr"),
    [
        ({}, "epsilon", False),
        ({"v_pred": torch.zeros(1), "ztsnr": torch.zeros(1)}, "v_prediction", True),
    ],
)
def test_the_prediction_type_in_a_file_is_used(
    base: Path, tmp_path: Path, more: dict[str, torch.Tensor], prediction: str, zero_snr: bool
) -> None:
    file = single_file.write(base, tmp_path / "model.safetensors", **more)
    choice = BaseChoice(base=str(file), configs=str(base), device="cpu")
    noise_schedule: Any = base_model.load(choice).noise_schedule
    assert noise_schedule.prediction_type == prediction
    assert (float(noise_schedule.alphas_cumprod[-1]) == 0) == zero_snr
    overridden = choice.model_copy(update={"prediction_type": "v_prediction"})
    noise_schedule = base_model.load(overridden).noise_schedule
    assert noise_schedule.prediction_type == "v_prediction"


@pytest.mark.parametrize("mark", ["edm_mean", "edm_vpred.sigma_max"])
def test_a_file_with_the_noise_of_edm_is_refused(base: Path, tmp_path: Path, mark: str) -> None:
    file = single_file.write(base, tmp_path / "model.safetensors", **{mark: torch.zeros(1)})
    with pytest.raises(BaseModelError, match="is a model of EDM, such as Playground"):
        base_model.load_named(str(file), "cpu")


def test_published_sizes_need_no_configs(unet_base: Path, tmp_path: Path) -> None:
    """The layouts that come along name every part; only the tiny sizes do not fit them."""
    file = single_file.write(unet_base, tmp_path / "model.safetensors")
    detected = detection.detect(BaseChoice(base=str(file)))
    assert detected.source.layout is not None
    with pytest.raises(BaseModelError, match=r"its text_encoder cannot be loaded.*--configs"):
        base_model.load_named(str(file), "cpu")


@pytest.mark.parametrize("layout", ["sd1", "sdxl"])
def test_a_layout_completes_a_single_file(tmp_path: Path, layout: str) -> None:
    """The published models made small: each part keeps all of its layout but for the sizes."""
    second = {"text_encoder_2": SMALL["text_encoder"] | {"hidden_size": 40, "projection_dim": 40}}
    changes = SMALL | {"unet": SMALL["unet"] | SMALL_UNET[layout]} | second
    known = single_file_configs.layout(layout)
    folder = single_file_configs.folder(
        layout, {part: v for part, v in changes.items() if part in known}
    )
    made = shutil.copytree(folder, tmp_path / "made")
    for part, kind in KINDS.items():
        if part in known:
            torch.manual_seed(0)
            config = json.loads((folder / part / "config.json").read_text())
            own = hasattr(kind, "from_config")
            model = kind.from_config(config) if own else kind(kind.config_class(**config))
            model.save_pretrained(made / part)
    file = single_file.write(made, tmp_path / "x.safetensors")
    whole, one = (
        base_model.load(choice)
        for choice in (
            BaseChoice(base=str(made), device="cpu"),
            BaseChoice(base=str(file), configs=str(folder), device="cpu"),
        )
    )
    assert one.fingerprint() == whole.fingerprint()
    assert one.resolution == whole.resolution == {"sd1": 512, "sdxl": 1024}[layout]


SMALL: dict[str, dict[str, Any]] = {
    "text_encoder": {"hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 2}
    | {"num_hidden_layers": 2},
    "vae": {"block_out_channels": [8, 8, 8, 16], "norm_num_groups": 4},
    "unet": {"norm_num_groups": 4, "cross_attention_dim": 32},
}
SMALL_UNET: dict[str, dict[str, Any]] = {
    "sd1": {"block_out_channels": [8, 8, 16, 16], "attention_head_dim": 4},
    "sdxl": {"block_out_channels": [8, 16, 16], "attention_head_dim": [2, 4, 4]}
    | {"transformer_layers_per_block": [1, 1, 2], "cross_attention_dim": 72}
    | {"projection_class_embeddings_input_dim": 6 * 256 + 40},
}
KINDS: dict[str, Any] = {
    "unet": UNet2DConditionModel,
    "vae": AutoencoderKL,
    "text_encoder": CLIPTextModel,
    "text_encoder_2": CLIPTextModelWithProjection,
}


TO_K = "input_blocks_1_1_transformer_blocks_0_attn2_to_k"
WRONG: dict[str, dict[str, tuple[int, ...]]] = {
    "LoRA for SDXL": {f"lora_unet_{TO_K}.lora_down.weight": (4, 2048)},
    "LoRA for SD 1.x": {f"lora_unet_{TO_K}.lora_down.weight": (4, 768)},
    "embedding": {"clip_l": (2, 768), "clip_g": (2, 1280)},
    "ControlNet": {"control_model.input_blocks.0.0.weight": (8, 4, 3, 3)},
    "VAE for SD 1.x, SD 2.x or SDXL": {"first_stage_model.decoder.conv_in.weight": (8, 4, 3, 3)},
    "VAE for SD 3 or FLUX": {"decoder.conv_in.weight": (8, 16, 3, 3)},
    "PixArt model": {"blocks.0.cross_attn.q_linear.weight": (8, 8)},
    "transformer with diffusers' names": {"transformer_blocks.0.attn.to_q.weight": (8, 8)},
    "SDXL refiner": {"conditioner.embedders.0.model.ln_final.weight": (8,)},
    "U-Net for SD 2.x": {"input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (8, 1024)},
    "text encoder": {f"text_model.encoder.layers.{i}.mlp.fc1.weight": (8, 8) for i in range(9)},
    "an unknown kind": {f"conv{i}.weight": (3, 3, 3) for i in range(9)},
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("ending", ["safetensors", "pt"])
def test_a_file_that_is_no_base_is_named(tmp_path: Path, what: str, ending: str) -> None:
    tensors = {key: torch.zeros(shape) for key, shape in WRONG[what].items()}
    file = tmp_path / f"x.{ending}"
    if ending == "pt":
        torch.save(tensors, file)
    else:
        save_file(tensors, file)
    with pytest.raises(BaseModelError, match=rf"is no base model: it is .*{what}"):
        base_model.load_named(str(file))


def test_a_pickle_that_would_run_code_is_not_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "ran",))  # type: ignore[return-value]

    torch.save({"state_dict": Bomb()}, tmp_path / "x.ckpt")
    with pytest.raises(BaseModelError, match=r"would run Python code .*A base model needs nothing"):
        base_model.load_named(str(tmp_path / "x.ckpt"))
    assert not (tmp_path / "ran").exists()


def test_a_layout_that_cannot_be_put_into_the_cache_is_not_taken_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, while something searches a new folder for viruses."""

    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setenv("PSEUDOWORD_CACHE", str(tmp_path))
    with monkeypatch.context() as patched:
        patched.setattr(single_file_configs, "move", refused)
        with pytest.raises(PermissionError):
            single_file_configs._written(tmp_path / "sd1", {})
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "sd1").mkdir()
    assert single_file_configs._written(tmp_path / "sd1", {}) == tmp_path / "sd1"
