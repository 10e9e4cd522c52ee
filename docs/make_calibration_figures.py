"""Measure how tests of linearity mislead, draw it, and write the numbers into the page that explains it.

``python docs/make_calibration_figures.py`` simulates, draws and writes (about three minutes on one core).
With ``--from-csv`` it only draws and writes, from the tables beside the figures. With ``--check`` it
writes nothing: exit code 1 and one line if the numbers of the page are not those of the tables.

Every study makes many independent pairs of genes with a known truth and gives them to
``poolproof.linearity``; all but ``split_counts`` are simulated. The seed is fixed.
"""

from __future__ import annotations

import math
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator, PercentFormatter

import poolproof
from poolproof import _names as names
from poolproof._random import stream
from poolproof.pairs.figures import WORDS
from poolproof.report.drawing import COLOURS, HATCHES, SOFT

HERE = Path(__file__).resolve().parent
FIGURES = HERE / "explanation" / "figures"
PAGE = HERE / "explanation" / "why-the-usual-tests-mislead.md"
COMMAND = "python docs/make_calibration_figures.py"
LEVEL = 0.05

Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]


# --- what the studies share -----------------------------------------------------------------------------


def pair_table(
    x: np.ndarray, y: np.ndarray, test: str, *, rest: np.ndarray | None = None, **options: Any
) -> pd.DataFrame:
    """Test column i of x against column i of y, one row a pair.

    ``rest`` holds the counts of all other genes of each cell, shape ``(n_obs,)``.
    """
    m = x.shape[1]
    data = pd.DataFrame(np.hstack([x, y])).rename(columns=lambda i: f"x{i}" if i < m else f"y{i - m}")
    if rest is not None:
        data["rest"] = rest
    pairs = [(f"x{i}", f"y{i}") for i in range(m)]
    result = poolproof.linearity(data, pairs=pairs, test=test, keep="all", threads=1, **options)
    return result.table.set_index("regulator").loc[[x for x, _ in pairs]]


def rejected(table: pd.DataFrame, level: float = LEVEL) -> float:
    """Share of the tested pairs with a p-value below the level."""
    return float((table["p_value"].dropna() < level).mean())


bulk = partial(pair_table, kind="bulk", scale="additive")


# --- 1. noise that grows with expression ----------------------------------------------------------------

X_LAWS: dict[str, Draw] = {
    "log-normal": lambda rng, shape: rng.lognormal(0.0, 1.0, shape),
    "gamma": lambda rng, shape: rng.gamma(2.0, size=shape),
    "70 % zeros": lambda rng, shape: rng.gamma(2.0, size=shape) * (rng.random(shape) < 0.3),
    "Poisson-gamma": lambda rng, shape: rng.poisson(5 * rng.gamma(2.0, size=shape)).astype(float),
}
SAMPLES = (30, 70, 150, 500, 2000)


def noise_study() -> pd.DataFrame:
    """Straight relations, the noise's standard deviation half of the target's mean."""
    rows = []
    for law, draw in X_LAWS.items():
        for n in SAMPLES:
            rows += noise_rows(law, draw, n)
    return pd.DataFrame(rows)


def noise_rows(law: str, draw: Draw, n: int, n_pairs: int = 1000) -> Iterator[dict[str, Any]]:
    """Rejections of one law and number of samples by either test."""
    rng = stream(0, "noise", law, n)
    x = draw(rng, (n, n_pairs))
    mean = 1 + x
    y = mean * (1 + 0.5 * rng.normal(size=x.shape))
    for test in ("classical", "robust"):
        table = bulk(x, y, test)
        yield {"law": law, "n": n, "test": test, "n_pairs": int(table["p_value"].notna().sum())} | {
            "rejected": rejected(table)
        }


# --- 2. counting noise ----------------------------------------------------------------------------------

