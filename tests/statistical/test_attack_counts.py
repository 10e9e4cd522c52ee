"""The corrected test of counts under attack: unequal donors, steps, bursts, batches (science 7b).

Every run prints its figures (``pytest -s``). The default run is reduced; ``POOLPROOF_CALIBRATION=full`` takes
at least 1,000 nulls a cell. Bands are fixed beforehand, widened by binomial quantiles of the runs made.
"""

import numpy as np
import pytest
from test_count_calibration import (
    Pairs,
    affine,
    cells,
    design_of,
    draw,
    gamma,
    highest,
    log_normal,
    lowest,
    pooled,
    runs,
    show,
    simulate,
)

pytestmark = pytest.mark.calibration

TAIL = 1e-3

# --- donors of unequal size -----------------------------------------------------------------------------

DONORS = {
    "8 of 40 to 1,200": np.round(np.geomspace(40, 1200, 8)).astype(int),
    "12 of 35": np.full(12, 35),
    "20 of 20 to 600": np.round(np.geomspace(20, 600, 20)).astype(int),
    "7, one of 600": np.array([600] + [100] * 6),
}
FLOORS = {
    "8 of 40 to 1,200": (0.65, 0.25), "12 of 35": (0.65, 0.75),
    "20 of 20 to 600": (0.95, 0.95), "7, one of 600": (0.4, 0.1),
}  # fmt: skip
"""Power for a switch at 5 %, and for its line at .1 %. The rule was fixed first: the worst of four cells
(effects of donors or none, within types or not) of 370 to 480 pairs, from seeds of their own; the lower end
of its exact 99.8 % interval, rounded down to a twentieth. A run must reach the binomial quantile of it."""


