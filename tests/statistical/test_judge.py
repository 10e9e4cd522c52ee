"""An independent judge of ``check``: random small systems, simulated and enumerated by code of its own.

Nothing here comes from the package but ``check``. A system is written twice, as the text of a model file
and as numpy functions. Its pools are judged in three ways. Where all genes have small whole values, the law
of the pools follows from that of one cell by Fourier transform, and an independence is a fact. Elsewhere
residuals of local linear fits are multiplied (generalised covariance measure, and the same of squared
residuals). Where ``check`` states a partial correlation of many cells, pools of 200 cells are measured.

Fixed before any run: a system is at odds if the judge rejects one of its kept independences, at level .01
over all of them; as many systems may be as a true rate of .02 leaves (of single cells, whose curves are
steeper: .05). No p-value of a kept independence may fall below 1e-6. Shortened unless
POOLPROOF_CALIBRATION=full.
"""

import os
import re
from collections import Counter
from dataclasses import dataclass, field

import networkx as nx
import numpy as np
import pytest
from scipy import stats
from threadpoolctl import threadpool_limits

from poolproof import check

pytestmark = pytest.mark.calibration

FULL = os.environ.get("POOLPROOF_CALIBRATION") == "full"
N_SYSTEMS = 200 if FULL else 25
N_POOLS = 20_000
LEVEL = 0.01
ALLOWED, ALLOWED_OF_CELLS = 0.02, 0.05
"""True rates of systems at odds that are put up with: the fits are not perfect."""
NEVER = 1e-6
IN_BLOCK = 50
"""Pools in one local fit."""
MANY_CELLS = 200
MAX_GRID = 4_000_000


@pytest.fixture(autouse=True)
def _one_thread():
    with threadpool_limits(1):
        yield


# --- random systems -----------------------------------------------------------------------------------------

# the law of a noise as text, its draws, whether it is at least 0, and its values if they are small and whole
LAWS = {
    "normal(0, 1)": (lambda rng, n: rng.normal(0, 1, n), False, None),
    "uniform(-1, 1)": (lambda rng, n: rng.uniform(-1, 1, n), False, None),
    "laplace(0, 1)": (lambda rng, n: rng.laplace(0, 1, n), False, None),
    "gamma(2, 1)": (lambda rng, n: rng.gamma(2, 1, n), True, None),
    "exponential(1)": (lambda rng, n: rng.exponential(1, n), True, None),
    "uniform(0, 3)": (lambda rng, n: rng.uniform(0, 3, n), True, None),
    "lognormal(0, 0.5)": (lambda rng, n: rng.lognormal(0, 0.5, n), True, None),
    "bernoulli(0.3)": (lambda rng, n: (rng.random(n) < 0.3) * 1.0, True, {0: 0.7, 1: 0.3}),
    "bernoulli(0.5)": (lambda rng, n: (rng.random(n) < 0.5) * 1.0, True, {0: 0.5, 1: 0.5}),
    "discrete({0: 0.5, 1: 0.3, 3: 0.2})": (
        lambda rng, n: rng.choice([0.0, 1.0, 3.0], n, p=[0.5, 0.3, 0.2]),
        True,
        {0: 0.5, 1: 0.3, 3: 0.2},
    ),
    "discrete({0: 0.2, 1: 0.5, 2: 0.3})": (
        lambda rng, n: rng.choice([0.0, 1.0, 2.0], n, p=[0.2, 0.5, 0.3]),
        True,
        {0: 0.2, 1: 0.5, 2: 0.3},
    ),
}
FINITE = [law for law, (_, _, values) in LAWS.items() if values]
SMOOTH = [law for law in LAWS if law not in FINITE]


def hill(p, k, vmax=1.0):
    return vmax * p**2 / (k**2 + p**2)


