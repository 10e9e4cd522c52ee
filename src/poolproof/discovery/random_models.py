"""Random acyclic systems of cells, written as models, so that ``check`` can judge what methods are tried
on.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .._checks import InputError, check_choice, check_whole
from .._random import stream
from ..models.mechanisms import parse_equation, parse_kernel
from ..models.model_file import Model, read_model

N_TRIAL_CELLS = 4_000
"""Cells of the trial that scales each gene's equation to its parents' values."""
EXPLAINED = (0.5, 0.8)
"""Smallest and largest share of a gene's variance that its parents explain."""
CELLS = 20


def _affine(parent: str, weight: float, values: np.ndarray) -> str:
    return f"{weight / values.std():.4g}*{parent}"


def _hill(parent: str, weight: float, values: np.ndarray, n: int = 4) -> str:
    word = "hill" if weight > 0 else "hill_repression"
    return f"{word}({parent}, vmax={abs(weight) * 2:.4g}, k={max(np.median(values), 0.1):.4g}, n={n})"


def _saturating(parent: str, weight: float, values: np.ndarray) -> str:
    return _hill(parent, weight, values, n=1)


def _threshold(parent: str, weight: float, values: np.ndarray) -> str:
    level = float(np.quantile(values, 0.7))
    return f"{weight * 2:.4g}*threshold({parent}, {level:.4g})"


MECHANISMS: dict[str, Callable[..., str]] = {
    "affine": _affine,
    "hill": _hill,
    "saturating": _saturating,
    "threshold": _threshold,
    "counts": _hill,
}
"""How a child takes up a parent; ``counts`` are Poisson numbers of molecules with Hill rates."""


def random_model(
    n_genes: int,
    *,
    mechanism: str = "hill",
    degree: float = 2.0,
    hidden: int = 0,
    cells: int = CELLS,
    seed: int = 0,
) -> Model:
    """Draw a system of cells: an acyclic graph and equations of one kind.

    Parameters
    ----------
    n_genes
        Genes that are seen, at least 2.
    mechanism
        A key of `MECHANISMS`.
    degree
        Mean number of edges at a gene.
    hidden
        Further genes without parents, each with two children among the others: common causes that nobody
        measured. They are named ``H1``, ``H2``, ...; tasks leave them out of what methods see.
    cells
        Cells in a pool, for ``check``.
    seed
        Of the graph and the equations.

    Raises
    ------
    InputError
        A number is too small, or the mechanism is unknown.

    Notes
    -----
    Names say nothing about the order: genes are numbered at random. Noise is gamma with shape 2, or molecules
    of a Poisson law; its size makes parents explain between .5 and .8 of a gene's variance, drawn evenly, so
    that variance does not grow along the order by itself (Reisach et al. 2021, arXiv:2102.13647).

    Examples
    --------
    >>> model = random_model(5, mechanism="affine", seed=1)
    >>> len(model.scm.gene_names), model.scm.is_affine
    (5, True)
    """
    n_genes, hidden = check_whole("n_genes", n_genes, 2), check_whole("hidden", hidden, 0)
    check_choice("mechanism", mechanism, MECHANISMS)
    if not 0 < degree <= n_genes - 1:
        raise InputError(f"degree must be above 0 and below the number of genes; found {degree}")
    rng = stream(seed, "random model", n_genes, mechanism, hidden)
    seen = [f"G{i + 1:0{len(str(n_genes))}d}" for i in rng.permutation(n_genes)]
    parents: dict[str, list[str]] = {f"H{i + 1}": [] for i in range(hidden)}
    for place, gene in enumerate(seen):
        parents[gene] = [earlier for earlier in seen[:place] if rng.random() < degree / (n_genes - 1)]
    for i in range(hidden):
        for child in rng.choice(n_genes, size=2, replace=False):
            parents[seen[child]].append(f"H{i + 1}")
    genes: dict[str, dict[str, str]] = {}
    values: dict[str, np.ndarray] = {}
    for gene, causes in parents.items():
        genes[gene] = _written(causes, values, mechanism, rng)
        values[gene] = _trial(genes[gene], values, rng)
    content = {
        "name": f"random {mechanism} system of {n_genes} genes, seed {seed}",
        "genes": {gene: genes[gene] for gene in [*sorted(seen), *(f"H{i + 1}" for i in range(hidden))]},
        "aggregation": "sum",
        "cells": cells,
    }
    return read_model(content)


def _written(
    causes: list[str], values: dict[str, np.ndarray], mechanism: str, rng: np.random.Generator
) -> dict[str, str]:
    """Equation or kernel of a gene, scaled to the values of its parents in the trial."""
    if not causes:
        return {"kernel": "poisson(6)"} if mechanism == "counts" else {"noise": "gamma(2, 1)"}
    weights = rng.uniform(0.6, 1.4, len(causes)) * rng.choice([-1.0, 1.0], len(causes))
    terms = [MECHANISMS[mechanism](p, w, values[p]) for p, w in zip(causes, weights, strict=True)]
    signal = " + ".join(terms)
    if mechanism == "counts":
        return {"kernel": f"poisson(1 + 4*({signal}))"}
    spread = float(np.std(parse_equation(signal, None, causes).value({p: values[p] for p in causes}, np.nan)))
    explained = rng.uniform(*EXPLAINED)
    size = spread * np.sqrt((1 - explained) / explained) / np.sqrt(2.0)  # gamma(2, 1) has variance 2
    return {"equation": f"{signal} + {size:.4g}*N", "noise": "gamma(2, 1)"}


def _trial(gene: dict[str, str], values: dict[str, np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Values of a gene in the trial cells."""
    if "kernel" in gene:
        return parse_kernel(gene["kernel"], values).sample(values, rng, N_TRIAL_CELLS)
    return parse_equation(gene.get("equation"), gene["noise"], values).sample(values, rng, N_TRIAL_CELLS)