LEVEL_LAWS: dict[str, Draw] = {
    "two states": lambda rng, shape: (
        np.where(rng.random(shape) < 0.5, 0.25, 1.75) * rng.gamma(25.0, 1 / 25, shape)
    ),
    "log-normal": lambda rng, shape: np.exp(0.7 * rng.normal(size=shape) - 0.245),
    "gamma": lambda rng, shape: rng.gamma(2.0, 0.5, shape),
}
MEAN_COUNTS = (1, 2, 5, 10, 20)
N_CELLS = 2000


def counting_study() -> pd.DataFrame:
    """Counts of two genes whose true levels are on a line, by law of the level and by depth."""
    rows = []
    for law, draw in LEVEL_LAWS.items():
        for mean in MEAN_COUNTS:
            rows += counting_rows(law, draw, mean)
    return pd.DataFrame(rows)


def counting_rows(law: str, draw: Draw, mean: float, n_pairs: int = 400) -> Iterator[dict[str, Any]]:
    """Rejections of one law and depth by the naive and by the corrected test, of the same pairs."""
    rng = stream(0, "counting", law, mean)
    x = draw(rng, (N_CELLS, n_pairs))
    y = (0.3 + 0.7 * x) * rng.gamma(4.0, 0.25, x.shape)
    total = np.round(40_000 * (rng.gamma(4.0, 0.25, (N_CELLS, 1)) + 0.1)).astype(int)
    share = mean / 44_000  # of a cell's molecules: `mean` of them in a cell of mean depth
    counts_x = rng.binomial(total, share * x)
    counts_y = rng.binomial(total - counts_x, share * y / (1 - share * x))
    rest = total[:, 0] - counts_x.sum(axis=1) - counts_y.sum(axis=1)
    corrected = pair_table(
        counts_x, counts_y, "corrected", rest=rest, kind="single-cell", scale="counts", size_factors="total"
    )
    naive = pair_table(
        counts_x / total * 1e4, counts_y / total * 1e4, "robust", kind="single-cell", scale="additive"
    )
    testable = corrected["p_value"].notna() & naive["p_value"].notna()
    for test, table in (("naive", naive), ("corrected", corrected)):
        yield {"law": law, "mean_count": mean, "test": test, "n_pairs": int(testable.sum())} | {
            "rejected": rejected(table[testable])
        }


# --- 3. real counts, split in two -----------------------------------------------------------------------

LEVELS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
N_SPLITS = 4
DATASET = "sc_mixology_10x_3lines"


def split_study() -> pd.DataFrame:
    """Each gene of the real cells against itself: every molecule goes to one of two halves by a coin."""
    rows = []
    for cells, within in (("three lines mixed", ()), ("within each line", "cell_line")):
        splits = [split_tables(split, within) for split in range(N_SPLITS)]
        for test in ("naive", "corrected"):
            table = pd.concat([tables[test] for tables in splits])
            for level in LEVELS:
                rows.append({"cells": cells, "test": test, "level": level})
                rows[-1] |= {"n_genes": table.index.nunique(), "n_pairs": len(table)}
                rows[-1]["rejected"] = (table["p_value"] <= level).mean()
    return pd.DataFrame(rows)


def split_tables(split: int, within: str | tuple[()]) -> dict[str, pd.DataFrame]:
    """Both tests of the genes that the corrected test can judge, first half -> other half."""
    halves, depth = split_in_two(poolproof.load_dataset(DATASET), stream(0, "split", split))
    genes = halves.n_vars // 2
    pairs = list(zip(halves.var_names[:genes], halves.var_names[genes:], strict=True))
    test = partial(poolproof.linearity, pairs=pairs, keep="all", within=within, threads=1)
    corrected = test(halves, test="corrected", scale="counts").table.set_index("regulator")
    halves.X = halves.X / depth * 1e4
    naive = test(halves, test="robust", scale="additive").table.set_index("regulator")
    testable = corrected.index[corrected["p_value"].notna()]
    return {"naive": naive.loc[testable], "corrected": corrected.loc[testable]}


