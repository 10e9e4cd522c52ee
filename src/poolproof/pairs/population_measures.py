"""How bend and line of blocks of pairs are measured with an engine: on values, or on counts.

A measure knows the *axis* of an analysis: the independent units that intervals are made from, which are the
samples, level by level, or the replicates.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from .. import _names as names
from .._arrays import as_slice
from .count_engine import CountTest
from .design import Level
from .masked_kernels import mask_pairs, masked_sums
from .outcome import Engine
from .population_counts import (
    CountColumns,
    UnitTargets,
    count_columns,
    count_sums,
    count_target_influences,
)
from .population_kernels import (
    LevelSums,
    ScoreColumns,
    score_columns,
    score_sums,
    score_target_influences,
)
from .score_engine import ScoreTest

MISSING_AT_ONCE = 512
"""Targets with missing values that are done together."""


class Axis:
    """The independent units of an analysis: samples in the order of the levels, or replicates."""

    def __init__(self, levels: tuple[Level, ...], n_clusters: int) -> None:
        self.levels = levels
        self.clustered = n_clusters > 0
        edges = np.cumsum([0, *(len(level.rows) for level in levels)])
        self.slices = [slice(int(a), int(b)) for a, b in pairwise(edges)]
        self.size = max(level.n_clusters for level in levels) if self.clustered else int(edges[-1])

    def place(self, of_level: list[np.ndarray]) -> np.ndarray:
        """Influences of every level on the whole axis; the last axis of each is that of its level."""
        total = np.zeros((*of_level[0].shape[:-1], self.size))
        for values, rows in zip(of_level, self.slices, strict=True):
            total[..., slice(values.shape[-1]) if self.clustered else rows] += values
        return total

    def gather(self, squares: np.ndarray) -> np.ndarray:
        """Sums over the samples of each unit; ``squares`` has samples last."""
        if not self.clustered:
            return squares
        codes = np.concatenate([np.asarray(level.clusters) for level in self.levels])
        member = (codes[:, None] == np.arange(self.size)).astype(squares.dtype)
        return np.asarray(squares @ member)


class Measure(Protocol):
    """Bend and line of blocks of pairs."""

    axis: Axis
    levels: tuple[Level, ...]
    regulator_ok: np.ndarray
    """Genes whose bends can be measured in some level, as far as known beforehand, shape ``(n_genes,)``."""
    target_ok: np.ndarray
    """Genes that vary, shape ``(n_genes,)``."""

    def columns(self, regulators: np.ndarray) -> Any:
        """Columns of a block of regulators."""

    def targets(self, genes: np.ndarray) -> Any:
        """A block of targets."""

    def squares(self, targets: Any) -> np.ndarray:
        """Squares of the targets' values, summed over each unit of the axis, ``(m, axis)``; rows sum to 1."""

    def counted(self, columns: Any, targets: Any) -> np.ndarray:
        """Pairs whose bend can be measured in some level, ``(R, m)``, bool."""

    def sums(self, columns: Any, targets: Any, weights: list[np.ndarray]) -> list[LevelSums]:
        """Sums of every level."""

    def target_influences(
        self, columns: Any, targets: Any, counted: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Influences of the axis's units on sums over regulators, each ``(m, axis)``, norm left out."""


class ScoreMeasure:
    """On values: splines, HC2 variances."""

    def __init__(self, engine: ScoreTest, dtype: type) -> None:
        self._engine, self._dtype = engine, dtype
        self.levels = engine.levels
        self.axis = Axis(engine.levels, engine.design.n_clusters)
        self.regulator_ok = engine.regulator_status == names.OK
        self.target_ok = engine.target_status == names.OK
        self._missing = engine.targets.missing

    def columns(self, regulators: np.ndarray) -> tuple[np.ndarray, list[ScoreColumns]]:
        """Bases of the regulators in every level; those with missing values have none here."""
        values = self._engine.targets.raw(regulators)
        values = np.where(np.isnan(values).any(axis=0), 0.0, values)
        parts = zip(self.levels, self._engine.targets.slices, strict=True)
        k = self._engine.k
        return regulators, [score_columns(values[rows], level, k, self._dtype) for level, rows in parts]

    def targets(self, genes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Their scaled values."""
        return genes, self._engine.targets.block(as_slice(genes), self._dtype)

    def squares(self, targets: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """See :class:`Measure`."""
        return self.axis.gather(targets[1] ** 2)

    def counted(
        self, columns: tuple[np.ndarray, list[ScoreColumns]], targets: tuple[np.ndarray, np.ndarray]
    ) -> np.ndarray:
        """See :class:`Measure`."""
        regulators, of_level = columns
        genes, _ = targets
        usable = np.stack([of.usable for of in of_level])[:, :, None]
        varies = self._engine.targets.varies[:, genes][:, None]
        incomplete = self._incomplete(regulators, genes)
        return np.asarray((usable & varies).any(axis=0) | incomplete) & (regulators[:, None] != genes)

    def _incomplete(self, regulators: np.ndarray, genes: np.ndarray) -> np.ndarray:
        return np.asarray(self._missing[genes] | self._missing[regulators][:, None])

    def sums(
        self,
        columns: tuple[np.ndarray, list[ScoreColumns]],
        targets: tuple[np.ndarray, np.ndarray],
        weights: list[np.ndarray],
    ) -> list[LevelSums]:
        """See :class:`Measure`."""
        (regulators, of_level), (genes, y) = columns, targets
        incomplete = self._incomplete(regulators, genes)
        complete = [np.where(incomplete, 0.0, weight) for weight in weights] if incomplete.any() else weights
        parts = zip(of_level, self.levels, self._engine.targets.slices, strict=True)
        found = [score_sums(of, y[:, rows], level, complete) for of, level, rows in parts]
        if incomplete.any():
            wanted = np.flatnonzero(incomplete.any(axis=0))
            for low in range(0, len(wanted), MISSING_AT_ONCE):
                at = wanted[low : low + MISSING_AT_ONCE]
                y_raw, present = self._engine.targets.known_values(genes[at])
                for row in np.flatnonzero(incomplete[:, at].any(axis=1)):
                    mine = np.flatnonzero(incomplete[row, at])
                    held = y_raw[mine], present[mine]
                    self._fill(found, int(regulators[row]), int(row), at[mine], held, weights)
        return found

    def _fill(
        self,
        found: list[LevelSums],
        regulator: int,
        row: int,
        at: np.ndarray,
        held: tuple[np.ndarray, np.ndarray],
        weights: list[np.ndarray],
    ) -> None:
        """Redo pairs with missing values on the samples that they have; ``held``: values, and where known."""
        values = self._engine.targets
        x = values.raw(np.array([regulator]))[:, 0]
        y, present = held
        parts = [
            mask_pairs(x[rows], y[:, rows], present[:, rows], level, self._engine.k)
            for level, rows in zip(self.levels, values.slices, strict=True)
        ]
        whole = np.sqrt(sum(part.norm**2 for part in parts))
        for part, level, sums in zip(parts, self.levels, found, strict=True):
            usable = (part.n_columns > 1) & (part.mask.sum(axis=1) >= part.n_columns + 5)
            scale = np.where(usable & (whole > 0), part.norm / np.where(whole > 0, whole, 1.0), 0.0)
            clusters = None if level.clusters is None else level.clusters[part.known]
            bend, line, by_bend, by_line = masked_sums(part, scale, clusters, level.n_clusters)
            sums.bend[row, at], sums.line[row, at] = bend, line
            places = part.known if clusters is None else slice(None)
            for weight, own in zip(weights, sums.own, strict=True):
                for total, of in zip(own, (by_bend, by_line), strict=True):
                    total[row, places] += weight[row, at] @ of

    def target_influences(
        self,
        columns: tuple[np.ndarray, list[ScoreColumns]],
        targets: tuple[np.ndarray, np.ndarray],
        counted: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`Measure`; missing values count as the mean."""
        of_level, y = columns[1], targets[1]
        parts = [
            score_target_influences(of, y[:, rows], level, counted)
            for of, level, rows in zip(of_level, self.levels, self._engine.targets.slices, strict=True)
        ]
        bend, line = (self.axis.gather(np.concatenate(kind, axis=1)) for kind in zip(*parts, strict=True))
        return bend, line


class CountMeasure:
    """On counts: factorial moments."""

    def __init__(self, engine: CountTest, dtype: type) -> None:
        self._engine, self._dtype = engine, dtype
        self.levels = engine.levels
        self.axis = Axis(engine.levels, engine.design.n_clusters)
        self.regulator_ok = engine.regulator_status == names.OK
        self.target_ok = engine.target_status == names.OK

    def columns(self, regulators: np.ndarray) -> tuple[np.ndarray, list[CountColumns]]:
        """Factorial moments of the regulators in every level."""
        engine = self._engine
        return regulators, [
            count_columns(
                engine.counts_of(regulators, level),
                depth,
                level,
                self._dtype,
                overdispersion=engine.overdispersion,
            )
            for level, depth in zip(self.levels, engine.depth, strict=True)
        ]

    def targets(self, genes: np.ndarray) -> tuple[np.ndarray, list[UnitTargets]]:
        """Their observed fractions, scaled to unit norm over all levels."""
        blocks = self._engine.target_blocks(genes, self._dtype)
        norm = np.sqrt(sum(np.einsum("mn,mn->m", b.centred, b.centred).astype(np.float64) for b in blocks))
        return genes, [UnitTargets.of(b, level, norm) for b, level in zip(blocks, self.levels, strict=True)]

    def squares(self, targets: tuple[np.ndarray, list[UnitTargets]]) -> np.ndarray:
        """See :class:`Measure`."""
        return self.axis.gather(np.concatenate([of.y**2 for of in targets[1]], axis=1))

    def counted(
        self, columns: tuple[np.ndarray, list[CountColumns]], targets: tuple[np.ndarray, list[UnitTargets]]
    ) -> np.ndarray:
        """See :class:`Measure`."""
        (regulators, of_level), (genes, blocks) = columns, targets
        pairs = [of.usable[:, None] & block.usable for of, block in zip(of_level, blocks, strict=True)]
        return np.any(pairs, axis=0) & (regulators[:, None] != genes)

    def sums(
        self,
        columns: tuple[np.ndarray, list[CountColumns]],
        targets: tuple[np.ndarray, list[UnitTargets]],
        weights: list[np.ndarray],
    ) -> list[LevelSums]:
        """See :class:`Measure`."""
        parts = zip(columns[1], targets[1], self.levels, strict=True)
        return [count_sums(of, block, level, weights) for of, block, level in parts]

    def target_influences(
        self,
        columns: tuple[np.ndarray, list[CountColumns]],
        targets: tuple[np.ndarray, list[UnitTargets]],
        counted: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`Measure`."""
        parts = [
            count_target_influences(of, block, level, counted)
            for of, block, level in zip(columns[1], targets[1], self.levels, strict=True)
        ]
        bend, line = (self.axis.gather(np.concatenate(kind, axis=1)) for kind in zip(*parts, strict=True))
        return bend, line


def measure_of(engine: Engine, dtype: type) -> ScoreMeasure | CountMeasure:
    """The measure that fits an engine."""
    if isinstance(engine, CountTest):
        return CountMeasure(engine, dtype)
    if isinstance(engine, ScoreTest):
        return ScoreMeasure(engine, dtype)
    raise TypeError(f"no bend share of {type(engine).__name__}")
