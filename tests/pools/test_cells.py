"""Pools of real cells: by hand, against scanpy and decoupler, by law, from disk, and refusals."""

import json
import tracemalloc
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from anndata.io import sparse_dataset
from helpers import shared_data
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import poolproof.pools.sums as kernel
from poolproof import InputError, describe, pool_cells
from poolproof.aggregation import Aggregation, parse_aggregation

REFERENCE = Path(__file__).resolve().parents[1] / "reference"
GENES = [f"g{j}" for j in range(8)]
AGGREGATIONS = [
    "sum", "mean", "median", "max", "geometric", "harmonic", "power(2)", "cpm",
    {"cpm": 100.0}, {"log1p": "mean", "scale": 0.5}, {"log1p": "cpm"},
]  # fmt: skip


def cells(values=None, **labels):
    """AnnData of cells c0, c1, ...; sparse counts unless values are given."""
    if values is None:
        n = len(next(iter(labels.values())))
        values = sp.csr_matrix(np.random.default_rng(0).poisson(1.0, (n, 5)).astype(np.float32))
    names = [f"c{i}" for i in range(values.shape[0])]
    genes = pd.DataFrame(index=[f"g{j}" for j in range(values.shape[1])])
    return AnnData(values, obs=pd.DataFrame(labels, index=names), var=genes)


def many(n=300, n_genes=7, seed=1, **more):
    """Cells of three donors and two types, unbalanced; whole numbers in float32."""
    rng = np.random.default_rng(seed)
    values = sp.csr_matrix(rng.poisson(0.7, (n, n_genes)).astype(np.float32))
    return cells(
        values,
        donor=rng.choice(["d1", "d2", "d3"], n, p=[0.6, 0.3, 0.1]),
        cell_type=rng.choice(["B", "T"], n),
        **more,
    )


def dense(matrix):
    return matrix.toarray() if sp.issparse(matrix) else np.asarray(matrix)


def notes(pooled):
    return list(pooled.uns["poolproof_pools"]["notes"])


def groups(pooled):
    """Cells of each pool, from the kept table."""
    table = pooled.uns["poolproof_pools"]["cells"]
    return {pool: frozenset(part) for pool, part in table.groupby("pool", sort=False)["cell"]}


# --- by hand --------------------------------------------------------------------------------------------


def test_by__sums_the_cells_of_each_combination():
    adata = cells(
        sp.csr_matrix([[1, 0], [2, 5], [4, 0], [8, 0]]),
        donor=["b", "a", "b", "a"], kind=["T", "T", "T", "B"], sex=["f", "m", "f", "m"],
        quality=[1.0, 2.0, 3.0, 4.0],
    )  # fmt: skip
    adata.var["symbol"] = ["TP53", "MYC"]
    pooled = pool_cells(adata, by=["donor", "kind"])
    assert pooled.obs_names.tolist() == ["a_B", "a_T", "b_T"]
    assert pooled.X.dtype == np.int64
    assert_array_equal(dense(pooled.X), [[8, 0], [2, 5], [5, 0]])
    assert pooled.obs.columns.tolist() == ["donor", "kind", "sex", "psbulk_cells", "psbulk_counts"]
    assert pooled.obs["sex"].tolist() == ["m", "m", "f"]
    assert pooled.obs["psbulk_cells"].tolist() == [1, 1, 2]
    assert pooled.obs["psbulk_counts"].tolist() == [8.0, 7.0, 5.0]
    assert pooled.var["symbol"].tolist() == ["TP53", "MYC"]
    assert notes(pooled) == []
    assert set(pooled.uns) == {"poolproof_pools", "source"}


def test_by__missing_labels_and_the_mask_leave_cells_out_of_sum_and_count():
    adata = cells(
        np.array([[1.0], [2.0], [4.0], [8.0], [16.0]]),
        donor=["a", "a", None, "b", "b"], use=[True, True, True, False, True],
    )  # fmt: skip
    for mask in ("use", np.array([1, 1, 1, 0, 1], dtype=bool), adata.obs["use"]):
        pooled = pool_cells(adata, by="donor", mask=mask, aggregation="mean")
        assert_array_equal(pooled.X, [[1.5], [16.0]])
        assert pooled.obs["psbulk_cells"].tolist() == [2, 1]
        assert notes(pooled) == [
            "1 cells left out: the mask excludes them",
            "1 cells left out: no value in donor",
        ]
        assert pooled.uns["poolproof_pools"]["n_cells"] == 5
        assert pooled.uns["poolproof_pools"]["n_cells_used"] == 3


