"""Random numbers that depend on a key alone, so that a resumed run has the same ones."""

from __future__ import annotations

import numpy as np


def keyed(*key: int) -> np.random.Generator:
    """A generator for a key, such as (seed, stage, step)."""
    return np.random.default_rng(list(key))