def switch(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    y = x**4 / (1 + x**4)
    return y / y.mean() * rng.gamma(4.0, 0.25, x.shape)


def of_donors(
    sizes: np.ndarray, n_pairs: int, effects: bool, relation, within: bool, seed: list[int], law=log_normal
) -> tuple[np.ndarray, np.ndarray]:
    """p-values of bend and association; donors differ in the levels of both genes, and affine slopes too."""
    rng = np.random.default_rng(seed)
    m, n = 48, int(sizes.sum())
    donor = np.repeat(np.arange(len(sizes)), sizes)
    obs = cells(n, donor=np.char.add("d", donor.astype(str)), kind=rng.choice(["a", "b"], n))
    design = design_of(n, obs=obs, replicate="donor", within=["kind"] if within else [])
    found = []
    for _ in range(-(-n_pairs // m)):
        shape = (10.0, 10.0, 3.0)
        x_level, y_level, slope = (
            rng.gamma(k, 1 / k, (m, len(sizes)))[:, donor] if effects else 1.0 for k in shape
        )
        x = x_level * law(rng, (m, n))
        y = (0.3 + 0.7 * slope * x) * rng.gamma(4.0, 0.25, (m, n)) if relation is affine else relation(x, rng)
        counts, total, known = draw(x, y_level * y, "poisson", 6, rng)
        found.append(Pairs(counts, total, known, design, naive=False))
    return np.concatenate([of.p for of in found]), np.concatenate([of.associated for of in found])


@pytest.mark.parametrize("within", [False, True], ids=["all cells", "within types"])
def test_donors_of_unequal_size(within: bool) -> None:
    """Size at 5 % at most .10 and at .1 % at most .005; what is there is found, however unequal they are.

    With donors' sums centred at their plain mean (before), 8 donors of 40 to 1,200 cells: lines .00 and bends
    .00 at p < 1e-3.
    """
    rows = []
    for name, sizes in DONORS.items():
        if within and sizes.min() * 0.4 < 20:
            sizes = 3 * sizes  # strata of each type need 20 cells
        for effects in (True, False):
            seed = [71, list(DONORS).index(name), effects, within]
            few = 96 if within else 48  # levels of few cells leave some pairs without an answer
            p, _ = of_donors(sizes, runs(1920, few), effects, affine, within, seed)
            bent, line = of_donors(sizes, runs(480, few), effects, switch, within, [*seed, 1])
            p, bent, line = (v[~np.isnan(v)] for v in (p, bent, line))
            rows.append(
                {"donors": name, "effects": effects, "tested": len(p), "bent": len(bent)}
                | {"size": (p < 0.05).mean()}
                | {"at .1 %": (p < TAIL).mean(), "bend": (bent < 0.05).mean()}
                | {"bend .1 %": (bent < TAIL).mean(), "line .1 %": (line < TAIL).mean()}
            )
    show("Donors of unequal size", rows)
    for row in rows:
        n = int(row["tested"])
        assert n >= 40
        assert row["size"] <= highest(n, 0.10), row
        assert row["at .1 %"] <= highest(n, 0.005), row
        bend, line = FLOORS[row["donors"]]
        assert row["bend"] >= lowest(int(row["bent"]), bend), row
        assert row["line .1 %"] >= lowest(int(row["bent"]), line), row
    tested = sum(int(row["tested"]) for row in rows)
    assert lowest(tested, 0.015) <= np.average([r["size"] for r in rows], weights=[r["tested"] for r in rows])


def test_one_donor_is_not_many() -> None:
    """Where one donor holds nearly all cells nothing is tested: the test would reject .1 to .4 of lines."""
    sizes = np.array([2000] + [60] * 9)
    p, associated = of_donors(sizes, 48, True, affine, False, [72])
    assert np.isnan(p).all()
    assert np.isnan(associated).all()


# --- steps, and powers of heavy tails, called affine -----------------------------------------------------


def step(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A line and a switch at the mean: .15 of the variance beyond the line for gamma x, .04 by degree 3."""
    y = 0.2 + x + 2.0 * (x > 1.0)
    return y / y.mean(axis=-1, keepdims=True) * rng.gamma(8.0, 0.125, x.shape)


def power(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Power 1.5: a share of .04 for gamma x, .07 for log-normal x."""
    y = x**1.5
    return y / y.mean(axis=-1, keepdims=True) * rng.gamma(8.0, 0.125, x.shape)


def test_steps_are_not_called_affine() -> None:
    """Bands: a step at a share of .15 is called affine in at most .09; lines are as before, at most .1 fewer.

    By the corrected bound alone steps of gamma x were called affine in .94 (n = 5,000, mean 20) and .56
    (n = 3,000, mean 8), of log-normal x in .31 and .27.
    """
    rows = []
    for law in (gamma, log_normal):
        for n, mean in ((5000, 20), (3000, 8)):
            for relation in (step, affine, power):
                seed = [81, len(law.__name__), n, mean]
                found = {}
                for agree in (0.0, 0.1):
                    made = simulate(
                        runs(1008, 32), n, law, relation, "poisson", mean, seed=seed, naive=False,
                        agree_below=agree,
                    )  # fmt: skip
                    upper = pooled(made, "upper")[0]
                    found[agree] = float((upper[~np.isnan(upper)] < 0.1).mean())
                rows.append(
                    {"law": law.__name__, "n": n, "mean": mean, "truth": relation.__name__}
                    | {"alone": found[0.0], "agreed": found[0.1], "pairs": int((~np.isnan(upper)).sum())}
                )
    show("Called affine", rows)
    for row in rows:
        assert row["agreed"] <= row["alone"]
        if row["truth"] == "step":
            assert row["agreed"] <= highest(int(row["pairs"]), 0.09), row
        if row["truth"] == "affine":
            assert row["agreed"] >= row["alone"] - 0.1 - (0.0 if row["pairs"] > 900 else 0.1), row
    lines = [row for row in rows if row["truth"] == "affine" and row["n"] == 5000]
    assert all(row["agreed"] > 0.7 for row in lines)


# --- bursty targets under skewed regulators --------------------------------------------------------------


def skewed(width: float):
    return lambda rng, shape: np.minimum(np.exp(width * rng.normal(size=shape) - width**2 / 2), 60)


def bursts(rng: np.random.Generator, shape: tuple[int, ...], on: float) -> np.ndarray:
    return (rng.random(shape) < on) * rng.gamma(4.0, 0.25, shape) / on


def bursty_line(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Affine, on in 10 % of cells."""
    return np.minimum((0.3 + 0.7 * x) * bursts(rng, x.shape, 0.1), 150)


def bursty_alone(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """On in 20 % of cells, whatever x."""
    return np.maximum(bursts(rng, x.shape, 0.2), 1e-3)


def on_in_fifth(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.maximum(bursts(rng, shape, 0.2), 1e-3)


def test_bursty_targets_hold_the_level_far_into_the_tail() -> None:
    """Bands: .09 at 5 %, .006 at .1 %, .002 at .01 %. Unguarded: up to .26, .08 and .03."""
    rows = []
    for name, law, relation, n, mean in (
        ("x 1.5, on in 10 %", skewed(1.5), bursty_line, 1000, 10),
        ("x 1.0, on in 10 %", skewed(1.0), bursty_line, 3000, 5),
        ("both on in 20 %, apart", on_in_fifth, bursty_alone, 1000, 10),
    ):
        seed = [91, n, mean, len(name)]
        made = simulate(runs(4000, 160), n, law, relation, "poisson", mean, seed=seed, naive=False)
        p = pooled(made, "p")[0]
        p = p[~np.isnan(p)]
        rows.append(
            {"law": name, "tested": len(p)}
            | {f"{level:g}": (p < level).mean() for level in (0.05, 1e-3, 1e-4)}
        )
    show("Bursty targets, affine truths", rows)
    for row in rows:
        for level, band in ((0.05, 0.09), (1e-3, 6e-3), (1e-4, 2e-3)):
            assert row[f"{level:g}"] <= highest(int(row["tested"]), band), row