def test_by__a_column_is_carried_over_only_where_it_is_constant_in_every_pool():
    adata = cells(
        donor=["a", "a", "b", "b"], half=["x", None, "y", "y"], none=[np.nan] * 4, age=[3.0, 3.0, 5.0, 5.0]
    )
    adata.obs["group"] = pd.Categorical(["u", "u", "v", "v"], categories=["v", "w", "u"])
    pooled = pool_cells(adata, by="donor")
    assert pooled.obs.columns.tolist() == ["donor", "none", "age", "group", "psbulk_cells", "psbulk_counts"]
    assert pooled.obs["age"].tolist() == [3.0, 5.0]
    assert pooled.obs["group"].cat.categories.tolist() == ["v", "u"]
    assert pooled.obs["none"].isna().all()


def test_by__order_of_categories_names_that_collide_and_small_pools():
    adata = cells(x=["a_b", "a", "a", "q", "q"], y=["c", "b_c", "b_c", "z", "z"])
    pooled = pool_cells(adata, by=["x", "y"])
    assert pooled.obs_names.tolist() == ["a_b_c", "a_b_c-1", "q_z"]
    assert pooled.obs["psbulk_cells"].tolist() == [2, 1, 2]
    adata.obs["x"] = pd.Categorical(adata.obs["x"], categories=["q", "a_b", "a"])
    pooled = pool_cells(adata, by="x", min_cells=2)
    assert pooled.obs_names.tolist() == ["q", "a"]
    assert notes(pooled) == ["1 pools left out: fewer than 2 cells"]


def test_assignment__existing_metacells_negative_numbers_in_none():
    adata = cells(np.arange(8.0).reshape(4, 2), SEACell=[1, 0, 1, -1])
    pooled = pool_cells(adata, assignment="SEACell")
    assert pooled.obs_names.tolist() == ["0", "1"]
    assert_array_equal(pooled.X, [[2, 3], [4, 6]])
    assert notes(pooled) == ["1 cells left out: in no metacell by SEACell (-1)"]
    assert json.loads(pooled.uns["poolproof_pools"]["settings"])["assignment"] == "SEACell"


def test_layers__the_one_pooled_into_x_and_more_beside_it():
    adata = cells(donor=["a", "b", "a"])
    adata.layers["spliced"] = adata.X * 10
    adata.raw = AnnData(
        sp.csr_matrix(np.ones((3, 9), dtype=np.int32)), var=pd.DataFrame(index=list("ABCDEFGHI"))
    )
    pooled = pool_cells(adata, by="donor", layer="spliced", layers=["spliced"])
    assert_array_equal(dense(pooled.X), 10 * dense(pool_cells(adata, by="donor").X))
    assert_array_equal(dense(pooled.layers["spliced"]), dense(pooled.X))
    pooled = pool_cells(adata, by="donor", layer="raw")
    assert pooled.var_names.tolist() == list("ABCDEFGHI")
    assert_array_equal(dense(pooled.X), [[2] * 9, [1] * 9])
    assert pooled.X.dtype == np.int64


def test_source__pools_are_bulk_and_say_so_to_the_audit():
    adata = many(600)
    adata.uns["source"] = {"kind": "single-cell", "title": "blood", "values": "raw counts"}
    pooled = pool_cells(adata, size=5)
    assert pooled.uns["source"] == {"kind": "bulk", "title": "blood", "values": "sum over cells: raw counts"}
    assert describe(pooled).kind == "bulk"
    assert describe(pooled).scale == "counts"
    assert pool_cells(adata, size=1).uns["source"]["kind"] == "single-cell"
    assert adata.uns["source"]["kind"] == "single-cell"
    logged = pool_cells(adata, size=50, aggregation={"log1p": "mean"})
    assert describe(logged, log_base="e", log_offset=1).scale == "log"


