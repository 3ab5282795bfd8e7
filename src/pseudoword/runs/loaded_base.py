"""The base model in memory: loaded when it is needed, and kept for runs that need the same."""

from pseudoword.config import BaseChoice, TrainConfig
from pseudoword.models import base_model
from pseudoword.models.family import Family
from pseudoword.progress import Progress
from pseudoword.runs import checks

OF_BASE = (*BaseChoice.model_fields, "gradient_checkpointing", "offload")
"""Settings that say which base model is in memory, and how."""


class LoadedBase:
    """At most one base model, since two would need the memory of both."""

    def __init__(self, progress: Progress, given: Family | None = None) -> None:
        """With `given`, that is the base model of all runs."""
        self._progress, self._given = progress, given
        self._family: Family | None = None
        self._key: tuple[object, ...] = ()

    def of(self, config: TrainConfig) -> Family:
        """The base model of a run.

        Raises:
            BaseModelError: it cannot be loaded.
        """
        if self._given is not None:
            return self._given
        key = tuple(getattr(config, name) for name in OF_BASE)
        if self._family is None or key != self._key:
            self._family = None  # before the next one is loaded
            self._progress.phase(f"loading {config.base}")
            checks.before_weights(config)
            self._family = base_model.load(
                config,
                self._progress.note,
                checkpointing=config.gradient_checkpointing,
                offload_blocks=config.offload,
            )
            self._key = key
        return self._family
