"""Forms that no axis makes linear: cell types that differ, kernels, shares, medians (method 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain, combinations
from typing import Any

import numpy as np
import sympy

from ..aggregation import Aggregation, parse_aggregation
from ..models.algebra import NOISE, NOISE_NAME
from ..models.mechanisms import Equation, Kernel
from ..models.support import Support
from .affine_form import (
    FAILS,
    HOLDS,
    LAW,
    NO_SUCH_CELLS,
    UNDECIDED,
    UNIFORM,
    Cores,
    Form,
    Pooling,
    Supports,
    algebraic_form,
    completed,
    diagram_form,
    shared_total,
    with_noise,
)
from .by_diagram import diagram_of
from .one_edge import Family
from .searched import searched_form
from .witness import MOST_TRIED, counted, describe_pools, readable_values

N_KERNEL_TRIES = 400
FEW_PARENTS, FEWER_KERNEL_TRIES = 5, 60


def types_differ(
    mechanisms: Mapping[str, Equation | Kernel],
    supports: Supports,
    cores: Cores,
    pooling: Pooling,
) -> Form:
    """Cells of two types trade their values, or one stands for the other: sums stay, the child does not."""
    equations = {name: m for name, m in mechanisms.items() if isinstance(m, Equation)}
    if len(equations) == len(mechanisms) and len({m.expression.sympy for m in equations.values()}) == 1:
        return algebraic_form(next(iter(equations.values())), supports, cores, pooling)  # other noise only
    rule = "cell types differ in this mechanism: the pool shows its form only beside its composition"
    kernels = {name: m for name, m in mechanisms.items() if isinstance(m, Kernel)}
    witnesses = chain(
        (_type_witness(dict(two), supports, cores, pooling) for two in combinations(equations.items(), 2)),
        (
            _kernel_type_witness(dict(two), supports, cores, pooling)
            for two in combinations(kernels.items(), 2)
        ),
    )
    return Form(FAILS, LAW, rule, next((witness for witness in witnesses if witness is not None), None))


def _kernel_type_witness(
    pair: Mapping[str, Kernel], supports: Supports, cores: Cores, pooling: Pooling
) -> dict[str, Any] | None:
    """A cell of the one type stands for one of the other, with the same parents: the cumulants differ."""
    parents = sorted({p for kernel in pair.values() for p in kernel.parents})
    grids = {p: readable_values(supports[p], cores[p]) for p in parents}
    for place in (2, 1, 0):
        cell = {p: float(grid[min(place, len(grid) - 1)]) for p, grid in grids.items()}
        values = {p: np.array([v]) for p, v in cell.items()}
        cumulants = {name: kernel.cumulants(values, 4)[:, 0] for name, kernel in pair.items()}
        first, second = cumulants.values()
        if np.abs(first - second).max() <= 1e-6 * (np.abs(first) + np.abs(second)).max():
            continue
        pools = [
            {
                "cells": [{"values": cell, "cell_type": name, "times": 1}],
                "pooled": {"values": cell},
                "child_cumulants": [float(c) for c in of_type],
            }
            for name, of_type in cumulants.items()
        ]
        return completed({"pools": pools, "same_noise": True}, pooling)
    return None


def _type_witness(
    pair: Mapping[str, Equation], supports: Supports, cores: Cores, pooling: Pooling
) -> dict[str, Any] | None:
    """Two cells of two types trade parents' values; else a cell of the one type stands for the other's."""
    of: dict[str, Support] = {}
    inner: dict[str, tuple[float, float]] = {}
    for equation in pair.values():
        own_supports, own_cores = with_noise(equation, supports, cores)
        of, inner = {**own_supports, **of}, {**own_cores, **inner}
    grids = {name: readable_values(of[name], inner[name]) for name in of}
    low = {name: float(grid[len(grid) // 3]) for name, grid in grids.items()}
    high = {name: float(grid[(2 * len(grid)) // 3]) for name, grid in grids.items()}
    if NOISE_NAME in low:
        high[NOISE_NAME] = low[NOISE_NAME]
    one, two = pair
    trading = [[(one, low), (two, high)], [(one, high), (two, low)]]
    standing_in = [[[(one, cell)], [(two, cell)]] for cell in (low, high)]
    for pools in (trading, *standing_in) if pooling.largest > 1 else standing_in:
        witness = _of_types(pools, pair, list(of), pooling)
        if witness is not None:
            return completed(witness, pooling)
    return None


def _of_types(
    pools: Sequence[Sequence[tuple[str, Mapping[str, float]]]],
    pair: Mapping[str, Equation],
    names: Sequence[str],
    pooling: Pooling,
) -> dict[str, Any] | None:
    """Describe pools of which each cell is a type and its values."""
    kinds = iter([[kind for kind, _ in pool] for pool in pools])

    def child(values: Mapping[str, np.ndarray]) -> np.ndarray:
        rows = enumerate(next(kinds))
        n = len(next(iter(values.values())))
        return np.array([np.broadcast_to(pair[kind].expression.evaluate(values), n)[i] for i, kind in rows])

    cells = [[values for _, values in pool] for pool in pools]
    weights = [[1.0] * len(pool) for pool in pools]
    witness = describe_pools(cells, child, names, pooling.linear, weights)
    if witness is None:
        return None
    for shown, pool in zip(witness["pools"], pools, strict=True):
        for cell, (kind, _) in zip(shown["cells"], pool, strict=True):
            cell["cell_type"] = kind
    return witness


def kernel_form(
    mechanism: Kernel,
    family: Family,
    supports: Supports,
    cores: Cores,
    pooling: Pooling,
) -> Form:
    """A kernel is judged in law: the pooled child may depend on the parents' sums only."""
    if pooling.linear.kind != "linear":
        return Form(UNDECIDED, LAW, f"a kernel under {pooling.linear.name}: no rule is known")
    statuses = {edge.status for edge in family.edges.values()}
    if statuses == {"pass"}:
        if len(pooling.cell_numbers) > 1 and (pooling.linear.divides_by_cells or not family.no_constant):
            return _random_number_law(mechanism, supports, cores, pooling)
        everywhere = all(edge.any_cells for edge in family.edges.values())
        rules = "; ".join(dict.fromkeys(edge.rule for edge in family.edges.values()))
        return Form(HOLDS, UNIFORM if everywhere else LAW, f"in law: {rules}")
    if "fail" in statuses:
        name, edge = next((n, e) for n, e in family.edges.items() if e.status == "fail")
        witness = kernel_witness(mechanism, name, supports, cores, pooling)
        if witness is None and not family.free_parents:
            return Form(UNDECIDED, LAW, NO_SUCH_CELLS)
        return Form(FAILS, LAW, f"in law: {edge.rule}", witness)
    return Form(UNDECIDED, LAW, "in law: the one-edge criterion could not be decided")


