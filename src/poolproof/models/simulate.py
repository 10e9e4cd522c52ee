"""Cells and pools from a model, streamed: never more than a few blocks of cells in memory (method 4, 5)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from .._bars import tqdm
from .._checks import InputError, check_choice, check_threads, check_whole, printable
from ..aggregation import COMPOSITION, MAPPED, Aggregation
from .laws import Law
from .model_file import Model, cell_number, read_model
from .sampler import Arrays, Recipe, Sequencing, draw_pools, shift_of

TRUTH = "poolproof_simulation"
CELLS = "poolproof_cells"
BLOCK_VALUES = 2**19
"""Gene-cells in a block. Random streams go by blocks, so another number gives other draws."""
WORKING_COPIES = 8
"""Arrays of the size of a block that are alive while it is drawn: a bound for the memory estimate."""
LABEL = 200.0
"""Bytes of the name and the columns of obs of a pool or a cell."""
COUNTS = ("poisson", "negative-binomial")


def simulate_pools(
    model: Model | str | Path | Mapping[str, Any],
    *,
    pools: int,
    cells: int | str | Law | None = None,
    heterogeneity: float = 0.0,
    composition: float | None = None,
    counts: str | None = None,
    mean_depth: float | None = None,
    size_factor_cv: float = 0.0,
    dispersion: float = 0.1,
    dropout: float = 0.0,
    keep_cells: bool = False,
    seed: int = 0,
    threads: int | None = None,
    memory: float = 1e9,
    progress: bool = False,
) -> AnnData:
    """Draw cells from a model, pool them, and return the pools with the truth.

    Parameters
    ----------
    model
        A model, or what :func:`poolproof.read_model` reads.
    pools
        Number of pools.
    cells
        Cells in a pool: a number, or a law of whole numbers such as ``"poisson(20)"``, drawn for each pool
        and independent of the cells. None: what the model says.
    heterogeneity
        Variance between pools over that of the noise's law. All cells of a pool share the shift: it is added
        where the noise has the whole line, and a log-normal factor of mean 1 where the noise has a half-line.
        That factor also widens the noise within pools, by 1 + heterogeneity cv^2 on average, cv being the
        law's coefficient of variation: so means of K cells vary by (heterogeneity + (1 + heterogeneity
        cv^2) / K) times the variance. Other noises (finite, bounded, whole numbers) and kernels stay as
        they are.
    composition
        Concentration a of the Dirichlet law, with parameters a times the fractions of the model's cell types,
        from which each pool draws its shares of cell types. None: every pool has the model's fractions. The
        types of the cells are drawn from the shares.
    counts
        ``poisson`` or ``negative-binomial``: counts of molecules of each pool, drawn after the aggregation.
        None: the pooled values themselves.
    mean_depth
        Mean total of a pool's counts: then the rate of a gene is its share of the pool times the depth. None:
        the rate of a gene is its pooled value. Both are multiplied by the size factor of the pool.
    size_factor_cv
        Coefficient of variation of the size factors, log-normal with mean 1.
    dispersion
        Of negative-binomial counts: their variance is m + dispersion m^2 at mean m.
    dropout
        Probability that the value of a gene in a cell is lost (0) before pooling. Children still see it.
    keep_cells
        Return the cells as well, as they were pooled.
    seed
        Of all draws. Pool i is the same whatever ``pools``, ``threads`` and ``memory`` are, and has the same
        cells whatever ``counts`` and ``dropout`` are.
    threads, memory
        Threads (None: all processors), and bytes that may be used for cells and pools.
    progress
        Show a progress bar.

    Returns
    -------
    AnnData, pools x genes of the model:

    - ``X``: pooled values, or their counts; then ``layers["expected"]`` holds the pooled values.
    - ``obs``: ``n_cells``; ``size_factor`` with ``counts``.
    - ``obsm``: ``between``, the standard normal behind the shift of each gene (NaN: not shifted);
      ``composition``, the shares from which the types were drawn; ``type_cells``, the cells of each type.
    - ``uns["poolproof_simulation"]``: ``edges`` (table of regulators and targets), ``cell_types`` (names of
      the columns of ``composition``; ``other`` is what the model's types leave), ``settings`` (JSON: the
      model and all options), ``seed``, ``version``.
    - ``uns["poolproof_cells"]``: with ``keep_cells``, an AnnData of cells with ``pool`` and ``cell_type``.

    A pool without cells is 0 in a sum and NaN in a mean; see :meth:`poolproof.aggregation.Aggregation.pool`.

    Raises
    ------
    InputError
        An option is out of its range or does not fit the model; a drawn value is not finite or outside the
        domain of the aggregation; the result, or a pool that must be held whole (median), is larger than
        ``memory``.

    Examples
    --------
    >>> fork = {
    ...     "name": "fork",
    ...     "genes": {
    ...         "Y": {"noise": "gamma(2, 1)"},
    ...         "X": {"equation": "2*Y + N", "noise": "normal(0, 1)"},
    ...         "Z": {"equation": "Y**2 + N", "noise": "normal(0, 1)"},
    ...     },
    ...     "aggregation": "mean",
    ...     "cells": 50,
    ... }
    >>> adata = simulate_pools(fork, pools=200)
    >>> adata.shape, adata.var_names.tolist()
    ((200, 3), ['Y', 'X', 'Z'])
    >>> adata.uns["poolproof_simulation"]["edges"].to_numpy().tolist()
    [['Y', 'X'], ['Y', 'Z']]
    """
    model = model if isinstance(model, Model) else read_model(model)
    _check_options(pools, heterogeneity, composition, dropout, threads, memory)
    sequencing = _sequencing(counts, mean_depth, size_factor_cv, dispersion, model.aggregation)
    if mean_depth is not None and model.observed != model.scm.gene_names:
        raise InputError(
            "mean_depth is that of all genes; earlier steps of a model with feedback are not seen"
        )
    number = cell_number(model.cells if cells is None else cells)
    recipe = _recipe(model, number, heterogeneity, composition, dropout, sequencing, keep_cells, seed)
    threads = _fit_memory(recipe, pools, check_threads(threads), memory)
    settings = {
        "model": model.to_dict(),
        "pools": int(pools),
        "cells": number if isinstance(number, int) else number.text,
        "heterogeneity": float(heterogeneity),
        "composition": None if composition is None else float(composition),
        "counts": counts,
        "mean_depth": None if mean_depth is None else float(mean_depth),
        "size_factor_cv": float(size_factor_cv),
        "dispersion": float(dispersion) if counts == "negative-binomial" else None,
        "dropout": float(dropout),
    }
    with tqdm(total=pools, desc="pools", unit="pool", disable=not progress, leave=False) as bar:
        drawn = draw_pools(recipe, int(pools), threads, bar.update)
    adata = _labelled(recipe, drawn, settings)
    return adata if model.observed == model.scm.gene_names else adata[:, list(model.observed)].copy()


def _recipe(
    model: Model,
    cells: int | Law,
    heterogeneity: float,
    composition: float | None,
    dropout: float,
    sequencing: Sequencing | None,
    keep_cells: bool,
    seed: int,
) -> Recipe:
    """Fix what the blocks share, and how large they are."""
    scm = model.scm
    genes, types = scm.gene_names, scm.fractions
    if composition is not None and len(types) == 1:
        raise InputError("composition needs a model with cell types; found none under cell_types")
    if heterogeneity and not any(
        shift_of(scm.mechanism(gene, cell_type), heterogeneity) for gene in genes for cell_type in types
    ):
        raise InputError("heterogeneity needs a noise on the line or on a half-line; found none in the model")
    if isinstance(cells, int):
        model.aggregation.check_sizes(np.array([cells]))
    elif model.aggregation.cell_weights is not None:
        raise InputError(f"{model.aggregation.name} needs a fixed number of cells; found {cells.text}")
    if model.aggregation.alike_in:
        raise InputError(
            "pools of cells that are alike cannot be drawn one by one; draw single cells (cells=1, "
            "aggregation sum) and pool them by an assignment"
        )
    at_once = max(1, BLOCK_VALUES // len(genes))
    return Recipe(
        scm,
        genes,
        model.aggregation,
        tuple(types),
        np.array(list(types.values())),
        cells,
        heterogeneity,
        composition,
        dropout,
        sequencing,
        keep_cells,
        seed,
        n_pools=max(1, at_once // max(1, math.ceil(_mean(cells)))),
        n_at_once=2 * at_once,  # a random number of cells seldom needs a second, short part
    )


def _mean(cells: int | Law) -> float:
    return cells if isinstance(cells, int) else cells.mean


def _sequencing(
    counts: str | None,
    mean_depth: float | None,
    size_factor_cv: float,
    dispersion: float,
    aggregation: Aggregation,
) -> Sequencing | None:
    if counts is None:
        if mean_depth is not None or size_factor_cv:
            raise InputError(f"mean_depth and size_factor_cv need counts: {' or '.join(COUNTS)}")
        return None
    check_choice("counts", counts, COUNTS)
    if mean_depth is not None:
        _check_number("mean_depth", mean_depth, above=0.0)
    _check_number("size_factor_cv", size_factor_cv, least=0.0)
    _check_number("dispersion", dispersion, above=0.0)
    if aggregation.kind == MAPPED or (aggregation.kind == COMPOSITION and aggregation.outer):
        raise InputError(f"counts are drawn on the additive scale; found the aggregation {aggregation.name}")
    return Sequencing(counts, mean_depth, size_factor_cv, dispersion)


def _check_options(
    pools: int,
    heterogeneity: float,
    composition: float | None,
    dropout: float,
    threads: int | None,
    memory: float,
) -> None:
    check_whole("pools", pools, 1)
    check_threads(threads)
    _check_number("heterogeneity", heterogeneity, least=0.0)
    if composition is not None:
        _check_number("composition", composition, above=0.0)
    _check_number("memory", memory, above=0.0)
    _check_number("dropout", dropout, least=0.0)
    if dropout > 1:
        raise InputError(f"dropout must lie between 0 and 1; found {dropout:g}")


def _check_number(name: str, value: Any, *, least: float = -math.inf, above: float = -math.inf) -> None:
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < least or value <= above:
        bound = f"above {above:g}" if above > -math.inf else f"of at least {least:g}"
        raise InputError(f"{name} must be a number {bound}; found {printable(value)!r}")


def _fit_memory(recipe: Recipe, pools: int, threads: int, memory: float) -> int:
    """Threads that fit into the memory: it bounds how many blocks are drawn at a time, not their size."""
    row = 8.0 * len(recipe.genes)
    in_block = float(recipe.n_at_once)
    if recipe.holds_cells:
        in_block = max(in_block, recipe.n_pools * _mean(recipe.cells))
    block = WORKING_COPIES * row * in_block
    result = (4 * row + LABEL) * pools
    if recipe.keep_cells:
        result += (3 * row + LABEL) * pools * _mean(recipe.cells)
    if result + block > memory:
        way_out = "; a smaller one needs keep_cells=False" if recipe.keep_cells else ""
        raise InputError(
            f"this simulation needs about {(result + block) / 1e6:,.0f} MB (results {result / 1e6:,.0f}, a "
            f"block of cells {block / 1e6:,.0f}); memory allows {memory / 1e6:,.0f} MB{way_out}"
        )
    return int(max(1, min(threads, (memory - result) // block)))


def _labelled(recipe: Recipe, drawn: Arrays, settings: dict[str, Any]) -> AnnData:
    """The AnnData of pools, with the truth."""
    n_pools = len(drawn["n_cells"])
    obs = pd.DataFrame({"n_cells": drawn["n_cells"]}, index=[f"pool{i}" for i in range(n_pools)])
    adata = AnnData(drawn.get("counts", drawn["pooled"]), obs=obs, var=pd.DataFrame(index=list(recipe.genes)))
    if "counts" in drawn:
        adata.layers["expected"] = drawn["pooled"]
        adata.obs["size_factor"] = drawn["size_factor"]
    if "between" in drawn:
        adata.obsm["between"] = np.where(_is_shifted(recipe), drawn["between"], np.nan)
    for name in ("composition", "type_cells"):
        if name in drawn:
            adata.obsm[name] = drawn[name]
    edges = [(regulator, gene) for gene in recipe.genes for regulator in recipe.scm.parents(gene)]
    adata.uns[TRUTH] = {
        "edges": pd.DataFrame(edges, columns=["regulator", "target"], dtype=object),
        "cell_types": np.array(recipe.types, dtype=object),
        "settings": json.dumps(settings),
        "seed": int(recipe.seed),
        "version": version("poolproof"),
    }
    if recipe.keep_cells:
        adata.uns[CELLS] = _labelled_cells(recipe, drawn)
    return adata


def _is_shifted(recipe: Recipe) -> np.ndarray:
    """Which genes have a noise that differs between pools, in at least one cell type."""
    return np.array(
        [
            any(shift_of(recipe.scm.mechanism(gene, kind), recipe.heterogeneity) for kind in recipe.types)
            for gene in recipe.genes
        ]
    )


def _labelled_cells(recipe: Recipe, drawn: Arrays) -> AnnData:
    pool = np.repeat(np.arange(len(drawn["n_cells"])), drawn["n_cells"])
    types = pd.Categorical(np.array(recipe.types, dtype=object)[drawn["cell_types"]], categories=recipe.types)
    obs = pd.DataFrame({"pool": pool, "cell_type": types}, index=[f"cell{i}" for i in range(len(pool))])
    return AnnData(drawn["cell_values"], obs=obs, var=pd.DataFrame(index=list(recipe.genes)))
