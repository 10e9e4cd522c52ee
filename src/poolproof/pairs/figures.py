"""The numbers behind every picture: small tables, written beside the results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd

from .. import _names as names
from .._arrays import dense_columns
from .._checks import InputError, printable
from .._random import stream
from ..data.expression import Expression
from ..data.scale import nan_sum
from .every_pair import Linearity
from .fitted import find_gene

CALLS = (names.NONLINEAR, names.AFFINE, names.INCONCLUSIVE)
"""Calls of associated pairs, in the order of every picture."""
WORDS = {
    names.NONLINEAR: "non-linear",
    names.AFFINE: "affine",
    names.INCONCLUSIVE: "inconclusive",
    names.NOT_ASSOCIATED: "not associated",
}
"""The word for each call."""
FIGURES = (
    "calls_by_strength",
    "share_against_r2",
    "genes",
    "gallery",
    "gallery_points",
    "gallery_curves",
    "depth",
    "zeros",
    "mean_variance",
)
"""Names of the tables."""

N_OF_A_CALL = 600
"""Pairs of a call that the scatter of all pairs shows."""
N_GALLERY = 4
"""Pairs of a call in the gallery."""
N_LOOKED_AT = 10_000
"""Pairs of a call among which the gallery looks for different genes."""
N_SAMPLES = 400
"""Samples or cells in a picture of the gallery."""
N_GENES = 15
"""Genes of each role."""
N_SCATTER = 2000
"""Points of any other scatter."""

FRACTION = "per 10,000 molecules"


def figure_data(result: Linearity) -> dict[str, pd.DataFrame]:
    """Return the numbers behind every picture of a result.

    Parameters
    ----------
    result
        What :func:`poolproof.linearity` gave.

    Returns
    -------
    One table for each name in ``FIGURES``; each is a few hundred kilobytes at most. Draws depend on the
    seed and on names, not on the order of genes.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.gamma(2.0, size=300)
    >>> data = pd.DataFrame({"x": x, "line": 2 * x + rng.normal(size=300), "bent": np.tanh(x)})
    >>> from poolproof import linearity
    >>> tables = figure_data(linearity(data, kind="bulk", scale="additive", regulators=["x"]))
    >>> tables["gallery"][["regulator", "target", "call"]].values.tolist()
    [['x', 'bent', 'nonlinear'], ['x', 'line', 'affine']]
    """
    return {
        "calls_by_strength": _calls_by_strength(result.table),
        "share_against_r2": _share_against_r2(result.table, result.seed),
        "genes": _genes(result.genes),
        **_gallery(result),
        "depth": _depth(result),
        "zeros": _histogram(result.genes["zero_share"].to_numpy(), np.linspace(0, 1, 21), "n_genes"),
        "mean_variance": _mean_variance(result),
    }


def pair_data(
    result: Linearity, regulator: str, target: str, *, panel: int = 1, n_samples: int = N_SCATTER
) -> dict[str, pd.DataFrame]:
    """Return the samples, line and curve of one pair.

    Parameters
    ----------
    result
        What :func:`poolproof.linearity` gave.
    regulator, target
        Names or symbols of genes.
    panel
        Number of the picture.
    n_samples
        At most so many samples or cells, drawn at random.

    Returns
    -------
    ``gallery``: one row, the pair with its numbers, which are missing where it is not in ``result.table``.
    ``gallery_points``: columns ``panel``, ``level``, ``x``, ``y``. ``gallery_curves``: ``panel``, ``level``,
    ``x``, ``linear``, ``curve``, ``curve_error``. The column ``unit`` of the first names that of x and y.

    Raises
    ------
    InputError
        A gene is not in the data, or the pair cannot be fitted in any level.
    """
    genes = np.array([find_gene(result.expression, name) for name in (regulator, target)])
    x, y = result.expression.genes[genes]
    table = result.table
    row = table[(table["regulator"] == x) & (table["target"] == y)].head(1)
    if row.empty:
        row = table.head(0).reindex([0]).assign(regulator=x, target=y, call=None)
    return _pair_tables(result, genes, row, panel, n_samples)


def _pair_tables(
    result: Linearity, genes: np.ndarray, row: pd.DataFrame, panel: int, n_samples: int
) -> dict[str, pd.DataFrame]:
    """See :func:`pair_data`; ``row`` is the pair's row of the table."""
    x, y = result.expression.genes[genes]
    values, unit = values_of(result.expression, genes, corrected=result.summary["test"] == "corrected")
    factor = 1e4 if unit == FRACTION else 1.0
    curves = result.curve(str(x), str(y))
    curves[["x", "linear", "curve", "curve_error"]] *= factor
    curves.insert(0, "panel", panel)
    levels = [np.full(len(level.rows), level.name, dtype=object) for level in result.design.levels]
    rows = np.concatenate([level.rows for level in result.design.levels])
    points = pd.DataFrame(
        {"panel": panel, "level": np.concatenate(levels), "x": values[rows, 0], "y": values[rows, 1]}
    ).dropna()
    if len(points) > n_samples:
        random = stream(result.seed, "figures", "samples", str(x), str(y))
        points = points.iloc[np.sort(random.choice(len(points), n_samples, replace=False))]
    symbols = result.expression.symbols[genes]
    row = row.assign(regulator_symbol=symbols[0], target_symbol=symbols[1], unit=unit)
    row.insert(0, "panel", panel)
    row["call"] = row["call"].astype(object)
    return {
        "gallery": row.drop(columns="status").reset_index(drop=True),
        "gallery_points": points.reset_index(drop=True),
        "gallery_curves": curves,
    }


