"""Bounds of what a page in the browser may put into its workspace."""

from typing import Annotated, ClassVar

from pydantic import Field

from pseudoword.config.settings import Settings


class WorkspaceLimits(Settings):
    """How much a workspace takes from those who use its page."""

    heading: ClassVar[str] = "Workspace"

    largest_upload_mb: Annotated[int, Field(ge=1, le=4096)] = 64
    """The largest file that may be uploaded, in megabytes."""

    most_pictures: Annotated[int, Field(ge=1, le=10_000)] = 200
    """Pictures in one data set."""

    most_data_sets: Annotated[int, Field(ge=1, le=10_000)] = 200
    """Data sets in all; the one that nobody has touched for longest goes when there is one more."""

    most_jobs: Annotated[int, Field(ge=1, le=10_000)] = 200
    """Trainings that wait in the queue."""

    most_trash: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Deleted words and trainings that can be brought back; older ones are gone for good."""

    workspace_gb: Annotated[float, Field(gt=0, le=100_000)] = 20.0
    """All that is uploaded, together, in gigabytes."""
