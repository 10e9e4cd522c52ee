"""The design of a test: levels analysed apart, covariates projected out, replicates kept together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from .._checks import InputError, check_column, printable

MIN_SAMPLES = 10
"""Samples that a level needs (method 6.8)."""


@dataclass(frozen=True, eq=False)
class Level:
    """Samples that are analysed together: all of them, or one level of the ``within`` columns."""

    name: str
    """Values of the ``within`` columns, joined; empty without ``within``."""
    rows: np.ndarray
    """Samples, shape ``(n,)``, sorted by cluster, then by stratum."""
    covariates: np.ndarray
    """Orthonormal columns to project out, shape ``(n, p)``, the constant first."""
    strata: np.ndarray
    """Code of the categorical covariates' combination, shape ``(n,)``; all 0 without covariates."""
    clusters: np.ndarray | None
    """Code of the replicate, shape ``(n,)``, 0 .. n_clusters - 1; None: samples are independent."""

    @property
    def n_clusters(self) -> int:
        """One more than the largest code of a replicate; 0 without replicates."""
        return 0 if self.clusters is None else int(self.clusters.max(initial=-1)) + 1

    def cluster_slices(self) -> list[slice]:
        """Rows of every cluster, as slices."""
        if self.clusters is None:
            return []
        edges = np.searchsorted(self.clusters, np.arange(self.n_clusters + 1))
        return [slice(int(a), int(b)) for a, b in pairwise(edges)]


def n_present(level: Level) -> int:
    """Replicates that have samples in this level; 0 without replicates."""
    return 0 if level.clusters is None else len(np.unique(level.clusters))


def part_of(level: Level, keep: np.ndarray) -> Level:
    """The level with some of its samples, codes of replicates unchanged; ``keep`` is a mask, ``(n,)``."""
    columns = np.hstack([np.ones((int(keep.sum()), 1)), level.covariates[keep][:, 1:]])
    strata = np.unique(level.strata[keep], return_inverse=True)[1]
    clusters = None if level.clusters is None else level.clusters[keep]
    return Level(level.name, level.rows[keep], orthonormal(columns), strata, clusters)


def n_effective(level: Level) -> float:
    """Replicates of equal size that would weigh as those of this level: (sum n)^2 / sum n^2 (Kish 1965).

    Examples
    --------
    >>> codes = np.repeat([0, 1, 2], [10, 10, 80])
    >>> level = Level("", np.arange(100), np.ones((100, 1)) / 10, np.zeros(100, dtype=int), codes)
    >>> round(n_effective(level), 2)
    1.52
    """
    if level.clusters is None:
        return 0.0
    sizes = np.bincount(level.clusters).astype(np.float64)
    return float(sizes.sum() ** 2 / (sizes**2).sum())


@dataclass(frozen=True, eq=False)
class Design:
    """The levels of an analysis, and what had to be left out of it."""

    levels: tuple[Level, ...]
    """In the order of their names."""
    n_clusters: int
    """Replicates over all levels; 0 where samples count as independent."""
    numeric_covariates: tuple[str, ...]
    """Names of the covariates that are numbers, those added by the test included."""
    warnings: tuple[str, ...]
    """Samples and levels left out, and why."""


def n_independent(design: Design) -> int:
    """Independent units of an analysis: replicates, or samples where there are none."""
    return design.n_clusters or sum(len(level.rows) for level in design.levels)


