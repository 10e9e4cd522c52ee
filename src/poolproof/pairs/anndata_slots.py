"""Results written into an AnnData: pair matrices in varp, gene summaries in var, the verdict in uns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from .. import _names as names
from .._checks import InputError, printable
from .._files import to_json
from ..data.io import unique_names

PREFIX = "poolproof_"
CALL_CODES = (names.NOT_ASSOCIATED, names.INCONCLUSIVE, names.AFFINE, names.NONLINEAR)
"""The call of each code in ``varp["poolproof_call"]``."""
MATRICES = ("r2_linear", "r2_spline", "nonlinear_share", "nonlinear_share_upper")
NOT_AUDITED = "not_audited"
"""Status of a gene that the result does not know."""


def annotate(
    adata: AnnData, table: pd.DataFrame, genes: pd.DataFrame, uns: Mapping[str, Any], *, copy: bool
) -> AnnData:
    """Write a pair table and a gene table into an AnnData; genes are matched by name.

    Parameters
    ----------
    adata
        Of the genes that were audited, or a part of them, in any order.
    table
        Pairs, columns as ``PAIR_COLUMNS``; the associated ones are written.
    genes
        Genes, columns as ``GENE_COLUMNS``.
    uns
        Entries of uns, without the prefix; what is not text or a number is written as JSON.
    copy
        Whether to leave ``adata`` as it is and return a copy.

    Raises
    ------
    InputError
        No gene of the result is in ``adata``, or it is a view that would have to be changed.
    """
    where = pd.Index(unique_names(adata.var_names)[0])
    if not where.isin(genes["gene"]).any():
        raise InputError(
            f"expected the genes of the result, such as {printable(genes['gene'].iloc[0], 40)}; found none "
            "of them among var_names; pass the AnnData that was audited"
        )
    if copy:
        adata = adata.copy()
    elif adata.is_view:
        raise InputError("adata is a view of another AnnData; pass copy=True, or adata.copy()")
    _clear(adata)
    table = table[table["call"] != names.NOT_ASSOCIATED]
    rows, columns = (where.get_indexer(pd.Index(table[end])) for end in ("regulator", "target"))
    inside = (rows >= 0) & (columns >= 0)
    at = (rows[inside], columns[inside])
    shape = (adata.n_vars, adata.n_vars)
    for name in MATRICES:
        values = table[name].to_numpy(dtype=np.float32)[inside]
        adata.varp[PREFIX + name] = sp.csr_matrix((values, at), shape=shape)
    codes = pd.Index(CALL_CODES).get_indexer(pd.Index(table["call"].astype(str))).astype(np.int8)[inside]
    adata.varp[PREFIX + "call"] = sp.csr_matrix((codes, at), shape=shape)
    for label, column in _of_genes(genes, where).items():
        adata.var[f"{PREFIX}{label}"] = column.to_numpy()
    adata.uns[PREFIX + "call_codes"] = list(CALL_CODES)
    adata.uns[PREFIX + "n_pairs_left_out"] = int((~inside).sum())
    for name, value in uns.items():
        adata.uns[PREFIX + name] = value if isinstance(value, str | int | float) else to_json(value)
    return adata


def _clear(adata: AnnData) -> None:
    """Take out what an earlier result wrote."""
    for slot in (adata.varp, adata.uns):
        for key in [key for key in slot if key.startswith(PREFIX)]:
            del slot[key]
    for column in [c for c in adata.var.columns if str(c).startswith(PREFIX)]:
        del adata.var[column]


def _of_genes(genes: pd.DataFrame, where: pd.Index) -> pd.DataFrame:
    """The gene table in the order of ``where``; genes that it does not know have no counts."""
    found = genes.drop(columns="symbol").set_index("gene").astype({"status": object}).reindex(where)
    counts = [c for c in found.columns if c.startswith("n_")]
    found[counts] = found[counts].fillna(0).astype(np.int64)
    return found.fillna({"status": NOT_AUDITED})