def split_in_two(cells: AnnData, rng: np.random.Generator) -> tuple[AnnData, np.ndarray]:
    """Both halves of every count side by side, and the cells' library sizes, shape ``(n_obs, 1)``."""
    counts = cells.X.toarray().astype(np.int64)
    first = rng.binomial(counts, 0.5)
    halves = AnnData(np.hstack([first, counts - first]).astype(float), obs=cells.obs)
    halves.var_names = [f"{gene}, {half} half" for half in ("first", "other") for gene in cells.var_names]
    return halves, cells.obs["total_count_per_cell"].to_numpy()[:, None]


# --- 4. not rejected is not linear ----------------------------------------------------------------------

TRUTHS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "straight": lambda x: 1 + x,
    "saturating": lambda x: x / (1 + x),
}
SIZES = (20, 50, 100, 200, 500, 1000)
CALLS = (names.NONLINEAR, names.INCONCLUSIVE, names.AFFINE)
MARGIN = 0.1


def power_study() -> pd.DataFrame:
    """How a straight and a saturating relation are judged, by number of samples."""
    return pd.DataFrame([power_row(truth, n) for truth in TRUTHS for n in SIZES])


def power_row(truth: str, n: int, n_pairs: int = 1000) -> dict[str, Any]:
    """Shares of the three answers, and of the pairs that the test does not reject."""
    rng = stream(0, "power", truth, n)
    x = rng.gamma(2.0, size=(n, n_pairs))
    y = TRUTHS[truth](x) * (1 + 0.3 * rng.normal(size=x.shape))
    table = bulk(x, y, "robust")
    affine = table["nonlinear_share_upper"] < MARGIN
    bent = (table["p_value"] < LEVEL) & ~affine
    return {
        "truth": truth,
        "n": n,
        "n_pairs": n_pairs,
        "not_rejected": 1 - rejected(table),
        names.NONLINEAR: bent.mean(),
        names.AFFINE: affine.mean(),
        names.INCONCLUSIVE: (~affine & ~bent).mean(),
        "median_nonlinear_share": table["nonlinear_share"].median(),
        "median_r2": table["r2_spline"].median(),
    }


# --- 5. the logarithm bends a line ----------------------------------------------------------------------

CONSTANTS = (0.0, 0.25, 0.5, 0.75)
LOG_SIZES = (30, 50, 100, 200, 500)


def log_study() -> pd.DataFrame:
    """Straight relations, tested as amounts and as logs, by the constant's part of the target's mean."""
    rows = []
    for constant in CONSTANTS:
        for n in LOG_SIZES:
            amounts = straight_amounts(constant, n, 1000, stream(0, "log", str(constant), n))
            for scale, (x, y) in {"additive": amounts, "log": [np.log2(v + 1) for v in amounts]}.items():
                table = pair_table(x, y, "robust", kind="bulk", scale=scale)
                rows.append({"constant": constant, "n": n, "scale": scale, "n_pairs": len(table)})
                rows[-1]["rejected"] = rejected(table)
    return pd.DataFrame(rows)


