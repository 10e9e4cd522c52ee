"""From a result, or the tables of its figures, to the tables of one picture."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from .._checks import InputError, printable
from ..pairs.every_pair import Linearity
from ..pairs.figures import figure_data, pair_data
from ..pools.curves import PoolingCurves
from ..triples.every_triple import Triples
from ..triples.figures import triple_data, triple_figure_data
from ..verdict.auditing import Audit

Result = Audit | Linearity | Mapping[str, pd.DataFrame]
"""An Audit, a Linearity, or a mapping of the tables of ``figure_data``."""
Screened = Audit | Triples | Mapping[str, pd.DataFrame]
"""An Audit, a Triples, or a mapping of the tables of ``triple_figure_data``."""
Pooled = Audit | PoolingCurves | Mapping[str, pd.DataFrame]
"""An Audit, a PoolingCurves, or a mapping with the table ``pooling_curves``."""


def _linearity(result: Audit | Linearity) -> Linearity:
    return result if isinstance(result, Linearity) else result.linearity


def _known(tables: Mapping[str, pd.DataFrame], name: str) -> pd.DataFrame:
    if name not in tables:
        raise InputError(f"expected the table {name!r} among the figures; found {', '.join(tables)}")
    return tables[name]


def table_of(result: Result, name: str) -> pd.DataFrame:
    """Table behind a picture of pairs, from a result or from the tables of a folder."""
    if isinstance(result, Mapping):
        return _known(result, name)
    return figure_data(_linearity(result))[name]


def pair_tables(result: Result, regulator: str, target: str) -> tuple[pd.Series, pd.DataFrame, pd.DataFrame]:
    """Row, points and curves of one pair."""
    if not isinstance(result, Mapping):
        result = pair_data(_linearity(result), regulator, target)
    gallery, points, curves = (table_of(result, f"gallery{part}") for part in ("", "_points", "_curves"))
    known = gallery["regulator"].eq(regulator) | gallery["regulator_symbol"].eq(regulator)
    known &= gallery["target"].eq(target) | gallery["target_symbol"].eq(target)
    if not known.any():
        raise InputError(f"{printable(regulator)!r}, {printable(target)!r} is not a pair of the gallery")
    row = gallery[known].iloc[0]
    return row, points[points["panel"] == row["panel"]], curves[curves["panel"] == row["panel"]]


def triple_table_of(result: Screened, name: str) -> pd.DataFrame:
    """Table behind a picture of triples, from a result or from the tables of a folder."""
    if isinstance(result, Mapping):
        return _known(result, name)
    return triple_figure_data(_screened(result))[name]


def _screened(result: Audit | Triples) -> Triples:
    triples = result if isinstance(result, Triples) else result.triples
    if triples is None:
        raise InputError("expected an audit that screened triples; found one that did not")
    return triples


def curves_of(result: Pooled) -> pd.DataFrame:
    """Pooling curves, from a result or from the tables of a folder."""
    if isinstance(result, Mapping):
        return _known(result, "pooling_curves")
    curves = result if isinstance(result, PoolingCurves) else result.curves
    if curves is None:
        raise InputError("expected an audit with pooling curves; found one without")
    return curves.table


def triple_tables(result: Screened, x: str, y: str, z: str) -> tuple[pd.Series, pd.DataFrame, pd.DataFrame]:
    """Row, points and lines of one triple."""
    if not isinstance(result, Mapping):
        result = triple_data(_screened(result), x, y, z)
    gallery, points, lines = (_known(result, f"triple_gallery{part}") for part in ("", "_points", "_lines"))

    def is_gene(end: str, name: str) -> pd.Series:
        return gallery[end].eq(name) | gallery[f"{end}_symbol"].eq(name)

    known = is_gene("y", y) & ((is_gene("x", x) & is_gene("z", z)) | (is_gene("x", z) & is_gene("z", x)))
    if not known.any():
        listed = ", ".join(repr(printable(name)) for name in (x, y, z))
        raise InputError(f"{listed} is not a triple of the gallery")
    row = gallery[known].iloc[0]
    return row, points[points["panel"] == row["panel"]], lines[lines["panel"] == row["panel"]]
