"""Compiled loops over pairs with missing values: the answers of the products that numpy makes."""

import numpy as np
import pandas as pd
import pytest
from helpers import needed

from poolproof import linearity
from poolproof._random import stream
from poolproof.pairs import incomplete, masked_quick

needed("numba")

NUMBERS = ["r2_linear", "r2_spline", "gain", "nonlinear_share_upper", "statistic", "p_value", "q_value"]


def expressed(seed, n=110, n_genes=14, share=0.04):
    """Genes of one cause, some bent, some in bursts, with holes; the last two are complete."""
    rng = stream(seed, "masked quick")
    cause = rng.gamma(1.0, 1.0, (n, 1))
    noise = rng.normal(size=(n, n_genes))
    values = np.where(np.arange(n_genes) % 2, cause, np.tanh(cause)) + 0.4 * noise
    values[:, ::3] += 6 * (rng.random((n, len(values[0, ::3]))) < 0.08) * cause
    gone = rng.random(values.shape) < share
    gone[:, -2:] = False
    data = pd.DataFrame(np.where(gone, np.nan, values), columns=[f"g{j}" for j in range(n_genes)])
    obs = pd.DataFrame(
        {"batch": np.where(np.arange(n) < n // 2, "a", "b"), "age": rng.normal(size=n)}, index=data.index
    )
    return data, obs


@pytest.fixture
def both(monkeypatch):
    """The same pairs by numpy and by compiled loops; how many regulators the kernels of numpy did."""

    def screens(data, obs, **options):
        found, rows = [], []
        one = incomplete.Incomplete._row
        monkeypatch.setattr(
            incomplete.Incomplete, "_row", lambda self, r, *more: rows.append(r) or one(self, r, *more)
        )
        for limit in (np.inf, 0):
            monkeypatch.setattr(incomplete, "COMPILED_FROM", limit)
            rows.clear()
            result = linearity(
                data,
                kind="bulk",
                scale="additive",
                test="robust",
                threads=1,
                obs=obs,
                population=False,
                min_r2=1e-6,
                fdr=0.999,
                **options,
            )
            found.append(result.table.set_index(["regulator", "target"]).sort_index())
        monkeypatch.setattr(incomplete.Incomplete, "_row", one)
        return *found, len(rows)

    return screens


def same(first, second):
    assert len(first) > 100
    assert first.index.equals(second.index)
    for name in ("n", "call", "status"):
        assert first[name].astype(str).equals(second[name].astype(str))
    for name in NUMBERS:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-8, atol=1e-12, err_msg=name)


@pytest.mark.parametrize(
    "options", [{}, {"covariates": "age"}, {"within": "batch"}], ids=["plain", "covariate", "levels"]
)
def test_compiled_loops__say_what_numpy_says(both, options):
    first, second, n_left = both(*expressed(1), **options)
    same(first, second)
    assert n_left == 0
    assert (first["n"] < first["n"].max()).any()


def test_compiled_loops__columns_that_are_hardly_apart_are_left_to_numpy(both):
    data, obs = expressed(2)
    levels = np.linspace(0, 5, len(data)).round(1)
    data["g0"] = np.where(np.isnan(data["g0"]), np.nan, levels)
    left = np.isin(levels, levels[[0, 1, len(data) // 2, len(data) // 2 + 5]])
    data.loc[~left, "g1"] = np.nan  # two or three values of g0 are left: most bends are gone
    first, second, n_left = both(data, obs)
    same(first, second)
    assert n_left > 0


def test_second_tests__lower_what_bursts_have_raised(both, monkeypatch):
    lowered = []
    real = masked_quick.lowered
    monkeypatch.setattr(
        masked_quick,
        "lowered",
        lambda value, *more: lowered.append(value - real(value, *more)) or real(value, *more),
    )
    first, second, _ = both(*expressed(3))
    same(first, second)
    assert np.concatenate(lowered).max() > 0.1


def test_designs__are_made_again_where_memory_is_short(both, monkeypatch):
    monkeypatch.setattr(incomplete, "DESIGNS_BYTES", 0)
    same(*both(*expressed(4))[:2])


def test_compiled__without_numba(monkeypatch):
    monkeypatch.setattr(masked_quick, "find_spec", lambda name: None)
    masked_quick.compiled.cache_clear()
    assert masked_quick.compiled() is None
    masked_quick.compiled.cache_clear()
    monkeypatch.undo()
    assert masked_quick.compiled() is not None