def straight_amounts(
    constant: float, n: int, n_pairs: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Regulators of mean 50 and targets on a line, of mean 50, each with noise in proportion to it."""
    x = 50 * rng.lognormal(-0.32, 0.8, (n, n_pairs))
    y = 50 * constant + (1 - constant) * x
    return x, y * rng.lognormal(-0.045, 0.3, x.shape)


def log_example() -> pd.DataFrame:
    """Samples of one such pair, and its fitted line and curve, on both scales."""
    amounts = straight_amounts(0.5, 300, 1, stream(0, "log example"))
    parts = []
    for scale, (x, y) in {"additive": amounts, "log": [np.log2(v + 1) for v in amounts]}.items():
        data = pd.DataFrame({"x": x[:, 0], "y": y[:, 0]})
        result = poolproof.linearity(data, kind="bulk", scale=scale, test="robust", threads=1)
        curve = result.curve("x", "y", n_points=60)[["x", "linear", "curve"]]
        parts += [data.assign(scale=scale, part="sample"), curve.assign(scale=scale, part="fit")]
    return pd.concat(parts, ignore_index=True)[["scale", "part", "x", "y", "linear", "curve"]]


# --- figures --------------------------------------------------------------------------------------------

STYLE = {
    "classical": {"color": COLOURS[names.NONLINEAR], "marker": "^", "label": "classical F"},
    "naive": {"color": COLOURS[names.NONLINEAR], "marker": "^", "label": "naive: counts divided by depth"},
    "robust": {"color": COLOURS[names.AFFINE], "marker": "o", "label": "robust score"},
    "corrected": {"color": COLOURS[names.AFFINE], "marker": "o", "label": "corrected for counting noise"},
    "log": {"color": COLOURS[names.NONLINEAR], "marker": "^", "label": "tested on logs"},
    "additive": {"color": COLOURS[names.AFFINE], "marker": "o", "label": "tested on amounts"},
}
"""Colour, marker and words: orange triangles mislead, blue circles do not."""
RC = {"svg.hashsalt": "poolproof", "font.size": 8.5, "axes.titlesize": 9, "legend.fontsize": 8}


def panels(n: int, width: float, height: float, *, share_y: bool = True) -> tuple[Figure, list[Axes]]:
    """Figure with axes side by side."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = list(figure.subplots(1, n, sharey=share_y, squeeze=False)[0])
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes


def rejection_lines(ax: Axes, table: pd.DataFrame, by: str) -> None:
    """One line a test; the level as a dashed line."""
    for test, part in table.groupby("test", sort=False):
        ax.plot(part[by], part["rejected"], linewidth=1.4, markersize=5, **STYLE[str(test)])
    ax.axhline(LEVEL, color=SOFT, linestyle="--", linewidth=0.9)
    log_axis(ax, table[by].unique())
    ax.yaxis.set_major_formatter(PercentFormatter(1))


def log_axis(ax: Axes, ticks: Sequence[int]) -> None:
    """Logarithmic x axis that names the values used."""
    ax.set_xscale("log")
    ax.set_xticks(ticks)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_locator(NullLocator())


def legend_above(figure: Figure, ax: Axes, *, columns: int = 3) -> None:
    """Legend over the panels, with the level."""
    handles, labels = ax.get_legend_handles_labels()
    level = mpl.lines.Line2D([], [], color=SOFT, linestyle="--", linewidth=0.9)
    figure.legend(
        [*handles, level], [*labels, "the level, 5 %"], loc="outside upper left", ncols=columns, frameon=False
    )


def draw_noise(table: pd.DataFrame) -> Figure:
    """Rejections of straight relations over n, one panel a law."""
    figure, axes = panels(4, 7.4, 2.7)
    for ax, (law, part) in zip(axes, table.groupby("law", sort=False), strict=True):
        rejection_lines(ax, part, "n")
        ax.set_title(str(law), loc="left")
        ax.set_xlabel("samples")
        ax.tick_params(axis="x", labelsize=7)
    axes[0].set(ylim=(0, None), ylabel="straight relations\ncalled bent")
    legend_above(figure, axes[0])
    return figure


def draw_counting(table: pd.DataFrame) -> Figure:
    """Rejections of straight relations over the depth, one panel a law."""
    figure, axes = panels(3, 7.4, 2.7)
    for ax, (law, part) in zip(axes, table.groupby("law", sort=False), strict=True):
        rejection_lines(ax, part, "mean_count")
        ax.set_title(f"true level: {law}", loc="left")
        ax.set_xlabel("mean count per cell")
    axes[0].set(ylim=(0, 1.03), ylabel="straight relations\ncalled bent")
    legend_above(figure, axes[0])
    return figure


def draw_split(table: pd.DataFrame) -> Figure:
    """Share of rejections against the level that was asked for, cells mixed and apart."""
    figure, axes = panels(2, 6.4, 3.2)
    for ax, (cells, part) in zip(axes, table.groupby("cells", sort=False), strict=True):
        for test, line in part.groupby("test", sort=False):
            ax.plot(line["level"], line["rejected"], linewidth=1.4, markersize=4.5, **STYLE[str(test)])
        ax.plot(
            [0, 1], [0, 1], color=SOFT, linestyle="--", linewidth=0.9, label="a test that keeps its level"
        )
        ax.set_title(str(cells), loc="left")
        ax.set(xlim=(0, 1.01), ylim=(0, 1.02), xlabel="level of the test")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(PercentFormatter(1))
    axes[0].set_ylabel("genes called bent against themselves")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=3, frameon=False)
    return figure


