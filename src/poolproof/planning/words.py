"""A plan in words."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .costs import price_of
from .designs import Design
from .search import Task

NO_SHAPE = 0.1
"""Standard error of the bend share from which nothing is said of shape."""
HARDLY_ANY = 0.01
GOAL_WORDS = {
    "edges": "find an associated pair",
    "shape": "call a pair non-linear or affine",
    "triples": "tell a separation that pooling keeps from one that it distorts",
    "verdict": "tell on which side of the margin the bend share lies",
}


def design_words(task: Task, design: Design) -> str:
    """A design in words.

    Examples
    --------
    >>> from poolproof.planning.costs import Prices
    >>> from poolproof.planning.system import by_hand
    >>> task = Task(by_hand(), "edges", 0.8, Prices())
    >>> design_words(task, Design(1200, 1, 8)), design_words(task, Design(120, 50))
    ('8 donors x 150 cells, read as 1,200 single cells', '120 pools of 50 cells')
    """
    n, k, d = (round(value) for value in (design.n_units, design.n_cells, design.n_donors))
    depth = f" at {design.depth:,.0f} molecules a cell" if task.system.counted else ""
    if k == 1 and d > 1:
        return f"{d:,} donors x {n // d:,} cells{depth}, read as {n:,} single cells"
    if k == 1:
        return f"{n:,} single cells{depth}"
    return f"{n:,} pools of {k:,} cells" + (f" of {d:,} donors" if d > 1 else "") + depth


def answer_of(task: Task, table: pd.DataFrame, best: Design | None, reached: bool) -> str:
    """The answer in one sentence."""
    wanted = f"{GOAL_WORDS[task.goal]} with power {task.power:g}"
    if best is None:
        return f"No design within the limits can {wanted}; the smallest costs more."
    judged = task.judge(best)
    money = price_of(task.system, best, task.prices)
    words = design_words(task, best)
    if not reached:
        power = task.power_of(best)
        return (
            f"No design within the limits can {wanted}; the best, {words}, reaches {power:.2f} "
            f"for {money:,.0f}."
        )
    found = (
        f"{words}, for {money:,.0f}, {GOAL_WORDS[task.goal]} with power {task.power_of(best):.2f}"
        f"{_within(judged.share_error)}"
    )
    other = _other(task, table, best, judged.n_edges)
    return found[0].upper() + found[1:] + (f"; {other}." if other else ".")


def _within(error: float) -> str:
    """How well the bend share would be known; nothing where that cannot be told."""
    return f" (bend share to within {2 * error:.2f})" if np.isfinite(error) else ""


def _other(task: Task, table: pd.DataFrame, best: Design, n_edges: float) -> str:
    """What the same money buys the other way: as pools, or as single cells."""
    rows = table[(table["part"] == "same_money")]
    rows = rows[rows["n_cells"] > 1] if best.n_cells == 1 else rows[rows["n_cells"] == 1]
    if rows.empty:
        return ""
    row = rows.sort_values(["n_edges_law", "power"], ascending=False, kind="stable").iloc[0]
    design = Design(row["n_units"], row["n_cells"], row["n_donors"], row["depth"])
    times = row["n_edges_law"] / n_edges if n_edges > 0 else np.nan
    edges = f"finds {times:.2g} x the associated pairs"
    if not times > HARDLY_ANY:
        edges = "finds hardly any associated pairs"
    error = " and no shape" if np.isfinite(row["share_error_law"]) else ""
    if row["share_error_law"] < NO_SHAPE:
        error = f" and the bend share to within {2 * row['share_error']:.2f}"
    return f"as {design_words(task, design)} the same money {edges}{error}"
