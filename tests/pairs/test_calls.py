import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from poolproof._random import stream
from poolproof.pairs import bh_adjust
from poolproof.pairs.calls import (
    N_CODES,
    Z_UPPER,
    CodeTable,
    bh_cut,
    code_of,
    coded_q_values,
    doubtful_codes,
    exact_q_values,
    largest_p,
    minus_log_sf,
    share_upper,
)

MARGIN_CODES = 20  # the margin of doubtful_codes: what codes may be off by


def mixture(rng, n, share=0.1, size=12.0):
    """P-values of n chi-square(4) tests, a share of them with an effect."""
    effect = np.where(rng.random(n) < share, rng.exponential(size, n), 0.0)
    return stats.ncx2.sf(rng.noncentral_chisquare(4, effect + 1e-9), 4, 1e-9)


def histogram_of(p_values):
    return np.bincount(code_of(-np.log(p_values)), minlength=N_CODES)


# --- tails ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("df", [1, 2, 3, 4, 5, 12, 40])
def test_minus_log_sf__chi_square(df):
    x = np.linspace(0.0, 1100.0, 400)
    expected = -stats.chi2.logsf(x, df)
    shown = np.isfinite(expected) & (expected < 660)
    np.testing.assert_allclose(minus_log_sf(x, df)[shown], expected[shown], rtol=1e-10, atol=1e-12)


def test_minus_log_sf__chi_square_beyond_underflow():
    x = np.array([1e3, 2e3, 1e4, 1e6])
    np.testing.assert_allclose(minus_log_sf(x, 2), x / 2)
    # four degrees: exp(-x/2) (1 + x/2); the asymptote leaves out the 1
    np.testing.assert_allclose(minus_log_sf(x, 4), x / 2 - np.log1p(x / 2), rtol=1e-5)


@pytest.mark.parametrize("df", [1, 2, 4, 5])
@pytest.mark.parametrize("df_residual", [5, 12, 94, 1990])
def test_minus_log_sf__f(df, df_residual):
    x = np.linspace(0.0, 300.0, 200)
    expected = -stats.f.logsf(x / df, df, df_residual)
    shown = np.isfinite(expected) & (expected < 600)
    np.testing.assert_allclose(
        minus_log_sf(x, df, df_residual)[shown], expected[shown], rtol=1e-8, atol=1e-10
    )


@pytest.mark.parametrize("df_residual", [np.inf, 57.0])
def test_minus_log_sf__does_not_depend_on_what_stands_beside_it(df_residual):
    rng = np.random.default_rng(0)
    x, df = rng.gamma(1.0, 10.0, 300), rng.integers(1, 8, 300).astype(float)
    alone = [minus_log_sf(x[i : i + 1], df[i], df_residual)[0] for i in range(len(x))]
    assert minus_log_sf(x, df, df_residual).tolist() == alone


def test_minus_log_sf__never_falls():
    for df_residual in (np.inf, 2000.0, 20000.0):
        values = minus_log_sf(np.linspace(0, 6000, 20001), 4, df_residual)
        assert (np.diff(values) >= -1e-9).all()


# --- codes ---------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1e4), min_size=2, max_size=50))
@settings(derandomize=True, deadline=None)
def test_code_of__rises_as_p_falls(values):
    ordered = np.sort(np.array(values))
    codes = code_of(ordered).astype(int)
    assert (np.diff(codes) >= 0).all()
    assert codes.min() >= 0
    assert codes.max() < N_CODES


def test_largest_p__bounds_every_code():
    minus_log_p = np.concatenate([np.linspace(0, 3, 5000), np.linspace(3, 690, 50000)])
    codes = code_of(minus_log_p)
    p = np.exp(-minus_log_p)
    assert (p <= largest_p(codes) * (1 + 1e-12)).all()
    assert (p >= largest_p(codes.astype(int) + 1) * (1 - 1e-12)).all()
    # fine enough: 2 in 10^4 of -ln p, beyond the first .05
    width = -np.log(largest_p(codes.astype(int) + 1)) + np.log(largest_p(codes))
    assert (width <= 2e-4 * (minus_log_p + 0.06)).all()


