"""The bend share: kernels against explicit sums, influences against the jackknife, sets, files, orders."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from poolproof import _names as names
from poolproof import audit, linearity
from poolproof.basis import spline_basis
from poolproof.pairs import Population, make_design, population_pass, population_sets
from poolproof.pairs.count_engine import CountTest
from poolproof.pairs.count_kernels import factorial_moment
from poolproof.pairs.intervals import share_of
from poolproof.pairs.modules import modules_of
from poolproof.pairs.population_measures import CountMeasure, Measure, ScoreMeasure
from poolproof.pairs.population_pass import Sums, sum_pairs, variances
from poolproof.pairs.score_engine import ScoreTest

N_BLOCKS = 20


def bent(n: int, n_regulators: int, n_children: int, seed: int = 0) -> np.ndarray:
    """Regulators and their bent children, shape ``(n, genes)``."""
    rng = np.random.default_rng(seed)
    x = rng.lognormal(0, 0.7, (n, n_regulators))
    rise = 3 * x**2 / (1 + x**2)
    children = [
        (1 + rng.uniform(0.3, 1.5, n_children) * rise[:, [r]]) * rng.lognormal(-0.045, 0.3, (n, n_children))
        for r in range(n_regulators)
    ]
    return np.concatenate([x, *children], axis=1)


def counts_of(n: int, n_genes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Counts of genes under one regulator, and totals."""
    rng = np.random.default_rng(seed)
    z = rng.gamma(2, 0.5, n)
    part = rng.uniform(0, 1, n_genes) * (rng.random(n_genes) < 0.6)
    rate = rng.lognormal(1, 0.5, n_genes) * ((1 - part) + part * (2 * z**3 / (1 + z**3))[:, None])
    rate[:, 0] = 6 * z
    depth = rng.gamma(10, 0.1, (n, 1))
    counts = rng.poisson(rate * rng.gamma(8, 1 / 8, rate.shape) * depth).astype(float)
    return counts, counts.sum(axis=1) + rng.poisson(3000 * depth[:, 0])


def score_measure(values: np.ndarray, **columns: Any) -> ScoreMeasure:
    obs = pd.DataFrame(columns, index=range(len(values)))
    options = {"replicate": "donor"} if "donor" in columns else {}
    design = make_design(obs, within=["type"] if "type" in columns else (), **options)
    return ScoreMeasure(ScoreTest(values, None, design, dtype=np.float64), np.float64)


def count_measure(counts: np.ndarray, total: np.ndarray, **columns: Any) -> CountMeasure:
    obs = pd.DataFrame(columns, index=range(len(counts)))
    options = {"replicate": "donor"} if "donor" in columns else {}
    within = ["type"] if "type" in columns else ()
    design = make_design(obs, within=within, categorical_only=True, **options)
    return CountMeasure(CountTest(counts, total, False, design, dtype=np.float64), np.float64)


def summed(measure: Measure, regulators: np.ndarray) -> Sums:
    genes = np.arange(len(measure.target_ok))
    return sum_pairs(measure, regulators, genes, regulators, genes, None)


def share_and_influence(sums: Sums) -> tuple[float, np.ndarray]:
    bend, line = sums.by_level.sum(axis=(1, 2, 3))
    influence = sums.influence.sum(axis=1)
    share = bend / (bend + line)
    return share, (influence[0] - share * influence.sum(axis=0)) / (bend + line)


# --- kernels ---------------------------------------------------------------------------------------------


def test_robust_sums_are_those_of_explicit_regressions() -> None:
    values = bent(80, 3, 4)
    measure = score_measure(values)
    genes = np.arange(values.shape[1])
    found = measure.sums(measure.columns(genes), measure.targets(genes), [])[0]
    y = values - values.mean(axis=0)
    y = y / np.sqrt((y**2).sum(axis=0))
    for gene in (0, 5):
        q = spline_basis(values[:, gene])
        scores = q.T @ y
        rest = y - q @ scores
        leverage = 1 / len(y) + (q**2).sum(axis=1)
        variance = (q**2).T @ (rest**2 / (1 - leverage)[:, None])
        others = genes != gene
        bends = (scores[1:] ** 2 - variance[1:]).sum(axis=0)
        np.testing.assert_allclose(found.bend[gene, others], bends[others], atol=1e-13)
        np.testing.assert_allclose(
            found.line[gene, others], (scores[0] ** 2 - variance[0])[others], atol=1e-13
        )


