"""Pilots of real cells: what a random third says of the whole (method 7c).

    python benchmarks/bench_pilots.py FOLDER --seeds 3

FOLDER holds the h5ad files by the names of the registry. From a third of the cells of each data set the
standard error of the bend share and the number of associated pairs of all cells are predicted, for the same
genes, with an interval of 80 %; then all cells are measured. At most 6,000 cells of a data set are the whole.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from anndata import AnnData

import poolproof
from poolproof.data.datasets import dataset_info, usable
from poolproof.data.expression import describe
from poolproof.pairs.population import restricted
from poolproof.planning.pilot import measure_pilot
from poolproof.planning.prediction import predict_associated, predict_share_error

WHOLE = 6000
GENES = 100
SETS = {
    "sc_kang_pbmc_8donors": ["cell_type"],
    "sc_onek1k_pbmc_40donors": ["cell_type"],
    "sc_papalexi_thp1_crispr": [],
    "sc_mixology_10x_3lines": ["cell_line"],
}


def trial(
    adata: AnnData, within: list[str], seed: int, n_genes: int = GENES, whole: int = WHOLE
) -> pd.DataFrame:
    """Two rows: what was predicted from a third, and what the whole shows."""
    rng = np.random.default_rng([seed, adata.n_obs])
    if adata.n_obs > whole:
        adata = adata[np.sort(rng.choice(adata.n_obs, whole, replace=False))].copy()
    third = adata[np.sort(rng.choice(adata.n_obs, adata.n_obs // 3, replace=False))].copy()
    small = describe(third)
    first = measure_pilot(small, third.obs, within=within, replicate=None, seed=seed, max_cells=whole)
    pilot, chosen = first, first.genes
    if n_genes < len(chosen):
        chosen = chosen[np.sort(rng.choice(len(chosen), n_genes, replace=False))]
        options = {"within": within, "replicate": None, "seed": seed, "max_cells": whole}
        pilot = measure_pilot(small, third.obs, genes=chosen, **options)
    every = describe(adata)
    at = np.flatnonzero(np.isin(every.genes, chosen))
    found = poolproof.linearity(
        restricted(every, at), obs=adata.obs, within=within, each_level=False, control=False, threads=1
    )
    assert found.population is not None
    n = found.population.summary["n_axis"]
    truth = (found.population.summary["standard_error"], found.summary["n_associated"])
    guesses = (predict_share_error(pilot, n), predict_associated(pilot, n))
    rows = [
        {
            "what": what,
            "n": n,
            "pilot": pilot.n_cells,
            "predicted": guess[0],
            "low": guess[1],
            "high": guess[2],
            "whole": value,
        }
        for what, guess, value in zip(
            ("error of the bend share", "associated pairs"), guesses, truth, strict=True
        )
    ]
    return pd.DataFrame(rows).assign(inside=lambda t: (t["low"] <= t["whole"]) & (t["whole"] <= t["high"]))


def tables(folder: Path, seeds: range) -> Iterator[pd.DataFrame]:
    """All trials."""
    for name, within in SETS.items():
        adata = usable(anndata.read_h5ad(folder / f"{name}.h5ad"), dataset_info(name))
        for seed in seeds:
            yield trial(adata, within, seed).assign(data=name, seed=seed)


def main() -> None:
    """Print every trial and how often the whole lies inside."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    done = []
    for table in tables(arguments.folder, range(arguments.seeds)):
        done.append(table)
        print(table.round(4).to_string(index=False, header=len(done) == 1), flush=True)
    told = pd.concat(done).dropna(subset="predicted")
    print(told.groupby("what")["inside"].agg(["sum", "count"]))


if __name__ == "__main__":
    main()
