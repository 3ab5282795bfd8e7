"""The rules of other trainers' settings: a table, and what of it takes more than a line."""

import re
from collections.abc import Mapping
from pathlib import PurePath, PurePosixPath
from typing import Any

from pseudoword.config.fields import flag
from pseudoword.config.other_trainers.elsewhere import INSTEAD
from pseudoword.config.other_trainers.rule import (
    Leaf,
    Rule,
    Told,
    each,
    nothing,
    one_of,
    switch,
    taken_as,
    told_of,
)
from pseudoword.config.other_trainers.samples import lines_of_samples
from pseudoword.text import brief

OBJECTS = {
    *("unet", "transformer", "prior", "text_encoder", "vae"),
    *("aspect_ratio_buckets", "optimizer_params", "sample"),
}
"""Settings with others inside, which their rule reads."""


def rule_of(leaf: Leaf) -> Rule | None:
    """That of a setting, which may depend on what it stands in."""
    return _RULES.get(f"{leaf.parent}.{leaf.name}") or _RULES.get(leaf.name)


_PRECISIONS = {
    **{"float_32": "float32", "fp32": "float32", "float32": "float32", "no": "float32"},
    **{"float_16": "float16", "fp16": "float16", "float16": "float16"},
    **{"bfloat_16": "bfloat16", "bf16": "bfloat16", "bfloat16": "bfloat16"},
}
_dtype = one_of("dtype", "weight_dtype", _PRECISIONS)
_quantized = {"nfloat_4": "4bit", "int_8": "8bit", "int_w8a8": "8bit"}


def _denoiser(leaf: Leaf) -> Told:
    """OneTrainer's settings of the part of a model that denoises."""
    dtype = leaf.value.get("weight_dtype") if isinstance(leaf.value, Mapping) else None
    if not dtype or str(dtype).lower() == "none":
        return None
    if quantized := _quantized.get(str(dtype).lower()):
        return {"quantize": quantized}
    return _dtype(leaf._replace(value=dtype))


def _option(name: str) -> Rule:
    """It is an option of the optimiser."""
    return lambda leaf: {"optimiser_option": [f"{name}={leaf.value}"]}


def _betas(leaf: Leaf) -> Told:
    betas = [leaf.beside.get(name) for name in ("beta1", "beta2")]
    if None in betas:
        return INSTEAD["adam_beta1"]
    return {"optimiser_option": [f"betas={betas[0]},{betas[1]}"]}


def _resolution(leaf: Leaf) -> Told:
    """The side of a square, or those of one picture, or of several."""
    sides = {*map(int, re.findall(r"\d+", str(leaf.value)))}
    return {"resolution": sides.pop()} if len(sides) == 1 else INSTEAD["resolution_override"]


def _tag_dropout(leaf: Leaf) -> Told:
    if not leaf.beside.get("tag_dropout_enable"):
        return None
    each = str(leaf.beside.get("tag_dropout_mode", "FULL")).startswith("RANDOM")
    return {"drop_tags" if each else "drop_caption": leaf.value}


def _captions_in(leaf: Leaf) -> Told:
    """The suffix of captions."""
    known = str(leaf.value).lower().lstrip(".") in ("txt", "caption")
    return {"template": "filewords"} if known else INSTEAD["caption_extension"]


def _text_encoder(leaf: Leaf) -> Told:
    """OneTrainer's settings of a text encoder."""
    dropped = leaf.value.get("dropout_probability") if isinstance(leaf.value, Mapping) else 0
    return {"drop_caption": dropped} if dropped else None


def _warmup(leaf: Leaf) -> Told:
    if 0 < float(leaf.value) <= 1:
        return "--warmup counts steps"
    return {"warmup": int(leaf.value)} if leaf.value else None


def _percent(leaf: Leaf) -> Told:
    """How much of the run is warm-up, in kohya's GUI."""
    steps = int(leaf.beside.get("max_train_steps") or 0)
    if not steps and float(leaf.value):
        return "--warmup counts steps"
    return {"warmup": round(steps * float(leaf.value) / 100)} if float(leaf.value) else None


def _in_steps(name: str, unit: str) -> Rule:
    """How often: OneTrainer's has a unit beside it."""

    def told(leaf: Leaf) -> Told:
        counted = leaf.beside.get(unit, "MINUTE" if unit == "sample_after_unit" else "STEP")
        if counted == "NEVER" or not leaf.value:
            return None
        return {name: leaf.value} if counted == "STEP" else f"{flag(name)} counts steps"

    return told


