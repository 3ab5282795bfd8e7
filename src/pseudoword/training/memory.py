"""Refuse unusually large pictures and batches that cannot fit into memory, before long work."""

import math
from collections.abc import Callable

from pseudoword.config import BaseChoice, PlanConfig, TrainConfig
from pseudoword.errors import SettingsError
from pseudoword.models.compute.device_memory import memory_nbytes
from pseudoword.models.family import Family
from pseudoword.training.memory_plan import Plan, plan_memory

ORDINARY, ORDINARY_PX = 32, 1 << 22
"""Up to this many times the pixels of the model's own size, or this many in all, nothing is
checked: the check itself takes a while."""


def check_training(
    family: Family,
    config: TrainConfig,
    size: tuple[int, int],
    words: int,
) -> None:
    """Check that a step of so many `words`, with pictures of `size` (width, height), can fit.

    Raises:
        SettingsError: it needs more memory than there is, by what `plan` says.
    """
    samples = config.batch * words
    drawn = samples * config.accumulate  # noise is made for all batches of a step at once
    asked = f"{samples} samples a step of {size[0]} x {size[1]} pixels"
    if config.accumulate > 1:
        asked += f", drawn for {config.accumulate} batches at once,"

    def need(plan: Plan) -> int:
        step = plan.need(config.quantize, config.gradient_checkpointing, offload=config.offload)
        noise_nbytes = drawn * size[0] * size[1] // 2  # two floats for each number
        encoding = plan.picture(config.quantize, offload=config.offload).encode_nbytes
        return max(encoding, step.nbytes + noise_nbytes)

    _check(family, config, size, drawn, samples, asked, need)


def check_drawing(family: Family, choice: BaseChoice, size: tuple[int, int]) -> None:
    """Check that drawing a picture of `size` (width, height) can fit into memory.

    Raises:
        SettingsError: it needs more memory than there is, by what `plan` says.
    """
    asked = f"a picture of {size[0]} x {size[1]} pixels"
    away = family.placement.offload_blocks

    def need(plan: Plan) -> int:
        return plan.picture(choice.quantize, offload=away).draw_nbytes

    _check(family, choice, size, 1, 1, asked, need)


def _check(
    family: Family,
    choice: BaseChoice,
    size: tuple[int, int],
    pictures: int,
    batch: int,
    asked: str,
    need: Callable[[Plan], int],
) -> None:
    """Check that what is `asked` for fits, if it is for more than `ORDINARY` pixels."""
    have = memory_nbytes(family.device)
    ordinary = max(ORDINARY * family.resolution**2, ORDINARY_PX)
    if have is None or size[0] * size[1] * pictures <= ordinary:
        return
    step = family.resolution_step
    side = max(1, round(math.sqrt(size[0] * size[1]) / step)) * step
    nbytes = need(plan_memory(PlanConfig.of(choice, resolution=side, batch=batch)))
    if nbytes > have:
        raise SettingsError(
            f"{asked} needs {nbytes / 2**30:,.0f} GiB, and {family.device} has "
            f"{have / 2**30:,.0f}. Give a smaller size or batch; `pseudoword plan` says what fits."
        )
