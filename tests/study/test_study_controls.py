"""Controls of the study: shuffled genes, lines and Hill curves whose truth is known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from study_toys import bulk, counts, toy_subject

from poolproof.study import steps
from poolproof.study.controls import (
    AFFINE,
    HILL,
    bend_of,
    hill,
    permuted,
    relations,
    shuffled,
    strata_of,
)

SETTINGS = {"n_pairs": 6, "weight": 0.5, "noise_cv": 0.2, "hill": 4}


def bulk_subject(n=200, seed=0, n_genes=30, **options):
    levels = np.array(["low", "high", "top"])[np.arange(n) % 3]
    adata = bulk(n=n, n_genes=n_genes, seed=seed, level=levels, batch=np.array(list("ab"))[np.arange(n) % 2])
    adata.obs["age"] = np.arange(n) % 7
    adata.X *= np.array([1.0, 2.0, 5.0])[np.arange(n) % 3][:, None]
    return toy_subject(adata, scale="additive", options=options)


def count_subject(n=600, seed=0, shape=4.0, **options):
    adata = counts(n=n, n_genes=12, seed=seed, shape=shape, level=np.array(["x", "y"])[np.arange(n) % 2])
    return toy_subject(adata, scale="counts", kind="single-cell", options=options)


# --- shuffling -------------------------------------------------------------------------------------------


def test_shuffled__each_stratum_keeps_its_values():
    rng = np.random.default_rng(0)
    values, strata = rng.normal(size=300), rng.integers(0, 7, 300)
    mixed = shuffled(values, strata, np.random.default_rng(1))
    for stratum in range(7):
        assert sorted(mixed[strata == stratum]) == sorted(values[strata == stratum])
    assert (mixed != values).mean() > 0.9


def test_shuffled__every_order_is_as_likely():
    found = [
        tuple(shuffled(np.arange(4), np.array([0, 1, 0, 0]), np.random.default_rng(i))[[0, 2, 3]])
        for i in range(1200)
    ]
    n = pd.Series(found).value_counts()
    assert len(n) == 6
    assert stats.chisquare(n).pvalue > 1e-4


def test_strata__levels_replicates_and_categorical_covariates_only():
    found = strata_of(bulk_subject(within="level", covariates=["batch", "age"]))
    assert len(set(found)) == 6
    assert len(set(strata_of(bulk_subject(within="level", replicate="batch")))) == 6
    assert len(set(strata_of(bulk_subject()))) == 1


def test_permuted__values_of_each_stratum_stay_and_genes_part():
    subject = bulk_subject(within="level")
    found, strata = permuted(subject, 0), strata_of(subject)
    assert list(found.genes) == list(subject.few.genes)
    for stratum in range(3):
        mine = strata == stratum
        np.testing.assert_allclose(
            np.sort(found.matrix[mine], axis=0), np.sort(subject.few.matrix[mine], axis=0)
        )
    for mine in (strata == 0, strata == 1):
        corr = np.corrcoef(found.matrix[mine].T) - np.eye(30)
        before = np.corrcoef(subject.few.matrix[mine].T) - np.eye(30)
        assert np.abs(corr).mean() < 0.15 < np.abs(before).mean()


def test_permuted__counts_stay_counts_of_equal_depth():
    subject = count_subject(within="level")
    found, strata = permuted(subject, 0), strata_of(subject)
    whole = subject.few.matrix.toarray()
    for stratum in range(2):
        mine = strata == stratum
        assert (np.sort(found.matrix[mine], axis=0) == np.sort(whole[mine], axis=0)).all()
    assert found.scale_tested == "counts"
    assert set(found.size_factors) == {1.0}
    assert steps.analyse(subject, found).summary["n_pairs_tested"] > 0


def test_permuted__counts_of_reads_have_their_depth_taken_out():
    subject = count_subject()
    few = replace(subject.few, umi_like=False)
    found = permuted(replace(subject, few=few), 0)
    assert found.scale_tested == "additive"
    assert found.size_factors is None
    expected = few.normalised(np.arange(12))
    np.testing.assert_allclose(np.sort(found.matrix, axis=0), np.sort(expected, axis=0))


@pytest.mark.parametrize("make", [bulk_subject, count_subject])
def test_draws__depend_on_the_seed_and_not_on_the_order_of_genes(make):
    subject = make()
    assert (permuted(subject, 0).matrix == permuted(subject, 0).matrix).all()
    assert (permuted(subject, 0).matrix != permuted(subject, 1).matrix).any()
    n = len(subject.few.genes)
    turned = replace(
        subject,
        few=replace(
            subject.few, matrix=subject.few.matrix[:, ::-1], genes=subject.few.genes[::-1],
            symbols=subject.few.symbols[::-1],
        ),
    )  # fmt: skip
    assert (permuted(subject, 0).matrix == permuted(turned, 0).matrix[:, np.arange(n)[::-1]]).all()
    for kind in (AFFINE, HILL):
        one, other = relations(subject, kind, SETTINGS, 3), relations(turned, kind, SETTINGS, 3)
        np.testing.assert_allclose(one.expression.matrix, other.expression.matrix)
    assert (
        relations(subject, AFFINE, SETTINGS, 0).expression.matrix
        != relations(subject, AFFINE, SETTINGS, 1).expression.matrix
    ).any()


# --- relations: the truth --------------------------------------------------------------------------------


def test_bend__by_hand():
    x = np.array([0.0, 1.0, 2.0, 0.0, 1.0, 2.0])
    levels = np.array([0, 0, 0, 1, 1, 1])
    broken = np.array([0.0, 1.0, 2.0, 8.0, 6.0, 4.0])  # a line in each level
    assert bend_of(broken, x, levels) == pytest.approx(0.0)
    assert bend_of(broken, x, np.zeros(6, dtype=int)) == pytest.approx(1.0, abs=0.1)
    # of x^2 on -1, 0, 1, 2 the line explains 16/20... worked out: y = 1, 0, 1, 4, slope 1, left 4 of 9
    y = np.array([1.0, 0.0, 1.0, 4.0])
    assert bend_of(y, np.array([-1.0, 0.0, 1.0, 2.0]), np.zeros(4, dtype=int)) == pytest.approx(4 / 9)
    assert bend_of(np.ones(4), y, np.zeros(4, dtype=int)) == 0.0
    # a line in one level, of variance 5, and that curve in the other: 4 of 5 + 9
    both = np.array([-1.0, 0.0, 1.0, 2.0] * 2)
    of_each = np.repeat([0, 1], 4)
    assert bend_of(np.append(both[:4], y), both, of_each) == pytest.approx(4 / 14)


def test_hill__half_at_the_median_of_what_is_above_0():
    x = np.array([-2.0, 0.0, 0.0, 1.0, 3.0, 9.0])
    assert hill(x, 4)[:3].tolist() == [0.0, 0.0, 0.0]
    assert hill(x, 4)[4] == 0.5
    assert hill(np.zeros(3), 4).tolist() == [0.0, 0.0, 0.0]


def curve_share(x, y, n_bins=40):
    """Share of the variance of E[y|x] that a line leaves, by means of bins: slow and obvious."""
    order = np.argsort(x)
    bins = np.array_split(order, n_bins)
    at = np.array([x[b].mean() for b in bins])
    mean = np.array([y[b].mean() for b in bins])
    weight = np.array([len(b) for b in bins], dtype=float)
    slope, offset = np.polyfit(at, mean, 1, w=np.sqrt(weight))
    noise = sum(y[b].var() / len(b) * len(b) for b in bins) / weight.sum() * n_bins / len(x)
    left = np.average((mean - slope * at - offset) ** 2, weights=weight)
    total = np.average((mean - np.average(mean, weights=weight)) ** 2, weights=weight)
    return max(left - noise, 0.0) / total


@pytest.mark.parametrize("kind", [AFFINE, HILL])
def test_relations__have_the_stated_share_in_many_samples(kind):
    found = relations(bulk_subject(n=60_000, n_genes=8), kind, SETTINGS, 0)
    for i in range(SETTINGS["n_pairs"]):
        x, y = found.expression.matrix[:, 2 * i], found.expression.matrix[:, 2 * i + 1]
        share = curve_share(x, y)
        if kind == AFFINE:
            assert found.true_share[i] == pytest.approx(0.0, abs=1e-12)
            assert share < 0.005
        else:
            assert found.true_share[i] > 0.05
            assert share == pytest.approx(found.true_share[i], rel=0.1, abs=0.01)


def test_relations__counts_are_drawn_around_a_line_of_the_levels():
    # E[y | x] of counts is bent by counting itself; y against the level that x was drawn from is not.
    subject = count_subject(n=40_000)
    found = relations(subject, AFFINE, SETTINGS, 0)
    matrix, depth = found.expression.matrix, found.expression.size_factors
    assert (matrix == np.floor(matrix)).all()
    assert (matrix >= 0).all()
    assert found.expression.totals_known
    levels = subject.few.normalised(np.arange(12))
    for i in range(SETTINGS["n_pairs"]):
        x, y = matrix[:, 2 * i], matrix[:, 2 * i + 1]
        # which gene x was drawn from: the one that it follows most
        at = max(range(12), key=lambda j: np.corrcoef(levels[:, j] * depth, x)[0, 1])
        truth = levels[:, at]
        # E[x] = truth * depth, and the regression of y / depth on truth is a line with half the mean at 0
        assert x.mean() == pytest.approx((truth * depth).mean(), rel=0.02)
        ratio = y / depth
        weights = depth
        slope, offset = np.polyfit(truth, ratio, 1, w=np.sqrt(weights))
        mean = np.average(ratio, weights=weights)
        assert offset / mean == pytest.approx(0.5, abs=0.06)
        quadratic = np.polyfit(truth, ratio, 2, w=np.sqrt(weights))[0] * truth.var() / (slope * truth.std())
        assert abs(quadratic) < 0.06


def test_relations__keep_mean_level_and_noise_of_the_target():
    subject = bulk_subject(n=5000, n_genes=8, within="level")
    found = relations(subject, AFFINE, SETTINGS, 0)
    means = subject.few.matrix.mean(axis=0)
    x_means = found.expression.matrix[:, ::2].mean(axis=0)
    for mean, target in zip(found.expression.matrix[:, 1::2].mean(axis=0), x_means, strict=True):
        assert np.abs(means / mean - 1).min() < 0.02
        assert np.abs(means / target - 1).min() < 1e-9
    np.testing.assert_allclose(found.mean, x_means)
    assert list(found.pairs["regulator"][:2]) == ["x0000", "x0001"]
    assert list(found.expression.genes[:4]) == ["x0000", "y0000", "x0001", "y0001"]


# --- calibration -----------------------------------------------------------------------------------------


N_RELATIONS = 600


@pytest.mark.calibration
@pytest.mark.parametrize(("make", "n"), [(bulk_subject, 200), (count_subject, 1500)])
def test_affine_control__size_inside_its_band(make, n):
    """At 5 % by the exact binomial band around 3 % to 8 % (method 6.4), fixed beforehand."""
    subject = make(n=n, seed=5, within="level")
    made = relations(subject, AFFINE, SETTINGS | {"n_pairs": N_RELATIONS}, 11)
    found = steps.analyse(subject, made.expression, pairs=made.pairs, keep="all")
    n_tested = found.summary["n_pairs_tested"]
    assert n_tested > 0.7 * N_RELATIONS
    n_rejected = round(steps.rejected(found.table) * n_tested)
    low, high = stats.binom.ppf(0.005, n_tested, 0.03), stats.binom.ppf(0.995, n_tested, 0.08)
    assert low <= n_rejected <= high
    assert found.summary["n_nonlinear"] <= stats.binom.ppf(0.995, found.summary["n_associated"], 0.05)


@pytest.mark.calibration
@pytest.mark.parametrize(("make", "n"), [(bulk_subject, 200), (count_subject, 1500)])
def test_permuted_control__nothing_is_associated(make, n):
    subject = make(n=n, seed=6, within="level")
    found = steps.analyse(subject, permuted(subject, 0), keep="all")
    assert found.summary["n_pairs_tested"] > 50
    assert found.summary["n_associated"] <= stats.binom.ppf(0.995, found.summary["n_pairs_tested"], 0.001)


@pytest.mark.calibration
@pytest.mark.parametrize(
    ("make", "more"), [(bulk_subject, {"n": 300}), (count_subject, {"n": 3000, "shape": 0.7})]
)
def test_hill_control__is_found(make, more):
    subject = make(seed=7, **more)
    made = relations(subject, HILL, SETTINGS | {"n_pairs": 100}, 1)
    bent = made.true_share >= 0.2
    assert bent.sum() > 20
    found = steps.analyse(subject, made.expression, pairs=made.pairs[bent])
    assert found.summary["n_nonlinear"] >= stats.binom.ppf(0.005, bent.sum(), 0.5)


def test_relations__a_gene_without_counts_is_no_end():
    adata = counts(n=300, n_genes=12, sparse=False)
    adata.X[:, 3:] = 0
    subject = toy_subject(adata, scale="counts", kind="single-cell")
    found = relations(subject, AFFINE, SETTINGS, 0)
    assert np.isfinite(found.expression.matrix).all()
    assert (found.mean > 0).all()
