"""Partial correlations given sets of genes: residuals on the splines, and on the lines, of all of a set.

The conditioners have the interface of those of triples, with the number of a set in place of the middle
gene, so that `rows_of` judges both alike. A set of one gene gives the numbers of the triple.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _names as names
from ..basis import N_COLUMNS, orthonormalise
from ..pairs.count_engine import CountTest
from ..pairs.design import Design
from ..pairs.score_kernels import columns_for, level_conditioning
from ..triples.count_conditioner import CLEAR, CountConditioner, fraction_columns
from ..triples.partial import MIN_REPLICATES, Downdate, Given, Replicates, Spread, Squares
from ..triples.score_conditioner import ScoreConditioner

"""Status of a set that counts of molecules cannot be conditioned on: noise is removed for one gene alone."""

SAMPLES_PER_COLUMN = 3
"""Samples of a level per column of the smallest fit, a line and one bend per gene; smaller levels are left
out of a set."""

Sets = Sequence[tuple[int, ...]]


class ScoreSets(ScoreConditioner):
    """Conditions on sets of genes by their spline bases; levels have bases of their own.

    Parameters
    ----------
    sets
        Genes of each set, by position; a set may be empty.
    matrix, factors, design, k, memory
        As for `ScoreConditioner`. A set of s genes has for each at most one column per 6 s samples of a
        level, and at least 2.

    Notes
    -----
    The basis of a set is additive: a sum of one spline per gene, without interactions. Where two of its
    genes act together, the residuals keep what they do to both ends.
    """

    def __init__(
        self,
        sets: Sets,
        matrix: np.ndarray | sp.csc_matrix,
        factors: np.ndarray | None,
        design: Design,
        *,
        k: int = N_COLUMNS,
        memory: float = 1e9,
    ) -> None:
        super().__init__(matrix, factors, design, k=k, dtype=np.float64, memory=memory)
        self.sets = sets
        self._cross = None
        of_gene, self.status = self.status, np.full(len(sets), names.OK, dtype=object)
        if 0 < design.n_clusters < MIN_REPLICATES:
            self.status[:] = names.TOO_FEW_REPLICATES
        for number, genes in enumerate(sets):
            poor = [status for status in of_gene[list(genes)] if status != names.OK]
            if poor:
                self.status[number] = poor[0]
            elif not any(self._carries(rows, len(genes)) for rows in self._targets.slices):
                self.status[number] = names.TOO_FEW_SAMPLES

    @staticmethod
    def _carries(rows: slice, n_genes: int) -> bool:
        """Whether a level has samples enough for a set."""
        return rows.stop - rows.start >= SAMPLES_PER_COLUMN * (1 + 2 * n_genes)

    def bases_of(self, middle: np.ndarray) -> dict[int, Any]:
        """Nothing: sets of genes have bases of their own."""
        return {}

    def given(
        self, middle: int, ends: np.ndarray, dtype: type, *, listed: bool = False, ready: Any = None
    ) -> Given:
        """Condition ends on the set of this number."""
        genes = np.array(self.sets[middle], dtype=np.intp)
        raw = self._targets.raw(genes)
        x = self._targets.block(ends, np.float64)
        lines, bases = [], []
        n = 0
        for level, rows in zip(self.levels, self._targets.slices, strict=True):
            used = self._carries(rows, len(genes))
            n += (rows.stop - rows.start) if used else 0
            if not used:
                x = x.copy()
                x[:, rows] = 0.0
            k = min(self.k, columns_for(rows.stop - rows.start, self.k * len(genes)) // max(len(genes), 1))
            of_level = [
                level_conditioning(raw[rows, i : i + 1], level, max(k, 2)) for i in range(len(genes) * used)
            ]
            basis, n_lines = joint_basis([basis[0, : size[0]] for basis, size in of_level], len(raw[rows]))
            lines.append(basis[:n_lines])
            bases.append(basis)
        norm = np.sqrt(np.einsum("gn,gn->g", x, x))
        with np.errstate(divide="ignore"):
            inverse = np.where(norm > 0, 1 / norm, np.nan)
        spline = self._downdate(x, bases, bases, np.float64, False)
        linear = self._downdate(x, lines, bases, np.float64, True)
        return Given(ends, (x, x), inverse, linear, spline, n)


def joint_basis(bases: Sequence[np.ndarray], n: int) -> tuple[np.ndarray, int]:
    """Join bases into one that is orthonormal, all lines first; return it with the number of lines.

    Each basis has shape ``(c, n)``, its line first. Columns that those before them explain are dropped.

    Examples
    --------
    >>> one, two = np.eye(4)[:2] - 0.25, np.eye(4)[1:3] - 0.25
    >>> basis, n_lines = joint_basis([one, two], 4)
    >>> basis.shape, n_lines
    ((3, 4), 2)
    """
    bases = [basis for basis in bases if len(basis)]
    if not bases:
        return np.zeros((0, n)), 0
    first = np.stack([basis[0] for basis in bases])
    _, n_lines = orthonormalise(first[None])
    joined, size = orthonormalise(np.concatenate([first, *(basis[1:] for basis in bases)])[None])
    return joined[0, : size[0]], int(n_lines[0])


class CountSets(CountConditioner):
    """Conditions counts of molecules on one gene, or on none, without sampling noise (method 8.3)."""

    def __init__(self, sets: Sets, test: CountTest) -> None:
        super().__init__(test)
        self.sets = sets
        of_gene, self.status = self.status, np.full(len(sets), names.OK, dtype=object)
        if 0 < test.design.n_clusters < MIN_REPLICATES:
            self.status[:] = names.TOO_FEW_REPLICATES
        for number, genes in enumerate(sets):
            if len(genes) > 1:
                self.status[number] = names.TOO_MANY_GIVEN
            elif genes:
                self.status[number] = of_gene[genes[0]]

    def given(
        self, middle: int, ends: np.ndarray, dtype: type, *, listed: bool = False, ready: Any = None
    ) -> Given | None:
        """Condition ends on the set of this number; None where its gene has too few counts."""
        genes = self.sets[middle]
        return super().given(genes[0], ends, dtype, listed=listed) if genes else self._nothing(ends, dtype)

    def _nothing(self, ends: np.ndarray, dtype: type) -> Given:
        """Correlations of fractions, nothing given."""
        test = self._test
        blocks = test.target_blocks(ends, dtype)
        n = sum(len(level.rows) for level in test.levels)
        variance, error2 = np.zeros((2, len(ends)))
        for level, of in zip(test.levels, blocks, strict=True):
            share = len(level.rows) / n
            variance += share * of.variance
            error2 += (share * of.error.astype(np.float64)) ** 2
        clear = np.any([of.testable for of in blocks], axis=0) & (variance > CLEAR * np.sqrt(error2))
        inverse: np.ndarray = (np.where(clear, variance, np.nan) ** -0.5).astype(dtype)
        parts = zip(blocks, test.depth, test.levels, strict=True)
        left, right = zip(*(fraction_columns(*part) for part in parts), strict=True)
        columns = np.concatenate(left, axis=1) / dtype(n), np.concatenate(right, axis=1)
        spread = self._spread_of(np.concatenate([of.centred for of in blocks], axis=1) * inverse[:, None], n)
        nothing = Downdate(inverse, np.zeros((len(ends), 0), dtype=dtype), spread)
        return Given(ends, columns, inverse, nothing, nothing, n)

    def _spread_of(self, e: np.ndarray, n: int) -> Spread:
        """Spread of the mean of products of centred ``e``, shape ``(m, n)``, in units of their size."""
        if not self._test.design.n_clusters:
            return Squares(e * e / n, e * e, n)
        codes = np.concatenate([np.asarray(level.clusters) for level in self._test.levels])
        parts = [e[:, codes == code] for code in np.unique(codes)]
        return Replicates(tuple((part / n, part) for part in parts), tuple(p.shape[1] for p in parts))
