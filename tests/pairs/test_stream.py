"""Pairs from blocks of cells: the numbers of the test in memory, whatever blocks, threads and memory."""

import json
import os
import shutil
import signal
import sys
import warnings

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import zarr
from helpers import needed

import poolproof
from poolproof import InputError, _parts
from poolproof.data import blocks, large
from poolproof.data.backed import Place, open_backed
from poolproof.data.blocks import Blocks
from poolproof.pairs import count_engine, stream_agreement, stream_sums, workers
from poolproof.pairs.analyst import Analyst
from poolproof.pairs.count_engine import CountTest
from poolproof.pairs.design import make_design
from poolproof.pairs.stream_engine import StreamedCountTest
from poolproof.pairs.stream_sums import CellStream
from poolproof.pairs.workers import DaskRunner, Threads, open_client

N, M = 1200, 18
MARGIN = 0.6
"""So large that the robust bound is asked for many pairs."""
NUMBERS = ("r2_linear", "gain", "share_upper", "statistic")


def make_cells(n=N, seed=1):
    """Lines, bends, bursty targets, a gene that is in most cells and one that is in few; and their labels."""
    rng = np.random.default_rng(seed)
    factor = rng.gamma(3.0, size=(n, 2)) / 3
    rate = np.ones((n, M))
    rate[:, :6] = 0.3 + 0.7 * factor[:, :1]
    rate[:, 6:10] = factor[:, :1] ** 2 + 0.2
    rate[:, 10:14] = factor[:, 1:]
    rate[:, 14:] = rng.gamma(0.3, size=(n, 4)) / 0.3 * (0.5 + factor[:, 1:])
    mean = rng.lognormal(1.0, 0.7, M)
    mean[[0, 9]] = 8.0, 0.03
    counts = rng.poisson(rate * mean * rng.lognormal(0, 0.3, (n, 1))).astype(np.float64)
    obs = pd.DataFrame(
        {"type": rng.choice(list("ab"), n), "donor": rng.choice(list("pqrstuvw"), n)},
        index=[f"c{i}" for i in range(n)],
    )
    return counts, obs


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "STORED", 4_000)
    monkeypatch.setattr(blocks, "DENSE", 6_000)


def design_of(counts, obs, **columns):
    usable = counts.sum(axis=1) >= 20
    return make_design(obs, usable=usable, categorical_only=True, min_per_stratum=20, **columns)


def streamed(matrix, total, design, **options):
    blocks_of = Blocks(matrix, memory=options.pop("kept", 1e9))
    found = CellStream.of(blocks_of, total, options.pop("known", False), design)
    return StreamedCountTest(found, design, np.arange(M), agree_below=MARGIN, **options)


def compare(in_memory, from_blocks):
    """Every number of every pair, to rounding."""
    np.testing.assert_array_equal(in_memory.regulator_status, from_blocks.regulator_status)
    np.testing.assert_array_equal(in_memory.target_status, from_blocks.target_status)
    x = np.flatnonzero(in_memory.regulator_status == "ok")
    y = np.flatnonzero(in_memory.target_status == "ok")
    one = in_memory.outcome(in_memory.features(x), y, np.float64, exact=True)
    other = from_blocks.outcome(from_blocks.features(x), y, np.float64, exact=True)
    used = one.tested & (x[:, None] != y)
    np.testing.assert_array_equal(used, other.tested)
    assert used.sum() > 100
    for name in NUMBERS:
        np.testing.assert_allclose(
            getattr(other, name)[used], getattr(one, name)[used], rtol=1e-8, atol=1e-10, err_msg=name
        )
    for name in ("bend", "association"):
        lam = (getattr(of, name).minus_log_p()[used] for of in (other, one))
        np.testing.assert_allclose(*lam, rtol=1e-8, atol=1e-9, err_msg=name)
    gains = (of.detectable(of.features(x), y)[used] for of in (from_blocks, in_memory))
    np.testing.assert_allclose(*gains, rtol=1e-8)
    return one, used


@pytest.mark.parametrize(
    ("columns", "overdispersion", "known"),
    [
        ({}, 0.0, False),
        ({}, 0.05, True),
        ({"within": ["type"]}, 0.0, False),
        ({"covariates": ["type"]}, 0.0, False),
        ({"replicate": "donor"}, 0.0, False),
        ({"within": ["type"], "replicate": "donor"}, 0.0, False),
    ],
)
def test_engine__finds_what_the_one_in_memory_finds(small_blocks, columns, overdispersion, known):
    counts, obs = make_cells()
    total = counts.sum(axis=1)
    depth = total / total.mean() if known else total
    design = design_of(counts, obs, **columns)
    options = {"overdispersion": overdispersion}
    held = CountTest(
        sp.csc_matrix(counts), depth, known, design, agree_below=MARGIN, dtype=np.float64, **options
    )
    from_blocks = streamed(sp.csr_matrix(counts), depth, design, known=known, **options)
    assert len(from_blocks.stream.blocks) > 3
    outcome, used = compare(held, from_blocks)
    if not columns and not known:
        assert ((outcome.share_upper < MARGIN) & used).any()


