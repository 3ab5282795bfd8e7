"""Files of settings of other trainers are told as options that say the same."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pseudoword.cli.app import app
from pseudoword.config import TrainConfig
from pseudoword.config.other_trainers.elsewhere import INSTEAD
from pseudoword.errors import SettingsError

KOHYA = """
[general]
shuffle_caption = true
keep_tokens = 2
caption_extension = ".txt"

[[datasets]]
resolution = [64, 64]
batch_size = 2
enable_bucket = true
min_bucket_reso = 32

  [[datasets.subsets]]
  image_dir = "of kohya"
  num_repeats = 10

  [[datasets.subsets]]
  image_dir = "people"
  is_reg = true
"""
INVOKE = """
type: SDXL_TEXTUAL_INVERSION
model: owner/model
base_output_dir: out
optimizer: {optimizer_type: AdamW, learning_rate: 2e-3, weight_decay: 0.1}
data_loader:
  dataset: {type: IMAGE_CAPTION_JSONL_DATASET, jsonl_path: gnomes/data.jsonl}
  caption_preset: object
  center_crop: false
  random_flip: true
  aspect_ratio_buckets: null
placeholder_token: gnome
initial_phrase: garden gnome
weight_dtype: bfloat16
cache_vae_outputs: true
max_train_steps: 30
max_checkpoints: 3
validation_prompts: [a gnome, a gnome at sea]
"""
TOOLKIT = """
config:
  process:
  - embedding: {trigger: tr1, tokens: 3, init_words: a man}
    datasets: [{folder_path: men, caption_ext: txt, buckets: true, shuffle_tokens: false}]
    train: {steps: 40, lr: 1e-3, dtype: bf16, optimizer: adamw8bit, optimizer_params: {eps: 0.1},
      gradient_accumulation: 2, noise_offset: 0.0}
    model: {name_or_path: men.safetensors, quantize: true}
    save: {save_every: 10, dtype: float16}
    sample: {sample_every: 20, width: 64, seed: 4, prompts: ["[trigger] at sea", "a b --w 32"]}
