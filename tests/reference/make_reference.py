"""Make the frozen references: inputs by poolproof, answers by R.

    python tests/reference/make_reference.py

Needs Rscript with mgcv, and the shared data beside the checkout. The tests need neither R nor this script.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

import poolproof
from poolproof.basis import N_COLUMNS, knots, spline_basis
from poolproof.pairs.score_kernels import columns_for

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "pairs")]

SEED = 20240607
DIGITS = "%.17g"


# --- classical, robust and clustered tests: made-up pairs ------------------------------------------------

LAWS = {
    "normal": lambda rng, n: rng.normal(10, 2, n),
    "log-normal": lambda rng, n: rng.lognormal(1, 1, n),
    "uniform": lambda rng, n: rng.uniform(0, 3, n),
    "zeros": lambda rng, n: np.where(rng.random(n) < 0.7, 0.0, rng.lognormal(1, 0.5, n)),
    "rounded": lambda rng, n: rng.normal(2, 0.5, n).round(1),
    "poisson-gamma": lambda rng, n: rng.poisson(rng.gamma(2.0, 2.0, n)).astype(float),
    "rare counts": lambda rng, n: np.where(np.arange(n) < 3, np.arange(n), rng.poisson(0.5, n)).astype(float),
    "three levels": lambda rng, n: np.where(np.arange(n) < 3, np.arange(n), rng.integers(0, 3, n)) * 1.5,
    "five levels": lambda rng, n: np.where(np.arange(n) < 5, np.arange(n), rng.integers(0, 5, n)) ** 2.0,
}
SHAPES = {
    "unrelated": lambda rng, x: rng.normal(size=len(x)),
    "line": lambda rng, x: 3 + 2 * x + x.std() * rng.standard_t(3, len(x)),
    "parabola": lambda rng, x: (x - x.mean()) ** 2 + x.var() * rng.normal(size=len(x)),
    "saturating": lambda rng, x: 50 * x / (1 + np.abs(x)) + rng.normal(size=len(x)),
    "noise grows": lambda rng, x: x * rng.gamma(4.0, 0.25, len(x)) + 0.1 * rng.normal(size=len(x)),
}
COVARIATES = ([], ["age"], ["batch"], ["age", "batch"], ["donor"])
"""``donor`` is the replicate: the clustered test."""


def made_up_pairs() -> pd.DataFrame:
    """Every law of x with every set of covariates, shapes in turn; one row a sample."""
    rng = np.random.default_rng(SEED)
    frames = []
    for i, (law, draw) in enumerate(LAWS.items()):
        for j, covariates in enumerate(COVARIATES):
            shape = list(SHAPES)[(i + j) % len(SHAPES)]
            n = 60 if covariates == ["donor"] else int(rng.choice([16, 25, 40, 70]))
            x = np.array([float(f"{v:.6g}") for v in draw(rng, n)])
            y = np.array([float(f"{v:.10g}") for v in SHAPES[shape](rng, x)])
            frame = {"case": f"{law}, {shape}, {'+'.join(covariates) or 'alone'}", "x": x, "y": y}
            frame["age"] = rng.integers(20, 80, n)
            frame["batch"] = rng.choice(list("ABC"), n)
            # As good as 15 donors of one size at least: fewer take fewer columns.
            frame["donor"] = [f"d{d:02d}" for d in np.sort(rng.permutation(n) % 18)]
            frames.append(pd.DataFrame(frame))
    return pd.concat(frames, ignore_index=True)


def bases(pairs: pd.DataFrame, folder: Path) -> None:
    """Write the basis of every case, row by row as in ``pairs``, and its knots."""
    columns, placed = [], []
    for case, data in pairs.groupby("case", sort=False):
        x = data["x"].to_numpy()
        k = columns_for(len(x), N_COLUMNS)
        basis = spline_basis(x, k)
        columns.append(np.pad(basis, ((0, 0), (0, N_COLUMNS - basis.shape[1]))))
        placed += [{"case": case, "knot": knot} for knot in knots(x, k + 1)]
    names = [f"basis_{c}" for c in range(1, N_COLUMNS + 1)]
    table = pd.DataFrame(np.concatenate(columns), columns=names)
    table.to_csv(folder / "basis.csv", index=False, float_format=DIGITS)
    pd.DataFrame(placed).to_csv(folder / "knots.csv", index=False, float_format=DIGITS)


# --- r2_spline of real pairs ------------------------------------------------------------------------------

FILES = (
    "bulk_ecoli_precise",
    "bulk_geuvadis_lcl_eqtl",
    "bulk_gtex_blood_small",
    "sc_mixology_10x_3lines",
    "sc_onek1k_pbmc_40donors",
)
PER_FILE = 40
STRENGTHS = (0.0, 0.1, 0.3, 0.5, 1.0)
"""Pairs are drawn evenly from these ranges of r2_linear, as far as a file has them."""


def draw_pairs(values: pd.DataFrame, rng: np.random.Generator) -> list[tuple[str, str]]:
    """Draw pairs of genes over all strengths, from at most 400 genes with at least 30 distinct values."""
    enough = values.columns[(values.nunique() >= 30) & ((values != 0).mean() >= 0.1)]
    genes = rng.choice(np.sort(enough), min(400, len(enough)), replace=False)
    r2 = np.corrcoef(values[genes].to_numpy().T) ** 2
    np.fill_diagonal(r2, np.nan)
    chosen: list[tuple[str, str]] = []
    for low, high in zip(STRENGTHS[-2::-1], STRENGTHS[:0:-1], strict=True):
        inside = np.argwhere((r2 >= low) & (r2 < high))
        wanted = (PER_FILE - len(chosen)) // (STRENGTHS.index(low) + 1)  # of the ranges that are left
        taken = rng.choice(inside, min(wanted, len(inside)), replace=False)
        chosen += [(str(genes[a]), str(genes[b])) for a, b in taken]
    return chosen


def real_pairs(folder: Path) -> None:
    """Write, per file, the values and the pairs that R fits."""
    from test_reference_pairs import additive_values

    rng = np.random.default_rng(SEED)
    for name in FILES:
        values = additive_values(name)
        pairs = pd.DataFrame(draw_pairs(values, rng), columns=["regulator", "target"])
        used = sorted({*pairs.regulator, *pairs.target})
        values[used].to_csv(folder / f"{name}.values.csv", index=False, float_format=DIGITS)
        pairs.to_csv(folder / f"{name}.pairs.csv", index=False)


def main() -> None:
    pairs = made_up_pairs()
    pairs.to_csv(HERE / "pairs.csv", index=False)
    with tempfile.TemporaryDirectory() as folder:
        bases(pairs, Path(folder))
        real_pairs(Path(folder))
        subprocess.run(["Rscript", HERE / "reference.R", HERE, folder], check=True)
    print(f"made with poolproof {poolproof.__version__}, numpy {np.__version__}")


if __name__ == "__main__":
    main()