def test_count_sums_are_those_of_explicit_moments() -> None:
    counts, total = counts_of(800, 8)
    measure = count_measure(counts, total)
    genes = np.arange(counts.shape[1])
    columns, targets = measure.columns(genes), measure.targets(genes)
    found = measure.sums(columns, targets, [])[0]
    n = len(counts)
    degree2 = columns[1][0].inverse[2] == 0
    x = int(np.flatnonzero(columns[1][0].usable & degree2)[0])

    def over(j: int, less: int = 0) -> np.ndarray:
        return factorial_moment(counts[:, x], j) / np.prod([total - less - i for i in range(j)], axis=0)

    e = {j: over(j) for j in range(1, 5)}
    mean = {j: e[j].mean() for j in (1, 2)}

    def h(j: int, m: int) -> np.ndarray:
        unbiased = (e[j] - mean[j]) * (e[m] - mean[m]) / (n - 1)
        return e[j + m] - mean[j] * e[m] - mean[m] * e[j] + mean[j] * mean[m] + unbiased

    h11, h12, h22 = h(1, 1), h(1, 2), h(2, 2)
    v1 = h11.mean()
    k = h12.mean() / v1
    size = (h22 - 2 * k * h12 + k**2 * h11).mean()
    y = counts / total[:, None]
    kappa = n / (n - 1)
    p2 = kappa * (e[2] - mean[2] - k * (e[1] - mean[1]))
    f1 = kappa * (over(1, 1) - mean[1])
    f2 = kappa * (over(2, 1) - mean[2] - k * (over(1, 1) - mean[1]))
    p1 = kappa * (e[1] - mean[1])
    weight = 1 / (1 - np.minimum(1 / n + np.maximum(h11, 0) / (n * v1), 0.9))
    square = np.linalg.qr(np.vander(counts[:, x] / total, 3, increasing=True))[0][:, 2] ** 2
    own = (weight * (square - 1 / n) ** 2).sum()  # what the variance holds of a bend along degree 2
    for target in genes[genes != x]:
        if not targets[1][0].usable[target]:
            continue
        a1 = y[:, target] * f1 - y[:, target].mean() * p1
        b = a1.mean() / v1
        psi = y[:, target] * f2 - y[:, target].mean() * p2 - b * (h12 - k * h11)
        chi = a1 - b * h11
        g, spread = psi.mean(), y[:, target].var()
        bend = (g**2 - ((weight * psi**2).mean() - g**2) / n) / size / (1 - own) / spread
        line = (a1.mean() ** 2 - (weight * chi**2).mean() / n) / v1 / spread
        np.testing.assert_allclose([found.bend[x, target], found.line[x, target]], [bend, line], atol=1e-10)


def test_missing_values_change_only_the_samples_that_a_pair_has() -> None:
    values = bent(60, 2, 3)
    holes = values.copy()
    holes[:10, 0] = np.nan
    measure, rest = score_measure(holes), score_measure(values[10:])
    genes = np.arange(values.shape[1])
    found, expected = (of.sums(of.columns(genes), of.targets(genes), [])[0] for of in (measure, rest))
    np.testing.assert_allclose(found.bend[0, 1:], expected.bend[0, 1:], atol=1e-12)
    # knots are placed by all samples that the regulator has
    np.testing.assert_allclose(found.line[1:, 0], expected.line[1:, 0], atol=0.01)
    whole = score_measure(values)
    complete = whole.sums(whole.columns(genes), whole.targets(genes), [])[0]
    np.testing.assert_allclose(found.bend[1:, 1:], complete.bend[1:, 1:], atol=1e-12)


