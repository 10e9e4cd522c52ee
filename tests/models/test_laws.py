"""Exogenous laws: cumulants, transforms, draws and quadrature agree, and with hand calculation too."""

from math import comb, inf

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from poolproof import InputError
from poolproof.models import make_law, parse_law
from poolproof.models.laws import Law, Support
from poolproof.models.support import finite, integers, interval

TEXTS = (
    "normal(-1, 0.5)",
    "uniform(-1, 3)",
    "gamma(2.5, 0.7)",
    "gamma(0.4, 2)",
    "gamma(400, 0.01)",
    "exponential(2)",
    "laplace(0.5, 0.8)",
    "lognormal(0.2, 0.25)",
    "poisson(3.7)",
    "bernoulli(0.3)",
    "bernoulli(0.9)",
    "discrete({-1: 0.2, 0: 0.5, 2.5: 0.3})",
    "empirical([1, 2, 2, 4.5])",
    "constant(3)",
)
LAWS = [pytest.param(parse_law(text), id=text) for text in TEXTS]


def cumulants_of(moments):
    """Cumulants from raw moments of orders 1, 2, ..., by the textbook recursion."""
    found = []
    for n in range(1, len(moments) + 1):
        lower = sum(comb(n - 1, k - 1) * found[k - 1] * moments[n - k - 1] for k in range(1, n))
        found.append(moments[n - 1] - lower)
    return found


@pytest.mark.parametrize("law", LAWS)
def test_cumulants__agree_with_quadrature(law):
    nodes, weights = law.quadrature(64)
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    centred = nodes - weights @ nodes
    by_rule = cumulants_of([float(weights @ centred**n) for n in range(1, 7)])
    by_rule[0] += float(weights @ nodes)
    scale = law.variance**0.5
    for order, expected in enumerate(by_rule, start=1):
        assert law.cumulant(order) == pytest.approx(expected, rel=1e-7, abs=1e-8 * max(scale, 1e-3) ** order)
    assert (law.mean, law.variance) == (law.cumulant(1), law.cumulant(2))


@pytest.mark.parametrize("log_sd", [0.01, 0.5, 1.5])
def test_cumulants__of_a_lognormal_law_to_many_digits(log_sd):
    with mpmath.workdps(60):
        s = mpmath.mpf(log_sd)
        moments = [mpmath.exp(n * mpmath.mpf("0.3") + n * n * s * s / 2) for n in range(1, 7)]
        expected = [float(c) for c in cumulants_of(moments)]
    law = make_law("lognormal", 0.3, log_sd)
    assert [law.cumulant(n) for n in range(1, 7)] == pytest.approx(expected, rel=1e-12)


def test_cumulants__by_hand():
    law = parse_law("uniform(0, 1)")
    assert [law.cumulant(n) for n in range(1, 7)] == pytest.approx([1 / 2, 1 / 12, 0, -1 / 120, 0, 1 / 252])
    assert [parse_law("gamma(2, 3)").cumulant(n) for n in (1, 2, 3)] == [6, 18, 108]
    assert [parse_law("laplace(1, 2)").cumulant(n) for n in (1, 2, 3, 4)] == [1, 8, 0, 192]
    assert parse_law("lognormal(0, 10)").cumulant(6) > 1e300  # large, but no error
    for order in (0, 7):
        with pytest.raises(InputError, match="orders 1 to 6"):
            law.cumulant(order)


@pytest.mark.parametrize("law", LAWS)
def test_log_cf__agrees_with_quadrature(law):
    u = np.linspace(-1.5, 1.5, 13) / max(1.0, law.variance**0.5)
    log_cf = law.log_cf(u)
    if law.name == "lognormal":
        assert log_cf is None
        return
    nodes, weights = law.quadrature(200)
    expected = np.exp(1j * np.multiply.outer(u, nodes)) @ weights
    np.testing.assert_allclose(np.exp(log_cf), expected, rtol=1e-9, atol=1e-12)
    assert log_cf[6] == 0
    assert log_cf.shape == u.shape


@pytest.mark.parametrize(
    "text", ["bernoulli(0.9)", "bernoulli(0.2)", "poisson(4)", "gamma(30, 1)", "discrete({0: 0.3, 5: 0.7})"]
)
def test_log_cf__is_continuous(text):
    u = np.linspace(0, 15, 20_001)
    log_cf = parse_law(text).log_cf(u)
    assert np.abs(np.diff(log_cf)).max() < 0.1
    slope = log_cf[1] / u[1]
    assert slope.imag == pytest.approx(parse_law(text).mean, rel=1e-2)


