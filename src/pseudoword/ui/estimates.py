"""What memory and what time a training will need."""

import contextlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pseudoword import api, internals, lookup
from pseudoword.config import PlanConfig, TrainConfig
from pseudoword.errors import PseudowordError
from pseudoword.ui import libraries
from pseudoword.ui.job_files import MOST_KEPT, JobFiles, in_queue, settings_of, state_of
from pseudoword.ui.run_logs import LOG, read_log, seconds_per_step
from pseudoword.ui.workspace import Workspace

MOST_PLANS = 100
"""So many are kept."""


@dataclass(frozen=True)
class Estimate:
    """What a training will need."""

    plan: "api.Plan"
    """memory"""
    soonest: int
    """the step after which it ends; may first end, where it stops by itself"""
    steps: int
    """at most so many, where it stops by itself"""
    seconds_per_step: float | None
    """in the latest training like it in this workspace; None: there was none"""


def estimate(workspace: Workspace, config: TrainConfig) -> Estimate:
    """What a training needs, without loading the model.

    Raises:
        PseudowordError: as `api.plan`.
    """
    plan = _plan(PlanConfig.of(config), _state_of(Path(config.base)))
    per_step = _seconds_per_step(workspace, config)
    return Estimate(plan, internals.last_step(config), config.total_steps, per_step)


@lru_cache(MOST_PLANS)
def _plan(config: PlanConfig, _state: object) -> "api.Plan":
    """What memory is needed; counted once, as the page asks after each change of a control."""
    libraries.ready()
    return internals.plan_memory(config)


def _state_of(base: Path) -> tuple[object, ...]:
    """That of a model's configs, which tells one that was replaced."""
    files = [*base.glob("*.json"), *base.glob("*/*.json")] if base.is_dir() else [base]
    return tuple((file, state_of(file)) for file in sorted(files))


def _seconds_per_step(workspace: Workspace, config: TrainConfig) -> float | None:
    """What a step took in the latest training on the same base, with pictures as large."""
    for files in reversed(in_queue(workspace)):
        with contextlib.suppress(PseudowordError):
            if _speed_of_training(workspace, files.name) == _speed_of(config):
                entries = read_log(workspace.place("runs", files.name) / LOG)
                if (seconds := seconds_per_step(entries)) is not None:
                    return seconds
    return None


@lru_cache(MOST_KEPT)
def _speed_of_training(workspace: Workspace, name: str) -> tuple[object, ...]:
    """As `_speed_of` its settings, which are written once, and read once: there may be hundreds."""
    return _speed_of(settings_of(JobFiles(workspace, name)))


def _speed_of(config: TrainConfig) -> tuple[object, ...]:
    """The settings that decide how long a step takes."""
    alike = (
        "device",
        "dtype",
        "quantize",
        "resolution",
        "batch",
        "gradient_checkpointing",
        "offload",
    )
    return lookup.absolute(config.base), *(getattr(config, name) for name in alike)
