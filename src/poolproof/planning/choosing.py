"""Plan an experiment: the public function, and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from .._checks import InputError, check_choice, check_share, check_threads, check_whole, printable
from .._files import replace_file, to_json, write_parquet
from .._notebook import Spoken, summary_html
from ..data.expression import Expression, ValueOptions
from ..pairs.plan import as_list
from .costs import price_of, prices_of
from .designs import Design
from .drawing import Reach, reach_of, with_draws
from .folder import save_files
from .measured import Measured
from .pilot import measure_pilot
from .pool_pilot import measure_pools
from .presets import preset
from .search import DEPTHS, DONORS, GOALS, SIZES, Task, curves, for_money, frontier, surface
from .system import System, by_hand
from .words import answer_of, design_words

SCHEMA_VERSION = 1
FILES = ("plan.parquet", "plan.html", "plan.json")
"""The last is the mark of completion."""
FRONTIER, SAME, SURFACE, CURVE = PARTS = ("frontier", "same_money", "surface", "curve")
Z80 = 1.2816
EMPTY = ("part", "reading", "n_units", "n_cells", "n_donors", "depth", "reads", "cost", "power", "flags")
"""Columns of a table without designs."""


@dataclass(frozen=True, eq=False, repr=False)
class DesignPlan(Spoken):
    """Which designs reach a power, what they cost, and what else the money buys."""

    table: pd.DataFrame
    """One row a design. ``part``: ``frontier``, the cheapest of each size of pools that reaches the power;
    ``same_money``, the best of each size for the price of the cheapest; ``surface`` and ``curve``, points of
    the pictures."""
    summary: dict[str, Any]
    """The content of plan.json."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """All options, defaults filled in."""
    seed: int = 0
    """Of every draw."""

    @property
    def sentence(self) -> str:
        """The answer in one sentence."""
        return str(self.summary["answer"])

    def _repr_html_(self) -> str:
        shown = self.table[self.table["part"].isin([FRONTIER, SAME])].reset_index(drop=True)
        columns = (
            "part",
            "reading",
            "n_units",
            "n_cells",
            "n_donors",
            "cost",
            "power",
            "n_edges",
            "share_error",
            "basis",
        )
        return summary_html(
            "Plan", [self.sentence], shown, self.summary["unknown"], columns=columns, rows="first"
        )

    def save(self, folder: str | Path, *, force: bool = False) -> Path:
        """Write plan.json, plan.parquet and plan.html into a folder, which is made if need be.

        Raises
        ------
        InputError
            The folder holds a plan and ``force`` is false, or it cannot be written to.
        """
        from .page import plan_page

        writers: dict[str, Callable[[Path], object]] = {
            FILES[0]: lambda place: write_parquet(self.table, place),
            FILES[1]: lambda place: replace_file(place, plan_page(self.table, self.summary)),
            FILES[2]: lambda place: replace_file(place, to_json(self.summary) + "\n"),
        }
        return save_files(folder, writers, force=force)


def plan_design(
    pilot: AnnData | pd.DataFrame | Expression | None = None,
    *,
    goal: str = "verdict",
    power: float = 0.8,
    like: str | None = None,
    numbers: Mapping[str, float] | None = None,
    cost: Mapping[str, float] | str | None = None,
    budget: float | None = None,
    max_cells: int | None = None,
    donors: Sequence[int] | None = None,
    sizes: Sequence[int] | None = None,
    cells_per_pool: int | str | None = None,
    saturation: float | None = None,
    within: str | Sequence[str] | None = None,
    replicate: str | None = None,
    fdr: float = 0.05,
    margin: float = 0.1,
    min_r2: float = 0.02,
    layer: str | None = None,
    kind: str = "auto",
    scale: str = "auto",
    size_factors: str = "auto",
    gene_column: str | None = None,
    seed: int = 0,
    threads: int | None = None,
    report: Callable[[int, int], object] | None = None,
    obs: pd.DataFrame | None = None,
) -> DesignPlan:
    """Plan how many pools or cells to measure, of how many cells, read how deep, of how many donors.

    Parameters
    ----------
    pilot
        Counts of single cells, cells x genes, or of pools (``cells_per_pool``). Give this, ``like`` or
        ``numbers``.
    goal
        What is planned for: ``edges`` (to find associated pairs), ``shape`` (to call a pair non-linear or
        affine), ``triples`` (to tell kept separations from distorted ones) or ``verdict`` (to tell on which
        side of the margin the bend share of the cells lies).
    power
        Mean power that is wanted.
    like
        Name of a data set whose cells stand for the pilot: see ``poolproof._names`` or the reference.
    numbers
        The system by hand: parameters of :func:`poolproof.planning.system.by_hand`.
    cost
        Prices: ``donors``, ``cells`` (read singly), ``pools`` (of one library), ``pooled_cells``, ``reads``
        (of a million), as a mapping or as text ``cells=0.2,pools=20``. What is not named has a default.
    budget
        Money that there is; None: as much as needed.
    max_cells
        Cells that there are; None: as many as needed.
    donors
        Numbers of donors to try; None: 8, 16 and 40 where a pilot tells how donors differ, else one.
    sizes
        Sizes of pools to try, 1 meaning single cells.
    cells_per_pool
        Where the pilot holds pools of known size: cells in each, a number or the column of obs that holds it.
    saturation
        Of the pilot's sequencing, 1 - molecules / reads; None: not known.
    within, replicate
        Columns of obs: what cells are compared inside (cell type), and the donor.
    fdr, margin, min_r2
        As for :func:`poolproof.linearity`.
    layer, kind, scale, size_factors, gene_column
        As for :func:`poolproof.describe`.
    seed
        Of every draw.
    threads
        Threads for measuring the pilot; None: all processors.
    report
        Told how many of how many designs are done; None: nobody.
    obs
        Table of cells, where ``pilot`` is a DataFrame.

    Returns
    -------
    DesignPlan

    Raises
    ------
    InputError
        None or several of ``pilot``, ``like`` and ``numbers`` are given; the pilot is bulk, holds logs or too
        few cells; an option is out of range.

    Notes
    -----
    The laws, and where they fail, are in section 7c of the method. Columns ``flags`` say where one may fail.

    Examples
    --------
    >>> plan = plan_design(numbers={"r2": 0.1, "bend_share": 0.3}, goal="shape", sizes=[1, 10])
    >>> plan.table.query("part == 'frontier'")["n_cells"].tolist()
    [1, 10]
    """
    check_choice("goal", goal, tuple(GOALS))
    for name, value in (("power", power), ("fdr", fdr), ("margin", margin), ("min_r2", min_r2)):
        check_share(name, value)
    prices = prices_of(cost)
    tried_sizes = _whole("sizes", sizes, SIZES)
    measured: Measured | None = None
    reach: Reach | None = None
    system, error = _given(pilot, like, numbers)
    if system is None:
        options = ValueOptions(
            layer=layer, kind=kind, scale=scale, size_factors=size_factors, gene_column=gene_column
        )
        expression, obs = options.read(pilot, obs)
        of_pilot: dict[str, Any] = {
            "within": as_list(within),
            "replicate": replicate,
            "saturation": saturation,
            "seed": seed,
        }
        if cells_per_pool is None:
            measured = pilot_of_cells = measure_pilot(
                expression, obs, min_r2=min_r2, threads=check_threads(threads), **of_pilot
            )
            reach = reach_of(expression, obs, pilot_of_cells, as_list(within), replicate)
        else:
            measured = measure_pools(expression, obs, cells_per_pool, goal=goal, **of_pilot)
        system = measured.system
        error = measured.line_error if goal == "edges" else measured.error_factor
    elif cells_per_pool is not None:
        raise InputError(
            "--cells-per-pool says how many cells the pools of a pilot hold; found no pilot; name sizes to "
            "try by --sizes"
        )
    if saturation is not None:
        if not 0 <= saturation < 1:
            raise InputError(f"expected --saturation from 0 to below 1; found {saturation:g}")
        system = replace(system, saturation=saturation)
    _check_donors(donors, cost, replicate, pilot)
    tried = _whole("donors", donors, _donors_of(system, measured))
    task = Task(
        system=system,
        goal=goal,
        power=power,
        prices=prices,
        max_cells=float("inf") if max_cells is None else check_whole("max_cells", max_cells, 1),
        budget=float("inf") if budget is None else float(budget),
        donors=tried,
        sizes=tried_sizes,
        depths=DEPTHS if system.counted else (1.0,),
        fdr=fdr,
        margin=margin,
        min_r2=min_r2,
    )
    n_tried = len(tried_sizes) * len(tried) * len(task.depths)
    done = [0]

    def step(n: int) -> None:
        done[0] += n
        if report is not None:
            report(done[0], n_tried)

    table, best = _table(task, step)
    table = _with_interval(table, task, error, measured)
    table, checks = with_draws(table, task, reach, (FRONTIER, SAME), seed)
    settings: dict[str, Any] = {
        "goal": goal,
        "power": power,
        "like": like,
        "numbers": None if numbers is None else dict(numbers),
        "cost": asdict(prices),
        "budget": budget,
        "max_cells": max_cells,
        "donors": list(tried),
        "sizes": list(tried_sizes),
        "cells_per_pool": cells_per_pool,
        "saturation": saturation,
        "within": as_list(within),
        "replicate": replicate,
        "fdr": fdr,
        "margin": margin,
        "min_r2": min_r2,
    }
    summary = _summary(task, table, best, settings, seed, measured, checks)
    return DesignPlan(table, summary, settings, seed)


def _given(
    pilot: object, like: str | None, numbers: Mapping[str, float] | None
) -> tuple[System | None, float]:
    given = [
        name
        for name, value in (("a pilot", pilot), ("like", like), ("numbers", numbers))
        if value is not None
    ]
    if len(given) != 1:
        raise InputError(
            f"expected one of a pilot, --like a data set, or numbers; found {' and '.join(given) or 'none'}"
        )
    if like is not None:
        return preset(like)
    if numbers is not None:
        try:
            return by_hand(**numbers), 0.0  # type: ignore[arg-type]
        except TypeError as error:
            raise InputError(f"numbers: {printable(error, 120)}") from error
    return None, 0.0


def _whole(name: str, given: Sequence[int] | None, default: tuple[int, ...]) -> tuple[int, ...]:
    if given is None:
        return default
    found = tuple(sorted({check_whole(name, value, 1) for value in given}))
    if not found:
        raise InputError(f"expected {name} to hold a whole number of at least 1; found none")
    return found


def _donors_of(system: System, measured: Measured | None) -> tuple[int, ...]:
    known = measured.n_donors > 1 if measured is not None else bool((system.between_x > 0).any())
    return DONORS if known else (1,)


def _check_donors(donors: Sequence[int] | None, cost: object, replicate: str | None, pilot: object) -> None:
    """Refuse a plan over donors from a pilot that does not name them."""
    priced = "donors" in cost if isinstance(cost, (str, Mapping)) else False
    several = donors is not None and any(int(d) > 1 for d in donors)
    if pilot is not None and replicate is None and (priced or several):
        raise InputError(
            "expected the column of donors (--replicate) to plan over donors; found none: how donors differ "
            "cannot be told without it"
        )


def _table(task: Task, report: Callable[[int], object]) -> tuple[pd.DataFrame, Design | None]:
    """All parts of the table, and the cheapest design that reaches the power."""
    cheapest = frontier(task, report)
    rows = [task.row(design, FRONTIER) for design in cheapest]
    best = cheapest[0] if cheapest else None
    others = for_money(task, price_of(task.system, best, task.prices) if best else task.budget)
    rows += [task.row(design, SAME) for design in others]
    if best is None and others:
        best = max(others, key=task.power_of)
    parts = [pd.DataFrame(rows, columns=None if rows else list(EMPTY))]
    if best is not None:
        money = price_of(task.system, best, task.prices)
        parts += [
            surface(task, money, best.n_donors).assign(part=SURFACE, n_donors=int(best.n_donors), cost=money),
            curves(task, best).assign(part=CURVE, n_donors=int(best.n_donors), depth=best.depth),
        ]
    return pd.concat(parts, ignore_index=True), best


def _with_interval(table: pd.DataFrame, task: Task, error: float, measured: Measured | None) -> pd.DataFrame:
    """Power if pairs explained less or more, by 80 %, the further beyond the pilot the wider."""
    low, high = np.full(len(table), np.nan), np.full(len(table), np.nan)
    if error > 0 and "n_units" in table:
        n_pilot = measured.n_units if measured is not None else 4000.0
        rows: list[dict[str, Any]] = table.to_dict("records")  # type: ignore[assignment]
        for i, row in enumerate(rows):
            if row["part"] not in (FRONTIER, SAME):
                continue
            reach = min(error * (1 + max(np.log2(row["n_units"] * row["n_cells"] / n_pilot), 0.0) / 2), 1.0)
            design = Design(row["n_units"], row["n_cells"], row["n_donors"], row["depth"])
            ends = [row["power"]]
            for factor in (max(1 - Z80 * reach, 0.05), 1 + Z80 * reach):
                ends.append(replace(task, system=_scaled(task, factor)).power_of(design))
            low[i], high[i] = min(ends), max(ends)
    return table.assign(power_low=low, power_high=high)


def _scaled(task: Task, factor: float) -> System:
    """The system if its pairs explained so many times as much; by bends, where edges are not the goal."""
    system = task.system
    line = np.minimum(system.line * factor, 0.9) if task.goal == "edges" else system.line
    return replace(system, line=line, bend=np.clip(system.bend * factor, 0.0, np.maximum(0.95 - line, 0.0)))


def _summary(
    task: Task,
    table: pd.DataFrame,
    best: Design | None,
    settings: dict[str, Any],
    seed: int,
    measured: Measured | None,
    checks: list[dict[str, Any]],
) -> dict[str, Any]:
    system = task.system
    rows = table[table["part"].isin([FRONTIER, SAME])] if len(table) else table
    reached = bool((table["part"] == FRONTIER).any())
    return {
        "schema_version": SCHEMA_VERSION,
        "tool": {"name": "poolproof", "version": version("poolproof")},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "settings": settings,
        "source": system.source,
        "goal": task.goal,
        "power": task.power,
        "reached": reached,
        "answer": answer_of(task, table, best, reached),
        "best": None if best is None else {**asdict(best), "words": design_words(task, best)},
        "system": {
            "n_pairs": system.n_pairs,
            "bend_share": system.bend_share,
            "explained": float((system.line + system.bend).mean()),
            "molecules": float(np.median(system.molecules_x)) if system.counted else None,
            "depth": system.depth if system.counted else None,
            "saturation": system.saturation,
            "cv2": float(np.median(system.cv2_x)),
            "n22": float(np.median(system.n22)),
            "between": float(np.median(system.between_x)),
            "distortion": system.distortion if np.isfinite(system.distortion) else None,
            "dependence": system.dependence if np.isfinite(system.dependence) else None,
            "genes_error": system.genes_error,
        },
        "pilot": None
        if measured is None
        else {
            "n_cells": measured.n_cells,
            "n_units": measured.n_units,
            "n_donors": measured.n_donors,
            "n_genes": len(measured.genes),
        },
        "designs": _plain(rows.to_dict("records")),
        "checks": _plain(checks),
        "unknown": list(system.unknown),
    }


def _plain(rows: list[dict[Any, Any]]) -> list[dict[Any, Any]]:
    """Rows as JSON has them: no number for what is none."""
    return [
        {k: (None if isinstance(v, float) and not np.isfinite(v) else v) for k, v in row.items()}
        for row in rows
    ]