@pytest.mark.parametrize("law", LAWS)
def test_sample__has_the_moments_and_the_quantiles(law):
    n = 40_000
    x = law.sample(np.random.default_rng(5), n)
    assert (x.shape, x.dtype) == ((n,), np.float64)
    assert all(law.support.contains(value) for value in x[:200])
    error = (law.variance / n) ** 0.5
    assert abs(x.mean() - law.mean) <= 4.5 * error + 1e-12
    spread = ((law.cumulant(4) + 2 * law.variance**2) / n) ** 0.5
    assert abs(x.var() - law.variance) <= 5 * spread + 1e-12
    for q in (0.05, 0.31, 0.5, 0.77, 0.99):
        cut = float(law.quantile(np.array([q]))[0])
        band = 4.5 * (q * (1 - q) / n) ** 0.5
        assert np.mean(x <= cut + 1e-9) >= q - band
        assert np.mean(x < cut - 1e-9) <= q + band


@pytest.mark.parametrize("law", LAWS)
def test_quantile__is_that_of_the_mean(law):
    q = (np.arange(40_000) + 0.5) / 40_000
    assert law.quantile(q).mean() == pytest.approx(law.mean, rel=4e-3, abs=1e-4)
    assert (np.diff(law.quantile(q)) >= 0).all()


def test_quantile__of_a_finite_law_at_its_step():
    q = np.array([0.0, 0.2, 0.25, 0.2501, 1.0])
    assert parse_law("bernoulli(0.75)").quantile(q).tolist() == [0, 0, 0, 1, 1]


def test_quantile__of_a_poisson_law_at_its_steps():
    law = parse_law("poisson(1)")
    steps = np.exp(-1) * np.cumsum([1, 1, 1 / 2, 1 / 6])
    assert law.quantile(steps - 1e-9).tolist() == [0, 1, 2, 3]
    assert law.quantile(steps + 1e-9).tolist() == [1, 2, 3, 4]
    for rate in (0.3, 3.7, 60.0):
        counts = np.arange(int(2 * rate) + 2)
        assert np.array_equal(make_law("poisson", rate).quantile(special.pdtr(counts, rate)), counts)


@pytest.mark.parametrize("law", LAWS)
def test_text__is_read_back(law):
    again = parse_law(law.text)
    assert again == law
    assert hash(again) == hash(law)
    assert make_law(law.name, *(law.parameters if law.atoms is None else _arguments(law))) == law


def _arguments(law):
    return (law.parameters,) if law.name in ("discrete", "empirical") else law.parameters


numbers = st.floats(-1e6, 1e6, allow_nan=False).filter(lambda x: x == 0 or abs(x) > 1e-6)
scales = st.floats(1e-6, 1e6)


@settings(deadline=None)
@given(
    st.one_of(
        st.tuples(st.just("normal"), numbers, scales),
        st.tuples(st.just("gamma"), scales, scales),
        st.tuples(st.just("laplace"), numbers, scales),
        st.tuples(st.just("poisson"), scales),
        st.tuples(st.just("constant"), numbers),
        st.tuples(st.just("bernoulli"), st.floats(0, 1)),
    )
)
def test_text__round_trips_any_parameter(parts):
    law = make_law(parts[0], *parts[1:])
    assert parse_law(law.text) == law
    assert law.parameters == parts[1:]


def test_properties():
    assert parse_law("normal(0, 1)").is_gaussian
    assert not parse_law("laplace(0, 1)").is_gaussian
    assert parse_law("constant(2)").is_constant
    assert parse_law("bernoulli(1)").is_constant
    assert not parse_law("bernoulli(0.5)").is_constant
    assert parse_law("gamma(1, 1)").is_continuous
    assert not parse_law("poisson(1)").is_continuous
    values = [value for value, _ in parse_law("discrete({0.1: 0.5, -2: 0.25, 3: 0.25})").atoms]
    assert str(values) == "[-2, 1/10, 3]"  # exact, increasing
    assert parse_law("discrete({0: 0, 1: 1})").support.values == (1,)
    assert parse_law(3) == parse_law("3") == parse_law("constant(3)")
    assert parse_law({0: 0.5, 1: 0.5}) == parse_law("discrete({0: 0.5, 1: 0.5})")
    assert parse_law("gamma(scale=1, shape=2)") == parse_law("gamma(2, 1)") == parse_law("gamma(2, scale=1)")
    assert isinstance(parse_law("-1.5"), Law)


