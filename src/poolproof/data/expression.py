"""What the engines measure: one matrix on one scale, and everything that was guessed about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from .._arrays import dense_columns
from .._checks import InputError, check_choice, check_column, printable
from .._names import KINDS, SCALES
from .._notebook import summary_html
from .copies import exact_copies, sentinels_missing
from .depth import find_depth
from .estimated import (
    agreeing_log1p,
    estimated_counts,
    multiples_in_rows,
    never_normalised,
    rounded,
    stated_counts,
)
from .io import duplicates_sentence, markup_warnings, read_named, unique_names
from .marks import BULK, SINGLE_CELL, UMI_DEPTH, Kind, decide_kind
from .matching import plain_name
from .orientation import gene_score
from .scale import (
    Facts,
    guess_scale,
    log_parameters,
    measure,
    mentions_log,
    nan_sum,
    parse_base,
    parse_offset,
    undo_log,
)
from .taking import Taken, genes_only, take
from .traps import counted_twice, refuse_identifiers, rounded_logs, traps_of
from .value_checks import check_counts, check_values, find_counts_elsewhere

SCALED = (
    "the values of nearly every gene have standard deviation 1: scaling changes no call on the additive "
    "scale, but "
    "a log taken before it cannot be undone"
)
SYMBOL_COLUMNS = (
    *("symbol", "symbols", "genesymbol", "genesymbols", "genename", "genenames", "geneshortname"),
    *("featurename", "hgncsymbol", "mgisymbol", "externalgenename"),
)
"""Names of columns of var that hold symbols, in small letters, without dots and underscores."""
MANY_POOLS = 100
"""Pools from which the noise of counting can be told and removed."""


@dataclass(frozen=True, eq=False, repr=False)
class Expression:
    """Expression values ready to be tested."""

    matrix: np.ndarray | sp.csr_matrix
    """Values, shape ``(n_obs, n_genes)``, float64. Raw counts if ``scale_tested`` is ``counts``, else
    values on the tested scale; NaN where a value is missing. Not divided by the size factors."""
    genes: np.ndarray
    """Unique gene names (str), shape ``(n_genes,)``: the identifiers of every table."""
    symbols: np.ndarray
    """Names for matching and display, shape ``(n_genes,)``: ``genes`` unless a gene column was given."""
    obs_names: np.ndarray
    """Unique names of samples or cells (str), shape ``(n_obs,)``."""
    kind: str
    """``bulk`` or ``single-cell``."""
    scale: str
    """Scale found in the data: ``counts``, ``additive`` or ``log``."""
    scale_tested: str
    """Scale of ``matrix``: ``log`` only where a log could not be undone."""
    size_factors: np.ndarray | None
    """Size factor of each sample, shape ``(n_obs,)``, mean 1; None: values are used as they are."""
    totals: np.ndarray | None
    """Total count of each sample over *all* measured genes, shape ``(n_obs,)``; None unless counts."""
    totals_known: bool
    """True if size factors come from outside the counts (``obs:COLUMN``), not from the total."""
    umi_like: bool
    """True if counts look like unique molecules of cells, or of pools of few cells: integer, low depth."""
    kind_known: bool = True
    """False if ``kind`` was guessed from the values: what passes for cells may be pools of a few cells."""
    copies: tuple[str, ...] = ()
    """Names of samples that hold the very values of an earlier one: left out of the tests."""
    warnings: tuple[str, ...] = ()
    """Sentences for ``data.warnings``: guesses made, constant genes, names made unique, ..."""
    counts_elsewhere: tuple[str, ...] = ()
    """Names of layers, or ``raw``, that hold counts where these values are none."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Options with defaults filled in: layer, kind, scale, log_base, log_offset, size_factors, ..."""
    all_cells: Any = None
    """Where these cells were drawn from more than memory holds: all of them, see
    :class:`~poolproof.data.large.AllCells`."""

    @property
    def n_obs(self) -> int:
        """Samples or cells, also where only some were drawn."""
        return int(self.matrix.shape[0] if self.all_cells is None else self.all_cells.blocks.n_cells)

    def __str__(self) -> str:
        n_obs, n_genes = self.n_obs, self.matrix.shape[1]
        rows = "cells" if self.kind == "single-cell" else "samples"
        lines = [
            f"{n_obs:,} {rows} x {n_genes:,} genes",
            f"kind: {self.kind}",
            f"scale: {self.scale}, tested as {self.scale_tested}",
            f"size factors: {self.settings.get('size_factors', 'none')}",
        ]
        return "\n".join([*lines, *(f"note: {text}" for text in self.warnings)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        said, *notes = str(self).split("\nnote: ")
        return summary_html("Expression values", said.splitlines(), pd.DataFrame(), notes)

    def columns(self, genes: np.ndarray | None = None) -> np.ndarray | sp.csc_matrix:
        """Values of all genes or of some, as engines read them: dense, or sparse by columns."""
        matrix = self.matrix.tocsc() if sp.issparse(self.matrix) else self.matrix
        return matrix if genes is None else matrix[:, genes]

    def normalised(self, genes: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """Values of some genes over the size factors, dense, shape ``(n_obs or len(rows), len(genes))``."""
        values, factors = dense_columns(self.matrix, genes), self.size_factors
        if rows is not None:
            values, factors = values[rows], None if factors is None else factors[rows]
        return values if factors is None else values / factors[:, None]

    def count_depth(self) -> tuple[np.ndarray, bool]:
        """Depth that the corrected test needs, shape ``(n_obs,)``, and whether it is known from elsewhere.

        Raises
        ------
        InputError
            These are no counts.
        """
        known = self.totals_known and self.size_factors is not None
        depth = self.size_factors if known else self.totals
        if depth is None:
            raise InputError(
                "the corrected test needs counts with totals; found values without; use --test robust"
            )
        return np.asarray(depth, dtype=np.float64), known


@dataclass(frozen=True)
class ValueOptions:
    """How values are read: the options that every analysis shares; see :func:`describe`."""

    layer: str | None = None
    kind: str = "auto"
    scale: str = "auto"
    log_base: float | str | None = None
    log_offset: float | str | None = None
    size_factors: str = "auto"
    gene_column: str | None = None

    def read(
        self, adata: AnnData | pd.DataFrame | Expression | str | PathLike[str], obs: pd.DataFrame | None
    ) -> tuple[Expression, pd.DataFrame]:
        """The values of an analysis, from memory or a file, and its table of samples.

        An expression stays as it is. ``obs`` is for values that do not bring their own table of samples.
        """
        if isinstance(adata, (str, PathLike)):
            adata = read_named(adata, "", ())[0]
        expression = adata if isinstance(adata, Expression) else describe(adata, obs=obs, **asdict(self))
        if obs is None:
            obs = adata.obs if isinstance(adata, AnnData) else pd.DataFrame(index=expression.obs_names)
        return expression, obs


def describe(
    data: AnnData | pd.DataFrame | str | PathLike[str],
    *,
    layer: str | None = None,
    kind: str = "auto",
    scale: str = "auto",
    log_base: float | str | None = None,
    log_offset: float | str | None = None,
    size_factors: str = "auto",
    gene_column: str | None = None,
    obs: pd.DataFrame | None = None,
) -> Expression:
    """Say what kind of values these are and bring them to the scale that is tested.

    Parameters
    ----------
    data
        AnnData or DataFrame, samples (or cells) x genes; it is not changed. Or the path of a file of a
        form that :func:`poolproof.read` reads.
    layer
        Layer to take, or ``raw`` for ``adata.raw``; None takes ``X``.
    kind
        ``bulk``, ``single-cell``, or ``auto``: what marks of tools say (a column of pool sizes, names of
        metacells, barcodes), else ``uns["source"]["kind"]``; else a guess: counts with over half zeros or a
        median depth under 100,000 are single cells unless zeros are missing, other values if most of at least
        1,000 rows' entries are zero.
    scale
        ``counts``, ``additive``, ``log``, or ``auto``: from every value, see `guess_scale`.
    log_base, log_offset
        A log goes back by ``log_base**v - log_offset``. The base may be ``"e"``. Where
        ``uns["log1p"]`` is present they default to its base (else e) and to 1.
    size_factors
        ``none``, ``total``, ``median-ratio``, ``obs:COLUMN``, or ``auto``: none unless counts;
        single cells: the library size in ``obs``, else the row total; bulk: `median_ratio`.
    gene_column
        Column of ``var`` with names for display and matching.
    obs
        Table of samples, one row each in the order of ``data``, where that is a DataFrame: for library sizes.

    Returns
    -------
    Expression, its ``warnings`` naming each guess and the option that overrides it. A sample without
    any counts stays, with a size factor of NaN.

    Raises
    ------
    InputError
        Fewer than 10 samples or 2 genes that vary; text, infinite or complex values; counts that are
        negative or not whole; a log that overflows; an option that does not fit the data.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> counts = pd.DataFrame(rng.poisson(2.0, (20, 3)), columns=["A", "B", "C"])
    >>> found = describe(counts)
    >>> found.kind, found.scale, found.umi_like
    ('single-cell', 'counts', True)
    """
    if isinstance(data, (str, PathLike)):
        asked = ValueOptions(layer, kind, scale, log_base, log_offset, size_factors, gene_column)
        return asked.read(data, obs)[0]
    check_choice("kind", kind, ("auto", *KINDS))
    check_choice("scale", scale, ("auto", *SCALES))
    base, offset = parse_base(log_base), parse_offset(log_offset)
    taken = genes_only(take(data, layer))
    matrix = taken.matrix
    obs = taken.obs if obs is None or isinstance(data, AnnData) else obs
    if len(obs) != matrix.shape[0]:
        raise InputError(f"expected a table of {matrix.shape[0]:,} samples (obs); found {len(obs):,} rows")
    warnings = [*taken.warnings, *traps_of(data, layer)]
    matrix, missing = sentinels_missing(matrix)
    warnings += [missing] if missing else []
    genes, obs_names = _names(taken, warnings)
    refuse_identifiers(matrix, obs_names, genes)
    check_values(matrix, genes, obs_names, warnings)
    copies = _copies(matrix, obs_names, warnings)
    facts = measure(matrix)
    if taken.log1p is not None and base is None and scale in ("auto", "log"):
        taken.log1p, other_base = agreeing_log1p(taken.log1p, matrix, facts)
        warnings += [other_base] if other_base else []
    if _are_estimated(scale, log_base, log_offset, matrix, facts, taken, layer, warnings):
        matrix, scale = rounded(matrix), "counts"
        facts = measure(matrix)
    of_rows = _kind_of(kind, facts, matrix, taken, obs, layer)
    kind = of_rows.kind
    warnings += of_rows.sentences
    scale = _scale_of(scale, base, offset, facts, matrix, taken, layer, warnings)
    if scale == "counts":
        check_counts(facts, matrix, genes, obs_names, warnings)
        warnings += [*counted_twice(matrix), *rounded_logs(matrix)]
    scale_tested = scale
    if scale == "log":
        base, offset, said = log_parameters(base, offset, facts, statement=taken.statement, log1p=taken.log1p)
        warnings += said
        if base is not None and offset is not None:
            matrix, scale_tested = undo_log(matrix, base, offset), "additive"
    elif facts.scaled:
        warnings.append(SCALED)
    if scale == "additive" and kind == BULK and size_factors == "auto":
        warnings += never_normalised(matrix, facts)
    elsewhere = () if scale == "counts" else find_counts_elsewhere(data, layer)
    warnings += [_layer_sentence(name) for name in elsewhere]
    if gene_column is None:
        gene_column = _symbol_column(taken.var, genes, warnings)
    depth = find_depth(matrix, obs, method=size_factors, kind=kind, scale=scale_tested)
    warnings += depth.warnings
    settings = {
        "layer": layer,
        "kind": kind,
        "scale": scale,
        "log_base": base if scale == "log" else None,
        "log_offset": offset if scale == "log" else None,
        "size_factors": depth.method,
        "gene_column": gene_column,
    }
    return Expression(
        matrix=matrix,
        genes=genes,
        symbols=_symbols(taken.var, genes, gene_column, warnings),
        obs_names=obs_names,
        kind=kind,
        scale=scale,
        scale_tested=scale_tested,
        size_factors=depth.factors,
        totals=depth.totals,
        totals_known=depth.known,
        umi_like=_umi_like(kind, scale, facts, matrix),
        kind_known=of_rows.known,
        copies=tuple(obs_names[copies]),
        warnings=tuple(dict.fromkeys(warnings)),
        counts_elsewhere=elsewhere,
        settings=settings,
    )


# --- taking values and names -----------------------------------------------------------------------


def _copies(matrix: Any, obs_names: np.ndarray, warnings: list[str]) -> np.ndarray:
    """Mask of the samples that are exact copies of others."""
    copies = exact_copies(matrix)
    if copies.any():
        warnings.append(
            f"{int(copies.sum()):,} of {len(copies):,} samples are exact copies of others, left out of the "
            f"tests ({printable(obs_names[np.flatnonzero(copies)[0]], 40)!r}, ...): copies tell nothing new"
        )
    return copies


def _scale_of(
    scale: str,
    base: float | None,
    offset: float | None,
    facts: Facts,
    matrix: Any,
    taken: Taken,
    layer: str | None,
    warnings: list[str],
) -> str:
    """The scale as given, as the parameters of a log imply it, or as the values let guess it."""
    of_log = base is not None or offset is not None
    if of_log and scale not in ("auto", "log"):
        raise InputError(
            f"--log-base and --log-offset apply to logs, not to --scale {scale}; leave them out or pass "
            f"--scale log"
        )
    if scale != "auto":
        return scale
    if of_log:
        return "log"
    linear = taken.log1p is not None and not facts.counts and multiples_in_rows(matrix)
    scale, guess = guess_scale(
        facts, layer=layer, statement=taken.statement, log1p=taken.log1p, linear=linear
    )
    warnings.append(guess)
    return scale


def _layer_sentence(name: str) -> str:
    """The way to counts that were found beside the values."""
    shown = printable(name, 40)
    return f"{'raw' if name == 'raw' else f'layer {shown!r}'} holds counts: pass --layer {shown} to use them"


def _names(taken: Taken, warnings: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return unique gene and sample names; refuse a matrix that is surely the wrong way round."""
    found = []
    for index, word in ((taken.var.index, "gene"), (taken.obs.index, "sample")):
        names, n_changed = unique_names(index)
        if n_changed:
            warnings.append(duplicates_sentence(n_changed, word))
        warnings.extend(markup_warnings(names, word))
        found.append(np.array(names, dtype=object))
    genes, obs_names = found
    as_genes, as_samples = gene_score(obs_names), -gene_score(genes)
    if as_genes > 0.8 and as_samples > 0.8:
        raise InputError(
            f"expected samples in rows; rows are named like genes ({printable(obs_names[0], 30)}) and "
            f"columns like "
            f"samples ({printable(genes[0], 30)}); transpose the data or pass --orientation genes-in-rows"
        )
    if as_genes > 0.5 and as_samples > 0.0:
        warnings.append(
            f"rows are named like genes ({printable(obs_names[0], 30)}); if genes are in rows, transpose the "
            f"data or "
            "pass --orientation genes-in-rows"
        )
    return genes, obs_names


def _symbol_column(var: pd.DataFrame, genes: np.ndarray, warnings: list[str]) -> str | None:
    """The column of var that holds symbols, if the genes are not named by them already."""
    for column in var.columns:
        word = plain_name(str(column))
        symbols = word in SYMBOL_COLUMNS or (
            word == "description" and gene_score(var[column].astype(str)) > 0.3
        )
        if not symbols:
            continue
        given = var[column]
        texts = given.notna() & ~given.astype(str).str.strip().isin(["", "nan", "NA"])
        other = given.astype(str).to_numpy(dtype=object) != genes
        if not pd.api.types.is_numeric_dtype(given) and (texts.to_numpy() & other).mean() > 0.5:
            warnings.append(
                f"gene symbols taken from var column {printable(column, 40)!r}; pass --gene-column to "
                "name another"
            )
            return str(column)
    return None


def _symbols(var: pd.DataFrame, genes: np.ndarray, column: str | None, warnings: list[str]) -> np.ndarray:
    if column is None:
        return genes.copy()
    check_column(var.columns, column, where="the gene table (var)", option="--gene-column")
    given = var[column]
    present = given.notna().to_numpy() & ~given.astype(str).str.strip().isin(["", "nan", "NA"]).to_numpy()
    if not present.all():
        warnings.append(
            f"{int((~present).sum())} genes have no entry in the gene column {printable(column)!r}: their "
            f"names are used"
        )
    return np.where(present, given.astype(str).to_numpy(dtype=object), genes)


def _kind_of(
    kind: str, facts: Facts, matrix: Any, taken: Taken, obs: pd.DataFrame, layer: str | None
) -> Kind:
    """What the user says that rows are, else what marks and values say."""
    if kind != "auto":
        return Kind(kind, True, ())
    return decide_kind(
        obs.set_axis(taken.obs.index),
        taken.uns,
        stated=taken.stated_kind,
        layers=taken.layers,
        layer=layer,
        format=taken.format,
        counts=facts.counts,
        zero_share=facts.zero_share,
        median_total=float(np.median(nan_sum(matrix, axis=1))),
    )


def _are_estimated(
    scale: str,
    base: object,
    offset: object,
    matrix: Any,
    facts: Facts,
    taken: Taken,
    layer: str | None,
    warnings: list[str],
) -> bool:
    """Say whether values are counts that are not whole, and note it; never where something says log."""
    claims_log = mentions_log(taken.statement) or (layer is not None and "log" in layer.lower())
    if scale not in ("auto", "counts") or base is not None or offset is not None or claims_log:
        return False
    if scale == "auto" and taken.log1p is not None:
        return False
    why = estimated_counts(matrix, facts) or (stated_counts(matrix, facts) if scale == "counts" else "")
    if why:
        warnings.append(
            f"{'scale guessed as counts: ' if scale == 'auto' else ''}estimated counts ({why}) are rounded "
            "to whole numbers; pass --scale additive if these are amounts"
        )
    return bool(why)


def _umi_like(kind: str, scale: str, facts: Facts, matrix: Any) -> bool:
    """Say whether counts are shallow ones of cells, or of many pools of so few cells that most are 0."""
    shallow = scale == "counts" and bool(np.median(nan_sum(matrix, axis=1)) < UMI_DEPTH)
    sparse_pools = facts.zero_share > 0.3 and matrix.shape[0] >= MANY_POOLS
    return shallow and (kind == SINGLE_CELL or sparse_pools)
