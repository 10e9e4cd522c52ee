"""Speed and memory of screens of pairs and triples, beside the bare product and beside another version.

    python benchmarks/bench_versions.py
    python benchmarks/bench_versions.py --against OTHER/bin/python    an older wheel in its own environment
    python benchmarks/bench_versions.py --cases "missing;triples" --against OTHER/bin/python

Processor time on one thread. Every case runs in a process of its own, which times the bare float32 products
before and after the run and takes the better; runs of the other version stand beside them, in turns. Only
public functions are used. ``classical``, ``robust``, ``corrected``: whole runs of ``poolproof.linearity``
without the bend share and the control of split counts; ``strong``: genes of which most pairs are associated;
``missing``: 3 % of values missing; ``triples``: ``screen_triples`` of all triples, over the products of the
upper tiles.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

CASES = {
    "classical": ("classical", "weak"),
    "robust": ("robust", "weak"),
    "corrected": ("corrected", "weak"),
    "classical, strong": ("classical", "strong"),
    "robust, strong": ("robust", "strong"),
    "missing": ("missing", ""),
    "triples": ("triples", ""),
}
WANTED = {"classical": 1.25, "robust": 1.25, "corrected": 1.25, "missing": 20.0}
"""How many times faster than the version before issue 17; 2.5 where nothing else is said."""
N_COLUMNS = {"classical": 5, "robust": 25}


def child(case: str, genes: int, samples: int) -> dict[str, object]:
    """Run one case and say what it took."""
    import time

    import numpy as np
    import scipy
    from _common import BareProduct, analyse, expression, seconds
    from bench_large import peak_gib
    from bench_triples import MIN_R2, BareProducts, K, made_up, of_all_genes
    from threadpoolctl import threadpool_info

    import poolproof
    from poolproof.pairs.count_kernels import COLUMNS

    kind, design = CASES[case]
    alone = {"population": False, "control": False}
    bare = None
    if kind == "triples":
        data = made_up(samples, genes)
        bare = of_all_genes(BareProducts(samples, genes, in_tiles=True), 1)
        options = {"kind": "bulk", "scale": "additive", "min_r2": MIN_R2, "k": K, "threads": 1}
        poolproof.screen_triples(made_up(100, 20), **options)  # what is imported late

        def work():
            return poolproof.screen_triples(data, **options)

    elif kind == "missing":
        values = np.log(expression(samples, genes, "strong").to_df())
        values = np.exp(values).mask(np.random.default_rng(0).random(values.shape) < 0.03)
        options = {"kind": "bulk", "scale": "additive", "test": "robust", "threads": 1, "population": False}
        poolproof.linearity(values.iloc[:, :5], **options)

        def work():
            return poolproof.linearity(values, **options)

    else:
        data = expression(samples, genes, design, counts=kind == "corrected")
        n_columns = N_COLUMNS.get(kind, sum(COLUMNS.values()))
        bare = BareProduct(samples, genes, n_columns, 1)

        def work():
            return analyse(data, kind, threads=1, **alone)

    clock = time.process_time
    before = peak_gib(__import__("resource"))
    products = [seconds(bare, clock)[0]] if bare else []
    taken, found = seconds(work, clock)
    peak = peak_gib(__import__("resource"))
    products += [seconds(bare, clock)[0]] if bare else []
    summary = found.summary
    return {
        "seconds": taken,
        "product": min(products) if products else None,
        "n": summary.get("n_screened") or summary["n_pairs_tested"],
        "share": None if kind == "triples" else summary["n_associated"] / summary["n_pairs_tested"],
        "calls": [summary.get(name) for name in ("n_associated", "n_nonlinear", "n_affine", "n_dependent")],
        "peak": peak,
        "data": before,
        "versions": f"poolproof {poolproof.__version__} in {Path(poolproof.__file__).parent}, "
        f"numpy {np.__version__}, scipy {scipy.__version__}",
        "core": ", ".join(sorted({str(of.get("architecture")) for of in threadpool_info()})),
    }


def measure(python: str, case: str, genes: int, samples: int) -> dict:
    """Run one case in a fresh process of this Python."""
    command = [python, __file__, "--child", case, "--genes", str(genes), "--samples", str(samples)]
    one = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=one)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", help="Python of an environment with another version of poolproof")
    parser.add_argument("--cases", default=";".join(CASES), help="separated by semicolons")
    parser.add_argument("--genes", type=int, help="instead of 4,000 (triples 2,000, missing 600)")
    parser.add_argument("--samples", type=int, help="instead of 1,000 (missing 173)")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(options.child, options.genes, options.samples)))
        return
    pythons = [sys.executable, *([options.against] if options.against else [])]
    print(f"Python {platform.python_version()}, {platform.machine()}; one thread, processor time")
    told = False
    for case in options.cases.split(";"):
        genes = options.genes or {"missing": 600, "triples": 2000}.get(case, 4000)
        samples = options.samples or (173 if case == "missing" else 1000)
        runs: list[list[dict]] = [[] for _ in pythons]
        for _ in range(options.repeats):
            for of, python in zip(runs, pythons, strict=True):
                of.append(measure(python, case, genes, samples))
        best = [min(of, key=lambda run: run["seconds"]) for of in runs]
        if not told:
            for run in best:
                print(f"  {run['versions']}; cores {run['core']}")
            told = True
        line = f"{case:18s} {genes:,} x {samples:,}:"
        for run in best:
            per = 1e9 * run["seconds"] / run["n"]
            line += f" {run['seconds']:.2f} s ({per:,.1f} ns each, peak {run['peak']:.2f} GiB"
            line += f", {run['seconds'] / run['product']:.2f} x product)" if run["product"] else ")"
        if len(best) == 2:
            faster = best[1]["seconds"] / best[0]["seconds"]
            wanted = WANTED.get(case, 2.5)
            line += f"; {faster:.2f} x faster (asked {wanted}: {'held' if faster >= wanted else 'MISSED'})"
            line += f", peak {best[0]['peak'] / best[1]['peak']:.2f} x"
            line += (
                ""
                if best[0]["calls"] == best[1]["calls"]
                else f", calls {best[0]['calls']}, {best[1]['calls']}"
            )
        print(line, flush=True)


if __name__ == "__main__":
    main()