# --- scanpy and decoupler -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference():
    table = pd.read_csv(REFERENCE / "pools_cells.csv", index_col="cell")
    values = sp.csr_matrix(table[GENES].to_numpy(dtype=np.float32))
    adata = AnnData(values, obs=table.drop(columns=GENES), var=pd.DataFrame(index=GENES))
    return adata, pd.read_csv(REFERENCE / "pools_expected.csv")


@pytest.mark.parametrize("as_matrix", [sp.csr_matrix, sp.csc_matrix, dense])
@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("aggregation", ["sum", "mean", "median"])
@pytest.mark.parametrize("tool", ["scanpy", "decoupler"])
def test_reference__equal_to_scanpy_and_decoupler(reference, tool, aggregation, mask, as_matrix):
    adata, expected = reference
    chosen = (
        (expected["tool"] == tool) & (expected["aggregation"] == aggregation) & (expected["mask"] == mask)
    )
    if not chosen.any():
        assert (tool, mask) == ("scanpy", True)  # its masked means are wrong: see make_pools_reference.py
        assert aggregation != "sum"
        return
    expected = expected[chosen].set_index("pool")
    adata = AnnData(as_matrix(adata.X), obs=adata.obs, var=adata.var)
    pooled = pool_cells(
        adata, by=["donor", "cell_type"], aggregation=aggregation, mask="used" if mask else None
    )
    assert sorted(pooled.obs_names) == sorted(expected.index)
    expected = expected.loc[pooled.obs_names]
    assert_allclose(
        dense(pooled.X), expected[GENES], rtol=1e-6 if aggregation == "mean" else 0
    )  # theirs: float32
    if tool == "decoupler":
        assert pooled.obs["psbulk_cells"].tolist() == expected["psbulk_cells"].tolist()
        assert pooled.obs["psbulk_counts"].tolist() == expected["psbulk_counts"].tolist()
        assert pooled.obs["sex"].tolist() == expected["sex"].tolist()
    said = " ".join(notes(pooled))
    assert "no value in donor" in said
    assert "no value in cell_type" in said


def test_real_cells__sums_are_exact_and_complete():
    adata = ad.read_h5ad(shared_data("sc_onek1k_pbmc_40donors.h5ad"))
    pooled = pool_cells(adata, by=["donor", "cell_type"])
    assert 40 < pooled.n_obs <= 160
    whole = dense(adata.X).astype(np.int64)
    labels = adata.obs["donor"].astype(str) + "_" + adata.obs["cell_type"].astype(str)
    for name in pooled.obs_names[::10]:
        assert_array_equal(dense(pooled[name].X)[0], whole[(labels == name).to_numpy()].sum(axis=0))
    assert_array_equal(dense(pooled.X).sum(axis=0), whole.sum(axis=0))
    assert pooled.obs["psbulk_cells"].sum() == adata.n_obs
    assert {"sex", "age"} <= set(pooled.obs)


# --- draws ----------------------------------------------------------------------------------------------


def test_size__equally_many_pools_of_every_size_in_every_stratum():
    adata = many(300)
    pooled = pool_cells(adata, size=[1, 10, 2], within=["donor", "cell_type"], keep_cells=True)
    table = pooled.obs.groupby(["psbulk_size", "donor", "cell_type"], observed=True).size().unstack(0)
    strata = adata.obs.groupby(["donor", "cell_type"]).size()
    expected = strata[strata >= 10] // 10
    for size in (1, 2, 10):
        assert table[size].to_dict() == expected.to_dict()
    assert (pooled.obs["psbulk_cells"] == pooled.obs["psbulk_size"]).all()
    left_out = int((strata < 10).sum())
    assert notes(pooled) == ([f"{left_out} strata left out: fewer than 10 cells"] if left_out else [])
    assert pooled.obs_names[0] == "d1_B_K1_0"
    assert pooled.obs_names.is_unique