def test_engine__bounds_pairs_of_genes_that_most_cells_lack(small_blocks, monkeypatch):
    counts, obs = make_cells(n=4 * N)
    counts *= np.random.default_rng(5).random(counts.shape) < 0.3
    total, design = counts.sum(axis=1), design_of(counts, obs)
    held = CountTest(sp.csc_matrix(counts), total, False, design, agree_below=MARGIN, dtype=np.float64)
    columns = stream_agreement.heap_columns
    heaps = []

    def counted(*of):
        heaps.append(columns(*of))
        return heaps[-1]

    monkeypatch.setattr(stream_agreement, "heap_columns", counted)
    outcome, used = compare(held, streamed(sp.csr_matrix(counts), total, design))
    assert ((outcome.share_upper < MARGIN) & used).any()
    assert max(of.n_heap for of in heaps) > N


def test_engine__guards_against_bursty_targets_and_asks_the_robust_bound(small_blocks, monkeypatch):
    """Both would be noticed above if they were left out."""
    counts, obs = make_cells()
    total, design = counts.sum(axis=1), design_of(counts, obs)
    held = CountTest(sp.csc_matrix(counts), total, False, design, agree_below=MARGIN, dtype=np.float64)
    from_blocks = streamed(sp.csr_matrix(counts), total, design)
    for name, replacement in (
        ("_guard", lambda self, *of: of[-2]),
        ("_agree", lambda self, *of: None),
    ):
        with monkeypatch.context() as changed:
            changed.setattr(count_engine.CountTest, name, replacement)
            with pytest.raises(AssertionError):
                compare(held, from_blocks)


def test_upper_bins__also_where_strata_differ(monkeypatch, small_blocks):
    monkeypatch.setattr(stream_sums, "GATHERED", 500)
    counts, obs = make_cells()
    total = counts.sum(axis=1)
    design = design_of(counts, obs, covariates=["type"])
    held = CountTest(sp.csc_matrix(counts), total, False, design, agree_below=MARGIN, dtype=np.float64)
    compare(held, streamed(sp.csr_matrix(counts), total, design))


def all_numbers(engine):
    return engine.found._values.tobytes()


def test_engine__is_the_same_to_the_last_bit_for_any_threads_and_memory(small_blocks):
    counts, obs = make_cells()
    total, design = counts.sum(axis=1), design_of(counts, obs, replicate="donor")
    first = streamed(sp.csr_matrix(counts), total, design)
    for threads, memory, kept in ((2, 1e9, 1e9), (4, 3e4, 0), (1, 1e4, 3e3)):
        other = streamed(sp.csr_matrix(counts), total, design, run=Threads(threads), memory=memory, kept=kept)
        assert all_numbers(other) == all_numbers(first)


@pytest.fixture(params=["zarr v2", "zarr v3", "h5ad"])
def form(request):
    return request.param


def write(path, adata, form, chunks):
    if form == "h5ad":
        adata.write_h5ad(path)
        return path
    with anndata.settings.override(zarr_write_format=2 if form == "zarr v2" else 3):
        adata.write_zarr(path)
    for name in ("data", "indices"):  # the same values in other chunks
        group = zarr.open_group(path, mode="a")["X"]
        values = group[name][:]
        del group[name]
        array = group.create_array(name, shape=values.shape, dtype=values.dtype, chunks=(chunks,))
        array[:] = values
    zarr.consolidate_metadata(path)
    return path


@pytest.mark.filterwarnings("ignore")  # of what the next anndata and zarr will do
def test_engine__is_the_same_to_the_last_bit_for_any_chunks(small_blocks, tmp_path, form):
    counts, obs = make_cells()
    total, design = counts.sum(axis=1), design_of(counts, obs)
    first = streamed(sp.csr_matrix(counts), total, design)
    for chunks in (97, 1_000, 100_000) if form != "h5ad" else (0,):
        adata = anndata.AnnData(sp.csr_matrix(counts), obs=obs)
        path = write(tmp_path / f"{chunks}", adata, form, chunks)
        path = path if form != "h5ad" else path.rename(path.with_suffix(".h5ad"))
        with open_backed(path) as (opened, _):
            assert all_numbers(streamed(opened.X, total, design)) == all_numbers(first)


