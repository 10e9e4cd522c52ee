"""Products of regulators and spreads that bend: found where they are, nothing where they are not."""

import numpy as np
import pandas as pd
import pytest

import poolproof
from poolproof._random import stream
from poolproof.verdict.shape_kernels import product_sums, share_with_interval, spread_sums

N, N_GENES, N_BLOCKS = 1000, 30, 20
RUNS = 12


def kernels(make, run, gamma=True):
    rng = stream(run, "shape test", make.__name__, int(gamma))
    x = rng.gamma(2.0, size=(N, N_GENES, 2)) if gamma else rng.normal(4, 1, (N, N_GENES, 2))
    y = make(x, rng.normal(size=(N, N_GENES)))
    blocks = rng.permutation(N) % N_BLOCKS
    halves = np.stack([rng.permutation(np.arange(N_BLOCKS) % 2) for _ in range(10)]).astype(float)
    groups = np.arange(N_GENES)
    return (
        share_with_interval(product_sums(y, x, blocks, halves), groups),
        share_with_interval(spread_sums(y, x[..., 0], blocks, halves), groups),
    )


def lines(x, noise):
    return x[..., 0] + x[..., 1] + noise


def growing(x, noise):
    """The variance of the noise grows along a line in x, as it may."""
    return x[..., 0] + x[..., 1] + np.sqrt(x[..., 0]) * noise


def gate(x, noise):
    return x[..., 0] * x[..., 1] + 1.5 * noise


def multiplied(x, noise):
    """Y = X N: straight in the mean, a parabola in the spread."""
    return x[..., 0] + x[..., 1] + x[..., 0] * noise


@pytest.mark.parametrize("make", [lines, growing])
def test_affine_systems__show_neither(make):
    found = np.array([kernels(make, run) for run in range(RUNS)])
    assert np.abs(found[..., 0].mean(axis=0)).max() < 0.002, "no bias"
    # Twelve intervals of .95: eight or fewer cover in one of 200,000 runs.
    covered = ((found[..., 1] <= 0) & (found[..., 2] >= 0)).sum(axis=0)
    assert covered.min() >= 9
    assert (found[..., 2] < 0.05).all()


def test_a_gate__shows_its_product_in_every_run():
    """Var(x1 x2) is 20, of which additive parts explain 2 * 2^2 * 2 = 16 and the product of lines 4.

    So the product adds 4 / (16 + 4) = .2 of what is explained.
    """
    found = np.array([kernels(gate, run)[0] for run in range(RUNS)])
    assert found[:, 0].mean() == pytest.approx(0.2, abs=0.02)
    assert (found[:, 1] > 0.1).all()


def test_a_multiplied_noise__shows_its_spread_in_every_run():
    """E[u²|x] = x² (gamma of shape 2): Var(x²) = 84, of it 72 along the line, 12 bent; (E x²)² = 36.

    A curve of three columns sees most of the bent third.
    """
    found = np.array([kernels(multiplied, run)[1] for run in range(RUNS)])
    assert 0.05 < found[:, 0].mean() < 12 / 36
    assert (found[:, 1] > 0).sum() >= RUNS - 1


def cells_of(make, n=1500, n_modules=12):
    """Single cells: in each module two regulators and a target of both, beside a second child of each."""
    rng = stream(0, "cells of", make.__name__)
    columns = {}
    for module in range(n_modules):
        x = rng.gamma(2.0, size=(n, 1, 2))
        columns[f"A{module}"], columns[f"B{module}"] = x[:, 0, 0], x[:, 0, 1]
        columns[f"Y{module}"] = make(x, 0.7 * rng.normal(size=(n, 1)))[:, 0]
    return pd.DataFrame(columns)


@pytest.mark.parametrize(("make", "passed"), [(lines, True), (gate, False), (multiplied, False)])
def test_shape_of__says_of_cells_what_their_equations_are(make, passed):
    from poolproof.verdict.shape import shape_of

    result = poolproof.linearity(cells_of(make), kind="single-cell", scale="additive", min_r2=0.05)
    shape = shape_of(result)
    assert shape.n_products >= 10
    assert shape.passed is passed
    assert f"{shape.product[0]:.1%}" in shape.sentence


def exclusive_or(x, noise):
    """A product of centred regulators: no curve of either explains anything."""
    return (x[..., 0] - 2) * (x[..., 1] - 2) + noise


def silent_spread(x, noise):
    """The second regulator bends the spread and nothing else."""
    return x[..., 0] + np.exp(0.5 * (x[..., 1] - 2)) * noise


@pytest.mark.parametrize("regulators", [None, "given"])
@pytest.mark.parametrize(
    ("make", "what"), [(exclusive_or, "hidden_product"), (silent_spread, "hidden_spread")]
)
def test_shape_of__regulators_that_no_curve_shows_are_sought(make, what, regulators):
    from poolproof.verdict.shape import shape_of

    cells = cells_of(make, n=2000)
    for module in range(12):  # beside them a straight child of each, so that there is something to explain
        noise = stream(module, "straight").normal(size=len(cells))
        cells[f"Z{module}"] = cells[f"A{module}"] + cells[f"B{module}"] + noise
    given = None if regulators is None else [name for name in cells if name[0] in "AB"]
    options = {"kind": "single-cell", "scale": "additive", "min_r2": 0.05, "regulators": given}
    shape = shape_of(poolproof.linearity(cells, **options))
    assert shape.product[2] < 0.1
    assert getattr(shape, what)[1] > 0.1
    assert shape.passed is False


def test_strongest__never_the_target_itself_and_the_same_in_parts(monkeypatch):
    from poolproof.verdict import shape_search

    rng = stream(0, "strongest")
    x = rng.normal(size=(400, 12))
    y = x[:, [0, 5]] * x[:, [3, 7]]
    both = np.column_stack([y, x[:, 2]])
    own = np.array([-1, -1, 2])
    pairs, _ = shape_search.strongest_products(both, x, own)
    assert pairs[:2].tolist() == [[0, 3], [5, 7]]
    assert 2 not in pairs[2]
    monkeypatch.setattr(shape_search, "AT_ONCE", 400 * 7)
    assert shape_search.strongest_products(both, x, own)[0].tolist() == pairs.tolist()
    loud = rng.normal(size=400) * np.exp(x[:, 4] ** 2 / 2)
    assert shape_search.strongest_spreads(loud[:, None], x, np.array([-1]))[0].tolist() == [4]
    assert shape_search.strongest_spreads(loud[:, None], x, np.array([4]))[0].tolist() != [4]


def test_shape_of__too_few_targets_say_nothing():
    from poolproof.verdict.shape import shape_of

    result = poolproof.linearity(cells_of(lines, n_modules=2), kind="single-cell", scale="additive")
    assert shape_of(result).passed is None
