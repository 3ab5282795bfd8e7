"""Where weights are in a file does not change how they are aligned in memory."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import single_file
import tiny
import torch
from safetensors.torch import load_file, save_file
from support import lora

from pseudoword.benchmark.image_similarity import BUNDLED, SimilarityModel
from pseudoword.config import BaseChoice, Quantize
from pseudoword.errors import BaseModelError
from pseudoword.models import base_model
from pseudoword.models.generation import generate

BESIDE = 4
"""Bytes beside a 64-byte boundary, where the first tensor of a file lies."""


def shift(file: Path, beside: int) -> None:
    """Pad the header of a safetensors file so that its first tensor lies there, once mapped."""
    data = file.read_bytes()
    length = int.from_bytes(data[:8], "little")
    text = data[8 : 8 + length].rstrip(b" ")
    text += b" " * ((beside - 8 - len(text)) % 64)
    file.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])


def addresses(*modules: torch.nn.Module) -> Iterator[int]:
    for module in modules:
        for tensor in (*module.parameters(), *module.buffers()):
            yield tensor.data_ptr()


@pytest.mark.parametrize(
    ("any_base", "quantize"),
    [*((kind, "none") for kind in tiny.DISTINCT), ("sdxl", "8bit"), ("flux", "8bit")],
    indirect=["any_base"],
)
def test_every_weight_is_aligned_to_64_bytes_wherever_it_is_in_its_file(
    any_base: Path, tmp_path: Path, quantize: Quantize
) -> None:
    folder = shutil.copytree(any_base, tmp_path / "folder")
    choices = [BaseChoice(base=str(folder), device="cpu", quantize=quantize)]
    if (any_base / "unet").is_dir():
        file = single_file.write(any_base, folder / "model.safetensors")
        choices.append(
            BaseChoice(base=str(file), configs=str(folder), device="cpu", quantize=quantize)
        )
    for one in folder.rglob("*.safetensors"):
        shift(one, BESIDE)
    for choice in choices:
        family = base_model.load(choice)
        found = list(addresses(*family.modules().values()))
        assert len(found) > 100
        assert not any(address % 64 for address in found)


def test_every_weight_of_a_lora_and_of_the_similarity_model_is_aligned(
    base: Path, tmp_path: Path
) -> None:
    shift(lora(base, tmp_path / "style.safetensors"), BESIDE)
    family: Any = base_model.load_named(str(base), "cpu")
    with family.with_loras([(tmp_path / "style.safetensors", 1.0)]):
        names = [name for name, _ in family.denoiser.named_parameters() if "lora" in name]
        assert names
        encoder = family.encoders["clip_l"].model
        assert not any(address % 64 for address in addresses(family.denoiser, encoder))
    folder = shutil.copytree(BUNDLED, tmp_path / "folder")
    for file in folder.glob("*.safetensors"):
        shift(file, BESIDE)
    assert not any(address % 64 for address in addresses(SimilarityModel(folder)._model))


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(
    base: Path, tmp_path: Path, part: str, number: float
) -> None:
    broken = shutil.copytree(base, tmp_path / "broken")
    (file,) = (broken / part).glob("*.safetensors")
    tensors = load_file(file)
    name = sorted(tensors)[-1]
    tensors[name].view(-1)[-1] = number
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(BaseModelError, match=f"its {part} has numbers that are not finite, in "):
        base_model.load_named(str(broken), "cpu").modules()


def test_a_prediction_that_is_not_finite_is_an_error(base: Path, tmp_path: Path) -> None:
    family: Any = base_model.load_named(str(base), "cpu")
    with torch.no_grad():
        family.denoiser.conv_out.weight.fill_(3e38)
    with pytest.raises(BaseModelError, match="draws numbers that are not finite"):
        generate(family, ["a cat"], [], seeds=[0], sampler_steps=2)
    broken = shutil.copytree(base, tmp_path / "broken")
    (file,) = (broken / "unet").glob("*.safetensors")
    tensors = load_file(file)
    tensors["conv_out.weight"].fill_(3e38)
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(BaseModelError, match="predicts numbers that are not finite"):
        base_model.load_named(str(broken), "cpu")
