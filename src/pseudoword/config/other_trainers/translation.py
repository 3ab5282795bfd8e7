"""Files of settings of other trainers, told as options that say the same here.

Read are kohya's TOML of data sets and of arguments, the JSON that its GUI writes, OneTrainer of a
run and of its concepts, and AUTOMATIC1111 beside its logs, and the YAML of invoke-training and
ai-toolkit.
Nothing of them is taken in silence: the user sees each setting as an option, or with what to do
instead.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePath, PurePosixPath
from typing import Any, NamedTuple

from pydantic import BaseModel

from pseudoword.config.fields import flag
from pseudoword.config.other_trainers.aliases import names_of
from pseudoword.config.other_trainers.elsewhere import INSTEAD
from pseudoword.config.other_trainers.samples import lines_of_samples
from pseudoword.text import brief, command, listed, visible

MOST_VALUES = 5000
"""A file with more settings is of something else. OneTrainer's have about four hundred."""

MOST_LISTED = 60
"""So many settings without a counterpart are named."""

OBJECTS = {"unet", "transformer", "prior", "text_encoder", "aspect_ratio_buckets"} | {
    *("optimizer_params", "sample", "vae")
}
"""Settings with others inside, which their rule reads."""

OTHER_TRAININGS = ("lora_", "oft_", "lokr_", "layer_filter")
"""How settings begin that have to do with other kinds of training."""

Object = Mapping[str, Any]
Told = Mapping[str, Any] | str | None
"""Our settings; or what to do instead, "" if nothing is known; or None, if there is nothing to
say."""


class _Leaf(NamedTuple):
    parent: str
    name: str
    value: Any
    beside: Object
    """the settings that stand beside it"""


Rule = Callable[[_Leaf], Told]


def parsed(text: str, suffix: str) -> Object | None:
    """What is in a file of JSON or YAML; None if it is neither, or no settings."""
    import yaml

    try:
        found = json.loads(text) if suffix == ".json" else yaml.safe_load(text)
    except (ValueError, RecursionError, yaml.YAMLError):
        return None
    if isinstance(found, list):  # OneTrainer's concepts lie in a file of their own
        found = {"concepts": found}
    return found if isinstance(found, dict) else None


def translated(values: Object, kind: type[BaseModel]) -> str | None:
    """The command that says the same as a file of another trainer, and what it cannot say.

    Args:
        values: what is in the file.
        kind: the settings of `train`.

    Returns:
        Lines of text; None if the file is of no trainer that is known.
    """
    given: dict[str, list[Any]] = {}
    instead: dict[str, list[str]] = {}
    without: list[str] = []
    try:
        leaves = list(_leaves(values, "", iter(range(MOST_VALUES))))
    except RuntimeError:  # also RecursionError
        return None
    for leaf in leaves:
        told = _told(leaf, kind)
        if isinstance(told, str):
            names = (instead if told else {"": without}).setdefault(told, [])
            name = f"{leaf.name} {leaf.value}" if leaf.name == "type" else leaf.name
            if name not in names:
                names.append(name)
        for name, value in told.items() if isinstance(told, Mapping) else ():
            several = given.setdefault(name, [])
            several += [one for one in _each(value) if one not in several]
    if not given or len(given) + len(instead) < 2:  # one may be chance
        return None
    many = {name for name in given if "tuple" in str(kind.model_fields[name].annotation)}
    for name in [*given]:
        default = kind.model_fields[name].default
        usual = [default, str(default)]
        chosen = [
            v for v in given[name] if v is not False and v not in usual and str(v) not in usual
        ]
        if name not in many and chosen:
            for other in (v for v in given[name] if v is not chosen[0]):
                what = f"{flag(name)} takes one value: {brief(other)} is left out"
                instead.setdefault(what, [name])
        given[name] = chosen
    lines = [f"  {_command_of(given, many)}"]
    if instead:
        lines += ["For others there is no option:"]
        lines += [f"  {brief(', '.join(names))}: {why}" for why, names in instead.items()]
    if without:
        lines += [f"There is nothing here like {brief(listed(without, MOST_LISTED), 400)}."]
    return visible("\n".join(lines), lines=True)


def _command_of(given: Mapping[str, list[Any]], many: set[str]) -> str:
    """A command line; what stands in no option comes first."""
    words: list[object] = ["pseudoword", "train", *given.get("pictures", ())]
    for name, values in given.items():
        for value in values if name in many else values[:1]:
            if name == "pictures":
                continue
            words += [flag(name)] if value is True else [flag(name), value]
    return command(*words)


