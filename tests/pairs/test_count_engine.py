"""The engine of the corrected test: effect sizes, levels, statuses, cells left out, calls."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy import stats

import poolproof
from poolproof import _names as names
from poolproof.pairs import Design, make_design
from poolproof.pairs.count_engine import CountTest
from poolproof.pairs.count_kernels import count_features, usable_cells
from poolproof.pairs.outcome import Outcome


def design_of(n: int, **options: object) -> Design:
    obs = options.pop("obs", pd.DataFrame(index=range(n)))
    return make_design(obs, categorical_only=True, min_per_stratum=20, **options)  # type: ignore[arg-type]


def outcome_of(engine: CountTest, regulators: list[int], targets: list[int]) -> Outcome:
    return engine.outcome(engine.features(np.array(regulators)), np.array(targets), np.float64, exact=True)


def counted(level: np.ndarray, mean: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Poisson counts of levels ``(n, m)`` of mean 1, with size factors that are known."""
    size = rng.gamma(4.0, 0.25, len(level)) + 0.1
    return rng.poisson(mean * size[:, None] * level).astype(float), size


def share_of(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Non-linear share along degrees 1 to 3 in these cells, and the variance they explain."""
    basis = np.linalg.qr(np.vander((x - x.mean()) / x.std(), 4, increasing=True))[0]
    part = (basis.T @ y)[1:] ** 2
    return float(part[1:].sum() / part.sum()), float(part.sum() / len(y))


# --- effect sizes -----------------------------------------------------------------------------------------

CURVES = {
    "line": lambda x: 0.4 + 0.6 * x,
    "quadratic": lambda x: x**2,
    "saturating": lambda x: x / (0.5 + x),
    "Hill": lambda x: x**4 / (1 + x**4),
}


@pytest.mark.parametrize("law", ["gamma", "uniform"])
@pytest.mark.parametrize("curve", CURVES)
def test_effect_sizes_are_those_of_the_true_levels(law: str, curve: str) -> None:
    """Ten data sets: the mean error of the share and of the explained variance stays below its noise."""
    rng = np.random.default_rng([len(law), len(curve)])
    n = 6000
    errors, bounds = [], []
    for _ in range(10):
        x = rng.gamma(2.0, 0.5, n) if law == "gamma" else rng.uniform(0, 2, n)
        mean = CURVES[curve](x)
        mean /= mean.mean()
        y = mean * rng.gamma(4.0, 0.25, n)
        counts, size = counted(np.stack([x, y], axis=1), 15, rng)
        found = outcome_of(CountTest(counts, size, True, design_of(n), dtype=np.float64), [0], [1])
        share, explained = share_of(x, mean)
        r2 = explained / y.var()
        errors.append([found.nonlinear_share[0, 0] - share, found.r2_spline[0, 0] - r2])
        bounds.append(found.share_upper[0, 0] >= share)
    bias, spread = np.mean(errors, axis=0), np.std(errors, axis=0)
    assert (np.abs(bias) < 4 * spread / np.sqrt(10) + 0.01).all()
    assert (spread < [0.05, 0.1]).all()
    assert np.mean(bounds) >= 0.8  # a 97.5 % bound


def test_naive_shares_are_not() -> None:
    """Sampling noise alone bends a line: the spline on normalised counts sees a share, this test none."""
    rng = np.random.default_rng(8)
    n = 5000
    x = np.where(rng.random(n) < 0.5, 0.25, 1.75) * rng.gamma(25.0, 1 / 25, n)
    counts, size = counted(np.stack([x, 0.2 + 0.8 * x], axis=1), 2, rng)
    normalised = counts / size[:, None]
    assert share_of(normalised[:, 0], normalised[:, 1])[0] > 0.02
    found = outcome_of(CountTest(counts, size, True, design_of(n), dtype=np.float64), [0], [1])
    assert np.exp(-found.bend.minus_log_p()[0, 0]) > 0.01


def test_association_sees_curves_without_a_line() -> None:
    rng = np.random.default_rng(9)
    n = 3000
    x = rng.uniform(0.0, 2.0, n)
    y = 0.2 + 2.4 * (x - 1) ** 2
    counts, size = counted(np.stack([x, y / y.mean(), rng.gamma(2.0, 0.5, n)], axis=1), 10, rng)
    found = outcome_of(CountTest(counts, size, True, design_of(n), dtype=np.float64), [0], [1, 2])
    p = np.exp(-found.association.minus_log_p()[0])
    assert p[0] < 1e-10
    assert p[1] > 1e-3
    assert found.r2_linear[0, 0] < 0.02 < 0.5 < found.r2_spline[0, 0]


def test_average_gain_that_is_found() -> None:
    """``detectable`` inverts n g'Omega^-1 g over directions: W near 1 + df where the gain is that large."""
    rng = np.random.default_rng(10)
    n, wald, ncp = 2000, [], []
    for _ in range(60):
        x = rng.uniform(0.0, 2.0, n)
        y = (0.3 + 0.7 * x + 0.15 * (x - 1) ** 2) * rng.gamma(4.0, 0.25, n)
        counts, size = counted(np.stack([x, y / y.mean()], axis=1), 10, rng)
        engine = CountTest(counts, size, True, design_of(n), dtype=np.float64)
        features = engine.features(np.array([0]))
        found = engine.outcome(features, np.array([1]), np.float64, exact=True)
        unit = engine.detectable(features, np.array([1]))[0, 0]
        assert 0 < unit < 0.05
        wald.append(found.statistic[0, 0])
        ncp.append(found.gain[0, 0] / unit)
    assert 0.4 < (np.mean(wald) - 2) / np.mean(ncp) < 2.5  # one direction, not the average one


# --- levels -------------------------------------------------------------------------------------------------


def test_levels_add_up() -> None:
    rng = np.random.default_rng(11)
    n = 1500
    kind = np.repeat(["a", "b", "c"], n // 3)
    x = rng.gamma(2.0, 0.5, n)
    y = (np.repeat([0.2, 2.0, 0.5], n // 3) + x**1.5) * rng.gamma(4.0, 0.25, n)
    counts, size = counted(np.stack([x, y], axis=1), 8, rng)
    design = design_of(n, obs=pd.DataFrame({"kind": kind}), within=["kind"])
    together = outcome_of(CountTest(counts, size, True, design, dtype=np.float64), [0], [1])
    alone = []
    for level in design.levels:
        part = CountTest(counts, size, True, Design((level,), 0, (), ()), dtype=np.float64)
        alone.append(outcome_of(part, [0], [1]))
    statistic = sum(of.statistic[0, 0] for of in alone)
    assert together.statistic[0, 0] == pytest.approx(statistic, rel=1e-9)
    p = np.exp(-together.bend.minus_log_p()[0, 0])
    assert p == pytest.approx(stats.chi2.sf(statistic, 6), rel=1e-6)
    z2 = sum(of.association.laws[1].value[0, 0] for of in alone)
    expected = min(2 * min(p, stats.chi2.sf(z2, 3)), 1)
    assert np.exp(-together.association.minus_log_p()[0, 0]) == pytest.approx(expected, rel=1e-6)
    assert together.n[0, 0] == n


def test_a_level_without_enough_counts_says_nothing() -> None:
    rng = np.random.default_rng(12)
    n = 1200
    kind = np.repeat(["full", "empty"], n // 2)
    x = rng.gamma(2.0, 0.5, n)
    counts, size = counted(np.stack([x, x * rng.gamma(4.0, 0.25, n)], axis=1), 8, rng)
    counts[n // 2 :, 0] = 0
    design = design_of(n, obs=pd.DataFrame({"kind": kind}), within=["kind"])
    engine = CountTest(counts, size, True, design, dtype=np.float64)
    found = outcome_of(engine, [0], [1])
    assert found.bend.df is not None
    assert found.bend.df[0, 0] == 2
    assert found.tested[0, 0]
    full = next(level for level in design.levels if level.name == "full")
    alone = outcome_of(CountTest(counts, size, True, Design((full,), 0, (), ()), dtype=np.float64), [0], [1])
    assert found.statistic[0, 0] == pytest.approx(alone.statistic[0, 0], rel=1e-9)


def test_replicates_that_span_levels_are_joined_by_bonferroni() -> None:
    rng = np.random.default_rng(13)
    n = 1600
    obs = pd.DataFrame({"kind": np.repeat(["a", "b"], n // 2), "donor": [f"d{i % 10}" for i in range(n)]})
    x = rng.gamma(2.0, 0.5, n)
    counts, size = counted(np.stack([x, x**1.3 * rng.gamma(4.0, 0.25, n)], axis=1), 8, rng)
    design = design_of(n, obs=obs, within=["kind"], replicate="donor")
    p = np.exp(-outcome_of(CountTest(counts, size, True, design), [0], [1]).bend.minus_log_p()[0, 0])
    apart = []
    for kind in ("a", "b"):
        rows = (obs["kind"] == kind).to_numpy()
        single = design_of(n // 2, obs=obs[rows].reset_index(drop=True), replicate="donor")
        engine = CountTest(counts[rows], size[rows], True, single)
        apart.append(np.exp(-outcome_of(engine, [0], [1]).bend.minus_log_p()[0, 0]))
    assert p == pytest.approx(min(1, 2 * min(apart)), rel=1e-6)


# --- statuses -----------------------------------------------------------------------------------------------


def test_statuses() -> None:
    rng = np.random.default_rng(14)
    n = 800
    x = rng.gamma(2.0, 0.5, n)
    counts = np.zeros((n, 7))
    counts[:, 0] = rng.poisson(10 * x)  # plenty
    counts[:49, 1] = 5  # seen in 49 cells
    counts[:50, 2] = 5  # in 50
    counts[:, 3] = 7  # constant
    counts[:, 4] = 0  # absent
    counts[:, 5] = rng.poisson(0.4, n)  # no variance of its own
    counts[:9, 6], counts[9:200, 6] = 3, 2  # 9 cells with 3
    for matrix in (counts, sp.csc_matrix(counts)):
        engine = CountTest(matrix, np.full(n, 1000.0), False, design_of(n))
        few, constant, ok = names.TOO_FEW_COUNTS, names.CONSTANT, names.OK
        assert engine.target_status.tolist() == [ok, few, ok, constant, constant, ok, ok]
        assert engine.regulator_status.tolist() == [ok, ok, ok, constant, constant, few, few]


def test_too_few_replicates() -> None:
    rng = np.random.default_rng(15)
    n = 400
    counts, size = counted(rng.gamma(2.0, 0.5, (n, 2)), 10, rng)
    for n_donors, status in ((4, names.TOO_FEW_REPLICATES), (5, names.OK)):
        obs = pd.DataFrame({"donor": [f"d{i % n_donors}" for i in range(n)]})
        engine = CountTest(counts, size, True, design_of(n, obs=obs, replicate="donor"))
        assert engine.regulator_status.tolist() == [status, status]


def test_no_bound_where_degree_three_is_not_resolved() -> None:
    """``affine`` needs more counts than the test: two narrow modes are tested and never called affine."""
    rng = np.random.default_rng(16)
    n = 3000
    x = np.where(rng.random(n) < 0.5, 0.3, 1.7)
    counts, size = counted(np.stack([x, x], axis=1), 8, rng)
    engine = CountTest(counts, size, True, design_of(n), dtype=np.float64)
    assert engine.features(np.array([0])).levels[0].degree[0] == 1
    found = outcome_of(engine, [0], [1])
    assert found.tested[0, 0]
    assert found.share_upper[0, 0] == 1
    assert np.isnan(found.gain[0, 0])
    assert found.r2_spline[0, 0] == found.r2_linear[0, 0]


def test_usable_cells() -> None:
    total = np.array([0.0, 19, 20, np.nan, 1000])
    assert usable_cells(total, False).tolist() == [False, False, True, False, True]
    assert usable_cells(np.array([0.0, 0.01, np.nan, 3]), True).tolist() == [False, True, False, True]


def test_unused_numbers_of_a_dropped_cell_matter_not() -> None:
    rng = np.random.default_rng(17)
    n = 500
    counts, size = counted(rng.gamma(2.0, 0.5, (n, 2)), 10, rng)
    usable = np.ones(n, dtype=bool)
    usable[::7] = False
    values = []
    for junk in (0.0, 1e4):
        changed = counts.copy()
        changed[~usable] = junk
        engine = CountTest(changed, size, True, design_of(n, usable=usable), dtype=np.float64)
        values.append(outcome_of(engine, [0], [1]).statistic[0, 0])
    assert values[0] == values[1]


def test_features_keep_together_when_taken_apart() -> None:
    rng = np.random.default_rng(18)
    counts, size = counted(rng.gamma(2.0, 0.5, (400, 6)), 10, rng)
    engine = CountTest(counts, size, True, design_of(400), dtype=np.float64)
    block = engine.features(np.arange(6))
    some = engine.outcome(block.take(np.array([4, 1])), slice(0, 3), np.float64, exact=True)
    every = engine.outcome(block, slice(None), np.float64, exact=True)
    assert some.statistic == pytest.approx(every.statistic[[4, 1], :3], rel=1e-12)
    level, depth = engine.levels[0], engine.depth[0]
    single = count_features(engine.counts_of(np.array([4]), level), depth, level)
    assert single.variance[0] == pytest.approx(block.levels[0].variance[4], rel=1e-12)


# --- the whole run ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cells() -> pd.DataFrame:
    """A line, a curve and an unrelated gene; a rare gene; background; some nearly empty cells."""
    rng = np.random.default_rng(19)
    n = 4000
    x = rng.gamma(2.0, 0.5, n)
    total = 3000 * rng.gamma(4.0, 0.25, n) + 500
    levels = {
        "x": x,
        "line": (0.2 + 0.8 * x) * rng.gamma(8.0, 0.125, n),
        "curve": x**2 / (0.5 + x**2) * rng.gamma(8.0, 0.125, n),
        "alone": rng.gamma(2.0, 0.5, n),
    }
    table = pd.DataFrame({k: rng.poisson(0.006 * total * v / v.mean()) for k, v in levels.items()})
    table["rare"] = rng.poisson(0.002, n)
    table["background"] = rng.poisson(total)
    table.iloc[:25] = [1, 0, 2, 0, 0, 5]
    return table


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_calls(cells: pd.DataFrame, dtype: type) -> None:
    result = poolproof.linearity(
        cells, kind="single-cell", scale="counts", test="corrected", keep="all", dtype=dtype
    )
    table = result.table.set_index(["regulator", "target"])
    assert table.loc[("x", "line"), "call"] == names.AFFINE
    assert table.loc[("x", "curve"), "call"] == names.NONLINEAR
    assert table.loc[("x", "alone"), "call"] == names.NOT_ASSOCIATED
    assert table.loc[("x", "rare"), "status"] == names.TOO_FEW_COUNTS
    assert table.loc[("rare", "x"), "status"] == names.TOO_FEW_COUNTS
    assert np.isnan(table.loc[("rare", "x"), "p_value"])
    assert (table.loc["x"].loc[["line", "curve", "alone"], "n"] == len(cells) - 25).all()
    assert any("25 cells left out: fewer than 20 counts" in said for said in result.warnings)
    assert result.control is not None
    assert result.control.passed


def test_auto_takes_this_test_for_molecule_counts(cells: pd.DataFrame) -> None:
    assert poolproof.linearity(cells, regulators=["x"]).summary["test"] == "corrected"


def test_curve_of_a_pair_follows_the_truth(cells: pd.DataFrame) -> None:
    result = poolproof.linearity(cells, regulators=["x"])
    for target, truth in (("line", lambda z: 0.2 + 0.8 * z), ("curve", lambda z: z**2 / (0.5 + z**2))):
        fit = result.curve("x", target)
        scale = fit["x"] / (cells["x"] / cells.sum(axis=1)).iloc[25:].mean()
        inner = (scale > 0.3) & (scale < 2)
        wanted = truth(scale[inner])
        found = fit["curve"][inner]
        ratio = found.mean() / wanted.mean()
        assert np.abs(found / ratio - wanted).max() < 0.1 * np.ptp(wanted) + 0.03, target
