"""Systems with known truth: cells to draw from a model; what measured cells with interventions are too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd

from .._checks import InputError, printable
from .._random import stream
from ..models.examples import example_model, list_models
from ..models.model_file import Model, read_model
from .graph import Graph
from .random_models import random_model


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
    """What interventions did (``interventions.EFFECT_COLUMNS``)."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the task was made of, for the table of results."""

    @property
    def has_separations(self) -> bool:
        """Whether genes without an edge are separated by their parents: nothing hidden joins them."""
        hidden = self.facts.get("n_hidden", 0) or self.facts.get("n_types", 1) > 1
        return self.truth is not None and not hidden

    @property
    def n_edges(self) -> int:
        """Edges of the truth; of effects, the pairs of genes with a real one (q below 5 %)."""
        if self.truth is not None:
            return self.truth.n_edges
        if self.effects is None:
            return 0
        real = self.effects[self.effects["q_value"] < 0.05]
        return len({frozenset(pair) for pair in zip(real["regulator"], real["target"], strict=True)})

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


def ancestors(truth: Graph) -> np.ndarray:
    """Which genes are causes of which, through any number of steps; boolean, shape ``(p, p)``."""
    graph = nx.from_numpy_array(truth.directed, create_using=nx.DiGraph)
    return np.asarray(nx.to_numpy_array(nx.transitive_closure_dag(graph)) > 0)
