"""What an engine says of a block of regulators against a block of targets, before any call."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from scipy import special

from .calls import N_CODES, CodeTable, StudentTable, code_of, largest_p, minus_log_sf

SURE = 2e-3
"""Relative error of a statistic in float32 that is allowed for where it is held against a p-value."""


@dataclass(eq=False)
class NullLaw:
    """A statistic and its law under the null: chi-square, df times F, or -ln p itself."""

    value: np.ndarray
    """Shape ``(R, m)``."""
    df: np.ndarray | None
    """Degrees of freedom, shape ``(R, 1)`` or ``(R, m)``, 0 where untested; None: value is -ln p."""
    df_residual: np.ndarray | None = None
    """Those of the denominator, shape as ``df``, the same wherever ``df`` is; None: chi-square."""

    def least(self, p_value: float) -> np.ndarray:
        """Value of a chi-square law from which on p is at most so large, shaped as ``df``."""
        df = np.asarray(self.df, dtype=np.int64)
        table = special.chdtri(np.arange(df.max(initial=0) + 1), p_value)
        table[0] = np.inf
        return np.asarray(table.take(df))

    def at(self, rows: np.ndarray, columns: np.ndarray) -> NullLaw:
        """The law of some pairs, flat."""

        def pick(values: np.ndarray | None) -> np.ndarray | None:
            if values is None:
                return None
            values = np.broadcast_to(values, self.value.shape)
            return values[rows, columns] if values.strides[1] else values[:, 0].take(rows)

        return NullLaw(self.value[rows, columns], pick(self.df), pick(self.df_residual))

    def minus_log_p(self) -> np.ndarray:
        """-ln p, shape ``(R, m)``, float64; 0 where untested."""
        if self.df is None:
            return np.asarray(self.value, dtype=np.float64)
        df = np.broadcast_to(np.maximum(self.df, 1), self.value.shape)
        if self.df_residual is None:
            result = minus_log_sf(self.value, df)
        else:
            result = minus_log_sf(self.value, df, np.broadcast_to(self.df_residual, self.value.shape))
        return np.where(np.broadcast_to(self.df, self.value.shape) > 0, result, 0.0)

    def codes(self, tables: dict[tuple[float, float], CodeTable]) -> np.ndarray:
        """16-bit codes of -ln p, shape ``(R, m)``, from tables that are made once for each law."""
        if self.df is None:
            return code_of(self.value)
        value = np.ascontiguousarray(self.value, dtype=np.float32)
        result = np.zeros(value.shape, dtype=np.uint16)
        df = self.df.astype(np.int64)
        for n in np.flatnonzero(np.bincount(df.ravel())).tolist():
            if n == 0:
                continue
            chosen = df == n
            residual = np.inf if self.df_residual is None else float(self.df_residual[chosen][0])
            table = tables.get((n, residual))
            if table is None:
                table = tables[n, residual] = CodeTable(float(n), residual)
            if chosen.all():
                return table(value)
            where = chosen[:, 0] if df.shape[1] == 1 else chosen
            result[where] = table(value[where])
        return result


_STUDENT_DF = np.array([*range(1, 21), 24, 30, 40, 60, 100, 200, 500, 1000], dtype=np.float64)


@dataclass(eq=False)
class StudentLaw:
    """Squares of Student's t."""

    value: np.ndarray
    """Shape ``(R, m)``."""
    df: np.ndarray
    """Degrees of freedom, shape ``(R, 1)`` or ``(R, m)``: one of few values, see :meth:`of`."""

    @classmethod
    def of(cls, value: np.ndarray, df: np.ndarray) -> StudentLaw:
        """Degrees of freedom rounded down to those that tables are made for."""
        at = np.searchsorted(_STUDENT_DF, np.maximum(df, 1.0), side="right") - 1
        return cls(value, _STUDENT_DF[at])

    def minus_log_p(self) -> np.ndarray:
        """-ln p, shape ``(R, m)``."""
        return minus_log_sf(self.value, 1.0, np.broadcast_to(self.df, self.value.shape))

    def codes(self, tables: dict[tuple[float, float], CodeTable]) -> np.ndarray:
        """16-bit codes of -ln p."""
        value = np.ascontiguousarray(self.value, dtype=np.float32)
        result = np.zeros(value.shape, dtype=np.uint16)
        for df in np.unique(self.df).tolist():
            table = tables.get((-1.0, df))
            if table is None:
                table = tables[-1.0, df] = StudentTable(df)
            chosen = self.df == df
            where = chosen[:, 0] if chosen.shape[1] == 1 else chosen
            result[where] = table(value[where])
        return result


