"""Simulations made to break the robust test: donors of unlike size, batches, few samples, bursts.

Every test prints its table (``pytest -s``); the runs are shortened by default, and full with
POOLPROOF_CALIBRATION=full. Bands are fixed beforehand: a claimed rate, widened by the exact binomial quantile
that it leaves once in a thousand times.
"""

import os

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from poolproof import linearity
from poolproof._random import stream
from poolproof.pairs import growing_noise
from poolproof.pairs.design import make_design
from poolproof.pairs.score_engine import ScoreTest
from poolproof.pairs.screening import NONLINEAR, Rule, screen

pytestmark = pytest.mark.calibration

FULL = os.environ.get("POOLPROOF_CALIBRATION") == "full"


def at_least(rate, n):
    return stats.binom.ppf(0.001, n, rate) / n


def at_most(rate, n):
    return stats.binom.isf(0.001, n, rate) / n


def interval(rate, n):
    """Exact 95 % binomial interval of a rate seen among n."""
    found = stats.binomtest(round(rate * n), n).proportion_ci()
    return f"{rate:.4f} ({found.low:.4f} to {found.high:.4f})"


def examine(x, y, obs=None, **options):
    """P-values of regulators ``(n, g)``, each with its own targets, ``(n, g, t)``; one row a pair."""
    n, n_x = x.shape
    obs = pd.DataFrame(index=range(n)) if obs is None else obs
    design = options.pop("design", None) or make_design(obs, **options)
    engine = ScoreTest(np.hstack([x, y.reshape(n, -1)]), None, design, dtype=np.float64)
    per = y.shape[2]
    parts = []
    for gene in range(n_x):
        targets = n_x + np.arange(gene * per, (gene + 1) * per)
        out = engine.outcome(engine.features(np.array([gene])), targets, np.float64, exact=True)
        parts.append(
            pd.DataFrame(
                {
                    "bend": np.exp(-out.bend.minus_log_p()[0]),
                    "association": np.exp(-out.association.minus_log_p()[0]),
                    "upper": out.share_upper[0],
                    "r2": out.r2_spline[0],
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def rates(found, levels=(0.05, 1e-3, 1e-4)):
    return {
        f"{of} {level:g}": (found[of] < level).mean() for of in ("bend", "association") for level in levels
    }


def show(title, table, n):
    table = pd.DataFrame(table).T.map(lambda rate: interval(rate, n))
    print(f"\n{title}, {n} pairs a row\n{table.to_string()}")


# --- donors of unlike size -----------------------------------------------------------------------------

UNEQUAL = np.array([40, 65, 106, 172, 280, 454, 738, 1200])
DONORS = {"8 of 40 to 1,200": UNEQUAL, "8 of 300": np.full(8, 300), "12 of 35": np.full(12, 35)}


def of_donors(sizes, name, per):
    rng = stream(20, "donors", name)
    donor = np.repeat(np.arange(len(sizes)), sizes)
    n_x = (2000 if FULL else 400) // per
    x = rng.gamma(3.0, size=(len(donor), n_x)) + rng.normal(0, 0.5, (len(sizes), n_x))[donor]
    shift = rng.normal(size=(len(sizes), n_x, per))[donor]
    return rng, x, shift, pd.DataFrame({"donor": donor.astype(str)})


@pytest.mark.parametrize("name", DONORS)
def test_donors__level_and_power_where_sizes_differ(name):
    per = 20
    rng, x, shift, obs = of_donors(DONORS[name], name, per)
    noise = rng.normal(size=shift.shape)
    each = x[:, :, None]
    z = (each - each.mean(axis=0)) / each.std(axis=0)
    signal = np.sqrt(0.6 / 0.4)
    targets = {
        "affine, noise with the mean": shift + each + 0.5 * np.abs(each) * noise,
        "unrelated": shift + noise,
        "line, r2 .6": shift + signal * z + noise,
        "bend, r2 .6": shift + signal * (z**2 - 1) / np.std(z**2, axis=0) + noise,
    }
    n = noise[0].size
    found = {case: rates(examine(x, y, obs, replicate="donor")) for case, y in targets.items()}
    show(name, found, n)
    assert found["affine, noise with the mean"]["bend 0.05"] <= at_most(0.10, n)
    assert at_least(0.03, n) <= found["affine, noise with the mean"]["bend 0.05"]
    assert at_least(0.03, n) <= found["unrelated"]["association 0.05"] <= at_most(0.10, n)
    assert found["line, r2 .6"]["association 0.0001"] >= at_least(0.95, n)
    assert found["bend, r2 .6"]["association 0.0001"] >= at_least(0.9, n)
    if name.startswith("8"):
        assert found["bend, r2 .6"]["bend 0.0001"] >= at_least(0.9, n)


def test_donors__unlike_sizes_inside_within():
    """The same donors in two cell types, in unlike numbers."""
    per = 20
    rng, x, shift, obs = of_donors(np.concatenate([UNEQUAL]), "within", per)
    obs["type"] = np.where(rng.random(len(obs)) < 0.7, "T", "B")
    noise = rng.normal(size=shift.shape)
    each = x[:, :, None]
    offset = 3.0 * (obs["type"] == "T").to_numpy()[:, None, None]
    z = (each - each.mean(axis=0)) / each.std(axis=0)
    targets = {
        "affine": shift + offset + each + 0.5 * np.abs(each) * noise,
        "unrelated": shift + offset + noise,
        "line, r2 .6": shift + offset + np.sqrt(1.5) * z + noise,
    }
    n = noise[0].size
    found = {
        case: rates(examine(x, y, obs, replicate="donor", within=["type"])) for case, y in targets.items()
    }
    show("8 donors of 40 to 1,200 within 2 types", found, n)
    assert found["affine"]["bend 0.05"] <= at_most(0.10, n)
    assert found["unrelated"]["association 0.05"] <= at_most(0.10, n)
    assert found["line, r2 .6"]["association 0.0001"] >= at_least(0.95, n)


@pytest.mark.parametrize(("giant", "expected"), [(400, "ok"), (1500, "too_few_replicates")])
def test_donors__one_giant_donor_is_too_few_replicates(giant, expected):
    """7 donors of 50 cells and one giant: 3.2 effective donors, and 1.5."""
    rng = stream(21, "giant", giant)
    donor = np.repeat(np.arange(8), [50] * 7 + [giant])
    design = make_design(pd.DataFrame({"donor": donor.astype(str)}), replicate="donor")
    engine = ScoreTest(rng.normal(size=(len(donor), 2)), None, design)
    assert list(engine.regulator_status) == [expected] * 2
    (warning,) = design.warnings
    assert warning.startswith(f"8 replicates of 50 to {giant:,} samples weigh as ")


# --- batches -------------------------------------------------------------------------------------------


def of_batches(how, n, n_batches, noise, rng, bend=0.0):
    """Affine pairs of amounts in batches, 10 targets a regulator; ``(n, g)`` and ``(n, 10 g)``."""
    n_x = 100 if FULL else 30
    batch = rng.integers(n_batches, size=n)
    x = rng.gamma(3.0, size=(n, n_x))
    each = np.repeat(x, 10, axis=1)
    mean = 1 + each + bend * each**2
    error = (
        0.5 * mean * rng.normal(size=mean.shape)
        if noise == "normal"
        else mean * (rng.gamma(3, 1 / 3, mean.shape) - 1)
    )
    y = mean + error
    if how == "multiply":
        x, y = (v * np.exp(rng.normal(0, 0.7, (n_batches, v.shape[1])))[batch] for v in (x, y))
    elif how == "add":
        x, y = (v + 2 * np.abs(rng.normal(size=(n_batches, v.shape[1])))[batch] for v in (x, y))
    return x, y, pd.DataFrame({"batch": batch.astype(str)})


def p_of_batches(x, y, obs, scaled=True, **options):
    """P-values of the bend, by the public function or with batches projected out as they are."""
    columns = [f"x{i}" for i in range(x.shape[1])] + [f"y{i}" for i in range(y.shape[1])]
    data = pd.DataFrame(np.hstack([x, y]), columns=columns)
    pairs = [(f"x{i // 10}", f"y{i}") for i in range(y.shape[1])]
    if not scaled:
        found = examine(x, y.reshape(len(y), x.shape[1], 10), obs, **options)
        return found["bend"].to_numpy()
    result = linearity(
        data,
        obs=obs,
        kind="bulk",
        scale="additive",
        pairs=pairs,
        keep="all",
        threads=1,
        each_level=False,
        **options,
    )
    return result.table["p_value"].dropna().to_numpy()


@pytest.mark.parametrize(("n", "n_batches"), [(300, 4), (300, 10), (100, 4)])
def test_batches__level_where_they_multiply_or_add(n, n_batches):
    table = {}
    for how in ("multiply", "add"):
        for noise in ("normal", "gamma"):
            x, y, obs = of_batches(how, n, n_batches, noise, stream(22, how, noise, n, n_batches))
            new, old = (p_of_batches(x, y, obs, scaled, covariates=["batch"]) for scaled in (True, False))
            table[how, noise] = {
                "new 5 %": (new < 0.05).mean(),
                "new .1 %": (new < 1e-3).mean(),
                "as they are": (old < 0.05).mean(),
            }
    n_pairs = y.shape[1]
    show(f"{n_batches} batches, n = {n}", table, n_pairs)
    for (how, _), row in table.items():
        assert row["new 5 %"] <= at_most(0.07, n_pairs)
        assert row["new .1 %"] <= at_most(0.005, n_pairs)
        assert how == "add" or row["as they are"] >= at_least(0.2, n_pairs)


def test_batches__power_is_no_lower_than_within():
    x, y, obs = of_batches("multiply", 300, 4, "normal", stream(23, "power"), bend=0.5)
    new = (p_of_batches(x, y, obs, covariates=["batch"]) < 1e-3).mean()
    within = (p_of_batches(x, y, obs, within=["batch"]) < 1e-3).mean()
    print(f"\npower at .1 %, 300 samples in 4 batches that multiply: {new:.3f}, within {within:.3f}")
    assert new >= within


def test_batches__a_number_that_multiplies():
    """Age changes every gene by its own rate a year."""
    n = 300
    rng = stream(24, "age")
    n_x = 100 if FULL else 30
    age = rng.uniform(20, 80, n)
    x = rng.gamma(3.0, size=(n, n_x))
    y = 1 + np.repeat(x, 10, axis=1) * rng.gamma(3, 1 / 3, (n, 10 * n_x))
    x, y = (v * np.exp(rng.normal(0, 0.024, (1, v.shape[1])) * (age[:, None] - 50)) for v in (x, y))
    obs = pd.DataFrame({"age": age})
    new, old = (p_of_batches(x, y, obs, scaled, covariates=["age"]) for scaled in (True, False))
    table = {"age": {"new 5 %": (new < 0.05).mean(), "as it is": (old < 0.05).mean()}}
    show("age multiplies", table, y.shape[1])
    assert table["age"]["new 5 %"] <= at_most(0.07, y.shape[1])
    assert table["age"]["as it is"] >= at_least(0.2, y.shape[1])


# --- few samples ---------------------------------------------------------------------------------------

LAWS = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "log-normal": lambda rng, shape: rng.lognormal(0, 1, shape),
    "70 % zeros": lambda rng, shape: rng.gamma(2.0, size=shape) * (rng.random(shape) < 0.3),
}
NOISES = {
    "normal": lambda rng, x: rng.normal(size=x.shape),
    "log-normal": lambda rng, x: rng.lognormal(0, 1, x.shape),
    "bursts": lambda rng, x: rng.gamma(2.0, size=x.shape) * (rng.random(x.shape) < 0.15),
    "sd with x": lambda rng, x: x * rng.normal(size=x.shape),
}


@pytest.mark.parametrize("n", [12, 20, 40, 60])
def test_few_samples__unrelated_genes(n):
    """Association of unrelated genes, down to .1 % and .01 %."""
    n_x = 1500 if FULL else 60
    table = {}
    for law, draw in LAWS.items():
        rng = stream(25, "few", law, n)
        x = draw(rng, (n, n_x))
        while (poor := (np.diff(np.sort(x, axis=0), axis=0) > 0).sum(axis=0) < 3).any():
            x[:, poor] = draw(rng, (n, int(poor.sum())))
        each = np.repeat(x[:, :, None], 20, axis=2)
        for noise, of in NOISES.items():
            y = of(rng, each)
            y[:, (np.ptp(y, axis=0) == 0)] = rng.normal(size=(n, int((np.ptp(y, axis=0) == 0).sum())))
            found = rates(examine(x, y))
            table[law, noise] = {name: found[name] for name in found if name.startswith("association")}
    show(f"unrelated genes, n = {n}", table, 20 * n_x)
    for row in table.values():
        assert row["association 0.05"] <= at_most(0.07, 20 * n_x)
        assert row["association 0.001"] <= at_most(0.004, 20 * n_x)
        assert row["association 0.0001"] <= at_most(0.002, 20 * n_x)


@pytest.mark.parametrize("n", [12, 20, 30, 60])
def test_few_samples__exact_lines_are_associated_and_affine(n):
    """Sixty genes, ten of them twice another: ten unordered pairs, and no other."""
    values = stream(26, "twice", n).gamma(2.0, size=(n, 50))
    data = pd.DataFrame(np.hstack([values, 2 * values[:, :10]]), columns=[f"g{i}" for i in range(60)])
    result = linearity(data, kind="bulk", scale="additive", threads=1)
    called = result.table[["regulator", "target", "call"]]
    exact = {(f"g{i}", f"g{50 + i}") for i in range(10)} | {(f"g{50 + i}", f"g{i}") for i in range(10)}
    assert {(r, t) for r, t, _ in called.itertuples(index=False)} >= exact
    assert len(called) <= 24  # at a false-discovery rate of 5 %
    affine = called[called["call"] == "affine"]
    assert {(r, t) for r, t, _ in affine.itertuples(index=False)} >= exact
    said = [w for w in result.warnings if w.startswith(f"{n} samples give no bend a p-value below ")]
    assert len(said) == (n < 30)


def test_few_samples__power_of_a_line():
    """r2 = .5: as near to the plain F test as the level allows."""
    n_x = 60
    table = {}
    for n in (12, 20, 40):
        rng = stream(27, "power of a line", n)
        x = rng.normal(size=(n, n_x))
        y = x[:, :, None] + rng.normal(size=(n, n_x, 10))
        r = np.array([[np.corrcoef(x[:, i], y[:, i, j])[0, 1] for j in range(10)] for i in range(n_x)])
        p_plain = stats.f.sf(r**2 / (1 - r**2) * (n - 2), 1, n - 2)
        found = examine(x, y)["association"]
        table[n] = {"here, 1 %": (found < 0.01).mean(), "plain, 1 %": (p_plain < 0.01).mean()}
    show("power of a line, r2 = .5", table, 10 * n_x)
    assert table[20]["here, 1 %"] >= 0.35
    assert table[40]["here, 1 %"] >= 0.95


# --- bursts --------------------------------------------------------------------------------------------

SKEWED = LAWS | {
    "log-normal 1.5": lambda rng, shape: rng.lognormal(0, 1.5, shape),
    "gamma": lambda rng, shape: rng.gamma(2.0, size=shape),
}
OF_MEAN = {
    "on in 10 %": lambda rng, m: m * (rng.random(m.shape) < 0.1) / 0.1,
    "on in 5 %": lambda rng, m: m * (rng.random(m.shape) < 0.05) / 0.05,
    "added bursts": lambda rng, m: (
        m + 3 * m.mean(axis=0) * rng.gamma(1.0, size=m.shape) * (rng.random(m.shape) < 0.05)
    ),
    "log-normal": lambda rng, m: m * rng.lognormal(-0.5, 1, m.shape),
    "sd half the mean": lambda rng, m: m * (1 + 0.5 * rng.normal(size=m.shape)),
    "equal": lambda rng, m: m + m.std(axis=0) * rng.normal(size=m.shape),
}
ATTACKS = {
    ("log-normal 1.5", "on in 10 %"): (0.07, 0.008, 0.002),
    ("log-normal 1.5", "on in 5 %"): (0.07, 0.008, 0.002),
    ("log-normal 1.5", "log-normal"): (0.07, 0.008, 0.002),
    ("log-normal", "on in 10 %"): (0.07, 0.008, 0.002),
    ("70 % zeros", "added bursts"): (0.07, 0.008, 0.002),
    ("gamma", "on in 10 %"): (0.09, 0.010, 0.003),
}
"""Bands at 5, .1 and .01 %: those of science 7b (.071, .008, .002); a wider one where it was not asked."""


def line(x):
    """Affine, at a mean of 1."""
    return 0.3 + 0.7 * x / x.mean(axis=0)


def of_bursts(law, noise, n, n_x, per, seed, mean=line):
    rng = stream(28, "bursts", law, noise, n, seed)
    x = SKEWED[law](rng, (n, n_x))
    return x, OF_MEAN[noise](rng, np.repeat(mean(x)[:, :, None], per, axis=2))


@pytest.mark.parametrize(("law", "noise"), ATTACKS, ids=lambda name: name)
def test_bursts__level_deep_in_the_tail(law, noise, monkeypatch):
    n, n_x, per = 1000, 150 if FULL else 30, 60 if FULL else 40
    x, y = of_bursts(law, noise, n, n_x, per, 0)
    table = {"now": rates(examine(x, y))}
    monkeypatch.setattr(growing_noise, "HEED", 0.0)
    table["HC3 alone"] = rates(examine(x, y))
    show(f"bends of affine pairs, x {law}, y {noise}, n = {n}", table, n_x * per)
    for level, band in zip(("0.05", "0.001", "0.0001"), ATTACKS[law, noise], strict=True):
        assert table["now"][f"bend {level}"] <= at_most(band, n_x * per), level
    if (law, noise) == ("log-normal 1.5", "on in 10 %"):
        assert table["HC3 alone"]["bend 0.05"] >= at_least(0.25, n_x * per)
        assert table["HC3 alone"]["bend 0.0001"] >= at_least(0.01, n_x * per)


def hill(x):
    x = x / x.mean(axis=0)
    return 1 + 8 * x**2 / (x**2 + np.median(x, axis=0) ** 2)


def root(x):
    return 0.2 + 3 * np.sqrt(x / x.mean(axis=0))


def test_bursts__power_is_kept(monkeypatch):
    """At .1 %, noise equal or growing with the mean: at most .03 is lost."""
    n_x, per = (100, 20) if FULL else (25, 20)
    table = {}
    for law, noise, n in (
        ("gamma", "equal", 200), ("gamma", "sd half the mean", 200), ("log-normal", "sd half the mean", 300)
    ):  # fmt: skip
        for mean in (hill, root):
            x, y = of_bursts(law, noise, n, n_x, per, 1, mean)
            monkeypatch.undo()
            now = examine(x, y)["bend"]
            monkeypatch.setattr(growing_noise, "HEED", 0.0)
            alone = examine(x, y)["bend"]
            table[law, noise, n, mean.__name__] = {
                "now": (now < 1e-3).mean(), "HC3 alone": (alone < 1e-3).mean()
            }  # fmt: skip
    show("power at .1 %", table, n_x * per)
    for name, row in table.items():
        lost = row["HC3 alone"] - row["now"]  # a share of the same pairs
        assert lost <= at_most(0.03, n_x * per), name


@pytest.mark.parametrize(("law", "n"), [("log-normal 1.5", 1000), ("log-normal", 600)])
def test_bursts__no_false_discovery_in_screens(law, n):
    """Runs with any false non-linear call among affine pairs of bursty targets: at most 8 % of 50."""
    n_runs, n_x, n_y = (50, 20, 200) if FULL else (12, 15, 100)
    design = make_design(pd.DataFrame(index=range(n)))
    rule = Rule(0.05, margin=0.1, min_r2=0.02)
    any_call = 0
    for run in range(n_runs):
        rng = stream(29, "false discoveries", law, run)
        x = SKEWED[law](rng, (n, n_x))
        y = OF_MEAN["on in 10 %"](rng, line(x)[:, rng.integers(n_x, size=n_y)])
        engine = ScoreTest(np.hstack([x, y]), None, design)
        found = screen(engine, np.arange(n_x), n_x + np.arange(n_y), rule)
        any_call += bool((found.calls == NONLINEAR).any())
    print(f"\n{law}, n = {n}: runs with a false non-linear call: {any_call} of {n_runs}")
    assert any_call <= stats.binom.isf(0.001, n_runs, 0.08)
