"""Settings of which base model is used, and how."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from pseudoword import lookup
from pseudoword.config.fields import OFTEN, Name, Place
from pseudoword.config.other_trainers.aliases import Alias, Synonyms
from pseudoword.config.settings import Settings
from pseudoword.errors import BaseModelError
from pseudoword.lookup import HubId
from pseudoword.text import brief

BUNDLED: Mapping[str, Path] = {"emoji": Path(__file__).parent.parent / "bundled" / "emoji"}
"""Base models that come with the package: name -> folder."""

SIZES = ("sd1", "sd2", "sdxl")
"""Published sizes that memory is planned for, without a model."""

DType = Literal["auto", "float32", "bfloat16", "float16"]
Quantize = Literal["none", "8bit", "4bit"]


class BaseChoice(Settings):
    """Which model to use, and how."""

    heading: ClassVar[str] = "Base model"

    sizes: ClassVar[tuple[str, ...]] = ()
    """What `base` may name beside models: published sizes."""

    base: Annotated[Place, OFTEN, Alias("pretrained_model_name_or_path")] = "emoji"
    """Base model: emoji (bundled), a folder, a file, or a hub id. A folder has diffusers' layout, a
    file ends in .safetensors or .ckpt, and a hub id may be owner/name@revision."""

    device: str = "auto"
    """Where to compute: auto, cpu, cuda (NVIDIA and AMD), cuda:1, xpu (Intel) or mps (Apple). auto
    is the device that the environment variable PSEUDOWORD_DEVICE names, or else the fastest."""

    dtype: Annotated[
        DType,
        Alias("mixed_precision"),
        Synonyms({"fp16": "float16", "bf16": "bfloat16", "fp32": "float32", "no": "float32"}),
    ] = "auto"
    """Precision of the frozen weights. auto is what the environment variable PSEUDOWORD_DTYPE
    names, or else 16 bits where a GPU of NVIDIA, AMD or Intel or a CPU (AVX512-BF16) multiplies in
    them, and float32 elsewhere. The new word is always float32."""

    variant: Name | None = None
    """Load weights that have this in their file names, for example fp16."""

    configs: Place | None = None
    """For a base model in one file: a folder in diffusers' layout, or a hub id, with its configs
    and tokenizers; for one with a transformer also with all of its other parts."""

    prediction_type: Literal["auto", "epsilon", "v_prediction"] = "auto"
    """What the model predicts. auto is what its files say."""

    clip_skip: Annotated[int, Field(ge=1, le=12)] = 1
    """Which layer of the text encoder is read, counted from the last: 2 suits many models of
    drawings. For SD 1.x and 2.x; draw with the same number."""

    quantize: Quantize = "none"
    """Keep the frozen linear layers in 8 or 4 bits, to save memory (4bit needs the extra
    `quantize`)."""

    def base_place(self) -> Path | HubId:
        """The folder, file or repository of the base model.

        Raises:
            BaseModelError: there is none of this name here, and it is no hub id.
        """
        place = lookup.find(self.base, "--base", bundled=BUNDLED, error=BaseModelError)
        if place is None and self.base in SIZES:
            raise BaseModelError(
                f"--base {self.base} names a size, which only `plan` knows. Give a model: a "
                "folder, a .safetensors or .ckpt file, or a hub id such as "
                "stable-diffusion-v1-5/stable-diffusion-v1-5."
            )
        if place is None:
            raise BaseModelError(
                f"no base model {brief(self.base)}: none of that name is known here "
                f"({', '.join([*BUNDLED, *self.sizes])}), there is no such folder or file, and it "
                "is no hub id like owner/name."
            )
        return place

    def configs_place(self) -> Path | HubId | None:
        """The folder or repository that `configs` names; None without it.

        Raises:
            BaseModelError: there is no such folder here, and it is no hub id.
        """
        if self.configs is None:
            return None
        place = lookup.find(self.configs, "--configs", error=BaseModelError)
        if place is None:
            raise BaseModelError(
                f"--configs {brief(self.configs)}: there is no such folder, and it is no hub id"
            )
        return place

    def check_there(self) -> None:
        """Also the base model and its configs."""
        super().check_there()
        if self.base not in self.sizes:
            self.base_place()
        self.configs_place()
