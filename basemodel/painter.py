"""Turns scenes into pixels, in several processes if a GPU would have to wait otherwise."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from basemodel.drawings import Drawings
from basemodel.scenes import Scene, paint

_DRAWINGS: Drawings | None = None
"""In a painting process: the drawings, sent once instead of with every scene."""


def _keep(drawings: Drawings) -> None:
    global _DRAWINGS
    _DRAWINGS = drawings


def _paint(scene: Scene) -> np.ndarray:
    assert _DRAWINGS is not None
    return paint(scene, _DRAWINGS)


class Painter:
    """Paints scenes of the same drawings, in `workers` processes; with 0, in this process."""

    def __init__(self, drawings: Drawings, workers: int) -> None:
        self.drawings, self.workers = drawings, workers
        self._pool: ProcessPoolExecutor | None = None
        if workers:
            # New processes: the forked copy of a process that uses threads or a GPU may hang.
            self._pool = ProcessPoolExecutor(
                workers, multiprocessing.get_context("spawn"), _keep, (drawings,)
            )

    def __call__(self, scenes: Sequence[Scene]) -> np.ndarray:
        """Pixels [N,64,64,3] uint8."""
        if self._pool is None:
            return np.stack([paint(scene, self.drawings) for scene in scenes])
        chunk = max(1, -(-len(scenes) // (2 * self.workers)))
        return np.stack(list(self._pool.map(_paint, scenes, chunksize=chunk)))

    def __enter__(self) -> Painter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()
