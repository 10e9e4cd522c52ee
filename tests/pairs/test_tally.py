import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from poolproof import linearity
from poolproof._random import stream
from poolproof.pairs.screening import AFFINE, INCONCLUSIVE, NONLINEAR, NOT_ASSOCIATED, UNTESTED
from poolproof.pairs.table import jackknife_share, tally_list, tally_screen

CODES = (UNTESTED, NOT_ASSOCIATED, INCONCLUSIVE, AFFINE, NONLINEAR)
KINDS = {"": None, "nonlinear_": NONLINEAR, "affine_": AFFINE, "inconclusive_": INCONCLUSIVE}


class Calls:
    """As much of a screen as a tally looks at."""

    def __init__(self, regulators, targets, calls):
        self.regulators, self.targets, self.calls = regulators, targets, calls


def random_calls(seed, n_genes, n_regulators, n_targets):
    rng = stream(seed, "calls")
    regulators = rng.permutation(n_genes)[:n_regulators]
    targets = rng.permutation(n_genes)[:n_targets]
    weights = rng.dirichlet(np.full(len(CODES), 0.7))
    calls = rng.choice(CODES, (n_regulators, n_targets), p=weights).astype(np.uint8)
    calls[regulators[:, None] == targets[None]] = UNTESTED
    return Calls(regulators, targets, calls)


def as_mapping(result):
    return {
        (int(x), int(y)): int(call)
        for x, row in zip(result.regulators, result.calls, strict=True)
        for y, call in zip(result.targets, row, strict=True)
        if call != UNTESTED
    }


def slow_unordered(calls):
    """Associated and contradicting unordered pairs, and those affine in one direction."""
    associated, contradicting, affine = set(), set(), set()
    for (x, y), forward in calls.items():
        if (y, x) not in calls:
            continue
        both = {forward, calls[y, x]}
        pair = frozenset((x, y))
        if both & {INCONCLUSIVE, AFFINE, NONLINEAR}:
            associated.add(pair)
        if both == {NONLINEAR}:
            contradicting.add(pair)
        if AFFINE in both:
            affine.add(pair)
    return associated, contradicting, affine


def slow_jackknife(pairs, counted, n_genes):
    """Share of counted pairs, leaving out one gene with its pairs at a time."""
    if not pairs:
        return {"estimate": None, "low": None, "high": None}
    estimate = len(counted) / len(pairs)
    shares = []
    for gene in range(n_genes):
        if not any(gene in pair for pair in pairs):
            continue
        rest = [pair for pair in pairs if gene not in pair]
        if not rest:
            return {"estimate": estimate, "low": 0.0, "high": 1.0}
        shares.append(len([pair for pair in counted if gene not in pair]) / len(rest))
    if len(shares) < 3:
        return {"estimate": estimate, "low": 0.0, "high": 1.0}
    n = len(shares)
    reach = 1 - 0.025 ** (1 / min(len(pairs), n / 2))  # of no event in pairs that share no gene
    error = np.sqrt((n - 1) / n * np.sum((np.array(shares) - np.mean(shares)) ** 2))
    return {
        "estimate": estimate,
        "low": max(min(estimate - 1.959964 * error, 1 - reach), 0.0),
        "high": min(max(estimate + 1.959964 * error, reach), 1.0),
    }


def check_counts(tally, calls, n_genes):
    found = list(calls.values())
    assert tally.n_tested == len(found)
    assert tally.n_nonlinear == found.count(NONLINEAR)
    assert tally.n_affine == found.count(AFFINE)
    assert tally.n_inconclusive == found.count(INCONCLUSIVE)
    assert tally.n_associated == tally.n_nonlinear + tally.n_affine + tally.n_inconclusive
    for gene in range(n_genes):
        for kind, code in KINDS.items():
            wanted = {INCONCLUSIVE, AFFINE, NONLINEAR} if code is None else {code}
            as_regulator = sum(x == gene and call in wanted for (x, _), call in calls.items())
            as_target = sum(y == gene and call in wanted for (_, y), call in calls.items())
            assert tally.by_gene[f"n_{kind}as_regulator"][gene] == as_regulator
            assert tally.by_gene[f"n_{kind}as_target"][gene] == as_target


sizes = st.tuples(st.integers(3, 14), st.integers(1, 14), st.integers(1, 14)).map(
    lambda t: (t[0], min(t[0], t[1]), min(t[0], t[2]))
)


