"""The classical and the robust screen handed to compiled loops, where these are to be had and fit.

They fit where there is one level without replicates and bases have five columns. Calls are those of numpy:
what lies near a threshold is decided in float64 here as well, pair by pair, from the same columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from .._arrays import add
from ..basis import N_COLUMNS, curvature_of, spline_bases, standardise
from ..basis import _all_knots as all_knots
from .calls import N_CODES, TIE, Z_UPPER, CodeTable, StudentTable
from .collection import Collection, Columns
from .growing_noise import BURSTY, N_SHAPES, least
from .keeping import PairCodes
from .outcome import _TWICE, NullLaw, Outcome, StudentLaw
from .outcome import _share as share_of
from .score_kernels import Moments, triangle

if TYPE_CHECKING:
    from .score_engine import ScoreTest

COMPILED_FROM = 5e9
"""Pairs times samples from which on it is worth while: loops are compiled once, in half a minute."""
PART = 1024
"""Targets of a product."""
MANY = 0.35
"""Share of strong pairs from which on the columns of the bound are multiplied with all targets of a part."""
PAIRS_AT_ONCE = 1 << 14
"""Pairs decided in float64 together."""
HIGH_LEVERAGE = 0.9
"""One sample that carries more of a regulator than this makes float32 products unsafe."""


@cache
def loops() -> Any:
    """The compiled loops, or None where numba is not installed."""
    if find_spec("numba") is None:
        return None
    return [import_module(f".compiled_{name}", __package__) for name in ("scores", "bases", "growth")]


@dataclass(frozen=True, eq=False)
class QuickBlock:
    """Columns of a block of regulators."""

    regulators: np.ndarray
    x: np.ndarray
    """Values, shape ``(R, n)``."""
    basis: np.ndarray
    """Orthonormal columns, shape ``(R, 5, n)``, float64."""
    n_columns: np.ndarray
    fourth: np.ndarray
    """Sum of q_1^4, shape ``(R,)``."""
    concentration: np.ndarray
    unsafe: np.ndarray
    """Regulators whose pairs float32 cannot decide, shape ``(R,)``."""
    with_y: np.ndarray
    """Columns of the products, float32, shape ``(c, R, n)`` like those below; see `compiled_scores`."""
    with_y2: np.ndarray
    bound: np.ndarray
    constant: np.ndarray
    """Sums w q_j q_m q_1^2, shape ``(15, R)``."""
    weight: np.ndarray
    """w, shape ``(R, n)``, float64; none for the classical test."""
    grown: Any
    """What the second test knows of the regulators."""

    def for_exact(self) -> QuickBlock:
        """The same for float64: without the columns of the products."""
        none = self.with_y[:0].copy()
        return replace(self, with_y=none, with_y2=none, bound=none)

    def take(self, chosen: np.ndarray) -> QuickBlock:
        """Some regulators of the block, for float64."""
        none = self.with_y[:0].copy()
        return QuickBlock(
            self.regulators[chosen],
            self.x[chosen],
            self.basis[chosen],
            self.n_columns[chosen],
            self.fourth[chosen],
            self.concentration[chosen],
            self.unsafe[chosen],
            none,
            none,
            none,
            self.constant[:, chosen],
            self.weight[chosen] if len(self.weight) else self.weight,
            type(self.grown)(*(of[chosen] for of in self.grown)),
        )


class QuickScores:
    """A screen of all pairs by compiled loops.

    Parameters
    ----------
    engine
        The test, see :func:`fits`.
    targets
        Genes tested as targets, shape ``(m,)``.
    rule
        Thresholds of the call: least r2_spline, margin of the share; and the r2_spline from which on the
        bound of the share is wanted.
    """

    AT_ONCE = 80
    """Regulators of a block."""

    def __init__(self, engine: ScoreTest, targets: np.ndarray, rule: tuple[float, float, float]) -> None:
        min_r2, margin, bound_from = rule
        self.engine, self.targets = engine, targets
        self._scores, self._bases, self._growth = loops()
        self._robust = engine.test == "robust"
        self._level = engine.levels[0]
        self._y = np.ascontiguousarray(engine.targets.block(targets, np.float32))
        self._exact_y = engine.targets.block(slice(None), np.float64)
        self._y2 = self._y * self._y if self._robust else self._y[:0]
        self._missing = engine.targets.missing[targets]
        self._kurtosis = engine.targets.kurtosis[0]
        self._nuisance = np.ascontiguousarray(self._level.covariates.T)
        self._leverage = (self._level.covariates**2).sum(axis=1)
        self._least = np.array([least(max(k, 2)) for k in range(N_COLUMNS + 1)], dtype=np.float64)
        self._tables: dict[tuple[float, float], CodeTable] = {}
        self._stacks: dict[tuple[tuple[float, float], ...], np.ndarray] = {}
        single = np.float32
        self._rule = self._scores.Thresholds(
            single((1 - TIE) * min_r2),
            (single(min_r2), single(1e-3 * min_r2)),
            single((1 - TIE) * margin),
            single(1e-3 * margin),
            single(bound_from),
            single(Z_UPPER) ** 2,
        )

    # --- columns ------------------------------------------------------------------------------------

    def features(self, regulators: np.ndarray) -> QuickBlock:
        """Build the columns of a block of regulators."""
        values = self.engine.targets.raw(regulators)
        unsafe = np.isnan(values).any(axis=0)
        values = np.where(np.isnan(values), 0.0, values)
        standard, _ = standardise(values)
        square = standard * standard
        unsafe |= square.max(axis=0) > HIGH_LEVERAGE * np.maximum(square.sum(axis=0), 1e-300)
        basis, n_columns = self._bases_of(values, standard)
        n_rows, _, n = basis.shape
        fourth, concentration = np.empty(n_rows), np.empty(n_rows)
        self._bases.concentrations(basis, fourth, concentration)
        constant = np.empty((15, n_rows))
        if self._robust:
            scores = self._scores
            with_y, with_y2, bound = (
                np.empty((c, n_rows, n), dtype=np.float32)
                for c in (scores.WITH_Y, scores.WITH_Y2, scores.BOUND)
            )
            weight = np.empty((n_rows, n))
            self._bases.robust_columns(basis, self._leverage, with_y, with_y2, bound, constant, weight)
        else:
            with_y = np.ascontiguousarray(basis.transpose(1, 0, 2), dtype=np.float32)
            with_y2 = bound = with_y[:0]
            weight = np.empty((0, n))
        d = self._nuisance.shape[0] + N_COLUMNS
        grown = self._growth.Grown(
            np.zeros(n_rows, dtype=bool),
            np.empty((n_rows, N_SHAPES)),
            np.empty((n_rows, N_SHAPES, d, d)),
            np.empty((n_rows, N_SHAPES)),
        )
        return QuickBlock(
            regulators,
            np.ascontiguousarray(values.T),
            basis,
            n_columns,
            fourth,
            concentration,
            unsafe,
            with_y,
            with_y2,
            bound,
            constant,
            weight,
            grown,
        )

    def _bases_of(self, values: np.ndarray, standard: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As :func:`~poolproof.pairs.score_kernels.level_bases`, shape ``(R, 5, n)``."""
        n, n_rows = values.shape
        basis = np.zeros((n_rows, N_COLUMNS, n))
        n_columns = np.zeros(n_rows, dtype=np.int64)
        of_gene, full = all_knots(standard, N_COLUMNS + 1)
        if len(full):
            at = np.stack([of_gene[gene] for gene in full])
            made = np.empty((len(full), N_COLUMNS, n))
            count = np.empty(len(full), dtype=np.int64)
            x = np.ascontiguousarray(standard.T[full])
            self._bases.raw_bases(x, at, curvature_of(at), made)
            self._bases.orthonormalise(made, count)
            basis[full], n_columns[full] = made, count
        few = np.setdiff1d(np.arange(n_rows), full)
        if len(few):
            made, n_columns[few] = spline_bases(values[:, few], N_COLUMNS)
            basis[few, : made.shape[1]] = made
        if self._level.covariates.shape[1] > 1:
            z = self._level.covariates
            basis = np.ascontiguousarray(basis - np.matmul(np.matmul(basis, z), z.T))
            self._bases.orthonormalise(basis, n_columns)
        return basis, n_columns

    # --- laws ---------------------------------------------------------------------------------------

    def _law(self, keys: list[tuple[float, float]]) -> Any:
        """The table of every regulator of a block; none where the degrees of freedom are 0."""
        distinct = tuple(sorted({key for key in keys if key[0]}))
        stack = self._stacks.get(distinct)
        if stack is None:
            for key in distinct:
                if key not in self._tables:
                    self._tables[key] = StudentTable(key[1]) if key[0] < 0 else CodeTable(*key)
            tables = [self._tables[key].codes for key in distinct]
            stack = self._stacks[distinct] = np.stack(tables) if tables else np.zeros((0, 1), dtype=np.uint16)
        place = {key: at for at, key in enumerate(distinct)}
        return self._scores.Law(stack, np.array([place.get(key, -1) for key in keys], dtype=np.int64))

    def _residual_df(self, n_columns: np.ndarray) -> np.ndarray:
        return np.asarray(self.engine._residual_df(n_columns))

    def _laws(self, block: QuickBlock) -> tuple[Any, Any, Any, np.ndarray]:
        """Tables of the bends, of all columns and of the line, and the line's degrees of freedom."""
        columns = block.n_columns.tolist()
        if self._robust:
            rest = [np.inf] * len(columns)
            most = self._residual_df(np.array([1]))[0]
            df = np.minimum(1 / np.where(block.fourth > 0, block.fourth, np.inf), most)
            line_df = StudentLaw.of(df, df).df
        else:
            rest = self._residual_df(block.n_columns).tolist()
            line_df = np.ones(len(columns))
        bend = self._law([(float(max(c - 1, 0)), float(of)) for c, of in zip(columns, rest, strict=True)])
        every = self._law([(float(c), float(of)) for c, of in zip(columns, rest, strict=True)])
        return bend, every, self._law([(-1.0, df) for df in line_df.tolist()]), line_df

    # --- the screen ---------------------------------------------------------------------------------

    def screen(
        self, block: QuickBlock, targets: slice, row: int, pairs: PairCodes, collected: Collection
    ) -> np.ndarray:
        """Test a block of regulators against some targets: codes and states go into ``pairs``.

        Parameters
        ----------
        row
            First row of the block among all pairs.
        collected
            Is given what may come into the table.

        Returns
        -------
        Where float32 cannot say, shape ``(R, m)``.
        """
        n_rows, n = len(block.regulators), self._y.shape[1]
        genes = self.targets[targets]
        m = len(genes)
        single = np.float32
        tile = self._scores.Tile(
            row,
            targets.start,
            np.asarray(pairs.association),  # a mapped file is not known to the compiler
            np.asarray(pairs.strength),
            np.asarray(pairs.state),
            np.zeros((n_rows, m), dtype=bool),
            *(np.empty((n_rows, m), dtype=single) for _ in range(4)),
        )
        bend, every, line, line_df = self._laws(block)
        rest = self._residual_df(block.n_columns)
        testable = (block.n_columns > 1) & (self._robust | (rest >= 1))
        for low in range(0, m, PART):
            at = slice(targets.start + low, targets.start + min(low + PART, m))
            y = self._y[at]
            first = (block.with_y.reshape(-1, n) @ y.T).reshape(-1, n_rows, len(y))
            if not self._robust:
                df = np.maximum(rest, 1).astype(single)
                self._scores.screen_classical(first, low, testable, df, every, self._rule, tile)
                continue
            second = (block.with_y2.reshape(-1, n) @ self._y2[at].T).reshape(-1, n_rows, len(y))
            third = np.empty((4, n_rows, 0), dtype=single)
            if self._scores.count_strong(first, self._rule.bound_from) > MANY * n_rows * len(y):
                third = (block.bound.reshape(-1, n) @ y.T).reshape(-1, n_rows, len(y))
            constant = block.constant.astype(single)
            self._scores.screen_robust(
                first,
                second,
                third,
                constant,
                block.bound,
                y,
                low,
                testable,
                line_df,
                every,
                line,
                _TWICE,
                self._rule,
                tile,
            )
        doubt = tile.doubt
        doubt |= self._missing[targets]
        doubt[block.unsafe | self.engine.targets.missing[block.regulators]] = True
        if self._robust:
            self._look_again(block, genes, tile.bend, ~doubt)
        doubt |= genes == block.regulators[:, None]
        self._collect(block, tile, bend, pairs, collected)
        return np.asarray(doubt)

    def _collect(
        self, block: QuickBlock, tile: Any, bend: Any, pairs: PairCodes, collected: Collection
    ) -> None:
        """Put down the codes of the bends, and what may come into the table."""
        places = np.empty((3, tile.bend.size), dtype=np.int32)
        numbers = np.empty((tile.bend.size, 4), dtype=np.float32)
        floor, border = int(collected.floor), collected.border if not collected.given_up else N_CODES
        bends = np.asarray(pairs.bend)
        n = self._scores.finish_tile(bends, bend, tile, floor, border, places, numbers)
        if n == 0:
            return
        row, column, strength = places[:, :n]
        part = {"row": tile.row + row, "column": tile.column + column, "strength": strength.astype(np.uint16)}
        part |= {"raw": numbers[:n].copy(), "n_columns": block.n_columns[row].astype(np.int8)}
        collected.finish = self._numbers
        collected.add(part)

    def _numbers(self, part: Columns) -> Columns:
        """What the table shows of collected pairs; see :meth:`~poolproof.pairs.outcome.Outcome.numbers`."""
        r2_linear, gain, upper, bend = part["raw"].T.astype(np.float64)
        r2_spline = part["raw"][:, 0] + part["raw"][:, 1]
        n_columns = part["n_columns"].astype(np.int64)
        df = (n_columns - 1)[None]
        law = NullLaw(bend[None], df, None if self._robust else self._residual_df(n_columns)[None])
        numbers = {name: part[name] for name in ("row", "column", "strength")}
        return numbers | {
            "r2_linear": r2_linear,
            "r2_spline": r2_spline.astype(np.float64),
            "gain": gain,
            "nonlinear_share_upper": upper,
            "statistic": bend if self._robust else bend / np.maximum(df[0], 1),
            "nonlinear_share": share_of(gain, r2_spline.astype(np.float64)),
            "p_value": np.exp(-law.minus_log_p()[0]),
            "n": np.full(len(gain), self.engine.n_samples, dtype=np.int32),
            "tested": np.ones(len(gain), dtype=bool),
        }

    def _look_again(
        self, block: QuickBlock, genes: np.ndarray, value: np.ndarray, wanted: np.ndarray
    ) -> None:
        """Lower robust scores where the second test says less, in place; see `ScoreTest._ask_twice`."""
        asked = value > self._least[block.n_columns].astype(value.dtype)[:, None]
        asked &= wanted
        asked &= block.concentration[:, None] * self._kurtosis[genes] > BURSTY
        asked &= block.regulators[:, None] != genes
        asked[block.n_columns < 2] = False
        row, column = np.nonzero(asked)
        if len(row):
            found = value[row, column].astype(np.float64)
            self._lower(block, found, row, genes[column])
            value[row, column] = found

    def _lower(self, block: QuickBlock, value: np.ndarray, row: np.ndarray, gene: np.ndarray) -> None:
        self._growth.lower_pairs(
            value,
            row,
            gene,
            block.x,
            block.basis,
            block.n_columns,
            self._nuisance,
            self._exact_y,
            self._least,
            block.grown,
        )

    # --- float64 ------------------------------------------------------------------------------------

    def incomplete(self, block: QuickBlock, targets: np.ndarray) -> np.ndarray:
        """Pairs with missing values, shape ``(R, m)``: they are left to numpy."""
        missing = self.engine.targets.missing
        return np.asarray(missing[block.regulators][:, None] | missing[targets])

    def exact(
        self, block: QuickBlock, wanted: np.ndarray, targets: np.ndarray, bound_from: float = 0.0
    ) -> Iterator[tuple[np.ndarray, np.ndarray, Outcome, tuple[np.ndarray, np.ndarray]]]:
        """Recompute wanted pairs of a block in float64, but for those with missing values.

        Yields regulators of the block, columns of ``targets``, an outcome, and where in it these pairs are.
        """
        rows, columns = np.nonzero(wanted & ~self.incomplete(block, targets))
        for low in range(0, len(rows), PAIRS_AT_ONCE):
            row, column = rows[low : low + PAIRS_AT_ONCE], columns[low : low + PAIRS_AT_ONCE]
            found = self._outcome(block, row, targets[column], bound_from)
            yield row, column, found, (np.zeros(len(row), dtype=np.int64), np.arange(len(row)))

    def detectable(self, regulators: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """As `ScoreTest.detectable`, of single pairs: both of shape ``(P,)``, like the result."""
        genes, row = np.unique(regulators, return_inverse=True)
        order = np.argsort(row, kind="stable")
        moments = self._moments(self.features(genes), row[order], targets[order])
        if self._robust:
            found = self.engine._average_gain([moments])[0]
        else:
            rest = 1 - add(part[0] ** 2 for part in (moments.b, *moments.s))
            found = np.maximum(rest, 0) / self._residual_df(np.array([N_COLUMNS]))[0]
        result = np.empty(len(order))
        result[order] = found
        return result

    def _moments(self, block: QuickBlock, row: np.ndarray, gene: np.ndarray) -> Moments:
        """Moments of single pairs, rows rising; arrays of shape ``(1, P)``."""
        scores = np.empty((N_COLUMNS, len(row)))
        variance, null = np.empty((15, len(row))), np.empty((15, len(row)))
        self._bases.pair_moments(block.basis, block.weight, row, gene, self._exact_y, scores, variance, null)
        moments = Moments(scores[:1], [scores[j : j + 1] for j in range(1, N_COLUMNS)])
        if self._robust:
            moments.fourth = block.fourth[row][None]
            for entry, pair in enumerate(triangle(N_COLUMNS)):
                moments.variance[pair] = variance[entry : entry + 1]
                moments.variance_null[pair] = null[entry : entry + 1]
        return moments

    def _outcome(self, block: QuickBlock, row: np.ndarray, gene: np.ndarray, bound_from: float) -> Outcome:
        engine = self.engine
        moments = self._moments(block, row, gene)
        columns = block.n_columns[row][None, None]
        varies = engine.targets.varies[:, gene][:, None]

        def ask(_: int, value: np.ndarray, __: np.ndarray | None) -> None:
            asked = value[0] > self._least[block.n_columns[row]]
            asked &= block.concentration[row] * self._kurtosis[gene] > BURSTY
            asked &= (block.regulators[row] != gene) & (block.n_columns[row] > 1)
            at = np.flatnonzero(asked)
            if len(at):
                found = value[0, at]
                self._lower(block, found, row[at], gene[at])
                value[0, at] = found

        n = np.array([[engine.n_samples]])
        asked = ask if self._robust else None
        return engine._combine([moments], columns, varies, n, True, bound_from, asked)


def repaid_by_loops(engine: Any, n_pairs: int) -> bool:
    """Whether compiled loops fit the test of values that an engine makes, and so many pairs repay them."""
    from .score_engine import ScoreTest

    if type(engine) is not ScoreTest or n_pairs * engine.n_samples < COMPILED_FROM:
        return False
    simple = len(engine.levels) == 1 and not engine.has_replicates and engine.k == N_COLUMNS
    return simple and engine.targets.keeps(np.float64) and loops() is not None


def fitting_loops(
    engine: Any, targets: np.ndarray, n_pairs: int, rule: tuple[float, float, float], dtype: type
) -> QuickScores | None:
    """The screen by compiled loops, where it fits an engine and is worth while; else None."""
    if dtype != np.float32 or not repaid_by_loops(engine, n_pairs):
        return None
    return QuickScores(engine, targets, rule)
