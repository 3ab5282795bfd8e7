"""Damaged and unusual folders in diffusers' layout: each loads, or gives one clear error."""

import json
import os
import resource
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel, CLIPTokenizer

from pseudoword.api import plan
from pseudoword.config import BaseChoice
from pseudoword.errors import BaseModelError, PseudowordError
from pseudoword.models import base_model
from pseudoword.models.family import Family
from pseudoword.models.generation import generate
from pseudoword.models.loading.folder import read_headers
from pseudoword.training.initialisation import rows_of_words


@pytest.fixture
def folder(base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(base, tmp_path / "base"))


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def load_and_draw(folder: Path) -> Family:
    """The model in the folder, after all of it was used."""
    family = base_model.load_named(str(folder), "cpu")
    family.modules()
    generate(family, ["a cat"], [], seeds=[0], sampler_steps=2)
    return family


SCHEDULER, TOKENIZER = "scheduler/scheduler_config.json", "tokenizer/tokenizer_config.json"
INVALID: dict[str, tuple[str, dict[str, Any], str]] = {
    "pipelines": ("model_index.json", {"_class_name": ["A", "B"]}, "it names no pipeline"),
    "no pipeline": ("model_index.json", {"_class_name": None}, "it names no pipeline"),
    "a dict of pipelines": ("model_index.json", {"_class_name": {}}, "it names no pipeline"),
    "guidance in words": ("model_index.json", {"_guidance_scale": ["7"]}, "_guidance_scale in"),
    "emphasis": ("model_index.json", {"_emphasis": ["none"]}, "_emphasis in model_index.json is"),
    "endless guidance": ("model_index.json", {"_guidance_scale": 1e999}, "_guidance_scale in"),
    "much guidance": (
        "model_index.json",
        {"_guidance_scale": 1e7},
        "0.0, .* to less than 1,000,000",
    ),
    "sizes": ("unet/config.json", {"sample_size": [8, 16]}, r"sample_size is \[8, 16\]"),
    "no size": ("unet/config.json", {"sample_size": None}, "sample_size is null"),
    "a size below nothing": ("unet/config.json", {"sample_size": -8}, "sample_size is -8"),
    "a huge size": ("unet/config.json", {"sample_size": 10**9}, "sample_size is 1000000000"),
    "no blocks": ("vae/config.json", {"block_out_channels": []}, "should be a list of 1 to 8"),
    "blocks": ("unet/config.json", {"block_out_channels": [16] * 10**5}, "unet"),
    "layers": ("unet/config.json", {"layers_per_block": 10**9}, "more weights than there are"),
    "text layers": ("text_encoder/config.json", {"num_hidden_layers": 10**9}, "more weights than"),
    "more text layers": ("text_encoder/config.json", {"num_hidden_layers": 3}, "weights are missi"),
    "width": ("text_encoder/config.json", {"hidden_size": 10**7}, "text_encoder cannot be loaded"),
    "rows": ("text_encoder/config.json", {"vocab_size": 10**12}, "text_encoder cannot be loaded"),
    "positions": ("text_encoder/config.json", {"max_position_embeddings": 10**11}, "text_encoder"),
    "another width": ("unet/config.json", {"cross_attention_dim": 64}, "unet cannot be loaded"),
    "below nothing": ("unet/config.json", {"norm_num_groups": -4}, "got -4"),
    "an unknown scheduler": (SCHEDULER, {"_class_name": "NewSchedulerX"}, "'NewSchedulerX', which"),
    "no scheduler": (SCHEDULER, {"_class_name": None}, "its scheduler"),
    "a model as scheduler": (SCHEDULER, {"_class_name": "UNet2DModel"}, "'UNet2DModel', which"),
    "noise of EDM": (SCHEDULER, {"_class_name": "EDMEulerScheduler"}, "is EDMEuler.*another way"),
    "noise of a flow": (
        SCHEDULER,
        {"_class_name": "FlowMatchEulerDiscreteScheduler"},
        "another way than models of its family",
    ),
    "many timesteps": (SCHEDULER, {"num_train_timesteps": 10**12}, "num_train_timesteps is 10000"),
    "no timesteps": (SCHEDULER, {"num_train_timesteps": 0}, "num_train_timesteps is 0"),
    "noise in words": (SCHEDULER, {"beta_end": "x"}, "scheduler cannot be loaded"),
    "too much noise": (
        SCHEDULER,
        {"beta_start": 2.0, "beta_end": 4.0},
        "gives no valid noise schedule",
    ),
    "another prediction": (SCHEDULER, {"prediction_type": ["sample"]}, "this base model predicts"),
    "length": (TOKENIZER, {"model_max_length": "long"}, "model_max_length is 'long'"),
    "no room": (TOKENIZER, {"model_max_length": 2}, "model_max_length is 2, but"),
    "no scale": ("vae/config.json", {"scaling_factor": 0}, "not finite"),
    "scale in words": ("vae/config.json", {"scaling_factor": "x"}, "VAE do not work together"),
    "not a number": ("vae/config.json", {"scaling_factor": float("nan")}, "not finite"),
}


