"""From the files of an audit to one self-contained page: nothing is computed here, nothing fetched."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from markupsafe import Markup, escape

from .. import _names as names
from .._checks import InputError, printable
from .._files import MARK, replace_file
from ..pairs.figures import CALLS, FIGURES, N_OF_A_CALL, N_SAMPLES, WORDS
from ..triples.figures import N_POINTS, TRIPLE_FIGURES, TRIPLE_WORDS
from .answer import answer_of
from .drawing import LEVEL_COLOURS
from .page import policy, resource, template, text_of
from .pictures import curve_pictures, pair_gallery, pictures_of, triple_gallery
from .survival import (
    CURVE_CAPTIONS,
    N_IN_CSV,
    edge_reasons,
    middle_genes,
    regime_words,
    survival_cards,
    told_first,
)
from .tables import (
    CHILD_TABLE,
    EDGE_TABLE,
    EDGE_WORDS,
    MIDDLE_TABLE,
    PAIR_TABLE,
    SEPARATION_TABLE,
    TRIPLE_TABLE,
    Columns,
    csv_address,
    labelled_table,
    level_table,
)

REPORT = "report.html"
MAX_PAIRS = 5_000
"""Rows of the table of pairs."""
MAX_EDGES = 10_000
"""Rows of the tables of a network."""
MAX_TRIPLES = 4_000
"""Rows of the tables of triples and of separations."""
TABLES = {
    "children": "equations",
    "edges": "edges",
    "separations": "separations",
    "triples": "triples",
    "triple_genes": "triple_genes",
    "curves": "pooling_curves",
    "population": "population",
}
"""Tables that an audit may have written, and their files."""

VERDICTS = {
    (names.CONTRADICTED, "bulk"): (
        "These data contradict affine relations: they bend by more than affine equations can make. A causal "
        "graph learned from such pools need not hold in the cells inside them."
    ),
    (names.CONTRADICTED, "single-cell"): (
        "These cells contradict affine relations: they bend by more than affine equations can make. Pooling "
        "them can distort the causal relations among their genes."
    ),
    (names.COMPATIBLE, "single-cell"): (
        "These cells are compatible with affine relations: bends, products and spreads are shown to be "
        "small. As far as that goes, pooling them keeps the form of the relations."
    ),
    (names.UNDECIDED, "bulk"): (
        "These data cannot tell whether the relations among the genes are affine: they neither contradict "
        "it nor confirm it."
    ),
    (names.UNDECIDED, "single-cell"): (
        "These cells cannot tell whether the relations among the genes are affine: they neither contradict "
        "it nor confirm it."
    ),
}
"""The verdict in one sentence, by verdict and kind; bulk is never compatible."""

BENT = (
    "The relations among these genes are bent, and pools distort what rests on them. Whether their equations "
    "are bent is not shown: affine equations with common causes can do the same."
)
"""Inconclusive, but surely bent."""

_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")


def write_report(folder: str | Path) -> Path:
    """Write report.html from the result files in a folder.

    Parameters
    ----------
    folder
        Folder of an audit: ``verdict.json``, ``pairs.parquet``, ``genes.parquet``, and as far as they are
        there ``equations.parquet``, ``edges.parquet``, ``separations.parquet``, ``triples.parquet``,
        ``triple_genes.parquet``, ``pooling_curves.parquet`` and ``figures/``.

    Returns
    -------
    Path of the page: one file that opens offline, loads nothing, and runs no script but its own.

    Raises
    ------
    InputError
        A file is missing, or is not as an audit writes it.

    Examples
    --------
    >>> import tempfile
    >>> import poolproof
    >>> values = np.random.default_rng(0).gamma(2.0, size=(100, 5))
    >>> data = pd.DataFrame(values, columns=list("ABCDE"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = poolproof.audit(data, kind="bulk", scale="additive").save(Path(folder) / "audit")
    ...     write_report(Path(folder) / "audit").name
    'report.html'
    """
    folder = Path(folder)
    verdict = read_verdict(folder)
    genes = read_table(folder / "genes.parquet")
    figures = {
        name: read_table(path)
        for name in (*FIGURES, *TRIPLE_FIGURES)
        if (path := folder / "figures" / f"{name}.parquet").exists()
    }
    pairs_path = folder / "pairs.parquet"
    found = verdict["linearity"]
    pairs, of_calls = _strongest(pairs_path, MAX_PAIRS, N_IN_CSV, ceiling_last=found["test"] == "corrected")
    more = {
        name: read_table(path)
        for name, file in TABLES.items()
        if (path := folder / f"{file}.parquet").exists()
    }
    if "children" in more:
        more["children"] = _strong_first(more["children"])
    if "edges" in more:
        more["edges"] = _strong_first(_with_pairs(more["edges"], pairs_path, found["fdr"]))
    with _parquet(pairs_path) as file:
        n_pairs = file.metadata.num_rows
    page = render(
        verdict,
        pairs,
        genes,
        figures,
        n_pairs=n_pairs,
        pairs_of_calls=of_calls,
        n_unsized=_count_unsized(pairs_path),
        **more,
    )
    return replace_file(folder / REPORT, page)


def render(
    verdict: Mapping[str, Any],
    pairs: pd.DataFrame,
    genes: pd.DataFrame,
    figures: Mapping[str, pd.DataFrame],
    *,
    n_pairs: int,
    n_unsized: int = 0,
    pairs_of_calls: pd.DataFrame | None = None,
    children: pd.DataFrame | None = None,
    edges: pd.DataFrame | None = None,
    separations: pd.DataFrame | None = None,
    triples: pd.DataFrame | None = None,
    triple_genes: pd.DataFrame | None = None,
    curves: pd.DataFrame | None = None,
    population: pd.DataFrame | None = None,
) -> str:
    """Return the page as text; arguments are the contents of the result files, ``n_pairs`` all rows there.

    ``pairs_of_calls`` are the strongest of each call, which may be too weak to be among ``pairs``; of
    ``n_unsized`` non-linear pairs in the files the size of the bend is not known.
    Whatever is None, or missing in ``verdict``, has no part of the page.
    """
    style, script = resource("report.css"), resource("report.js") + resource("explore.js")
    data, found = verdict["data"], verdict["linearity"]
    kind = data["kind"]
    filters = {"prose": _prose, "when": _when, "share": _share, "level": _level, "count": _count}
    command = verdict.get("command") or verdict["settings"].get("command")
    return template("report.html.j2", filters | {"number": _number}).render(
        policy=policy(style, script),
        style=Markup(style),
        script=Markup(script),
        verdict=verdict,
        data=data,
        found=found,
        kind=kind,
        rows="cells" if kind == "single-cell" else "samples",
        sentence=_sentence(verdict),
        command=command if isinstance(command, str) or not command else shlex.join(map(str, command)),
        settings={name: json.dumps(value, ensure_ascii=False) for name, value in verdict["settings"].items()},
        n_level_marks=len(LEVEL_COLOURS),
        n_dots=N_SAMPLES,
        n_triple_dots=N_POINTS,
        n_of_a_call=N_OF_A_CALL,
        answer=answer_of(verdict, population, genes),
        pictures=pictures_of(figures),
        gallery=pair_gallery(figures),
        triple_gallery=triple_gallery(figures),
        curve_pictures=curve_pictures(curves),
        curve_captions=CURVE_CAPTIONS,
        regimes=regime_words(data),
        regimes_used=[] if curves is None else list(dict.fromkeys(curves["regime"].astype(str))),
        levels_csv=csv_address(level_table(found["levels"])),
        calls=[(call, WORDS[call], found[f"n_{call}"], found[f"share_{call}"]) for call in CALLS],
        cards=survival_cards(verdict, pairs if pairs_of_calls is None else pairs_of_calls, triples, genes),
        pairs=labelled_table(pairs, PAIR_TABLE, genes),
        children=_table(children, CHILD_TABLE, genes, MAX_EDGES, WORDS),
        edges=_table(edges, EDGE_TABLE, genes, MAX_EDGES, EDGE_WORDS),
        edge_reasons=edge_reasons(edges),
        separations=_table(told_first(separations), SEPARATION_TABLE, genes, MAX_TRIPLES, TRIPLE_WORDS),
        triples=_table(triples, TRIPLE_TABLE, genes, MAX_TRIPLES, TRIPLE_WORDS),
        middle=_table(middle_genes(triple_genes), MIDDLE_TABLE, genes, MAX_TRIPLES, WORDS),
        n_pairs=n_pairs,
        n_unsized=n_unsized,
        **{
            f"n_{name}": 0 if table is None else len(table)
            for name, table in (
                ("children", children),
                ("edges", edges),
                ("separations", separations),
                ("triples", triples),
            )
        },
    )


def _sentence(verdict: Mapping[str, Any]) -> str:
    """The verdict in one sentence."""
    share = verdict.get("population")
    bent = share is not None and share["low"] is not None and share["low"] > verdict["linearity"]["margin"]
    if verdict["verdict"] == names.UNDECIDED and bent and verdict["data"]["scale_tested"] != "log":
        return BENT
    return VERDICTS[verdict["verdict"], verdict["data"]["kind"]]


def _table(
    table: pd.DataFrame | None, columns: Columns, genes: pd.DataFrame, limit: int, words: Mapping[str, str]
) -> dict[str, Any] | None:
    """A table of the page, if there is one."""
    return None if table is None else labelled_table(table.head(limit), columns, genes, words)


# --- reading ---------------------------------------------------------------------------------------


def read_verdict(folder: Path) -> dict[str, Any]:
    """The content of verdict.json in the folder of an audit."""
    path = folder / MARK
    try:
        verdict = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"expected the folder of a complete audit; {printable(path, 400)} cannot be read; run poolproof "
            "audit"
        ) from error
    known = isinstance(verdict, dict) and verdict.get("schema_version") in names.READABLE_SCHEMAS
    if not known or (verdict.get("verdict"), verdict.get("data", {}).get("kind")) not in VERDICTS:
        known_versions = " or ".join(map(str, names.READABLE_SCHEMAS))
        raise InputError(
            f"expected a verdict of schema version {known_versions} in {printable(path, 400)}; found "
            "another; run poolproof audit again"
        )
    return verdict


def _parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"expected a table that an audit wrote; {printable(path, 400)} cannot be read; run "
            "poolproof audit again"
        ) from error


def read_table(path: Path) -> pd.DataFrame:
    """A table that an audit wrote."""
    with _parquet(path) as file:
        return file.read().to_pandas()


def _batches(path: Path) -> Iterator[pd.DataFrame]:
    with _parquet(path) as file:
        for batch in file.iter_batches(batch_size=500_000):
            yield batch.to_pandas()


def _strongest(
    path: Path, n: int, n_of_a_call: int, *, ceiling_last: bool
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the n strongest pairs, associated ones first, and the strongest of each of their calls.

    The file may be larger than memory. With ``ceiling_last``, associated pairs with an r2 of 1 follow the
    others: see ``_outcome.ranked_by``.
    """
    nothing = pd.DataFrame({column.name: [] for column in names.PAIR_COLUMNS} | {"_order": []})
    best = [nothing] * (1 + len(CALLS))
    for part in _batches(path):
        r2 = part["r2_spline"].fillna(-1)
        part["_order"] = r2 + 10 * part["call"].isin(CALLS) - (5 * (r2 >= 1) if ceiling_last else 0)
        parts = [part, *(part[part["call"] == call] for call in CALLS)]
        best = [
            _first(kept, more, n_of_a_call if i else n)
            for i, (kept, more) in enumerate(zip(best, parts, strict=True))
        ]
    every, *of_calls = (kept.drop(columns="_order") for kept in best)
    return every, pd.concat(of_calls)


def _count_unsized(path: Path) -> int:
    """How many non-linear pairs of the file have no estimate of the size of their bend."""
    return sum(
        int((part["call"].eq(names.NONLINEAR) & part["nonlinear_share"].isna()).sum())
        for part in _batches(path)
    )


def _first(kept: pd.DataFrame, more: pd.DataFrame, n: int) -> pd.DataFrame:
    """The n strongest of two tables, ties in their order."""
    both = pd.concat([kept, more]) if len(kept) else more
    return both.nlargest(n, "_order", keep="first")


def _strong_first(table: pd.DataFrame) -> pd.DataFrame:
    """Associated rows first, each kind with the best explained first."""
    associated = table["call"].isin(CALLS)
    return table.assign(_last=~associated).sort_values(
        ["_last", "r2_spline"], ascending=[True, False], kind="stable", na_position="last"
    )


def _with_pairs(edges: pd.DataFrame, path: Path, fdr: float) -> pd.DataFrame:
    """Edges with the columns of the same pair in the table of pairs, and a word for the joint test."""
    key = ["regulator", "target"]
    q = edges["joint_q_value"].astype(float)
    edges = edges.assign(joint_call=np.where(q <= fdr, "bent", np.where(q.isna(), "", "no_bend_found")))
    wanted = edges[key]
    parts = [part.merge(wanted, on=key) for part in _batches(path)]
    if not parts:
        return edges.assign(call=None, status=None, r2_spline=np.nan, nonlinear_share=np.nan, q_value=np.nan)
    return edges.merge(pd.concat(parts), on=key, how="left")


# --- text ------------------------------------------------------------------------------------------


def _prose(value: object) -> Markup:
    """A sentence of ours: option names unbroken, no line break before a per cent sign."""
    text = str(escape(text_of(value))).replace(" %", "\u00a0%")
    return Markup(_OPTION.sub(r"<code>\g<0></code>", text))


def _when(value: object) -> str:
    """Date and time of verdict.json, readable."""
    return re.sub(r"^([\d-]+)T(\d\d:\d\d).*\+00:00$", r"\1 \2 UTC", text_of(value))


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _level(value: float) -> str:
    return f"{100 * value:g}%"


def _count(value: int) -> str:
    return f"{value:,}"


def _number(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.2f}".replace("-", "\u2212")
