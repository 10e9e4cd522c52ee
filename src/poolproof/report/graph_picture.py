"""A causal graph drawn in layers, from regulators at the top to targets at the bottom."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import networkx as nx
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, PathPatch, Polygon
from matplotlib.path import Path
from scipy.optimize import isotonic_regression

from .._checks import printable

Dashes: TypeAlias = Literal["solid"] | tuple[float, Sequence[float]]

STYLES: dict[str, tuple[str, Dashes, str]] = {
    "survives": ("#0072b2", "solid", "survives pooling"),
    "lost": ("#d55e00", (0, (4, 2.5)), "its form is lost"),
    "undecided": ("#55616d", (0, (1, 1.8)), "undecided"),
}
"""Colour, dashes and words of an edge."""
MAX_PER_LAYER = 12
N_SWEEPS = 12
MAX_LABEL = 18
LAYER_HEIGHT, NODE_HEIGHT, GAP, LETTER, MARGIN, LEGEND_WIDTH = 0.66, 0.24, 0.14, 0.078, 0.12, 1.5
"""Inches."""
INK = "#1d2733"

Spot: TypeAlias = tuple[str, ...]
"""A gene ``(name,)``, or ``(regulator, target, layer)`` where an edge passes through a layer."""


@dataclass(frozen=True)
class Layout:
    """Where everything is, in inches, y downwards."""

    place: dict[str, tuple[float, float]]
    """Centre of each gene."""
    routes: dict[tuple[str, str], list[tuple[float, float]]]
    """Points of each edge, from the centre of one gene to that of the other."""
    size: tuple[float, float]


def draw_graph(graph: nx.DiGraph, status: Mapping[tuple[str, str], str]) -> Axes:
    """Draw a graph.

    Parameters
    ----------
    graph
        Without cycles.
    status
        Of each edge: a key of ``STYLES``.
    """
    labels = {gene: printable(gene, MAX_LABEL) for gene in graph}
    widths = {gene: LETTER * max(len(label), 2) + 0.14 for gene, label in labels.items()}
    layout = arrange(graph, widths)
    used = [key for key in STYLES if key in status.values()]
    width, height = max(layout.size[0], LEGEND_WIDTH * len(used)), layout.size[1] + 0.3
    figure = Figure(figsize=(width, height))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(height, 0))
    ax.axis("off")
    shift = (width - layout.size[0]) / 2
    for edge, points in layout.routes.items():
        _draw_edge(ax, [(x + shift, y + 0.3) for x, y in points], status[edge])
    for gene, (x, y) in layout.place.items():
        _draw_gene(ax, labels[gene], x + shift, y + 0.3, widths[gene])
    lines = [Line2D([], [], color=STYLES[k][0], linestyle=STYLES[k][1], label=STYLES[k][2]) for k in used]
    if lines:
        ax.legend(
            handles=lines, loc="upper left", ncols=len(lines), frameon=False, fontsize=8, borderaxespad=0.2,
            columnspacing=1.2, handlelength=2.4,
        )  # fmt: skip
    return ax


def _draw_edge(ax: Axes, points: Sequence[tuple[float, float]], status: str) -> None:
    colour, dashes, _ = STYLES[status]
    head = 0.075
    (x0, y0), (x1, y1) = points[0], points[-1]
    tip = y1 - NODE_HEIGHT / 2
    stops = [(x0, y0 + NODE_HEIGHT / 2), *points[1:-1], (x1, tip - head)]
    vertices, codes = [stops[0]], [Path.MOVETO]
    for (xa, ya), (xb, yb) in itertools.pairwise(stops):
        middle = (ya + yb) / 2
        vertices += [(xa, middle), (xb, middle), (xb, yb)]
        codes += [Path.CURVE4] * 3
    path = Path(vertices, codes)
    ax.add_patch(PathPatch(path, fill=False, edgecolor=colour, linestyle=dashes, linewidth=1.3, zorder=1))
    corners = [(x1, tip), (x1 - 0.045, tip - head), (x1 + 0.045, tip - head)]
    ax.add_patch(Polygon(corners, facecolor=colour, edgecolor="none", zorder=2))


def _draw_gene(ax: Axes, label: str, x: float, y: float, width: float) -> None:
    box = FancyBboxPatch(
        (x - width / 2, y - NODE_HEIGHT / 2), width, NODE_HEIGHT, boxstyle="round,pad=0,rounding_size=0.06",
        facecolor="white", edgecolor=INK, linewidth=0.9, zorder=3,
    )  # fmt: skip
    ax.add_patch(box)
    ax.text(x, y, label, ha="center", va="center", fontsize=8.5, color=INK, zorder=4, parse_math=False)


# --- layout ---------------------------------------------------------------------------------------------


def arrange(graph: nx.DiGraph, widths: Mapping[str, float]) -> Layout:
    """Give every gene and every edge a place.

    Layers by the longest path, an order in each layer with few crossings (the mean place of the
    neighbours, swept down and up; Sugiyama, Tagawa and Toda 1981), then places that keep that order.

    Examples
    --------
    >>> chain = nx.DiGraph([("X", "Y"), ("Y", "Z")])
    >>> place = arrange(chain, {"X": 0.4, "Y": 0.4, "Z": 0.4}).place
    >>> place["X"][1] < place["Y"][1] < place["Z"][1]
    True
    """
    layer = layers(graph)
    spots = _with_passages(graph, layer)
    rows: list[list[Spot]] = [[] for _ in range(max(layer.values(), default=0) + 1)]
    for spot in spots:
        rows[_layer_of(spot, layer)].append(spot)
    rows = _few_crossings(spots, rows)
    x = _places(spots, rows, {s: widths[s[0]] if len(s) == 1 else 0.08 for s in spots})
    width = max((x[(g,)] + widths[g] / 2 for g in graph), default=1.0) + MARGIN

    def at(spot: Spot) -> tuple[float, float]:
        return x[spot], MARGIN + NODE_HEIGHT / 2 + LAYER_HEIGHT * _layer_of(spot, layer)

    routes = {
        (a, b): [at((a,)), *(at(_passage(a, b, i)) for i in range(layer[a] + 1, layer[b])), at((b,))]
        for a, b in graph.edges
    }
    width = max([width, *(point[0] + MARGIN for points in routes.values() for point in points)])
    height = 2 * MARGIN + NODE_HEIGHT + LAYER_HEIGHT * (len(rows) - 1)
    return Layout({g: at((g,)) for g in graph}, routes, (width, height))


def layers(graph: nx.DiGraph) -> dict[str, int]:
    """The layer of each gene, below all its regulators; at most 12 genes share one.

    Examples
    --------
    >>> layers(nx.DiGraph([("X", "Y"), ("X", "Z"), ("Y", "Z")]))
    {'X': 0, 'Y': 1, 'Z': 2}
    """
    layer: dict[str, int] = {}
    taken: Counter[int] = Counter()
    for gene in nx.topological_sort(graph):
        layer[gene] = max((layer[p] + 1 for p in graph.predecessors(gene)), default=0)
        while taken[layer[gene]] >= MAX_PER_LAYER:
            layer[gene] += 1
        taken[layer[gene]] += 1
    for gene in graph:  # a root stands just above its first target
        first = min((layer[c] for c in graph.successors(gene)), default=0) - 1
        if not graph.in_degree(gene) and first > layer[gene] and taken[first] < MAX_PER_LAYER:
            taken[layer[gene]] -= 1
            taken[first] += 1
            layer[gene] = first
    return layer


def _passage(a: str, b: str, i: int) -> Spot:
    return (a, b, str(i))


def _layer_of(spot: Spot, layer: Mapping[str, int]) -> int:
    return layer[spot[0]] if len(spot) == 1 else int(spot[2])


def _with_passages(graph: nx.DiGraph, layer: Mapping[str, int]) -> nx.DiGraph:
    """The graph with one spot for each layer that an edge passes through."""
    spots = nx.DiGraph()
    spots.add_nodes_from((gene,) for gene in graph)
    for a, b in graph.edges:
        nx.add_path(spots, [(a,), *(_passage(a, b, i) for i in range(layer[a] + 1, layer[b])), (b,)])
    return spots


def _few_crossings(spots: nx.DiGraph, rows: list[list[Spot]]) -> list[list[Spot]]:
    best, fewest = rows, _crossings(spots, rows)
    for sweep in range(N_SWEEPS):
        down = sweep % 2 == 0
        near = spots.predecessors if down else spots.successors
        place = {spot: i / len(row) for row in rows for i, spot in enumerate(row)}
        sorted_rows = []
        for row in rows if down else rows[::-1]:
            means = {s: np.mean([place[n] for n in near(s)] or [place[s]]) for s in row}
            row = sorted(row, key=means.__getitem__)
            place |= {spot: i / len(row) for i, spot in enumerate(row)}
            sorted_rows.append(row)
        rows = sorted_rows if down else sorted_rows[::-1]
        crossings = _crossings(spots, rows)
        if crossings < fewest:
            best, fewest = rows, crossings
    return best


def _crossings(spots: nx.DiGraph, rows: Sequence[Sequence[Spot]]) -> int:
    total = 0
    for upper, lower in itertools.pairwise(rows):
        place = {spot: i for i, spot in enumerate(lower)}
        ends = [(i, place[t]) for i, s in enumerate(upper) for t in spots.successors(s)]
        total += sum((a - c) * (b - d) < 0 for k, (a, b) in enumerate(ends) for c, d in ends[:k])
    return total


def _places(
    spots: nx.DiGraph, rows: Sequence[Sequence[Spot]], widths: Mapping[Spot, float]
) -> dict[Spot, float]:
    """Horizontal places: near the mean of the neighbours, in order, without overlap."""
    offsets = {}
    for row in rows:
        edge = 0.0
        for spot in row:
            offsets[spot] = edge + widths[spot] / 2
            edge += widths[spot] + GAP
    x = dict(offsets)
    for sweep in range(2 * N_SWEEPS):
        for row in rows if sweep % 2 == 0 else rows[::-1]:
            wanted = [np.mean([x[n] for n in (*spots.pred[s], *spots.succ[s])] or [x[s]]) for s in row]
            free = np.array(wanted) - [offsets[s] for s in row]
            moved = isotonic_regression(free).x if len(row) else free
            x |= {s: float(m + offsets[s]) for s, m in zip(row, moved, strict=True)}
    left = min((x[s] - widths[s] / 2 for s in x), default=0.0)
    return {s: v - left + MARGIN for s, v in x.items()}
