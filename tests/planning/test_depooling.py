"""Pools taken apart: moments of cells from sums, by hand, by simulation and on real cells."""

import json

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from click.testing import CliRunner

import poolproof
from poolproof import InputError, depool
from poolproof.cli import commands
from poolproof.planning.cumulants import block_sums, cell_cumulants, charlier, jackknife, pair_squares


def test_charlier__has_the_powers_of_the_level_as_expectations():
    rng = np.random.default_rng(0)
    level = 3 + rng.random(2_000_000)
    x = rng.poisson(level).astype(float)
    for order in (1, 2, 3, 4):
        found = charlier(x, np.full_like(x, 3.5), order).mean()
        assert found == pytest.approx(np.mean((level - 3.5) ** order), abs=0.15)


def test_charlier__by_hand():
    assert charlier(np.array([2.0]), np.array([1.5]), 3).tolist() == pytest.approx(
        [2 * 1 * 0 - 3 * 1.5 * 2 + 3 * 1.5**2 * 2 - 1.5**3]
    )


def pools_of(rng, n, n_cells, counted=True):
    """Sums of cells with gamma levels: y is bent in x, z is straight in x; and the rest of the cell."""
    x = rng.gamma(2.0, size=(n, n_cells))
    levels = np.stack([6 * x, 2 + 2 * x**2, 3 + 3 * x + rng.gamma(2.0, size=x.shape)], axis=2)
    sums = levels.sum(axis=1)
    others = np.full(n, 20_000.0 * n_cells)
    values = rng.poisson(sums) if counted else sums
    adata = AnnData(np.column_stack([values, others]).astype(float))
    adata.var_names = ["x", "y", "z", "others"]
    return adata, levels


@pytest.mark.parametrize("n_cells", [1, 5, 20])
@pytest.mark.parametrize("counted", [True, False])
def test_depool__gives_moments_of_the_cells(n_cells, counted):
    rng = np.random.default_rng(n_cells)
    adata, levels = pools_of(rng, 3000, n_cells, counted)
    cells = levels.reshape(-1, 3)
    found = depool(adata, cells_per_pool=n_cells, genes=["x", "y", "z"])
    genes, pairs = found.genes.set_index("gene"), found.table.set_index(["regulator", "target"])
    assert genes["mean"].to_numpy() == pytest.approx(cells.mean(axis=0), rel=0.02)
    for i, name in enumerate("xyz"):
        row = genes.loc[name]
        assert abs(row["variance"] - cells[:, i].var()) < 4 * row["variance_error"]
    centred = cells - cells.mean(axis=0)
    for i, j in ((0, 1), (0, 2), (2, 1)):
        row = pairs.loc[("xyz"[i], "xyz"[j])]
        assert abs(row["covariance"] - np.mean(centred[:, i] * centred[:, j])) < 4 * row["covariance_error"]
        third = np.mean(centred[:, i] ** 2 * centred[:, j])
        assert abs(row["third"] - third) < 4 * row["third_error"] + 0.02 * third


def test_depool__errors_are_those_of_repeated_pools():
    rng = np.random.default_rng(7)
    done = [
        depool(pools_of(rng, 200, 5)[0], cells_per_pool=5, genes=["x", "z"]).table.iloc[0] for _ in range(60)
    ]
    values, errors = (np.array([row[name] for row in done]) for name in ("covariance", "covariance_error"))
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(values.std(ddof=1), rel=0.35)


def test_depool__the_bend_share_of_cells_from_pools():
    rng = np.random.default_rng(1)
    shares = {}
    for n_cells in (1, 5):
        found = depool(pools_of(rng, 20_000, n_cells)[0], cells_per_pool=n_cells, genes=["x", "y", "z"])
        assert found.summary["status"] == "ok"
        shares[n_cells] = found.summary
    assert shares[5]["low"] < shares[1]["bend_share"] < shares[5]["high"]
    assert shares[1]["bend_share"] > 0.03


def test_depool__refuses_a_bend_share_that_cannot_be_had_and_says_how_many_would_do():
    found = depool(pools_of(np.random.default_rng(2), 100, 50)[0], cells_per_pool=50, genes=["x", "y", "z"])
    assert found.summary["status"] == "too_few_pools"
    assert found.summary["bend_share"] is None
    assert "cannot be had" in found.sentence


def test_depool__sizes_may_differ():
    rng = np.random.default_rng(3)
    parts = [pools_of(rng, 800, k)[0] for k in (2, 8)]
    values = np.vstack([part.X for part in parts])
    obs = pd.DataFrame({"k": np.repeat([2, 8], 800)}, index=[str(i) for i in range(1600)])
    adata = AnnData(values, obs=obs, var=parts[0].var)
    row = (
        depool(adata, cells_per_pool="k", genes=["x", "z"])
        .table.set_index(["regulator", "target"])
        .loc[("x", "z")]
    )
    assert abs(row["covariance"] - 6 * 3 * 2) < 4 * row["covariance_error"]


def test_depool__does_not_depend_on_the_order_of_genes():
    adata, _ = pools_of(np.random.default_rng(4), 300, 3)
    first = depool(adata, cells_per_pool=3).table
    second = depool(adata[:, ::-1].copy(), cells_per_pool=3).table
    keys = ["regulator", "target"]
    pd.testing.assert_frame_equal(
        first.sort_values(keys).reset_index(drop=True), second.sort_values(keys).reset_index(drop=True)
    )


