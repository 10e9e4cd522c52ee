"""Triples one by one, in float64, and the tables and counts made of them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from .. import _names as names
from .._arrays import in_threads
from .partial import Conditioner, Listed
from .screening import (
    CODES,
    DEPENDENT,
    DISTORTED,
    HIDDEN,
    KEPT,
    N_BINS,
    UNDETERMINED,
    judge,
    p_values,
)

Z_INTERVAL = 1.959963984540054
_PART = 512
MIDDLE_AT_ONCE = 32
"""Middle genes of a list whose bases are built together."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Triples judged one by one; arrays of one length."""

    n: np.ndarray
    correlation: np.ndarray
    linear: np.ndarray
    linear_se: np.ndarray
    spline: np.ndarray
    spline_se: np.ndarray
    p_value: np.ndarray
    code: np.ndarray
    status: np.ndarray

    def take(self, rows: np.ndarray) -> Rows:
        """Some of them."""
        return Rows(**{name: getattr(self, name)[rows] for name in Rows.__dataclass_fields__})

    def columns(self, q: np.ndarray, statuses: tuple[str, ...]) -> dict[str, Any]:
        """As ``JUDGED_COLUMNS``; ``q`` are the adjusted p-values."""
        return {
            "n": self.n.astype(np.int32),
            "correlation": self.correlation,
            "partial_linear": self.linear,
            "partial_linear_se": self.linear_se,
            "partial_spline": self.spline,
            "partial_spline_se": self.spline_se,
            "p_value": self.p_value,
            "q_value": q,
            "call": pd.Categorical(np.array(CODES, dtype=object)[self.code], categories=names.TRIPLE_CALLS),
            "status": pd.Categorical(self.status, categories=statuses),
        }


