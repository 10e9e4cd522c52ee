"""How pictures look: colours, markers, axes, legends, names and numbers on them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import (
    EngFormatter,
    FixedLocator,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)

from .. import _names as names
from .._checks import printable
from ..pairs.figures import WORDS
from ..triples.figures import SPLINE, VALUES

# Okabe & Ito (2008): told apart by readers with any kind of colour vision.
COLOURS = {names.NONLINEAR: "#d55e00", names.AFFINE: "#0072b2", names.INCONCLUSIVE: "#6b7681"}
"""Colours of marks and of the edges of bars: each stands out from white by 3 to 1 at least."""
FILLS = COLOURS | {names.INCONCLUSIVE: "#dde2e7"}
"""Colours that fill bars; in grey they still differ."""
HATCHES = {names.NONLINEAR: "////", names.AFFINE: "", names.INCONCLUSIVE: ""}
MARKERS = {names.NONLINEAR: "^", names.AFFINE: "o", names.INCONCLUSIVE: "x"}
TRIPLE_COLOURS = {
    names.KEPT: "#0072b2",
    names.DISTORTED: "#d55e00",
    names.DEPENDENT: "#008563",
    names.HIDDEN: "#b4578c",
    names.UNDETERMINED: "#6b7681",
}
"""Colours of the calls of triples; bars of false edges are hatched besides."""
THIRD_COLOURS = {"low": "#3a87c0", "middle": "#a3478f", "high": "#1d2733"}
"""From light to dark as the middle gene rises."""
THIRD_MARKERS = {"low": "o", "middle": "^", "high": "s"}
REGIME_COLOURS = {"within": "#0072b2", "mixed": "#d55e00", "between": "#008563"}
REGIME_MARKERS = {"within": "o", "mixed": "^", "between": "s"}
MANY = LinearSegmentedColormap.from_list("many", ["#c3d9ec", "#4a90c2", "#08306b"])
"""Colours of counts: the smallest still stands out from white."""
LEVEL_COLOURS = ("#0072b2", "#d55e00", "#008563", "#b4578c", "#8a6d00", "#1d2733")
LEVEL_MARKERS = ("o", "^", "s", "D", "v", "P")
FEW = 200
"""Points so few that each is drawn large."""
FEW_TO_PRESS = 10
"""Points that an axis needs before it is pressed together."""
MANY_PLACES = 3
"""Powers of ten that are enough for an axis."""
ROOM_OF_SIGN = 0.045
"""Share of the smallest axis that is drawn (1.3 inches) which a sign of a label takes."""
MOST_PRESSED = 0.2
"""Part of an axis into which nine of ten points would fall."""
FEW_GENES = 8
"""Places for genes that a picture has at least."""
INK = "#1d2733"
SOFT = "#5b6773"


def new_axes(
    width: float = 4.0,
    height: float = 2.9,
    *,
    figure: Figure | None = None,
    place: tuple[int, int, int] = (1, 1, 1),
) -> Axes:
    """Axes in a new figure, or at a place of one."""
    ax = (figure or Figure(figsize=(width, height), layout="constrained")).add_subplot(*place)
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=8)
    ax.xaxis.label.set_fontsize(8.5)
    ax.yaxis.label.set_fontsize(8.5)
    return ax


def frame_points(ax: Axes, points: pd.DataFrame, y: str = "y") -> None:
    """Let the points, not the curves, decide what is seen."""
    for of, axis, limit in (("x", ax.xaxis, ax.set_xlim), (y, ax.yaxis, ax.set_ylim)):
        if len(points):
            scale = axis.get_transform()
            low, high = scale.transform([float(points[of].min()), float(points[of].max())])
            pad = 0.04 * (high - low) or 0.5
            limit(*scale.inverted().transform([low - pad, high + pad]))


def press_skewed(ax: Axes, points: pd.DataFrame) -> None:
    """Press the far ends of an axis together where nine of ten points would share a fifth of it.

    The scale is that of asinh: linear near 0, logarithmic far from it, so that negative values have a place.
    """
    for of, axis, scale in (("x", ax.xaxis, ax.set_xscale), ("y", ax.yaxis, ax.set_yscale)):
        values = points[of].to_numpy(dtype=float)
        if len(values) < FEW_TO_PRESS or not np.ptp(values):
            continue
        inner = _shortest(np.sort(values))
        if 0 < inner < MOST_PRESSED * np.ptp(values):
            scale("asinh", linear_width=inner / 3)
            axis.set_major_locator(FixedLocator(_places_of_pressed(values, inner / 3)))
            axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
            axis.set_minor_locator(NullLocator())


def _shortest(values: np.ndarray) -> float:
    """Length of the shortest interval that holds nine of ten values, which are sorted."""
    n = math.ceil(0.9 * len(values))
    return float((values[n - 1 :] - values[: len(values) - n + 1]).min())


def _places_of_pressed(values: np.ndarray, width: float) -> list[float]:
    """Zero, and powers of ten beyond the linear part; of few, three times each as well; those with room."""
    first, last = math.ceil(math.log10(width)), math.floor(math.log10(np.abs(values).max()))
    powers = [10.0**n for n in range(last, first - 1, -1)]
    more = [3 * place for place in powers] + ([0.3 * powers[-1]] if powers else [])
    places = [0.0, *powers, *(more if len(powers) < MANY_PLACES else [])]
    signed = [sign * place for place in places for sign in ((1, -1) if place else (1,))]
    inside = [place for place in signed if values.min() <= place <= values.max()]
    kept: list[float] = []
    span = float(np.ptp(np.arcsinh(values / width)))
    for place in inside:
        if all(_apart(place, other, width) > span * _room(place, other) for other in kept):
            kept.append(place)
    return sorted(kept) if len(kept) > 1 else [float(values.min()), float(values.max())]


def _apart(one: float, other: float, width: float) -> float:
    """Distance on the pressed scale."""
    return abs(math.asinh(one / width) - math.asinh(other / width))


def _room(one: float, other: float) -> float:
    """What two labels side by side take of a small axis."""
    return ROOM_OF_SIGN * (len(short(one)) + len(short(other)) + 1) / 2


def bars(draw: Any, place: Any, length: np.ndarray, call: str, **where: Any) -> None:
    """Bars in the colour and hatch of a call."""
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


def legend_above(ax: Axes, gap: float = 0.02, **options: Any) -> None:
    """Put the legend above the axes; ``options`` as for ``Axes.legend``."""
    style: dict[str, Any] = {
        "loc": "lower left",
        "bbox_to_anchor": (0, 1 + gap),
        "ncols": 3,
        "frameon": False,
        "fontsize": 7.5,
        "borderaxespad": 0,
        "borderpad": 0,
        "columnspacing": 1.2,
        "handletextpad": 0.5,
        "markerscale": 1.4,
    }
    legend = ax.legend(**(style | options))
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set_alpha(1)
    for text in legend.get_texts():
        text.set_parse_math(False)


def legend_of_levels(ax: Axes, levels: list[str]) -> None:
    """Legend of the markers of levels."""
    for i, level in enumerate(levels):
        ax.plot([], [], LEVEL_MARKERS[i], color=LEVEL_COLOURS[i], markersize=4, label=shown(level, 14))
    legend = ax.legend(
        frameon=False, fontsize=7, handletextpad=0.2, borderaxespad=0, columnspacing=0.8, labelspacing=0.2
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def shown(name: object, limit: int = 22) -> str:
    """Return a name without control characters or direction marks, and short."""
    return printable(name, limit)


def short(n: float) -> str:
    """Return a number in few characters.

    Examples
    --------
    >>> [short(n) for n in (0, 950, 12_345, 999_999, 3_400_000)]
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


