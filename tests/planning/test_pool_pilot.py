"""Pools of known size as a pilot: what they say of their cells, and what they cannot."""

import json

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from click.testing import CliRunner

import poolproof
from poolproof import InputError, plan_design
from poolproof.cli import commands
from poolproof.data.expression import describe
from poolproof.planning.designs import Design, judge
from poolproof.planning.pilot import measure_pilot
from poolproof.planning.pool_pilot import measure_pools

GENES = [f"G{i}" for i in range(24)]


def cells(n, genes=24, mean=6.0, donors=0, spread=0.0, seed=0):
    """Counts of cells: four factors, a third of the genes bent in theirs; donors shift genes."""
    rng = np.random.default_rng(seed)
    factor = rng.gamma(2.0, 0.5, size=(n, 4))
    level = mean * (0.3 + factor[:, np.arange(genes) % 4] ** (1 + (np.arange(genes) % 3 == 0)))
    adata = AnnData(np.zeros((n, genes + 1)))
    donor = np.arange(n) % max(donors, 1)
    level = level * np.exp(spread * rng.normal(size=(max(donors, 1), genes)))[donor]
    adata.X = np.column_stack([rng.poisson(level), rng.poisson(100_000, size=n)]).astype(float)
    adata.var_names = [f"G{i}" for i in range(genes + 1)]
    adata.obs_names = [f"c{i}" for i in range(n)]
    adata.obs["donor"] = [f"d{i}" for i in donor]
    adata.uns["source"] = {"kind": "single-cell"}
    return adata


