"""The screen of all triples: against brute force, known truths, laws of symmetry, and hostile input."""

import re
from itertools import combinations
from types import SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy import stats

from poolproof import InputError, describe, linearity, screen_triples
from poolproof import _names as names
from poolproof._random import stream
from poolproof.pairs import bh_adjust, make_design
from poolproof.pairs.screening import Associations
from poolproof.triples import every_triple as triples
from poolproof.triples import screening as _triple_screen
from poolproof.triples.partial import Estimates, Tile
from poolproof.triples.screening import judge, p_values, q_values
from poolproof.triples.table import leave_one_out

N = 1000
NUMBERS = [
    "correlation",
    "partial_linear",
    "partial_linear_se",
    "partial_spline",
    "partial_spline_se",
    "p_value",
    "q_value",
]
CALLS = list(names.TRIPLE_CALLS)
PLAIN = {"kind": "bulk", "scale": "additive", "threads": 1}


def forks(seed, n=N, n_genes=24, n_causes=2):
    """Genes of a few causes, along lines and bends: triples of every call. DataFrame of samples x genes."""
    rng = stream(seed, "forks")
    causes = rng.gamma(2.0, 1.0, (n, n_causes))
    bends = np.abs(causes - 2) - np.abs(causes - 2).mean(axis=0)
    bends -= np.cov(bends[:, 0], causes[:, 0])[0, 1] / causes[:, 0].var() * (causes - causes.mean(axis=0))
    second = rng.normal(size=(n, n_causes)) * bends.std(axis=0)
    columns = []
    for i in range(n_genes):
        cause, bend, other = causes[:, i % n_causes], bends[:, i % n_causes], second[:, i % n_causes]
        noise = rng.normal(size=n)
        columns.append(
            (
                cause + (i >= n_causes) * noise,
                np.tanh(cause) + 0.15 * noise,
                cause**2 / 5 + 0.2 * noise,
                cause + bend + other + 0.2 * noise,  # the bends of these two are against one another,
                cause - bend + other + 0.2 * noise,  # what they share is not: hidden from a line
                cause * (1 + 0.3 * noise),
            )[i // n_causes % 6]
        )
    order = rng.permutation(n_genes)  # so that the order of names is not that of columns
    values = np.stack([columns[i] for i in order], axis=1) + 8
    return pd.DataFrame(values, columns=[f"g{i}" for i in order], index=[f"s{i}" for i in range(n)])


def run(data, **options):
    return screen_triples(data, **(PLAIN | options))


def indexed(table):
    return table.set_index(["x", "y", "z"]).sort_index()


def assert_same_distortion(one, other):
    left, right = (found.table.set_index("gene").sort_index() for found in (one, other))
    pd.testing.assert_frame_equal(left, right, rtol=1e-6, atol=1e-6, check_categorical=False)
    for key, value in one.summary.items():
        assert other.summary[key] == (pytest.approx(value, abs=1e-6) if isinstance(value, dict) else value), (
            key
        )


def assert_same(one, other, *, rtol=1e-6, atol=1e-8):
    """Two results that say the same: calls exactly, numbers up to rounding."""
    for part in ("table", "genes"):
        key = ["x", "y", "z"] if part == "table" else ["gene"]
        left, right = (getattr(result, part).set_index(key).sort_index() for result in (one, other))
        pd.testing.assert_frame_equal(left, right, rtol=rtol, atol=atol, check_categorical=False)
    pd.testing.assert_frame_equal(one.histogram, other.histogram)
    assert one.summary.keys() == other.summary.keys()
    for key, value in one.summary.items():
        if key == "distortion" and value is not None:
            assert_same_distortion(one.distortion, other.distortion)
        else:
            assert other.summary[key] == (pytest.approx(value) if isinstance(value, float) else value), key


class BruteForce:
    """Every triple with associated ends, judged one by one; associations are those of ``linearity``."""

    def __init__(self, data, **options):
        fitting = {k: v for k, v in options.items() if k not in ("n_listed", "correction")}
        test = {"none": "robust", "poisson": "corrected"}[options.pop("correction", "none")]
        pairs = linearity(data, keep="all", test=test, **(PLAIN | fitting)).table
        found = pairs[pairs["call"] != names.NOT_ASSOCIATED].groupby("regulator")["target"]
        self.ends = {middle: sorted(ends) for middle, ends in found}
        listed = [(x, y, z) for y in sorted(self.ends) for x, z in combinations(self.ends[y], 2)]
        options |= {"correction": "none" if test == "robust" else "poisson"}
        self.table = run(data, triples=listed, **options).table
        strength = np.stack(
            [
                self.table[f"partial_{name}"].abs() - stats.norm.ppf(0.95) * self.table[f"partial_{name}_se"]
                for name in ("linear", "spline")
            ]
        )
        self.table["strength"] = np.select(
            [self.table["call"] == call for call in ("distorted", "hidden", "dependent", "kept")],
            [strength[0], strength[1], strength.min(axis=0), self.table["correlation"].abs()],
        )

    def strongest(self, call, n):
        """The n strongest triples of a call, in order; ties by name of the middle gene, then of the ends."""
        of_call = self.table[self.table["call"] == call]
        return of_call.sort_values(["strength", "y", "x", "z"], ascending=[False, True, True, True]).head(n)


@pytest.fixture(scope="module")
def data():
    return forks(0)


@pytest.fixture(scope="module")
def result(data):
    return run(data, n_listed=10**6)


@pytest.fixture(scope="module")
def brute(data):
    return BruteForce(data)


# --- against brute force ----------------------------------------------------------------------------------


def test_screen_triples__counts_by_call_are_those_of_brute_force(result, brute):
    counts = brute.table["call"].value_counts()
    assert all(counts[call] > 10 for call in CALLS)
    summary = result.summary
    assert summary["n_screened"] == len(brute.table)
    assert {call: counts[call] for call in CALLS} == {
        "kept": summary["n_kept"],
        "distorted": summary["n_distorted"],
        "dependent": summary["n_dependent"] - summary["n_hidden"],
        "hidden": summary["n_hidden"],
        "undetermined": summary["n_undetermined"],
    }
    assert summary["n_separated"] == counts["kept"] + counts["distorted"]
    assert summary["share_distorted"] == counts["distorted"] / summary["n_separated"]
    assert summary["share_hidden"] == counts["hidden"] / summary["n_dependent"]
    assert summary["share_undetermined"] == counts["undetermined"] / len(brute.table)
    for share in ("distorted", "hidden"):
        estimate, low, high = (summary[f"share_{share}{end}"] for end in ("", "_low", "_high"))
        assert 0 <= low < estimate < high <= 1


def test_screen_triples__calls_follow_the_rule(brute):
    """Method 8.2, written again: two one-sided 5 % tests, both of which must tell."""
    table, z = brute.table, stats.norm.ppf(0.95)
    small, large, p = {}, {}, {}
    for name in ("linear", "spline"):
        size, se = table[f"partial_{name}"].abs(), table[f"partial_{name}_se"]
        small[name], large[name] = size + z * se < 0.1, size - z * se > 0.1
        p[name] = stats.norm.sf((size - 0.1).abs() / se)
    expected = np.select(
        [
            small["spline"] & small["linear"],
            small["spline"] & large["linear"],
            large["spline"] & large["linear"],
            large["spline"] & small["linear"],
        ],
        ["kept", "distorted", "dependent", "hidden"],
        "undetermined",
    )
    assert (table["call"].astype(str) == expected).all()
    np.testing.assert_allclose(table["p_value"], np.maximum(p["linear"], p["spline"]), rtol=1e-9)


@pytest.mark.parametrize("df", [np.inf, 6.0])
def test_judge__by_hand(df):
    """Every pair of sizes a little below, at and a little above what a standard error of .01 tells."""
    t = stats.t.ppf(0.95, df) if np.isfinite(df) else stats.norm.ppf(0.95)
    below, above, near = 0.1 - 1.01 * 0.01 * t, 0.1 + 1.01 * 0.01 * t, 0.1 + 0.99 * 0.01 * t
    rho = np.array([below, -below, above, -above, near, 0.1, 0.0, 1.0])
    linear, spline = np.meshgrid(rho, rho, indexing="ij")
    variance = np.full(linear.shape, 1e-4)
    of = Estimates(linear, linear, variance, spline, variance)
    code, evidence = judge(of, 0.1, df)
    small, large = np.isin(rho, [below, -below, 0.0]), np.isin(rho, [above, -above, 1.0])
    expected = np.full(linear.shape, "undetermined", dtype=object)
    for of_line, line in ((small, 0), (large, 1)):
        for of_spline, call in ((small, ("kept", "distorted")), (large, ("hidden", "dependent"))):
            expected[np.ix_(of_line, of_spline)] = call[line]
    assert (np.array(_triple_screen.CODES)[code] == expected).all()
    z = np.minimum(np.abs(np.abs(linear) - 0.1), np.abs(np.abs(spline) - 0.1)) / 0.01
    sf = stats.t.sf(z, df) if np.isfinite(df) else stats.norm.sf(z)
    np.testing.assert_allclose(p_values(evidence, df), sf, rtol=1e-9)
    assert ((p_values(evidence, df) < 0.05) == (expected != "undetermined")).all()


def test_screen_triples__tallies_by_middle_gene(data, result, brute):
    genes = result.genes.set_index("gene")
    assert list(result.genes.columns) == [column.name for column in names.TRIPLE_GENE_COLUMNS]
    assert list(genes.index) == list(data.columns)  # in the order of the data
    tally = pd.crosstab(brute.table["y"], brute.table["call"].astype(str))
    for gene in data.columns:
        n_ends = len(brute.ends.get(gene, []))
        assert genes.loc[gene, "n_ends"] == n_ends
        assert genes.loc[gene, "n_screened"] == n_ends * (n_ends - 1) // 2
        for call in CALLS:
            assert genes.loc[gene, f"n_{call}"] == (tally.loc[gene, call] if gene in tally.index else 0)
    assert result.summary["n_middle"] == len(tally)


def test_screen_triples__histogram(result, brute):
    width = 0.05
    bins = np.floor((brute.table[["partial_linear", "partial_spline"]] + 1) / width)
    bins = (bins.clip(0, 39) + 0.5) * width - 1
    expected = bins.round(6).assign(call=brute.table["call"].astype(str)).value_counts()
    found = result.histogram.assign(call=result.histogram["call"].astype(str))
    found = found.rename(columns={"linear": "partial_linear", "spline": "partial_spline"})
    found = found.set_index(["partial_linear", "partial_spline", "call"])["n"]
    assert found.sort_index().to_dict() == expected.sort_index().to_dict()


@pytest.mark.parametrize("n_listed", [1, 4, 10**6])
def test_screen_triples__lists_are_the_strongest(data, brute, n_listed):
    """In the order of the calls, strongest first, with the numbers of the triple judged alone."""
    table = run(data, n_listed=n_listed).table
    shown = ["distorted", "hidden", "dependent", "kept"]
    expected = pd.concat([brute.strongest(call, n_listed) for call in shown])
    assert list(table.columns) == [column.name for column in names.TRIPLE_COLUMNS]
    assert (table[["x", "y", "z", "call"]].to_numpy() == expected[["x", "y", "z", "call"]].to_numpy()).all()
    for column in [name for name in NUMBERS if name != "q_value"]:
        np.testing.assert_allclose(table[column], expected[column], rtol=1e-9, atol=1e-12)
    assert (table["status"] == names.OK).all()


def test_screen_triples__lists_from_many_tiles_and_threads(data, brute, monkeypatch):
    """Lists are pruned as they grow; what is left does not depend on the order of arrival."""
    monkeypatch.setattr(_triple_screen, "SIZE", 3)
    for threads in (1, 2):
        table = run(data, n_listed=3, threads=threads).table
        for call in ("distorted", "hidden", "dependent", "kept"):
            found = table[table["call"] == call][["x", "y", "z"]].to_numpy()
            assert (found == brute.strongest(call, 3)[["x", "y", "z"]].to_numpy()).all()


class Rising(list):
    """Limits that another thread raises whenever they are looked at."""

    def __getitem__(self, code):
        seen = super().__getitem__(code)
        self[code] = seen + 0.1
        return seen


def test_lists__a_limit_that_rises_while_triples_are_added():
    sizes = np.array([[0.3, 0.32, 0.9, 0.4]])
    of = Estimates(*[sizes] * 5)
    given = SimpleNamespace(ends=np.arange(10, 15), df=np.inf)
    codes = np.full(sizes.shape, _triple_screen.KEPT)
    lists = _triple_screen._Lists(2)
    lists._least = Rising([0.25] * 4)
    lists.add(given, Tile(slice(0, 1), slice(1, 5)), 7, of, codes, np.array([4, 0, 0, 0, 0]))
    listed = lists.done()
    assert listed.strength.tolist() == [0.9, 0.4]
    assert listed.right.tolist() == [13, 14]
    assert listed.left.tolist() == [10, 10]


def test_screen_triples__q_values_are_benjamini_hochberg_over_all_screened(result, brute):
    q = bh_adjust(brute.table["p_value"].to_numpy())
    expected = brute.table.assign(expected=q).pipe(indexed)["expected"]
    found = indexed(result.table)["q_value"]
    ratio = (found / expected.loc[found.index])[expected.loc[found.index] > 1e-6]
    assert len(ratio) > 200
    assert ratio.between(1 - 1e-9, 1.02).all()


def test_q_values__of_many_statistics():
    """From the histogram of 200,000 statistics of two degrees of freedom: within 2 %, never too small."""
    rng = stream(1, "statistics")
    z2 = {df: (rng.normal(1.0, 1.5, 100_000) ** 2).astype(np.float32) for df in (np.inf, 9.0)}
    first, last = _triple_screen._FIRST, _triple_screen._LAST
    evidence = {
        df: np.bincount(
            np.clip((values.view(np.int32) >> _triple_screen._SHIFT) - first, 0, last - first),
            minlength=last - first + 1,
        )
        for df, values in z2.items()
    }
    nothing = np.zeros(0)
    found = _triple_screen.TripleScreen(nothing, nothing, np.array([[200_000]]), nothing, evidence, None)
    p = np.concatenate([p_values(values, df) for df, values in z2.items()])
    q, exact = q_values(found, p), bh_adjust(p)
    told = (p < 0.05) & (exact > 1e-6)
    assert (q[told] / exact[told] < 1.02).all()
    assert (q[told] / exact[told] > 1 - 1e-9).all()
    assert np.isnan(q_values(found, np.array([np.nan])))


def test_screen_triples__middle_genes_by_name(data, result):
    some = run(data, middle=["g6", "g1", "no such gene"], n_listed=10**6)
    assert sorted(some.table["y"].unique()) == ["g1", "g6"]
    assert some.summary["n_middle"] == 2
    expected = indexed(result.table[result.table["y"].isin(["g1", "g6"])])
    columns = [name for name in expected if name != "q_value"]
    pd.testing.assert_frame_equal(indexed(some.table)[columns], expected[columns], check_categorical=False)
    screened = result.genes.set_index("gene")["n_screened"]
    assert some.summary["n_screened"] == screened[["g1", "g6"]].sum()
    assert (some.genes.set_index("gene")["n_screened"].drop(["g1", "g6"]) == 0).all()
    assert any("2 of 3 middle genes matched (by identifier); not found" in text for text in some.warnings)


def test_screen_triples__middle_genes_drawn_by_the_seed(data, result):
    drawn = [run(data, middle=4, seed=seed) for seed in (0, 0, 1)]
    screened = [set(r.genes.loc[r.genes["n_screened"] > 0, "gene"]) for r in drawn]
    assert [len(genes) for genes in screened] == [4, 4, 4]
    assert screened[0] == screened[1] != screened[2]
    assert drawn[0].summary["n_middle"] == 4
    assert run(data, middle=np.int64(10**9)).summary == result.summary


def test_screen_triples__float32_changes_few_calls(monkeypatch):
    """At most 1 call in 1,000 changes (measured: see the print); in float64 none does."""
    large = forks(1, n_genes=60, n_causes=1)
    exact = run(large)
    monkeypatch.setattr(triples, "SMALL", 0)
    rough, same = run(large), run(large, dtype=np.float64)
    columns = [f"n_{call}" for call in CALLS]
    changed = (rough.genes[columns] - exact.genes[columns]).abs().to_numpy().sum() / 2
    print(f"float32 changes {changed:.0f} calls of {exact.summary['n_screened']:,}")
    assert exact.summary["n_screened"] > 50_000
    assert changed <= exact.summary["n_screened"] / 1000
    pd.testing.assert_frame_equal(exact.genes, same.genes)
    assert (rough.table["call"] != names.UNDETERMINED).all()


def test_screen_associated__as_many_middle_genes_as_a_number_of_triples_allows(data):
    """From associations that are given: here all, of a gene with itself and with a constant one included."""
    data = data.assign(constant=3.0)
    n_genes = data.shape[1]
    expression = describe(data, kind="bulk", scale="additive")
    genes = np.arange(n_genes)
    everything = Associations(genes, genes, np.packbits(np.ones((n_genes, n_genes), dtype=bool), axis=1))

    def screened(most, seed=0):
        options = triples.Options(correction="none", seed=seed)
        found = triples.screen_associated(
            expression, make_design(data[[]]), everything, None, options, {}, most=most
        )
        assert found.genes["n_ends"].tolist() == [n_genes - 2] * (n_genes - 1) + [n_genes - 1]
        return set(found.genes.loc[found.genes["n_screened"] > 0, "gene"]), found.summary

    each = (n_genes - 2) * (n_genes - 3) // 2
    assert screened(None)[1]["n_screened"] == (n_genes - 1) * each
    few, summary = screened(3.5 * each)
    assert (len(few), summary["n_screened"]) == (3, 3 * each)
    assert few == screened(3.5 * each)[0] != screened(3.5 * each, seed=1)[0]
    assert len(screened(1)[0]) == 1


# --- counts -----------------------------------------------------------------------------------------------


def counted(seed, n, mean=12.0):
    """Counts of a fork from Y with arms along lines and bends, and the fractions that they are drawn from.

    ``shared`` genes have a second cause in common, so they depend on one another given Y.
    """
    rng = stream(seed, "counted forks")
    y = rng.gamma(2.0, 0.5, n)
    second = rng.gamma(8.0, 1 / 8, n)
    levels = {
        "Y": y,
        "affine": 0.3 + 0.7 * y,
        "affine2": 0.5 + 0.5 * y,
        "bent": 0.6 + 0.25 * y**2,
        "turning": 1.6 - 0.9 * y + 0.25 * y**2,
        "shared": (0.3 + 0.7 * y) * second,
        "shared bent": (0.4 + 0.3 * y**2) * second,
    }
    rates = pd.DataFrame(levels)
    for gene in rates.columns.drop(["Y", "shared"]):
        rates[gene] *= rng.gamma(16.0, 1 / 16, n)
    rates = mean * rates / rates.mean()
    fractions = rates.div(rates.sum(axis=1) + 600, axis=0)
    depth = rng.poisson(700 * rng.gamma(8.0, 1 / 8, n))
    rest = 1 - fractions.sum(axis=1)
    drawn = rng.multinomial(depth, np.column_stack([fractions, rest])).astype(float)
    return pd.DataFrame(drawn, columns=[*fractions, "rest"]), fractions


def true_partial(fractions, x, z, degree):
    """Correlation of what a polynomial in the fraction of Y leaves of two fractions."""
    basis = np.vander(stats.zscore(fractions["Y"]), degree + 1)
    left = [fractions[end] - basis @ np.linalg.lstsq(basis, fractions[end], rcond=None)[0] for end in (x, z)]
    return np.corrcoef(*left)[0, 1]


SINGLE_CELL = {"kind": "single-cell", "scale": "counts", "threads": 1}


def test_counts__corrected_equal_the_truth_where_naive_do_not():
    """Four data sets, 15 triples each: errors in standard errors, printed side by side.

    Bands fixed beforehand: corrected, root mean square below 1.4 and none beyond 4.5; naive, above 5.
    """
    errors = {"poisson": [], "none": []}
    for seed in range(4):
        counts, fractions = counted(seed, 5000)
        ends = fractions.columns.drop("Y")
        listed = [(x, "Y", z) for x, z in combinations(ends, 2)]
        truth = {
            name: np.array([true_partial(fractions, x, z, degree) for x, _, z in listed])
            for name, degree in (("linear", 1), ("spline", 2))
        }
        tables = {
            c: screen_triples(counts, triples=listed, correction=c, **SINGLE_CELL).table for c in errors
        }
        for correction, table in tables.items():
            errors[correction].append(
                [(table[f"partial_{n}"] - truth[n]) / table[f"partial_{n}_se"] for n in truth]
            )
        if seed == 0:
            shown = tables["poisson"][["x", "z"]].assign(
                truth=truth["spline"],
                corrected=tables["poisson"]["partial_spline"],
                se=tables["poisson"]["partial_spline_se"],
                naive=tables["none"]["partial_spline"],
            )
            print(shown.round(3).to_string())
    corrected, naive = (np.array(errors[c]) for c in ("poisson", "none"))
    for name, error in (("corrected", corrected), ("naive", naive)):
        print(f"{name}: errors in se, rms {np.sqrt((error**2).mean()):.2f}, worst {np.abs(error).max():.2f}")
    assert np.sqrt((corrected**2).mean()) < 1.4
    assert np.abs(corrected).max() < 4.5
    assert np.sqrt((naive**2).mean()) > 5


def test_counts__screen_is_brute_force():
    """The same code of tiles and lists, by factorial moments; ``auto`` takes them for counts of molecules."""
    counts, _ = counted(5, 3000)
    found = screen_triples(counts, n_listed=10**6, **SINGLE_CELL)
    assert found.summary["correction"] == found.settings["correction"] == "poisson"
    assert found.summary["k"] is None
    brute = BruteForce(counts, correction="poisson", **SINGLE_CELL)
    told = indexed(brute.table[brute.table["call"] != names.UNDETERMINED])
    assert len(told) > 20
    assert found.summary["n_screened"] == len(brute.table[brute.table["status"] == names.OK])
    pd.testing.assert_frame_equal(
        indexed(found.table).drop(columns="q_value"),
        told.drop(columns=["q_value", "strength"]),
        check_categorical=False,
        rtol=1e-7,
    )


def test_counts__overdispersion_and_correction_are_options():
    counts, _ = counted(0, 5000)
    listed = [("affine", "Y", "bent"), ("affine", "Y", "shared")]
    rho = [
        screen_triples(counts, triples=listed, overdispersion=phi, **SINGLE_CELL).table["partial_spline"]
        for phi in (0.0, 0.02)
    ]
    assert (rho[0] - rho[1]).abs().min() > 1e-4
    plain = screen_triples(counts, triples=listed, correction="none", k=3, **SINGLE_CELL)
    assert plain.summary["correction"] == "none"
    assert plain.summary["k"] == 3


# --- laws -------------------------------------------------------------------------------------------------


def test_laws__order_of_genes_and_samples(data, result):
    rng = stream(3, "orders")
    genes = run(data.iloc[:, rng.permutation(data.shape[1])], n_listed=10**6)
    assert_same(genes, result, rtol=1e-12, atol=0)
    samples = run(data.iloc[rng.permutation(len(data))], n_listed=10**6)
    assert_same(samples, result)


def test_laws__threads_do_not_change_a_bit(data, result):
    assert_same(run(data, n_listed=10**6, threads=2), result, rtol=0, atol=0)


def test_laws__threads_and_order_do_not_change_a_bit_of_float32_screens(data, monkeypatch):
    monkeypatch.setattr(triples, "SMALL", 0)
    alone = run(data, n_listed=10**6)
    for other in (run(data, n_listed=10**6, threads=2), run(data[data.columns[::-1]], n_listed=10**6)):
        assert_same(other, alone, rtol=0, atol=0)


def test_laws__size_of_tiles(data, result, monkeypatch):
    for size in (1, 5, 7):
        monkeypatch.setattr(_triple_screen, "SIZE", size)
        assert_same(run(data, n_listed=10**6), result)


@pytest.mark.parametrize("most", [4, 7, 16])
def test_laws__blocks_of_ends_that_fit_into_memory(data, monkeypatch, most):
    """Pairs inside blocks and between them: every pair of ends once, a constant gene among them."""
    data = data.assign(g2b=1.0)
    expected = run(data, n_listed=10**6)
    counts, _ = counted(5, 3000)
    of_counts = screen_triples(counts, n_listed=10**6, **SINGLE_CELL)
    make = triples.conditioner_of

    def small(*arguments):
        conditioner = make(*arguments)
        conditioner.most_ends = most
        return conditioner

    monkeypatch.setattr(triples, "conditioner_of", small)
    assert_same(run(data, n_listed=10**6), expected)
    assert_same(screen_triples(counts, n_listed=10**6, **SINGLE_CELL), of_counts, rtol=1e-5)


def test_laws__sparse_is_dense():
    rng = stream(4, "sparse")
    dense = forks(4)
    dense = dense.where(rng.random(dense.shape) > 0.4, 0.0)
    sparse = ad.AnnData(sp.csr_matrix(dense.to_numpy()), dense[[]], pd.DataFrame(index=dense.columns))
    plain = ad.AnnData(dense.to_numpy(), dense[[]], pd.DataFrame(index=dense.columns))
    expected = run(plain, n_listed=10**6)
    assert expected.summary["n_screened"] > 30
    assert_same(run(sparse, n_listed=10**6), expected)


def test_laws__rescaling_any_gene(data, result):
    """Units and origins of genes change nothing."""
    rng = stream(5, "rescaling")
    scale, shift = rng.lognormal(0, 3, data.shape[1]), rng.uniform(0, 50, data.shape[1])
    assert_same(run(data * scale + scale * shift, n_listed=10**6), result, rtol=1e-5, atol=1e-7)


def test_laws__memory_changes_nothing(data, result):
    assert_same(run(data, n_listed=10**6, memory=1.0), result)


# --- levels, covariates, replicates -----------------------------------------------------------------------


def test_within__levels_are_put_together(data):
    """A level apart in its mean does not make genes depend; the listed n is that of the levels used."""
    kind = np.repeat(["a", "b", "c"], (600, 394, 6))
    shifted = data + 8.0 * (kind == "b")[:, None]
    obs = pd.DataFrame({"kind": kind}, index=data.index)
    apart = run(shifted, within="kind", obs=obs, n_listed=10**6)
    assert apart.settings["within"] == ["kind"]
    assert (apart.table["n"] == 994).all()
    assert any("levels left out" in sentence for sentence in apart.warnings)
    assert_same(apart, run(data, within=["kind"], obs=obs, n_listed=10**6))
    together = run(shifted, n_listed=10**6)
    assert together.summary["n_dependent"] > 2 * apart.summary["n_dependent"]


def test_covariates__are_projected_out(data):
    dose = stream(6, "dose").gamma(2.0, 1.0, N)
    obs = pd.DataFrame({"dose": dose}, index=data.index)
    found = run(data + 5 * dose[:, None], covariates="dose", obs=obs, triples=[("g1", "g0", "g2")]).table
    left = data.sub(0)
    columns = np.column_stack([np.ones(N), dose, (data["g0"] + 5 * dose)])
    rest = [left[g] - columns @ np.linalg.lstsq(columns, left[g], rcond=None)[0] for g in ("g1", "g2")]
    assert found["partial_linear"][0] == pytest.approx(np.corrcoef(*rest)[0, 1], abs=1e-9)


def test_replicates__student_t_with_their_number(data):
    """p-values come from t with D - 1 degrees of freedom; the screen and the list agree."""
    obs = pd.DataFrame({"donor": [f"d{i % 20}" for i in range(N)]}, index=data.index)
    found = run(data, replicate="donor", obs=obs, n_listed=10**6)
    assert len(found.table) > 20
    listed = run(data, replicate="donor", obs=obs, triples=found.table[["x", "y", "z"]])
    left, right = (indexed(of.table).drop(columns="q_value") for of in (listed, found))
    pd.testing.assert_frame_equal(left, right)
    statistic = np.min(
        [
            (found.table[f"partial_{name}"].abs() - 0.1).abs() / found.table[f"partial_{name}_se"]
            for name in ("linear", "spline")
        ],
        axis=0,
    )
    np.testing.assert_allclose(found.table["p_value"], stats.t.sf(statistic, 19), rtol=1e-6)


@pytest.mark.parametrize("n_donors", [2, 3])
def test_replicates__too_few_are_a_status(data, n_donors):
    obs = pd.DataFrame({"donor": [f"d{i % n_donors}" for i in range(N)]}, index=data.index)
    listed = run(data, replicate="donor", obs=obs, triples=[("g1", "g0", "g2")])
    row = listed.table.iloc[0]
    assert (row["status"], row["call"]) == (names.TOO_FEW_REPLICATES, names.UNDETERMINED)
    assert row[NUMBERS].isna().all()
    assert (listed.summary["n_screened"], listed.summary["share_distorted"]) == (0, None)
    refused(lambda: run(data, replicate="donor", obs=obs), "too_few_replicates")


# --- hostile and degenerate -------------------------------------------------------------------------------


def refused(call, *words):
    """One clear line, that holds these words."""
    with pytest.raises(InputError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_degenerate__constant_genes_copies_and_lines(data):
    """Nothing is left of a copy of the middle gene: a status in the list, no triple in the screen."""
    odd = data[["g0", "g2", "g4", "g6"]].assign(constant=7.0)
    odd["copy"], odd["line"] = odd["g0"], 3 * odd["g0"] + 2
    listed = [
        ("copy", "g0", "g2"),
        ("g2", "g0", "line"),
        ("g2", "constant", "g4"),
        ("g2", "g0", "constant"),
        ("g2", "copy", "g4"),
        ("g0", "g2", "line"),
        ("constant", "g0", "g4"),
    ]
    table = run(odd, triples=listed).table
    left = names.NO_VARIANCE_LEFT
    flat = names.CONSTANT
    assert table["status"].tolist() == [left, left, flat, flat, names.OK, names.OK, flat]
    assert table["partial_spline"][:4].isna().all()
    assert table["q_value"][:4].isna().all()
    assert (table["call"][:4] == names.UNDETERMINED).all()
    assert table["partial_spline"][5] == pytest.approx(1)
    genes = run(odd).genes.set_index("gene")
    assert genes.loc["constant", ["status", "n_ends", "n_screened"]].tolist() == [names.CONSTANT, 0, 0]
    assert genes.loc["g0", "n_screened"] == genes.loc["copy", "n_screened"] == 3  # pairs of g2, g4 and g6
    assert genes.loc["g2", "n_screened"] == 10


def test_degenerate__missing_values(data):
    """Samples without a middle value are left out; missing ends stand at their mean."""
    gaps = data.copy()
    gaps.iloc[3, 0] = gaps.iloc[10:20, 4] = np.nan
    filled = gaps.fillna(gaps.mean())
    listed = [(x, y, z) for y in data.columns[:5] for x, z in combinations(data.columns[5:9], 2)]
    listed += [(data.columns[0], data.columns[6], data.columns[4])]
    found = run(gaps, triples=listed)
    one, ten = data.columns[[0, 4]]
    whole = found.table[~found.table["y"].isin([one, ten])]
    pd.testing.assert_frame_equal(
        whole.drop(columns="q_value"),
        run(filled, triples=listed).table.loc[whole.index].drop(columns="q_value"),
    )
    for gene, n_missing in ((one, 1), (ten, 10)):
        mine = found.table[found.table["y"] == gene]
        assert (mine["n"] == N - n_missing).all()
        dropped = run(filled[gaps[gene].notna()], triples=listed).table.loc[mine.index]
        for column, close in (("partial_linear", 1e-3), ("partial_spline", 0.01)):
            np.testing.assert_allclose(mine[column], dropped[column], atol=close)
    assert any("missing values" in sentence for sentence in found.warnings)
    assert not any("missing values" in sentence for sentence in run(filled, triples=listed).warnings)
    gaps["g0"] = np.nan
    status = run(gaps).genes.set_index("gene")["status"]
    assert status["g0"] == names.CONSTANT


def test_degenerate__nothing_to_screen(data):
    """Two genes, unrelated genes, and a middle gene without ends: an answer that says so."""
    noise = pd.DataFrame(stream(7, "noise").gamma(2.0, 1.0, (100, 5)), columns=list("abcde"))
    binary = data[["g1", "g2"]].assign(binary=(data["g0"] > 10).astype(float))
    for nothing in (
        run(data[["g0", "g1"]]),
        run(noise),
        run(
            data.assign(alone=noise["a"].sample(N, replace=True, random_state=0).to_numpy()), middle=["alone"]
        ),
        run(binary, middle=["binary"]),
    ):
        assert "no triples screened" in str(nothing)
        assert nothing.summary["n_screened"] == nothing.summary["n_middle"] == 0
        assert nothing.summary["share_distorted"] is None
        assert nothing.summary["share_undetermined"] is None
        assert len(nothing.table) == len(nothing.histogram) == 0
        assert list(nothing.table.columns) == [column.name for column in names.TRIPLE_COLUMNS]
        assert len(nothing.genes) >= 2


def test_degenerate__a_binary_middle_gene_can_be_listed(data):
    """Its line is all there is to condition on: both partial correlations are the same."""
    table = run(data.assign(on=(data["g0"] > 10) * 1.0), triples=[("g1", "on", "g2")]).table
    assert table["status"][0] == names.OK
    assert table["partial_linear"][0] == pytest.approx(table["partial_spline"][0], abs=1e-12)


def test_degenerate__duplicated_names(data):
    twice = data.iloc[:, :6].copy()
    twice.columns = ["a", "b", "a", "c", "d", "e"]
    found = run(twice, n_listed=10**6)
    assert "a-1" in set(found.genes["gene"])
    assert any("duplicated" in sentence for sentence in found.warnings)
    renamed = twice.set_axis(["a", "b", "a-1", "c", "d", "e"], axis=1)
    assert_same(found, run(renamed, n_listed=10**6))


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        (pd.DataFrame({"x": ["g0"], "y": ["g1"], "w": ["g2"]}), ("x, y, w",)),
        (pd.DataFrame([["g0", "g1", "g2"]]), ("0, 1, 2",)),
        (pd.DataFrame([["g0", "g1", "g2", "g3"]], columns=list("xyzz")), ("x, y, z, z",)),
        ([("g0", "g1")], ("('g0', 'g1')",)),
        ([("g0", "g1", "g2"), ("g0", "g1", "g2", "g3")], ("of 3 names",)),
        ("g0,g1,g2", ("list of triples", "g0,g1,g2")),
        (["abc"], ("of 3 names", "abc")),
        (5, ("list of triples",)),
        ([], ("none among 0",)),
        ([("g0", "g1", "no such gene")], ("none among 1", "check the names")),
        ([("g0", "g1", "g0"), ("g0", "g0", "g1")], ("none among 2",)),
        ([("g0", ["g1"], None)], ("none among 1",)),
        ([("g0\x1b[31m", "g1")], ("of 3 names",)),
    ],
)
def test_hostile__lists_of_triples(data, listed, words):
    refused(lambda: run(data, triples=listed), *words)