def _rows(table: pd.DataFrame, call: str) -> np.ndarray:
    """Positions of the pairs with a call; the table may be too large to be copied."""
    return np.flatnonzero((table["call"] == call).to_numpy())


def _calls_by_strength(table: pd.DataFrame) -> pd.DataFrame:
    """Return how the pairs of each tenth of r2 are called."""
    edges = np.linspace(0, 1, 11)
    r2 = table["r2_spline"].to_numpy()
    counts = [
        np.histogram(r2[_rows(table, call)].clip(0, 1), bins=edges)[0].astype(np.int64) for call in CALLS
    ]
    total = np.sum(counts, axis=0)
    parts = [
        pd.DataFrame(
            {
                "r2_low": edges[:-1],
                "r2_high": edges[1:],
                "call": call,
                "n_pairs": count,
                "share": np.where(total > 0, count / np.maximum(total, 1), np.nan),
            }
        )
        for call, count in zip(CALLS, counts, strict=True)
    ]
    return pd.concat(parts, ignore_index=True)


def _share_against_r2(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Draw pairs of each call, their share known; ``n_pairs`` is how many they stand for."""
    columns = ["regulator", "target", "call", "r2_spline", "nonlinear_share", "nonlinear_share_upper"]
    known = table["nonlinear_share"].notna().to_numpy()
    parts = []
    for call in CALLS:
        rows = _rows(table, call)
        rows = rows[known[rows]]
        n_pairs = len(rows)
        if n_pairs > N_OF_A_CALL:
            random = stream(seed, "figures", "share_against_r2", call)
            rows = np.sort(random.choice(rows, N_OF_A_CALL, replace=False))
        parts.append(table.iloc[rows][columns].assign(n_pairs=n_pairs))
    drawn = pd.concat(parts, ignore_index=True)
    return drawn.assign(call=drawn["call"].astype(object))


def _genes(genes: pd.DataFrame) -> pd.DataFrame:
    """Return the genes with most non-linear pairs, as regulators and as targets."""
    parts = []
    for role in ("regulator", "target"):
        part = pd.DataFrame(
            {
                "role": role,
                "gene": genes["gene"],
                "symbol": genes["symbol"],
                "n_associated": genes[f"n_as_{role}"],
                **{f"n_{call}": genes[f"n_{call}_as_{role}"] for call in CALLS},
            }
        )
        part = part[part["n_associated"] > 0]
        order = ["n_nonlinear", "n_associated", "gene"]
        parts.append(part.sort_values(order, ascending=[False, False, True]).head(N_GENES))
    return pd.concat(parts, ignore_index=True)


def _gallery(result: Linearity) -> dict[str, pd.DataFrame]:
    """Return the strongest pairs of each call, no gene twice."""
    parts: list[dict[str, pd.DataFrame]] = []
    place = {gene: i for i, gene in enumerate(result.expression.genes)}
    for call in CALLS:
        first = result.table.iloc[_rows(result.table, call)[:N_LOOKED_AT]]
        for row in islice(_without_repeats(first), N_GALLERY):
            genes = np.array([place[row["regulator"].iloc[0]], place[row["target"].iloc[0]]])
            try:
                parts.append(_pair_tables(result, genes, row, len(parts) + 1, N_SAMPLES))
            except InputError:
                if result.all_cells is None:  # else the cells drawn may be too few to show this pair
                    raise
    if not parts:
        return _empty_gallery()
    return {name: pd.concat([part[name] for part in parts], ignore_index=True) for name in parts[0]}


def _without_repeats(pairs: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield rows whose genes were not in a row before, in the order given."""
    seen: set[str] = set()
    for i, both in enumerate(zip(pairs["regulator"], pairs["target"], strict=True)):
        if seen.isdisjoint(both):
            seen.update(both)
            yield pairs.iloc[[i]]


def _empty_gallery() -> dict[str, pd.DataFrame]:
    numbers = [column.name for column in names.PAIR_COLUMNS if column.name != "status"]
    columns = {
        "gallery": ["panel", *numbers, "regulator_symbol", "target_symbol", "unit"],
        "gallery_points": ["panel", "level", "x", "y"],
        "gallery_curves": ["panel", "level", "x", "linear", "curve", "curve_error"],
    }
    return {name: pd.DataFrame(columns=of) for name, of in columns.items()}


def values_of(expression: Expression, genes: np.ndarray, *, corrected: bool) -> tuple[np.ndarray, str]:
    """Values of some genes as they were tested, and their unit; ``corrected``: by the corrected test."""
    if corrected:
        values = dense_columns(expression.matrix, genes)
        depth, known = expression.count_depth()
        with np.errstate(divide="ignore", invalid="ignore"):
            values = values / depth[:, None]
        return (values, "counts at mean depth") if known else (values * 1e4, FRACTION)
    divided = expression.size_factors is not None
    unit = "counts at mean depth" if divided else f"{expression.scale_tested} scale"
    return expression.normalised(genes), unit


def _depth(result: Linearity) -> pd.DataFrame:
    """Histogram of the totals of samples or cells."""
    expression = result.expression
    total = expression.totals
    if total is None:
        total = nan_sum(expression.matrix, axis=1)
    total = total[np.isfinite(total)]
    low, high = (total.min(), total.max()) if len(total) else (0.0, 1.0)
    if low > 0 and high > 20 * low:
        edges = np.geomspace(low, high, 31)
    elif high - low < 0.01 * abs(high) or high == low:  # totals made equal, as those of TPM
        edges = np.linspace(low - 0.05 * abs(low) - (low == 0), high + 0.05 * abs(high) + (low == 0), 31)
    else:
        edges = np.linspace(low, high, 31)
    return _histogram(total, edges, "n_cells" if expression.kind == "single-cell" else "n_samples")


def _histogram(values: np.ndarray, edges: np.ndarray, name: str) -> pd.DataFrame:
    counts = np.histogram(values[np.isfinite(values)].clip(edges[0], edges[-1]), bins=edges)[0]
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], name: counts.astype(np.int64)})


