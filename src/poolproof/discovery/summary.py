"""What a benchmark says: accuracy by size of pools, what was predicted, what methods cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from .._checks import printable
from .._random import stream
from .metrics import EFFECT_METRICS, RANDOM_GRAPH
from .pooled import RANDOM

MAIN = "skeleton_f1"
"""The metric that findings speak of. Weights count as the graph of their strongest pairs, as many as are
true."""
PREDICTORS = {
    "bend_share": "the bend share of the cells",
    "share_forms_lost": "the share of equations that check says pools lose",
    "share_separations_lost": "the share of separations that check says pools break",
}
N_DRAWS = 2_000
USUAL = 20
"""Cells in a pool at which losses are compared, if the benchmark has them."""


def summarise(table: pd.DataFrame, tasks: pd.DataFrame, notes: Sequence[str], seed: int) -> dict[str, Any]:
    """The content of benchmark.json but for versions and the spec.

    Returns
    -------
    ``curves`` (per method, kind and size of pools: mean of the main metric over tasks, 95 % bootstrap
    interval over tasks), ``losses`` (per method: mean loss from single cells to the usual pools),
    ``prediction`` (rank correlation of each of `PREDICTORS` with a task's mean loss, with its interval),
    ``worst`` (the three tasks whose loss was predicted worst), ``costs``, ``wins``, ``effects`` (per task
    with interventions, method and size of random pools: means over seeds of each metric and of its interval),
    ``findings`` and ``notes``.
    """
    rng = stream(seed, "benchmark summary")
    main = table[(table["metric"] == MAIN) & table["value"].notna()]
    curves = _curves(main, rng)
    n_cells = _usual(main)
    losses = _losses(main, n_cells)
    own = losses[losses["method"] != RANDOM_GRAPH]
    prediction, worst = _prediction(own, tasks, rng)
    runs = table.drop_duplicates(["task", "pooling", "n_cells", "seed", "method"])
    runs = runs[runs["seconds"].notna()]
    costs = [
        {
            "method": method,
            "median_seconds": float(part["seconds"].median()),
            "longest_seconds": float(part["seconds"].max()),
            "n_runs": len(part),
            "n_without_answer": int((part["status"] != "ok").sum()),
        }
        for method, part in runs.groupby("method", sort=True)
    ]
    per_method = [
        {"method": method, "n_tasks": int(part["task"].nunique()), **_mean_interval(part, "loss", rng)}
        for method, part in losses.groupby("method", sort=True)
    ]
    effects = _effects(table)
    return {
        "n_tasks": int(tasks["task"].nunique()),
        "n_cells": n_cells,
        "metric": MAIN,
        "curves": curves,
        "losses": per_method,
        "prediction": prediction,
        "worst": worst,
        "costs": costs,
        "wins": _wins(main),
        "sizes": _sizes(table, rng),
        "effects": effects,
        "findings": _findings(per_method, prediction, tasks, own, n_cells, effects),
        "notes": list(notes),
    }


def _usual(main: pd.DataFrame) -> int | None:
    sizes = sorted(n for n in main.loc[main["pooling"] == RANDOM, "n_cells"].unique() if n > 1)
    if not sizes or not ((main["pooling"] == RANDOM) & (main["n_cells"] == 1)).any():
        return None
    return int(USUAL if USUAL in sizes else sizes[len(sizes) // 2])


def _mean_interval(part: pd.DataFrame, column: str, rng: np.random.Generator) -> dict[str, float | None]:
    """Mean over tasks, and its percentile interval by drawing tasks again."""
    by_task = part.groupby("task", sort=True)[column].mean().to_numpy()
    mean = float(by_task.mean())
    if len(by_task) < 3:
        return {"mean": mean, "low": None, "high": None}
    drawn = rng.choice(by_task, size=(N_DRAWS, len(by_task))).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {"mean": mean, "low": float(low), "high": float(high)}


def _curves(main: pd.DataFrame, rng: np.random.Generator) -> list[dict[str, Any]]:
    groups = main.groupby(["method", "pooling", "n_cells"], sort=True)
    return [
        {"method": m, "pooling": kind, "n_cells": int(str(k)), "n_tasks": int(part["task"].nunique())}
        | _mean_interval(part, "value", rng)
        for (m, kind, k), part in groups
    ]


def _sizes(table: pd.DataFrame, rng: np.random.Generator) -> list[dict[str, Any]]:
    found = table[table["metric"] == "size"]
    groups = found.groupby(["method", "mechanism", "pooling", "n_cells"], sort=True)
    return [
        {"test": test, "mechanism": mechanism, "pooling": kind, "n_cells": int(str(k))}
        | _mean_interval(part, "value", rng)
        for (test, mechanism, kind, k), part in groups
    ]


def _effects(table: pd.DataFrame) -> list[dict[str, Any]]:
    """What interventions say of the graphs found in random pools."""
    rows = table[table["metric"].isin(EFFECT_METRICS) & (table["pooling"] == RANDOM)]
    said = []
    for (task, n_cells, method), part in rows.groupby(["task", "n_cells", "method"], sort=True):
        row: dict[str, Any] = {"task": task, "n_cells": int(str(n_cells)), "method": method}
        for metric, one in part.groupby("metric", sort=True):
            means = one[["value", "low", "high"]].astype(float).mean()
            row[str(metric)] = {key: None if np.isnan(v) else float(v) for key, v in means.items()}
        said.append(row)
    return said


def _losses(main: pd.DataFrame, n_cells: int | None) -> pd.DataFrame:
    """What each method lost on each task: the main metric in single cells less that in the usual pools."""
    keys = ["task", "seed", "method"]
    if n_cells is None:
        return pd.DataFrame(columns=[*keys, "loss"])
    random = main[main["pooling"] == RANDOM].set_index([*keys, "n_cells"])["value"].unstack()
    loss = (random[1] - random[n_cells]).dropna()
    return loss.rename("loss").reset_index()


def _prediction(
    losses: pd.DataFrame, tasks: pd.DataFrame, rng: np.random.Generator
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rank correlation of what was known beforehand with the mean loss of a task, and the worst misses."""
    if losses.empty:
        return [], []
    joined = _by_task(losses, tasks)
    found, worst = [], []
    for name in PREDICTORS:
        if name not in joined:
            continue
        part = joined[["task", "loss", name]].dropna()
        part = part.astype({name: float, "loss": float})
        if len(part) < 5 or part[name].nunique() < 2:
            continue
        rho = stats.spearmanr(part[name], part["loss"]).statistic
        draws = rng.integers(len(part), size=(N_DRAWS, len(part)))
        x, y = part[name].to_numpy()[draws], part["loss"].to_numpy()[draws]
        again = [_rho(a, b) for a, b in zip(x, y, strict=True)]
        low, high = np.nanquantile(again, [0.025, 0.975])
        found.append(
            {
                "predictor": name,
                "n_tasks": len(part),
                "rho": float(rho),
                "low": float(low),
                "high": float(high),
            }
        )
        if name == "bend_share":
            miss = stats.rankdata(part["loss"]) - stats.rankdata(part[name])
            for row in np.argsort(-np.abs(miss), kind="stable")[:3]:
                one = part.iloc[int(row)]
                worst.append(
                    {
                        "task": one["task"],
                        "bend_share": float(one[name]),
                        "loss": float(one["loss"]),
                        "rank_missed_by": float(miss[row]),
                    }
                )
    return found, worst


def _by_task(losses: pd.DataFrame, tasks: pd.DataFrame) -> pd.DataFrame:
    """Mean loss of each task over methods and seeds, with means of what was predicted."""
    mean = losses.groupby("task")["loss"].mean().rename("loss").reset_index()
    known = [name for name in PREDICTORS if name in tasks]
    numbers = tasks[["task", *known]].astype(dict.fromkeys(known, float)).groupby("task").mean()
    joined = mean.merge(numbers.reset_index(), on="task")
    if "check_verdict" in tasks:
        joined = joined.merge(tasks.drop_duplicates("task")[["task", "check_verdict"]], on="task")
    return joined


def _rho(x: np.ndarray, y: np.ndarray) -> float:
    ranks = stats.rankdata(x), stats.rankdata(y)
    spread = ranks[0].std() * ranks[1].std()
    return (
        float(np.mean((ranks[0] - ranks[0].mean()) * (ranks[1] - ranks[1].mean())) / spread)
        if spread > 0
        else np.nan
    )


def _wins(main: pd.DataFrame) -> list[dict[str, Any]]:
    """How often each method is the best, or one of the best, by size of random pools."""
    part = main[(main["pooling"] == RANDOM) & (main["method"] != RANDOM_GRAPH)]
    best = part.groupby(["task", "seed", "n_cells"])["value"].transform("max")
    won = part.assign(won=part["value"] >= best - 1e-12)
    groups = won.groupby(["method", "n_cells"], sort=True)["won"]
    return [{"method": m, "n_cells": int(str(k)), "won": int(w.sum()), "of": len(w)} for (m, k), w in groups]


def _findings(
    per_method: list[dict[str, Any]],
    prediction: list[dict[str, Any]],
    tasks: pd.DataFrame,
    losses: pd.DataFrame,
    n_cells: int | None,
    effects: list[dict[str, Any]],
) -> list[str]:
    said = []
    own = [row for row in per_method if row["method"] != RANDOM_GRAPH]
    if own and n_cells is not None:
        rows = sorted(own, key=lambda row: row["mean"])
        listed = ", ".join(f"{row['method']} {_signed(-row['mean'])}{_between(row, -1)}" for row in rows)
        said.append(f"From single cells to pools of {n_cells} the skeleton's F1 changes by: {listed}.")
    for row in prediction:
        said.append(
            f"Rank correlation over {row['n_tasks']} tasks of {PREDICTORS[row['predictor']]} with the loss "
            "of F1: "
            f"{row['rho']:.2f} (95 % interval {row['low']:.2f} to {row['high']:.2f})."
        )
    if not losses.empty and "check_verdict" in tasks:
        for verdict, part in _by_task(losses, tasks).groupby("check_verdict", sort=True):
            said.append(
                f"Where check says {verdict} ({len(part)} task{'s' * (len(part) != 1)}) the mean loss is "
                f"{part['loss'].mean():.3f}."
            )
    said += _effect_findings(effects)
    return said or ["No method was compared in single cells and in pools."]


def _effect_findings(effects: list[dict[str, Any]]) -> list[str]:
    """For each task with interventions: are edges found more often effects than those of a random graph?"""
    said = []
    for task in dict.fromkeys(row["task"] for row in effects):
        mine = [row for row in effects if row["task"] == task and "false_omission" in row]
        sizes = sorted({row["n_cells"] for row in mine})
        parts = []
        for n_cells in dict.fromkeys((sizes[0], sizes[-1])) if sizes else ():
            at = [row for row in mine if row["n_cells"] == n_cells]
            own = [row["false_omission"]["value"] for row in at if row["method"] != RANDOM_GRAPH]
            chance = [row["false_omission"]["value"] for row in at if row["method"] == RANDOM_GRAPH]
            if own and chance:
                parts.append(f"{np.mean(own):.3f} at K = {n_cells} (random graph {chance[0]:.3f})")
        if parts:
            said.append(
                f"{printable(task, 60)}: of the pairs that methods leave out, interventions show an effect "
                f"in {', '.join(parts)}."
            )
    return said


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _between(row: dict[str, Any], sign: int) -> str:
    if row["low"] is None:
        return ""
    low, high = sorted((sign * row["low"], sign * row["high"]))
    return f" ({_signed(low)} to {_signed(high)})"
