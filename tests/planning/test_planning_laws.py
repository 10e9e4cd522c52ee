"""Laws of pairs in pools against exact cumulants and plain simulation."""

import numpy as np
import pytest

from poolproof.planning.laws import (
    bend_factor,
    bend_in_pools,
    correlation_by_size,
    effective_units,
    library_of,
    molecules_of,
    reads_for,
    reliability,
    share_variance,
)


def degree_two(x, y):
    """Bend of y along the square of x, a share of its variance."""
    z, w = ((v - v.mean()) / v.std() for v in (x, y))
    column = z**2 - 1 - np.mean(z**3) * z
    return np.mean(column * w) ** 2 / np.mean(column**2)


@pytest.mark.parametrize("n_cells", [2, 10])
@pytest.mark.parametrize("bend_of", [np.tanh, np.square])
def test_bend_factor__is_what_pools_keep_of_a_bend_of_degree_two(n_cells, bend_of):
    rng = np.random.default_rng(0)
    x = rng.gamma(2.0, size=(400_000, n_cells))
    y = bend_of(x) + rng.normal(size=x.shape)
    cells = degree_two(x[:, 0], y[:, 0])
    pools = degree_two(x.mean(axis=1), y.mean(axis=1))
    # gamma of shape 2: excess kurtosis 3, squared skewness 2
    assert pools / cells == pytest.approx(float(bend_factor(np.array(3.0), n_cells)), rel=0.12)


def test_bend_in_pools__higher_degrees_go_faster():
    pools = bend_in_pools(np.array(0.1), np.array(2.0), 10.0, higher=0.1)
    assert pools == pytest.approx(0.1 / 10 + 0.1 / 100)


@pytest.mark.parametrize(("n_cells", "between"), [(1, 0.0), (20, 0.0), (20, 0.2)])
def test_reliability__is_the_squared_correlation_of_counts_with_levels(n_cells, between):
    rng = np.random.default_rng(1)
    donor = 1 + np.sqrt(between) * rng.normal(size=(100_000, 1))
    level = donor * 0 + 1.5 * (donor - 1) + 1.5 * rng.gamma(2.0, 0.5, size=(100_000, n_cells))
    pool = np.maximum(level.sum(axis=1), 0)
    counts = rng.poisson(pool)
    found = np.corrcoef(counts, pool)[0, 1] ** 2
    assert float(reliability(np.array(1.5), np.array(0.5), n_cells, between)) == pytest.approx(
        found, abs=0.015
    )


def test_reads__and_molecules_undo_each_other_and_stop_at_the_library():
    whole = np.array(10_000.0)
    assert float(molecules_of(reads_for(np.array(4000.0), whole), whole)) == pytest.approx(4000)
    assert np.isinf(reads_for(np.array(10_001.0), whole))
    seen = float(molecules_of(np.array(15_000.0), whole))
    assert library_of(seen, 1 - seen / 15_000) == pytest.approx(10_000, rel=1e-6)


def test_effective_units__is_the_variance_of_a_correlation_of_unrelated_genes():
    rng = np.random.default_rng(2)
    n_donors, per, icc_x, icc_y = 20, 10, 0.5, 0.3
    found = []
    for _ in range(3000):
        x, y = (
            np.sqrt(icc) * rng.normal(size=(n_donors, 1))
            + np.sqrt(1 - icc) * rng.normal(size=(n_donors, per))
            for icc in (icc_x, icc_y)
        )
        found.append(np.mean(x * y))
    expected = effective_units(np.array(200.0), np.array(20.0), np.array(icc_x), np.array(icc_y))
    assert 1 / np.var(found) == pytest.approx(float(expected), rel=0.1)
    assert float(effective_units(np.array(50.0), np.array(50.0), np.array(0.5), np.array(0.5))) == 50


def test_correlation_by_size__is_what_sums_over_unknown_numbers_show():
    rng = np.random.default_rng(3)
    size = rng.choice([5, 15], 20_000)
    x, y = (np.array([rng.gamma(k * 1.0) for k in size]) for _ in "xy")
    found = np.corrcoef(x, y)[0, 1]
    assert float(correlation_by_size(0.5, np.array(1.0), np.array(1.0), 10.0)) == pytest.approx(
        found, abs=0.02
    )


def test_share_variance__of_equal_pairs_falls_with_pairs_and_samples():
    line, bend = np.full(50, 0.1), np.full(50, 0.02)
    one = float(share_variance(line, bend, 500.0))
    assert float(share_variance(np.repeat(line, 2), np.repeat(bend, 2), 500.0)) == pytest.approx(one / 2)
    assert one / 4 > float(share_variance(line, bend, 2000.0)) > one / 6
    assert np.isinf(share_variance(np.zeros(5), np.zeros(5), 100.0))
