"""Systems with known truth: cells to draw from a model, or measured cells with interventions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import stats

from .._checks import InputError, check_column, printable
from .._random import stream
from ..models.examples import example_model, list_models
from ..models.model_file import Model, read_model
from ..pairs.calls import bh_adjust
from .graph import Graph
from .random_models import random_model

EFFECT_COLUMNS = ("regulator", "target", "difference", "wasserstein", "p_value", "q_value")
"""Columns of a table of effects. ``difference``: perturbed less control, in standard deviations of the
control."""
MIN_CELLS = 20
"""Fewer perturbed cells tell no effect."""


@dataclass(frozen=True, eq=False)
class Task:
    """What methods are tried on."""

    name: str
    genes: tuple[str, ...]
    truth: Graph | None
    """The graph over the genes seen, an arrow from each cause; None where only effects are known."""
    model: Model | None = None
    """Where cells are drawn from."""
    cells: np.ndarray | None = None
    """Measured control cells, shape ``(n, p)``, normalised by depth."""
    labels: np.ndarray | None = None
    """Group of each measured cell that pools may be drawn inside, shape ``(n,)``."""
    effects: pd.DataFrame | None = None
    """What interventions did (`EFFECT_COLUMNS`)."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the task was made of, for the table of results."""

    @property
    def has_separations(self) -> bool:
        """Whether genes without an edge are separated by their parents: nothing hidden joins them."""
        hidden = self.facts.get("n_hidden", 0) or self.facts.get("n_types", 1) > 1
        return self.truth is not None and not hidden

    def draw(self, n: int, seed: int, part: int = 0) -> tuple[np.ndarray, np.ndarray | None]:
        """Cells of the genes seen, shape ``(n, p)``, and the cell type of each, where there are several.

        Measured cells are drawn without replacement; ``part`` numbers further draws of the same seed.

        Raises
        ------
        InputError
            There are fewer measured cells than are asked for.
        """
        rng = stream(seed, "cells", self.name, part)
        if self.cells is not None:
            if n > len(self.cells):
                raise InputError(
                    f"{n:,} cells are needed; {printable(self.name, 60)} has {len(self.cells):,}"
                )
            chosen = rng.permutation(len(self.cells))[:n]
            return self.cells[chosen], None if self.labels is None else self.labels[chosen]
        if self.model is None:
            raise InputError(f"the task {printable(self.name, 60)} has neither cells nor a model")
        scm = self.model.scm
        types = None
        if len(scm.fractions) > 1:
            types = scm.draw_types(n, rng)
            values = np.empty((n, len(scm.gene_names)))
            for code, kind in enumerate(scm.fractions):
                values[types == code] = scm.sample(int((types == code).sum()), rng, kind)
        else:
            values = scm.sample(n, rng)
        seen = [scm.gene_names.index(gene) for gene in self.genes]
        return values[:, seen], types


def model_task(
    model: Model | str | Mapping[str, Any], *, hidden: tuple[str, ...] = (), name: str | None = None
) -> Task:
    """Make a task of a model: its genes but the hidden ones, its edges as truth.

    Parameters
    ----------
    model
        A model, the name of one of the gallery, or what :func:`poolproof.read_model` takes.
    hidden
        Genes that methods do not see. They must have no parents: then the truth is the graph that is left.
    name
        Of the task; None: of the model.

    Examples
    --------
    >>> task = model_task("fork-section4")
    >>> task.genes, task.truth.n_edges
    (('Y', 'X', 'Z'), 2)
    """
    if isinstance(model, str) and model in list_models():
        model = example_model(model)
    model = model if isinstance(model, Model) else read_model(model)
    graph = model.scm.graph
    for gene in hidden:
        if gene not in graph:
            raise InputError(f"hidden genes must be of the model; found {printable(gene, 40)!r}")
        if graph.in_degree(gene):
            raise InputError(f"a hidden gene must have no parents; {printable(gene, 40)!r} has some")
    genes = tuple(gene for gene in model.scm.gene_names if gene not in hidden)
    edges = [(cause, effect) for cause, effect in graph.edges if cause not in hidden]
    facts = {"source": "model", "n_hidden": len(hidden), "n_types": len(model.scm.fractions)}
    return Task(name or model.name, genes, Graph.of(genes, directed=edges), model, facts=facts)


def random_task(
    n_genes: int, *, mechanism: str = "hill", degree: float = 2.0, hidden: int = 0, seed: int = 0
) -> Task:
    """Make a task of a random system; see :func:`~poolproof.discovery.random_models.random_model`."""
    model = random_model(n_genes, mechanism=mechanism, degree=degree, hidden=hidden, seed=seed)
    name = f"{mechanism}-{n_genes}" + (f"-hidden{hidden}" if hidden else "") + f"-{seed}"
    task = model_task(model, hidden=tuple(f"H{i + 1}" for i in range(hidden)), name=name)
    facts = {"source": "random", "mechanism": mechanism, "n_hidden": hidden, "degree": degree, "n_types": 1}
    return Task(task.name, task.genes, task.truth, model, facts=facts)


