"""What a screen keeps from one pass to the next: features of regulators, and arrays of all pairs."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import Any

import numpy as np

from .outcome import Engine

BYTES_PER_PAIR = 7
"""Of the arrays that a screen holds of all pairs."""


class KeptFeatures:
    """Features of blocks of regulators, kept where all of them fit into memory."""

    def __init__(self, maker: Any, engine: Engine, regulators: np.ndarray, size: int, memory: float) -> None:
        self._maker, self._regulators, self._size = maker, regulators, size
        self._light = maker is not engine
        per_regulator = 8 * engine.n_samples * sum(engine.columns.values())
        self._keep = per_regulator * len(regulators) <= memory
        self._blocks: dict[int, Any] = {}

    def features(self, start: int) -> Any:
        """Features of the block that starts here."""
        block = self._blocks.get(start)
        if block is None:
            block = self._maker.features(self._regulators[start : start + self._size])
            if self._keep:
                self._blocks[start] = block.for_exact() if self._light else block
        return block

    def some(self, start: int, chosen: np.ndarray) -> Any:
        """Features of some regulators of the block that starts here."""
        if self._keep:
            return self.features(start).take(chosen)
        return self._maker.features(self._regulators[start : start + self._size][chosen])


class PairStore:
    """Pair arrays in memory, or in a temporary file where they would not fit."""

    def __init__(self, shape: tuple[int, int], memory: float) -> None:
        self.shape = shape
        self.on_disk = BYTES_PER_PAIR * shape[0] * shape[1] > memory

    def array(self, dtype: type) -> np.ndarray:
        """An array of zeros, one number a pair."""
        if not self.on_disk:
            return np.zeros(self.shape, dtype=dtype)
        with tempfile.TemporaryFile(prefix="poolproof-") as file:  # the mapping keeps it alive
            return np.memmap(file, dtype=dtype, mode="w+", shape=self.shape)


@dataclass(frozen=True, eq=False)
class PairCodes:
    """What is kept of every pair, each of shape ``(R, m)``."""

    bend: np.ndarray
    """Codes of the p-value of the bend, uint16."""
    association: np.ndarray
    """Those of the p-value of association."""
    strength: np.ndarray
    """Codes of r2_spline, uint16."""
    state: np.ndarray
    """``TESTED``, ``STRONG``, ``FLAT``; uint8."""

    @staticmethod
    def of(store: PairStore) -> PairCodes:
        """Nothing known yet."""
        return PairCodes(*(store.array(dtype) for dtype in (np.uint16, np.uint16, np.uint16, np.uint8)))
