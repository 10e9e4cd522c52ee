"""Finite supports: the smallest pools with equal sums and different values, by hand and against all pools."""

import math
from itertools import combinations_with_replacement, product

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from poolproof.theory.coincidence import bends_of, smallest_coincidence, weighted_coincidence

ROOT2 = sympy.sqrt(2)


def points(*values):
    return [(sympy.sympify(v),) for v in values]


def smallest_by_listing(states, values, max_cells):
    """The slow and obvious way: all multisets of each size, grouped by their sums."""
    for size in range(2, max_cells + 1):
        seen = {}
        for pool in combinations_with_replacement(range(len(states)), size):
            sums = tuple(sum(states[i][c] for i in pool) for c in range(len(states[0])))
            value = sum(values[i] for i in pool)
            if abs(seen.setdefault(sums, value) - value) > 1e-6:
                return size
    return None


def test_zero_one_three__passes_at_two_and_fails_at_three():
    f = np.array([0.0, 5.0, 1.0])
    assert smallest_coincidence(points(0, 1, 3), f, max_cells=2) is None
    found = smallest_coincidence(points(0, 1, 3), f, max_cells=3)
    assert found.n_cells == 3
    assert sorted([found.first, found.second]) == [(0, 3, 0), (2, 0, 1)]


def test_two_values__always_pass():
    assert smallest_coincidence(points(0, 7), np.array([3.0, -1.0]), max_cells=1000) is None


@pytest.mark.parametrize("gate", [lambda a, b: a * b, lambda a, b: max(a, b)], ids=["AND", "OR"])
def test_two_binary_parents__a_gate_fails_from_two_cells(gate):
    states = [(sympy.Integer(a), sympy.Integer(b)) for a, b in product((0, 1), repeat=2)]
    values = np.array([float(gate(int(a), int(b))) for a, b in states])
    assert smallest_coincidence(states, values, max_cells=50).n_cells == 2


def test_values_without_a_common_measure__never_coincide():
    assert smallest_coincidence(points(0, 1, ROOT2), np.array([0.0, 1.0, 5.0]), max_cells=60) is None


def test_several_functions__the_smallest_pool_of_any():
    states = points(0, 1, 2, 3)
    cubic, late = np.array([0.0, 1.0, 8.0, 27.0]), np.array([0.0, 1.0, 2.0, 3.0])
    found = smallest_coincidence(states, np.stack([late, cubic], axis=1), max_cells=10)
    assert found.n_cells == 2


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 12), min_size=3, max_size=5, unique=True),
    st.lists(st.integers(-5, 5), min_size=5, max_size=5),
)
def test_smallest_pool__is_that_of_listing_all_pools(support, images):
    states = points(*support)
    values = np.array(images[: len(support)], dtype=float)
    found = smallest_coincidence(states, values, max_cells=5)
    assert (None if found is None else found.n_cells) == smallest_by_listing(states, values, 5)
    if found is not None:
        difference = np.subtract(found.first, found.second)
        assert difference.sum() == 0
        assert difference @ np.array(support) == 0
        assert difference @ values != 0


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=2, max_size=8, unique=True),
    st.integers(-5, 5),
    st.integers(-5, 5),
    st.integers(-5, 5),
)
def test_affine_functions__survive_at_every_size(support, a, b, c):
    states = [(sympy.Integer(x), sympy.Integer(y)) for x, y in support]
    values = np.array([a * x + b * y + c for x, y in support], dtype=float)
    assert smallest_coincidence(states, values, max_cells=100) is None


def grid(*axes):
    return [tuple(map(sympy.sympify, state)) for state in product(*axes)]


@settings(max_examples=40, deadline=None)
@given(st.integers(-9, 9), st.integers(-9, 9), st.integers(-10, 10), st.sampled_from([0, 1, -3]))
def test_bends__are_zero_iff_values_are_affine_however_large_the_affine_part(a, b, power, bend):
    states = grid([0, 1, 5], [2, ROOT2, 7])
    large = sympy.Integer(10) ** 25
    values = [large * (a * x + b * y) + bend * sympy.Integer(10) ** power * x * y for x, y in states]
    found = bends_of(states, values)
    assert np.any(found) == (bend != 0)
    if bend:
        assert np.abs(found).max() == 1
        assert smallest_coincidence(states, found, max_cells=4).n_cells == 2  # corners of a square


def test_bends__of_numbers_that_are_not_real_are_not_told():
    with pytest.raises(TimeoutError, match="no real numbers"):
        bends_of(points(0, 1, 2), [sympy.Integer(0), sympy.zoo, sympy.Integer(1)])


@pytest.mark.parametrize(("gap", "expected"), [(0.0, None), (1e-11, TimeoutError), (math.nan, TimeoutError)])
def test_weighted_sums__what_may_be_rounding_is_not_told(gap, expected):
    added = np.array([[[0.0], [1.0], [2.0 + gap]], [[0.0], [1.0], [2.0]]])
    if expected is None:
        assert weighted_coincidence(points(0, 1, 2), added, [1, 1]) is None
    else:
        with pytest.raises(expected, match="rounding"):
            weighted_coincidence(points(0, 1, 2), added, [1, 1])
