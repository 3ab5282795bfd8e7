"""Tiny models of every family: real diffusers and transformers classes with random weights."""

import json
import re
from collections.abc import Callable, Mapping
from inspect import Parameter, signature, unwrap
from pathlib import Path
from typing import Any

import tiny_encoders
import tiny_tokenizers
import torch
from diffusers import (
    AuraFlowPipeline,
    AuraFlowTransformer2DModel,
    AutoencoderDC,
    AutoencoderKL,
    AutoencoderKLFlux2,
    AutoencoderKLQwenImage,
    ChromaPipeline,
    ChromaTransformer2DModel,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Pipeline,
    Flux2Transformer2DModel,
    FluxPipeline,
    FluxTransformer2DModel,
    Krea2Pipeline,
    Krea2Transformer2DModel,
    LongCatImagePipeline,
    LongCatImageTransformer2DModel,
    Lumina2Pipeline,
    Lumina2Transformer2DModel,
    OvisImagePipeline,
    OvisImageTransformer2DModel,
    PixArtAlphaPipeline,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    SanaPipeline,
    SanaSprintPipeline,
    SanaTransformer2DModel,
    SCMScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from diffusers.pipelines.flux2.system_messages import SYSTEM_MESSAGE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    BertTokenizer,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    Gemma2Config,
    Gemma2Model,
    Qwen2Tokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

WORDS = (
    "a an the of on in and with photo picture my one cat dog animal object toy red blue green "
    "style painting drawing"
).split()


def set_default(pipeline: Any, name: str, value: Any) -> Any:
    """Give a setting of a pipeline's functions another default. Returns the earlier one."""
    earlier = signature(pipeline.__call__).parameters[name].default
    for function in map(unwrap, filter(callable, vars(pipeline).values())):
        defaults = {k: p.default for k, p in signature(function).parameters.items()}
        given = {k: default for k, default in defaults.items() if default is not Parameter.empty}
        if given.get(name) is not None:
            function.__defaults__ = tuple((given | {name: value}).values())
    return earlier


def read_blocks(pipeline: Any, blocks: tuple[int, ...]) -> None:
    """Let a pipeline read other blocks of its language model."""
    set_default(pipeline, "text_encoder_out_layers", blocks)


MOST_TOKENS = 96
"""The length of the texts of these pipelines in tests, for speed."""

PUBLISHED_LENGTHS = {
    pipeline: set_default(pipeline, "max_sequence_length", MOST_TOKENS)
    for pipeline in (
        *(AuraFlowPipeline, ChromaPipeline, Flux2KleinPipeline, Flux2Pipeline, FluxPipeline),
        *(
            Krea2Pipeline,
            Lumina2Pipeline,
            OvisImagePipeline,
            PixArtSigmaPipeline,
            SanaPipeline,
            SanaSprintPipeline,
            StableDiffusion3Pipeline,
        ),
        ZImagePipeline,
    )
}
"""Their own lengths: 256 to 512 tokens."""

LongCatImagePipeline.tokenizer_max_length = property(lambda _: MOST_TOKENS, lambda *_: None)
"""It is no argument of this one; 512 are published."""


def tokenizer(folder: Path) -> CLIPTokenizer:
    """A CLIP tokenizer with every byte and all of `WORDS`."""
    letters = sorted(ByteLevel.alphabet())
    vocab = [*letters, *(f"{letter}</w>" for letter in letters)]
    merges: list[str] = []
    for word in WORDS:
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            merge, joined = f"{parts[0]} {parts[1]}", parts[0] + parts[1]
            if merge not in merges:
                merges.append(merge)
                vocab.append(joined)
            parts[:2] = [joined]
    vocab = [*dict.fromkeys(vocab), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(vocab)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    made = CLIPTokenizer(
        json.loads((folder / "vocab.json").read_text()),
        [tuple(merge.split()) for merge in merges],
        model_max_length=77,
    )
    made.save_pretrained(folder)
    return made


def stable_diffusion(
    folder: Path,
    prediction_type: str = "epsilon",
    width: int = 32,
    in_channels: int = 4,
    **second: Any,
) -> Path:
    """Save a tiny SD model in diffusers' layout: 32-pixel pictures, 8×8 latents.

    `second` is what SD 2's U-Net has differently.
    """
    torch.manual_seed(0)
    words = tokenizer(folder / "tokenizer")
    text = CLIPTextModel(_text_config(words, width, "gelu" if second else "quick_gelu"))
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        in_channels=in_channels,
        out_channels=4,
        norm_num_groups=4,
        cross_attention_dim=width,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        **({"attention_head_dim": 4} | second),
    )
    vae = _vae()
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction_type,
    )
    kind = StableDiffusionPipeline if in_channels == 4 else StableDiffusionInpaintPipeline
    pipeline = kind(vae, text, words, unet, scheduler, None, None, requires_safety_checker=False)
    pipeline.save_pretrained(folder)
    return folder


