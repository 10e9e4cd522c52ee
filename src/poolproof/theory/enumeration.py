"""Exact laws of pools where every gene has finitely many values: independences decided by counting."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from scipy import stats

from ..models.mechanisms import Equation, Kernel
from ..models.scm import SCM

MAX_STATES = 200_000
MAX_PRODUCT = 20_000_000
LEAST = 1e-290
"""Probabilities below it have lost digits."""
SAME = 1e-12
"""Differences of values, in units of the largest of one cell, and of probabilities, relative to them, that
are rounding of one addition; for those of a pool, times the number of cells."""
CLEAR = 1e-9
"""From here on they are surely none. What lies between is not decided."""


def independent_in_pools(
    scm: SCM,
    x: str,
    y: str,
    given: Sequence[str],
    genes: Collection[str],
    n_cells: int | Mapping[int, float],
    weights: Sequence[float] | None = None,
    *,
    means: bool = False,
    shares: bool = False,
) -> bool | None:
    """Decide exactly whether the sums of x and y over alike, independent cells are independent given others.

    Parameters
    ----------
    scm
        The model, without cell types.
    x, y, given
        The statement.
    genes
        These and all their ancestors.
    n_cells
        Cells in a pool, or the probability of each number of them.
    weights
        Of the cells, where they differ.
    means
        Whether sums are divided by the number of cells.
    shares
        Whether they are divided by the total of all ``genes``; pools without a total are not seen.

    Returns
    -------
    None if a gene has infinitely many values, there are too many sums to count, or rounding hides the answer.
    """
    try:
        cell = _cell_law(scm, [x, y, *given], set(genes), with_total=shares)
        if cell is None:
            return None
        numbers = {n_cells: 1.0} if isinstance(n_cells, int) else n_cells
        pool = _mixed(cell, numbers, means) if weights is None else _weighted(*cell, weights)
        if shares and pool is not None:
            pool = _shares(*pool)
        return None if pool is None else _factorises(*pool, SAME * max(numbers))
    except _UnclearError:
        return None


class _UnclearError(Exception):
    """Two values may be the same or not: their difference is that of rounding or little more."""


def _shares(sums: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Sums divided by the last column, the total, up to a factor for each gene."""
    seen = sums[:, -1] > CLEAR
    if not seen.any():
        return None
    return _merged(sums[seen, :-1] / sums[seen, -1:], weights[seen] / weights[seen].sum())


def _cell_law(
    scm: SCM, shown: Sequence[str], genes: set[str], *, with_total: bool = False
) -> tuple[np.ndarray, np.ndarray] | None:
    """Values of the shown genes in one cell, shape (n_states, n_shown), and their probabilities.

    With the total of all genes, that is one column more.
    """
    states: list[tuple[dict[str, float], float]] = [({}, 1.0)]
    for gene in scm.order:
        if gene not in genes:
            continue
        grown = []
        for values, weight in states:
            outcomes = _outcomes(scm.mechanism(gene), values)
            if outcomes is None:
                return None
            grown += [(values | {gene: v}, weight * p) for v, p in outcomes if p > 0]
        if len(grown) > MAX_STATES:
            return None
        states = grown
    table = np.array([[values[g] for g in shown] for values, _ in states])
    if with_total:
        table = np.column_stack([table, [sum(values.values()) for values, _ in states]])
    return _merged(_in_units(table), np.array([weight for _, weight in states]))


def _outcomes(mechanism: Equation | Kernel, values: Mapping[str, float]) -> list[tuple[float, float]] | None:
    """Values of one gene and their probabilities, given its parents'."""
    arrays = {p: np.array([values[p]]) for p in mechanism.parents}
    if isinstance(mechanism, Kernel):
        parameters = [float(np.ravel(argument.evaluate(arrays))[0]) for argument in mechanism.arguments]
        if mechanism.law == "categorical":
            shares = [max(0.0, 1 - sum(parameters)), *parameters]
            return [(float(v), share) for v, share in enumerate(shares)]
        if mechanism.law not in ("bernoulli", "binomial"):
            return None
        n, p = parameters if mechanism.law == "binomial" else (1.0, parameters[0])
        return [(float(v), float(stats.binom.pmf(v, round(n), p))) for v in range(round(n) + 1)]
    atoms: Sequence[tuple[object, float]] | None = ((0, 1.0),)
    if mechanism.noise is not None:
        atoms = mechanism.noise.atoms
    if atoms is None:
        return None
    noise = np.array([float(v) for v, _ in atoms])  # type: ignore[arg-type]
    full = {p: np.broadcast_to(v, len(noise)) for p, v in arrays.items()} | {"N": noise}
    child = np.broadcast_to(mechanism.expression.evaluate(full), len(noise))
    return [(float(v), float(p)) for v, (_, p) in zip(child, atoms, strict=True)]