def test_size__a_cell_is_in_one_pool_of_a_size_and_pools_stay_in_their_stratum():
    adata = many(300)
    pooled = pool_cells(adata, size=[3, 5], within="donor", keep_cells=True)
    table = pooled.uns["poolproof_pools"]["cells"]
    table = table.assign(size=pooled.obs["psbulk_size"].loc[table["pool"]].to_numpy())
    for _, part in table.groupby("size"):
        assert part["cell"].is_unique
    donors = adata.obs["donor"].loc[table["cell"]].to_numpy()
    assert_array_equal(donors, pooled.obs["donor"].loc[table["pool"]].astype(str).to_numpy())
    for pool, members in groups(pooled).items():
        assert_array_equal(dense(pooled[pool].X), dense(adata[sorted(members)].X).sum(axis=0, keepdims=True))


def test_size__draws_depend_on_seed_and_names_not_on_order_or_other_strata():
    adata = many(300)
    first = pool_cells(adata, size=[2, 5], within="donor", keep_cells=True)
    shuffled = adata[np.random.default_rng(5).permutation(300)].copy()
    again = pool_cells(shuffled, size=[5, 2], within="donor", keep_cells=True)
    assert groups(again) == groups(first)
    assert_array_equal(dense(again.X), dense(first.X))
    other = pool_cells(adata, size=[2, 5], within="donor", keep_cells=True, seed=1)
    assert groups(other) != groups(first)
    alone = pool_cells(adata[adata.obs["donor"] == "d2"].copy(), size=5, within="donor", keep_cells=True)
    assert groups(alone).items() <= groups(first).items()
    few = pool_cells(adata, size=[2, 5], within="donor", keep_cells=True, pools=7)
    assert groups(few).items() <= groups(first).items()


def test_size__draws_of_different_strata_and_sizes_differ():
    names = [f"{d}{i:03d}" for d in "ab" for i in range(100)]
    adata = cells(sp.csr_matrix(np.ones((200, 2))), donor=["a"] * 100 + ["b"] * 100)
    adata.obs_names = names
    found = groups(pool_cells(adata, size=[10, 20], within="donor", keep_cells=True))
    places = {pool: {name[1:] for name in members} for pool, members in found.items()}
    assert places["a_K10_0"] != places["b_K10_0"]
    assert not places["a_K10_0"] <= places["a_K20_0"]


def test_size__every_cell_is_as_likely_to_be_drawn():
    adata = cells(sp.csr_matrix(np.ones((40, 2))))
    drawn = np.zeros(40)
    for seed in range(200):
        members = pool_cells(adata, size=5, pools=2, seed=seed, keep_cells=True)
        drawn[[int(c[1:]) for c in members.uns["poolproof_pools"]["cells"]["cell"]]] += 1
    # each count is binomial(200, 1/4): 5 standard deviations are 31
    assert np.abs(drawn - 50).max() < 31


def test_size__pools_are_shared_out_in_proportion():
    adata = cells(sp.csr_matrix(np.ones((100, 2))), donor=["a"] * 60 + ["b"] * 30 + ["c"] * 10)
    pooled = pool_cells(adata, size=[1, 5], within="donor", pools=5)
    assert pooled.obs.groupby(["psbulk_size", "donor"]).size().to_dict() == {
        (1, "a"): 3, (1, "b"): 2, (5, "a"): 3, (5, "b"): 2,
    }  # fmt: skip


def test_size__names_that_repeat_are_told():
    adata = cells(sp.csr_matrix(np.ones((6, 2))))
    adata.obs_names = ["a", "a", "b", "b", "c", "c"]
    said = notes(pool_cells(adata, size=2))
    assert said == ["names of cells are not unique: the draws depend on the order of the cells"]


# --- the kernel: blocks, containers, exactness ----------------------------------------------------------


def slow(values, labels, aggregation):
    """Each pool alone, from a dense matrix."""
    return np.concatenate(
        [
            aggregation.pool(values[labels == label], np.zeros((labels == label).sum(), dtype=int), 1)
            for label in np.unique(labels)
        ]
    )


