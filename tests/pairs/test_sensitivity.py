"""Sensitivity of the bend share of counts, and the floor of counts, on cells whose equations are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from poolproof._checks import InputError
from poolproof.pairs.count_engine import CountTest
from poolproof.pairs.count_kernels import CountDepth
from poolproof.pairs.design import make_design
from poolproof.pairs.floor import affine_floor
from poolproof.pairs.floor_counts import affine_counts, own_spread, straight_counts
from poolproof.pairs.sensitivity import Sensitivity, share_sensitivity

NAMES = np.array([f"g{i:02d}" for i in range(40)])


def cells(seed: int, *, technical: float = 0.0, n: int = 1200) -> tuple[np.ndarray, np.ndarray]:
    """Counts of three bimodal regulators' children, affine, and totals; ``technical`` is overdispersion."""
    draw = np.random.default_rng(seed)
    x = np.where(draw.random((n, 4)) < 0.4, 3.0, 0.5)
    rate = np.concatenate([(1 + draw.uniform(0.3, 1.5, 10) * x[:, [r]]) for r in range(4)], axis=1)
    rate = rate / rate.mean(axis=0) * 8 * draw.lognormal(0, 0.3, (n, 1)) * draw.gamma(10, 0.1, rate.shape)
    if technical:
        rate = rate * draw.gamma(1 / technical, technical, rate.shape)
    counts = draw.poisson(rate).astype(float)
    return counts, counts.sum(axis=1) + draw.poisson(2000, n)


def engine_of(
    counts: np.ndarray, total: np.ndarray, obs: pd.DataFrame | None = None, **kwargs: object
) -> CountTest:
    obs = pd.DataFrame(index=range(len(counts))) if obs is None else obs
    design = make_design(obs, categorical_only=True, min_per_stratum=20, **kwargs)  # type: ignore[arg-type]
    return CountTest(counts, total, False, design)


def test_straight_counts__takes_the_bend_off_the_rate() -> None:
    draw = np.random.default_rng(0)
    depth = CountDepth(np.full(40_000, 1000.0), False)
    bends = np.repeat([[0.002], [-0.003]], 20_000, axis=0)
    counts = draw.binomial(1000, 0.01 + bends).astype(float)
    straight = straight_counts(counts, depth, np.full_like(counts, 0.01) + bends, bends, draw)
    for half in (straight[:20_000], straight[20_000:]):
        assert half.mean() / 1000 == pytest.approx(0.01, rel=0.01)
        second = (half * (half - 1)).mean() / (1000 * 999)
        assert second == pytest.approx(1e-4, rel=0.02)  # counting noise is still that of molecules


def test_affine_counts__own_spread_recovered() -> None:
    draw = np.random.default_rng(1)
    for known in (False, True):
        depth = CountDepth(draw.integers(500, 3000, 20_000).astype(float), known)
        expected = 0.01 * draw.uniform(0.5, 1.5, (20_000, 1))
        counts = affine_counts(expected, np.array([0.2]), depth, draw)
        assert own_spread(counts, depth, expected)[0] == pytest.approx(0.2, rel=0.1)
        assert (counts[:, 0] / depth.total).mean() == pytest.approx(0.01, rel=0.02)


def test_affine_floor__bimodal_cells_are_all_floor() -> None:
    counts, total = cells(0)
    floor = affine_floor(engine_of(counts, total), NAMES, n_copies=3)
    assert floor.table["n_factors"].tolist() == [4]
    assert floor.bend_share > 0.05
    assert abs(floor.excess) < 0.004
    assert not floor.evidence


def test_share_sensitivity__every_variant_has_a_row() -> None:
    counts, total = cells(1, n=600)
    found = share_sensitivity(engine_of(counts, total), NAMES, batch=np.arange(600) % 2)
    assert found.table["variant"].tolist() == [
        "overdispersion 0.02",
        "overdispersion 0.05",
        "overdispersion 0.1",
        "totals without the 4 most counted genes",
        "cells of the highest totals left out",
        "cells of the lowest totals left out",
        "batches inside",
    ]
    assert found.table["n_samples"].tolist() == [600, 600, 600, 600, 570, 540, 600]
    assert found.table["n_genes"].tolist() == [40, 40, 40, 36, 40, 40, 40]
    assert np.isfinite(found.table["moved"]).all()
    assert found.largest == found.table["moved"].iloc[found.table["moved"].abs().argmax()]
    assert "moves by" in str(found)


def test_turning_overdispersion__lies_on_the_straight_line_between_those_tried() -> None:
    def of(shares: list[float], given: float, margin: float = 0.1) -> Sensitivity:
        table = pd.DataFrame(
            {
                "variant": ["overdispersion 0.02", "overdispersion 0.05", "overdispersion 0.1", "other"],
                "n_samples": 100,
                "n_genes": 10,
                "bend_share": [*shares, 0.5],
                "as_given": given,
                "moved": [*(s - given for s in shares), 0.5 - given],
            }
        )
        return Sensitivity(table, {"n_genes": 10, "seed": 0, "overdispersion": 0.0, "margin": margin})

    falls = of([0.12, 0.06, 0.02], 0.16)
    assert falls.turning_overdispersion == pytest.approx(0.02 + 0.03 * 0.02 / 0.06)
    assert falls.sentence.endswith("it crosses 0.1 at overdispersion 0.03")
    assert falls.as_list()[-1] == {
        "variant": "overdispersion 0.03: the share crosses 0.1", "bend_share": 0.1, "as_given": 0.16
    }  # fmt: skip
    assert of([0.05, 0.09, 0.14], 0.04).turning_overdispersion == pytest.approx(0.05 + 0.05 * 0.01 / 0.05)
    stays = of([0.3, 0.28, 0.2], 0.31)
    assert stays.turning_overdispersion is None
    assert len(stays.as_list()) == 4
    assert "no overdispersion up to 0.1 takes it across 0.1" in stays.sentence


def test_share_sensitivity__finds_batches_that_bend() -> None:
    """Three batches that add to every gene its own amount: a bent cloud, straight inside batches."""
    draw = np.random.default_rng(2)
    batch = np.arange(1000) % 3
    shift = 2 * draw.lognormal(0, 0.7, (3, 20))[batch]
    programme = draw.gamma(2, 1 / 2, (1000, 1))
    counts = draw.poisson(10 * (shift + programme)).astype(float)
    total = counts.sum(axis=1) + draw.poisson(5000, 1000)
    found = share_sensitivity(engine_of(counts, total), NAMES[:20], batch=batch).table.set_index("variant")
    row = found.loc["batches inside"]
    assert row["as_given"] > 0.1
    assert abs(row["bend_share"]) < 0.03


def test_share_sensitivity__batches_go_with_replicates_and_strata() -> None:
    counts, total = cells(3, n=800)
    obs = pd.DataFrame(
        {"donor": [f"d{i % 8}" for i in range(800)], "chip": [f"c{i % 3}" for i in range(800)]}
    )
    engine = engine_of(counts, total, obs, replicate="donor", covariates=["chip"])
    found = share_sensitivity(engine, NAMES, batch=(np.arange(800) % 5 // 4).astype(str), max_genes=10)
    assert np.isfinite(found.table["bend_share"]).all()
    assert found.table["n_samples"].iloc[-1] < 800  # cells whose batch is too small inside its stratum


def test_share_sensitivity__too_few_labels() -> None:
    counts, total = cells(4, n=100)
    with pytest.raises(InputError, match="one label for each of the 100 cells; found 99"):
        share_sensitivity(engine_of(counts, total), NAMES, batch=np.zeros(99))
