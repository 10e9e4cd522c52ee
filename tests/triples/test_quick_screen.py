"""The compiled screen of triples: the answers of the one that numpy does."""

import numpy as np
import pandas as pd
import pytest
from helpers import needed

from poolproof import screen_triples
from poolproof._random import stream
from poolproof.triples import every_triple as triples
from poolproof.triples import quick_screen

needed("numba")

COUNTS = ["n_kept", "n_distorted", "n_hidden", "n_dependent", "n_undetermined"]


def expressed(seed, n=500, n_genes=60):
    """Genes of two causes, along lines, saturating, and squares: triples of most calls."""
    rng = stream(seed, "quick screen")
    cause = rng.gamma(2.0, 1.0, (n, 2))[:, np.arange(n_genes) % 2]
    noise = rng.normal(size=(n, n_genes))
    forms = (
        cause + noise,
        np.tanh(cause) + 0.15 * noise,
        cause**2 / 5 + 0.2 * noise,
        cause * (1 + 0.3 * noise),
    )
    values = np.choose(np.arange(n_genes) // 2 % 4, forms)
    return pd.DataFrame(values, columns=[f"g{j}" for j in range(n_genes)])


@pytest.fixture
def screens(monkeypatch):
    """The same screen in float32 by numpy and by compiled loops."""
    monkeypatch.setattr(triples, "SMALL", 0)
    monkeypatch.setattr("poolproof.triples.screening.SIZE", 24)  # several tiles

    def both(data, **options):
        found = []
        for limit in (np.inf, 0):
            monkeypatch.setattr(triples, "COMPILED_FROM", limit)
            found.append(screen_triples(data, kind="bulk", scale="additive", threads=1, **options))
        return found

    return both


def close(first, second):
    """Whether two screens say the same but for triples within rounding of a threshold."""
    counts = [np.array([of.summary[name] for name in COUNTS]) for of in (first, second)]
    assert counts[0].sum() == counts[1].sum() > 10_000
    assert np.abs(counts[0] - counts[1]).sum() <= 1e-4 * counts[0].sum()
    assert (counts[0] > 0).sum() >= 3
    keys = ["x", "y", "z"]
    tables = [of.table.set_index(keys).sort_index() for of in (first, second)]
    shared = tables[0].index.intersection(tables[1].index)
    assert len(shared) >= 0.98 * max(len(table) for table in tables) > 0
    one, other = (table.loc[shared] for table in tables)
    assert (one["call"] == other["call"]).all()
    np.testing.assert_allclose(one["q_value"], other["q_value"], rtol=0.02, atol=1e-12)
    moved = first.histogram.merge(second.histogram, how="outer", on=list(first.histogram.columns[:-1]))
    values = moved.iloc[:, -2:].fillna(0).to_numpy()
    assert np.abs(values[:, 0] - values[:, 1]).sum() <= 1e-3 * counts[0].sum()


@pytest.mark.parametrize("n_listed", [5, 3_000])
def test_compiled_tiles__say_what_numpy_says(screens, n_listed):
    close(*screens(expressed(1), n_listed=n_listed))


def test_compiled_tiles__covariances_that_are_not_kept(screens):
    whole = screens(expressed(2))[1]
    few = screens(expressed(2), memory=1e4)[1]
    close(whole, few)


def test_compiled_tiles__replicates_are_left_to_numpy(screens):
    data = expressed(3, n=150, n_genes=30)
    obs = pd.DataFrame({"donor": [f"d{i % 10}" for i in range(len(data))]}, index=data.index)
    first, second = screens(data, replicate="donor", obs=obs)
    assert first.table.equals(second.table)


def test_screen_tile__without_numba(monkeypatch):
    monkeypatch.setattr(quick_screen, "find_spec", lambda name: None)
    quick_screen.screen_tile.cache_clear()
    assert quick_screen.screen_tile() is None
    quick_screen.screen_tile.cache_clear()
    monkeypatch.undo()
    assert quick_screen.screen_tile() is not None
