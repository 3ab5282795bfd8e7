"""How near pictures are to each other, as a CLIP model sees them. For measuring only."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from pseudoword.errors import BaseModelError

BUNDLED = Path(__file__).parent / "bundled" / "judge"


class Judge:
    """A CLIPModel: the bundled one, a local folder, or a hub id."""

    def __init__(self, source: str | Path = BUNDLED) -> None:
        from transformers import CLIPImageProcessor, CLIPModel

        try:
            self._model: Any = CLIPModel.from_pretrained(source, torch_dtype=torch.float32).eval()
            self._processor: Any = CLIPImageProcessor.from_pretrained(source)
        except Exception as error:
            raise BaseModelError(f"the judge {source} cannot be loaded: {error}") from error

    @torch.no_grad()
    def features(self, pictures: Sequence[Image]) -> Tensor:
        """Unit vectors `[N, D]`, one per picture."""
        pixels = self._processor(images=[p.convert("RGB") for p in pictures], return_tensors="pt")
        seen = self._model.vision_model(pixel_values=pixels["pixel_values"])
        features: Tensor = self._model.visual_projection(seen.pooler_output)
        return torch.nn.functional.normalize(features, dim=-1)

    def similarity(self, pictures: Sequence[Image], references: Sequence[Image]) -> float:
        """Mean cosine over all pairs; 1 is the same picture, higher is nearer."""
        return float((self.features(pictures) @ self.features(references).T).mean())