@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_config_is_an_error_at_once(folder: Path, name: str) -> None:
    file, values, message = INVALID[name]
    change(folder / file, **values)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    with pytest.raises(BaseModelError, match=message) as refusal:
        load_and_draw(folder)
    assert "\n" not in str(refusal.value)
    assert time.process_time() - start < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024


def test_another_precision_is_no_advice_for_a_vae_that_is_in_float32_already(folder: Path) -> None:
    change(folder / "vae/config.json", scaling_factor=0)
    with pytest.raises(BaseModelError, match="not finite") as refusal:
        base_model.load_named(str(folder), "cpu", "float16").modules()
    assert "float16" not in str(refusal.value)


@pytest.mark.parametrize("name", ["layers", "text layers", "blocks", "sizes", "pipelines", "width"])
def test_an_invalid_config_is_an_error_when_memory_is_planned(folder: Path, name: str) -> None:
    file, values, _ = INVALID[name]
    change(folder / file, **values)
    with pytest.raises(PseudowordError):
        plan(base=str(folder), resolution=32)


def test_sample_size_may_be_a_list_of_two_equal_sides(folder: Path) -> None:
    change(folder / "unet/config.json", sample_size=[8, 8])
    assert base_model.Unloaded(BaseChoice(base=str(folder))).resolution == (32, 8)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, "\x00", '{"a": 1e}'])
@pytest.mark.parametrize("file", ["model_index.json", "unet/config.json", SCHEDULER])
def test_a_config_without_a_json_object_is_an_error(folder: Path, file: str, text: str) -> None:
    (folder / file).write_text(text)
    with pytest.raises(BaseModelError):
        load_and_draw(folder)


PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")


@pytest.mark.parametrize("part", PARTS)
def test_a_missing_part_is_named(folder: Path, part: str) -> None:
    shutil.rmtree(folder / part)
    with pytest.raises(BaseModelError, match=part):
        load_and_draw(folder)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_weights_that_are_missing_or_do_not_fit_are_named(folder: Path, part: str) -> None:
    """Some libraries would fill them with random numbers and go on."""
    (file,) = (folder / part).glob("*.safetensors")
    tensors = load_file(file)
    name = sorted(tensors)[0]
    save_file({key: t for key, t in tensors.items() if key != name}, file, {"format": "pt"})
    with pytest.raises(BaseModelError, match=f"its {part} cannot be loaded"):
        load_and_draw(folder)
    save_file(tensors | {name: torch.zeros(3, 3)}, file, {"format": "pt"})
    with pytest.raises(BaseModelError, match=f"its {part} cannot be loaded"):
        load_and_draw(folder)
    file.unlink()
    with pytest.raises(BaseModelError, match=f"/{part} holds no weights"):
        load_and_draw(folder)


def test_parts_of_two_models_are_an_error(folder: Path, tmp_path: Path) -> None:
    other = tiny.stable_diffusion(tmp_path / "other", width=48)
    shutil.rmtree(folder / "unet")
    shutil.copytree(other / "unet", folder / "unet")
    with pytest.raises(BaseModelError, match="text encoder and U-Net do not work together"):
        load_and_draw(folder)


def test_a_tokenizer_with_more_tokens_than_rows_is_an_error(folder: Path) -> None:
    words = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    words.add_tokens(["<new>"])
    words.save_pretrained(folder / "tokenizer")
    family = load_and_draw(folder)
    with pytest.raises(BaseModelError, match="they are of different models"):
        family.encode_text(["a <new>"], {})
    with pytest.raises(BaseModelError, match="they are of different models"):
        rows_of_words(family, "<new>", "auto", 1)


def test_a_tokenizer_without_a_vocabulary_is_an_error(folder: Path) -> None:
    """transformers would make up an empty one."""
    (folder / "tokenizer" / "tokenizer.json").unlink()
    load_and_draw(folder)
    (folder / "tokenizer" / "vocab.json").write_text("{}")
    with pytest.raises(BaseModelError, match="tokenizer"):
        load_and_draw(folder)


def test_pickles_in_a_folder_pass_the_same_checks(folder: Path, tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "ran",))  # type: ignore[return-value]

    (file,) = (folder / "unet").glob("*.safetensors")
    tensors = load_file(file)
    file.unlink()
    torch.save(tensors, file.with_suffix(".bin"))
    load_and_draw(folder)
    torch.save(tensors | {"x": Runs()}, file.with_suffix(".bin"))
    with pytest.raises(BaseModelError, match="would run Python code"):
        load_and_draw(folder)
    assert not (tmp_path / "ran").exists()


