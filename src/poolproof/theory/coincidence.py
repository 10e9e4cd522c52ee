"""Finite supports: the smallest pools that have equal sums and different values (method 2).

A function f on a finite set of states survives the pooling of K cells iff any two multisets of K states with
equal sums have equal f-sums. Two multisets differ by an integer vector d with sum(d) = 0 and
sum(d * state) = 0; f survives at K iff every such d with at most K positive units has sum(d * f) = 0. It
survives at every K iff f is affine on the states.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from math import lcm

import numpy as np
import sympy
from scipy.optimize import Bounds, LinearConstraint, milp

from .solver_output import quiet

ROUNDING = 1e-13
"""Largest residual of the affine fit, relative to the largest value, that is rounding of float64."""
CLEAR = 1e-9
"""From here on it is surely none. What lies between is not decided."""
EXACT_DIGITS = 60
SMALLEST_DIFFERENCE = 1e-4
"""Differences of f-sums below this share of the largest residual are not looked for."""
TIME_LIMIT = 10.0
"""Seconds of one search."""
TIMED_OUT = 1
MAX_ASSIGNMENTS = 20_000
MAX_LEFT_OUT = 60


@dataclass(frozen=True)
class Coincidence:
    """Two pools of the same size, as counts of each state, with equal sums."""

    first: tuple[int, ...]
    second: tuple[int, ...]

    @property
    def n_cells(self) -> int:
        """Cells in each pool."""
        return sum(self.first)


def smallest_coincidence(
    states: Sequence[Sequence[sympy.Expr]],
    values: np.ndarray,
    *,
    max_cells: int,
    rounding: float | None = None,
) -> Coincidence | None:
    """Return the smallest pools with equal sums of states and different sums of values.

    Parameters
    ----------
    states
        One tuple of exact numbers for each state, all of one length.
    values
        Values of one or several functions, shape ``(n_states,)`` or ``(n_states, n_functions)``.
    max_cells
        Larger pools are of no interest.
    rounding
        Largest error of the values; by default that of float64. :func:`bends_of` gives values with none.

    Returns
    -------
    None if no pools of at most ``max_cells`` cells coincide: the functions survive pooling up to there.

    Raises
    ------
    TimeoutError
        The search took too long to say.

    Examples
    --------
    >>> points = [(sympy.Integer(v),) for v in (0, 1, 3)]
    >>> squares = np.array([0.0, 1.0, 9.0])
    >>> smallest_coincidence(points, squares, max_cells=2) is None
    True
    >>> smallest_coincidence(points, squares, max_cells=3)
    Coincidence(first=(0, 3, 0), second=(2, 0, 1))
    """
    values = np.asarray(values, dtype=float).reshape(len(states), -1)
    found: Coincidence | None = None
    for column in values.T:
        bound = max_cells if found is None else found.n_cells - 1
        found = _smallest_of_one(states, column, bound, rounding) or found
    return found


def _smallest_of_one(
    states: Sequence[Sequence[sympy.Expr]], values: np.ndarray, max_cells: int, rounding: float | None
) -> Coincidence | None:
    """The same for one function; states far off are taken out one by one, so that they hide no other."""
    left = np.arange(len(states))
    best: Coincidence | None = None
    while len(left) >= 3 and max_cells >= 2:
        mine = [states[int(i)] for i in left]
        rows = _whole_rows(mine)
        if are_independent(mine):
            break
        residual = _affine_residuals(rows, values[left][:, None], rounding)[:, 0]
        if not np.any(residual):
            break
        found = _search(mine, rows, residual, max_cells)
        if found is not None:
            best = _among_all(found, left, len(states))
            max_cells = best.n_cells - 1
        left = np.delete(left, _outlier(rows, values[left], residual))
    return best


def _outlier(rows: np.ndarray, values: np.ndarray, residual: np.ndarray) -> int:
    """The state without which the others are closest to affine."""
    if len(values) > MAX_LEFT_OUT:
        return int(np.abs(residual).argmax())
    sizes = []
    for i in range(len(values)):
        others = np.delete(np.arange(len(values)), i)
        basis = np.vstack([np.ones(len(others)), rows[:, others]]).T
        fitted = basis @ np.linalg.lstsq(basis, values[others], rcond=None)[0]
        sizes.append(np.abs(values[others] - fitted).max())
    return int(np.argmin(sizes))


def _among_all(found: Coincidence, left: np.ndarray, n_states: int) -> Coincidence:
    """Counts of all states, from those of some."""
    counts = np.zeros((2, n_states), dtype=int)
    counts[:, left] = found.first, found.second
    first, second = (tuple(int(c) for c in row) for row in counts)
    return Coincidence(first, second)


def bends_of(states: Sequence[Sequence[sympy.Expr]], values: Sequence[sympy.Expr]) -> np.ndarray:
    """What exact values add to the affine function through the first state and its neighbours.

    Parameters
    ----------
    states
        All combinations of some exact numbers, one tuple each.
    values
        One exact number for each state.

    Returns
    -------
    Floats of which the largest is 1 in size; all 0 iff the values are affine on the states, and so survive
    pooling at every size. What is rational is decided exactly, all else to 50 digits.

    Raises
    ------
    TimeoutError
        A value is not a real number.

    Examples
    --------
    >>> points = [(sympy.Integer(v),) for v in (0, 1, 2)]
    >>> bends_of(points, [10**20 + v * sympy.pi for (v,) in points])
    array([0., 0., 0.])
    >>> bends_of(points, [10**20 + v**2 for (v,) in points])
    array([0., 0., 1.])
    """
    if not all(v.is_real and v.is_finite for v in values):
        raise TimeoutError("its values on its finite support are no real numbers")
    number, resolution = _number_of([*values, *(x for state in states for x in state)])
    shown = [number(v) for v in values]
    slopes = _slopes_at_first(states, shown, number)
    left = [
        value - shown[0] - _along(slopes, state, states[0], number)
        for value, state in zip(shown, states, strict=True)
    ]
    size = max(abs(v) for v in left)
    if size <= resolution * max(abs(v) for v in shown):
        return np.zeros(len(states))
    return np.array([float(v / size) for v in left])


def bends_of_listed(states: Sequence[Sequence[sympy.Expr]], values: Sequence[sympy.Expr]) -> np.ndarray:
    """The same for states that are not all combinations: what a line through some of them leaves.

    Examples
    --------
    >>> points = [(sympy.Integer(a), sympy.Integer(b)) for a, b in ((0, 1), (1, 0), (2, 0))]
    >>> bends_of_listed(points, [a * b + a for a, b in points])
    array([0., 0., 0.])
    """
    if not all(v.is_real and v.is_finite for v in values):
        raise TimeoutError("its values on its finite support are no real numbers")
    number, resolution = _number_of([*values, *(x for state in states for x in state)])
    rows = [[number(x) for x in (sympy.Integer(1), *state)] for state in states]
    left = [number(v) for v in values]
    size = max(abs(v) for v in left)
    used: set[int] = set()
    for column in range(len(rows[0])):
        at = next((i for i in range(len(rows)) if i not in used and abs(rows[i][column]) > resolution), None)
        if at is None:
            continue
        used.add(at)
        for i in range(len(rows)):
            if i not in used and rows[i][column] != 0:
                factor = rows[i][column] / rows[at][column]
                rows[i] = [x - factor * y for x, y in zip(rows[i], rows[at], strict=True)]
                left[i] -= factor * left[at]
    rest = [sympy.Integer(0) if i in used else v for i, v in enumerate(left)]
    largest = max(abs(v) for v in rest)
    if largest <= resolution * size:
        return np.zeros(len(states))
    return np.array([float(v / largest) for v in rest])


def _number_of(values: Sequence[sympy.Expr]) -> tuple[Callable[[sympy.Expr], sympy.Expr], float]:
    """How to calculate with values, and up to which size, relative to them, a difference is 0."""
    if all(v.is_Rational for v in values):
        return sympy.Rational, 0.0
    return (lambda v: sympy.N(v, EXACT_DIGITS)), 10.0**-50


def _along(
    slopes: Sequence[sympy.Expr],
    state: Sequence[sympy.Expr],
    start: Sequence[sympy.Expr],
    number: Callable[[sympy.Expr], sympy.Expr],
) -> sympy.Expr:
    """Rise of the affine function from one state to another."""
    return sum(c * number(x - at) for c, x, at in zip(slopes, state, start, strict=True))


def _slopes_at_first(
    states: Sequence[Sequence[sympy.Expr]],
    values: Sequence[sympy.Expr],
    number: Callable[[sympy.Expr], sympy.Expr],
) -> list[sympy.Expr]:
    """Slope in each coordinate, from the first state to one beside it; 0 where the coordinate is constant."""
    place = {tuple(state): i for i, state in enumerate(states)}
    first, slopes = tuple(states[0]), []
    for j, start in enumerate(first):
        other = next((state[j] for state in states if state[j] != start), None)
        if other is None:
            slopes.append(sympy.Integer(0))
            continue
        beside = place[(*first[:j], other, *first[j + 1 :])]
        slopes.append((values[beside] - values[0]) / number(other - start))
    return slopes


def _whole_rows(states: Sequence[Sequence[sympy.Expr]]) -> np.ndarray:
    """One row for each coordinate, scaled to whole numbers where it is rational."""
    rows = []
    for coordinate in zip(*states, strict=True):
        numbers = [sympy.nsimplify(v, rational=True) if isinstance(v, float) else v for v in coordinate]
        if all(v.is_Rational for v in numbers):
            scale = lcm(*(int(v.q) for v in numbers))
            rows.append([float(v * scale) for v in numbers])
        else:
            rows.append([float(v) for v in numbers])
    return np.array(rows, dtype=float).reshape(-1, len(states))


def are_independent(states: Sequence[Sequence[sympy.Expr]]) -> bool:
    """Tell whether equal sums of these states are always sums of the same states, at every number of cells.

    That is so where no whole numbers d but 0 have sum(d) = 0 and sum(d * state) = 0. Square roots of
    different square-free numbers are independent over the rationals (Besicovitch 1940), and so are powers of
    e with different rational exponents (Lindemann 1882).

    Examples
    --------
    >>> are_independent([(sympy.Integer(0),), (sympy.Integer(1),), (sympy.sqrt(2),)])
    True
    """
    rows: list[list[sympy.Expr]] = [[sympy.Integer(1)] * len(states)]
    for coordinate in zip(*states, strict=True):
        parts = [_in_independent_terms(v) for v in coordinate]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return False
        terms = sorted({t for part in known for t in part}, key=str)
        rows += [[part.get(t, sympy.Integer(0)) for part in known] for t in terms]
    if len(rows) < len(states):
        return False
    return bool(sympy.Matrix(rows).rank() == len(states))


def _in_independent_terms(value: sympy.Expr) -> dict[sympy.Expr, sympy.Expr] | None:
    """Rational coefficients of roots of whole numbers and powers of e; None where there is anything else."""
    found = dict(sympy.expand(value).as_coefficients_dict())
    known = all(
        factor.is_Rational
        or (factor.is_Pow and factor.base.is_Integer and factor.exp == sympy.S.Half)
        or (isinstance(factor, sympy.exp) and factor.args[0].is_Rational)
        or factor == sympy.E
        for term in found
        for factor in sympy.Mul.make_args(term)
    )
    return found if known else None


def _affine_residuals(rows: np.ndarray, values: np.ndarray, rounding: float | None) -> np.ndarray:
    """What the best affine function leaves of each value, largest 1; zero where it is rounding."""
    left = affine_rest(rows, values)
    size = np.abs(left).max(axis=0)
    allowed = ROUNDING * np.abs(values).max(axis=0) if rounding is None else rounding
    return np.where(size > allowed, left / np.where(size > 0, size, 1), 0.0)


def affine_rest(rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """What the best affine function of coordinates, shape ``(n_coordinates, n_states)``, leaves of values."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    basis = np.vstack([np.ones(rows.shape[1]), centred]).T
    basis = basis / np.maximum(np.abs(basis).max(axis=0), 1e-300)
    values = values - values.mean(axis=0)
    return np.asarray(values - basis @ np.linalg.lstsq(basis, values, rcond=None)[0])


