"""From the files of an audit to one self-contained page: nothing is computed here, nothing fetched."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from markupsafe import Markup, escape
from matplotlib.axes import Axes

from . import _names as names
from . import plot
from ._checks import InputError, printable
from ._figures import (
    CALLS,
    FIGURES,
    N_OF_A_CALL,
    N_SAMPLES,
    WORDS,
    describe_figure,
    describe_pair,
)
from ._files import MARK
from ._page import (
    address_of,
    policy,
    replace_file,
    resource,
    svg_of,
    template,
    text_of,
)
from ._page_table import Columns, headings, page_table

REPORT = "report.html"
MAX_PAIRS = 5_000
"""Rows of the table of pairs."""
MAX_EDGES = 10_000
"""Rows of the tables of a network."""

VERDICTS = {
    (names.CONTRADICTED, "bulk"): (
        "These data contradict affine relations: too many pairs of genes bend. A causal graph learned from "
        "such pools need not hold in the cells inside them."
    ),
    (names.CONTRADICTED, "single-cell"): (
        "These cells contradict affine relations: too many pairs of genes bend. Pooling them can distort the "
        "causal relations among their genes."
    ),
    (names.COMPATIBLE, "single-cell"): (
        "These cells are compatible with affine relations: hardly any pair of genes bends, and most are "
        "shown to be straight. As far as pairs can show, pooling them keeps the form of the relations."
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

PAIR_TABLE = {
    "regulator": ("Regulator", "gene"),
    "target": ("Target", "gene"),
    "call": ("Call", "word"),
    "r2_spline": ("r² of the curve", "number"),
    "r2_linear": ("r² of the line", "number"),
    "nonlinear_share": ("Non-linear share", "number"),
    "nonlinear_share_upper": ("Its upper bound", "number"),
    "q_value": ("q of the bend", "number"),
    "n": ("n", "count"),
}
"""Columns of the table of pairs: heading and kind."""
EDGE_TABLE = {
    "regulator": ("Regulator", "gene"),
    "target": ("Target", "gene"),
    "call": ("Call as a pair", "word"),
    "joint_call": ("Beside the other parents", "word"),
    "r2_spline": ("r² of the curve", "number"),
    "nonlinear_share": ("Non-linear share", "number"),
    "q_value": ("q of the bend as a pair", "number"),
    "joint_q_value": ("q beside the other parents", "number"),
    "status": ("Status of the pair", "word"),
    "joint_status": ("Status of the joint test", "word"),
}
CHILD_TABLE = {
    "target": ("Child", "gene"),
    "n_parents": ("Parents", "count"),
    "call": ("Call of the equation", "word"),
    "r2_spline": ("r² of the curves", "number"),
    "nonlinear_share": ("Non-linear share", "number"),
    "nonlinear_share_upper": ("Its upper bound", "number"),
    "q_value": ("q of the bend", "number"),
    "n": ("n", "count"),
    "status": ("Status", "word"),
}
LEVEL_COLUMNS = (
    "n_pairs_tested",
    "n_associated",
    "n_nonlinear",
    "n_affine",
    "n_inconclusive",
    "share_nonlinear",
    "share_affine",
    "share_inconclusive",
)

_FORMULA = tuple("=+-@\t\r\n＝＋－＠")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")


def write_report(folder: str | Path) -> Path:
    """Write report.html from the result files in a folder.

    Parameters
    ----------
    folder
        Folder of an audit: ``verdict.json``, ``pairs.parquet``, ``genes.parquet``, and as far as they are
        there ``equations.parquet``, ``edges.parquet`` and ``figures/``.

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
    verdict = _read_verdict(folder)
    genes = _read_table(folder / "genes.parquet")
    figures = {
        name: _read_table(path)
        for name in FIGURES
        if (path := folder / "figures" / f"{name}.parquet").exists()
    }
    equations = [folder / "equations.parquet", folder / "edges.parquet"]
    children, edges = (_read_table(path) if path.exists() else None for path in equations)
    pairs_path = folder / "pairs.parquet"
    found = verdict["linearity"]
    pairs = _strongest(pairs_path, MAX_PAIRS, ceiling_last=found["test"] == "corrected")
    if children is not None:
        children = _strong_first(children)
    if edges is not None:
        edges = _strong_first(_with_pairs(edges, pairs_path, found["fdr"]))
    with _parquet(pairs_path) as file:
        n_pairs = file.metadata.num_rows
    page = render(verdict, pairs, genes, figures, n_pairs=n_pairs, children=children, edges=edges)
    return replace_file(folder / REPORT, page)


