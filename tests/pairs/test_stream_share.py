"""The bend share of counts from blocks of cells: the numbers of memory, whatever blocks and threads."""
# ruff: noqa: F811

import json
import subprocess
import sys
import time

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from test_stream import (  # noqa: F401
    M,
    design_of,
    little_memory,
    make_cells,
    of_dask,
    saved,
    small_blocks,
    write,
)

import poolproof
from poolproof.data.backed import Place, open_backed
from poolproof.data.blocks import Blocks
from poolproof.pairs import stream_share, stream_share_influence, stream_share_products
from poolproof.pairs.count_engine import CountTest
from poolproof.pairs.population import population_of
from poolproof.pairs.population_measures import CountMeasure
from poolproof.pairs.population_pass import sum_pairs
from poolproof.pairs.stream_genes import StreamedGenes
from poolproof.pairs.stream_share import StreamedShare
from poolproof.pairs.stream_sums import CellStream
from poolproof.pairs.workers import DaskRunner, Threads, open_client

GENES = np.array([f"g{i}" for i in range(M)])
DESIGNS = [
    ({}, 0.0, False),
    ({}, 0.05, True),
    ({"within": ["type"]}, 0.0, False),
    ({"covariates": ["type"]}, 0.0, False),
    ({"replicate": "donor"}, 0.0, False),
    ({"within": ["type"], "replicate": "donor"}, 0.0, False),
]


def held(counts, total, known, design, overdispersion=0.0, genes=slice(None)):
    matrix = sp.csc_matrix(counts[:, genes])
    return CountTest(matrix, total, known, design, overdispersion=overdispersion, dtype=np.float64)


def streamed(matrix, total, known, design, overdispersion=0.0, genes=None, run=None, memory=1e9, kept=1e9):
    run = run or Threads(1)
    blocks = matrix if isinstance(matrix, Blocks) else Blocks(matrix, memory=kept)
    blocks = blocks if genes is None else blocks.of_genes(genes)
    cells = CellStream.of(blocks, total, known, design)
    engine = StreamedGenes(cells, design, overdispersion, run)
    return StreamedShare(engine, np.arange(engine.n_genes), run, memory)


def inputs(columns, known, seed=1):
    counts, obs = make_cells(seed=seed)
    total = counts.sum(axis=1)
    return counts, total / total.mean() if known else total, design_of(counts, obs, **columns)


def alike(found, expected, scale=None, message=""):
    size = np.abs(expected).max() if scale is None else scale
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-9 * size, err_msg=message)


@pytest.mark.parametrize(("columns", "overdispersion", "known"), DESIGNS)
@pytest.mark.parametrize("listed", [False, True])
def test_sums__are_those_of_cells_in_memory(small_blocks, columns, overdispersion, known, listed):
    counts, total, design = inputs(columns, known)
    engine = held(counts, total, known, design, overdispersion)
    measure = CountMeasure(engine, np.float64)
    share = streamed(sp.csr_matrix(counts), total, known, design, overdispersion)
    np.testing.assert_array_equal(share.regulator_ok, measure.regulator_ok)
    np.testing.assert_array_equal(share.target_ok, measure.target_ok)
    regulators, targets = np.flatnonzero(measure.regulator_ok), np.flatnonzero(measure.target_ok)[1:]
    units, modules = regulators % 4, targets % 3
    wanted = (lambda x, y: (x[:, None] + y) % 3 > 0) if listed else None
    one = sum_pairs(measure, regulators, targets, units, modules, wanted)
    other = share.sum_pairs(regulators, targets, units, modules, wanted)
    assert one.n_pairs.sum() >= 40
    for name, expected in vars(one).items():
        alike(getattr(other, name), expected, message=name)


