"""One concept of a pack, and how far it has come."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor

from pseudoword.config import Hyperparameters
from pseudoword.methods import Method
from pseudoword.training import optimisers
from pseudoword.training.batches import TrainingData
from pseudoword.training.early_stopping import EvaluationHistory

LATENESS = 3
"""A rate cannot fall towards an end that is not known. What is handed over is therefore the mean of
all steps' rows, with weights that grow as this power of the step (polynomial-decay averaging:
Shamir and Zhang 2013, arXiv 1212.1824, section 4). Roughly, the last half counts."""


@dataclass
class TrainState:
    """One concept of a pack: what it is learned from, and its state."""

    data: TrainingData
    method: Method
    optimiser: torch.optim.Optimizer
    schedule: Callable[[int], float]
    """step, counted from 0 -> learning rate"""
    total_steps: int
    """the last step there can be"""
    average: dict[str, Tensor] = field(default_factory=dict)
    """the running mean of the rows, if there is to be one"""
    step: int = 0
    """steps done"""
    good: dict[str, Tensor] = field(default_factory=dict)
    """the latest rows whose loss and gradient were finite"""
    good_step: int = 0
    """how many steps had made them"""
    reached: bool = False
    """whether a gradient has reached the rows since it was set up"""
    failure: str | None = None
    """why it stopped before its time"""
    evaluations: EvaluationHistory = field(default_factory=EvaluationHistory)
    """what evaluations have found"""
    stopped: str | None = None
    """why there is nothing more to gain, if so"""

    @classmethod
    def begin(
        cls,
        data: TrainingData,
        method: Method,
        schedule: Callable[[int], float],
        total_steps: int | None = None,
    ) -> Self:
        """A concept that has not taken a step, with the optimiser that its settings ask for.

        Args:
            data: what it is learned from.
            method: its rows, at their start.
            schedule: step, counted from 0 -> learning rate.
            total_steps: by default those of the settings.
        """
        hyper = data.hyper
        optimiser = method.optimiser(schedule(0)) or optimisers.make(
            hyper.optimiser, hyper.optimiser_option, method.parameters(), schedule(0)
        )
        steps = hyper.total_steps if total_steps is None else total_steps
        return cls(data, method, optimiser, schedule, steps)

    @property
    def token(self) -> str:
        """What it is called."""
        return self.data.token

    @property
    def hyper(self) -> Hyperparameters:
        """How it is learned."""
        return self.data.hyper

    @property
    def unfinished(self) -> bool:
        """Whether there are steps left to take."""
        return not (self.failure or self.stopped) and self.step < self.total_steps

    def word(self) -> dict[str, Tensor]:
        """A copy of the rows to hand over as they are now, `[n, width]` per text encoder."""
        if self.average:
            return self.method.constrained(self.average)
        with optimisers.final_parameters(self.optimiser, self.method.parameters()):
            return self.method.word()

    def update(self, lr: float) -> None:
        """Keep the rows, which are good; move them along their gradient; take the running mean."""
        self.good, self.good_step, self.reached = self.word(), self.step, True
        if self.averaging and not self.average:
            self.average = self.method.word()
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        self.optimiser.step()
        self.method.constrain()
        if self.averaging:
            for key, rows in self.method.word().items():
                self.average[key].lerp_(rows, 1 - self._kept())
        self.step += 1

    @property
    def averaging(self) -> bool:
        """Whether a running mean of the rows is handed over instead of the last ones."""
        return self.hyper.average or bool(self.hyper.ema)

    def _kept(self) -> float:
        """How much of itself the running mean keeps in the next step."""
        if self.hyper.ema:
            return min(self.hyper.ema, (1 + self.step) / (10 + self.step))  # or it begins slowly
        return self.step / (self.step + 1 + LATENESS)
