"""The one-edge criterion: log E[exp(iuX) | parents] affine in a parent, by hand and by law."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolproof.aggregation import parse_aggregation
from poolproof.models import parse_equation, parse_kernel
from poolproof.models.support import finite, integers, interval
from poolproof.theory.one_edge import FAIL, PASS, UNKNOWN, judge_family

HALF_LINE, LINE, COUNTS = interval(0, math.inf), interval(-math.inf, math.inf), integers(0, math.inf)
SUPPORTS = {
    "Y": HALF_LINE,
    "W": LINE,
    "C": COUNTS,
    "B": finite([0, 1]),
    "T": finite([0, 1, 3]),
    "R": finite(range(4)),
}


def equation(text, noise="normal(0, 1)"):
    return parse_equation(text, noise, list(SUPPORTS), spare_noise=True)


def kernel(text):
    return parse_kernel(text, list(SUPPORTS))


def family(*mechanisms, aggregation="sum", cells=5):
    return judge_family(list(mechanisms), SUPPORTS, parse_aggregation(aggregation), cells)


def status(mechanism, parent="Y", **options):
    return family(mechanism, **options).edges[parent].status


# --- one parent ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mechanism", "expected"),
    [
        (equation("1 + 2*Y + N"), PASS),
        (equation("2*Y + tanh(N)"), PASS),
        (equation("2*Y + max(N, 0)"), PASS),
        (equation("tanh(Y) + N"), FAIL),
        (equation("Y**2", None), FAIL),
        (equation("Y*N", "gamma(2, 1)"), FAIL),  # mean affine, variance not
        (kernel("poisson(1 + 2*Y)"), PASS),
        (kernel("poisson(Y**2)"), FAIL),
        (kernel("gamma(1 + 2*Y, 3)"), PASS),
        (kernel("gamma(2, 1 + Y)"), FAIL),
        (kernel("normal(1 + Y, 2)"), PASS),
        (kernel("normal(1 + Y, sqrt(2 + Y))"), PASS),
        (kernel("normal(Y, 1 + Y)"), FAIL),
        (kernel("negative_binomial(Y, 2*Y)"), PASS),
        (kernel("negative_binomial(Y, 2)"), FAIL),
        (kernel("bernoulli(Y/(1 + Y))"), FAIL),
        (kernel("binomial(3, Y/(1 + Y))"), FAIL),
    ],
)
def test_parent_on_a_half_line(mechanism, expected):
    assert status(mechanism) == expected


def test_binomial__is_affine_in_its_number_and_not_in_its_probability():
    assert status(kernel("binomial(C, 0.3)"), "C") == PASS
    assert status(kernel("binomial(2, C/(1 + C))"), "C") == FAIL


@pytest.mark.parametrize(
    "mechanism",
    [
        equation("exp(3*B) + N"),
        equation("B*N"),
        equation("exp(B*N)"),
        kernel("bernoulli(0.2 + 0.5*B)"),
        kernel("gamma(2, 1 + B)"),
        kernel("negative_binomial(1 + B, 2)"),
    ],
)
def test_binary_parent__every_mechanism_passes_at_every_number_and_for_every_law(mechanism):
    edge = family(mechanism, cells=1000).edges["B"]
    assert (edge.status, edge.any_cells, edge.any_law) == (PASS, True, True)


def test_lattice_with_a_gap__passes_where_nothing_coincides():
    at_two = family(kernel("poisson(1 + T**2)"), cells=2).edges["T"]
    assert (at_two.status, at_two.any_cells) == (PASS, False)
    assert status(kernel("poisson(1 + T**2)"), "T", cells=3) == FAIL


def test_this_noise_alone__is_not_any_law():
    edge = family(equation("sqrt(R)*N")).edges["R"]
    assert (edge.status, edge.any_law) == (PASS, False)
    assert status(equation("sqrt(R)*N", "laplace(0, 1)"), "R") == FAIL
    assert family(equation("2*R + N")).edges["R"].any_law


# --- several parents ----------------------------------------------------------------------------------------


def test_parents__are_judged_one_by_one():
    edges = family(equation("2*Y + W**2 + N")).edges
    assert (edges["Y"].status, edges["W"].status) == (PASS, FAIL)


@pytest.mark.parametrize("text", ["Y*W + N", "Y*(1 + N)*W", "tanh(Y + W) + N"])
def test_parents_that_act_together__none_passes(text):
    assert {edge.status for edge in family(equation(text)).edges.values()} <= {FAIL, UNKNOWN}


@pytest.mark.parametrize("law", ["poisson(Y*C)", "gamma(1 + Y*C, 1)", "normal(Y*C, 1)"])
def test_slope_that_depends_on_another_parent__fails(law):
    assert {edge.status for edge in family(kernel(law)).edges.values()} == {FAIL}


def test_binary_parent__whose_effect_depends_on_another_fails():
    assert status(equation("B*Y + N"), "B") == FAIL
    assert status(equation("3*B + tanh(Y) + N"), "B") == PASS


# --- weights, axes, types -----------------------------------------------------------------------------------

WEIGHTS = {"weights": [1, 2, 3]}


@pytest.mark.parametrize(
    ("mechanism", "expected"),
    [
        (equation("1 + 2*Y + tanh(N)"), PASS),
        (kernel("normal(2*Y, 3)"), PASS),
        (kernel("poisson(2*Y)"), FAIL),
        (kernel("gamma(1 + Y, 1)"), FAIL),
        (kernel("normal(Y, sqrt(1 + Y))"), FAIL),
    ],
)
def test_unequal_weights__keep_a_multiple_plus_noise(mechanism, expected):
    assert status(mechanism, aggregation=WEIGHTS, cells=3) == expected
    assert status(mechanism, aggregation={"weights": [2, 2, 2]}, cells=3) == PASS


def test_weights_that_tell_the_cells_apart__let_a_binary_parent_pass():
    assert status(kernel("poisson(1 + B)"), "B", aggregation={"weights": [1, 2]}, cells=2) != FAIL
    assert status(kernel("poisson(1 + B)"), "B", aggregation={"weights": [1, 1, 2]}, cells=3) != PASS


@pytest.mark.parametrize(
    ("aggregation", "text", "expected"),
    [
        ("geometric", "Y**2 * N", PASS),
        ("geometric", "Y**2 * exp(tanh(N))", PASS),
        ("geometric", "2*Y + N", FAIL),
        ("harmonic", "Y / (1 + N*Y)", PASS),
        ({"log1p": "sum"}, "2*Y + N", PASS),
        ({"log1p": "sum"}, "Y**2 * N", FAIL),
    ],
)
def test_other_axes(aggregation, text, expected):
    found = status(equation(text, "exponential(1)"), aggregation=aggregation)
    assert (found == PASS) == (expected == PASS)


def test_cell_types__must_share_the_slope():
    one, constant, steep = (equation(t) for t in ("Y + N", "3 + Y + N", "2*Y + N"))
    noisy = equation("Y + N", "gamma(2, 1)")
    for other, expected in ((constant, PASS), (noisy, PASS), (steep, FAIL)):
        found = family(one, other)
        assert found.edges["Y"].status == expected
        assert found.differs_by_type
    assert not family(one, one).differs_by_type


# --- constants and means ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mechanism", "expected"),
    [
        (equation("2*Y", None), True),
        (equation("1 + 2*Y", None), False),
        (equation("2*Y + N"), False),
        (kernel("poisson(2*Y)"), True),
        (kernel("poisson(1 + 2*Y)"), False),
        (kernel("gamma(Y, 2)"), True),
        (kernel("binomial(C, 0.4)"), True),
        (kernel("normal(Y, 1)"), False),
        (equation("N"), False),
    ],
)
def test_no_constant__nothing_grows_with_the_number_of_cells_alone(mechanism, expected):
    assert family(mechanism).no_constant is expected


@pytest.mark.parametrize(
    ("mechanism", "expected"),
    [
        (equation("2*Y + N**2"), True),
        (equation("Y*N"), True),
        (equation("Y**2*N"), True),  # N has mean 0
        (equation("Y**2*N", "gamma(2, 1)"), False),
        (equation("Y**2*N**3", "laplace(0, 3)"), True),
        (equation("Y**2*N**7", "uniform(-1, 1)"), True),  # beyond the cumulants: by quadrature
        (equation("Y**2*(N**2 - 0.01)", "normal(0, 0.1)"), True),
        (equation("Y**2*N", "discrete({-0.1: 0.3, 0.1: 0.3, 0.2: 0.2, -0.2: 0.2})"), True),
        (equation("Y**2*N", "discrete({-0.3: 0.1, 0.1: 0.3, 7: 0.1, -0.7: 0.5})"), False),
        (equation("Y**2*N", "normal(0.0000000000001, 1)"), False),  # a mean, however small, is no rounding
        (equation("Y**2 + N"), False),
        (kernel("gamma(2, 1 + Y)"), True),
        (kernel("negative_binomial(1 + Y, 2)"), True),
        (kernel("poisson(Y**2)"), False),
        (kernel("binomial(C, 0.4)"), True),
    ],
)
def test_mean_affine__is_weaker_than_the_criterion(mechanism, expected):
    assert family(mechanism).mean_affine is expected


# --- a parent with finitely many values, beside others ------------------------------------------------------


@pytest.mark.parametrize(
    ("mechanism", "parent", "expected"),
    [
        (equation("tanh(B) + tanh(W) + N"), "B", PASS),
        (equation("sqrt(B)*N + W**2"), "B", PASS),
        (equation("sqrt(R)*N + W**2"), "R", PASS),
        (equation("1000000*W + R**2 + N"), "R", FAIL),
        (equation("B*N + W*N"), "B", FAIL),
        (equation("B*W + N"), "B", FAIL),
        (kernel("poisson(B + Y**2)"), "B", PASS),
        (kernel("gamma(1 + B, 1 + Y)"), "B", FAIL),
        # what happens between the values that are tried, or is small, is not overlooked
        (equation("B*threshold(Y, at=50) + N"), "B", UNKNOWN),
        (equation("B*exp(-(Y - 2.5)**2*100000) + N"), "B", UNKNOWN),
        (equation("B*(1 + 0.000000001*W) + N"), "B", UNKNOWN),
        (kernel("poisson(1 + B*threshold(Y, at=50))"), "B", UNKNOWN),
    ],
)
def test_finite_parent__passes_where_it_adds_the_same_whatever_the_others_are(mechanism, parent, expected):
    assert status(mechanism, parent) == expected


# --- by law -------------------------------------------------------------------------------------------------

RATES = st.sampled_from(
    ["1 + 2*Y", "Y", "0.5*Y + 3", "1 + Y**2", "sqrt(1 + Y)", "Y/(1 + Y)", "exp(-Y)", "tanh(Y)"]
)
LAWS = st.sampled_from(
    [
        "poisson({})",
        "gamma({}, 2)",
        "gamma(2, 1 + {})",
        "normal({}, 1)",
        "normal(0, {})",
        "normal(1, sqrt({}))",
        "negative_binomial({}, 2)",
        "negative_binomial({0}, 3*({0}))",
    ]
)


@settings(max_examples=40, deadline=None)
@given(LAWS, RATES)
def test_kernels__pass_iff_their_log_characteristic_function_is_affine(law, rate):
    made = kernel(law.format(rate))
    y, u = np.linspace(0.1, 3, 7), np.linspace(-0.4, 0.4, 9)
    with np.errstate(all="ignore"):
        table = made.log_cf({"Y": y}, u)
    bends = np.abs(table[:-2] - 2 * table[1:-1] + table[2:]).max()
    assert status(made) == (PASS if bends < 1e-9 else FAIL)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(["{}*Y", "{}*tanh(Y)", "{}*Y**2", "{}*Y*N", "{}*log(1 + Y)"]),
    st.sampled_from([-2, 0.01, 0.5, 3, 1000]),
    st.sampled_from(["normal(0, 1)", "gamma(2, 1)", "uniform(1, 2)", "laplace(0, 3)"]),
)
def test_equations__pass_iff_two_cells_at_the_middle_give_the_law_of_two_apart(text, number, noise):
    """Sorted draws of the pooled child with the same noises: cells at 0.5 and 2.5, against both at 1.5."""
    made = equation(text.format(number) + " + N", noise)
    rng = np.random.default_rng(0)
    n = 20_000
    first, second = made.noise.sample(rng, n), made.noise.sample(rng, n)

    def pooled(a, b):
        return made.value({"Y": np.full(n, a)}, first) + made.value({"Y": np.full(n, b)}, second)

    apart, middle = np.sort(pooled(0.5, 2.5)), np.sort(pooled(1.5, 1.5))
    differ = np.abs(apart - middle).max() > 1e-6 * np.abs(middle).max()
    found = status(made)
    assert found == (FAIL if differ else PASS)
