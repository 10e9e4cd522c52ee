"""The answer of ``check`` as plain text for a terminal, at most 100 columns wide."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from textwrap import wrap
from typing import Any
from unicodedata import combining, east_asian_width

from .._checks import printable

WIDTH = 100
MAX_ROWS = 25
"""Rows of a table."""
MAX_LOST = 10
MAX_WITNESSES = 8
MAX_CELLS = 20
"""Rows of cells of one pool; cells that are alike share a row."""
MAX_NAME = 24

VERDICTS = {
    "recoverable": (
        "Every equation keeps its form, every conditional independence holds, and directions can be told: a "
        "graph learned from such pools is one about the cells."
    ),
    "markov-class": (
        "Every conditional independence holds in pools, but not every direction can be told there: the "
        "graph of the cells can be recovered up to its Markov class."
    ),
    "partial": (
        "Pooling breaks conditional independences, but some edges survive it. Read a graph learned from such "
        "pools as one about the cells at those edges only."
    ),
    "not-recoverable": (
        "Pooling breaks conditional independences, and no edge keeps its form. A graph learned from such "
        "pools need not be the one in the cells."
    ),
    "undecided": (
        "Not everything could be decided for these pools: no rule covers some of the mechanisms or "
        "conditional independences, or only for many cells."
    ),
}
"""The verdict in words."""
CUMULANTS = ("mean", "variance", "cumulant 3", "cumulant 4")
QUANTIFIERS = {
    "uniform": "for all laws of the noises",
    "law": "for the laws and the number of cells that the model states",
    "limit": "for pools of many cells",
}
ORDER = {"fails": 0, "undecided": 1, "holds": 2}
"""What a reader looks for comes first."""


def check_text(summary: Mapping[str, Any]) -> str:
    """Write out what a check found.

    Parameters
    ----------
    summary
        The answer, as ``poolproof check --json`` prints it.

    Returns
    -------
    Lines of at most 100 columns. Names from the model are shown with control characters as escapes. Long
    tables are cut, what fails first; the last line of a cut table says how many rows are left.

    Examples
    --------
    >>> from poolproof.theory import check
    >>> genes = {"Y": {"noise": "gamma(2, 1)"}, "X": {"equation": "Y**2"}}
    >>> found = check({"name": "edge", "genes": genes, "aggregation": "sum", "cells": 2})
    >>> print(check_text(found.summary).splitlines()[0])
    edge, pooled by sum, 2 cells in a pool
    """
    parts = [
        _head(summary),
        _mechanisms(summary["mechanisms"]),
        _separations(summary["separations"]),
        _lost(summary["lost_dependences"]),
        monte_carlo_sentence(summary),
        *_witnesses(summary["mechanisms"]),
    ]
    return "\n\n".join("\n".join(_fold(part)) for part in parts if part)


# --- sentences that the page shows too ------------------------------------------------------------------


def aggregation_text(spec: Any) -> str:
    """The aggregation as the model file has it, on one line.

    Examples
    --------
    >>> aggregation_text({"log1p": "sum", "scale": 1})
    '{"log1p": "sum", "scale": 1}'
    """
    return printable(spec if isinstance(spec, str) else json.dumps(spec, ensure_ascii=False), 200)


def cells_text(cells: int | str) -> str:
    """How many cells a pool holds.

    Examples
    --------
    >>> cells_text(1), cells_text("poisson(20)")
    ('1 cell', 'poisson(20) cells')
    """
    return "1 cell" if cells == 1 else f"{printable(cells)} cells"


def statement_text(separation: Mapping[str, Any], limit: int = MAX_NAME) -> str:
    """A conditional independence.

    Examples
    --------
    >>> statement_text({"x": "A", "y": "B", "given": ["C", "D"]})
    'A _||_ B | C, D'
    """
    given = ", ".join(printable(name, limit) for name in separation["given"])
    ends = " _||_ ".join(printable(separation[end], limit) for end in ("x", "y"))
    return f"{ends} | {given}" if given else ends


def monte_carlo_sentence(summary: Mapping[str, Any]) -> str:
    """What was simulated, and what that shows.

    Examples
    --------
    >>> monte_carlo_sentence({"monte_carlo": None, "settings": {"monte_carlo": False}})
    'Monte Carlo: switched off.'
    """
    found = summary["monte_carlo"]
    if found is None:
        asked = summary["settings"]["monte_carlo"]
        if asked and any(s["cic"] == "undecided" for s in summary.get("separations", ())):
            return "Monte Carlo: not run, the pools or the list of open separations are too large for it."
        return f"Monte Carlo: {'not needed, no separation was left open' if asked else 'switched off'}."
    n = found["n_tested"]
    return (
        f"Monte Carlo: {n:,} {'separation' if n == 1 else 'separations'} tested in {found['n_pools']:,} "
        f"simulated pools (seed {found['seed']}), {found['n_broken']:,} found broken. A residual correlation "
        f"of {found['detectable']:.2f} would have been found with a probability of {found['power']:g}. That "
        "nothing is found proves nothing."
    )


def rule_text(separation: Mapping[str, Any]) -> str:
    """The rule that decided a separation, and what is known beyond it."""
    rule = str(separation["rule"])
    if separation.get("uniform") == "fails" and separation["cic"] != "fails":
        rule += "; under some other law it breaks"
    return rule


def limit_text(separation: Mapping[str, Any]) -> str:
    """The partial correlation in the limit, with the digits that its error allows.

    Examples
    --------
    >>> limit_text({"limit_partial_correlation": -0.50712, "limit_standard_error": 1e-5})
    '-0.507'
    >>> limit_text({"limit_partial_correlation": -0.0012, "limit_standard_error": 1e-3})
    '0.00'
    """
    value = separation["limit_partial_correlation"]
    if value is None:
        return ""
    digits = 3 if separation["limit_standard_error"] < 2e-4 else 2
    return f"{round(value, digits) + 0.0:.{digits}f}"  # + 0.0: no minus before a zero


def witness_sentence(gene: str, witness: Mapping[str, Any]) -> str:
    """What two pools show together."""
    if "child_cumulants" in witness["pools"][0]:
        said = f"The parents pool to the same values, and pooled {gene} has another law: other cumulants."
    elif witness["same_noise"]:
        said = f"The parents pool to the same values, no cell's noise differs, and {gene} pools to another."
    else:
        said = f"Parents and noise pool to the same values, and {gene} pools to another."
    n = witness.get("further_cells", 0)
    if n == 1:
        said += " One more cell, the same in both, completes the pools."
    elif n:
        said += f" {n:,} more cells, the same in both, complete the pools."
    return said


@dataclass(frozen=True)
class PoolTable:
    """One pool of a witness, as a table of text."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """Cells, and below them what they pool to; the first column says which."""
    n_cells: int
    """Rows that are cells."""


def pool_tables(gene: str, witness: Mapping[str, Any]) -> list[PoolTable]:
    """Pools of a witness as tables; cells that are alike share a row.

    Examples
    --------
    >>> cells = [{"values": {"Y": 1.0}, "child": 1.0, "times": 2}]
    >>> pool = {"cells": cells, "pooled": {"values": {"Y": 2.0}, "child": 2.0}}
    >>> pool_tables("X", {"pools": [pool]})[0].rows
    (('1-2', '1', '1'), ('pooled', '2', '2'))
    """
    return [_pool_table(gene, pool) for pool in witness["pools"]]


def _pool_table(gene: str, pool: Mapping[str, Any]) -> PoolTable:
    names = list(pool["cells"][0]["values"])
    extra = [key for key in ("cell_type", "weight") if key in pool["cells"][0]]
    heads = ("cell", *(key.replace("_", " ") for key in extra), *names, gene)

    def row(which: str, of: Mapping[str, Any]) -> tuple[str, ...]:
        label = [str(of.get(key, "")) for key in extra]
        return (which, *label, *(_value(of["values"][name]) for name in names), _value(of.get("child")))

    rows, first = [], 1
    for cell in pool["cells"]:
        last = first + cell["times"] - 1
        rows.append(row(str(first) if first == last else f"{first}-{last}", cell))
        first = last + 1
    if len(rows) > MAX_CELLS:
        start = rows[MAX_CELLS - 1][0].split("-")[0]
        rows = [*rows[: MAX_CELLS - 1], (f"{start}-{first - 1}", *["..."] * (len(heads) - 1))]
    below = [row("pooled", pool["pooled"])]
    blank = [""] * (len(heads) - 2)
    for word, value in zip(CUMULANTS, pool.get("child_cumulants", ()), strict=False):
        below.append((word, *blank, _value(value)))
    return PoolTable(heads, (*rows, *below), len(rows))


def _value(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float | int) else str(value)


# --- the parts ------------------------------------------------------------------------------------------


def _head(summary: Mapping[str, Any]) -> str:
    name, aggregation = printable(summary["name"], 40), aggregation_text(summary["aggregation"])
    lines = [
        f"{name}, pooled by {aggregation}, {cells_text(summary['cells'])} in a pool",
        f"Verdict: {summary['verdict']}",
        VERDICTS.get(summary["verdict"], ""),
        *(f"- {printable(reason, 400)}" for reason in summary["reasons"]),
    ]
    edges = summary["surviving_edges"]
    if summary["verdict"] == "partial":
        shown = ", ".join(
            f"{printable(a, MAX_NAME)} -> {printable(b, MAX_NAME)}" for a, b in edges[:MAX_ROWS]
        )
        lines.append(f"- Surviving edges: {shown}{_more(len(edges) - MAX_ROWS)}")
    return "\n".join(lines)


def _mechanisms(mechanisms: Sequence[Mapping[str, Any]]) -> str:
    first = sorted(mechanisms, key=lambda m: ORDER[m["ffc"]])
    rows = [
        (printable(m["gene"], MAX_NAME), m["ffc"], m["quantifier"], printable(m["rule"], 400))
        for m in first[:MAX_ROWS]
    ]
    title = "Mechanisms: does the pooled gene follow a function of its pooled parents?"
    return _titled(title, ("gene", "form", "scope", "rule"), rows, len(first))


def _separations(separations: Sequence[Mapping[str, Any]]) -> str:
    if not separations:
        return "Conditional independences: none to judge."
    first = sorted(separations, key=lambda s: ORDER[s["cic"]])
    rows = [
        (
            _cut(statement_text(s, 16), 44),
            s["cic"],
            s["quantifier"],
            limit_text(s),
            printable(rule_text(s), 400),
        )
        for s in first[:MAX_ROWS]
    ]
    heads = ("independence in cells", "pools", "scope", "limit r", "rule")
    text = _titled("Conditional independences: do they hold in pools?", heads, rows, len(first))
    used = [word for word in QUANTIFIERS if any(s["quantifier"] == word for s in separations)]
    legend = [f"{word}: {QUANTIFIERS[word]}" for word in used]
    legend.append("limit r: partial correlation in pools of many cells")
    return f"{text}\n  {'; '.join(legend)}"


def _lost(lost: Sequence[Mapping[str, Any]]) -> str:
    if not lost:
        return ""
    rows = [
        (
            _cut(statement_text(s, 16).replace("_||_", "~"), 60),
            s["kind"],
            limit_text(s),
        )
        for s in lost[:MAX_LOST]
    ]
    title = "Lost dependences: present in cells, faded in pools of many cells"
    return _titled(title, ("dependence", "from", "limit r"), rows, len(lost))


def _witnesses(mechanisms: Sequence[Mapping[str, Any]]) -> list[str]:
    found = [m for m in mechanisms if m["witness"]]
    parts = [_witness(m["gene"], m["witness"]) for m in found[:MAX_WITNESSES]]
    left = len(found) - MAX_WITNESSES
    return [*parts, f"... and {left:,} more witnesses: --json or --out"] if left > 0 else parts


def _witness(gene: str, witness: Mapping[str, Any]) -> str:
    name = printable(gene, MAX_NAME)
    tables = pool_tables(name, witness)
    most = max(table.n_cells for table in tables)
    blocks = []
    for label, table in zip("AB", tables, strict=True):
        rows = [[printable(value, MAX_NAME) for value in row] for row in (table.heads, *table.rows)]
        lines = _numbers(rows)
        cells, below = lines[: 1 + table.n_cells], lines[1 + table.n_cells :]
        rule = "  " + "-" * (max(map(display_width, lines)) - 2)
        blocks.append([f"  pool {label}", *cells, *[""] * (most - table.n_cells), rule, *below])
    return "\n".join([f"Witness for {name}. {witness_sentence(name, witness)}", *_beside(blocks)])


def _more(n: int) -> str:
    return f", ... and {n:,} more" if n > 0 else ""


# --- plain tables ---------------------------------------------------------------------------------------


def _titled(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], n_rows: int) -> str:
    lines = [title, *_aligned(heads, rows)]
    if n_rows > len(rows):
        lines.append(f"  ... and {n_rows - len(rows):,} more: --json or --out")
    return "\n".join(lines)


def _numbers(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table of numbers, to the right but for the first column."""
    widths = _widths(rows)
    return [
        "  " + "  ".join(_pad(v, w, right=i > 0) for i, (v, w) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(display_width, column)) for column in zip(*rows, strict=True)]


