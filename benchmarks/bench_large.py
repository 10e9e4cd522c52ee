"""20,000 correlated genes x 1,000 samples, robust: time, cost per pair against 4,000 genes, peak memory.

    python benchmarks/bench_large.py [--genes 20000] [--design strong]

Each size runs in a process of its own, 4,000 genes before and after, so that the peak memory is its own.
``keep="associated"`` with the default limit on rows.
"""

import argparse
import json
import subprocess
import sys

MEMORY_LIMIT_GIB = 4.0


def measure(n: int, n_genes: int, design: str, memory: float) -> dict[str, float]:
    """Run one size in a fresh process."""
    command = [sys.executable, __file__, "--child", "--genes", str(n_genes), "--samples", str(n)]
    done = subprocess.run(
        [*command, "--design", design, "--memory", str(memory)], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout)


def child(n: int, n_genes: int, design: str, memory: float) -> None:
    import resource
    import time

    from _common import analyse, expression, seconds

    adata = expression(n, n_genes, design)
    before = peak_gib(resource)
    processor = time.process_time()
    taken, result = seconds(lambda: analyse(adata, "robust", memory=memory))
    processor = time.process_time() - processor
    summary = result.summary
    print(
        json.dumps(
            {
                "genes": n_genes,
                "seconds": taken,
                "wall": 1e6 * taken / summary["n_pairs_tested"],
                "processor": 1e6 * processor / summary["n_pairs_tested"],
                "associated": summary["n_associated"] / summary["n_pairs_tested"],
                "n_kept": summary["n_kept"],
                "data_gib": before,
                "peak_gib": peak_gib(resource),
            }
        )
    )


def peak_gib(resource) -> float:
    """Largest resident size of this process so far: kilobytes on Linux, bytes on macOS."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--design", default="strong")
    parser.add_argument("--memory", type=float, default=4e9, help="bytes, as poolproof --memory")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.samples, options.genes, options.design, options.memory)
        return
    small = min(4000, options.genes // 2)
    runs = [
        measure(options.samples, n_genes, options.design, options.memory)
        for n_genes in (small, options.genes, small)
    ]
    for run in runs:
        print(
            f"{run['genes']:6,} genes: {run['seconds']:7.1f} s, {run['wall']:.2f} us per pair "
            f"({run['processor']:.2f} of processor time), "
            f"{run['associated']:.0%} associated, {run['n_kept']:,} rows kept, "
            f"peak {run['peak_gib']:.2f} GiB ({run['data_gib']:.2f} before the run)"
        )
    for clock in ("wall", "processor"):
        cost = runs[1][clock] / min(runs[0][clock], runs[2][clock])
        print(f"cost per pair against {small:,} genes, {clock} time: {cost:.2f} (limit 1)")
    print(f"peak memory: {runs[1]['peak_gib']:.2f} GiB (limit {MEMORY_LIMIT_GIB:.0f})")


if __name__ == "__main__":
    main()