def test_hostile__unknown_genes_are_left_out_and_said(data):
    listed = [("g1", "g0", "g2"), ("g1", "g0", "?"), ("g1", "g1", "g2"), ("g1", "g0", "g2")]
    found = run(data, triples=np.array(listed))
    assert found.table["x"].tolist() == ["g1", "g1"]  # a triple listed twice is judged twice
    assert any(s.startswith("2 triples judged, 2 left out") for s in found.warnings)
    assert (found.summary["n_screened"], found.summary["n_middle"]) == (2, 1)
    assert found.genes.set_index("gene").loc["g0", ["n_ends", "n_screened"]].tolist() == [2, 2]


def test_triples__k_is_the_number_of_columns(data):
    """With two columns, the line and the square of the middle gene."""
    found = run(data, triples=[("g2", "g0", "g4")], k=2)
    columns = np.vander(data["g0"], 3)
    rest = [data[g] - columns @ np.linalg.lstsq(columns, data[g], rcond=None)[0] for g in ("g2", "g4")]
    assert found.table["partial_spline"][0] == pytest.approx(np.corrcoef(*rest)[0, 1], abs=1e-9)
    assert found.summary["k"] == found.settings["k"] == 2


def test_triples__q_values_of_a_list_are_among_its_triples(data):
    listed = [(x, y, z) for y in data.columns[:4] for x, z in combinations(data.columns[4:9], 2)]
    table = run(data.assign(constant=1.0), triples=[*listed, ("g0", "constant", "g1")]).table
    np.testing.assert_allclose(table["q_value"][:-1], bh_adjust(table["p_value"][:-1].to_numpy()))
    assert table["q_value"].isna().tolist() == [False] * len(listed) + [True]
    assert (table["q_value"][:-1] > table["p_value"][:-1]).any()