def sdxl(folder: Path, widths: tuple[int, int] = (32, 40)) -> Path:
    """Save a tiny SDXL model in diffusers' layout: two text encoders, 32-pixel pictures."""
    torch.manual_seed(0)
    words = [tokenizer(folder / name) for name in ("tokenizer", "tokenizer_2")]
    kinds = (CLIPTextModel, CLIPTextModelWithProjection)
    texts = [
        kind(_text_config(one, width, act))
        for kind, one, width, act in zip(kinds, words, widths, ("quick_gelu", "gelu"), strict=True)
    ]
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=(2, 4),
        cross_attention_dim=sum(widths),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + widths[1],
        transformer_layers_per_block=(1, 1),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )
    vae = _vae()
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
    )
    pipeline = StableDiffusionXLPipeline(
        vae, *texts, *words, unet, scheduler, add_watermarker=False
    )
    pipeline.save_pretrained(folder)
    return folder


def sd3(folder: Path, *, t5: bool = True) -> Path:
    """Save a tiny SD 3 model in diffusers' layout: two CLIPs, T5, 32-pixel pictures."""
    torch.manual_seed(0)
    words = [tokenizer(folder / name) for name in ("tokenizer", "tokenizer_2")]
    texts = [
        CLIPTextModelWithProjection(_text_config(one, width, act))
        for one, width, act in zip(words, (16, 24), ("quick_gelu", "gelu"), strict=True)
    ]
    transformer = SD3Transformer2DModel(
        sample_size=8,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        in_channels=4,
        out_channels=4,
        joint_attention_dim=48,
        caption_projection_dim=32,
        pooled_projection_dim=16 + 24,
        pos_embed_max_size=12,
        dual_attention_layers=(0,),
        qk_norm="rms_norm",
    )
    pipeline = StableDiffusion3Pipeline(
        transformer,
        FlowMatchEulerDiscreteScheduler(shift=3.0),
        _vae(scaling_factor=1.5305, shift_factor=0.0609, use_quant_conv=False),
        *(part for pair in zip(texts, words, strict=True) for part in pair),
        *(_t5(folder / "tokenizer_3", 48) if t5 else (None, None)),
    )
    pipeline.save_pretrained(folder)
    return folder


def flux(folder: Path, *, guidance: bool = True) -> Path:
    """Save a tiny FLUX.1 model in diffusers' layout: CLIP pooled, T5, patches as tokens."""
    torch.manual_seed(0)
    words = tokenizer(folder / "tokenizer")
    text = CLIPTextModel(_text_config(words, 16, "quick_gelu"))
    transformer = FluxTransformer2DModel(
        in_channels=4 * 4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=32,
        pooled_projection_dim=16,
        guidance_embeds=guidance,
        axes_dims_rope=(2, 2, 4),
    )
    pipeline = FluxPipeline(
        FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        _vae(scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False),
        *(text, words, *_t5(folder / "tokenizer_2", 32), transformer),
    )
    pipeline.save_pretrained(folder)
    return _made_for(32, folder)


