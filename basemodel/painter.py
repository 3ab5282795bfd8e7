"""Scenes into pixels, by several processes when a GPU would otherwise wait for them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from basemodel.pictures import Artwork
from basemodel.scenes import Scene, paint

_ART: Artwork | None = None
"""In a painting process: the artwork, given once instead of with every scene."""


def _hold(art: Artwork) -> None:
    global _ART
    _ART = art


def _paint(scene: Scene) -> np.ndarray:
    assert _ART is not None
    return paint(scene, _ART)


class Painter:
    """Paints scenes from one artwork; `workers` of 0 paints in this process."""

    def __init__(self, art: Artwork, workers: int) -> None:
        self.art, self.workers = art, workers
        self._pool: ProcessPoolExecutor | None = None
        if workers:
            # Fresh processes: a forked copy of one that uses threads or a GPU may hang.
            self._pool = ProcessPoolExecutor(
                workers, multiprocessing.get_context("spawn"), _hold, (art,)
            )

    def __call__(self, scenes: Sequence[Scene]) -> np.ndarray:
        """Pixels [N,64,64,3] uint8."""
        if self._pool is None:
            return np.stack([paint(scene, self.art) for scene in scenes])
        chunk = max(1, -(-len(scenes) // (2 * self.workers)))
        return np.stack(list(self._pool.map(_paint, scenes, chunksize=chunk)))

    def __enter__(self) -> Painter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()
