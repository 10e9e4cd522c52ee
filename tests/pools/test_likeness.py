"""How alike the cells of a pool are: levels for random pools, and what clusters were made of."""

import json
from importlib.resources import files

import jsonschema
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from scipy import stats
from scipy.cluster.vq import kmeans2

from poolproof import audit, describe
from poolproof._checks import InputError
from poolproof.basis import spline_basis
from poolproof.pools.cells import pool_cells
from poolproof.pools.likeness import own_parts, pool_likeness, shared_in_sums, shared_variance
from poolproof.pools.marks import in_a_pool

N, K = 4000, 20


def fork(rng, n_others=0, bent=False):
    """X <- Y -> Z, and genes of noise."""
    y = rng.normal(size=N)
    of_y = y**2 if bent else y
    values = [of_y + rng.normal(size=N), y, of_y + rng.normal(size=N), *rng.normal(size=(n_others, N))]
    return np.column_stack(values)


def clustered(values, seed):
    return kmeans2(values / values.std(axis=0), N // K, iter=5, minit="points", missing="warn", seed=seed)[1]


def sorted_by(column):
    pool_of = np.empty(N, dtype=int)
    pool_of[np.argsort(column)] = np.arange(N) // K
    return pool_of


def test_shared_variance__random_pools_share_none_whatever_the_law():
    """Rejections at 5 % of 3,000 genes of skewed counts lie in the binomial band of 99.9 %."""
    rng = np.random.default_rng(4)
    rates = rng.gamma(0.3, 10.0, size=(N, 3000 // 6))
    values = rng.poisson(rates).astype(float)
    p_values, shares = [], []
    for _ in range(6):
        share, p = shared_variance(values, rng.permutation(np.arange(N) % (N // K)))
        p_values.append(p)
        shares.append(share)
    low, high = stats.binom.interval(0.999, 3000, 0.05)
    assert low <= (np.concatenate(p_values) < 0.05).sum() <= high
    assert abs(np.mean(shares)) < 5 * np.sqrt(2 * N / K) / N / np.sqrt(3000) + 1e-3


def test_shared_variance__is_that_of_the_model():
    """Pools with a mean of their own: share = variance between / variance of all."""
    rng = np.random.default_rng(5)
    pool_of = np.repeat(np.arange(N // K), K)
    values = rng.normal(size=(N // K, 50))[pool_of] + 2 * rng.normal(size=(N, 50))
    share, p_value = shared_variance(values, pool_of)
    assert share.mean() == pytest.approx(0.2, abs=0.015)
    assert (p_value < 1e-6).all()


def test_own_parts__are_the_residuals_of_ridge_regressions():
    rng = np.random.default_rng(6)
    values = fork(rng, 3)
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    curves = [spline_basis(column, 6) * np.sqrt(N) for i, column in enumerate(scaled.T) if i != 1]
    others = np.hstack(curves)
    weights = np.linalg.solve(others.T @ others / N + 0.01 * np.eye(30), others.T @ scaled[:, 1] / N)
    residual = scaled[:, 1] - others @ weights
    found = own_parts(values)[:, 1]
    assert np.corrcoef(residual, found)[0, 1] > 1 - 1e-9


@pytest.mark.parametrize(
    ("how", "kind", "own"),
    [
        ("random", "random", []),
        ("by the middle gene", "alike", ["Y"]),
        ("by the middle gene, bent", "alike", ["Y"]),
        ("by markers", "alike", ["Y"]),
        ("by these genes", "alike-in-these-genes", ["X", "Y", "Z"]),
        ("by these and noise", "alike-in-these-genes", ["X", "Y", "Z"]),
    ],
)
def test_pool_likeness__says_what_pools_were_made_of(how, kind, own):
    rng = np.random.default_rng(7)
    values = fork(rng, 20 if how == "by these and noise" else 0, bent="bent" in how)
    pool_of = {
        "random": lambda: rng.permutation(np.arange(N) % (N // K)),
        "by the middle gene": lambda: sorted_by(values[:, 1]),
        "by the middle gene, bent": lambda: sorted_by(values[:, 1]),
        "by markers": lambda: clustered(values[:, [1]] + 0.5 * rng.normal(size=(N, 20)), 1),
    }.get(how, lambda: clustered(values, 1))()
    names = ["X", "Y", "Z", *(f"noise{i}" for i in range(values.shape[1] - 3))]
    data = pd.DataFrame(values, columns=names)
    obs = pd.DataFrame({"metacell": [f"m{i}" for i in pool_of]})
    found = pool_likeness(describe(data, kind="single-cell", scale="additive"), obs, "metacell")
    assert found.kind == kind
    table = found.table.set_index("gene").loc[["X", "Y", "Z"]]
    assert table.index[table["own_q_value"] < 1e-3].tolist() == own
    assert found.summary["n_pools"] == len(set(pool_of))


def test_pool_likeness__same_for_any_order_and_names():
    rng = np.random.default_rng(8)
    values = fork(rng, 5)
    pool_of = sorted_by(values[:, 1])
    data = pd.DataFrame(values, columns=list("XYZABCDE"))
    first = pool_likeness(
        describe(data, kind="single-cell", scale="additive"), pd.DataFrame({"m": pool_of}), "m"
    )
    order, genes = rng.permutation(N), rng.permutation(8)
    turned = data.iloc[order, genes].reset_index(drop=True)
    second = pool_likeness(
        describe(turned, kind="single-cell", scale="additive"),
        pd.DataFrame({"m": [f"pool {i}" for i in pool_of[order]]}),
        "m",
    )
    a, b = (found.table.set_index("gene").loc[list("XYZ")] for found in (first, second))
    pd.testing.assert_frame_equal(a, b, rtol=1e-8)
    for key, value in first.summary.items():
        assert second.summary[key] == (pytest.approx(value, rel=1e-8) if isinstance(value, float) else value)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["a"] * 40, "found 1 pools"),
        ([f"c{i}" for i in range(40)], "0 of several cells"),
        ([None] * 40, "found 0 pools"),
        (["-1"] * 40, "found 0 pools"),
        (list(np.linspace(0, 1, 40)), "expected assignment to name metacells"),
    ],
)
def test_pool_likeness__refuses_in_one_line(labels, words):
    rng = np.random.default_rng(9)
    data = describe(pd.DataFrame(rng.gamma(2, size=(40, 3))), kind="single-cell", scale="additive")
    with pytest.raises(InputError, match=words) as caught:
        pool_likeness(data, pd.DataFrame({"m": labels}), "m")
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="names 'q'"):
        pool_likeness(data, pd.DataFrame({"m": labels}), "q")


def test_pool_likeness__bulk_samples_are_pools_already():
    rng = np.random.default_rng(9)
    data = describe(pd.DataFrame(rng.gamma(2, size=(40, 3))), kind="bulk", scale="additive")
    with pytest.raises(InputError, match="bulk samples"):
        pool_likeness(data, pd.DataFrame({"m": [0, 1] * 20}), "m")


@pytest.mark.parametrize(
    ("labels", "used", "n_marked"),
    [
        ([0, 1, -1, -2], [True, True, False, False], 2),
        ([0.0, 1.0, np.nan, -1.0], [True, True, False, False], 1),
        (["0", "1", "-1", ""], [True, True, False, False], 2),
        (["M1.23", "Outliers", "Excluded", None], [True, False, False, False], 2),
        (["SEACell-0", "nan", "None", "outlier "], [True, False, False, False], 3),
    ],
)
@pytest.mark.parametrize("categorical", [False, True])
def test_marks__of_cells_in_no_metacell(labels, used, n_marked, categorical):
    series = pd.Series(labels, dtype="category" if categorical else None)
    found, n = in_a_pool(series)
    assert (found.tolist(), n) == (used, n_marked)


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix, sp.csc_matrix])
@pytest.mark.parametrize(
    ("how", "words"), [("random", "as in pools drawn at random"), ("sorted", "are alike")]
)
def test_pool_cells__says_whether_pools_are_random(form, how, words):
    rng = np.random.default_rng(10)
    rate = rng.gamma(2.0, size=N)
    counts = rng.poisson(rate[:, None] * np.array([3.0, 5.0, 1.0]))
    pool_of = sorted_by(rate) if how == "sorted" else rng.permutation(np.arange(N) % (N // K))
    obs = pd.DataFrame({"m": [f"m{i}" for i in pool_of]}, index=[f"c{i}" for i in range(N)])
    pooled = pool_cells(AnnData(form(counts), obs=obs), assignment="m")
    (said,) = (note for note in pooled.uns["poolproof_pools"]["notes"] if "share" in note)
    assert words in said
    squares = np.stack([np.bincount(pool_of, weights=column**2) for column in counts.T.astype(float)], axis=1)
    sums = np.stack([np.bincount(pool_of, weights=column) for column in counts.T], axis=1)
    assert shared_in_sums(sums, squares, np.full(N // K, K)) == pytest.approx(
        np.median(shared_variance(counts.astype(float), pool_of)[0]), rel=1e-9
    )
    assert f"{100 * shared_in_sums(sums, squares, np.full(N // K, K)):.1f}%" in said


def test_pool_likeness__leaves_out_cells_without_a_count():
    rng = np.random.default_rng(12)
    counts = rng.poisson(3.0, (400, 6)).astype(float)
    counts[7] = 0
    cells = describe(pd.DataFrame(counts), kind="single-cell", scale="counts")
    pools = pd.DataFrame({"m": rng.permutation(np.arange(400) % 20)})
    found = pool_likeness(cells, pools, "m")
    assert found.kind == "random"
    rest = np.delete(np.arange(400), 7)
    of_rest = describe(pd.DataFrame(counts[rest]), kind="single-cell", scale="counts")
    assert found.summary["shared"] == pytest.approx(
        pool_likeness(of_rest, pools.iloc[rest].reset_index(drop=True), "m").summary["shared"], abs=1e-9
    )


def test_audit__given_pools(tmp_path):
    rng = np.random.default_rng(11)
    values = np.exp(fork(rng, 3)[:600] / 2)
    obs = pd.DataFrame({"m": ["Outliers", *(f"m{i % 30}" for i in range(599))]})
    found = audit(
        pd.DataFrame(values, columns=list("XYZABC")),
        obs=obs,
        kind="single-cell",
        scale="additive",
        assignment="m",
        triples="none",
        curves="none",
    )
    entry = found.summary["assignment"]
    assert (entry["kind"], entry["n_pools"], entry["n_left_out"]) == ("random", 30, 1)
    assert entry["sentence"] in str(found)
    assert found.settings["assignment"] == "m"
    folder = found.save(tmp_path / "out")
    assert len(pd.read_parquet(folder / "assignment.parquet")) == 6
    schema = json.loads((files("poolproof.verdict") / "verdict.schema.json").read_text())
    written = json.loads((tmp_path / "out" / "verdict.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(written)
