"""What tools leave on data by which rows are known as cells or as pools: a table, and what it says of one.

Values alone do not tell: sums of nine cells (plate pools of cell lines) had 74 % zeros and a median depth of
16,000, as single cells have. So a mark decides first, and without one nothing is certain.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .._checks import printable

BULK, SINGLE_CELL = "bulk", "single-cell"


@dataclass(frozen=True)
class Mark:
    """One trace of a tool."""

    place: str
    """``obs`` or ``uns`` (a key), ``layers`` (any), ``layer`` (the one taken), ``names`` (of rows) or
    ``format`` (of the file)."""
    pattern: str
    """Regular expression that the whole name must match, whatever its case."""
    kind: str
    """What rows with this mark are: ``bulk`` or ``single-cell``."""
    tool: str
    """Who writes it, with the version that was looked at."""
    source: str
    """Where that is documented or done."""
    counts_cells: bool = False
    """The column holds the number of cells of each row: rows are cells where it is 1 throughout."""


MARKS = (
    Mark("obs", "psbulk_cells", BULK, "decoupler 2.2, poolproof", "decoupler.pp.pseudobulk", True),
    Mark("obs", "psbulk_n_cells", BULK, "decoupler 1", "decoupler.get_pseudobulk", True),
    Mark("obs", "psbulk_counts", BULK, "decoupler, poolproof", "decoupler.pp.pseudobulk"),
    Mark("obs", "n_obs_aggregated", BULK, "scanpy 1.11", "scanpy.get.aggregate", True),
    Mark("obs", "grouped", BULK, "metacells 0.9", "metacells.pl.collect_metacells", True),
    Mark("obs", "supercell_size", BULK, "SuperCell", "SuperCell::supercell_GE", True),
    Mark("obs", "pseudo-sizes", BULK, "SEACells 0.3", "SEACells.core.summarize_by_soft_SEACell", True),
    Mark("obs", "ncells", BULK, "scuttle 1.8", "scuttle::aggregateAcrossCells", True),
    Mark(
        "obs",
        "(n|num|number|number_of)_?(of_)?cells(_(pooled|aggregated|per_pool))?|cell_count|metacell_size",
        BULK,
        "muscat and pipelines",
        "muscat::aggregateData",
        True,
    ),
    Mark("uns", "poolproof_pools", BULK, "poolproof", "poolproof.pool_cells"),
    Mark(
        "uns",
        r"(.*[_-])?(aggregat(e|ed|ion)|pseudo_?bulks?|psbulk|metacells?|seacells?|supercells?)([_-].*)?",
        BULK,
        "pipelines",
        "provenance that a pooling step leaves",
    ),
    Mark("obs", "in_tissue", BULK, "Space Ranger, scanpy", "scanpy.read_visium: spots of cells"),
    Mark("uns", "spatial", BULK, "scanpy, squidpy", "scanpy.read_visium: spots of cells"),
    Mark("format", "spots", BULK, "Space Ranger", "the folder spatial/ beside the matrix"),
    Mark("layers", "sum|mean|median|count_nonzero", BULK, "scanpy 1.11", "scanpy.get.aggregate"),
    Mark("layers", "psbulk_props", BULK, "decoupler 2.2", "decoupler.pp.pseudobulk"),
    Mark("layer", "M[su]", BULK, "scVelo", "scvelo.pp.moments: means over neighbours"),
    Mark("layer", ".*(magic|imputed|smoothed|knn).*", BULK, "MAGIC and others", "means over neighbours"),
    Mark("names", r"SEACell[-_ ]?\d+", BULK, "SEACells 0.3", "SEACells.core.summarize_by_SEACell"),
    Mark("names", r"M\d+\.\d\d", BULK, "metacells 0.9", "metacells.pl.collect_metacells"),
    Mark(
        "names",
        r"(.*[_. -])?(pseudo_?bulks?|ps?bulk|meta_?cells?|super_?cells?|mc|pools?)([_. :-]?\d+)?([_. -].*)?",
        BULK,
        "hdWGCNA, SuperCell, Seurat and pipelines",
        "names given to pools",
    ),
    Mark("names", r"bulk([_. -].*|\d+)", BULK, "pipelines", "names given to samples"),
    Mark("names", r"(GTEX|TCGA)-.+|ACH-\d{6}|CDS-\w{6}", BULK, "GTEx, GDC, DepMap", "ids of bulk samples"),
    Mark(
        "format",
        "10x|10x-h5|kallisto-bustools|alevin-fry|parse|long-table",
        SINGLE_CELL,
        "Cell Ranger",
        "a barcode a cell",
    ),
    Mark("obs", "(doublet_score|predicted_doublets?|scrublet.*)", SINGLE_CELL, "Scrublet", "scanpy.pp"),
    Mark("obs", r"scDblFinder[._].*", SINGLE_CELL, "scDblFinder", "scDblFinder::scDblFinder"),
    Mark("obs", "demuxlet_cls|DROPLET[._]TYPE", SINGLE_CELL, "demuxlet", "popscle demuxlet: a droplet a row"),
    Mark(
        "names",
        r"([ACGT]{8,}([-_.:].{1,24})?|.{0,40}[-_.:#][ACGT]{10,}x?([-_.:].{1,12})?)",
        SINGLE_CELL,
        "Cell Ranger, STARsolo 2.7, kallisto|bustools, alevin-fry",
        "barcodes of cells",
    ),
    Mark("names", r"(.*[_. -])?(cell|barcode)s?[_. :-]?\d+", SINGLE_CELL, "pipelines", "names of cells"),
)
"""In the order in which they are tried: marks of pools before marks of cells."""

GROUPS = Mark(
    "names", "", BULK, "scanpy 1.11, decoupler 2.2", "scanpy.get.aggregate, decoupler.pp.pseudobulk"
)
"""Row names that are made of the labels that rows were grouped by: ``donor1_B``."""

CELL_LIKE_SPATIAL = re.compile(r"fov|cell_?area|nucleus_area|cell_?ID|transcript_counts", re.IGNORECASE)
"""Columns of segmented cells (Xenium, CosMx, MERSCOPE): there ``uns['spatial']`` speaks of no spots."""
MOST_NAMES = 0.8
"""Share of the row names that must bear a mark."""
MIXED_SIZES = 1.5
"""Ratio of the ninth to the first decile of pool sizes above which pools are called mixed."""
NO_ZEROS = 0.01
"""Share of zeros below which a matrix of counts is none of single cells."""
FEW_ROWS = 20
"""Fewer rows without a mark of cells are bulk samples."""
MANY_ROWS = 1_000
"""So many rows of mostly zeros are cells, not bulk samples, on whatever scale."""
UMI_DEPTH = 100_000.0
"""Counts with a median total below this look like unique molecules of single cells."""


@dataclass(frozen=True)
class Kind:
    """What rows are, and how that is known."""

    kind: str
    known: bool
    """False if it was guessed from the values: pools may pass for cells."""
    sentences: tuple[str, ...]


def find_marks(
    obs: pd.DataFrame,
    uns: Iterable[str] = (),
    *,
    layers: Iterable[str] = (),
    layer: str | None = None,
    format: str = "",
) -> list[tuple[Mark, str]]:
    """Return the marks that data bear, in the order of the table, each with the name that bears it.

    Examples
    --------
    >>> obs = pd.DataFrame({"psbulk_cells": [25, 30]}, index=["a", "b"])
    >>> [(mark.tool, name) for mark, name in find_marks(obs)]
    [('decoupler 2.2, poolproof', 'psbulk_cells')]
    """
    places = {
        "obs": [str(c) for c in obs.columns],
        "uns": [str(key) for key in uns],
        "layers": [str(name) for name in layers],
        "layer": [layer] if layer else [],
        "format": [format] if format else [],
    }
    names = [str(name) for name in obs.index[:: max(1, len(obs) // 2000)]]
    found = []
    for mark in MARKS:
        pattern = re.compile(mark.pattern, re.IGNORECASE)
        if mark.place == "names":
            bearing = sum(1 for name in names if pattern.fullmatch(name))
            if names and bearing >= MOST_NAMES * len(names):
                found.append((mark, names[0]))
            continue
        for name in places[mark.place]:
            if pattern.fullmatch(name) and not _is_of_segmented_cells(mark, name, places["obs"]):
                found.append((mark, name))
    if _named_by_groups(obs):
        found.append((GROUPS, names[0]))
    return sorted(found, key=lambda item: item[0].kind != BULK)


def _named_by_groups(obs: pd.DataFrame) -> bool:
    """Say whether each row is named by two or more of its labels, as where rows were grouped by them."""
    text = [c for c in obs.columns if not pd.api.types.is_numeric_dtype(obs[c])][:6]
    joined = pd.Series([""] * len(obs), index=obs.index)
    for position, column in enumerate(text):
        labels = obs[column].astype(str)
        joined = labels if not position else joined + "_" + labels
        if position and (joined == obs.index.astype(str)).all():
            return True
    return False


def _is_of_segmented_cells(mark: Mark, name: str, columns: list[str]) -> bool:
    return mark.place == "uns" and name == "spatial" and any(map(CELL_LIKE_SPATIAL.fullmatch, columns))


def decide_kind(
    obs: pd.DataFrame,
    uns: Mapping[str, Any],
    *,
    stated: str = "",
    layers: Iterable[str] = (),
    layer: str | None = None,
    format: str = "",
    counts: bool,
    zero_share: float,
    median_total: float,
) -> Kind:
    """Say whether rows are bulk samples (pools) or single cells: by marks, by what the file says, or a guess.

    Parameters
    ----------
    obs, uns, layers, layer, format
        Where marks are looked for.
    stated
        Kind that ``uns["source"]`` names; empty if none.
    counts
        Whether the values are whole and none is negative.
    zero_share, median_total
        Share of zeros among the values; median of the row sums.
    """
    found = find_marks(obs, uns, layers=layers, layer=layer, format=format)
    said: list[str] = []
    cells_by_size = False
    for mark, name in found:
        if mark.kind != BULK:
            continue
        if mark.counts_cells:
            sizes = pd.to_numeric(obs[name].astype(object), errors="coerce").to_numpy(dtype=np.float64)
            known = sizes[np.isfinite(sizes)]
            if not len(known) or known.max() <= 1:
                cells_by_size |= len(known) > 0 and bool((known == 1).all())
                continue
            said += _mixed(known, name)
        if stated == SINGLE_CELL and mark.place == "names":
            continue
        said.insert(0, _by_mark(mark, name, BULK, SINGLE_CELL))
        return Kind(BULK, True, tuple(said))
    if stated in (BULK, SINGLE_CELL):
        return Kind(stated, True, ())
    values = f"{'whole counts' if counts else 'values that are not counts'}, {zero_share:.0%} zeros"
    values += f", median depth {median_total:,.0f}" if counts else ""
    few_zeros = counts and zero_share < NO_ZEROS
    of_cells = [_by_mark(mark, name, SINGLE_CELL, BULK) for mark, name in found if mark.kind == SINGLE_CELL]
    if of_cells or cells_by_size:
        doubt = f"hardly any value is 0 ({values}), as in pools: pass --kind single-cell if rows are cells"
        said = [*of_cells[:1], *([doubt] if few_zeros else [])]
        return Kind(SINGLE_CELL, not few_zeros, tuple(said))
    if few_zeros:
        return _guess(BULK, f"{values}, and single cells have zeros")
    if len(obs) < FEW_ROWS:
        return _guess(BULK, f"{values}, {len(obs)} rows")
    if counts and (zero_share > 0.5 or median_total < UMI_DEPTH):
        return _guess(SINGLE_CELL, values)
    if not counts and zero_share > 0.5 and len(obs) >= MANY_ROWS:
        return _guess(SINGLE_CELL, f"{values}, {len(obs):,} rows")
    return _guess(BULK, values)


def _by_mark(mark: Mark, name: str, kind: str, other: str) -> str:
    where = {
        "obs": f"obs column {printable(name, 40)!r}",
        "uns": f"uns[{printable(name, 40)!r}]",
        "layers": f"the layer {printable(name, 40)!r}",
        "layer": f"layer {printable(name, 40)!r}",
        "names": f"row names such as {printable(name, 40)!r}",
        "format": f"the format {printable(name, 40)}",
    }[mark.place]
    what = "pools" if kind == BULK else "cells"
    return f"kind taken as {kind}: {where} marks {what} ({mark.tool}); pass --kind {other} if that is wrong"


def _guess(kind: str, reason: str) -> Kind:
    if kind == BULK:
        said = f"kind guessed as bulk: {reason}; pass --kind single-cell if rows are cells"
    else:
        said = (
            f"kind guessed as single-cell: {reason}; sums of a few cells look the same, so the "
            "verdict cannot be compatible; pass --kind single-cell for cells, --kind bulk for pools"
        )
    return Kind(kind, False, (said,))


def _mixed(sizes: np.ndarray, name: str) -> list[str]:
    """A sentence where pools of very different sizes stand in one file."""
    low, high = np.quantile(sizes, [0.1, 0.9])
    if high <= MIXED_SIZES * max(low, 1.0):
        return []
    return [
        f"pools hold {sizes.min():,.0f} to {sizes.max():,.0f} cells (obs column {printable(name, 40)!r}): "
        "pools of many cells vary less, so bends may come from mixing sizes; audit pools of one size"
    ]