BAD = {
    "normal": "expected a law",
    "normal()": r"expected normal\(mean, sd\)",
    "normal(0)": r"expected normal\(mean, sd\)",
    "normal(0, 1, 2)": r"expected normal\(mean, sd\)",
    "normal(0, 1, mean=1)": r"expected normal\(mean, sd\)",
    "normal(0, mean=1)": r"expected normal\(mean, sd\)",
    "normal(0, 0)": "sd must be above 0",
    "normal(0, -1)": "sd must be above 0",
    "normal(0, 1e400)": "out of bounds",
    "normal(0, X)": "expected a number; found 'X'",
    "normal(0, [1])": "expected a number; found a list",
    "norml(0, 1)": "did you mean normal",
    "cauchy(0, 1)": "no law 'cauchy'",
    "uniform(1, 1)": "low must be below high",
    "gamma(0, 1)": "shape must be above 0",
    "exponential(-2)": "scale must be above 0",
    "lognormal(0, 100)": "log_sd below 10",
    "poisson(1e12)": "rate must be at most",
    "bernoulli(1.2)": "within 0 to 1",
    "discrete({0: 0.5, 1: 0.6})": "sum to 1; they sum to 1.1",
    "discrete({0: 1.5, 1: -0.5})": "at least 0 and sum to 1",
    "discrete({0: 0.5, 0.0: 0.5})": "a value occurs twice",
    "discrete({})": "at least one value",
    "discrete(3)": r"expected discrete\(\{0",
    "discrete([1, 2])": "pairs",
    "discrete({**{0: 1}})": "is not allowed",
    "discrete({0: {1: 1}})": "expected a number",
    "empirical([])": "at least one value",
    "empirical(3)": r"expected empirical\(\[1",
    "normal(0, 1) + 1": "expected a law",
    "normal(0, 1)(2)": "name of a law",
    "normal.rvs(0, 1)": "name of a law|not allowed",
    "__import__('os')": "unexpected character",
    "normal(0, 1": "cannot be read",
    "(lambda: 1)()": "unexpected|not allowed|cannot be read",
    "": "expected a text",
}


@pytest.mark.parametrize("text", BAD)
def test_parse_law__refuses_in_one_line_that_names_the_place(text):
    with pytest.raises(InputError, match=BAD[text]) as caught:
        parse_law(text, "genes.X.noise")
    assert str(caught.value).startswith("genes.X.noise: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [None, True, ["normal"], {0: "x"}, {0: None}, float("nan"), b"x"])
def test_parse_law__refuses_other_types(value):
    with pytest.raises(InputError, match=r"^here: "):
        parse_law(value, "here")


def test_make_law__bounds_the_number_of_values():
    with pytest.raises(InputError, match="at most 10,000"):
        make_law("empirical", list(range(10_001)))
    assert make_law("empirical", list(range(10_000))).mean == pytest.approx(4999.5)


# Supports.


def test_support__contains():
    assert interval(0, 1).contains(0)
    assert not interval(0, 1).contains(1.1)
    assert integers(0, inf).contains(7)
    assert not integers(0, inf).contains(7.5)
    assert finite([0.1, 2]).contains(0.1)
    assert not finite([0.1, 2]).contains(1)


def test_support__union():
    assert finite([0, 1]).union(finite([1, 2])) == finite([0, 1, 2])
    assert finite([0, 1]).union(integers(3, inf)) == integers(0, inf)
    joint = interval(0, 1, open_low=True).union(interval(-1, 0.5, open_low=True))
    assert (joint.low, joint.high, joint.open_low, joint.open_high) == (-1, 1, True, False)
    assert finite([0.5]).union(integers(0, 3)).kind == "interval"
    assert not interval(0, 1, open_low=True).union(finite([0])).open_low


@pytest.mark.parametrize(
    "support",
    [
        interval(-inf, inf),
        interval(0, inf, open_low=True),
        interval(-inf, -3),
        interval(2, 3, open_high=True),
        integers(0, inf),
        integers(-2, 5),
        finite([0, 0.5, 9]),
    ],
    ids=str,
)
def test_support__grid_lies_inside(support: Support):
    for core in (None, (2.25, 2.75)):
        if core and not support.low < 2.3 < support.high:
            continue
        grid = support.sample_grid(7, core)
        assert np.isfinite(grid).all()
        assert (np.diff(grid) > 0).all() or len(grid) == 1
        if core is None or support.kind == "interval":
            assert all(support.contains(x) for x in grid)
        assert not (support.open_low and grid[0] == support.low)
        assert not (support.open_high and grid[-1] == support.high)
    assert interval(-inf, inf).sample_grid(3, (-1, 1)).tolist() == [-1, 0, 1]
