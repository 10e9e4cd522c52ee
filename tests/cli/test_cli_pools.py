"""`poolproof pool`, end to end: pools, files, and refusals in one line."""

import json
import stat

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from helpers import one_line
from numpy.testing import assert_array_equal

from poolproof import pool_cells
from poolproof.data import containers as _containers


@pytest.fixture(autouse=True)
def trusted(monkeypatch):
    """The files of these tests are whole: no process looks through them first."""
    monkeypatch.setattr(_containers, "_survives", lambda path: True)


def dense(matrix):
    return matrix.toarray() if sp.issparse(matrix) else np.asarray(matrix)


def made_up():
    rng = np.random.default_rng(0)
    n = 120
    obs = pd.DataFrame(
        {
            "donor": pd.Categorical(rng.choice(["d1", "d2"], n)),
            "cell_type": pd.Categorical(rng.choice(["B", "T"], n)),
            "metacell": rng.integers(-1, 8, n),
            "used": rng.random(n) < 0.7,
        },
        index=[f"c{i}" for i in range(n)],
    )
    counts = sp.csr_matrix(rng.poisson(0.8, (n, 6)).astype(np.float32))
    adata = AnnData(
        counts, obs=obs, var=pd.DataFrame({"symbol": list("abcdef")}, index=[f"g{j}" for j in range(6)])
    )
    adata.layers["csc"] = counts.tocsc()
    adata.layers["dense"] = counts.toarray()
    adata.raw = adata
    return adata


@pytest.fixture
def h5ad(tmp_path):
    path = tmp_path / "cells.h5ad"
    made_up().write_h5ad(path)
    return path


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["--by", "donor,cell_type"], {"by": ["donor", "cell_type"]}),
        (["--by", " donor ", "--aggregation", "mean"], {"by": "donor", "aggregation": "mean"}),
        (["--assignment", "metacell", "--min-cells", "3"], {"assignment": "metacell", "min_cells": 3}),
        (["--size", "1,2,10", "--within", "donor", "--pools", "7", "--seed", "4"],
         {"size": [1, 2, 10], "within": "donor", "pools": 7, "seed": 4}),
        (["--by", "donor", "--layer", "raw", "--aggregation", "median"],
         {"by": "donor", "layer": "raw", "aggregation": "median"}),
        (["--by", "donor", "--layer", "csc", "--layers", "dense,csc", "--aggregation", "{log1p: sum}"],
         {"by": "donor", "layer": "csc", "layers": ["dense", "csc"], "aggregation": {"log1p": "sum"}}),
        (["--by", "donor", "--mask", "used", "--keep-cells"],
         {"by": "donor", "mask": "used", "keep_cells": True}),
        (["--by", "donor", "--layer", "dense", "--aggregation", "max"],
         {"by": "donor", "layer": "dense", "aggregation": "max"}),
    ],
)  # fmt: skip
def test_pool__a_file_read_in_parts_gives_what_the_function_gives(call, h5ad, tmp_path, arguments, options):
    out = tmp_path / "pools.h5ad"
    done = call("pool", h5ad, *arguments, "--out", out)
    assert (done.code, done.out) == (0, "")
    pooled, expected = ad.read_h5ad(out), pool_cells(ad.read_h5ad(h5ad), **options)
    assert_array_equal(dense(pooled.X), dense(expected.X))
    assert sp.issparse(pooled.X) == sp.issparse(expected.X)
    pd.testing.assert_frame_equal(pooled.obs, expected.obs, check_index_type=False, check_categorical=False)
    pd.testing.assert_frame_equal(pooled.var, expected.var, check_index_type=False)
    for name in expected.layers:
        assert_array_equal(dense(pooled.layers[name]), dense(expected.layers[name]))
    kept = pooled.uns["poolproof_pools"]
    assert kept["settings"] == expected.uns["poolproof_pools"]["settings"]
    assert ("cells" in kept) == ("--keep-cells" in arguments)


def test_pool__says_what_it_did(call, h5ad, tmp_path):
    out = tmp_path / "pools.h5ad"
    done = call("pool", h5ad, "--assignment", "metacell", "--out", out)
    n = int((made_up().obs["metacell"] < 0).sum())
    first, alike, last = done.err.splitlines()
    assert "share" in alike
    assert [first, last] == [
        f"note: {n} cells left out: in no metacell by metacell (-1)",
        f"8 pools x 6 genes from {120 - n} of 120 cells: {out}",
    ]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cells.h5ad", "pools.h5ad"]
    done = call("pool", h5ad, "--by", "donor", "--out", out, "--force", "--quiet")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_pool__json(call, h5ad, tmp_path):
    out = tmp_path / "pools.h5ad"
    done = call(
        "pool", h5ad, "--size", "2,10", "--within", "donor", "--pools", "5", "--out", out, "--json", "--quiet"
    )
    assert (done.code, done.err) == (0, "")
    content = json.loads(done.out)
    assert (content["n_pools"], content["n_genes"], content["n_cells"]) == (10, 6, 120)
    assert content["pools_of_size"] == {"2": 5, "10": 5}
    assert content["cells_in_a_pool"] == {"least": 2, "most": 10}
    assert content["settings"]["size"] == [2, 10]
    assert content["seed"] == 0
    assert content["notes"] == []


