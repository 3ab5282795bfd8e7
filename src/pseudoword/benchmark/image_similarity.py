"""How near pictures are to each other and to words, as another model sees them. For measuring."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from PIL.Image import new as new_picture
from torch import Tensor
from torch.nn.functional import normalize

from pseudoword import lookup
from pseudoword.errors import BaseModelError, reason
from pseudoword.models.loading.auto_classes import autoload, automodel
from pseudoword.text import public

BUNDLED = Path(__file__).parent.parent / "bundled" / "judge"

AT_ONCE = 64
"""Pictures per pass."""


class Judge:
    """A picture encoder, with or without a text encoder: CLIP, SigLIP, DINOv2 and their like.

    The bundled one is a small CLIPModel that knows the emoji world only; any folder or hub id that
    transformers' AutoModel loads will do.
    """

    def __init__(self, source: str | Path = BUNDLED) -> None:
        from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

        self.name = "the bundled judge" if source == BUNDLED else public(str(source))
        source = lookup.model(source, "--judge")
        try:
            self._model: Any = automodel(AutoModel, source, dtype=torch.float32)
            self._processor: Any = autoload(AutoImageProcessor, source)
            self._tokenizer: Any = autoload(AutoTokenizer, source) if self.reads_text else None
            self._try_out()
        except Exception as error:  # transformers and the hub each have errors of their own
            raise BaseModelError(
                f"the judge {source} cannot be loaded: {reason(error)}. Give a folder or hub id "
                "of a CLIP, SigLIP or DINOv2 model."
            ) from error

    def _try_out(self) -> None:
        """Look at a picture and a word before any work: parts may not fit each other."""
        found = [self.features([new_picture("RGB", (32, 32))])]
        if self.reads_text:
            found.append(self.text_features(["a"]))
        if not all(one.isfinite().all() for one in found):
            raise ValueError("what it makes of a picture and a word are no numbers")

    @property
    def reads_text(self) -> bool:
        """Whether it can compare pictures with words."""
        return hasattr(self._model, "get_text_features")

    @torch.no_grad()
    def features(self, pictures: Sequence[Image]) -> Tensor:
        """Unit vectors `[N, D]`, one per picture."""
        found = []
        for first in range(0, len(pictures), AT_ONCE):
            some = [picture.convert("RGB") for picture in pictures[first : first + AT_ONCE]]
            pixels = self._processor(images=some, return_tensors="pt")["pixel_values"]
            see = self._model.get_image_features if self.reads_text else self._model
            found.append(normalize(_pooled(see(pixel_values=pixels)), dim=-1))
        return torch.cat(found)

    @torch.no_grad()
    def text_features(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors `[N, D]`, one per text; only if it `reads_text`."""
        # SigLIP has only seen texts that were padded to its full length.
        padding = "max_length" if "siglip" in self._model.config.model_type else True
        ids = self._tokenizer(list(texts), padding=padding, truncation=True, return_tensors="pt")
        found = self._model.get_text_features(**ids)
        return normalize(_pooled(found), dim=-1)

    def similarity(self, pictures: Sequence[Image], references: Sequence[Image]) -> float:
        """Mean cosine over all pairs; 1 is the same picture, higher is nearer."""
        return float((self.features(pictures) @ self.features(references).T).mean())

    def text_similarity(self, pictures: Sequence[Image], texts: Sequence[str]) -> float:
        """Mean cosine of each picture with its own text."""
        return float((self.features(pictures) * self.text_features(texts)).sum(-1).mean())


def _pooled(output: Any) -> Tensor:
    """The embedding, which older and newer versions of transformers wrap differently."""
    tensor: Tensor = output if isinstance(output, Tensor) else output.pooler_output
    return tensor
