"""Claims of networks: true ones are seldom called false, missing edges and bends are found.

Networks are many small ones side by side, independent of one another, so that claims of different blocks are
independent and shares have exact binomial bands. Bands are the interval that is claimed, widened by the
quantile that a rate on its edge would leave once in a thousand times. Shortened by default; with
POOLPROOF_CALIBRATION=full five times as many blocks.
"""

import os

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from poolproof import describe, linearity
from poolproof._random import stream
from poolproof.pairs import make_design
from poolproof.pairs.count_engine import CountTest
from poolproof.triples.table import rows_of
from poolproof.verdict import judge_network
from poolproof.verdict.given_sets import CountSets
from poolproof.verdict.tested_network import equations_of

pytestmark = pytest.mark.calibration

BLOCKS = 2000 if os.environ.get("POOLPROOF_CALIBRATION") == "full" else 400
WRONG = ("distorted", "dependent", "hidden")


def at_least(rate, n):
    """Lowest share that a true rate of at least this shows among n, once in a thousand times."""
    return stats.binom.ppf(0.001, n, rate) / n


def at_most(rate, n):
    """Highest share that a true rate of at most this shows among n, once in a thousand times."""
    return stats.binom.isf(0.001, n, rate) / n


def noise(rng, mean, law):
    """Skewed noise of mean 0; its size is equal, or proportional to the mean of the gene."""
    size = mean if law == "proportional" else np.full(mean.shape, mean.std())
    return 0.5 * size * (rng.gamma(1.0, size=mean.shape) - 1)


def blocks(rng, n, n_blocks, law, bend=lambda a: a, extra=0.0):
    """Diamonds A -> B, C -> D with a second root E -> D, as data and edges.

    ``extra`` is the slope of B -> C, which is not among the edges.
    """
    columns, edges = {}, []
    for i in range(n_blocks):
        a, e = rng.lognormal(0, 0.6, size=(2, n))
        b_mean = bend(1 + a)
        b = b_mean + noise(rng, b_mean, law)
        c_mean = 1 + 2 * bend(a) + extra * b
        c = c_mean + noise(rng, c_mean, law)
        d_mean = 1 + b + c + e
        columns |= {f"A{i}": a, f"B{i}": b, f"C{i}": c, f"E{i}": e, f"D{i}": d_mean + noise(rng, d_mean, law)}
        edges += [(f"{x}{i}", f"{y}{i}") for x, y in ("AB", "AC", "BD", "CD", "ED")]
    return pd.DataFrame(columns), pd.DataFrame(edges, columns=["regulator", "target"])


def judge(data, network, obs=None, *, equations=False, **options):
    """What a network claims; the status of its edges needs ``equations``."""
    expression = describe(data, kind="single-cell", scale="additive")
    pairs = linearity(expression, pairs=network, obs=obs, **options)
    edges, children = network.assign(joint_q_value=np.nan), None
    if equations:
        joint = equations_of(pairs, network)
        edges, children = joint.edges, joint.table
    return judge_network(expression, pairs.design, network, pairs.table, edges, children=children, threads=1)


def of_blocks(separations):
    """Claims inside one block, by what they are about."""
    inside = separations[separations["x"].str[1:] == separations["z"].str[1:]]
    return inside.assign(about=inside["x"].str[0] + inside["z"].str[0])


def show(title, table):
    print(f"\n{title}\n{table}")


@pytest.mark.parametrize("law", ["equal", "proportional"])
@pytest.mark.parametrize("n", [60, 300])
def test_true_claims__of_linear_networks_are_seldom_called_false(n, law):
    rng = stream(0, "true claims", n, law)
    found = judge(*blocks(rng, n, BLOCKS, law))
    claims = of_blocks(found.separations)
    z = (claims["partial_spline"] / claims["partial_spline_se"]).abs()
    table = pd.DataFrame(
        {
            "given": claims.groupby("about")["n_given"].first(),
            "n": claims.groupby("about").size(),
            "wrong": claims["call"].isin(WRONG).groupby(claims["about"]).mean(),
            "size": (z > stats.norm.isf(0.025)).groupby(claims["about"]).mean(),
        }
    )
    show(f"n = {n}, noise {law}", table)
    table = table[table["given"] > 0]
    assert set(table.index) >= {"AD", "BC"}
    for about in ("AD", "BC"):
        m = table.loc[about, "n"]
        assert m == BLOCKS
        assert table.loc[about, "wrong"] <= at_most(0.05, m)
        assert at_least(0.02, m) <= table.loc[about, "size"] <= at_most(0.09, m)