def _in_units(values: np.ndarray) -> np.ndarray:
    """Columns divided by their size, so that rounding means the same for all genes."""
    size = np.abs(values).max(axis=0)
    return values / np.where(size > 0, size, 1.0)


def _merged(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Equal rows put together."""
    snapped = np.stack([_snapped(column) for column in values.T], axis=1)
    rows, where = np.unique(snapped, axis=0, return_inverse=True)
    return rows, np.bincount(np.ravel(where), weights=weights, minlength=len(rows))


def _snapped(column: np.ndarray) -> np.ndarray:
    """Values that are the same up to rounding made the same: one of them, as a mean would add errors."""
    levels, where = np.unique(column, return_inverse=True)
    gaps, size = np.diff(levels), max(1.0, float(np.abs(levels).max()))
    first = np.concatenate([[True], gaps > SAME * size])
    if (gaps[first[1:]] <= CLEAR * size).any():
        raise _UnclearError
    return levels[first][np.cumsum(first) - 1][np.ravel(where)]


def _sum_of(
    a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray] | None:
    """The law of the sum of two independent vectors."""
    if len(a[1]) * len(b[1]) * a[0].shape[1] > MAX_PRODUCT:
        return None
    values = (a[0][:, None] + b[0][None]).reshape(-1, a[0].shape[1])
    found = _merged(values, np.outer(a[1], b[1]).ravel())
    return found if len(found[1]) <= MAX_STATES else None


def _weighted(
    values: np.ndarray, weights: np.ndarray, of_cells: Sequence[float]
) -> tuple[np.ndarray, np.ndarray] | None:
    """The law of the weighted sum of independent copies."""
    total = of_cells[0] * values, weights
    for weight in of_cells[1:]:
        more = _sum_of(total, (weight * values, weights))
        if more is None:
            return None
        total = more
    return total


def _mixed(
    cell: tuple[np.ndarray, np.ndarray], numbers: Mapping[int, float], means: bool
) -> tuple[np.ndarray, np.ndarray] | None:
    """The law of sums, or means, over a number of cells that has a law."""
    pools = []
    for n, share in numbers.items():
        pool = _power(*cell, n)
        if pool is None:
            return None
        pools.append((pool[0] / n if means else pool[0], share * pool[1]))
    if len(pools) == 1:
        return pools[0]
    return _merged(np.concatenate([v for v, _ in pools]), np.concatenate([w for _, w in pools]))


def _power(values: np.ndarray, weights: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray] | None:
    """The law of the sum of n independent copies, by repeated doubling."""
    total: tuple[np.ndarray, np.ndarray] | None = None
    power: tuple[np.ndarray, np.ndarray] | None = (values, weights)
    while n:
        if power is None:
            return None
        if n % 2:
            total = power if total is None else _sum_of(total, power)
            if total is None:
                return None
        n //= 2
        if n:
            power = _sum_of(power, power)
    return total


def _factorises(values: np.ndarray, weights: np.ndarray, rounding: float) -> bool | None:
    """Tell whether the first two columns are independent given the others; None where rounding hides it."""
    groups = np.unique(values[:, 2:], axis=0, return_inverse=True)[1].ravel() if values.shape[1] > 2 else 0
    groups = np.broadcast_to(groups, len(weights))
    clear = True
    for group in np.unique(groups):
        mine = groups == group
        x = np.unique(values[mine, 0], return_inverse=True)[1]
        y = np.unique(values[mine, 1], return_inverse=True)[1]
        joint = np.zeros((x.max() + 1, y.max() + 1))
        np.add.at(joint, (x, y), weights[mine])
        if joint.shape[0] == 1 or joint.shape[1] == 1:
            continue
        total = joint.sum()
        if total < LEAST:
            clear = False
            continue
        joint /= total
        apart = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0)
        largest = np.maximum(joint, apart)
        gap = np.where(largest * total < LEAST, 0.0, np.abs(joint - apart) / np.maximum(largest, LEAST))
        if gap.max() > CLEAR:
            return False
        clear &= bool(gap.max() <= rounding and (largest * total >= LEAST).all())
    return True if clear else None
