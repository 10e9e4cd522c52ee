"""PC by splines: its tests written out, their level and power, its skeleton by the slow way, its arrows."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats
from systems import f1, linear_dag

from poolproof import InputError
from poolproof.basis import conditioning_bases, spline_basis, standardise
from poolproof.discovery.methods.spline_pc import spline_pc_graph
from poolproof.discovery.orientation import orient, unshielded_triples, vote
from poolproof.discovery.spline_tests import SplineTests
from poolproof.pairs.score_kernels import columns_for
from poolproof.triples.citest import SPLINE_RIDGE, spline_gcm_test


def p_value(values, i, j, given=(), alpha=1e-300):
    """Exact: with so small a level nothing is cut short."""
    return float(SplineTests(values, alpha).p_values(np.array([[i, j]]), tuple(given))[0])


# --- the tests ----------------------------------------------------------------------------------------------


def written_out(values, i, j, given):
    """Twice the smallest of the GCM's p-value and twice those of the three sums, one test at a time."""
    standard, _ = standardise(values)
    n = len(standard)
    chosen = list(given)
    line = spline_gcm_test(values[:, i], values[:, j], values[:, chosen]).p_value
    found = [line]
    # what the splines leave, and their leverage, by regressing unit vectors: the hat matrix of the GCM
    hat = np.zeros((n, n))
    if chosen:
        bases, _ = conditioning_bases(standard[:, chosen], columns_for(n // len(chosen), 5))
        columns = bases.reshape(-1, n).T
        ridge = SPLINE_RIDGE if len(chosen) > 1 else 0.0
        hat = columns @ np.linalg.pinv(columns.T @ columns + ridge * np.eye(columns.shape[1])) @ columns.T
    leverage = 1 / n + np.diagonal(hat)
    for x, y in ((i, j), (j, i)):
        own = spline_basis(standard[:, x], 3)
        own, rest = own - hat @ own, standard[:, y] - hat @ standard[:, y]
        products = own * rest[:, None]
        total = products.sum(axis=0)
        spread = (products / (1 - leverage)[:, None]).T @ products - np.outer(total, total) / n
        found.append(2 * stats.chi2.sf(total @ np.linalg.solve(spread, total), own.shape[1]))
    return min(1.0, 2 * min(found))


@pytest.mark.parametrize("given", [(), (2,), (2, 3), (2, 3, 4)])
def test_p_values__equal_the_formula_one_test_at_a_time(given):
    rng = np.random.default_rng(len(given))
    values = rng.gamma(2, 1, (150, 6))
    values[:, 0] += 0.3 * values[:, 2] ** 2
    values[:, 1] += values[:, 2] + 0.3 * values[:, 3]
    values[:, 5] = rng.integers(0, 2, 150)  # two levels: a line and no bends
    for i, j in ((0, 1), (1, 5), (0, 5)):
        assert p_value(values, i, j, given) == pytest.approx(written_out(values, i, j, given), rel=1e-6)


def test_p_values__many_at_once_equal_each_alone():
    values, _, _ = linear_dag(8, 200, 3)
    pairs = np.array([(i, j) for i, j in combinations(range(8), 2) if 7 not in (i, j) and 2 not in (i, j)])
    together = SplineTests(values, 1e-300).p_values(pairs, (2, 7))
    assert together == pytest.approx([p_value(values, i, j, (2, 7)) for i, j in pairs], rel=1e-9)
    swapped = SplineTests(values, 1e-300).p_values(pairs[:, ::-1], (7, 2))
    assert together == pytest.approx(swapped, rel=1e-7)


def test_p_values__where_the_line_rejects_they_only_say_so():
    values, _, _ = linear_dag(6, 300, 1)
    pairs = np.array(list(combinations(range(6), 2)))
    exact, cut = (SplineTests(values, alpha).p_values(pairs, ()) for alpha in (1e-300, 0.01))
    assert ((exact > 0.01) == (cut > 0.01)).all()
    assert cut[cut > 0.01] == pytest.approx(exact[exact > 0.01])


@pytest.mark.calibration
@pytest.mark.parametrize("n_given", [0, 1, 2])
def test_p_values__keep_their_level(n_given):
    """2,000 independent pairs at 5 %, inside a band of 99.9 %; Bonferroni may stay below it by half."""
    rng = np.random.default_rng(n_given + 10)
    rejected = 0
    for _ in range(400):
        given = rng.gamma(3, 1, (300, n_given))
        own = rng.laplace(size=(300, 10))
        own += (given[:, :1] ** 2 / 4 + given.sum(axis=1, keepdims=True)) if n_given else 0
        values = np.hstack([own, given])
        pairs = np.arange(10).reshape(5, 2)
        found = SplineTests(values, 0.05).p_values(pairs, tuple(range(10, 10 + n_given)))
        rejected += int((found <= 0.05).sum())
    low, high = stats.binom.ppf([0.0005, 0.9995], 2000, 0.05)
    assert low / 2 <= rejected <= high


@pytest.mark.parametrize("shape", [lambda x: x, lambda x: x**2, np.abs, lambda x: np.maximum(x - 0.5, 0)])
def test_p_values__see_bends_given_others(shape):
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(50):
        given, x = rng.normal(size=(2, 400))
        x = x + given / 2
        y = 0.5 * shape(x) + given + rng.normal(size=400)
        hits += p_value(np.column_stack([x, y, given]), 0, 1, (2,)) < 0.01
    assert hits >= 40


def test_p_values__of_what_the_given_genes_leave_nothing():
    rng = np.random.default_rng(0)
    a, b, c = rng.normal(size=(3, 100))
    values = np.column_stack([a, 2 * a, b, a + b, c])
    assert p_value(values, 0, 4, (1,)) == 1.0
    assert p_value(values, 3, 4, (0, 2)) == 1.0
    assert p_value(np.column_stack([a, np.ones(100)]), 0, 1) == 1.0


def test_possible__needs_30_samples_and_12_for_each_given_gene():
    values = np.random.default_rng(0).normal(size=(36, 5))
    assert [SplineTests(values, 0.1).possible(k) for k in range(5)] == [True, True, True, True, False]
    with pytest.raises(InputError, match="at least 30 samples; found 29"):
        spline_pc_graph(values[:29], tuple("abcde"))


# --- the search ---------------------------------------------------------------------------------------------


def slow_skeleton(values, alpha, max_given):
    """PC-stable, one test at a time."""
    p = values.shape[1]
    around = {i: set(range(p)) - {i} for i in range(p)}
    for size in range(max_given + 1):
        frozen = {i: set(near) for i, near in around.items()}
        for i, j in combinations(range(p), 2):
            sets = {s for a, b in ((i, j), (j, i)) for s in combinations(sorted(frozen[a] - {b}), size)}
            if j in frozen[i] and any(p_value(values, i, j, s) > alpha for s in sets):
                around[i].discard(j)
                around[j].discard(i)
    return np.array([[j in around[i] for j in range(p)] for i in range(p)])


@pytest.mark.parametrize("max_given", [0, 1, 3])
@pytest.mark.parametrize("seed", [11, 36])  # there neighbours that are not frozen give another skeleton
def test_spline_pc__has_the_skeleton_of_the_slow_way(max_given, seed):
    values, names, _ = linear_dag(7, 80, seed, degree=3)
    found = spline_pc_graph(values, names, alpha=0.1, max_given=max_given)
    assert (found.skeleton == slow_skeleton(values, 0.1, max_given)).all()


def test_spline_pc__finds_bent_relations_that_partial_correlations_miss():
    rng = np.random.default_rng(1)
    a, b, d = rng.normal(size=(3, 1000))
    c = a**2 + b + rng.normal(size=1000) / 2
    values, names = np.column_stack([a, b, c, c + d]), tuple("abcd")
    edges = {("a", "c"), ("b", "c"), ("c", "d")}
    assert {(r.regulator, r.target) for r in spline_pc_graph(values, names).table.itertuples()} == edges
    assert abs(np.corrcoef(a, c)[0, 1]) < 0.1


def test_spline_pc__on_many_systems():
    found, true, right, reversed_ = [], [], 0, 0
    for seed in range(5):
        values, names, truth = linear_dag(20, 1000, seed, noise="normal")
        graph = spline_pc_graph(values, names)
        found.append(np.triu(graph.skeleton))
        true.append(np.triu(truth | truth.T))
        right += (graph.directed & truth).sum()
        reversed_ += (graph.directed & truth.T).sum()
    assert f1(np.hstack(found), np.hstack(true)) > 0.97
    assert right > 20 * max(reversed_, 1)


# --- arrows -------------------------------------------------------------------------------------------------


def is_acyclic(array):
    return not any(np.trace(np.linalg.matrix_power(array.astype(int), k)) for k in range(1, len(array) + 1))


def cpdag_of(truth):
    """The slow way: arrows that all acyclic orientations with the same colliders share."""
    p = len(truth)
    edges = [(i, j) for i, j in combinations(range(p), 2) if truth[i, j] or truth[j, i]]
    skeleton = truth | truth.T

    def colliders(array):
        return {(x, z, y) for x, z, y in unshielded_triples(skeleton) if array[x, z] and array[y, z]}

    equal = []
    for code in range(2 ** len(edges)):
        array = np.zeros((p, p), dtype=bool)
        for bit, (i, j) in enumerate(edges):
            array[(i, j) if code >> bit & 1 else (j, i)] = True
        if is_acyclic(array) and colliders(array) == colliders(truth):
            equal.append(array)
    return np.logical_and.reduce(equal), colliders(truth), skeleton


@pytest.mark.parametrize("seed", range(12))
def test_orient__gives_the_arrows_that_all_equivalent_graphs_share(seed):
    rng = np.random.default_rng(seed)
    truth = np.triu(rng.random((5, 5)) < 0.55, 1)
    shared, colliders, skeleton = cpdag_of(truth)
    others = {triple for triple in unshielded_triples(skeleton) if triple not in colliders}
    directed, undirected, n_conflicts = orient(skeleton, sorted(colliders), others)
    assert (directed == shared).all()
    assert (undirected == (skeleton & ~shared & ~shared.T)).all()
    assert n_conflicts == 0


def test_orient__colliders_that_contradict_leave_a_line():
    skeleton = np.zeros((4, 4), dtype=bool)
    for i, j in ((0, 1), (1, 2), (2, 3)):
        skeleton[i, j] = skeleton[j, i] = True
    directed, undirected, n_conflicts = orient(skeleton, [(0, 1, 2), (1, 2, 3)], set())
    assert np.argwhere(directed).tolist() == [[0, 1], [3, 2]]
    assert np.argwhere(np.triu(undirected)).tolist() == [[1, 2]]
    assert n_conflicts == 1


def test_orient__a_triple_without_a_verdict_turns_nothing():
    skeleton = np.zeros((4, 4), dtype=bool)
    for i, j in ((0, 1), (2, 1), (1, 3)):
        skeleton[i, j] = skeleton[j, i] = True
    directed, undirected, _ = orient(skeleton, [(0, 1, 2)], set())
    assert np.argwhere(directed).tolist() == [[0, 1], [2, 1]]
    assert undirected[1, 3]


@pytest.mark.parametrize(
    ("sets", "collider", "other"),
    [([()], True, False), ([(1,)], False, True), ([(), (1,)], False, False), ([], False, False)],
)
def test_vote__is_by_majority(sets, collider, other):
    colliders, others = vote([(0, 1, 2)], {(0, 2): sets})
    assert (bool(colliders), bool(others)) == (collider, other)
