"""All triples of 2,000 genes x 1,000 samples, k = 5, beside the bare matrix products.

    python benchmarks/bench_triples.py
    python benchmarks/bench_triples.py --threads 1 --cpu      on a machine that others use too
    python benchmarks/bench_triples.py --genes 5000 --skip-bare [--middle 200]     that 5,000 genes finish

For every middle gene, float32, X the genes (G x n), Q its basis (k x n), Q+ with the constant (k + 1 rows):

    A = X Q'                      G x k        what the basis explains
    A Q and a_1 q_1               G x n, twice residuals given the spline, given the line
    E^2 Q+'                       G x (k+1), twice   their squares, smoothed
    A A', a_1 a_1'                G x G        covariances taken away
    W W'                          G x G, twice variances

The screen needs each unordered pair of ends once, and forms the G x G products in tiles of the upper
triangle; the bare products are timed both ways. The screen alone starts from associations that hold all
pairs; the whole run is ``poolproof.triples.screen_triples``, the screen of pairs included, from a table to a
table. All genes share three common factors, so that nearly all pairs are associated. Also: the time of a
kernel test and of a spline GCM test of one triple, each the median of a few.
"""

import argparse
import resource
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
from _common import THREADS, seconds
from bench_large import peak_gib
from threadpoolctl import threadpool_limits

import poolproof
from poolproof.pairs.plan import plan_design
from poolproof.pairs.screening import Associations
from poolproof.triples import citest
from poolproof.triples import every_triple as triples
from poolproof.triples.screening import SIZE, tiles

LIMIT, MEMORY_LIMIT_GIB = 3.0, 2.0
EXPECTED_RATIO = 1e6
K = 5
MIN_R2 = 1e-4


def made_up(n: int, n_genes: int, seed: int = 0) -> pd.DataFrame:
    """Three gamma factors with positive loadings, and noise: samples x genes."""
    rng = np.random.default_rng(seed)
    values = rng.gamma(2.0, 0.5, (n, 3)) @ rng.gamma(1.0, 1.0, (3, n_genes))
    values += rng.normal(size=(n, n_genes)) * values.std(axis=0) + 10
    return pd.DataFrame(values, columns=[f"g{j}" for j in range(n_genes)])


class BareProducts:
    """The float32 products that a screen of triples consists of; shapes as in the text above."""

    def __init__(self, n: int, n_genes: int, *, in_tiles: bool) -> None:
        rng = np.random.default_rng(0)
        self.x = rng.standard_normal((n_genes, n), dtype=np.float32)
        self.q = rng.standard_normal((K, n), dtype=np.float32)
        self.q_plus = rng.standard_normal((K + 1, n), dtype=np.float32)
        self.a = np.empty((n_genes, K), dtype=np.float32)
        self.w = np.empty((n_genes, K + 1), dtype=np.float32)
        self.e = np.empty((n_genes, n), dtype=np.float32)
        self.square = np.empty((n_genes, n_genes), dtype=np.float32)
        self.in_tiles = in_tiles

    def __call__(self) -> None:
        for _ in range(len(self.x)):
            np.matmul(self.x, self.q.T, out=self.a)
            for k in (K, 1):
                (np.matmul if k > 1 else np.multiply)(self.a[:, :k], self.q[:k], out=self.e)
                np.matmul(self.e, self.q_plus.T, out=self.w)
            for columns in (self.a, self.a[:, :1], self.w, self.w):
                self.pairs_of(columns)

    def pairs_of(self, columns: np.ndarray) -> None:
        product = np.matmul if columns.shape[1] > 1 else np.multiply  # the quicker one for one column
        if not self.in_tiles:
            product(columns, columns.T, out=self.square)
            return
        tile = self.square.ravel()[: SIZE * SIZE]  # stays in the cache, as in the screen
        for at in tiles(len(columns)):
            left, right = columns[at.left], columns[at.right]
            product(left, right.T, out=tile[: len(left) * len(right)].reshape(len(left), len(right)))


def of_all_genes(work: Callable[[], None], threads: int) -> Callable[[], None]:
    """The work, with so many threads of linear algebra."""

    def limited() -> None:
        with threadpool_limits(threads):
            work()

    return limited


