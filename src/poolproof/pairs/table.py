"""Rows of the pair table: pairs recomputed in float64, labelled, strongest first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .. import _names as names
from .._arrays import as_slice, in_threads
from .calls import bh_adjust, lies_below, reaches
from .collection import Columns
from .outcome import Engine, ranked_by
from .quick_scores import QuickScores
from .screening import (
    AFFINE,
    INCONCLUSIVE,
    NONLINEAR,
    NOT_ASSOCIATED,
    UNTESTED,
    Rule,
    Screen,
    block_size,
    call_of,
    exact_pairs,
)

CALL_NAMES = {
    UNTESTED: names.NOT_ASSOCIATED,
    NOT_ASSOCIATED: names.NOT_ASSOCIATED,
    INCONCLUSIVE: names.INCONCLUSIVE,
    AFFINE: names.AFFINE,
    NONLINEAR: names.NONLINEAR,
}
_CALLS = np.array([names.PAIR_CALLS.index(CALL_NAMES[code]) for code in sorted(CALL_NAMES)], dtype=np.int8)
"""Place of each call among the names."""

NUMBERS = tuple(column.name for column in names.PAIR_COLUMNS[3:10])


def exact_columns(
    engine: Engine,
    regulators: np.ndarray,
    targets: np.ndarray,
    wanted: np.ndarray,
    *,
    association: bool = False,
    quick: QuickScores | None = None,
) -> Columns:
    """Recompute the wanted pairs of a block of regulators in float64.

    Parameters
    ----------
    regulators, targets
        Genes.
    wanted
        Shape ``(len(regulators), len(targets))``.
    association
        Whether to add ``association_p_value``.
    quick
        Compiled loops that do it, if any.

    Returns
    -------
    Flat columns, pairs in row-major order: ``regulator`` and ``target`` (genes), ``n``, ``tested`` and
    every name in ``NUMBERS``.
    """
    rows, columns = np.nonzero(wanted)
    result: Columns = {name: np.full(len(rows), np.nan) for name in NUMBERS}
    result |= {"n": np.zeros(len(rows), dtype=np.int32), "tested": np.zeros(len(rows), dtype=bool)}
    if association:
        result["association_p_value"] = np.full(len(rows), np.nan)
    position = np.full(wanted.shape, -1)
    position[rows, columns] = np.arange(len(rows))
    mine = np.flatnonzero(wanted.any(axis=1))
    if len(mine):
        block = (quick or engine).features(regulators[mine])
        for row, column, outcome, inside in exact_pairs(engine, quick, block, wanted[mine], targets):
            place = position[mine[row], column]
            numbers = outcome.numbers(*inside)
            if association:
                numbers["association_p_value"] = np.exp(-outcome.association.minus_log_p()[inside])
            for name, values in numbers.items():
                result[name][place] = values
    return result | {"regulator": regulators[rows], "target": targets[columns]}


def list_columns(engine: Engine, pairs: np.ndarray, rule: Rule, threads: int) -> tuple[Columns, float]:
    """Test a list of ordered pairs.

    Parameters
    ----------
    pairs
        Genes, shape ``(n_pairs, 2)``: regulator, target.

    Returns
    -------
    The columns of :func:`exact_columns` in the order of ``pairs``, with ``q_value`` and ``call`` (a code);
    and the largest rejected p-value.
    """
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    regulators = np.unique(pairs[:, 0])
    size = block_size(engine, len(regulators), threads)
    ok_x = engine.regulator_status == names.OK
    ok_y = engine.target_status == names.OK

    def work(start: int) -> Columns:
        block = regulators[start : start + size]
        mine = pairs[order][np.isin(pairs[order, 0], block)]
        targets = np.unique(mine[:, 1])
        wanted = np.zeros((len(block), len(targets)), dtype=bool)
        wanted[np.searchsorted(block, mine[:, 0]), np.searchsorted(targets, mine[:, 1])] = True
        testable = wanted & ok_x[block][:, None] & ok_y[targets]
        part = exact_columns(engine, block, targets, testable, association=True)
        rows, columns = np.nonzero(wanted)
        inside = testable[rows, columns]
        full = {"regulator": block[rows], "target": targets[columns]}
        for name, values in part.items():
            if name not in full:
                full[name] = np.full(len(rows), np.nan if values.dtype.kind == "f" else 0, dtype=values.dtype)
                full[name][inside] = values
        return full

    parts = in_threads(work, range(0, len(regulators), size), threads)
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    back = np.empty(len(order), dtype=np.int64)
    back[order] = np.arange(len(order))
    columns = {name: values[back] for name, values in columns.items()}
    tested = columns["tested"]
    p = np.where(tested, columns["p_value"], np.nan)
    columns["q_value"] = bh_adjust(p)
    associated = bh_adjust(np.where(tested, columns["association_p_value"], np.nan)) <= rule.fdr
    bent = columns["q_value"] <= rule.fdr
    columns["call"] = call_of(
        tested,
        reaches(columns["r2_spline"], rule.min_r2),
        lies_below(columns["nonlinear_share_upper"], rule.margin),
        bent,
        associated,
    )
    return columns, float(p[bent].max()) if bent.any() else 0.0


def associated_columns(result: Screen, limit: int, threads: int) -> Columns:
    """Rows of the ``limit`` strongest associated pairs, in any order: as screened, where all were kept."""
    kept = result.associated
    if not kept.columns and not kept.border:
        return screened_columns(result, np.zeros(result.calls.shape, dtype=bool), threads)
    columns = dict(kept.columns)
    row, column, _ = (columns.pop(name, np.zeros(0, dtype=int)) for name in ("row", "column", "strength"))
    if kept.border or len(row) > limit:
        chosen, border = strongest(result, limit, threads)
        if border <= kept.border + 1:  # some of them were left out on the way
            return screened_columns(result, chosen, threads)
        inside = np.flatnonzero(chosen[row, column])
        columns = {name: values[inside] for name, values in columns.items()}
    columns["q_value"] = settled_q_values(columns, result.q_values, result.rule.fdr)
    return columns


def screened_columns(result: Screen, wanted: np.ndarray, threads: int) -> Columns:
    """Rows of screened pairs: recomputed numbers with the calls of the screen.

    ``wanted`` has the shape of ``result.calls``.
    """
    parts = list(_screened_parts(result, wanted, threads))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _screened_parts(result: Screen, wanted: np.ndarray, threads: int) -> Iterator[Columns]:
    wide = result.quick.AT_ONCE if result.quick else 0
    size = block_size(result.engine, len(result.regulators), threads, wide)

    def work(start: int) -> Columns:
        rows = slice(start, min(start + size, len(result.regulators)))
        inside = np.asarray(wanted[rows])
        part = exact_columns(
            result.engine, result.regulators[rows], result.targets, inside, quick=result.quick
        )
        part["call"] = np.asarray(result.calls[rows])[inside]
        part["q_value"] = settled_q_values(part, result.q_values, result.rule.fdr)
        return part

    yield from in_threads(work, range(0, len(result.regulators), size), threads)


def settled_q_values(part: Columns, q_values: Callable[[np.ndarray], np.ndarray], fdr: float) -> np.ndarray:
    """Adjusted p-values that agree with the calls to the last digit."""
    p, call = part["p_value"], part["call"]
    q = np.where(np.isnan(p), np.nan, q_values(np.nan_to_num(p, nan=1.0)))
    q = np.where(call == NONLINEAR, np.minimum(q, fdr), q)
    q = np.where(call == INCONCLUSIVE, np.maximum(q, np.nextafter(fdr, 1.0)), q)
    return np.where(part["tested"], q, np.nan)


def strongest(result: Screen, limit: int, threads: int) -> tuple[np.ndarray, int]:
    """Choose the ``limit`` strongest associated pairs: a mask ``(R, m)``, and the code of the weakest.

    Where there are no more than so many, all; the code then is 0.
    """
    associated = result.calls >= INCONCLUSIVE
    if int(associated.sum()) <= limit:
        return associated, 0
    counts = np.zeros(1 << 16, dtype=np.int64)
    for row in range(len(result.regulators)):
        counts += np.bincount(result.strength[row][associated[row]], minlength=1 << 16)
    at_least = np.cumsum(counts[::-1])[::-1]
    # codes above `last` fit in; those at the border, one code of rounding included, compete exactly
    border = int(np.flatnonzero(at_least >= limit)[-1])
    sure = associated & (result.strength > border + 1)
    close = associated & (result.strength >= max(border - 1, 0)) & ~sure
    columns = screened_columns(result, close, threads)
    by = ranked_by(columns["r2_spline"], result.engine.cuts_r2)
    order = np.argsort(-by, kind="stable")[: limit - int(sure.sum())]
    rows, places = np.nonzero(close)
    sure[rows[order], places[order]] = True
    return sure, border


def table_of(columns: Columns, engine: Engine, genes: np.ndarray) -> pd.DataFrame:
    """Label columns as a pair table (see ``_names.PAIR_COLUMNS``), in the order given."""
    x, y = columns["regulator"], columns["target"]
    tested = columns["tested"]
    place = {name: code for code, name in enumerate(names.PAIR_STATUSES)}
    status = np.where(tested, place[names.OK], place[engine.untested_status]).astype(np.int8)
    for of_gene, ends in ((engine.target_status, y), (engine.regulator_status, x)):
        code = np.array([place[of] for of in of_gene], dtype=np.int8)[ends]
        np.copyto(status, code, where=code != place[names.OK])
    frame: dict[str, Any] = {
        "regulator": genes[x],
        "target": genes[y],
        "n": columns["n"].astype(np.int32),
    }
    for column in names.PAIR_COLUMNS[3:11]:
        values = np.asarray(columns[column.name], dtype=np.float64)
        frame[column.name] = np.where(tested, values, np.nan)
    frame["call"] = pd.Categorical.from_codes(
        _CALLS[columns["call"]], dtype=pd.CategoricalDtype(list(names.PAIR_CALLS))
    )
    frame["status"] = pd.Categorical.from_codes(status, dtype=pd.CategoricalDtype(list(names.PAIR_STATUSES)))
    return pd.DataFrame(frame)


def sort_rows(columns: Columns, genes: np.ndarray, cut_at_one: bool) -> Columns:
    """Sort rows by strength, strongest first; ties by name, so that gene order does not show."""
    rank = np.empty(len(genes), dtype=np.int64)
    rank[np.argsort(genes.astype(str), kind="stable")] = np.arange(len(genes))
    strength = np.nan_to_num(ranked_by(columns["r2_spline"], cut_at_one), nan=-1.0)
    order = np.argsort(-strength, kind="stable")
    same = strength[order[1:]] == strength[order[:-1]]
    tied = np.flatnonzero(np.append(same, False) | np.append(False, same))
    members = order[tied]
    order[tied] = members[
        np.lexsort(
            (rank[columns["target"][members]], rank[columns["regulator"][members]], -strength[members])
        )
    ]
    return {name: values[order] for name, values in columns.items()}


def detectable_gain(
    engine: Engine, columns: Columns, positions: np.ndarray, quick: QuickScores | None = None
) -> np.ndarray:
    """``engine.detectable`` of some rows, shape ``(len(positions),)``."""
    result = np.empty(len(positions))
    x, y = columns["regulator"][positions], columns["target"][positions]
    if quick:
        return quick.detectable(x, y)
    regulators = np.unique(x)
    for low in range(0, len(regulators), 16):
        part = regulators[low : low + 16]
        mine = np.flatnonzero(np.isin(x, part))
        targets = np.unique(y[mine])
        gain = engine.detectable(engine.features(part), targets)
        result[mine] = gain[np.searchsorted(part, x[mine]), np.searchsorted(targets, y[mine])]
    return result


Z_INTERVAL = 1.959963984540054
_ROWS = 512


@dataclass(frozen=True, eq=False)
class Tally:
    """Counts over all tested pairs, and the share that contradicts affine cells (method 7.5)."""

    n_tested: int
    n_associated: int
    n_nonlinear: int
    n_affine: int
    n_inconclusive: int
    n_unordered: int
    """Associated unordered pairs with both directions tested; where the direction is given, the
    associated ordered pairs."""
    n_unordered_affine: int
    """Those that are affine by equivalence in at least one direction (or in the direction given)."""
    share_contradicting: dict[str, float | None]
    by_gene: dict[str, np.ndarray]
    """The counting columns of the gene table."""


def tally_screen(result: Screen, n_genes: int, directed: bool) -> Tally:
    """Count over a screen; ``directed`` where the regulators were given."""
    as_regulator = np.zeros((4, n_genes), dtype=np.int64)
    as_target = np.zeros((4, n_genes), dtype=np.int64)
    n_tested = 0
    for low in range(0, len(result.regulators), _ROWS):
        calls = result.calls[low : low + _ROWS]
        n_tested += int((calls != UNTESTED).sum())
        for i, wanted in enumerate(_kinds(calls)):
            as_regulator[i, result.regulators[low : low + _ROWS]] += wanted.sum(axis=1)
            as_target[i, result.targets] += wanted.sum(axis=0)
    if directed:
        associated, contradicting = as_regulator[0] + as_target[0], as_regulator[1] + as_target[1]
        n_affine = int(as_regulator[2].sum())
    else:
        associated, contradicting, n_affine = _unordered(result, n_genes)
    return _count_up(n_tested, as_regulator, as_target, associated, contradicting, n_affine)


def tally_list(columns: Columns, n_genes: int) -> Tally:
    """Count over a list of ordered pairs, whose direction is given."""
    calls = columns["call"]
    as_regulator, as_target = (
        np.stack([np.bincount(columns[end][kind], minlength=n_genes) for kind in _kinds(calls)])
        for end in ("regulator", "target")
    )
    associated, contradicting = as_regulator[0] + as_target[0], as_regulator[1] + as_target[1]
    n_tested = int((calls != UNTESTED).sum())
    return _count_up(n_tested, as_regulator, as_target, associated, contradicting, int(as_regulator[2].sum()))


def _kinds(calls: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Masks: associated, non-linear, affine, inconclusive."""
    return calls >= INCONCLUSIVE, calls == NONLINEAR, calls == AFFINE, calls == INCONCLUSIVE


