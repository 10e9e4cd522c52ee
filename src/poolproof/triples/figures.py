"""The numbers behind the pictures of triples: cells, what is left given the middle gene, pools."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd

from .. import _names as names
from .._checks import printable
from .._random import stream
from ..basis import N_COLUMNS, knots, spline_functions
from ..data.expression import Expression
from ..pairs.design import Level
from ..pairs.figures import N_LOOKED_AT, values_of
from ..pairs.fitted import find_gene
from ..pairs.score_kernels import level_conditioning
from .every_triple import Triples
from .score_conditioner import fill_missing
from .screening import N_BINS

TRIPLE_FIGURES = ("triple_histogram", "triple_gallery", "triple_gallery_points", "triple_gallery_lines")
"""Names of the tables."""
SHOWN = {names.DISTORTED: 3, names.HIDDEN: 2, names.DEPENDENT: 1, names.KEPT: 1}
"""Calls in the order of the gallery, and how many triples of each it holds."""
SEPARATED = (names.KEPT, names.DISTORTED)
TRIPLE_WORDS = {
    names.KEPT: "kept",
    names.DISTORTED: "distorted (false edge)",
    names.DEPENDENT: "dependent",
    names.HIDDEN: "hidden (lost edge)",
    names.UNDETERMINED: "undetermined",
}
"""The words for each call."""
VALUES, SPLINE, LINE = PICTURES = ("values", "spline", "line")
"""The three pictures of a triple: x and z as they are, given a spline in y, and given a line in y."""
THIRDS = ("low", "middle", "high")
"""Thirds of the middle gene."""

N_POINTS = 500
"""Points of a picture."""
POOLED = 10
"""Cells in each pool that is drawn."""
MIN_POOLS = 20
"""With fewer pools the cells are drawn instead."""
BIN = 2 / N_BINS
"""Width of the bins of the histogram."""
N_PATH = 60
REACH = float(np.sqrt(5.991))
"""The ellipse holds 95 % of a Gaussian of many cells."""


def triple_figure_data(result: Triples) -> dict[str, pd.DataFrame]:
    """Return the numbers behind every picture of a screen of triples.

    Parameters
    ----------
    result
        What :func:`poolproof.screen_triples` gave.

    Returns
    -------
    One table for each name in ``TRIPLE_FIGURES``; ``triple_histogram`` is that of the result, with the
    ``margin``. Draws depend on the seed and on names, not on the order of
    genes or samples.

    Examples
    --------
    >>> from poolproof import screen_triples
    >>> rng = np.random.default_rng(0)
    >>> y = rng.gamma(2.0, size=2000)
    >>> data = pd.DataFrame({"X": np.tanh(y) + 0.15 * rng.normal(size=2000), "Y": y,
    ...                      "Z": y**2 / 5 + 0.2 * rng.normal(size=2000)})
    >>> result = screen_triples(data, kind="bulk", scale="additive", triples=[("X", "Y", "Z")])
    >>> tables = triple_figure_data(result)
    >>> tables["triple_gallery"][["x", "y", "z", "call"]].values.tolist()
    [['X', 'Y', 'Z', 'distorted']]
    """
    histogram = result.histogram.assign(
        call=result.histogram["call"].astype(object), margin=result.summary["margin"]
    )
    parts: list[dict[str, pd.DataFrame]] = []
    for call, most in SHOWN.items():
        # estimates from counts may lie beyond 1
        sound = (result.table[["partial_linear", "partial_spline"]].abs() <= 1).all(axis=1)
        listed = result.table[(result.table["call"] == call) & sound]
        for row in islice(_without_repeats(listed.head(N_LOOKED_AT)), most):
            parts.append(_tables(result, row, len(parts) + 1, N_POINTS))
    if not parts:
        parts = [_no_tables()]
    gallery = {name: pd.concat([part[name] for part in parts], ignore_index=True) for name in parts[0]}
    return {"triple_histogram": histogram, **gallery}


def triple_data(
    result: Triples, x: str, y: str, z: str, *, panel: int = 1, n_points: int = N_POINTS
) -> dict[str, pd.DataFrame]:
    """Return the points and lines of the three pictures of one triple.

    Parameters
    ----------
    result
        What :func:`poolproof.screen_triples` gave.
    x, y, z
        Names or symbols of genes, y the middle one.
    panel
        Number of the triple.
    n_points
        At most so many points in each picture, drawn at random.

    Returns
    -------
    ``triple_gallery``: one row, the triple with its numbers, missing where it is not listed;
    ``shown_spline`` and ``shown_line``, the correlations of all residuals of which the points are a draw;
    ``n_pooled``, the cells of each point of the last picture, and ``n_pools``.
    ``triple_gallery_points``: ``panel``, ``picture`` (one of ``PICTURES``), ``level``, ``x``, ``z`` and, for
    the first picture, ``y`` and its ``third``. Residuals have standard deviation 1; covariates are out.
    ``triple_gallery_lines``: ``panel``, ``picture``, ``line``, ``x``, ``z``. ``curve`` and ``straight``:
    where x and z lie as y rises, by the spline and by the line. ``slope``: of the partial correlation.
    ``many_cells``: the ellipse that holds 95 % of the pools of many cells.

    Raises
    ------
    InputError
        A gene is not in the data.
    """
    found = [find_gene(result.expression, name) for name in (x, y, z)]
    x, y, z = (str(name) for name in result.expression.genes[found])
    table = result.table
    either = ((table["x"] == x) & (table["z"] == z)) | ((table["x"] == z) & (table["z"] == x))
    row = table[either & (table["y"] == y)].head(1)
    if row.empty:
        row = table.head(0).reindex([0]).assign(x=x, y=y, z=z, call=None)
    return _tables(result, row, panel, n_points)


def _without_repeats(triples: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield rows whose genes were not in a row before, in the order given."""
    seen: set[str] = set()
    for i, three in enumerate(zip(triples["x"], triples["y"], triples["z"], strict=True)):
        if seen.isdisjoint(three):
            seen.update(three)
            yield triples.iloc[[i]]


