"""One training loop for all stages: rate, step, log, checkpoint. It resumes bit for bit."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from basemodel import checkpoint
from basemodel.logs import log_file, read_log, say
from basemodel.threads import SharedCpu


def warm_cosine(step: int, steps: int, peak: float, warmup: int, floor: float = 0.02) -> float:
    """Linear warm-up, then a cosine down to floor x peak."""
    if step < warmup:
        return peak * (step + 1) / warmup
    along = (step - warmup) / max(1, steps - warmup)
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, along))))


@dataclass
class Stage:
    """What `train` needs to know about a stage.

    Attributes:
        name: of its checkpoint and its log.
        folder: where they are kept.
        modules: all that is saved, by name.
        loss: step -> the loss, and numbers to log; it runs the forward pass.
        rate: step -> the learning rate.
        after: number of finished steps -> numbers to log, if any.
        first: the first step if there is no checkpoint: the steps of a shipped model.
        deadline: time.time() after which the loop saves and returns, to be continued later.
    """

    name: str
    folder: Path
    modules: dict[str, torch.nn.Module]
    optimizer: torch.optim.Optimizer
    steps: int
    loss: Callable[[int], tuple[torch.Tensor, dict[str, float]]]
    rate: Callable[[int], float]
    after: Callable[[int], dict[str, float] | None] = lambda _: None
    save_every_seconds: float = 120.0
    log_every: int = 50
    clip: float = 1.0
    first: int = 0
    seconds_spent: float = 0.0
    deadline: float = math.inf

    @property
    def log(self) -> Path:
        """The file with a row for each logged step."""
        return log_file(self.folder, self.name)

    @property
    def checkpoint(self) -> Path:
        """The file that keeps the stage's state."""
        return self.folder / f"{self.name}.pt"

    def save(self, step: int) -> None:
        """Keep everything that the next steps depend on."""
        state: dict[str, Any] = {name: m.state_dict() for name, m in self.modules.items()}
        state |= {
            "optimizer": self.optimizer.state_dict(),
            "step": step,
            "seconds": self.seconds_spent,
        }
        checkpoint.save(self.checkpoint, state)

    def resume(self) -> int:
        """Load the checkpoint, if any; returns the first step to run."""
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


def train(stage: Stage) -> bool:
    """Run a stage to its last step, or to the deadline. True if it is complete.

    Raises:
        RuntimeError: a loss is not finite.
    """
    first = stage.resume()
    if time.time() > stage.deadline:
        return first >= stage.steps
    stage.folder.mkdir(parents=True, exist_ok=True)
    begun = saved = last = time.time()
    cpu = SharedCpu(torch.get_num_threads())
    for step in range(first, stage.steps):
        cpu.adapt()
        loss, numbers = _train_step(stage, step)
        done = step + 1
        more = stage.after(done) or {}
        now = time.time()
        stage.seconds_spent += now - last
        last = now
        if done % stage.log_every == 0 or more or done == stage.steps:
            _log(stage, done, {"loss": loss, **numbers, **more}, (now - begun) / (done - first))
        if done == stage.steps or now - saved > stage.save_every_seconds or now > stage.deadline:
            stage.save(done)
            saved = now
        if now > stage.deadline and done < stage.steps:
            return False
    return True


def _train_step(stage: Stage, step: int) -> tuple[float, dict[str, float]]:
    """Forward, backward, clip, update; returns the loss and the numbers to log."""
    for group in stage.optimizer.param_groups:
        group["lr"] = stage.rate(step)
    loss, numbers = stage.loss(step)
    if not torch.isfinite(loss):
        raise RuntimeError(
            f"{stage.name}: the loss of step {step} is not finite; the last "
            f"good state is in {stage.checkpoint}"
        )
    stage.optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    parameters = [p for group in stage.optimizer.param_groups for p in group["params"]]
    torch.nn.utils.clip_grad_norm_(parameters, stage.clip)
    stage.optimizer.step()
    return float(loss.detach()), numbers


def _log(stage: Stage, done: int, numbers: dict[str, float], seconds_per_step: float) -> None:
    """Write a row to the log, and print it."""
    row = {"step": done, "seconds": round(stage.seconds_spent, 1), **numbers}
    with stage.log.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    text = " ".join(f"{name} {value:.4f}" for name, value in numbers.items())
    minutes = seconds_per_step * (stage.steps - done) / 60
    threads = torch.get_num_threads()
    say(
        stage.name,
        f"{done}/{stage.steps} {text} | {seconds_per_step:.2f} s/step, {minutes:.0f} min left, "
        f"{threads} threads",
    )
