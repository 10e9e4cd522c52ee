"""Robust pairs from blocks of cells: the numbers of the test in memory, whatever blocks, threads, memory."""

import warnings

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from helpers import needed
from numpy.polynomial.chebyshev import chebval
from test_stream import NUMBERS, M, N, little_memory, make_cells, saved, small_blocks  # noqa: F401

import poolproof
from poolproof.data.backed import Place, open_backed
from poolproof.data.blocks import Blocks
from poolproof.pairs import stream_scores
from poolproof.pairs.design import make_design
from poolproof.pairs.growing_noise import SecondTest, concentration
from poolproof.pairs.score_engine import ScoreTest
from poolproof.pairs.score_kernels import level_bases
from poolproof.pairs.stream_scores import StreamedScoreTest
from poolproof.pairs.stream_second import SecondTestWithHeap, concentration_with_heap, projected_fourth
from poolproof.pairs.stream_splines import Covariate, heap_columns
from poolproof.pairs.stream_sums import CellStream
from poolproof.pairs.workers import DaskRunner, Threads


def rare(counts):
    """The cells with most of their counts gone, so that a heap lacks each gene."""
    rng = np.random.default_rng(5)
    return counts * (rng.random(counts.shape) < 0.3)


def design_of(counts, obs, depth, **columns):
    extra = {"log depth": np.log(np.maximum(counts.sum(axis=1), 1))} if depth else {}
    return make_design(obs, usable=counts.sum(axis=1) >= 5, extra=extra, **columns)


def streamed(matrix, factors, design, **options):
    of = Blocks(matrix, memory=options.pop("kept", 1e9))
    found = CellStream.of(of, factors, True, design)
    return StreamedScoreTest(found, design, np.arange(of.n_genes), **options)


def compare(in_memory, from_blocks):
    np.testing.assert_array_equal(in_memory.regulator_status, from_blocks.regulator_status)
    np.testing.assert_array_equal(in_memory.target_status, from_blocks.target_status)
    x = np.flatnonzero(in_memory.regulator_status == "ok")
    y = np.flatnonzero(in_memory.target_status == "ok")
    one = in_memory.outcome(in_memory.features(x), y, np.float64, exact=True)
    other = from_blocks.outcome(from_blocks.features(x), y, np.float64, exact=True)
    used = np.broadcast_to(one.tested, one.gain.shape) & (x[:, None] != y)
    np.testing.assert_array_equal(used, other.tested)
    assert used.sum() > 100
    for name in NUMBERS:
        pairs = (np.broadcast_to(getattr(of, name), used.shape)[used] for of in (other, one))
        np.testing.assert_allclose(*pairs, rtol=1e-8, atol=1e-10, err_msg=name)
    for name in ("bend", "association"):
        lam = (getattr(of, name).minus_log_p()[used] for of in (other, one))
        np.testing.assert_allclose(*lam, rtol=1e-8, atol=1e-8, err_msg=name)
    gains = (of.detectable(of.features(x), y)[used] for of in (from_blocks, in_memory))
    np.testing.assert_allclose(*gains, rtol=1e-8)
    return one, used


@pytest.mark.parametrize("change", [lambda counts: counts, rare])
@pytest.mark.parametrize("test", ["robust", "classical"])
@pytest.mark.parametrize("columns", [{}, {"within": ["type"]}])
@pytest.mark.parametrize("depth", [True, False])
def test_engine__finds_what_the_one_in_memory_finds(small_blocks, change, test, columns, depth):  # noqa: F811
    counts, obs = make_cells()
    counts = change(counts)
    factors = counts.sum(axis=1) / counts.sum(axis=1).mean()
    design = design_of(counts, obs, depth, **columns)
    held = ScoreTest(sp.csc_matrix(counts), factors, design, test=test, dtype=np.float64)
    from_blocks = streamed(sp.csr_matrix(counts), factors, design, test=test)
    assert len(from_blocks.cells.stream.blocks) > 1
    compare(held, from_blocks)


def robust(counts, obs, **columns):
    factors = counts.sum(axis=1) / counts.sum(axis=1).mean()
    design = design_of(counts, obs, True, **columns)
    held = ScoreTest(sp.csc_matrix(counts), factors, design, dtype=np.float64)
    return held, streamed(sp.csr_matrix(counts), factors, design)


