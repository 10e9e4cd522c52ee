"""Pools of real cells: which cells go together, and what each pool's values are (method 9)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from .._checks import InputError, check_column, check_whole, printable
from .._random import stream
from ..aggregation import OTHER, Aggregation, parse_aggregation
from ..data.io import unique_names
from ..data.scale import guess_scale, is_sparse
from .likeness import SMALLEST, shared_in_sums
from .marks import in_a_pool
from .sums import MATRICES, Members, Seen, pool_counted, pool_matrix

PROVENANCE = "poolproof_pools"
TABLE = "the table of cells (obs)"
SQUARES = Aggregation.power(2.0)
CELLS, COUNTS, SIZE = "psbulk_cells", "psbulk_counts", "psbulk_size"


def pool_cells(
    adata: AnnData,
    *,
    by: str | Sequence[str] = (),
    size: int | Sequence[int] | None = None,
    within: str | Sequence[str] = (),
    pools: int | None = None,
    assignment: str | None = None,
    mask: str | np.ndarray | None = None,
    aggregation: str | Mapping[str, Any] | Aggregation = "sum",
    layer: str | None = None,
    layers: str | Sequence[str] = (),
    min_cells: int = 1,
    keep_cells: bool = False,
    seed: int = 0,
) -> AnnData:
    """Pool the cells of real data: by label, by size, or as metacells that exist already.

    Parameters
    ----------
    adata
        Cells x genes, in memory or backed by an h5ad file; it is not changed. From a file, and from any
        matrix, a few million values are taken at a time.
    by
        Columns of ``obs``: one pool for each combination of their labels.
    size
        Cells in a pool: a number K, or several. Cells are drawn within strata; at one K, a cell is in one
        pool at most. Every K has the same number of pools, in each stratum.
    within
        With ``size``: columns of ``obs`` whose combinations are the strata. Without: one stratum.
    pools
        With ``size``: number of pools of each K, spread over the strata in proportion to what they can give.
        None: as many as the largest K leaves room for.
    assignment
        Column of ``obs`` that names the metacell of each cell. Negative numbers, ``Outliers`` and the like
        mean: in none. A note says how alike the cells of a metacell are.
    mask
        Cells to use: shape ``(n_cells,)``, True or False, or the name of such a column of ``obs``.
    aggregation
        What a pool does to its cells: ``sum``, ``mean``, ``median``, ``{"log1p": "sum"}``, ... or an
        :class:`~poolproof.aggregation.Aggregation`.
    layer
        Layer to pool into ``X``, or ``raw``; None: ``X``.
    layers
        More layers, each pooled in the same way into the layer of the same name.
    min_cells
        With ``by`` and ``assignment``: pools of fewer cells are left out.
    keep_cells
        Store which cells each pool has.
    seed
        Of the draws of ``size``. A draw depends on the seed, the stratum and K, and on the names of the
        stratum's cells, not on their order.

    Returns
    -------
    AnnData, pools x genes:

    - ``X``: sums of whole-number types are int64, all else is float64; sparse (CSR) where the cells are
      sparse and the aggregation is linear. Sums of counts are exact.
    - ``obs``: ``psbulk_cells``, the cells of the pool; ``psbulk_counts``, the total of their values over all
      genes; ``psbulk_size`` (with ``size``), K; and every column of the cells that is constant within all
      pools.
    - ``var``: as in ``adata``.
    - ``uns["poolproof_pools"]``: ``settings`` (JSON), ``seed``, ``version``, ``n_cells``, ``n_cells_used``,
      ``notes`` (sentences: cells and pools left out, doubts about the values) and, with ``keep_cells``,
      ``cells``: a table with the columns ``pool`` and ``cell``.
    - ``uns["source"]``: as in ``adata``, with ``kind`` and ``values`` set to what the pools are.

    Raises
    ------
    InputError
        Not exactly one of ``by``, ``size`` and ``assignment`` is given; a column or layer is not there; no
        pool is left, or fewer than ``pools``; values are infinite, no numbers, outside the domain of the
        aggregation, or too large for exact sums.

    Notes
    -----
    With several K one AnnData holds them all, so that the sizes stay together with how they were drawn:
    ``pooled[pooled.obs["psbulk_size"] == 10]`` takes one. The pools of different K share cells; compare
    them, but do not analyse them as one sample.

    Sums are those of ``scanpy.get.aggregate`` and ``decoupler.pp.pseudobulk``. A mean divides by the cells
    that were used, ``mask`` and missing labels taken into account.

    Median, maximum, geometric and harmonic mean need all cells of a pool at once: of a pool of n cells,
    n rows are then in memory.

    Examples
    --------
    >>> obs = pd.DataFrame({"donor": ["d1", "d1", "d2", None]}, index=["a", "b", "c", "d"])
    >>> cells = AnnData(np.array([[1, 0], [2, 0], [0, 4], [9, 9]]), obs=obs)
    >>> pooled = pool_cells(cells, by="donor")
    >>> pooled.X.tolist(), pooled.obs["psbulk_cells"].to_dict()
    ([[3, 0], [0, 4]], {'d1': 2, 'd2': 1})
    >>> pooled.uns["poolproof_pools"]["notes"].tolist()
    ['1 cells left out: no value in donor']
    """
    aggregation = aggregation if isinstance(aggregation, Aggregation) else parse_aggregation(aggregation)
    if aggregation.alike_in:
        raise InputError("cells that are alike come as an assignment: --assignment COLUMN, aggregation sum")
    by, within, layers = _names(by), _names(within), _names(layers)
    sizes = None if size is None else _check_sizes(size)
    _check_request(by, sizes, within, pools, assignment, min_cells)
    matrix, var = _take(adata, layer)
    notes: list[str] = []
    columns = {"--by": by, "--within": within, "--assignment": _names(assignment or ())}
    usable = _usable(adata.obs, mask, columns, notes)
    if sizes is not None:
        drawn = _draw(adata, within, sizes, pools, usable, seed, notes)
    elif assignment is not None:
        drawn = _labelled(
            adata.obs, (assignment,), usable & _assigned(adata.obs, assignment, notes), min_cells, notes
        )
    else:
        drawn = _labelled(adata.obs, by, usable, min_cells, notes)
    aggregation.check_sizes(drawn.n_cells)
    if aggregation.cell_weights is not None:
        drawn = replace(drawn, weights=np.tile(aggregation.cell_weights, len(drawn.n_cells)))

    seen = Seen()
    pooled, counts = pool_counted(matrix, drawn, aggregation, seen)
    notes += _doubts(seen, adata, layer, aggregation)
    extra = {name: pool_matrix(_take(adata, name)[0], drawn, aggregation, Seen()) for name in layers}
    if assignment is not None:
        notes += _likeness_note(matrix, drawn, aggregation, pooled, assignment)
    obs = _describe_pools(adata.obs, drawn, counts, notes)
    result = AnnData(pooled, obs=obs, var=var.copy(), layers=extra)
    settings = {
        "by": list(by),
        "size": None if sizes is None else [int(k) for k in sizes],
        "within": list(within),
        "pools": None if pools is None else int(pools),
        "assignment": assignment,
        "mask": mask if mask is None or isinstance(mask, str) else "given as an array",
        "aggregation": aggregation.spec,
        "layer": layer,
        "layers": list(layers),
        "min_cells": int(min_cells),
        "keep_cells": bool(keep_cells),
    }
    result.uns[PROVENANCE] = _provenance(adata, drawn, settings, seed, notes, keep_cells)
    result.uns["source"] = _source(adata, layer, aggregation, sizes)
    return result


# --- what is asked for ----------------------------------------------------------------------------------


def _names(columns: str | Sequence[str]) -> tuple[str, ...]:
    return (columns,) if isinstance(columns, str) else tuple(dict.fromkeys(columns))


def _check_sizes(size: Any) -> tuple[int, ...]:
    several = isinstance(size, Iterable) and not isinstance(size, (str, bytes))
    given = list(size) if several else [size]
    if not given:
        raise InputError("size must be a whole number of at least 1, or several; found none")
    return tuple(sorted({check_whole("size", k, 1) for k in given}))


def _check_request(
    by: tuple[str, ...],
    sizes: tuple[int, ...] | None,
    within: tuple[str, ...],
    pools: int | None,
    assignment: str | None,
    min_cells: int,
) -> None:
    given = [
        name for name, there in (("by", by), ("size", sizes), ("assignment", assignment is not None)) if there
    ]
    if len(given) != 1:
        raise InputError(f"expected one of by, size and assignment; found {' and '.join(given) or 'none'}")
    if sizes is None and (within or pools is not None):
        raise InputError("within and pools go with size only; to pool by label, name the columns in by")
    if pools is not None:
        check_whole("pools", pools, 1)
    check_whole("min_cells", min_cells, 1)
    if sizes is not None and min_cells != 1:
        raise InputError("min_cells goes with by and assignment only: with size every pool has size cells")


def _take(adata: AnnData, layer: str | None) -> tuple[Any, pd.DataFrame]:
    """The matrix of a layer, checked for what it is but not for its values; and its table of genes."""
    if not isinstance(adata, AnnData):
        raise InputError(f"expected AnnData; found {type(adata).__name__}")
    var = adata.var
    if layer is None:
        matrix, where = adata.X, "X"
    elif layer == "raw" and adata.raw is not None:
        matrix, var, where = adata.raw.X, adata.raw.var, "raw"
    else:
        check_column(adata.layers, layer, where="the AnnData", option="--layer")
        matrix, where = adata.layers[layer], f"layer {printable(layer, 40)!r}"
    if not is_sparse(matrix) and not isinstance(matrix, MATRICES):
        found = "nothing" if matrix is None else type(matrix).__name__
        raise InputError(f"expected a matrix in {where}; found {found}; name another layer")
    if matrix.dtype.kind not in "biuf":
        raise InputError(f"expected real numbers in {where}; found {printable(matrix.dtype, 30)}")
    if 0 in matrix.shape:
        raise InputError(f"expected cells and genes; found {matrix.shape[0]} x {matrix.shape[1]}")
    return matrix, var


def _usable(
    obs: pd.DataFrame, mask: str | np.ndarray | None, columns: Mapping[str, Sequence[str]], notes: list[str]
) -> np.ndarray:
    """Cells that the mask lets through and that have a value in every column, shape ``(n_cells,)``."""
    if not obs.columns.is_unique:
        raise InputError(f"expected columns of {TABLE} with unique names; found some twice; rename them")
    for option, names in columns.items():
        for name in names:
            check_column(obs.columns, name, where=TABLE, option=option)
    usable = _mask(obs, mask)
    if not usable.all():
        notes.append(f"{int((~usable).sum()):,} cells left out: the mask excludes them")
    for name in (name for names in columns.values() for name in names):
        missing = usable & obs[name].isna().to_numpy()
        if missing.any():
            notes.append(f"{int(missing.sum()):,} cells left out: no value in {printable(name, 40)}")
        usable = usable & ~missing
    return usable


def _mask(obs: pd.DataFrame, mask: str | np.ndarray | None) -> np.ndarray:
    if mask is None:
        return np.ones(len(obs), dtype=bool)
    where = "mask"
    if isinstance(mask, str):
        check_column(obs.columns, mask, where=TABLE, option="--mask")
        where = f"the mask {printable(mask, 40)!r}"
        mask = obs[mask].to_numpy(dtype=object)
    given = np.asarray(mask, dtype=object)
    words = {"true": True, "1": True, "false": False, "0": False}
    known = [words.get(str(value).lower()) for value in given] if given.ndim == 1 else []
    if len(known) != len(obs) or None in known:
        raise InputError(f"expected True or False for each of {len(obs):,} cells in {where}; found otherwise")
    return np.array(known, dtype=bool)


def _assigned(obs: pd.DataFrame, column: str, notes: list[str]) -> np.ndarray:
    """Cells that are in a metacell; marks of tools for cells in none are left out, and said."""
    used, n_marked = in_a_pool(obs[column])
    if n_marked:
        marks = obs.loc[~used & obs[column].notna(), column].astype(str)
        shown = ", ".join(printable(mark, 20) for mark in dict.fromkeys(sorted(marks.unique())[:5]))
        notes.append(f"{n_marked:,} cells left out: in no metacell by {printable(column, 40)} ({shown})")
    return used.to_numpy(dtype=bool) | obs[column].isna().to_numpy()


def _likeness_note(
    matrix: Any, members: Members, aggregation: Aggregation, pooled: Any, column: str
) -> list[str]:
    """A sentence on how alike the cells of given pools are, where that is seen in their sums."""
    if aggregation.name != "sum" or len(members.names) < 2 or (pooled.size and pooled.min() < 0):
        return []
    try:
        squares = pool_matrix(matrix, members, SQUARES, Seen())
    except InputError:  # negative values in some cell
        return []
    n_cells = members.n_cells[:, None]
    squares = np.asarray(squares) ** 2 * n_cells  # back from the root of their mean
    share = shared_in_sums(pooled, squares, members.n_cells)
    if not np.isfinite(share):
        return []
    said = f"cells of a pool share {100 * share:.1f}% of a gene's variance (median)"
    if share < SMALLEST:
        return [f"{said}, as in pools drawn at random"]
    return [
        f"{said}: they are alike, not drawn at random, and what is said of random pools does not hold for "
        f"them; poolproof audit --assignment {printable(column, 40)} says in what they are alike"
    ]


# --- which cells go together ----------------------------------------------------------------------------


def _strata(
    obs: pd.DataFrame, columns: Sequence[str], usable: np.ndarray
) -> Iterator[tuple[tuple[str, ...], np.ndarray]]:
    """Each combination of labels that occurs, in order, and its cells in the order of the file."""
    rows = np.flatnonzero(usable)
    codes, levels = np.zeros((len(rows), 0), dtype=np.int64), []
    for name in columns:
        code, level = pd.factorize(obs[name].iloc[rows], sort=True)
        codes = np.column_stack([codes, code])
        levels.append([str(label) for label in level])
    if len(rows) == 0:
        return
    found, stratum = (
        np.unique(codes, axis=0, return_inverse=True) if columns else (codes[:1], codes.sum(axis=1))
    )
    order = np.argsort(stratum.ravel(), kind="stable")
    sizes = np.bincount(stratum.ravel(), minlength=len(found))
    for combination, cells in zip(found, np.split(rows[order], np.cumsum(sizes)[:-1]), strict=True):
        yield tuple(level[code] for level, code in zip(levels, combination, strict=True)), cells


def _labelled(
    obs: pd.DataFrame, columns: Sequence[str], usable: np.ndarray, min_cells: int, notes: list[str]
) -> Members:
    """One pool for each combination of labels."""
    strata = list(_strata(obs, columns, usable))
    kept = [(labels, cells) for labels, cells in strata if len(cells) >= min_cells]
    if not kept:
        if not strata:
            where = printable(", ".join(columns), 80)
            raise InputError(f"expected cells to pool; found none that can be used with a value in {where}")
        largest = max(len(cells) for _, cells in strata)
        raise InputError(f"expected a pool of at least {min_cells:,} cells; the largest has {largest:,}")
    if len(kept) < len(strata):
        notes.append(f"{len(strata) - len(kept):,} pools left out: fewer than {min_cells:,} cells")
    names, _ = unique_names("_".join(labels) for labels, _ in kept)
    cells = [cells for _, cells in kept]
    return Members(tuple(names), np.concatenate(cells), np.array([len(c) for c in cells]))


def _draw(
    adata: AnnData,
    within: Sequence[str],
    sizes: tuple[int, ...],
    pools: int | None,
    usable: np.ndarray,
    seed: int,
    notes: list[str],
) -> Members:
    """Draw pools within strata: of every size equally many, in each stratum."""
    strata = list(_strata(adata.obs, within, usable))
    largest = max((len(cells) for _, cells in strata), default=0)
    room = np.array([len(cells) // sizes[-1] for _, cells in strata], dtype=np.int64)
    if not room.any():
        where = "stratum" if within else "input"
        raise InputError(
            f"expected at least {sizes[-1]:,} cells for a pool of that size; the largest {where} has "
            f"{largest:,} that can be used; ask for smaller pools"
        )
    if (room == 0).any():
        notes.append(f"{int((room == 0).sum()):,} strata left out: fewer than {sizes[-1]:,} cells")
    if pools is not None and pools > room.sum():
        raise InputError(
            f"expected at most {room.sum():,} pools of {sizes[-1]:,} cells, as many as there is room for; "
            f"found {pools:,}; ask for fewer or smaller pools"
        )
    n_pools = room if pools is None else _in_proportion(pools, room)
    by_name = adata.obs_names.is_unique
    if not by_name:
        notes.append("names of cells are not unique: the draws depend on the order of the cells")
    position = _ranks(adata.obs_names) if by_name else np.arange(adata.n_obs)
    names, drawn = [], []
    for size in sizes:
        for (labels, cells), n in zip(strata, n_pools, strict=True):
            cells = cells[np.argsort(position[cells])]
            shuffled = stream(seed, "pool_cells", *labels, size).permutation(cells)
            drawn.append(shuffled[: n * size])
            names += ["_".join([*labels, f"K{size}", str(i)]) for i in range(n)]
    per_size = int(n_pools.sum())
    each = np.repeat(sizes, per_size)
    return Members(tuple(unique_names(names)[0]), np.concatenate(drawn), each, each)


def _in_proportion(total: int, room: np.ndarray) -> np.ndarray:
    """Whole numbers in proportion to ``room`` that add up to ``total``, by largest remainders.

    Examples
    --------
    >>> _in_proportion(5, np.array([6, 3, 1])).tolist()
    [3, 2, 0]
    """
    share, left = np.divmod(total * room, room.sum())
    share[np.argsort(-left, kind="stable")[: total - share.sum()]] += 1
    return share


def _ranks(names: pd.Index) -> np.ndarray:
    """Place of each name in the sorted names."""
    text = names.astype(str).to_numpy(dtype=object)
    ranks = np.empty(len(text), dtype=np.int64)
    ranks[np.argsort(text, kind="stable")] = np.arange(len(text))
    return ranks


# --- what is said of the pools --------------------------------------------------------------------------


def _doubts(seen: Seen, adata: AnnData, layer: str | None, aggregation: Aggregation) -> list[str]:
    """Sentences about values that should perhaps not have been pooled."""
    said = []
    if seen.missing:
        said.append("values are missing: a pool with such a cell is missing in that gene")
    if seen.facts is None or aggregation.kind == OTHER:
        return said
    statement = "" if layer else str(_mapping(adata.uns.get("source")).get("values", ""))
    marked = _mapping(adata.uns["log1p"]) if layer in (None, "raw") and "log1p" in adata.uns else None
    scale, guess = guess_scale(seen.facts, layer=layer, statement=statement, log1p=marked)
    if scale == "log" or seen.facts.minimum < 0:
        reason = guess.removeprefix(f"scale guessed as {scale}: ").split("; pass")[0]
        word = "logs" if scale == "log" else "no amounts"
        places = {None: adata.X, **adata.layers, "raw": adata.raw}
        others = [name or "X" for name, held in places.items() if name != layer and held is not None]
        there = ", ".join(printable(name, 40) for name in others[:8]) or "nothing else"
        said.append(
            f"the values look like {word} ({reason}): their {aggregation} is not the one of molecules; pool "
            f"counts (the data have: {there})"
        )
    return said


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _describe_pools(
    obs: pd.DataFrame, members: Members, counts: np.ndarray, notes: list[str]
) -> pd.DataFrame:
    """The columns of the pools: what is constant within all of them, and their sizes."""
    first = members.cells[members.ends[:-1]]
    each = np.repeat(first, members.n_cells)
    kept = []
    for name in obs.columns:
        codes, _ = pd.factorize(obs[name])  # a missing entry is a level too
        if (codes[members.cells] == codes[each]).all():
            kept.append(name)
    table = obs[kept].iloc[first].copy()
    table.index = pd.Index(members.names, dtype=object)
    for name in table.columns:
        if isinstance(table[name].dtype, pd.CategoricalDtype):
            table[name] = table[name].cat.remove_unused_categories()
    if {CELLS, COUNTS, SIZE} & set(obs.columns):
        notes.append(f"the input has columns named as those of pools: {CELLS} counts its rows")
    table[CELLS] = members.n_cells
    table[COUNTS] = counts
    if members.sizes is not None:
        table[SIZE] = members.sizes
    return table


def _provenance(
    adata: AnnData,
    members: Members,
    settings: dict[str, Any],
    seed: int,
    notes: list[str],
    keep_cells: bool,
) -> dict[str, Any]:
    kept = {
        "settings": json.dumps(settings),
        "seed": int(seed),
        "version": version("poolproof"),
        "n_cells": int(adata.n_obs),
        "n_cells_used": len(np.unique(members.cells)),
        "notes": np.array(notes, dtype=object),
    }
    if keep_cells:
        pool = np.array(members.names, dtype=object)[
            np.repeat(np.arange(len(members.names)), members.n_cells)
        ]
        cell = adata.obs_names.astype(str).to_numpy(dtype=object)[members.cells]
        kept["cells"] = pd.DataFrame({"pool": pool, "cell": cell}, index=[str(i) for i in range(len(pool))])
    return kept


def _source(
    adata: AnnData, layer: str | None, aggregation: Aggregation, sizes: tuple[int, ...] | None
) -> dict[str, Any]:
    """What the input says of itself, but for what pooling has changed."""
    source = dict(_mapping(adata.uns.get("source")))
    values = str(source.get("values", "")) if layer is None else f"layer {layer}"
    source["values"] = f"{aggregation} over cells" + (f": {values}" if values else "")
    if sizes != (1,):
        source["kind"] = "bulk"
    return source
