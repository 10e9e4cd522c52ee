"""Measured data with interventions: controls for methods to see, and what the interventions did as truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import stats

from .. import _names as names
from .._checks import InputError, check_column, printable
from ..data.expression import Expression, describe
from ..data.matching import match_edges
from ..pairs.calls import bh_adjust
from .tasks import Task

EFFECT_COLUMNS = ("regulator", "target", "difference", "wasserstein", "p_value", "q_value")
"""Columns of a table of effects. ``difference``: perturbed less control, in standard deviations."""
MIN_CELLS = 20
"""Fewer perturbed cells tell no effect."""
MIN_DF = 10
"""Degrees of freedom of the variance between repeated bulk samples, at least."""
WHERE = "the table of samples"


def effects_of_cells(
    values: np.ndarray, genes: Sequence[str], target_of: np.ndarray, control: str
) -> pd.DataFrame:
    """What perturbing each gene did to all others, from many cells of each kind.

    Parameters
    ----------
    values
        Cells x genes, normalised by depth, shape ``(n, p)``.
    genes
        Names, shape ``(p,)``.
    target_of
        The perturbed gene of each cell, or ``control``, shape ``(n,)``.
    control
        The label of unperturbed cells.

    Returns
    -------
    Columns `EFFECT_COLUMNS`, a row for each perturbed gene that is measured and each other gene; Welch's
    test, Benjamini-Hochberg over all rows. ``wasserstein`` is the distance of the two laws in standard
    deviations of the control, which CausalBench ranks edges by (Chevalley et al. 2025, Commun Biol 8:412).

    Raises
    ------
    InputError
        No measured gene was perturbed in at least `MIN_CELLS` cells, or there are too few control cells.
    """
    of_control = values[target_of == control]
    if len(of_control) < MIN_CELLS:
        raise InputError(
            f"expected at least {MIN_CELLS} cells labelled {printable(control, 40)!r}; found "
            f"{len(of_control)}"
        )
    spread = of_control.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    rows = []
    for i, gene in enumerate(genes):
        perturbed = values[target_of == gene]
        if len(perturbed) < MIN_CELLS:
            continue
        with np.errstate(all="ignore"):
            p_values = stats.ttest_ind(perturbed, of_control, equal_var=False).pvalue
        for j, target in enumerate(genes):
            if i == j or spread[j] == 0 or not np.isfinite(p_values[j]):
                continue
            distance = stats.wasserstein_distance(perturbed[:, j], of_control[:, j]) / scale[j]
            difference = (perturbed[:, j].mean() - of_control[:, j].mean()) / scale[j]
            rows.append((gene, target, difference, distance, p_values[j], np.nan))
    return _adjusted(rows, f"no measured gene was perturbed in at least {MIN_CELLS} cells")


def effects_of_samples(
    values: np.ndarray, genes: Sequence[str], target_of: np.ndarray, control: str, block_of: np.ndarray
) -> pd.DataFrame:
    """What deleting each gene did to all others, from few bulk samples of each kind.

    Parameters
    ----------
    values
        Logs of amounts, samples x genes, shape ``(n, p)``.
    genes
        Names, shape ``(p,)``.
    target_of
        The deleted gene of each sample, or ``control``, shape ``(n,)``.
    control
        The label of samples without a deletion.
    block_of
        What a sample is compared inside (study, medium), as numbers, shape ``(n,)``.

    Returns
    -------
    As `effects_of_cells`. A sample is compared with the mean of its block's controls; the variance of a gene
    is that between samples of the same block and deletion, pooled over all (its degrees of freedom are those
    of the t-test). Both laws are taken as alike but for their place: ``wasserstein`` is the size of the
    difference.

    Raises
    ------
    InputError
        No deleted gene is measured and has controls in its block, or too few samples are repeated.
    """
    groups = pd.factorize(pd.Series(block_of.astype(str)) + "\t" + pd.Series(target_of.astype(str)))[0]
    sizes = np.bincount(groups)
    df = int((sizes - 1).sum())
    if df < MIN_DF:
        raise InputError(
            f"expected repeated samples with {MIN_DF} degrees of freedom between them; found {df}; name "
            "coarser blocks (within)"
        )
    sums = np.zeros((len(sizes), values.shape[1]))
    np.add.at(sums, groups, values)
    variance = ((values - (sums / sizes[:, None])[groups]) ** 2).sum(axis=0) / df
    spread = np.sqrt(variance)
    is_control = target_of == control
    rows = []
    for i, gene in enumerate(genes):
        weights = np.zeros(len(values))
        mine = np.flatnonzero(target_of == gene)
        mine = np.array([s for s in mine if (is_control & (block_of == block_of[s])).any()], dtype=int)
        for sample in mine:
            beside = is_control & (block_of == block_of[sample])
            weights[sample] += 1 / len(mine)
            weights[beside] -= 1 / (len(mine) * beside.sum())
        if not len(mine):
            continue
        difference = weights @ values
        error = spread * np.sqrt((weights**2).sum())
        for j, target in enumerate(genes):
            if i == j or spread[j] == 0:
                continue
            size = difference[j] / spread[j]
            p_value = 2 * stats.t.sf(abs(difference[j]) / error[j], df)
            rows.append((gene, target, size, abs(size), p_value, np.nan))
    return _adjusted(rows, "no deleted gene is measured and has controls in its block")


def _adjusted(rows: list[tuple[str, str, float, float, float, float]], none: str) -> pd.DataFrame:
    if not rows:
        raise InputError(none)
    table = pd.DataFrame(rows, columns=list(EFFECT_COLUMNS))
    table["q_value"] = bh_adjust(table["p_value"].to_numpy())
    return table


def intervention_task(
    adata: AnnData,
    *,
    perturbation: str,
    control: str,
    name: str,
    n_genes: int | None = None,
    within: str | Sequence[str] | None = None,
    leave_out: str | None = None,
    values: Mapping[str, Any] | None = None,
) -> Task:
    """Make a task of measured data: methods see the controls, interventions are the truth.

    Parameters
    ----------
    adata
        Single cells (counts) or bulk samples x genes. Bulk has few samples of each deletion and is compared
        inside blocks, on a log scale; see `effects_of_samples`.
    perturbation
        Column of obs with the perturbed gene of each cell or sample, as a name or symbol of ``var``.
    control
        Its label for what was not perturbed.
    name
        Of the task.
    n_genes
        The most expressed genes beside those perturbed that are used; None: all.
    within
        Columns of obs whose groups pools may be drawn inside; of bulk: blocks that deletions are compared in.
    leave_out
        Column of obs that is true for samples to be left out (evolved strains, doublets).
    values
        How to read the values: options of :func:`poolproof.describe`.

    Raises
    ------
    InputError
        A column is not there, or no measured gene was perturbed in enough cells or samples.
    """
    columns = [] if within is None else [within] if isinstance(within, str) else list(within)
    for column in (perturbation, *columns, *((leave_out,) if leave_out else ())):
        check_column(adata.obs.columns, column, where=WHERE, option="the task")
    if leave_out:
        adata = adata[~adata.obs[leave_out].astype(str).str.lower().isin({"true", "1"})].copy()
    expression = _described(adata, values)
    is_bulk = expression.kind == names.BULK
    amounts, rows = _amounts(expression)
    target_of = adata.obs[perturbation].astype(str).to_numpy(dtype=object)[rows]
    is_control = target_of == control
    shown = _shown_names(expression)
    seen = amounts[is_control]
    usable = np.asarray(np.isfinite(amounts).all(axis=0))
    if len(seen):
        usable &= seen.std(axis=0) > 0
    perturbed = usable & np.isin(shown, np.unique(target_of))
    kept = _most_expressed(amounts, perturbed, usable, n_genes)
    genes = tuple(str(gene) for gene in shown[kept])
    groups = _groups(adata.obs.iloc[rows], columns)
    if is_bulk:
        logs = np.log2(np.maximum(amounts[:, kept], 0.0) + 1.0)
        block_of = np.zeros(len(logs), dtype=int) if groups is None else groups
        effects = effects_of_samples(logs, genes, target_of, control, block_of)
    else:
        effects = effects_of_cells(amounts[:, kept], genes, target_of, control)
    facts = {"source": "interventions", "n_perturbed": int(effects["regulator"].nunique())}
    labels = None if groups is None else groups[is_control]
    return Task(name, genes, None, cells=seen[:, kept], labels=labels, effects=effects, facts=facts)


def edges_task(
    adata: AnnData,
    edges: pd.DataFrame,
    *,
    name: str,
    n_genes: int = 40,
    values: Mapping[str, Any] | None = None,
) -> Task:
    """Make a task of measured data and a list of what interventions elsewhere did (knock-out edges).

    Parameters
    ----------
    adata
        Cells or samples x genes, all of them controls.
    edges
        Columns ``regulator`` and ``target``: the genes that changed when each regulator was knocked out. Of a
        regulator in the list, genes that are not its targets count as unchanged.
    name
        Of the task.
    n_genes
        Genes used: regulators with the most measured targets, at most a third of all, and their targets,
        those of several regulators first.
    values
        How to read the values: options of :func:`poolproof.describe`.

    Raises
    ------
    InputError
        No regulator of the list is measured together with a target.
    """
    expression = _described(adata, values)
    amounts, _ = _amounts(expression)
    usable = np.isfinite(amounts).all(axis=0) & (amounts.std(axis=0) > 0)
    matched = match_edges(edges, expression.genes, expression.symbols)
    pairs = {
        (int(i), int(j))
        for i, j in zip(matched.regulator_index, matched.target_index, strict=True)
        if usable[i] and usable[j] and i != j
    }
    if not pairs:
        raise InputError("no regulator of these edges is measured together with a target, without gaps")
    count = pd.Series([i for i, _ in pairs]).value_counts()
    order = sorted(count.index, key=lambda i: (-count[i], str(expression.genes[i])))
    regulators = order[: max(n_genes // 3, 1)]
    hit = pd.Series([j for i, j in pairs if i in regulators and j not in regulators]).value_counts()
    targets = sorted(hit.index, key=lambda j: (-hit[j], str(expression.genes[j])))
    kept = sorted([*regulators, *targets[: n_genes - len(regulators)]])
    genes = [str(expression.genes[i]) for i in kept]
    rows = [
        (genes[a], genes[b], np.nan, np.nan, np.nan, 0.0 if (i, j) in pairs else 1.0)
        for a, i in enumerate(kept)
        if i in regulators
        for b, j in enumerate(kept)
        if i != j
    ]
    effects = pd.DataFrame(rows, columns=list(EFFECT_COLUMNS))
    facts = {"source": "interventions", "n_perturbed": len(regulators)}
    return Task(name, tuple(genes), None, cells=amounts[:, kept], effects=effects, facts=facts)


def _shown_names(expression: Expression) -> np.ndarray:
    """Names that perturbations go by: symbols, where a gene has one that no other has."""
    symbols = pd.Series(np.asarray(expression.symbols, dtype=object)).fillna("").astype(str)
    unclear = (symbols == "") | symbols.duplicated(keep=False)
    return np.where(unclear, np.asarray(expression.genes, dtype=object), symbols.to_numpy(dtype=object))


def _amounts(expression: Expression) -> tuple[np.ndarray, np.ndarray]:
    """Normalised amounts, and the rows they are of: a cell without a count has none."""
    with np.errstate(invalid="ignore"):
        amounts = np.asarray(expression.normalised(np.arange(len(expression.genes))), dtype=np.float64)
    rows = np.flatnonzero(np.isfinite(amounts).any(axis=1))
    return amounts[rows], rows


def _described(adata: AnnData, values: Mapping[str, Any] | None) -> Expression:
    """The data described; logs that cannot be taken back do not add up to pools."""
    expression = describe(adata, **(values or {}))
    if expression.scale_tested == "log":
        raise InputError("pools add up amounts, which logs do not; give log_base and log_offset under values")
    return expression


def _most_expressed(
    amounts: np.ndarray, perturbed: np.ndarray, usable: np.ndarray, n_genes: int | None
) -> np.ndarray:
    """Positions of the perturbed genes and of the ``n_genes`` most expressed others, in order."""
    others = np.flatnonzero(usable & ~perturbed)
    if n_genes is not None:
        mean = amounts[:, others].mean(axis=0)
        others = others[np.argsort(-mean, kind="stable")[:n_genes]]
    return np.sort(np.r_[np.flatnonzero(perturbed), others])


def _groups(obs: pd.DataFrame, columns: Sequence[str]) -> np.ndarray | None:
    """Number of the combination of labels of each row; None without columns."""
    if not columns:
        return None
    joined = obs[list(columns)].astype(str).agg("\t".join, axis=1)
    return np.asarray(pd.factorize(joined, sort=True)[0])