def _aligned(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table; its last column is folded where it would pass the width."""
    every = [heads, *rows]
    widths = _widths(every)
    indent = 2 + sum(widths[:-1]) + 2 * (len(widths) - 1)
    lines = []
    for row in every:
        start = "  " + "".join(f"{_pad(v, w)}  " for v, w in zip(row[:-1], widths[:-1], strict=True))
        folded = _wrapped(row[-1], WIDTH - indent) or [""]
        lines.append((start + folded[0]).rstrip())
        lines += [" " * indent + line for line in folded[1:]]
    return lines


def _beside(blocks: Sequence[Sequence[str]]) -> list[str]:
    """Blocks of lines side by side if they fit, else one below the other."""
    widths = [max(map(display_width, block)) for block in blocks]
    if sum(widths) + 4 * (len(widths) - 1) > WIDTH:
        return [line for block in blocks for line in block]
    joined = zip_longest(*blocks, fillvalue="")
    return ["    ".join(_pad(v, w) for v, w in zip(row, widths, strict=True)).rstrip() for row in joined]


def _fold(text: str) -> Iterable[str]:
    """Lines of a part, sentences folded."""
    for line in text.split("\n"):
        if display_width(line) <= WIDTH:
            yield line
        else:
            start = len(line) - len(line.lstrip(" "))
            hang = start + (2 if line[start:].startswith("- ") else 0)
            first, *rest = _wrapped(line[start:], WIDTH - hang)
            yield " " * start + first
            yield from (" " * hang + more for more in rest)


def _wrapped(text: str, width: int) -> list[str]:
    """Fold text; characters that take two columns count as two."""
    widest = max((display_width(c) for c in text), default=1)
    return wrap(text, max(width // max(widest, 1), 10))


def _pad(text: str, width: int, *, right: bool = False) -> str:
    space = " " * (width - display_width(text))
    return space + text if right else text + space


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


def display_width(text: str) -> int:
    """Columns that text takes on a terminal.

    Examples
    --------
    >>> display_width("gene"), display_width("遺伝子")
    (4, 6)
    """
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)
