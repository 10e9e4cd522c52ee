"""Bias of the bend share of counts under bent and affine truths, and how often its interval holds the truth.

    OMP_NUM_THREADS=1 python benchmarks/bench_count_bends.py
    OMP_NUM_THREADS=1 python benchmarks/bench_count_bends.py --runs 100 --sizes 300,1000

Truth is the share of the mean of y in the same cells' x, along degrees 1 to 3, over the regulators that
count; beside it that over all. Systems and measures are those of
``tests/statistical/test_population_calibration.py``.
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--sizes", default="300,1000,4000")
    options = parser.parse_args()
    print(
        "rise        law           cells  truth, of all  bias (its error)    sd     mean error  held of told"
    )
    for rise, law in CASES:
        for n in map(int, options.sizes.split(",")):
            name = "affine" if rise == "affine" else "bent"
            draws = (stream(7, name, n, law, rise, i) for i in range(options.runs))
            found = [calibration.run_counts(draw, n, law, "proportional", rise) for draw in draws]
            told = [of for of in found if of is not None]
            errors = np.array([of.error for of in told])
            error = errors.std(ddof=1) / len(told) ** 0.5
            truth, of_all, size = (
                np.mean([getattr(of, what) for of in told]) for what in ("truth", "of_all", "standard_error")
            )
            print(
                f"{rise:11s} {law:12s} {n:6,d}  {truth:.3f}, {of_all:.3f}   {errors.mean():+.4f} "
                f"({error:.4f})  {errors.std(ddof=1):.4f}  {size:.4f}   "
                f"{sum(of.inside for of in told)} of {len(told)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
