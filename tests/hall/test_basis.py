import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline

from poolproof import InputError
from poolproof._random import stream
from poolproof.basis import (
    knots,
    orthonormalise,
    spline_bases,
    spline_basis,
    spline_functions,
    standardise,
)

N = 200
LAWS = {
    "normal": lambda rng, n: rng.normal(size=n),
    "lognormal": lambda rng, n: rng.lognormal(0, 1, n),
    "heavy": lambda rng, n: rng.lognormal(0, 2.5, n),
    "zeros": lambda rng, n: rng.gamma(2.0, size=n) * (rng.random(n) < 0.3),
    "nearly all zeros": lambda rng, n: np.where(np.arange(n) < n // 12, rng.random(n), 0.0),
    "counts": lambda rng, n: rng.poisson(rng.gamma(1.0, 5.0, n)).astype(float),
    "few counts": lambda rng, n: rng.poisson(0.7, n).astype(float),
    "two heaps": lambda rng, n: np.where(rng.random(n) < 0.5, 0.0, 1.0) + 0.01 * rng.normal(size=n),
    "offset": lambda rng, n: 1e6 + rng.normal(size=n),
}
laws = pytest.mark.parametrize("law", LAWS)


def draw(law, n=N, seed=0):
    return LAWS[law](stream(seed, "basis", law), n)


def projection(columns):
    """Projection on the columns and the constant."""
    q, _ = np.linalg.qr(np.column_stack([np.ones(len(columns)), columns]))
    return q @ q.T


def natural_splines(x, at):
    """The natural cubic splines with these knots, by interpolation of unit values: straight outside."""
    columns = []
    for unit in np.eye(len(at)):
        curve = CubicSpline(at, unit, bc_type="natural")
        low, high = at[0], at[-1]
        inside = curve(np.clip(x, low, high))
        below = curve(low, 1) * np.minimum(x - low, 0)
        columns.append(inside + below + curve(high, 1) * np.maximum(x - high, 0))
    return np.stack(columns, axis=1)


# --- knots ---------------------------------------------------------------------------------------------


@laws
def test_knots__increase_and_are_inside(law):
    x = draw(law)
    at = knots(x)
    assert 2 <= len(at) <= 6
    assert (np.diff(at) > 0).all()
    assert at[0] >= x.min()
    assert at[-1] <= x.max()


@laws
def test_knots__mirror_with_the_gene(law):
    x = draw(law)
    np.testing.assert_allclose(knots(-x), -knots(x)[::-1], rtol=1e-12, atol=1e-12)


def test_knots__without_ties_are_plain_quantiles():
    x = draw("lognormal")
    np.testing.assert_allclose(knots(x), np.quantile(x, np.linspace(0.05, 0.95, 6), method="hazen"))


def test_knots__of_few_levels_are_the_levels():
    x = np.repeat([3.0, 0, 1, 7], [5, 90, 20, 1])
    np.testing.assert_array_equal(knots(x), [0, 1, 3, 7])
    np.testing.assert_array_equal(knots(np.full(9, 2.0)), [2.0])


def test_knots__zeros_take_one_knot_at_most():
    x = draw("zeros", 1000)
    at = knots(x)
    assert len(at) == 6
    assert (at[1:] > 0).all()
    # the knots of the other values are where their own quantiles are
    positive = x[x > 0]
    assert np.mean(positive < at[1]) < 0.25
    assert np.mean(positive < at[-1]) > 0.9


# --- the basis -----------------------------------------------------------------------------------------


@laws
def test_spline_basis__is_orthonormal_and_the_line_comes_first(law):
    x = draw(law)
    q = spline_basis(x)
    n_columns = min(5, len(knots(x)) - 1)
    assert q.shape == (N, n_columns)
    np.testing.assert_allclose(q.T @ q, np.eye(n_columns), atol=1e-10)
    np.testing.assert_allclose(q.sum(axis=0), 0, atol=1e-10)
    centred = x - x.mean()
    np.testing.assert_allclose(q[:, 0], centred / np.linalg.norm(centred), atol=1e-9)


@laws
def test_spline_basis__spans_the_natural_splines(law):
    x = draw(law)
    q = spline_basis(x)
    scale = x.std()
    # an independent construction: interpolating natural splines through unit values at the knots
    other = natural_splines((x - x.mean()) / scale, (knots(x) - x.mean()) / scale)
    assert np.linalg.matrix_rank(other, tol=1e-7) == q.shape[1] + 1
    left, singular, _ = np.linalg.svd(other, full_matrices=False)
    span = left[:, singular > 1e-7 * singular[0]]
    np.testing.assert_allclose(span @ (span.T @ q), q, atol=1e-6)


@laws
@pytest.mark.parametrize(("slope", "shift"), [(-1, 0), (37.5, 4), (-0.002, -11)])
def test_spline_basis__affine_rescaling_keeps_the_span(law, slope, shift):
    x = draw(law)
    if law == "offset":
        shift = 0
    before, after = spline_basis(x), spline_basis(slope * x + shift)
    assert before.shape == after.shape
    np.testing.assert_allclose(after[:, 0], np.sign(slope) * before[:, 0], atol=1e-8)
    np.testing.assert_allclose(projection(after), projection(before), atol=1e-7)


@given(seed=st.integers(0, 2**20), law=st.sampled_from(sorted(LAWS)), n=st.integers(10, 120))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_spline_basis__sample_order_only_permutes_the_rows(seed, law, n):
    x = draw(law, n, seed)
    order = stream(seed, "order").permutation(n)
    before, after = spline_basis(x), spline_basis(x[order])
    assert before.shape == after.shape
    np.testing.assert_allclose(after, before[order], atol=1e-8)


@given(levels=st.lists(st.integers(-50, 50), min_size=1, max_size=9, unique=True), seed=st.integers(0, 999))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_spline_basis__has_the_rank_that_the_levels_allow(levels, seed):
    x = stream(seed, "levels").permutation(np.repeat(np.array(levels, dtype=float), 7))
    q = spline_basis(x)
    assert q.shape[1] <= min(5, len(levels) - 1)
    assert q.shape[1] == min(len(levels), len(knots(x))) - 1 or len(levels) > 6
    if 2 <= len(levels) <= 6:  # every level its own knot: the basis fits any value per level
        dummies = (x[:, None] == np.unique(x)).astype(float)
        np.testing.assert_allclose(projection(q), projection(dummies[:, 1:]), atol=1e-7)


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 8])
def test_spline_basis__k_columns(k):
    x = draw("normal")
    q = spline_basis(x, k)
    assert q.shape == (N, k)
    if k > 1:
        assert len(knots(x, k + 1)) == k + 1


