"""How much pooling moves partial correlations, over every triple of genes (method 8.6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, Protocol

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from scipy import stats

from .. import _names as names
from .._arrays import in_threads
from .._checks import InputError, check_choice, check_threads, check_whole, printable
from .._docs import texts_of
from .._notebook import summary_html
from .._phases import phase
from ..basis import N_COLUMNS
from ..data.expression import Expression, ValueOptions, describe
from ..pairs.count_engine import CountTest
from ..pairs.design import Design
from ..pairs.every_pair import linearity
from ..pairs.plan import as_list, choose_test, plan_design
from .choice import middle_genes
from .count_gram import CountGram
from .gram import BLOCK, Sums
from .score_gram import ScoreGram

NOTEBOOK_COLUMNS = (
    "gene",
    "rms_distortion",
    "rms_distortion_low",
    "rms_distortion_high",
    "rms_partial",
    "n_triples",
    "status",
)
SMALL = 20_000_000
"""Up to so many triples, all is done in float64."""
LEVEL = 0.05
"""One less the coverage of the intervals."""


@dataclass(frozen=True, eq=False, repr=False)
class Distortion:
    """How much pooling moves partial correlations, beside how large they are."""

    table: pd.DataFrame
    """One row per middle gene; columns as ``poolproof._names.DISTORTION_COLUMNS``."""
    summary: dict[str, Any]
    """The entry ``triples.distortion`` of verdict.json."""
    settings: dict[str, Any]
    """All options, defaults filled in."""
    seed: int
    """Of the folds of the samples."""
    warnings: tuple[str, ...]
    """What was left out, and why."""

    @property
    def sentence(self) -> str:
        """The finding in one sentence."""
        s = self.summary
        moved, size = s["rms_distortion"], s["rms_partial"]
        if moved["estimate"] is None or size["estimate"] is None:
            return "distortion over all triples not measured: no gene could be conditioned on"
        what = "pooling" if self.settings["kind"] == "single-cell" else "further pooling"
        return (
            f"over all {s['n_triples']:,} triples, associated or not, {what} moves partial correlations by "
            f"{_with_interval(moved)} where they are {_with_interval(size)} (root mean squares)"
        )

    def __str__(self) -> str:
        return self.sentence

    __repr__ = __str__

    def _repr_html_(self) -> str:
        most = self.table.sort_values("rms_distortion", ascending=False, kind="stable")
        return summary_html(
            "Distortion by pooling",
            [self.sentence],
            most,
            self.warnings,
            columns=NOTEBOOK_COLUMNS,
            rows="most distorted",
        )


class Gram(Protocol):
    """Data ready for sums over all triples of some middle genes."""

    n_folds: int
    n_samples: int
    """Samples used."""
    n_left_out: int
    """Samples in levels that are too small for folds."""
    testable: np.ndarray
    """Genes that are ends, shape ``(G,)``."""
    status: np.ndarray
    """Of each gene as the middle gene, as far as it is known before."""

    def blocks(self, middle: np.ndarray, size: int) -> list[np.ndarray]:
        """Middle genes that are done together."""

    def sums(self, middle: np.ndarray) -> tuple[Sums, np.ndarray]:
        """Sums over all pairs of ends for some middle genes, and their status."""


@texts_of(describe, linearity)
def pooling_distortion(
    adata: AnnData | pd.DataFrame | Expression | str | PathLike[str],
    *,
    middle: Sequence[str] | None = None,
    correction: str = "auto",
    within: str | Sequence[str] | None = None,
    replicate: str | None = None,
    covariates: str | Sequence[str] = (),
    size_factors: str = "auto",
    layer: str | None = None,
    kind: str = "auto",
    scale: str = "auto",
    log_base: float | str | None = None,
    log_offset: float | None = None,
    gene_column: str | None = None,
    overdispersion: float = 0.0,
    k: int = N_COLUMNS,
    dtype: type = np.float32,
    seed: int = 0,
    threads: int | None = None,
    memory: float = 4e9,
    progress: bool = False,
    obs: pd.DataFrame | None = None,
) -> Distortion:
    """Say by how much pooling moves partial correlations, over every triple of genes.

    Parameters
    ----------
    adata
        Samples or cells x genes: AnnData, DataFrame, the path of a file, or an
        :class:`~poolproof.data.expression.Expression`.
    middle
        Names of middle genes; None: all.
    correction
        ``poisson``: counts of molecules, sampling noise removed by factorial moments; ``none``: residuals of
        depth-normalised values given a spline in the middle gene; ``auto``: as the test of pairs.
    within, replicate, covariates
        As for :func:`poolproof.linearity`. Levels that are too small to be cut into folds are left out.
    size_factors, layer, kind, scale, log_base, log_offset, gene_column
        See :func:`poolproof.describe`.
    overdispersion
        See :func:`poolproof.linearity`; for ``poisson``.
    k
        Columns of a spline basis, the linear one included; fewer where there are few samples.
    dtype
        Of the products.
    seed
        Of the folds of the samples.
    threads, memory, progress, obs
        See :func:`poolproof.linearity`.

    Returns
    -------
    Distortion

    Raises
    ------
    InputError
        An option does not fit the data; see :func:`poolproof.describe` for the values themselves.

    Notes
    -----
    Sums of many cells show linear partial correlations, cells those given a curve. For ends x, z and the
    middle gene y they differ by ``s_x's_z / (v_x v_z)^(1/2)``, s the slopes on the bends of y and v the
    variance that a line in y leaves (method 8.6). The figures are root mean squares over all x and z, where
    a triple weighs ``v_x v_z``; for partial correlations given the curve, v is what the curve leaves.
    Squares of estimates are too large by their noise: so the samples are cut into up to 8 folds, of whole
    replicates where there are any, and the factors of every product come from different folds. A mean
    square can then be below 0, by chance; its root is given as 0. A bend that one or two samples carry is
    not seen twice and does not count. Intervals: jackknife over folds, Student's t.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = rng.gamma(2.0, size=5000)
    >>> data = pd.DataFrame({"X": np.tanh(y) + 0.15 * rng.normal(size=5000), "Y": y,
    ...                      "Z": y**2 / 5 + 0.2 * rng.normal(size=5000)})
    >>> result = pooling_distortion(data, kind="bulk", scale="additive", middle=["Y"])
    >>> result.table[["gene", "rms_distortion", "rms_partial"]].round(1).to_dict("records")
    [{'gene': 'Y', 'rms_distortion': 0.5, 'rms_partial': 0.0}]
    """
    check_choice("correction", correction, ("auto", *names.CORRECTIONS))
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise InputError(f"dtype must be float32 or float64; found {printable(dtype, 40)}")
    k = check_whole("k", k, 2)
    expression, obs = ValueOptions(layer, kind, scale, log_base, log_offset, size_factors, gene_column).read(
        adata, obs
    )
    if correction == "poisson" and expression.scale_tested != "counts":
        raise InputError(
            f"--correction poisson needs counts; found values on the {expression.scale} scale; use none"
        )
    test = choose_test(expression, {"auto": "auto", "none": "robust", "poisson": "corrected"}[correction])
    design = plan_design(expression, obs, test, as_list(within), replicate, as_list(covariates))
    chosen = None
    if middle is not None:
        if isinstance(middle, (int, np.integer)):
            raise InputError(f"expected names of middle genes; found {printable(middle)}")
        at, _ = middle_genes(expression, middle)
        chosen = np.asarray(at)
    return distortion_of(
        expression,
        design,
        chosen,
        correction="poisson" if test == "corrected" else "none",
        overdispersion=overdispersion,
        k=k,
        dtype=dtype,
        seed=seed,
        threads=check_threads(threads),
        memory=memory,
        progress=progress,
    )


def distortion_of(
    expression: Expression,
    design: Design,
    middle: np.ndarray | None = None,
    *,
    correction: str,
    overdispersion: float = 0.0,
    k: int = N_COLUMNS,
    dtype: type = np.float32,
    seed: int = 0,
    threads: int = 1,
    memory: float = 4e9,
    progress: bool = False,
) -> Distortion:
    """Measure the distortion of values in a design; ``middle``: positions of middle genes, None: all."""
    order = np.argsort(expression.genes.astype(str), kind="stable")
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    if len(place if middle is None else middle) * len(order) ** 2 / 2 <= SMALL:
        dtype = np.float64
    matrix = expression.matrix.tocsc() if sp.issparse(expression.matrix) else expression.matrix
    matrix = matrix if (order == np.arange(len(order))).all() else matrix[:, order]
    gram = _gram(expression, matrix, design, correction, overdispersion, k, dtype, memory, seed)
    wanted = np.sort(place if middle is None else place[middle])
    blocks = gram.blocks(wanted[gram.status[wanted] == names.OK], BLOCK)
    with phase("distortion", len(wanted), unit="middle gene", show=progress) as report:

        def work(block: np.ndarray) -> tuple[Sums, np.ndarray]:
            found = gram.sums(block)
            report(len(block))
            return found

        found = in_threads(work, blocks, threads)
    status = gram.status.copy()
    widths = {name: getattr(found[0][0], name).shape[1] if found else 1 for name in Sums.__dataclass_fields__}
    sums = {name: np.full((len(order), width), np.nan) for name, width in widths.items()}
    for block, (part, block_status) in zip(blocks, found, strict=True):
        carried = np.isfinite(part.moved[:, 0]) | (block_status != names.OK)
        status[block] = np.where(carried, block_status, names.TOO_FEW_SAMPLES)
        for name, values in sums.items():
            values[block] = getattr(part, name)
    for values in sums.values():
        values[status != names.OK] = np.nan
    n_ends = int(gram.testable.sum()) - gram.testable
    n_triples = n_ends * (n_ends - 1) // 2
    table = _table(expression, order, status, n_triples, sums)
    return Distortion(
        table=table.iloc[place if middle is None else place[middle]].reset_index(drop=True),
        summary=_summary(gram, status[wanted], n_triples[wanted], sums, correction, k),
        settings={
            **expression.settings,
            "correction": correction,
            "k": k if correction == "none" else None,
            "overdispersion": overdispersion if correction == "poisson" else None,
            "dtype": np.dtype(dtype).name,
        },
        seed=seed,
        warnings=_left_out(gram),
    )


def _gram(
    expression: Expression,
    matrix: np.ndarray | sp.csc_matrix,
    design: Design,
    correction: str,
    overdispersion: float,
    k: int,
    dtype: type,
    memory: float,
    seed: int,
) -> Gram:
    if correction == "poisson":
        total, known = expression.count_depth()
        test = CountTest(matrix, total, known, design, overdispersion=overdispersion, dtype=dtype, memory=0.0)
        return CountGram(test, matrix, dtype=dtype, memory=memory / 2, seed=seed)
    factors = expression.size_factors
    return ScoreGram(matrix, factors, design, k=k, dtype=dtype, memory=memory / 2, seed=seed)


def _table(
    expression: Expression,
    order: np.ndarray,
    status: np.ndarray,
    n_triples: np.ndarray,
    sums: dict[str, np.ndarray],
) -> pd.DataFrame:
    moved, moved_error = mean_square(sums["moved"], sums["line"])
    partial, partial_error = mean_square(sums["partial"], sums["curve"])
    columns: dict[str, Any] = {"gene": expression.genes[order], "symbol": expression.symbols[order]}
    for name, value, error in (("distortion", moved, moved_error), ("partial", partial, partial_error)):
        low, high = _reach(value, error, sums["moved" if name == "distortion" else name].shape[1] - 1)
        columns |= {f"rms_{name}": _root(value), f"rms_{name}_low": low, f"rms_{name}_high": high}
    columns |= {"square_distortion": moved, "square_distortion_se": moved_error}
    columns["n_triples"] = np.where(status == names.OK, n_triples, 0)
    columns["status"] = pd.Categorical(status, categories=names.TRIPLE_STATUSES)
    return pd.DataFrame(columns)


def mean_square(above: np.ndarray, below: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ratios of sums and their standard errors, by leaving out one fold at a time.

    Parameters
    ----------
    above, below
        Of all folds first, then without each, shape ``(..., 1 + B)``.

    Examples
    --------
    >>> value, error = mean_square(np.array([2.0, 1.0, 2.0, 3.0]), np.array([4.0, 4.0, 4.0, 4.0]))
    >>> float(value), float(error.round(3))
    (0.5, 0.289)
    """
    ratio = np.where(below > 0, above / np.where(below > 0, below, 1.0), np.nan)
    left_out = ratio[..., 1:]
    n_folds = left_out.shape[-1]
    if n_folds < 2:
        return ratio[..., 0], np.full(ratio.shape[:-1], np.nan)
    spread = (left_out - left_out.mean(axis=-1, keepdims=True)) ** 2
    return ratio[..., 0], np.sqrt((n_folds - 1) / n_folds * spread.sum(axis=-1))