def _random_number_law(mechanism: Kernel, supports: Supports, cores: Cores, pooling: Pooling) -> Form:
    """Equal cells, few and many, of the same pooled parents: the law of the child shows how many."""
    numbers = (pooling.cell_numbers[0], pooling.cell_numbers[-1])
    power = 1 if pooling.linear.divides_by_cells else 0
    pools: list[dict[str, Any]] = []
    for k in numbers:
        cell = {}
        for parent in mechanism.parents:
            grid = readable_values(supports[parent], cores[parent])
            total = shared_total(supports[parent], cores[parent], *numbers)
            if total is None and not power:
                return Form(
                    UNDECIDED, LAW, "a constant, and a number of cells that the parents' sums may tell"
                )
            cell[parent] = float(grid[len(grid) // 2]) if power or total is None else total / k
        of_cell = np.asarray(mechanism.cumulants({p: np.array([v]) for p, v in cell.items()}, 4))[:, 0]
        cumulants = [float(k * c / k ** (power * order)) for order, c in enumerate(of_cell, start=1)]
        shown = {"values": {p: v if power else k * v for p, v in cell.items()}}
        pools.append({"cells": [{"values": cell, "times": k}], "pooled": shown, "child_cumulants": cumulants})
    first, second = (np.array(pool["child_cumulants"]) for pool in pools)
    if np.allclose(first, second, rtol=1e-9):
        return Form(UNDECIDED, LAW, "in law: the one-edge criterion could not be decided")
    if not all(pooling.can_occur(pool["cells"][0]["values"]) for pool in pools):
        return Form(UNDECIDED, LAW, NO_SUCH_CELLS)
    witness = {"pools": pools, "same_noise": True, "further_cells": 0}
    return Form(FAILS, LAW, "its law has a part that shows the number of cells, which varies", witness)


def kernel_witness(
    mechanism: Kernel,
    parent: str,
    supports: Supports,
    cores: Cores,
    pooling: Pooling,
) -> dict[str, Any] | None:
    """Two configurations of the parents with equal sums, and the cumulants of the pooled child in each."""
    grids = {name: readable_values(supports[name], cores[name]) for name in mechanism.parents}
    weights = np.array(pooling.two_weights())
    shares = weights / weights.sum() if pooling.linear.divides_by_cells else weights
    rng = np.random.default_rng(0)
    pairs = []
    for _ in range(N_KERNEL_TRIES if len(grids) <= FEW_PARENTS else FEWER_KERNEL_TRIES):
        first, second = ({n: float(rng.choice(g)) for n, g in grids.items()} for _ in range(2))
        pools = _equal_pools(first, second, parent, supports, weights)
        if pools is not None:
            pairs.append(pools)
    before, after = (_pooled_cumulants(mechanism, [pair[i] for pair in pairs], shares) for i in (0, 1))
    gaps = np.abs(before - after) / (np.abs(before) + np.abs(after) + 1e-12)
    found = [
        (float(gap.max()), pair, (one, two))
        for gap, pair, one, two in zip(gaps, pairs, before, after, strict=True)
        if np.isfinite(gap).all() and gap.max() > 1e-6
    ]
    found.sort(key=lambda one: -one[0])
    possible = (
        one for one in found[:MOST_TRIED] if all(pooling.can_occur(c) for pool in one[1] for c in pool)
    )
    best = next(possible, None)
    if best is None:
        return None
    unequal = weights[0] != weights[1]
    shown = [
        {
            "cells": counted(
                [
                    {"values": cell, **({"weight": float(w)} if unequal else {})}
                    for cell, w in zip(pool, weights, strict=True)
                ]
            ),
            "pooled": {
                "values": {n: float(np.dot(shares, [cell[n] for cell in pool])) for n in mechanism.parents}
            },
            "child_cumulants": list(map(float, cumulants)),
        }
        for pool, cumulants in zip(best[1], best[2], strict=True)
    ]
    return completed({"pools": shown, "same_noise": True}, pooling)


def _equal_pools(
    first: dict[str, float],
    second: dict[str, float],
    parent: str,
    supports: Supports,
    weights: np.ndarray,
) -> list[list[dict[str, float]]] | None:
    """Two cells, and two others with the same sums that differ in one parent; None where there are none."""
    if parent not in first or first[parent] == second[parent]:
        return None
    middle = float(np.dot(weights, [first[parent], second[parent]]) / weights.sum())
    if supports[parent].contains(middle):
        return [[first, second], [first | {parent: middle}, second | {parent: middle}]]
    if weights[0] != weights[1] or len(first) == 1:
        return None
    return [[first, second], [first | {parent: second[parent]}, second | {parent: first[parent]}]]


def _pooled_cumulants(
    mechanism: Kernel, pools: Sequence[Sequence[Mapping[str, float]]], weights: np.ndarray
) -> np.ndarray:
    """Cumulants, orders 1 to 4, of the child in each of some pools, shape ``(n_pools, 4)``."""
    if not pools:
        return np.empty((0, 4))
    cells = [cell for pool in pools for cell in pool]
    values = {n: np.array([cell[n] for cell in cells]) for n in mechanism.parents}
    per_cell = np.asarray(mechanism.cumulants(values, 4)).reshape(4, len(pools), len(weights))
    terms = weights ** np.arange(1, 5)[:, None, None] * per_cell
    sums = terms.sum(axis=2)
    return np.where(np.abs(sums) > 1e-12 * np.abs(terms).sum(axis=2), sums, 0.0).T


def composition_form(
    gene: str,
    mechanism: Equation,
    supports: Supports,
    cores: Cores,
    pooling: Pooling,
    all_genes: Sequence[str],
) -> Form:
    """Shares of a total: linear equations without constant survive, the noise being a share too."""
    if set(all_genes) == {gene, *mechanism.parents}:
        return Form(HOLDS, UNIFORM, "shares sum to one, which says nothing of the mechanism")
    affine = mechanism.affine()
    shown = any(supports[p].is_point and supports[p].low != 0 for p in mechanism.parents)  # b: its multiple
    if affine is not None and (affine[2] == 0 or shown):
        return Form(HOLDS, UNIFORM, "linear without constant: the same equation among shares")
    if not pooling.total_is_free:
        return Form(UNDECIDED, LAW, "the total may follow from the genes that are looked at")
    if affine is not None:
        rule = "its constant becomes a share that depends on the total"
        return Form(FAILS, LAW, rule, _share_witness(mechanism, supports, cores, pooling))
    additive = replace(pooling, aggregation=_plain_sum())
    form = algebraic_form(mechanism, supports, cores, additive)
    if form.ffc != FAILS:
        return Form(UNDECIDED, LAW, "equal shares of another total are other sums, which were not compared")
    return Form(FAILS, LAW, f"{form.rule}; the other genes can keep the total", form.witness)


def _plain_sum() -> Aggregation:
    return parse_aggregation("sum", "aggregation")


def _share_witness(
    mechanism: Equation, supports: Supports, cores: Cores, pooling: Pooling
) -> dict[str, Any] | None:
    """Pools of equal cells, in the second everything doubled: parents and noise keep their shares.

    The child does not, its constant being what it is; other genes make up the totals.
    """
    of, inner = with_noise(mechanism, supports, cores)
    if not all(s.kind == "interval" and np.isinf(s.high) and s.low <= 0 for s in of.values()):
        return None
    single = {name: float(max(readable_values(of[name], inner[name]).max(), 1.0)) for name in of}
    cells = [{name: times * v for name, v in single.items()} for times in (1.0, 2.0)]
    children = [float(mechanism.expression.evaluate({k: np.array(v) for k, v in c.items()})) for c in cells]
    n = pooling.largest
    own = [
        n * (child + sum(cell[p] for p in mechanism.parents))
        for cell, child in zip(cells, children, strict=True)
    ]
    total = own[0] + n * abs(children[0])
    totals = [total, 2 * total]
    if totals[1] < own[1]:
        return None
    pools = [
        {
            "cells": [{"values": cell, "child": child, "times": n}],
            "pooled": {"values": {k: n * v / total for k, v in cell.items()}, "child": n * child / total},
            "other_genes": total - mine,
        }
        for cell, child, total, mine in zip(cells, children, totals, own, strict=True)
    ]
    return {"pools": pools, "same_noise": False, "further_cells": 0}


def judge_form(
    gene: str,
    mechanisms: Mapping[str, Equation | Kernel],
    family: Family,
    supports: Supports,
    cores: Cores,
    pooling: Pooling,
    *,
    all_genes: Sequence[str],
) -> Form:
    """Judge one gene.

    Parameters
    ----------
    gene
        Its name.
    mechanisms
        One for each cell type.
    family
        What the one-edge criterion says, for kernels.
    supports, cores
        Of all genes: where values may lie, and where most of them do.
    pooling
        The aggregation and the numbers of cells.
    all_genes
        Names, which compositions depend on.
    """
    mechanism = next(iter(mechanisms.values()))
    if not mechanism.parents:
        return Form(HOLDS, UNIFORM, "no parents")
    if len({_formulas_of(m) for m in mechanisms.values()}) > 1:
        return types_differ(mechanisms, supports, cores, pooling)
    if pooling.largest == 1 and pooling.linear.kind != "composition":
        return Form(HOLDS, UNIFORM, "pools of one cell")
    if isinstance(mechanism, Kernel):
        return kernel_form(mechanism, family, supports, cores, pooling)
    kind = pooling.linear.kind
    if kind == "composition":
        return composition_form(gene, mechanism, supports, cores, pooling, all_genes)
    if kind == "other":
        return searched_form(mechanism, supports, cores, pooling)
    told = diagram_form(mechanism, supports, pooling)
    if told is not None:
        return told
    short = diagram_of(mechanism, supports) is None  # else multiplying out could take long
    if short and len(pooling.cell_numbers) == 1 and _adds_apart(mechanism) and kind == "linear":
        by_edges = _by_edges(mechanism, family)
        if by_edges is not None:
            return by_edges
    return algebraic_form(mechanism, supports, cores, pooling)


def _formulas_of(mechanism: Equation | Kernel) -> tuple[object, ...]:
    if isinstance(mechanism, Equation):
        return ("equation", mechanism.expression.sympy)
    return (mechanism.law, *mechanism.formulas)


def _adds_apart(mechanism: Equation) -> bool:
    """Whether an equation is a function of each parent, and a multiple of its noise, added up."""
    terms = sympy.Add.make_args(sympy.expand(mechanism.expression.sympy))
    apart = all(len(term.free_symbols) <= 1 for term in terms)
    return apart and all(sympy.diff(t, NOISE).is_number for t in terms if NOISE in t.free_symbols)


def _by_edges(mechanism: Equation, family: Family) -> Form | None:
    """Where parents and noise add apart, each edge that passes by what its sum tells is a part of F."""
    edges = [family.edges[p] for p in mechanism.parents]
    if not all(edge.status == "pass" for edge in edges) or mechanism.affine() is not None:
        return None
    told = [edge.rule for edge in edges if edge.rule.startswith(("sums of", "any sum"))]
    return Form(HOLDS, LAW, "; ".join(dict.fromkeys(told))) if told else None
