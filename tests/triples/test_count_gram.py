"""All triples of counts by Gram matrices: against sums over explicit triples, laws, and what pools show."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from poolproof._random import stream
from poolproof.pairs.count_engine import CountTest
from poolproof.pairs.count_kernels import count_terms, factorial_moment
from poolproof.pairs.design import make_design
from poolproof.triples import count_gram, pooling_distortion
from poolproof.triples.count_gram import LEAST_IN_FOLD, CountGram
from poolproof.triples.folds import content_rank, draw_folds


def fractions(n, n_genes, rng, *, bent=True):
    """A gamma regulator and its children with a hidden common cause, as shares of a cell's molecules."""
    y = rng.gamma(3.0, 1.0, n)
    curves = [y**2 / 8, 5 * y**2 / (y**2 + 9), 2 * np.sqrt(y)] if bent else [y]
    hidden = rng.gamma(2.0, 0.5, n)
    own = rng.gamma(8.0, 1 / 8, (n_genes - 1, n))
    children = [
        0.3 + curves[g % len(curves)] * (0.5 + 0.05 * g) * own[g] + hidden for g in range(n_genes - 1)
    ]
    rates = np.column_stack([y, *children, rng.gamma(50.0, 6.0, n)])
    return rates / rates.sum(axis=1, keepdims=True)


def counted(p, depth, rng):
    totals = rng.poisson(depth * rng.lognormal(0, 0.3, len(p))) + 30
    return np.stack([rng.multinomial(total, of) for total, of in zip(totals, p, strict=True)]).astype(float)


def run(adata, **options):
    return pooling_distortion(
        adata, **({"kind": "single-cell", "scale": "counts", "correction": "poisson"} | options)
    )


def explicit(counts, test, fold, middle, scale):
    """The four sums for one middle gene: all pairs of ends, all ways to choose folds."""
    n_folds = fold.max() + 1
    ends = [end for end in range(counts.shape[1]) if end != middle and scale[end] > 0]
    slopes, variance, covariance, left_over = 0.0, 0.0, 0.0, 0.0
    low = 0
    known = 0.0
    for level, depth in zip(test.levels, test.depth, strict=True):
        of = fold[low : low + len(level.rows)]
        low += len(level.rows)
        total, cells = depth.total, counts[level.rows]
        n = len(cells)
        terms = count_terms(cells[:, [middle]].T, depth, level)
        f, p, r2, h11, q22 = terms.f[:2, 0], terms.p[:2, 0], *terms.own[[0, 2, 3], 0]
        x = cells[:, ends] / total[:, None] * scale[ends]
        mean, spare = np.zeros_like(x), np.zeros(n)
        for stratum in set(level.strata):
            mine = level.strata == stratum
            mean[mine], spare[mine] = x[mine].mean(axis=0), mine.sum() - 1
        z, tau = x - mean, total / (total - 1)
        a = [x * f[j][:, None] - mean * p[j][:, None] for j in range(2)]
        b, g = a[0].sum(axis=0) / (n * h11.mean()), a[1].sum(axis=0) / (n * q22.mean())
        pairs = factorial_moment(cells[:, ends], 2) / (total * (total - 1))[:, None] * scale[ends] ** 2
        terms_of_variance = pairs - 2 * mean * x + mean**2 + z**2 / spare[:, None]
        s, v, c, w = [], 0.0, [], []
        for at in range(n_folds):
            i = of == at
            a1, a2 = a[0][i].sum(axis=0), a[1][i].sum(axis=0)
            bend = a2 - b * r2[i].sum()
            s.append(bend / np.sqrt(n * q22.mean()))
            left = terms_of_variance[i].sum(axis=0) - 2 * b * a1 + b * b * h11[i].sum()
            v = v + left
            w.append(left - 2 * g * bend + g * g * q22[i].sum())
            cov = (x[i] * tau[i, None]).T @ x[i] - x[i].T @ mean[i] - mean[i].T @ x[i] + mean[i].T @ mean[i]
            cov += z[i].T @ (z[i] / spare[i, None])
            cov += -np.outer(b, a1) - np.outer(a1, b) - np.outer(g, a2) - np.outer(a2, g)
            cov += h11[i].sum() * np.outer(b, b) + r2[i].sum() * (np.outer(b, g) + np.outer(g, b))
            c.append(cov + q22[i].sum() * np.outer(g, g))
        slopes = slopes + np.array(s)[:, :, None] * (np.arange(len(test.levels)) == test.levels.index(level))
        variance, left_over = variance + v, left_over + np.array(w)
        covariance = covariance + np.array(c)
        share = np.bincount(of, minlength=n_folds) / n
        known += sum(np.prod(share[list(way)]) for way in permutations(range(n_folds), 4)) / len(test.levels)
    apart = 1 - np.eye(len(ends))
    moved = sum(
        (apart * (slopes[a] @ slopes[b].T) * (slopes[c] @ slopes[d].T)).sum()
        for a, b, c, d in permutations(range(n_folds), 4)
    )
    two = list(permutations(range(n_folds), 2))
    partial = sum((apart * covariance[a] * covariance[b]).sum() for a, b in two)
    curve = sum((apart * np.outer(left_over[a], left_over[b])).sum() for a, b in two)
    return moved / known, (apart * np.outer(variance, variance)).sum(), partial, curve


