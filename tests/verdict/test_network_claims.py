"""The separations that a network claims, how they are judged, and the status of its edges."""

import json
import re
from itertools import combinations

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from helpers import shared_data
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from poolproof import InputError, audit, describe, linearity, load_dataset, read_edges, screen_triples
from poolproof._names import COMMON_CAUSE, PATH, SEPARATION_COLUMNS, UNRELATED
from poolproof._random import stream
from poolproof.basis import conditioning_bases
from poolproof.data import match_edges
from poolproof.pairs import make_design
from poolproof.pairs.count_engine import CountTest
from poolproof.triples.count_conditioner import CountConditioner
from poolproof.triples.score_conditioner import ScoreConditioner
from poolproof.triples.table import rows_of
from poolproof.verdict import judge_network
from poolproof.verdict.claims import (
    SeparationGraph,
    acyclic_parents,
    draw_claims,
    network_nodes,
)
from poolproof.verdict.edges import Evidence, edge_status
from poolproof.verdict.given_sets import CountSets, ScoreSets, joint_basis
from poolproof.verdict.tested_network import equations_of

NO = None


def conditioning_basis(x, k=5):
    """Columns that conditioning on x fits, shape ``(n, c)``."""
    basis, n_columns = conditioning_bases(x[:, None], k)
    return basis[0, : n_columns[0]].T


def claims_of(n_nodes, edges, measured=None, max_given=3):
    graph = SeparationGraph(n_nodes, edges, measured)
    return {
        (c.x, c.z): (c.given, c.relation)
        for c in draw_claims(graph, max_claims=99, max_given=max_given).drawn
    }


# --- claims, by hand -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edges", "claims"),
    [
        ([(1, 0), (1, 2)], {(0, 2): ((1,), COMMON_CAUSE)}),  # fork
        ([(0, 1), (1, 2)], {(0, 2): ((1,), PATH)}),  # chain
        ([(0, 1), (2, 1)], {(0, 2): ((), UNRELATED)}),  # collider
        ([(0, 1), (0, 2), (1, 3), (2, 3)], {(1, 2): ((0,), COMMON_CAUSE), (0, 3): ((1, 2), PATH)}),  # diamond
        ([(0, 2), (1, 2)], {(0, 1): ((), UNRELATED)}),  # a child of two parents
        ([(0, 0), (0, 1), (1, 2)], {(0, 2): ((1,), PATH)}),  # a gene that regulates itself
        ([(0, 1), (1, 0)], {}),  # a cycle of two
        ([(0, 1), (1, 2), (2, 3), (3, 4)], {(0, 4): ((1,), PATH)}),  # ties go to the smaller number
    ],
)
def test_claims__of_small_graphs(edges, claims):
    n_nodes = 1 + max(max(edge) for edge in edges)
    found = claims_of(n_nodes, edges)
    assert {pair: found[pair] for pair in claims} == claims
    assert claims or not found


def test_claims__a_cycle_is_entered_through_all_its_genes():
    """0 -> 1 <-> 2 -> 3: 0 and 2 are not separated by 1, as they would be without the way back."""
    edges = [(0, 1), (1, 2), (2, 1), (2, 3)]
    assert claims_of(4, edges) == {(0, 3): ((2,), PATH), (1, 3): ((2,), PATH)}
    graph = SeparationGraph(4, edges)
    assert graph.n_on_cycles == 2
    assert graph.adjacent(0, 2)


def test_claims__an_unmeasured_regulator_is_never_given():
    """0 <- 1 -> 2 with 1 unmeasured claims nothing of 0 and 2; behind a measured gene it does no harm."""
    assert claims_of(3, [(1, 0), (1, 2)], np.array([True, False, True])) == {}
    edges = [(4, 1), (4, 3), (1, 0), (3, 2)]  # 0 <- 1 <- (4) -> 3 -> 2
    measured = np.array([True, True, True, True, False])
    assert claims_of(5, edges, measured)[0, 2] == ((1,), COMMON_CAUSE)


def test_claims__sets_that_are_too_large_are_counted():
    edges = [(1, 0), (2, 0), (1, 3), (2, 3)]
    graph = SeparationGraph(4, edges)
    found = draw_claims(graph, max_claims=99, max_given=1)
    assert [(c.x, c.z, c.given) for c in found.drawn] == [(1, 2, ())]
    assert (found.n_large, found.n_related_drawn, found.n_related, found.n_pairs) == (1, 1, 1, 2)


# --- claims, by law ------------------------------------------------------------------------------------


@st.composite
def graphs(draw, cyclic=False):
    n = draw(st.integers(2, 7))
    order = draw(st.permutations(range(n)))
    pairs = [(a, b) for a in range(n) for b in range(n) if a != b and (cyclic or a < b)]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=2 * n))
    measured = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    return n, [(order[a], order[b]) for a, b in chosen], np.array(measured)


def separated(graph, x, z, given):
    return nx.is_d_separator(graph, {x}, {z}, set(given))


