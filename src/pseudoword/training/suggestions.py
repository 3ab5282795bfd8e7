"""Vectors and steps for a number of pictures: for `prepare` and `--vectors auto`."""

from pseudoword.config.optimisation import OptimiserSettings

FEW_PICTURES = 9
FEW_VECTORS, MOST_VECTORS = 3, 4
"""Vectors for few pictures, and for more. From five pictures, three learn more than one."""

USES_PER_PICTURE, FEWEST_STEPS = 100, 100
"""Number of times that each picture is used, and the smallest number of steps."""


def vectors(pictures: int) -> int:
    """Number of vectors. An initial text of several tokens may need more."""
    return FEW_VECTORS if pictures <= FEW_PICTURES else MOST_VECTORS


def steps(pictures: int) -> int:
    """Number of steps with the default batch size; no more than `--steps auto` takes."""
    usual = OptimiserSettings()
    each_used = -(-USES_PER_PICTURE * pictures // usual.batch)
    return min(max(FEWEST_STEPS, each_used), usual.max_steps)
