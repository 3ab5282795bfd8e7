"""One training loop for all stages: rate, step, log, checkpoint. It resumes bit for bit."""

from __future__ import annotations

import json
import math
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, final

import torch

from basemodel import checkpoint
from basemodel.logs import log_file, read_log, say
from basemodel.settings import Settings
from basemodel.threads import SharedCpu

MAX_GRAD_NORM = 1.0


def warm_cosine(step: int, steps: int, peak: float, warmup: int, floor: float = 0.02) -> float:
    """Linear warm-up, then a cosine down to floor x peak."""
    if step < warmup:
        return peak * (step + 1) / warmup
    along = (step - warmup) / max(1, steps - warmup)
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, along))))


class Stage(ABC):
    """The training of one model. A subclass gives the loss and the learning rate of each step."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        steps: int,
        modules: dict[str, torch.nn.Module],
        optimizer: torch.optim.Optimizer,
        deadline: float,
        first: int = 0,
    ) -> None:
        """Nothing is trained or loaded yet.

        Args:
            name: of the checkpoint and the log.
            settings: of the recipe.
            steps: number of steps.
            modules: all that is saved, by name.
            optimizer: of what is trained.
            deadline: time.time() after which training stops, to be continued later.
            first: the first step if there is no checkpoint: the steps of a shipped model.
        """
        self.name, self.settings, self.steps, self.first = name, settings, steps, first
        self.modules, self.optimizer, self.deadline = modules, optimizer, deadline
        self.seconds_spent = 0.0

    @abstractmethod
    def loss(self, step: int) -> tuple[torch.Tensor, dict[str, float]]:
        """The loss of a step, and numbers to log."""

    @abstractmethod
    def rate(self, step: int) -> float:
        """The learning rate of a step."""

    def after(self, done: int) -> dict[str, float]:  # noqa: ARG002
        """What happens after so many steps; returns numbers to log."""
        return {}

    @property
    def log(self) -> Path:
        """The file with a row for each logged step."""
        return log_file(self.settings.work, self.name)

    @property
    def checkpoint(self) -> Path:
        """The file that keeps the stage's state."""
        return self.settings.work / f"{self.name}.pt"

    @final
    def train(self) -> bool:
        """Run from the checkpoint to the last step, or to the deadline. True if it is complete.

        Raises:
            RuntimeError: a loss is not finite.
        """
        first = self._resume()
        if time.time() > self.deadline:
            return first >= self.steps
        begun = saved = last = time.time()
        cpu = SharedCpu(torch.get_num_threads())
        for step in range(first, self.steps):
            cpu.adapt()
            loss, numbers = self._step(step)
            done = step + 1
            more = self.after(done)
            now = time.time()
            self.seconds_spent += now - last
            last = now
            is_last, is_late = done == self.steps, now > self.deadline
            if done % self.settings.log_every == 0 or more or is_last:
                self._log(done, {"loss": loss, **numbers, **more}, (now - begun) / (done - first))
            if is_last or is_late or now - saved > self.settings.save_every_seconds:
                self._save(done)
                saved = now
            if is_late and not is_last:
                return False
        return True

    def _step(self, step: int) -> tuple[float, dict[str, float]]:
        """Forward, backward, clip, update; returns the loss and the numbers to log."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(step)
        loss, numbers = self.loss(step)
        if not torch.isfinite(loss):
            raise RuntimeError(
                f"{self.name}: the loss of step {step} is not finite; the last "
                f"good state is in {self.checkpoint}"
            )
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        torch.nn.utils.clip_grad_norm_(parameters, MAX_GRAD_NORM)
        self.optimizer.step()
        return float(loss.detach()), numbers

    def _log(self, done: int, numbers: dict[str, float], seconds_per_step: float) -> None:
        """Write a row to the log, and print it."""
        row = {"step": done, "seconds": round(self.seconds_spent, 1), **numbers}
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        text = " ".join(f"{name} {value:.4f}" for name, value in numbers.items())
        minutes = seconds_per_step * (self.steps - done) / 60
        say(
            self.name,
            f"{done}/{self.steps} {text} | {seconds_per_step:.2f} s/step, {minutes:.0f} min left, "
            f"{torch.get_num_threads()} threads",
        )

    def _save(self, done: int) -> None:
        """Keep everything that the next steps depend on."""
        state: dict[str, Any] = {name: m.state_dict() for name, m in self.modules.items()}
        state |= {
            "optimizer": self.optimizer.state_dict(),
            "step": done,
            "seconds": self.seconds_spent,
        }
        checkpoint.save(self.checkpoint, state)

    def _resume(self) -> int:
        """Load the checkpoint, if there is one; returns the first step to run."""
        state = checkpoint.load(self.checkpoint)
        if state is None:
            rows = read_log(self.log)
            self.seconds_spent = rows[-1]["seconds"] if self.first and rows else 0.0
            return self.first
        for name, module in self.modules.items():
            module.load_state_dict(state[name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.seconds_spent = float(state["seconds"])
        return int(state["step"])
