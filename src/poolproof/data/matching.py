"""Names from lists and networks, matched to the genes of the data."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from .._checks import InputError, printable

# Columns that some networks add: another name of the same gene, tried where the first matches nothing.
OTHER_REGULATOR_NAMES = ("regulatorgeneid", "sourcegeneid", "sourcegenesymbol")
OTHER_TARGET_NAMES = ("targetgeneid", "targetgenesymbol")

# Written where a gene has no symbol; taken for a symbol only if a single gene bears it.
PLACEHOLDERS = frozenset({"", "-", ".", "na", "n/a", "nan", "none", "null"})

N_NAMED = 5
"""Names not found that are told."""


class GeneMatch(NamedTuple):
    """Names that were found among the genes of the data."""

    genes: np.ndarray
    """Index of each matched gene, each once, ascending; shape ``(n_matched_genes,)``."""
    names: np.ndarray
    """Position in the list of the name that matched it, shape ``(n_matched_genes,)``."""
    sentence: str
    """How many matched, and by what: ``17 of 20 regulators matched (by symbol)``."""


class EdgeMatch(NamedTuple):
    """Edges with both ends among the genes of the data, each ordered pair of genes once."""

    regulator_index: np.ndarray
    """Gene index of the regulator, shape ``(n_matched,)``."""
    target_index: np.ndarray
    """Gene index of the target, shape ``(n_matched,)``."""
    edge_row_index: np.ndarray
    """Row (by position) of the table of edges that it comes from, shape ``(n_matched,)``."""
    sentence: str
    """How many matched, and by what."""


def match_genes(
    names: Sequence[str],
    genes: Iterable[str],
    symbols: Iterable[str] | None = None,
    *,
    what: str = "regulators",
) -> GeneMatch:
    """Find names among the genes of the data, by identifier, else by symbol.

    Case counts, unless fewer than a tenth of the names match as they are written: then the others are
    compared without it. All genes that bear one symbol match.

    Parameters
    ----------
    names
        Names to look for.
    genes
        Identifiers of the genes, shape ``(n_genes,)``.
    symbols
        Other names of the genes, shape ``(n_genes,)``; None if there are none.
    what
        What the names are, for the sentences.

    Raises
    ------
    InputError
        No name matches; the message shows names of either side.

    Examples
    --------
    >>> match_genes(["STAT1", "IRF1", "FOO"], ["ENSG1", "ENSG2", "ENSG3"], ["IRF1", "STAT1", "GBP1"])
    GeneMatch(genes=array([0, 1]), names=array([1, 0]), sentence="2 of 3 ... 'FOO'")
    """
    genes, symbols = _both_names(genes, symbols)
    names = list(dict.fromkeys(map(str, names)))
    if not names:
        raise InputError(f"{what}: expected names of genes; found none")
    found, how = _match([(name,) for name in names], genes, symbols, ("",))
    if not found:
        raise InputError(_nothing_matched(what, names, genes, symbols))
    first: dict[int, int] = {}
    for position in sorted(found):
        for gene in found[position]:
            first.setdefault(gene, position)
    matched = np.array(sorted(first), dtype=np.intp)
    positions = np.array([first[gene] for gene in sorted(first)], dtype=np.intp)
    sentence = f"{len(found):,} of {len(names):,} {what} matched ({how})"
    return GeneMatch(
        matched, positions, sentence + _missing([n for i, n in enumerate(names) if i not in found])
    )


def match_edges(edges: pd.DataFrame, genes: Iterable[str], symbols: Iterable[str] | None = None) -> EdgeMatch:
    """Find both ends of edges among the genes of the data.

    Regulators and targets are matched separately, each as in :func:`match_genes`. Where the table has a
    second name for an end (``source_gene_id``, ``target_gene_id``, ...), that name is tried when the
    first matches nothing. An edge matches all genes that bear its symbols.

    Parameters
    ----------
    edges
        Table with the columns ``regulator`` and ``target``, as :func:`read_edges` returns it.
    genes, symbols
        Names of the genes of the data, shape ``(n_genes,)`` each.

    Raises
    ------
    InputError
        A column is missing, or no edge has both ends in the data.

    Examples
    --------
    >>> edges = pd.DataFrame({"regulator": ["IRF1", "IRF1"], "target": ["GBP1", "FOO"]})
    >>> match_edges(edges, ["GBP1", "IRF1"]).sentence
    '1 of 2 edges matched (regulators by identifier; targets by identifier)'
    """
    for column in ("regulator", "target"):
        if column not in edges:
            columns = ", ".join(printable(name, 40) for name in list(edges.columns)[:8])
            raise InputError(f"edges: expected a column {column}; found {columns}; rename the column")
    if edges.empty:
        raise InputError("edges: expected at least one; found none")
    genes, symbols = _both_names(genes, symbols)
    pairs = pd.DataFrame({"row": np.arange(len(edges))})
    ways = []
    for end, others in (("regulator", OTHER_REGULATOR_NAMES), ("target", OTHER_TARGET_NAMES)):
        names = [end, *(str(name) for name in edges.columns if plain_name(str(name)) in others)]
        aliases = pd.MultiIndex.from_frame(edges[names].fillna("").astype(str))
        code, distinct = pd.factorize(aliases)
        found, how = _match(list(distinct), genes, symbols, ("", *names[1:]))
        if not found:
            raise InputError(_nothing_matched(f"{end}s", [str(item[0]) for item in distinct], genes, symbols))
        ways.append(f"{end}s {how}")
        hits = pd.DataFrame([(item, gene) for item in found for gene in found[item]], columns=["code", end])
        pairs["code"] = code[pairs["row"].to_numpy()]
        pairs = pairs.merge(hits, on="code", how="inner")
    both = pairs["row"].nunique()
    if both == 0:
        raise InputError(
            "edges: some regulators and some targets are in the data, but no edge has both ends there"
        )
    loop = pairs["regulator"] == pairs["target"]
    kept = pairs[~loop].drop_duplicates(["regulator", "target"]).sort_values(["row", "regulator", "target"])
    sentence = f"{both:,} of {count_edges(len(edges))} matched ({'; '.join(ways)})"
    if loop.any():
        sentence += f"; {count_edges(int(loop.sum()))} from a gene to itself dropped"
    if kept.empty:
        raise InputError(f"edges: {sentence}; no edge between two genes of the data is left")
    regulator, target, row = (kept[name].to_numpy(dtype=np.intp) for name in ("regulator", "target", "row"))
    return EdgeMatch(regulator, target, row, sentence)


def table_of(rows: Any, columns: Sequence[str], what: str) -> pd.DataFrame:
    """A table of names from a list of tuples of them; a table is given back.

    Raises
    ------
    InputError
        A row is no tuple, or has more or fewer names.

    Examples
    --------
    >>> table_of([("X", "Y")], ["regulator", "target"], "pairs").to_dict("records")
    [{'regulator': 'X', 'target': 'Y'}]
    """
    if isinstance(rows, pd.DataFrame):
        return rows
    expected = f"({', '.join(columns)})"
    if isinstance(rows, str) or not isinstance(rows, Iterable):
        raise InputError(f"expected a list of {what} {expected}; found {printable(rows)!r}")
    listed = list(rows)
    for row in listed:
        if not isinstance(row, (tuple, list, np.ndarray)) or len(row) != len(columns):
            raise InputError(f"expected {what} of {len(columns)} names {expected}; found {printable(row)!r}")
    return pd.DataFrame(listed, columns=list(columns))


def plain_name(name: str) -> str:
    """A column name for comparison: ``Target.Gene`` and ``target_gene`` are ``targetgene``."""
    return re.sub(r"[\s._-]", "", name).lower()


def count_edges(count: int) -> str:
    """Count in words: ``1 edge``, ``2 edges``."""
    return f"{count:,} edge{'' if count == 1 else 's'}"


def _both_names(genes: Iterable[str], symbols: Iterable[str] | None) -> tuple[list[str], list[str]]:
    """Identifiers and symbols as text, one of each per gene."""
    identifiers = [str(gene) for gene in genes]
    others = identifiers if symbols is None else [str(symbol) for symbol in symbols]
    if len(others) != len(identifiers):
        raise InputError(
            f"expected one symbol per gene; found {len(others)} symbols for {len(identifiers)} genes"
        )
    return identifiers, others


def _positions(keys: Iterable[str], fold: bool) -> dict[str, list[int]]:
    """Where each key occurs, in lower case if ``fold``."""
    table: dict[str, list[int]] = defaultdict(list)
    for position, key in enumerate(keys):
        table[key.casefold() if fold else key].append(position)
    return dict(table)


def _match(
    items: Sequence[tuple[str, ...]], genes: list[str], symbols: list[str], columns: Sequence[str]
) -> tuple[dict[int, list[int]], str]:
    """Genes of each item, which may have several names, and how most were found.

    The order of trial: as written before without case, then the first name before the second, then
    identifier before symbol.
    """
    found: dict[int, list[int]] = {}
    ways: Counter[str] = Counter()
    for fold in (False, True):
        if fold and 10 * len(found) >= len(items):
            break
        by_identifier, by_symbol = _positions(genes, fold), _positions(symbols, fold)
        by_symbol = {
            key: where
            for key, where in by_symbol.items()
            if len(where) == 1 or key.casefold() not in PLACEHOLDERS
        }
        for alias, column in enumerate(columns):
            for way, table in (("by identifier", by_identifier), ("by symbol", by_symbol)):
                label = (f"by {printable(column, 40)}" if column else way) + (
                    " ignoring case" if fold else ""
                )
                for position, names in enumerate(items):
                    name = names[alias].casefold() if fold else names[alias]
                    if position not in found and name and name in table:
                        found[position] = table[name]
                        ways[label] += 1
    if len(ways) == 1:
        return found, next(iter(ways))
    return found, ", ".join(f"{count:,} {way}" for way, count in ways.items())


def _missing(names: Sequence[str]) -> str:
    """The names that no gene has, or the first of them."""
    if not names:
        return ""
    more = f" and {len(names) - N_NAMED:,} more" if len(names) > N_NAMED else ""
    return f"; not found: {', '.join(repr(printable(name, 30)) for name in names[:N_NAMED])}{more}"


def _nothing_matched(what: str, names: Sequence[str], genes: list[str], symbols: list[str]) -> str:
    def some(values: Iterable[str]) -> str:
        return ", ".join(printable(value, 30) for value in list(dict.fromkeys(values))[:3])

    known = some(genes) if symbols == genes else f"{some(genes)} (symbols {some(symbols)})"
    return (
        f"{what}: expected names of genes in the data such as {known}; found {some(names)}, and none of the "
        f"{len(names):,} matched; use the names of the data, or --gene-column for the column that has yours"
    )
