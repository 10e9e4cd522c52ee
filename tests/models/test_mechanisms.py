"""Equations and kernels: draws, conditional cumulants and transforms against each other and against sums."""

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

from poolproof import InputError
from poolproof.models import Equation, parse_equation, parse_kernel, parse_law
from poolproof.models.algebra import gene_symbol
from poolproof.models.mechanisms import KERNELS
from poolproof.models.ranges import check_defined
from poolproof.models.support import finite, integers, interval

Y, Z = gene_symbol("Y"), gene_symbol("Z")
N_DRAWS = 40_000


def kernel(text):
    return parse_kernel(text, ["Y", "Z", "HLA-A"], "genes.X.kernel")


# Text, the parent's value, and the same law as scipy has it.
FROZEN = {
    "poisson(1 + 2*Y)": stats.poisson(1 + 2 * 1.5),
    "binomial(4*Y, 0.3)": stats.binom(6, 0.3),
    "binomial(5, Y/2)": stats.binom(5, 0.75),
    "gamma(1 + Y, 2)": stats.gamma(2.5, scale=2),
    "gamma(2, Y)": stats.gamma(2, scale=1.5),
    "negative_binomial(2*Y, 3)": stats.nbinom(3, 3 / (3 + 3.0)),
    "negative_binomial(2*Y, Y/2)": stats.nbinom(0.75, 0.75 / (0.75 + 3.0)),
    "normal(Y - 1, Y)": stats.norm(0.5, 1.5),
    "bernoulli(Y/2)": stats.bernoulli(0.75),
    "bernoulli(0.2)": stats.bernoulli(0.2),
}