@pytest.mark.parametrize("clustered", [False, True])
def test_the_explicit_form_for_missing_values_is_that_of_products(clustered: bool) -> None:
    """One value in a sample of its own goes missing: everything else is as without that sample."""
    values = bent(61, 2, 3)
    columns = {"donor": [f"d{i // 6:02d}" for i in range(61)]} if clustered else {}
    holes = values.copy()
    holes[60, :] = np.nan
    holes[60, 3] = 1.0  # gene 3 has no missing value: all others are known in the same samples
    measure = score_measure(holes, **columns)
    plain = score_measure(values[:60], **{name: of[:60] for name, of in columns.items()})
    some = np.array([0, 1, 2, 4])
    weight = np.ones((4, 4)) - np.eye(4)
    found, expected = (of.sums(of.columns(some), of.targets(some), [weight])[0] for of in (measure, plain))
    np.testing.assert_allclose((found.bend * weight), expected.bend * weight, atol=1e-12)
    np.testing.assert_allclose((found.line * weight), expected.line * weight, atol=1e-12)
    size = expected.own[0][0].shape[1]
    if clustered:  # the explicit form leaves off the leverages between columns, which replicates never have
        for kind in range(2):
            np.testing.assert_allclose(found.own[0][kind][:, :size], expected.own[0][kind], atol=1e-10)
    else:
        np.testing.assert_allclose(
            found.own[0][0][:, :size].sum(axis=0), expected.own[0][0].sum(axis=0), atol=0.02
        )


# --- what does not matter -------------------------------------------------------------------------------


def test_shares_depend_on_neither_order_blocks_nor_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    data = pd.DataFrame(bent(150, 4, 4), columns=[f"g{i:02d}" for i in range(20)])
    data.iloc[:5, 3] = np.nan

    def table(of: pd.DataFrame, threads: int = 1) -> pd.DataFrame:
        found = linearity(of, kind="bulk", scale="additive", threads=threads, dtype=np.float64).population
        assert found is not None
        return found.table.sort_values(["set", "name"], ignore_index=True)

    plain = table(data)
    shuffled = table(data[np.random.default_rng(0).permutation(data.columns)])
    threaded = table(data, threads=2)
    monkeypatch.setattr(population_pass, "BLOCK", 3)
    monkeypatch.setattr(population_sets, "BLOCK", 5)
    monkeypatch.setattr(population_pass, "TILE", 7)
    for other in (shuffled, threaded, table(data)):
        pd.testing.assert_frame_equal(plain, other, rtol=1e-7, atol=1e-9)


def test_the_scale_of_a_gene_does_not_matter() -> None:
    data = pd.DataFrame(bent(150, 4, 4), columns=[f"g{i:02d}" for i in range(20)])
    scaled = data * np.random.default_rng(0).uniform(0.1, 10, 20) + 3
    one, two = (
        linearity(of, kind="bulk", scale="additive", dtype=np.float64).population for of in (data, scaled)
    )
    assert one is not None
    assert two is not None
    pd.testing.assert_frame_equal(one.table, two.table, rtol=1e-6, atol=1e-8)


# --- sets ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stars() -> Population:
    """Affine stars under bimodal regulators: siblings are bent, the equations are not."""
    rng = np.random.default_rng(5)
    n = 600
    x = np.where(rng.random((n, 5)) < 0.4, 3.0, 0.5) * rng.lognormal(0, 0.15, (n, 5))
    children = [
        (1 + rng.uniform(0.5, 1.5, 6) * x[:, [r]]) * rng.lognormal(-0.045, 0.3, (n, 6)) for r in range(5)
    ]
    data = pd.DataFrame(np.concatenate([x, *children], axis=1), columns=[f"g{i:02d}" for i in range(35)])
    obs = pd.DataFrame({"type": np.where(np.arange(n) % 2 > 0, "a", "b")}, index=data.index)
    found = linearity(data, obs=obs, within="type", kind="bulk", scale="additive", each_level=False)
    assert found.population is not None
    return found.population


def test_sets_of_a_star_show_where_the_bends_are(stars: Population) -> None:
    of = stars.summary
    assert of["bend_share"] > 0.08  # all pairs, siblings among them
    assert of["direct"]["bend_share"] < of["bend_share"]
    assert abs(of["direct_better_direction"]["bend_share"]) < 0.01
    assert of["direct_better_direction"]["high"] < 0.02
    assert of["low"] < of["bend_share"] < of["high"]


