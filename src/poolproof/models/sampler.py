"""Blocks of pools: cells drawn from a model, and merged into pools as they are drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._arrays import in_threads
from .._checks import InputError, printable
from .._random import stream
from ..aggregation import Aggregation
from .argument_checks import checked
from .laws import Law
from .mechanisms import Equation, Mechanism
from .scm import SCM

LARGEST_RATE = 1e15

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Sequencing:
    """How counts follow from pooled values."""

    kind: str
    mean_depth: float | None
    size_factor_cv: float
    dispersion: float


@dataclass(frozen=True, eq=False)
class Recipe:
    """All that a block of pools depends on, but its number."""

    scm: SCM
    genes: tuple[str, ...]
    aggregation: Aggregation
    types: tuple[str, ...]
    fractions: np.ndarray
    cells: int | Law
    heterogeneity: float
    composition: float | None
    dropout: float
    sequencing: Sequencing | None
    keep_cells: bool
    seed: int
    n_pools: int
    """Pools in a block."""
    n_at_once: int
    """Cells that are drawn at a time."""

    def stream(self, what: str, block: int) -> np.random.Generator:
        """Random numbers of one kind for one block."""
        return stream(self.seed, "simulate", what, block)

    @property
    def holds_cells(self) -> bool:
        """Whether a block keeps its cells."""
        return self.keep_cells or self.aggregation.merge is None


@dataclass(frozen=True)
class Part:
    """Consecutive cells of a block."""

    pools: np.ndarray
    """Pools that have cells here."""
    starts: np.ndarray
    """First cell of each of them, counted from the first cell of the part."""
    pool_of_cell: np.ndarray
    place: np.ndarray
    """Place of each cell in its pool."""


def draw_pools(recipe: Recipe, pools: int, threads: int, report: Callable[[int], Any]) -> Arrays:
    """Rows of all blocks, one after the other."""

    def work(block: int) -> Arrays:
        wanted = min(recipe.n_pools, pools - block * recipe.n_pools)
        drawn = _first_pools(_one_block(recipe, block), wanted)
        report(wanted)
        return drawn

    blocks = in_threads(work, range(math.ceil(pools / recipe.n_pools)), threads)
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _first_pools(block: Arrays, wanted: int) -> Arrays:
    """The last block is drawn whole too, so that no pool depends on how many are wanted."""
    n_cells = int(block["n_cells"][:wanted].sum())
    return {name: rows[: n_cells if name.startswith("cell_") else wanted] for name, rows in block.items()}


def _one_block(recipe: Recipe, block: int) -> Arrays:
    """Draw the pools of one block: arrays with a row for each pool, or for each cell (``cell_...``)."""
    sizes = _sizes(recipe, block)
    drawn: Arrays = {"n_cells": sizes}
    if recipe.heterogeneity:
        drawn["between"] = recipe.stream("heterogeneity", block).standard_normal(
            (len(sizes), len(recipe.genes))
        )
    if recipe.composition is not None:
        shares = recipe.composition * recipe.fractions
        drawn["composition"] = recipe.stream("composition", block).dirichlet(shares, len(sizes))
    drawn |= _pool_cells(recipe, block, drawn)
    if recipe.sequencing is not None:
        drawn |= _counts(recipe.sequencing, drawn["pooled"], recipe.genes, recipe.stream("counts", block))
    return drawn


def _sizes(recipe: Recipe, block: int) -> np.ndarray:
    if isinstance(recipe.cells, int):
        return np.full(recipe.n_pools, recipe.cells)
    return recipe.cells.sample(recipe.stream("cells in a pool", block), recipe.n_pools).astype(np.int64)


def _pool_cells(recipe: Recipe, block: int, pools: Arrays) -> Arrays:
    """Merge the cells of a block into pools, part by part."""
    sizes, aggregation = pools["n_cells"], recipe.aggregation
    shape = len(sizes), len(recipe.genes)
    merged = np.full(shape, -np.inf if aggregation.merge is np.maximum else 0.0)
    type_cells = np.zeros((len(sizes), len(recipe.types)), dtype=np.int64)
    held, held_types = [np.empty((0, shape[1]))], [np.empty(0, dtype=np.int64)]
    for part, types, cells in _stream_cells(recipe, block, pools):
        if aggregation.merge is not None:
            _merge(merged, cells, part, aggregation, aggregation.merge)
        if recipe.holds_cells:
            held.append(np.column_stack(list(cells.values())))
            held_types.append(types)
        if len(recipe.types) > 1:
            np.add.at(type_cells, (part.pool_of_cell, types), 1)
    if aggregation.merge is not None:
        drawn = {"pooled": aggregation.finish(merged, sizes)}
    else:
        pool_of_cell = np.repeat(np.arange(len(sizes)), sizes)
        drawn = {"pooled": aggregation.pool(np.concatenate(held), pool_of_cell, len(sizes))}
    if len(recipe.types) > 1:
        drawn["type_cells"] = type_cells
    if recipe.keep_cells:
        drawn |= {"cell_values": np.concatenate(held), "cell_types": np.concatenate(held_types)}
    return drawn


def _stream_cells(recipe: Recipe, block: int, pools: Arrays) -> Iterator[tuple[Part, np.ndarray, Arrays]]:
    """Cells of a block as they are measured, part by part, with the index of their type."""
    rng, lost = recipe.stream("cells", block), recipe.stream("dropout", block)
    for part in _parts(pools["n_cells"], recipe.n_at_once):
        types = _draw_types(recipe, rng, part, pools)
        cells = _draw_cells(recipe, rng, part, types, pools.get("between"))
        if recipe.dropout:
            cells = {
                gene: np.where(lost.random(len(values)) < recipe.dropout, 0.0, values)
                for gene, values in cells.items()
            }
        yield part, types, cells


def _parts(sizes: np.ndarray, n_at_once: int) -> Iterator[Part]:
    """Cut the cells of a block, pool after pool, into parts of at most ``n_at_once`` cells."""
    ends = np.cumsum(sizes)
    firsts = ends - sizes
    for low in range(0, int(ends[-1]), n_at_once):
        high = min(low + n_at_once, int(ends[-1]))
        pools = np.flatnonzero((ends > low) & (firsts < high) & (sizes > 0))
        starts = np.maximum(firsts[pools], low)
        lengths = np.minimum(ends[pools], high) - starts
        pool_of_cell = np.repeat(pools, lengths)
        yield Part(pools, starts - low, pool_of_cell, np.arange(low, high) - firsts[pool_of_cell])


def _draw_types(recipe: Recipe, rng: np.random.Generator, part: Part, pools: Arrays) -> np.ndarray:
    """Index of the type of each cell."""
    n_cells = len(part.pool_of_cell)
    if len(recipe.types) == 1:
        return np.zeros(n_cells, dtype=np.int64)
    draws = rng.random(n_cells)
    if "composition" not in pools:
        return np.searchsorted(np.cumsum(recipe.fractions)[:-1], draws, side="right")
    limits = np.cumsum(pools["composition"], axis=1)[:, :-1]
    return (draws[:, None] >= limits[part.pool_of_cell]).sum(axis=1)


def _draw_cells(
    recipe: Recipe, rng: np.random.Generator, part: Part, types: np.ndarray, between: np.ndarray | None
) -> Arrays:
    """Values of each gene in the cells of a part, in the order of the model's genes."""
    if len(recipe.types) == 1:
        drawn = _draw_type(recipe, recipe.types[0], rng, part.pool_of_cell, between)
        return {gene: drawn[gene] for gene in recipe.genes}
    cells = {gene: np.empty(len(types)) for gene in recipe.genes}
    for index, cell_type in enumerate(recipe.types):
        rows = np.flatnonzero(types == index)
        for gene, values in _draw_type(recipe, cell_type, rng, part.pool_of_cell[rows], between).items():
            cells[gene][rows] = values
    return cells


