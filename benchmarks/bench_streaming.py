"""Pairs of cells that do not fit into memory: cells per second, peak memory, products and reading alone.

Simulated counts of 2,000 genes with about 100 entries a cell in a zarr folder, made once:
``bench_streaming.py --cells 100000 300000 1000000 --folder DIR``, with ``--test robust`` for the other test.
Each size runs in a process of its own. ``--dask local:2`` runs each twice, with as many threads beside it,
after its workers have started.
"""

import argparse
import importlib
import json
import platform
import resource
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp
from threadpoolctl import threadpool_info

import poolproof
from poolproof.data.backed import open_backed
from poolproof.data.blocks import Blocks
from poolproof.pairs import stream_kernels, stream_score_sums
from poolproof.pairs.workers import clients

N_GENES, N_FACTORS, PART = 2_000, 8, 20_000
LIMIT = 4 * 2**30


def make(path: Path, n_cells: int, n_genes: int) -> None:
    """Counts with eight log-normal factors, depths that vary, and gene means over three decades."""
    rng = np.random.default_rng(0)
    loadings = np.where(rng.random((N_FACTORS, n_genes)) < 0.25, rng.normal(size=(N_FACTORS, n_genes)), 0)
    loadings = (loadings / 2).astype(np.float32)
    mean = rng.lognormal(-4.0, 1.25, n_genes).astype(np.float32)
    parts = []
    for low in range(0, n_cells, PART):
        n = min(PART, n_cells - low)
        factors = rng.standard_normal((n, N_FACTORS), dtype=np.float32)
        rate = np.exp(np.clip(factors @ loadings, -3, 3)) * mean
        rate *= rng.lognormal(0, 0.35, (n, 1)).astype(np.float32)
        parts.append(sp.csr_matrix(rng.poisson(rate).astype(np.uint16)))
    counts = sp.vstack(parts, format="csr").astype(np.float32)
    obs = pd.DataFrame(index=[f"c{i}" for i in range(n_cells)])
    var = pd.DataFrame(index=[f"g{i}" for i in range(n_genes)])
    anndata.AnnData(counts, obs=obs, var=var).write_zarr(path)


def measure(
    path: Path,
    memory: float,
    threads: int,
    n_regulators: int,
    parts: bool = False,
    test: str = "auto",
    dask: str | None = None,
) -> dict[str, float]:
    """One run in this process; regulators are the genes most counted in the first block, the same for all."""
    with open_backed(path) as (adata, _):
        adata.uns["poolproof_place"] = str(path.absolute())
        start = time.process_time()
        blocks = Blocks(adata.X, memory=0)
        n_values = sum(blocks.read(block).nnz for block in range(len(blocks)))
        reading = time.process_time() - start
        total = np.asarray(blocks.read(0)[:PART].sum(axis=0)).ravel()
        most = np.sort(np.argsort(-total, kind="stable")[:n_regulators])
        spent, made = [0.0], [0]

        def timed(values, rows, columns):
            taken = values[rows].T
            begin = time.thread_time()
            found = taken @ columns
            spent[0] += time.thread_time() - begin
            made[0] += taken.nnz * columns.shape[1]
            return found

        stream_kernels.product_of_rows = stream_score_sums.product_of_rows = timed
        with clients(dask) as client:
            if client is not None:  # its workers take seconds to import what they need, once
                client.run(importlib.import_module, "poolproof.pairs.stream_engine")
            start, wall = time.process_time(), time.perf_counter()
            result = poolproof.linearity(
                adata,
                kind="single-cell",
                test=test,
                memory=memory,
                threads=threads,
                client=client,
                regulators=None if n_regulators >= adata.n_vars else list(adata.var_names[most]),
                control=parts,
                population=parts,
                floor=parts,
            )
            seconds, wall = time.process_time() - start, time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "cells": adata.n_obs,
        "regulators": min(n_regulators, adata.n_vars),
        "entries per cell": n_values / adata.n_obs,
        "pairs": result.summary["n_pairs_tested"],
        "associated": result.summary["n_associated"],
        "affine": result.summary["n_affine"],
        "processor seconds": seconds,
        "wall seconds": wall,
        "cells per processor second": adata.n_obs / seconds,
        "over bare products": seconds / spent[0] if spent[0] else float("nan"),
        "over one reading": seconds / reading,
        "products per cell": made[0] / adata.n_obs,
        "products per processor second": made[0] / seconds,
        "peak GiB": peak / 2**30,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cells", type=int, nargs="+", default=[100_000, 300_000])
    parser.add_argument("--genes", type=int, default=N_GENES)
    parser.add_argument("--folder", type=Path, default=Path("bench-streaming"))
    parser.add_argument("--regulators", type=int, default=N_GENES, help="the most counted genes")
    parser.add_argument("--memory", type=float, default=2e9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--parts", action="store_true", help="with bend share, control and floor")
    parser.add_argument("--test", default="auto", choices=["auto", "corrected", "robust", "classical"])
    parser.add_argument("--dask", help="local:N, held against N threads")
    parser.add_argument("--one", type=Path)
    options = parser.parse_args()
    if options.one:
        how = options.threads, options.regulators, options.parts, options.test, options.dask
        print(json.dumps(measure(options.one, options.memory, *how)))
        return
    versions = ", ".join(f"{name} {version(name)}" for name in ("poolproof", "numpy", "scipy", "zarr"))
    cores = {of["architecture"] for of in threadpool_info() if "architecture" in of}
    print(f"{versions}; {platform.machine()}, {', '.join(sorted(cores))}, {options.threads} thread(s)")
    options.folder.mkdir(exist_ok=True)
    rates, per_product = [], []
    for n_cells in options.cells:
        path = options.folder / f"{n_cells}.zarr"
        if not path.exists():
            make(path, n_cells, options.genes)
        found = run_one(path, options, options.threads)
        rates.append(found["cells per processor second"])
        per_product.append(found["products per processor second"])
        show(found)
        assert found["peak GiB"] < LIMIT / 2**30
        if options.dask:
            n = int(options.dask.removeprefix("local:"))
            walls = [run_one(path, options, n, dask)["wall seconds"] for dask in (None, options.dask)]
            print(
                f"{options.dask} {walls[1]:,.1f} s, {n} threads {walls[0]:,.1f} s: {walls[1] / walls[0]:.2f}"
            )
    print(f"cells per second, largest over smallest: {max(rates) / min(rates):.2f} (limit 1.15)")
    ratio = max(per_product) / min(per_product)
    print(f"products per second (more genes can be tested in more cells): {ratio:.2f}")


def run_one(
    path: Path, options: argparse.Namespace, threads: int, dask: str | None = None
) -> dict[str, float]:
    """One run in a process of its own."""
    command = [sys.executable, __file__, "--one", str(path), "--memory", str(options.memory)]
    command += ["--threads", str(threads), "--regulators", str(options.regulators), "--test", options.test]
    command += [*(["--parts"] if options.parts else []), *(["--dask", dask] if dask else [])]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def show(found: dict[str, float]) -> None:
    print("; ".join(f"{name} {value:,.4g}" for name, value in found.items()), flush=True)


if __name__ == "__main__":
    main()