def _ema(leaf: Leaf) -> Told:
    average = leaf.beside.get("use_ema", leaf.beside.get("ema", "OFF") != "OFF")
    return {"ema": leaf.value} if average else None


def _weighting(leaf: Leaf) -> Told:
    if leaf.value == "MIN_SNR_GAMMA":
        return {"min_snr": leaf.beside.get("loss_weight_strength", 5)}
    return None if leaf.value == "CONSTANT" else INSTEAD["loss_weight_fn"]


def _captions(leaf: Leaf) -> Told:
    """OneTrainer's place of prompts."""
    if leaf.value == "concept":
        return {"template": leaf.beside.get("prompt_path") or "FILE"}
    return {"template": "filewords"}


def _also(leaf: Leaf) -> Told:
    words = [
        "=".join(filter(None, (str(one["placeholder"]), one.get("initial_embedding_text"))))
        for one in leaf.value
        if isinstance(one, Mapping) and one.get("placeholder")
    ]
    return {"also": words} if words else None


def _side(leaf: Leaf) -> Told:
    """AUTOMATIC1111's width or height."""
    if leaf.beside.get("training_width") == leaf.beside.get("training_height"):
        return {"resolution": leaf.value}
    return {leaf.name.removeprefix("training_"): leaf.value}


def _clipping(leaf: Leaf) -> Told:
    """AUTOMATIC1111's limit of the gradient, of either kind."""
    kind = leaf.beside.get("clip_grad_mode")
    return {f"clip_{kind}": leaf.value} if kind in ("value", "norm") else None


def _file_of(name: str) -> Rule:
    """A file that has what is not in this one."""
    return lambda leaf: (
        None if leaf.beside.get(name) else f"`train --config {brief(leaf.value)}` says the rest"
    )


_TEMPLATES = {"caption": "filewords", "object template": "subject", "style template": "style"}
"""What kohya's GUI calls sentences."""


def _folder(leaf: Leaf) -> Told:
    """That of a list of captions, which has to have a known name."""
    path = (PurePath if "\\" in str(leaf.value) else PurePosixPath)(str(leaf.value))
    return {"pictures": str(path.parent)} if path.name == "data.jsonl" else INSTEAD["jsonl_path"]


def _previews(leaf: Leaf) -> Told:
    """OneTrainer's samples, or those of ai-toolkit, which share their settings."""
    shared = leaf.value if isinstance(leaf.value, Mapping) else {}
    samples = shared.get("samples") or shared.get("prompts") or each(leaf.value)
    told: dict[str, Any] = {"preview": lines_of_samples(samples, shared)}
    if shared.get("sample_every"):
        told["preview_every"] = shared["sample_every"]
    return told


def _preview(leaf: Leaf) -> Told:
    """AUTOMATIC1111's preview, with the settings of its txt2img tab beside it."""
    names = {"steps": "diffusion_steps"}
    sample = {
        names.get(name, name): leaf.beside.get(f"preview_{name}")
        for name in ("prompt", "negative_prompt", "width", "height", "steps", "cfg_scale", "seed")
    }
    sample["sample_sampler"] = leaf.beside.get("preview_sampler_name")
    if sample["seed"] == -1:  # another one each time
        sample["seed"] = None
    return _previews(leaf._replace(value=[sample]))


