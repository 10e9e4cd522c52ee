"""The bend share: kernels against explicit sums, influences against the jackknife, sets, files, orders."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from poolproof.basis import spline_basis
from poolproof.pairs import make_design, population_pass
from poolproof.pairs.count_engine import CountTest
from poolproof.pairs.count_kernels import factorial_moment
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


def summed(measure: Measure, wanted: population_pass.Counted | None = None) -> Sums:
    genes = np.arange(len(measure.target_ok))
    return sum_pairs(measure, genes, genes, genes, genes, wanted)


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
    for target in genes[genes != x]:
        if not targets[1][0].usable[target]:
            continue
        a1 = y[:, target] * f1 - y[:, target].mean() * p1
        b = a1.mean() / v1
        psi = y[:, target] * f2 - y[:, target].mean() * p2 - b * (h12 - k * h11)
        chi = a1 - b * h11
        g, spread = psi.mean(), y[:, target].var()
        bend = (g**2 - ((weight * psi**2).mean() - g**2) / n) / size / spread
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


# --- influences against the jackknife by brute force -------------------------------------------------------


@pytest.mark.parametrize("kind", ["independent", "levels", "replicates", "counts", "counts_of_donors"])
def test_influences_give_the_jackknife_by_brute_force(kind: str) -> None:
    """Twenty blocks of samples left out in turn; the same blocks of influences give the same error."""
    n = {"levels": 2000, "counts": 2000, "counts_of_donors": 4000}.get(kind, 1000)
    values, total = counts_of(n, 12, seed=3) if "counts" in kind else (bent(n, 4, 5), np.zeros(n))
    blocks = np.arange(n) % N_BLOCKS
    labels: dict[str, np.ndarray] = {}
    if kind in ("replicates", "counts_of_donors"):
        blocks = np.sort(blocks)
        labels = {"donor": np.array([f"d{i:02d}" for i in blocks])}
    if kind == "levels":
        labels = {"type": np.where(np.arange(n) < 900, "a", "b")}  # which is the order of the axis too

    def make(rows: np.ndarray) -> Measure:
        here = {name: of[rows] for name, of in labels.items()}
        if "counts" in kind:
            return count_measure(values[rows], total[rows], **here)
        return score_measure(values[rows], **here)

    def first(regulators: np.ndarray, targets: np.ndarray) -> np.ndarray:
        return np.isin(regulators, [0])[:, None] & (targets > 0)

    wanted = first if "counts" in kind else None  # whose bend can be sized whichever block is left out
    share, influence = share_and_influence(summed(make(np.arange(n)), wanted))
    without = np.array(
        [share_and_influence(summed(make(np.flatnonzero(blocks != b)), wanted))[0] for b in range(N_BLOCKS)]
    )
    brute = np.sqrt((N_BLOCKS - 1) / N_BLOCKS * ((without - without.mean()) ** 2).sum())
    if len(influence) == n:
        influence = np.bincount(blocks, influence)
    assert 0.05 < share < 0.5
    assert np.sqrt(variances(influence, influence)[0]) == pytest.approx(brute, rel=0.1)
