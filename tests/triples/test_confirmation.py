"""A sample of triples by standard tests: what cells keep and pools lose, and what is left out."""

import numpy as np
import pandas as pd
import pytest

from poolproof import linearity
from poolproof._random import stream
from poolproof.triples import confirm_triples
from poolproof.triples.confirmation import LEVEL, N_CONFIRMED, TESTS
from poolproof.triples.every_triple import Options, screen_associated

N = 3000


def forks(n, n_forks=8, seed=0):
    """Forks of bent arms around genes of their own: x and z are separated by y, and pools show an edge."""
    rng = stream(seed, "forks")
    columns = {}
    for i in range(n_forks):
        y = rng.gamma(2.0, size=n)
        columns |= {
            f"y{i}": y,
            f"x{i}": np.tanh(y) + 0.15 * rng.normal(size=n),
            f"z{i}": y**2 / 5 + 0.2 * rng.normal(size=n),
        }
    return pd.DataFrame(columns)


def confirmed(data, options=None, **settings):
    found = linearity(data, **({"kind": "single-cell", "scale": "additive"} | settings))
    options = options or Options(correction="none")
    screened = screen_associated(found.expression, found.design, found.associations, None, options, {})
    return confirm_triples(screened, found.associations, options)


@pytest.fixture(scope="module")
def of_forks():
    return confirmed(forks(N))


def rejected(found, test, n_cells):
    (row,) = [row for row in found["tests"] if (row["test"], row["n_cells"]) == (test, n_cells)]
    return row["rejected_separated"], row["n_separated"]


def test_confirm__cells_keep_what_pools_lose(of_forks):
    """At the 5 % level 4 of 8 is beyond chance (p = 4e-4); pools of 10 show all of the edges."""
    n_forks = rejected(of_forks, "spline_gcm", 1)[1]
    assert n_forks >= 6
    for test in ("spline_gcm", "kernel"):
        assert rejected(of_forks, test, 1)[0] < n_forks / 2
        assert rejected(of_forks, test, 10)[0] > 0.7 * n_forks
    assert rejected(of_forks, "fisher_z", 1)[0] > 0.7 * n_forks  # the line is wrong in cells already


def test_confirm__says_what_was_tested(of_forks):
    assert [(row["n_cells"], row["test"]) for row in of_forks["tests"]] == [
        (k, test) for k in (1, 10) for test in TESTS
    ]
    for row in of_forks["tests"]:
        assert row["level"] == LEVEL
        assert row["n"] == (200 if row["test"] == "kernel" else N // 10)
        assert 0 <= row["rejected_separated"] <= row["n_separated"] <= N_CONFIRMED
        assert 0 <= row["rejected_dependent"] <= row["n_dependent"] <= N_CONFIRMED


def test_confirm__does_not_depend_on_gene_order_or_threads(of_forks):
    data = forks(N)
    assert confirmed(data[data.columns[::-1]], Options(correction="none", threads=2)) == of_forks


def test_confirm__covariates_are_projected_out():
    """A batch that moves both ends would make the separated triples dependent."""
    data = forks(N)
    batch = stream(1, "batch").integers(0, 2, N)
    moved = data + 1.5 * batch[:, None] * ~data.columns.str.startswith("y")
    obs = pd.DataFrame({"batch": [f"b{b}" for b in batch]})
    found = confirmed(moved, obs=obs, covariates="batch")
    hit, n = rejected(found, "spline_gcm", 1)
    assert n >= 6
    assert hit < n / 2


def test_confirm__bulk_samples_are_not_pooled_further():
    found = confirmed(forks(N), kind="bulk")
    assert {row["n_cells"] for row in found["tests"]} == {1}
    assert {row["n"] for row in found["tests"]} == {N, 200}


def test_confirm__nothing_to_test():
    noise = pd.DataFrame(stream(2, "noise").gamma(2.0, size=(200, 6)), columns=list("abcdef"))
    assert confirmed(noise) is None