@pytest.mark.parametrize("text", FROZEN)
def test_kernels__have_the_cumulants_of_their_law(text):
    values = {"Y": np.array([1.5, 1.5])}
    mean, variance, skew, excess = (float(v) for v in FROZEN[text].stats(moments="mvsk"))
    expected = [mean, variance, skew * variance**1.5, excess * variance**2]
    found = kernel(text).cumulants(values)
    assert found.shape == (4, 2)
    np.testing.assert_allclose(found[:, 1], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("text", FROZEN)
def test_kernels__log_cf_agrees_with_sums_and_quadrature(text):
    law, u = FROZEN[text], np.array([-0.7, 0.0, 0.4, 1.1])
    if hasattr(law.dist, "pmf"):
        x = np.arange(400)
        expected = np.exp(1j * np.outer(u, x)) @ law.pmf(x)
    else:
        q = (np.arange(400_000) + 0.5) / 400_000
        expected = np.exp(1j * np.outer(u, law.ppf(q))).mean(axis=1)
    found = kernel(text).log_cf({"Y": np.array([1.5, 0.1 if "binomial(4" not in text else 1.0])}, u)
    assert found.shape == (2, 4)
    np.testing.assert_allclose(np.exp(found[0]), expected, atol=2e-5 if hasattr(law.dist, "pdf") else 1e-9)
    assert not np.allclose(found[0], found[1]) or not kernel(text).parents


@pytest.mark.parametrize("text", FROZEN)
def test_kernels__draws_follow_the_law(text):
    x = kernel(text).sample({"Y": np.full(N_DRAWS, 1.5)}, np.random.default_rng(3), N_DRAWS)
    law = FROZEN[text]
    assert (x.shape, x.dtype) == ((N_DRAWS,), np.float64)
    for q in (0.1, 0.5, 0.9):
        cut = law.ppf(q)
        share = float(law.cdf(cut))
        assert abs(np.mean(x <= cut) - share) <= 4.5 * (share * (1 - share) / N_DRAWS) ** 0.5 + 1e-12
    known = kernel(text).support({"Y": finite([1.5])})
    assert all(known.contains(value) for value in x[:300])


def test_kernels__log_cf_of_a_coin_is_continuous():
    u = np.linspace(0, 12, 4001)
    found = kernel("binomial(3, 0.9)").log_cf({}, u)[0]
    assert np.abs(np.diff(found)).max() < 0.1
    assert found[1].imag / u[1] == pytest.approx(2.7, rel=1e-3)


NATURAL = {
    "poisson(1 + 2*Y)": {"rate": 2 * Y + 1},
    "poisson(Y**2)": {"rate": Y**2},
    "binomial(2*Y, 0.3)": {"n": 2 * Y},
    "binomial(5, Y)": None,
    "gamma(1 + Y, 2)": {"shape": Y + 1},
    "gamma(2, Y)": None,
    "negative_binomial(2*Y, 3*Y)": {"mean": 2 * Y},
    "negative_binomial(1 + Y, 2 + 2*Y)": {"mean": Y + 1},
    "negative_binomial(Y, 3)": None,
    "negative_binomial(3, Y)": None,
    "normal(Y, 2)": {"mean": Y, "variance": 4},
    "normal(Y, sqrt(1 + Z))": {"mean": Y, "variance": Z + 1},
    "bernoulli(Y)": None,
    "bernoulli(0.5)": {},
    "gamma(2, 3)": {},
}


@pytest.mark.parametrize("text", NATURAL)
def test_natural__terms(text):
    found = kernel(text).natural()
    assert (None if found is None else dict(found)) == NATURAL[text]


@pytest.mark.parametrize("text", [text for text in NATURAL if NATURAL[text] is None or "Y" in text])
def test_natural__log_cf_is_affine_where_its_terms_are(text):
    # the second difference over equal steps of the parents is 0 exactly then
    terms = kernel(text).natural()
    parents = {"Y": np.array([0.2, 0.4, 0.6]), "Z": np.array([1.0, 3.0, 5.0])}
    if "binomial" in text and "negative" not in text and "5" not in text:
        parents["Y"] = np.array([1.0, 2.0, 3.0])
    log_cf = kernel(text).log_cf(parents, np.array([0.3, 0.9]))
    bend = np.abs(log_cf[0] - 2 * log_cf[1] + log_cf[2]).max()
    affine = terms is not None and all(sympy.degree(sympy.Poly(term, Y, Z)) <= 1 for _, term in terms)
    assert bool(bend < 1e-12) == affine


SUPPORTS = {"Y": interval(0, np.inf, open_low=True), "Z": finite([0, 1]), "HLA-A": integers(0, np.inf)}
KERNEL_SUPPORTS = {
    "poisson(Y)": integers(0, np.inf),
    "poisson(0*Y)": finite([0]),
    "binomial(2 + Z, 0.5)": finite([0, 1, 2, 3]),
    "binomial(`HLA-A`, 0.5)": integers(0, np.inf),
    "gamma(Y, 1)": interval(0, np.inf, open_low=True),
    "gamma(Z, 1)": interval(0, np.inf),
    "negative_binomial(Y, 1)": integers(0, np.inf),
    "normal(Z, 1)": interval(-np.inf, np.inf),
    "normal(Z, 0)": finite([0, 1]),
    "bernoulli(Z)": finite([0, 1]),
    "bernoulli(0)": finite([0]),
    "bernoulli(1)": finite([1]),
}


@pytest.mark.parametrize("text", KERNEL_SUPPORTS)
def test_kernels__support(text):
    assert kernel(text).support(SUPPORTS) == KERNEL_SUPPORTS[text]


DOMAIN = {
    "poisson(Y - 1)": r"poisson\(Y - 1\) is undefined: Y - 1 can be below 0",
    "binomial(Y, 0.5)": "no whole number",
    "binomial(Z - 1, 0.5)": "no whole number",
    "binomial(2, Z + 0.1)": "outside 0 to 1",
    "gamma(-Y, 1)": "below 0",
    "gamma(1, Z)": "0 or less",
    "negative_binomial(Y, Z)": "0 or less",
    "normal(0, Z - 1)": "below 0",
    "bernoulli(Y)": "outside 0 to 1",
    "bernoulli(2*Z)": "outside 0 to 1",
    "poisson(1/Z)": "can be 0",
}
FINE = ("poisson(Y)", "poisson(hill(Y))", "bernoulli(hill(Y, n=3))", "bernoulli(Y/(1 + Y))", "gamma(1, Y)")
FINE += ("bernoulli(AND(Z, NOT(Z)))", "bernoulli(0.2 + 0.1*Z + 0.7*sigmoid(Y))", "normal(log(Y), exp(-Y))")


@pytest.mark.parametrize("text", DOMAIN)
def test_kernels__parameters_out_of_bounds_are_refused_by_range_and_when_drawn(text):
    one = kernel(text)
    with pytest.raises(InputError, match=DOMAIN[text]):
        check_defined(one.guards, one.symbol_supports(SUPPORTS), "here")
    values = {"Y": np.array([0.5, 1.5]), "Z": np.array([0.0, 1.0])}
    with pytest.raises(InputError, match=r"cannot have|no finite number"):
        one.sample(values, np.random.default_rng(0), 2)


@pytest.mark.parametrize("text", FINE)
def test_kernels__parameters_within_bounds_pass(text):
    check_defined(kernel(text).guards, kernel(text).symbol_supports(SUPPORTS), "here")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cauchy(0, 1)", "no kernel 'cauchy'"),
        ("poisson(1, 2)", "expected poisson"),
        ("gamma(1)", "missing a required argument"),
        ("poisson", "expected one of"),
        ("2*poisson(Y)", "expected one of"),
        ("poisson(N)", "no place in a kernel"),
        ("poisson(Q)", "no gene 'Q'"),
        ("poisson(rate=Y, rate=Y)", "cannot be read|given twice"),
        ("poisson([Y])", "a list"),
    ],
)
def test_parse_kernel__says_what_is_wrong(text, said):
    with pytest.raises(InputError, match=said) as caught:
        kernel(text)
    assert str(caught.value).startswith("genes.X.kernel: ")
    assert "\n" not in str(caught.value)


def test_kernels__texts_and_parents():
    one = kernel("negative_binomial(size=1 + Z, mean=2*`HLA-A`)")
    assert one.text == "negative_binomial(2*`HLA-A`, 1 + Z)"
    assert one.parents == ("HLA-A", "Z")
    assert kernel(one.text) == one
    known = {"poisson", "binomial", "gamma", "negative_binomial", "normal", "bernoulli", "categorical"}
    assert set(KERNELS) == known