def _search(
    states: Sequence[Sequence[sympy.Expr]], rows: np.ndarray, residual: np.ndarray, max_cells: int
) -> Coincidence | None:
    """Integer programme: least cells such that sums are equal and the residual's sum is not."""
    m = len(residual)
    equal = np.vstack([np.ones(m), rows])
    both = np.hstack([equal, -equal])
    apart = np.concatenate([residual, -residual])[None]
    count = np.concatenate([np.ones(m), np.zeros(m)])[None]
    with quiet():
        solved = milp(
            c=count[0],
            constraints=[
                LinearConstraint(both, 0, 0),
                LinearConstraint(apart, SMALLEST_DIFFERENCE, np.inf),
                LinearConstraint(count, 2, max_cells),
            ],
            integrality=np.ones(2 * m, dtype=int),
            bounds=Bounds(0, max_cells),
            options={"time_limit": TIME_LIMIT},
        )
    if solved.x is None:
        if solved.status == TIMED_OUT:
            raise TimeoutError("the search for pools with equal sums took too long")
        return None
    counts = np.rint(solved.x).astype(int)
    common = np.minimum(counts[:m], counts[m:])
    first, second = (tuple(int(c) for c in part) for part in (counts[:m] - common, counts[m:] - common))
    for coordinate in zip(*states, strict=True):  # exactly, where the programme used floats
        terms = zip(coordinate, first, second, strict=True)
        if sympy.simplify(sum((v * (a - b) for v, a, b in terms), sympy.Integer(0))) != 0:
            raise TimeoutError("sums that are equal but for rounding hide those that are equal")
    return Coincidence(*sorted((first, second)))


