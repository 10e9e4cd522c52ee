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
    most: int = MAX_PRODUCT,
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
    most
        Numbers that one addition of laws may take.

    Returns
    -------
    None if a gene has infinitely many values, there are too many sums to count, or rounding hides the answer.
    """
    try:
        cell = _cell_law(scm, [x, y, *given], set(genes), with_total=shares)
        if cell is None:
            return None
        numbers = {n_cells: 1.0} if isinstance(n_cells, int) else n_cells
        pool = _mixed(cell, numbers, means, most) if weights is None else _weighted(*cell, weights, most)
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
    """Values of the shown genes in one cell, in units of their sizes, and their probabilities."""
    found = cell_states(scm, shown, genes, with_total=with_total)
    return None if found is None else _merged(_in_units(found[0]), found[1])


def cell_states(
    scm: SCM, shown: Sequence[str], genes: set[str], *, with_total: bool = False
) -> tuple[np.ndarray, np.ndarray] | None:
    """Values of the shown genes in one cell, shape (n_states, n_shown), and their probabilities.

    With the total of all genes, that is one column more. A gene that nothing needs any more is summed out.
    None where a gene has infinitely many values.
    """
    states: dict[str, np.ndarray] = {}
    weights, total = np.ones(1), np.zeros(1)
    order = [gene for gene in scm.order if gene in genes]
    for i, gene in enumerate(order):
        grown = _outcomes(scm.mechanism(gene), states, len(weights))
        if grown is None or len(grown[0]) > MAX_STATES:
            return None
        row, values, shares = grown
        weights, total = weights[row] * shares, total[row] + values
        states = {name: column[row] for name, column in states.items()} | {gene: values}
        later = {*shown}.union(*(scm.parents(other) for other in order[i + 1 :]))
        states = {name: column for name, column in states.items() if name in later}
        columns = [*states.values(), total] if with_total else list(states.values())
        columns, weights = _joined(columns, weights)
        states = dict(zip(states, columns, strict=False))
        total = columns[-1] if with_total else np.zeros(len(weights))
    table = np.array([states[g] for g in shown]).T
    if with_total:
        table = np.column_stack([table, total])
    return table, weights


def _joined(columns: list[np.ndarray], weights: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Rows that are exactly equal put together."""
    if not columns:
        return columns, np.array([weights.sum()])
    levels = [np.unique(column, return_inverse=True) for column in columns]
    first, where = _distinct([np.ravel(place) for _, place in levels], [len(one) for one, _ in levels])
    return [column[first] for column in columns], np.bincount(where, weights=weights, minlength=len(first))