def _draw_type(
    recipe: Recipe,
    cell_type: str,
    rng: np.random.Generator,
    pool_of_cell: np.ndarray,
    between: np.ndarray | None,
) -> Arrays:
    """Cells of one type, parents before children."""
    values: Arrays = {}
    for gene in recipe.scm.order:
        mechanism = recipe.scm.mechanism(gene, cell_type)
        z = None if between is None else between[pool_of_cell, recipe.genes.index(gene)]
        try:
            values[gene] = _draw_gene(mechanism, values, rng, len(pool_of_cell), recipe.heterogeneity, z)
        except InputError as error:
            raise InputError(f"gene {printable(gene, 40)}: {error}") from None
    return values


def _draw_gene(
    mechanism: Mechanism,
    values: Arrays,
    rng: np.random.Generator,
    n_cells: int,
    heterogeneity: float,
    z: np.ndarray | None,
) -> np.ndarray:
    """Values of a gene; z is the standard normal of each cell's pool."""
    shift = None if z is None else shift_of(mechanism, heterogeneity)
    if shift is None or z is None or not isinstance(mechanism, Equation) or mechanism.noise is None:
        return mechanism.sample(values, rng, n_cells)
    noise = shift(mechanism.noise.sample(rng, n_cells), z)
    return checked(np.broadcast_to(mechanism.value(values, noise), (n_cells,)), mechanism.text)


