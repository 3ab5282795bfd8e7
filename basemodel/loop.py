"""One resumable training loop for every stage: schedule, step, log, checkpoint."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from basemodel import checkpoint
from basemodel.logs import read_log
from basemodel.threads import SharedCpu
from pseudoword.models.loading.devices import device


def keyed(*key: int) -> np.random.Generator:
    """A generator that depends on its key alone: a resumed run draws what an unbroken one does."""
    return np.random.default_rng(list(key))


def pick_device() -> torch.device:
    """A GPU when there is one, and nothing else is said."""
    found = device("auto")
    return found if found.type == "cuda" else torch.device("cpu")


def warm_cosine(step: int, steps: int, peak: float, warmup: int, floor: float = 0.02) -> float:
    """Linear warm-up, then a cosine down to floor x peak."""
    if step < warmup:
        return peak * (step + 1) / warmup
    along = (step - warmup) / max(1, steps - warmup)
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, along))))


@dataclass
class Stage:
    """What `train` needs to know about a stage.

    loss(step) runs the forward pass for a step and returns the loss and numbers to log.
    rate(step) is the learning rate. after(step) runs once a step is done.
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
    """The first step when there is no checkpoint: what a shipped model was trained for."""
    seconds_spent: float = 0.0
    deadline: float = math.inf
    """time.time() after which the loop saves and returns, to be continued later."""

    @property
    def checkpoint(self) -> Path:
        """Where the stage's state is kept."""
        return self.folder / f"{self.name}.pt"

    def save(self, step: int) -> None:
        """Everything needed to go on from `step` as if nothing had happened."""
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
            rows = read_log(self.folder / f"{self.name}.jsonl")
            self.seconds_spent = rows[-1]["seconds"] if self.first and rows else 0.0
            return self.first
        for name, module in self.modules.items():
            module.load_state_dict(state[name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.seconds_spent = float(state["seconds"])
        return int(state["step"])


def say(stage: str, text: str) -> None:
    """One line with the time, for a terminal and a log alike."""
    print(f"{time.strftime('%H:%M:%S')} [{stage}] {text}", flush=True)


def train(stage: Stage) -> bool:
    """Run a stage to its last step, or to the deadline. True when it's complete."""
    first = stage.resume()
    if time.time() > stage.deadline:
        return first >= stage.steps
    log = stage.folder / f"{stage.name}.jsonl"
    stage.folder.mkdir(parents=True, exist_ok=True)
    parameters = [p for group in stage.optimizer.param_groups for p in group["params"]]
    begun = saved = time.time()
    last = begun
    total = 0.0
    cpu = SharedCpu(torch.get_num_threads())
    for step in range(first, stage.steps):
        cpu.adapt()
        for group in stage.optimizer.param_groups:
            group["lr"] = stage.rate(step) * group.get("scale", 1.0)
        loss, numbers = stage.loss(step)
        if not torch.isfinite(loss):
            raise RuntimeError(
                f"{stage.name}: the loss of step {step} is not finite; the last "
                f"good state is in {stage.checkpoint}"
            )
        stage.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(parameters, stage.clip)
        stage.optimizer.step()
        more = stage.after(step + 1)
        total += float(loss.detach())
        now = time.time()
        stage.seconds_spent += now - last
        last = now
        done = step + 1
        if done % stage.log_every == 0 or more or done == stage.steps:
            pace = (now - begun) / (done - first)
            row = {
                "step": done,
                "seconds": round(stage.seconds_spent, 1),
                "loss": float(loss.detach()),
                **numbers,
                **(more or {}),
            }
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            hidden = ("step", "seconds")
            shown = " ".join(f"{k} {v:.4f}" for k, v in row.items() if k not in hidden)
            left = pace * (stage.steps - done)
            pace_text = f"{pace:.2f} s/step, {left / 60:.0f} min left"
            pace_text += f", {torch.get_num_threads()} threads"
            say(stage.name, f"{done}/{stage.steps} {shown} | {pace_text}")
        if done == stage.steps or now - saved > stage.save_every_seconds or now > stage.deadline:
            stage.save(done)
            saved = now
        if now > stage.deadline and done < stage.steps:
            return False
    return True
