"""Laws of planning beside simulation: powers and standard errors of designs, 1,000 runs each (method 7c).

    python benchmarks/bench_planning.py --runs 1000 --save planning.csv

Cells follow one of four mechanisms with a gamma regulator; units are cells or pools of them, values or
counts, of one donor or several. The law is given what single cells are like (from 400,000 of them) and the
design; the simulation runs the tests that an audit runs. Draws come from the seed.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from poolproof.basis import spline_basis
from poolproof.pairs.count_engine import CountTest
from poolproof.pairs.design import make_design
from poolproof.pairs.population_measures import measure_of
from poolproof.pairs.score_engine import ScoreTest
from poolproof.planning.designs import Design, Seen, associated, bent, flags, seen, straight
from poolproof.planning.laws import share_variance
from poolproof.planning.system import System

CUT = 1e-3
MARGIN = 0.1
SHAPE = 2.0
"""Of the gamma regulator: excess kurtosis 3."""
PAIRS = 20
"""Pairs of a run, for the bend share."""
SETS = 100
"""Sets of pairs from which the error of the bend share is taken: its own error is then 7 %."""
UNCLEAR = 0.1
"""Error of the share of so few pairs above which it is a ratio of noises."""
MECHANISMS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], float]] = {
    "line": (lambda x: x, 2.0),
    "saturating": (np.tanh, 0.3),
    "Hill": (lambda x: 3 * x**2 / (4 + x**2), 1.0),
    "square": (lambda x: x**2 / 4, 2.0),
}
"""Mean of the target given the regulator, and the standard deviation of normal noise."""


@dataclass(frozen=True)
class Case:
    """One design to try."""

    mechanism: str
    n: int
    n_cells: int
    molecules: float = np.inf
    n_donors: int = 1
    noise: float = 1.0
    """Times that of the mechanism."""
    shared: float = 0.0
    """Variance of donors over that of cells, of either gene apart."""

    @property
    def counted(self) -> bool:
        return bool(np.isfinite(self.molecules))

    @property
    def design(self) -> Design:
        return Design(self.n, self.n_cells, self.n_donors, 1.0 if self.counted else np.nan)


CASES = [
    *(Case(m, n, k) for m in MECHANISMS for n in (150, 400) for k in (1, 5, 25)),
    *(Case(m, n, k, noise=4.0) for m in MECHANISMS for n in (150, 400) for k in (1, 5, 25)),
    *(
        Case(m, n, k, mol)
        for m in ("line", "Hill")
        for n, k in ((1000, 1), (4000, 1), (500, 10))
        for mol in (3.0, 20.0)
    ),
    *(Case(m, 50 * d, 1, n_donors=d) for m in ("line", "Hill") for d in (8, 20, 40)),
    *(Case(m, n, 20, n_donors=n, shared=0.1) for m in ("line", "Hill") for n in (60, 150)),
]


def cells(rng: np.random.Generator, shape: tuple[int, ...], case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Levels of regulator and target in cells; counted targets are positive, with gamma noise."""
    x = rng.gamma(SHAPE, size=shape)
    mean_of, noise = MECHANISMS[case.mechanism]
    if case.counted:
        return x, (0.3 + mean_of(x)) * rng.gamma(4.0, 0.25, size=shape)
    return x, mean_of(x) + case.noise * noise * rng.normal(size=shape)