def test_true_claims__with_donors():
    """Donors differ in every slope and level: cells of one donor are not independent."""
    rng = stream(0, "donors")
    n_donors, per = 16, 25
    donor = np.repeat(np.arange(n_donors), per)
    n_blocks = BLOCKS // 2
    columns, edges = {}, []
    for i in range(n_blocks):
        a = rng.gamma(2.0, size=n_donors * per) + rng.normal(size=n_donors)[donor]
        arms = [
            (1 + rng.normal(scale=0.3, size=n_donors))[donor] * a + rng.normal(size=len(a)) for _ in range(2)
        ]
        columns |= {f"A{i}": a, f"B{i}": arms[0], f"C{i}": arms[1]}
        edges += [(f"A{i}", f"B{i}"), (f"A{i}", f"C{i}")]
    obs = pd.DataFrame({"donor": donor.astype(str)})
    network = pd.DataFrame(edges, columns=["regulator", "target"])
    claims = of_blocks(judge(pd.DataFrame(columns), network, obs, replicate="donor").separations)
    size = (
        (claims["partial_spline"] / claims["partial_spline_se"]).abs() > stats.t.isf(0.025, n_donors - 1)
    ).mean()
    wrong = claims["call"].isin(WRONG).mean()
    show("16 donors", f"size {size:.3f}, wrong {wrong:.3f}")
    assert len(claims) == n_blocks
    assert wrong <= at_most(0.05, n_blocks)
    assert at_least(0.02, n_blocks) <= size <= at_most(0.09, n_blocks)


def test_missing_edge__makes_its_claim_fail():
    rng = stream(0, "missing edge")
    claims = of_blocks(judge(*blocks(rng, 300, BLOCKS // 2, "proportional", extra=0.8)).separations)
    calls = claims.loc[claims["about"] == "BC", "call"]
    show("missing edge B -> C", calls.value_counts(normalize=True))
    assert (calls == "dependent").mean() >= at_least(0.75, len(calls))


def test_bends__are_found_in_claims_and_in_edges():
    """The fork of method 4, n = 1000: a distorted claim, and distorted edges; straight edges survive."""
    rng = stream(0, "bends")
    columns, edges = {}, []
    for i in range(BLOCKS // 4):
        y = rng.gamma(2.0, size=1000)
        columns |= {
            f"Y{i}": y,
            f"X{i}": np.tanh(y) + 0.15 * rng.normal(size=1000),
            f"Z{i}": y**2 / 5 + 0.2 * rng.normal(size=1000),
            f"L{i}": 1 + y + 0.5 * y * rng.normal(size=1000),
        }
        edges += [(f"Y{i}", f"{end}{i}") for end in "XZL"]
    found = judge(pd.DataFrame(columns), pd.DataFrame(edges, columns=["regulator", "target"]), equations=True)
    claims, n = of_blocks(found.separations), BLOCKS // 4
    calls = claims.groupby("about")["call"].value_counts().unstack(fill_value=0) / n
    status = (
        found.edges.groupby(found.edges["target"].str[0])["pool_status"].value_counts().unstack(fill_value=0)
        / n
    )
    show("claims", calls)
    show("edges", status)
    assert calls.loc["XZ", "distorted"] >= at_least(0.75, n)
    assert calls.loc[["LX", "LZ"], list(WRONG)].sum(axis=1).max() <= at_most(0.05, n)
    assert status.loc[["X", "Z"], "distorted"].min() >= at_least(0.95, n)
    assert status.loc["L", "distorted"] <= at_most(0.05, n)
    assert status.loc["L", "survives"] >= at_least(0.5, n)


def test_unrelated_counts__correlation_holds_its_level():
    """Independent fractions of few molecules, depth varying fivefold: nothing given, noise removed."""
    rng = stream(0, "counts")
    n, n_pairs = 1000, BLOCKS
    share = rng.gamma(2.0, size=(n, 2 * n_pairs))
    depth = rng.uniform(0.5, 2.5, size=(n, 1))
    counts = rng.poisson(share * depth).astype(float)
    rest = rng.poisson(50_000 * depth)[:, 0]  # the measured genes are a small part of all
    total = counts.sum(axis=1) + rest
    design = make_design(pd.DataFrame(index=range(n)), categorical_only=True, min_per_stratum=20)
    test = CountTest(counts, total, False, design, dtype=np.float64)
    pairs = np.arange(2 * n_pairs).reshape(-1, 2)
    rows = rows_of(CountSets([()], test), np.insert(pairs, 1, 0, axis=1), 0.1, nothing_left="too_few_counts")
    ok = rows.status == "ok"
    size = (np.abs(rows.spline[ok] / rows.spline_se[ok]) > stats.norm.isf(0.025)).mean()
    wrong = np.isin(rows.code[ok], (1, 2, 3)).mean()
    show("unrelated counts", f"tested {ok.mean():.3f}, size {size:.3f}, wrong {wrong:.3f}")
    assert ok.mean() > 0.95
    assert wrong <= at_most(0.05, ok.sum())
    assert at_least(0.02, ok.sum()) <= size <= at_most(0.09, ok.sum())
