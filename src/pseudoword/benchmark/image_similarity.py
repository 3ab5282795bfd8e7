"""Similarity of pictures to each other and to texts, as a vision model measures it."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from PIL.Image import new as new_picture
from torch import Tensor
from torch.nn.functional import normalize

from pseudoword import lookup
from pseudoword.errors import BaseModelError
from pseudoword.models.loading.auto_classes import autoload, automodel
from pseudoword.models.loading.weights import sampled_digest
from pseudoword.text import public, reason

BUNDLED = Path(__file__).parent.parent / "bundled" / "judge"

BATCH_SIZE = 64
"""Pictures per forward pass."""


class SimilarityModel:
    """An image encoder, with or without a text encoder: CLIP, SigLIP, DINOv2 and others.

    The bundled one is a small CLIPModel that knows the emoji world only. Any folder or hub id that
    transformers' AutoModel loads can take its place.

    Raises:
        BaseModelError: the model cannot be loaded, or its parts do not fit each other.
    """

    def __init__(self, source: str | Path = BUNDLED) -> None:
        from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

        self.name = "the bundled judge" if source == BUNDLED else public(str(source))
        source = lookup.model_source(source, "--similarity-model")
        try:
            self._model: Any = automodel(AutoModel, source, dtype=torch.float32)
            self._processor: Any = autoload(AutoImageProcessor, source)
            self._tokenizer: Any = autoload(AutoTokenizer, source) if self.reads_text else None
            self._try_out()
        except Exception as error:  # transformers and the hub each have errors of their own
            raise BaseModelError(
                f"the similarity model {source} cannot be loaded: {reason(error)}. Give a folder "
                "or hub id of a CLIP, SigLIP or DINOv2 model."
            ) from error

    def _try_out(self) -> None:
        """Encode a picture and a text before any long work: the parts may not fit each other."""
        features = [self.features([new_picture("RGB", (32, 32))])]
        if self.reads_text:
            features.append(self.text_features(["a", "a a"]))  # of different lengths
        if not all(one.isfinite().all() for one in features):
            raise ValueError("its features of a picture and a text are not finite numbers")

    def fingerprint(self) -> str:
        """A hash over a sample of every weight, which differs between models."""
        return sampled_digest(self._model)

    @property
    def reads_text(self) -> bool:
        """Whether it can compare pictures with texts."""
        return hasattr(self._model, "get_text_features")

    @torch.no_grad()
    def features(self, pictures: Sequence[Image]) -> Tensor:
        """Unit vectors `[N, D]`, one for each picture."""
        features = []
        for first in range(0, len(pictures), BATCH_SIZE):
            batch = [picture.convert("RGB") for picture in pictures[first : first + BATCH_SIZE]]
            pixels = self._processor(images=batch, return_tensors="pt")["pixel_values"]
            encode = self._model.get_image_features if self.reads_text else self._model
            features.append(normalize(_pooled(encode(pixel_values=pixels)), dim=-1))
        return torch.cat(features)

    @torch.no_grad()
    def text_features(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors `[N, D]`, one for each text; only if it `reads_text`."""
        config = self._model.config
        # SigLIP was trained on texts that were padded to its full length.
        padding = "max_length" if "siglip" in config.model_type else True
        # Not every tokenizer knows how much its model reads: that of SigLIP 2 does not.
        most = getattr(getattr(config, "text_config", config), "max_position_embeddings", math.inf)
        ids = self._tokenizer(
            list(texts),
            padding=padding,
            truncation=True,
            max_length=min(most, self._tokenizer.model_max_length),
            return_tensors="pt",
        )
        return normalize(_pooled(self._model.get_text_features(**ids)), dim=-1)

    def image_similarity(self, pictures: Sequence[Image], references: Sequence[Image]) -> float:
        """Mean cosine of all pairs, in [-1, 1]; the same picture gives 1."""
        return float((self.features(pictures) @ self.features(references).T).mean())

    def text_similarity(self, pictures: Sequence[Image], texts: Sequence[str]) -> float:
        """Mean cosine of each picture with its own text, in [-1, 1]."""
        return float((self.features(pictures) * self.text_features(texts)).sum(-1).mean())


def _pooled(output: Any) -> Tensor:
    """The embedding; versions of transformers differ in how they return it.

    Without a pooler, as DINO is published, it is the state of the first token, which stands for
    the whole picture.
    """
    tensor: Tensor = output if isinstance(output, Tensor) else output.pooler_output
    return output.last_hidden_state[:, 0] if tensor is None else tensor
