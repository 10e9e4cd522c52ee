"""Power for triples by the laws beside the tests of triples, 1,000 triples a design (method 7c).

    python benchmarks/bench_plan_triples.py --runs 1000 --save triples.csv

In cells x and z are separated by y. Half of the designs have ends that are straight in y (pooling keeps the
separation), half have bends by which pooling moves the partial correlation to twice the margin. Units are
cells or pools, values or counts; the calls are those of `screen_triples`. False edges: distortions that are
normal over triples, and Fisher's test of linear partial correlations at 1 %. Draws come from the seed.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from anndata import AnnData

from poolproof import screen_triples
from poolproof.planning.designs import EDGE_LEVEL, Design, judge
from poolproof.planning.system import by_hand
from poolproof.triples.citest import ci_test

MARGIN = 0.1
SHAPE = 2.0
"""Of the gamma law of y: squared CV .5, skewness^2 2, excess kurtosis 3, so that n22 is 3."""
N22 = 3.0
END_NOISE = 1.0
"""Variance of the noise of an end over that of y."""
TRIPLES = 25
"""Triples of one table."""
DISTORTION = 0.05
"""Root mean square over triples, for false edges."""
REST = 20_000.0
"""Counts of all other genes in a cell."""
CV2_END = 0.25
"""Of the counted levels of an end: about half of it from y."""


@dataclass(frozen=True)
class Case:
    """One design to try."""

    n: int
    n_cells: int
    molecules: float = np.inf

    @property
    def counted(self) -> bool:
        return bool(np.isfinite(self.molecules))


CASES = [
    *(Case(n, k) for n in (150, 400, 1000, 3000) for k in (1, 5, 25)),
    *(Case(n, 1, mol) for n in (3000, 10_000) for mol in (10.0, 40.0)),
    *(Case(n, 10, 10.0) for n in (1000, 3000)),
]


def bend_of(distortion: float) -> float:
    """Coefficient of the standardised square by which the partial correlation given a line becomes this."""
    return float(np.sign(distortion) * np.sqrt(abs(distortion) * END_NOISE / (1 - abs(distortion))))


def levels(
    rng: np.random.Generator, shape: tuple[int, ...], left: np.ndarray, right: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Standardised x, y, z of cells; bends of both ends along the square of y, last axis the triples."""
    y = (rng.gamma(SHAPE, size=shape) - SHAPE) / np.sqrt(SHAPE)
    square = (y * y - 1 - np.sqrt(2.0) * y) / np.sqrt(N22)
    x, z = (y + c * square + np.sqrt(END_NOISE) * rng.normal(size=shape) for c in (left, right))
    return x, y, z


def units(rng: np.random.Generator, case: Case, left: np.ndarray, right: np.ndarray) -> AnnData:
    """Units of a design with the triples of one table, columns x0.., y0.., z0.. and the rest of the genes."""
    m = len(left)
    found = levels(rng, (case.n, case.n_cells, m), left, right)
    names = [f"{name}{i}" for name in "xyz" for i in range(m)]
    if not case.counted:
        return AnnData(np.hstack([v.mean(axis=1) for v in found]), var=pd.DataFrame(index=names))
    scale = (np.sqrt(CV2_END / (1 + END_NOISE)), 1 / np.sqrt(SHAPE), np.sqrt(CV2_END / (1 + END_NOISE)))
    means = [np.maximum(1 + s * v, 0).sum(axis=1) * case.molecules for s, v in zip(scale, found, strict=True)]
    counts = np.hstack([rng.poisson(mean) for mean in means])
    others = rng.poisson(REST * case.n_cells, size=(case.n, 1))
    return AnnData(np.hstack([counts, others]).astype(float), var=pd.DataFrame(index=[*names, "rest"]))


def calls(case: Case, distortion: float, runs: int, seed: int) -> dict[str, float]:
    """Share of each call among triples of this distortion."""
    rng = np.random.default_rng([seed, case.n, case.n_cells, int(100 * distortion)])
    c = bend_of(distortion)
    found: list[str] = []
    for _ in range(-(-runs // TRIPLES)):
        bends = np.full(TRIPLES, c)
        table = screen_triples(
            units(rng, case, bends, bends),
            triples=[(f"x{i}", f"y{i}", f"z{i}") for i in range(TRIPLES)],
            kind="single-cell" if case.counted else "bulk",
            scale="counts" if case.counted else "additive",
            correction="poisson" if case.counted else "none",
            margin=MARGIN,
            threads=1,
        ).table
        found += table["call"].astype(str).tolist()
    return pd.Series(found).value_counts(normalize=True).to_dict()


def false_edges(case: Case, runs: int, seed: int) -> float:
    """Share of separated triples that Fisher's test of linear partial correlations takes for edges."""
    rng = np.random.default_rng([seed, case.n, case.n_cells, 999])
    found = []
    for _ in range(-(-runs // TRIPLES)):
        moved = rng.normal(size=TRIPLES) * DISTORTION
        c = np.array([bend_of(of) for of in moved])
        x, y, z = (v.mean(axis=1) for v in levels(rng, (case.n, case.n_cells, TRIPLES), np.abs(c), c))
        found += [ci_test("fisher_z", x[:, i], z[:, i], y[:, i]).p_value < EDGE_LEVEL for i in range(TRIPLES)]
    return float(np.mean(found))


def predict(case: Case) -> dict[str, float]:
    """The same by the laws."""
    counts = {"molecules": case.molecules, "depth": REST} if case.counted else {}
    system = by_hand(cv2=1 / SHAPE, n22=N22, distortion=DISTORTION, n_pairs=10, **counts)
    every = np.ones(10)  # the middle gene explains half of either end
    system = replace(system, line=every / (1 + END_NOISE), bend=every * 0, cv2_y=every * CV2_END)
    found = judge(system, Design(case.n, case.n_cells, 1, REST if case.counted else np.nan), margin=MARGIN)
    return {"kept": found.kept_power, "distorted": found.distorted_power, "edges": found.false_edges}


def rows(runs: int, seed: int = 0, cases: list[Case] = CASES) -> Iterator[dict[str, object]]:
    """One row a design."""
    for case in cases:
        law = predict(case)
        row: dict[str, object] = {"n": case.n, "cells": case.n_cells, "molecules": case.molecules}
        seen = {
            "kept": calls(case, 0.0, runs, seed).get("kept", 0.0),
            "distorted": calls(case, 2 * MARGIN, runs, seed).get("distorted", 0.0),
        }
        if not case.counted:
            seen["edges"] = false_edges(case, runs, seed)
        for name, value in seen.items():
            row |= {f"{name}_law": law[name], f"{name}_runs": value}
        yield row


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
        print(
            "  ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()),
            flush=True,
        )
    table = pd.DataFrame(done)
    if arguments.save:
        table.to_csv(arguments.save, index=False)
    for name in ("kept", "distorted", "edges"):
        off = (table[f"{name}_law"] - table[f"{name}_runs"]).abs().dropna()
        print(f"{name}: within .05 in {(off < 0.05).sum()} of {len(off)}, worst {off.max():.3f}")


if __name__ == "__main__":
    main()