def test_pool__reads_text_with_a_table_of_cells_and_data_sets(call, tmp_path):
    adata = made_up()
    table = pd.DataFrame(dense(adata.X), index=adata.obs_names, columns=adata.var_names)
    table.to_csv(tmp_path / "cells.csv")
    adata.obs.to_csv(tmp_path / "obs.csv")
    out = tmp_path / "pools.h5ad"
    done = call(
        "pool", tmp_path / "cells.csv", "--samples", tmp_path / "obs.csv",
        "--orientation", "genes-in-columns", "--by", "donor", "--mask", "used", "--out", out,
    )  # fmt: skip
    assert done.code == 0, done.err
    expected = pool_cells(adata, by="donor", mask="used")
    assert_array_equal(dense(ad.read_h5ad(out).X), dense(expected.X))
    done = call("pool", "dataset:sc_mixology_10x_3lines", "--by", "cell_line", "--out", out, "--force")
    assert done.code == 0
    assert ad.read_h5ad(out).shape == (3, 889)


def test_pool__the_pools_can_be_audited(call, tmp_path):
    out = tmp_path / "pools.h5ad"
    done = call(
        "pool", "dataset:sc_mixology_10x_3lines", "--size", "10", "--within", "cell_line", "--out", out
    )
    assert done.code == 0
    few = ad.read_h5ad(out)[:, :12].copy()
    few.write_h5ad(out)
    done = call("audit", out, "--within", "cell_line", "--out", tmp_path / "audit", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["data"]["kind"] == "bulk"


def test_pool__names_that_repeat_are_made_unique_and_told(call, tmp_path):
    adata = made_up()
    adata.obs_names = ["c0", "c0", *adata.obs_names[2:]]
    path = tmp_path / "twice.h5ad"
    adata.write_h5ad(path)
    done = call("pool", path, "--by", "donor", "--out", tmp_path / "pools.h5ad")
    assert done.code == 0
    assert "note: 1 duplicated sample names were made unique" in done.err


def test_refusals__places(call, h5ad, tmp_path):
    out = tmp_path / "pools.h5ad"
    out.write_text("mine")
    one_line(call("pool", h5ad, "--by", "donor", "--out", out), "exists", "--force")
    assert out.read_text() == "mine"
    one_line(call("pool", h5ad, "--by", "donor", "--out", tmp_path / "pools.csv"), "end in .h5ad")
    one_line(call("pool", h5ad, "--by", "donor", "--out", tmp_path / "no" / "pools.h5ad"), "does not exist")
    one_line(
        call("pool", tmp_path / "cells.h5a", "--by", "donor", "--out", out, "--force"),
        "did you mean: cells.h5ad",
    )
    one_line(call("pool", "dataset:x", "--by", "donor", "--out", out, "--force"), "x")
    one_line(call("pool", h5ad, "--by", "x", "--out", out, "--force"), "--by names 'x'")
    assert out.read_text() == "mine"
    assert stat.S_ISREG(out.stat().st_mode)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cells.h5ad", "pools.h5ad"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "found none"),
        (["--by", "donor", "--size", "3"], "found by and size"),
        (["--size", "3,x"], "--size"),
        (["--size", "0"], "--size"),
        (["--size", "1,"], "--size"),
        (["--size", "500"], "at least 500 cells"),
        (["--size", "50", "--within", "donor,cell_type"], "the largest stratum has"),
        (["--size", "20", "--pools", "9"], "at most 6 pools"),
        (["--by", "donor", "--layer", "x"], "--layer names 'x'"),
        (["--by", "donor", "--aggregation", "{log1p"], "--aggregation"),
        (["--by", "donor", "--aggregation", "modus"], "--aggregation"),
        (["--by", "donor", "--samples", "nowhere.csv"], "--samples"),
    ],
)
def test_refusals__options(call, h5ad, tmp_path, arguments, words):
    one_line(call("pool", h5ad, *arguments, "--out", tmp_path / "pools.h5ad"), words)
    assert not (tmp_path / "pools.h5ad").exists()


def damaged_index(file):
    file["X/indices"][5] = 10_000


def damaged_ends(file):
    file["X/indptr"][3] = -7


def no_genes(file):
    del file["var"]


def a_text(file):
    del file["X"]
    file["X"] = "junk"


@pytest.mark.parametrize("damage", [damaged_index, damaged_ends, no_genes, a_text])
def test_refusals__damaged_files(call, h5ad, tmp_path, damage):
    with h5py.File(h5ad, "r+") as file:
        damage(file)
    one_line(call("pool", h5ad, "--by", "donor", "--out", tmp_path / "pools.h5ad"), "expected")


def test_refusals__values_in_another_file(call, h5ad, tmp_path):
    h5ad.rename(tmp_path / "other.h5ad")
    with h5py.File(h5ad, "w") as file:
        for name in ("obs", "var", "X"):
            file[name] = h5py.ExternalLink("other.h5ad", name)
    one_line(call("pool", h5ad, "--by", "donor", "--out", tmp_path / "pools.h5ad"), "link to another file")


def test_refusals__a_file_that_was_cut(call, h5ad, tmp_path):
    h5ad.write_bytes(h5ad.read_bytes()[:3000])
    one_line(call("pool", h5ad, "--by", "donor", "--out", tmp_path / "pools.h5ad"), "cells.h5ad", "cut")


def test_pool__hostile_names_are_shown_safely(call, tmp_path):
    adata = made_up()
    adata.obs["donor"] = pd.Categorical(["\x1b[31m<script>", None] * 60)
    adata.obs = adata.obs.rename(columns={"donor": "\x1b[31mx"})
    path = tmp_path / "hostile.h5ad"
    adata.write_h5ad(path)
    done = call("pool", path, "--by", "\x1b[31mx", "--out", tmp_path / "pools.h5ad", "--json")
    assert done.code == 0
    assert "\x1b" not in done.err + done.out
    assert ad.read_h5ad(tmp_path / "pools.h5ad").obs_names.tolist() == ["\x1b[31m<script>"]
