"""Features are those of transformers' own models, used as their papers do."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.nn.functional import normalize
from transformers import (
    AlignConfig,
    AlignModel,
    AutoModel,
    BitImageProcessor,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipModel,
    ViTConfig,
    ViTModel,
)

from pseudoword.benchmark.image_similarity import SimilarityModel
from pseudoword.errors import BaseModelError
from pseudoword.models.loading.auto_classes import automodel

PICTURES = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
SMALL: Any = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}
SIDE: Any = {"image_size": 32, "patch_size": 8}
MOST_TOKENS = 6


def saved(model: Any, folder: Path) -> Any:
    model.save_pretrained(folder)
    size = {"height": 32, "width": 32}
    BitImageProcessor(size={"shortest_edge": 32}, crop_size=size).save_pretrained(folder)
    return model.eval()


@pytest.fixture
def siglip(tmp_path: Path) -> Path:
    """Like SigLIP 2: its tokenizer does not know how many tokens the model reads."""
    torch.manual_seed(0)
    text = SMALL | {"vocab_size": 8, "max_position_embeddings": MOST_TOKENS, "projection_size": 16}
    ends = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
    config = SiglipConfig(text_config=text | ends, vision_config=SMALL | SIDE)
    saved(SiglipModel(config), tmp_path)
    words = Tokenizer(
        models.WordLevel({"<pad>": 0, "<eos>": 1, "<unk>": 2, "a": 3, "cat": 4}, unk_token="<unk>")
    )
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        model_input_names=["input_ids"],
    ).save_pretrained(tmp_path)
    return tmp_path


def test_texts_are_as_long_as_siglip_reads_them(siglip: Path) -> None:
    model = SimilarityModel(siglip)
    ids = torch.tensor([[3, 4, 0, 0, 0, 0], [4, 0, 0, 0, 0, 0], [3, 3, 3, 3, 3, 3]])
    with torch.no_grad():
        whole: Any = SiglipModel.from_pretrained(siglip).eval()
        states = whole.text_model(input_ids=ids).pooler_output
    found = model.text_features(["a cat", "cat", "a " * 20])
    torch.testing.assert_close(found, normalize(states, dim=-1))


def test_a_vision_model_without_a_pooler_is_read_at_its_first_token(tmp_path: Path) -> None:
    torch.manual_seed(0)
    own = saved(ViTModel(ViTConfig(**SMALL, **SIDE), add_pooling_layer=False), tmp_path)
    first, second = (SimilarityModel(tmp_path).features(PICTURES) for _ in range(2))
    pixels = torch.stack([(torch.tensor([1.0, 0, 0])), (torch.tensor([0, 0, 1.0]))])
    mean, std = (
        torch.tensor(one) for one in (BitImageProcessor().image_mean, BitImageProcessor().image_std)
    )
    with torch.no_grad():
        flat = ((pixels - mean) / std).view(2, 3, 1, 1).expand(-1, -1, 32, 32)
        states = own(pixel_values=flat).last_hidden_state[:, 0]
    torch.testing.assert_close(first, normalize(states, dim=-1), rtol=1e-4, atol=1e-5)
    assert torch.equal(first, second)


def test_a_pooler_that_is_there_is_used(tmp_path: Path) -> None:
    torch.manual_seed(0)
    own = saved(ViTModel(ViTConfig(**SMALL, **SIDE)), tmp_path)
    model = SimilarityModel(tmp_path)
    pixels = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        expected = own(pixel_values=pixels).pooler_output
        assert torch.equal(model._model(pixel_values=pixels).pooler_output, expected)


def test_a_pooler_that_a_part_lacks_is_left_out(tmp_path: Path) -> None:
    """ALIGN reads texts without that of its text encoder."""
    text = SMALL | {"vocab_size": 8, "max_position_embeddings": 8, "pad_token_id": 0}
    vision = {"image_size": 32, "width_coefficient": 0.1, "depth_coefficient": 0.1}
    config = AlignConfig(text_config=text, vision_config=vision, projection_dim=8)
    AlignModel(config).save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    weights = load_file(file)
    for name in [name for name in weights if name.startswith("text_model.pooler.")]:
        weights.pop(name)
    save_file(weights, file, {"format": "pt"})
    first, second = (automodel(AutoModel, tmp_path) for _ in range(2))
    ids = torch.tensor([[1, 2]])
    with torch.no_grad():
        found = [one.get_text_features(input_ids=ids).pooler_output for one in (first, second)]
    assert torch.equal(*found)
    assert first.text_model.pooler is None


def test_weights_that_are_missing_are_not_made_up(siglip: Path) -> None:
    file = siglip / "model.safetensors"
    weights = load_file(file)
    weights.pop("text_model.head.weight")
    save_file(weights, file, {"format": "pt"})
    with pytest.raises(BaseModelError, match=r"1 of its weights are missing, such as text_model"):
        SimilarityModel(siglip)