def _each(value: Any) -> list[Any]:
    """One value, or several; whole numbers without a point, as options take them."""
    values = value if isinstance(value, list) else [value]
    return [int(v) if isinstance(v, float) and v.is_integer() else v for v in values]


def _leaves(values: Object, parent: str, left: Iterator[int]) -> Iterator[_Leaf]:
    """All settings of a file, those inside others too. What is switched off is left out.

    Raises:
        RuntimeError: nothing is `left`; YAML may name one value in thousands of places.
    """
    for name, value in values.items():
        if next(left, None) is None:
            raise RuntimeError
        here = _Leaf(parent, str(name), value, values)
        rule = _rule(here)
        if rule and (rule is _nothing or here.name in OBJECTS or not isinstance(value, Mapping)):
            yield here
            continue
        for one in _each(value):
            if not isinstance(one, Mapping):
                yield here
                break
            if others := [name for name in _OTHER_PICTURES if _OTHER_PICTURES[name](one.get(name))]:
                yield _Leaf(here.name, others[0], one[others[0]], one)
            elif one.get("enabled") is not False:
                yield from _leaves(one, here.name, left)


_OTHER_PICTURES: Mapping[str, Callable[[Any], bool]] = {
    "is_reg": bool,
    "validation_concept": bool,
    "type": lambda value: value in ("VALIDATION", "PRIOR_PREDICTION"),
}
"""What tells pictures that a word is not learned from."""


def _told(leaf: _Leaf, kind: type[BaseModel]) -> Told:
    if leaf.value is None or leaf.value == "" or leaf.value == [] or leaf.value == {}:
        return None
    if rule := _rule(leaf):
        try:
            return rule(leaf)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            return ""  # a value that no trainer writes
    own = names_of(kind).get(leaf.name, leaf.name)
    if own in kind.model_fields:
        return {own: leaf.value}
    if leaf.value in (0, "0") or leaf.name.startswith(OTHER_TRAININGS):
        return None
    of_optimiser = INSTEAD["prodigy_beta3"] if leaf.parent == "optimizer" else ""
    return INSTEAD.get(leaf.name, of_optimiser)


def _rule(leaf: _Leaf) -> Rule | None:
    return _RULES.get(f"{leaf.parent}.{leaf.name}") or _RULES.get(leaf.name)


def _as(name: str) -> Rule:
    """It is our setting of that name, where it is not zero."""
    return lambda leaf: {name: leaf.value} if leaf.value else None


def _if(name: str, value: Any) -> Rule:
    """It is a switch, and our setting has this value where it is on."""
    return lambda leaf: {name: value} if leaf.value else None


def _nothing(_leaf: _Leaf) -> None:
    """Nothing to say: it is so here, or has to do with other kinds of training."""


def _told_of(name: str, usual: object = None) -> Rule:
    """As of that setting of another trainer, unless it has its `usual` value there."""
    return lambda leaf: INSTEAD[name] if leaf.value and leaf.value != usual else None


def _one_of(name: str, instead: str, values: Mapping[str, Any]) -> Rule:
    """One of several words; `instead` names the setting whose advice is told of other ones."""

    def told(leaf: _Leaf) -> Told:
        word = str(leaf.value).lower()
        if word not in values:
            return INSTEAD[instead]
        return None if values[word] is None else {name: values[word]}

    return told


_PRECISIONS = {
    **{"float_32": "float32", "fp32": "float32", "float32": "float32", "no": "float32"},
    **{"float_16": "float16", "fp16": "float16", "float16": "float16"},
    **{"bfloat_16": "bfloat16", "bf16": "bfloat16", "bfloat16": "bfloat16"},
}
_dtype = _one_of("dtype", "weight_dtype", _PRECISIONS)
_quantized = {"nfloat_4": "4bit", "int_8": "8bit", "int_w8a8": "8bit"}


def _denoiser(leaf: _Leaf) -> Told:
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


def _betas(leaf: _Leaf) -> Told:
    betas = [leaf.beside.get(name) for name in ("beta1", "beta2")]
    if None in betas:
        return INSTEAD["adam_beta1"]
    return {"optimiser_option": [f"betas={betas[0]},{betas[1]}"]}