@pytest.mark.parametrize("left_out", ["_second", "_lower"])
def test_engine__looks_a_second_time_at_bends_of_bursty_targets(small_blocks, monkeypatch, left_out):  # noqa: F811
    """It would be noticed above if it were left out."""
    counts, obs = make_cells()
    monkeypatch.setattr(stream_scores._Work, left_out, lambda self, *of: {})
    with pytest.raises(AssertionError, match="statistic"):
        compare(*robust(rare(counts), obs))


def test_engine__knows_genes_of_two_values_and_constant_ones(small_blocks):  # noqa: F811
    counts, obs = make_cells()
    counts = rare(counts)
    rng = np.random.default_rng(2)
    counts[:, 3] = 7.0
    counts[:, 4] = np.where(rng.random(N) < 0.4, 5.0, 2.0)
    counts[:, 5] = rng.random(N) < 0.2
    counts[:, 6] = 0.0
    design = make_design(obs)
    held = ScoreTest(sp.csc_matrix(counts), None, design, dtype=np.float64)
    found = streamed(sp.csr_matrix(counts), np.ones(N), design)
    assert found.regulator_status[[3, 4, 5, 6]].tolist() == [
        "constant",
        "too_few_levels",
        "too_few_levels",
        "constant",
    ]
    compare(held, found)


def test_engine__is_the_same_to_the_last_bit_for_any_threads_and_memory(small_blocks):  # noqa: F811
    counts, obs = make_cells()
    counts = rare(counts)
    design = design_of(counts, obs, True, within=["type"])
    factors = counts.sum(axis=1)
    first = streamed(sp.csr_matrix(counts), factors, design)
    for threads, memory, kept in ((2, 1e9, 1e9), (4, 3e5, 0), (1, 1e4, 3e3)):
        other = streamed(
            sp.csr_matrix(counts), factors, design, run=Threads(threads), memory=memory, kept=kept
        )
        assert other.found._values.tobytes() == first.found._values.tobytes()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("chunks", [97, 100_000])
def test_engine__is_the_same_to_the_last_bit_for_any_chunks(small_blocks, tmp_path, chunks):  # noqa: F811
    counts, obs = make_cells()
    counts = rare(counts)
    design = design_of(counts, obs, True)
    factors = counts.sum(axis=1)
    first = streamed(sp.csr_matrix(counts), factors, design)
    path = tmp_path / "cells.zarr"
    anndata.AnnData(sp.csr_matrix(counts), obs=obs).write_zarr(path, chunks=(chunks, M))
    other = streamed(Place(str(path), "X"), factors, design)
    assert other.found._values.tobytes() == first.found._values.tobytes()


def one_gene(n=900, seed=3):
    """A gene that two cells of three lack, a covariate, a level with both, and its columns both ways."""
    rng = np.random.default_rng(seed)
    x = rng.gamma(0.7, size=n) * (rng.random(n) < 1 / 3)
    level = make_design(pd.DataFrame(index=range(n)), extra={"z": rng.normal(size=n) + 0.3 * (x > 0)}).levels[
        0
    ]
    z = level.covariates[:, 1]
    cells = np.flatnonzero(x)
    covariate = Covariate.of(z)
    of = heap_columns(cells, x[cells], z[cells], covariate, level, z, 5)
    return x, z, level, covariate, of, level_bases(x[:, None], level, 5)[0][0]


def test_columns__on_the_heap_are_those_of_all_cells():
    x, z, _, _, of, basis = one_gene()
    np.testing.assert_allclose(of.q, basis[:, x > 0], atol=1e-12)
    np.testing.assert_allclose(of.on_heap(z[x == 0]), basis[:, x == 0], atol=1e-12)


def test_expansions__sum_functions_over_cells():
    _, z, _, covariate, _, _ = one_gene()

    def weight(at):
        return (1 + at) / (1 - at**2 - 0.02) ** 2

    coefficients = covariate.expansion(weight(covariate.nodes()))
    np.testing.assert_allclose(coefficients @ covariate.waves, weight(z).sum(), rtol=1e-12)
    scaled = (z - covariate.middle) / covariate.half
    np.testing.assert_allclose(chebval(scaled, coefficients), weight(z), rtol=1e-11)