@pytest.fixture
def little_memory(monkeypatch):
    """So little that the cells are read by blocks."""
    monkeypatch.setattr(large, "SMALL", 100)
    monkeypatch.setattr(large, "LEAST_DRAWN", 400)


def saved(tmp_path, **changes):
    counts, obs = make_cells()
    adata = anndata.AnnData(
        sp.csr_matrix(counts), obs=obs, var=pd.DataFrame(index=[f"g{i}" for i in range(M)])
    )
    adata.write_h5ad(tmp_path / "cells.h5ad")
    return adata, tmp_path / "cells.h5ad"


def test_linearity__calls_every_pair_as_in_memory(little_memory, small_blocks, tmp_path):
    adata, path = saved(tmp_path)
    options = {
        "kind": "single-cell",
        "keep": "all",
        "control": False,
        "population": False,
        "each_level": True,
        "within": "type",
    }
    held = poolproof.linearity(adata, **options)
    with open_backed(path) as (opened, _):
        found = poolproof.linearity(opened, memory=1e5, **options)
    assert found.all_cells is not None
    assert len(found.expression.obs_names) == 400
    for one, other in ((held, found), *((held.levels[name], found.levels[name]) for name in "ab")):
        tables = (of.table.sort_values(["regulator", "target"], ignore_index=True) for of in (other, one))
        pd.testing.assert_frame_equal(*tables, rtol=1e-7)
        pd.testing.assert_frame_equal(other.genes, one.genes, rtol=1e-9)
    numbers = {key: value for key, value in held.summary.items() if key != "control"}
    for key, value in numbers.items():
        assert found.summary[key] == (pytest.approx(value) if isinstance(value, float) else value), key
    assert any("read block by block" in text for text in found.warnings)


def test_linearity__of_a_list_of_pairs(little_memory, small_blocks, tmp_path):
    adata, path = saved(tmp_path)
    options = {
        "kind": "single-cell",
        "pairs": [("g0", "g1"), ("g6", "g2"), ("g9", "g1")],
        "population": False,
    }
    held = poolproof.linearity(adata, **options)
    with open_backed(path) as (opened, _):
        found = poolproof.linearity(opened, memory=1e5, **options)
    pd.testing.assert_frame_equal(found.table, held.table, rtol=1e-7)


def test_audit__of_more_cells_than_memory_holds(little_memory, small_blocks, tmp_path):
    _, path = saved(tmp_path)
    with open_backed(path) as (opened, _):
        found = poolproof.audit(opened, kind="single-cell", memory=1e5, replicate="donor")
    assert found.data["n_obs"] == N
    assert found.data["n_obs_tested"] > 0.9 * N
    assert found.linearity.population.settings["axis"] == "replicates"
    assert sum("are more than --memory holds" in text for text in found.data["warnings"]) == 1
    found.save(tmp_path / "audit")
    assert (tmp_path / "audit" / "verdict.json").exists()


def test_audit__of_cells_in_a_file_goes_on_where_it_was_interrupted(
    little_memory, small_blocks, tmp_path, monkeypatch
):
    monkeypatch.setattr(_parts, "WORTH", 0.0)
    monkeypatch.setenv("POOLPROOF_CACHE", str(tmp_path / "cache"))
    adata, path = saved(tmp_path)
    options = {"kind": "single-cell", "memory": 1e5, "triples": "none", "curves": "none", "resume": True}
    with open_backed(path) as (opened, _):
        first = poolproof.audit(opened, **options)
    with open_backed(path) as (opened, _), monkeypatch.context() as patch:
        patch.delattr(Analyst, "streamed")  # no block is read for pairs
        again = poolproof.audit(opened, **options)
    assert again.parts.folder == first.parts.folder
    pd.testing.assert_frame_equal(again.table, first.table)
    adata.X.data[-1] += 1  # of a cell that may not be among those drawn
    adata.write_h5ad(path)
    with open_backed(path) as (opened, _):
        assert poolproof.audit(opened, **options).parts.folder != first.parts.folder


def test_linearity__of_dense_values_that_are_no_counts_takes_the_cells_drawn(little_memory, tmp_path):
    counts, obs = make_cells()
    adata = anndata.AnnData(counts * 0.37, obs=obs)
    adata.write_h5ad(tmp_path / "values.h5ad")
    with open_backed(tmp_path / "values.h5ad") as (opened, _):
        found = poolproof.linearity(opened, kind="bulk", scale="additive", memory=1e5, population=False)
    assert found.all_cells is None
    assert any("400 were drawn; only counts and sparse amounts" in text for text in found.warnings)