def _tables(result: Triples, row: pd.DataFrame, panel: int, n_points: int) -> dict[str, pd.DataFrame]:
    """See :func:`triple_data`; ``row`` is the triple's row of the table."""
    expression = result.expression
    triple = [str(row[end].iloc[0]) for end in ("x", "y", "z")]
    genes = np.array([find_gene(expression, name) for name in triple])
    corrected = result.summary["correction"] == "poisson"
    values, unit = values_of(expression, genes, corrected=corrected)
    values = np.asarray(fill_missing(values))
    k = result.summary["k"] or N_COLUMNS
    levels = result.design.levels
    whole = np.concatenate([level.rows for level in levels])
    cells = _frame(levels, [values[level.rows][:, [0, 2]] for level in levels])
    cells["y"] = values[whole, 1]
    cells["third"] = _thirds(values[whole, 1])
    spline = _frame(levels, _unit([_residuals(values[level.rows], level, k) for level in levels]))
    line = _frame(levels, _unit([_residuals(values[level.rows], level, 1) for level in levels]))
    shown = {"shown_spline": _correlation(spline), "shown_line": _correlation(line)}
    n_pooled, n_pools = 1, len(line)
    for table in (cells, spline, line):
        table["name"] = expression.obs_names[whole]
    if expression.kind == "single-cell":
        pools = _pools(expression, values, levels, corrected, [str(result.seed), *triple])
        if len(pools) >= MIN_POOLS:
            line, n_pooled, n_pools = pools, POOLED, len(pools)
            shown["shown_line"] = _correlation(pools)
    drawn = []
    for picture, table in ((VALUES, cells), (SPLINE, spline), (LINE, line)):
        of_table = _draw(table, n_points, [result.seed, "figures", picture, *triple])
        drawn.append(of_table.assign(panel=panel, picture=picture))
    points = pd.concat(drawn, ignore_index=True)
    points["third"] = points["third"].astype(object).where(points["third"].notna(), "")
    row = row.assign(
        **{
            f"{end}_symbol": expression.symbols[gene]
            for end, gene in zip(("x", "y", "z"), genes, strict=True)
        },
        unit=unit,
        n_pooled=n_pooled,
        n_pools=n_pools,
        **shown,
    )
    row.insert(0, "panel", panel)
    row["call"] = row["call"].astype(object)
    numbers = row.iloc[0]
    path = _path(values[levels[0].rows], levels[0]) if len(levels) == 1 else _no_line()
    lines = [(VALUES, path), *_many_cells(numbers["partial_spline"], numbers["partial_linear"])]
    return {
        "triple_gallery": row.drop(columns="status").reset_index(drop=True),
        "triple_gallery_points": points[["panel", "picture", "level", "x", "z", "y", "third"]],
        "triple_gallery_lines": pd.concat(
            [of_line.assign(panel=panel, picture=picture) for picture, of_line in lines], ignore_index=True
        )[["panel", "picture", "line", "x", "z"]],
    }