def draw_power(table: pd.DataFrame) -> Figure:
    """The three answers as stacked bars over n; dots: pairs that the test does not reject."""
    figure, axes = panels(2, 7.4, 3.0)
    for ax, (truth, part) in zip(axes, table.groupby("truth", sort=False), strict=True):
        place, bottom = np.arange(len(part)), np.zeros(len(part))
        for call in CALLS:
            look = {"color": COLOURS[call], "hatch": HATCHES[call], "label": WORDS[call]}
            ax.bar(place, part[call], bottom=bottom, width=0.8, edgecolor="white", linewidth=0.4, **look)
            bottom += part[call].to_numpy()
        ax.plot(
            place,
            part["not_rejected"],
            "kD-",
            markersize=5,
            markerfacecolor="white",
            label="not rejected at 5 %",
        )
        ax.set_xticks(place, part["n"])
        ax.set(ylim=(0, 1), xlabel="samples", title=f"the truth: {truth}")
        ax.yaxis.set_major_formatter(PercentFormatter(1))
    axes[0].set_ylabel("share of pairs")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=4, frameon=False)
    return figure


def draw_log(table: pd.DataFrame, example: pd.DataFrame) -> Figure:
    """One pair on both scales; rejections by number of samples and by constant."""
    figure, axes = panels(3, 7.8, 2.8, share_y=False)
    words = {"additive": "amounts", "log": "log2(amount + 1)"}
    for ax, (scale, part) in zip(axes[:2], example.groupby("scale", sort=False), strict=True):
        look = STYLE[str(scale)]
        dots, fit = part[part["part"] == "sample"], part[part["part"] == "fit"]
        ax.scatter(dots["x"], dots["y"], s=5, color=SOFT, alpha=0.5, linewidth=0)
        ax.plot(fit["x"], fit["linear"], "--", color="black", linewidth=1.1, label="line")
        ax.plot(fit["x"], fit["curve"], color=look["color"], linewidth=1.8, label="curve")
        ax.set_title(words[str(scale)], loc="left")
        ax.set(xlabel="regulator", ylabel="target")
        ax.legend(frameon=False, loc="upper left")
    ax = axes[2]
    dashes = {0.0: ":", 0.25: "-.", 0.5: "--", 0.75: "-"}
    for (scale, constant), part in table.groupby(["scale", "constant"], sort=False):
        look = STYLE[str(scale)] | {"linestyle": dashes[float(str(constant))]}
        look["label"] = f"logs, {constant:.0%}" if scale == "log" else "_"
        ax.plot(part["n"], part["rejected"], linewidth=1.2, markersize=4, **look)
    ax.plot([], [], **STYLE["additive"] | {"label": "amounts, each"})
    log_axis(ax, LOG_SIZES)
    ax.set(ylim=(0, 1.03), xlabel="samples", ylabel="straight relations called bent")
    ax.set_title("many such pairs", loc="left")
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.6), title="constant")
    return figure


# --- the numbers in the page ----------------------------------------------------------------------------


def percent(share: float) -> str:
    """Whole percent; what is not quite none or all says so."""
    if 0 < share < 0.005:
        return "under 1 %"
    return "over 99 %" if 0.995 <= share < 1 else f"{math.floor(100 * share + 0.5)} %"


def percent_range(shares: pd.Series) -> str:
    """Smallest to largest."""
    low, high = percent(shares.min()), percent(shares.max())
    if shares.min() < 0.005:
        return f"at most {high}"
    return high if low == high else f"{low.removesuffix(' %')} to {high}"