def test_spline_basis__constant_and_nearly_constant_genes_have_none():
    assert spline_basis(np.full(20, 3.7)).shape == (20, 0)
    assert spline_basis(np.full(20, 1e9) + 1e-7 * np.arange(20)).shape == (20, 0)
    assert spline_basis(np.array([0.0] * 19 + [5.0])).shape == (20, 1)


def test_spline_basis__refuses_k_below_1():
    with pytest.raises(InputError, match="at least 1 column; found k = 0"):
        spline_basis(np.arange(20.0), 0)


def test_spline_bases__equals_one_gene_at_a_time():
    x = np.stack([*(draw(law) for law in LAWS), np.zeros(N)], axis=1)
    basis, n_columns = spline_bases(x)
    assert basis.shape == (x.shape[1], 5, N)
    for gene in range(x.shape[1]):
        alone = spline_basis(x[:, gene])
        assert n_columns[gene] == alone.shape[1]
        np.testing.assert_allclose(basis[gene, : n_columns[gene]], alone.T, atol=1e-9)
        assert not basis[gene, n_columns[gene] :].any()


@pytest.mark.parametrize("law", ["normal", "lognormal", "counts"])
def test_spline_functions__are_straight_beyond_the_knots(law):
    x = draw(law)
    at = knots(x)
    step = at[-1] - at[0]
    for side in (at[0] - step * np.array([3, 2, 1, 0]), at[-1] + step * np.array([0, 1, 2, 3])):
        values = spline_functions(side, at)
        size = np.abs(spline_functions(x, at)).max()
        np.testing.assert_allclose(np.diff(values, 2, axis=0), 0, atol=1e-9 * max(size, np.abs(values).max()))
    # and they bend inside
    inside = spline_functions(np.linspace(at[0], at[-1], 50), at)
    assert (np.abs(np.diff(inside[:, 1:], 2, axis=0)).max(axis=0) > 1e-4).all()


@laws
def test_spline_functions__span_the_basis(law):
    x = draw(law)
    q = spline_basis(x)
    columns = spline_functions(x, knots(x))
    assert columns.shape == (N, max(len(knots(x)) - 1, 1))
    fitted = np.column_stack([np.ones(N), columns])
    np.testing.assert_allclose(fitted @ (np.linalg.pinv(fitted, rcond=1e-12) @ q), q, atol=1e-5)


def test_orthonormalise__drops_what_adds_nothing():
    rng = stream(0, "orthonormalise")
    a, b = rng.normal(size=(2, 30))
    stack = np.array([[a, 2 * a + 3, b, a - b], [np.ones(30), a, b, b]])
    q, n_columns = orthonormalise(stack)
    np.testing.assert_array_equal(n_columns, [2, 0])  # no line, no basis
    np.testing.assert_allclose(q[0, :2] @ q[0, :2].T, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(projection(q[0, :2].T), projection(np.stack([a, b], axis=1)), atol=1e-12)
    assert not q[0, 2:].any()
    assert not q[1].any()


def test_standardise__constant_columns_become_0():
    x = np.stack([np.full(30, 1e8), np.arange(30.0)], axis=1)
    z, varies = standardise(x)
    np.testing.assert_array_equal(varies, [False, True])
    assert not z[:, 0].any()
    assert z[:, 1].mean() == pytest.approx(0, abs=1e-12)
    assert z[:, 1].var() == pytest.approx(1)
