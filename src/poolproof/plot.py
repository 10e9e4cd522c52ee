"""Pictures of results: each function takes a result and an ``ax``, and returns the Axes.

A result is an :class:`~poolproof.verdict.Audit`, a :class:`~poolproof.pairs.Linearity`, or the tables of
:func:`poolproof._figures.figure_data` as read back from files. Nothing is computed here. Without ``ax``
a figure is made that pyplot does not know of: ``ax.figure.savefig("pair.pdf")``. Dense layers are
rasterised, the rest stays vector; colour always comes with a hatch, a marker or a dash.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    EngFormatter,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
    PercentFormatter,
)

from . import _names as names
from ._checks import InputError, check_choice, printable
from ._figures import CALLS, WORDS, figure_data, pair_data
from .pairs import Linearity
from .verdict import Audit

# Okabe & Ito (2008): told apart by readers with any kind of colour vision.
COLOURS = {names.NONLINEAR: "#d55e00", names.AFFINE: "#0072b2", names.INCONCLUSIVE: "#6b7681"}
"""Of marks and of the edges of bars: each stands out from white by 3 to 1 at least."""
FILLS = COLOURS | {names.INCONCLUSIVE: "#dde2e7"}
"""Of bars; in grey they still differ."""
HATCHES = {names.NONLINEAR: "////", names.AFFINE: "", names.INCONCLUSIVE: ""}
MARKERS = {names.NONLINEAR: "^", names.AFFINE: "o", names.INCONCLUSIVE: "x"}
LEVEL_COLOURS = ("#0072b2", "#d55e00", "#008563", "#b4578c", "#8a6d00", "#1d2733")
LEVEL_MARKERS = ("o", "^", "s", "D", "v", "P")
FEW = 200
"""Points so few that each is drawn large."""
FEW_GENES = 8
"""Places for genes that a picture has at least."""
INK = "#1d2733"
SOFT = "#5b6773"

Result = Audit | Linearity | Mapping[str, pd.DataFrame]
"""An Audit, a Linearity, or a mapping of the tables of ``figure_data``."""


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
    behind the counts, so it need not run through the middle of the points.

    Raises
    ------
    InputError
        A gene is not in the data, or the pair is not in the gallery.
    """
    ax = ax or _new_axes(2.75, 2.6)
    row, points, curves = _pair_tables(result, regulator, target)
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
    _frame_points(ax, points)
    ax.set_xlabel(f"{_shown(row['regulator_symbol'])}\n{row['unit']}", parse_math=False)
    ax.set_ylabel(_shown(row["target_symbol"]), parse_math=False)
    ax.set_title(_pair_title(row), fontsize=8.5, parse_math=False)
    if len(levels) > 1 and not many:
        _legend_of_levels(ax, levels)
    return ax


def calls_by_strength(result: Result, ax: Axes | None = None) -> Axes:
    """How associated pairs are called, by strength of association; above each bar, its pairs."""
    ax = ax or _new_axes()
    table = _table(result, "calls_by_strength")
    bottom = np.zeros(table["r2_low"].nunique())
    for call in CALLS:
        part = table[table["call"] == call]
        share = part["share"].fillna(0).to_numpy()
        _bars(ax.bar, part["r2_low"], share, call, bottom=bottom, align="edge", width=0.1)
        bottom += share
    pairs = table.groupby("r2_low")["n_pairs"].sum()
    for low, n in zip(pairs.index[pairs > 0], pairs[pairs > 0], strict=True):
        ax.text(low + 0.05, 1.02, _short(n), ha="center", va="bottom", fontsize=7, color=SOFT)
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="strength of association (r² of the curve)")
    ax.set_ylabel("share of associated pairs")
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    _legend_above(ax, gap=0.1)  # above the numbers
    return ax


def share_against_r2(result: Result, ax: Axes | None = None) -> Axes:
    """Non-linear share of associated pairs against their strength, a random draw of each call."""
    ax = ax or _new_axes()
    table = _table(result, "share_against_r2")
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
    _legend_above(ax)
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
    ax = ax or _new_axes(4.0, 3.5)
    table = _table(result, "genes")
    table = table[table["role"] == role]
    place = np.arange(len(table))
    left = np.zeros(len(table))
    for call in CALLS:
        width = table[f"n_{call}"].to_numpy(dtype=float)
        _bars(ax.barh, place, width, call, left=left, height=0.75)
        left += width
    ax.set_yticks(place, [_shown(name) for name in table["symbol"]], parse_math=False)
    ax.set_ylim(max(len(table), FEW_GENES) - 0.4, -0.6)  # first gene on top, bars never fat
    ax.tick_params(axis="y", length=0)
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda n, _: _short(n)))
    ax.set_xlabel(f"associated pairs as {role}")
    _legend_above(ax)
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
    ax = ax or _new_axes(2.75, 2.4)
    table = _table(result, part)
    if part == "mean_variance":
        _mean_variance(ax, table)
        return ax
    n = table.columns[-1]
    counted = "samples or cells" if n == "n_obs" else n.removeprefix("n_")
    ax.stairs(table[n], [*table["low"], table["high"].iloc[-1]], fill=True, color="#7d8b99")
    ax.set_ylabel(counted)
    ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    if part == "zeros":
        ax.set(xlim=(0, 1), xlabel="share of zeros of a gene")
        ax.xaxis.set_major_formatter(PercentFormatter(1))
    else:
        ax.set_xlabel("total")
        _scale_of_totals(ax, table)
    return ax