def test_the_table_has_every_set_once(stars: Population) -> None:
    table = stars.table
    assert list(table.columns) == [column.name for column in names.POPULATION_COLUMNS]
    assert not table.duplicated(["set", "name"]).any()
    sizes = table["set"].value_counts().to_dict()
    expected = {"all": 1, "given": 0, "level": 2, "strength": 5, "better_direction": 1, "direct": 1}
    assert sizes == expected | {"direct_better_direction": 1, "regulator": 35, "target": 35}
    whole = table.iloc[0]
    parts = table[table["set"] == "regulator"]
    assert whole["n_pairs"] == parts["n_pairs"].sum() == 35 * 34
    explained = (parts["explained"] * parts["n_pairs"]).sum()
    assert explained == pytest.approx(whole["explained"] * whole["n_pairs"])
    levels = table[table["set"] == "level"]
    assert levels["explained"].sum() == pytest.approx(whole["explained"])
    known = table["status"] == "ok"
    assert table.loc[known, ["bend_share", "standard_error", "low", "high"]].notna().all(axis=None)
    assert table.loc[~known, "bend_share"].isna().all()


def test_given_directions_are_a_set_of_their_own() -> None:
    data = pd.DataFrame(bent(300, 3, 4), columns=[f"g{i:02d}" for i in range(15)])
    options: dict[str, Any] = {"kind": "bulk", "scale": "additive"}
    pairs = [("g00", "g03"), ("g00", "g04"), ("g01", "g07"), ("g02", "g11"), ("g02", "g12")]
    listed = linearity(data, pairs=pairs, **options).population
    regulators = linearity(data, regulators=["g00", "g01", "g02"], **options).population
    for found, n_pairs in ((listed, 5), (regulators, 3 * 14)):
        assert found is not None
        assert found.summary["set"] == "given"
        assert found.summary["n_pairs"] == n_pairs
        assert found.summary["direct"] is None
        assert 0.15 < found.summary["bend_share"] < 0.45
    assert listed is not None
    assert "5 given pairs" in listed.sentence


def test_where_nothing_is_explained_there_is_no_share() -> None:
    rng = np.random.default_rng(0)
    data = pd.DataFrame(rng.gamma(2.0, size=(60, 6)), columns=list("ABCDEF"))
    found = linearity(data, kind="bulk", scale="additive").population
    assert found is not None
    assert found.summary["status"] == "nothing_explained"
    assert found.summary["bend_share"] is None
    assert "nothing" in found.sentence


def test_html_escapes_names() -> None:
    data = pd.DataFrame(bent(100, 2, 2), columns=["<b>a", *[f"g{i}" for i in range(5)]])
    obs = pd.DataFrame({"type": ["<i>x", "y"] * 50}, index=data.index)
    found = linearity(data, obs=obs, within="type", kind="bulk", scale="additive").population
    assert found is not None
    page = found._repr_html_()
    assert "&lt;i&gt;x" in page
    assert "<i>" not in page


def test_direct_pairs_are_those_of_the_definition() -> None:
    rng = np.random.default_rng(0)
    tie = rng.random((12, 12))
    tie = np.triu(tie, 1) + np.triu(tie, 1).T
    found = population_sets.direct_pairs(tie, 0.3)
    for i in range(12):
        for j in range(12):
            stronger = [k for k in range(12) if k not in (i, j) and min(tie[i, k], tie[j, k]) > tie[i, j]]
            assert found[i, j] == (i != j and tie[i, j] > 0.3 and not stronger)


def test_modules_are_found_and_cut_finer_where_all_hangs_together() -> None:
    rng = np.random.default_rng(0)

    def standard(values: np.ndarray) -> np.ndarray:
        centred = values - values.mean(axis=0)
        return np.asarray((centred / np.sqrt((centred**2).sum(axis=0))).T)

    own = standard(np.repeat(rng.normal(size=(200, 8)), 5, axis=1) + 0.5 * rng.normal(size=(200, 40)))
    assert modules_of(own, np.ones(40), 0.3, np.arange(40)).tolist() == np.repeat(np.arange(8), 5).tolist()
    one = standard(rng.normal(size=(200, 1)) + 0.5 * rng.normal(size=(200, 40)))
    assert len(np.unique(modules_of(one, np.ones(40), 0.3, np.arange(40)))) >= 10