def _unordered(result: Screen, n_genes: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Per gene, associated and contradicting unordered pairs; and how many are affine either way."""
    genes, row, column = np.intersect1d(result.regulators, result.targets, return_indices=True)
    associated = np.zeros(n_genes, dtype=np.int64)
    contradicting = np.zeros(n_genes, dtype=np.int64)
    n_affine = 0
    rows, columns = as_slice(row), as_slice(column)
    for low in range(0, len(genes), _ROWS):
        part = slice(low, low + _ROWS)
        forward = result.calls[as_slice(row[part])][:, columns]
        backward = np.ascontiguousarray(result.calls[:, as_slice(column[part])][rows].T)
        both = (forward != UNTESTED) & (backward != UNTESTED)
        linked = both & ((forward >= INCONCLUSIVE) | (backward >= INCONCLUSIVE))
        associated[genes[part]] = linked.sum(axis=1)
        contradicting[genes[part]] = ((forward == NONLINEAR) & (backward == NONLINEAR)).sum(axis=1)
        n_affine += int((both & ((forward == AFFINE) | (backward == AFFINE))).sum())
    return associated, contradicting, n_affine // 2


def _count_up(
    n_tested: int,
    as_regulator: np.ndarray,
    as_target: np.ndarray,
    associated: np.ndarray,
    contradicting: np.ndarray,
    n_affine: int,
) -> Tally:
    kinds = ("", "nonlinear_", "affine_", "inconclusive_")
    by_gene: dict[str, Any] = {}
    for end, counts in (("regulator", as_regulator), ("target", as_target)):
        by_gene |= {f"n_{kind}as_{end}": counts[i] for i, kind in enumerate(kinds)}
    by_gene["n_contradicting"] = contradicting
    totals = as_regulator.sum(axis=1)
    return Tally(
        n_tested=n_tested,
        n_associated=int(totals[0]),
        n_nonlinear=int(totals[1]),
        n_affine=int(totals[2]),
        n_inconclusive=int(totals[3]),
        n_unordered=int(associated.sum()) // 2,
        n_unordered_affine=n_affine,
        share_contradicting=jackknife_share(contradicting, associated),
        by_gene=by_gene,
    )


def jackknife_share(part: np.ndarray, whole: np.ndarray) -> dict[str, float | None]:
    """Share of pairs, with a 95 % interval by leaving out one gene at a time.

    Parameters
    ----------
    part, whole
        Pairs of each gene that count and that could, shape ``(n_genes,)``; each pair stands at both its
        genes.

    Returns
    -------
    ``estimate``, ``low`` and ``high``; None where no pair could count. Where (nearly) all pairs agree,
    leaving out genes shows (nearly) no spread: the interval always includes the exact binomial one of
    no event, or of nothing but events, in as many independent pairs as there can be, two genes to each.

    Examples
    --------
    >>> jackknife_share(np.array([1, 1, 0, 0]), np.array([2, 1, 2, 1]))["estimate"]
    0.3333333333333333
    """
    total_part, total = part.sum() / 2, whole.sum() / 2
    if total == 0:
        return {"estimate": None, "low": None, "high": None}
    estimate = total_part / total
    used = whole > 0
    rest = total - whole[used]
    if used.sum() < 3 or (rest <= 0).any():
        return {"estimate": float(estimate), "low": 0.0, "high": 1.0}
    left_out = (total_part - part[used]) / rest
    n = int(used.sum())
    error = np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum())
    reach = 1 - 0.025 ** (1 / min(total, n / 2))
    low = min(estimate - Z_INTERVAL * error, 1 - reach)
    high = max(estimate + Z_INTERVAL * error, reach)
    return {"estimate": float(estimate), "low": float(max(low, 0.0)), "high": float(min(high, 1.0))}