def _resolution(leaf: _Leaf) -> Told:
    """The side of a square, or those of one picture, or of several."""
    sides = {*map(int, re.findall(r"\d+", str(leaf.value)))}
    return {"resolution": sides.pop()} if len(sides) == 1 else INSTEAD["resolution_override"]


def _tag_dropout(leaf: _Leaf) -> Told:
    if not leaf.beside.get("tag_dropout_enable"):
        return None
    each = str(leaf.beside.get("tag_dropout_mode", "FULL")).startswith("RANDOM")
    return {"drop_tags" if each else "drop_caption": leaf.value}


def _captions_in(leaf: _Leaf) -> Told:
    """The suffix of captions."""
    known = str(leaf.value).lower().lstrip(".") in ("txt", "caption")
    return {"template": "filewords"} if known else INSTEAD["caption_extension"]


def _text_encoder(leaf: _Leaf) -> Told:
    """OneTrainer's settings of a text encoder."""
    dropped = leaf.value.get("dropout_probability") if isinstance(leaf.value, Mapping) else 0
    return {"drop_caption": dropped} if dropped else None


def _warmup(leaf: _Leaf) -> Told:
    if 0 < float(leaf.value) <= 1:
        return "--warmup counts steps"
    return {"warmup": int(leaf.value)} if leaf.value else None


def _percent(leaf: _Leaf) -> Told:
    """How much of the run is warm-up, in kohya's GUI."""
    steps = int(leaf.beside.get("max_train_steps") or 0)
    if not steps and float(leaf.value):
        return "--warmup counts steps"
    return {"warmup": round(steps * float(leaf.value) / 100)} if float(leaf.value) else None


def _in_steps(name: str, unit: str) -> Rule:
    """How often: OneTrainer's has a unit beside it."""

    def told(leaf: _Leaf) -> Told:
        counted = leaf.beside.get(unit, "MINUTE" if unit == "sample_after_unit" else "STEP")
        if counted == "NEVER" or not leaf.value:
            return None
        return {name: leaf.value} if counted == "STEP" else f"{flag(name)} counts steps"

    return told


def _ema(leaf: _Leaf) -> Told:
    average = leaf.beside.get("use_ema", leaf.beside.get("ema", "OFF") != "OFF")
    return {"ema": leaf.value} if average else None


def _weighting(leaf: _Leaf) -> Told:
    if leaf.value == "MIN_SNR_GAMMA":
        return {"min_snr": leaf.beside.get("loss_weight_strength", 5)}
    return None if leaf.value == "CONSTANT" else INSTEAD["loss_weight_fn"]


def _captions(leaf: _Leaf) -> Told:
    """OneTrainer's place of prompts."""
    if leaf.value == "concept":
        return {"template": leaf.beside.get("prompt_path") or "FILE"}
    return {"template": "filewords"}


def _also(leaf: _Leaf) -> Told:
    words = [
        "=".join(filter(None, (str(one["placeholder"]), one.get("initial_embedding_text"))))
        for one in leaf.value
        if isinstance(one, Mapping) and one.get("placeholder")
    ]
    return {"also": words} if words else None


def _side(leaf: _Leaf) -> Told:
    """AUTOMATIC1111's width or height."""
    if leaf.beside.get("training_width") == leaf.beside.get("training_height"):
        return {"resolution": leaf.value}
    return {leaf.name.removeprefix("training_"): leaf.value}


def _clipping(leaf: _Leaf) -> Told:
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


def _folder(leaf: _Leaf) -> Told:
    """That of a list of captions, which has to have a known name."""
    path = (PurePath if "\\" in str(leaf.value) else PurePosixPath)(str(leaf.value))
    return {"pictures": str(path.parent)} if path.name == "data.jsonl" else INSTEAD["jsonl_path"]


def _previews(leaf: _Leaf) -> Told:
    """OneTrainer's samples, or those of ai-toolkit, which share their settings."""
    shared = leaf.value if isinstance(leaf.value, Mapping) else {}
    samples = shared.get("samples") or shared.get("prompts") or _each(leaf.value)
    told: dict[str, Any] = {"preview": lines_of_samples(samples, shared)}
    if shared.get("sample_every"):
        told["preview_every"] = shared["sample_every"]
    return told