def test_second_test__with_a_heap_is_that_of_all_cells():
    x, z, level, covariate, of, basis = one_gene()
    rng = np.random.default_rng(8)
    y = rng.gamma(0.2, size=(6, len(x))) * (1 + x) * (rng.random((6, len(x))) < 0.5)
    mean, slope, norm = y.mean(axis=1), y @ z, np.sqrt((y**2).sum(axis=1))
    projected = (y - mean[:, None] - np.outer(slope, z)) / norm[:, None]
    plain = SecondTest(level.covariates).statistics(x, basis, projected)
    y = y / norm[:, None]
    sums = {(a, b): (y**a) @ z**b for a in range(5) for b in range(5 - a)}
    mean, slope = mean / norm, slope / norm
    found = SecondTestWithHeap(of, covariate)(sp.csr_matrix(y[:, x > 0]), sums, mean, slope)
    np.testing.assert_allclose(projected_fourth(sums, mean, slope), (projected**4).sum(axis=1))
    for one, other in zip(found, plain[:2], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8)
    powers = np.array([(z[x == 0] ** i).sum() for i in range(5)])
    np.testing.assert_allclose(
        concentration_with_heap(of, covariate, powers), concentration(basis[:, None])[0], rtol=1e-10
    )


def test_linearity__calls_every_pair_as_in_memory(little_memory, small_blocks, tmp_path):  # noqa: F811
    adata, path = saved(tmp_path)
    options = {"kind": "single-cell", "test": "robust", "keep": "all", "population": False, "within": "type"}
    held = poolproof.linearity(adata, **options)
    with open_backed(path) as (opened, _):
        found = poolproof.linearity(opened, memory=1e5, **options)
    assert found.all_cells is not None
    for one, other in ((held, found), *((held.levels[name], found.levels[name]) for name in "ab")):
        tables = (of.table.sort_values(["regulator", "target"], ignore_index=True) for of in (other, one))
        pd.testing.assert_frame_equal(*tables, rtol=1e-7)
        pd.testing.assert_frame_equal(other.genes, one.genes, rtol=1e-9)
    for key, value in held.summary.items():
        assert found.summary[key] == (pytest.approx(value) if isinstance(value, float) else value), key


def test_audit__of_more_cells_than_memory_holds(little_memory, small_blocks, tmp_path):  # noqa: F811
    _, path = saved(tmp_path)
    with open_backed(path) as (opened, _):
        found = poolproof.audit(opened, kind="single-cell", test="robust", memory=1e5)
    assert found.data["n_obs_tested"] > 0.9 * N
    found.save(tmp_path / "audit")
    assert (tmp_path / "audit" / "verdict.json").exists()


@pytest.mark.parametrize("log", [False, True])
def test_linearity__of_sparse_amounts_is_of_all_cells(little_memory, small_blocks, tmp_path, log):  # noqa: F811
    counts, obs = make_cells()
    counts = counts * (np.random.default_rng(5).random(counts.shape) < 0.15)
    values = sp.csr_matrix(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1) * 1000)
    adata = anndata.AnnData(values.log1p() if log else values, obs=obs)
    adata.write_h5ad(tmp_path / "amounts.h5ad")
    options = {"kind": "single-cell", "scale": "log" if log else "additive", "population": False}
    options["keep"] = "all"
    options |= {"log_base": "e", "log_offset": 1.0} if log else {}
    held = poolproof.linearity(adata, **options)
    with open_backed(tmp_path / "amounts.h5ad") as (opened, _):
        found = poolproof.linearity(opened, memory=1e5, **options)
    assert found.all_cells is not None
    one, other = (of.table.sort_values(["regulator", "target"], ignore_index=True) for of in (held, found))
    assert len(one) == M * (M - 1)
    pd.testing.assert_frame_equal(other, one, rtol=1e-7)
    pd.testing.assert_frame_equal(found.genes, held.genes, rtol=1e-9)


@pytest.mark.filterwarnings("ignore")
def test_dask__finds_the_same_bits(small_blocks, tmp_path):  # noqa: F811
    distributed = needed("distributed")
    counts, obs = make_cells()
    counts = rare(counts)
    factors, design = counts.sum(axis=1), design_of(counts, obs, True)
    anndata.AnnData(sp.csr_matrix(counts), obs=obs).write_h5ad(tmp_path / "cells.h5ad")
    place = Place(str(tmp_path / "cells.h5ad"), "X")
    first = streamed(place, factors, design)
    with (
        warnings.catch_warnings(),
        distributed.Client(
            processes=False, n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as client,
    ):
        warnings.simplefilter("ignore")
        other = streamed(place, factors, design, run=DaskRunner(client))
    assert other.found._values.tobytes() == first.found._values.tobytes()