_RULES: dict[str, Rule] = {
    name: rule
    for names, rule in {
        # what is learned, and from where
        ".model base_model_name name_or_path": taken_as("base"),
        "hf_variant": taken_as("variant"),
        "vae_model": told_of("vae"),
        "vae": lambda leaf: INSTEAD["vae"] if isinstance(leaf.value, str) else None,
        "embedding.placeholder embedding_name trigger trigger_word": taken_as("token"),
        "embedding.model_name initial_phrase initial_embedding_text initial_embedding_file "
        "init_words": taken_as("init"),
        "token_count embedding.tokens": taken_as("vectors"),
        "additional_embeddings": _also,
        "model_name": lambda _: "--base takes the file of the model",
        "output_name name enabled": nothing,
        "base_output_dir training_folder": taken_as("out"),
        "text_encoder_layer_skip": lambda leaf: (
            {"clip_skip": leaf.value + 1} if leaf.value else None
        ),
        "weight_dtype train.dtype": _dtype,
        "unet transformer prior": _denoiser,
        "text_encoder": _text_encoder,
        "model.quantize": switch("quantize", "8bit"),
        # pictures
        "image_dir concepts.path dataset_dir folder_path data_root": taken_as("pictures"),
        "resolution max_resolution": _resolution,
        "enable_resolution_override": told_of("resolution_override"),
        "training_width training_height": _side,
        "jsonl_path": _folder,
        "center_crop": lambda leaf: {"crop": "random"} if leaf.value is False else None,
        "random_crop": switch("crop", "random"),
        "enable_bucket aspect_ratio_bucketing buckets varsize": switch("crop", "buckets"),
        "aspect_ratio_buckets": lambda leaf: {
            "crop": "buckets",
            "resolution": leaf.value.get("target_resolution", 512),
        },
        "min_bucket_reso max_bucket_reso bucket_reso_steps bucket_no_upscale": nothing,
        "enable_random_flip enable_fixed_flip flip_x": switch("flip", True),
        "masked_training use_masks masked_loss": switch("mask", "file"),
        "alpha_mask use_weight": switch("mask", "alpha"),
        "unmasked_weight": lambda leaf: (
            {"unmasked_weight": leaf.value} if leaf.beside.get("masked_training") else None
        ),
        "unmasked_probability": lambda leaf: (
            INSTEAD["unmasked_probability"]
            if leaf.value and leaf.beside.get("masked_training")
            else None
        ),
        "balancing num_repeats loss_weight": told_of("num_repeats", 1),
        "is_reg": told_of("reg_data_dir"),
        "validation_concept": told_of("validation_split"),
        "concepts.type": lambda leaf: (
            INSTEAD[
                {"VALIDATION": "validation_split", "PRIOR_PREDICTION": "reg_data_dir"}[leaf.value]
            ]
            if leaf.value != "STANDARD"
            else None
        ),
        "concept_file_name": _file_of("concepts"),
        "concepts.seed repeats_strategy balancing_strategy concept_stats": nothing,
        # captions
        "caption_preset template_file": taken_as("template"),
        "use_object_template": switch("template", "subject"),
        "use_style_template": switch("template", "style"),
        "caption_extension caption_ext": _captions_in,
        "template": lambda leaf: {"template": _TEMPLATES.get(leaf.value, leaf.value)},
        "prompt_source": _captions,
        "prompt_path": nothing,
        "shuffle_caption_delimiter enable_tag_shuffling shuffle_tokens": switch(
            "shuffle_tags", True
        ),
        "keep_tags_count": lambda leaf: (
            {"keep_tags": leaf.value}
            if leaf.beside.get("enable_tag_shuffling") or leaf.beside.get("tag_dropout_enable")
            else None
        ),
        "tag_dropout_probability": _tag_dropout,
        "token_dropout_rate tag_drop_out": taken_as("drop_tags"),
        "tag_delimiter caption_separator": told_of("tag_delimiter", ","),
        "tag_dropout_enable tag_dropout_mode caps_randomize_mode caps_randomize_probability "
        "caps_randomize_lowercase tag_dropout_special_tags_mode tag_dropout_special_tags_regex "
        "resolution_override image_variations text_variations random_rotate_max_angle "
        "random_brightness_max_strength random_contrast_max_strength random_hue_max_strength "
        "random_saturation_max_strength": nothing,
        "enable_wildcard": switch("caption_lines", "random"),
        # optimisation
        "optimizer.beta1": _betas,
        "optimizer.eps optimizer.epsilon": _option("eps"),
        "optimizer.weight_decay": _option("weight_decay"),
        "optimizer.beta2 optimizer.adam_w_mode optimizer.fused optimizer.stochastic_rounding "
        "optimizer.weight_decay_by_lr optimizer.split_groups optimizer.split_groups_mean "
        "optimizer.factored optimizer.factored_fp32 optimizer.use_stableadamw optimizer.d_limiter "
        "optimizer.use_schedulefree optimizer.rms_rescaling": nothing,
        "optimizer_args": lambda leaf: {"optimiser_option": " ".join(each(leaf.value)).split()},
        "optimizer_params": lambda leaf: {
            "optimiser_option": [f"{name}={value}" for name, value in leaf.value.items()]
        },
        "learning_rate_scheduler": one_of(
            "schedule",
            "lr_scheduler_type",
            {"constant": None, "linear": "linear", "cosine": "cosine"},
        ),
        "learning_rate_warmup_steps": _warmup,
        "lr_warmup": _percent,
        "epoch stop_training_after": told_of("epochs"),
        "learning_rate_cycles": told_of("learning_rate_cycles", 1),
        "learning_rate_scaler loss_scaler": told_of("scale_lr", "NONE"),
        "learn_rate": taken_as("lr"),
        "gradient_step gradient_accumulation": taken_as("accumulate"),
        "clip_grad_norm": taken_as("clip_norm"),
        "clip_grad_value": _clipping,
        "ema use_ema ema_update_step_interval": nothing,
        "ema_decay": _ema,
        "gradient_checkpointing": one_of(
            "gradient_checkpointing",
            "lowram",
            {"true": True, "on": True, "cpu_offloaded": True, "off": None, "false": None},
        ),
        # noise and loss
        "offset_noise_weight": taken_as("noise_offset"),
        "loss_weight_fn": _weighting,
        "loss_weight_strength huber_strength": nothing,
        "huber_delta": lambda leaf: (
            {"loss": "huber", "huber_delta": leaf.value}
            if leaf.beside.get("huber_strength")
            else None
        ),
        "mse_strength": told_of("mse_strength", 1),
        "min_noising_strength": lambda leaf: (
            {"min_timestep": int(1000 * leaf.value)} if leaf.value else None
        ),
        "max_noising_strength": lambda leaf: (
            {"max_timestep": int(1000 * leaf.value)} if leaf.value != 1 else None
        ),
        "timestep_shift": told_of("timestep_shift", 1),
        "timestep_distribution": one_of(
            "timestep_sampling",
            "timestep_distribution",
            {"uniform": "uniform", "logit_normal": "logit-normal"},
        ),
        # previews, copies, logs
        "sample samples": _previews,
        "sample_prompts": lambda leaf: {"preview": leaf.value.splitlines()},
        "sample_definition_file_name": _file_of("samples"),
        "validation_prompts": taken_as("preview"),
        "preview_prompt": _preview,
        "preview_negative_prompt preview_seed preview_width preview_height preview_steps "
        "preview_cfg_scale preview_sampler_index preview_sampler_name "
        "preview_from_txt2img": nothing,
        "validate_every_n_steps create_image_every": taken_as("preview_every"),
        "save_embedding_every": taken_as("save_every"),
        "sample_after": _in_steps("preview_every", "sample_after_unit"),
        "save_every": _in_steps("save_every", "save_every_unit"),
        "sample_after_unit save_every_unit": nothing,
        "max_checkpoints max_step_saves_to_keep": taken_as("keep_last"),
        "tensorboard": switch("log", "tensorboard"),
        "use_wandb": switch("log", "wandb"),
        "include train": lambda _: None,  # other trainers have settings inside
        # the rest says what is so here, or is of other parts of the model and other trainings
        "model_list noise_offset_type num_cpu_threads_per_process num_machines num_processes "
        "datetime model_hash num_of_dataset_images initial_step log_directory clip_grad_mode "
        "save_image_with_stored_embedding type job version __version config_version uuid device "
        "meta network adapter lora log_dir training_method model_type dataset_class "
        "keep_in_memory text_encoder_2 text_encoder_3 text_encoder_4 "
        "unconditional_transformer effnet_encoder decoder decoder_text_encoder decoder_vqgan "
        "quantization cloud secrets optimizer_defaults scheduler_params workspace_dir cache_dir "
        "debug_dir train_dtype output_dtype save.dtype fallback_train_dtype "
        "embedding_weight_dtype save_format train_device temp_device backup_after "
        "backup_after_unit backup_before_save rolling_backup rolling_backup_count "
        "tensorboard_port tensorboard_expose tensorboard_always_on validate_after "
        "validate_after_unit include_train_config gradient_reduce_precision fused_gradient_reduce "
        "async_gradient_reduce async_gradient_reduce_buffer async_offloading "
        "clear_cache_before_training enable_autocast_cache frames vb_loss_strength peft_type "
        "svd_dtype svd_rank stop_training_after_unit text_encoder_2_sequence_length "
        "bundle_additional_embeddings sample_image_format sample_video_format sample_audio_format "
        "samples_to_tensorboard non_ema_sampling prevent_overwrites debug_mode offline_mode "
        "network_multiplier custom_attributes sdxl": nothing,
    }.items()
    for name in names.split()
}
"""Name of a setting there, perhaps with what it stands in -> what it is here."""
