"""Attacks on the tests of pairs: how often an affine truth is rejected, and what is there is called.

    python benchmarks/bench_attacks.py --save now.csv
    python benchmarks/bench_attacks.py --before before.csv        what another version saved, beside this one

Only the public function is used, so that older versions can run the same script. Every cell has at least
1,000 pairs (``--pairs``), or 50 runs where a run is what is counted; intervals are exact binomial ones at
95 %. Draws come from the seed.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

import poolproof

PER = 20
"""Targets of a regulator."""
LEVELS = {"5 %": 0.05, ".1 %": 1e-3, ".01 %": 1e-4}
AFFINE_BURSTS = {
    "log-normal 1.5, on in 10 %": (1.5, 0.1),
    "log-normal 1, on in 10 %": (1.0, 0.1),
    "log-normal 1.5, on in 5 %": (1.5, 0.05),
}
UNEQUAL = np.array([40, 65, 106, 172, 280, 454, 738, 1200])

Row = tuple[str, str, int, int]
"""Attack, what is counted, how often it came, of how many."""


def of_pairs(
    x: np.ndarray, y: np.ndarray, obs: pd.DataFrame | None = None, **options: object
) -> pd.DataFrame:
    """The table of regulators ``(n, g)`` against targets ``(n, g, PER)``, each regulator its own."""
    n, n_x, per = y.shape
    names = [*(f"x{i}" for i in range(n_x)), *(f"y{i}.{j}" for i in range(n_x) for j in range(per))]
    values = np.hstack([x, y.reshape(n, -1)])
    if options.get("scale") == "counts":  # all other molecules of the cell
        rest = 3000 + 50 * np.arange(n) % 997
        values, names = np.column_stack([values, rest]), [*names, "others"]
    data = pd.DataFrame(values, columns=names)
    pairs = [(f"x{i}", f"y{i}.{j}") for i in range(n_x) for j in range(per)]
    options = {"kind": "bulk", "scale": "additive"} | options
    return poolproof.linearity(data, obs=obs, pairs=pairs, keep="all", threads=1, **options).table


def sizes(attack: str, table: pd.DataFrame) -> Iterator[Row]:
    p = table["p_value"].dropna()
    for name, level in LEVELS.items():
        yield attack, f"bend, {name}", int((p < level).sum()), len(p)


def share(attack: str, what: str, hit: pd.Series) -> Iterator[Row]:
    yield attack, what, int(hit.sum()), len(hit)


def line(x: np.ndarray) -> np.ndarray:
    return (0.3 + 0.7 * x / x.mean(axis=0))[:, :, None]


def on(rng: np.random.Generator, shape: tuple[int, ...], rate: float) -> np.ndarray:
    return (rng.random(shape) < rate) / rate


def bursts(rng: np.random.Generator, n_x: int) -> Iterator[Row]:
    for name, (width, rate) in AFFINE_BURSTS.items():
        x = rng.lognormal(0, width, (1000, n_x))
        y = line(x) * on(rng, (1000, n_x, PER), rate)
        yield from sizes(f"values: x {name}, n = 1,000", of_pairs(x, y))
    x = rng.gamma(2.0, size=(1000, n_x)) * (rng.random((1000, n_x)) < 0.3)
    added = 3 * rng.gamma(1.0, size=(1000, n_x, PER)) * (rng.random((1000, n_x, PER)) < 0.05)
    yield from sizes("values: x 70 % zeros, added bursts, n = 1,000", of_pairs(x, line(x) + added))


def count_bursts(rng: np.random.Generator, n_x: int) -> Iterator[Row]:
    for width, n, mean in ((1.5, 1000, 10), (1.0, 3000, 5)):
        x = np.minimum(rng.lognormal(-(width**2) / 2, width, (n, n_x)), 60)
        y = np.minimum(line(x) * on(rng, (n, n_x, PER), 0.1) * rng.gamma(4.0, 0.25, (n, n_x, PER)), 150)
        table = of_pairs(rng.poisson(mean * x), rng.poisson(mean * y), scale="counts", kind="single-cell")
        yield from sizes(f"counts: x log-normal {width:g}, on in 10 %, n = {n:,}", table)


def steps(rng: np.random.Generator, n_x: int) -> Iterator[Row]:
    x = rng.gamma(2.0, 0.5, (5000, n_x))
    for name, of in (("a step", 0.2 + x + 2.0 * (x > 1)), ("a line", 0.3 + 0.7 * x)):
        y = (of / of.mean(axis=0))[:, :, None] * rng.gamma(8.0, 0.125, (5000, n_x, PER))
        table = of_pairs(rng.poisson(20 * x), rng.poisson(20 * y), scale="counts", kind="single-cell")
        yield from share(f"counts: {name}, n = 5,000", "called affine", table["call"] == "affine")


def batches(rng: np.random.Generator, n_x: int) -> Iterator[Row]:
    n = 300
    for n_batches in (4, 10):
        batch = rng.integers(n_batches, size=n)
        x = rng.gamma(3.0, size=(n, n_x))
        y = 1 + x[:, :, None] + 0.5 * x[:, :, None] * rng.normal(size=(n, n_x, PER))
        x, y = (v * rng.lognormal(0, 0.5, (n_batches, *v.shape[1:]))[batch] for v in (x, y))
        obs = pd.DataFrame({"batch": np.char.add("b", batch.astype(str))})
        table = of_pairs(x, y, obs, covariates=["batch"])
        yield from sizes(f"values: {n_batches} batches that multiply, n = 300", table)


def donors(rng: np.random.Generator, n_x: int) -> Iterator[Row]:
    donor = np.repeat(np.arange(8), UNEQUAL)
    x = rng.gamma(3.0, size=(len(donor), n_x)) + rng.normal(0, 0.5, (8, n_x))[donor]
    shift = rng.normal(size=(8, n_x, PER))[donor]
    noise = rng.normal(size=shift.shape)
    each = x[:, :, None]
    obs = pd.DataFrame({"donor": np.char.add("d", donor.astype(str))})
    table = of_pairs(x, shift + each + 0.5 * np.abs(each) * noise, obs, replicate="donor")
    yield from sizes("values: 8 donors of 40 to 1,200 cells", table)
    strong = of_pairs(x, shift + np.sqrt(1.5) * (each - 3) / 3**0.5 + noise, obs, replicate="donor")
    yield from share(
        "values: 8 donors of 40 to 1,200 cells",
        "line of r2 .6 associated",
        strong["call"] != "not_associated",
    )


def few(rng: np.random.Generator, n_x: int) -> Iterator[Row]:
    for n in (12, 20, 40):
        x = rng.gamma(2.0, size=(n, n_x))
        for name, y in (
            ("exact line", x[:, :, None] * rng.uniform(1, 3, (1, n_x, PER))),
            ("unrelated", rng.gamma(2.0, size=(n, n_x, PER))),
        ):
            table = of_pairs(x, y)
            yield from share(f"values: {name}, n = {n}", "associated", table["call"] != "not_associated")


def screens(rng: np.random.Generator, n_runs: int) -> Iterator[Row]:
    for name, width, n in (("log-normal 1.5", 1.5, 1000), ("log-normal 1", 1.0, 600)):
        hits = 0
        for _ in range(n_runs):
            x = rng.lognormal(0, width, (n, 20))
            parent = rng.integers(20, size=200)
            y = (0.3 + 0.7 * x / x.mean(axis=0))[:, parent] * on(rng, (n, 200), 0.1)
            data = pd.DataFrame(np.hstack([x, y]), columns=[f"g{i:03d}" for i in range(220)])
            result = poolproof.linearity(
                data, regulators=list(data.columns[:20]), kind="bulk", scale="additive", threads=1
            )
            hits += bool((result.table["call"] == "nonlinear").any())
        yield (
            f"screens of 4,380 pairs: x {name}, on in 10 %, n = {n:,}",
            "any false non-linear call",
            hits,
            n_runs,
        )


ATTACKS: dict[str, Callable[[np.random.Generator, int], Iterator[Row]]] = {
    "bursts": bursts, "count bursts": count_bursts, "steps": steps, "batches": batches, "donors": donors,
    "few": few, "screens": screens,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--attacks", default=",".join(ATTACKS))
    parser.add_argument("--pairs", type=int, default=1000, help="pairs a cell")
    parser.add_argument("--runs", type=int, default=50, help="screens a cell")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", type=Path)
    parser.add_argument("--before", type=Path, help="what another version saved")
    options = parser.parse_args()
    before = {} if options.before is None else read(options.before)
    rows: list[Row] = []
    for place, (name, attack) in enumerate(ATTACKS.items()):
        if name not in options.attacks.split(","):
            continue
        rng = np.random.default_rng([options.seed, place])
        for row in attack(rng, options.runs if name == "screens" else -(-options.pairs // PER)):
            rows.append(row)
            old = before.get(row[:2])
            beside = "" if options.before is None else f"{interval(*old) if old else '-':28s}"
            print(f"{row[0]:55s} {row[1]:26s} {beside} {interval(*row[2:])}", flush=True)
            if options.save:
                pd.DataFrame(rows, columns=["attack", "what", "hits", "of"]).to_csv(options.save, index=False)


def read(path: Path) -> dict[tuple[str, str], tuple[int, int]]:
    """Rows that another version saved."""
    rows = pd.read_csv(path).itertuples(index=False, name=None)
    return {(attack, what): (hits, of) for attack, what, hits, of in rows}


def interval(hits: int, of: int) -> str:
    """A rate and its exact 95 % interval."""
    if of == 0:
        return "no test"
    low, high = stats.binomtest(int(hits), int(of)).proportion_ci()
    return f"{hits / of:.4f} ({low:.4f} to {high:.4f})"


if __name__ == "__main__":
    main()