@pytest.mark.parametrize("columns", [(), ("kind",), ("kind", "batch")])
def test_count_gram__equals_the_sum_over_explicit_triples(columns, monkeypatch):
    """Levels have slopes of their own; strata have means of their own. 14 ends, to 1e-10."""
    monkeypatch.setattr("poolproof.triples.folds.MOST_FOLDS", 5)
    rng = stream(1, "explicit counts")
    counts = counted(fractions(1600, 14, rng), 6000, rng)
    obs = pd.DataFrame({"kind": ["a"] * 900 + ["b"] * 700, "batch": list("uvxy") * 400})
    design = make_design(obs, within=columns[:1], covariates=columns[1:], categorical_only=True)
    test = CountTest(counts, counts.sum(axis=1), False, design, dtype=np.float64, memory=0.0)
    gram = CountGram(test, counts, dtype=np.float64)
    sums, status = gram.sums(np.array([0]))
    assert status.tolist() == ["ok"]
    fold = draw_folds(design, content_rank(counts, design), 0, LEAST_IN_FOLD)[0]
    found = [float(of[0, 0]) for of in (sums.moved, sums.line, sums.partial, sums.curve)]
    assert found == pytest.approx(explicit(counts, test, fold, 0, gram._whole._scale), rel=1e-10)


@pytest.fixture(scope="module")
def cells():
    rng = stream(2, "cells")
    counts = counted(fractions(1200, 10, rng), 4000, rng)
    names = [f"g{g:02}" for g in range(counts.shape[1])]
    obs = pd.DataFrame({"donor": [f"d{i % 9}" for i in range(1200)], "type": ["a", "b"] * 600})
    return AnnData(counts, obs=obs.set_index(obs.index.astype(str)), var=pd.DataFrame(index=names))


def assert_near(one, other, tolerance=1e-8):
    left, right = (of.table.set_index("gene").sort_index() for of in (one, other))
    pd.testing.assert_frame_equal(left, right, rtol=tolerance, atol=tolerance)


def test_laws__order_threads_tiles_and_memory(cells, monkeypatch):
    result = run(cells)
    rng = stream(3, "orders")
    assert_near(run(cells[rng.permutation(1200)][:, rng.permutation(11)].copy()), result)
    assert_near(run(cells, threads=2), result, 0)
    assert_near(run(cells, memory=1.0), result)
    for module in ("count_gram", "count_parts"):
        monkeypatch.setattr(f"poolproof.triples.{module}.TILE", 4)
    assert_near(run(cells), result)
    assert result.summary["correction"] == "poisson"
    assert "pooling moves partial correlations" in result.sentence


def test_levels_and_replicates(cells):
    """Folds of whole donors inside types: other folds, near the same answer."""
    plain = run(cells, middle=["g00"]).summary
    found = run(cells, middle=["g00"], within="type", replicate="donor")
    assert found.summary["n_folds"] == 8
    for name in ("rms_distortion", "rms_partial"):
        assert found.summary[name]["low"] < plain[name]["estimate"] < found.summary[name]["high"]


def test_more_cells_than_residual_covariances_take(cells, monkeypatch):
    whole = run(cells, middle=["g00"]).summary
    monkeypatch.setattr(count_gram, "MOST_CELLS", 700)
    part = run(cells, middle=["g00"]).summary
    assert part["rms_distortion"] == pytest.approx(whole["rms_distortion"])
    assert part["rms_partial"] != whole["rms_partial"]
    assert part["rms_partial"]["estimate"] == pytest.approx(whole["rms_partial"]["estimate"], abs=0.08)


def test_known_size_factors(cells):
    """Size factors known from elsewhere stand in the place of the totals."""
    known = cells.copy()
    known.obs["size"] = np.asarray(known.X.sum(axis=1)) / 4000
    found = run(known, middle=["g00"], size_factors="obs:size").summary
    plain = run(cells, middle=["g00"]).summary
    assert found["rms_distortion"]["estimate"] == pytest.approx(plain["rms_distortion"]["estimate"], rel=0.1)


def test_few_cells_and_rare_genes(cells):
    few = run(cells[:80].copy())
    assert (few.table["status"] == "too_few_samples").all()
    rare = cells.copy()
    rare.X[:, 3] = 0.0
    rare.X[:40, 3] = 1.0
    found = run(rare).table.set_index("gene")
    assert found["status"]["g03"] == "too_few_counts"
    assert found["n_triples"]["g00"] == 9 * 8 // 2
