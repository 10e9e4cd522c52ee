"""The picture of a plan: power over units and cells at one price."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from .._checks import InputError
from .drawing import COLOURS, INK, new_axes, short

LIGHT_FROM = 0.55
"""Power from which the colour of a cell is so light that its number is dark."""


def design_surface(plan: Any, ax: Axes | None = None, *, best: Mapping[str, Any] | None = None) -> Axes:
    """Power of designs of one price over the number of units and the cells in each.

    Parameters
    ----------
    plan
        What :func:`poolproof.plan_design` returns, or its table.
    ax
        Axes to draw into; None makes a figure.
    best
        Design to mark: ``n_units`` and ``n_cells``; None: that of the plan, if it has one.

    Returns
    -------
    Axes. Places that the price does not pay for stay empty; the best design is a cross.

    Raises
    ------
    InputError
        The table holds no surface.
    """
    table = plan if isinstance(plan, pd.DataFrame) else plan.table
    if best is None and not isinstance(plan, pd.DataFrame):
        best = plan.summary["best"]
    points = table[table["part"] == "surface"]
    if points.empty:
        raise InputError("expected a plan with a surface; found none: no design within the limits was found")
    grid = points.pivot(index="n_cells", columns="n_units", values="power")
    ax = ax or new_axes(7.2, 3.6)
    shown_values = np.ma.masked_invalid(grid.to_numpy(dtype=float))
    image = ax.pcolormesh(shown_values, cmap="cividis", vmin=0, vmax=1, edgecolors="white", linewidth=0.5)
    for (i, j), value in np.ndenumerate(shown_values.filled(np.nan)):
        if np.isfinite(value):
            colour = "white" if value < LIGHT_FROM else INK
            ax.text(
                j + 0.5,
                i + 0.5,
                f"{value:.2f}".lstrip("0"),
                ha="center",
                va="center",
                fontsize=6.5,
                color=colour,
            )
    ax.set_xticks(np.arange(grid.shape[1]) + 0.5, [short(float(n)) for n in grid.columns])
    ax.set_yticks(np.arange(grid.shape[0]) + 0.5, [short(float(n)) for n in grid.index])
    ax.set_xlabel("units (pools, or single cells)")
    ax.set_ylabel("cells in a unit")
    if best is not None:
        x = np.interp(np.log(best["n_units"]), np.log(grid.columns.to_numpy(float)), np.arange(grid.shape[1]))
        y = np.interp(np.log(best["n_cells"]), np.log(grid.index.to_numpy(float)), np.arange(grid.shape[0]))
        ax.plot(x + 0.5, y + 0.5, marker="x", ms=13, mew=2.6, color=COLOURS["nonlinear"], ls="", label="best")
    figure = ax.get_figure()
    if figure is not None:
        figure.colorbar(image, ax=ax, label="power", fraction=0.03, pad=0.02)
    return ax
