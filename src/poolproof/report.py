"""From the files of an audit to one self-contained page: nothing is computed here, nothing fetched."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import shlex
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from . import _names as names
from . import plot
from ._checks import InputError, printable
from ._figures import CALLS, FIGURES
from ._files import MARK

REPORT = "report.html"
MAX_PAIRS = 5_000
"""Rows of the table of pairs."""
MAX_EDGES = 10_000
"""Rows of the tables of a network."""
MAX_JSON = 1_200_000
"""Characters of one table on the page; with longer names, fewer rows."""
MAX_TEXT = 2_000
"""Characters of one sentence or name."""

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

TESTS = {
    "robust": "a spline against a line, by a score test that does not assume equal variance",
    "corrected": "a cubic against a line, with the noise of counting molecules removed",
    "classical": "a spline against a line, by the F test, which assumes equal variance (expression has not)",
}

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
    "status": ("Status of the pair", "word"),
    "r2_spline": ("r² of the curve", "number"),
    "nonlinear_share": ("Non-linear share", "number"),
    "q_value": ("q of the bend as a pair", "number"),
    "joint_q_value": ("q beside the other parents", "number"),
    "joint_status": ("Status of the joint test", "word"),
}
CHILD_TABLE = {
    "target": ("Child", "gene"),
    "n_parents": ("Parents", "count"),
    "call": ("Call of the equation", "word"),
    "status": ("Status", "word"),
    "r2_spline": ("r² of the curves", "number"),
    "nonlinear_share": ("Non-linear share", "number"),
    "nonlinear_share_upper": ("Its upper bound", "number"),
    "q_value": ("q of the bend", "number"),
    "n": ("n", "count"),
}

NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")


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
    pairs = _strongest(pairs_path, MAX_PAIRS)
    if edges is not None:
        edges = _with_pairs(edges, pairs_path)
    with _parquet(pairs_path) as file:
        n_pairs = file.metadata.num_rows
    page = render(verdict, pairs, genes, figures, n_pairs=n_pairs, children=children, edges=edges)
    return _replace(folder / REPORT, page)


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
    style, script = _resource("report.css"), _resource("report.js")
    data, found = verdict["data"], verdict["linearity"]
    kind = data["kind"]
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"text": _text, "name": _name, "share": _share, "level": _level, "count": _count}
    command = verdict.get("command") or verdict["settings"].get("command")
    return environment.from_string(_resource("report.html.j2")).render(
        policy=_policy(style, script),
        style=Markup(style),
        script=Markup(script),
        verdict=verdict,
        data=data,
        found=found,
        kind=kind,
        rows="cells" if kind == "single-cell" else "samples",
        sentence=VERDICTS[verdict["verdict"], kind],
        method=TESTS[found["test"]],
        command=command if isinstance(command, str) or not command else shlex.join(map(str, command)),
        settings={name: json.dumps(value, ensure_ascii=False) for name, value in verdict["settings"].items()},
        interval=_interval(found["share_contradicting"], verdict["settings"].get("max_contradicting", 0.05)),
        pictures=_pictures(figures),
        gallery=_gallery(figures),
        calls=[(call, plot.WORDS[call], found[f"n_{call}"], found[f"share_{call}"]) for call in CALLS],
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


def _strongest(path: Path, n: int) -> pd.DataFrame:
    """Return the n strongest pairs, associated ones first; the file may be larger than memory."""
    best: pd.DataFrame | None = None
    for part in _batches(path):
        part["_order"] = part["r2_spline"].fillna(-1) + 10 * part["call"].isin(CALLS)
        part = part.nlargest(n, "_order", keep="first")
        best = part if best is None else pd.concat([best, part]).nlargest(n, "_order", keep="first")
    if best is None:
        return pd.DataFrame({column.name: [] for column in names.PAIR_COLUMNS})
    return best.drop(columns="_order")


def _with_pairs(edges: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Edges with the columns of the same pair in the table of pairs."""
    key = ["regulator", "target"]
    wanted = edges[key]
    parts = [part.merge(wanted, on=key) for part in _batches(path)]
    if not parts:
        return edges.assign(call=None, status=None, r2_spline=np.nan, nonlinear_share=np.nan, q_value=np.nan)
    return edges.merge(pd.concat(parts), on=key, how="left")


# --- text ------------------------------------------------------------------------------------------