@pytest.mark.parametrize("block", [16, 2**18])
@pytest.mark.parametrize("spec", AGGREGATIONS, ids=str)
def test_containers__dense_sparse_by_columns_and_on_disk_agree(spec, block, tmp_path, monkeypatch):
    monkeypatch.setattr(kernel, "BLOCK_VALUES", block)
    monkeypatch.setattr(kernel, "READ_VALUES", 3 * block)
    adata = many(60)
    values = dense(adata.X)
    values[:, 0] += 1.0  # geometric and harmonic means are 0 in the other genes, where a cell has 0
    aggregation, labels = parse_aggregation(spec), adata.obs["donor"].to_numpy()
    expected = slow(values, labels, aggregation)
    with h5py.File(tmp_path / "m.h5", "w") as file:
        for name, matrix in (
            ("csr", sp.csr_matrix(values)),
            ("csc", sp.csc_matrix(values)),
            ("dense", values),
        ):
            ad.io.write_elem(file, name, matrix)
        containers = {
            "dense": values, "fortran": np.asfortranarray(values), "csr": sp.csr_matrix(values),
            "csc": sp.csc_matrix(values), "array": sp.csr_array(values),
            "disk csr": sparse_dataset(file["csr"]), "disk csc": sparse_dataset(file["csc"]),
            "disk dense": file["dense"],
        }  # fmt: skip
        for name, matrix in containers.items():
            made = AnnData(None, obs=adata.obs, var=adata.var)
            made.layers["x"] = matrix
            pooled = pool_cells(made, by="donor", aggregation=spec, layer="x")
            assert_allclose(dense(pooled.X), expected, rtol=1e-12, err_msg=name)
            assert_allclose(pooled.obs["psbulk_counts"], slow(values, labels, Aggregation.sum()).sum(axis=1))
            assert sp.issparse(pooled.X) == (
                aggregation.kind == "linear" and "dense" not in name and name != "fortran"
            )


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    n=st.integers(1, 40),
    n_pools=st.integers(1, 6),
    block=st.integers(1, 60),
    as_matrix=st.sampled_from([sp.csr_matrix, sp.csc_matrix, np.asarray]),
)
def test_sums__additive_and_independent_of_blocks_and_order(seed, n, n_pools, block, as_matrix):
    rng = np.random.default_rng(seed)
    values = rng.poisson(0.5, (n, 4)).astype(rng.choice(["int32", "float32", "uint8"]))
    labels = rng.integers(0, n_pools, n)
    order = rng.permutation(n)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "BLOCK_VALUES", block)
        patch.setattr(kernel, "READ_VALUES", block)
        pooled = pool_cells(cells(as_matrix(values), m=labels), assignment="m")
        turned = pool_cells(cells(as_matrix(values[order]), m=labels[order]), assignment="m")
    expected = np.array([values[labels == label].sum(axis=0, dtype=np.int64) for label in np.unique(labels)])
    assert_array_equal(dense(pooled.X), expected)
    assert_array_equal(dense(turned.X), expected)
    assert pooled.X.dtype == (np.float64 if values.dtype.kind == "f" else np.int64)


def test_weights__go_by_the_order_of_the_cells_in_a_pool(monkeypatch):
    for block in (1, 2**18):
        monkeypatch.setattr(kernel, "BLOCK_VALUES", block)
        for as_matrix in (np.asarray, sp.csr_matrix, sp.csc_matrix):
            adata = cells(as_matrix(np.array([[1.0], [10.0], [2.0], [20.0]])), d=["a", "b", "a", "b"])
            pooled = pool_cells(adata, by="d", aggregation={"weights": [1, 100]})
            assert_array_equal(dense(pooled.X), [[201.0], [2010.0]])
            assert pooled.obs["psbulk_counts"].tolist() == [3.0, 30.0]


def test_weights__from_a_file_read_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(kernel, "READ_VALUES", 1)
    adata = cells(sp.csr_matrix([[1.0], [10.0], [2.0], [20.0]]), d=["a", "b", "a", "b"])
    adata.write_h5ad(tmp_path / "x.h5ad")
    backed = ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
    pooled = pool_cells(backed, by="d", aggregation={"weights": [1, 100]})
    assert_array_equal(dense(pooled.X), [[201.0], [2010.0]])
    backed.file.close()


def test_sums__float32_counts_are_added_exactly():
    large = np.float32(2**24)  # the next float32 is 2 away: a float32 sum would lose the ones
    adata = cells(sp.csr_matrix(np.array([[large], [1], [1], [1]], dtype=np.float32)), d=["a"] * 4)
    assert dense(pool_cells(adata, by="d").X)[0, 0] == 2**24 + 3


