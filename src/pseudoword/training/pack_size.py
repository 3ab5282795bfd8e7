"""How many words are learned at once: as many as pay, and as memory has room for."""

from pseudoword.config import PlanConfig, TrainConfig
from pseudoword.models.compute.device_memory import room_nbytes
from pseudoword.models.family import Family
from pseudoword.training.memory_plan import plan_memory

MOST = 16
"""More words at once hardly shorten the step of each (`benchmarks/pack.py`)."""

SHARE = 0.8
"""The share of memory that training may take. Previews and other programs have the rest."""

SMALL_PX = 1 << 19
"""Samples with fewer pixels together fit everywhere: computing it would take longer than a step."""


def words_at_once(family: Family, config: TrainConfig, side_px: int) -> int:
    """How many words with such settings to learn at once, from 1 to `MOST`.

    Their pictures have as many pixels as squares of `side_px`.
    """
    have = room_nbytes(family.device)
    if have is None or MOST * config.batch * side_px**2 <= SMALL_PX:
        return MOST
    plan = plan_memory(PlanConfig.of(config, resolution=side_px))
    need = plan.need(config.quantize, config.gradient_checkpointing, offload=config.offload)
    # what a step needs grows with its samples, and weights do not
    room = SHARE * have - (need.nbytes - need.step_nbytes)
    return int(min(max(room // max(need.step_nbytes, 1), 1), MOST))