"""
ONE_TRAINER = {
    "__version": 10,
    "base_model_name": "owner/model",
    "concepts": [
        {"path": "cats", "seed": 9, "text": {"prompt_source": "concept", "prompt_path": "t.txt"}},
        {"path": "old cats", "enabled": False},
    ],
    "additional_embeddings": [{"placeholder": "<hat>", "initial_embedding_text": "red hat"}],
    "embedding": {"placeholder": "<cat>", "token_count": 2, "initial_embedding_text": "cat"},
    "unet": {"weight_dtype": "NFLOAT_4", "learning_rate": 3},
    "text_encoder": {"weight_dtype": "FLOAT_16", "train": True},
    "optimizer": {"optimizer": "ADAMW", "eps": 1e-8, "weight_decay": None},
    "learning_rate_scheduler": "COSINE",
    "learning_rate_warmup_steps": 5.0,
    "gradient_checkpointing": "ON",
    "text_encoder_layer_skip": 1,
    "ema": "GPU",
    "ema_decay": 0.9,
    "loss_weight_fn": "MIN_SNR_GAMMA",
    "loss_weight_strength": 3.0,
    "masked_training": False,
    "unmasked_weight": 0.1,
    "sample_after": 10,
    "sample_after_unit": "STEP",
    "save_every": 1,
    "save_every_unit": "EPOCH",
    "samples": [{"prompt": "a <cat>", "seed": 4, "width": 64, "diffusion_steps": 3}],
    "puzzles": "25",
}
WEBUI = {
    "datetime": "2023-02-01 10:00:00",
    "model_name": "v1-5-pruned",
    "model_hash": "1234",
    "embedding_name": "mine",
    "num_vectors_per_token": 2,
    "learn_rate": "0.005:10, 1e-3",
    "gradient_step": 2,
    "data_root": "photos",
    "training_width": 64,
    "training_height": 96,
    "clip_grad_mode": "value",
    "clip_grad_value": "0.1",
    "create_image_every": 50,
    "save_embedding_every": 0,
    "save_image_with_stored_embedding": True,
    "initial_step": 0,
    "template_file": "style.txt",
    "preview_prompt": "mine at sea",
    "preview_negative_prompt": "bad",
    "preview_seed": -1,
    "preview_steps": 3,
}
GUI = {
    "adaptive_noise_scale": 0,
    "caption_dropout_rate": 0,
    "caption_extension": "",
    "gradient_accumulation_steps": 2.0,
    "enable_bucket": True,
    "epoch": 1,
    "init_word": "cat",
    "keep_tokens": "0",
    "learning_rate": 0.001,
    "lr_scheduler": "cosine",
    "lr_warmup": 10,
    "max_data_loader_n_workers": "0",
    "max_grad_norm": 0,
    "max_resolution": "64,64",
    "max_train_steps": "200",
    "mixed_precision": "fp16",
    "num_processes": 1,
    "optimizer": "AdamW8bit",
    "sample_prompts": "a mine --d 3\nmine at sea",
    "seed": "7",
    "template": "style template",
    "token_string": "mine",
    "train_data_dir": "photos",
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "kohya.toml": (
        KOHYA,
        {
            "pictures": ["of kohya"], "shuffle_tags": True, "keep_tags": 2, "batch": 2,
            "template": "filewords", "crop": "buckets", "resolution": 64,
        },
    ),
    "invoke.yaml": (
        INVOKE,
        {
            "pictures": ["gnomes"], "base": "owner/model", "out": "out", "lr": "2e-3",
            "optimiser_option": "weight_decay=0.1", "crop": "random", "flip": True,
            "token": "gnome", "init": "garden gnome", "dtype": "bfloat16", "steps": 30,
            "keep_last": 3, "preview": ["a gnome", "a gnome at sea"],
        },
    ),
    "toolkit.yml": (
        TOOLKIT,
        {
            "pictures": ["men"], "token": "tr1", "vectors": 3, "init": "a man", "steps": 40,
            "template": "filewords", "crop": "buckets", "lr": "1e-3", "dtype": "bfloat16",
            "optimiser": "adamw8bit", "optimiser_option": "eps=0.1", "base": "men.safetensors",
            "quantize": "8bit", "save_every": 10, "preview_every": 20,
            "accumulate": 2, "preview": ["[name] at sea --d 4 --w 64", "a b --w 32 --d 4"],
        },
    ),
    "one.json": (
        json.dumps(ONE_TRAINER),
        {
            "pictures": ["cats"], "base": "owner/model", "template": "t.txt", "token": "<cat>",
            "also": "<hat>=red hat", "vectors": 2, "init": "cat", "quantize": "4bit",
            "optimiser": "ADAMW", "optimiser_option": "eps=1e-08", "schedule": "cosine",
            "warmup": 5, "ema": 0.9, "clip_skip": 2,
            "gradient_checkpointing": True, "min_snr": 3, "preview_every": 10,
            "preview": "a <cat> --d 4 --w 64 --s 3",
        },
    ),
    "settings-2023.json": (
        json.dumps(WEBUI),
        {
            "pictures": ["photos"], "token": "mine", "vectors": 2, "lr": "0.005:10, 1e-3",
            "accumulate": 2, "width": 64, "height": 96, "clip_value": 0.1, "preview_every": 50,
            "template": "style.txt", "preview": "mine at sea --n bad --s 3",
        },
    ),
    "gui.json": (
        json.dumps(GUI),
        {
            "pictures": ["photos"], "crop": "buckets", "init": "cat", "lr": 0.001, "steps": 200,
            "schedule": "cosine", "warmup": 20, "resolution": 64, "dtype": "float16",
            "optimiser": "AdamW8bit", "preview": ["a mine --d 3", "mine at sea"], "seed": 7,
            "template": "style", "token": "mine", "accumulate": 2, "clip_norm": 0,
        },
    ),
    "concepts.json": (
        json.dumps([{"path": "cats", "text": {"prompt_source": "sample"}}]),
        {"pictures": ["cats"], "template": "filewords"},
    ),
    "few.toml": (
        "[general]\nkeep_tokens = 0\n[[datasets]]\n[[datasets.subsets]]\n"
        "image_dir = 'cats'\nnum_repeats = 3\n",
        {"pictures": ["cats"]},
    ),
    "in sections.toml": (
        "[model]\npretrained_model_name_or_path = 'emoji'\n[optimizer]\noptimizer_type = 'Lion'\n"
        "optimizer_args = ['eps=1', 'betas=.9,.99']\n[dataset]\ntrain_data_dir = 'cats'\n",
        {
            "pictures": ["cats"], "base": "emoji", "optimiser": "Lion",
            "optimiser_option": ["eps=1", "betas=.9,.99"],
        },
    ),
    "settings of a newer one.json": (
        json.dumps(
            WEBUI
            | {"training_height": 64, "varsize": True, "use_weight": True, "tag_drop_out": 0.1}
            | {"preview_sampler_name": "Euler a", "template_file": "filewords"}
        ),
        {
            "pictures": ["photos"], "token": "mine", "vectors": 2, "lr": "0.005:10, 1e-3",
            "accumulate": 2, "resolution": 64, "clip_value": 0.1, "preview_every": 50,
            "crop": "buckets", "mask": "alpha", "drop_tags": 0.1, "template": "filewords",
            "preview": "mine at sea --n bad --s 3 --ss Euler a",
        },
    ),
    "concepts of all kinds.json": (
        json.dumps([
            {
                "path": "cats", "balancing": 2.0, "loss_weight": 1, "include_subdirectories": True,
                "image": {"enable_fixed_flip": True, "enable_random_hue": True},
                "text": {
                    "prompt_source": "filename", "keep_tags_count": 2, "tag_delimiter": ",",
                    "tag_dropout_enable": True, "tag_dropout_mode": "RANDOM",
                    "tag_dropout_probability": 0.2,
                },
            },
            {"path": "kept for validation", "type": "VALIDATION"},
            {"path": "of the class", "type": "PRIOR_PREDICTION"},
        ]),
        {
            "pictures": ["cats"], "template": "filewords", "flip": True, "keep_tags": 2,
            "drop_tags": 0.2,
        },
    ),
    "optimisers.json": (
        json.dumps({
            "concepts": [{"path": "cats", "text": {
                "tag_dropout_enable": True, "tag_dropout_mode": "FULL",
                "tag_dropout_probability": 0.2, "prompt_source": "sample",
            }}],
            "optimizer": {
                "optimizer": "LION", "beta1": 0.9, "beta2": 0.99, "fused": True, "momentum": None,
            },
            "min_noising_strength": 0.1, "max_noising_strength": 0.9, "resolution": "64",
            "text_encoder": {"dropout_probability": 0.3},
        }),
        {
            "pictures": ["cats"], "template": "filewords", "drop_caption": 0.2, "resolution": 64,
            "optimiser": "LION", "optimiser_option": "betas=0.9,0.99", "min_timestep": 100,
            "max_timestep": 900,
        },
    ),
}  # fmt: skip


def told(file: Path, text: str) -> str:
    """What is said of a file of settings."""
    file.write_text(text)
    with pytest.raises(SettingsError) as raised:
        TrainConfig.gather(file)
    assert str(raised.value).startswith(f"{file} is of another trainer")
    return str(raised.value)


@pytest.mark.parametrize("name", CASES)
def test_a_file_of_another_trainer_is_told_as_a_command(name: str, tmp_path: Path) -> None:
    text, ours = CASES[name]
    (command,) = re.findall(r"^  pseudoword (train .*)$", told(tmp_path / name, text), re.M)
    words = shlex.split(command)
    first = next((at for at, word in enumerate(words) if is_flag(word)), len(words))
    given: dict[str, Any] = {"pictures": words[1:first]}
    for at, word in enumerate(words):
        if is_flag(word):
            alone = at + 1 == len(words) or is_flag(words[at + 1])
            value = True if alone else words[at + 1]
            given.setdefault(word[2:].replace("-", "_"), []).append(value)
    needed = {"token": "<x>", "steps": 99}
    assert TrainConfig.check(**needed | given_once(given)) == TrainConfig.check(**needed | ours)
    said = CliRunner().invoke(app, shlex.split(f"{command} --token x --steps 9")).stderr
    if not {"token", "steps"} & given.keys():
        assert f"{ours['pictures'][0]} does not exist" in said


def is_flag(word: str) -> bool:
    """Whether it begins an option."""
    return word.startswith("--")


def given_once(given: dict[str, list[Any]]) -> dict[str, Any]:
    """One value where there is one."""
    return {name: value[0] if len(value) == 1 else value for name, value in given.items()}


def test_what_has_no_option_is_told_with_what_to_do(tmp_path: Path) -> None:
    said = told(tmp_path / "a.yaml", INVOKE)
    assert f"\n  cache_vae_outputs: {INSTEAD['cache_vae_outputs']}" in said
    assert "noise-offset" not in told(tmp_path / "toolkit.yaml", TOOLKIT)
    said = told(tmp_path / "kohya.toml", KOHYA)
    assert f"\n  num_repeats: {INSTEAD['num_repeats']}" in said
    assert f"\n  is_reg: {INSTEAD['reg_data_dir']}" in said
    assert "people" not in said
    said = told(tmp_path / "one.json", json.dumps(ONE_TRAINER | {"aspect_ratio_bucketing": 1}))
    assert "nothing here like puzzles" in said
    assert "\n  save_every: --save-every counts steps" in said
    said = told(
        tmp_path / "two.json", '{"steps": 3, "lr": 1, "process": [{"lr": 2}, {"lr": "\\u001b"}]}'
    )
    assert "lr: --lr takes one value: 2 is left out" in said
    assert "\x1b" not in said


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("resolution = [64, 96]", "resolution: " + INSTEAD["resolution_override"]),
        ("resolution = '64,128,96'", "resolution: " + INSTEAD["resolution_override"]),
        ("caption_extension = '.words'", "caption_extension: " + INSTEAD["caption_extension"]),
        ("class_tokens = 'cat'", "class_tokens: " + INSTEAD["class_tokens"]),
        ("jsonl_path = 'a/masks.jsonl'", "jsonl_path: " + INSTEAD["jsonl_path"]),
        ("optimizer = {r = 0.5}", "r: " + INSTEAD["prodigy_beta3"]),
        ("concepts = [{path = 'q', type = 'VALIDATION'}]", "type VALIDATION: --held-out counts"),
        ("conditioning_data_dir = 'm'", "conditioning_data_dir: it is --mask file, with NAME-mask"),
        ("flip_aug = true", "flip: --flip takes one value: False is left out"),
        ("enable_random_rotate = true", "enable_random_rotate: pictures are not turned"),
    ],
)
def test_what_cannot_be_so_is_not_dropped(settings: str, says: str, tmp_path: Path) -> None:
    subset = "{image_dir = 'p', shuffle_caption = true, flip_aug = false}"
    said = told(tmp_path / "a.toml", f"{settings}\ndatasets = [{{subsets = [{subset}]}}]\n")
    assert f"\n  {says}" in said
    assert "pseudoword train p --" in said


def test_a_list_of_words_is_not_taken_for_one(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('steps = 3\nbatch = 2\n[[concept]]\ntoken = "<a>"\npictures = "p"\n')
    with pytest.raises(SettingsError, match="concept: there is no such setting"):
        TrainConfig.gather(mine, pictures=["p"], token="<x>")


@pytest.mark.parametrize(
    "text",
    [
        "[1, 2]",
        "nothing",
        "steps: 3",
        "a: " + "{a: " * 400 + "1" + "}" * 400,
        "a0: &a0 {}\n"
        + "".join(f"a{i}: &a{i} {{x: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 40)),
        "a: &a\n  steps: 3\n  b: *a\n  lr: 1\n",
    ],
)
def test_what_is_no_file_of_settings_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(SettingsError, match="is no TOML file"):
        TrainConfig.gather(tmp_path / "a.yaml")