def test_sums__whole_numbers_too_large_to_be_exact_are_refused():
    adata = cells(np.array([[2**53], [1]]), d=["a", "a"])
    with pytest.raises(InputError, match="whole numbers below"):
        pool_cells(adata, by="d")


def test_sums__entries_that_stand_twice_in_a_sparse_matrix():
    twice = sp.csr_matrix((np.array([1.0, 2.0, 3.0]), [0, 0, 1], [0, 2, 3]), shape=(2, 2))
    adata = cells(twice, d=["a", "a"])
    assert_array_equal(dense(pool_cells(adata, by="d").X), [[3.0, 3.0]])
    assert_allclose(dense(pool_cells(adata, by="d", aggregation="power(2)").X), [[3, 3] / np.sqrt(2)])
    assert_allclose(dense(pool_cells(adata, by="d", aggregation="max").X), [[3.0, 3.0]])


def test_pool_cells__leaves_its_input_alone():
    adata = many(50)
    before = adata.copy()
    pooled = pool_cells(adata, by="donor", aggregation="power(2)")
    pooled.var["new"] = 1
    assert_array_equal(dense(adata.X), dense(before.X))
    assert adata.X.dtype == np.float32
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    assert "new" not in adata.var
    assert set(adata.uns) == set(before.uns)


def test_views__pool_the_cells_and_genes_of_the_view():
    adata = many(100)
    keep = (adata.obs["cell_type"] == "B").to_numpy()
    assert_array_equal(
        dense(pool_cells(adata[keep, :3], by="donor").X),
        dense(pool_cells(adata, by="donor", mask=keep).X)[:, :3],
    )


# --- memory ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large_file(tmp_path_factory):
    """4,000 cells x 2,000 genes, 10 % filled: 6.4 MB as float32 and int32."""
    rng = np.random.default_rng(0)
    matrix = sp.random(4000, 2000, 0.1, format="csr", dtype=np.float32, random_state=rng)
    matrix.data = np.ceil(matrix.data * 5)
    path = tmp_path_factory.mktemp("large") / "large.h5ad"
    cells(matrix, donor=rng.choice(list("abcd"), 4000), m=rng.integers(0, 50, 4000)).write_h5ad(path)
    return path, matrix.data.nbytes + matrix.indices.nbytes


@pytest.mark.parametrize("how", [{"by": "donor"}, {"assignment": "m"}, {"size": 80}], ids=str)
@pytest.mark.parametrize("backed", [False, True])
def test_memory__below_the_size_of_the_input(large_file, how, backed, monkeypatch):
    monkeypatch.setattr(kernel, "BLOCK_VALUES", 2**14)
    monkeypatch.setattr(kernel, "READ_VALUES", 2**16)
    path, n_bytes = large_file
    adata = ad.read_h5ad(path, backed="r" if backed else None)
    tracemalloc.start()
    try:
        pooled = pool_cells(adata, **how)
        used = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        if backed:
            adata.file.close()
    result = pooled.X.data.nbytes + pooled.X.indices.nbytes
    assert used - 3 * result < 0.7 * n_bytes


# --- notes and refusals ---------------------------------------------------------------------------------


def test_notes__sums_of_logs_are_doubted_counts_and_amounts_are_not():
    adata = many(200)
    adata.layers["log"] = adata.X.copy()
    adata.layers["log"].data = np.log1p(adata.X.data * 1.7)
    adata.layers["amounts"] = adata.X * 123.4
    (said,) = notes(pool_cells(adata, by="donor", layer="log"))
    assert said.startswith("the values look like logs (the layer is called 'log'")
    assert said.endswith("their sum is not the one of molecules; pool counts (the data have: X, amounts)")
    assert notes(pool_cells(adata, by="donor")) == []
    assert notes(pool_cells(adata, by="donor", layer="amounts")) == []
    assert notes(pool_cells(adata, by="donor", layer="log", aggregation="median")) == []
    scaled = cells(dense(adata.X) * 100.5 - 60.0, d=["a"] * 200)
    assert "the genes were scaled" in notes(pool_cells(scaled, by="d"))[0]