def flux2(folder: Path, *, klein: bool = True, distilled: bool = False) -> Path:
    """Save a tiny FLUX.2 model in diffusers' layout: a language model, patches as latents.

    Its pipeline is told to read blocks of a language model with only four of them.
    """
    torch.manual_seed(0)
    kind = "Qwen 3" if klein else "Mistral 3"
    read_blocks(Flux2KleinPipeline if klein else Flux2Pipeline, (1, 2, 3))
    if klein:
        words = tiny_tokenizers.qwen(folder / "tokenizer", WORDS)
    else:
        said = re.findall(r"[A-Za-z]+", SYSTEM_MESSAGE)
        words = tiny_tokenizers.mistral(folder / "tokenizer", [*WORDS, *said])
    text = tiny_encoders.encoder(kind, len(words), 16, blocks=4)
    transformer = Flux2Transformer2DModel(
        in_channels=4 * 4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=3 * 16,
        timestep_guidance_channels=16,
        axes_dims_rope=(2, 2, 2, 2),
        guidance_embeds=not klein,
    )
    _open_gates(transformer, "_modulation.", 20)
    _open_gates(transformer, ".norm_", 3)  # a word is little among 512 tokens
    vae = AutoencoderKLFlux2(**VAE)
    vae.bn.running_mean.normal_(0, 0.5)
    vae.bn.running_var.uniform_(0.5, 2)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True)
    parts = (scheduler, vae, text, words, transformer)
    if klein:
        pipeline = Flux2KleinPipeline(*parts, is_distilled=distilled)
    else:
        pipeline = Flux2Pipeline(*parts)
    pipeline.save_pretrained(folder)
    return _made_for(32, folder)


def qwen_image(folder: Path) -> Path:
    """Save a tiny Qwen-Image model in diffusers' layout: Qwen 2.5 VL, a VAE for films."""
    torch.manual_seed(0)
    words = _words_of_chat(folder / "tokenizer")
    text = tiny_encoders.encoder("Qwen 2.5 VL", len(words), 16)
    transformer = QwenImageTransformer2DModel(
        in_channels=4 * 4,
        out_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=16,
        axes_dims_rope=(2, 2, 4),
    )
    scheduler = FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True, max_image_seq_len=8192, max_shift=0.9, shift_terminal=0.02
    )
    QwenImagePipeline(scheduler, _film_vae(), text, words, transformer).save_pretrained(folder)
    return _made_for(32, folder)


def krea2(folder: Path, *, distilled: bool = False) -> Path:
    """Save a tiny Krea 2 model in diffusers' layout: three of the blocks of Qwen 3 VL."""
    torch.manual_seed(0)
    words = _words_of_chat(folder / "tokenizer")
    text = tiny_encoders.encoder("Qwen 3 VL", len(words), 16, blocks=4)
    transformer = Krea2Transformer2DModel(
        in_channels=4 * 4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
        timestep_embed_dim=16,
        text_hidden_dim=16,
        num_text_layers=3,
        text_num_attention_heads=2,
        text_num_key_value_heads=2,
        text_intermediate_size=32,
        num_layerwise_text_blocks=1,
        num_refiner_text_blocks=1,
        axes_dims_rope=(2, 2, 4),
    )
    _open_gates(transformer, "time_mod_proj.", 8)
    _open_gates(transformer, "transformer_blocks.", 3)
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, max_image_seq_len=6400)
    parts = (scheduler, _film_vae(), text, words, transformer)
    pipeline = Krea2Pipeline(*parts, text_encoder_select_layers=(1, 2, 3), is_distilled=distilled)
    pipeline.save_pretrained(folder)
    return _made_for(32, folder)


def longcat_image(folder: Path) -> Path:
    """Save a tiny LongCat-Image model in diffusers' layout: Qwen 2.5 VL, patches as tokens.

    Its pipeline begins with noise of 16 channels, whatever the config says. Its processor, which
    lets it write prompts anew, may be missing.
    """
    torch.manual_seed(0)
    LongCatImagePipeline._optional_components = ["text_processor"]
    told = re.findall(r"[A-Za-z]+", LongCatImagePipeline(*[None] * 6).prompt_template_encode_prefix)
    words = tiny_tokenizers.qwen(folder / "tokenizer", [*WORDS, *told], told)
    transformer = LongCatImageTransformer2DModel(
        in_channels=4 * 16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=16,
        axes_dims_rope=(2, 2, 4),
    )
    vae = _vae(latent_channels=16, scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False)
    text = tiny_encoders.encoder("Qwen 2.5 VL", len(words), 16)
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift=3.0)
    pipeline = LongCatImagePipeline(scheduler, vae, text, words, None, transformer)
    pipeline.save_pretrained(folder)
    return _made_for(32, folder)


