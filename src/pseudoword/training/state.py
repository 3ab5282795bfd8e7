"""The training state of one concept of a pack."""

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
"""With an unknown last step, the learning rate cannot fall to zero. Instead, the word is the mean
of the rows of all steps, with weights that grow as this power of the step (polynomial-decay
averaging: Shamir and Zhang 2013, arXiv 1212.1824, section 4). Mostly, the last half of the steps
counts."""


@dataclass(eq=False)  # a state is equal to itself alone, and changes
class TrainState:
    """One concept of a pack: its data, its method, and its state."""

    data: TrainingData
    method: Method
    optimiser: torch.optim.Optimizer
    schedule: Callable[[int], float]
    """step, counted from 0 -> learning rate"""
    total_steps: int
    """the number of the last possible step"""
    average: dict[str, Tensor] = field(default_factory=dict)
    """the running mean of the rows, if averaging is on"""
    step: int = 0
    """number of finished steps"""
    good: dict[str, Tensor] = field(default_factory=dict)
    """the latest rows whose loss and gradient were finite"""
    good_step: int = 0
    """the number of steps that made them"""
    reached: bool = False
    """whether a gradient has reached the rows in this process"""
    failure: str | None = None
    """why it cannot continue"""
    evaluations: EvaluationHistory = field(default_factory=EvaluationHistory)
    """the results of evaluations"""
    stopped: str | None = None
    """why it stopped early, if it did"""

    @classmethod
    def begin(
        cls,
        data: TrainingData,
        method: Method,
        schedule: Callable[[int], float],
        total_steps: int | None = None,
    ) -> Self:
        """The state before the first step, with the optimiser of the settings.

        `method` is at the initial rows; `total_steps` is by default that of the settings.
        """
        hyper = data.hyper
        optimiser = method.optimiser(schedule(0)) or optimisers.make(
            hyper.optimiser, hyper.optimiser_option, method.parameters(), schedule(0)
        )
        steps = hyper.total_steps if total_steps is None else total_steps
        return cls(data, method, optimiser, schedule, steps)

    @property
    def called(self) -> str:
        """Its words, as messages name them."""
        return " with ".join(self.data.tokens)

    @property
    def hyper(self) -> Hyperparameters:
        """The hyperparameters."""
        return self.data.hyper

    @property
    def unfinished(self) -> bool:
        """Whether there are steps left to take."""
        return not (self.failure or self.stopped) and self.step < self.total_steps

    @property
    def kept(self) -> str:
        """What there is of it if it cannot continue."""
        return f"the word of step {self.good_step} is kept" if self.good else "nothing is learned"

    def check_word(self) -> None:
        """Check the rows that the last step has made, before they are used; waits for the device.

        Other steps need no check: the next one tells (`StepMetrics.norm`).
        """
        if not (self.failure or all(rows.isfinite().all() for rows in self.word().values())):
            self.failure = (
                f"{self.called}: step {self.step} made vectors that are not finite; {self.kept}. "
                "Try a lower --lr, or another --optimiser."
            )

    def word(self) -> dict[str, Tensor]:
        """The learned word at this step: a copy of its rows, `[n, width]` per text encoder."""
        if self.average:
            return self.method.constrained(self.average)
        with optimisers.final_parameters(self.optimiser, self.method.parameters()) as other_points:
            word = self.method.word()
        return self.method.constrained(word) if other_points else word

    def update(self, lr: float) -> None:
        """Remember the rows as good, take an optimiser step, and update the running mean."""
        self.good, self.good_step = self.word(), self.step
        if self.averaging and not self.average:
            self.average = self.method.word()
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        self.optimiser.step()
        self.method.constrain()
        if self.averaging:
            for key, rows in self.method.word().items():
                self.average[key].lerp_(rows, 1 - self._decay())
        self.step += 1

    @property
    def averaging(self) -> bool:
        """Whether the word is a running mean of the rows instead of the last ones."""
        return self.hyper.average or bool(self.hyper.ema)

    def _decay(self) -> float:
        """Weight of the old running mean in the next one."""
        if self.hyper.ema:
            # Without this, the mean would stay near the initial rows for long.
            return min(self.hyper.ema, (1 + self.step) / (10 + self.step))
        return self.step / (self.step + 1 + LATENESS)
