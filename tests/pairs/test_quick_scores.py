"""The classical and the robust screen by compiled loops: the answers of the one that numpy does."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from helpers import needed

from poolproof import linearity
from poolproof._random import stream
from poolproof.pairs import make_design, quick_scores, screening
from poolproof.pairs.growing_noise import least, lowered, weighted_statistics
from poolproof.pairs.score_engine import ScoreTest

needed("numba")

EXACT = ("r2_linear", "r2_spline", "gain", "nonlinear_share_upper", "statistic", "p_value")


def expressed(seed, n=150, n_genes=90, shared=0.4):
    """Log-normal genes of three causes, some of them bursts, squares or of few levels."""
    rng = stream(seed, "quick scores")
    cause = rng.normal(size=(n, 3)) @ rng.normal(size=(3, n_genes)) / np.sqrt(3)
    log = np.sqrt(shared) * cause + np.sqrt(1 - shared) * rng.normal(size=(n, n_genes))
    values = np.exp(0.6 * log)
    values[:, ::7] *= rng.random((n, len(range(0, n_genes, 7)))) < 0.15  # on in one sample of seven
    values[:, 1::11] = np.round(2 * values[:, 1::11])
    values[:, 2::9] = log[:, 2::9] ** 2
    values[:, 3] = values[:, 4]  # the same gene twice
    names = pd.Index([f"g{j}" for j in range(n_genes)])
    obs = pd.DataFrame({"age": rng.normal(size=n)}, index=[f"s{i}" for i in range(n)])
    obs["kind"] = np.where(rng.random(n) < 0.5, "a", "b")
    return AnnData(values, obs=obs, var=pd.DataFrame(index=names))


@pytest.fixture
def screens(monkeypatch):
    """The same screen in float32 by numpy and by compiled loops."""
    monkeypatch.setattr(screening, "SMALL", 0)
    made = []
    of = quick_scores.QuickScores

    class Counted(of):
        def __init__(self, *arguments):
            made.append(self)
            super().__init__(*arguments)

    monkeypatch.setattr(quick_scores, "QuickScores", Counted)

    def both(data, *, threads=1, loops=True, **options):
        found = []
        for limit in (np.inf, 0):
            monkeypatch.setattr(quick_scores, "COMPILED_FROM", limit)
            made.clear()
            options = {"kind": "bulk", "scale": "additive", "population": False, **options}
            found.append(linearity(data, threads=threads, control=False, **options))
            assert bool(made) == (limit == 0 and loops)
        return found

    return both


def same(first, second, n_least=500):
    """Whether two screens call every pair alike, with numbers within float32 rounding."""
    keys = ["regulator", "target"]
    one, other = (of.table.set_index(keys).sort_index() for of in (first, second))
    assert len(one) >= n_least
    assert one.index.equals(other.index)
    assert (one["call"] == other["call"]).all()
    assert (one["status"] == other["status"]).all()
    for name in EXACT:
        np.testing.assert_allclose(one[name], other[name], rtol=2e-4, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(one["q_value"], other["q_value"], rtol=5e-3)
    pd.testing.assert_frame_equal(first.genes, second.genes)
    for name in ("n_pairs_tested", "n_associated", "n_nonlinear", "n_affine", "share_contradicting"):
        assert first.summary[name] == second.summary[name], name
    assert first.summary["p_value_cut"] == pytest.approx(second.summary["p_value_cut"], rel=1e-9)


@pytest.mark.parametrize("test", ["classical", "robust"])
@pytest.mark.parametrize(("shared", "n_least"), [(0.1, 4), (0.4, 500), (0.9, 2_000)])
def test_quick_screen__says_what_numpy_says(screens, test, shared, n_least):
    same(*screens(expressed(1, n=250, shared=shared), test=test), n_least=n_least)


@pytest.mark.parametrize("test", ["classical", "robust"])
def test_quick_screen__covariates(screens, test):
    same(*screens(expressed(2), test=test, covariates=["age", "kind"]))


def test_quick_screen__missing_values_are_left_to_numpy(screens):
    data = expressed(3, n=80, shared=0.9)
    data.X[stream(3, "missing").random(data.shape) < 2e-3] = np.nan
    same(*screens(data, test="robust"))


def test_quick_screen__few_samples(screens):
    same(*screens(expressed(4, n=32, shared=0.9), test="robust"), n_least=100)
    same(*screens(expressed(4, n=32, shared=0.9), test="classical"), n_least=100)


def test_quick_screen__levels_and_replicates_are_left_to_numpy(screens):
    data = expressed(5)
    same(*screens(data, test="robust", within="kind", each_level=False, loops=False), n_least=200)
    data.obs["donor"] = [f"d{i % 15}" for i in range(data.n_obs)]
    same(*screens(data, test="robust", replicate="donor", loops=False), n_least=100)


def test_quick_screen__a_table_of_the_strongest(screens):
    """Rows beyond the limit are left out on the way, and the border is decided in float64."""
    data = expressed(6, shared=0.8)
    whole = screens(data, test="robust")
    few = screens(data, test="robust", max_rows=700)
    same(*few)
    for one, other in zip(whole, few, strict=True):
        assert len(other.table) == 700 < len(one.table)
        assert (one.table["target"].to_numpy()[:700] == other.table["target"].to_numpy()).all()


@pytest.mark.parametrize("test", ["classical", "robust"])
def test_quick_screen__threads_and_memory_do_not_matter(screens, test):
    data = expressed(7, n_genes=400, n=40)
    one, two = (screens(data, test=test, threads=threads)[1] for threads in (1, 2))
    pd.testing.assert_frame_equal(one.table, two.table)
    assert one.summary == two.summary


@pytest.mark.parametrize("test", ["classical", "robust"])
def test_quick_screen__single_pairs_in_float64(monkeypatch, test):
    """The moments of a pair alone are those of products of all, to rounding."""
    monkeypatch.setattr(quick_scores, "COMPILED_FROM", 0)
    data = expressed(8, n=100, n_genes=40)
    engine = ScoreTest(data.X, None, make_design(data.obs), test=test)
    genes = np.arange(40)
    quick = quick_scores.fitting_loops(engine, genes, 1600, (0.02, 0.1, 0.0), np.float32)
    wanted = np.ones((40, 40), dtype=bool) & (genes[:, None] != genes)
    (row, column, found, inside), *_ = quick.exact(quick.features(genes), wanted, genes)
    expected = engine.outcome(engine.features(genes), genes, np.float64, exact=True)
    for name in ("r2_linear", "gain", "share_upper", "statistic"):
        ours, theirs = getattr(found, name)[inside], getattr(expected, name)[row, column]
        np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-11, err_msg=name)
    other = expected.r2_linear[row, column] < 1 - 1e-9  # of a gene and its copy noise is rounding
    assert (~other).sum() == 2
    for law in ("bend", "association"):
        ours = getattr(found, law).minus_log_p()[inside]
        theirs = getattr(expected, law).minus_log_p()[row, column]
        np.testing.assert_allclose(ours[other], theirs[other], rtol=1e-6, atol=1e-9, err_msg=law)
    gain = quick.detectable(row[::7], column[::7])
    theirs = engine.detectable(engine.features(genes), genes)[row[::7], column[::7]]
    np.testing.assert_allclose(gain, theirs, rtol=1e-7)


@pytest.mark.parametrize("n_covariates", [0, 1, 3])
def test_lower_pairs__is_the_second_test(n_covariates):
    """Also with a design of another width than six columns, and where float32 cannot tell shapes apart."""
    _, bases, growth = quick_scores.loops()
    rng = stream(n_covariates, "lower pairs")
    n, m = 300, 70
    x = np.stack([rng.gamma(0.7, size=n), rng.random(n)])
    nuisance = np.linalg.qr(np.column_stack([np.ones(n), rng.normal(size=(n, n_covariates))]))[0]
    raw = x[:, None] ** np.arange(1, 6)[:, None]
    basis = np.ascontiguousarray(raw - (raw @ nuisance) @ nuisance.T)
    count = np.empty(2, dtype=np.int64)
    bases.orthonormalise(basis, count)
    y = rng.normal(size=(m, n))
    y[::2] *= rng.random((m // 2, n)) < 0.2
    y = np.ascontiguousarray(y - (y @ nuisance) @ nuisance.T)
    row, gene = np.repeat([0, 1], m), np.tile(np.arange(m), 2)
    value = rng.uniform(9.5, 60.0, 2 * m)
    expected = np.concatenate(
        [lowered(value[row == r], *weighted_statistics(x[r], basis[r], nuisance, y), 5) for r in (0, 1)]
    )
    d = basis.shape[1] + nuisance.shape[1]
    grown = growth.Grown(
        np.zeros(2, dtype=bool), np.empty((2, 13)), np.empty((2, 13, d, d)), np.empty((2, 13))
    )
    floors = np.array([0.0, 0.0, *(least(k) for k in range(2, 6))])
    arguments = row, gene, x, basis, count, np.ascontiguousarray(nuisance.T), y, floors, grown
    for _ in range(2):  # what is known of a regulator is used again
        found = value.copy()
        growth.lower_pairs(found, *arguments)
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert (found < value).sum() > 20
    assert (found == value).sum() > 20


def test_quick_screen__without_numba(monkeypatch, screens):
    monkeypatch.setattr(quick_scores, "find_spec", lambda name: None)
    quick_scores.loops.cache_clear()
    try:
        one, two = screens(expressed(9, n=60), test="robust", loops=False)
    finally:
        quick_scores.loops.cache_clear()
    pd.testing.assert_frame_equal(one.table, two.table)


def test_best_shape__float64_tells_what_float32_cannot():
    growth = quick_scores.loops()[2]
    rng = stream(1, "best shape")
    weight, u = rng.gamma(3.0, size=(13, 200)), rng.normal(size=200)
    weight[4] *= 0.3
    weight[5] = weight[4] * (1 - 1e-7)  # likelier, by less than float32 can tell
    sums = (weight @ u**2).astype(np.float32)
    sums[4] = np.nextafter(sums[5], np.float32(0))
    assert growth._best_shape(sums, np.zeros(13), weight, u) == 5
    assert growth._best_shape(sums, np.where(np.arange(13) == 2, -1e4, 0.0), weight, u) == 2
