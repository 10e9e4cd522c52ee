"""What single cells say of pools: the linear partial correlation of cells is what pools of many show.

Simulated forks, chains and colliders first, over the functions and kernels that ``check`` knows; then real
pools of nine cells beside single cells of the same lines. Every test prints its figures (``pytest -s``).
Bands were written down before they were measured, but for those of the real pools. More systems under
POOLPROOF_CALIBRATION=full.
"""

import os

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, read_h5ad
from helpers import shared_data
from scipy import stats
from threadpoolctl import threadpool_limits

from poolproof import screen_triples, simulate_pools

pytestmark = pytest.mark.calibration

FULL = os.environ.get("POOLPROOF_CALIBRATION") == "full"
CELLS_IN_POOL = 100
N_CELLS, N_POOLS = 4000, 1000
AGREE = 0.95
"""Share of systems whose difference lies within two standard errors."""
NEVER = 4.5
"""Standard errors that no difference may reach."""


@pytest.fixture(autouse=True)
def _one_thread():
    with threadpool_limits(1):
        yield


# --- systems: the parent of an arm is P ---------------------------------------------------------------------

SOURCE = {"noise": "gamma(2, 1)"}
STRAIGHT = {
    "line": {"equation": "1 + P + 0.5*N", "noise": "normal(0, 1)"},
    "gamma, affine": {"kernel": "gamma(0.5 + P, 1)"},
    "Poisson, affine": {"kernel": "poisson(0.3 + P)"},
}
BENT = {
    "tanh": {"equation": "tanh(P) + 0.15*N", "noise": "normal(0, 1)"},
    "Hill": {"equation": "hill(P, vmax=2, k=2, n=4) + 0.2*N", "noise": "normal(0, 1)"},
    "square": {"equation": "P**2/5 + 0.2*N", "noise": "normal(0, 1)"},
    "saturating": {"equation": "hill(P, vmax=2, k=1, n=1) + 0.2*N", "noise": "normal(0, 1)"},
    "log-normal": {"equation": "P**1.5*N", "noise": "lognormal(0, 0.3)"},
    "gamma, square": {"kernel": "gamma(0.5 + P**2/3, 1)"},
    "Poisson, square": {"kernel": "poisson(0.3 + P**2)"},
}
ARMS = STRAIGHT | BENT
COLLIDERS = {
    "sum": {"equation": "X + Z + N", "noise": "normal(0, 1)"},
    "product": {"equation": "X*Z + 0.5*N", "noise": "normal(0, 1)"},
    "tanh": {"equation": "tanh(X + Z - 4) + 0.2*N", "noise": "normal(0, 1)"},
}


def arm(name, parent):
    return {key: text if key == "noise" else text.replace("P", parent) for key, text in ARMS[name].items()}


def fork(left, right):
    return {"Y": SOURCE, "X": arm(left, "Y"), "Z": arm(right, "Y")}


def chain(left, right):
    return {"X": SOURCE, "Y": arm(left, "X"), "Z": arm(right, "Y")}


def collider(name):
    return {"X": SOURCE, "Z": SOURCE, "Y": COLLIDERS[name]}


def triple(genes, n, cells, seed):
    """The row of X, Y, Z in n sums of so many cells."""
    model = {"name": "triple", "genes": genes, "aggregation": "sum", "cells": cells}
    data = simulate_pools(model, pools=n, seed=seed, threads=1).to_df()
    options = {"kind": "bulk", "scale": "additive", "size_factors": "none", "threads": 1}
    return screen_triples(data, triples=[("X", "Y", "Z")], **options).table.iloc[0]


def compare(title, systems):
    """Print predictions beside pools; return rows of cells, of pools, and differences over their errors."""
    print(f"\n{title}: {N_CELLS} cells, {N_POOLS} pools of {CELLS_IN_POOL}")
    found = []
    for number, (name, genes) in enumerate(systems.items()):
        cells = triple(genes, N_CELLS, 1, number)
        pools = triple(genes, N_POOLS, CELLS_IN_POOL, 1000 + number)
        error = np.hypot(cells["partial_linear_se"], pools["partial_spline_se"])
        off = (pools["partial_spline"] - cells["partial_linear"]) / error
        seen = f"spline {cells['partial_spline']:+.3f}, linear {cells['partial_linear']:+.3f}"
        print(f"  {name:34s} cells: {seen} ({cells['call']})", end="; ")
        print(f"pools: spline {pools['partial_spline']:+.3f}; {off:+.1f} standard errors")
        found.append((cells, pools, off))
    return found