def _no_tables() -> dict[str, pd.DataFrame]:
    numbers = [column.name for column in names.TRIPLE_COLUMNS if column.name != "status"]
    more = ["x_symbol", "y_symbol", "z_symbol", "unit", "n_pooled", "n_pools", "shown_spline", "shown_line"]
    columns = {
        "triple_gallery": ["panel", *numbers, *more],
        "triple_gallery_points": ["panel", "picture", "level", "x", "z", "y", "third"],
        "triple_gallery_lines": ["panel", "picture", "line", "x", "z"],
    }
    return {name: pd.DataFrame(columns=of) for name, of in columns.items()}


# --- points ------------------------------------------------------------------------------------------


def _frame(levels: tuple[Level, ...], ends: list[np.ndarray]) -> pd.DataFrame:
    """Values of x and z, level by level."""
    level = np.repeat([of.name for of in levels], [len(part) for part in ends]).astype(object)
    both = np.concatenate(ends)
    return pd.DataFrame({"level": level, "x": both[:, 0], "z": both[:, 1]})


def _residuals(values: np.ndarray, level: Level, k: int) -> np.ndarray:
    """What a basis of y, and the covariates, leave of x and z; columns of ``values``: x, y, z."""
    basis, n_columns = level_conditioning(values[:, [1]], level, k)
    q = basis[0, : n_columns[0]]
    ends = values[:, [0, 2]] - level.covariates @ (level.covariates.T @ values[:, [0, 2]])
    return ends - q.T @ (q @ ends)


def _unit(parts: list[np.ndarray]) -> list[np.ndarray]:
    """Scale x and z to standard deviation 1 over all levels."""
    size = np.sqrt(np.mean(np.concatenate(parts) ** 2, axis=0))
    return [part / np.where(size > 0, size, 1.0) for part in parts]


def _correlation(points: pd.DataFrame) -> float:
    """Correlation of residuals with standard deviation 1."""
    return float(np.mean(points["x"] * points["z"]))


def _thirds(y: np.ndarray) -> np.ndarray:
    """Which third each value is in; equal values are in one, so that a heap of zeros is ``low``."""
    return np.array(THIRDS, dtype=object)[np.searchsorted(np.quantile(y, [1 / 3, 2 / 3]), y, side="left")]


def _draw(table: pd.DataFrame, n: int, task: list[str | int]) -> pd.DataFrame:
    """Draw rows, tied to their names."""
    table = table.sort_values("name", kind="stable", ignore_index=True)
    if len(table) > n:
        random = stream(int(task[0]), *task[1:])
        table = table.iloc[np.sort(random.choice(len(table), n, replace=False))]
    return table


def _pools(
    expression: Expression,
    values: np.ndarray,
    levels: tuple[Level, ...],
    corrected: bool,
    task: list[str],
) -> pd.DataFrame:
    """Residuals of x and z given a line in y in pools of cells of one level and, if any, one replicate."""
    depth = expression.size_factors
    if corrected:
        depth, _ = expression.count_depth()
    depth = np.ones(len(values)) if depth is None else depth
    parts, kept, pool_names = [], [], []
    for level in levels:
        pools = _members(expression, level, task)
        if len(pools) < MIN_POOLS:
            continue
        weights = depth[level.rows][pools]
        weights = weights / weights.sum(axis=1, keepdims=True)
        pooled = np.einsum("pk,pkg->pg", weights, values[level.rows][pools])
        nuisance = np.einsum("pk,pkc->pc", weights, level.covariates[pools])
        columns = np.column_stack([nuisance, pooled[:, 1]])
        ends = pooled[:, [0, 2]]
        parts.append(ends - columns @ np.linalg.lstsq(columns, ends, rcond=None)[0])
        kept.append(level)
        pool_names += [f"{level.name}\0{i:09d}" for i in range(len(pools))]
    if not parts:
        return pd.DataFrame({"level": [], "x": [], "z": [], "name": []})
    return _frame(tuple(kept), _unit(parts)).assign(name=pool_names)


def _members(expression: Expression, level: Level, task: list[str]) -> np.ndarray:
    """Positions in the level of the cells of each pool, shape ``(n_pools, POOLED)``; no cell twice."""
    clusters = np.zeros(len(level.rows), dtype=int) if level.clusters is None else level.clusters
    by_name = np.argsort(expression.obs_names[level.rows].astype(str), kind="stable")
    found = []
    for cluster in np.unique(clusters):
        mine = by_name[clusters[by_name] == cluster]
        random = stream(int(task[0]), "figures", "pools", level.name, int(cluster), *task[1:])
        mine = random.permutation(mine)
        n_pools = len(mine) // POOLED
        found.append(mine[: n_pools * POOLED].reshape(n_pools, POOLED))
    return np.concatenate(found)


# --- lines -------------------------------------------------------------------------------------------


def _no_line() -> pd.DataFrame:
    return pd.DataFrame({"line": [], "x": [], "z": []})


