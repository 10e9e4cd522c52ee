"""All triples by Gram matrices beside the classical screen of all pairs of the same matrix.

    python benchmarks/bench_gram.py
    python benchmarks/bench_gram.py --genes 20000 --repeats 1
    python benchmarks/bench_gram.py --threads 1 --cpu         on a machine that others use too

In turns in one process, best of each: the screen of all ordered pairs by the classical test alone, from
values in memory to calls (no table, no population); and a whole run of
``poolproof.triples.pooling_distortion`` of the same values in float32. The triples are all pairs of other
genes, for every middle gene.
"""

import argparse
import resource
import time

import numpy as np
from _common import DESIGNS, THREADS, expression, seconds
from anndata import AnnData
from bench_large import peak_gib

from poolproof.data.expression import ValueOptions
from poolproof.pairs.analyst import Analyst
from poolproof.pairs.plan import Task, plan_design
from poolproof.pairs.screening import Rule, Screen
from poolproof.pairs.settings import EngineSettings
from poolproof.triples import Distortion, pooling_distortion

LIMIT, MEMORY_LIMIT_GIB = 1.5, 4.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--design", default="weak", choices=list(DESIGNS), help="how genes correlate")
    parser.add_argument("--genes", type=int, default=4000)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--cpu", action="store_true", help="processor time of all threads, not wall time")
    options = parser.parse_args()
    clock = time.process_time if options.cpu else time.perf_counter
    adata = expression(options.samples, options.genes, options.design)
    pairs, triples = [], []
    for _ in range(options.repeats):
        triples.append(seconds(lambda: distortion(adata, options.threads), clock))
        pairs.append(seconds(lambda: screen(adata, options.threads), clock)[0])
    found, taken = triples[0][1], min(of for of, _ in triples)
    ratio, memory = taken / min(pairs), peak_gib(resource)
    print(
        f"{options.genes:,} genes x {options.samples:,} samples, {options.design}, {options.threads} "
        f"threads, {'processor' if options.cpu else 'wall'} time, best of {options.repeats}"
    )
    print(f"classical screen     {min(pairs):9.1f} s")
    print(f"all triples by Gram  {taken:9.1f} s  {found.summary['n_triples']:,} triples")
    print(f"ratio                {ratio:9.2f}    limit {LIMIT} {'held' if ratio <= LIMIT else 'MISSED'}")
    held = "held" if memory <= MEMORY_LIMIT_GIB else "MISSED"
    print(f"peak memory of both  {memory:9.2f} GiB, limit {MEMORY_LIMIT_GIB} {held}")
    print(found.sentence)


def distortion(adata: AnnData, threads: int) -> Distortion:
    """All triples."""
    return pooling_distortion(adata, kind="bulk", scale="additive", correction="none", threads=threads)


def screen(adata: AnnData, threads: int) -> Screen:
    """All pairs."""
    values, obs = ValueOptions(kind="bulk", scale="additive").read(adata, None)
    design = plan_design(values, obs, "classical", [], None, [])
    task = Task(np.arange(adata.n_vars), None, False, ())
    settings = EngineSettings("classical", 0.0, 5, np.float32, threads, 4e9, 0)
    analyst = Analyst(values, task, Rule(0.05, 0.1, 0.02), settings)
    return analyst.screen(analyst.engine(design), lambda n: None)


if __name__ == "__main__":
    main()
