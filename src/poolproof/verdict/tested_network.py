"""A network in an audit: its equations and its claims, tested as its pairs were."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..basis import N_COLUMNS
from ..data.matching import match_edges
from ..pairs.every_pair import Linearity
from ..pairs.settings import MEMORY
from .equations import Equations, joint_equations
from .network import NetworkClaims, judge_network


def equations_of(result: Linearity, network: pd.DataFrame) -> Equations:
    """Test the equations of a network on depth-normalised values; levels and replicates as in pairs."""
    expression, design = result.expression, result.design
    matched = match_edges(network, expression.genes, expression.symbols)
    edges = np.stack([matched.regulator_index, matched.target_index], axis=1)
    genes, flat = np.unique(edges, return_inverse=True)
    values = expression.normalised(genes)
    rows = np.concatenate([level.rows for level in design.levels])
    levels = np.concatenate([np.full(len(level.rows), i) for i, level in enumerate(design.levels)])
    clusters = None
    if design.n_clusters:
        clusters = np.concatenate([level.clusters for level in design.levels if level.clusters is not None])
    s = result.settings
    return joint_equations(
        values[rows],
        flat.reshape(edges.shape),
        list(expression.genes[genes]),
        covariates=_covariate_columns(result),
        levels=levels if len(design.levels) > 1 else None,
        replicate=clusters,
        fdr=s["fdr"],
        margin=s["margin"],
        min_r2=s["min_r2"],
    )


def claims_of(
    result: Linearity,
    network: pd.DataFrame,
    equations: Equations,
    margin: float,
    options: Mapping[str, Any],
) -> NetworkClaims:
    """Judge what a network claims, by the test that its pairs were tested with."""
    settings = result.settings
    return judge_network(
        result.expression,
        result.design,
        network,
        result.table,
        equations.edges,
        children=equations.table,
        correction="poisson" if result.summary["test"] == "corrected" else "none",
        margin=margin,
        fdr=settings["fdr"],
        k=settings["k"] or N_COLUMNS,
        overdispersion=settings["overdispersion"] or 0.0,
        seed=result.seed,
        threads=options.get("threads"),
        memory=options.get("memory", MEMORY),
    )


def _covariate_columns(result: Linearity) -> np.ndarray | None:
    """Covariates of all levels side by side, each zero outside its level; None without any."""
    design = result.design
    if all(level.covariates.shape[1] == 1 and level.strata.max(initial=0) == 0 for level in design.levels):
        return None
    blocks = []
    for level in design.levels:
        strata = np.eye(level.strata.max() + 1)[level.strata][:, 1:]
        blocks.append(np.hstack([level.covariates[:, 1:], strata]))
    n = sum(len(level.rows) for level in design.levels)
    joined = np.zeros((n, sum(block.shape[1] for block in blocks)))
    row = column = 0
    for block in blocks:
        joined[row : row + len(block), column : column + block.shape[1]] = block
        row, column = row + len(block), column + block.shape[1]
    return joined
