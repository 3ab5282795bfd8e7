"""Settings of how a word's rows come to be."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pseudoword.config.settings import Idle, Settings
from pseudoword.errors import SettingsError

MethodName = Literal["classic", "directional", "layered"]

LAYERED: frozenset[MethodName] = frozenset({"layered"})
"""The methods whose words have other rows for each layer of the denoiser."""


class MethodSettings(Settings):
    """How the rows come to be, and how long they are."""

    heading: ClassVar[str] = "Method"

    idle: ClassVar = {
        "norm_pull": Idle("without --norm pull", lambda s: s.norm != "pull"),
        "kappa": Idle("without --method directional", lambda s: s.method != "directional"),
        "nested": Idle("with one vector", lambda s: s.nested and s.vectors == 1),
    }

    method: MethodName = "classic"
    """How the vectors come to be. classic learns them freely; directional learns their direction
    alone, in steps of an angle: --lr is in radians, and 100% is a quarter of a radian;
    layered also learns other vectors for each cross-attention layer (P+), with which pseudoword
    draws; other tools use those for all layers."""

    norm: Literal["none", "keep", "limit", "rescale", "pull"] = "keep"
    """Length of the vectors: free (none); as at the start, but no less than the vocabulary's
    median, so that only their direction is learned (keep); at most the median (limit); exactly the
    median (rescale); or pulled towards it (pull)."""

    norm_pull: Annotated[float, Field(gt=0, le=1)] = 0.02
    """With --norm pull: how far to pull in each step, as a fraction of the distance."""

    kappa: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1e-4
    """With --method directional: how strongly the vectors are drawn to the direction of --init."""

    nested: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of the steps in which only the first vectors are in the prompts, from one to all but
    one. This leaves more room for the rest of a prompt, and generate --rows 1 can draw with the
    first one alone. 0 is off."""

    @model_validator(mode="after")
    def _a_length_for_directions(self) -> Self:
        if self.method == "directional" and self.norm not in {"keep", "rescale"}:
            raise SettingsError(
                f"--norm {self.norm} does not go with --method directional, whose vectors stay as "
                "long as they are. Use --norm keep or --norm rescale."
            )
        return self
