"""Edges of networks beside random pairs: matched, never circular, none known, none twice."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from study_toys import bulk, counts, toy_subject

from poolproof import fetch_dataset, list_networks
from poolproof.study import steps
from poolproof.study import steps as _study_edges
from poolproof.study.plan import Entry
from poolproof.study.steps import CIRCULAR, edge_lists, random_pairs, read_network, varying
from poolproof.study.subject import read_subject

SETTINGS = {"max_edges": 4000, "random_per_edge": 1}


@pytest.fixture
def networks(monkeypatch, tmp_path):
    """Networks by name: ``networks(net=table)``; the data set finds them as those of the registry."""

    def write(**tables):
        for name, table in tables.items():
            table.to_csv(tmp_path / f"{name}.csv", index=False)
        monkeypatch.setattr(_study_edges, "fetch_dataset", lambda name: tmp_path / f"{name}.csv")
        return tuple(tables)

    return write


def dense_network(n_regulators=6, n_genes=30, share=0.3, seed=0):
    rng = np.random.default_rng(seed)
    pairs = [
        (f"gene{x:03d}", f"gene{y:03d}")
        for x in range(n_regulators)
        for y in range(n_genes)
        if x != y and rng.random() < share
    ]
    return pd.DataFrame(pairs, columns=["source", "target"])


def pairs_of(table):
    return list(table[["regulator", "target"]].itertuples(index=False, name=None))


# --- networks --------------------------------------------------------------------------------------------


def test_read__rows_that_rest_on_expression_are_marked_for_every_row_of_the_pair(networks):
    networks(
        net=pd.DataFrame(
            {
                "source": ["A", "A", "A", "B", "B"],
                "target": ["B", "C", "C", "C", "B"],
                CIRCULAR: ["0", "0", "1", "1", "0"],
            }
        )
    )
    found = read_network("net")
    assert pairs_of(found) == [("A", "B"), ("A", "C"), ("B", "C")]
    assert found["circular"].tolist() == [False, True, True]


def test_read__the_gene_of_a_regulator_goes_before_its_name(networks):
    networks(
        net=pd.DataFrame({"source": ["Crp", "IHF"], "source_gene_id": ["b3357", ""], "target": ["b1", "b2"]})
    )
    assert pairs_of(read_network("net")) == [("b3357", "b1"), ("IHF", "b2")]


@pytest.mark.parametrize("name", [entry.name for entry in list_networks()])
def test_read__no_circular_edge_of_the_registry_is_used(name):
    raw = pd.read_csv(fetch_dataset(name), dtype=str, keep_default_na=False)
    found = read_network(name)
    used = set(pairs_of(found[~found["circular"]]))
    assert used
    assert not found.duplicated(["regulator", "target"]).any()
    if CIRCULAR in raw:
        inferred = raw[raw[CIRCULAR] == "1"]
        assert len(inferred)
        assert not used & set(zip(inferred["source"], inferred["target"], strict=True))
    else:
        assert not found["circular"].any()


# --- lists -----------------------------------------------------------------------------------------------


def lists(subject, settings=SETTINGS, seed=0):
    return {name: (edges, random) for name, edges, random in edge_lists(subject, settings, seed)}


def test_lists__edges_inside_the_data_and_random_pairs_of_the_same_genes(networks):
    network = dense_network()
    outside = pd.DataFrame({"source": ["gene000", "other"], "target": ["other", "gene001"]})
    names = networks(net=pd.concat([network, outside]))
    edges, random = lists(toy_subject(bulk(), networks=names, scale="additive"))["net"]
    known = set(zip(network["source"], network["target"], strict=True))
    assert set(pairs_of(edges)) == known
    assert len(random) == len(edges)
    found = pairs_of(random)
    assert len(set(found)) == len(found)
    assert not {*found, *((y, x) for x, y in found)} & known
    assert set(random["regulator"]) <= set(edges["regulator"])
    assert set(random["target"]) <= set(edges["target"])
    assert (random["regulator"] != random["target"]).all()


def test_lists__where_edges_are_drawn_the_others_stay_known(networks):
    # 6 regulators with 9 in 10 of 30 targets: random pairs that forget the edges not drawn would be edges
    network = dense_network(share=0.9)
    names = networks(net=network)
    subject = toy_subject(bulk(), networks=names, scale="additive")
    edges, random = lists(subject, {"max_edges": 15, "random_per_edge": 1})["net"]
    known = set(zip(network["source"], network["target"], strict=True))
    assert len(edges) == 15
    assert set(pairs_of(edges)) <= known
    assert len(random) > 0
    assert not {*pairs_of(random), *((y, x) for x, y in pairs_of(random))} & known
    other, _ = lists(subject, {"max_edges": 15, "random_per_edge": 1}, seed=1)["net"]
    assert set(pairs_of(other)) != set(pairs_of(edges))


def test_lists__circular_edges_are_neither_edges_nor_random_pairs(networks):
    network = dense_network(share=0.5)
    network[CIRCULAR] = np.where(np.arange(len(network)) % 2 == 0, "1", "0")
    names = networks(net=network)
    edges, random = lists(toy_subject(bulk(), networks=names, scale="additive"))["net"]
    pairs = set(zip(network["source"], network["target"], strict=True))
    circular = {
        pair
        for pair, flag in zip(
            network[["source", "target"]].itertuples(index=False, name=None), network[CIRCULAR], strict=True
        )
        if flag == "1"
    }
    assert set(pairs_of(edges)) == pairs - circular
    assert not set(pairs_of(random)) & pairs


def test_lists__do_not_depend_on_the_order_of_genes_or_rows(networks):
    network = dense_network(share=0.5)
    names = networks(net=network, same=network.sample(frac=1, random_state=0))
    adata = bulk()
    settings = {"max_edges": 20, "random_per_edge": 1}
    one = lists(toy_subject(adata, networks=names, scale="additive"), settings)
    turned = lists(toy_subject(adata[:, ::-1].copy(), networks=names, scale="additive"), settings)
    for name in names:
        for i in (0, 1):
            pd.testing.assert_frame_equal(one[name][i], turned[name][i])


def test_lists__a_network_with_few_edges_inside_is_passed_over(networks):
    names = networks(few=dense_network().head(9), enough=dense_network().head(10))
    assert list(lists(toy_subject(bulk(), networks=names, scale="additive"))) == ["enough"]


@pytest.mark.parametrize("sparse", [False, True])
def test_varying__seen_in_a_tenth_of_the_samples(sparse):
    adata = counts(n=100, n_genes=5, sparse=False)
    adata.X[:] = np.random.default_rng(0).poisson(30.0, adata.shape)
    adata.X[:, 1] = 0
    adata.X[:9, 1] = 3
    adata.X[:, 2] = 0
    adata.X[:10, 2] = 3
    if sparse:
        adata.X = sp.csr_matrix(adata.X)
    assert varying(toy_subject(adata, scale="counts")).tolist() == [True, False, True, True, True]


def test_varying__missing_and_constant_genes_are_left_out():
    adata = bulk(n_genes=4)
    adata.X[3, 1] = np.nan
    adata.X[:, 2] = 7.0
    assert varying(toy_subject(adata, scale="additive")).tolist() == [True, False, False, True]


# --- random pairs ----------------------------------------------------------------------------------------


@given(
    edges=st.sets(st.tuples(st.integers(0, 8), st.integers(0, 8)).filter(lambda e: e[0] != e[1]), min_size=1),
    seed=st.integers(0, 99),
    per_edge=st.integers(1, 3),
)
def test_random__law(edges, seed, per_edge):
    table = pd.DataFrame([(f"g{x}", f"g{y}") for x, y in sorted(edges)], columns=["regulator", "target"])
    known = set(pairs_of(table))
    found = pairs_of(random_pairs(table, known, per_edge, np.random.default_rng(seed)))
    assert len(found) == len(set(found)) <= per_edge * len(edges)
    for x, y in found:
        assert x != y
        assert (x, y) not in known
        assert (y, x) not in known
        assert x in set(table["regulator"])
        assert y in set(table["target"])


def test_random__regulators_come_as_often_as_in_the_edges():
    table = pd.DataFrame(
        [(f"r{i % 5}", f"t{j}") for i in range(5) for j in range(100) if (i + j) % (3 + i) == 0],
        columns=["regulator", "target"],
    )
    found = random_pairs(table, set(pairs_of(table)), 1, np.random.default_rng(0))
    edges, pairs = Counter(table["regulator"]), Counter(found["regulator"])
    assert all(0.85 * n <= pairs[x] <= n for x, n in edges.items())
    assert len(found) > 0.95 * len(table)


# --- the step --------------------------------------------------------------------------------------------


def test_step__counts_each_list_by_itself(networks):
    names = networks(net=dense_network())
    subject = toy_subject(bulk(), networks=names, scale="additive")
    edges, random = lists(subject)["net"]
    rows = list(steps.edges(subject, 0))
    assert [row["setting"] for row in rows] == ["edges of net", "random of net"]
    every = pd.concat([edges, random], ignore_index=True)
    table = steps.analyse(subject, subject.every, pairs=every, keep="all").table
    for row, part in zip(rows, (edges, random), strict=True):
        mine = table.merge(part, on=["regulator", "target"])
        associated = mine[mine["call"] != "not_associated"]
        assert row["n_tested"] == len(mine) == len(part)
        assert row["n_associated"] == len(associated)
        assert row["share_nonlinear"] == pytest.approx((associated["call"] == "nonlinear").mean())
        assert row["share_affine"] == pytest.approx((associated["call"] == "affine").mean())


def test_step__pairs_that_cannot_be_tested_are_not_counted_as_tested(networks):
    adata = counts(n=400, n_genes=30, sparse=False)
    adata.X[:, 3] = np.arange(400) < 60  # seen in 60 cells, at most once: no regulator for the corrected test
    network = pd.DataFrame(
        {"source": ["gene003"] * 12 + ["gene001"] * 12, "target": [f"gene{i:03d}" for i in range(4, 28)]}
    )
    subject = toy_subject(adata, networks=networks(net=network), scale="counts", kind="single-cell")
    row = next(iter(steps.edges(subject, 0)))
    found = steps.analyse(subject, subject.every, pairs=network.rename(columns={"source": "regulator"}))
    assert 0 < found.summary["n_pairs_tested"] < 24
    assert row["n_tested"] == found.summary["n_pairs_tested"]


def test_step__real_edges_lie_in_the_data():
    subject = read_subject(Entry("bulk_saureus_imodulon"))
    (name, edges, random), *_ = edge_lists(subject, SETTINGS, 0)
    assert name == "network_saureus_regprecise"
    assert len(edges) > 500
    assert len(random) == len(edges)
    network = read_network(name)
    known = set(pairs_of(network))
    assert set(pairs_of(edges)) <= known
    assert not set(pairs_of(random)) & known
    assert set(edges["regulator"]) | set(edges["target"]) <= set(subject.every.genes)