@pytest.mark.parametrize(("columns", "overdispersion", "known"), DESIGNS)
def test_population__is_that_of_cells_in_memory(small_blocks, columns, overdispersion, known):
    counts, total, design = inputs(columns, known)
    every = np.arange(M)
    shared = {"directed": False, "min_r2": 0.02, "dtype": np.float64, "seed": 3}
    one = population_of(
        held(counts, total, known, design, overdispersion),
        *(design, GENES, every, None),
        lambda of, genes: held(counts, total, known, of, overdispersion, genes),
        **shared,
    )
    blocks = Blocks(sp.csr_matrix(counts))
    other = population_of(
        streamed(blocks, total, known, design, overdispersion),
        *(design, GENES, every, None),
        lambda of, genes: streamed(blocks, total, known, of, overdispersion, genes),
        **shared,
    )
    pd.testing.assert_frame_equal(other.table, one.table, rtol=1e-8, atol=1e-10)
    assert other.settings == one.settings
    assert one.summary["bend_share"] > 0
    assert one.settings["n_splits"] == 1
    if not known:
        assert one.table["n_pairs"][one.table["set"] == "direct"].item() > 0


def all_bits(share, sets=True):
    """Sums over all pairs and influences on sets, as bytes."""
    every = np.arange(M)
    sums = share.sum_pairs(np.flatnonzero(share.regulator_ok), every, every % 4, every % 3, None)
    masks = np.stack([np.ones((M, M), dtype=bool), every[:, None] < every])
    found = [*vars(sums).values(), share.influences(every, every, masks), *share.matrices(every, every)]
    return b"".join(np.ascontiguousarray(of).tobytes() for of in found)


@pytest.fixture
def many_groups(monkeypatch):
    """Groups and runs of few regulators, and few cells at a time."""
    monkeypatch.setattr(stream_share_products, "BLOCK", 4)
    monkeypatch.setattr(stream_share_influence, "BLOCK", 4)
    monkeypatch.setattr(stream_share, "BLOCK", 4)
    monkeypatch.setattr(stream_share, "MOST", 8)
    monkeypatch.setattr(stream_share_influence, "CELLS", 100)
    monkeypatch.setattr(stream_share_influence, "TARGET_CELLS", 60)


@pytest.mark.parametrize("columns", [{"within": ["type"]}, {"replicate": "donor"}])
def test_share__is_the_same_to_the_last_bit_for_any_threads_and_memory(small_blocks, many_groups, columns):
    counts, total, design = inputs(columns, False)
    matrix = sp.csr_matrix(counts)
    first = all_bits(streamed(matrix, total, False, design))
    for threads, memory, kept in ((2, 1e9, 1e9), (4, 3e4, 0), (1, 1e4, 3e3)):
        run = Threads(threads)
        assert all_bits(streamed(matrix, total, False, design, run=run, memory=memory, kept=kept)) == first


def test_share__groups_and_runs_change_nothing_but_rounding(small_blocks, monkeypatch):
    counts, total, design = inputs({}, False)
    every = np.arange(M)

    def found():
        share = streamed(sp.csr_matrix(counts), total, False, design)
        return share.sum_pairs(np.flatnonzero(share.regulator_ok), every, every % 4, every % 3, None)

    one = found()
    monkeypatch.setattr(stream_share, "MOST", 8)
    monkeypatch.setattr(stream_share, "BLOCK", 4)
    monkeypatch.setattr(stream_share_influence, "CELLS", 100)
    monkeypatch.setattr(stream_share_influence, "TARGET_CELLS", 60)
    for name, expected in vars(one).items():
        alike(getattr(found(), name), expected, message=name)