def rows_of(
    conditioner: Conditioner, triples: np.ndarray, margin: float, *, nothing_left: str, threads: int = 1
) -> Rows:
    """Judge triples one by one: every residual is formed, and every product summed, in float64.

    Parameters
    ----------
    conditioner
        The data.
    triples
        Positions of x, y (the middle gene) and z, shape ``(N, 3)``.
    margin
        Partial correlations below it count as none.
    nothing_left
        Status of triples with an end that the middle gene leaves no variance.
    """
    n_rows = len(triples)
    numbers = {name: np.full(n_rows, np.nan) for name in Rows.__dataclass_fields__}
    numbers["n"] = np.zeros(n_rows, dtype=np.int32)
    numbers["code"] = np.full(n_rows, UNDETERMINED)
    status = conditioner.status[triples[:, 1]].astype(object)
    for end in (0, 2):
        bad = (status == names.OK) & (conditioner.end_status[triples[:, end]] != names.OK)
        status[bad] = conditioner.end_status[triples[bad, end]]
    order = np.argsort(triples[:, 1], kind="stable")
    edges = [0, *(np.flatnonzero(np.diff(triples[order, 1])) + 1), n_rows]
    groups = [order[a:b] for a, b in pairwise(edges) if b > a]

    size = min(_PART, conditioner.most_ends // 4)

    def work(some: list[np.ndarray]) -> None:
        some = [rows for rows in (rows[status[rows] == names.OK] for rows in some) if len(rows)]
        ready = conditioner.bases_of(np.array([triples[rows[0], 1] for rows in some], dtype=np.int64))
        for rows in some:
            judge_rows(rows, ready.get(int(triples[rows[0], 1])))

    def judge_rows(rows: np.ndarray, ready: Any) -> None:
        for low in range(0, len(rows), size):
            part = rows[low : low + size]
            ends, places = np.unique(triples[part][:, [0, 2]], return_inverse=True)
            places = places.reshape(-1, 2)
            given = conditioner.given(int(triples[part[0], 1]), ends, np.float64, listed=True, ready=ready)
            if given is None:
                status[part] = names.TOO_FEW_COUNTS
                continue
            of = given.estimates(Listed(places[:, 0], places[:, 1]))
            judged = np.isfinite(of.linear) & np.isfinite(of.spline)
            code, evidence = judge(of, margin, given.df)
            numbers["code"][part] = np.where(judged, code, UNDETERMINED)
            numbers["p_value"][part] = np.where(judged, p_values(evidence, given.df), np.nan)
            for name in ("correlation", "linear", "spline"):
                numbers[name][part] = getattr(of, name)
            numbers["linear_se"][part] = np.where(judged, np.sqrt(of.linear_variance), np.nan)
            numbers["spline_se"][part] = np.where(judged, np.sqrt(of.spline_variance), np.nan)
            numbers["n"][part] = given.n
            status[part[~judged]] = nothing_left

    at_once = max(1, min(MIDDLE_AT_ONCE, len(groups) // threads))
    in_threads(work, [groups[low : low + at_once] for low in range(0, len(groups), at_once)], threads)
    return Rows(**(numbers | {"status": status}))


def triple_table(genes: np.ndarray, triples: np.ndarray, rows: Rows, q: np.ndarray) -> pd.DataFrame:
    """The labelled table."""
    ends = {name: genes[triples[:, i]] for i, name in enumerate("xyz")}
    return pd.DataFrame(ends | rows.columns(q, names.TRIPLE_STATUSES))


def gene_table(
    genes: np.ndarray, symbols: np.ndarray, status: np.ndarray, n_ends: np.ndarray, counts: np.ndarray
) -> pd.DataFrame:
    """Tallies by middle gene; ``counts`` has shape ``(n_genes, 5)``, in the order of `CODES`."""
    table = {
        "gene": genes,
        "symbol": symbols,
        "status": pd.Categorical(status, categories=names.TRIPLE_STATUSES),
        "n_ends": n_ends,
        "n_screened": counts.sum(axis=1),
    }
    return pd.DataFrame(table | {f"n_{call}": counts[:, CODES.index(call)] for call in names.TRIPLE_CALLS})


def histogram_table(histogram: np.ndarray) -> pd.DataFrame:
    """Bins that hold any triples; ``histogram`` has shape ``(5, 40, 40)``."""
    code, linear, spline = np.nonzero(histogram)
    middle = (np.arange(N_BINS) + 0.5) * (2 / N_BINS) - 1
    return pd.DataFrame(
        {
            "call": pd.Categorical(np.array(CODES, dtype=object)[code], categories=names.TRIPLE_CALLS),
            "linear": middle[linear].round(6),
            "spline": middle[spline].round(6),
            "n": histogram[code, linear, spline],
        }
    )


def counts_summary(counts: np.ndarray) -> dict[str, Any]:
    """Counts and shares over middle genes; ``counts`` has shape ``(M, 5)``, in the order of `CODES`."""
    total = counts.sum(axis=0)
    separated, dependent = (
        counts[:, [KEPT, DISTORTED]].sum(axis=1),
        counts[:, [HIDDEN, DEPENDENT]].sum(axis=1),
    )
    n = int(total.sum())
    return {
        "n_screened": n,
        "n_separated": int(separated.sum()),
        "n_dependent": int(dependent.sum()),
        "n_kept": int(total[KEPT]),
        "n_distorted": int(total[DISTORTED]),
        "n_hidden": int(total[HIDDEN]),
        "n_undetermined": int(total[UNDETERMINED]),
        **_share("distorted", counts[:, DISTORTED], separated),
        **_share("hidden", counts[:, HIDDEN], dependent),
        "share_undetermined": int(total[UNDETERMINED]) / n if n else None,
    }


def _share(name: str, part: np.ndarray, whole: np.ndarray) -> dict[str, float | None]:
    """A share with a 95 % interval by leaving out one middle gene at a time."""
    estimate, low, high = leave_one_out(part.astype(float), whole.astype(float))
    return {f"share_{name}": estimate, f"share_{name}_low": low, f"share_{name}_high": high}


def leave_one_out(part: np.ndarray, whole: np.ndarray) -> tuple[float | None, float | None, float | None]:
    """A ratio of sums over groups, with a 95 % interval by the jackknife.

    Triples of one middle gene hang together; those of two share ends, so the interval is a guide. It always
    includes the exact binomial interval of no event in as many trials as there are groups.

    Examples
    --------
    >>> [round(v, 3) for v in leave_one_out(np.array([1.0, 0, 1, 0]), np.array([2.0, 2, 2, 2]))]
    [0.25, 0.0, 0.602]
    """
    total = whole.sum()
    if total == 0:
        return None, None, None
    estimate = float(part.sum() / total)
    used = whole > 0
    rest = total - whole[used]
    n = int(used.sum())
    if n < 3 or (rest <= 0).any():
        return estimate, 0.0, 1.0
    left_out = (part.sum() - part[used]) / rest
    error = float(np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum()))
    reach = 1 - 0.025 ** (1 / n)
    low, high = min(estimate - Z_INTERVAL * error, 1 - reach), max(estimate + Z_INTERVAL * error, reach)
    return estimate, max(low, 0.0), min(high, 1.0)