def agree(differences):
    """The differences are as large as their errors say, or smaller (those of the linear one are an upper
    bound): a binomial count of those beyond two errors, and no great one."""
    off = np.abs(differences)
    outside = int((off > 2).sum())
    print(f"  beyond two standard errors: {outside} of {len(off)}; largest {off.max():.1f}")
    return outside <= stats.binom.isf(0.001, len(off), 1 - AGREE) and off.max() < NEVER


# --- simulated ----------------------------------------------------------------------------------------------


def pairs_of(names):
    return [(a, b) for i, a in enumerate(names) for b in names[i:]]


def test_forks__with_a_straight_arm_are_kept():
    chosen = [(a, b) for a, b in pairs_of(list(ARMS)) if a in STRAIGHT]
    chosen = chosen if FULL else chosen[::2]
    found = compare("forks with an affine arm", {f"{a} <- Y -> {b}": fork(a, b) for a, b in chosen})
    assert agree([off for _, _, off in found])
    assert np.mean([cells["call"] == "kept" for cells, _, _ in found]) > 0.9
    assert not [cells for cells, _, _ in found if cells["call"] == "distorted"]
    assert max(abs(pools["partial_spline"]) for _, pools, _ in found) < 0.1 + 3 / np.sqrt(N_POOLS)


def test_forks__with_two_bent_arms_are_distorted_by_as_much_as_cells_say():
    chosen = pairs_of(list(BENT)) if FULL else [(a, b) for a, b in pairs_of(list(BENT)) if a != b][::2]
    found = compare("bent forks", {f"{a} <- Y -> {b}": fork(a, b) for a, b in chosen})
    assert agree([off for _, _, off in found])
    calls = [cells["call"] for cells, _, _ in found]
    assert calls.count("distorted") > 0.7 * len(calls)
    for cells, pools, _ in found:  # what cells call distorted, pools show as an edge
        if cells["call"] == "distorted":
            assert abs(pools["partial_spline"]) > 0.1
            assert np.sign(pools["partial_spline"]) == np.sign(cells["partial_linear"])


def test_forks__of_method_4_by_number():
    """Method 4: linear partial correlation -.507 at every K; spline .00, -.45, -.51 at K = 1, 5, 100."""
    genes = fork("tanh", "square")
    rows = {cells: triple(genes, 8000 if cells < 100 else 4000, cells, cells) for cells in (1, 5, 100)}
    for cells, row in rows.items():
        print(f"K = {cells}: linear {row['partial_linear']:+.3f}, spline {row['partial_spline']:+.3f}")
    assert [row["partial_linear"] for row in rows.values()] == pytest.approx([-0.507] * 3, abs=0.05)
    assert [row["partial_spline"] for row in rows.values()] == pytest.approx([0, -0.45, -0.51], abs=0.05)


def test_chains():
    """X -> Y -> Z: kept if the second step is affine; else as distorted as cells say."""
    first = ["line", "gamma, affine", "Poisson, affine", "tanh", "saturating"]
    pairs = [(a, b) for a in first for b in ARMS if not (a in ("line", "tanh", "saturating") and positive(b))]
    pairs = pairs if FULL else pairs[::2]
    found = compare("chains", {f"X -> {a} -> {b}": chain(a, b) for a, b in pairs})
    assert agree([off for _, _, off in found])
    told = [(cells["call"], b) for (cells, _, _), (_, b) in zip(found, pairs, strict=True)]
    assert not [call for call, b in told if b in STRAIGHT and call == "distorted"]
    assert [call for call, b in told if b in BENT and call == "distorted"]
    assert not [call for call, _ in told if call == "hidden"]


def positive(name):
    """Whether an arm needs a parent that is at least 0."""
    return name in ("saturating", "log-normal", "gamma, affine", "Poisson, affine")


