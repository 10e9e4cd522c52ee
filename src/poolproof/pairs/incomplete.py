"""Pairs of the classical and the robust test with missing values: each on the samples that it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._arrays import add
from .design import Design
from .masked_growth import lower_incomplete
from .masked_kernels import mask_pairs, masked_moments
from .masked_quick import COMPILED_FROM, DESIGNS_BYTES, Designs, compiled, quick_level
from .outcome import NullLaw, Outcome
from .score_kernels import Targets

AT_ONCE = 512
"""Targets with missing values that are done together."""


class Incomplete:
    """Redoes pairs of a screen.

    Parameters
    ----------
    targets, design, test, k
        Of the engine.
    combine
        Adds up the moments of levels: moments, columns, whether targets vary, samples, True, and what looks
        at robust scores again.
    """

    def __init__(
        self, targets: Targets, design: Design, test: str, k: int, combine: Callable[..., Outcome]
    ) -> None:
        self._targets = targets
        self._levels = design.levels
        self._test = test
        self._k = k
        self._combine = combine
        self._replicates = design.n_clusters > 0
        self._asks_twice = test == "robust" or self._replicates
        large = targets.n_genes**2 * len(targets.rows) >= COMPILED_FROM and targets.missing.any()
        self._quick = large and test == "robust" and not self._replicates and compiled() is not None
        self._designs = Designs(int(DESIGNS_BYTES / (8 * len(targets.rows) * k * (k + 4))))

    def alone(self, regulators: np.ndarray, genes: np.ndarray, wanted: np.ndarray) -> Outcome:
        """Test pairs that are wanted, ``(R, m)``, and nothing else."""
        zeros = [np.zeros(wanted.shape) for _ in range(6)]
        bend, association = NullLaw(zeros[0], None), NullLaw(zeros[1], None)
        n, no = np.zeros(wanted.shape, dtype=np.int64), np.zeros(wanted.shape, dtype=bool)
        r2_linear, gain, upper, statistic = zeros[2:]
        result = Outcome(
            r2_linear, gain, upper, bend, association, statistic, n=n, tested=no, doubt=wanted.copy()
        )
        self.fill(result, regulators, genes, wanted)
        return result

    def fill(
        self, result: Outcome, regulators: np.ndarray, genes: np.ndarray, incomplete: np.ndarray
    ) -> None:
        """Redo pairs with missing values on their complete samples."""
        shape = result.gain.shape
        result.n = np.broadcast_to(result.n, shape).copy()
        result.tested = np.broadcast_to(result.tested, shape).copy()
        result.bend = NullLaw(result.bend.minus_log_p().copy(), None)
        result.association = NullLaw(result.association.minus_log_p().copy(), None)
        wanted = np.flatnonzero(incomplete.any(axis=0))
        for low in range(0, len(wanted), AT_ONCE):
            chunk = wanted[low : low + AT_ONCE]
            y, present = self._targets.known_values(genes[chunk])
            left = incomplete[:, chunk]
            if self._quick:
                some = np.flatnonzero(left.any(axis=1))
                filled, sure = self._block(regulators[some], y, present, left[some])
                within, columns = np.nonzero(left[some] & sure)
                _put(result, (some[within], chunk[columns]), filled, (within, columns))
                left[some] &= ~sure
            for r in np.flatnonzero(left.any(axis=1)):
                mine = np.flatnonzero(left[r])
                filled = self._row(int(regulators[r]), y[mine], present[mine])
                _put(result, (r, chunk[mine]), filled, (0, slice(None)))

    def _block(
        self, regulators: np.ndarray, y: np.ndarray, present: np.ndarray, wanted: np.ndarray
    ) -> tuple[Outcome, np.ndarray]:
        """Pairs that are wanted, ``(R, m)``, by compiled loops, and where these are sure of the answer."""
        x = np.ascontiguousarray(self._targets.raw(regulators).T)
        found = [
            quick_level(
                self._designs.of(regulators, index, x[:, rows], level, self._k),
                y[:, rows],
                present[:, rows],
                wanted,
                level.covariates.shape[1],
                self._k,
            )
            for index, (level, rows) in enumerate(zip(self._levels, self._targets.slices, strict=True))
        ]
        whole = np.sqrt(add(of.norm**2 for of in found))
        size = np.abs(y).max(axis=1)
        varies = []
        for of in found:
            of.moments.rescale(of.norm / np.where(whole > 0, whole, 1.0))
            enough = of.n >= of.n_columns[:, None] + 5
            varies.append((of.norm > 1e-9 * size * np.sqrt(np.maximum(of.n, 1))) & enough)
        columns = np.stack([of.n_columns for of in found])[:, :, None]

        def ask(level: int, value: np.ndarray, _: np.ndarray | None) -> None:
            found[level].lower(value, wanted)

        moments = [of.moments for of in found]
        result = self._combine(moments, columns, np.array(varies), add(of.n for of in found), True, ask=ask)
        return result, np.logical_and.reduce([of.sure for of in found])

    def _row(self, regulator: int, y: np.ndarray, present: np.ndarray) -> Outcome:
        x = self._targets.raw(np.array([regulator]))[:, 0]
        masked = [
            mask_pairs(x[rows], y[:, rows], present[:, rows], level, self._k)
            for level, rows in zip(self._levels, self._targets.slices, strict=True)
        ]
        parts = [
            masked_moments(of, level, test=self._test) for of, level in zip(masked, self._levels, strict=True)
        ]
        whole = np.sqrt(add(of.norm**2 for of in masked))
        size = np.abs(y).max(axis=1)
        levels, varies = [], []
        n = np.zeros(len(y), dtype=np.int64)
        for (moments, n_level), of in zip(parts, masked, strict=True):
            scale = of.norm / np.where(whole > 0, whole, 1.0)
            moments.rescale(scale[None])
            levels.append(moments)
            enough = n_level >= of.n_columns + 5
            varies.append((of.norm > 1e-9 * size * np.sqrt(np.maximum(n_level, 1))) & enough)
            n = n + n_level
        columns = np.array([[[of.n_columns]] for of in masked])

        def ask(level: int, value: np.ndarray, _: np.ndarray | None) -> None:
            rows = self._targets.slices[level]
            lower_incomplete(value[0], x[rows], masked[level], replicates=self._replicates)

        asked = ask if self._asks_twice else None
        return self._combine(levels, columns, np.array(varies)[:, None], n[None], True, ask=asked)


def _put(result: Outcome, into: tuple[Any, Any], filled: Outcome, of: tuple[Any, Any]) -> None:
    """Put some pairs of one outcome into another, whose laws are -ln p."""
    shape = filled.gain.shape
    for name in ("r2_linear", "gain", "share_upper", "statistic", "n", "tested"):
        getattr(result, name)[into] = np.broadcast_to(getattr(filled, name), shape)[of]
    for name in ("bend", "association"):
        getattr(result, name).value[into] = getattr(filled, name).minus_log_p()[of]