def units(rng: np.random.Generator, case: Case, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values of m pairs in the units of a design, ``(n, m)`` each, and the donor of each unit."""
    donor = np.arange(case.n) % case.n_donors
    done = []
    for _ in range(m):
        x, y = (v.mean(axis=1) for v in cells(rng, (case.n, case.n_cells), case))
        if case.shared:
            spread = np.sqrt(case.shared) * np.array(_sd(case))
            x, y = (
                v + s * rng.normal(size=case.n_donors)[donor] for v, s in zip((x, y), spread, strict=True)
            )
        if case.counted:
            x, y = (
                rng.poisson(v * case.molecules * case.n_cells / mu)
                for v, mu in zip((x, y), _mean(case), strict=True)
            )
        done.append((x, y))
    x, y = (np.column_stack([pair[i] for pair in done]).astype(float) for i in (0, 1))
    return x, y, donor


def engine_of(x: np.ndarray, y: np.ndarray, donor: np.ndarray, case: Case) -> ScoreTest | CountTest:
    """The test that an audit would use: inside donors where they are given."""
    inside = case.n_donors > 1 and case.n_cells == 1
    obs = pd.DataFrame({"donor": donor.astype(str)})
    design = make_design(obs, replicate="donor" if inside else None)
    values = np.hstack([x, y])
    if case.counted:
        depth = np.full(case.n, float(case.n_cells))
        return CountTest(values, depth, True, design, agree_below=MARGIN)
    return ScoreTest(values, None, design)


def simulate(case: Case, runs: int, seed: int) -> dict[str, float]:
    """Powers over ``runs`` pairs and the spread of the bend share over sets of pairs."""
    rng = np.random.default_rng([seed, CASES.index(case) if case in CASES else 999])
    p_bend, p_edge, upper, shares = [], [], [], []
    at = np.arange(PAIRS)
    for run in range(max(min(runs, SETS), -(-runs // PAIRS))):
        engine = engine_of(*units(rng, case, PAIRS), case)
        measure = measure_of(engine, np.float64)
        found = measure.sums(measure.columns(at), measure.targets(at + PAIRS), [])
        bend, line = (sum(np.diag(getattr(of, part)).sum() for of in found) for part in ("bend", "line"))
        shares.append(bend / (bend + line))
        if run * PAIRS >= runs:
            continue
        result = engine.outcome(engine.features(at), slice(PAIRS, 2 * PAIRS), np.float64, exact=True)
        tested = np.broadcast_to(result.tested, result.gain.shape)[at, at]
        p_bend.append(np.where(tested, np.exp(-result.bend.minus_log_p()[at, at]), 1.0))
        p_edge.append(np.where(tested, np.exp(-result.association.minus_log_p()[at, at]), 1.0))
        upper.append(np.where(tested, result.share_upper[at, at], 1.0))
    return {
        "bend": float(np.mean(np.concatenate(p_bend) < CUT)),
        "edge": float(np.mean(np.concatenate(p_edge) < CUT)),
        "affine": float(np.mean(np.concatenate(upper) < MARGIN)),
        "error": float(np.std(shares, ddof=1)),
    }


@cache
def _facts(mechanism: str, counted: bool, noise: float) -> dict[str, float]:
    """What single cells are like, from 400,000 of them."""
    case = Case(mechanism, 1, 1, 1.0 if counted else np.inf, noise=noise)
    rng = np.random.default_rng(7)
    x, y = cells(rng, (400_000,), case)
    z, w = ((v - v.mean()) / v.std() for v in (x, y))
    g3 = np.mean(z**3)
    square = z**2 - 1 - g3 * z
    n22 = float(np.mean(square**2))
    line, second = float(np.mean(z * w)) ** 2, float(np.mean(square * w)) ** 2 / n22
    part = slice(40_000)
    q = spline_basis(x[part])
    scores = q.T @ (w[part] / np.sqrt(40_000))
    bend = second if counted else max(float((scores[1:] ** 2).sum()), second)
    rest = w[part] - q @ scores * np.sqrt(40_000)
    along = q[:, 1:] @ scores[1:] / np.linalg.norm(scores[1:]) * np.sqrt(40_000)
    if counted:
        along = square[part] / np.sqrt(n22)
    spread = float(np.mean(along**2 * rest**2) / np.mean(rest**2))
    return {
        "line": line,
        "bend": bend,
        "higher": 1 - second / bend if bend > 1e-3 else 0.0,
        "n22": n22,
        "spread": spread if bend > 1e-3 or counted else 1.0,
        "mean_x": float(x.mean()),
        "mean_y": float(y.mean()),
        "sd_x": float(x.std()),
        "sd_y": float(y.std()),
    }


def _mean(case: Case) -> tuple[float, float]:
    facts = _facts(case.mechanism, case.counted, case.noise)
    return facts["mean_x"], facts["mean_y"]


def _sd(case: Case) -> tuple[float, float]:
    facts = _facts(case.mechanism, case.counted, case.noise)
    return facts["sd_x"], facts["sd_y"]


def system_of(case: Case) -> System:
    """What the law is told."""
    f = _facts(case.mechanism, case.counted, case.noise)
    one = np.ones(1)
    return System(
        line=one * f["line"],
        bend=one * f["bend"],
        molecules_x=one * case.molecules,
        molecules_y=one * case.molecules,
        cv2_x=one * (f["sd_x"] / f["mean_x"]) ** 2,
        cv2_y=one * (f["sd_y"] / f["mean_y"]) ** 2,
        n22=one * f["n22"],
        between_x=one * case.shared,
        between_y=one * case.shared,
        line_between=one * 0.0,
        n_pairs=PAIRS,
        depth=1.0 if case.counted else np.nan,
        higher=f["higher"],
        spread=f["spread"],
    )


def predict(case: Case) -> tuple[dict[str, float], tuple[str, ...]]:
    """The same by the laws, and what the tool says against them."""
    of = seen(system_of(case), case.design)
    many = [np.repeat(v, PAIRS) for v in (of.line, of.bend, of.of_line, of.of_bend, of.spread)]
    error = share_variance(
        many[0], many[1], float(of.n[0]), n_bends=of.n_bends, of_line=many[2], of_bend=many[3], spread=many[4]
    )
    scale = _in_units(of)
    return {
        "bend": float(bent(of, CUT)[0]),
        "edge": float(associated(of, CUT)[0]),
        "affine": float(straight(of, scale)[0]),
        "error": float(np.sqrt(error)) * _share_slope(of),
    }, flags(of, case.design)


def _in_units(of: Seen) -> float:
    """The margin of the cells that is MARGIN in these units: the simulated test knows nothing of cells."""
    odds = MARGIN / (1 - MARGIN) * float((of.of_line if not of.counted else of.of_line * 0 + 1)[0])
    seen_bend = float(of.of_bend[0]) if not of.counted else float(of.of_bend[0] / of.of_line[0] ** 2)
    return odds / seen_bend / (1 + odds / seen_bend)


def _share_slope(of: Seen) -> float:
    """From the error of the cells' share to that of the share in these units."""
    factor = float((of.of_bend / of.of_line ** (2 if of.counted else 1))[0])
    bend, line = float(of.bend[0] / of.of_bend[0]), float(of.line[0] / of.of_line[0])
    share = bend / (bend + line)
    return factor / (factor * share + 1 - share) ** 2


def rows(runs: int, seed: int = 0, cases: list[Case] = CASES) -> Iterator[dict[str, object]]:
    """One row a design."""
    for case in cases:
        law, warned = predict(case)
        found = simulate(case, runs, seed)
        if law["error"] > UNCLEAR:
            warned = (*warned, "pairs explain too little: the share has no error")
        row: dict[str, object] = {
            "mechanism": case.mechanism,
            "n": case.n,
            "cells": case.n_cells,
            "molecules": case.molecules,
            "noise": case.noise,
            "donors": case.n_donors,
        }
        for name in ("edge", "bend", "affine", "error"):
            row |= {f"{name}_law": law[name], f"{name}_runs": found[name]}
        yield row | {"flags": "; ".join(warned)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", default=None)
    arguments = parser.parse_args()
    done = []
    for row in rows(arguments.runs, arguments.seed):
        done.append(row)
        print("  ".join(f"{v:.3f}" if isinstance(v, float) else str(v) for v in row.values()), flush=True)
    table = pd.DataFrame(done)
    if arguments.save:
        table.to_csv(arguments.save, index=False)
    for name in ("edge", "bend", "affine"):
        off = (table[f"{name}_law"] - table[f"{name}_runs"]).abs()
        plain = table["flags"] == ""
        print(
            f"{name}: within .05 in {(off < 0.05).sum()} of {len(off)}, worst {off.max():.3f}; "
            f"without a flag {(off[plain] < 0.05).sum()} of {plain.sum()}, worst {off[plain].max():.3f}"
        )
    off = (table["error_law"] / table["error_runs"] - 1).abs()
    plain = table["flags"] == ""
    print(
        f"standard errors: within 15 % in {(off < 0.15).sum()} of {len(off)}; without a flag "
        f"{(off[plain] < 0.15).sum()} of {plain.sum()}, worst {off[plain].max():.2f}"
    )


if __name__ == "__main__":
    main()
