"""Pools drawn from the cells of a pilot, and tested: what a design shows without any law (method 7c)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._arrays import dense_columns
from .._checks import InputError
from .._random import stream
from ..data.expression import Expression
from ..pairs.analyst import engine_of
from ..pairs.calls import bh_adjust
from ..pairs.count_engine import CountTest
from ..pairs.plan import plan_design as levels_of
from ..pairs.population import restricted
from ..pairs.settings import EngineSettings
from .designs import MIN_REPLICATES, Design, seen
from .pilot import Pilot, associations_of, share_of_pairs
from .search import Task

MEASURED, LAW = "measured", "law"
MIN_UNITS = 40
"""Units of a design below which nothing is drawn."""
MAX_UNITS = 4000
"""Units of a design above which nothing is drawn: the pilot itself is measured with so many."""
OFF = 1.5
"""Ratio of what draws show to what the law says from which they disagree."""
MIN_PAIRS = 20
"""Associated pairs, measured or by the law, from which their ratio is judged."""


@dataclass(frozen=True, eq=False)
class Reach:
    """The cells of a pilot, of which pools can be drawn."""

    expression: Expression
    """Counts of the genes whose pairs were measured."""
    obs: pd.DataFrame
    within: list[str]
    replicate: str | None
    pilot: Pilot
    groups: tuple[np.ndarray, ...]
    """Cells of one level and donor."""
    donor: np.ndarray
    """Donor of each group; all 0 where donors are not known."""

    def has(self, design: Design) -> bool:
        """Whether the pilot has the cells, donors and depth that a design asks for.

        Several pools of a donor are left to the law: it counts them as the dependent units that they are, and
        no test does.
        """
        if design.n_cells > 1 and 1 < design.n_donors < design.n_units:
            return False
        if not MIN_UNITS <= design.n_units <= MAX_UNITS or design.depth > 1.001 * self.pilot.system.depth:
            return False
        room = self._room(int(design.n_cells))
        if design.n_donors <= 1:
            return bool(room.sum() >= design.n_units)
        each = int(design.n_units // design.n_donors)
        return self.replicate is not None and bool((room >= max(each, 1)).sum() >= design.n_donors)

    def largest(self, n_cells: int) -> Design:
        """The design with the most units of this size; donors, if known, are compared inside."""
        most = min(int(self._room(n_cells).sum()), MAX_UNITS)
        return Design(float(most), float(n_cells), 1.0, self.pilot.system.depth)

    def _room(self, n_cells: int) -> np.ndarray:
        """Pools of this size that each donor has cells for, shape ``(D,)``."""
        size = np.array([len(rows) // n_cells for rows in self.groups])
        return np.bincount(self.donor, weights=size).astype(int)


def reach_of(
    expression: Expression, obs: pd.DataFrame, pilot: Pilot, within: list[str], replicate: str | None
) -> Reach:
    """The cells that a pilot may draw from: those that can be tested."""
    covariates = [replicate] if replicate is not None else []
    levels = levels_of(expression, obs, "corrected", within, None, covariates)
    groups = [level.rows[level.strata == s] for level in levels.levels for s in np.unique(level.strata)]
    names_of = [str(obs[replicate].iloc[rows[0]]) for rows in groups] if replicate else [""] * len(groups)
    small = restricted(expression, np.flatnonzero(np.isin(expression.genes, pilot.genes)))
    donor = np.unique(names_of, return_inverse=True)[1]
    return Reach(small, obs, within, replicate, pilot, tuple(groups), donor)


def draw_units(reach: Reach, design: Design, rng: np.random.Generator) -> np.ndarray:
    """Cells of every unit of a design, no cell twice, shape ``(n, K)``; donors in equal parts.

    Raises
    ------
    ValueError
        The pilot does not reach the design.
    """
    if not reach.has(design):
        raise ValueError("the pilot does not reach this design")
    k, n, d = int(design.n_cells), int(design.n_units), int(design.n_donors)
    by_donor: dict[int, list[np.ndarray]] = {}
    for rows, donor in zip(reach.groups, reach.donor, strict=True):
        full = len(rows) // k * k
        by_donor.setdefault(int(donor), []).append(rng.permutation(rows)[:full].reshape(-1, k))
    units = [np.concatenate(parts) for _, parts in sorted(by_donor.items())]
    if d <= 1:
        every = np.concatenate(units)
        return every[rng.choice(len(every), n, replace=False)]
    each = n // d
    large = [of for of in units if len(of) >= each]
    chosen = rng.choice(len(large), d, replace=False)
    return np.concatenate([large[i][rng.choice(len(large[i]), each, replace=False)] for i in chosen])


def pooled(reach: Reach, units: np.ndarray, kept: float, rng: np.random.Generator) -> Expression:
    """Sums of the counts of units, of each molecule kept with this probability."""
    cells = reach.expression
    n, k = units.shape
    member = sp.csr_matrix((np.ones(n * k), units.ravel(), np.arange(n + 1) * k), (n, len(cells.obs_names)))
    counts = np.asarray(member @ dense_columns(cells.matrix, np.arange(len(cells.genes))))
    total, known = cells.count_depth()
    whole = member @ total
    if kept < 1:
        others = (
            np.zeros(n)
            if known
            else rng.binomial(np.maximum(whole - counts.sum(axis=1), 0).astype(int), kept)
        )
        counts = rng.binomial(counts.astype(int), kept).astype(np.float64)
        whole = whole if known else others + counts.sum(axis=1)
    return replace(
        cells,
        matrix=counts,
        obs_names=np.array([f"unit{i}" for i in range(n)]),
        totals=whole if not known else None,
        size_factors=whole if known else None,
        copies=(),
    )


@dataclass(frozen=True)
class Drawn:
    """What units drawn from the pilot show."""

    n_edges: float
    """Associated pairs, of all that would be tested."""
    share_error: float
    """Standard error of the bend share of the cells; NaN where pairs explain nothing beyond chance."""


def measure_drawn(reach: Reach, task: Task, design: Design, seed: int, threads: int = 1) -> Drawn:
    """Draw the units of a design from the pilot and test them as an audit would.

    The error over samples is that of the units' own share, divided by how the share of units moves with that
    of cells (method 7c); the part over genes is the pilot's.
    """
    rng = stream(seed, "drawn units", f"{design.n_units:g} {design.n_cells:g} {design.n_donors:g}")
    units = draw_units(reach, design, rng)
    expression = pooled(reach, units, min(design.depth / reach.pilot.system.depth, 1.0), rng)
    obs = reach.obs.iloc[units[:, 0]].set_axis(expression.obs_names)
    replicate, covariates = None, []
    if reach.replicate is not None and design.n_cells == 1 and design.n_donors >= MIN_REPLICATES:
        replicate = reach.replicate
    elif reach.replicate is not None and design.n_donors < design.n_units:
        covariates = [reach.replicate]
    levels = levels_of(expression, obs, "corrected", reach.within, replicate, covariates)
    settings = EngineSettings("corrected", threads=threads, seed=seed)
    of = associations_of(cast(CountTest, engine_of(expression, levels, settings)))
    at = reach.pilot.at
    q = bh_adjust(np.where(of.tested[at], np.exp(-of.association[at]), 1.0))
    found = (q <= task.fdr) & (of.r2[at] >= task.min_r2)
    error = share_of_pairs(expression, levels, settings, task.min_r2, seed)["samples_error"]
    over_samples = float("nan") if error is None else error / share_slope(task, design)
    return Drawn(
        n_edges=float(found.mean() * task.system.n_pairs),
        share_error=float(np.hypot(over_samples, task.system.genes_error)),
    )


def share_slope(task: Task, design: Design) -> float:
    """By how much the share of units, counting noise taken out, moves with that of the cells."""
    of = seen(task.system, design)
    factor = of.of_bend / of.of_line**2 if of.counted else of.of_bend / of.of_line
    weight = task.system.bend
    mean = float((factor * weight).sum() / weight.sum()) if weight.sum() > 0 else float(factor.mean())
    share = task.system.bend_share
    return mean / (mean * share + 1 - share) ** 2


def with_draws(
    table: pd.DataFrame,
    task: Task,
    reach: Reach | None,
    parts: tuple[str, ...],
    seed: int,
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Put in what was measured where the pilot reaches, and check the law at every size of pools.

    Parameters
    ----------
    table
        A plan's.
    parts
        Parts of the table whose rows are designs.

    Returns
    -------
    The table with the columns ``basis``, ``n_edges_law`` and ``share_error_law``, and the checks.
    """
    rows: list[dict[str, Any]] = table.to_dict("records")  # type: ignore[assignment]
    checks: list[dict[str, Any]] = []
    if reach is not None:
        found = [_checked(reach, task, k, seed) for k in task.sizes]
        checks = [check for check in found if check is not None]
    scale = task.system.n_pairs / len(reach.pilot.z) if reach is not None else 1.0
    for row in rows:
        row |= {f"{name}_law": row.get(name, np.nan) for name in ("n_edges", "share_error")}
        row["basis"] = LAW if row["part"] in parts else ""
        if reach is None or row["part"] not in parts:
            continue
        said = [check["said"] for check in checks if check["n_cells"] == row["n_cells"]]
        row["flags"] = "; ".join(text for text in (row["flags"], *said) if text)
        design = Design(row["n_units"], row["n_cells"], row["n_donors"], row["depth"])
        drawn = _measured(reach, task, design, seed) if reach.has(design) else None
        if drawn is not None:
            of_row = disagreement(int(design.n_cells), drawn, row["n_edges"], row["share_error"], scale)
            row["flags"] = "; ".join(dict.fromkeys(text for text in (row["flags"], of_row) if text))
            row |= {"basis": MEASURED, "n_edges": drawn.n_edges, "share_error": drawn.share_error}
    columns = list(dict.fromkeys([*table.columns, *(name for row in rows for name in row)]))
    return pd.DataFrame(rows, columns=columns), checks


