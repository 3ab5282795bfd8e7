"""Refuse unusually large pictures and batches that cannot fit into memory, before long work."""

import math
from collections.abc import Callable
from typing import Any

from pseudoword.config import BaseChoice, PlanConfig
from pseudoword.config.method import MethodName
from pseudoword.errors import SettingsError
from pseudoword.models.device_memory import memory_nbytes
from pseudoword.models.family import Family
from pseudoword.training.memory_plan import Plan, plan_memory

ORDINARY, ORDINARY_PX = 32, 1 << 22
"""Up to this many times the pixels of the model's own size, or this many in all, nothing is
checked: the check itself takes a while."""


def check_training(
    family: Family,
    choice: BaseChoice,
    size: tuple[int, int],
    *,
    samples: int,
    accumulate: int = 1,
    checkpointing: bool = False,
    offload: bool = False,
    method: MethodName = "classic",
    output_embedding: bool = False,
) -> None:
    """Check that a step with `samples` pictures of `size` (width, height) can fit into memory.

    Raises:
        SettingsError: it needs more memory than there is, by what `plan` says.
    """
    asked = f"{samples} samples a step of {size[0]} x {size[1]} pixels"
    if accumulate > 1:
        asked += f", drawn for {accumulate} batches at once,"

    def need(plan: Plan) -> int:
        step = plan.need(choice.quantize, checkpointing, offload=offload)
        # Noise is made for all batches of a step at once: two floats for each number.
        drawn = samples * accumulate * size[0] * size[1] // 2
        return max(plan.encode_nbytes, step.nbytes + drawn)

    how = {"method": method, "output_embedding": output_embedding}
    _check(family, choice, size, samples * accumulate, samples, asked, need, **how)


def check_drawing(family: Family, choice: BaseChoice, size: tuple[int, int]) -> None:
    """Check that drawing a picture of `size` (width, height) can fit into memory.

    Raises:
        SettingsError: it needs more memory than there is, by what `plan` says.
    """
    asked = f"a picture of {size[0]} x {size[1]} pixels"
    _check(family, choice, size, 1, 1, asked, lambda plan: plan.draw_nbytes)


def _check(
    family: Family,
    choice: BaseChoice,
    size: tuple[int, int],
    pictures: int,
    batch: int,
    asked: str,
    need: Callable[[Plan], int],
    **how: Any,
) -> None:
    have = memory_nbytes(family.device)
    ordinary = max(ORDINARY * family.resolution**2, ORDINARY_PX)
    if have is None or size[0] * size[1] * pictures <= ordinary:
        return
    step = family.resolution_step
    side = max(1, round(math.sqrt(size[0] * size[1]) / step)) * step
    named = {name: getattr(choice, name) for name in BaseChoice.model_fields}
    config = PlanConfig.model_construct(**named, resolution=side, batch=batch, **how)
    nbytes = need(plan_memory(config))
    if nbytes > have:
        raise SettingsError(
            f"{asked} needs {nbytes / 2**30:,.0f} GiB, and {family.device} has "
            f"{have / 2**30:,.0f}. Give a smaller size or batch; `pseudoword plan` says what fits."
        )