def say_noise(table: pd.DataFrame) -> str:
    """Table of rejections, and the worst of them."""
    wide = table.pivot(index=["law", "test"], columns="n", values="rejected")
    header = ["regulator", "test", *(f"n = {n:,}" for n in wide.columns)]
    rows = [[law, STYLE[test]["label"], *map(percent, of)] for (law, test), of in by_law(wide, table)]
    worst, robust = wide.loc["log-normal", "classical"], wide.xs("robust", level="test")
    first, second, *_, last = wide.columns
    return f"""\
{markdown(header, rows)}

The classical F test calls {percent(worst[first])} of the straight relations bent at {first} samples of a
log-normal regulator, and {percent(worst[last])} at {last:,}: more data make it worse. The robust score
rejects {percent_range(robust.loc[:, second:].stack())} of them from {second} samples on. At {first} samples
it rejects {percent_range(robust[first])}: with so few it keeps silent rather than err. {runs(table)}"""


def say_counting(table: pd.DataFrame) -> str:
    """Table of rejections, and what they say."""
    wide = table.pivot(index=["law", "test"], columns="mean_count", values="rejected")
    header = ["true level", "test", *(f"mean count {n}" for n in wide.columns)]
    rows = [[law, test, *map(percent, of)] for (law, test), of in by_law(wide, table)]
    naive, corrected = wide.xs("naive", level="test"), wide.xs("corrected", level="test")
    return f"""\
{markdown(header, rows)}

Where cells are in one of two states, the naive test calls {percent_range(naive.loc["two states"])} of the
straight relations bent; with a log-normal level {percent_range(naive.loc["log-normal"])}; with a gamma level
{percent_range(naive.loc["gamma"])}. The corrected test rejects {percent_range(corrected.stack())} throughout.
{runs(table)}"""


def say_split(table: pd.DataFrame) -> str:
    """Rejections at the usual level, cells mixed and apart."""
    wide = table[table["level"] == LEVEL].set_index(["cells", "test"])
    mixed, apart = wide.loc["three lines mixed"], wide.loc["within each line"]
    return f"""\
With the three lines mixed, the naive test calls {percent(mixed["rejected"]["naive"])} of the genes bent
against themselves at the level 5 %, the corrected test {percent(mixed["rejected"]["corrected"])}
({mixed["n_pairs"].iloc[0]:,} splits of {mixed["n_genes"].iloc[0]} genes). Within each line it is
{percent(apart["rejected"]["naive"])} and {percent(apart["rejected"]["corrected"])}
({apart["n_pairs"].iloc[0]:,} splits of {apart["n_genes"].iloc[0]} genes)."""


def say_power(table: pd.DataFrame) -> str:
    """Table of answers, and what "not rejected" would have said."""
    of = table.set_index(["truth", "n"])
    columns = ["not_rejected", *CALLS]
    header = ["truth", "samples", "not rejected", *(WORDS[call] for call in CALLS)]
    rows = [[truth, f"{n:,}", *map(percent, row[columns])] for (truth, n), row in of.iterrows()]
    bent, straight = of.loc["saturating"], of.loc["straight"]
    few, last = 50, int(table["n"].max())
    return f"""\
{markdown(header, rows)}

The saturating relation is far from straight: its bend is {percent(bent["median_nonlinear_share"][last])} of
what the regulator explains (median at {last:,} samples). Yet with {few} samples
{percent(bent["not_rejected"][few])} of these pairs are not rejected, and whoever takes that for linear is
wrong that often. The equivalence test calls {percent(bent[names.AFFINE][few])} of them affine and leaves
the others open. Of the straight relations it calls {percent(straight[names.AFFINE][few])} affine at {few}
samples and {percent(straight[names.AFFINE][last])} at {last:,}: a straight look has to be earned with data.
{runs(table)}"""