@pytest.mark.parametrize(
    ("df", "df_residual"), [*((df, np.inf) for df in (1, 2, 3, 4, 5, 8, 12, 40)), (4, 64), (4, 994), (1, 24)]
)
def test_code_table__is_within_the_margin_of_the_exact_code(df, df_residual):
    statistic = np.concatenate([np.linspace(2.0**-4, 30, 40001), np.geomspace(30, 3000, 10001)])
    statistic = statistic.astype(np.float32)
    exact = code_of(minus_log_sf(statistic.astype(np.float64), df, df_residual)).astype(int)
    found = CodeTable(df, df_residual)(statistic).astype(int)
    assert found.shape == statistic.shape
    # the table reads statistics off at 12 bits, downwards, and 2^-4 as 0 (p > .8 there)
    inside = statistic > 2.0**-4 * 1.001
    assert (exact - found)[inside].min() >= 0
    assert (exact - found)[inside].max() <= MARGIN_CODES


def test_code_table__odd_statistics():
    table = CodeTable(4)
    codes = table(np.array([[0.0, -1.0, np.nan, 1e-6], [np.inf, 1e30, 5000.0, 4095.0]], dtype=np.float32))
    np.testing.assert_array_equal(codes[0], 0)
    assert (codes[1] > 65500).all()


# --- Benjamini & Hochberg ------------------------------------------------------------------------------


def rejected_by_codes(p_values, fdr):
    """What the screening does: a histogram of codes, then exact p-values where it is in doubt."""
    codes = code_of(-np.log(p_values)).astype(int)
    bounds = doubtful_codes(histogram_of(p_values), fdr)
    doubtful = (codes >= bounds[0]) & (codes <= bounds[1])
    n_sure = int((codes > bounds[1]).sum())
    cut = bh_cut(len(p_values), n_sure, p_values[doubtful], fdr, bounds)
    return (codes > cut.sure) | (doubtful & (p_values <= cut.p_value)), cut


@pytest.mark.parametrize("fdr", [0.001, 0.05, 0.3])
@pytest.mark.parametrize("n", [1, 7, 300, 20_000])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_bh_cut__rejects_what_scipy_rejects(n, share, fdr):
    for run in range(5):
        p = mixture(stream(run, "bh", str(n), str(share)), n, share)
        expected = stats.false_discovery_control(p) <= fdr
        rejected, cut = rejected_by_codes(p, fdr)
        np.testing.assert_array_equal(rejected, expected)
        np.testing.assert_array_equal(p <= cut.p_value, expected)


@given(st.lists(st.sampled_from([1e-300, 1e-9, 1e-4, 0.01, 0.02, 0.05, 0.5, 1.0]), min_size=1, max_size=60))
@settings(derandomize=True, deadline=None, max_examples=200)
def test_bh_cut__with_ties(values):
    p = np.array(values)
    np.testing.assert_array_equal(rejected_by_codes(p, 0.05)[0], stats.false_discovery_control(p) <= 0.05)


def test_bh_cut__nothing_or_everything_rejected():
    assert not rejected_by_codes(np.linspace(0.2, 1, 50), 0.05)[0].any()
    assert rejected_by_codes(np.full(50, 1e-12), 0.05)[0].all()


def test_doubtful_codes__leave_few_tests_to_decide():
    p = mixture(stream(0, "doubtful"), 200_000)
    low, high = doubtful_codes(histogram_of(p), 0.05)
    codes = code_of(-np.log(p))
    assert ((codes >= low) & (codes <= high)).mean() < 1e-3


def test_bh_adjust__nan_is_not_counted():
    rng = stream(0, "adjust")
    p = mixture(rng, 500)
    gone = rng.random(500) < 0.3
    found = bh_adjust(np.where(gone, np.nan, p))
    np.testing.assert_array_equal(np.isnan(found), gone)
    np.testing.assert_allclose(found[~gone], stats.false_discovery_control(p[~gone]))
    assert np.isnan(bh_adjust(np.full(3, np.nan))).all()


