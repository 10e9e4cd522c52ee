"""Edges of an audit in the formats of other tools: CSV, GraphML, Cytoscape's JSON, GMT."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import networkx as nx
import pandas as pd

from .. import _names as names
from .._checks import InputError, check_choice, printable
from .._files import plain, replace_file
from .audit_page import read_table, read_verdict
from .page import text_of
from .tables import safe_csv

KINDS = (*names.PAIR_CALLS, *names.EDGE_STATUSES)
"""Calls of pairs, and what pooling leaves of the edges of a network."""
COLUMNS = ("regulator", "target", "n", "r2_linear", "r2_spline", "nonlinear_share", "q_value", "call")
MOST_EDGES = 1_000_000
"""Edges of one file: other tools open no more."""


def export_edges(
    folder: str | Path, path: str | Path, *, to: str, kinds: Sequence[str] = (), force: bool = False
) -> pd.DataFrame:
    """Write edges of an audit into a file that another tool reads.

    Parameters
    ----------
    folder
        Of an audit.
    path
        File to write.
    to
        ``csv``; ``graphml`` (igraph, Gephi, networkx, yEd); ``cytoscape`` (``.cyjs``); or ``gmt``: a gene set
        for each regulator, its targets.
    kinds
        Which edges: calls of pairs (``affine``, ``nonlinear``, ``inconclusive``), and of an audit with a
        network also what pooling leaves of an edge (``survives``, ``not_contradicted``, ``distorted``,
        ``not_seen``, ``cannot_tell``). Empty: ``survives`` of a network, else ``affine``.
    force
        Whether to replace a file.

    Returns
    -------
    The edges: ``regulator``, ``target``, the numbers of ``pairs.parquet``, with a network ``pool_status``.

    Raises
    ------
    InputError
        The folder holds no complete audit, a kind is not known or asks for a network that there is none of,
        or the file is there and ``force`` is not set.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import poolproof
    >>> rng = np.random.default_rng(0)
    >>> x = rng.gamma(2.0, size=500)
    >>> data = pd.DataFrame({"x": x, "line": 2 * x + rng.normal(size=500), "bent": np.tanh(x)})
    >>> audit = poolproof.audit(data, kind="bulk", scale="additive", regulators=["x"], triples="none")
    >>> with tempfile.TemporaryDirectory() as place:
    ...     folder = audit.save(Path(place) / "audit")
    ...     edges = export_edges(folder, Path(place) / "edges.gmt", to="gmt")
    ...     print((Path(place) / "edges.gmt").read_text().split())
    ['x', 'affine', 'line']
    """
    path = Path(path)
    check_choice("to", to, tuple(WRITERS))
    for kind in kinds:
        check_choice("kinds", kind, KINDS)
    if path.exists() and not force:
        raise InputError(f"--out {printable(path, 400)} exists; name another file, or pass --force")
    edges = _chosen(Path(folder), tuple(kinds))
    if len(edges) > MOST_EDGES:
        raise InputError(
            f"expected at most {MOST_EDGES:,} edges; found {len(edges):,}; choose fewer with --kinds, or "
            "audit with --keep top:N"
        )
    replace_file(path, WRITERS[to](edges))
    return edges


def _chosen(folder: Path, kinds: tuple[str, ...]) -> pd.DataFrame:
    """Edges of these kinds, strongest first."""
    read_verdict(folder)
    pairs = read_table(folder / "pairs.parquet")
    has_network = (folder / "edges.parquet").exists()
    statuses = [kind for kind in kinds if kind in names.EDGE_STATUSES]
    if statuses and not has_network:
        raise InputError(
            f"{statuses[0]} is said of the edges of a network; {printable(folder, 400)} is an audit without; "
            f"choose calls ({', '.join(names.PAIR_CALLS)}), or audit with --network"
        )
    wanted = kinds or ((names.SURVIVES,) if has_network else (names.AFFINE,))
    found = pairs[list(COLUMNS)]
    chosen = found["call"].isin(wanted)
    if has_network:
        key = ["regulator", "target"]
        found = found.merge(read_table(folder / "edges.parquet")[[*key, "pool_status"]], on=key, how="left")
        chosen = found["call"].isin(wanted) | found["pool_status"].isin(wanted)
    found = found[chosen].reset_index(drop=True)
    words = [name for name in found.columns if found[name].dtype == "category"]
    return found.astype(dict.fromkeys(words, str))


def _csv(edges: pd.DataFrame) -> str:
    return safe_csv(edges)


def _graph(edges: pd.DataFrame) -> nx.DiGraph:
    graph = nx.DiGraph()
    for row in edges.to_dict("records"):
        ends = text_of(row.pop("regulator")), text_of(row.pop("target"))
        known = {str(name): of for name, of in plain(row).items() if of is not None and of != "nan"}
        graph.add_edge(*ends, **known)
    return graph


def _graphml(edges: pd.DataFrame) -> str:
    return "\n".join(nx.generate_graphml(_graph(edges))) + "\n"


def _cytoscape(edges: pd.DataFrame) -> str:
    return json.dumps(nx.cytoscape_data(_graph(edges)), ensure_ascii=False, allow_nan=False) + "\n"


def _gmt(edges: pd.DataFrame) -> str:
    """A line a regulator: its name, what the edges are, and its targets."""
    lines = []
    for regulator, mine in edges.groupby("regulator", sort=True):
        what = ",".join(sorted(set(mine["call"])))
        words = [text_of(regulator), what, *map(text_of, mine["target"])]
        lines.append("\t".join(word.replace("\t", " ") for word in words))
    return "".join(f"{line}\n" for line in lines)


WRITERS: dict[str, Callable[[pd.DataFrame], str]] = {
    "csv": _csv,
    "graphml": _graphml,
    "cytoscape": _cytoscape,
    "gmt": _gmt,
}
"""How each format is written."""
