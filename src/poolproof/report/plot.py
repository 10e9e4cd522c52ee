"""Pictures of results: each function takes a result and an ``ax``, and returns the Axes.

A result is an :class:`~poolproof.verdict.Audit`, a part of it (:class:`~poolproof.pairs.Linearity`,
:class:`~poolproof.triples.Triples`, :class:`~poolproof.pools.PoolingCurves`), or the tables of the
folder ``figures`` as read back from files. Nothing is computed here. Without ``ax``
a figure is made that pyplot does not know of: ``ax.figure.savefig("pair.pdf")``. Dense layers are
rasterised, the rest stays vector; colour always comes with a hatch, a marker or a dash.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator, NullLocator, PercentFormatter

from .. import _names as names
from .._checks import check_choice
from ..pairs.figures import CALLS, WORDS
from ..triples.figures import BIN, LINE, SEPARATED, SPLINE, TRIPLE_WORDS, VALUES
from .drawing import (
    COLOURS,
    FEW,
    FEW_GENES,
    INK,
    LEVEL_COLOURS,
    LEVEL_MARKERS,
    MANY,
    MARKERS,
    REGIME_COLOURS,
    REGIME_MARKERS,
    SOFT,
    TRIPLE_COLOURS,
    bars,
    frame_points,
    legend_above,
    legend_of_levels,
    mean_variance,
    new_axes,
    press_skewed,
    scale_of_sizes,
    scale_of_totals,
    short,
    shown,
    triple_labels,
    triple_points,
)
from .plan_picture import design_surface
from .plotted import (
    Pooled,
    Result,
    Screened,
    curves_of,
    pair_tables,
    table_of,
    triple_table_of,
    triple_tables,
)

__all__ = [
    "calls_by_strength",
    "data_overview",
    "design_surface",
    "genes",
    "pair",
    "pooling_curves",
    "share_against_r2",
    "triple",
    "triple_distortion",
    "triple_histogram",
]


def __dir__() -> list[str]:
    return __all__


MEASURES = {
    "share_nonlinear": "non-linear pairs",
    "share_affine": "affine pairs",
    "n_associated": "associated pairs",
    "partial_linear": "partial correlation, line",
    "partial_spline": "partial correlation, curve",
    "skewness": "skewness",
    "excess_kurtosis": "excess kurtosis",
    "skeleton_edges": "edges of the skeleton",
    "skeleton_changed": "edges changed",
}
"""Measures of pooling curves, and the label of their axis."""


def pair(result: Result, regulator: str, target: str, ax: Axes | None = None) -> Axes:
    """Samples or cells of one pair, with the fitted line (dashed) and curve (solid, with its band).

    Parameters
    ----------
    result
        An audit, a linearity, or figure tables; the last know the pairs of the gallery only.
    regulator, target
        Names of genes: x and y.
    ax
        Axes to draw into; None makes a figure.

    Returns
    -------
    Axes. Levels of ``within`` differ in colour and marker. For counts, the curve is that of the amounts
    behind the counts, so it need not run through the middle of the points. Where a few amounts are far
    larger than the rest, the far end of an axis is pressed together: a line in amounts then looks bent, as
    the dashed one does.

    Raises
    ------
    InputError
        A gene is not in the data, or the pair is not in the gallery.
    """
    ax = ax or new_axes(2.75, 2.6)
    row, points, curves = pair_tables(result, regulator, target)
    levels = list(dict.fromkeys([*points["level"], *curves["level"]]))
    many, few = len(levels) > len(LEVEL_COLOURS), len(points) < FEW
    for i, level in enumerate(levels):
        colour = SOFT if many else LEVEL_COLOURS[i]
        marker = "o" if many else LEVEL_MARKERS[i]
        dots, fit = points[points["level"] == level], curves[curves["level"] == level]
        ax.scatter(
            dots["x"],
            dots["y"],
            s=20 if few else 9,
            marker=marker,
            color=colour,
            alpha=0.8 if few else 0.5,
            edgecolor="white" if few else "none",
            linewidth=0.5,
            zorder=3,  # a single far point may make the curve: it must show
            rasterized=True,
        )
        ax.plot(fit["x"], fit["linear"], "--", color=colour, linewidth=1.1)
        ax.plot(fit["x"], fit["curve"], "-", color=colour, linewidth=1.8)
        low, high = fit["curve"] - 1.96 * fit["curve_error"], fit["curve"] + 1.96 * fit["curve_error"]
        ax.fill_between(fit["x"], low, high, color=colour, alpha=0.16, linewidth=0)
    press_skewed(ax, points)
    frame_points(ax, points)
    ax.set_xlabel(f"{shown(row['regulator_symbol'])}\n{row['unit']}", parse_math=False)
    ax.set_ylabel(shown(row["target_symbol"]), parse_math=False)
    ax.set_title(_pair_title(row), fontsize=8.5, parse_math=False)
    if len(levels) > 1 and not many:
        legend_of_levels(ax, levels)
    return ax


def calls_by_strength(result: Result, ax: Axes | None = None) -> Axes:
    """How associated pairs are called, by strength of association; above each bar, its pairs."""
    ax = ax or new_axes()
    table = table_of(result, "calls_by_strength")
    bottom = np.zeros(table["r2_low"].nunique())
    for call in CALLS:
        part = table[table["call"] == call]
        share = part["share"].fillna(0).to_numpy()
        bars(ax.bar, part["r2_low"], share, call, bottom=bottom, align="edge", width=0.1)
        bottom += share
    pairs = table.groupby("r2_low")["n_pairs"].sum()
    for low, n in zip(pairs.index[pairs > 0], pairs[pairs > 0], strict=True):
        ax.text(low + 0.05, 1.02, short(n), ha="center", va="bottom", fontsize=7, color=SOFT)
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="strength of association (r² of the curve)")
    ax.set_ylabel("share of associated pairs")
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    legend_above(ax, gap=0.1)  # above the numbers
    return ax


def share_against_r2(result: Result, ax: Axes | None = None) -> Axes:
    """Non-linear share of associated pairs against their strength, a random draw of each call."""
    ax = ax or new_axes()
    table = table_of(result, "share_against_r2")
    for call in reversed(CALLS):
        part = table[table["call"] == call]
        ax.scatter(
            part["r2_spline"],
            part["nonlinear_share"],
            s=13,
            marker=MARKERS[call],
            color=COLOURS[call],
            alpha=0.7,
            linewidth=0.7 if MARKERS[call] == "x" else 0,
            label=WORDS[call],
            rasterized=True,
        )
    ax.set(xlim=(0, 1.01), ylim=(-0.02, 1.02), xlabel="strength of association (r² of the curve)")
    ax.set_ylabel("non-linear share of it")
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    legend_above(ax)
    return ax


def genes(result: Result, role: str = "regulator", ax: Axes | None = None) -> Axes:
    """Associated pairs by call, of the genes with most non-linear ones.

    Parameters
    ----------
    result
        An audit, a linearity, or figure tables.
    role
        ``regulator`` or ``target``: which gene of a pair is counted.
    ax
        Axes to draw into; None makes a figure.
    """
    check_choice("role", role, ("regulator", "target"))
    ax = ax or new_axes(4.0, 3.5)
    table = table_of(result, "genes")
    table = table[table["role"] == role]
    place = np.arange(len(table))
    left = np.zeros(len(table))
    for call in CALLS:
        width = table[f"n_{call}"].to_numpy(dtype=float)
        bars(ax.barh, place, width, call, left=left, height=0.75)
        left += width
    ax.set_yticks(place, [shown(name) for name in table["symbol"]], parse_math=False)
    ax.set_ylim(max(len(table), FEW_GENES) - 0.4, -0.6)  # first gene on top, bars never fat
    ax.tick_params(axis="y", length=0)
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda n, _: short(n)))
    ax.set_xlabel(f"associated pairs as {role}")
    legend_above(ax)
    return ax


def data_overview(result: Result, part: str = "mean_variance", ax: Axes | None = None) -> Axes:
    """The data as they were read.

    Parameters
    ----------
    result
        An audit, a linearity, or figure tables.
    part
        ``depth`` (totals of samples or cells), ``zeros`` (share of zeros of genes) or ``mean_variance``
        (variance of genes against their mean; for counts with the line of counting noise alone).
    ax
        Axes to draw into; None makes a figure.
    """
    check_choice("part", part, ("depth", "zeros", "mean_variance"))
    ax = ax or new_axes(2.75, 2.4)
    table = table_of(result, part)
    if part == "mean_variance":
        mean_variance(ax, table)
        return ax
    n = table.columns[-1]
    counted = "samples or cells" if n == "n_obs" else n.removeprefix("n_")
    ax.stairs(table[n], [*table["low"], table["high"].iloc[-1]], fill=True, color="#7d8b99")
    ax.set_ylabel(counted)
    ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    if part == "zeros":
        last = float(table.loc[table[n] > 0, "high"].max())
        end = next((end for end in (0.2, 0.5) if last <= end), 1)  # few zeros: not all at the left edge
        ax.set(xlim=(0, end), xlabel="share of zeros of a gene")
        ax.xaxis.set_major_formatter(PercentFormatter(1))
    else:
        ax.set_xlabel("total")
        scale_of_totals(ax, table)
    return ax


def triple_histogram(result: Screened, ax: Axes | None = None) -> Axes:
    """Screened triples by partial correlation given a curve (across) and given a line (upwards).

    Dashed lines: the margin below which a partial correlation counts as none. What is small across and large
    upwards is a false edge in pools; what is large across and small upwards is an edge that pools lose.

    Parameters
    ----------
    result
        An audit, a screen of triples, or figure tables.
    ax
        Axes to draw into; None makes a figure.

    Raises
    ------
    InputError
        The audit screened no triples.
    """
    ax = ax or new_axes(4.4, 3.5)
    table = triple_table_of(result, "triple_histogram")
    n = table.groupby(["linear", "spline"])["n"].sum().unstack()
    across, upwards = (_bins(n.columns), _bins(n.index))
    n = n.reindex(index=upwards, columns=across, method="nearest", tolerance=BIN / 4)
    edges = [np.append(of - BIN / 2, of[-1] + BIN / 2) for of in (across, upwards)]
    colours = LogNorm(1, max(float(n.max().max()), 10.0))
    mesh = ax.pcolormesh(*edges, n.to_numpy(), cmap=MANY, norm=colours, rasterized=True)
    bar = ax.figure.colorbar(mesh, ax=ax, shrink=0.75, aspect=25, pad=0.03)
    bar.ax.tick_params(labelsize=7.5, which="both")
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda count, _: short(count)))
    bar.set_label("triples", fontsize=8)
    bar.outline.set_visible(False)
    reach = min(1.0, max(0.4, 0.1 + 0.1 * np.ceil(10 * table[["linear", "spline"]].abs().max().max())))
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel="given a curve in the middle gene")
    ax.set_ylabel("given a line in it")
    for margin in table["margin"].unique():
        for at in (-margin, margin):
            ax.axhline(at, color=INK, linestyle="--", linewidth=0.9)
            ax.axvline(at, color=INK, linestyle="--", linewidth=0.9)
    paper = {"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 1.2}
    ax.text(0, 0.97 * reach, "false edges", ha="center", va="top", fontsize=7.5, color=INK, bbox=paper)
    ax.text(0.97 * reach, 0, "lost edges", ha="right", va="center", fontsize=7.5, color=INK, bbox=paper)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MultipleLocator(0.2 if reach < 0.75 else 0.5))
    return ax


def triple_distortion(result: Screened, ax: Axes | None = None) -> Axes:
    """Histogram of distortion: the partial correlation given a line, of triples separated in cells.

    Parameters
    ----------
    result
        An audit, a screen of triples, or figure tables.
    ax
        Axes to draw into; None makes a figure.
    """
    ax = ax or new_axes(4.0, 3.2)
    table = triple_table_of(result, "triple_histogram")
    table = table[table["call"].isin(SEPARATED)]
    wide: dict[str, Any] = {"width": BIN, "align": "center", "linewidth": 0.4}
    bottom = pd.Series(0, index=np.sort(table["linear"].unique()), dtype=float)
    for call in SEPARATED:
        n = table[table["call"] == call].groupby("linear")["n"].sum().reindex(bottom.index, fill_value=0)
        hatched = call == names.DISTORTED
        ax.bar(
            n.index,
            n,
            bottom=bottom,
            facecolor=TRIPLE_COLOURS[call],
            edgecolor="white",
            hatch="////" if hatched else "",
            label=TRIPLE_WORDS[call],
            **wide,
        )
        bottom = bottom + n
    reach = min(1.0, max([0.4, *(0.1 + table["linear"].abs())]))
    ax.set(xlim=(-reach, reach), xlabel="partial correlation given a line")
    ax.set_ylabel("separated triples")
    ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda count, _: short(count)))
    for margin in table["margin"].unique():
        for at in (-margin, margin):
            ax.axvline(at, color=INK, linestyle="--", linewidth=0.9)
    legend_above(ax)
    return ax


def triple(
    result: Screened, x: str, y: str, z: str, axes: Sequence[Axes] | None = None
) -> tuple[Axes, Axes, Axes]:
    """Three scatter plots of one triple: its values, what a curve in y leaves, what a line in y leaves.

    The first marks samples or cells by the third of y that they are in; where all are of one level, the solid
    path is where x and z lie as y rises, the dashed one the same by lines. The other two show residuals in
    standard deviations, with the slope of the partial correlation; the last, for single cells, those of pools
    of 10 of them, and the ellipse that holds 95 % of pools of many cells.

    Parameters
    ----------
    result
        An audit, a screen of triples, or figure tables; the last know the triples of the gallery only.
    x, y, z
        Names of genes; y is the middle one.
    axes
        Three Axes to draw into; None makes a figure.

    Raises
    ------
    InputError
        A gene is not in the data, or the triple is not in the gallery.

    Notes
    -----
    For counts the points keep the noise of counting, and the slopes do not.
    """
    row, points, lines = triple_tables(result, x, y, z)
    if axes is None:
        figure = Figure(figsize=(8.25, 2.7), layout="constrained")
        axes = [new_axes(figure=figure, place=(1, 3, i)) for i in (1, 2, 3)]
    first, second, third = axes
    for ax, picture in zip((first, second, third), (VALUES, SPLINE, LINE), strict=True):
        dots, of_picture = points[points["picture"] == picture], lines[lines["picture"] == picture]
        triple_points(ax, dots, row, picture)
        for line, part in of_picture.groupby("line", sort=False):
            dashed = line in ("straight", "many_cells")
            colour = COLOURS[names.NONLINEAR] if picture != VALUES else INK
            ax.plot(part["x"], part["z"], "--" if dashed else "-", color=colour, linewidth=1.5, zorder=4)
        triple_labels(ax, row, picture)
        frame_points(ax, pd.concat([dots, of_picture[of_picture["line"] == "many_cells"]]), "z")
    return first, second, third


def pooling_curves(result: Pooled, measure: str = "partial_spline", ax: Axes | None = None) -> Axes:
    """One measure against the number of cells in a pool: each mark a drawing of pools, dashed the prediction.

    Parameters
    ----------
    result
        An audit, pooling curves, or figure tables.
    measure
        One of those in the table: ``share_nonlinear``, ``skewness``, ...
    ax
        Axes to draw into; None makes a figure.

    Raises
    ------
    InputError
        There are no pooling curves, or not of this measure.
    """
    table = curves_of(result)
    check_choice("measure", measure, tuple(dict.fromkeys(table["measure"])))
    ax = ax or new_axes(2.75, 2.5)
    table = table[(table["measure"] == measure) & table["value"].notna()]
    for regime in table["regime"].unique():
        part = table[table["regime"] == regime]
        colour, marker = REGIME_COLOURS.get(regime, SOFT), REGIME_MARKERS.get(regime, "D")
        style: dict[str, Any] = {
            "color": colour,
            "marker": marker,
            "s": 20,
            "alpha": 0.75,
            "linewidth": 0,
            "zorder": 3,
        }
        ax.scatter(part["n_cells"], part["value"], label=shown(regime, 14), **style)
        expected = part.dropna(subset="prediction").drop_duplicates("n_cells").sort_values("n_cells")
        ax.plot(expected["n_cells"], expected["prediction"], "--", color=colour, linewidth=1.2)
    ax.set_xscale("log")
    n_cells = table["n_cells"]
    if len(n_cells):
        ax.set_xlim(n_cells.min() / 1.3, n_cells.max() * 1.3)
        scale_of_sizes(ax, n_cells.max() / n_cells.min())
    ax.set(xlabel="cells in a pool", ylabel=MEASURES.get(measure, shown(measure)))
    if measure.startswith("share_") or measure == "skeleton_changed":
        ax.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g}%"))
        ax.set_ylim(bottom=0)
    elif measure.startswith("n_") or measure == "skeleton_edges":
        ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda count, _: short(count)))
        ax.set_ylim(bottom=0)
    if len(table):
        legend_above(ax)
    return ax


def _pair_title(row: pd.Series) -> str:
    if row["call"] not in WORDS:
        return "not among the associated pairs kept"
    share = "" if pd.isna(row["nonlinear_share"]) else f", {row['nonlinear_share']:.0%} non-linear"
    return f"{WORDS[row['call']]}: r² {row['r2_spline']:.2f}{share}"


def _bins(middles: pd.Index) -> np.ndarray:
    """Middles of all bins from the first to the last that holds anything."""
    return np.arange(middles.min(), middles.max() + BIN / 2, BIN)