@settings(max_examples=300, deadline=None)
@given(graphs())
def test_separator__is_a_minimal_d_separator_wherever_there_is_one(case):
    n, edges, measured = case
    graph = nx.DiGraph(edges)
    graph.add_nodes_from(range(n))
    fast = SeparationGraph(n, edges, measured)
    for x, z in combinations(range(n), 2):
        others = [node for node in range(n) if measured[node] and node not in (x, z)]
        subsets = [of for size in range(len(others) + 1) for of in combinations(others, size)]
        found = fast.separator(x, z)
        assert found == fast.separator(z, x)
        if found is None:
            assert not any(separated(graph, x, z, of) for of in subsets)
            continue
        assert set(found) <= set(others)
        assert separated(graph, x, z, found)
        assert not any(separated(graph, x, z, of) for of in subsets if set(of) < set(found))
        directed = nx.has_path(graph, x, z) or nx.has_path(graph, z, x)
        relation = PATH if directed else UNRELATED if separated(graph, x, z, ()) else COMMON_CAUSE
        assert fast.relation(x, z) == relation


@settings(max_examples=200, deadline=None)
@given(graphs(cyclic=True))
def test_separator__of_cyclic_linear_equations_zeroes_the_partial_covariance(case):
    """x = B x + noise has one solution: every claim must hold exactly in its covariance."""
    n, edges, measured = case
    rng = stream(0, "cyclic", str(edges))
    b = np.zeros((n, n))
    for parent, child in edges:
        b[child, parent] = rng.uniform(0.1, 0.9) * rng.choice([-1, 1]) / n
    mixing = np.linalg.inv(np.eye(n) - b)
    covariance = mixing @ np.diag(rng.uniform(0.5, 2.0, n)) @ mixing.T
    graph = SeparationGraph(n, edges, measured)
    for x, z in combinations(range(n), 2):
        found = graph.separator(x, z)
        if found is None:
            continue
        given_ = list(found)
        cross = covariance[np.ix_([x, z], given_)]
        rest = covariance[np.ix_([x, z], [x, z])]
        rest = rest - cross @ np.linalg.solve(covariance[np.ix_(given_, given_)], cross.T)
        assert abs(rest[0, 1]) < 1e-10


@settings(max_examples=100, deadline=None)
@given(graphs(cyclic=True))
def test_acyclic_parents__agree_with_networkx_where_there_is_no_cycle(case):
    n, edges, _ = case
    parents, n_on_cycles = acyclic_parents(n, edges)
    graph = nx.DiGraph([(p, node) for node, of in enumerate(parents) for p in of])
    assert nx.is_directed_acyclic_graph(graph)
    original = nx.DiGraph(edges)
    assert set(original.to_undirected().edges) <= {
        edge for a, b in graph.edges for edge in ((a, b), (b, a))
    } | {(a, a) for a in range(n)}
    if nx.is_directed_acyclic_graph(original):
        assert n_on_cycles == 0
        assert set(graph.edges) == set(original.edges)


def random_network(seed, n=40, n_edges=70):
    rng = stream(seed, "network")
    edges = {
        tuple(sorted(pair)) for pair in rng.integers(n, size=(n_edges, 2)).tolist() if pair[0] != pair[1]
    }
    return n, sorted(edges)


def test_draw_claims__all_pairs_are_accounted_for():
    n, edges = random_network(1)
    graph = SeparationGraph(n, edges)
    found = draw_claims(graph, max_claims=10_000, max_given=2)
    conditional = [c for c in found.drawn if c.relation != UNRELATED]
    assert found.n_pairs == n * (n - 1) // 2 - len(edges)
    assert found.n_related == found.n_related_drawn == len(conditional) + found.n_large + found.n_unseparated
    assert found.n_pairs - found.n_related == len(found.drawn) - len(conditional)
    assert found.n_large > 0
    assert all(c.given for c in conditional)
    assert len({(c.x, c.z) for c in found.drawn}) == len(found.drawn)


def test_draw_claims__draws_by_the_seed_and_no_more_than_asked():
    n, edges = random_network(2)
    graph = SeparationGraph(n, edges)
    one, again, other = (draw_claims(graph, max_claims=20, seed=seed) for seed in (0, 0, 1))
    assert one.drawn == again.drawn
    assert one.drawn != other.drawn
    assert one.n_related_drawn == 20
    assert sum(c.relation == UNRELATED for c in one.drawn) == 5


def test_draw_claims__every_pair_is_as_likely():
    """Each related pair, and each unrelated one, is drawn equally often over seeds."""
    n, edges = random_network(3, n=10, n_edges=9)
    graph = SeparationGraph(n, edges)
    n_related = draw_claims(graph, max_claims=1).n_related
    n_apart = n * (n - 1) // 2 - len(edges) - n_related
    assert min(n_related, n_apart) >= 3
    seen = {True: [], False: []}
    for seed in range(2000):
        for claim in draw_claims(graph, max_claims=1, seed=seed).drawn:
            seen[claim.relation != UNRELATED].append((claim.x, claim.z))
    for related, n_pairs in ((True, n_related), (False, n_apart)):
        counts = pd.Series(seen[related]).value_counts()
        assert len(counts) == n_pairs
        assert stats.chisquare(counts).pvalue > 1e-3


