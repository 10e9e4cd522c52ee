"""Bias of the bend share of counts under bent and affine truths, and how often its interval holds the truth.

    OMP_NUM_THREADS=1 python benchmarks/bench_count_bends.py
    OMP_NUM_THREADS=1 python benchmarks/bench_count_bends.py --runs 100 --sizes 300,1000

Truth is the share of the mean of y in the same cells' x, along degrees 1 to 3. Systems and measures are those
of ``tests/statistical/test_population_calibration.py``; above 1,000 cells a fifteenth of the runs, at least
8.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "statistical"))
import test_population_calibration as calibration

from poolproof._random import stream

CASES = (
    ("quadratic", "on in 20 %"),
    ("quadratic", "log-normal"),
    ("quadratic", "gamma"),
    ("Hill", "log-normal"),
    ("Hill", "on in 20 %"),
    ("saturating", "bimodal"),
    ("affine", "log-normal"),
    ("affine", "on in 20 %"),
    ("affine", "bimodal"),
)
FEW = 15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--sizes", default="300,1000,4000")
    options = parser.parse_args()
    print("rise        law           cells   bias (its error)    sd     mean error   held of told of runs")
    for rise, law in CASES:
        for n in map(int, options.sizes.split(",")):
            n_runs = options.runs if n <= 1000 else max(8, options.runs // FEW)
            draws = (
                stream(7, "affine" if rise == "affine" else "bent", n, law, rise, i) for i in range(n_runs)
            )
            found = [calibration.run_counts(draw, n, law, "proportional", rise) for draw in draws]
            told = [of for of in found if of is not None]
            errors = np.array([error for error, _, _ in told])
            held = sum(inside for _, _, inside in told)
            error = errors.std(ddof=1) / len(told) ** 0.5
            size = np.mean([standard_error for _, standard_error, _ in told])
            print(
                f"{rise:11s} {law:12s} {n:6,d}  {errors.mean():+.4f} ({error:.4f})  {errors.std(ddof=1):.4f}"
                f"  {size:.4f}   {held} of {len(told)} of {n_runs}",
                flush=True,
            )


if __name__ == "__main__":
    main()
