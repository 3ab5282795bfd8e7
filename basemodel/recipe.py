"""The stages of the recipe, in their order."""

from __future__ import annotations

from collections.abc import Callable, Collection

from basemodel.artifacts import Artifacts, OutOfTimeError
from basemodel.export import export_all
from basemodel.logs import say
from basemodel.measure import measure

STAGES: dict[str, Callable[[Artifacts], object]] = {
    "pictures": lambda artifacts: artifacts.all_drawings,
    "text": lambda artifacts: artifacts.text_encoder,
    "vae": lambda artifacts: artifacts.vae,
    "unet": lambda artifacts: artifacts.unet,
    "judge": lambda artifacts: artifacts.similarity_model,
    "measure": measure,
    "export": export_all,
}
"""Stage -> what makes its result. Each stage trains what is missing of earlier ones."""


def run(artifacts: Artifacts, stages: Collection[str]) -> bool:
    """Run the named stages in order. False if the deadline came first."""
    try:
        for name, make in STAGES.items():
            if name in stages:
                make(artifacts)
    except OutOfTimeError:
        say("recipe", "out of time; run the same command again to continue")
        return False
    return True