def pools_of(adata, k):
    """Sums of k cells of a donor."""
    donor = adata.obs["donor"].to_numpy()
    rows = np.concatenate(
        [np.flatnonzero(donor == of)[: (donor == of).sum() // k * k] for of in np.unique(donor)]
    )
    sums = adata.X[rows].reshape(-1, k, adata.n_vars).sum(axis=1)
    obs = pd.DataFrame({"donor": donor[rows[::k]], "k": k}, index=[f"p{i}" for i in range(len(sums))])
    pools = AnnData(sums, obs=obs, var=adata.var)
    pools.uns["source"] = {"kind": "bulk"}
    return pools


def measured(pools, k, goal="edges", replicate=None):
    expression = describe(pools, kind="bulk", scale="counts")
    return measure_pools(expression, pools.obs, k, goal=goal, within=[], replicate=replicate)


@pytest.fixture(scope="module")
def known():
    """Cells, and what they say themselves."""
    adata = cells(5000)
    options = {"within": [], "replicate": None, "max_cells": 5000}
    return adata, measure_pilot(describe(adata), adata.obs, genes=GENES, **options).system


@pytest.mark.parametrize("k", [1, 5, 10])
def test_measure_pools__says_of_cells_what_the_cells_say(known, k):
    adata, theirs = known
    of_pools = measured(pools_of(adata, k), k)
    ours = of_pools.system
    assert of_pools.n_cells == 5000
    assert of_pools.n_units == 5000 // k
    assert set(of_pools.genes) <= set(GENES)
    for name, within in (("molecules_x", 0.05), ("cv2_x", 0.2), ("line", 0.35)):
        assert getattr(ours, name).mean() == pytest.approx(getattr(theirs, name).mean(), rel=within), name
    design = Design(400, 1, 1, theirs.depth)
    assert judge(ours, design).edges_power == pytest.approx(judge(theirs, design).edges_power, abs=0.12)


def test_measure_pools__has_the_bend_share_where_depooling_has_it():
    adata = cells(20_000)
    found = {k: measured(pools_of(adata, k), k, "verdict") for k in (1, 4)}
    one, four = found[1].system.bend_share, found[4].system.bend_share
    assert 0.01 < one < 0.5
    assert abs(four - one) < 3 * max(found[4].error_factor * four, 0.02)
    assert found[4].error_factor > found[1].error_factor


def test_measure_pools__tells_how_donors_differ():
    adata = cells(16_000, donors=40, spread=0.3)
    found = measured(pools_of(adata, 10), 10, replicate="donor")
    assert found.n_donors == 40
    # exp(.3 z) has a squared CV of .094; the cells' own is that of the levels
    expected = 0.094 / np.median(found.system.cv2_x)
    assert np.median(found.system.between_x) == pytest.approx(expected, rel=0.35)
    assert measured(pools_of(cells(4000), 10), 10).system.between_x.max() == 0


@pytest.mark.parametrize("k", [2])
def test_measure_pools__sums_of_real_cells_plan_as_these_cells(k):
    adata = poolproof.load_dataset("sc_mixology_10x_3lines")
    mean = np.asarray(adata.X.mean(axis=0)).ravel()
    adata = adata[:, np.sort(np.argsort(-mean)[:100])].copy()
    pools = poolproof.pool_cells(adata, size=k, within="cell_line")
    expression = describe(adata, kind="single-cell", size_factors="total")
    theirs = measure_pilot(expression, adata.obs, within=["cell_line"], replicate=None).system
    ours = measure_pools(
        describe(pools, kind="bulk", scale="counts"),
        pools.obs,
        "psbulk_size",
        goal="edges",
        within=["cell_line"],
        replicate=None,
    ).system
    assert np.median(ours.molecules_x) == pytest.approx(np.median(theirs.molecules_x), rel=0.1)
    assert 0.5 < np.median(ours.cv2_x) / np.median(theirs.cv2_x) < 2
    assert 0.5 < ours.line.mean() / theirs.line.mean() < 2.5
    for n in (300, 800, 2000):
        power = [judge(of, Design(n, 1, 1, of.depth)).edges_power for of in (ours, theirs)]
        assert power[0] == pytest.approx(power[1], abs=0.3)


def test_plan__without_a_bend_share_promises_none():
    found = plan_design(pools_of(cells(2000), 20), cells_per_pool="k", goal="edges", sizes=[1, 20])
    assert "bend share to within" not in found.sentence
    assert found.table.query("part == 'frontier'")["share_error"].isna().all()
    assert found.table.query("part == 'frontier'")["false_edges"].isna().all()
    assert "bends were taken as none" in " ".join(found.summary["unknown"])
    json.dumps(found.summary, allow_nan=False)


def bad_pools():
    good, logs, flat = pools_of(cells(2000), 20), pools_of(cells(2000), 20), pools_of(cells(2000), 20)
    logs.X = np.log1p(logs.X)
    flat.X = np.random.default_rng(0).poisson(50.0, size=flat.shape).astype(float)
    holes = good.copy()
    holes.obs["k"] = [20.0] * 99 + [np.nan]
    return {
        "no bend share": (good, {"cells_per_pool": 20, "goal": "shape"}, "cannot be had from 100 pools"),
        "logs": (logs, {"cells_per_pool": 20}, "expected counts"),
        "few pools": (good[:39].copy(), {"cells_per_pool": 20}, "at least 40 pools"),
        "sizes missing": (holes, {"cells_per_pool": "k"}, "for every pool"),
        "no column": (good, {"cells_per_pool": "nothing"}, "nothing"),
        "nothing varies": (flat, {"cells_per_pool": 20}, "vary beyond the noise"),
        "no donors": (good, {"cells_per_pool": 20, "donors": [8]}, "replicate"),
    }


@pytest.mark.parametrize("case", bad_pools())
def test_plan__bad_pools_get_one_line(case):
    pools, options, said = bad_pools()[case]
    with pytest.raises(InputError, match=said) as caught:
        plan_design(pools, **({"goal": "edges"} | options))
    assert "\n" not in str(caught.value)


def test_plan__sizes_of_pools_without_a_pilot_are_refused():
    with pytest.raises(InputError, match="sizes"):
        plan_design(numbers={"r2": 0.1}, cells_per_pool=10)


def test_plan_command__takes_pools(tmp_path):
    pools_of(cells(4000), 10).write_h5ad(tmp_path / "pools.h5ad")
    call = ["plan", str(tmp_path / "pools.h5ad"), "--goal", "edges", "--sizes", "1,10", "--quiet", "--json"]
    run = CliRunner().invoke(commands, [*call, "--cells-per-pool", "k", "--out", str(tmp_path / "p")])
    assert run.exit_code == 0, run.output
    kept = json.loads(run.output)
    assert kept["pilot"] == {"n_cells": 4000, "n_units": 400, "n_donors": 0, "n_genes": 24}
    assert kept["settings"]["cells_per_pool"] == "k"
    run = CliRunner().invoke(commands, [*call, "--out", str(tmp_path / "q")])
    assert "--cells-per-pool" in str(run.exception)
    assert not (tmp_path / "q").exists()
