"""Settings of how a word's rows come to be."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from pseudoword.config.settings import Idle, Settings


class MethodSettings(Settings):
    """How the rows come to be, and how long they are."""

    heading: ClassVar[str] = "Method"

    idle: ClassVar = {"norm_pull": Idle("without --norm pull", lambda s: s.norm != "pull")}

    method: Literal["classic"] = "classic"
    """How the vectors come to be; classic learns them freely."""

    norm: Literal["none", "keep", "limit", "rescale", "pull"] = "keep"
    """Length of the vectors: free (none); as at the start, so that only their direction is learned
    (keep); at most the vocabulary's median (limit); exactly the median (rescale); or pulled towards
    it (pull)."""

    norm_pull: Annotated[float, Field(gt=0, le=1)] = 0.02
    """With --norm pull: how far to pull in each step, as a fraction of the distance."""