def make_design(
    obs: pd.DataFrame,
    *,
    within: Sequence[str] = (),
    replicate: str | None = None,
    covariates: Sequence[str] = (),
    usable: np.ndarray | None = None,
    extra: dict[str, np.ndarray] | None = None,
    categorical_only: bool = False,
    min_per_stratum: int = 1,
) -> Design:
    """Build the design from the columns of ``obs``.

    Parameters
    ----------
    obs
        One row a sample.
    within, replicate, covariates
        Column names. Samples with a missing entry in one of them are left out, with a warning.
    usable
        Samples that may be used, shape ``(n_obs,)``.
    extra
        Further numeric covariates by name, each of shape ``(n_obs,)`` (log depth).
    categorical_only
        Whether covariates become strata, as the count-noise-corrected test needs.
    min_per_stratum
        Samples in smaller strata are left out, with a warning.

    Raises
    ------
    InputError
        A column is not there, a covariate is numeric where strata are needed, or no level has at least
        10 samples.
    """
    extra = extra or {}
    numeric = _checked_columns(obs, within, replicate, covariates, categorical_only)
    warnings: list[str] = []
    keep = np.ones(len(obs), dtype=bool) if usable is None else np.asarray(usable, dtype=bool).copy()
    named = [*within, *([replicate] if replicate else []), *covariates, *extra]
    missing = _missing(obs, [c for c in named if c not in extra], numeric, extra)
    if (missing & keep).any():
        listed = ", ".join(printable(c, 40) for c in named)
        warnings.append(f"{int((missing & keep).sum())} samples left out: no value in {listed}")
        keep &= ~missing
    level_codes, level_names = _combine(obs, within, keep)
    levels, small = [], []
    for code, name in enumerate(level_names):
        rows = np.flatnonzero(keep & (level_codes == code))
        strata = np.zeros(len(rows), dtype=int)
        if categorical_only:
            strata = _strata(obs, covariates, replicate, rows)
            rows, strata = _large_strata(rows, strata, min_per_stratum, name, warnings)
        if len(rows) < MIN_SAMPLES:
            small.append((name, len(rows)))
            continue
        levels.append(_level(name, obs, rows, strata, replicate, covariates, extra, categorical_only))
    if small and within:
        listed = ", ".join(f"{printable(name, 40)} ({n})" for name, n in small[:5])
        warnings.append(f"{len(small)} levels left out, with fewer than {MIN_SAMPLES} samples: {listed}")
    if not levels:
        raise InputError(
            f"at least {MIN_SAMPLES} usable samples are needed{' in one level' if within else ''}; found "
            f"{max((n for _, n in small), default=0)}; check --within, --covariates and missing values"
        )
    n_clusters = 0
    if replicate:
        used = np.concatenate([level.rows for level in levels])
        n_clusters = int(obs[replicate].iloc[used].nunique())
        levels = _shared_clusters(levels, obs[replicate])
        warnings.extend(_unlike_sizes(levels))
    return Design(tuple(levels), n_clusters, (*numeric, *extra), tuple(warnings))


def _checked_columns(
    obs: pd.DataFrame,
    within: Sequence[str],
    replicate: str | None,
    covariates: Sequence[str],
    categorical_only: bool,
) -> tuple[str, ...]:
    """Refuse columns that are not there or of the wrong type; return the covariates that are numbers."""
    of_options = (
        ("--within", within),
        ("--replicate", [replicate] if replicate else []),
        ("--covariates", covariates),
    )
    for option, columns in of_options:
        for name in columns:
            check_column(obs.columns, name, where="the table of samples", option=option)
    numeric = tuple(c for c in covariates if _is_numeric(obs[c]))
    if categorical_only and numeric:
        raise InputError(
            f"--covariates {printable(numeric[0])} is numeric, and the corrected test takes categorical "
            "covariates only; bin the column into categories, or use --test robust"
        )
    return numeric


def _missing(
    obs: pd.DataFrame, columns: Sequence[str], numeric: Sequence[str], extra: dict[str, np.ndarray]
) -> np.ndarray:
    """Samples without a label, or without a number that can be used, shape ``(n_obs,)``."""
    missing = obs[list(columns)].isna().any(axis=1).to_numpy() if columns else np.zeros(len(obs), dtype=bool)
    for values in (*extra.values(), *(obs[c].to_numpy(dtype=np.float64) for c in numeric)):
        missing = missing | ~np.isfinite(values)
    return missing


