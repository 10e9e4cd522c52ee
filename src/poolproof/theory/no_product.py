"""Forks whose ends surely move together at equal sums of the middle gene: transforms (method 3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from itertools import product
from math import lcm

import numpy as np

from ..models.mechanisms import Kernel, Mechanism
from .axis import ROUGH
from .conditional_law import child_at_nodes
from .enumeration import cell_states
from .pooled_model import PooledModel
from .separations import Separation

N_POINTS = 600
"""Values of the middle gene; and twice as many, for comparison."""
N_QUANTILES = 100_000
TAIL = 1e-6
FREQUENCIES = (0.35, 1.0, 2.0)
"""In units of one over the standard deviation of a sum."""
COMMON = 1e-2
"""Sums that have at least this share of the largest probability are looked at."""
CLEAR = 2e-4
"""Departure from a product, relative, from which on it is none of the lattice."""
STABLE = 0.02
"""How much of it may change with twice as many values."""
MOST_CELLS = 60
MOST_WEIGHT = 12
MOST_STATES = 50
"""Joint values of the parents of the middle gene."""

Lattice = tuple[int, np.ndarray, np.ndarray]
State = tuple[Mapping[str, np.ndarray], float]
Weighted = tuple[float, tuple[int, ...]]
Transform = Callable[[float], np.ndarray]


def ends_move_together(pooled: PooledModel, statement: Separation) -> str | None:
    """The rule that refuses a fork of two children of one gene, seen in numbers; None where it does not.

    The gene is a root, or follows from genes with few values, and from a noise.

    Notes
    -----
    Given the cells of the middle gene M the ends are independent. So E[exp(iuS_X + ivS_Z) ; S_M = s] is
    the convolution over cells of p(m) E[exp(iuX) | m] E[exp(ivZ) | m], and the ends are independent given
    S_M only if it is E[exp(iuS_X) ; s] E[exp(ivS_Z) ; s] / P(s) at all u, v and s.
    """
    if len(statement.given) != 1 or pooled.linear.kind != "linear" or pooled.scm.cell_types:
        return None
    (middle,) = statement.given
    ends = [pooled.scm.mechanism(end) for end in (statement.x, statement.y)]
    if any(not set(end.parents) <= {middle} for end in ends):
        return None
    pools = pools_of(pooled)
    if pools is None:
        return None
    with np.errstate(all="ignore"):
        states = states_of_parents(pooled, middle)
        if states is None:
            return None
        root = pooled.scm.mechanism(middle)
        gaps = [_departure(root, middle, states, ends, pools, n) for n in (N_POINTS, 2 * N_POINTS)]
    coarse, fine = gaps
    if coarse is None or fine is None or not fine > CLEAR or abs(coarse - fine) > STABLE * fine:
        return None
    return f"at equal sums of {middle} the ends move together: their joint transform is no product"


def pools_of(pooled: PooledModel, most_cells: int = MOST_CELLS) -> list[Weighted] | None:
    """Probabilities of pools, each with the whole weights of its cells; None where there are none."""
    if pooled.weights is not None:
        parts = [Fraction(repr(float(w))).limit_denominator(MOST_WEIGHT) for w in pooled.weights]
        scale = lcm(*(part.denominator for part in parts))
        whole = tuple(int(part * scale) for part in parts)
        same = np.allclose(np.array(whole) / scale, pooled.weights, rtol=1e-12)
        return [(1.0, whole)] if same and min(whole) > 0 and max(whole) <= MOST_WEIGHT else None
    if pooled.random_number and pooled.linear.divides_by_cells:
        return None
    values, shares = pooled.cell_numbers.law
    if values.max() > most_cells or pooled.largest == 1:
        return None
    return [(float(p), (1,) * int(k)) for k, p in zip(values, shares, strict=True)]


def states_of_parents(pooled: PooledModel, gene: str) -> list[State] | None:
    """Joint values of the parents of a gene, and their probabilities; None where they are not few."""
    parents = pooled.scm.parents(gene)
    if not parents:
        return [({}, 1.0)]
    found = cell_states(pooled.scm, parents, pooled.above[gene])
    if found is None or len(found[1]) > MOST_STATES:
        return None
    return [
        (dict(zip(parents, map(np.array, row), strict=True)), float(p)) for row, p in zip(*found, strict=True)
    ]


def _departure(
    root: Mechanism,
    middle: str,
    states: Sequence[State],
    ends: Sequence[Mechanism],
    pools: Sequence[Weighted],
    n: int,
) -> float | None:
    """How far the joint transform at a sum is from a product, relative, at its largest."""
    lattice = lattice_of(root, states, n)
    if lattice is None:
        return None
    first, values, masses = lattice
    transforms = []
    for end in ends:
        found = _transform(end, {middle: values}, masses)
        if found is None:
            return None
        transforms.append(found)
    size = max(len(weights) for _, weights in pools) ** 0.5
    reach = max(sum(weights) for _, weights in pools)
    span = (
        len(values) if len(pools) == 1 else 2 * (abs(first) + len(values))
    )  # sums of one pool are not mixed
    length = 1 << int(span * reach).bit_length()

    def pooled(u: float, v: float) -> np.ndarray:
        total = np.zeros(length, dtype=complex)
        for share, weights in pools:
            spectrum = np.ones(length, dtype=complex)
            for w in sorted({*weights}):
                placed = np.zeros(length, dtype=complex)
                cell = masses * transforms[0](w * u / size) * transforms[1](w * v / size)
                np.add.at(placed, (w * (first + np.arange(len(values)))) % length, cell)
                spectrum *= power(np.fft.fft(placed), weights.count(w))
            total += share * spectrum
        return np.asarray(np.fft.ifft(total))

    none = pooled(0.0, 0.0).real
    common = none > COMMON * none.max()
    alone = [[pooled(*at) for at in (((u, 0.0), (0.0, u))[i] for u in FREQUENCIES)] for i in (0, 1)]
    worst = 0.0
    for i, j in product(range(len(FREQUENCIES)), repeat=2):
        joint = pooled(FREQUENCIES[i], FREQUENCIES[j])
        gap = np.abs(joint * none - alone[0][i] * alone[1][j])[common] / none[common] ** 2
        worst = max(worst, float(gap.max()))
    return worst if np.isfinite(worst) else None


def power(values: np.ndarray, n: int) -> np.ndarray:
    """A whole power by squaring, many times faster than that of complex numbers in general."""
    found = np.ones_like(values)
    while n:
        if n % 2:
            found = found * values
        values, n = values * values, n // 2
    return found


def lattice_of(
    root: Mechanism, states: Sequence[State], n: int, *, through_zero: bool = True
) -> Lattice | None:
    """First place on a lattice, values and probabilities of the middle gene.

    A lattice need not go through 0 where all pools have the same number of cells.
    """
    if isinstance(root, Kernel) or root.noise is None or root.expression.sympy.has(*ROUGH):
        return None
    if not root.noise.is_continuous:
        if not root.is_noise or root.noise.support.kind != "integers":
            return None
        nodes, masses = root.noise.quadrature()
        kept = masses > TAIL * masses.max()
        return int(nodes[kept][0]), nodes[kept], masses[kept] / masses[kept].sum()
    shares = np.linspace(TAIL, 1 - TAIL, N_QUANTILES)
    noise = root.noise.quantile(shares)
    values = [np.broadcast_to(root.value(at, noise), noise.shape).astype(float) for at, _ in states]
    if not all(np.isfinite(v).all() and (np.diff(v) > 0).all() for v in values):
        return None
    ends = [np.interp([1e-5, 1 - 1e-5], shares, v) for v in values]
    low, high = min(e[0] for e in ends), max(e[1] for e in ends)
    step = (high - low) / n
    first = int(np.ceil(low / step)) if through_zero else 0
    start = step * first if through_zero else low
    edges = start + step * (np.arange(n + 1) - 0.5)
    masses = np.sum(
        [p * np.diff(np.interp(edges, v, shares)) for (_, p), v in zip(states, values, strict=True)], axis=0
    )
    inside = start + step * np.arange(n)
    if (len(states) == 1 and not (masses > 0).all()) or abs(first) > 20 * n:
        return None
    return first, inside, masses / masses.sum()


def _transform(end: Mechanism, cells: Mapping[str, np.ndarray], masses: np.ndarray) -> Transform | None:
    """E[exp(iuX) | m] by frequency, in units of one over the standard deviation of X."""
    if isinstance(end, Kernel):
        mean, variance = end.cumulants(cells, 2)
        sd = _spread(mean, variance, masses)
        if sd is None:
            return None
        unit = sd
        return lambda u: np.exp(end.log_cf(cells, np.array([u / unit]))[:, 0])
    child, shares = child_at_nodes(end.expression.sympy, end.noise, cells)
    mean = child @ shares
    sd = _spread(mean, (child - mean[:, None]) ** 2 @ shares, masses)
    if sd is None:
        return None
    scale = sd
    return lambda u: np.exp(1j * child * (u / scale)) @ shares


def _spread(mean: np.ndarray, variance: np.ndarray, masses: np.ndarray) -> float | None:
    """Standard deviation of an end, over the middle gene."""
    centre = mean @ masses
    total = float(np.sqrt(((mean - centre) ** 2 + variance) @ masses))
    return total if np.isfinite(total) and total > 0 else None
