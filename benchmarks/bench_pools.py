"""100,000 cells x 20,000 genes into 1,000 pools: time against one pass, and peak memory against the input.

    python benchmarks/bench_pools.py                     reduced: 20,000 cells x 20,000 genes into 200 pools
    python benchmarks/bench_pools.py --cells 100000 --pools 1000            in full, 0.8 GB of counts

One pass is ``matrix.sum()``, which reads the values and not their places; both are the best of three in one
process. Memory is what the process has at most while it pools, beyond what it had before with the matrix in
memory; the input is the bytes of the matrix as it is held (float32 values, int32 places). From a file, the
input is not in memory at all, and the time is not compared: reading and unpacking it is most of the work.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _common import seconds

FILLED = 0.05
WAYS = ("memory", "size", "disk")


def made_up(n_cells: int, n_genes: int, seed: int = 0) -> Any:
    """Counts of which about 5 % are not 0, uneven between genes, in CSR."""
    import numpy as np
    import scipy.sparse as sp

    rng = np.random.default_rng(seed)
    share = rng.beta(0.5, 9.5, n_genes).astype(np.float32)  # of the cells in which a gene is seen; mean 5 %
    genes, ends, step = [], [0], 500
    for low in range(0, n_cells, step):
        seen = rng.random((min(step, n_cells - low), n_genes), dtype=np.float32) < share
        genes.append(np.nonzero(seen)[1].astype(np.int32))
        ends += (ends[-1] + np.cumsum(seen.sum(axis=1))).tolist()
    places = np.concatenate(genes)
    values = rng.geometric(0.5, len(places)).astype(np.float32)
    return sp.csr_matrix((values, places, np.array(ends, dtype=np.int32)), shape=(n_cells, n_genes))


def labelled(matrix: Any, n_pools: int) -> Any:
    import numpy as np
    import pandas as pd
    from anndata import AnnData

    label = np.random.default_rng(1).integers(0, n_pools, matrix.shape[0])
    obs = pd.DataFrame({"pool": label}, index=[f"c{i}" for i in range(matrix.shape[0])])
    return AnnData(matrix, obs=obs, var=pd.DataFrame(index=[f"g{j}" for j in range(matrix.shape[1])]))


def measure(options: argparse.Namespace, way: str) -> dict[str, Any]:
    """Run one way in a fresh process, so that the peak memory is its own."""
    command = [sys.executable, __file__, "--child", way, "--cells", str(options.cells)]
    command += ["--genes", str(options.genes), "--pools", str(options.pools)]
    with tempfile.TemporaryDirectory() as folder:
        command += ["--folder", folder]
        if way == "disk":
            subprocess.run([*command, "--write"], check=True)
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def child(options: argparse.Namespace) -> None:
    import anndata

    from poolproof import pool_cells

    path = Path(options.folder) / "cells.h5ad"
    if options.write:
        labelled(made_up(options.cells, options.genes), options.pools).write_h5ad(path, compression="lzf")
        return
    pool_cells(labelled(made_up(20, 10), 2), by="pool")  # imports
    n_bytes, one_pass, times = 0, 0.0, 1
    if options.child == "disk":
        adata = anndata.read_h5ad(path, backed="r")
        group = adata.file["X"]
        n_bytes = group["data"].size * group["data"].dtype.itemsize + group["indices"].size * 4
    else:
        adata, times = labelled(made_up(options.cells, options.genes), options.pools), 3
        n_bytes = adata.X.data.nbytes + adata.X.indices.nbytes + adata.X.indptr.nbytes
        one_pass = min(seconds(adata.X.sum)[0] for _ in range(3))
    size = options.cells // options.pools
    how = (
        {"size": [1, size // 10, size], "pools": options.pools} if options.child == "size" else {"by": "pool"}
    )
    before = now_mib()
    peak, taken = watch(lambda: [seconds(lambda: pool_cells(adata, **how))[0] for _ in range(times)])
    pooled = pool_cells(adata, **how)
    result = pooled.X.data.nbytes + pooled.X.indices.nbytes
    print(
        json.dumps(
            {
                "seconds": min(taken),
                "one_pass": one_pass,
                "input_mib": n_bytes / 2**20,
                "result_mib": result / 2**20,
                "extra_mib": peak - before,
                "n_pools": pooled.n_obs,
            }
        )
    )


def now_mib() -> float:
    """Resident size of this process (Linux)."""
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def watch(work: Any) -> tuple[float, Any]:
    """The largest resident size while the work is done, looked at every 5 ms, and its result."""
    from threading import Event, Thread

    done, peak = Event(), [now_mib()]

    def look() -> None:
        while not done.is_set():
            peak[0] = max(peak[0], now_mib())
            time.sleep(0.005)

    thread = Thread(target=look)
    thread.start()
    try:
        result = work()
    finally:
        done.set()
        thread.join()
    return peak[0], result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--pools", type=int, default=200)
    parser.add_argument("--ways", default=",".join(WAYS), help="memory, size, disk")
    parser.add_argument("--child", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--write", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options)
        return
    print(f"{options.cells:,} cells x {options.genes:,} genes, {FILLED:.0%} filled, {options.pools:,} pools")
    for way in options.ways.split(","):
        found = measure(options, way)
        ratio = f"{found['seconds'] / found['one_pass']:6.1f} passes" if found["one_pass"] else " " * 13
        with_input = found["extra_mib"] + (0 if way == "disk" else found["input_mib"])
        print(
            f"{way:7s} {found['n_pools']:6,} pools {found['seconds']:7.2f} s {ratio}   input "
            f"{found['input_mib']:6.0f} MiB, result {found['result_mib']:5.0f} MiB, in all "
            f"{with_input / found['input_mib']:.2f} x the input"
        )


if __name__ == "__main__":
    main()