def _measured(reach: Reach, task: Task, design: Design, seed: int) -> Drawn | None:
    """What the drawn units show; None where they cannot be tested."""
    try:
        return measure_drawn(reach, task, design, seed)
    except InputError:
        return None


def _checked(reach: Reach, task: Task, k: int, seed: int) -> dict[str, Any] | None:
    """The largest design of this size that the pilot reaches, measured beside the law."""
    design = reach.largest(k)
    if not reach.has(design):
        return None
    drawn = _measured(reach, task, design, seed)
    if drawn is None:
        return None
    law = task.judge(design)
    return {
        "n_units": int(design.n_units),
        "n_cells": k,
        "n_edges": drawn.n_edges,
        "n_edges_law": law.n_edges,
        "share_error": drawn.share_error,
        "share_error_law": law.share_error,
        "said": disagreement(
            k, drawn, law.n_edges, law.share_error, task.system.n_pairs / len(reach.pilot.z)
        ),
    }


def disagreement(k: int, drawn: Drawn, n_edges: float, share_error: float, scale: float) -> str:
    """What draws show otherwise than the law; empty where they agree.

    Examples
    --------
    >>> disagreement(10, Drawn(500.0, 0.02), 200.0, 0.02, 1.0)
    'pools of 10 drawn from the pilot show 2.5 times the associated pairs of the law'
    >>> disagreement(1, Drawn(210.0, 0.02), 200.0, 0.02, 1.0)
    ''
    """
    found = []
    if max(drawn.n_edges, n_edges) >= MIN_PAIRS * scale:
        ratio = max(drawn.n_edges, 1e-9) / max(n_edges, 1e-9)
        if not 1 / OFF <= ratio <= OFF:
            found.append(f"{_times(ratio)} the associated pairs")
    if np.isfinite(drawn.share_error) and np.isfinite(share_error):
        ratio = drawn.share_error / max(share_error, 1e-9)
        if not 1 / OFF <= ratio <= OFF:
            found.append(f"{_times(ratio)} the error of the bend share")
    units = "cells" if k == 1 else f"pools of {k}"
    return f"{units} drawn from the pilot show {' and '.join(found)} of the law" if found else ""


def _times(ratio: float) -> str:
    return f"{ratio:.2g} times" if ratio < 100 else "over 100 times"
