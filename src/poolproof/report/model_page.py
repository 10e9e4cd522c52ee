"""From a check of a model to one self-contained page: nothing is decided here, nothing fetched."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import networkx as nx
from markupsafe import Markup

from .._checks import InputError, printable
from .._files import replace_file
from ..models.mechanisms import Equation, Mechanism
from ..theory.text import (
    ORDER,
    QUANTIFIERS,
    VERDICTS,
    cells_text,
    limit_text,
    monte_carlo_sentence,
    pool_tables,
    rule_text,
    witness_sentence,
)
from .graph_picture import STYLES, draw_graph
from .page import plural, policy, resource, svg_of, template, text_of
from .tables import Columns, headings, page_table

if TYPE_CHECKING:
    from ..models.scm import SCM
    from ..theory.conditions import Check

MAX_ROWS = 10_000
"""Rows of one table."""
MAX_WITNESSES = 60
MAX_LOST = 200
MAX_EDGES = 300
MAX_LINES = 3_000
"""Lines of the model file."""

MECHANISMS = {
    "gene": ("Gene", "gene"),
    "parents": ("Parents", "gene"),
    "mechanism": ("Mechanism", "gene"),
    "ffc": ("Form", "word"),
    "quantifier": ("Scope", "word"),
    "rule": ("Rule", "word"),
}
"""Columns: heading and kind."""
SEPARATIONS = {
    "x": ("Gene", "gene"),
    "y": ("Gene", "gene"),
    "given": ("Given", "gene"),
    "cic": ("In pools", "word"),
    "quantifier": ("Scope", "word"),
    "uniform": ("For all laws", "word"),
    "limit_partial_correlation": ("Limit r", "number"),
    "rule": ("Rule", "word"),
}
ANSWERS = {"holds": "holds", "fails": "fails", "undecided": "undecided"}
EDGE_WORDS = {status: words for status, (_, _, words) in STYLES.items()}


def write_model_page(check: Check, path: str | Path) -> Path:
    """Write one HTML page about a check.

    Parameters
    ----------
    check
        What :func:`poolproof.check` found.
    path
        File to write; one that is there is replaced when the new page is complete.

    Returns
    -------
    Path of the page: one file that opens offline, loads nothing, and runs no script but its own.

    Raises
    ------
    InputError
        The file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from poolproof.theory import check
    >>> genes = {"Y": {"noise": "gamma(2, 1)"}, "X": {"equation": "2*Y + N", "noise": "normal(0, 1)"}}
    >>> found = check({"name": "edge", "genes": genes, "aggregation": "sum", "cells": 20})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_model_page(found, Path(folder) / "edge.html").name
    'edge.html'
    """
    path = Path(path)
    if path.is_dir() or not path.absolute().parent.is_dir():
        expected = "a file in a folder that exists"
        raise InputError(f"expected the name of {expected}; found {printable(path, 400)}")
    scm = check.model.scm
    page = render(
        check.summary,
        genes={gene: list(scm.parents(gene)) for gene in scm.genes},
        mechanisms={gene: _mechanism_text(scm, gene) for gene in scm.genes},
        pooling=check.model.aggregation.sentence,
        cell_types=[*scm.fractions],
        source=check.model.to_yaml(),
    )
    return replace_file(path, page)


def render(
    summary: Mapping[str, Any],
    *,
    genes: Mapping[str, Sequence[str]],
    mechanisms: Mapping[str, str],
    pooling: str,
    cell_types: Sequence[str],
    source: str,
) -> str:
    """Return the page as text.

    Parameters
    ----------
    summary
        The answer, as ``poolproof check --json`` prints it.
    genes
        Parents of each gene.
    mechanisms
        Text of each gene's mechanism.
    pooling
        What a pool shows, in words.
    cell_types
        Names.
    source
        The model file.
    """
    style = resource("report.css") + resource("model_page.css")
    script = resource("report.js")
    filters = {"limit": limit_text}
    edges = [(parent, gene) for gene, parents in genes.items() for parent in parents]
    status = edge_status(summary, edges)
    forms, independences = summary["mechanisms"], summary["separations"]
    lost = summary["lost_dependences"]
    witnesses = [m for m in forms if m["witness"]]
    return template("model_page.html.j2", filters).render(
        policy=policy(style, script),
        style=Markup(style),
        script=Markup(script),
        found=summary,
        verdict_word=summary["verdict"].replace("-", " ").capitalize(),
        sentence=VERDICTS[summary["verdict"]],
        cells=cells_text(summary["cells"]),
        types=f" of {len(cell_types)} types" if len(cell_types) > 1 else "",
        pooling=pooling.rstrip("."),
        genes=len(genes),
        forms=_counts(m["ffc"] for m in forms),
        independences=_counts(s["cic"] for s in independences),
        n_surviving=sum(s == "survives" for s in status.values()),
        status=status,
        edges=[(a, b, EDGE_WORDS[status[a, b]]) for a, b in edges[:MAX_EDGES]],
        picture=svg_of(draw_graph(_graph(genes, edges), status)),
        alt=_alternative(genes, status),
        mechanisms=_table([_mechanism_row(m, mechanisms) for m in _fails_first(forms, "ffc")], MECHANISMS),
        separations=_table([_separation_row(s) for s in _fails_first(independences, "cic")], SEPARATIONS),
        n_separations=len(independences),
        witnesses=[_witness(m, mechanisms[m["gene"]]) for m in witnesses[:MAX_WITNESSES]],
        n_witnesses=len(witnesses),
        lost=lost[:MAX_LOST],
        n_lost=len(lost),
        monte_carlo=monte_carlo_sentence(summary),
        source="\n".join(printable(line, 2_000) for line in source.splitlines()[:MAX_LINES]),
        settings={
            "aggregation": json.dumps(summary["aggregation"], ensure_ascii=False),
            "cells": summary["cells"],
            **{name: json.dumps(value, ensure_ascii=False) for name, value in summary["settings"].items()},
        },
        quantifiers=QUANTIFIERS,
    )


def edge_status(summary: Mapping[str, Any], edges: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Whether each edge survives, is lost, or is undecided.

    Examples
    --------
    >>> answers = [{"gene": "Y", "ffc": "holds"}, {"gene": "X", "ffc": "fails"}]
    >>> edge_status({"surviving_edges": [], "mechanisms": answers}, [("Y", "X")])
    {('Y', 'X'): 'lost'}
    """
    surviving = {tuple(edge) for edge in summary["surviving_edges"]}
    forms = {m["gene"]: m["ffc"] for m in summary["mechanisms"]}
    return {
        edge: "survives" if edge in surviving else "lost" if forms[edge[1]] == "fails" else "undecided"
        for edge in edges
    }


