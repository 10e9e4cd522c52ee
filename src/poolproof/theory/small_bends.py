"""Forks whose ends have bends that covary at equal sums of the middle gene, however small (method 3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import product

import numpy as np

from ..models.algebra import NOISE
from ..models.mechanisms import Equation, Kernel, Mechanism
from .axis import ROUGH
from .conditional_law import cumulants_on_grid
from .no_product import COMMON, MOST_CELLS, N_POINTS, Lattice, lattice_of, pools_of, power, states_of_parents
from .pooled_model import PooledModel
from .separations import Separation

ORDERS = 3
STRAIGHT = 1e-11
"""Departure of a cumulant from a line, relative to its size, that is rounding."""
BENT = 1e-8
"""And one that surely is none."""
CLEAR = 1e-2
"""Correlation of two bends at some sum that is surely none of the lattice."""
STABLE = 0.02
"""How much of it may change with twice as many values."""
LARGEST = 1_000
"""Cells up to which sums are worked out, with fewer values of the middle gene beyond 60."""
FEWEST_POINTS = 40
WORDS = {1: "means", 2: "variances", 3: "third cumulants"}

Bend = tuple[int, np.ndarray, float]


def bends_covary(pooled: PooledModel, statement: Separation) -> str | None:
    """The rule that refuses a fork by the bends of its ends; None where this does not decide it.

    Notes
    -----
    Let k and l be the first orders at which the conditional cumulants of the ends, given the middle gene M,
    are not affine in it (with weights, from order 2 on: not constant). Given the sum, the covariance of the
    k-th and l-th central powers of the pooled ends is that of the sums of these cumulants over the cells,
    and so of what lines leave of them. It is worked out on a lattice of values of M. The bends are
    in units of their own, so that it does not matter how small they are.
    """
    if len(statement.given) != 1 or pooled.linear.kind != "linear" or not pooled.cells_are_alike:
        return None
    (middle,) = statement.given
    ends = [pooled.scm.mechanism(end) for end in (statement.x, statement.y)]
    if any(set(end.parents) != {middle} or _noise_is_rough(end) for end in ends) or pooled.largest == 1:
        return None
    pools, states = pools_of(pooled, LARGEST), states_of_parents(pooled, middle)
    if pools is None or len(pools) != 1 or states is None:
        return None
    weights = pools[0][1]
    n_points = int(np.clip(N_POINTS * MOST_CELLS / sum(weights), FEWEST_POINTS, N_POINTS))
    found = []
    with np.errstate(all="ignore"):
        for n in (n_points, 2 * n_points):
            lattice = lattice_of(pooled.scm.mechanism(middle), states, n, through_zero=False)
            bends = lattice and [_first_bend(end, middle, lattice, len({*weights}) > 1) for end in ends]
            if not lattice or not bends or bends[0] is None or bends[1] is None:
                return None
            found.append((_correlation(lattice, (bends[0], bends[1]), weights), bends))
    (coarse, _), (fine, (one, two)) = found
    if one is None or two is None or not fine > CLEAR or abs(coarse - fine) > STABLE * fine:
        return None
    which = WORDS[one[0]] if one[0] == two[0] else f"{WORDS[one[0]]} and {WORDS[two[0]]}"
    return f"at equal sums of {middle} the {which} of both move together: {_size(one)} and {_size(two)}"


def _size(bend: Bend) -> str:
    return f"a bend of {bend[2]:.1g}"


def _noise_is_rough(mechanism: Mechanism) -> bool:
    """Whether a step or corner lies in the noise, which its quadrature would see badly."""
    if isinstance(mechanism, Kernel):
        return False
    return any(NOISE in part.free_symbols for part in mechanism.expression.sympy.atoms(*ROUGH))


def _first_bend(mechanism: Equation | Kernel, middle: str, lattice: Lattice, weighted: bool) -> Bend | None:
    """Order of the first cumulant that sums do not settle, what a line leaves of it, and how much that is."""
    _, values, masses = lattice
    cumulants = cumulants_on_grid(mechanism, middle, values, ORDERS)
    spread = float(np.sqrt(np.abs(cumulants[1]).max())) if len(cumulants) > 1 else 0.0
    for order, row in enumerate(cumulants, start=1):
        if not np.isfinite(row).all():
            return None
        columns = [np.ones_like(values)] if weighted and order > 1 else [np.ones_like(values), values]
        root = np.sqrt(masses)
        fitted = np.linalg.lstsq(np.stack(columns, axis=1) * root[:, None], row * root, rcond=None)[0]
        rest = row - fitted @ np.stack(columns)
        left, size = float(np.abs(rest).max()), max(float(np.abs(row).max()), spread**order, 1e-300)
        if left > BENT * size:
            return order, rest / left, left / size
        if left > STRAIGHT * size:
            return None
    return None


def _correlation(lattice: Lattice, bends: tuple[Bend, Bend], weights: Sequence[int]) -> float:
    """The largest correlation of two bends, summed over the cells, at common sums of the middle gene."""
    first, values, masses = lattice
    reach = sum(weights)
    length = 1 << int(len(values) * reach).bit_length()
    place = first + np.arange(len(values))
    (k, a, _), (m, b, _) = bends
    spectra = {}
    for w in {*weights}:
        parts = [masses, w**k * a * masses, w**m * b * masses, w ** (k + m) * a * b * masses]
        parts += [w ** (2 * k) * a * a * masses, w ** (2 * m) * b * b * masses]
        spectra[w] = [_spectrum(part, w * place, length) for part in parts]
    n_of = Counter(weights)

    def rest(*taken: int) -> np.ndarray:
        left = n_of - Counter(taken)
        return (
            np.prod([power(spectra[w][0], n) for w, n in left.items()], axis=0) if left else np.ones(length)
        )

    def with_one(i: int) -> np.ndarray:
        return np.sum([n * spectra[w][i] * rest(w) for w, n in n_of.items()], axis=0)

    def with_two(i: int, j: int) -> np.ndarray:
        pairs = [(w, v, n_of[w] * (n_of[v] - (w == v))) for w, v in product(n_of, repeat=2)]
        terms = [n * spectra[w][i] * spectra[v][j] * rest(w, v) for w, v, n in pairs if n]
        return np.sum(terms, axis=0) if terms else np.zeros(length)

    base, mean_a, mean_b, ab, aa, bb = (
        np.fft.ifft(spectrum).real
        for spectrum in (
            rest(),
            with_one(1),
            with_one(2),
            with_one(3) + with_two(1, 2),
            with_one(4) + with_two(1, 1),
            with_one(5) + with_two(2, 2),
        )
    )
    common = base > COMMON * base.max()
    base, mean_a, mean_b, ab, aa, bb = (one[common] for one in (base, mean_a, mean_b, ab, aa, bb))
    covariance = ab / base - mean_a * mean_b / base**2
    sizes = np.maximum(aa / base, 1e-300) * np.maximum(bb / base, 1e-300)
    return float((np.abs(covariance) / np.sqrt(sizes)).max())


def _spectrum(part: np.ndarray, place: np.ndarray, length: int) -> np.ndarray:
    placed = np.zeros(length)
    np.add.at(placed, place % length, part)
    return np.fft.fft(placed)