def test_notes__one_value_that_is_not_whole_is_enough(monkeypatch):
    monkeypatch.setattr(kernel, "BLOCK_VALUES", 16)
    adata = many(200)
    adata.uns["log1p"] = {"base": None}
    assert notes(pool_cells(adata, by="donor")) == []
    adata.X.data[-1] += 0.5
    assert "uns['log1p'] is present" in notes(pool_cells(adata, by="donor"))[0]


@pytest.mark.parametrize("as_matrix", [np.asarray, sp.csr_matrix, sp.csc_matrix])
def test_missing_values__make_the_pool_missing_in_that_gene_and_are_told(as_matrix):
    values = np.array([[1.0, np.nan], [2.0, 3.0], [4.0, 5.0]])
    pooled = pool_cells(cells(as_matrix(values), d=["a", "a", "b"]), by="d")
    assert_array_equal(dense(pooled.X), [[3.0, np.nan], [4.0, 5.0]])
    assert notes(pooled) == ["values are missing: a pool with such a cell is missing in that gene"]


def test_missing_values__of_a_masked_array():
    kept = cells(np.ones((3, 2)), d=["a", "a", "b"])
    kept.layers["m"] = np.ma.masked_equal([[1.0, 9.0], [2.0, 3.0], [4.0, 5.0]], 9.0)
    assert_array_equal(pool_cells(kept, by="d", layer="m").X, [[3.0, np.nan], [4.0, 5.0]])


def test_notes__pools_of_pools():
    once = pool_cells(many(100), by=["donor", "cell_type"])
    twice = pool_cells(once, by="donor")
    assert twice.obs["psbulk_cells"].tolist() == [2, 2, 2]
    assert notes(twice) == ["the input has columns named as those of pools: psbulk_cells counts its rows"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "expected one of by, size and assignment; found none"),
        ({"by": "donor", "size": 3}, "found by and size"),
        ({"by": "doner"}, r"by names 'doner'.*it has: donor"),
        ({"size": 3, "within": "x"}, "within names 'x'"),
        ({"assignment": "x"}, "assignment names 'x'"),
        ({"by": "donor", "mask": "x"}, "mask names 'x'"),
        ({"by": "donor", "mask": "cell_type"}, "True or False for each of 30 cells"),
        ({"by": "donor", "mask": [True]}, "True or False for each of 30 cells"),
        ({"by": "donor", "mask": np.zeros(30, dtype=bool)}, "none that can be used with a value in donor"),
        ({"by": "donor", "within": "cell_type"}, "within and pools go with size only"),
        ({"by": "donor", "pools": 3}, "within and pools go with size only"),
        ({"by": "donor", "min_cells": 31}, "at least 31 cells; the largest has"),
        ({"by": "donor", "min_cells": 0}, "min_cells must be a whole number"),
        ({"size": 3, "min_cells": 2}, "min_cells goes with by"),
        ({"size": 31}, "at least 31 cells.*the largest input has 30"),
        ({"size": 30, "within": "donor"}, "the largest stratum has"),
        ({"size": 10, "pools": 4}, "at most 3 pools of 10 cells.*found 4"),
        ({"size": 0}, "size must be a whole number"),
        ({"size": 2.5}, "size must be a whole number"),
        ({"size": []}, "found none"),
        ({"size": "5"}, "size must be a whole number"),
        ({"size": True}, "size must be a whole number"),
        ({"size": 2, "seed": -1}, "seed must be"),
        ({"by": "donor", "layer": "x"}, "layer names 'x'"),
        ({"by": "donor", "layers": ["x"]}, "layer names 'x'"),
        ({"by": "donor", "layer": "raw"}, "layer names 'raw'"),
        ({"by": "donor", "aggregation": "modus"}, "expected sum, mean"),
        ({"by": "donor", "aggregation": {"weights": [1, 2]}}, "pools of exactly 2 cells"),
    ],
)  # fmt: skip
def test_refusals__one_line(options, words):
    with pytest.raises(InputError, match=words) as caught:
        pool_cells(many(30), **options)
    assert "\n" not in str(caught.value)


def test_refusals__measured_numbers_name_no_metacells():
    adata = cells(np.ones((3, 2)), depth=[0.5, 2.0, np.nan], metacell=[1.0, 2.0, np.nan], empty=[np.nan] * 3)
    with pytest.raises(InputError, match=r"expected assignment to name metacells; 'depth' has 0\.5"):
        pool_cells(adata, assignment="depth")
    with pytest.raises(InputError, match="none that can be used with a value in empty"):
        pool_cells(adata, assignment="empty")
    assert pool_cells(adata, assignment="metacell").n_obs == 2


