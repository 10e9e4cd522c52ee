"""Pools of cells that are alike: is a fork still independent, and what does the test of given pools say?

    python benchmarks/bench_alike.py [--runs 20]

A fork X <- Y -> Z of affine or square equations, 20,000 cells, 800 pools. Pools are random, neighbours in Y,
and clusters (k-means) of the genes, of the genes with 20 genes of noise, and of 20 noisy copies of Y. Shown
are the mean correlation of X and Z after a spline in Y, how often the test of independence rejects at 5 %
(with its exact 95 % interval), the share of variance that cells of a pool share (of X; and of what Y and Z
leave of it), and what kind of pools they are called. Draws come from the seed.
"""

import argparse
from collections import Counter

import numpy as np
import pandas as pd
from scipy import stats
from scipy.cluster.vq import kmeans2

import poolproof
from poolproof.pools.likeness import pool_likeness
from poolproof.triples import ci_test

N_CELLS, K = 20_000, 25
WAYS = (
    *("random", "sorted by Y", "k-means on X, Y, Z"),
    *("k-means on these and noise", "k-means on markers of Y"),
)


def fork(bent: bool, rng: np.random.Generator) -> np.ndarray:
    y = rng.normal(size=N_CELLS)
    of_y = y**2 if bent else y
    return np.column_stack([of_y + rng.normal(size=N_CELLS), y, of_y + rng.normal(size=N_CELLS)])


def assigned(way: str, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if way == "random":
        return rng.permutation(np.arange(N_CELLS) % (N_CELLS // K))
    if way == "sorted by Y":
        pool_of = np.empty(N_CELLS, dtype=int)
        pool_of[np.argsort(values[:, 1])] = np.arange(N_CELLS) // K
        return pool_of
    seen = values / values.std(axis=0)
    if way == "k-means on these and noise":
        seen = np.column_stack([seen, rng.normal(size=(N_CELLS, 20))])
    elif way == "k-means on markers of Y":
        seen = values[:, [1]] + 0.5 * rng.normal(size=(N_CELLS, 20))
    return kmeans2(seen, N_CELLS // K, iter=10, minit="points", missing="warn", seed=rng)[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for bent in (False, True):
        print("square equations" if bent else "affine equations", flush=True)
        for way in WAYS:
            rows, kinds = [], Counter()
            for run in range(options.runs):
                rng = np.random.default_rng([options.seed, run, bent, WAYS.index(way)])
                values = fork(bent, rng)
                pool_of = assigned(way, values, rng)
                sums = np.stack([np.bincount(pool_of, weights=column) for column in values.T], axis=1)
                sums = sums[np.bincount(pool_of) > 0]
                test = ci_test("spline_gcm", sums[:, 0], sums[:, 2], sums[:, [1]])
                cells = poolproof.describe(
                    pd.DataFrame(values, columns=list("XYZ")), kind="single-cell", scale="additive"
                )
                found = pool_likeness(cells, pd.DataFrame({"pool": pool_of}), "pool")
                kinds[found.kind] += 1
                row = found.table.set_index("gene").loc["X"]
                rho = test.statistic / np.sqrt(len(sums))
                rows.append((rho, test.p_value < 0.05, row["shared"], row["own_shared"]))
            rho, rejected, shared, own = np.array(rows, dtype=float).T
            low, high = stats.binomtest(int(rejected.sum()), len(rows)).proportion_ci()
            print(
                f"  {way:28} r {rho.mean():+.2f}, rejected {100 * rejected.mean():3.0f} % "
                f"({100 * low:.0f} to {100 * high:.0f}), X shared {shared.mean():.2f}, "
                f"own part {own.mean():.2f}, {dict(kinds)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
