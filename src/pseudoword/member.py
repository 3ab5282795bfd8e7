"""One concept of a pack: what it is learned from, how, and how far it has come."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pseudoword import norms, optimisers, schedules
from pseudoword.config import Hyper
from pseudoword.config.captions import CaptionSettings
from pseudoword.latents import Encoded
from pseudoword.methods import Method
from pseudoword.settling import Fall, Record


@dataclass
class Member:
    """One concept of a pack: what it is learned from, and its state."""

    token: str
    method: Method
    pictures: Sequence[Encoded]
    templates: Sequence[str]
    hyper: Hyper
    captions: CaptionSettings = field(default_factory=CaptionSettings)
    typical_norm: Mapping[str, float] = field(default_factory=dict)
    """of the vocabulary's rows, per text encoder"""
    optimiser: torch.optim.Optimizer = field(init=False)
    schedule: Callable[[int], float] = field(init=False)
    """step, counted from 0 -> learning rate"""
    average: dict[str, Tensor] = field(default_factory=dict)
    """the running mean of the rows, if there is to be one"""
    step: int = 0
    """steps done"""
    good: dict[str, Tensor] = field(default_factory=dict)
    """the latest rows whose loss and gradient were finite"""
    good_step: int = 0
    """how many steps had made them"""
    failure: str | None = None
    """why it stopped before its time"""
    record: Record = field(default_factory=Record)
    """what evaluations have found"""
    fall: Fall | None = None
    """how it ends, once there is nothing more to gain"""

    def __post_init__(self) -> None:
        hyper = self.hyper
        self.schedule = schedules.Schedule(
            schedules.pairs(hyper.lr), hyper.schedule, hyper.warmup, hyper.total_steps
        )
        self.optimiser = optimisers.make(
            hyper.optimiser, hyper.optimiser_option, self.method.parameters(), self.schedule(0)
        )

    @property
    def unfinished(self) -> bool:
        """Whether there are steps left to take."""
        return not self.failure and self.step < self.last_step

    @property
    def last_step(self) -> int:
        """Of the run, as far as can be told."""
        total = self.hyper.total_steps
        return min(total, self.fall.until) if self.fall else total

    @property
    def stopped(self) -> str | None:
        """Why it stops by itself, if it does."""
        if not self.fall:
            return None
        return f"{self.fall.reason}; the word of step {self.record.best_step} is the best"

    def rate(self) -> float:
        """Of the next step."""
        return self.schedule(self.step) * (self.fall.left(self.step) if self.fall else 1)

    def word(self) -> dict[str, Tensor]:
        """A copy of the rows to hand over as they are now, `[n, width]` per text encoder."""
        if self.average:
            return {key: rows.clone() for key, rows in self.average.items()}
        with optimisers.at_rest(self.optimiser, self.method.parameters()):
            return _copy(self.method.vectors())

    def take_step(self, lr: float) -> None:
        """Move the rows along their gradient, keep their length, and take the running mean."""
        hyper = self.hyper
        if hyper.ema and not self.average:
            self.average = _copy(self.method.vectors())
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        self.optimiser.step()
        norms.control(self.method.vectors(), self.typical_norm, hyper.norm, hyper.norm_pull)
        if hyper.ema:
            keep = min(hyper.ema, (1 + self.step) / (10 + self.step))  # or it begins too slowly
            for key, rows in self.method.vectors().items():
                self.average[key].lerp_(rows.detach(), 1 - keep)
        self.step += 1


def _copy(rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: r.detach().clone() for key, r in rows.items()}