def test_linearity__the_robust_test_with_replicates_takes_the_cells_drawn(little_memory, tmp_path):
    _, path = saved(tmp_path)
    options = {"kind": "single-cell", "test": "robust", "replicate": "donor", "population": False}
    with open_backed(path) as (opened, _):
        found = poolproof.linearity(opened, memory=1e5, **options)
    assert found.all_cells is None
    said = "the robust test with replicates or covariates needs all values at once: it is that of 400 cells"
    assert any(said in text for text in found.warnings)
    assert not any("tested on all of them" in text for text in found.warnings)


def test_copies__are_found_among_all_cells(little_memory, small_blocks, tmp_path):
    rng = np.random.default_rng(0)
    counts = rng.poisson(5.0, (600, 40)).astype(np.float64)
    counts[599] = counts[3]
    adata = anndata.AnnData(sp.csr_matrix(counts))
    adata.write_h5ad(tmp_path / "copies.h5ad")
    held = poolproof.describe(adata)
    with open_backed(tmp_path / "copies.h5ad") as (opened, _):
        options = poolproof.data.expression.ValueOptions()
        found, _ = large.read_values(options, opened, None, memory=1e5, seed=0)
    assert found.all_cells.whole.copies == held.copies == ("599",)
    np.testing.assert_array_equal(found.all_cells.whole.totals, held.totals)


def test_large_files__with_infinite_values_are_refused(little_memory, tmp_path):
    counts, obs = make_cells()
    counts[700, 3] = np.inf
    anndata.AnnData(sp.csr_matrix(counts), obs=obs).write_h5ad(tmp_path / "bad.h5ad")
    with open_backed(tmp_path / "bad.h5ad") as (opened, _), pytest.raises(InputError, match="finite numbers"):
        poolproof.linearity(opened, kind="single-cell", memory=1e5)


def test_blocks__of_values_stored_by_genes_are_refused():
    with pytest.raises(InputError, match="expected values stored cell by cell"):
        Blocks(sp.csc_matrix(make_cells()[0]))


def test_blocks__keep_what_fits_and_read_the_rest_again(small_blocks):
    counts = sp.csr_matrix(make_cells()[0])
    genes = np.array([1, 4, 7])
    for memory in (0, 3e3, 1e9):
        of = Blocks(counts, genes, memory)
        for _ in range(2):
            parts = [of.read(block) for block in range(len(of))]
            assert (sp.vstack(parts) != counts[:, genes]).nnz == 0
        rows = np.array([0, 5, 700, N - 1])
        assert (of.cells(rows) != counts[rows][:, genes]).nnz == 0


@pytest.mark.filterwarnings("ignore")  # of what the next anndata and zarr will do
def test_blocks__know_when_their_file_changed(form, tmp_path):
    counts, obs = make_cells()
    path = tmp_path / ("cells.h5ad" if form == "h5ad" else "cells")
    stamps = []
    for added in (0, 0, 1):
        if added or not stamps:
            counts[0, 0] += added
            shutil.rmtree(path, ignore_errors=True)
            write(path, anndata.AnnData(sp.csr_matrix(counts), obs=obs), form, 500)
        with open_backed(path) as (opened, _):
            stamps.append(Blocks(opened.X).stamp())
    assert stamps[0] is not None
    assert stamps[0] == stamps[1] != stamps[2]
    assert Blocks(counts).stamp() is None


def test_audit_command__leaves_cells_in_their_file(little_memory, small_blocks, tmp_path, call):
    adata, path = saved(tmp_path)
    held = poolproof.linearity(adata, kind="single-cell", population=False)
    done = call(
        *("audit", path, "--kind", "single-cell", "--memory", "100k", "--out", tmp_path / "audit"),
        *("--triples", "none"),
    )
    assert done.code == 0, done.err
    assert done.err.startswith(f"cells.h5ad: {N:,} x {M}, single-cell, counts\n")
    assert f"{N:,} cells are more than --memory holds: they are read block by block" in done.err
    pairs = pd.read_parquet(tmp_path / "audit" / "pairs.parquet")
    by_name = [of.sort_values(["regulator", "target"])["call"].tolist() for of in (pairs, held.table)]
    assert by_name[0] == by_name[1]
    listed = json.loads((tmp_path / "audit" / "verdict.json").read_text())
    assert listed["data"]["n_obs"] == N


# --- Dask -----------------------------------------------------------------------------------------------


