import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from click.testing import CliRunner

import poolproof
from poolproof._checks import InputError
from poolproof.cli import commands
from poolproof.discovery import discover_in_pools


def fork(n=8000, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.gamma(2.0, size=n)
    x, z = (y**2 + 2 * rng.normal(size=n) for _ in range(2))
    return pd.DataFrame({"X": x, "Y": y, "Z": z, "W": rng.normal(size=n)})


@pytest.fixture(scope="module")
def tested():
    return poolproof.linearity(fork(), kind="single-cell", scale="additive")


def test_discover__pools_join_what_cells_separate(tested):
    found = discover_in_pools(tested, ["spline_pc", "partial_correlation"])
    assert found.summary["n_pools"] == 400
    assert found.summary["genes"] == ["X", "Y", "Z"]  # W is associated with nothing
    by_pair = found.table[found.table["method"] == "spline_pc"].set_index(["regulator", "target"])["found"]
    assert by_pair.get(("X", "Z"), by_pair.get(("Z", "X"))) == "pools_only"
    assert (by_pair == "both").sum() == 2
    assert "1 in pools only (distortion)" in str(found)
    again = discover_in_pools(tested, ["spline_pc", "partial_correlation"])
    pd.testing.assert_frame_equal(again.table, found.table)


def test_discover__order_of_genes_changes_no_edge(tested):
    other = poolproof.linearity(fork()[["W", "Z", "Y", "X"]], kind="single-cell", scale="additive")
    edges = [
        {
            (frozenset((row.regulator, row.target)), row.found)
            for row in discover_in_pools(of, ["spline_pc"]).table.itertuples()
        }
        for of in (tested, other)
    ]
    assert edges[0] == edges[1]


def test_discover__pools_stay_inside_levels_and_replicates():
    rng = np.random.default_rng(1)
    data = fork(3000)
    data["X"] += np.repeat([0.0, 100.0], 1500)  # types differ by far; their means are taken off
    obs = pd.DataFrame({"type": np.repeat(["a", "b"], 1500)}, index=data.index)
    tested = poolproof.linearity(data, obs=obs, within="type", kind="single-cell", scale="additive")
    found = discover_in_pools(tested, ["partial_correlation"], n_cells=10, seed=int(rng.integers(9)))
    assert found.summary["n_pools"] == 300
    weights = found.graphs["partial_correlation"]["pools"].weights
    assert weights.max() > 0.3  # the relation to Y is not drowned by the types


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "bulk"}, "which are pools already"),
        ({"n_cells": 100}, "at least 50 pools of 100 cells"),
        ({"methods": ["pcc"]}, "pcc"),
    ],
)
def test_discover__refused_in_one_line(options, words):
    kind = options.pop("kind", "single-cell")
    tested = poolproof.linearity(fork(1000), kind=kind, scale="additive")
    with pytest.raises(InputError, match=words) as caught:
        discover_in_pools(tested, options.pop("methods", ["correlation"]), **options)
    assert "\n" not in str(caught.value)


def test_command__writes_table_and_graphs_and_says_what_was_found(tmp_path):
    import networkx as nx

    adata = AnnData(fork().rename(index=lambda i: f"cell{i}"))
    adata.write_h5ad(tmp_path / "cells.h5ad")
    options = ["--kind", "single-cell", "--scale", "additive", "--out", str(tmp_path / "out")]
    command = ["audit", str(tmp_path / "cells.h5ad"), *options, "--discover", "spline_pc"]
    answer = CliRunner().invoke(commands, command)
    assert answer.exit_code == 0, answer.output
    assert "spline_pc: 2 edges in cells and pools, 1 in pools only" in answer.output
    table = pd.read_parquet(tmp_path / "out" / "discovered.parquet")
    graph = nx.read_graphml(tmp_path / "out" / "discovered.graphml")
    assert {frozenset(edge) for edge in graph.edges()} == {
        frozenset(pair) for pair in zip(table["regulator"], table["target"], strict=True)
    }
    refused = CliRunner().invoke(commands, [*command[:-1], "no_such", "--force"])
    assert isinstance(refused.exception, InputError)
