"""Which designs reach a power for the least money, and what else the same money buys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from .costs import Prices, depth_for, price_of, reads_of, units_for
from .designs import Design, Judged, judge
from .system import System

GOALS = {
    "edges": "edges_power",
    "shape": "shape_power",
    "triples": "triples_power",
    "verdict": "verdict_power",
}
"""What is planned for, and the power that counts."""
SIZES = (1, 5, 10, 25, 50, 100, 200)
"""Cells in a pool that are tried."""
DEPTHS = (0.5, 1.0, 2.0)
"""Depths that are tried, as multiples of the pilot's."""
DONORS = (8, 16, 40)
"""Numbers of donors that are tried where the pilot knows of donors."""
LEAST = 20
"""Units of the smallest design."""
MOST = 1_000_000
"""Units beyond which nothing is planned."""
MAX_DEEPER = 5.0
"""Deeper than so many times the pilot nothing is extrapolated."""


@dataclass(frozen=True, eq=False)
class Task:
    """What is planned, for whom and under which limits."""

    system: System
    goal: str
    power: float
    prices: Prices
    max_cells: float = float("inf")
    budget: float = float("inf")
    donors: tuple[int, ...] = (1,)
    sizes: tuple[int, ...] = SIZES
    depths: tuple[float, ...] = (1.0,)
    fdr: float = 0.05
    margin: float = 0.1
    min_r2: float = 0.02

    def judge(self, design: Design) -> Judged:
        """Judge a design by the options in force."""
        return judge(self.system, design, fdr=self.fdr, margin=self.margin, min_r2=self.min_r2)

    def power_of(self, design: Design) -> float:
        """The power that counts."""
        return float(getattr(self.judge(design), GOALS[self.goal]))

    def most_units(self, n_cells: float, n_donors: float, depth: float) -> int:
        """Units that cells and money allow."""
        by_money = units_for(self.system, self.budget, n_cells, n_donors, depth, self.prices)
        return int(min(MOST, self.max_cells / n_cells, by_money))

    def row(self, design: Design, part: str) -> dict[str, Any]:
        """Row of the table of a plan."""
        found = self.judge(design)
        return {
            "part": part,
            "reading": "cells" if design.n_cells == 1 else "pools",
            "n_units": int(design.n_units),
            "n_cells": int(design.n_cells),
            "n_donors": int(design.n_donors),
            "depth": design.depth,
            "reads": reads_of(self.system, design.depth),
            "cost": price_of(self.system, design, self.prices),
            "power": float(getattr(found, GOALS[self.goal])),
            **found.as_dict(),
        }


def designs_of(task: Task) -> list[Design]:
    """Every combination of size, depth and donors that is tried, their number of units left open."""
    depths = [m * task.system.depth for m in task.depths] if task.system.counted else [float("nan")]
    return [
        Design(LEAST, k, d, depth)
        for k in task.sizes
        for d in task.donors
        for depth in depths
        if np.isfinite(reads_of(task.system, depth))
    ]


def smallest(task: Task, design: Design) -> Design | None:
    """The fewest units of this kind that reach the power; None: no number that is allowed does."""
    d = int(design.n_donors)
    low = int(np.ceil(max(LEAST, d) / d) * d)
    high = task.most_units(design.n_cells, d, design.depth) // d * d
    if high < low or task.power_of(replace(design, n_units=high)) < task.power:
        return None
    if task.power_of(replace(design, n_units=low)) >= task.power:
        return replace(design, n_units=low)
    while high > low * 1.02 and high - low > d:
        middle = int(round(np.sqrt(low * high) / d) * d)
        middle = min(max(middle, low + d), high - d)
        if task.power_of(replace(design, n_units=middle)) >= task.power:
            high = middle
        else:
            low = middle
    return replace(design, n_units=high)


def frontier(task: Task, report: Callable[[int], object]) -> list[Design]:
    """The cheapest design of every size of pools that reaches the power, cheapest first."""
    best: dict[float, tuple[float, Design]] = {}
    for design in designs_of(task):
        found = smallest(task, design)
        report(1)
        if found is None:
            continue
        cost = price_of(task.system, found, task.prices)
        if design.n_cells not in best or cost < best[design.n_cells][0]:
            best[design.n_cells] = cost, found
    return [design for _, design in sorted(best.values(), key=lambda of: of[0])]


def for_money(task: Task, money: float) -> list[Design]:
    """For every size of pools the design of this price with the largest power."""
    best: dict[float, tuple[float, Design]] = {}
    for design in designs_of(task):
        units = units_for(task.system, money, design.n_cells, design.n_donors, design.depth, task.prices)
        units = int(min(units, MOST, task.max_cells / design.n_cells))
        units = units // int(design.n_donors) * int(design.n_donors)
        if units < LEAST:
            continue
        full = replace(design, n_units=units)
        power = task.power_of(full)
        if design.n_cells not in best or power > best[design.n_cells][0]:
            best[design.n_cells] = power, full
    return [design for _, design in best.values()]


def surface(task: Task, money: float, n_donors: float) -> pd.DataFrame:
    """Power over units and cells in a pool at one price: what is left pays for depth."""
    rows = []
    for n in np.unique(np.round(np.geomspace(LEAST, 50_000, 14)).astype(int)):
        for k in task.sizes:
            depth = depth_for(task.system, money, float(n), k, n_donors, task.prices)
            if task.system.counted:
                depth = min(depth, MAX_DEEPER * task.system.depth)
            power = np.nan
            affordable = np.isfinite(depth) and n * k <= task.max_cells and n >= n_donors
            if affordable:
                power = task.power_of(Design(float(n), k, n_donors, depth if task.system.counted else np.nan))
            rows.append({"n_units": int(n), "n_cells": int(k), "depth": depth, "power": power})
    return pd.DataFrame(rows)


def curves(task: Task, best: Design) -> pd.DataFrame:
    """Power against the number of units for a few sizes of pools, all else as in the best design."""
    rows = []
    sizes = sorted({1, int(best.n_cells), *(k for k in task.sizes if k in (10, 50))} & set(task.sizes))
    for k in sizes:
        for n in np.unique(np.round(np.geomspace(LEAST, 50_000, 16)).astype(int)):
            if n >= best.n_donors:
                design = replace(best, n_units=float(n), n_cells=k)
                rows.append({"n_units": int(n), "n_cells": k, "power": task.power_of(design)})
    return pd.DataFrame(rows)