def _resource(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Content-security policy: our style and script by their hashes, pictures in the page, no more."""
    style_hash, script_hash = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)
    )
    return (
        f"default-src 'none'; style-src 'sha256-{style_hash}'; script-src 'sha256-{script_hash}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _text(value: object) -> str:
    """Text from data, control characters and direction marks as escapes."""
    return printable(value, MAX_TEXT)


def _name(value: object) -> Markup:
    """A name apart from the direction of what surrounds it; cut by the style, whole in its title."""
    text = escape(_text(value))
    return Markup('<bdi class="name" title="{0}">{0}</bdi>').format(text)


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


def _json(value: Any) -> Markup:
    """JSON that cannot end the element it stands in."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


# --- pictures --------------------------------------------------------------------------------------


def _svg(ax: Axes) -> dict[str, Any]:
    """A picture as a data address, with its size in pixels."""
    figure = ax.figure
    assert isinstance(figure, Figure)
    text = io.StringIO()
    with warnings.catch_warnings(), rc_context({"svg.fonttype": "path", "svg.hashsalt": "poolproof"}):
        warnings.filterwarnings("ignore", message="Glyph")  # a name in a script that the font lacks
        figure.savefig(text, format="svg", dpi=150, metadata=NO_METADATA)
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    return {"src": _address(text.getvalue(), "image/svg+xml"), "width": width, "height": height}


def _address(text: str, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(text.encode()).decode()}"


def _picture(ax: Axes, table: pd.DataFrame, file: str) -> dict[str, Any]:
    return _svg(ax) | {"file": f"{file}.csv", "csv": _address(safe_csv(table), "text/csv;charset=utf-8")}


def _pictures(figures: Mapping[str, pd.DataFrame]) -> dict[str, dict[str, Any] | None]:
    """Pictures by name; None where the table is missing or empty."""
    found: dict[str, dict[str, Any] | None] = {}
    for name, draw in (
        ("calls_by_strength", plot.calls_by_strength),
        ("share_against_r2", plot.share_against_r2),
    ):
        found[name] = _picture(draw(figures), figures[name], name) if _has_rows(figures, name) else None
    for role in ("regulator", "target"):
        table = figures["genes"].query("role == @role") if "genes" in figures else pd.DataFrame()
        found[f"genes_{role}"] = (
            _picture(plot.genes(figures, role), table, f"genes_as_{role}") if len(table) else None
        )
    for name in ("depth", "zeros", "mean_variance"):
        found[name] = (
            _picture(plot.data_overview(figures, name), figures[name], name)
            if _has_rows(figures, name)
            else None
        )
    return found


def _has_rows(figures: Mapping[str, pd.DataFrame], name: str) -> bool:
    return name in figures and len(figures[name]) > 0


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
            picture = _picture(
                plot.pair(parts, row["regulator"], row["target"]), parts["gallery_points"], f"{file}_points"
            )
            curves = safe_csv(parts["gallery_curves"])
            panels.append(
                picture
                | {"curves": _address(curves, "text/csv;charset=utf-8"), "curves_file": f"{file}_curves.csv"}
                | {"regulator": row["regulator_symbol"], "target": row["target_symbol"]}
            )
        if panels:
            rows.append({"call": call, "word": plot.WORDS[call], "panels": panels})
    return rows


def _interval(share: Mapping[str, float | None], limit: float) -> dict[str, float] | None:
    """Places on a scale of 400 steps: the interval of the contradicting share, and its limit."""
    estimate, low, high = (share[of] for of in ("estimate", "low", "high"))
    if estimate is None or low is None or high is None:
        return None
    top = min(max(1.4 * high, 2 * limit), 1.0)
    places = {"estimate": estimate, "low": low, "high": high, "limit": limit}
    return {name: round(400 * value / top, 1) for name, value in places.items()} | {"top": top}


# --- tables ----------------------------------------------------------------------------------------


def _table(
    table: pd.DataFrame, columns: Mapping[str, tuple[str, str]], genes: pd.DataFrame
) -> dict[str, Any]:
    """Return a table as the page's script reads it: names once, rows that point to them."""
    n_rows = len(table)
    while True:
        text = _json(_table_content(table.head(n_rows), columns, genes))
        if len(text) <= MAX_JSON or n_rows == 0:
            return {"json": text, "n_rows": n_rows}
        n_rows = min(n_rows - 1, int(0.95 * n_rows * MAX_JSON / len(text)))


def _table_content(
    table: pd.DataFrame, columns: Mapping[str, tuple[str, str]], genes: pd.DataFrame
) -> dict[str, Any]:
    of_genes = [name for name, (_, kind) in columns.items() if kind == "gene"]
    used = pd.unique(table[of_genes].astype(object).to_numpy().ravel())
    symbols = dict(zip(genes["gene"], genes["symbol"], strict=True))
    shown = [symbols.get(gene, gene) for gene in used]
    place = {gene: i for i, gene in enumerate(used)}
    values = [_column(table[name], kind, place) for name, (_, kind) in columns.items()]
    return {
        "columns": [{"name": name, "label": label, "kind": kind} for name, (label, kind) in columns.items()],
        "words": plot.WORDS,
        "genes": [_text(gene) for gene in used],
        "symbols": [_text(symbol) for symbol in shown] if shown != list(used) else None,
        "rows": [list(row) for row in zip(*values, strict=True)],
    }


def _column(column: pd.Series, kind: str, place: Mapping[Any, int]) -> Sequence[Any]:
    if kind == "gene":
        return [place[gene] for gene in column]
    if kind == "word":
        return ["" if pd.isna(value) else str(value) for value in column]
    return [None if not np.isfinite(value) else float(f"{value:.4g}") for value in column.astype(float)]


# --- writing ---------------------------------------------------------------------------------------


def _replace(path: Path, text: str) -> Path:
    """Write a file aside and move it into place."""
    try:
        handle, aside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(aside, 0o666 & ~mask)
            os.replace(aside, path)
        except BaseException:
            os.unlink(aside)
            raise
    except OSError as error:
        raise InputError(f"{printable(path, 400)} cannot be written: {error.strerror}") from error
    return path
