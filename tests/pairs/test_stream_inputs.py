"""What files of many cells may be like: types, layers, holes, damage; by blocks it is as in memory."""

import shutil

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import zarr
from test_stream import M, N, little_memory, make_cells, small_blocks  # noqa: F401

import poolproof
from poolproof import InputError
from poolproof._random import stream
from poolproof.data.backed import open_backed
from poolproof.data.blocks import Blocks

pytestmark = pytest.mark.usefixtures("little_memory", "small_blocks")
OPTIONS = {"kind": "single-cell", "population": False, "control": False}


def cells(**changes):
    counts, obs = make_cells()
    var = pd.DataFrame(index=[f"g{i}" for i in range(M)])
    return anndata.AnnData(**{"X": sp.csr_matrix(counts), "obs": obs, "var": var} | changes)


def by_blocks(path, **options):
    with open_backed(path) as (opened, _):
        found = poolproof.linearity(opened, memory=1e5, **OPTIONS | options)
    assert found.all_cells is not None
    return found.table


def same(adata, path, **options):
    alike(by_blocks(path, **options), poolproof.linearity(adata, **OPTIONS | options).table)


def alike(*tables):
    one, other = (of.sort_values(["regulator", "target"], ignore_index=True) for of in tables)
    pd.testing.assert_frame_equal(one, other, rtol=1e-7)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint64, np.float32])
@pytest.mark.parametrize("dense", [False, True])
def test_counts__of_any_type(tmp_path, dtype, dense):
    counts = make_cells()[0]
    adata = cells(X=counts.astype(dtype) if dense else sp.csr_matrix(counts.astype(dtype)))
    adata.write_h5ad(tmp_path / "cells.h5ad")
    assert adata.X.max() < 200
    same(adata, tmp_path / "cells.h5ad", pairs=[("g0", "g1"), ("g6", "g2")])


def test_layers_and_raw_counts(tmp_path):
    adata = cells()
    adata.layers["counts"] = adata.X.copy()
    adata.raw = adata.copy()
    adata.X = adata.X * 0.37
    adata.write_h5ad(tmp_path / "cells.h5ad")
    for layer in ("counts", "raw"):
        same(adata, tmp_path / "cells.h5ad", layer=layer, pairs=[("g0", "g1"), ("g6", "g2")])


def test_a_file_opened_by_anndata_is_read_from_where_it_is(tmp_path):
    adata = cells()
    adata.write_h5ad(tmp_path / "cells.h5ad")
    (tmp_path / "cells.h5ad").chmod(0o444)
    opened = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    found = poolproof.linearity(opened, memory=1e5, **OPTIONS)
    assert found.all_cells is not None
    alike(found.table, poolproof.linearity(adata, **OPTIONS).table)
    opened.file.close()


@pytest.mark.parametrize("test", ["corrected", "robust"])
def test_stretches_without_counts_and_genes_without_any(tmp_path, test):
    counts, _ = make_cells()
    counts[300:900] = 0
    counts[:, 5] = 0
    adata = cells(X=sp.csr_matrix(counts))
    adata.write_h5ad(tmp_path / "cells.h5ad")
    same(adata, tmp_path / "cells.h5ad", test=test)


def test_genes_that_are_twice_there_are_named_apart(tmp_path):
    cells().write_h5ad(tmp_path / "cells.h5ad")
    with h5py.File(tmp_path / "cells.h5ad", "a") as file:
        file["var/_index"][1] = "g0"
    with open_backed(tmp_path / "cells.h5ad") as (opened, notes):
        found = poolproof.linearity(opened, memory=1e5, **OPTIONS)
    assert len(notes) == 1
    assert len(set(found.genes["gene"])) == M
    twice = {"g0", found.genes["gene"][1]}
    assert twice <= set(found.table["regulator"])


@pytest.mark.parametrize("value", [0.5, -1.0])
def test_a_value_that_is_no_count_far_down_is_told_in_one_line(tmp_path, value):
    counts, _ = make_cells()
    drawn = stream(0, "cells drawn").choice(N, 400, replace=False)
    far = np.setdiff1d(np.arange(N), drawn)[-1]
    counts[far, 3] = value
    cells(X=sp.csr_matrix(counts)).write_h5ad(tmp_path / "bad.h5ad")
    with (
        open_backed(tmp_path / "bad.h5ad") as (opened, _),
        pytest.raises(
            InputError, match=rf"expected counts in all cells.*among cells \d[\d,]* to {N:,}"
        ) as found,
    ):
        poolproof.linearity(opened, memory=1e5, **OPTIONS)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("n", [1, 9])
def test_too_few_cells_are_told_in_one_line(tmp_path, monkeypatch, n):
    monkeypatch.setattr("poolproof.data.large.SMALL", 0)
    monkeypatch.setattr("poolproof.data.large.held_bytes", lambda *of: 1e9)
    counts, obs = make_cells()
    cells(X=sp.csr_matrix(counts[:n]), obs=obs[:n]).write_h5ad(tmp_path / "few.h5ad")
    with open_backed(tmp_path / "few.h5ad") as (opened, _), pytest.raises(InputError) as found:
        poolproof.linearity(opened, memory=1e5, **OPTIONS)
    assert "\n" not in str(found.value)