def test_cell_cumulants__by_hand_of_two_blocks():
    values = np.array([[1.0], [3.0], [2.0], [6.0]])
    expected = np.full((4, 1), 3.0)
    sums = block_sums(values, expected, np.full(4, 2.0), np.array([0, 0, 1, 1]), counted=False)
    moments = cell_cumulants(sums)
    # squares 4, 0, 1, 9 and cubes -8, 0, -1, 27 over 8 cells
    assert moments.covariance[0, 0] == pytest.approx(14 / 8 * 4 / 3)
    assert moments.third[0, 0] == pytest.approx(18 / 8 * 16 / 6)
    assert jackknife(np.array([1.0, 2.0, 3.0])) == pytest.approx(np.sqrt(2 / 3 * 2))


@pytest.mark.parametrize("n_cells", [2, 5, 10])
def test_depool__sums_of_real_cells_give_the_moments_of_these_cells(n_cells):
    cells = poolproof.load_dataset("sc_mixology_10x_3lines")
    line = cells.obs["cell_line"].astype(str).to_numpy()
    counts = sp.csr_matrix(cells.X).astype(float)
    genes = list(cells.var_names[np.argsort(-np.asarray(counts.mean(axis=0)).ravel())[:40]])
    rng = np.random.default_rng(n_cells)
    order = np.concatenate([rng.permutation(np.flatnonzero(line == of)) for of in np.unique(line)])
    kept = order[: len(order) // n_cells * n_cells].reshape(-1, n_cells)
    kept = kept[(line[kept] == line[kept][:, :1]).all(axis=1)]
    sums = np.stack([np.asarray(counts[rows].sum(axis=0)).ravel() for rows in kept])
    obs = pd.DataFrame({"line": line[kept[:, 0]]}, index=[f"p{i}" for i in range(len(kept))])
    pools = AnnData(sums, obs=obs, var=cells.var[[]])
    keys = ["regulator", "target"]
    truth = depool(cells, cells_per_pool=1, within="cell_line", genes=genes).table.set_index(keys)
    found = (
        depool(pools, cells_per_pool=n_cells, within="line", genes=genes)
        .table.set_index(keys)
        .loc[truth.index]
    )
    for part in ("covariance", "third"):
        inside = (found[part] - truth[part]).abs() < 2.09 * found[f"{part}_error"]
        assert inside.mean() > 0.85, part
    assert np.polyfit(truth["covariance"], found["covariance"], 1)[0] == pytest.approx(1, abs=0.25)


BAD = {
    "sizes": ({"cells_per_pool": "k"}, "for every pool"),
    "column": ({"cells_per_pool": "nothing"}, "nothing"),
    "zero": ({"cells_per_pool": 0}, "cells_per_pool"),
    "gene": ({"cells_per_pool": 3, "genes": ["x", "NONE"]}, "NONE"),
}


@pytest.mark.parametrize("case", BAD)
def test_depool__bad_input_gets_one_line(case):
    adata, _ = pools_of(np.random.default_rng(5), 60, 3)
    adata.obs["k"] = [3.0] * 59 + [np.nan]
    options, said = BAD[case]
    with pytest.raises(InputError, match=said) as caught:
        depool(adata, **options)
    assert "\n" not in str(caught.value)


def test_depool__refuses_few_pools_and_logs():
    adata, _ = pools_of(np.random.default_rng(6), 39, 3)
    with pytest.raises(InputError, match="at least 40 pools"):
        depool(adata, cells_per_pool=3)
    adata, _ = pools_of(np.random.default_rng(6), 60, 3)
    adata.X = np.log1p(adata.X)
    with pytest.raises(InputError, match="logs"):
        depool(adata, cells_per_pool=3)


def test_depool_command__writes_what_the_function_returns(tmp_path):
    adata, _ = pools_of(np.random.default_rng(8), 300, 4)
    adata.write_h5ad(tmp_path / "pools.h5ad")
    run = CliRunner().invoke(
        commands,
        ["depool", str(tmp_path / "pools.h5ad"), "--cells-per-pool", "4", "--out", str(tmp_path / "out")],
    )
    assert run.exit_code == 0, run.output
    kept = json.loads((tmp_path / "out" / "depooled.json").read_text())
    assert kept["n_cells"] == 1200
    assert kept["sentence"] in run.output
    assert (tmp_path / "out" / "depooled_pairs.parquet").is_file()
    again = CliRunner().invoke(
        commands,
        ["depool", str(tmp_path / "pools.h5ad"), "--cells-per-pool", "4", "--out", str(tmp_path / "out")],
    )
    assert isinstance(again.exception, InputError)
    missing = CliRunner().invoke(
        commands, ["depool", str(tmp_path / "pools.h5ad"), "--out", str(tmp_path / "other")]
    )
    assert "--cells-per-pool" in str(missing.exception)
    assert not (tmp_path / "other").exists()


def test_pair_squares__of_unrelated_genes_are_free_of_the_bias_of_squares():
    rng = np.random.default_rng(9)
    found, naive = [], []
    for _ in range(20):
        values = rng.gamma(2.0, size=(200, 15))
        sums = block_sums(values, np.full_like(values, 2.0), np.ones(200), np.arange(200) % 20, counted=False)
        chosen = np.ones(20, dtype=bool)
        moments = cell_cumulants(sums)
        off = ~np.eye(15, dtype=bool)
        found.append([part[off].mean() for part in pair_squares(sums, moments, chosen)])
        naive.append((moments.covariance[off] ** 2).mean())
    bend, line = np.mean(found, axis=0)
    assert abs(line) < 0.15 * np.mean(naive)
    assert abs(bend) < 0.15 * 14 * np.mean(naive)
