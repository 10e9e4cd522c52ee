"""What the columns of an edge table say beside the two ends: no edge, another direction, none at all.

One table of words for every reader of networks.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from .._checks import InputError, printable
from .matching import OTHER_REGULATOR_NAMES, count_edges, plain_name

# Column names, most explicit first; compared in lower case without spaces, dots, dashes, underscores.
REGULATOR_NAMES = (
    "regulator",
    "tf",
    "source",
    "from",
    "regulatorygene",
    "regulatorgenename",
    "regulatorname",
    "tfname",
    "transcriptionfactor",
    "sourcegenesymbol",
    "entitya",
    "fromnode",
    "gene1",
)
TARGET_NAMES = (
    "target",
    "to",
    "targetgene",
    "targetgenename",
    "regulatedname",
    "regulatedgene",
    "targetgenesymbol",
    "entityb",
    "tonode",
    "gene2",
)
WEIGHT_NAMES = (
    "weight",
    "importance",
    "edgeweight",
    "coefmean",
    "coef",
    "coefficient",
    "mi",
    "combinedconfidences",
)
"""GENIE3, GRNBoost2, pySCENIC, BEELINE, CellOracle, scGRNom, ARACNe-AP, inferelator."""
BOOTSTRAP = ("strength", "direction")
"""Columns of bnlearn's ``boot.strength``: shares of networks; strength 0 is no edge. Alone, ``strength`` may
be a p-value."""
SECOND_REGULATOR_NAMES = ("tfs", "regulators", "parent", "cause", "node1")
SECOND_TARGET_NAMES = ("gene", "genes", "genename", "genesymbol", "symbol", "targets", "tg", "child", "node2")
"""Believed only beside a column that names the other end: ``gene,TF`` has the regulator second."""

FLAGS = (
    "isedge",
    "sign",
    "edge",
    "exists",
    "present",
    "adjacency",
    "mor",
    "goldstandard",
    "label",
    "isdirect",
)
"""Columns where 0 or false says that there is no edge."""
SIGNS = ("sign", "mor")
"""Of those, the ones that may hold a sign: beside -1, or alone, their 0 is an effect of unknown sign (TRRUST
2, RegulonDB, RegPrecise); beside 1 alone it is no edge (gold standards)."""
DIRECTED = ("isdirected", "directed")
"""Columns where 0 or false says that an edge has no direction (OmniPath)."""
YES = frozenset({"1", "1.0", "+1", "true", "t", "yes", "y"})
NO = frozenset({"0", "0.0", "+0", "-0", "false", "f", "no", "n"})
TYPES = (
    "type",
    "edgetype",
    "interaction",
    "interactiontype",
    "edge",
    "direction",
    "directed",
    "arrow",
    "relation",
)
"""Columns that may say which way an edge points."""

FORWARD, BACKWARD, BOTH, NO_EDGE, UNSURE = "forward", "backward", "both", "no edge", "unsure"


@dataclass(frozen=True)
class EdgeType:
    """A word for the type of an edge."""

    words: tuple[str, ...]
    meaning: str
    tool: str


EDGE_TYPES = (
    EdgeType(("-->", "->", "directed", "=>"), FORWARD, "causal-learn 0.1, Tetrad, pcalg, Gephi"),
    EdgeType(("<--", "<-", "<="), BACKWARD, "causal-learn 0.1, Tetrad"),
    EdgeType(("---", "--", "undirected", "o-o"), BOTH, "causal-learn 0.1, Tetrad, Gephi"),
    EdgeType(("<->", "bidirected"), NO_EDGE, "causal-learn 0.1, Tetrad 7: a hidden common cause"),
    EdgeType(("o->", "-->o"), UNSURE, "causal-learn 0.1 (FCI), Tetrad 7: an edge or a hidden common cause"),
    EdgeType(("<-o",), BACKWARD, "Tetrad"),
)
"""``-`` alone is left out: BEELINE and SIGNOR write it for repression."""

_MEANING = {word: entry.meaning for entry in EDGE_TYPES for word in entry.words}


def real_edges(edges: pd.DataFrame, where: str, warnings: list[str]) -> pd.DataFrame:
    """Leave out rows that say that there is no edge, and turn edges as their types say.

    Parameters
    ----------
    edges
        Columns ``regulator``, ``target``, perhaps ``weight`` (numbers), and others as text.
    where
        Name of the file, for sentences.
    warnings
        Sentences are added here.

    Examples
    --------
    >>> said = []
    >>> table = pd.DataFrame({"regulator": ["A", "B"], "target": ["B", "C"], "type": ["<--", "---"]})
    >>> real_edges(table, "net.csv", said)[["regulator", "target"]].to_numpy().tolist()
    [['B', 'A'], ['B', 'C'], ['C', 'B']]
    """
    given = len(edges)
    if "weight" in edges:
        none = edges["weight"] == 0
        edges = _without(edges, none, f"{where}: {{}} of weight 0 left out: weight 0 is no edge", warnings)
    for column in _columns(edges, FLAGS):
        words = edges[column].astype(str).str.strip().str.lower()
        none = words.isin(NO)
        if plain_name(str(column)) in SIGNS and (none.all() or words.str.startswith("-").any()):
            continue
        shown = printable(column, 30)
        edges = _without(edges, none, f"{where}: {{}} left out: {shown} says that there is none", warnings)
    strength = {plain_name(str(c)): c for c in edges.columns if plain_name(str(c)) in BOOTSTRAP}
    if len(strength) == len(BOOTSTRAP):
        none = pd.to_numeric(edges[strength["strength"]], errors="coerce") == 0
        edges = _without(edges, none, f"{where}: {{}} of strength 0 left out: no network has it", warnings)
    if given and edges.empty:
        raise InputError(f"{where}: expected edges; every line says by its weight or sign that there is none")
    for column in _columns(edges, DIRECTED):
        words = edges[column].astype(str).str.strip().str.lower()
        if words.isin(NO | YES).all() and words.isin(NO).any():
            return _turned(edges, words.map(lambda word: BOTH if word in NO else FORWARD), where, warnings)
    for column in _columns(edges, TYPES):
        words = edges[column].astype(str).str.strip().str.lower()
        if words.isin(_MEANING.keys()).any():
            return _turned(edges, words.map(lambda word: _MEANING.get(word, FORWARD)), where, warnings)
    return edges


def _columns(edges: pd.DataFrame, names: tuple[str, ...]) -> list[str]:
    ends = ("regulator", "target", "weight")
    return [c for c in edges.columns if c not in ends and plain_name(str(c)) in names]


def _without(edges: pd.DataFrame, none: pd.Series, sentence: str, warnings: list[str]) -> pd.DataFrame:
    if none.any():
        warnings.append(sentence.format(count_edges(int(none.sum()))))
    return edges[~none]


def _other_names(edges: pd.DataFrame) -> dict[str, str]:
    """Columns of second names of the two ends (``source_genesymbol``), each with its counterpart."""
    by_name = {plain_name(str(column)): str(column) for column in edges.columns}
    pairs: dict[str, str] = {}
    for one in OTHER_REGULATOR_NAMES:
        other = "target" + one.removeprefix("source").removeprefix("regulator")
        if one in by_name and other in by_name:
            pairs |= {by_name[one]: by_name[other], by_name[other]: by_name[one]}
    return pairs


def _turned(edges: pd.DataFrame, meaning: pd.Series, where: str, warnings: list[str]) -> pd.DataFrame:
    swap = {"regulator": "target", "target": "regulator"} | _other_names(edges)
    back = edges[meaning == BACKWARD].rename(columns=swap)
    both = edges[meaning == BOTH]
    for kind, said in (
        (BACKWARD, "pointing backwards (<--), turned"),
        (BOTH, "undirected: each is tested in both directions"),
        (NO_EDGE, "of a hidden common cause (<->), left out"),
        (UNSURE, "that may be a hidden common cause (o->), taken as given"),
    ):
        if n := int((meaning == kind).sum()):
            warnings.append(f"{where}: {count_edges(n)} {said}")
    forward = edges[meaning.isin([FORWARD, UNSURE])]
    parts = [forward, back, both, both.rename(columns=swap)]
    turned = pd.concat([part[edges.columns] for part in parts]).sort_index(kind="stable")
    if turned.empty and len(edges):
        raise InputError(f"{where}: expected directed edges; every line stands for a hidden common cause")
    return turned.reset_index(drop=True)