def test_an_audit_saves_the_table_and_the_summary(tmp_path: Any) -> None:
    data = pd.DataFrame(bent(120, 3, 3), columns=[f"g{i:02d}" for i in range(12)])
    found = audit(data, kind="bulk", scale="additive", triples="none")
    found.save(tmp_path / "out")
    table = pd.read_parquet(tmp_path / "out" / "population.parquet")
    assert found.linearity.population is not None
    pd.testing.assert_frame_equal(
        table, found.linearity.population.table, check_categorical=False, check_dtype=False
    )
    verdict = json.loads((tmp_path / "out" / "verdict.json").read_text(encoding="utf-8"))
    assert verdict["population"]["bend_share"] == found.linearity.population.summary["bend_share"]


def test_share_of__by_hand() -> None:
    share = share_of(10, np.array([1.0, 3.0]), np.array([0.01, 0.01, 0.0]), 11, (0.0, 1.0))
    assert share.bend_share == 0.25
    assert share.explained == 0.4
    assert share.standard_error == pytest.approx(np.sqrt(0.75**2 * 0.01 + 0.25**2 * 0.01) / 4)
    assert share.high - share.low == pytest.approx(2 * 2.2281 * share.standard_error, rel=1e-4)
    assert share_of(10, np.array([0.1, 0.1]), np.array([0.01, 0.01, 0.0]), 11).status == "nothing_explained"
    assert share_of(0, np.zeros(2), np.zeros(3), 0).status == "no_pairs"


# --- influences against the jackknife by brute force -------------------------------------------------------


def clear_counts(n: int, n_genes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts of genes under one regulator of about 60, whose degree 3 is clear in any 19 of 20 blocks."""
    rng = np.random.default_rng(seed)
    z = rng.uniform(0.1, 2, n)
    part = rng.uniform(0.3, 1, n_genes)
    rate = rng.lognormal(1, 0.5, n_genes) * ((1 - part) + part * (2 * z**3 / (1 + z**3))[:, None])
    rate[:, 0] = 60 * z
    depth = rng.gamma(10, 0.1, (n, 1))
    counts = rng.poisson(rate * rng.gamma(8, 1 / 8, rate.shape) * depth).astype(float)
    return counts, counts.sum(axis=1) + rng.poisson(3000 * depth[:, 0])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["independent", "levels", "replicates", "counts", "counts_of_donors"])
def test_influences_give_the_jackknife_by_brute_force(kind: str, seed: int) -> None:
    """Twenty blocks of samples left out in turn; the same blocks of influences give the same error."""
    n = 4000
    values, total = clear_counts(n, 8, seed) if "counts" in kind else (bent(n, 3, 4, seed), np.zeros(n))
    regulators = np.arange(1 if "counts" in kind else 3)
    blocks = np.arange(n) % N_BLOCKS
    labels: dict[str, np.ndarray] = {}
    if kind in ("replicates", "counts_of_donors"):
        blocks = np.sort(blocks)
        labels = {"donor": np.array([f"d{i:02d}" for i in blocks])}
    if kind == "levels":
        labels = {"type": np.where(np.arange(n) < 1800, "a", "b")}  # which is the order of the axis too

    def make(rows: np.ndarray) -> Measure:
        here = {name: of[rows] for name, of in labels.items()}
        if "counts" in kind:
            return count_measure(values[rows], total[rows], **here)
        return score_measure(values[rows], **here)

    share, influence = share_and_influence(summed(make(np.arange(n)), regulators))
    kept = (np.flatnonzero(blocks != block) for block in range(N_BLOCKS))
    without = np.array([share_and_influence(summed(make(rows), regulators))[0] for rows in kept])
    brute = np.sqrt((N_BLOCKS - 1) / N_BLOCKS * ((without - without.mean()) ** 2).sum())
    if len(influence) == n:
        influence = np.bincount(blocks, influence)
    assert 0.02 < share < 0.5
    assert np.sqrt(variances(influence, influence)[0]) == pytest.approx(brute, rel=0.06)
