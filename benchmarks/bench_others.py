"""Against R's mgcv and statsmodels' RESET on the same pairs: pairs per second.

    python benchmarks/bench_others.py [--genes 4000]

poolproof tests all pairs of 4,000 genes x 1,000 samples in one whole run; the others, which take one pair
after the other, get a random sample of the same pairs, and only their fitting is timed. mgcv: the fit of
``gam(y ~ s(x, bs = "cr", k = 6, fx = TRUE))``; RESET: ``linear_reset`` with x^2, x^3 and HC3.
"""

import argparse
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from _common import THREADS, analyse, expression, seconds
from anndata import AnnData
from statsmodels.api import OLS, add_constant
from statsmodels.stats.diagnostic import linear_reset

FIT_IN_R = """
suppressPackageStartupMessages(library(mgcv))
values <- read.csv(commandArgs(trailingOnly = TRUE)[1])
n_pairs <- ncol(values) / 2
fit <- function(i) {
  pair <- data.frame(x = values[[2 * i - 1]], y = values[[2 * i]])
  gam(y ~ s(x, bs = "cr", k = 6, fx = TRUE), data = pair)
}
invisible(fit(1))
cat(system.time(for (i in seq_len(n_pairs)) fit(i))[["elapsed"]])
"""


def mgcv_rate(values: np.ndarray, pairs: np.ndarray) -> float | None:
    """Pairs per second of mgcv, or None where R or mgcv is missing."""
    script = shutil.which("Rscript")
    if script is None or subprocess.run([script, "-e", "library(mgcv)"], capture_output=True).returncode:
        return None
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "pairs.csv"
        pd.DataFrame(values[:, pairs.ravel()]).to_csv(data, index=False)
        code = Path(folder) / "fit.R"
        code.write_text(FIT_IN_R, encoding="utf-8")
        done = subprocess.run([script, code, data], capture_output=True, text=True, check=True)
    return len(pairs) / float(done.stdout)


def reset_rate(values: np.ndarray, pairs: np.ndarray) -> float:
    """Pairs per second of the RESET test."""
    start = time.perf_counter()
    for x, y in pairs:
        linear = OLS(values[:, y], add_constant(values[:, x])).fit()
        linear_reset(linear, power=3, test_type="exog", use_f=False, cov_type="HC3")
    return len(pairs) / (time.perf_counter() - start)


def our_rate(adata: AnnData, test: str) -> float:
    best = min(seconds(lambda: analyse(adata, test))[0] for _ in range(2))
    return adata.n_vars * (adata.n_vars - 1) / best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--genes", type=int, default=4000)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--pairs", type=int, default=300)
    options = parser.parse_args()
    adata = expression(options.samples, options.genes, "weak")
    values = np.asarray(adata.X, dtype=np.float64)
    rng = np.random.default_rng(0)
    pairs = np.stack([rng.choice(options.genes, 2, replace=False) for _ in range(options.pairs)])
    rates = {"mgcv gam": mgcv_rate(values, pairs), "statsmodels RESET": reset_rate(values, pairs)}
    print(
        f"{options.genes:,} genes x {options.samples:,} samples, {THREADS} threads; the others on "
        f"{len(pairs)} pairs"
    )
    for name, rate in rates.items():
        said = f"{rate:12,.0f} pairs/s" if rate else "skipped: needs Rscript with mgcv"
        print(f"{name:19s}{said}")
    for test in ("classical", "robust"):
        ours = our_rate(adata, test)
        ratios = ", ".join(f"{ours / rate:,.0f} x {name}" for name, rate in rates.items() if rate)
        print(f"poolproof {test:9s}{ours:12,.0f} pairs/s = {ratios}", flush=True)


if __name__ == "__main__":
    main()