def _scale_of_totals(ax: Axes, table: pd.DataFrame) -> None:
    """Logarithmic where the bins are, with few ticks, so that their labels have room."""
    steps = np.diff(table["low"])
    if steps[-1] > 1.5 * steps[0]:
        decades = np.log10(table["high"].iloc[-1] / table["low"].iloc[0])
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2 else (1,), numticks=6))
        ax.xaxis.set_minor_locator(NullLocator())
    else:
        ax.xaxis.set_major_locator(MaxNLocator(4))
    thousands = EngFormatter(sep="")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda n, _: thousands(n) if abs(n) >= 1 else f"{n:g}"))


def _mean_variance(ax: Axes, table: pd.DataFrame) -> None:
    positive = table[(table["mean"] > 0) & (table["variance"] > 0)]
    ax.scatter(
        positive["mean"], positive["variance"], s=7, color=INK, alpha=0.35, linewidth=0, rasterized=True
    )
    counting = positive.dropna(subset="counting").sort_values("mean")
    if len(counting):
        ax.plot(counting["mean"], counting["counting"], "--", color=COLOURS["nonlinear"], linewidth=1.3)
        ax.plot([], [], "--", color=COLOURS["nonlinear"], linewidth=1.3, label="counting noise alone")
        ax.legend(frameon=False, fontsize=7, loc="upper left")
    if len(positive):
        ax.set(xscale="log", yscale="log")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_minor_formatter(NullFormatter())
    ax.set(xlabel="mean of a gene", ylabel="variance")


# --- what the functions share ------------------------------------------------------------------------


def _new_axes(width: float = 4.0, height: float = 2.9) -> Axes:
    ax = Figure(figsize=(width, height), layout="constrained").subplots()
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=8)
    ax.xaxis.label.set_fontsize(8.5)
    ax.yaxis.label.set_fontsize(8.5)
    return ax


def _linearity(result: Audit | Linearity) -> Linearity:
    return result if isinstance(result, Linearity) else result.linearity


def _table(result: Result, name: str) -> pd.DataFrame:
    if isinstance(result, Mapping):
        if name not in result:
            raise InputError(f"expected the table {name!r} among the figures; found {', '.join(result)}")
        return result[name]
    return figure_data(_linearity(result))[name]


def _pair_tables(result: Result, regulator: str, target: str) -> tuple[pd.Series, pd.DataFrame, pd.DataFrame]:
    """Row, points and curves of one pair."""
    if not isinstance(result, Mapping):
        result = pair_data(_linearity(result), regulator, target)
    gallery, points, curves = (_table(result, f"gallery{part}") for part in ("", "_points", "_curves"))
    known = gallery["regulator"].eq(regulator) | gallery["regulator_symbol"].eq(regulator)
    known &= gallery["target"].eq(target) | gallery["target_symbol"].eq(target)
    if not known.any():
        raise InputError(f"{printable(regulator)!r}, {printable(target)!r} is not a pair of the gallery")
    row = gallery[known].iloc[0]
    return row, points[points["panel"] == row["panel"]], curves[curves["panel"] == row["panel"]]


def _pair_title(row: pd.Series) -> str:
    if row["call"] not in WORDS:
        return "not among the associated pairs kept"
    share = "" if pd.isna(row["nonlinear_share"]) else f", {row['nonlinear_share']:.0%} non-linear"
    return f"{WORDS[row['call']]}: r² {row['r2_spline']:.2f}{share}"


def _frame_points(ax: Axes, points: pd.DataFrame) -> None:
    """Let the points, not the curves, decide what is seen."""
    for of, limit in (("x", ax.set_xlim), ("y", ax.set_ylim)):
        if len(points):
            low, high = points[of].min(), points[of].max()
            pad = 0.04 * (high - low) or 0.5
            limit(low - pad, high + pad)


def _bars(draw: Any, place: Any, length: np.ndarray, call: str, **where: Any) -> None:
    draw(
        place,
        length,
        facecolor=FILLS[call],
        hatch=HATCHES[call],
        edgecolor="white" if HATCHES[call] else COLOURS[call],  # the hatch takes the colour of the edge
        linewidth=0.6,
        label=WORDS[call],
        **where,
    )


def _legend_above(ax: Axes, gap: float = 0.02) -> None:
    legend = ax.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1 + gap),
        ncols=3,
        frameon=False,
        fontsize=7.5,
        borderaxespad=0,
        borderpad=0,
        columnspacing=1.2,
        handletextpad=0.5,
        markerscale=1.4,
    )
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set_alpha(1)


def _legend_of_levels(ax: Axes, levels: list[str]) -> None:
    for i, level in enumerate(levels):
        ax.plot([], [], LEVEL_MARKERS[i], color=LEVEL_COLOURS[i], markersize=4, label=_shown(level, 14))
    legend = ax.legend(
        frameon=False, fontsize=7, handletextpad=0.2, borderaxespad=0, columnspacing=0.8, labelspacing=0.2
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _shown(name: object, limit: int = 22) -> str:
    """Return a name without control characters or direction marks, and short."""
    return printable(name, limit)


def _short(n: float) -> str:
    """Return a number in few characters.

    Examples
    --------
    >>> [_short(n) for n in (0, 950, 12_345, 999_999, 3_400_000)]
    ['0', '950', '12k', '1M', '3.4M']
    """
    n = float(f"{n:.3g}")
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(n) >= size:
            return (
                f"{n / size:.1f}".removesuffix(".0") + letter
                if abs(n) < 10 * size
                else f"{n / size:.0f}{letter}"
            )
    return f"{n:g}"