@given(seed=st.integers(0, 9999), size=sizes)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_tally_screen__unordered_by_brute_force(seed, size):
    result = random_calls(seed, *size)
    calls = as_mapping(result)
    tally = tally_screen(result, size[0], directed=False)
    check_counts(tally, calls, size[0])
    associated, contradicting, affine = slow_unordered(calls)
    assert tally.n_unordered == len(associated)
    assert tally.n_unordered_affine == len(affine)
    expected = [sum(gene in pair for pair in contradicting) for gene in range(size[0])]
    np.testing.assert_array_equal(tally.by_gene["n_contradicting"], expected)
    slow = slow_jackknife(associated, contradicting, size[0])
    assert tally.share_contradicting == pytest.approx(slow, abs=1e-6)


@given(seed=st.integers(0, 9999), size=sizes)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_tally__with_a_direction_given(seed, size):
    """Regulators, or a list: every associated ordered pair counts for itself."""
    result = random_calls(seed, *size)
    calls = as_mapping(result)
    rows, columns = np.nonzero(result.calls != UNTESTED)
    listed = {
        "regulator": result.regulators[rows],
        "target": result.targets[columns],
        "call": result.calls[rows, columns],
    }
    associated = [pair for pair, call in calls.items() if call >= INCONCLUSIVE]
    contradicting = [pair for pair, call in calls.items() if call == NONLINEAR]
    slow = slow_jackknife(associated, contradicting, size[0])
    for tally in (tally_screen(result, size[0], directed=True), tally_list(listed, size[0])):
        check_counts(tally, calls, size[0])
        assert tally.n_unordered == len(associated)
        assert tally.n_unordered_affine == list(calls.values()).count(AFFINE)
        assert tally.share_contradicting == pytest.approx(slow, abs=1e-6)


def test_tally_list__untested_pairs_do_not_count():
    columns = {
        "regulator": np.array([0, 0, 1]),
        "target": np.array([1, 2, 2]),
        "call": np.array([UNTESTED, NONLINEAR, NOT_ASSOCIATED]),
    }
    tally = tally_list(columns, 3)
    assert (tally.n_tested, tally.n_associated, tally.n_nonlinear) == (2, 1, 1)
    assert tally.share_contradicting == {"estimate": 1.0, "low": 0.0, "high": 1.0}


def test_jackknife_share__nothing_to_count():
    none = {"estimate": None, "low": None, "high": None}
    assert jackknife_share(np.zeros(5, int), np.zeros(5, int)) == none
    # one gene in every pair: leaving it out leaves nothing
    star = jackknife_share(np.array([1, 1, 0, 0]), np.array([3, 1, 1, 1]))
    assert star == {"estimate": pytest.approx(1 / 3), "low": 0.0, "high": 1.0}


def test_jackknife_share__covers_where_genes_differ():
    """Pairs contradict with a probability that depends on their genes: the interval is honest."""
    rng = stream(0, "coverage")
    n_genes, covered = 60, []
    truth = (special.beta(1.5, 3) / special.beta(1, 3)) ** 2  # (E sqrt b)^2 for b ~ Beta(1, 3)
    for _ in range(300):
        bad = rng.beta(1, 3, n_genes)
        pairs = np.triu(rng.random((n_genes, n_genes)) < 0.3, 1)
        hit = pairs & (rng.random(pairs.shape) < np.sqrt(np.outer(bad, bad)))
        found = jackknife_share((hit + hit.T).sum(axis=1), (pairs + pairs.T).sum(axis=1))
        covered.append(found["low"] <= truth <= found["high"])
    assert 0.88 <= np.mean(covered) <= 0.99


def test_tally__is_what_the_table_shows():
    rng = stream(0, "real tally")
    common = rng.lognormal(0, 0.5, (150, 1))
    genes = np.hstack(
        [
            common * (1 + 0.1 * rng.normal(size=(150, 5))),
            common**2 * (1 + 0.1 * rng.normal(size=(150, 4))),
            rng.normal(size=(150, 3)),
        ]
    )
    data = pd.DataFrame(genes, columns=[f"g{i}" for i in range(12)])
    result = linearity(data, kind="bulk", scale="additive", keep="all", threads=1)
    calls = {(x, y): str(call) for x, y, call in result.table[["regulator", "target", "call"]].to_numpy()}
    pairs = [(x, y) for x, y in calls if x < y]
    both = [{calls[x, y], calls[y, x]} for x, y in pairs]
    associated = sum(of != {"not_associated"} for of in both)
    contradicting = sum(of == {"nonlinear"} for of in both)
    assert contradicting > 0
    assert result.summary["n_unordered"] == associated
    assert result.summary["share_contradicting"]["estimate"] == pytest.approx(contradicting / associated)
    assert result.genes["n_contradicting"].sum() == 2 * contradicting
    for column, end in (("n_nonlinear_as_regulator", "regulator"), ("n_nonlinear_as_target", "target")):
        bent = result.table[result.table["call"] == "nonlinear"]
        expected = bent.groupby(end).size().reindex(result.genes["gene"], fill_value=0)
        np.testing.assert_array_equal(result.genes[column], expected)
