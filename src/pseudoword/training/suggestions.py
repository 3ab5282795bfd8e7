"""What suits so many pictures: what `prepare` suggests is what `--vectors auto` takes."""

from pseudoword.config.optimisation import OptimiserSettings

FEW_PICTURES = 9
FEW_VECTORS, MOST_VECTORS = 3, 4
"""For few pictures, and for more: of five, three vectors learn more than one does."""

LOOKS, FEWEST_STEPS = 100, 100
"""How often each picture is to be seen, and how many steps there are at least."""


def vectors(pictures: int) -> int:
    """How many vectors; a starting text of several tokens may want more."""
    return FEW_VECTORS if pictures <= FEW_PICTURES else MOST_VECTORS


def steps(pictures: int) -> int:
    """How many steps at the default batch."""
    return max(FEWEST_STEPS, -(-LOOKS * pictures // OptimiserSettings().batch))