def test_colliders__are_dependent_and_stay_so_where_cells_say():
    found = compare("colliders", {f"X -> {name} <- Z": collider(name) for name in COLLIDERS})
    assert agree([off for _, _, off in found])
    assert {(cells["call"], pools["call"]) for cells, pools, _ in found} == {("dependent", "dependent")}


def test_dependence__that_a_line_does_not_see_is_hidden():
    """Bends of opposite sign in Y cancel a shared cause: a line leaves no correlation, and so do pools."""
    rng = np.random.default_rng(5)

    def draw(n, cells):
        y = rng.normal(size=(n, cells))
        shared, bend = rng.normal(size=y.shape), (y**2 - 1) / np.sqrt(2)
        x = 0.6 * bend + 0.6 * shared + 0.5 * rng.normal(size=y.shape)
        z = -0.6 * bend + 0.6 * shared + 0.5 * rng.normal(size=y.shape)
        return np.stack([x.sum(axis=1), y.sum(axis=1), z.sum(axis=1)], axis=1)

    def row(values):
        data = pd.DataFrame(values, columns=list("XYZ"), index=np.arange(len(values)).astype(str))
        options = {"kind": "bulk", "scale": "additive", "size_factors": "none", "threads": 1}
        return screen_triples(data, triples=[("X", "Y", "Z")], **options).table.iloc[0]

    cells, pools = row(draw(N_CELLS, 1)), row(draw(N_POOLS, CELLS_IN_POOL))
    print(f"\ncells: {cells['call']} {cells['partial_spline']:+.2f}; pools: {pools['partial_spline']:+.2f}")
    assert cells["call"] == "hidden"
    assert pools["call"] == "kept"


# --- measured: pools of nine sorted cells of three lines, beside single cells of the same lines -------------

LINES = ("H1975", "H2228", "HCC827")
N_GENES, N_TRIPLES = 60, 1500


@pytest.fixture(scope="module")
def mixology():
    """Counts of single cells, of 9-cell pools and of RNA mixtures: 60 well-measured genes and the rest."""
    pools = read_h5ad(shared_data("bulk_mixology_pools.h5ad"))
    cells = read_h5ad(shared_data("sc_mixology_cells.h5ad"))
    cells = cells[(cells.obs["demuxlet_cls"] == "SNG") & cells.obs["cell_line"].isin(LINES)]
    cells = cells[cells.obs["dataset"] == "sc_celseq2"]
    common = cells.var_names.intersection(pools.var_names[~pools.var["is_ercc"]])
    cells, pools = cells[:, common], pools[:, common]
    nine = pools[(pools.obs["n_cells"] == 9) & (pools.obs["poor_quality"] == "NO")]
    rna = pools[pools.obs["design"] == "RNA mixture"]
    least = np.minimum(mean_of(cells), mean_of(nine))
    symbols = cells.var["symbol"].astype(str)
    order = [i for i in np.argsort(-least) if not symbols.iloc[i].startswith("MT")][:N_GENES]
    return {
        "cells": chosen_genes(cells, order, cells.obs["cell_line"]),
        "nine": chosen_genes(nine, order, joined(nine.obs, "n_cells_")),
        "rna": chosen_genes(rna, order, joined(rna.obs, "fraction_")),
    }


def mean_of(adata):
    return np.asarray(adata.X.mean(axis=0)).ravel()


def joined(obs, prefix):
    return obs[[prefix + line for line in LINES]].astype(str).agg("/".join, axis=1)


def chosen_genes(adata, order, kind):
    counts = adata.X.toarray().astype(float)
    values = np.column_stack([counts[:, order], counts.sum(axis=1) - counts[:, order].sum(axis=1)])
    obs = pd.DataFrame({"kind": kind.astype(str), "plate": adata.obs["dataset"].astype(str)})
    return AnnData(values, obs=obs, var=pd.DataFrame(index=[*(f"g{i}" for i in range(N_GENES)), "rest"]))


def pools_of_cells(cells, like, seed):
    """Sums of single cells, of as many of each line as in the real pools."""
    rng = np.random.default_rng(seed)
    of_line = {line: np.flatnonzero(cells.obs["kind"] == line) for line in LINES}
    sums = np.zeros(like.shape)
    for pool, kind in enumerate(like.obs["kind"]):
        for line, n in zip(LINES, kind.split("/"), strict=True):
            sums[pool] += cells.X[rng.choice(of_line[line], int(float(n)))].sum(axis=0)
    return AnnData(sums, obs=like.obs, var=like.var)


