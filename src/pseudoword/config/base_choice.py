"""Settings of which base model is used, and how."""

from typing import Annotated, ClassVar, Literal

from pseudoword.config.aliases import Alias, Formerly, Synonyms
from pseudoword.config.fields import OFTEN, Name, Place
from pseudoword.config.settings import Settings

DType = Literal["auto", "float32", "bfloat16", "float16"]
Quantize = Literal["none", "8bit", "4bit"]
Prediction = Literal["auto", "epsilon", "v_prediction"]


class BaseChoice(Settings):
    """Which model to use, and how."""

    heading: ClassVar[str] = "Base model"

    base: Annotated[Place, OFTEN, Alias("pretrained_model_name_or_path")] = "emoji"
    """Base model: emoji (bundled), a folder, a file, or a hub id. A folder has diffusers' layout, a
    file ends in .safetensors or .ckpt, and a hub id may be owner/name@revision."""

    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1 or mps. auto is the device that the environment
    variable PSEUDOWORD_DEVICE names, or else the fastest one."""

    dtype: Annotated[
        DType,
        Alias("mixed_precision"),
        Synonyms({"fp16": "float16", "bf16": "bfloat16", "fp32": "float32", "no": "float32"}),
    ] = "auto"
    """Precision of the frozen weights. auto is 16 bits on an NVIDIA GPU, and float32 elsewhere. The
    new word is always float32."""

    variant: Name | None = None
    """Load weights that have this in their file names, for example fp16."""

    configs: Place | None = None
    """For a base model in one file: a folder in diffusers' layout, or a hub id, with its configs
    and tokenizers; for one with a transformer also with all of its other parts."""

    prediction_type: Annotated[Prediction, Formerly("prediction")] = "auto"
    """What the model predicts. auto is what its files say."""

    quantize: Quantize = "none"
    """Keep the frozen linear layers in 8 or 4 bits, to save memory (4bit needs the extra
    `quantize`)."""
