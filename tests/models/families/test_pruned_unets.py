"""U-Nets of SDXL from which layers were taken, as SSD-1B and Segmind Vega are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from diffusers import UNet2DConditionModel
from support import diffusers_own

from pseudoword.models import base_model
from pseudoword.models.generation import generate

UNEVEN: dict[str, Any] = {
    "block_out_channels": (16, 32, 32),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "attention_head_dim": (2, 4, 4),
    "layers_per_block": 2,
    "transformer_layers_per_block": [0, 1, 2],
    "reverse_transformer_layers_per_block": [[2, 1, 2], [2, 1, 1], 0],
}


@pytest.mark.usefixtures("own_kernels")
@pytest.mark.parametrize("middle", ["UNetMidBlock2DCrossAttn", "UNetMidBlock2D", None])
def test_they_draw_as_in_diffusers_and_have_layers(middle: str | None, tmp_path: Path) -> None:
    base = tiny.sdxl(tmp_path)
    config = UNet2DConditionModel.load_config(base / "unet")
    torch.manual_seed(0)
    pruned = UNet2DConditionModel.from_config({**config, **UNEVEN, "mid_block_type": middle})
    pruned.save_pretrained(base / "unet")
    family: Any = base_model.load_named(str(base), "cpu")
    # those before and behind the middle, and in it
    assert len(family.layers) == 4 + 6 + (middle == "UNetMidBlock2DCrossAttn")
    (ours,) = generate(family, ["a cat"], [], seeds=[3], sampler_steps=2, guidance=4.0)
    (theirs,) = diffusers_own(base)(
        "a cat",
        num_inference_steps=2,
        guidance_scale=4.0,
        generator=torch.Generator().manual_seed(3),
    ).images
    assert np.array_equal(np.asarray(ours), np.asarray(theirs))
