"""The libraries that read models, imported by one thread of the page while the others wait.

diffusers imports its parts when they are first asked for, and fails where two threads ask at once,
as two events of a page that has just been started do.
"""

import importlib
import threading

from pseudoword.imports import import_libraries

MOST_PARTS = "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion"
"""Imports nearly all that the parts for other models need, too."""

_one_at_a_time = threading.Lock()


def ready() -> None:
    """See that they are imported. Call it before anything that reads a model."""
    with _one_at_a_time:
        import_libraries()
        importlib.import_module(MOST_PARTS)