class Screen:
    """The screen of triples without that of pairs."""

    def __init__(self, data: pd.DataFrame, threads: int) -> None:
        self.expression = poolproof.describe(data, kind="bulk", scale="additive")
        obs = pd.DataFrame(index=self.expression.obs_names)
        self.design = plan_design(self.expression, obs, "robust", [], None, [])
        genes = np.arange(data.shape[1])
        bits = np.packbits(np.ones((len(genes), len(genes)), dtype=bool), axis=1)
        self.all_pairs = Associations(genes, genes, bits)
        self.options = triples.Options(correction="none", k=K, threads=threads)

    def __call__(self) -> triples.Triples:
        return triples.screen_associated(
            self.expression, self.design, self.all_pairs, None, self.options, settings={}
        )


def per_triple(test: Callable[..., citest.TestResult], data: pd.DataFrame, n_triples: int) -> float:
    """Median seconds of a test of one triple."""
    x = data.to_numpy()
    times = [seconds(lambda i=i: test(x[:, i], x[:, i + 1], x[:, i + 2]))[0] for i in range(n_triples)]
    return float(np.median(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--genes", type=int, default=2000)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--cpu", action="store_true", help="processor time of all threads, not wall time")
    parser.add_argument("--middle", type=int, help="only so many middle genes in the whole run, drawn")
    parser.add_argument("--skip-bare", action="store_true", help="only the whole run, once")
    options = parser.parse_args()
    n, n_genes, threads = options.samples, options.genes, options.threads
    clock = time.process_time if options.cpu else time.perf_counter
    data = made_up(n, n_genes)

    def whole() -> triples.Triples:
        return triples.screen_triples(
            data, kind="bulk", scale="additive", min_r2=MIN_R2, k=K, threads=threads, middle=options.middle
        )

    print(
        f"{n_genes:,} genes x {n:,} samples, k = {K}, {threads} threads, "
        f"{'processor' if options.cpu else 'wall'} time, "
        + ("once" if options.skip_bare else f"best of {options.repeats}, in turns")
    )
    work: dict[str, Callable[[], object]] = {"whole screen_triples": whole}
    if not options.skip_bare:
        work["screen of triples alone"] = Screen(data, threads)
        work["bare products, G x G"] = of_all_genes(BareProducts(n, n_genes, in_tiles=False), threads)
        work["bare products, upper tiles"] = of_all_genes(BareProducts(n, n_genes, in_tiles=True), threads)
    best = dict.fromkeys(work, np.inf)
    n_screened = {}
    for _ in range(1 if options.skip_bare else options.repeats):
        for name, task in work.items():
            taken, found = seconds(task, clock)
            best[name] = min(best[name], taken)
            if isinstance(found, triples.Triples):
                n_screened[name] = found.summary["n_screened"]
                peak = peak_gib(resource)
    for name, taken in best.items():
        count = (
            f"{n_screened[name]:14,} triples, {n_screened[name] / taken:.3g} a second"
            if name in n_screened
            else ""
        )
        print(f"{name:28s} {taken:9.2f} s  {count}")
    print(f"peak memory of this process: {peak:.2f} GiB (limit {MEMORY_LIMIT_GIB:.0f})")
    if not options.skip_bare:
        for bare, limit in (("bare products, G x G", LIMIT), ("bare products, upper tiles", None)):
            for name in n_screened:
                ratio = best[name] / best[bare]
                held = f" (limit {limit} {'held' if ratio <= limit else 'MISSED'})" if limit else ""
                print(f"{name} over {bare}: {ratio:.2f}{held}")
    each = best["whole screen_triples"] / n_screened["whole screen_triples"]
    for name, test, count in (("kernel", citest.kernel_test, 5), ("spline GCM", citest.spline_gcm_test, 200)):
        with threadpool_limits(threads):
            taken = per_triple(test, data, count)
        expected = f" (expected over {EXPECTED_RATIO:,.0f})" if name == "kernel" else ""
        print(
            f"{name} test: {taken:.3g} s a triple, {taken / each:,.0f} times that of the whole run{expected}"
        )


if __name__ == "__main__":
    main()