@dataclass(eq=False)
class Either:
    """Two tests of one hypothesis, joined by Bonferroni: twice the smaller p-value."""

    laws: tuple[NullLaw | StudentLaw, NullLaw]

    def minus_log_p(self) -> np.ndarray:
        """-ln p, shape ``(R, m)``."""
        first, second = (law.minus_log_p() for law in self.laws)
        return np.maximum(np.maximum(first, second) - np.log(2.0), 0.0)

    def codes(self, tables: dict[tuple[float, float], CodeTable]) -> np.ndarray:
        """16-bit codes of -ln p."""
        first, second = (law.codes(tables) for law in self.laws)
        return _TWICE.take(np.maximum(first, second))

    def may_reach(self, p_value: float) -> np.ndarray:
        """Whether p may be this small, by more than float32 rounds; chi-square laws alone."""
        found = [
            law.value >= law.least(p_value / 2) * (1 - SURE) for law in self.laws if isinstance(law, NullLaw)
        ]
        return np.asarray(np.logical_or(*found))


_TWICE = code_of(-np.log(largest_p(np.arange(N_CODES))) - np.log(2.0))


@dataclass(eq=False)
class Outcome:
    """Effect sizes and tests of R regulators against m targets, each of shape ``(R, m)``."""

    r2_linear: np.ndarray
    gain: np.ndarray
    share_upper: np.ndarray
    bend: NullLaw
    """The test of non-linearity."""
    association: NullLaw | Either
    """The test whether x explains y at all."""
    statistic: np.ndarray
    """The statistic as the table shows it."""
    n: np.ndarray
    """Samples used, broadcastable to ``(R, m)``."""
    tested: np.ndarray
    """Where both tests exist, broadcastable to ``(R, m)``."""
    doubt: np.ndarray
    """Where float32 is not enough."""

    @cached_property
    def r2_spline(self) -> np.ndarray:
        """Explained by the whole basis; by the line where the bend has no estimate."""
        return self.r2_linear + np.where(np.isnan(self.gain), 0, self.gain)

    @property
    def nonlinear_share(self) -> np.ndarray:
        """The gain as a share of r2_spline."""
        return _share(self.gain, self.r2_spline)

    def numbers(self, rows: np.ndarray, columns: np.ndarray) -> dict[str, np.ndarray]:
        """Columns of the pair table, and ``tested``, for some pairs; flat, float64."""
        shape = self.gain.shape
        numbers = {
            "r2_linear": self.r2_linear,
            "r2_spline": self.r2_spline,
            "gain": self.gain,
            "nonlinear_share_upper": self.share_upper,
            "statistic": self.statistic,
        }
        at = rows * shape[1] + columns  # flat positions are taken far faster than pairs of them
        picked = {name: values.ravel().take(at).astype(np.float64) for name, values in numbers.items()}
        picked["nonlinear_share"] = _share(picked["gain"], picked["r2_spline"])
        picked["p_value"] = np.exp(-self.bend.at(rows, columns).minus_log_p())
        picked["n"] = np.broadcast_to(self.n, shape)[rows, columns].astype(np.int32)
        picked["tested"] = np.broadcast_to(self.tested, shape)[rows, columns]
        return picked


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(whole > 0, part / whole, np.nan)


def ranked_by(r2_spline: np.ndarray, cut_at_one: bool) -> np.ndarray:
    """What pairs are ranked by: r2_spline; 0 where it is an estimate above 1 that was set to 1.

    With noise taken out, genes that are hardly counted can give such an estimate: it says little.
    """
    return np.where(r2_spline >= 1, 0.0, r2_spline) if cut_at_one else r2_spline


class Engine(Protocol):
    """A test of all pairs: what the screening needs to know of it."""

    n_genes: int
    n_samples: int
    regulator_status: np.ndarray
    """Status of each gene as regulator."""
    target_status: np.ndarray
    """Status of each gene as target."""
    cuts_r2: bool
    """Whether estimates of r2 above 1 are set to 1."""
    untested_status: str
    """Why pairs of testable genes have no test."""
    has_replicates: bool
    """Whether standard errors come from whole replicates."""
    bend_df: float
    """Degrees of freedom of the test of non-linearity with full bases, for statements of power."""
    columns: dict[str, int]
    """Columns of the matrix products per regulator, by what they meet."""
    at_once: int
    """Regulators whose products are best taken together; 0: by the number of columns."""

    def features(self, regulators: np.ndarray) -> Any:
        """Build the columns of a block of regulators, float64."""

    def outcome(
        self,
        features: Any,
        targets: np.ndarray | slice,
        dtype: type,
        *,
        exact: bool,
        bound_from: float = 0.0,
        again: np.ndarray | None = None,
    ) -> Outcome:
        """Test a block of regulators against targets; ``exact`` leaves nothing in doubt.

        The bound of the share may be left at 1 where r2_spline is below ``bound_from``. Where ``again``,
        shape ``(R, m)``, is False, the bend is not wanted, and need not be looked at a second time.
        """

    def detectable(self, features: Any, targets: np.ndarray) -> np.ndarray:
        """Gain of unit non-centrality along an average direction, shape ``(R, m)``, for full bases.

        The gain that would be found with a stated power is this times the non-centrality it needs.
        """
