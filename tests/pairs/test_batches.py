"""Covariates that multiply genes: what is found, what is divided out, and where nothing can be said."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from poolproof import linearity
from poolproof._random import stream
from poolproof.data.expression import ValueOptions
from poolproof.pairs.batches import at_common_means, predicted_means, to_common_mean
from poolproof.pairs.design import covariate_columns, make_design, orthonormal

N = 240


def cells(how, rng, n_genes=30):
    """Genes x samples in four batches that add to them, multiply them, or do nothing."""
    obs = pd.DataFrame({"batch": np.repeat(list("abcd"), N // 4), "sex": np.tile(list("fm"), N // 2)})
    code = np.repeat(np.arange(4), N // 4)
    values = rng.gamma(3.0, size=(N, n_genes))
    factor = np.exp(rng.normal(0, 0.8, (4, n_genes)))[code]
    if how == "multiply":
        values = values * factor
    elif how == "add":
        values = values + 3 * factor
    return pd.DataFrame(values, columns=[f"g{i}" for i in range(n_genes)]), obs


def prepared(values, obs, **options):
    expression, obs = ValueOptions(**{"kind": "bulk", "scale": "additive"} | options).read(values, obs)
    return expression, obs


def test_means__are_those_of_the_batches():
    values, obs = cells("multiply", stream(0, "means"))
    columns = orthonormal(covariate_columns(obs, ["batch"], np.arange(N)))
    means, _, usable = predicted_means(values.to_numpy(), columns)
    assert usable.all()
    expected = values.groupby(obs["batch"]).transform("mean").to_numpy()
    np.testing.assert_allclose(means, expected, rtol=1e-6)


def test_means__of_a_number_grow_by_a_factor():
    rng = stream(0, "age")
    age = rng.uniform(20, 80, N)
    values = np.exp(0.03 * age)[:, None] * np.array([[2.0, 5.0]]) * rng.gamma(100.0, 0.01, (N, 2))
    columns = orthonormal(covariate_columns(pd.DataFrame({"age": age}), ["age"], np.arange(N)))
    means, _, usable = predicted_means(values, columns)
    assert usable.all()
    np.testing.assert_allclose(means, np.exp(0.03 * age)[:, None] * [[2.0, 5.0]], rtol=0.05)


def test_means__below_or_at_zero_are_left_alone():
    rng = stream(0, "zero")
    obs = pd.DataFrame({"batch": np.repeat(["a", "b"], 40)})
    columns = orthonormal(covariate_columns(obs, ["batch"], np.arange(80)))
    off = np.repeat([0.0, 1.0], 40) * rng.gamma(3.0, size=80)  # never seen in one batch
    centred = rng.normal(size=80)
    constant = np.full(80, 2.0)
    values = np.stack([off, centred, constant, rng.gamma(3.0, size=80)], axis=1)
    _, _, usable = predicted_means(values, columns)
    assert usable.tolist() == [False, False, False, True]
    assert (to_common_mean(values, columns)[:, :3] == 1).all()


def test_common_mean__what_differs_by_chance_stays():
    values, obs = cells("nothing", stream(0, "chance"), n_genes=200)
    columns = orthonormal(covariate_columns(obs, ["batch"], np.arange(N)))
    factor = to_common_mean(values.to_numpy(), columns)
    assert np.median(np.ptp(factor, axis=0)) < 0.02
    assert np.ptp(factor, axis=0).max() < 0.4


@pytest.mark.parametrize(
    ("how", "said", "changed"),
    [("multiply", "batch multiply the genes", True), ("add", "batch add to", False)],
)
def test_covariates__add_or_multiply(how, said, changed):
    values, obs = cells(how, stream(0, how))
    expression, obs = prepared(values, obs)
    found, design = at_common_means(expression, make_design(obs, covariates=["batch"]), obs, ["batch"])
    (sentence,) = design.warnings
    assert sentence.startswith(said)
    assert (found is not expression) == changed
    if changed:
        means = pd.DataFrame(found.matrix).groupby(obs["batch"].to_numpy()).mean()
        assert (means.max() / means.min()).max() < 1.2


def test_covariates__that_do_nothing_are_not_spoken_of():
    values, obs = cells("nothing", stream(0, "nothing"))
    expression, obs = prepared(values, obs)
    found, design = at_common_means(expression, make_design(obs, covariates=["batch"]), obs, ["batch"])
    assert found is expression
    assert design.warnings == ()


def test_covariates__centred_genes_have_no_means_to_tell_by():
    values, obs = cells("multiply", stream(0, "centred"))
    expression, obs = prepared(values - values.mean(), obs)
    found, design = at_common_means(expression, make_design(obs, covariates=["batch"]), obs, ["batch"])
    assert found is expression
    assert design.warnings[0].startswith("whether batch add to the genes or multiply them cannot be told")


def test_covariates__counts_stay_sparse_and_missing_values_missing():
    rng = stream(0, "counts")
    values, obs = cells("multiply", rng)
    counts = rng.poisson(40 * values.to_numpy())
    expression, obs = prepared(pd.DataFrame(counts, columns=values.columns), obs, scale="counts")
    stored = expression.matrix
    sparse = type(expression)(**{**vars(expression), "matrix": sp.csr_matrix(stored)})
    design = make_design(obs, covariates=["batch"])
    dense = at_common_means(expression, design, obs, ["batch"])[0].matrix
    kept = at_common_means(sparse, design, obs, ["batch"])[0].matrix
    assert sp.issparse(kept)
    dense = dense.toarray() if sp.issparse(dense) else dense
    np.testing.assert_allclose(kept.toarray(), dense)
    holes = values.mask(rng.random(values.shape) < 0.01)
    expression, obs = prepared(holes, obs)
    found, _ = at_common_means(expression, design, obs, ["batch"])
    assert found is not expression
    assert (np.isnan(found.matrix) == holes.isna().to_numpy()).all()


def test_linearity__says_it_and_finds_the_relation_again():
    """Divided out, a relation is as strong as before the batches multiplied it."""
    rng = stream(0, "again")
    values, obs = cells("nothing", rng)
    values["y"] = 1 + values["g0"] + 0.3 * rng.normal(size=N)
    factor = pd.DataFrame(np.exp(rng.normal(0, 0.8, (4, values.shape[1]))), columns=values.columns)
    scaled = values * factor.loc[np.repeat(np.arange(4), N // 4)].to_numpy()
    options = {"kind": "bulk", "scale": "additive", "pairs": [("g0", "y")], "keep": "all", "threads": 1}
    before, after = (linearity(data, obs=obs, covariates=["batch"], **options) for data in (values, scaled))
    assert any(w.startswith("batch multiply the genes") for w in after.warnings)
    for name, within in (("r2_linear", 0.03), ("gain", 0.01)):
        assert after.table[name].item() == pytest.approx(before.table[name].item(), abs=within)
    assert after.table["call"].item() == before.table["call"].item() == "affine"