def z_image(folder: Path) -> Path:
    """Save a tiny Z-Image model in diffusers' layout: Qwen 3, texts of different lengths."""
    torch.manual_seed(0)
    words = tiny_tokenizers.qwen(folder / "tokenizer", WORDS)
    text = tiny_encoders.encoder("Qwen 3", len(words), 16).model
    transformer = ZImageTransformer2DModel(
        in_channels=4,
        dim=32,
        n_layers=2,
        n_refiner_layers=1,
        n_heads=4,
        n_kv_heads=4,
        cap_feat_dim=16,
        axes_dims=[4, 2, 2],
        axes_lens=[640, 64, 64],
    )
    vae = _vae(scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    ZImagePipeline(scheduler, vae, text, words, transformer).save_pretrained(folder)
    return _made_for(32, folder)


def ovis_image(folder: Path) -> Path:
    """Save a tiny Ovis-Image model in diffusers' layout: Qwen 3, patches as tokens.

    As in the published tokenizer, each word of the instruction is a token: 29 before a prompt.
    """
    torch.manual_seed(0)
    told = re.findall(r"[A-Za-z]+", OvisImagePipeline(*[None] * 5).system_prompt)
    words = tiny_tokenizers.qwen(folder / "tokenizer", [*WORDS, *told], ("user", told[0]))
    text = tiny_encoders.encoder("Qwen 3", len(words), 16).model
    transformer = OvisImageTransformer2DModel(
        in_channels=4 * 4,
        out_channels=4 * 4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=16,
        axes_dims_rope=(2, 2, 4),
    )
    vae = _vae(scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True)
    OvisImagePipeline(scheduler, vae, text, words, transformer).save_pretrained(folder)
    return _made_for(32, folder)


def chroma(folder: Path) -> Path:
    """Save a tiny Chroma model in diffusers' layout: T5, patches as tokens."""
    torch.manual_seed(0)
    transformer = ChromaTransformer2DModel(
        in_channels=4 * 4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=32,
        axes_dims_rope=(2, 2, 4),
        approximator_num_channels=16,
        approximator_hidden_dim=32,
        approximator_layers=1,
    )
    pipeline = ChromaPipeline(
        FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        _vae(scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False),
        *(*_t5(folder / "tokenizer", 32), transformer),
    )
    pipeline.save_pretrained(folder)
    return _made_for(32, folder)


def auraflow(folder: Path) -> Path:
    """Save a tiny AuraFlow model in diffusers' layout: UMT5 with a tokenizer like Llama's."""
    torch.manual_seed(0)
    words = tiny_tokenizers.llama(folder / "tokenizer", WORDS)
    transformer = AuraFlowTransformer2DModel(
        sample_size=8,
        num_mmdit_layers=1,
        num_single_dit_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=32,
        caption_projection_dim=32,
        pos_embed_max_size=12**2,
    )
    _open_gates(transformer, "_blocks.", 3)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=1.73)
    text = tiny_encoders.encoder("UMT5", len(words), 32)
    AuraFlowPipeline(words, text, _vae(), transformer, scheduler).save_pretrained(folder)
    return _made_for(32, folder)


def pixart(folder: Path, *, alpha: bool = False, sample_size: int = 8) -> Path:
    """Save a tiny PixArt model in diffusers' layout: T5, ε and a variance predicted."""
    torch.manual_seed(0)
    heads = 3 if alpha else 4  # what it reads of sizes is a third of its width
    transformer = PixArtTransformer2DModel(
        num_attention_heads=heads,
        attention_head_dim=8,
        in_channels=4,
        out_channels=8,
        num_layers=4,
        cross_attention_dim=8 * heads,
        caption_channels=32,
        sample_size=sample_size,
        interpolation_scale=1,
    )
    words = _t5(folder / "tokenizer", 32)
    scheduler = DPMSolverMultistepScheduler(beta_start=0.0001, beta_end=0.02)
    kind = PixArtAlphaPipeline if alpha else PixArtSigmaPipeline
    pipeline = kind(*words[::-1], _vae(), transformer, scheduler)
    pipeline.save_pretrained(folder)
    return folder


