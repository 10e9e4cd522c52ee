"""The bend share of counts from blocks of cells: what ``population`` asks of a measure.

Sums and influences are those of ``population_pass`` and ``population_sets`` with ``population_counts``, in
float64. Groups of regulators are cut by the data alone, so that no bit depends on memory, threads or workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from .. import _names as names
from .intervals import variances
from .modules import MIN_RELIABILITY, modules_from
from .population_measures import Axis
from .population_pass import MAX_SAMPLED, Counted, Sums
from .stream_genes import StreamedGenes
from .stream_share_influence import (
    CellInfluences,
    Coefficients,
    NormInfluences,
    SetInfluences,
    TargetInfluences,
)
from .stream_share_products import BLOCK, Raw, ShareProducts
from .stream_share_terms import N_PRODUCTS, ShareGenes
from .workers import Runner

LARGEST = 2**28
"""Bytes of products of one group of regulators, where more than `BLOCK` of them fit."""
MOST = 32 * BLOCK
"""Regulators of a group at most."""

Result = TypeVar("Result")


class StreamedShare:
    """Bend and line of pairs of genes of cells that are read block by block.

    Parameters
    ----------
    engine
        The genes of all cells.
    regulators
        Genes that may be regulators.
    run
        Does tasks side by side.
    memory
        Bytes that products may take.
    """

    def __init__(self, engine: StreamedGenes, regulators: np.ndarray, run: Runner, memory: float) -> None:
        self.engine, self.run, self.memory = engine, run, memory / run.n_sharing
        self.n_samples = engine.n_samples
        self.levels = engine.levels
        self.axis = Axis(engine.levels, engine.design.n_clusters)
        self.regulator_ok = engine.regulator_status == names.OK
        self.target_ok = engine.target_status == names.OK
        self.genes = ShareGenes.of(engine, regulators)
        self._products = ShareProducts.of(engine, self.genes)
        self._place = np.full(engine.stream.blocks.n_cells, -1)
        self._place[np.concatenate([level.rows for level in engine.levels])] = np.arange(engine.n)

    def modules(self, genes: np.ndarray, least: float, chosen: np.ndarray) -> np.ndarray:
        """Clusters of genes; parameters as for :func:`~poolproof.pairs.modules.modules_of`."""
        weights = enumerate(self.engine.weight)
        true = sum(weight * self.engine.level_targets(i).variance for i, weight in weights)
        norm = self.engine.fractions.unit / self.genes.unit
        reliability = (np.asarray(true) * self.engine.n * norm**2)[genes]
        scale = 1 / np.sqrt(np.maximum(reliability, MIN_RELIABILITY))
        products = self._correlations(genes, genes[chosen]) * scale[:, None] * scale[chosen]
        return modules_from(lambda some: products[some], len(genes), least, chosen)

    def _correlations(self, genes: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Correlations inside strata, shape ``(len(genes), len(others))``."""
        result = np.zeros((len(genes), len(others)))
        for part in self._by_blocks(_Correlations(self.genes, genes, others)):
            result += part
        for level in self.genes.levels:
            for s in level.strata:
                size = self.engine.stream.sizes[s]
                result -= size * level.mean[int(s)][genes, None] * level.mean[int(s)][others]
        return result

    def _by_blocks(self, work: Callable[[int], Result]) -> Iterator[Result]:
        """Results of all blocks of cells in their order."""
        n_blocks, at_once = len(self.engine.stream.blocks), 8 * self.run.n_workers
        for low in range(0, n_blocks, at_once):
            yield from self.run(work, range(low, min(low + at_once, n_blocks)))

    def _groups(self, regulators: np.ndarray) -> Iterator[tuple[np.ndarray, list[Raw]]]:
        """Groups of regulators with their products, as many side by side as memory holds."""
        m, strata = self.engine.n_genes, self.engine.stream.cluster_of
        n_columns = N_PRODUCTS * len(self.levels) if not self.axis.clustered else 3 * len(strata)
        fit = int(LARGEST / (8 * m * n_columns))
        size = int(np.clip(fit // BLOCK * BLOCK, BLOCK, MOST))
        at_once = max(1, min(self.run.n_workers, int(self.memory / (16 * m * n_columns * size))))
        starts = range(0, len(regulators), size)
        for low in range(0, len(starts), at_once):
            groups = [regulators[start : start + size] for start in starts[low : low + at_once]]
            yield from zip(groups, self.run(self._products, groups), strict=True)

    def _whole(self, group: np.ndarray, raw: list[Raw]) -> np.ndarray:
        """Bend and line of every pair by level, shape ``(2, n_levels, R, m)``."""
        parts = []
        for level, of in zip(self.genes.levels, raw, strict=True):
            explained = (
                of.bend(level.kept[:, group], level.n),
                of.line(level.variance[group], level.n),
            )
            parts.append(np.stack(explained) - of.variance)
        return np.stack(parts, axis=1)

    def _counted(self, group: np.ndarray, raw: list[Raw], targets: np.ndarray) -> np.ndarray:
        """Pairs whose bend can be measured in some level, shape ``(R, m)``."""
        result = np.any([of.counted for of in raw], axis=0)
        result &= np.isin(np.arange(self.engine.n_genes), targets)
        result[np.arange(len(group)), group] = False
        return np.asarray(result)

    def sum_pairs(
        self,
        regulators: np.ndarray,
        targets: np.ndarray,
        units: np.ndarray,
        modules: np.ndarray,
        wanted: Counted | None,
        *,
        progress: Callable[[int], object] = lambda n: None,
    ) -> Sums:
        """As :func:`~poolproof.pairs.population_pass.sum_pairs`."""
        n_levels, n_genes = len(self.levels), self.engine.n_genes
        n_regulators, m = len(regulators), len(targets)
        member = (modules[:, None] == np.arange(int(modules.max()) + 1)).astype(np.float64)
        by_regulator, by_target = np.zeros((5, n_regulators)), np.zeros((5, m))
        n_pairs, n_by_target = np.zeros(n_regulators), np.zeros(m)
        by_level = np.zeros((2, n_levels, int(units.max()) + 1, member.shape[1]))
        level_target, spread = np.zeros((2, n_levels, n_genes)), np.zeros((3, n_regulators))
        own = np.zeros((2, n_levels, self.axis.size))
        low = 0
        for group, raw in self._groups(regulators):
            at = slice(low, low + len(group))
            low += len(group)
            counted = self._counted(group, raw, targets)
            if wanted is not None:
                counted[:, targets] &= wanted(group, targets)
            found = self._whole(group, raw) * counted
            whole = found.sum(axis=1)
            powers = np.stack([*whole, *(whole * whole), whole[0] * whole[1]])
            n_pairs[at] = counted.sum(axis=1)
            n_by_target += counted.sum(axis=0)[targets]
            by_regulator[:, at] = powers[:, :, targets].sum(axis=2)
            by_target += powers.sum(axis=1)[:, targets]
            level_target += found.sum(axis=2)
            for r, unit in enumerate(units[at]):
                by_level[:, :, unit] += found[:, :, r][:, :, targets] @ member
            spread[:, at] = self._influences(group, raw, counted.astype(np.float64), whole, own)
            progress(len(group))
        influence = self._by_level(own, level_target)
        spread_of_targets = self._target_variances(regulators, targets, wanted)
        return Sums(
            n_pairs, n_by_target, by_regulator, by_target, by_level, influence, spread, spread_of_targets
        )

    def _influences(
        self, group: np.ndarray, raw: list[Raw], weight: np.ndarray, whole: np.ndarray, own: np.ndarray
    ) -> np.ndarray:
        """Variances over the axis of the sums of every regulator, shape ``(3, R)``.

        Influences on the sums over all pairs are added to ``own``, shape ``(2, n_levels, axis)``: of cells in
        their level, the norm of y included, or of replicates, without it.
        """
        if self.axis.clustered:
            mine = self._of_replicates(group, raw, weight)
            own += mine.sum(axis=2)
            return variances(*(mine.sum(axis=1) - np.einsum("krm,dm->krd", whole, self._squares())))
        of_level = [
            Coefficients.of(level, group, of, weight, whole)
            for level, of in zip(self.genes.levels, raw, strict=True)
        ]
        sums, n = np.zeros((5, len(group))), self.engine.n
        for pieces in self._by_blocks(CellInfluences(self.genes, of_level)):
            for rows, totals, part in pieces:
                sums += part
                level = self.engine.stream.level_of[self.engine.stream.stratum[rows[0]]]
                own[:, level, self._place[rows]] += totals
        bend, line, *squares = sums
        return np.stack(_centred(bend, line, squares, n))

    def _norms(self, weights: np.ndarray) -> np.ndarray:
        """Squares of y over each unit times weights ``(.., m)``, summed over targets: ``(.., axis)``."""
        if self.axis.clustered:
            return np.asarray(weights @ self._squares().T)
        flat = weights.reshape(-1, weights.shape[-1])
        result = np.zeros((len(flat), self.axis.size))
        for pieces in self._by_blocks(NormInfluences(self.genes, flat)):
            for rows, values in pieces:
                result[:, self._place[rows]] = values
        return result.reshape(*weights.shape[:-1], self.axis.size)

    def _by_level(self, own: np.ndarray, level_target: np.ndarray) -> np.ndarray:
        """Influences on the sums of every level from what `_influences` gives; ``(2, n_levels, axis)``."""
        if not self.axis.clustered and len(self.levels) == 1:
            return own
        norms = self._norms(level_target)
        if not self.axis.clustered:  # what a cell takes through the norm from levels that are not its own
            for i, rows in enumerate(self.axis.slices):
                own[:, i, rows] += norms[:, :, rows].sum(axis=1)
        return np.asarray(own - norms)

    def _squares(self) -> np.ndarray:
        """Squares of y summed over replicates, shape ``(axis, m)``."""
        result = np.zeros((self.axis.size, self.engine.n_genes))
        for level in self.genes.levels:
            for s in level.strata:
                result[self.engine.stream.cluster_of[s]] += level.square[int(s)]
        return result

    def _of_replicates(self, group: np.ndarray, raw: list[Raw], weight: np.ndarray) -> np.ndarray:
        """Influences of replicates on sums of every regulator, shape ``(2, n_levels, R, axis)``."""
        result = np.zeros((2, len(raw), len(group), self.axis.size))
        for i, (level, of) in enumerate(zip(self.genes.levels, raw, strict=True)):
            used = weight * of.counted
            off = (used * of.variance).sum(axis=2)
            for code in of.by_cluster:
                explained, squares, share = self._products.replicate(level, group, of, code)
                for kind in range(2):
                    part = (used * (explained[kind] - squares[kind])).sum(axis=1)
                    result[kind, i, :, code] = part + share * off[kind]
        return result

    def _target_variances(
        self, regulators: np.ndarray, targets: np.ndarray, wanted: Counted | None
    ) -> np.ndarray:
        steps = np.unique(np.linspace(0, len(regulators) - 1, MAX_SAMPLED).astype(int))
        sampled = regulators[steps]
        raw = self._products(sampled)
        counted = self._counted(sampled, raw, targets)
        if wanted is not None:
            counted[:, targets] &= wanted(sampled, targets)
        weight = counted.astype(np.float64)
        total = np.zeros((2, self.engine.n_genes))
        for level, of in zip(self.genes.levels, raw, strict=True):
            used = weight * of.counted
            total[0] += (used * of.bend(level.kept[:, sampled], level.n)).sum(axis=0)
            total[1] += (used * of.line(level.variance[sampled], level.n)).sum(axis=0)
        work = TargetInfluences(self.genes, sampled, raw, weight, total)
        sums = np.zeros(
            (self.axis.size if self.axis.clustered else 1, 2 + 3 * (not self.axis.clustered), len(total[0]))
        )
        for part in self._by_blocks(work):
            for code, values in part.items():
                sums[code] += values
        if self.axis.clustered:
            found = variances(*(np.moveaxis(sums, 0, 2) - total[:, :, None] * self._squares().T))
        else:
            bend, line, *squares = sums[0]
            found = np.stack(_centred(bend, line, squares, self.engine.n))
        return np.asarray(found[:, targets]) * (len(regulators) / len(sampled)) ** 2

    def matrices(
        self, regulators: np.ndarray, targets: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Bend and line of every pair and whether they can be measured, each of shape ``(R, m)``."""
        parts = [
            (
                self._whole(group, raw).sum(axis=1)[:, :, targets],
                self._counted(group, raw, targets)[:, targets],
            )
            for group, raw in self._groups(regulators)
        ]
        bend, line = np.concatenate([of for of, _ in parts], axis=1)
        return bend, line, np.concatenate([counted for _, counted in parts])

    def influences(self, regulators: np.ndarray, targets: np.ndarray, masks: np.ndarray) -> np.ndarray:
        """Influences on sums over sets of pairs, masks ``(n_sets, R, m)``; shape ``(2, n_sets, axis)``."""
        result = np.zeros((2, len(masks), self.axis.size))
        low = 0
        for group, raw in self._groups(regulators):
            whole = self._whole(group, raw).sum(axis=1)
            weights = np.zeros((len(masks), *whole.shape[1:]))
            weights[:, :, targets] = masks[:, low : low + len(group)]
            if self.axis.clustered:
                for place, weight in enumerate(weights):
                    result[:, place] += self._of_replicates(group, raw, weight).sum(axis=(1, 2))
                    result[:, place] -= self._norms((whole * weight).sum(axis=1))
            else:
                of_level = [
                    [Coefficients.of(level, group, of, weight, whole) for weight in weights]
                    for level, of in zip(self.genes.levels, raw, strict=True)
                ]
                for pieces in self._by_blocks(SetInfluences(self.genes, of_level)):
                    for rows, totals in pieces:
                        result[:, :, self._place[rows]] += totals
            low += len(group)
        return result


class _Correlations:
    """Products of genes with others over the cells of a block: a task."""

    def __init__(self, genes: ShareGenes, some: np.ndarray, others: np.ndarray) -> None:
        self.genes, self.some, self.others = genes, some, others

    def __call__(self, block: int) -> np.ndarray:
        result: Any = np.zeros((len(self.some), len(self.others)))
        stream = self.genes.stream
        for piece in stream.pieces(block):
            y = piece.counts.copy()
            y.data /= np.repeat(piece.total, np.diff(y.indptr)) * self.genes.unit[y.indices]
            result += (y[:, self.some].T @ y[:, self.others]).toarray()
        return np.asarray(result)


def _centred(
    bend: np.ndarray, line: np.ndarray, squares: Sequence[np.ndarray], n: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Variances of sums and their covariance from sums over n cells, see ``intervals.variances``."""
    factor = n / max(n - 1, 1)
    both, of_line, mixed = (
        squares[0] - bend * bend / n,
        squares[1] - line * line / n,
        squares[2] - bend * line / n,
    )
    return factor * both, factor * of_line, factor * mixed
