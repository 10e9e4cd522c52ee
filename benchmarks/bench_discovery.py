"""PC with splines beside causal-learn's PC with the kernel test (KCI): time and skeleton on the same data.

    python benchmarks/bench_discovery.py [--genes 50] [--samples 2000]

The kernel test takes hours on 2,000 samples. It is run on a few sets of each size, and its time is carried
over to the tests that causal-learn's PC asks for on these data (counted with Fisher's test, which is fast;
for more than two given genes the time for two is taken). The least that it can take, all pairs given nothing,
is shown beside it. Skeletons of both are compared on fewer
samples of the same data, where the kernel test is run to its end. Times are of the processor, one thread.
"""

import argparse
import time
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from poolproof.discovery.methods.spline_pc import spline_pc_graph

ALPHA = 0.01
SHAPES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "line": lambda x: x,
    "square": lambda x: x**2,
    "saturating": np.tanh,
    "threshold": lambda x: np.maximum(x, 0),
}


def bent_dag(p: int, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Standardised values and truth ``[cause, effect]``: degree 2, each edge of a random shape."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(p)
    truth = np.zeros((p, p), dtype=bool)
    for a in range(p):
        truth[order[a], order[a + 1 :]] = rng.random(p - a - 1) < 2 / (p - 1)
    values = np.zeros((n, p))
    for gene in order:
        own = 0.7 * rng.normal(size=n)
        for parent in np.flatnonzero(truth[:, gene]):
            part = SHAPES[rng.choice(list(SHAPES))](values[:, parent])
            own += rng.uniform(0.7, 1) * rng.choice([-1, 1]) * (part - part.mean()) / part.std()
        values[:, gene] = (own - own.mean()) / own.std()
    return values, truth


def processor_seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    result = call()
    return time.process_time() - start, result


def quality(skeleton: np.ndarray, truth: np.ndarray) -> str:
    found, true = np.triu(skeleton), np.triu(truth | truth.T)
    hit = (found & true).sum()
    precision, recall = hit / max(found.sum(), 1), hit / true.sum()
    f1 = 2 * hit / (found.sum() + true.sum())
    return f"F1 {f1:.3f} (precision {precision:.3f}, recall {recall:.3f})"


def kernel_pc(values: np.ndarray, test: str) -> tuple[np.ndarray, Counter[int]]:
    """Skeleton of causal-learn's PC, and its tests by the number of given genes."""
    from causallearn.search.ConstraintBased.PC import pc

    found = pc(values, ALPHA, test, show_progress=False)
    sizes: Counter[int] = Counter()
    for key in found.test.pvalue_cache:
        _, _, given = key.partition("|")
        sizes[len(given.split(".")) if given else 0] += 1
    return found.G.graph != 0, sizes


def seconds_of_a_kernel_test(values: np.ndarray, n_given: int, repeats: int) -> float:
    from causallearn.utils.cit import CIT

    test = CIT(values, "kci")
    rng = np.random.default_rng(n_given)
    chosen = [rng.choice(values.shape[1], 2 + n_given, replace=False).tolist() for _ in range(repeats)]
    return float(np.median([processor_seconds(lambda c=c: test(c[0], c[1], c[2:]))[0] for c in chosen]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--genes", type=int, default=50)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--small", type=int, default=300, help="samples on which both are run to the end")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    values, truth = bent_dag(options.genes, options.samples, options.seed)
    names = tuple(f"g{i:03d}" for i in range(options.genes))

    def splines(rows: np.ndarray) -> Any:
        return spline_pc_graph(rows, names, alpha=ALPHA)

    splines(values[:100])  # imports
    ours, graph = processor_seconds(lambda: splines(values))
    print(
        f"{options.genes} genes x {options.samples:,} samples, {truth.sum()} edges, three of four shapes bent"
    )
    print(
        f"spline PC        {ours:10.2f} s  {graph.facts['n_tests']:,} tests  {quality(graph.skeleton, truth)}"
    )

    _, sizes = kernel_pc(values, "fisherz")
    each = {
        k: seconds_of_a_kernel_test(values, k, 5 if k == 0 else 2) for k in sorted({0, 1, 2} & set(sizes))
    }
    least = each[0] * sizes[0]
    theirs = sum(count * each[min(k, max(each))] for k, count in sizes.items())
    counts = ", ".join(f"{sizes[k]:,} given {k}" for k in sorted(sizes))
    times = ", ".join(f"{t:.2f} s given {k}" for k, t in each.items())
    print(f"kernel PC        {theirs:10.0f} s  extrapolated: {counts}; one takes {times}")
    print(f"                 {least:10.0f} s  for its tests given nothing alone")
    print(f"ratio            {theirs / ours:10,.0f}    at least {least / ours:,.0f}")

    few = values[: options.small]
    ours, graph = processor_seconds(lambda: splines(few))
    print(f"the first {options.small} of the samples, both to the end")
    print(f"spline PC        {ours:10.2f} s  {quality(graph.skeleton, truth)}")
    theirs, (skeleton, sizes) = processor_seconds(lambda: kernel_pc(few, "kci"))
    print(f"kernel PC        {theirs:10.0f} s  {quality(skeleton, truth)}, {sizes.total():,} tests")
    print(f"ratio            {theirs / ours:10,.0f}")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    with threadpool_limits(1):
        main()