# equations of one parent: text with P, and the same in numpy; N is the noise
ONE = [
    ("0.8*P + N", lambda p, n: 0.8 * p + n),
    ("0.5 + 1.5*P + 0.5*N", lambda p, n: 0.5 + 1.5 * p + 0.5 * n),
    ("tanh(P) + 0.3*N", lambda p, n: np.tanh(p) + 0.3 * n),
    ("P**2/3 + 0.5*N", lambda p, n: p**2 / 3 + 0.5 * n),
    ("hill(P, vmax=2, k=1.5, n=2) + 0.3*N", lambda p, n: hill(p, 1.5, 2.0) + 0.3 * n),
    ("P*N", lambda p, n: p * n),
    ("threshold(P, at=0.7) + 0.5*N", lambda p, n: (p > 0.7) + 0.5 * n),
]
TWO = [
    ("0.7*P + 0.6*Q + N", lambda p, q, n: 0.7 * p + 0.6 * q + n),
    ("P*Q + 0.5*N", lambda p, q, n: p * q + 0.5 * n),
    ("P + tanh(Q) + 0.5*N", lambda p, q, n: p + np.tanh(q) + 0.5 * n),
    ("tanh(P + Q) + 0.3*N", lambda p, q, n: np.tanh(p + q) + 0.3 * n),
    ("threshold(P - Q, at=0.2) + 0.5*N", lambda p, q, n: (p - q > 0.2) + 0.5 * n),
]
FINITE_ONE = [
    ("P + N", lambda p, n: p + n),
    ("P*N", lambda p, n: p * n),
    ("P**2 + N", lambda p, n: p**2 + n),
    ("threshold(P, at=0.5) + N", lambda p, n: (p > 0.5) + n),
    ("threshold(P + N, at=1.5)", lambda p, n: (p + n > 1.5) * 1.0),
]
FINITE_TWO = [
    ("P + Q + N", lambda p, q, n: p + q + n),
    ("P*Q + N", lambda p, q, n: p * q + n),
    ("threshold(P + Q, at=1.5) + N", lambda p, q, n: (p + q > 1.5) + n),
    ("threshold(P + Q + N, at=1.5)", lambda p, q, n: (p + q + n > 1.5) * 1.0),
]
# kernels of one parent that is at least 0: text, draws, and the chance of 1 if the child is binary
KERNELS = [
    ("poisson(0.5 + P)", lambda rng, p: rng.poisson(0.5 + p) * 1.0, None),
    ("poisson(P)", lambda rng, p: rng.poisson(p) * 1.0, None),
    ("poisson(0.2 + P**2/4)", lambda rng, p: rng.poisson(0.2 + p**2 / 4) * 1.0, None),
    (
        "bernoulli(hill(P, k=1, n=2))",
        lambda rng, p: (rng.random(p.shape) < hill(p, 1)) * 1.0,
        lambda p: hill(p, 1),
    ),
]


@dataclass
class Gene:
    """A gene written twice: for a model file, and in numpy."""

    parents: tuple[str, ...]
    entry: dict[str, str]
    draw: object
    """Function of the generator, the parents' values and the number of cells."""
    outcomes: object = None
    """Function of the parents' values: each value and its probability; None if there are too many."""
    positive: bool = False