# --- text -----------------------------------------------------------------------------------------------


def _mechanism_text(scm: SCM, gene: str) -> str:
    """The mechanism of a gene; where cell types differ, that of each."""
    by_type = {cell_type: _equation_text(scm.mechanism(gene, cell_type)) for cell_type in scm.fractions}
    if len(set(by_type.values())) == 1:
        return next(iter(by_type.values()))
    return "; ".join(f"{cell_type}: {text}" for cell_type, text in by_type.items())


def _equation_text(mechanism: Mechanism) -> str:
    """The equation; of a gene without parents, its law."""
    if isinstance(mechanism, Equation) and mechanism.is_noise and mechanism.noise is not None:
        return mechanism.noise.text
    return mechanism.text


def _counts(answers: Any) -> dict[str, int]:
    found = Counter(answers)
    return {answer: found[answer] for answer in ANSWERS} | {"n": found.total()}


def _graph(genes: Mapping[str, Sequence[str]], edges: Sequence[tuple[str, str]]) -> nx.DiGraph:
    graph = nx.DiGraph()
    graph.add_nodes_from(genes)
    graph.add_edges_from(edges)
    return graph


def _alternative(genes: Mapping[str, Sequence[str]], status: Mapping[tuple[str, str], str]) -> str:
    counts = Counter(status.values())
    parts = [f"{counts[s]} {words}" for s, words in EDGE_WORDS.items() if counts[s]]
    sizes = f"{plural(len(genes), 'gene')} and {plural(len(status), 'edge')}"
    return f"Graph of {sizes}: {', '.join(parts)}." if parts else f"Graph of {sizes}."


def _witness(mechanism: Mapping[str, Any], text: str) -> dict[str, Any]:
    """A witness as two tables; below the cells, what differs is marked."""
    tables = pool_tables(mechanism["gene"], mechanism["witness"])
    below = [{row[0]: row[-1] for row in table.rows[table.n_cells :]} for table in tables]
    pools = []
    for table in tables:
        rows = [
            {
                "head": row[0],
                "values": row[1:],
                "differs": i >= table.n_cells and len({values[row[0]] for values in below}) > 1,
            }
            for i, row in enumerate(table.rows)
        ]
        pools.append({"heads": table.heads, "rows": rows, "n_cells": table.n_cells})
    sentence = witness_sentence(printable(mechanism["gene"]), mechanism["witness"])
    return {"gene": mechanism["gene"], "mechanism": text, "sentence": sentence, "pools": pools}


# --- tables ---------------------------------------------------------------------------------------------


def _fails_first(rows: Sequence[Mapping[str, Any]], answer: str) -> list[Mapping[str, Any]]:
    return sorted(rows, key=lambda row: ORDER[row[answer]])


def _mechanism_row(found: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, Any]:
    return {**found, "parents": ", ".join(found["parents"]) or "–", "mechanism": texts[found["gene"]]}


def _separation_row(found: Mapping[str, Any]) -> dict[str, Any]:
    limit = limit_text(found)
    return {
        **found,
        "given": ", ".join(found["given"]) or "–",
        "rule": rule_text(found),
        "limit_partial_correlation": float(limit) if limit else None,
    }


def _table(rows: Sequence[Mapping[str, Any]], columns: Columns) -> dict[str, Any]:
    """A table as the page reads it: names once, rows that point to them."""
    return page_table(lambda n_rows: _content(rows[:n_rows], columns), min(len(rows), MAX_ROWS))


def _content(rows: Sequence[Mapping[str, Any]], columns: Columns) -> dict[str, Any]:
    place: dict[str, int] = {}
    listed = [[_entry(row[name], kind, place) for name, (_, kind) in columns.items()] for row in rows]
    return {
        "columns": headings(columns),
        "words": ANSWERS,
        "genes": list(place),
        "symbols": None,
        "rows": listed,
    }


def _entry(value: Any, kind: str, place: dict[str, int]) -> Any:
    if kind == "gene":
        return place.setdefault(text_of(value), len(place))
    if kind == "word":
        return text_of(value)
    return None if value is None else float(f"{value:.4g}")