def test_a_split_part_is_read_from_its_own_folder_only(folder: Path) -> None:
    (file,) = (folder / "unet").glob("*.safetensors")
    shard = file.with_name("diffusion_pytorch_model-00001-of-00001.safetensors")
    index = file.with_name("diffusion_pytorch_model.safetensors.index.json")
    names = dict.fromkeys(load_file(file), shard.name)
    file.rename(shard)
    index.write_text(json.dumps({"metadata": {}, "weight_map": names}))
    load_and_draw(folder)
    index.write_text(json.dumps({"weight_map": names | {"conv_in.bias": "../../x.bin"}}))
    with pytest.raises(BaseModelError, match=r"names \"../../x.bin\", which is not there"):
        load_and_draw(folder)
    index.write_text(json.dumps({"weight_map": [1]}))
    with pytest.raises(BaseModelError, match="it has no weight_map"):
        load_and_draw(folder)


def test_an_adapter_is_no_text_encoder(folder: Path) -> None:
    """Its config names another model, which would be fetched and loaded instead."""
    text = json.dumps({"base_model_name_or_path": "someone/else", "peft_type": "LORA"})
    (folder / "text_encoder" / "adapter_config.json").write_text(text)
    with pytest.raises(BaseModelError, match="holds an adapter"):
        load_and_draw(folder)


def test_a_repository_is_checked_like_a_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whose files lie in the hub's cache, with and without safetensors."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    cached = tmp_path / "hub" / "models--tiny--base"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("0" * 40)
    folder = Path(shutil.move(folder, cached / "snapshots" / ("0" * 40)))
    whole = base_model.load_named("tiny/base", "cpu").fingerprint()
    for part, name in STEMS.items():
        (file,) = (folder / part).glob("*.safetensors")
        torch.save(load_file(file), folder / part / f"{name}.bin")
        file.unlink()
    assert base_model.load_named("tiny/base", "cpu").fingerprint() == whole
    torch.save({"x": print}, folder / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(BaseModelError, match="would run Python code"):
        base_model.load_named("tiny/base", "cpu")


STEMS = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "pytorch_model",
}


def test_a_part_given_as_a_base_is_named_and_a_pipe_in_it_does_not_block(folder: Path) -> None:
    with pytest.raises(BaseModelError, match="is a part of a model, UNet2DConditionModel"):
        base_model.load_named(str(folder / "unet"))
    (folder / "unet" / "config.json").unlink()
    os.mkfifo(folder / "unet" / "config.json")
    with pytest.raises(BaseModelError, match="is no base model"):
        base_model.load_named(str(folder / "unet"))


@pytest.mark.parametrize("name", ["unet/config.json", "model_index.json", "tokenizer/vocab.json"])
def test_pipes_and_devices_in_a_folder_do_not_block(folder: Path, name: str) -> None:
    file = folder / name
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(BaseModelError, match=r"pipe|holds no model_index"):
        load_and_draw(folder)
    file.unlink()
    file.symlink_to("/dev/zero")
    with pytest.raises(BaseModelError, match=r"device|holds no model_index"):
        load_and_draw(folder)


def test_a_config_with_fewer_text_layers_is_a_clip_skip(base: Path, folder: Path) -> None:
    """The last layer but one is read, and the final norm is applied to it."""
    change(folder / "text_encoder/config.json", num_hidden_layers=1)
    hidden = base_model.load_named(str(folder), "cpu").encode_text(["a red cat"], {}).hidden
    whole = CLIPTextModel.from_pretrained(base / "text_encoder")
    tokenizer = CLIPTokenizer.from_pretrained(base / "tokenizer")
    length = whole.config.max_position_embeddings
    ids = tokenizer("a red cat", padding="max_length", max_length=length, return_tensors="pt")
    with torch.no_grad():
        read = whole(ids.input_ids, output_hidden_states=True)
        wanted = whole.final_layer_norm(read.hidden_states[-2])
    torch.testing.assert_close(hidden, wanted)
    assert not torch.allclose(hidden, read.last_hidden_state, atol=1e-3)


def test_what_macos_puts_beside_files_is_no_index_of_weights(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    (tmp_path / "._model.safetensors").write_bytes(b"\0\5\x16\7")
    (tmp_path / "._model.safetensors.index.json").write_bytes(b"\0\5\x16\7")
    files, _ = read_headers(tmp_path, None)
    assert [file.name for file in files] == ["model.safetensors"]
