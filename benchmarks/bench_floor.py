"""What the affine floor and its law cost beside the screen of all pairs of 4,000 genes and 1,000 samples.

    python benchmarks/bench_floor.py
    python benchmarks/bench_floor.py --threads 1 --cpu         on a machine that others use too

In one process: whole runs of ``poolproof.linearity`` without bend share and floor; and the floor of the same
values, of as many genes as are drawn by default and of the most that may be asked for, with the copies that
its law takes. Best of so many of each.
"""

import argparse
import time
from functools import partial

import numpy as np
from _common import DESIGNS, THREADS, analyse, expression, seconds
from anndata import AnnData
from threadpoolctl import threadpool_limits

from poolproof.data.expression import ValueOptions
from poolproof.pairs.analyst import engine_of
from poolproof.pairs.floor import LARGEST, MAX_GENES, affine_floor
from poolproof.pairs.outcome import Engine
from poolproof.pairs.plan import plan_design
from poolproof.pairs.settings import EngineSettings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tests", default="robust,corrected")
    parser.add_argument("--design", default="weak", choices=list(DESIGNS), help="how genes correlate")
    parser.add_argument("--genes", type=int, default=4000)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--cpu", action="store_true", help="processor time of all threads, not wall time")
    options = parser.parse_args()
    clock = time.process_time if options.cpu else time.perf_counter
    print(
        f"{options.genes:,} genes x {options.samples:,} samples, {options.design}, {options.threads} "
        f"threads, {'processor' if options.cpu else 'wall'} time, best of {options.repeats}"
    )
    print("test       screen s   genes of floor   floor s   floor / screen   factors")
    for test in options.tests.split(","):
        adata = expression(options.samples, options.genes, options.design, counts=test == "corrected")
        screen = partial(analyse, adata, test, threads=options.threads, population=False, control=False)
        of_screen = min(seconds(screen, clock)[0] for _ in range(options.repeats))
        engine = made(adata, test)
        for genes in (MAX_GENES, LARGEST):
            floor = partial(
                affine_floor, engine, np.asarray(adata.var_names), max_genes=genes, threads=options.threads
            )
            with threadpool_limits(1):
                runs = [seconds(floor, clock) for _ in range(options.repeats)]
            taken, found = min(of for of, _ in runs), runs[0][1]
            print(
                f"{test:10s} {of_screen:8.2f} {genes:16d} {taken:9.2f} {taken / of_screen:16.2f} "
                f"{found.table['n_factors'].max():9d}  limit 1 {'held' if taken <= of_screen else 'MISSED'}",
                flush=True,
            )


def made(adata: AnnData, test: str) -> Engine:
    """The test of all genes."""
    counts = test == "corrected"
    options = ValueOptions(kind="single-cell" if counts else "bulk", scale="counts" if counts else "additive")
    values, obs = options.read(adata, None)
    design = plan_design(values, obs, test, [], None, [])
    return engine_of(values, design, EngineSettings(test, 0.0, 5, np.float32, 1, 4e9, 0))


if __name__ == "__main__":
    main()
