"""Edges for other tools: each format read back, the right edges in it, nothing hostile."""

import io
import json

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import poolproof
from poolproof import InputError, cli, export_edges


@pytest.fixture(scope="module")
def audits(tmp_path_factory):
    """An audit of regulators, and one of a network."""
    home = tmp_path_factory.mktemp("audits")
    random = np.random.default_rng(0)
    x = random.gamma(2.0, size=600)
    columns = {
        "x": x,
        "=line": 2 * x + random.normal(size=600),
        "bent": np.tanh(x) + random.normal(0, 0.05, 600),
        "<b>z</b>": x + random.gamma(2.0, size=600),
        "other": random.gamma(2.0, size=600),
    }
    values = pd.DataFrame(columns)
    read = {"kind": "bulk", "scale": "additive"}
    poolproof.audit(values, **read, regulators=["x"]).save(home / "pairs")
    network = [("x", "=line"), ("x", "bent"), ("x", "<b>z</b>"), ("<b>z</b>", "other")]
    poolproof.audit(values, **read, network=network).save(home / "network")
    return home


def pairs_of(edges):
    return set(zip(edges["regulator"], edges["target"], strict=True))


def test_default__affine_pairs_or_what_survives(audits, tmp_path):
    edges = export_edges(audits / "pairs", tmp_path / "a.csv", to="csv")
    table = pd.read_parquet(audits / "pairs" / "pairs.parquet")
    assert (
        pairs_of(edges) == pairs_of(table[table["call"] == "affine"]) == {("x", "=line"), ("x", "<b>z</b>")}
    )
    of_network = export_edges(audits / "network", tmp_path / "b.csv", to="csv", kinds=["not_contradicted"])
    status = pd.read_parquet(audits / "network" / "edges.parquet")
    assert pairs_of(of_network) == pairs_of(status[status["pool_status"] == "not_contradicted"])
    survives = export_edges(audits / "network", tmp_path / "c.csv", to="csv")
    assert pairs_of(survives) == pairs_of(status[status["pool_status"] == "survives"])


def test_formats__say_the_same(audits, tmp_path):
    kinds = ["affine", "nonlinear"]
    edges = export_edges(audits / "pairs", tmp_path / "e.csv", to="csv", kinds=kinds)
    expected = pairs_of(edges)
    assert len(expected) == 3
    written = pd.read_csv(tmp_path / "e.csv")
    assert len(written) == 3
    assert not written["target"].str.startswith("=").any()  # a spreadsheet would run it
    for to in ("graphml", "cytoscape", "gmt"):
        export_edges(audits / "pairs", tmp_path / to, to=to, kinds=kinds)
    graph = nx.read_graphml(tmp_path / "graphml")
    assert set(graph.edges) == expected
    assert graph.edges["x", "bent"]["call"] == "nonlinear"
    assert graph.edges["x", "=line"]["r2_spline"] == pytest.approx(
        edges.set_index("target").loc["=line", "r2_spline"]
    )
    assert set(nx.cytoscape_graph(json.loads((tmp_path / "cytoscape").read_text())).edges) == expected
    (line,) = (tmp_path / "gmt").read_text().splitlines()
    name, what, *targets = line.split("\t")
    assert (name, what, set(targets)) == ("x", "affine,nonlinear", {t for _, t in expected})


def test_nothing_to_write__is_an_empty_file_of_the_format(audits, tmp_path):
    for to in ("csv", "graphml", "cytoscape", "gmt"):
        edges = export_edges(audits / "pairs", tmp_path / to, to=to, kinds=["inconclusive"])
        assert len(edges) == 0
    assert pd.read_csv(io.StringIO((tmp_path / "csv").read_text())).empty
    assert len(nx.read_graphml(tmp_path / "graphml")) == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"to": "xlsx"}, "xlsx"),
        ({"to": "csv", "kinds": ["right"]}, "right"),
        ({"to": "csv", "kinds": ["survives"]}, "network"),
    ],
)
def test_refused__in_one_line(audits, tmp_path, options, said):
    with pytest.raises(InputError, match=said):
        export_edges(audits / "pairs", tmp_path / "e", **options)
    assert not (tmp_path / "e").exists()


def test_command(audits, tmp_path):
    def run(*arguments):
        return CliRunner().invoke(cli.commands, ["export", *map(str, arguments)])

    done = run(audits / "pairs", "--to", "gmt", "--out", tmp_path / "e.gmt")
    assert done.exit_code == 0
    assert done.stderr.startswith("2 edges: ")
    assert run(audits / "pairs", "--to", "gmt", "--out", tmp_path / "e.gmt").exit_code != 0
    assert (
        run(audits / "pairs", "--to", "gmt", "--out", tmp_path / "e.gmt", "--force", "--quiet").stderr == ""
    )
    assert run(tmp_path, "--to", "csv", "--out", tmp_path / "f").exit_code != 0
    assert not (tmp_path / "f").exists()
