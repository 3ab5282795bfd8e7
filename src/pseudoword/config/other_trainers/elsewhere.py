"""Settings of other trainers that there are none of here, and what to do instead."""

from collections.abc import Mapping

_NAMES: Mapping[str, str] = {
    # what is learned, and from where
    "v2 v_parameterization model_type force_v_prediction force_epsilon_prediction": (
        "what the base model is, its files say; where they say what it predicts wrongly, give "
        "--prediction-type"
    ),
    "revision": "write it into --base, as owner/name@revision",
    "tokenizer_name tokenizer_cache_dir": "the tokenizer is that of the base model",
    "vae pretrained_vae_model_name_or_path": (
        "the VAE is that of the base model; a folder in diffusers' layout may have another one"
    ),
    "text_encoder_layer_skip text_encoder_2_layer_skip": (
        "--clip-skip says which layer of the text encoder is read, counted from 1: skip 1 is "
        "--clip-skip 2"
    ),
    "max_token_length max_sequence_length text_encoder_sequence_length": (
        "a prompt to learn in is as long as the text encoder reads at once"
    ),
    "output_name save_filename_prefix output_model_destination": (
        "the word is concept.safetensors in --out, and --token is its name"
    ),
    "no_half_vae full_fp16 full_bf16 fp8_base weight_dtype": (
        "--dtype is that of the frozen weights; the word is always float32"
    ),
    "additional_embeddings": "it is --also, once for each, with captions that name them",
    "initial_phrase initial_embedding_text initial_embedding_file": (
        "--init takes words, and embedding files, too"
    ),
    # pictures
    "repeats dataset_repeats num_repeats balancing loss_weight": (
        "--steps says for how long; where some pictures are to be used more often, put folders "
        "called such as 10_cat and 3_dog into the folder of PICTURES"
    ),
    "include_subdirectories": "folders in a folder are not searched; give each as PICTURES",
    "resolution_override": (
        "a run has one --resolution, the side of a square; other shapes have --width and --height"
    ),
    "center_crop": "it is the default, --crop centre",
    "random_crop enable_crop_jitter": "it is --crop random",
    "enable_bucket aspect_ratio_bucketing aspect_ratio_buckets min_bucket_reso max_bucket_reso "
    "bucket_reso_steps bucket_no_upscale": (
        "--crop buckets chooses the shapes; their area is --resolution squared"
    ),
    "face_crop_aug_range": "--crop focal finds the place with most to see",
    "color_aug enable_random_brightness enable_fixed_brightness enable_random_contrast "
    "enable_fixed_contrast enable_random_saturation enable_fixed_saturation enable_random_hue "
    "enable_fixed_hue": "colours stay as they are: the word would learn the changed ones",
    "enable_random_rotate enable_fixed_rotate flip_y": (
        "pictures are not turned; --flip mirrors them"
    ),
    "enable_random_circular_mask_shrink enable_random_mask_rotate_crop mask_min_value": (
        "a mask is used as it is; --unmasked-weight is what the rest counts"
    ),
    "unmasked_probability": "--unmasked-weight is what the rest counts, in every step",
    "masked_loss masked_training use_masks conditioning_data_dir mask_path": (
        "it is --mask file, with NAME-mask.png beside each picture or in masks/"
    ),
    "alpha_mask": "it is --mask alpha",
    "normalize_masked_area_loss": "it is always so: the mean of a picture's weights is one",
    "cache_latents cache_latents_to_disk latent_caching cache_vae_outputs vae_batch_size "
    "skip_cache_check cache_info dataloader_num_workers max_data_loader_n_workers "
    "persistent_data_loader_workers dataloader_threads": (
        "pictures are encoded once, before the first step, and kept on disk"
    ),
    "reg_data_dir prior_loss_weight class_data_dir class_prompt num_class_images sample_batch_size "
    "with_prior_preservation prior_generation_precision": (
        "the model does not change, so there is nothing of it to preserve; leave it out"
    ),
    "dataset_name dataset_config_name image_column caption_column": (
        "PICTURES is a folder on this machine; captions in its metadata.jsonl or metadata.csv are "
        "found by themselves"
    ),
    "image_interpolation_mode resize_interpolation": (
        "pictures are made smaller and larger with Lanczos's filter"
    ),
    "dataset_config concept_file_name concepts datasets general data_loader dataset_class": (
        "PICTURES is the folder; `pseudoword train --config FILE` tells what the file's settings "
        "are here"
    ),
    "debug_dataset": "`pseudoword prepare` shows what the model will see",
    # captions
    "use_object_template": "it is --template subject, the default",
    "use_style_template": "it is --template style",
    "caption_preset caption_templates caption_prefix caption_suffix keep_original_captions": (
        "--template takes a file of sentences, with [name] and perhaps [filewords] in them; with "
        "--template filewords each caption is the whole sentence"
    ),
    "caption_extension caption_extention": (
        "captions in .txt and .caption files, or else in metadata.jsonl, are found by themselves; "
        "rename others"
    ),
    "jsonl_path": (
        "its folder is PICTURES; call it data.jsonl, so that its captions are read, and put masks "
        "beside the pictures"
    ),
    "class_tokens default_caption": (
        "a picture without a caption is learned in a sentence of --template; what the word begins "
        "as is --init"
    ),
    "caps_randomize_enable": "captions are read as they are written",
    "tag_dropout_special_tags": "--keep-tags says how many tags at the start are not dropped",
    "in_json metadata_file": (
        "put it beside the pictures as meta_cap.json, or as metadata.jsonl if it has a line for "
        "each: its captions and tags are [filewords]"
    ),
    "enable_wildcard": "it is --caption-lines random",
    "instance_prompt": "--template takes a file of sentences, with [name] in each",
    "weighted_captions": "weights such as (red:1.2) are plain text in captions; leave it out",
    "caption_separator secondary_separator keep_tokens_separator shuffle_caption_delimiter "
    "tag_delimiter": "tags are parted by commas, and --keep-tags counts those that stay in place",
    "token_warmup_min token_warmup_step caption_dropout_every_n_epochs": (
        "--drop-tags and --drop-caption drop with the same probability in every step"
    ),
    # optimisation
    "num_train_epochs max_train_epochs epochs": "--steps counts steps, of --batch pictures each",
    "scale_lr": "a step takes the mean of its samples, so --lr needs no scale",
    "prodigy_beta3 prodigy_decouple prodigy_use_bias_correction prodigy_safeguard_warmup": (
        "an option of the optimiser is --optimiser-option, such as beta3=0.9"
    ),
    "adam_beta1 adam_beta2": "it is --optimiser-option betas=0.9,0.999",
    "adam_weight_decay adam_weight_decay_text_encoder": (
        "it is --optimiser-option weight_decay=0.01"
    ),
    "adam_epsilon": "it is --optimiser-option eps=1e-8",
    "use_8bit_adam use_8bit": (
        "the optimiser holds a few vectors only, so 8 bits save nothing; leave it out"
    ),
    "use_lion_optimizer": "it is --optimiser Lion, of the package lion-pytorch",
    "lr_num_cycles lr_scheduler_num_cycles lr_power lr_scheduler_power lr_decay_steps "
    "lr_scheduler_timescale lr_scheduler_min_lr_ratio lr_scheduler_type lr_scheduler_args "
    "learning_rate_cycles learning_rate_min_factor": (
        '--schedule falls once; --lr takes any steps, such as "0.005:100, 0.001:300, 0.005"'
    ),
    "progressive_tokens progressive_tokens_max_steps": (
        "--nested does nearly so: in some steps only the first vectors are in the prompt"
    ),
    "vector_shuffle": "the vectors of a word have one order",
    "use_ema": "it is --ema, such as --ema 0.999",
    "train_text_encoder train_text_encoder_frac train_transformer_frac rank lora_alpha "
    "lora_dropout lora_layers lora_unet_blocks use_dora use_blora upcast_before_saving": (
        "only the word is learned; leave it out"
    ),
    "train_text_encoder_ti enable_t5_ti": (
        "it is always so: the word has vectors for each text encoder that reads it; leave it out"
    ),
    "train_text_encoder_ti_frac": "--steps counts the steps in which the word is learned",
    "preserve_embedding_norm": "it is the default, --norm keep",
    "embedding_learning_rate text_encoder_lr unet_lr": "it is --lr: only the word is learned",
    # noise and loss
    "multires_noise_iterations multires_noise_discount ip_noise_gamma "
    "ip_noise_gamma_random_strength adaptive_noise_scale noise_offset_random_strength "
    "perturbation_noise_weight": (
        "there is no such noise; --noise-offset is for very dark or bright pictures"
    ),
    "guidance_scale": (
        "a preview may end in --l GUIDANCE; models that read it as a number are trained at 1"
    ),
    "zero_terminal_snr do_edm_style_training rescale_noise_scheduler_to_zero_terminal_snr": (
        "the noise is that of the base model; its scheduler_config.json says "
        "rescale_betas_zero_snr where it ends in pure noise"
    ),
    "debiased_estimation_loss scale_v_pred_loss_like_noise_pred v_pred_like_loss "
    "weighting_scheme logit_mean logit_std mode_scale loss_weight_fn timestep_distribution "
    "timestep_shift dynamic_timestep_shifting noising_bias noising_weight": (
        "losses are weighted by --min-snr, and --timestep-sampling says which timesteps are drawn"
    ),
    "mse_strength mae_strength log_cosh_strength": "--loss is mse or huber",
    "huber_schedule huber_scale": "--loss huber has one --huber-delta for all timesteps",
    # previews, copies, logs
    "num_validation_images num_validation_images_per_prompt": (
        "--preview may be repeated, each with a seed of its own: --d 1"
    ),
    "validation_epochs sample_every_n_epochs validate_every_n_epochs": (
        "--preview-every counts steps"
    ),
    "validation_seed validation_split validation": (
        "--held-out counts pictures that are evaluated only"
    ),
    "sample_at_first": "`pseudoword generate` draws the starting word",
    "sample_sampler": "a line of --preview names its scheduler: --ss DDIM",
    "negative_validation_prompts samples sample_definition_file_name": (
        "each --preview is a picture, and may end in its own --n, --d, --w, --h, --s, --l"
    ),
    "save_every_n_epochs save_n_epoch_ratio save_last_n_epochs": "--save-every counts steps",
    "save_last_n_steps max_checkpoints": "--keep-last counts copies of the word, not steps",
    "resume resume_from_checkpoint continue_last_backup save_state save_state_on_train_end "
    "save_last_n_steps_state save_last_n_epochs_state checkpoints_total_limit "
    "initial_epoch initial_step skip_until_initial_step": (
        "the same command continues the run in its folder, --out, where the last state is kept"
    ),
    "save_as_full_pipeline only_save_embeds": (
        "the model does not change; `pseudoword inspect` shows how to load it"
    ),
    "no_safe_serialization save_model_as save_precision use_safetensors output_model_format": (
        "`pseudoword convert` writes the finished word in other formats"
    ),
    "push_to_hub hub_model_id hub_token huggingface_repo_id huggingface_repo_type "
    "huggingface_path_in_repo huggingface_repo_visibility huggingface_token async_upload "
    "save_state_to_huggingface resume_from_huggingface": (
        "`pseudoword push` publishes the finished word"
    ),
    "logging_dir log_prefix log_tracker_name log_tracker_config log_config wandb_run_name "
    "wandb_api_key": "--log names other logs, and they lie in the folder of the run",
    # speed and memory
    "enable_xformers_memory_efficient_attention xformers sdpa mem_eff_attn attention_mechanism": (
        "torch's own fast attention is always used"
    ),
    "torch_compile dynamo_backend compile": "--graphs records the denoiser on an NVIDIA GPU",
    "do_quantization do_distillation verify_loading": "--quantize keeps the frozen layers in less",
    "deepspeed zero_stage offload_optimizer_device offload_optimizer_nvme_path "
    "offload_param_device offload_param_nvme_path zero3_init_flag zero3_save_16bit_model "
    "multi_gpu device_indexes fp16_master_weights_and_gradients "
    "ddp_gradient_as_bucket_view ddp_static_graph": (
        "a word is learned on one GPU; `pseudoword submit` shares many words among several"
    ),
    "cache_text_encoder_outputs cache_text_encoder_outputs_to_disk": (
        "prompts that stay the same are read once with --output-embedding only"
    ),
    "fused_backward_pass disable_mmap_load_safetensors "
    "allow_tf32 lowram highvram blocks_to_swap "
    "enable_cpu_offload_during_validation ddp_timeout local_rank": (
        "leave it out; `pseudoword plan` says what fits, and docs/training.md what saves memory"
    ),
    "cache_dir huggingface_cache_dir hf_cache_dir": (
        "the environment variable HF_HOME names the folder of the hub's files"
    ),
    "config_file output_config": (
        "--config takes a file of settings, and tells what another trainer's are here; "
        "each run writes config.toml"
    ),
}

INSTEAD: Mapping[str, str] = {
    name: advice for names, advice in _NAMES.items() for name in names.split()
}
"""Name of a setting in diffusers' scripts, kohya's sd-scripts, OneTrainer or invoke-training ->
what to do here, as the end of a sentence."""