@pytest.mark.parametrize("middle", [0, -3, "g0", True, 2.5, [], ["no such gene"], [1, 2]])
def test_hostile__middle_genes(data, middle):
    refused(lambda: run(data, middle=middle), "middle gene")


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, np.nan, None, "x"])
@pytest.mark.parametrize("option", ["margin", "fdr", "min_r2"])
def test_hostile__shares(data, option, share):
    refused(lambda: run(data, **{option: share}), option, "between 0 and 1")


@pytest.mark.parametrize("dtype", [int, np.float16, complex])
def test_hostile__dtype(data, dtype):
    refused(lambda: run(data, dtype=dtype), "float32 or float64")


@pytest.mark.parametrize("number", [0, -1, 1.5, True, "x", None])
@pytest.mark.parametrize("option", ["n_listed", "k"])
def test_hostile__whole_numbers(data, option, number):
    refused(lambda: run(data, **{option: number}), option, "whole number")


def test_hostile__options_that_do_not_fit(data):
    refused(lambda: run(data, correction="gauss"), "auto, none, poisson")
    refused(lambda: run(data, correction="poisson"), "needs counts", "additive")
    logs = {"kind": "bulk", "scale": "log", "log_base": 2, "log_offset": 1, "threads": 1}
    refused(lambda: screen_triples(np.log2(data), correction="poisson", **logs), "needs counts", "log scale")
    refused(lambda: run(data, middle=["g0"], triples=[("g1", "g0", "g2")]), "not both")
    refused(lambda: run(data, within="no such column"), "no such column")
    obs = pd.DataFrame({"kind": [str(i // 8) for i in range(N)]}, index=data.index)
    refused(lambda: run(data, within="kind", obs=obs), "at least 10")
    refused(lambda: run(data[["g0"]]), "2 genes")
    refused(lambda: run(data.iloc[:5]), "10 samples")


# --- the result -------------------------------------------------------------------------------------------


def test_result__reads_well_and_is_written(result, tmp_path):
    assert "triples screened" in repr(result) == str(result)
    cells = re.findall(r"<td>([^<]*)</td>", result._repr_html_())
    assert cells[:3] == result.table.iloc[0][["x", "y", "z"]].tolist()
    assert "distorted" in cells
    triples.write_triples(result, tmp_path)
    table = pd.read_parquet(tmp_path / "triples.parquet")
    for written, columns in (
        (table, names.TRIPLE_COLUMNS),
        (pd.read_parquet(tmp_path / "triple_genes.parquet"), names.TRIPLE_GENE_COLUMNS),
    ):
        assert list(written.columns) == [column.name for column in columns]
        for column in columns:
            assert column.dtype == "str" or written[column.name].dtype == column.dtype
    pd.testing.assert_frame_equal(table, result.table, check_categorical=False)


def test_leave_one_out__by_hand():
    assert leave_one_out(np.zeros(3), np.zeros(3)) == (None, None, None)
    assert leave_one_out(np.array([1.0, 0]), np.array([2.0, 2])) == (0.25, 0.0, 1.0)
    assert leave_one_out(np.zeros(10), np.ones(10)) == (0.0, 0.0, pytest.approx(1 - 0.025**0.1))
    assert leave_one_out(np.ones(10), np.ones(10)) == (1.0, pytest.approx(0.025**0.1), 1.0)
    part, whole = np.array([3.0, 5, 0, 1]), np.array([10.0, 6, 4, 0])
    estimate, low, high = leave_one_out(part, whole)
    left_out = np.array([6 / 10, 4 / 14, 9 / 16])
    error = np.sqrt(2 / 3 * ((left_out - left_out.mean()) ** 2).sum())
    assert estimate == 9 / 20
    assert low == pytest.approx(max(0, min(9 / 20 - 1.959964 * error, 0.025 ** (1 / 3))))
    assert high == pytest.approx(max(9 / 20 + 1.959964 * error, 1 - 0.025 ** (1 / 3)))
