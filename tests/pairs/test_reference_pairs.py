"""Against R: the tests of the same pairs to 1e-8, the fit of real pairs against mgcv."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import shared_data

import poolproof
from poolproof.pairs import growing_noise

REFERENCE = Path(__file__).resolve().parents[1] / "reference"
PAIRS = pd.read_csv(REFERENCE / "pairs.csv", float_precision="round_trip")
OF_CASE = dict(tuple(PAIRS.groupby("case", sort=False)))
EXACT = {"rel": 1e-8, "abs": 1e-12}


def expected(name: str) -> pd.DataFrame:
    return pd.read_csv(
        REFERENCE / name, float_precision="round_trip", dtype={"regulator": str, "target": str}
    )


def fit(case: str, test: str) -> pd.Series:
    """Our row of the pair table; the replicates of the robust test are covariates of the classical one."""
    data = OF_CASE[case]
    named = case.rsplit(", ", 1)[1]
    clustered = named == "donor" and test == "robust"
    result = poolproof.linearity(
        data[["x", "y"]],
        obs=data,
        pairs=[("x", "y")],
        test=test,
        kind="bulk",
        scale="additive",
        replicate="donor" if clustered else None,
        covariates=[] if clustered or named == "alone" else named.split("+"),
        dtype=np.float64,
    )
    assert result.summary["test"] == test
    return result.table.iloc[0]


def additive_values(name: str) -> pd.DataFrame:
    """Values of a real file on the additive scale, depth divided out: samples x genes."""
    logs = {"log_base": 2, "log_offset": 1} if name == "bulk_ecoli_precise" else {}
    found = poolproof.describe(poolproof.read(shared_data(f"{name}.h5ad")), **logs)
    assert found.scale_tested != "log"
    values = found.matrix.toarray() if hasattr(found.matrix, "toarray") else found.matrix
    if found.size_factors is not None:
        values = values / found.size_factors[:, None]
    return pd.DataFrame(values, columns=found.genes)


# --- the same pairs in R -------------------------------------------------------------------------------


def test_pairs__cover_ties_zeros_few_levels_and_covariates():
    table = expected("pairs_expected.csv")
    assert list(table["case"]) == list(OF_CASE)
    assert len(table) >= 36
    n_levels = {data["x"].nunique() for data in OF_CASE.values()}
    assert {3, 5} < n_levels
    assert sum((data["x"] == 0).mean() > 0.5 for data in OF_CASE.values()) >= 3
    assert sum(case.endswith("age+batch") for case in OF_CASE) >= 9
    assert (table["f_p_value"] < 1e-6).any()
    assert (table["f_p_value"] > 0.1).any()


@pytest.mark.parametrize("case", OF_CASE)
def test_classical__equals_r_anova(case):
    r = expected("pairs_expected.csv").set_index("case").loc[case]
    ours = fit(case, "classical")
    assert ours["status"] == "ok"
    assert ours["n"] == r["n"]
    assert ours["statistic"] == pytest.approx(r["f"], **EXACT)
    assert ours["p_value"] == pytest.approx(r["f_p_value"], rel=1e-8, abs=0)
    assert ours["r2_linear"] == pytest.approx(r["r2_linear"], **EXACT)
    assert ours["r2_spline"] == pytest.approx(r["r2_spline"], **EXACT)


@pytest.mark.parametrize("case", OF_CASE)
def test_robust__equals_the_score_test_written_out_in_r(case, monkeypatch):
    """HC3 alone; the second test of bends is compared with explicit code in test_score_engine.py."""
    monkeypatch.setattr(growing_noise, "HEED", 0.0)
    r = expected("pairs_expected.csv").set_index("case").loc[case]
    ours = fit(case, "robust")
    assert ours["status"] == "ok"
    if np.isnan(r["robust"]):  # a bend that one donor alone shows: no fit is possible without it
        assert ours["p_value"] > 0.05
    else:
        assert ours["statistic"] == pytest.approx(r["robust"], **EXACT)
        assert ours["p_value"] == pytest.approx(r["robust_p_value"], rel=1e-8, abs=0)
    assert ours["gain"] == pytest.approx(r["r2_spline"] - r["r2_linear"], **EXACT)


# --- real pairs in mgcv --------------------------------------------------------------------------------


def test_real_pairs__r2_agrees_with_mgcv():
    gam = expected("gam_expected.csv")
    assert len(gam) == 200
    assert gam["n"].min() >= 250
    rows = []
    for name, wanted in gam.groupby("file"):
        values = additive_values(name)
        pairs = wanted[["regulator", "target"]]
        used = values[sorted({*pairs["regulator"], *pairs["target"]})]
        result = poolproof.linearity(used, pairs=pairs, test="robust", kind="bulk", scale="additive")
        ours = result.table.set_index(["regulator", "target"])["r2_spline"]
        r2 = ours.loc[list(pairs.itertuples(index=False, name=None))].to_numpy()
        rows.append(wanted.assign(ours=r2, difference=np.abs(r2 - wanted["r2_spline"])))
    both = pd.concat(rows)
    near = both["difference"] <= 0.03
    print("\nr2_spline against mgcv gam(y ~ s(x, bs='cr', k=6, fx=TRUE))")
    for name, part in both.groupby("file"):
        print(
            f"{name:28s} n = {part['n'].iloc[0]:5d}  r2 {part['r2_spline'].min():.2f} to "
            f"{part['r2_spline'].max():.2f}  median difference {part['difference'].median():.4f}  largest "
            f"{part['difference'].max():.4f}  within 0.03: {near[part.index].mean():.0%}"
        )
    print(f"{'all':28s} {near.sum()} of {len(both)} within 0.03")
    assert (both["r2_spline"] >= 0.1).sum() >= 80
    assert near.mean() >= 0.95