@pytest.fixture
def of_dask():
    """Dask's own warnings (a port in use, tasks that are large) are no errors of ours."""
    needed("distributed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("n_workers", [1, 2, 4])
def test_dask__any_number_of_workers_gives_the_same_bits(small_blocks, of_dask, n_workers, tmp_path):
    _, path = saved(tmp_path)
    counts, obs = make_cells()
    total, design = counts.sum(axis=1), design_of(counts, obs)
    first = streamed(Place(str(path), "X"), total, design)
    with open_client(f"local:{n_workers}") as client:
        found = streamed(Place(str(path), "X"), total, design, run=DaskRunner(client))
    assert all_numbers(found) == all_numbers(first)


class KillsItsWorker:
    """Work that ends the first worker that does the task marked, once: the test's own process."""

    def __init__(self, work, marked, mark):
        self.work, self.marked, self.mark = work, marked, mark

    def __call__(self, task):
        if task == self.marked:
            try:
                self.mark.touch(exist_ok=False)
            except FileExistsError:
                return self.work(task)
            os.kill(os.getpid(), signal.SIGKILL)
        return self.work(task)


def double(task):
    return 2 * task


@pytest.mark.filterwarnings("ignore")
def test_dask__a_worker_that_is_killed_changes_nothing(small_blocks, of_dask, tmp_path):
    _, path = saved(tmp_path)
    counts, obs = make_cells()
    total, design = counts.sum(axis=1), design_of(counts, obs)
    first = streamed(Place(str(path), "X"), total, design)
    mark = tmp_path / "killed"
    with open_client("local:2") as client:

        class Killing(DaskRunner):
            def __call__(self, work, tasks):
                last = tasks[-1]
                return super().__call__(KillsItsWorker(work, last, mark) if len(tasks) > 1 else work, tasks)

        found = streamed(Place(str(path), "X"), total, design, run=Killing(client))
    assert mark.exists()
    assert all_numbers(found) == all_numbers(first)


@pytest.mark.filterwarnings("ignore")
def test_dask__a_scheduler_that_goes_away_is_told_in_one_line(of_dask):
    import distributed

    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        client = distributed.Client(cluster, set_as_default=False)
        assert DaskRunner(client)(double, [1, 2, 3]) == [2, 4, 6]
    with pytest.raises(InputError, match=r"lost it .*nothing was written; start the cluster again"):
        DaskRunner(client)(double, [1, 2])
    client.close(timeout=1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("local:0", "expected local:N with 1 to 256 workers; found 'local:0'"),
        ("local:two", "expected local:N with 1 to 256 workers"),
        ("tcp://127.0.0.1:9", "none answers at 'tcp://127.0.0.1:9'"),
        ("nonsense\x1b[31m", "none answers at 'nonsense"),
    ],
)
def test_dask__a_wrong_address_is_refused_in_one_line(of_dask, monkeypatch, tmp_path, call, where, said):
    monkeypatch.setattr(workers, "PATIENCE", 1)
    _, path = saved(tmp_path)
    done = call("audit", path, "--dask", where, "--out", tmp_path / "audit")
    assert done.code == 2
    assert said in done.err
    assert done.err.count("\n") == 1
    assert "\x1b" not in done.err
    assert not (tmp_path / "audit").exists()


def test_dask__not_installed_is_refused_in_one_line(monkeypatch, tmp_path, call):
    monkeypatch.setitem(sys.modules, "distributed", None)
    _, path = saved(tmp_path)
    done = call("audit", path, "--dask", "local:2", "--out", tmp_path / "audit")
    assert done.code == 2
    assert "pip install 'poolproof[dask]'" in done.err


def test_linearity__says_where_workers_have_nothing_to_do():
    counts, _ = make_cells(n=100)
    found = poolproof.linearity(pd.DataFrame(counts), kind="bulk", scale="additive", client=object())
    assert any("the workers of Dask have nothing to do" in text for text in found.warnings)


@pytest.mark.filterwarnings("ignore")
def test_audit_command__with_workers_calls_every_pair_as_without(small_blocks, of_dask, tmp_path, call):
    adata, path = saved(tmp_path)
    held = poolproof.linearity(adata, kind="single-cell", population=False)
    done = call(
        *("audit", path, "--kind", "single-cell", "--dask", "local:2", "--out", tmp_path / "audit"),
        *("--triples", "none", "--curves", "none"),
    )
    assert done.code == 0, done.err
    pairs = pd.read_parquet(tmp_path / "audit" / "pairs.parquet")
    by_name = [of.sort_values(["regulator", "target"])["call"].tolist() for of in (pairs, held.table)]
    assert by_name[0] == by_name[1]