def _preview(leaf: _Leaf) -> Told:
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
        ".model base_model_name name_or_path": _as("base"),
        "hf_variant": _as("variant"),
        "vae_model": _told_of("vae"),
        "vae": lambda leaf: INSTEAD["vae"] if isinstance(leaf.value, str) else None,
        "embedding.placeholder trigger trigger_word": _as("token"),
        "embedding.model_name initial_phrase initial_embedding_text initial_embedding_file "
        "init_words": _as("init"),
        "token_count embedding.tokens": _as("vectors"),
        "additional_embeddings": _also,
        "embedding_name": _as("token"),
        "model_name": lambda _: "--base takes the file of the model",
        "output_name name enabled": _nothing,
        "base_output_dir training_folder": _as("out"),
        "text_encoder_layer_skip": lambda leaf: (
            {"clip_skip": leaf.value + 1} if leaf.value else None
        ),
        "weight_dtype train.dtype": _dtype,
        "unet transformer prior": _denoiser,
        "text_encoder": _text_encoder,
        "model.quantize": _if("quantize", "8bit"),
        # pictures
        "image_dir concepts.path dataset_dir folder_path data_root": _as("pictures"),
        "resolution max_resolution": _resolution,
        "enable_resolution_override": _told_of("resolution_override"),
        "training_width training_height": _side,
        "jsonl_path": _folder,
        "center_crop": lambda leaf: {"crop": "random"} if leaf.value is False else None,
        "random_crop": _if("crop", "random"),
        "enable_bucket aspect_ratio_bucketing buckets varsize": _if("crop", "buckets"),
        "aspect_ratio_buckets": lambda leaf: {
            "crop": "buckets",
            "resolution": leaf.value.get("target_resolution", 512),
        },
        "min_bucket_reso max_bucket_reso bucket_reso_steps bucket_no_upscale": _nothing,
        "enable_random_flip enable_fixed_flip flip_x": _if("flip", True),
        "masked_training use_masks masked_loss": _if("mask", "file"),
        "alpha_mask use_weight": _if("mask", "alpha"),
        "unmasked_weight": lambda leaf: (
            {"unmasked_weight": leaf.value} if leaf.beside.get("masked_training") else None
        ),
        "unmasked_probability": lambda leaf: (
            INSTEAD["unmasked_probability"]
            if leaf.value and leaf.beside.get("masked_training")
            else None
        ),
        "balancing": _told_of("balancing", 1),
        "num_repeats": _told_of("num_repeats", 1),
        "loss_weight": _told_of("loss_weight", 1),
        "is_reg": _told_of("reg_data_dir"),
        "validation_concept": _told_of("validation_split"),
        "concepts.type": lambda leaf: (
            INSTEAD[
                {"VALIDATION": "validation_split", "PRIOR_PREDICTION": "reg_data_dir"}[leaf.value]
            ]
            if leaf.value != "STANDARD"
            else None
        ),
        "concept_file_name": _file_of("concepts"),
        "concepts.seed repeats_strategy balancing_strategy concept_stats": _nothing,
        # captions
        "caption_preset template_file": _as("template"),
        "use_object_template": _if("template", "subject"),
        "use_style_template": _if("template", "style"),
        "caption_extension caption_ext": _captions_in,
        "template": lambda leaf: {"template": _TEMPLATES.get(leaf.value, leaf.value)},
        "prompt_source": _captions,
        "prompt_path": _nothing,
        "shuffle_caption_delimiter enable_tag_shuffling shuffle_tokens": _if("shuffle_tags", True),
        "keep_tags_count": lambda leaf: (
            {"keep_tags": leaf.value}
            if leaf.beside.get("enable_tag_shuffling") or leaf.beside.get("tag_dropout_enable")
            else None
        ),
        "tag_dropout_probability": _tag_dropout,
        "token_dropout_rate tag_drop_out": _as("drop_tags"),
        "tag_delimiter caption_separator": _told_of("tag_delimiter", ","),
        "tag_dropout_enable tag_dropout_mode caps_randomize_mode caps_randomize_probability "
        "caps_randomize_lowercase tag_dropout_special_tags_mode tag_dropout_special_tags_regex "
        "resolution_override image_variations text_variations random_rotate_max_angle "
        "random_brightness_max_strength random_contrast_max_strength random_hue_max_strength "
        "random_saturation_max_strength": _nothing,
        "enable_wildcard": _if("caption_lines", "random"),
        # optimisation
        "optimizer": _as("optimiser"),
        "optimizer.beta1": _betas,
        "optimizer.eps optimizer.epsilon": _option("eps"),
        "optimizer.weight_decay": _option("weight_decay"),
        "optimizer.beta2 optimizer.adam_w_mode optimizer.fused optimizer.stochastic_rounding "
        "optimizer.weight_decay_by_lr optimizer.split_groups optimizer.split_groups_mean "
        "optimizer.factored optimizer.factored_fp32 optimizer.use_stableadamw optimizer.d_limiter "
        "optimizer.use_schedulefree optimizer.rms_rescaling": _nothing,
        "optimizer_args": lambda leaf: {"optimiser_option": " ".join(_each(leaf.value)).split()},
        "optimizer_params": lambda leaf: {
            "optimiser_option": [f"{name}={value}" for name, value in leaf.value.items()]
        },
        "learning_rate_scheduler": _one_of(
            "schedule",
            "lr_scheduler_type",
            {"constant": None, "linear": "linear", "cosine": "cosine"},
        ),
        "learning_rate_warmup_steps": _warmup,
        "lr_warmup": _percent,
        "epoch": _told_of("epochs"),
        "learning_rate_cycles": _told_of("learning_rate_cycles", 1),
        "learning_rate_scaler loss_scaler": _told_of("scale_lr", "NONE"),
        "stop_training_after": _told_of("epochs"),
        "learn_rate": _as("lr"),
        "gradient_step gradient_accumulation": _as("accumulate"),
        "clip_grad_norm": _as("clip_norm"),
        "clip_grad_value": _clipping,
        "ema use_ema ema_update_step_interval": _nothing,
        "ema_decay": _ema,
        "gradient_checkpointing": _one_of(
            "gradient_checkpointing",
            "lowram",
            {"true": True, "on": True, "cpu_offloaded": True, "off": None, "false": None},
        ),
        # noise and loss
        "offset_noise_weight": _as("noise_offset"),
        "loss_weight_fn": _weighting,
        "loss_weight_strength huber_strength": _nothing,
        "huber_delta": lambda leaf: (
            {"loss": "huber", "huber_delta": leaf.value}
            if leaf.beside.get("huber_strength")
            else None
        ),
        "mse_strength": _told_of("mse_strength", 1),
        "min_noising_strength": lambda leaf: (
            {"min_timestep": int(1000 * leaf.value)} if leaf.value else None
        ),
        "max_noising_strength": lambda leaf: (
            {"max_timestep": int(1000 * leaf.value)} if leaf.value != 1 else None
        ),
        "timestep_shift": _told_of("timestep_shift", 1),
        "timestep_distribution": _one_of(
            "timestep_sampling",
            "timestep_distribution",
            {"uniform": "uniform", "logit_normal": "logit-normal"},
        ),
        # previews, copies, logs
        "sample samples": _previews,
        "sample_prompts": lambda leaf: {"preview": leaf.value.splitlines()},
        "sample_definition_file_name": _file_of("samples"),
        "validation_prompts": _as("preview"),
        "preview_prompt": _preview,
        "preview_negative_prompt preview_seed preview_width preview_height preview_steps "
        "preview_cfg_scale preview_sampler_index preview_sampler_name "
        "preview_from_txt2img": _nothing,
        "validate_every_n_steps create_image_every": _as("preview_every"),
        "save_embedding_every": _as("save_every"),
        "sample_after": _in_steps("preview_every", "sample_after_unit"),
        "save_every": _in_steps("save_every", "save_every_unit"),
        "sample_after_unit save_every_unit": _nothing,
        "max_checkpoints max_step_saves_to_keep": _as("keep_last"),
        "tensorboard": _if("log", "tensorboard"),
        "use_wandb": _if("log", "wandb"),
        "include train": lambda _: None,  # other trainers have settings inside
        # the rest says what is so here, or is of other parts of the model and other trainings
        "model_list noise_offset_type num_cpu_threads_per_process num_machines num_processes "
        "datetime model_hash num_of_dataset_images initial_step log_directory clip_grad_mode "
        "save_image_with_stored_embedding type job version __version config_version uuid device "
        "meta network adapter lora lora_alpha log_dir training_method model_type dataset_class "
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
        "network_multiplier custom_attributes sdxl": _nothing,
    }.items()
    for name in names.split()
}
"""Name of a setting there, perhaps with what it stands in -> what it is here."""