def _mean_variance(result: Linearity) -> pd.DataFrame:
    """Mean and variance of genes; ``counting``: the variance that counting alone would give, for counts."""
    table = result.genes[["gene", "symbol", "mean", "variance"]]
    if len(table) > N_SCATTER:
        random = stream(result.seed, "figures", "mean_variance")
        by_name = np.argsort(table["gene"].to_numpy().astype(str))
        table = table.iloc[by_name[np.sort(random.choice(len(table), N_SCATTER, replace=False))]]
    counts = result.expression.scale_tested == "counts"
    return table.assign(counting=table["mean"] if counts else np.nan).reset_index(drop=True)


# --- in words ----------------------------------------------------------------------------------------


def describe_figure(name: str, table: pd.DataFrame) -> str:
    """Say what a picture shows, for those who do not see it.

    Parameters
    ----------
    name
        One of ``FIGURES``, the parts of the gallery aside: there :func:`describe_pair` speaks.
    table
        Its numbers, at least one row; of ``genes`` those of one role.

    Examples
    --------
    >>> describe_figure("zeros", pd.DataFrame({"low": [0.0, 0.5], "high": [0.5, 1.0], "n_genes": [7, 2]}))
    'Histogram of the share of zeros: 2 of 9 genes are zero in half of the data or more.'
    """
    return _DESCRIBE[name](table)