@dataclass
class System:
    genes: dict[str, Gene]
    cells: int
    aggregation: object
    weights: np.ndarray = field(default_factory=lambda: np.ones(1))

    def model(self):
        return {
            "name": "random",
            "genes": {name: gene.entry for name, gene in self.genes.items()},
            "aggregation": self.aggregation,
            "cells": self.cells,
        }

    def sample(self, n, rng):
        """Values of n cells by gene."""
        values = {}
        for name, gene in self.genes.items():
            values[name] = gene.draw(rng, [values[p] for p in gene.parents], n)
        return values

    def pools(self, n, rng, cells=None):
        """Pooled genes, each of shape (n,)."""
        n_cells, weights = (self.cells, self.weights) if cells is None else (cells, np.ones(cells))
        parts = []
        portion = max(1, 2_000_000 // n_cells)
        for low in range(0, n, portion):
            rows = min(portion, n - low)
            drawn = self.sample(rows * n_cells, rng)
            parts.append({g: v.reshape(rows, n_cells) @ weights for g, v in drawn.items()})
        return {g: np.concatenate([part[g] for part in parts]) for g in self.genes}


def random_system(seed):
    """Three or four genes, 2 to 20 cells, sums, means or weights; a third have small whole values only."""
    rng = np.random.default_rng([4, seed])
    names = "ABCD"[: rng.integers(3, 5)]
    finite = rng.random() < 0.35
    parents = random_parents(names, rng)
    genes = {}
    for name in names:
        genes[name] = random_gene(parents[name], genes, finite, rng)
    cells = int(rng.integers(2, 6 if finite else 21))
    kind = rng.choice(["sum", "mean", "weights"], p=[0.6, 0.2, 0.2])
    if kind != "weights":
        return System(genes, cells, kind, np.ones(cells))
    weights = rng.integers(1, 4, cells)
    weights[:2] = 1, 2  # never all equal
    return System(genes, cells, {"weights": weights.tolist()}, weights.astype(float))


def random_parents(names, rng):
    """At most two parents each, all genes connected, and a pair that is not adjacent."""
    while True:
        found = {}
        for i, name in enumerate(names):
            chosen = [p for p in names[:i] if rng.random() < 0.5]
            found[name] = tuple(sorted(rng.permutation(chosen)[:2].tolist()))
        graph = nx.Graph([(p, name) for name, parents in found.items() for p in parents])
        n_pairs = len(names) * (len(names) - 1) // 2
        if len(graph) == len(names) and nx.is_connected(graph) and graph.number_of_edges() < n_pairs:
            return found


def random_gene(parents, genes, finite, rng):
    positive = all(genes[p].positive for p in parents)
    if len(parents) == 1 and positive and rng.random() < (0.15 if finite else 0.3):
        text, draw, chance = KERNELS[3 if finite else rng.integers(len(KERNELS))]
        outcomes = chance and (lambda p: [(0, 1 - chance(p[0])), (1, chance(p[0]))])
        return Gene(
            parents, {"kernel": written(text, parents)}, lambda rng, p, n: draw(rng, p[0]), outcomes, True
        )
    some = FINITE if finite or (not parents and rng.random() < 0.2) else SMOOTH
    law = some[rng.integers(len(some))]
    noise, noise_positive, values = LAWS[law]
    if not parents:
        outcomes = values and (lambda p: list(values.items()))
        return Gene((), {"noise": law}, lambda rng, p, n: noise(rng, n), outcomes, noise_positive)
    table = {(1, True): FINITE_ONE, (2, True): FINITE_TWO, (1, False): ONE, (2, False): TWO}[
        len(parents), finite
    ]
    text, f = table[rng.integers(len(table))]
    if len(parents) == 2 and rng.random() < 0.5:
        parents = parents[::-1]
    return Gene(
        parents,
        {"equation": written(text, parents), "noise": law},
        lambda rng, p, n: f(*p, noise(rng, n)),
        values and (lambda p: [(f(*p, v), share) for v, share in values.items()]),
        positive and noise_positive,
    )


def written(text, parents):
    """The text with the parents' names in place of P and Q."""
    named = dict(zip("PQ", parents, strict=False))
    return re.sub(r"\b[PQ]\b", lambda letter: named[letter[0]], text)


# --- the judge: exact laws of whole values ------------------------------------------------------------------


def information(system, x, z, given):
    """Conditional mutual information of pools, in nats, by Fourier transform; None where it cannot be had."""
    if any(gene.outcomes is None for gene in system.genes.values()):
        return None
    cell = cell_law(system)
    shown = [list(system.genes).index(g) for g in (x, z, *given)]
    values = np.array(list(cell))[:, shown].round().astype(int)
    sizes = np.abs(values).max(axis=0) * int(system.weights.sum()) + 1
    if np.prod(sizes.astype(float)) > MAX_GRID:
        return None
    transform = 1.0
    for weight, times in Counter(system.weights.astype(int).tolist()).items():
        law = np.zeros(sizes)
        np.add.at(law, tuple((weight * values).T), list(cell.values()))
        transform = transform * np.fft.fftn(law) ** times
    joint = np.maximum(np.fft.ifftn(transform).real, 0)
    joint = joint.reshape(*joint.shape[:2], -1)
    joint[joint < 1e-14] = 0
    of_x, of_z, of_given = (
        joint.sum(axis=1, keepdims=True),
        joint.sum(axis=0, keepdims=True),
        joint.sum(axis=(0, 1)),
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = joint * np.log(joint * of_given / (of_x * of_z))
    return float(np.nansum(np.where(joint > 0, terms, 0)))


def cell_law(system):
    """Values of all genes in one cell, and their probability."""
    states = {(): 1.0}
    names = list(system.genes)
    for gene in system.genes.values():
        where = [names.index(p) for p in gene.parents]
        grown = Counter()
        for values, share in states.items():
            for value, chance in gene.outcomes([np.float64(values[i]) for i in where]):
                grown[(*values, float(value))] += share * chance
        states = grown
    return states


def table_test(x, z, given):
    """Chi-square of two whole variables within strata of others: p-value and degrees of freedom."""
    strata = np.unique(np.column_stack([np.zeros(len(x)), *given]), axis=0, return_inverse=True)[1].ravel()
    total, df = 0.0, 0
    order = np.argsort(strata, kind="stable")
    for rows in np.split(order, np.cumsum(np.bincount(strata))[:-1]):
        n = len(rows)
        codes = [merged_levels(v[rows], np.sqrt(5 * n)) for v in (x, z)]
        counts = np.zeros([c.max() + 1 for c in codes])
        np.add.at(counts, tuple(codes), 1)
        if min(counts.shape) < 2:
            continue
        expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / n
        total += ((counts - expected) ** 2 / expected).sum() * (n - 1) / n
        df += (counts.shape[0] - 1) * (counts.shape[1] - 1)
    return (stats.chi2.sf(total, df), df) if df else (1.0, 0)


def merged_levels(values, at_least):
    """Codes of neighbouring values put together until each has so many."""
    levels, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    codes, code, size = np.zeros(len(levels), int), 0, 0
    for i, count in enumerate(counts):
        codes[i] = code
        size += count
        if size >= at_least and counts[i + 1 :].sum() >= at_least:
            code, size = code + 1, 0
    return codes[where.ravel()]


# --- the judge: products of residuals -----------------------------------------------------------------------


def residual_test(x, z, given, rng):
    """P-value of four products, of residuals and of their squares, with the variance between blocks."""
    blocks = blocks_of(given, len(x), rng)
    designs = local_designs(given, blocks)
    scores = [stats.norm.ppf((stats.rankdata(v) - 0.5) / len(v))[blocks] for v in (x, z)]
    first = [local_residual(designs, s) for s in scores]
    second = [local_residual(designs, r**2) for r in first]
    p_values = []
    for a in (first[0], second[0]):
        for b in (first[1], second[1]):
            sums = (a * b).sum(axis=1)
            size = np.sqrt((sums**2).sum())
            p_values.append(2 * stats.norm.sf(abs(sums.sum()) / size) if size > 1e-9 else 1.0)
    return min(1.0, len(p_values) * min(p_values))


def blocks_of(given, n, rng):
    """Rows of pools that are alike in the variables given, shape (n_blocks, IN_BLOCK); ties at random."""
    n_blocks = n // IN_BLOCK
    order = rng.permutation(n)[: n_blocks * IN_BLOCK]
    if not given:
        return order.reshape(n_blocks, IN_BLOCK)
    order = order[np.argsort(given[0][order], kind="stable")]
    if len(given) == 1:
        return order.reshape(n_blocks, IN_BLOCK)
    slabs = np.array_split(order.reshape(n_blocks, IN_BLOCK), round(np.sqrt(n_blocks)))
    return np.concatenate(
        [s.ravel()[np.argsort(given[1][s.ravel()], kind="stable")].reshape(-1, IN_BLOCK) for s in slabs]
    )


def local_designs(given, blocks):
    """Orthonormal bases of a constant and the variables given, in each block."""
    columns = [np.ones(blocks.shape)]
    for values in given:
        local = values[blocks] - values[blocks].mean(axis=1, keepdims=True)
        columns.append(local / np.maximum(np.abs(local).max(axis=1, keepdims=True), 1e-12))
    u, s, _ = np.linalg.svd(np.stack(columns, axis=2), full_matrices=False)
    return u * (s > 1e-6 * s[:, :1])[:, None, :]


def local_residual(designs, values):
    return values - np.einsum("bik,bk->bi", designs, np.einsum("bik,bi->bk", designs, values))


# --- the judge: many cells ----------------------------------------------------------------------------------


def partial_correlation(x, z, given):
    """Partial correlation of two variables given others; its standard error by a jackknife over 20 groups."""
    table = np.stack([x, z, *given])

    def of(columns):
        inverse = np.linalg.pinv(np.corrcoef(columns), rcond=1e-10, hermitian=True)
        return -inverse[0, 1] / np.sqrt(inverse[0, 0] * inverse[1, 1])

    groups = np.array_split(np.arange(len(x)), 20)
    left_out = np.array([of(np.delete(table, g, axis=1)) for g in groups])
    return of(table), np.sqrt(19 / 20 * ((left_out - left_out.mean()) ** 2).sum())


# --- both answers -------------------------------------------------------------------------------------------


@dataclass
class Answer:
    """One separation of one system, as stated and as judged."""

    system: int
    row: dict
    p_pools: float
    p_cells: float
    information: float | None
    power: float
    """Chance that the test of tables rejects, by the exact law; NaN without one."""
    limit_z: float
    """Measured less stated partial correlation of many cells, in standard errors; NaN if none is stated."""

    @property
    def stated(self):
        return f"{self.row['cic']} {self.row['quantifier']}"

    @property
    def is_kept(self):
        """Whether it is said to hold in these pools, not in the limit alone."""
        return self.row["cic"] == "holds" and self.row["quantifier"] != "limit"

    @property
    def contradiction(self):
        """What of the judge's findings cannot be if the statement is right."""
        known, counted = self.information, self.stated == "fails law"
        if self.is_kept and (self.p_pools < NEVER or (known is not None and known > 1e-9)):
            return "kept, but the pools are dependent"
        if counted and known is not None and known < 1e-12:
            return "broken, but the pools are independent"
        if counted and self.power > 0.999 and self.p_pools >= LEVEL:
            return "broken, but not found with power .999"
        if abs(self.limit_z) > 5:
            return "another partial correlation of many cells"
        return ""

    def __str__(self):
        row = self.row
        return (
            f"system {self.system}: {row['x']} _||_ {row['y']} | {','.join(row['given'])}: {self.stated} "
            f"({row['rule']}), p {self.p_pools:.2g} in pools, {self.p_cells:.2g} in cells, information "
            f"{self.information}, limit {row['limit_partial_correlation']}, z {self.limit_z:.1f}"
        )


def answers(seed):
    system = random_system(seed)
    rng = np.random.default_rng([5, seed])
    rows = check(system.model(), monte_carlo=False).summary["separations"]
    pooled = system.pools(N_POOLS, rng)
    single = system.sample(N_POOLS, rng)
    has_limit = any(r["limit_partial_correlation"] is not None for r in rows)
    many = system.pools(2000, rng, MANY_CELLS) if has_limit else None
    whole = all(gene.outcomes for gene in system.genes.values())
    return [answer(seed, system, row, pooled, single, many, whole, rng) for row in rows]


def answer(seed, system, row, pooled, single, many, whole, rng):
    x, z, given = row["x"], row["y"], row["given"]

    def judge(values):
        parts = values[x], values[z], [values[g] for g in given]
        return table_test(*parts) if whole else (residual_test(*parts, rng), 0)

    p_pools, df = judge(pooled)
    known = information(system, x, z, given) if whole else None
    power = np.nan
    if known is not None and df:
        power = stats.ncx2.sf(stats.chi2.isf(LEVEL, df), df, 2 * N_POOLS * max(known, 0))
    limit_z = np.nan
    if many is not None and row["limit_partial_correlation"] is not None:
        rho, error = partial_correlation(many[x], many[z], [many[g] for g in given])
        error = np.hypot(max(error, 1e-6), row["limit_standard_error"])
        limit_z = (rho - row["limit_partial_correlation"]) / error
    return Answer(seed, row, p_pools, judge(single)[0], known, power, limit_z)


def show(everything):
    """Print what is stated against what is found."""
    table = Counter((a.stated, a.p_pools < LEVEL) for a in everything)
    print(f"\n{'stated':20s}{'rejected':>10s}{'not rejected':>14s}")
    for stated in sorted({a.stated for a in everything}):
        print(f"{stated:20s}{table[stated, True]:10d}{table[stated, False]:14d}")


def n_at_odds(p_values_by_system):
    """Systems of which an independence is rejected, at one level for all of them."""
    return sum(min(p) < LEVEL / len(p) for p in p_values_by_system)


def test_check__agrees_with_the_judge():
    found = [answers(seed) for seed in range(N_SYSTEMS)]
    everything = [a for of_system in found for a in of_system]
    show(everything)
    kept = [[a.p_pools for a in of_system if a.is_kept] for of_system in found]
    kept = [p for p in kept if p]
    cells = [[a.p_cells for a in of_system] for of_system in found]
    most, most_cells = stats.binom.isf(0.001, [len(kept), len(cells)], [ALLOWED, ALLOWED_OF_CELLS])
    broken = [a for a in everything if a.stated == "fails law"]
    strong = sum(a.power > 0.999 for a in broken)
    limits = [abs(a.limit_z) for a in everything if np.isfinite(a.limit_z)]
    print(f"{len(found)} systems, {len(everything)} separations, {N_POOLS:,} pools each")
    print(f"at odds: {n_at_odds(kept)} of {len(kept)} in pools (at most {most:.0f}),", end=" ")
    print(f"{n_at_odds(cells)} of {len(cells)} in single cells (at most {most_cells:.0f})")
    print(
        f"{sum(a.information is not None for a in everything)} with an exact law; {len(broken)} broken",
        end=" ",
    )
    print(f"by count, {strong} with power; {len(limits)} limits, largest |z| {max(limits):.1f}")
    assert not [f"{a.contradiction}: {a}" for a in everything if a.contradiction]
    assert n_at_odds(kept) <= most
    assert n_at_odds(cells) <= most_cells
    assert strong >= N_SYSTEMS / 10  # the comparison is no empty one


# --- the judge is judged ---------------------------------------------------------------------------------


def test_residual_test__keeps_its_level_and_finds_what_is_broken():
    rng = np.random.default_rng(6)
    n_runs, n = 200, 2000
    rejected = Counter()
    for _ in range(n_runs):
        a, b = rng.gamma(2, 1, n), rng.normal(0, 1, n)
        left = np.tanh(a) + a * b + (1 + a) * rng.normal(0, 1, n)
        arms = {
            "independent": a**2 - b + (0.5 + b**2) * rng.exponential(1, n),
            "in the mean": a + 0.1 * left + rng.normal(0, 1, n),
            "in the variance": a + (left - np.tanh(a) - a * b) * rng.normal(0, 1, n),
        }
        for name, right in arms.items():
            rejected[name] += residual_test(left, right, [a, b], rng) < 0.05
    print(f"\n{dict(rejected)} of {n_runs}")
    assert rejected["independent"] <= stats.binom.isf(0.001, n_runs, 0.05)
    assert min(rejected["in the mean"], rejected["in the variance"]) > 0.9 * n_runs


def test_table_test__keeps_its_level_and_has_the_power_that_information_gives():
    rng = np.random.default_rng(7)
    n_runs, n, n_strata = 400, 2000, 4
    p_values, strengths = {0.0: [], 0.02: []}, {0.0: 0.0, 0.02: 0.0}
    for shift in p_values:
        joint = np.array([[0.25 + shift, 0.25 - shift], [0.25 - shift, 0.25 + shift]])
        strengths[shift] = 2 * n * (joint * np.log(joint * 4)).sum()
        for _ in range(n_runs):
            both, stratum = rng.choice(4, n, p=joint.ravel()), rng.integers(0, n_strata, n)
            p, df = table_test(both // 2, both % 2, [stratum])
            assert df == n_strata
            p_values[shift].append(p)
    size, power = (np.mean(np.array(p) < 0.001) for p in p_values.values())
    expected = stats.ncx2.sf(stats.chi2.isf(0.001, n_strata), n_strata, strengths[0.02])
    print(f"\nsize {np.mean(np.array(p_values[0.0]) < 0.05):.3f}, power {power:.3f}, expected {expected:.3f}")
    assert np.sum(np.array(p_values[0.0]) < 0.05) <= stats.binom.isf(0.001, n_runs, 0.05)
    assert size <= 0.01
    assert abs(power - expected) < 3.3 * np.sqrt(expected * (1 - expected) / n_runs) + 0.01


def test_information__of_a_fork_through_two_values_is_nothing_and_through_three_is_not():
    for first, kept in ((FINITE[0], True), (FINITE[3], False)):
        noise, _, values = LAWS[first]
        root = Gene((), {}, lambda rng, p, n: noise(rng, n), lambda p: list(values.items()))  # noqa: B023
        arm = Gene(("A",), {}, None, lambda p: [((p[0] > 0.5) * 1.0, 0.9), (0.0, 0.1)])
        fork = System({"A": root, "B": arm, "C": arm}, 3, "sum", np.ones(3))
        found = information(fork, "B", "C", ["A"])
        assert (abs(found) < 1e-12) if kept else (found > 1e-3)