def _line(name: str, x: np.ndarray, z: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"line": name, "x": x, "z": z})


def _path(values: np.ndarray, level: Level) -> pd.DataFrame:
    """Where x and z are expected as y rises: by splines in y, and by lines."""
    y, ends = values[:, 1], values[:, [0, 2]]
    if np.ptp(y) == 0:
        return _no_line()
    low, high = np.quantile(y, [0.01, 0.99])
    at, grid = knots(y), np.linspace(low, high, N_PATH)
    nuisance = level.covariates[:, 1:] - level.covariates[:, 1:].mean(axis=0)
    parts = []
    for name, n_columns in (("curve", len(at)), ("straight", 1)):
        own = spline_functions(y, at)[:, :n_columns]
        columns = np.column_stack([np.ones(len(y)), own, nuisance])
        weights = np.linalg.lstsq(columns, ends, rcond=None)[0][: 1 + own.shape[1]]
        path = np.column_stack([np.ones(N_PATH), spline_functions(grid, at)[:, :n_columns]]) @ weights
        parts.append(_line(name, path[:, 0], path[:, 1]))
    return pd.concat(parts, ignore_index=True)


def _many_cells(spline: float, linear: float) -> list[tuple[str, pd.DataFrame]]:
    """The slopes of both partial correlations, and the Gaussian that pools of many cells tend to."""
    reach = np.array([-REACH, REACH])
    parts = []
    if np.isfinite(spline):
        parts.append((SPLINE, _line("slope", reach, spline * reach)))
    if np.isfinite(linear):
        linear = float(np.clip(linear, -0.999, 0.999))
        turn = np.linspace(0, 2 * np.pi, 73)
        ellipse = linear * np.cos(turn) + np.sqrt(1 - linear**2) * np.sin(turn)
        parts.append((LINE, _line("slope", reach, linear * reach)))
        parts.append((LINE, _line("many_cells", REACH * np.cos(turn), REACH * ellipse)))
    return parts


# --- in words ----------------------------------------------------------------------------------------


def describe_triple(row: Mapping[Any, Any], picture: str) -> str:
    """Say what one of the three pictures of a triple shows; ``row`` is its row of ``triple_gallery``."""
    x, y, z = (printable(row[f"{end}_symbol"]) for end in ("x", "y", "z"))
    if picture == VALUES:
        return (
            f"Scatter of {z} against {x}, marked by {y}, called {TRIPLE_WORDS.get(row['call'], 'nothing')}: "
            f"correlation {row['correlation']:.2f}; n = {row['n']:,.0f}."
        )
    if picture == SPLINE:
        return (
            f"Scatter of what a curve in {y} leaves of {z} and {x}: partial correlation "
            f"{row['partial_spline']:.2f}, standard error {row['partial_spline_se']:.2f}."
        )
    who = "" if row["n_pooled"] == 1 else f" in {row['n_pools']:,.0f} pools of {row['n_pooled']:.0f} cells"
    return (
        f"Scatter of what a line in {y} leaves of {z} and {x}{who}: correlation {row['shown_line']:.2f}; "
        f"the partial correlation given a line is {row['partial_linear']:.2f}."
    )


def describe_histogram(table: pd.DataFrame) -> str:
    """Say what the picture of both partial correlations shows; at least one row."""
    n = int(table["n"].sum())
    said = [
        f"{int(table.loc[table['call'] == call, 'n'].sum()):,} {TRIPLE_WORDS[call]}"
        for call in names.TRIPLE_CALLS
    ]
    return f"Map of {n:,} triples by partial correlation given a curve and given a line: {', '.join(said)}."


def describe_distortion(table: pd.DataFrame) -> str:
    """Say what the histogram of distortion shows; ``table`` has separated triples, at least one."""
    n = int(table["n"].sum())
    distorted = int(table.loc[table["call"] == names.DISTORTED, "n"].sum())
    most = table["linear"].abs().max()
    return (
        f"Histogram of the partial correlation given a line, of {n:,} triples that are separated: "
        f"{distorted:,} are distorted; the largest is about {most:.2f}."
    )


def describe_curves(table: pd.DataFrame, what: str) -> str:
    """Say how a measure changes with the number of cells; ``table`` has one measure."""
    known = table.dropna(subset="value")
    said = []
    for regime, part in known.groupby("regime", sort=True):
        middle = part.groupby("n_cells")["value"].median()
        said.append(
            f"{printable(regime)}: {middle.iloc[0]:.3g} with {middle.index[0]:,}, {middle.iloc[-1]:.3g} with "
            f"{middle.index[-1]:,}"
        )
    return f"{what} against the number of cells in a pool. {'; '.join(said)}."