@pytest.mark.parametrize("n", [1, 30, 2000, 100_000])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.6])
def test_coded_q_values__agree_with_scipy(n, share):
    p = mixture(stream(0, "q", str(n), str(share)), n, share)
    expected = stats.false_discovery_control(p)
    found = coded_q_values(histogram_of(p))(p)
    # the width of one code: 2 in 10^4 of -ln p
    assert (np.abs(np.log(found / expected)) <= 1e-4 + 2.5e-4 * -np.log(p)).all()
    np.testing.assert_allclose(found[p > 1e-8], expected[p > 1e-8], rtol=5e-3)
    ordered = found[np.argsort(p)]
    assert (ordered[1:] >= ordered[:-1] * 0.98).all()


@given(st.lists(st.sampled_from([1e-300, 1e-9, 1e-4, 0.02, 0.021, 0.5, 1.0]), min_size=1, max_size=40))
@settings(derandomize=True, deadline=None)
def test_exact_q_values__agree_with_scipy(values):
    p = np.array(values)
    shown = stream(0, "rows").permutation(len(p))[: len(p) // 2 + 1]  # a table may show a part of the tests
    expected = stats.false_discovery_control(p)
    np.testing.assert_allclose(exact_q_values(p)(p[shown]), expected[shown], rtol=1e-9)


# --- the bound -----------------------------------------------------------------------------------------


def random_pieces(rng, n):
    bend, line = rng.gamma(1.0, 0.2, n), rng.gamma(2.0, 0.3, n)
    root = rng.normal(size=(n, 2, 2)) * 10.0 ** rng.uniform(-3, -0.5, (n, 1, 1))
    v = root @ root.transpose(0, 2, 1)
    return bend, line, v[:, 0, 0], v[:, 1, 1], v[:, 0, 1]


def test_share_upper__is_the_root_of_its_equation():
    pieces = random_pieces(stream(0, "root"), 3000)
    found = share_upper(*pieces)
    checked = 0
    for upper, r, b, v_bend, v_line, v_both in zip(found, *pieces, strict=True):

        def excess(c, r=r, b=b, v_bend=v_bend, v_line=v_line, v_both=v_both):
            return r - c * b + Z_UPPER * np.sqrt(max(v_bend + c * c * v_line - 2 * c * v_both, 0.0))

        if b <= Z_UPPER * np.sqrt(v_line):  # the line is not significant
            assert upper == 1
            continue
        if excess(1e4) > 0:
            assert upper > 0.999
            continue
        c = optimize.brentq(excess, 0, 1e4, xtol=1e-12, rtol=1e-12)
        assert upper == pytest.approx(c * c / (1 + c * c), rel=1e-6)
        checked += 1
    assert checked > 1000


def test_share_upper__below_the_margin_is_the_rule_of_the_call():
    r, b, v_bend, v_line, v_both = pieces = random_pieces(stream(1, "rule"), 20_000)
    c = 1 / 3
    v = v_bend + c**2 * v_line - 2 * c * v_both
    affine = (r - c * b + Z_UPPER * np.sqrt(v) < 0) & (b > Z_UPPER * np.sqrt(v_line))
    np.testing.assert_array_equal(share_upper(*pieces) < 0.1, affine)
    assert affine.mean() > 0.1


def test_share_upper__exceeds_the_estimate_and_shrinks_to_it():
    r, b = np.array([0.1, 0.2, 0.5]), np.array([0.9, 0.6, 0.5])
    share = r**2 / (r**2 + b**2)
    before = np.ones(3)
    for variance in (1e-2, 1e-3, 1e-5, 0.0):
        v = np.full(3, variance)
        upper = share_upper(r, b, v, v, 0 * v)
        assert (share <= upper + 1e-15).all()
        assert (upper <= before).all()
        before = upper
    np.testing.assert_allclose(before, share)