def sana(folder: Path, *, sprint: bool = False) -> Path:
    """Save a tiny Sana model in diffusers' layout: Gemma 2, deep latents."""
    torch.manual_seed(0)
    lines = signature(SanaPipeline.__call__).parameters["complex_human_instruction"].default
    instruction = dict.fromkeys(re.findall(r"[A-Za-z]+", " ".join(lines)))
    words = tiny_tokenizers.gemma(folder / "tokenizer", [*WORDS, *instruction])
    config = Gemma2Config(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
    )
    transformer = SanaTransformer2DModel(
        in_channels=4,
        out_channels=4,
        num_layers=2,
        num_attention_heads=4,
        attention_head_dim=8,
        num_cross_attention_heads=4,
        cross_attention_head_dim=8,
        cross_attention_dim=32,
        caption_channels=32,
        sample_size=4,
        guidance_embeds=sprint,
    )
    sides: dict[str, Any] = {}
    for side in ("encoder", "decoder"):
        sides |= {
            f"{side}_block_types": ("ResBlock", "ResBlock", "ResBlock", "EfficientViTBlock"),
            f"{side}_block_out_channels": (8,) * 4,
            f"{side}_qkv_multiscales": ((), (), (), (5,)),
            f"{side}_layers_per_block": (1,) * 4,
        }
    vae = AutoencoderDC(
        latent_channels=4,
        attention_head_dim=2,
        upsample_block_type="interpolate",
        downsample_block_type="conv",
        scaling_factor=0.41407,
        **sides,
    )
    scheduler = DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    )
    parts = (words, Gemma2Model(config), vae, transformer)
    if sprint:
        pipeline = SanaSprintPipeline(*parts, SCMScheduler())
    else:
        pipeline = SanaPipeline(*parts, scheduler)
    pipeline.save_pretrained(folder)
    return folder


def lumina2(folder: Path) -> Path:
    """Save a tiny Lumina 2 model in diffusers' layout: Gemma 2, text and picture in one sequence.

    Its pipeline takes only sides that are multiples of 16, as if every VAE halved them three times.
    """
    torch.manual_seed(0)
    sentence = re.findall(r"[A-Za-z]+", Lumina2Pipeline(*[None] * 5).system_prompt)
    words = tiny_tokenizers.gemma(folder / "tokenizer", [*WORDS, *sentence])
    text = tiny_encoders.encoder("Gemma 2", len(words), 32)
    transformer = Lumina2Transformer2DModel(
        sample_size=4,
        in_channels=4,
        hidden_size=32,
        num_layers=2,
        num_refiner_layers=1,
        num_attention_heads=4,
        num_kv_heads=2,
        multiple_of=8,
        axes_dim_rope=(4, 2, 2),
        axes_lens=(300, 12, 12),
        cap_feat_dim=32,
    )
    vae = _vae(
        block_out_channels=(8, 8, 8, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        scaling_factor=0.3611,
        shift_factor=0.1159,
        use_quant_conv=False,
    )
    scheduler = FlowMatchEulerDiscreteScheduler(shift=6.0)
    Lumina2Pipeline(transformer, scheduler, vae, text, words).save_pretrained(folder)
    return folder


def stable_diffusion_2(folder: Path, prediction_type: str) -> Path:
    """Save a tiny SD 2 model: linear projections around the attention, heads per block."""
    second: dict[str, Any] = {"attention_head_dim": (2, 4), "use_linear_projection": True}
    return stable_diffusion(folder, prediction_type, width=48, **second)


BASES: Mapping[str, Callable[[Path], Path]] = {
    "sd1": stable_diffusion,
    "sd2-epsilon": lambda folder: stable_diffusion_2(folder, "epsilon"),
    "sd2-v": lambda folder: stable_diffusion_2(folder, "v_prediction"),
    "sdxl": sdxl,
    "sd3": sd3,
    "flux": flux,
    "flux2": lambda folder: flux2(folder, klein=False),
    "flux2-klein": flux2,
    "qwen-image": qwen_image,
    "krea2": krea2,
    "longcat-image": longcat_image,
    "z-image": z_image,
    "ovis-image": ovis_image,
    "chroma": chroma,
    "auraflow": auraflow,
    "pixart": pixart,
    "sana": sana,
    "lumina2": lumina2,
}
"""A builder for each kind of base model."""

UNETS = ("sd1", "sd2-epsilon", "sd2-v", "sdxl")
"""Those with a U-Net, which read prompts with weights, layered words and single files."""

TRANSFORMERS = tuple(name for name in BASES if name not in UNETS)

DISTINCT_UNETS = ("sd1", "sd2-v", "sdxl")
"""For tests over all of them: sd2-epsilon has the layers of sd2-v, and predicts what sd1 does."""

DISTINCT = (*DISTINCT_UNETS, *TRANSFORMERS)
"""For tests over all families."""


def _text_config(words: CLIPTokenizer, width: int, act: str) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=width,
        hidden_act=act,
        intermediate_size=2 * width,
        projection_dim=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=77,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )


