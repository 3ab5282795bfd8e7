"""`Concept`: a learned word, and how it was learned."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from pseudoword.errors import ConceptError
from pseudoword.placeholders import check_token
from pseudoword.text import public


@dataclass(frozen=True)
class Concept:
    """A learned word.

    Attributes:
        token: the placeholder token as written in prompts, for example `<my-cat>`; in Unicode's
            composed form (NFC).
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

    def __eq__(self, other: object) -> bool:
        """Whether all of it is the same, each number included."""
        if not isinstance(other, Concept):
            return NotImplemented
        return (
            self._texts == other._texts
            and self.vectors.keys() == other.vectors.keys()
            and all(torch.equal(rows, other.vectors[key]) for key, rows in self.vectors.items())
        )

    def __hash__(self) -> int:
        return hash((self.token, self.family, self.method))

    def __repr__(self) -> str:
        """With the shapes of the vectors, since their numbers are hundreds."""
        shapes = {key: list(rows.shape) for key, rows in self.vectors.items()}
        return (
            f"Concept(token={self.token!r}, vectors={shapes}, family={self.family!r}, "
            f"method={self.method!r})"
        )

    @property
    def _texts(self) -> tuple[object, ...]:
        return self.token, self.family, self.method, dict(self.provenance)

    def first_rows(self, count: int | None) -> "Concept":
        """The same word with only its first `count` rows per text encoder; None for all."""
        if count is None:
            return self
        return replace(self, vectors={key: rows[:count] for key, rows in self.vectors.items()})

    @property
    def shared(self) -> dict[str, str]:
        """`provenance` without paths of this machine, for files that are shared."""
        return {public(name): public(value) for name, value in self.provenance.items()}

    @property
    def length(self) -> int:
        """How many tokens it takes in a prompt: the largest number of its rows."""
        return max(map(len, self.vectors.values()))

    @property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """How many rows each text encoder has, and how wide they are."""
        return {encoder: (len(rows), rows.shape[1]) for encoder, rows in self.vectors.items()}

    @property
    def widths(self) -> dict[str, int]:
        """Width of each text encoder's rows."""
        return {encoder: rows.shape[1] for encoder, rows in self.vectors.items()}
