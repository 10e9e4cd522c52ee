"""What check and an audit of the cells say of a task before any method has seen a pool."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from .._random import stream
from ..pairs.every_pair import linearity
from ..theory.conditions import check
from .graph import Graph
from .metrics import r2_sortability, separation_sizes, variance_sortability
from .tasks import Task

N_CELLS = 2_000
"""Cells that are audited."""
TESTS = {"size_linear": "fisher_z", "size_spline": "spline_gcm"}
"""Tests in use: that of PC with partial correlations, and that with splines."""
CHECKED_CELLS = 20
CHECKED_GENES = 12
"""Models of more genes are not given to ``check``, which can take minutes for them."""
PREDICTIONS = (
    *("check_verdict", "share_forms_lost", "share_separations_lost", "share_edges_lost"),
    *("bend_share", "bend_share_low", "bend_share_high", "variance_sortability", "r2_sortability"),
    *TESTS,
)


def predict(task: Task, *, seed: int, with_check: bool = True) -> dict[str, Any]:
    """What is known beforehand.

    Returns
    -------
    `PREDICTIONS`. Of ``check`` at 20 cells, for at most 12 genes (separations given at most one gene): its
    verdict, and the shares of mechanisms, separations and edges that do not survive. Of 2,000 cells (or all
    that were measured): the bend share with its interval, the sortabilities, and the share of true
    separations that tests reject at 5 % in single cells. What cannot be had is None.
    """
    found: dict[str, Any] = dict.fromkeys(PREDICTIONS)
    if with_check and task.model is not None and len(task.model.scm.gene_names) <= CHECKED_GENES:
        summary = check(task.model, cells=CHECKED_CELLS, max_given=1, seed=seed).summary
        forms = [m["ffc"] for m in summary["mechanisms"] if m["parents"]]
        separations = [s["cic"] for s in summary["separations"]]
        n_edges = task.model.scm.graph.number_of_edges()
        found["check_verdict"] = summary["verdict"]
        found["share_forms_lost"] = _share(forms)
        found["share_separations_lost"] = _share(separations)
        found["share_edges_lost"] = 1 - len(summary["surviving_edges"]) / n_edges if n_edges else None
    n = N_CELLS if task.cells is None else min(N_CELLS, len(task.cells))
    cells, _ = task.draw(n, seed, 999)
    kept = cells.std(axis=0) > 0
    table = pd.DataFrame(cells[:, kept], columns=np.array(task.genes, dtype=object)[kept])
    if table.shape[1] >= 2:
        share = linearity(
            table, kind="single-cell", scale="additive", test="robust", seed=seed, threads=1
        ).population
        if share is not None:
            found["bend_share"] = share.summary["bend_share"]
            found["bend_share_low"], found["bend_share_high"] = share.summary["low"], share.summary["high"]
    if task.truth is not None and kept.all():
        found["variance_sortability"] = variance_sortability(cells, task.truth)
        found["r2_sortability"] = r2_sortability(cells, task.truth)
        if task.has_separations:
            found |= sizes_in(cells, task.truth, seed)
    return found


def sizes_in(values: np.ndarray, truth: Graph, seed: int) -> dict[str, float]:
    """Share of the true separations that each of `TESTS` rejects in cells or pools, shape ``(n, p)``."""
    return separation_sizes(values, truth, TESTS, stream(seed, "separations"))


def _share(answers: list[str]) -> float | None:
    """Share of what surely fails."""
    return sum(answer == "fails" for answer in answers) / len(answers) if answers else None
