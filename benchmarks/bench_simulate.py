"""10,000 pools x 10,000 cells x 10 genes: rate and peak memory, beside the bare cost of the random numbers.

    python benchmarks/bench_simulate.py                      reduced: 500 pools
    python benchmarks/bench_simulate.py --pools 10000        in full, about 10^9 gene-cells a run

Each run is a process of its own, so that the peak memory is its own; a tenth of the pools goes first, so that
a memory that grows with the cells shows. The bare cost is that of drawing every gene's noise from its law in
arrays of the same length, with the same number of threads, in the same process and right after the run.
"""

import argparse
import json
import subprocess
import sys
import time
from typing import Any

DESIGNS = {
    "affine": "0.6*{parent} + N",
    "bent": "1 + tanh({parent}) + hill({parent}**2, vmax=2, k=1, n=2) + N",
}
LAWS = ("normal(0, 1)", "gamma(2, 1)", "exponential(1)")


def model(design: str, n_genes: int, cells: int) -> dict[str, Any]:
    """A root, and a tree below it; three laws of noise in turn."""
    genes: dict[str, Any] = {"g0": {"noise": "gamma(2, 1)"}}
    for j in range(1, n_genes):
        equation = DESIGNS[design].format(parent=f"g{(j - 1) // 2}")
        genes[f"g{j}"] = {"equation": equation, "noise": LAWS[j % len(LAWS)]}
    return {"name": design, "genes": genes, "aggregation": "sum", "cells": cells}


def measure(options: argparse.Namespace, pools: int, design: str) -> dict[str, float]:
    """Run one size in a fresh process."""
    command = [sys.executable, __file__, "--child", "--pools", str(pools), "--cells", str(options.cells)]
    command += ["--genes", str(options.genes), "--threads", str(options.threads), "--designs", design]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def child(options: argparse.Namespace) -> None:
    import resource

    from poolproof import read_model, simulate_pools

    recipe = read_model(model(options.designs, options.genes, options.cells))
    simulate_pools(recipe, pools=2, cells=10)  # imports
    before = peak_mib(resource)
    start, processor = time.perf_counter(), time.process_time()
    adata = simulate_pools(recipe, pools=options.pools, threads=options.threads)
    taken, used = time.perf_counter() - start, time.process_time() - processor
    peak = peak_mib(resource)
    bare, bare_used = bare_draws(recipe.scm, options.pools * options.cells, options.threads)
    print(
        json.dumps(
            {
                "values": adata.n_vars * options.pools * options.cells,
                "seconds": taken,
                "processor": used,
                "bare": bare,
                "bare_processor": bare_used,
                "before_mib": before,
                "peak_mib": peak,
            }
        )
    )


def bare_draws(scm: Any, n_cells: int, threads: int) -> tuple[float, float]:
    """Wall and processor time of every gene's noise for so many cells, thrown away as it is drawn."""
    import math

    from poolproof._arrays import in_threads
    from poolproof._random import stream
    from poolproof.models.simulate import BLOCK_VALUES

    laws = [scm.mechanism(gene).noise for gene in scm.genes]
    length = BLOCK_VALUES // len(laws)

    def work(block: int) -> None:
        rng = stream(0, "bare", block)
        for law in laws:
            law.sample(rng, min(length, n_cells - block * length))

    start, processor = time.perf_counter(), time.process_time()
    in_threads(work, range(math.ceil(n_cells / length)), threads)
    return time.perf_counter() - start, time.process_time() - processor


def peak_mib(resource: Any) -> float:
    """Largest resident size of this process so far: kilobytes on Linux, bytes on macOS."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pools", type=int, default=500)
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--genes", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--designs", default=",".join(DESIGNS))
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options)
        return
    print(f"{options.cells:,} cells a pool, {options.genes} genes, {options.threads} threads")
    print("design   pools   gene-cells  seconds  million/s  over bare: wall  processor  peak MiB (before)")
    for design in options.designs.split(","):
        for pools in (max(1, options.pools // 10), options.pools):
            run = measure(options, pools, design)
            print(
                f"{design:7s} {pools:6,} {run['values']:12,} {run['seconds']:8.1f} "
                f"{run['values'] / run['seconds'] / 1e6:10.1f} {run['seconds'] / run['bare']:16.2f} "
                f"{run['processor'] / run['bare_processor']:10.2f} {run['peak_mib']:9.0f} "
                f"({run['before_mib']:.0f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
