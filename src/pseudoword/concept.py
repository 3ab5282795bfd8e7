"""`Concept`: the thing that is learned, and where it came from."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pseudoword.errors import ConceptError, SettingsError, shown
from pseudoword.text import public

ENCODER_OF_WIDTH = {768: "clip_l", 1024: "clip_h", 1280: "clip_g", 4096: "t5xxl"}
"""The text encoder a width points to when a file does not say; keys are ComfyUI's names."""


JOINERS = {0x200C: None, 0x200D: None}
"""Invisible, and part of words in Persian and Indian scripts, and of emoji."""


def check_token(token: str) -> str:
    """Return `token`, in Unicode's composed form (NFC), if it can be a placeholder.

    Raises:
        SettingsError: it is empty, has white space around it, or control characters in it.
    """
    seen = token.translate(JOINERS)
    if not seen.strip():
        raise SettingsError('--token is empty. Give the new word a name, for example "<my-cat>".')
    if token != token.strip() or not seen.isprintable():
        raise SettingsError(
            f"--token {shown(token)} has white space around it or control characters in it. "
            'Use visible characters, for example "<my-cat>".'
        )
    return unicodedata.normalize("NFC", token)


@dataclass(frozen=True)
class Concept:
    """A learned word.

    Attributes:
        token: the placeholder as it is written in prompts, for example `<my-cat>`; the same however
            its accents are encoded.
        vectors: per text encoder (`clip_l`, `clip_g` …) a float32 tensor `[n, width]` on the CPU.
        family: the kind of base model it was learned for (`sd`, `sdxl` …), if known.
        method: how it was learned (`classic` …).
        provenance: base model, steps, seed, settings and data hash; plain strings, kept in the
            file's metadata.
    """

    token: str
    vectors: Mapping[str, Tensor]
    family: str | None = None
    method: str = "classic"
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "token", check_token(self.token))
        if not self.vectors:
            raise ConceptError(f"{self.token} has no vectors")
        for encoder, rows in self.vectors.items():
            if rows.ndim != 2 or 0 in rows.shape:
                raise ConceptError(
                    f"{self.token}: {encoder} holds {list(rows.shape)}, expected [n, width]"
                )
            if not torch.isfinite(rows).all():
                raise ConceptError(f"{self.token}: {encoder} holds values that are not finite")

    @property
    def shared(self) -> dict[str, str]:
        """`provenance` as it may stand in a file that is shared: without paths on a machine."""
        return {public(name): public(value) for name, value in self.provenance.items()}

    @property
    def widths(self) -> dict[str, int]:
        """Width of each text encoder's rows."""
        return {encoder: rows.shape[1] for encoder, rows in self.vectors.items()}