def _tell_calls(table: pd.DataFrame) -> str:
    said = []
    for where, half in (
        ("below 0.5", table[table["r2_low"] < 0.45]),
        ("from 0.5", table[table["r2_low"] > 0.45]),
    ):
        n = half["n_pairs"].sum()
        shares = [(call, half.loc[half["call"] == call, "n_pairs"].sum() / max(n, 1)) for call in CALLS]
        split = ", ".join(f"{share:.0%} {WORDS[call]}" for call, share in shares)
        said.append(f"Of {n:,} pairs with r² {where}: {split}." if n else f"No pair has r² {where}.")
    return "Stacked bars, one for each tenth of r². " + " ".join(said)


def _tell_shares(table: pd.DataFrame) -> str:
    medians = table.groupby("call")["nonlinear_share"].median()
    said = [f"{WORDS[call]} {medians[call]:.0%}" for call in CALLS if call in medians]
    return f"Scatter of {len(table):,} pairs. Median non-linear share by call: {', '.join(said)}."


def _tell_genes(table: pd.DataFrame) -> str:
    first = table.iloc[0]
    return (
        f"Bars of {len(table):,} genes with most non-linear pairs as {first['role']}. First: "
        f"{printable(first['symbol'])}, non-linear in {first['n_nonlinear']:,} of {first['n_associated']:,} "
        "associated pairs."
    )


def _tell_depth(table: pd.DataFrame) -> str:
    n = table.iloc[:, -1]
    of = table.columns[-1].removeprefix("n_")
    low, high = table["low"].iloc[0], table["high"].iloc[-1]
    return f"Histogram of the totals of {n.sum():,} {of}: {low:,.5g} to {high:,.5g}."


def _tell_zeros(table: pd.DataFrame) -> str:
    n, many = table["n_genes"].sum(), table.loc[table["low"] > 0.49, "n_genes"].sum()
    return f"Histogram of the share of zeros: {many:,} of {n:,} genes are zero in half of the data or more."


def _tell_noise(table: pd.DataFrame) -> str:
    text = f"Scatter of the variance of {len(table):,} genes against their mean, both scales logarithmic."
    if table["counting"].isna().all():
        return text
    above = (table["variance"] > 2 * table["counting"]).sum()
    return f"{text} {above:,} vary more than twice as much as counting alone would make them."


def describe_pair(row: Mapping[Any, Any]) -> str:
    """Say what the picture of a pair shows; ``row`` is its row of ``gallery``."""
    share = row["nonlinear_share"]
    return (
        f"Scatter of {printable(row['target_symbol'])} against {printable(row['regulator_symbol'])}, called "
        f"{WORDS[row['call']]}: r² {row['r2_spline']:.2f} of the curve, {row['r2_linear']:.2f} of the "
        f"line{'' if pd.isna(share) else f', {share:.0%} non-linear'}; n = {row['n']:,}."
    )


_DESCRIBE: dict[str, Callable[[pd.DataFrame], str]] = {
    "calls_by_strength": _tell_calls,
    "share_against_r2": _tell_shares,
    "genes": _tell_genes,
    "depth": _tell_depth,
    "zeros": _tell_zeros,
    "mean_variance": _tell_noise,
}