def test_categorical_kernel__is_the_law_of_its_shares():
    one = kernel("categorical(0.1 + 0.2*Z, 0.3, 0.1*Z)")
    assert kernel(one.text) == one
    values = {"Z": np.array([0.0, 1.0])}
    shares = np.array([[0.6, 0.1, 0.3, 0.0], [0.3, 0.3, 0.3, 0.1]])
    raw = np.stack([shares @ np.arange(4.0) ** k for k in range(1, 5)])
    mean, variance = raw[0], raw[1] - raw[0] ** 2
    third = shares @ np.arange(4.0) ** 3 - 3 * mean * raw[1] + 2 * mean**3
    assert_allclose(one.cumulants(values, 3), [mean, variance, third], atol=1e-12)
    centred = np.arange(4.0)[None] - mean[:, None]
    fourth = (shares * centred**4).sum(axis=1) - 3 * variance**2
    assert_allclose(one.cumulants(values, 4)[3], fourth, atol=1e-12)
    u = np.array([0.3, 2.0])
    transform = shares @ np.exp(1j * np.outer(np.arange(4), u))
    assert_allclose(np.exp(one.log_cf(values, u)), transform, atol=1e-12)
    drawn = one.sample({"Z": np.ones(20_000)}, np.random.default_rng(0), 20_000)
    found = np.bincount(drawn.astype(int), minlength=4) / 20_000
    assert np.abs(found - shares[1]).max() < 5 * np.sqrt(0.25 / 20_000)
    with pytest.raises(InputError, match="its probabilities can be"):
        one.sample({"Z": np.full(3, 5.0)}, np.random.default_rng(0), 3)


# Equations.


def equation(text, noise=None, **options):
    return parse_equation(text, noise, ["Y", "Z"], "genes.X", **options)


def test_equation__value_sample_and_support():
    one = equation("2*Y + N", "uniform(0, 1)")
    assert (one.parents, one.text, one.is_noise) == (("Y",), "2*Y + N", False)
    assert one.value({"Y": np.array([1.0, 2.0])}, np.array([0.5, 0.0])).tolist() == [2.5, 4]
    x = one.sample({"Y": np.full(1000, 3.0)}, np.random.default_rng(0), 1000)
    assert 6 < x.min() < x.max() < 7
    assert one.support({"Y": finite([0, 1])}) == interval(0, 3, open_low=True, open_high=True)
    noise = equation(None, "bernoulli(0.3)")
    assert (noise.parents, noise.is_noise, noise.support({})) == ((), True, finite([0, 1]))
    constant = equation("3")
    assert constant.sample({}, np.random.default_rng(0), 4).tolist() == [3, 3, 3, 3]


def test_equation__noise_and_formula_must_agree():
    with pytest.raises(InputError, match=r"^genes\.X\.equation: N stands in it, but no noise is given"):
        equation("Y + N")
    with pytest.raises(InputError, match=r"^genes\.X\.noise: the equation does not use N"):
        equation("2*Y", "normal(0, 1)")
    assert equation("2*Y", "normal(0, 1)", spare_noise=True).noise is None
    with pytest.raises(InputError, match=r"^genes\.X\.noise: "):
        equation("2*Y + N", "norml(0, 1)")
    law = parse_law("normal(0, 1)")
    assert equation("N", law) == equation(None, "normal(0, 1)")


def test_equation__refuses_to_give_what_is_no_number():
    one = equation("log(Y) + N", "normal(0, 1)")
    with pytest.raises(InputError, match=r"log\(Y\) \+ N is no finite number in 1 of 2 cells"):
        one.sample({"Y": np.array([1.0, 0.0])}, np.random.default_rng(0), 2)


numbers = st.integers(-40, 40).map(lambda k: k / 8)


@settings(deadline=None)
@given(numbers, numbers, numbers, numbers)
def test_affine__gives_back_the_coefficients(a, b, c, d):
    noise = "normal(0, 1)" if c else None
    coefficients, of_noise, constant = equation(f"{a}*Y + {b}*Z + {c}*N + {d}", noise).affine()
    assert {name: float(w) for name, w in coefficients.items()} == {
        name: w for name, w in (("Y", a), ("Z", b)) if w
    }
    assert (float(of_noise), float(constant)) == (c, d)


@pytest.mark.parametrize("text", ["Y*N", "Y*Z + N", "tanh(Y) + N", "Y + N**2", "AND(Y, Z) + N", "max(Y, N)"])
def test_affine__none_otherwise(text):
    assert equation(text, "normal(0, 1)").affine() is None


def test_mechanisms__are_hashable():
    assert len({kernel("poisson(Y)"), kernel("poisson(Y)"), kernel("poisson(Z)")}) == 2
    assert isinstance(equation("Y"), Equation)
    assert len({equation("Y"), equation("Y"), equation("Z")}) == 2