def scale_of_totals(ax: Axes, table: pd.DataFrame) -> None:
    """Logarithmic where the bins are, with few ticks, so that their labels have room."""
    steps = np.diff(table["low"])
    if steps[-1] > 1.5 * steps[0]:
        decades = np.log10(table["high"].iloc[-1]) - np.log10(table["low"].iloc[0])
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2 else (1,), numticks=6))
        ax.xaxis.set_minor_locator(NullLocator())
    else:
        ax.xaxis.set_major_locator(MaxNLocator(4))
    thousands = EngFormatter(sep="")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda n, _: thousands(n) if abs(n) >= 1 else f"{n:g}"))


def mean_variance(ax: Axes, table: pd.DataFrame) -> None:
    """Variance of each gene over its mean."""
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


def scale_of_sizes(ax: Axes, ratio: float) -> None:
    """Few ticks, plain numbers."""
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if ratio < 60 else (1,), numticks=8))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda count, _: short(count)))


def triple_points(ax: Axes, dots: pd.DataFrame, row: pd.Series, picture: str) -> None:
    """Samples of a triple, as residuals of x and z."""
    few = len(dots) < FEW
    style: dict[str, Any] = {
        "s": 20 if few else 9,
        "alpha": 0.8 if few else 0.55,
        "edgecolor": "white" if few else "none",
        "linewidth": 0.5,
        "zorder": 3,
        "rasterized": True,
    }
    if picture != VALUES:
        ax.scatter(dots["x"], dots["z"], color=COLOURS[names.AFFINE], **style)
        return
    for third, marker in THIRD_MARKERS.items():
        part = dots[dots["third"] == third]
        if len(part):
            ax.scatter(part["x"], part["z"], color=THIRD_COLOURS[third], marker=marker, label=third, **style)
    handles, labels = ax.get_legend_handles_labels()
    labels = [f"{shown(row['y_symbol'], 10)} {labels[0]}", *labels[1:]]
    legend_above(ax, handles=handles, labels=labels, fontsize=7, columnspacing=0.5, handletextpad=0)


def triple_labels(ax: Axes, row: pd.Series, picture: str) -> None:
    """Titles in numbers, and what the axes are."""
    x, z = (shown(row[f"{end}_symbol"]) for end in "xz")
    unit = "sd"
    if picture == VALUES:
        unit = row["unit"]
        ax.set_title(f"correlation {_signed(row['correlation'])}", fontsize=8.5, pad=18)
    elif picture == SPLINE:
        ax.set_title(f"given a curve: {_signed(row['partial_spline'])}", fontsize=8.5)
    else:
        ax.set_title(f"given a line: {_signed(row['partial_linear'])}", fontsize=8.5)
        unit = f"sd, pools of {row['n_pooled']:.0f} cells" if row["n_pooled"] > 1 else unit
    ax.set_xlabel(f"{x}\n{unit}", parse_math=False)
    ax.set_ylabel(z, parse_math=False)


def _signed(value: float) -> str:
    return "unknown" if pd.isna(value) else f"{value:.2f}".replace("-", "\u2212")