@pytest.mark.filterwarnings("ignore")  # of what the next anndata and zarr will do
@pytest.mark.parametrize("chunks", [97, 1_000, 100_000])
def test_share__is_the_same_to_the_last_bit_for_any_chunks(small_blocks, tmp_path, chunks):
    counts, total, design = inputs({}, False)
    first = all_bits(streamed(sp.csr_matrix(counts), total, False, design))
    path = write(tmp_path / "cells.zarr", anndata.AnnData(sp.csr_matrix(counts)), "zarr v3", chunks)
    with open_backed(path) as (opened, _):
        assert all_bits(streamed(opened.X, total, False, design)) == first


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("n_workers", [1, 4])
def test_dask__any_number_of_workers_gives_the_same_bits(small_blocks, of_dask, tmp_path, n_workers):
    _, path = saved(tmp_path)
    _, total, design = inputs({}, False)
    first = all_bits(streamed(Place(str(path), "X"), total, False, design))
    with open_client(f"local:{n_workers}") as client:
        run = DaskRunner(client)
        assert all_bits(streamed(Place(str(path), "X"), total, False, design, run=run)) == first


@pytest.mark.parametrize(
    "options", [{}, {"replicate": "donor", "within": "type"}, {"regulators": ["g0", "g6"]}]
)
def test_linearity__has_the_bend_share_of_all_cells(little_memory, small_blocks, tmp_path, options):
    adata, path = saved(tmp_path)
    shared = {"kind": "single-cell", "control": False, "each_level": False, "dtype": np.float64} | options
    in_memory = poolproof.linearity(adata, **shared)
    with open_backed(path) as (opened, _):
        found = poolproof.linearity(opened, memory=1e5, **shared)
    assert found.all_cells is not None
    one, other = in_memory.population, found.population
    pd.testing.assert_frame_equal(other.table, one.table, rtol=1e-7, atol=1e-9)
    assert other.settings == one.settings
    said = "read block by block, and every pair and the bend share are those of all of them; affine floor"
    assert sum(said in text for text in found.warnings) == 1
    assert not any("bend share, affine floor" in text for text in found.warnings)


def test_linearity__the_robust_test_has_the_bend_share_of_the_cells_drawn(
    little_memory, small_blocks, tmp_path
):
    _, path = saved(tmp_path)
    with open_backed(path) as (opened, _):
        found = poolproof.linearity(opened, memory=1e5, kind="single-cell", test="robust")
    assert found.population.settings["n_axis"] == 400
    assert any("tested on all of them; bend share, affine floor" in text for text in found.warnings)


@pytest.fixture
def cluster(of_dask, tmp_path):
    """A scheduler and a worker, both processes of this test: the scheduler and its address."""
    file, shared = tmp_path / "scheduler.json", ["--no-dashboard", "--scheduler-file"]
    start = [sys.executable, "-m"]
    of_scheduler = ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", *shared, file]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduler = subprocess.Popen([*start, *of_scheduler], **quiet)
    of_worker = ["distributed.cli.dask_worker", "--nthreads", "1", "--no-nanny", *shared, file]
    worker = subprocess.Popen([*start, *of_worker], **quiet)
    try:
        for _ in range(1200):
            if file.exists() and file.read_text().endswith("}"):
                break
            time.sleep(0.05)
        yield scheduler, json.loads(file.read_text())["address"]
    finally:
        for process in (worker, scheduler):
            process.kill()
            process.wait()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("at", ["_First", "CellInfluences"])
def test_audit_command__whose_scheduler_is_killed_says_so_and_writes_nothing(
    small_blocks, cluster, monkeypatch, tmp_path, call, at
):
    """In the first pass over the cells, and in the intervals of the bend share, when pairs are done."""
    _, path = saved(tmp_path)
    scheduler, address = cluster
    work_of = DaskRunner.__call__

    def killing(self, work, tasks):
        if type(work).__name__ == at:
            scheduler.kill()
            scheduler.wait()
        return work_of(self, work, tasks)

    monkeypatch.setattr(DaskRunner, "__call__", killing)
    command = ("audit", path, "--kind", "single-cell", "--dask", address, "--out", tmp_path / "audit")
    done = call(*command, "--no-resume", "--quiet")
    assert scheduler.poll() is not None
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "expected a Dask cluster that works to the end; lost it" in done.err
    assert sorted(of.name for of in tmp_path.iterdir()) == ["cells.h5ad", "scheduler.json"]
