"""The matched affine floor on data whose equations are known."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from poolproof.pairs.design import make_design
from poolproof.pairs.floor import AffineFloor, affine_floor
from poolproof.pairs.floor_kernels import affine_copy, factor_curves, find_factors
from poolproof.pairs.score_engine import ScoreTest


def hill(x: np.ndarray) -> np.ndarray:
    return 3 * x**2 / (1 + x**2)


def stars(seed: int, *, bent: bool, hidden: bool, n: int = 400, n_children: int = 9) -> np.ndarray:
    """Six log-normal regulators with children of their own, shape ``(n, n_genes)``."""
    draw = np.random.default_rng(seed)
    x = draw.lognormal(0, 0.7, (n, 6))
    cause = hill(x) if bent else x
    children = [
        (1 + draw.uniform(0.3, 1.5, n_children) * cause[:, [r]])
        * draw.lognormal(-0.045, 0.3, (n, n_children))
        for r in range(6)
    ]
    return np.concatenate(([] if hidden else [x]) + children, axis=1)


def floor_of(values: np.ndarray, order: np.ndarray | None = None, **kwargs: object) -> AffineFloor:
    genes = np.array([f"g{i:03d}" for i in range(values.shape[1])])
    order = np.arange(len(genes)) if order is None else order
    design = make_design(pd.DataFrame(index=range(len(values))))
    return affine_floor(ScoreTest(values[:, order], None, design), genes[order], **kwargs)  # type: ignore[arg-type]


def test_find_factors__as_many_as_regulators() -> None:
    for bent in (False, True):
        values = stars(3, bent=bent, hidden=True)
        standard = (values - values.mean(axis=0)) / values.std(axis=0)
        loadings = find_factors(standard, np.random.default_rng(0))
        assert loadings.shape[1] == 6
        strongest = np.abs(loadings).argmax(axis=1).reshape(6, 9)
        assert (strongest == strongest[:, :1]).all()


def test_find_factors__independent_genes_share_none() -> None:
    draw = np.random.default_rng(1)
    noise = draw.lognormal(0, 1, (200, 60)) * draw.lognormal(0, 0.5, (200, 1)) ** 0
    standard = (noise - noise.mean(axis=0)) / noise.std(axis=0)
    assert find_factors(standard, draw).shape[1] == 0


def test_factor_curves__bend_of_the_one_bent_gene() -> None:
    """A gene that is the square of the factor bends; its module-mates, lines with noise, do not."""
    draw = np.random.default_rng(2)
    factor = draw.normal(size=1000)
    values = factor[:, None] + draw.normal(scale=0.5, size=(1000, 21))
    values[:, 0] = factor + 0.5 * factor**2 + draw.normal(scale=0.1, size=1000)
    curves = factor_curves(values, np.random.default_rng(0))
    share = curves.bends.var(axis=0) / values.var(axis=0)
    truth = 0.5 * (factor**2 - 1)
    assert share[1:].max() < 0.01
    assert np.corrcoef(curves.bends[:, 0], truth)[0, 1] > 0.95
    assert curves.bends[:, 0].std() == pytest.approx(truth.std(), rel=0.15)


def test_factor_curves__noisy_factors_bend_nothing() -> None:
    """E[x | F_P] is a curve where F is bimodal and F_P noisy; only instruments see that it is none in F."""
    draw = np.random.default_rng(4)
    factor = np.where(draw.random(2000) < 0.4, 3.0, 0.5)
    values = factor[:, None] + draw.normal(scale=1.5, size=(2000, 12))
    curves = factor_curves(values, np.random.default_rng(0))
    assert curves.n_factors == 1
    assert (curves.bends.var(axis=0) / values.var(axis=0)).max() < 0.004


def test_affine_copy__line_kept_and_noise_shuffled() -> None:
    draw = np.random.default_rng(5)
    lines = draw.normal(size=(1000, 3)) * [1.0, 2.0, 0.0]
    values = 5 + lines + np.abs(lines[:, :1]) * draw.normal(size=(1000, 3))
    copy = affine_copy(values, lines, np.random.default_rng(0))
    for gene in range(2):
        slope, start = np.polyfit(lines[:, gene], copy[:, gene], 1)
        assert slope == pytest.approx(1, abs=0.02)
        assert start == pytest.approx(values[:, gene].mean(), abs=0.02)
    noise = (copy - lines)[:, 0] - 5
    wide = np.abs(lines[:, 0]) > 1
    assert noise[wide].std() > 2 * noise[~wide].std()
    assert abs(np.corrcoef(noise, (values - lines)[:, 0])[0, 1]) < 0.1


def test_affine_floor__bent_regulators_seen_are_evidence_and_hidden_ones_none() -> None:
    seen = floor_of(stars(0, bent=True, hidden=False), n_copies=5)
    hidden = floor_of(stars(0, bent=True, hidden=True), n_copies=5)
    assert seen.evidence
    assert seen.excess > 0.01
    assert not hidden.evidence
    assert hidden.bend_share > 0.1
    assert hidden.floor == pytest.approx(hidden.bend_share, abs=0.005)
    assert "no evidence" in str(hidden)
    assert json.loads(json.dumps(seen.as_dict()))["evidence"] is True


def test_affine_floor__no_answer_without_factors() -> None:
    floor = floor_of(np.random.default_rng(0).normal(size=(100, 20)))
    assert not floor.decided
    assert not floor.evidence
    assert floor.as_dict()["limit"] is None
    assert "not decided" in floor.sentence


def test_affine_floor__order_of_genes_and_threads_change_nothing() -> None:
    values = stars(1, bent=True, hidden=False, n=150, n_children=4)
    order = np.random.default_rng(0).permutation(values.shape[1])
    first = floor_of(values, n_copies=3, max_genes=20, seed=4)
    again = floor_of(values, order, n_copies=3, max_genes=20, seed=4, threads=2)
    assert first.settings["n_genes"] == 20
    assert again.floor == first.floor
    assert np.array_equal(again.law, first.law)