def weighted_coincidence(
    states: Sequence[Sequence[sympy.Expr]], values: np.ndarray, weights: Sequence[float]
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Return two assignments of states to weighted cells with equal sums and different values.

    Parameters
    ----------
    states
        One tuple of exact numbers for each state.
    values
        What a cell adds in each state, for each weight: shape ``(n_cells, n_states, n_functions)``.
    weights
        Of the cells, shape ``(n_cells,)``.

    Raises
    ------
    TimeoutError
        There are too many assignments to compare, or a difference cannot be told from rounding.

    Examples
    --------
    >>> points = [(sympy.Integer(0),), (sympy.Integer(1),)]
    >>> added = np.array([1.0, 2.0])[:, None, None] * np.array([[0.0], [5.0]])
    >>> weighted_coincidence(points, added, [1, 2]) is None      # 0, 1, 2 and 3 tell the cells apart
    True
    """
    n_cells, n_states = len(weights), len(states)
    if n_states**n_cells > MAX_ASSIGNMENTS:
        raise TimeoutError(f"{n_states}**{n_cells} assignments of states to weighted cells are too many")
    exact = [sympy.Rational(repr(float(w))) for w in weights]
    seen: dict[tuple[sympy.Expr, ...], tuple[int, ...]] = {}
    scale = np.abs(values).sum(axis=0).max()
    close = False
    for assigned in product(range(n_states), repeat=n_cells):
        cells = [states[i] for i in assigned]
        sums = tuple(
            sympy.Add(*(w * v for w, v in zip(exact, column, strict=True)))
            for column in zip(*cells, strict=True)
        )
        other = seen.setdefault(sums, assigned)
        gap = sum(values[c, a] - values[c, b] for c, (a, b) in enumerate(zip(assigned, other, strict=True)))
        if np.abs(gap).max() > CLEAR * scale:
            return other, assigned
        close = close or not np.abs(gap).max() <= ROUNDING * scale
    if close:
        raise TimeoutError("sums differ by no more than rounding might make")
    return None