def render(
    verdict: Mapping[str, Any],
    pairs: pd.DataFrame,
    genes: pd.DataFrame,
    figures: Mapping[str, pd.DataFrame],
    *,
    n_pairs: int,
    children: pd.DataFrame | None = None,
    edges: pd.DataFrame | None = None,
) -> str:
    """Return the page as text; arguments are the contents of the result files, ``n_pairs`` all rows there."""
    style, script = resource("report.css"), resource("report.js")
    data, found = verdict["data"], verdict["linearity"]
    kind = data["kind"]
    filters = {"prose": _prose, "when": _when, "share": _share, "level": _level, "count": _count}
    command = verdict.get("command") or verdict["settings"].get("command")
    limit = verdict["settings"].get("max_contradicting", 0.05)
    return template("report.html.j2", filters).render(
        policy=policy(style, script),
        style=Markup(style),
        script=Markup(script),
        verdict=verdict,
        data=data,
        found=found,
        kind=kind,
        rows="cells" if kind == "single-cell" else "samples",
        sentence=VERDICTS[verdict["verdict"], kind],
        command=command if isinstance(command, str) or not command else shlex.join(map(str, command)),
        settings={name: json.dumps(value, ensure_ascii=False) for name, value in verdict["settings"].items()},
        limit=limit,
        n_level_marks=len(plot.LEVEL_COLOURS),
        n_dots=N_SAMPLES,
        n_of_a_call=N_OF_A_CALL,
        interval=_interval(found["share_contradicting"], limit),
        pictures=_pictures(figures),
        gallery=_gallery(figures),
        levels_csv=_csv_address(_levels(found["levels"])),
        calls=[(call, WORDS[call], found[f"n_{call}"], found[f"share_{call}"]) for call in CALLS],
        pairs=_table(pairs, PAIR_TABLE, genes),
        children=None if children is None else _table(children.head(MAX_EDGES), CHILD_TABLE, genes),
        edges=None if edges is None else _table(edges.head(MAX_EDGES), EDGE_TABLE, genes),
        n_pairs=n_pairs,
        n_children=0 if children is None else len(children),
        n_edges=0 if edges is None else len(edges),
    )


# --- reading ---------------------------------------------------------------------------------------


