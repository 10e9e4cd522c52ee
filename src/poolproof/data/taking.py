"""One matrix out of AnnData or a table, as a copy that may be changed, with what stands around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from .._checks import InputError, printable
from .not_genes import leave_out
from .scale import is_sparse


@dataclass
class Taken:
    """The chosen matrix (float64, dense or canonical CSR, our own copy) and what stands around it."""

    matrix: Any
    obs: pd.DataFrame
    var: pd.DataFrame
    statement: str
    """What ``uns["source"]["values"]`` says of this matrix; empty if nothing."""
    stated_kind: str
    log1p: dict[str, Any] | None
    """``uns["log1p"]`` if it speaks of this matrix."""
    warnings: list[str]
    uns: Mapping[str, Any] = field(default_factory=dict)
    layers: tuple[str, ...] = ()
    format: str = ""
    """Format of the file that the values were read from; empty if not known."""


def take(data: AnnData | pd.DataFrame, layer: str | None) -> Taken:
    """Take one matrix of the data, float64, and what is said of it."""
    if isinstance(data, pd.DataFrame):
        if layer is not None:
            raise InputError(
                f"--layer {printable(layer)!r} needs AnnData; a table has one matrix; leave it out"
            )
        values = _as_float(_frame_values(data), "the table")
        index = pd.DataFrame(index=data.index), pd.DataFrame(index=data.columns)
        return Taken(values, *index, statement="", stated_kind="", log1p=None, warnings=[])
    if not isinstance(data, AnnData):
        raise InputError(f"expected AnnData or a DataFrame (samples x genes); found {type(data).__name__}")
    if data.isbacked:
        data = data.to_memory()
    var = data.var
    if layer is None:
        values, where = data.X, "X"
        if values is None:
            raise InputError(f"X is empty; pass --layer with one of: {_layers(data)}")
    elif layer == "raw" and data.raw is not None:
        values, var, where = data.raw.X, data.raw.var, "raw"
    elif layer in data.layers:
        values, where = data.layers[layer], f"layer {printable(layer)!r}"
    else:
        raise InputError(
            f"--layer names {printable(layer)!r}, which the data have not; they have: {_layers(data)}"
        )
    source = data.uns.get("source")
    source = source if isinstance(source, Mapping) else {}
    log1p = data.uns.get("log1p") if layer in (None, "raw") else None
    read = data.uns.get("poolproof_read")
    said = read.get("warnings", ()) if isinstance(read, Mapping) else ()
    return Taken(
        _as_float(values, where),
        data.obs,
        var,
        statement=str(source.get("values", "")) if layer is None else "",
        stated_kind=str(source.get("kind", "")).strip().lower().replace(" ", "-").replace("_", "-"),
        log1p=dict(log1p) if isinstance(log1p, Mapping) else None,
        warnings=[printable(s, 400) for s in said] if not isinstance(said, str) else [],
        uns=data.uns,
        layers=tuple(data.layers),
        format=str(read.get("format", "")) if isinstance(read, Mapping) else "",
    )


def genes_only(taken: Taken) -> Taken:
    """Leave out what is no gene."""
    keep, said = leave_out(taken.var.index, taken.var)
    if keep.all():
        return taken
    matrix = taken.matrix[:, np.flatnonzero(keep)]
    return replace(taken, matrix=matrix, var=taken.var[keep], warnings=[*taken.warnings, *said])


def _layers(adata: AnnData) -> str:
    names = [printable(name, 40) for name in adata.layers] + (["raw"] if adata.raw is not None else [])
    return ", ".join(names[:12]) or "no layers and no raw"


def _frame_values(frame: pd.DataFrame) -> np.ndarray:
    for label, dtype in zip(frame.columns, frame.dtypes, strict=True):
        if not pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_complex_dtype(dtype):
            raise InputError(
                f"expected columns of real numbers; column {printable(label, 40)!r} is "
                f"{printable(dtype, 30)}; "
                "drop it or convert it (rows are samples, columns are genes)"
            )
    return frame.to_numpy(dtype=np.float64, na_value=np.nan)


def _as_float(values: Any, where: str) -> Any:
    """Return a float64 copy: a C-ordered array, or CSR with sorted indices and no stored zeros."""
    if not is_sparse(values):
        if not isinstance(values, np.ndarray):
            raise InputError(
                f"expected a NumPy array or a SciPy sparse matrix in {where}; found {type(values).__name__}; "
                "load the values into memory first"
            )
        values = np.ma.filled(values, np.nan) if isinstance(values, np.ma.MaskedArray) else np.asarray(values)
    if values.dtype.kind not in "biuf":
        raise InputError(
            f"expected real numbers in {where}; found {printable(values.dtype, 30)}; convert them"
        )
    if values.ndim != 2 or 0 in values.shape:
        raise InputError(f"expected samples and genes in {where}; found a matrix of shape {values.shape}")
    if not is_sparse(values):
        return np.array(values, dtype=np.float64, order="C")
    matrix = sp.csr_matrix(values, dtype=np.float64, copy=True)
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return matrix
