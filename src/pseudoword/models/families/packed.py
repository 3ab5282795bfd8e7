"""What FLUX.1 and its relatives share: a transformer whose tokens are patches of 2 × 2 latents."""

from typing import Any

import torch
from torch import Tensor

from pseudoword.models.families.transformer import PATCH, TransformerFamily
from pseudoword.models.family import Condition, GenerationSettings


class PackedFamily(TransformerFamily):
    """A model whose transformer reads patches as one sequence, with the position of each."""

    states_size = False

    @property
    def latent_channels(self) -> int:
        return int(self.denoiser.config.in_channels) // PATCH**2

    def conditions(self, _condition: Condition, _tokens: int) -> dict[str, Any]:
        """What the transformer is told beside text and time, of a picture of so many tokens."""
        return {}

    def places(self, text: Tensor, rows: int, columns: int) -> dict[str, Any]:
        """Where the tokens of a text `[B, L, D]` and of a picture are, as the transformer reads it.

        Here it is three numbers each, which are zero for a text.
        """
        return {
            "txt_ids": text.new_zeros(text.shape[1], 3),
            "img_ids": positions(rows, columns, text.device).to(text.dtype),
        }

    def run_transformer(self, noisy: Tensor, times: Tensor, condition: Condition) -> Tensor:
        height, width = noisy.shape[-2:]
        tokens, text = packed(noisy), condition.hidden.to(self.dtype)
        predicted: Tensor = self.denoiser(
            tokens,
            timestep=times.to(self.dtype) / 1000,
            encoder_hidden_states=text,
            return_dict=False,
            **self.places(text, height // PATCH, width // PATCH),
            **self.conditions(condition, tokens.shape[1]),
        )[0]
        return unpacked(predicted, height, width)

    def from_pipeline(self, latents: Tensor, settings: GenerationSettings) -> Tensor:
        scale = self.autoencoder.scale
        return unpacked(latents, settings.height // scale, settings.width // scale)


def packed(latents: Tensor) -> Tensor:
    """`[B, C, h, w]` -> one token per patch, `[B, h/2·w/2, 4·C]`."""
    patches = latents.unflatten(2, (-1, PATCH)).unflatten(4, (-1, PATCH))  # [B, C, h/2, 2, w/2, 2]
    tokens: Tensor = patches.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
    return tokens


def unpacked(tokens: Tensor, height: int, width: int) -> Tensor:
    """The inverse of `packed`: `[B, h/2·w/2, 4·C]` -> `[B, C, h, w]`."""
    grid = tokens.unflatten(1, (height // PATCH, width // PATCH)).unflatten(3, (-1, PATCH, PATCH))
    latents: Tensor = grid.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)
    return latents


def positions(rows: int, columns: int, device: torch.device) -> Tensor:
    """Row and column of each patch, `[rows·columns, 3]`; the first number is zero."""
    grid = torch.zeros(rows, columns, 3, dtype=torch.float32, device=device)
    grid[..., 1] = torch.arange(rows, device=device)[:, None]
    grid[..., 2] = torch.arange(columns, device=device)[None]
    return grid.flatten(0, 1)
