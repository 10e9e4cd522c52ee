"""Bursts under skewed regulators where cells come from donors: level, deep in the tail too, and power.

Every test prints its table (``pytest -s``); POOLPROOF_CALIBRATION=full takes 2,000 to 3,000 nulls a cell.
Bands are fixed beforehand: a claimed rate, widened by the exact binomial quantile that it leaves once in a
thousand times.
"""

import numpy as np
import pandas as pd
import pytest
from test_attack_counts import bursty_line, skewed
from test_attack_counts import of_donors as count_donors
from test_attack_robust import (
    FULL,
    OF_MEAN,
    UNEQUAL,
    at_least,
    at_most,
    examine,
    hill,
    line,
    rates,
    root,
    show,
)
from test_count_calibration import runs

from poolproof._random import stream
from poolproof.pairs import growing_noise
from poolproof.pairs.count_engine import CountTest

pytestmark = pytest.mark.calibration

SIZES = {"8 of 125": np.full(8, 125), "8 of 40 to 1,200": UNEQUAL, "20 of 100": np.full(20, 100)}


def of_donors(name, width, n_x, per, seed):
    """A skewed regulator that donors differ in, their codes, and their shift of each target."""
    rng = stream(60, "donors", name, width, seed)
    donor = np.repeat(np.arange(len(SIZES[name])), SIZES[name])
    n_donors = len(SIZES[name])
    x = np.minimum(rng.lognormal(-(width**2) / 2, width, (len(donor), n_x)), 60)
    x = x * rng.gamma(10, 0.1, (n_donors, n_x))[donor]
    shift = rng.gamma(10, 0.1, (n_donors, n_x, per))[donor]
    return rng, x, shift, pd.DataFrame({"donor": np.char.add("d", donor.astype(str))})


@pytest.mark.parametrize("width", [1.0, 1.5])
@pytest.mark.parametrize("name", SIZES)
def test_bursts_and_donors__level_deep_in_the_tail(name, width, monkeypatch):
    """Bands .07, .008, .002, as without replicates; CR3 alone has .20 to .36 at 5 %, up to .11 at .1 %."""
    n_x, per = (150, 20) if FULL else (12, 40)
    rng, x, shift, obs = of_donors(name, width, n_x, per, 0)
    y = OF_MEAN["on in 10 %"](rng, np.repeat(line(x)[:, :, None], per, axis=2)) + shift
    table = {"now": rates(examine(x, y, obs, replicate="donor"))}
    monkeypatch.setattr(growing_noise, "HEED", 0.0)
    table["CR3 alone"] = rates(examine(x, y, obs, replicate="donor"))
    n = n_x * per
    show(f"x log-normal {width}, y on in 10 %, donors {name}", table, n)
    for level, band in (("0.05", 0.07), ("0.001", 0.008), ("0.0001", 0.002)):
        assert table["now"][f"bend {level}"] <= at_most(band, n), level
    assert table["CR3 alone"]["bend 0.05"] >= at_least(0.15, n)


def test_donors__power_is_kept(monkeypatch):
    """At .1 %, noise equal or growing with the mean: at most .03 is lost to the second look."""
    n_x, per = (50, 20) if FULL else (12, 20)
    table = {}
    for name in ("8 of 125", "20 of 100"):
        for noise in ("equal", "sd half the mean"):
            for mean in (hill, root):
                rng, x, shift, obs = of_donors(name, 0.5, n_x, per, 1)
                y = OF_MEAN[noise](rng, np.repeat(mean(x)[:, :, None], per, axis=2)) + shift
                monkeypatch.undo()
                now = examine(x, y, obs, replicate="donor")["bend"]
                monkeypatch.setattr(growing_noise, "HEED", 0.0)
                alone = examine(x, y, obs, replicate="donor")["bend"]
                table[name, noise, mean.__name__] = {
                    "now": (now < 1e-3).mean(), "CR3 alone": (alone < 1e-3).mean()
                }  # fmt: skip
    show("power at .1 %", table, n_x * per)
    for key, row in table.items():
        assert row["CR3 alone"] - row["now"] <= at_most(0.03, n_x * per), key
    assert max(row["now"] for row in table.values()) >= 0.5


@pytest.mark.parametrize("name", ["8 of 125", "20 of 100"])
def test_bursts_and_donors_of_counts__level(name, monkeypatch):
    """Counts: bands .07, .006, .002; unguarded .13 to .30 at 5 %."""
    n = runs(2000, 144)

    def p_values():
        p, _ = count_donors(SIZES[name], n, True, bursty_line, False, [73, len(name)], law=skewed(1.0))
        return p[~np.isnan(p)]

    now = p_values()
    monkeypatch.setattr(CountTest, "_guard", lambda *given: given[-2])
    alone = p_values()
    levels = {"0.05": 0.07, "0.001": 0.006, "0.0001": 0.002}
    table = {
        of: {f"bend {level}": (p < float(level)).mean() for level in levels}
        for of, p in (("now", now), ("CR3 alone", alone))
    }
    show(f"counts, x log-normal 1, y on in 10 %, donors {name}", table, len(now))
    assert len(now) >= 0.9 * n
    for level, band in levels.items():
        assert (now < float(level)).mean() <= at_most(band, len(now)), level
    assert (alone < 0.05).mean() >= at_least(0.1, len(alone))