def some_triples():
    rng = np.random.default_rng(0)
    genes = np.array([rng.choice(N_GENES, 3, replace=False) for _ in range(N_TRIPLES)])
    return [tuple(f"g{i}" for i in row) for row in genes]


def measured(adata, within=None):
    options = {"kind": "single-cell", "correction": "poisson", "size_factors": "total", "threads": 1}
    return screen_triples(adata, triples=some_triples(), within=within, **options).table


def agreement(title, predicted, shown):
    """Correlation over triples, slope, share of equal signs where more than .3 is predicted, rms z."""
    ok = (predicted["status"] == "ok") & (shown["status"] == "ok")
    x, y = predicted["partial_linear"][ok], shown["partial_linear"][ok]
    error = np.hypot(predicted["partial_linear_se"][ok], shown["partial_linear_se"][ok])
    large = x.abs() > 0.3
    result = {
        "n": int(ok.sum()),
        "r": float(np.corrcoef(x, y)[0, 1]),
        "slope": float(np.polyfit(x, y, 1)[0]),
        "signs": float((np.sign(x) == np.sign(y))[large].mean()),
        "rms_z": float(np.sqrt((((x - y) / error) ** 2).mean())),
    }
    print(f"  {title:52s}", "  ".join(f"{key} {value:.2f}" for key, value in result.items()))
    return result


def variation(adata):
    """Median over genes of the squared CV of fractions, free of counting noise, in plates and kinds."""
    found, weights = [], []
    for _, rows in adata.obs.groupby(["plate", "kind"], observed=True).indices.items():
        if len(rows) < 8:
            continue
        x, total = adata.X[rows, :N_GENES], adata.X[rows].sum(axis=1, keepdims=True)
        square = (x * (x - 1) / (total * (total - 1))).mean(axis=0)
        share = x / total
        of_pairs = (share.sum(axis=0) ** 2 - (share**2).sum(axis=0)) / (len(rows) * (len(rows) - 1))
        found.append((square - of_pairs) / of_pairs)
        weights.append(len(rows))
    return float(np.median(np.average(found, axis=0, weights=weights)))


def test_mixology__composition_is_predicted_and_what_is_left_is_not(mixology):
    """The bands are those of a first look, not written down before: they hold what the documentation says."""
    cells, nine = mixology["cells"], mixology["nine"]
    made = pools_of_cells(cells, nine, 1)
    often = nine.obs["kind"].map(nine.obs["kind"].value_counts()) >= 50
    print(f"\n{nine.n_obs} real pools of 9 cells; prediction from {cells.n_obs} single cells")
    real = measured(nine, "plate")
    mixed = agreement("cells, lines mixed -> real pools", measured(cells), real)
    matched = agreement("sums of cells, same composition -> real pools", measured(made), real)
    of_lines = measured(cells, "kind")
    own = agreement("cells in lines -> their own sums", of_lines, measured(made[often], "kind"))
    rest = agreement("cells in lines -> real pools in compositions", of_lines, measured(nine[often], "kind"))
    assert own["r"] > 0.7
    assert own["rms_z"] < 1.3  # the theory holds for pools of these very cells
    for of_composition in (mixed, matched):
        assert of_composition["r"] > 0.55
        assert of_composition["signs"] > 0.75
        assert of_composition["slope"] < 0.6  # real pools show less than predicted
    assert abs(rest["r"]) < 0.4


def test_mixology__real_pools_vary_more_than_nine_cells_would(mixology):
    cells, nine, rna = (variation(mixology[name]) for name in ("cells", "nine", "rna"))
    made = variation(pools_of_cells(mixology["cells"], mixology["nine"], 1))
    print(f"\nsquared CV: cells {cells:.4f}, their sums of 9 {made:.4f}, pools {nine:.4f}, RNA {rna:.4f}")
    assert made == pytest.approx(cells / 9, rel=0.3)
    assert nine > 5 * made
    assert rna < 0.2 * nine