def _t5(tokenizer: Path, width: int) -> tuple[T5EncoderModel, T5Tokenizer]:
    words = tiny_tokenizers.t5(tokenizer, WORDS)
    config = T5Config(
        vocab_size=len(words),
        d_model=width,
        d_kv=8,
        d_ff=2 * width,
        num_layers=1,
        num_heads=1,
        feed_forward_proj="gated-gelu",
    )
    return T5EncoderModel(config), words


def _open_gates(transformer: torch.nn.Module, part: str, times: float) -> None:
    """Let a word reach the picture: as weights begin, what blocks add is multiplied by nearly 0."""
    for name, weight in transformer.named_parameters():
        if part in name:
            weight.data *= times


def _made_for(resolution: int, folder: Path) -> Path:
    """Say how large pictures are, where no config says it."""
    index = folder / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"_resolution": resolution}))
    return folder


VAE: Mapping[str, Any] = {
    "block_out_channels": (8, 8, 16),
    "norm_num_groups": 4,
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "latent_channels": 4,
    "sample_size": 32,
}


def _vae(**more: Any) -> AutoencoderKL:
    return AutoencoderKL(**{**VAE, **more})


def _words_of_chat(folder: Path) -> Qwen2Tokenizer:
    """A tokenizer for which each word of Qwen-Image's template is a token: 34 before a prompt."""
    template = QwenImagePipeline(*[None] * 5).prompt_template_encode
    told = re.findall(r"(?<= )[a-z]+", template)
    first = ("system", "Describe", "user", "assistant")
    return tiny_tokenizers.qwen(folder, [*WORDS, *told], first)


def _film_vae() -> AutoencoderKLQwenImage:
    return AutoencoderKLQwenImage(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 1, 2],
        num_res_blocks=1,
        temperal_downsample=[False, True],
        latents_mean=[-0.1, 0.2, 0.0, 0.3],
        latents_std=[0.5, 1.5, 1.0, 0.8],
    )


def captioner(folder: Path) -> Path:
    """Save a tiny BLIP that describes 32-pixel pictures in `WORDS`."""
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join([*marks, *WORDS]))
    words = BertTokenizer(str(folder / "vocab.txt"), additional_special_tokens=["[DEC]"])
    small: dict[str, int] = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "projection_dim": 16,
    }
    ids = {f"{name}_token_id": marks.index(f"[{mark}]") for name, mark in BLIP_MARKS.items()}
    config = BlipConfig(
        text_config={"vocab_size": len(words), "encoder_hidden_size": 16, **small, **ids},
        vision_config={"image_size": 32, "patch_size": 16, **small},
        projection_dim=16,
        image_text_hidden_size=16,
    )
    torch.manual_seed(0)
    BlipForConditionalGeneration(config).save_pretrained(folder)
    reader = BlipImageProcessorPil(size={"height": 32, "width": 32})
    BlipProcessor(reader, words).save_pretrained(folder)
    return folder


BLIP_MARKS = {"bos": "DEC", "eos": "SEP", "sep": "SEP", "pad": "PAD"}
