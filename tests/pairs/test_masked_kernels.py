"""Missing values by matrix products: what subtracting columns one by one on each pair's samples gives."""

import numpy as np
import pandas as pd
import pytest

from poolproof.basis import spline_bases
from poolproof.pairs.design import make_design
from poolproof.pairs.masked_kernels import SURE, mask_pairs, masked_moments, masked_sums, orthonormal_rows
from poolproof.pairs.score_kernels import triangle

K = 5


def level_of(n, *, covariate=False, clusters=False, seed=0):
    random = np.random.default_rng(seed)
    obs = pd.DataFrame({"age": random.normal(size=n), "donor": (np.arange(n) % 7).astype(str)})
    options = {"covariates": ["age"]} if covariate else {}
    return make_design(obs, replicate="donor" if clusters else None, **options).levels[0]


def holes(n=90, m=25, share=0.1, seed=1):
    random = np.random.default_rng(seed)
    x = random.gamma(2.0, size=n)
    y = (x + random.normal(size=(m, n))) ** 2
    present = random.random((m, n)) > share
    x[random.random(n) < share] = np.nan
    return x, np.where(present, y, 0.0), present


def one_by_one(x, y, present, level):
    """Orthonormal columns, covariates first, and the target's rest, of one pair on its own samples."""
    known = ~np.isnan(x)
    basis = spline_bases(x[known][:, None], K)[0][0]
    both = np.flatnonzero(known & present)
    columns = np.concatenate([level.covariates[both].T, basis[:, present[known]]])
    q, _ = np.linalg.qr(columns.T)
    q = (q * np.sign(np.einsum("nq,qn->q", q, columns))).T
    p = level.covariates.shape[1]
    rest = y[both] - q[:p].T @ (q[:p] @ y[both])
    return both, q[:p], q[p:], rest


@pytest.mark.parametrize("covariate", [False, True])
def test_moments__are_those_of_each_pair_alone(covariate):
    x, y, present = holes()
    level = level_of(len(x), covariate=covariate)
    of = mask_pairs(x, y, present, level, K)
    moments, n = masked_moments(of, level, test="robust")
    for t in range(len(y)):
        both, nuisance, own, rest = one_by_one(x, y[t], present[t], level)
        norm = np.linalg.norm(rest)
        score = own @ rest / norm
        residual = rest / norm - own[0] * score[0]
        weight = 1 / (1 - (nuisance**2).sum(axis=0) - own[0] ** 2) ** 2
        assert n[t] == len(both)
        np.testing.assert_allclose(of.norm[t], norm, rtol=1e-10)
        np.testing.assert_allclose([moments.b[0, t], *(s[0, t] for s in moments.s)], score, atol=1e-10)
        np.testing.assert_allclose(moments.fourth[0, t], (own[0] ** 4).sum(), rtol=1e-9)
        for i, j in triangle(K):
            for found, u in ((moments.variance, residual), (moments.variance_null, rest / norm)):
                expected = (own[i] * own[j] * weight * u**2).sum()
                np.testing.assert_allclose(found[i, j][0, t], expected, atol=1e-10)


@pytest.mark.parametrize("clusters", [False, True])
def test_sums__have_the_derivative_by_the_weight_of_a_sample(clusters):
    x, y, present = holes(n=84, m=6)
    level = level_of(len(x), clusters=clusters)
    of = mask_pairs(x, y, present, level, K)
    codes = None if level.clusters is None else level.clusters[of.known]
    bend, line, by_bend, by_line = masked_sums(of, np.ones(len(y)), codes, level.n_clusters)
    for t in range(len(y)):
        _, nuisance, own, rest = one_by_one(x, y[t], present[t], level)
        rest = rest / np.linalg.norm(rest)
        score = own @ rest
        u = rest - own.T @ score
        if clusters:
            here = codes[of.mask[t] > 0]
            variance = np.zeros(K)
            for code in np.unique(here):
                part = own[:, here == code]
                gram = part @ part.T
                left = np.diag(gram) - (gram**2).sum(axis=1)
                left = np.maximum(left, 0.05 * np.diag(gram))
                variance += (part @ u[here == code]) ** 2 * np.diag(gram) / left
        else:
            leverage = (nuisance**2).sum(axis=0) + (own**2).sum(axis=0)
            variance = (own**2 * u**2 / (1 - leverage)).sum(axis=1)
        np.testing.assert_allclose(line[t], score[0] ** 2 - variance[0], atol=1e-10)
        np.testing.assert_allclose(bend[t], (score[1:] ** 2 - variance[1:]).sum(), atol=1e-10)
    assert by_bend.shape == by_line.shape == (len(y), level.n_clusters if clusters else of.known.sum())
    assert (np.abs(by_bend).sum(axis=1) > 0).all()


def test_columns__that_are_hardly_apart_are_subtracted_one_by_one():
    x, y, present = holes(n=60, m=8)
    x[:] = np.linspace(0, 5, 60).round(1)
    present[:4] = np.isin(x, x[[0, 1, 30, 31]])  # two or three values are left: most bends are gone
    present[4] = np.isin(x, x[:9])
    y = np.where(present, y, 0.0)
    level = level_of(60)
    of = mask_pairs(x, y, present, level, K)
    assert 0 < len(of.apart) < len(y)
    every = of.columns(np.arange(len(y)))
    gram = np.einsum("tqn,trn->tqr", every, every)
    kept = np.einsum("tqq->tq", gram).round(6)
    assert set(np.unique(kept)) <= {0.0, 1.0}
    np.testing.assert_allclose(gram, np.einsum("tq,qr->tqr", kept, np.eye(gram.shape[1])), atol=1e-8)
    weights = np.random.default_rng(0).random((len(y), every.shape[2])) * of.mask
    np.testing.assert_allclose(
        of.gram(weights), np.einsum("tqn,tn,trn->tqr", every, weights, every), atol=1e-8
    )
    ones = np.ones(every.shape[:2])
    np.testing.assert_allclose(of.quadratic(ones), (every**2).sum(axis=1), atol=1e-8)
    np.testing.assert_allclose(of.combined(ones), every.sum(axis=1), atol=1e-8)
    np.testing.assert_allclose(of.along(of.values), np.einsum("tqn,tn->tq", every, of.values), atol=1e-8)


def test_orthonormal__says_where_products_are_not_enough():
    gram = np.array([[[1.0, 0.5], [0.5, 1.0]], [[1.0, 1.0], [1.0, 1.0 + SURE / 2]]])
    turn, unsure = orthonormal_rows(gram)
    assert unsure.tolist() == [False, True]
    np.testing.assert_allclose(turn[0] @ gram[0] @ turn[0].T, np.eye(2), atol=1e-12)
