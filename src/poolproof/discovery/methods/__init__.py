"""Methods of causal discovery and network inference: one file each, ``values, names -> Graph``.

A method takes samples x genes that passed ``discovery.preflight``. It imports its library when it is called.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

import pandas as pd

from ..._checks import InputError, check_choice, printable
from ..graph import Graph
from ..libraries import INSTALL
from .boss import boss_graph
from .correlation import correlation_graph
from .direct_lingam import direct_lingam_graph
from .flop import flop_graph
from .ges import ges_graph
from .grasp import grasp_graph
from .partial_correlation import partial_correlation_graph
from .pc import pc_graph
from .spline_pc import spline_pc_graph
from .tree_importance import tree_importance_graph
from .trees import trees_graph

WEIGHTS, CPDAG, DAG, UNKNOWN = GIVES = ("weights", "cpdag", "dag", "unknown")


@dataclass(frozen=True)
class Method:
    """A method and what one must know to use it."""

    name: str
    run: Callable[..., Graph]
    """Called as ``run(values, names, seed=..., **options)``."""
    needs: str
    """Package that it needs beside poolproof; empty: none."""
    gives: str
    """``weights`` (a score for each pair), ``cpdag`` (arrows, and lines where both directions fit as well),
    ``dag`` (arrows), or ``unknown`` (a function of the user)."""
    words: str
    source: str

    @property
    def more_samples(self) -> bool:
        """Whether it is refused unless there are more samples than genes: what gives a graph, not weights.

        With 40 samples of 50 genes (linear, degree 2) .58 to .64 of the edges of GES, BOSS and GRaSP were
        true, with 20 samples .10 to .21 and .44 of those of PC, without a word; FLOP and DirectLiNGAM stop.
        """
        return self.gives in (CPDAG, DAG)


METHODS: Mapping[str, Method] = {
    method.name: method
    for method in (
        Method(
            "correlation", correlation_graph, "", WEIGHTS, "size of Pearson's correlation", "Pearson 1895"
        ),
        Method(
            "partial_correlation",
            partial_correlation_graph,
            "",
            WEIGHTS,
            "size of the partial correlation given all other genes, shrunken",
            "Schäfer & Strimmer 2005",
        ),
        Method(
            "pc",
            pc_graph,
            "tigramite",
            CPDAG,
            "PC with partial correlations",
            "Spirtes, Glymour & Scheines 2000; Colombo & Maathuis 2014",
        ),
        Method(
            "spline_pc",
            spline_pc_graph,
            "",
            CPDAG,
            "PC with splines, which sees bends too",
            "Colombo & Maathuis 2014; Shah & Peters 2020",
        ),
        Method(
            "ges",
            ges_graph,
            "causal-learn",
            CPDAG,
            "greedy equivalence search, Gaussian BIC",
            "Chickering 2002",
        ),
        Method(
            "boss",
            boss_graph,
            "causal-learn",
            CPDAG,
            "best order score search, Gaussian BIC",
            "Andrews and others 2023",
        ),
        Method(
            "grasp",
            grasp_graph,
            "causal-learn",
            CPDAG,
            "greedy relaxations of the sparsest permutation, Gaussian BIC",
            "Lam, Andrews & Ramsey 2022",
        ),
        Method(
            "flop",
            flop_graph,
            "flopsearch",
            CPDAG,
            "fast search over orders, Gaussian BIC",
            "Wienöbst, Henckel & Weichwald 2025",
        ),
        Method(
            "direct_lingam",
            direct_lingam_graph,
            "causal-learn",
            DAG,
            "linear equations with noise that is not Gaussian",
            "Shimizu and others 2011",
        ),
        Method(
            "trees",
            trees_graph,
            "rustscenic",
            WEIGHTS,
            "importance in boosted trees (GRNBoost2)",
            "Moerman and others 2019",
        ),
        Method(
            "tree_importance",
            tree_importance_graph,
            "scikit-learn",
            WEIGHTS,
            "importance in random forests (GENIE3)",
            "Huynh-Thu and others 2010",
        ),
    )
}
"""Every method by its name."""

_MODULES = {
    "causal-learn": (
        "causallearn.search.ScoreBased.GES",
        "causallearn.search.PermutationBased.BOSS",
        "causallearn.search.PermutationBased.GRaSP",
        "causallearn.search.FCMBased.lingam.direct_lingam",
    ),
    "tigramite": ("tigramite.pcmci", "tigramite.independence_tests.parcorr"),
    "flopsearch": ("flopsearch",),
    "rustscenic": ("rustscenic.grn",),
    "scikit-learn": ("sklearn.ensemble",),
}


def list_methods() -> pd.DataFrame:
    """Return the methods of causal discovery that poolproof runs, one row each.

    Returns
    -------
    Columns ``name``, ``gives``, ``needs`` (a package; empty: none), ``words``, ``source``, ``more_samples``
    (True: refused unless there are more samples than genes).

    Examples
    --------
    >>> list_methods().set_index("name").loc["pc", ["gives", "needs"]].tolist()
    ['cpdag', 'tigramite']
    """
    columns = ["name", "gives", "needs", "words", "source", "more_samples"]
    return pd.DataFrame([{c: getattr(m, c) for c in columns} for m in METHODS.values()], columns=columns)


def find_method(name: str) -> Method:
    """Return a method by its name, or one made of a user's own function, ``package.module:function``.

    Raises
    ------
    InputError
        No method has this name, its library is not installed, or there is no such function.

    Examples
    --------
    >>> find_method("poolproof.discovery.methods.pc:pc_graph").words
    'a function of the user'
    """
    if ":" not in name:
        method = METHODS[check_choice("method (or package.module:function)", name, METHODS)]
        if any(find_spec(module.partition(".")[0]) is None for module in _MODULES.get(method.needs, ())):
            raise InputError(f"{name} needs {method.needs}, which is not installed: {INSTALL}")
        return method
    module, _, function = name.partition(":")
    try:
        run = getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"method {printable(name)!r} cannot be imported: {printable(error)}") from None
    if not callable(run):
        raise InputError(f"method {printable(name)!r} is not a function")
    return Method(name, run, "", UNKNOWN, "a function of the user", "")


def load_needs(method: Method) -> None:
    """Import the library of a method now, so that the time of its first run is that of the method.

    A library that is missing is left to the run, which says so.

    Examples
    --------
    >>> load_needs(find_method("correlation"))
    """
    for module in _MODULES.get(method.needs, ()):
        with contextlib.suppress(ModuleNotFoundError):
            import_module(module)