def say_log(table: pd.DataFrame) -> str:
    """Table of rejections on both scales."""
    wide = table.pivot(index=["constant", "scale"], columns="n", values="rejected")
    header = ["constant, share of the target's mean", "tested on", *(f"n = {n}" for n in wide.columns)]
    words = {"additive": "amounts", "log": "logs"}
    rows = [[percent(c), words[scale], *map(percent, of)] for (c, scale), of in wide.iterrows()]
    half, amounts = wide.loc[0.5, "log"], wide.xs("additive", level="scale")
    return f"""\
{markdown(header, rows)}

Where half of the target's mean is constant, the test on logs calls {percent(half[100])} of the straight
relations bent at 100 samples and {percent(half[500])} at 500. On amounts it calls
{percent_range(amounts.stack())} bent, whatever the constant. {runs(table)}"""


def by_law(wide: pd.DataFrame, table: pd.DataFrame) -> Iterator[tuple[tuple[str, str], pd.Series]]:
    """Rows of a wide table in the order of the long one."""
    for law, test in dict.fromkeys(zip(table["law"], table["test"], strict=True)):
        yield (law, test), wide.loc[(law, test)]


def runs(table: pd.DataFrame) -> str:
    """How many pairs stand behind each share."""
    low, high = int(table["n_pairs"].min()), int(table["n_pairs"].max())
    return (
        f"Each share is of {low:,} pairs." if low == high else f"Each share is of {low:,} to {high:,} pairs."
    )


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Table of Markdown."""
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, ["---"] * len(header), *rows])


# --- putting it together --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Study:
    """One figure: its tables by name, its picture, its paragraph."""

    tables: dict[str, Callable[[], pd.DataFrame]]
    draw: Callable[..., Figure]
    say: Callable[[pd.DataFrame], str]


STUDIES = {
    "noise": Study({"noise": noise_study}, draw_noise, say_noise),
    "counting": Study({"counting": counting_study}, draw_counting, say_counting),
    "split_counts": Study({"split_counts": split_study}, draw_split, say_split),
    "power": Study({"power": power_study}, draw_power, say_power),
    "log_scale": Study({"log_scale": log_study, "log_scale_example": log_example}, draw_log, say_log),
}


def read_tables(study: Study) -> list[pd.DataFrame]:
    """Tables of a study, from its files."""
    return [pd.read_csv(FIGURES / f"{name}.csv") for name in study.tables]


def page_text(page: str) -> str:
    """Page with every marked paragraph written anew from the tables."""
    for name, study in STUDIES.items():
        text = fill(study.say(read_tables(study)[0]))
        block = re.compile(rf"(<!-- numbers: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not block.search(page):
            raise ValueError(f"{PAGE.name} has no place for the numbers of {name}")
        page = block.sub(lambda m, text=text: f"{m[1]}\n{text}\n\n{m[2]}", page)
    return page


def fill(text: str, width: int = 110) -> str:
    """Wrap paragraphs; tables stay as they are, and a number keeps its percent sign."""
    chunks = []
    for chunk in text.split("\n\n"):
        if not chunk.startswith("|"):
            whole = " ".join(chunk.split()).replace(" %", "\0%")
            chunk = textwrap.fill(whole, width, break_long_words=False, break_on_hyphens=False)
        chunks.append(chunk.replace("\0", " "))
    return "\n\n".join(chunks)


def main(arguments: Sequence[str]) -> int:
    """Simulate, draw and write; return the exit code."""
    old = PAGE.read_text(encoding="utf-8")
    if "--check" in arguments:
        stale = page_text(old) != old
        if stale:
            sys.stderr.write(f"the numbers of {PAGE.name} are stale: run {COMMAND} --from-csv\n")
        return int(stale)
    FIGURES.mkdir(parents=True, exist_ok=True)
    for name, study in STUDIES.items():
        if "--from-csv" not in arguments:
            for table, make in study.tables.items():
                make().to_csv(FIGURES / f"{table}.csv", index=False, float_format="%.6g")
        with mpl.rc_context(RC):
            figure = study.draw(*read_tables(study))
            figure.savefig(FIGURES / f"{name}.svg", metadata={"Date": None})
    PAGE.write_text(page_text(old), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
