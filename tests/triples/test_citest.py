"""The tests of conditional independence: against causal-learn, by law, written out, and what they refuse."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from scipy import stats

from poolproof import InputError
from poolproof._random import stream
from poolproof.basis import conditioning_bases
from poolproof.triples import citest

REFERENCE = Path(__file__).resolve().parents[1] / "reference"
EXPECTED = pd.read_csv(REFERENCE / "ci_expected.csv", float_precision="round_trip").set_index("case")
SAMPLES = dict(tuple(pd.read_csv(REFERENCE / "ci_samples.csv").groupby("case", sort=False)))
every_test = pytest.mark.parametrize("name", citest.CI_TESTS)
plain_tests = pytest.mark.parametrize("name", ["fisher_z", "spline_gcm", "kernel"])


def fork(n=200, c=1, seed=0):
    """X and Z dependent on the same c variables, all above zero, and independent given them."""
    rng = stream(seed, "fork")
    given = rng.gamma(5, 1, (n, c))
    x, z = given.mean(axis=1) + 0.5 * rng.normal(size=(2, n))
    return x, z, given


def reference(case):
    table = SAMPLES[case]
    given = table[["given_1", "given_2", "given_3"]].dropna(axis=1)
    return table["x"].to_numpy(), table["y"].to_numpy(), given.to_numpy()


# --- against causal-learn -----------------------------------------------------------------------------------


def test_reference__covers_ties_sizes_and_numbers_of_given_variables():
    assert list(SAMPLES) == list(EXPECTED.index)
    shapes = {reference(case)[2].shape for case in SAMPLES}
    assert {c for _, c in shapes} == {0, 1, 2, 3}
    assert {n for n, _ in shapes} == {60, 199, 200}
    assert min(len(np.unique(reference(case)[2])) for case in SAMPLES if "counts" in case) < 12
    assert (EXPECTED < 0.002).any().all()


@pytest.mark.parametrize("case", SAMPLES)
def test_fisher_z__equals_causal_learn(case):
    expected = EXPECTED.loc[case, "fisher_z"]
    assert citest.fisher_z_test(*reference(case)).p_value == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("widths", citest.WIDTHS)
@pytest.mark.parametrize("case", SAMPLES)
def test_kernel__equals_causal_learn(case, widths):
    x, y, given = reference(case)
    ours = citest.kernel_test(x, y, given, widths=widths).p_value
    expected = EXPECTED.loc[case, f"kernel_{widths}"]
    # with given variables causal-learn leaves out eigenvalues below 1e-5 of the largest
    assert ours == pytest.approx(expected, rel=1e-8 if given.shape[1] == 0 else 2e-4, abs=1e-12)


# --- written out --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("c", [0, 1, 3])
def test_fisher_z__equals_the_regression_of_each_on_the_rest(c):
    x, z, given = fork(50, c=max(c, 1))
    given = given[:, :c]
    r = -np.linalg.inv(np.corrcoef(np.column_stack([x, z, given]).T))
    r = r[0, 1] / np.sqrt(r[0, 0] * r[1, 1])
    result = citest.fisher_z_test(x, z, given)
    assert result.statistic == pytest.approx(np.log((1 + r) / (1 - r)) / 2 * np.sqrt(50 - c - 3), rel=1e-10)
    assert result.p_value == pytest.approx(2 * stats.norm.sf(abs(result.statistic)), rel=1e-12)


@pytest.mark.parametrize(("n", "c", "k"), [(300, 0, 5), (300, 1, 5), (300, 2, 5), (60, 5, 2), (60, 3, 3)])
def test_spline_gcm__equals_least_squares_and_its_leverages(n, c, k):
    x, z, given = fork(n, c=max(c, 1))
    bases, n_columns = conditioning_bases(given[:, :c], k)
    columns = np.column_stack([np.ones(n), *(b[:size].T for b, size in zip(bases, n_columns, strict=True))])
    hat = columns @ np.linalg.inv(columns.T @ columns) @ columns.T
    product = (x - hat @ x) * (z - hat @ z)
    variance = np.sum(product**2 / (1 - np.diag(hat))) - product.sum() ** 2 / n
    expected = product.sum() / np.sqrt(variance)
    result = citest.spline_gcm_test(x, z, given[:, :c])
    ridge = 0 if c < 2 else 0.02  # several given variables have one
    assert result.statistic == pytest.approx(expected, rel=1e-8, abs=ridge)
    assert (result.statistic == pytest.approx(expected, rel=1e-8)) == (c < 2)


def test_spline_gcm__allows_for_the_size_of_residuals_in_a_full_fit():
    """Variance of the sum of products under equal noise: n less the columns, not the squares of residuals."""
    rng = stream(0, "full fit")
    found = []
    for _ in range(600):
        given = rng.normal(size=(60, 5))
        x, y = rng.normal(size=(2, 60))
        found.append(citest.spline_gcm_test(x, y, given).statistic)
    # 11 columns of 60: without leverages the standard deviation would be sqrt(60 / 49), 1.11
    assert np.std(found) == pytest.approx(1.0, abs=3 / np.sqrt(2 * 600))


def test_zero_deletion__is_the_test_of_the_samples_left():
    x, z, given = fork(300, c=2)
    given[:80, 0] = 0
    given[60:120, 1] = 0
    x[120:150] = 0
    for name in ("fisher_z", "spline_gcm", "kernel"):
        plain = citest.CI_TESTS[name]
        assert citest.zero_deletion_test(x, z, given, test=name) == plain(x[120:], z[120:], given[120:])
        assert citest.ci_test(f"zero_deletion_{name}", x, z, given) == plain(x[120:], z[120:], given[120:])
        fewer = citest.zero_deletion_test(x, z, given, test=name, zeros_in="all")
        assert fewer == plain(x[150:], z[150:], given[150:])
        assert fewer.n == 150


def test_zero_deletion__deletes_nothing_where_nothing_is_given():
    x, z, _ = fork()
    x[:50] = 0
    assert citest.zero_deletion_test(x, z) == citest.fisher_z_test(x, z)
    assert citest.zero_deletion_test(x, z, zeros_in="all").n == 150


# --- laws ---------------------------------------------------------------------------------------------------


def same(a, b, rel=1e-6):
    assert (a.n, a.status) == (b.n, b.status)
    assert a.p_value == pytest.approx(b.p_value, rel=rel, abs=1e-12, nan_ok=True)


@every_test
@settings(max_examples=8, deadline=None)
@for_all(seed=st.integers(0, 10**6), c=st.integers(0, 3))
def test_all__are_free_of_unit_order_and_sign(name, seed, c):
    x, z, given = fork(90, c=max(c, 1), seed=seed)
    given = given[:, :c]
    test, rng = citest.CI_TESTS[name], stream(seed, "law")
    before = test(x, z, given)
    rows = rng.permutation(90)
    same(before, test(x[rows], z[rows], given[rows]))
    same(before, test(x, z, given[:, ::-1]))
    same(before, test(-1e200 * x, 1e-200 * z, given * 1e3))
    if not name.startswith("zero"):
        same(before, test(x + 100, z, given - 100))


@pytest.mark.parametrize("name", ["fisher_z", "spline_gcm"])
def test_x_and_y_may_be_exchanged(name):
    x, z, given = fork()
    same(citest.ci_test(name, x, z, given), citest.ci_test(name, z, x, given), rel=1e-12)


@plain_tests
def test_statistic__has_the_sign_of_the_dependence(name):
    x, z, _ = fork()
    up, down = citest.ci_test(name, x, z), citest.ci_test(name, x, -z)
    assert up.statistic > 3
    sign = 1 if name == "kernel" else -1
    assert down.statistic == pytest.approx(sign * up.statistic, rel=1e-10)


@every_test
def test_given__a_vector_none_and_constants_are_what_they_say(name):
    x, z, given = fork()
    assert citest.ci_test(name, x, z, given[:, 0]) == citest.ci_test(name, x, z, given)
    assert citest.ci_test(name, x, z) == citest.ci_test(name, x, z, np.empty((200, 0)))
    with_constant = np.column_stack([given, np.full(200, 7.0)])
    same(citest.ci_test(name, x, z, with_constant), citest.ci_test(name, x, z, given))


def test_given__repeated_variables_cost_one_degree_of_freedom_only():
    x, z, given = fork()
    twice = np.column_stack([given, given * 3 + 1])
    same(citest.fisher_z_test(x, z, twice), citest.fisher_z_test(x, z, given), rel=1e-10)
    assert citest.spline_gcm_test(x, z, twice).p_value == pytest.approx(
        citest.spline_gcm_test(x, z, given).p_value, abs=0.01
    )


@every_test
def test_input__is_left_as_it_was(name):
    x, z, given = fork()
    copies = x.copy(), z.copy(), given.copy()
    for values in (x, z, given):
        values.flags.writeable = False
    citest.ci_test(name, x, z, given)
    for values, copy in zip((x, z, given), copies, strict=True):
        np.testing.assert_array_equal(values, copy)


# --- seed ---------------------------------------------------------------------------------------------------


def test_kernel__draws_from_many_samples_by_its_seed(monkeypatch):
    monkeypatch.setattr(citest, "MAX_KERNEL_SAMPLES", 150)
    x, z, given = fork(400)
    first, again, other = (citest.ci_test("kernel", x, z, given, seed=s) for s in (0, 0, 1))
    assert first == again
    assert first.n == 150
    assert first.p_value != other.p_value
    below = [citest.kernel_test(x[:150], z[:150], given[:150], seed=s) for s in (0, 1)]
    assert below[0] == below[1]
    dropped = given * (np.arange(400) % 2)[:, None]
    deleted = [citest.zero_deletion_test(x, z, dropped, test="kernel", seed=s) for s in (0, 1)]
    assert [result.n for result in deleted] == [150, 150]
    assert deleted[0].p_value != deleted[1].p_value


def test_kernel__uses_a_thousand_samples():
    assert citest.MAX_KERNEL_SAMPLES == 1000
    x, z, given = fork(1001)
    assert citest.kernel_test(x, z, given).n == 1000


# --- what cannot be tested ----------------------------------------------------------------------------------


def refused(result, n, status):
    assert (result.n, result.status) == (n, status)
    assert np.isnan([result.statistic, result.p_value]).all()


@every_test
def test_constant__x_or_y(name):
    x, z, given = fork()
    for value in (0.0, 1 / 3, 1e9):
        constant = np.full(200, value)
        refused(citest.ci_test(name, constant, z, given), 200, "constant")
        refused(citest.ci_test(name, x, constant, given), 200, "constant")
        refused(citest.ci_test(name, x, constant), 200, "constant")


@pytest.mark.parametrize("name", ["fisher_z", "spline_gcm"])
def test_constant__nothing_is_left_given_the_others(name):
    x, z, given = fork(c=2)
    refused(citest.ci_test(name, given[:, 0], z, given[:, 0]), 200, "constant")
    refused(citest.ci_test(name, x, given @ [1.0, -2.0], given), 200, "constant")


def test_constant__after_deletion():
    x, z, given = fork()
    given[:100] = 0
    x[100:] = 4
    refused(citest.zero_deletion_test(x, z, given), 100, "constant")


@every_test
@pytest.mark.parametrize("n", [0, 1, 4])
def test_too_few_samples__hardly_any(name, n):
    x, z, given = (v[:n] for v in fork())
    refused(citest.ci_test(name, x, z, given), n, "too_few_samples")


def test_too_few_samples__starts_where_the_docstrings_say():
    x, z, given = fork(c=5)
    assert citest.fisher_z_test(x[:9], z[:9], given[:9]).status == "ok"
    refused(citest.fisher_z_test(x[:8], z[:8], given[:8]), 8, "too_few_samples")
    assert citest.spline_gcm_test(x[:60], z[:60], given[:60]).status == "ok"
    refused(citest.spline_gcm_test(x[:59], z[:59], given[:59]), 59, "too_few_samples")
    for name in ("spline_gcm", "kernel"):
        assert citest.ci_test(name, x[:30], z[:30], given[:30, 0]).status == "ok"
        refused(citest.ci_test(name, x[:29], z[:29], given[:29, 0]), 29, "too_few_samples")


@pytest.mark.parametrize("name", ["fisher_z", "spline_gcm", "kernel"])
def test_too_few_samples__after_deletion(name):
    x, z, given = fork()
    given[30:] = 0
    assert citest.zero_deletion_test(x, z, given, test=name).n == 30
    given[29] = 0
    refused(citest.zero_deletion_test(x, z, given, test=name), 29, "too_few_samples")


@every_test
def test_extremes__give_numbers(name):
    x, z, given = fork()
    same_twice = citest.ci_test(name, x, x, given)
    assert same_twice.status == "ok"
    assert same_twice.p_value < 1e-6
    signs = np.where(x > np.median(x), 1.0, -1.0)
    assert citest.ci_test(name, signs, signs).p_value < 1e-6
    spike = np.zeros(200)
    spike[3] = 1.0
    for result in (citest.ci_test(name, spike, z, given), citest.ci_test(name, x, z, spike + 1)):
        assert result.status == "ok"
        assert 0 <= result.p_value <= 1


# --- the signature ------------------------------------------------------------------------------------------


def test_registry__names_three_tests_and_their_zero_deletions():
    plain = ["fisher_z", "spline_gcm", "kernel"]
    assert list(citest.CI_TESTS) == plain + [f"zero_deletion_{name}" for name in plain]


@every_test
def test_result__is_frozen_and_plain(name):
    result = citest.CI_TESTS[name](*fork(), seed=3)
    assert [type(v) for v in vars(result).values()] == [float, float, int, str]
    with pytest.raises(AttributeError):
        result.p_value = 0.0


def test_lists__will_do():
    x, z, given = fork(40)
    lists = citest.fisher_z_test(x.tolist(), z.tolist(), given.tolist())
    assert lists == citest.fisher_z_test(x, z, given)


@every_test
def test_refuses__what_does_not_fit(name):
    x, z, given = fork(40)
    for arguments, message in (
        ((x, z[:-1]), r"one length; found shapes \(40,\) and \(39,\)"),
        ((x[:, None], z[:, None]), "must be vectors"),
        ((x, z, given[:-1]), r"each of the 40 samples.*found shape \(39, 1\)"),
        ((x, z, given[:, :, None]), "given must have one row"),
        ((np.where(x > x[0], x, np.nan), z), "x must be finite"),
        ((x, np.where(z > z[0], z, np.inf)), "y must be finite"),
        ((x, z, np.where(given > given[0], given, np.nan)), "given must be finite"),
    ):
        with pytest.raises(InputError, match=message):
            citest.ci_test(name, *arguments)


def test_refuses__unknown_names():
    x, z, given = fork(40)
    with pytest.raises(InputError, match="must be one of fisher_z, spline_gcm, kernel, zero_deletion"):
        citest.ci_test("chi2", x, z)
    with pytest.raises(InputError, match="widths must be one of empirical, median; found 'wide'"):
        citest.kernel_test(x, z, given, widths="wide")
    with pytest.raises(InputError, match="zeros_in must be one of given, all"):
        citest.zero_deletion_test(x, z, given, zeros_in="x")
    with pytest.raises(InputError, match="test must be one of fisher_z, spline_gcm, kernel;"):
        citest.zero_deletion_test(x, z, given, test="zero_deletion_kernel")
