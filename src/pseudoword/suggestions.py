"""What suits so many pictures: what `prepare` suggests is what `--vectors auto` takes."""

from pseudoword.config.optimising import OptimiserSettings

VECTORS = ((9, 3),)
"""Up to so many pictures, so many vectors: of five, three learn more than one does."""
MOST_VECTORS = 4

LOOKS = 100
"""How often each picture is to be seen at least."""


def vectors(pictures: int) -> int:
    """How many vectors; a starting text of several tokens may want more."""
    return next((n for most, n in VECTORS if pictures <= most), MOST_VECTORS)


def steps(pictures: int) -> int:
    """How many steps at the default batch: the default's, or more where there is more to see."""
    usual = OptimiserSettings()
    assert isinstance(usual.steps, int)
    return max(usual.steps, -(-LOOKS * pictures // usual.batch))
