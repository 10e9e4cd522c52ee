"""All pairs of 4,000 genes x 1,000 samples, beside the bare matrix product.

    python benchmarks/bench_pairs.py
    python benchmarks/bench_pairs.py --threads 1 --cpu        on a machine that others use too

Whole runs of ``poolproof.linearity``, from AnnData to the table, against the float32 product of an n x c by
an n x G matrix for every regulator, in turns in one process; best of three of each. c is 5 for the classical
test, 25 for the robust one, and for the corrected one the number of columns that its engine multiplies.
"""

import argparse
import time

from _common import DESIGNS, THREADS, BareProduct, analyse, expression, seconds

from poolproof.pairs.count_kernels import COLUMNS

N_COLUMNS = {"classical": 5, "robust": 25, "corrected": sum(COLUMNS.values())}
LIMITS = {"classical": 2.5, "robust": 3.0, "corrected": 3.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--designs", default=",".join(DESIGNS), help="how genes correlate")
    parser.add_argument("--tests", default=",".join(LIMITS))
    parser.add_argument("--genes", type=int, default=4000)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--cpu", action="store_true", help="processor time of all threads, not wall time")
    options = parser.parse_args()
    n, n_genes, clock = options.samples, options.genes, "processor" if options.cpu else "wall"
    print(
        f"{n_genes:,} genes x {n:,} samples, {options.threads} threads, {clock} time, best of "
        f"{options.repeats}; columns: "
        + ", ".join(f"{test} {columns}" for test, columns in N_COLUMNS.items())
        + f" ({COLUMNS['y']} with y, {COLUMNS['y^2']} with y^2)"
    )
    print("test       genes         associated  product s   whole s   ratio  limit")
    for design in options.designs.split(","):
        for test in options.tests.split(","):
            share, product, whole = measure(test, design, options)
            ratio = whole / product
            print(
                f"{test:10s} {design:12s} {share:11.1%} {product:10.2f} {whole:9.2f} {ratio:7.2f}  "
                f"{LIMITS[test]} {'held' if ratio <= LIMITS[test] else 'MISSED'}",
                flush=True,
            )


def measure(test: str, design: str, options: argparse.Namespace) -> tuple[float, float, float]:
    """Share of pairs that are associated, best time of the bare product, best time of a whole run."""
    clock = time.process_time if options.cpu else time.perf_counter
    adata = expression(options.samples, options.genes, design, counts=test == "corrected")
    product = BareProduct(options.samples, options.genes, N_COLUMNS[test], options.threads)
    products, runs = [], []
    for _ in range(options.repeats):
        products.append(seconds(product, clock)[0])
        taken, result = seconds(lambda: analyse(adata, test, threads=options.threads), clock)
        runs.append(taken)
    share = result.summary["n_associated"] / result.summary["n_pairs_tested"]
    return share, min(products), min(runs)


if __name__ == "__main__":
    main()