def test_draw_claims__finds_the_few_related_pairs_of_a_large_network():
    edges = [(3 * i, 3 * i + j) for i in range(700) for j in (1, 2)]
    found = draw_claims(SeparationGraph(2100, edges), max_claims=900)
    assert found.n_related == found.n_related_drawn == 700
    assert found.n_pairs == 2100 * 2099 // 2 - 1400
    pairs = {(c.x, c.z) for c in found.drawn if c.given}
    assert pairs == {(3 * i + 1, 3 * i + 2) for i in range(700)}
    apart = [c for c in found.drawn if not c.given]
    assert len({(c.x, c.z) for c in apart}) == 225
    assert all(c.x // 3 < c.z // 3 for c in apart)


# --- the genes of a network ----------------------------------------------------------------------------


def test_network_nodes__agree_with_the_edges_that_match():
    edges = pd.DataFrame(
        {
            "regulator": ["Crp", "FMN", "Fur", "Crp", "Crp"],
            "source_gene_id": ["b3357", "", "b0683", "b3357", "b3357"],
            "target": ["b0001", "b0002", "b9999", "b0002", "b3357"],
        }
    )
    genes = ["b0002", "b3357", "b0001"]
    nodes = network_nodes(edges, genes)
    matched = match_edges(edges, genes)
    inside = {
        (nodes.gene[a], nodes.gene[b]) for a, b in nodes.edges if min(nodes.gene[a], nodes.gene[b]) >= 0
    }
    assert inside == set(zip(matched.regulator_index, matched.target_index, strict=True))
    assert nodes.names == ("FMN", "Fur", "b0001", "b0002", "b3357", "b9999")
    assert nodes.measured.tolist() == [False, False, True, True, True, False]
    assert len(nodes.edges) == 4  # the edge of Crp to itself is gone


def test_network_nodes__one_unmeasured_gene_has_one_node_under_all_its_names():
    edges = pd.DataFrame(
        {
            "regulator": ["A", "Lrp", "B"],
            "source_gene_id": ["", "b0889", ""],
            "target": ["b0889", "C", "C"],
        }
    )
    nodes = network_nodes(edges, ["A", "B", "C"])
    assert nodes.names == ("A", "B", "C", "Lrp")
    assert {(nodes.names[a], nodes.names[b]) for a, b in nodes.edges} == {
        ("A", "Lrp"),
        ("Lrp", "C"),
        ("B", "C"),
    }


def test_network_nodes__a_symbol_of_two_genes_is_two_nodes():
    edges = pd.DataFrame({"regulator": ["TF"], "target": ["DUX4"]})
    nodes = network_nodes(edges, ["E1", "E2", "E3"], ["DUX4", "TF", "DUX4"])
    assert [(nodes.names[a], nodes.names[b]) for a, b in nodes.edges] == [("E2", "E1"), ("E2", "E3")]


# --- the kernel ----------------------------------------------------------------------------------------

OBS = pd.DataFrame(
    {
        "batch": stream(0, "batch").normal(size=150),
        "type": np.repeat(["a", "b"], [90, 60]),
        "donor": [f"d{i % 10}" for i in range(150)],
    }
)
DESIGNS = {
    "plain": {},
    "covariate": {"covariates": ["batch"]},
    "levels": {"within": ["type"], "covariates": ["batch"]},
    "donors": {"within": ["type"], "replicate": "donor"},
}
SETS = [(), (0,), (0, 1), (0, 1, 2)]


def six_genes(n=150):
    rng = stream(0, "six genes")
    x = rng.gamma(2.0, size=(n, 6))
    x[:, 4] = x[:, 0] + np.tanh(x[:, 1]) + x[:, 2] * rng.normal(size=n)
    x[:, 5] = x[:, 0] ** 2 + x[:, 2] + rng.normal(size=n)
    return x


def residuals(values, design, genes, end, k, lines):
    """By least squares, level by level: the slow and obvious way."""
    parts = []
    for level in design.levels:
        y = values[level.rows, end]
        bases = [conditioning_basis(values[level.rows, gene], k)[:, : 1 if lines else k] for gene in genes]
        columns = np.hstack([level.covariates, *bases])
        parts.append(y - columns @ np.linalg.lstsq(columns, y)[0])
    return np.concatenate(parts)


def cosine(a, b):
    return a @ b / np.sqrt((a @ a) * (b @ b))


@pytest.mark.parametrize("options", DESIGNS.values(), ids=DESIGNS)
@pytest.mark.parametrize("number", range(4))
def test_score_sets__equal_direct_regression(options, number):
    values, design = six_genes(), make_design(OBS, **options)
    conditioner = ScoreSets(SETS, values, None, design)
    rows = rows_of(conditioner, np.array([(4, number, 5)]), 0.1, nothing_left="no_variance_left")
    assert rows.status[0] == "ok"
    assert rows.n[0] == 150
    for found, lines in ((rows.spline, False), (rows.linear, True)):
        k = min(5, 60 // (6 * max(number, 1))) if "within" in options else 5
        e = [residuals(values, design, SETS[number], end, k, lines) for end in (4, 5)] if k == 5 else None
        if e is None:  # the two levels carry different numbers of columns
            e = [by_level(values, design, SETS[number], end, lines) for end in (4, 5)]
        assert found[0] == pytest.approx(cosine(*e), abs=1e-8)


def by_level(values, design, genes, end, lines):
    parts = []
    for level in design.levels:
        k = max(2, min(5, len(level.rows) // 6 // len(genes)))
        alone = type(design)((level,), 0, (), ())
        parts.append(residuals(values, alone, genes, end, k, lines))
    return np.concatenate(parts)


def test_score_sets__standard_error_by_its_formula():
    values, design = six_genes(), make_design(OBS)
    rows = rows_of(ScoreSets(SETS, values, None, design), np.array([(4, 2, 5)]), 0.1, nothing_left="")
    basis = np.hstack([conditioning_basis(values[:, gene]) for gene in (0, 1)])
    smooth = np.linalg.qr(np.hstack([np.ones((150, 1)), basis]))[0]
    for lines, found in ((False, rows.spline_se), (True, rows.linear_se)):
        x, z = (residuals(values, design, (0, 1), end, 5, lines) for end in (4, 5))
        variance = (smooth.T @ x**2) @ (smooth.T @ z**2) / ((x @ x) * (z @ z))
        free = 150 / (150 - (3 if lines else 11))
        variance = variance * free - (cosine(x, z) ** 2 / 150 if lines else 0)
        assert found[0] == pytest.approx(np.sqrt(variance), rel=1e-8)


def test_score_sets__standard_error_of_donors_by_its_formula():
    values, design = six_genes(), make_design(OBS, replicate="donor")
    rows = rows_of(ScoreSets(SETS, values, None, design), np.array([(4, 1, 5)]), 0.1, nothing_left="")
    x, z = (residuals(values, design, (0,), end, 5, False) for end in (4, 5))
    sums = np.array([(x * z)[design.levels[0].clusters == d].sum() for d in range(10)])
    sums /= np.sqrt((x @ x) * (z @ z))
    variance = ((sums**2).sum() - sums.sum() ** 2 / 10) * 10 / 9
    assert rows.spline_se[0] == pytest.approx(np.sqrt(variance), rel=1e-8)
    nearest = min(
        stats.t.sf(abs(abs(rho) - 0.1) / se, 9)
        for rho, se in ((rows.spline[0], rows.spline_se[0]), (rows.linear[0], rows.linear_se[0]))
    )
    assert rows.p_value[0] >= nearest * (1 - 1e-6)


@pytest.mark.parametrize("options", DESIGNS.values(), ids=DESIGNS)
def test_score_sets__a_set_of_one_gene_is_the_triple(options):
    values, design = six_genes(), make_design(OBS, **options)
    triples = np.array([(4, 1, 5), (3, 1, 5)])
    of_set = rows_of(ScoreSets(SETS, values, None, design), triples, 0.1, nothing_left="")
    middle = triples * [1, 0, 1]
    of_gene = rows_of(ScoreConditioner(values, None, design, dtype=np.float64), middle, 0.1, nothing_left="")
    for name in ("linear", "linear_se", "spline", "spline_se", "correlation", "p_value", "code"):
        assert getattr(of_set, name) == pytest.approx(getattr(of_gene, name), rel=1e-9, abs=1e-12)


def test_score_sets__say_why_there_is_no_answer():
    values = six_genes()
    values[:, 3] = 1.0
    values[:, 5] = 2 * values[:, 0] + values[:, 1]
    sets = [(3,), (0, 1), (0, 1, 2, 4)]
    conditioner = ScoreSets(sets, values[:20], None, make_design(OBS.iloc[:20]))
    triples = np.array([(0, 0, 1), (2, 1, 5), (3, 1, 2), (3, 2, 5)])
    rows = rows_of(conditioner, triples, 0.1, nothing_left="no_variance_left")
    assert rows.status.tolist() == ["constant", "no_variance_left", "constant", "too_few_samples"]
    few = make_design(OBS.assign(donor=np.repeat(["a", "b", "c"], 50)), replicate="donor")
    rows = rows_of(ScoreSets([(0,)], six_genes(), None, few), np.array([(4, 0, 5)]), 0.1, nothing_left="")
    assert rows.status.tolist() == ["too_few_replicates"]


def test_score_sets__a_level_too_small_for_the_set_is_left_out():
    values = six_genes()
    obs = OBS.assign(type=np.repeat(["a", "b"], [135, 15]))
    both = ScoreSets(SETS, values, None, make_design(obs, within=["type"]))
    alone = ScoreSets(SETS, values[:135], None, make_design(obs.iloc[:135]))
    rows, large = (rows_of(of, np.array([(4, 3, 5)]), 0.1, nothing_left="") for of in (both, alone))
    assert rows.n.tolist() == [135]
    assert rows.spline == pytest.approx(large.spline, abs=1e-12)
    assert rows.correlation == pytest.approx(large.correlation, abs=1e-12)


def test_joint_basis__spans_both_and_drops_what_repeats():
    x = six_genes()
    bases = [conditioning_basis(x[:, gene]).T for gene in (0, 1, 0)]
    joined, n_lines = joint_basis(bases, 150)
    assert joined.shape == (10, 150)
    assert n_lines == 2
    assert joined @ joined.T == pytest.approx(np.eye(10), abs=1e-10)
    lines = np.stack([x[:, 0], x[:, 1]]) - x[:, :2].mean(axis=0)[:, None]
    assert lines - lines @ joined[:2].T @ joined[:2] == pytest.approx(0, abs=1e-9)
    assert joint_basis([], 7)[0].shape == (0, 7)


# --- counts --------------------------------------------------------------------------------------------


def cells(n=3000, seed=0):
    """Molecules of a fork x <- y -> z and of the rest of the cell; x and z are apart given y."""
    rng = stream(seed, "cells")
    y, a, b = rng.gamma(3.0, size=(3, n))
    rates = np.column_stack(
        [8 * (1 + y + a), 8 * y, 6 * (2 + y + b), rng.gamma(4.0, 4.0, size=n), np.full(n, 4000.0)]
    )
    depth = rng.uniform(0.5, 1.5, size=n)
    return rng.poisson(rates * depth[:, None]).astype(float), rates


def count_test(counts, **options):
    obs = pd.DataFrame({"type": np.arange(len(counts)) % 2, "donor": np.arange(len(counts)) % 12}).astype(str)
    design = make_design(obs, categorical_only=True, min_per_stratum=20, **options)
    return CountTest(counts, counts.sum(axis=1), False, design, dtype=np.float64)


@pytest.mark.parametrize(
    "options", [{}, {"within": ["type"]}, {"covariates": ["type"]}, {"replicate": "donor"}]
)
def test_count_sets__one_gene_is_the_triple_and_two_are_too_many(options):
    counts, _ = cells()
    test = count_test(counts, **options)
    triples = np.array([(0, 0, 2), (0, 1, 2), (0, 2, 2)])
    rows = rows_of(CountSets([(), (1,), (1, 3)], test), triples, 0.1, nothing_left="too_few_counts")
    assert rows.status.tolist() == ["ok", "ok", "too_many_given"]
    alone = rows_of(CountConditioner(test), np.array([(0, 1, 2)]), 0.1, nothing_left="too_few_counts")
    for name in ("linear", "linear_se", "spline", "spline_se"):
        assert getattr(rows, name)[1] == pytest.approx(getattr(alone, name)[0], rel=1e-12)
    assert rows.correlation[0] == rows.linear[0] == rows.spline[0]
    assert rows.correlation[0] == pytest.approx(alone.correlation[0], rel=1e-9)


def test_count_sets__correlation_is_that_of_the_fractions():
    """Nothing given: the correlation of the true fractions within four standard errors, noise removed."""
    counts, rates = cells(20_000)
    fraction = rates / rates.sum(axis=1, keepdims=True)
    truth = np.corrcoef(fraction[:, 0], fraction[:, 2])[0, 1]
    rows = rows_of(CountSets([()], count_test(counts)), np.array([(0, 0, 2)]), 0.1, nothing_left="")
    observed = np.corrcoef(counts[:, 0] / counts.sum(axis=1), counts[:, 2] / counts.sum(axis=1))[0, 1]
    assert abs(rows.spline[0] - truth) < 4 * rows.spline_se[0]
    assert abs(observed - truth) > 5 * rows.spline_se[0]


def test_count_sets__spread_of_donors_by_its_formula():
    counts, _ = cells()
    test = count_test(counts, replicate="donor")
    rows = rows_of(CountSets([()], test), np.array([(0, 0, 2)]), 0.1, nothing_left="")
    level = test.levels[0]
    share = counts[level.rows] / counts[level.rows].sum(axis=1, keepdims=True)
    one, two = (
        share[:, end] - pd.Series(share[:, end]).groupby(level.clusters).transform("mean").to_numpy()
        for end in (0, 2)
    )
    sums = pd.Series(one * two).groupby(level.clusters).sum().to_numpy()
    error = np.sqrt(((sums - sums.mean()) ** 2).sum() * 12 / 11) / sums.sum()
    assert rows.spline_se[0] / rows.spline[0] == pytest.approx(error, rel=0.2)  # sums keep the noise


# --- the status of an edge -----------------------------------------------------------------------------


def one_edge(call, *, q=0.9, n_parents=2, child="inconclusive", distorted=0, pair_status="ok"):
    edges = pd.DataFrame(
        {
            "regulator": ["r", *[f"o{i}" for i in range(n_parents - 1)]],
            "target": "t",
            "joint_q_value": [q] + [0.9] * (n_parents - 1),
        }
    )
    pairs = pd.DataFrame({"regulator": ["r"], "target": ["t"], "call": [call], "status": [pair_status]})
    children = pd.DataFrame({"target": ["t"], "call": [child]})
    counts = np.array([distorted] + [0] * (n_parents - 1))
    return Evidence.of(pairs, edges, children, counts, 0.05)


@pytest.mark.parametrize(
    ("evidence", "single_cell", "bulk", "counts"),
    [
        (one_edge("affine"), "survives", "not_contradicted", "survives"),
        (one_edge("affine", q=0.01), "distorted", "distorted", "cannot_tell"),
        (one_edge("affine", q=0.01, n_parents=1), "survives", "not_contradicted", "survives"),
        (one_edge("affine", q=0.01, child="affine"), "survives", "not_contradicted", "survives"),
        (one_edge("affine", distorted=2), "cannot_tell", "cannot_tell", "cannot_tell"),
        (one_edge("affine", q=np.nan), "cannot_tell", "cannot_tell", "cannot_tell"),
        (one_edge("affine", q=np.nan, child="affine"), "survives", "not_contradicted", "survives"),
        (one_edge("affine", q=np.nan, n_parents=1), "survives", "not_contradicted", "survives"),
        (one_edge("nonlinear"), "distorted", "distorted", "distorted"),
        (one_edge("nonlinear", q=0.01), "distorted", "distorted", "distorted"),
        (one_edge("nonlinear", child="affine"), "cannot_tell", "cannot_tell", "distorted"),
        (one_edge("nonlinear", child="affine", n_parents=1), "distorted", "distorted", "distorted"),
        (one_edge("inconclusive"), "cannot_tell", "cannot_tell", "cannot_tell"),
        (one_edge("inconclusive", q=0.01), "distorted", "distorted", "cannot_tell"),
        (one_edge("not_associated"), "not_seen", "not_seen", "not_seen"),
        (one_edge("not_associated", q=0.01), "distorted", "distorted", "not_seen"),
        (one_edge(np.nan, pair_status="constant"), "cannot_tell", "cannot_tell", "cannot_tell"),
    ],
)
def test_edge_status__follows_the_rule(evidence, single_cell, bulk, counts):
    def first(**options):
        return edge_status(evidence, **({"kind": "single-cell", "log": False, "corrected": False} | options))[
            0
        ][0]

    assert first() == single_cell
    assert first(kind="bulk") == bulk
    assert first(corrected=True) == counts
    assert first(log=True) == "cannot_tell"


def test_edge_status__says_why_a_pair_has_no_test():
    for evidence, said in (
        (one_edge(np.nan, pair_status="too_few_counts"), "The pair has no test: too few counts."),
        (one_edge("affine", n_parents=2), "The pair has no test: it is not in the table of pairs."),
    ):
        reasons = edge_status(evidence, kind="bulk", log=False, corrected=False)[1]
        assert said in reasons
    assert all(reason.endswith(".") for reason in reasons)


# --- the labelled layer --------------------------------------------------------------------------------


def bent_network(n=1500):
    """Y drives X along a line and B, C along curves; A has two parents, straight; U is apart."""
    rng = stream(0, "bent network")
    y, u = rng.gamma(2.0, size=(2, n))
    data = {
        "Y": y,
        "U": u,
        "X": 2 * y + 0.5 * rng.normal(size=n),
        "B": np.tanh(y) + 0.15 * rng.normal(size=n),
        "C": y**2 / 5 + 0.2 * rng.normal(size=n),
        "A": y + u + 0.5 * rng.normal(size=n),
    }
    edges = [("Y", "X"), ("Y", "B"), ("Y", "C"), ("Y", "A"), ("U", "A")]
    return pd.DataFrame(data), pd.DataFrame(edges, columns=["regulator", "target"])


def judge(data, network, *, kind="single-cell", correction="none", options=None, describing=None, **more):
    expression = describe(data, **(describing or {"kind": kind, "scale": "additive"}))
    options = options or {}
    pairs = linearity(expression, pairs=network, obs=getattr(data, "obs", None), **options)
    joint = equations_of(pairs, network)
    return judge_network(
        expression,
        pairs.design,
        network,
        pairs.table,
        joint.edges,
        children=joint.table,
        correction=correction,
        threads=1,
        **more,
    )


def by_ends(separations):
    return {tuple(sorted((row.x, row.z))): row for row in separations.itertuples()}


def test_judge_network__finds_what_pools_distort():
    found = judge(*bent_network())
    rows = by_ends(found.separations)
    assert rows["B", "C"].given == "Y"
    assert rows["B", "C"].call == "distorted"
    assert rows["B", "C"].partial_linear == pytest.approx(-0.5, abs=0.08)
    assert rows["B", "X"].call == rows["C", "X"].call == rows["A", "X"].call == "kept"
    assert rows["U", "Y"].relation == "unrelated"
    assert rows["A", "X"].relation == "common_cause"
    edges = found.edges.set_index(["regulator", "target"])
    status = edges["pool_status"].astype(str).to_dict()
    assert status == {
        ("Y", "X"): "survives",
        ("Y", "B"): "distorted",
        ("Y", "C"): "distorted",
        ("Y", "A"): "survives",
        ("U", "A"): "survives",
    }
    assert edges.loc[("Y", "B"), ["n_separations", "n_separations_distorted"]].tolist() == [3, 1]
    assert found.summary["edges"] == {
        "n_edges": 5,
        "n_survives": 3,
        "n_not_contradicted": 0,
        "n_distorted": 2,
        "n_not_seen": 0,
        "n_cannot_tell": 0,
    }


def test_judge_network__counts_and_shares_follow_from_the_table():
    data, network = bent_network()
    data["A"] += data["X"]  # an edge that the network lacks
    found = judge(data, network)
    table, summary = found.separations, found.summary
    assert table["q_value"].to_numpy() == pytest.approx(stats.false_discovery_control(table["p_value"]))
    ends = table[["given", "x", "z"]]
    assert ends.equals(ends.sort_values(["given", "x", "z"], ignore_index=True))
    given_ = table[table["n_given"] > 0]
    calls = given_["call"].value_counts()
    of_given = summary["separations"]
    assert {name: of_given[f"n_{name}"] for name in calls.index} == calls.to_dict()
    assert (of_given["n_claims"], of_given["n_judged"]) == (6, 6)
    assert of_given["n_distorted"] > 0
    assert of_given["n_kept"] > 0
    assert of_given["n_dependent"] > 0
    assert of_given["share_distorted"] == calls["distorted"] / (calls["kept"] + calls["distorted"])
    assert of_given["share_failed"] == (calls["dependent"] + calls["hidden"]) / 6
    assert of_given["share_undetermined"] == calls["undetermined"] / 6
    assert str(found).startswith("5 edges: ")
    assert f"6 separations judged: {of_given['share_failed']:.1%} fail" in str(found)


def test_judge_network__claims_in_all_are_estimated_from_those_drawn():
    edges = [(f"R{i}", f"T{j}") for i in range(4) for j in range(6)] + [("R0", "A"), ("R0", "B")]
    network = pd.DataFrame(edges, columns=["regulator", "target"])
    genes = sorted({gene for edge in edges for gene in edge})
    data = pd.DataFrame(stream(0, "estimated").gamma(2.0, size=(60, len(genes))), columns=genes)
    summary = judge(data, network).summary
    # A and B given R0, each with six T given R0; the 15 pairs of T share four regulators
    assert (summary["n_related"], summary["n_large"], summary["n_claims_estimated"]) == (28, 15, 13)


def test_judge_network__bulk_promises_nothing_of_the_cells():
    found = judge(*bent_network(), kind="bulk")
    assert "survives" not in set(found.edges["pool_status"])
    assert (found.edges["pool_status"] == "not_contradicted").sum() == 3
    assert found.edges.loc[0, "pool_reason"].endswith("the cells may still be bent.")


def test_judge_network__a_missing_edge_makes_its_claim_fail():
    data, network = bent_network()
    found = judge(data, network[network["target"] != "X"].assign())
    assert "X" not in set(found.separations["x"]) | set(found.separations["z"])  # no longer in the network
    rng = stream(1, "missing")
    data["D"] = data["X"] + data["U"] + 0.3 * rng.normal(size=len(data))
    network = pd.concat([network, pd.DataFrame({"regulator": ["U"], "target": ["D"]})], ignore_index=True)
    found = judge(data, network)
    row = by_ends(found.separations)["D", "X"]
    assert (row.call, row.relation) == ("dependent", "unrelated")
    edge = found.edges.set_index(["regulator", "target"]).loc[("U", "D")]
    assert edge["n_separations_failed"] == 1  # D and A, given U: the path over X is missing
    assert by_ends(found.separations)["A", "D"].call == "dependent"
    assert found.summary["unrelated"]["n_dependent"] >= 1


def test_judge_network__equals_the_list_of_triples():
    data, network = bent_network()
    found = judge(data, network).separations
    found = found[found["n_given"] == 1]
    triples = found[["x", "given", "z"]].rename(columns={"given": "y"})
    other = screen_triples(data, kind="bulk", scale="additive", triples=triples).table
    numbers = ["correlation", "partial_linear", "partial_linear_se", "partial_spline", "partial_spline_se"]
    for name in (*numbers, "p_value"):
        assert found[name].to_numpy() == pytest.approx(other[name].to_numpy(), rel=1e-9, abs=1e-12)
    assert (found["call"].astype(str).to_numpy() == other["call"].astype(str).to_numpy()).all()


def test_judge_network__counts_take_the_noise_out():
    counts, _ = cells(4000)
    data = pd.DataFrame(counts, columns=list("xyzuv"))
    network = pd.DataFrame({"regulator": ["y", "y", "u", "u"], "target": ["x", "z", "x", "z"]})
    describing = {"kind": "single-cell", "scale": "counts"}
    one = judge(data, network.iloc[:2], correction="poisson", describing=describing)
    assert by_ends(one.separations)["x", "z"].call in ("kept", "undetermined")
    naive = judge(
        data, network.iloc[:2], correction="none", describing=describing, options={"test": "robust"}
    )
    assert (
        abs(by_ends(one.separations)["x", "z"].partial_spline)
        < by_ends(naive.separations)["x", "z"].partial_spline
    )
    two = judge(data, network, correction="poisson", describing=describing)
    assert by_ends(two.separations)["x", "z"].status == "too_many_given"
    assert two.summary["separations"] == two.summary["separations"] | {"n_claims": 1, "n_judged": 0}


def test_judge_network__order_of_genes_edges_and_samples_changes_nothing():
    data, network = bent_network(400)
    found = judge(data, network, max_separations=6)
    rng = stream(0, "order")
    shuffled = data.iloc[rng.permutation(len(data)), rng.permutation(data.shape[1])]
    network = network.iloc[rng.permutation(len(network))].reset_index(drop=True)
    other = judge(shuffled, network, max_separations=6)
    text = ["x", "z", "given", "relation", "call", "status"]
    assert found.separations[text].astype(str).equals(other.separations[text].astype(str))
    numbers = ["partial_linear", "partial_spline", "partial_spline_se", "q_value"]
    assert found.separations[numbers].to_numpy() == pytest.approx(
        other.separations[numbers].to_numpy(), abs=1e-9
    )
    keys = ["regulator", "target"]
    edges = [of.edges.sort_values(keys).reset_index(drop=True) for of in (found, other)]
    assert edges[0].astype(str).equals(edges[1].astype(str))
    assert found.summary["edges"] == other.summary["edges"]


def test_judge_network__units_and_sparse_storage_change_no_call():
    data, network = bent_network(400)
    found = judge(data, network)
    units = np.exp(stream(0, "units").normal(size=data.shape[1]))
    other = judge(data * units, network)
    assert found.separations["call"].equals(other.separations["call"])
    assert found.edges.equals(other.edges)
    expression = describe(data, kind="single-cell", scale="additive")
    pairs = linearity(expression, pairs=network)
    joint = equations_of(pairs, network)
    sparse = judge_network(
        type(expression)(**{**vars(expression), "matrix": sp.csr_matrix(expression.matrix)}),
        pairs.design,
        network,
        pairs.table,
        joint.edges,
        children=joint.table,
        threads=2,
    )
    assert sparse.separations["call"].equals(found.separations["call"])


def test_judge_network__a_network_without_claims():
    data, _ = bent_network(60)
    found = judge(data, pd.DataFrame({"regulator": ["Y"], "target": ["X"]}))
    assert found.separations.empty
    assert found.summary["separations"]["share_failed"] is None
    assert len(found.edges) == 1
    assert found.warnings == ()
    assert str(found) == "1 edge: 1 survives; no separation could be judged"


def test_judge_network__says_what_it_left_out():
    data, network = bent_network(60)
    more = [("Y", "U"), ("U", "Y"), ("heme", "B"), ("heme", "C"), ("heme", "Q")]
    network = pd.concat([network, pd.DataFrame(more, columns=network.columns)], ignore_index=True)
    found = judge(data, network, max_separations=4, max_given=1)
    summary = found.summary
    assert (summary["n_genes"], summary["n_unmeasured"], summary["n_on_cycles"]) == (6, 2, 2)
    said = " ".join(found.warnings)
    for words in ("drawn by the seed", "unmeasured regulators", "sigma-separation", "more than 1 genes"):
        assert words in said or words == "more than 1 genes"
    assert ("B", "C") not in by_ends(found.separations)
    json.dumps(summary)


@pytest.mark.parametrize("scale", ["counts", "additive"])
@pytest.mark.parametrize("edges", [["AB", "AC", "BC"], ["AB"]])
def test_judge_network__a_complete_network_claims_nothing(scale, edges):
    rng = stream(0, "complete")
    data = pd.DataFrame(rng.poisson(60 * rng.gamma(4.0, 0.25, size=(300, 3))), columns=list("ABC"))
    options = {"kind": "single-cell", "scale": scale, "curves": "none", "threads": 1}
    found = audit(data, network=[tuple(edge) for edge in edges], **options).claims
    assert len(found.separations) == 0
    assert str(found).endswith("; no separation could be judged")
    assert list(found.separations.columns) == [column.name for column in SEPARATION_COLUMNS]
    assert len(found.edges) == len(edges)


def test_judge_network__says_how_unrelated_pairs_fare_where_there_are_no_others():
    a, b = stream(0, "two edges").gamma(2.0, size=(2, 300))
    data = pd.DataFrame({"A": a, "B": a + b, "C": a - b, "D": a + 2 * b}) + 9
    options = {"kind": "bulk", "scale": "additive", "triples": "none", "threads": 1}
    found = audit(data, network=[("A", "B"), ("C", "D")], **options).claims
    assert found.summary["unrelated"]["n_judged"] == 4
    assert re.search(r"; no separation could be judged but of unrelated pairs: [\d.]+% fail$", str(found))


def test_judge_network__logs_that_were_not_undone_decide_nothing():
    data, network = bent_network(60)
    found = judge(np.log(data - data.min() + 1), network, describing={"kind": "bulk", "scale": "log"})
    assert set(found.edges["pool_status"]) == {"cannot_tell"}
    assert any("log scale" in text for text in found.warnings)


def test_judge_network__missing_values_are_filled_in_not_fatal():
    data, network = bent_network(200)
    data.iloc[3, 2] = np.nan
    found = judge(data, network, kind="bulk")
    assert (found.separations["status"] == "ok").all()


def test_judge_network__refuses_an_unknown_correction():
    with pytest.raises(InputError, match="correction must be one of none, poisson"):
        judge(*bent_network(60), correction="auto")


# --- real networks -------------------------------------------------------------------------------------


def test_judge_network__s_aureus_regulon():
    adata = load_dataset("bulk_saureus_imodulon")
    network = read_edges(shared_data("network_saureus_regprecise.csv"))
    describing = {"kind": "bulk", "scale": "log", "log_base": 2, "log_offset": 0}
    found = judge(adata, network, describing=describing, max_separations=3000)
    summary = found.summary
    assert (summary["n_genes"], summary["n_unmeasured"], summary["n_on_cycles"]) == (979, 50, 0)
    assert summary["n_related"] == 43_537
    assert summary["n_unseparated"] > 0.3 * summary["n_related_drawn"]  # half of the regulators lack data
    assert sum(summary["edges"].values()) == 2 * summary["edges"]["n_edges"] == 2 * 656
    assert (found.separations["status"] == "ok").all()
    graph = nx.DiGraph()
    nodes = network_nodes(network, adata.var_names)
    graph.add_edges_from((nodes.names[a], nodes.names[b]) for a, b in nodes.edges)
    for row in found.separations.iloc[::97].itertuples():
        assert separated(graph, row.x, row.z, filter(None, row.given.split(";")))
