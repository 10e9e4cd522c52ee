"""The bend share of counts from blocks of cells: the numbers of memory, whatever blocks and threads."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from test_stream import M, design_of, form, little_memory, make_cells, saved, small_blocks, write  # noqa: F401

from poolproof.data.blocks import Blocks
from poolproof.pairs.count_engine import CountTest
from poolproof.pairs.population import population_of
from poolproof.pairs.population_measures import CountMeasure
from poolproof.pairs.population_pass import sum_pairs
from poolproof.pairs.stream_genes import StreamedGenes
from poolproof.pairs.stream_share import StreamedShare
from poolproof.pairs.stream_sums import CellStream
from poolproof.pairs.workers import Threads

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
def test_sums__are_those_of_cells_in_memory(small_blocks, columns, overdispersion, known, listed):  # noqa: F811
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
def test_population__is_that_of_cells_in_memory(small_blocks, columns, overdispersion, known):  # noqa: F811
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