def _read_verdict(folder: Path) -> dict[str, Any]:
    path = folder / MARK
    try:
        verdict = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"expected the folder of a complete audit; {printable(path, 400)} cannot be read; run poolproof "
            "audit"
        ) from error
    known = isinstance(verdict, dict) and verdict.get("schema_version") == names.SCHEMA_VERSION
    if not known or (verdict.get("verdict"), verdict.get("data", {}).get("kind")) not in VERDICTS:
        raise InputError(
            f"expected a verdict of schema version {names.SCHEMA_VERSION} in {printable(path, 400)}; found "
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


def _read_table(path: Path) -> pd.DataFrame:
    with _parquet(path) as file:
        return file.read().to_pandas()


def _batches(path: Path) -> Iterator[pd.DataFrame]:
    with _parquet(path) as file:
        for batch in file.iter_batches(batch_size=500_000):
            yield batch.to_pandas()


def _strongest(path: Path, n: int, *, ceiling_last: bool) -> pd.DataFrame:
    """Return the n strongest pairs, associated ones first; the file may be larger than memory.

    With ``ceiling_last``, associated pairs with an r2 of 1 follow the others: see ``_outcome.ranked_by``.
    """
    best: pd.DataFrame | None = None
    for part in _batches(path):
        r2 = part["r2_spline"].fillna(-1)
        part["_order"] = r2 + 10 * part["call"].isin(CALLS) - (5 * (r2 >= 1) if ceiling_last else 0)
        part = part.nlargest(n, "_order", keep="first")
        best = part if best is None else pd.concat([best, part]).nlargest(n, "_order", keep="first")
    if best is None:
        return pd.DataFrame({column.name: [] for column in names.PAIR_COLUMNS})
    return best.drop(columns="_order")


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


def safe_csv(table: pd.DataFrame) -> str:
    """Return CSV in which no cell of text is a formula to a spreadsheet.

    Examples
    --------
    >>> print(safe_csv(pd.DataFrame({"gene": ["=1+1", "A"], "r2": [-0.5, 0.25]})))
    gene,r2
    '=1+1,-0.5
    A,0.25
    <BLANKLINE>
    """
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows(zip(*(_cells(table[column]) for column in table), strict=True))
    return lines.getvalue()


def _cells(column: pd.Series) -> list[str]:
    if pd.api.types.is_numeric_dtype(column):
        return ["" if pd.isna(value) else f"{value:.6g}" for value in column]
    text = ["" if pd.isna(value) else str(value) for value in column]
    return ["'" + cell if cell.startswith(_FORMULA) else cell for cell in text]


# --- pictures --------------------------------------------------------------------------------------


def _csv_address(table: pd.DataFrame) -> str:
    return address_of(safe_csv(table), "text/csv;charset=utf-8")


def _picture(ax: Axes, table: pd.DataFrame, file: str, alt: str) -> dict[str, Any]:
    return svg_of(ax) | {"file": f"{file}.csv", "csv": _csv_address(table), "alt": text_of(alt)}


def _pictures(figures: Mapping[str, pd.DataFrame]) -> dict[str, dict[str, Any] | None]:
    """Pictures by name; None where the table is missing or empty."""
    none = pd.DataFrame({"role": []})
    drawn: list[tuple[str, str, pd.DataFrame, Callable[[], Axes]]] = [
        (name, name, figures.get(name, none), partial(draw, figures))
        for name, draw in (
            ("calls_by_strength", plot.calls_by_strength),
            ("share_against_r2", plot.share_against_r2),
        )
    ]
    for part in ("depth", "zeros", "mean_variance"):
        drawn.append((part, part, figures.get(part, none), partial(plot.data_overview, figures, part)))
    for role in ("regulator", "target"):
        table = figures.get("genes", none).query("role == @role")
        drawn.append((f"genes_as_{role}", "genes", table, partial(plot.genes, figures, role)))
    return {
        file: _picture(draw(), table, file, describe_figure(name, table)) if len(table) else None
        for file, name, table, draw in drawn
    }


def _gallery(figures: Mapping[str, pd.DataFrame]) -> list[dict[str, Any]]:
    """Rows of pictures, one row a call."""
    if not all(name in figures for name in ("gallery", "gallery_points", "gallery_curves")):
        return []
    rows = []
    for call in CALLS:
        mine = figures["gallery"][figures["gallery"]["call"] == call]
        panels = []
        for row in mine.to_dict("records"):
            parts = {
                name: of[of["panel"] == row["panel"]] for name, of in figures.items() if "gallery" in name
            }
            file = f"pair_{int(row['panel']):02d}"
            drawn = plot.pair(parts, row["regulator"], row["target"])
            panels.append(
                _picture(drawn, parts["gallery_points"], f"{file}_points", describe_pair(row))
                | {"curves": _csv_address(parts["gallery_curves"]), "curves_file": f"{file}_curves.csv"}
                | {"regulator": row["regulator_symbol"], "target": row["target_symbol"]}
            )
        if panels:
            rows.append({"call": call, "word": WORDS[call], "panels": panels})
    return rows


def _interval(share: Mapping[str, float | None], limit: float) -> dict[str, float] | None:
    """Places on a scale of 300 steps: the interval of the contradicting share, and its limit."""
    estimate, low, high = (share[of] for of in ("estimate", "low", "high"))
    if estimate is None or low is None or high is None:
        return None
    top = min(max(1.4 * high, 2 * limit), 1.0)
    places = {"estimate": estimate, "low": low, "high": high, "limit": limit}
    return {name: round(300 * value / top, 1) for name, value in places.items()} | {"top": top}


# --- tables ----------------------------------------------------------------------------------------


def _table(table: pd.DataFrame, columns: Columns, genes: pd.DataFrame) -> dict[str, Any]:
    """A table as the page reads it: names once, rows that point to them."""
    return page_table(lambda n_rows: _table_content(table.head(n_rows), columns, genes), len(table))


def _table_content(table: pd.DataFrame, columns: Columns, genes: pd.DataFrame) -> dict[str, Any]:
    of_genes = [name for name, (_, kind) in columns.items() if kind == "gene"]
    used = pd.unique(table[of_genes].astype(object).to_numpy().ravel())
    symbols = dict(zip(genes["gene"], genes["symbol"], strict=True))
    shown = [symbols.get(gene, gene) for gene in used]
    place = {gene: i for i, gene in enumerate(used)}
    values = [_column(table[name], kind, place) for name, (_, kind) in columns.items()]
    return {
        "columns": headings(columns),
        "words": WORDS,
        "genes": [text_of(gene) for gene in used],
        "symbols": [text_of(symbol) for symbol in shown] if shown != list(used) else None,
        "rows": [list(row) for row in zip(*values, strict=True)],
    }


def _levels(levels: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Results of each level, one row a level."""
    rows = [
        {"level": level}
        | {name: part[name] for name in LEVEL_COLUMNS}
        | {f"contradicting_{name}": value for name, value in part["share_contradicting"].items()}
        for level, part in levels.items()
    ]
    return pd.DataFrame(rows)


def _column(column: pd.Series, kind: str, place: Mapping[Any, int]) -> Sequence[Any]:
    if kind == "gene":
        return [place[gene] for gene in column]
    if kind == "word":
        return ["" if pd.isna(value) else str(value) for value in column]
    return [None if not np.isfinite(value) else float(f"{value:.4g}") for value in column.astype(float)]