def _reach(value: np.ndarray, error: np.ndarray, n_folds: int) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the interval of the root mean square."""
    t = stats.t.ppf(1 - LEVEL / 2, max(n_folds - 1, 1))
    return _root(value - t * error), _root(value + t * error)


def _root(square: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(square, 0.0))


def _summary(
    gram: Gram,
    status: np.ndarray,
    n_triples: np.ndarray,
    sums: dict[str, np.ndarray],
    correction: str,
    k: int,
) -> dict[str, Any]:
    total = {name: np.nansum(values, axis=0) for name, values in sums.items()}
    lost = [np.isnan(values).all(axis=0) for values in sums.values()]
    for values, none in zip(total.values(), lost, strict=True):
        values[none] = np.nan
    used = status == names.OK
    return {
        "rms_distortion": _entry(total["moved"], total["line"]),
        "rms_partial": _entry(total["partial"], total["curve"]),
        "n_middle": int(used.sum()),
        "n_triples": int(n_triples[used].sum()),
        "n_samples": gram.n_samples,
        "n_folds": gram.n_folds,
        "correction": correction,
        "k": k if correction == "none" else None,
    }


def _entry(above: np.ndarray, below: np.ndarray) -> dict[str, float | None]:
    value, error = mean_square(above, below)
    low, high = _reach(value, error, len(above) - 1)
    numbers = {"estimate": _root(value), "low": low, "high": high}
    return {name: float(of) if np.isfinite(of) else None for name, of in numbers.items()}


def _left_out(gram: Gram) -> tuple[str, ...]:
    if not gram.n_left_out or not gram.n_samples:
        return ()
    return (
        f"distortion over all triples leaves out {gram.n_left_out:,} samples, in levels too small to be cut "
        f"into {gram.n_folds} folds",
    )


def _with_interval(of: dict[str, float | None]) -> str:
    if of["low"] is None or of["high"] is None:
        return f"{of['estimate']:.3f}"
    return f"{of['estimate']:.3f} ({of['low']:.3f} to {of['high']:.3f})"