def effects_of(
    values: np.ndarray, genes: tuple[str, ...], target_of: np.ndarray, control: str
) -> pd.DataFrame:
    """What perturbing each gene did to all others.

    Parameters
    ----------
    values
        Cells x genes, normalised by depth, shape ``(n, p)``.
    genes
        Names, shape ``(p,)``.
    target_of
        The perturbed gene of each cell, or ``control``, shape ``(n,)``.
    control
        The label of unperturbed cells.

    Returns
    -------
    Columns `EFFECT_COLUMNS`, a row for each perturbed gene that is measured and each other gene; Welch's
    test, Benjamini-Hochberg over all rows. ``wasserstein`` is the distance of the two laws in standard
    deviations of the control, which CausalBench ranks edges by (Chevalley et al. 2025, Commun Biol 8:412).

    Raises
    ------
    InputError
        No measured gene was perturbed in at least `MIN_CELLS` cells, or there are too few control cells.
    """
    of_control = values[target_of == control]
    if len(of_control) < MIN_CELLS:
        raise InputError(
            f"expected at least {MIN_CELLS} cells labelled {printable(control, 40)!r}; found "
            f"{len(of_control)}"
        )
    spread = of_control.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    rows = []
    for i, gene in enumerate(genes):
        perturbed = values[target_of == gene]
        if len(perturbed) < MIN_CELLS:
            continue
        with np.errstate(all="ignore"):
            p_values = stats.ttest_ind(perturbed, of_control, equal_var=False).pvalue
        for j, target in enumerate(genes):
            if i == j or spread[j] == 0 or not np.isfinite(p_values[j]):
                continue
            distance = stats.wasserstein_distance(perturbed[:, j], of_control[:, j]) / scale[j]
            difference = (perturbed[:, j].mean() - of_control[:, j].mean()) / scale[j]
            rows.append((gene, target, difference, distance, p_values[j], np.nan))
    if not rows:
        raise InputError(f"no measured gene was perturbed in at least {MIN_CELLS} cells")
    table = pd.DataFrame(rows, columns=list(EFFECT_COLUMNS))
    table["q_value"] = bh_adjust(table["p_value"].to_numpy())
    return table


def intervention_task(
    adata: AnnData,
    *,
    perturbation: str,
    control: str,
    name: str,
    n_genes: int | None = None,
    within: str | None = None,
) -> Task:
    """Make a task of measured cells: methods see control cells, interventions are the truth.

    Parameters
    ----------
    adata
        Cells x genes, counts.
    perturbation
        Column of obs with the perturbed gene of each cell.
    control
        Its label for cells that were not perturbed.
    name
        Of the task.
    n_genes
        The most expressed genes beside those perturbed that are used; None: all.
    within
        Column of obs whose groups pools may be drawn inside.

    Raises
    ------
    InputError
        A column is not there, or no measured gene was perturbed in enough cells.
    """
    for column in (perturbation, *((within,) if within else ())):
        check_column(adata.obs.columns, column, where="the table of cells", option="the task")
    counts = np.asarray(adata.to_df(), dtype=np.float64)
    depth = counts.sum(axis=1)
    values = counts / np.where(depth > 0, depth, 1.0)[:, None] * depth.mean()
    target_of = adata.obs[perturbation].astype(str).to_numpy(dtype=object)
    symbols = adata.var_names.astype(str).to_numpy(dtype=object)
    perturbed = np.isin(symbols, np.unique(target_of))
    order = np.argsort(-counts.mean(axis=0), kind="stable")
    kept = perturbed.copy()
    for place in order[: len(order) if n_genes is None else n_genes + int(perturbed.sum())]:
        if n_genes is not None and kept.sum() >= n_genes + perturbed.sum():
            break
        kept[place] = True
    is_control = target_of == control
    kept &= counts[is_control].std(axis=0) > 0 if is_control.any() else True
    genes = tuple(str(gene) for gene in symbols[kept])
    effects = effects_of(values[:, kept], genes, target_of, control)
    labels = None if within is None else adata.obs[within].astype(str).to_numpy(dtype=object)[is_control]
    facts = {"source": "interventions", "n_perturbed": int(effects["regulator"].nunique())}
    return Task(
        name, genes, None, cells=values[is_control][:, kept], labels=labels, effects=effects, facts=facts
    )


def ancestors(truth: Graph) -> np.ndarray:
    """Which genes are causes of which, through any number of steps; boolean, shape ``(p, p)``."""
    graph = nx.from_numpy_array(truth.directed, create_using=nx.DiGraph)
    return np.asarray(nx.to_numpy_array(nx.transitive_closure_dag(graph)) > 0)