def shift_of(
    mechanism: Mechanism, heterogeneity: float
) -> Callable[[np.ndarray, np.ndarray], np.ndarray] | None:
    """How a standard normal z of a pool moves the noise of its cells; None: not at all.

    Its mean gets the variance ``heterogeneity`` times that of the noise, between pools.
    """
    law = mechanism.noise if isinstance(mechanism, Equation) else None
    if law is None or law.is_constant or not law.is_continuous:
        return None
    low, high = law.support.low, law.support.high
    variance = heterogeneity * law.variance
    if low == -math.inf and high == math.inf:
        sd = math.sqrt(variance)
        return lambda noise, z: noise + sd * z
    if low > -math.inf and high == math.inf:
        sd = math.sqrt(math.log1p(variance / (law.mean - low) ** 2))
        return lambda noise, z: low + (noise - low) * np.exp(sd * z - sd**2 / 2)
    return None


def _merge(merged: np.ndarray, cells: Arrays, part: Part, aggregation: Aggregation, merge: np.ufunc) -> None:
    """Bring the cells of a part into their pools."""
    weights = aggregation.cell_weights
    of_cells = None if weights is None else np.asarray(weights)[part.place]
    for column, (gene, values) in enumerate(cells.items()):
        try:
            on_axis = aggregation.on_axis(values)
        except InputError as error:
            raise InputError(f"gene {printable(gene)}: {error}") from None
        if of_cells is not None:
            on_axis = on_axis * of_cells
        here = merged[part.pools, column]
        merged[part.pools, column] = merge(here, merge.reduceat(on_axis, part.starts))


def _counts(
    sequencing: Sequencing, pooled: np.ndarray, genes: tuple[str, ...], rng: np.random.Generator
) -> Arrays:
    """Counts of each pool; NaN where the pooled value is."""
    if (pooled < 0).any():
        row, column = np.argwhere(pooled < 0)[0]
        raise InputError(
            f"counts need pooled values of at least 0; found {pooled[row, column]:g} for gene "
            f"{printable(genes[column])}"
        )
    sd = math.sqrt(math.log1p(sequencing.size_factor_cv**2))
    size_factor = np.exp(sd * rng.standard_normal(len(pooled)) - sd**2 / 2)
    rate = pooled * size_factor[:, None]
    if sequencing.mean_depth is not None:
        with np.errstate(invalid="ignore"):
            rate = rate / pooled.sum(axis=1, keepdims=True) * sequencing.mean_depth
    if sequencing.kind == "negative-binomial":
        rate = rate * rng.gamma(1 / sequencing.dispersion, sequencing.dispersion, rate.shape)
    if (rate > LARGEST_RATE).any():
        raise InputError(f"counts need rates of at most {LARGEST_RATE:g}; found {np.nanmax(rate):g}")
    counts = rng.poisson(np.nan_to_num(rate)).astype(np.float64)
    return {"counts": np.where(np.isnan(rate), np.nan, counts), "size_factor": size_factor}
