"""What the benchmarks share: made-up expression, the bare product, clocks."""

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from threadpoolctl import threadpool_limits

import poolproof
from poolproof.pairs import Linearity

THREADS = os.cpu_count() or 1
DESIGNS = {"independent": 0.0, "weak": 0.1, "strong": 0.7}
"""Share of a gene's variance, on the log scale, that it has from the common factors."""
N_FACTORS = 5


def rates(n: int, n_genes: int, shared: float, seed: int = 0) -> np.ndarray:
    """Log-normal expression with common factors, mean 1, shape ``(n, n_genes)``, float32."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(n, N_FACTORS)).astype(np.float32)
    loadings = rng.normal(size=(N_FACTORS, n_genes)).astype(np.float32)
    loadings /= np.sqrt((loadings**2).sum(axis=0))
    noise = rng.standard_normal((n, n_genes), dtype=np.float32)
    sd = np.float32(0.5)
    log_rate = sd * (np.sqrt(shared) * (factors @ loadings) + np.sqrt(1 - shared) * noise)
    return np.exp(log_rate - sd**2 / 2).astype(np.float32)


def expression(n: int, n_genes: int, design: str, *, counts: bool = False) -> AnnData:
    """Values on the additive scale, or their Poisson counts with gene means about 5 and varying depth."""
    values = rates(n, n_genes, DESIGNS[design])
    if counts:
        rng = np.random.default_rng(1)
        mean = rng.lognormal(np.log(5), 0.5, n_genes) * rng.lognormal(0, 0.3, (n, 1))
        values = rng.poisson(values * mean).astype(np.float32)
    names = pd.Index([f"g{j}" for j in range(n_genes)])
    return AnnData(values, obs=pd.DataFrame(index=[f"s{i}" for i in range(n)]), var=pd.DataFrame(index=names))


def analyse(adata: AnnData, test: str, *, threads: int = THREADS, **options: Any) -> Linearity:
    """A whole run, from AnnData to the table of associated pairs."""
    counts = test == "corrected"
    return poolproof.linearity(
        adata,
        test=test,
        kind="single-cell" if counts else "bulk",
        scale="counts" if counts else "additive",
        threads=threads,
        **options,
    )


class BareProduct:
    """The float32 products of an n x c by an n x G matrix, for every regulator.

    Regulators are stacked, so that the linear algebra library sees large matrices and may use all threads.
    """

    def __init__(self, n: int, n_genes: int, n_columns: int, threads: int = THREADS) -> None:
        rng = np.random.default_rng(0)
        together = max(1, 1280 // n_columns)
        self.n_columns = n_columns
        self.threads = threads
        self.blocks = [range(low, min(low + together, n_genes)) for low in range(0, n_genes, together)]
        self.targets = rng.standard_normal((n, n_genes), dtype=np.float32)
        self.columns = rng.standard_normal((together * n_columns, n), dtype=np.float32)
        self.product = np.empty((len(self.columns), n_genes), dtype=np.float32)

    def __call__(self) -> None:
        with threadpool_limits(self.threads):
            for block in self.blocks:
                wanted = len(block) * self.n_columns
                np.matmul(self.columns[:wanted], self.targets, out=self.product[:wanted])


def seconds(work: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> tuple[float, Any]:
    """Time that the work takes, and its result."""
    start = clock()
    result = work()
    return clock() - start, result