def _distinct(codes: Sequence[np.ndarray], sizes: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The first place of each distinct row of whole numbers below some sizes, and the one of every row."""
    code, size = np.zeros(len(codes[0]), dtype=np.int64), 1
    for column, n in zip(codes, sizes, strict=True):
        if size * n >= 2**62:  # what is known so far is numbered anew
            code = np.ravel(np.unique(code, return_inverse=True)[1])
            size = int(code.max()) + 1
        code, size = code * n + column, size * n
    _, first, where = np.unique(code, return_index=True, return_inverse=True)
    return first, np.ravel(where)


Grown = tuple[np.ndarray, np.ndarray, np.ndarray]


def _outcomes(mechanism: Equation | Kernel, values: Mapping[str, np.ndarray], n: int) -> Grown | None:
    """From which state each outcome of one gene comes, its value, and its probability given the state."""
    if isinstance(mechanism, Kernel):
        shares = _shares_of_kernel(mechanism, values, n)
        if shares is None:
            return None
        row, value = np.nonzero(shares > 0)
        return row, value.astype(float), shares[row, value]
    atoms: Sequence[tuple[object, float]] | None = ((0, 1.0),)
    if mechanism.noise is not None:
        atoms = mechanism.noise.atoms
    if atoms is None or n * len(atoms) > MAX_PRODUCT:
        return None
    noise = np.array([float(v) for v, _ in atoms])  # type: ignore[arg-type]
    row = np.repeat(np.arange(n), len(noise))
    full = {p: values[p][row] for p in mechanism.parents} | {"N": np.tile(noise, n)}
    child = np.broadcast_to(mechanism.expression.evaluate(full), len(row)).astype(float)
    shares = np.tile([float(p) for _, p in atoms], n)
    kept = shares > 0
    return row[kept], child[kept], shares[kept]


def _shares_of_kernel(kernel: Kernel, values: Mapping[str, np.ndarray], n: int) -> np.ndarray | None:
    """Probabilities of 0, 1, 2 and so on in each state, shape (n_states, n_values)."""
    if kernel.law not in ("bernoulli", "binomial", "categorical"):
        return None
    known = {p: values[p] for p in kernel.parents}
    given = [np.broadcast_to(argument.evaluate(known), (n,)) for argument in kernel.arguments]
    if kernel.law == "categorical":
        return np.stack([np.maximum(0.0, 1 - np.sum(given, axis=0)), *given], axis=1)
    trials, p = (np.ones(n), given[0]) if kernel.law == "bernoulli" else given
    most = round(float(trials.max()))
    if n * (most + 1) > MAX_PRODUCT:
        return None
    return np.asarray(stats.binom.pmf(np.arange(most + 1), np.rint(trials)[:, None], p[:, None]))


def _in_units(values: np.ndarray) -> np.ndarray:
    """Columns divided by their size, so that rounding means the same for all genes."""
    size = np.abs(values).max(axis=0)
    return values / np.where(size > 0, size, 1.0)


def _merged(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Equal rows put together."""
    snapped = [_snapped(column) for column in values.T]
    first, where = _distinct([place for _, place in snapped], [len(levels) for levels, _ in snapped])
    rows = np.stack([levels[place[first]] for levels, place in snapped], axis=1)
    return rows, np.bincount(where, weights=weights, minlength=len(rows))


def _snapped(column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Levels, and the place of each value among them; what is the same up to rounding is one level.

    It is one of its values: a mean would add errors.
    """
    levels, where = np.unique(column, return_inverse=True)
    gaps, size = np.diff(levels), max(1.0, float(np.abs(levels).max()))
    first = np.concatenate([[True], gaps > SAME * size])
    if (gaps[first[1:]] <= CLEAR * size).any():
        raise _UnclearError
    return levels[first], (np.cumsum(first) - 1)[np.ravel(where)]


def _sum_of(
    a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray], most: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """The law of the sum of two independent vectors."""
    if len(a[1]) * len(b[1]) * a[0].shape[1] > most:
        return None
    values = (a[0][:, None] + b[0][None]).reshape(-1, a[0].shape[1])
    found = _merged(values, np.outer(a[1], b[1]).ravel())
    return found if len(found[1]) <= MAX_STATES else None


def _weighted(
    values: np.ndarray, weights: np.ndarray, of_cells: Sequence[float], most: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """The law of the weighted sum of independent copies."""
    total = of_cells[0] * values, weights
    for weight in of_cells[1:]:
        more = _sum_of(total, (weight * values, weights), most)
        if more is None:
            return None
        total = more
    return total


def _mixed(
    cell: tuple[np.ndarray, np.ndarray], numbers: Mapping[int, float], means: bool, most: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """The law of sums, or means, over a number of cells that has a law."""
    pools = []
    for n, share in numbers.items():
        pool = _power(*cell, n, most)
        if pool is None:
            return None
        pools.append((pool[0] / n if means else pool[0], share * pool[1]))
    if len(pools) == 1:
        return pools[0]
    return _merged(np.concatenate([v for v, _ in pools]), np.concatenate([w for _, w in pools]))


def _power(
    values: np.ndarray, weights: np.ndarray, n: int, most: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """The law of the sum of n independent copies, by repeated doubling."""
    total: tuple[np.ndarray, np.ndarray] | None = None
    power: tuple[np.ndarray, np.ndarray] | None = (values, weights)
    while n:
        if power is None:
            return None
        if n % 2:
            total = power if total is None else _sum_of(total, power, most)
            if total is None:
                return None
        n //= 2
        if n:
            power = _sum_of(power, power, most)
    return total


def _factorises(values: np.ndarray, weights: np.ndarray, rounding: float) -> bool | None:
    """Tell whether the first two columns are independent given the others; None where rounding hides it."""
    codes = [np.ravel(np.unique(column, return_inverse=True)[1]) for column in values.T]
    group = np.zeros(len(weights), dtype=np.int64)
    if len(codes) > 2:
        group = _distinct(codes[2:], [int(c.max()) + 1 for c in codes[2:]])[1]
    order = np.argsort(group, kind="stable")
    ends = np.flatnonzero(np.diff(group[order])) + 1
    clear = True
    for mine in np.split(order, ends):
        x = np.unique(codes[0][mine], return_inverse=True)[1]
        y = np.unique(codes[1][mine], return_inverse=True)[1]
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
