"""Networks that are no table of edges: recognised by their first lines, read or refused by name."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from .._checks import InputError, printable
from .edge_words import WEIGHT_NAMES
from .matching import plain_name

WAY_OUT = "write regulator and target, one edge a line"


@dataclass(frozen=True)
class NetworkFormat:
    """A form of network files."""

    name: str
    tool: str
    """Who writes it, with the version that was looked at."""
    recognised: Callable[[str, str], bool]
    """Whether a text, with the lower-case name of its file, has this form."""
    read: Callable[[str, str], pd.DataFrame] | None
    """Its edges as text columns; None: refused."""
    way_out: str = WAY_OUT


def parse_network(text: str, file: str, where: str) -> pd.DataFrame | None:
    """Return the edges of a text that is no table of edges; None if it may be one.

    Raises
    ------
    InputError
        The form is known and not read, or the text is damaged.
    """
    for form in NETWORK_FORMATS:
        if form.recognised(text, file.lower().removesuffix(".gz")):
            if form.read is None:
                raise InputError(f"{where}: expected a table of edges; found {form.name}; {form.way_out}")
            edges = form.read(text, where)
            if edges.empty:
                raise InputError(f"{where}: expected edges; found none in this file ({form.name})")
            return edges
    return None


# --- text of discovery tools ----------------------------------------------------------------------------

_ARROW = r"(?:-->|<--|---|<->|o->|<-o|o-o)"


def _is_tetrad(text: str, file: str) -> bool:
    return "Graph Edges:" in text[:1_000_000]


def _read_tetrad(text: str, where: str) -> pd.DataFrame:
    """Lines such as ``1. STAT1 --> IRF1``, whatever follows."""
    line = re.compile(rf"^\s*\d+\.\s+(\S.*?)\s+({_ARROW})\s+(\S+)", re.MULTILINE)
    rows = line.findall(text[text.index("Graph Edges:") :])
    return pd.DataFrame(
        [(a, b, arrow) for a, arrow, b in rows], columns=["regulator", "target", "type"], dtype=str
    )


def _is_bif(text: str, file: str) -> bool:
    return bool(re.search(r"^\s*probability\s*\(", text, re.MULTILINE)) and "variable" in text


def _read_bif(text: str, where: str) -> pd.DataFrame:
    """Parents of each node: ``probability ( IRF1 | STAT1, MYC )``."""
    rows = []
    for child, parents in re.findall(r"probability\s*\(\s*([^|)]+?)\s*\|\s*([^)]+?)\s*\)", text):
        rows += [(parent.strip(' "'), child.strip(' "')) for parent in parents.split(",")]
    return pd.DataFrame(rows, columns=["regulator", "target"], dtype=str)


# --- graphs -----------------------------------------------------------------------------------------------

_DOT_NAME = r'(?:"(?:[^"\\]|\\.)*"|[A-Za-z0-9_.\u0080-\uffff]+)'


def _is_dot(text: str, file: str) -> bool:
    return bool(re.match(r"(\s|/\*.*?\*/|//[^\n]*)*(strict\s+)?(di)?graph\b[^{\[]{0,200}\{", text, re.DOTALL))


def _read_dot(text: str, where: str) -> pd.DataFrame:
    """Edges of a DOT file, chains too; names are the node ids, or their labels where those are unique."""
    body = re.sub(r"/\*.*?\*/|//[^\n]*", " ", text[text.index("{") + 1 :], flags=re.DOTALL)
    if re.search(r"(->|--)\s*\{|\}\s*(->|--)", body):
        raise InputError(f"{where}: edges of whole groups of nodes are not read; {WAY_OUT}")
    chain = re.compile(rf"{_DOT_NAME}(?:\s*(?:->|--)\s*{_DOT_NAME})+")
    names: dict[str, str] = {}
    rows = []
    for node, label in re.findall(rf"({_DOT_NAME})\s*\[[^\]]*\b(?:label|name)\s*=\s*({_DOT_NAME})", body):
        names.setdefault(node.strip('"'), label.strip('"'))  # igraph writes name, others label
    names = names if len(set(names.values())) == len(names) else {}
    statements = re.sub(r"\[[^\]]*\]", " ", body)
    # pydot writes a node chr1:100-200 as the port "100-200" of chr1; other ports name no node
    statements = re.sub(r'(?<!")\b(\w+):"(\d+-\d+)"', r'"\1:\2"', statements)
    statements = re.sub(rf'({_DOT_NAME})(?::(?:\w+|"[^"]*")){{0,2}}', r"\1", statements)
    if cut := re.search(r"[\w.]+-[\w.]+", re.sub(r'"(?:[^"\\]|\\.)*"', " ", statements)):
        raise InputError(
            f"{where}: expected names with a hyphen in quotes, as DOT wants it; found {printable(cut[0], 40)}"
        )
    for found in chain.findall(statements):
        parts = re.findall(rf"{_DOT_NAME}|->|--", found)
        for left, arrow, right in zip(parts[::2], parts[1::2], parts[2::2], strict=False):
            a, b = left.strip('"'), right.strip('"')
            rows.append((names.get(a, a), names.get(b, b), "-->" if arrow == "->" else "---"))
    return pd.DataFrame(rows, columns=["regulator", "target", "type"], dtype=str)


def _is_gml(text: str, file: str) -> bool:
    return bool(re.match(r"(\s*(Creator|Version|directed)\b[^\n]*\n)*\s*graph\s*\[", text))


def _read_gml(text: str, where: str) -> pd.DataFrame:
    import networkx as nx

    try:
        graph = nx.parse_gml(text, label="id")
    except Exception as error:  # networkx lets many kinds out of a malformed file
        raise InputError(f"{where}: expected GML with one graph; found: {printable(error)}") from error
    return edges_of_graph(graph)


def edges_of_graph(graph: Any) -> pd.DataFrame:
    """Edges of a networkx graph as text; undirected ones have the type ``---``."""
    names = node_names(graph)
    rows = []
    for source, target, attributes in graph.edges(data=True):
        row = {"regulator": names[source], "target": names[target]}
        for key, value in attributes.items():
            name = "weight" if plain_name(str(key)) in WEIGHT_NAMES else str(key)
            row.setdefault(name, str(value))
        rows.append(row)
    edges = pd.DataFrame(rows, columns=None if rows else ["regulator", "target"]).fillna("").astype(str)
    return edges if graph.is_directed() else edges.assign(type="---")


def node_names(graph: Any) -> dict[Any, str]:
    """Name of each node: its name or label where those tell nodes apart, else its id.

    ``label`` may be a class (``TF``, ``target``), and then names no node.
    """
    for keys in (("name", "label"), ("name",), ("label",), ("gene",), ("symbol",), ("shared name",)):
        names = {}
        for node, attributes in graph.nodes(data=True):
            given = [str(attributes[key]) for key in keys if str(attributes.get(key, "")).strip()]
            names.update({node: given[0]} if given else {})
        if 2 * len(names) >= max(1, len(graph)) and len(set(names.values())) == len(names):
            return {node: names.get(node, str(node)) for node in graph}
    return {node: str(node) for node in graph}


def _is_model_string(text: str, file: str) -> bool:
    return re.fullmatch(r"\s*(\[[^\[\]|{}\"]+(\|[^\[\]|]+)?\]\s*){2,}", text[:100_000]) is not None


def _read_model_string(text: str, where: str) -> pd.DataFrame:
    """Parents of each node: ``[STAT1][IRF1|STAT1:MYC]``."""
    rows = []
    for child, parents in re.findall(r"\[([^\[\]|]+)\|([^\[\]|]+)\]", text):
        rows += [(parent.strip(), child.strip()) for parent in parents.split(":")]
    return pd.DataFrame(rows, columns=["regulator", "target"], dtype=str)


def _is_dagitty(text: str, file: str) -> bool:
    return re.match(r"\s*(dag|pdag|mag|pag)\s*\{", text) is not None


def _is_pajek(text: str, file: str) -> bool:
    return re.match(r"\s*\*(vertices|network)\b", text, re.IGNORECASE) is not None


UNDIRECTED_HEADERS = (
    ("protein1", "protein2"),
    ("node1", "node2", "node1_string_id"),
    ("#node1", "node2"),
    ("official symbol interactor a", "official symbol interactor b"),
    ("id(s) interactor a", "id(s) interactor b"),
    ("#id(s) interactor a", "id(s) interactor b"),
)


def _is_interactome(text: str, file: str) -> bool:
    line = next((line for line in text[:20_000].split("\n") if line.strip()), "").lower()
    cells = {cell.strip(' "') for cell in re.split(r"[\t, ]" if "\t" not in line else r"\t", line)}
    return any(set(names) <= cells for names in UNDIRECTED_HEADERS)


# --- lists ------------------------------------------------------------------------------------------------

INTERACTIONS = frozenset(
    [
        "activates",
        "inhibits",
        "represses",
        "regulates",
        "activation",
        "repression",
        "inhibition",
        "expression",
        "pp",
        "pd",
        "pr",
        "cr",
        "gg",
        "xx",
        "binds",
        "controls-expression-of",
        "controls-state-change-of",
        "controls-transport-of",
        "interacts-with",
        "in-complex-with",
        "positive",
        "negative",
        "up-regulates",
        "down-regulates",
    ]
)
"""Relations of SIF files: Cytoscape, Pathway Commons, SIGNOR."""
EFFECTS = frozenset(
    ["activation", "repression", "unknown", "activator", "repressor", "+", "-", "+-", "?", "dual"]
)
"""Effects that TRRUST and RegulonDB write after the two ends."""


def _lines(text: str) -> list[list[str]]:
    """Fields of the first lines that hold something; split at tabs, else at blanks."""
    lines = [line for line in text[:200_000].split("\n") if line.strip()][:50]
    tabs = sum("\t" in line for line in lines) > len(lines) / 2
    return [[cell.strip() for cell in (line.split("\t") if tabs else line.split())] for line in lines]


def _is_sif(text: str, file: str) -> bool:
    rows = [row for row in _lines(text) if len(row) > 1]
    known = all(len(row) >= 3 and row[1].lower() in INTERACTIONS for row in rows) and bool(rows)
    return known or (file.endswith(".sif") and all(len(row) >= 3 for row in rows) and bool(rows))


def _read_sif(text: str, where: str) -> pd.DataFrame:
    """Lines of one source, a relation and one or more targets."""
    rows = []
    for line in text.split("\n"):
        cells = [cell.strip() for cell in (line.split("\t") if "\t" in line else line.split())]
        rows += [(cells[0], target, cells[1]) for target in cells[2:] if target]
    return pd.DataFrame(rows, columns=["regulator", "target", "interaction"], dtype=str)


def _is_effects(text: str, file: str) -> bool:
    rows = _lines(text)
    return bool(rows) and all(len(row) in (3, 4) and row[2].lower() in EFFECTS for row in rows)


def _read_effects(text: str, where: str) -> pd.DataFrame:
    rows = [line.split("\t") if "\t" in line else line.split() for line in text.split("\n") if line.strip()]
    return pd.DataFrame([row[:3] for row in rows], columns=["regulator", "target", "effect"], dtype=str)


_NX_EDGE = re.compile(r"^(\S+)[ \t]+(\S+)[ \t]+(\{.*\})[ \t]*$")


def _is_nx_edges(text: str, file: str) -> bool:
    lines = [line for line in text[:200_000].split("\n") if line.strip()][:50]
    return bool(lines) and all(_NX_EDGE.match(line) for line in lines)


def _read_nx_edges(text: str, where: str) -> pd.DataFrame:
    """Lines of two ends and a dictionary; of that only a weight is read."""
    rows = []
    for line in io.StringIO(text):
        if not line.strip():
            continue
        match = _NX_EDGE.match(line.rstrip("\n"))
        if match is None:
            raise InputError(
                f"{where}: expected two ends and {{...}} in each line; found {printable(line)!r}"
            )
        number = re.search(r"['\"]weight['\"]\s*:\s*([-+0-9.eE]+)", match[3])
        rows.append((match[1], match[2], number[1] if number else ""))
    return pd.DataFrame(rows, columns=["regulator", "target", "weight"], dtype=str)


def _is_matrix(text: str, file: str) -> bool:
    """A square table whose rows bear the names of its columns."""
    lines = [line for line in text.split("\n") if line.strip()]
    mark = next((mark for mark in "\t,; " if lines and mark in lines[0]), None)
    if mark is None or len(lines) < 3:
        return False
    clean = [[cell.strip(' "') for cell in line.split(mark)] for line in lines[:10_000]]
    header = clean[0][1:] if len(clean[0]) == len(clean[1]) else clean[0]
    first = [row[0] for row in clean[1:]]
    return len(header) >= 2 and len(clean[1]) == len(header) + 1 and set(first) == set(header)


def _is_gmt(text: str, file: str) -> bool:
    if file.endswith(".gmt"):
        return True
    widths = Counter(len(row) for row in _lines(text))
    return "\t" in text[:2000] and len(widths) > 1 and min(widths) >= 3 and max(widths) > 4


def _is_aracne(text: str, file: str) -> bool:
    return file.endswith(".adj")


def _is_json(text: str, file: str) -> bool:
    return text.lstrip()[:1] in ("{", "[")


def _is_regulons(text: str, file: str) -> bool:
    return "TargetGenes" in text[:2000] and "MotifSimilarityQvalue" in text[:2000]


NETWORK_FORMATS = (
    NetworkFormat(
        "edges as Tetrad and causal-learn print them", "causal-learn 0.1, Tetrad", _is_tetrad, _read_tetrad
    ),
    NetworkFormat("a Bayesian network (BIF)", "bnlearn, pgmpy 1.1", _is_bif, _read_bif),
    NetworkFormat("a DOT graph", "Graphviz, networkx 3.6, igraph 1.0", _is_dot, _read_dot),
    NetworkFormat("a GML graph", "networkx 3.6, igraph 1.0", _is_gml, _read_gml),
    NetworkFormat("a model string", "bnlearn", _is_model_string, _read_model_string),
    NetworkFormat("a dagitty model", "dagitty", _is_dagitty, None),
    NetworkFormat("a Pajek network", "Pajek", _is_pajek, None),
    NetworkFormat(
        "interactions of proteins",
        "STRING, BioGRID, PSI-MITAB",
        _is_interactome,
        None,
        "they have no direction: take a network of regulators, such as CollecTRI or TRRUST",
    ),
    NetworkFormat("JSON", "Cytoscape, networkx", _is_json, None),
    NetworkFormat(
        "regulons of pySCENIC",
        "pySCENIC 0.12 (ctx)",
        _is_regulons,
        None,
        "give the adjacencies (pyscenic grn), or write regulator and target, one edge a line",
    ),
    NetworkFormat("an edge list of networkx", "networkx 3.6 (write_edgelist)", _is_nx_edges, _read_nx_edges),
    NetworkFormat("interactions (SIF)", "Cytoscape, Pathway Commons", _is_sif, _read_sif),
    NetworkFormat("edges with their effects", "TRRUST, RegulonDB", _is_effects, _read_effects),
    NetworkFormat(
        "an adjacency matrix",
        "causal-learn, lingam, bnlearn",
        _is_matrix,
        None,
        "write its entries as lines of regulator and target (tools disagree on which are the rows)",
    ),
    NetworkFormat("gene sets (GMT)", "MSigDB, pySCENIC", _is_gmt, None),
    NetworkFormat("an ARACNe network", "ARACNe-AP", _is_aracne, None),
)
"""In the order in which they are tried."""