def _large_strata(
    rows: np.ndarray, strata: np.ndarray, least: int, level: str, warnings: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Leave out the cells of strata that are too small; a single stratum stays."""
    counts = np.bincount(strata, minlength=1)
    enough = counts[strata] >= least
    if enough.all() or counts.size == 1:
        return rows, strata
    warnings.append(
        f"{int((~enough).sum())} cells left out{_of(level)}: fewer than {least} cells share "
        "their replicate and covariates"
    )
    return rows[enough], strata[enough]


def _unlike_sizes(levels: list[Level]) -> list[str]:
    """Say where a few large replicates outweigh the others."""
    level = max(levels, key=n_effective)
    present, effective = n_present(level), n_effective(level)
    if effective > present / 2:
        return []
    sizes = np.bincount(level.clusters) if level.clusters is not None else np.zeros(1, dtype=int)
    return [
        f"{present} replicates of {sizes[sizes > 0].min():,} to {sizes.max():,} samples{_of(level.name)} "
        f"weigh as {effective:.1f} of equal size"
    ]


def _of(name: str) -> str:
    return f" of {printable(name, 40)}" if name else ""


def _is_numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _combine(obs: pd.DataFrame, columns: Sequence[str], keep: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Codes and names of the combinations of columns, in sorted order of their names."""
    if not columns:
        return np.zeros(len(obs), dtype=int), [""]
    joined = obs[list(columns)].astype(str).agg(" / ".join, axis=1).to_numpy(dtype=object)
    names = sorted(set(joined[keep]))
    lookup = {name: code for code, name in enumerate(names)}
    return np.array([lookup.get(name, -1) for name in joined]), names


def _strata(
    obs: pd.DataFrame, covariates: Sequence[str], replicate: str | None, rows: np.ndarray
) -> np.ndarray:
    columns = [*covariates, *([replicate] if replicate else [])]
    if not columns:
        return np.zeros(len(rows), dtype=int)
    joined = obs[columns].iloc[rows].astype(str).agg("\x1f".join, axis=1)
    return pd.factorize(joined, sort=True)[0]


def _level(
    name: str,
    obs: pd.DataFrame,
    rows: np.ndarray,
    strata: np.ndarray,
    replicate: str | None,
    covariates: Sequence[str],
    extra: dict[str, np.ndarray],
    categorical_only: bool,
) -> Level:
    clusters = None
    if replicate:
        clusters = pd.factorize(obs[replicate].iloc[rows].astype(str), sort=True)[0]
        order = np.lexsort((rows, strata, clusters))
        rows, strata, clusters = rows[order], strata[order], clusters[order]
    elif categorical_only:
        order = np.lexsort((rows, strata))
        rows, strata = rows[order], strata[order]
    strata = pd.factorize(strata)[0]  # in the order of the rows: sums by stratum take blocks of them
    columns = np.ones((len(rows), 1))
    if not categorical_only:
        columns = covariate_columns(obs, covariates, rows)
        more = [np.asarray(values, dtype=np.float64)[rows, None] for values in extra.values()]
        if clusters is not None:
            more.append(np.eye(clusters.max() + 1)[clusters])
        columns = np.hstack([columns, *more])
    return Level(name, rows, orthonormal(columns), strata, clusters)


def covariate_columns(obs: pd.DataFrame, covariates: Sequence[str], rows: np.ndarray) -> np.ndarray:
    """The constant, then numbers as they are and categories as indicators, shape ``(len(rows), c)``."""
    columns = [np.ones((len(rows), 1))]
    for covariate in covariates:
        values = obs[covariate].iloc[rows]
        if _is_numeric(obs[covariate]):
            columns.append(values.to_numpy(dtype=np.float64)[:, None])
        else:
            columns.append(pd.get_dummies(values.astype(str), dtype=float).to_numpy())
    return np.hstack(columns)


def orthonormal(columns: np.ndarray) -> np.ndarray:
    """Orthonormal basis of the columns, the constant (the first) kept first."""
    constant = columns[:, :1] / np.sqrt(len(columns))
    columns = columns / np.maximum(np.abs(columns).max(axis=0), 1e-300)
    rest = columns[:, 1:] - constant @ (constant.T @ columns[:, 1:])
    scale = np.sqrt((rest**2).sum(axis=0))
    rest = rest[:, scale > 1e-9]
    if rest.shape[1] == 0:
        return constant
    rest = rest / np.sqrt((rest**2).sum(axis=0))
    left, singular, _ = np.linalg.svd(rest, full_matrices=False)
    return np.hstack([constant, left[:, singular > 1e-7 * singular[0]]])


def _shared_clusters(levels: list[Level], replicate: pd.Series) -> list[Level]:
    """Give one replicate the same code in all levels; a level's own codes may then have gaps."""
    names = sorted({str(v) for level in levels for v in replicate.iloc[level.rows]})
    lookup = {name: code for code, name in enumerate(names)}
    shared = []
    for level in levels:
        codes = np.array([lookup[str(v)] for v in replicate.iloc[level.rows]])
        shared.append(Level(level.name, level.rows, level.covariates, level.strata, codes))
    return shared