@pytest.mark.parametrize("as_matrix", [np.asarray, sp.csr_matrix, sp.csc_matrix])
def test_refusals__values(as_matrix):
    infinite = cells(as_matrix(np.array([[1.0, np.inf], [0.0, 1.0]])), d=["a", "a"])
    with pytest.raises(InputError, match="infinite"):
        pool_cells(infinite, by="d")
    negative = cells(as_matrix(np.array([[1.0, -2.0], [0.0, 1.0]])), d=["a", "a"])
    for aggregation in ("geometric", "power(2)", "cpm", {"log1p": "cpm"}):
        with pytest.raises(InputError, match="needs values of at least 0"):
            pool_cells(negative, by="d", aggregation=aggregation)


def test_refusals__what_is_no_matrix():
    with pytest.raises(InputError, match="expected AnnData; found ndarray"):
        pool_cells(np.ones((3, 3)), by="d")
    empty = AnnData(None, obs=pd.DataFrame({"d": ["a"]}, index=["1"]), shape=(1, 2))
    with pytest.raises(InputError, match="expected a matrix in X; found nothing"):
        pool_cells(empty, by="d")
    twice = many(5)
    twice.obs.columns = ["d", "d"]
    with pytest.raises(InputError, match="unique names"):
        pool_cells(twice, by="d")


# --- files ----------------------------------------------------------------------------------------------


def test_provenance__round_trips_through_h5ad(tmp_path):
    adata = many(100)
    pooled = pool_cells(adata, size=[1, 4], within=["donor"], keep_cells=True, seed=3, pools=6)
    pooled.write_h5ad(tmp_path / "pools.h5ad")
    again = ad.read_h5ad(tmp_path / "pools.h5ad")
    kept = again.uns["poolproof_pools"]
    assert json.loads(kept["settings"]) == {
        "by": [], "size": [1, 4], "within": ["donor"], "pools": 6, "assignment": None, "mask": None,
        "aggregation": "sum", "layer": None, "layers": [], "min_cells": 1, "keep_cells": True,
    }  # fmt: skip
    assert (kept["seed"], kept["n_cells"]) == (3, 100)
    assert kept["n_cells_used"] == kept["cells"]["cell"].nunique()
    assert groups(again) == groups(pooled)
    assert len(kept["cells"]) == 6 * (1 + 4)
    assert_array_equal(dense(again.X), dense(pooled.X))


def test_provenance__the_settings_make_the_same_pools_again():
    adata = many(100)
    first = pool_cells(adata, size=[1, 4], within="donor", keep_cells=True, seed=3, aggregation={"cpm": 100})
    kept = first.uns["poolproof_pools"]
    again = pool_cells(adata, seed=kept["seed"], **json.loads(kept["settings"]))
    assert groups(again) == groups(first)
    assert_array_equal(dense(again.X), dense(first.X))


@pytest.mark.filterwarnings("ignore")  # of what the next anndata and zarr will do
def test_pool_command__reads_zarr_a_part_at_a_time_as_h5ad(tmp_path, monkeypatch):
    from poolproof.cli.pools import _opened

    monkeypatch.setattr("poolproof.pools.sums.READ_VALUES", 40)
    rng = np.random.default_rng(0)
    counts = sp.csr_matrix(rng.poisson(1.0, (60, 7)).astype(np.float32))
    obs = pd.DataFrame({"donor": rng.choice(["a", "b"], 60)}, index=[f"c{i}" for i in range(60)])
    adata = AnnData(counts, obs=obs, layers={"twice": 2 * counts})
    adata.write_zarr(tmp_path / "cells.zarr")
    expected = pool_cells(adata, by="donor", layers="twice")
    with _opened(str(tmp_path / "cells.zarr"), "auto") as (opened, _):
        assert not sp.issparse(opened.X)
        found = pool_cells(opened, by="donor", layers="twice")
    assert (found.X != expected.X).nnz == (found.layers["twice"] != expected.layers["twice"]).nnz == 0