@pytest.mark.filterwarnings("ignore")  # of what the next anndata and zarr will do
@pytest.mark.parametrize("form", [2, 3])
def test_a_zarr_folder_without_one_of_its_chunks_is_refused(tmp_path, form):
    path = tmp_path / "cells.zarr"
    with anndata.settings.override(zarr_write_format=form):
        cells().write_zarr(path, chunks=(100, M))
    group = zarr.open_group(path, mode="a")["X"]
    values = group["data"][:]
    del group["data"]
    array = group.create_array("data", shape=values.shape, dtype=values.dtype, chunks=(3_000,))
    array[:] = values
    zarr.consolidate_metadata(path)
    by_blocks(path, pairs=[("g0", "g1")])
    chunk = path / "X" / "data" / ("2" if form == 2 else "c/2")
    assert chunk.exists()
    chunk.unlink()
    for read in (lambda: by_blocks(path), lambda: poolproof.read(path)):
        with pytest.raises(InputError, match=r"expected \d chunks of 'X/data'; found \d: the folder is not"):
            read()
    shutil.rmtree(path)


def test_values_stored_by_genes_are_refused_in_one_line(tmp_path, call):
    cells(X=sp.csc_matrix(make_cells()[0])).write_h5ad(tmp_path / "cells.h5ad")
    done = call("audit", tmp_path / "cells.h5ad", "--memory", "100k", "--out", tmp_path / "audit")
    assert done.code == 2
    assert "expected values stored cell by cell (CSR)" in done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "audit").exists()


def test_a_file_cut_after_it_was_opened_is_told_in_one_line(tmp_path):
    cells().write_h5ad(tmp_path / "cells.h5ad")

    class Cut:
        """A matrix whose file goes away."""

        shape, dtype, format = (N, M), np.float64, "csr"

        def __getitem__(self, rows):
            raise OSError("[Errno 5] Input/output error\nsecond line")

    of = Blocks(sp.csr_matrix(make_cells()[0]))
    of._matrix = Cut()
    with pytest.raises(InputError, match=r"expected readable values in cells 0 to \d+") as found:
        of.read(0)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("test", ["corrected", "robust"])
def test_a_preview_is_of_all_cells(tmp_path, test):
    adata = cells()
    adata.write_h5ad(tmp_path / "cells.h5ad")
    options = {"kind": "single-cell", "within": "type", "test": test, "memory": 1e5}
    with open_backed(tmp_path / "cells.h5ad") as (opened, _):
        said = poolproof.preview_audit(opened, **options).summary
    with open_backed(tmp_path / "cells.h5ad") as (opened, _):
        done = poolproof.audit(opened, **options, triples="none", curves="none")
    assert said["n_obs"] == N
    assert sum(said["levels"].values()) == done.data["n_obs_tested"]
    assert set(said["notes"]) <= set(done.data["warnings"])
    assert sum("are more than --memory holds" in note for note in said["notes"]) == 1
    assert said["seconds"]["pairs"] > 0
    assert said["seconds"]["bend share"] > 0


def test_a_preview_of_more_cells_says_more_time(tmp_path, monkeypatch):
    """The same cells drawn, three times as many in the file."""
    counts, obs = make_cells(n=3 * N)
    times = []
    monkeypatch.setattr("poolproof.verdict.preview.time.perf_counter", iter(range(1000)).__next__)
    for n in (N, 3 * N):
        anndata.AnnData(sp.csr_matrix(counts[:n]), obs=obs[:n]).write_h5ad(tmp_path / f"{n}.h5ad")
        with open_backed(tmp_path / f"{n}.h5ad") as (opened, _):
            said = poolproof.preview_audit(opened, kind="single-cell", memory=1e5).summary
        times.append(said["seconds"]["bend share"])
    assert times[1] == pytest.approx(3 * times[0], rel=0.05)


def test_paths_in_python_leave_cells_in_their_file_too(tmp_path, monkeypatch):
    adata = cells()
    adata.var_names = ["g0", "g0", *adata.var_names[2:]]
    adata.write_h5ad(tmp_path / "cells.h5ad")
    monkeypatch.setattr("poolproof.data.large.read_named", None)  # which would read all of it
    path, options = tmp_path / "cells.h5ad", {"memory": 1e5, "kind": "single-cell"}
    result = poolproof.linearity(path, **OPTIONS | options)
    assert result.all_cells is not None
    said = poolproof.preview_audit(str(path), **options).summary
    done = poolproof.audit(path, **options, triples="none", curves="none")
    assert done.data["name"] == "cells.h5ad"
    assert said["n_obs"] == done.data["n_obs"] == N
    for notes in (result.warnings, said["notes"], done.data["warnings"]):
        assert sum("duplicated gene names" in note for note in notes) == 1
