"""Witnesses recomputed by plain arithmetic, and their cells made by hand, apart from the engine."""

import math

import numpy as np
import pytest

GRID = np.linspace(0.001, 0.999, 999)
MOST_HIDDEN = 4_000


def pools_of(witness):
    """Each pool as cells one by one."""
    return [[c for c in pool["cells"] for _ in range(c.get("times", 1))] for pool in witness["pools"]]


def pool_values(values, weights, aggregation):
    """One gene of one pool."""
    inner = aggregation.inner or aggregation
    if inner.name in ("median", "max"):
        return float(np.median(values)) if inner.name == "median" else max(values)
    if inner.exponent is not None and min(values) <= 0 and inner.exponent <= 0:
        return math.nan
    if inner.exponent == 0:
        return math.exp(sum(map(math.log, values)) / len(values))
    if inner.exponent not in (None, 1):
        return (sum(v**inner.exponent for v in values) / len(values)) ** (1 / inner.exponent)
    total = sum(w * v for w, v in zip(weights, values, strict=True))
    return total / len(values) if inner.divides_by_cells else total


def confirm(of, row, *, made=True):
    """Recompute a witness; with ``made``, its cells must be ones that the model can make."""
    witness, aggregation = row["witness"], of.aggregation
    pools = pools_of(witness)
    shares = "other_genes" in witness["pools"][0]
    for pool, shown in zip(pools, witness["pools"], strict=True):
        weights = [c.get("weight", 1.0) for c in pool]
        total = shares and shown["other_genes"] + sum(
            c["child"] + sum(v for g, v in c["values"].items() if g != "N") for c in pool
        )
        for name, value in shown["pooled"]["values"].items():
            of_cells = [c["values"][name] for c in pool]
            found = pool_values(of_cells, weights, aggregation)
            if name == "N" and (aggregation.inner or aggregation).axis and min(of_cells) <= 0:
                found = sum(of_cells) / len(of_cells)  # such a noise has no mean of this kind
            assert found / (total or 1) == pytest.approx(value, rel=1e-9, abs=1e-9)
        if "child" in shown["pooled"]:
            found = pool_values([c["child"] for c in pool], weights, aggregation)
            assert found / (total or 1) == pytest.approx(shown["pooled"]["child"], rel=1e-9, abs=1e-9)
        if "child_cumulants" in shown:
            expected = pooled_cumulants(of, row["gene"], pool, weights)
            assert shown["child_cumulants"] == pytest.approx(expected, rel=1e-7, abs=1e-9)
        for cell in pool:
            assert not made or possible(of, row, cell), (row["gene"], cell)
            assert is_child(of, row, cell), (row["gene"], cell)
    first, second = (pool["pooled"] for pool in witness["pools"])
    assert first["values"] == pytest.approx(second["values"], rel=1e-6, abs=1e-9)
    if "child_cumulants" in witness["pools"][0]:
        cumulants = [np.array(pool["child_cumulants"]) for pool in witness["pools"]]
        assert (np.abs(cumulants[0] - cumulants[1]) > 1e-7 * np.abs(cumulants[0])).any()
    else:
        assert abs(first["child"] - second["child"]) > 1e-8 * (abs(first["child"]) + abs(second["child"]))


def is_child(of, row, cell):
    """Whether the child of a cell is what its equation makes of the parents and N."""
    mechanism = of.scm.mechanism(row["gene"], cell.get("cell_type"))
    if "child" not in cell or not hasattr(mechanism, "expression"):
        return True
    low = {p: s.low for p, s in of.scm.supports(cell.get("cell_type")).items()}
    full = {p: np.array(cell["values"].get(p, low[p])) for p in mechanism.parents}
    made = float(mechanism.value(full, np.array(cell["values"].get("N", 0.0))))
    return cell["child"] == pytest.approx(made, rel=1e-9, abs=1e-9)


# --- cumulants in closed form -------------------------------------------------------------------------------


def cumulants(law, parameters):
    """The first four cumulants of a law."""
    if law == "poisson":
        return [parameters[0]] * 4
    if law == "normal":
        return [parameters[0], parameters[1] ** 2, 0.0, 0.0]
    if law == "gamma":
        shape, scale = parameters
        return [shape * scale**r * math.factorial(r - 1) for r in range(1, 5)]
    if law == "negative_binomial":
        mean, x = parameters[0], parameters[0] / parameters[1]
        return [mean, mean * (1 + x), mean * (1 + x) * (1 + 2 * x), mean * (1 + x) * (1 + 6 * x + 6 * x * x)]
    if law in ("bernoulli", "binomial"):
        n, p = (1.0, *parameters) if law == "bernoulli" else parameters
        q = p * (1 - p)
        return [n * p, n * q, n * q * (1 - 2 * p), n * q * (1 - 6 * q)]
    shares = [1 - sum(parameters), *parameters]
    mean = sum(v * p for v, p in enumerate(shares))
    m2, m3, m4 = (sum((v - mean) ** r * p for v, p in enumerate(shares)) for r in (2, 3, 4))
    return [mean, m2, m3, m4 - 3 * m2 * m2]


def pooled_cumulants(of, gene, pool, weights):
    """Cumulants of the pooled child of a kernel, its cells being independent given their parents."""
    inner = of.aggregation.inner or of.aggregation
    total = np.zeros(4)
    for cell, weight in zip(pool, weights, strict=True):
        kernel = of.scm.mechanism(gene, cell.get("cell_type"))
        low = {p: s.low for p, s in of.scm.supports(cell.get("cell_type")).items()}
        at = {p: np.array(cell["values"].get(p, low[p])) for p in kernel.parents}
        parameters = [float(a.evaluate(at)) for a in kernel.arguments]
        scale = weight / (len(pool) if inner.divides_by_cells else 1)
        total += np.array(cumulants(kernel.law, parameters)) * scale ** np.arange(1, 5)
    return list(total)


# --- cells that can be made ---------------------------------------------------------------------------------


def possible(of, row, cell):
    """Whether some values of the genes that are not shown make a cell with those that are.

    Hidden genes with few values are tried out; one that is continuous leaves its children to their supports.
    """
    scm, shown = of.scm, cell["values"]
    kind = cell.get("cell_type")
    mechanism, supports = scm.mechanism(row["gene"], kind), scm.supports(kind)
    if "N" in shown and mechanism.noise is not None and not mechanism.noise.support.contains(shown["N"]):
        return False
    genes, todo = set(), [g for g in shown if g != "N"]
    while todo:
        gene = todo.pop()
        if gene not in genes:
            genes.add(gene)
            todo += scm.mechanism(gene, kind).parents
    order = [g for g in scm.order if g in genes]
    cells = [{}]
    for gene in order:
        made = []
        for known in cells:
            if gene in shown:
                made += [{**known, gene: shown[gene]}] if reached(scm, gene, kind, known, shown[gene]) else []
            else:
                made += [{**known, gene: v} for v in outcomes(scm.mechanism(gene, kind), known)]
        cells = made if len(made) <= MOST_HIDDEN else [dict.fromkeys(made[0])]
    return bool(cells) and all(supports[g].contains(shown[g]) for g in genes if g in shown)


def outcomes(mechanism, known):
    """Values that a hidden gene can have; one unknown where they are many."""
    if any(known[p] is None for p in mechanism.parents):
        return [None]
    at = {p: np.array(known[p]) for p in mechanism.parents}
    if hasattr(mechanism, "expression"):
        atoms = [(0, 1)] if mechanism.noise is None else mechanism.noise.atoms
        return [None] if atoms is None else [float(mechanism.value(at, np.array(float(v)))) for v, _ in atoms]
    parameters = [float(a.evaluate(at)) for a in mechanism.arguments]
    top = {"bernoulli": 1, "binomial": parameters[0], "categorical": len(parameters)}.get(mechanism.law)
    if top is None:
        return [None]
    return [float(v) for v in range(int(top) + 1) if in_law(mechanism.law, parameters, v)]


def reached(scm, gene, kind, known, value):
    """Whether a gene can have a value, its parents' being known; None is any."""
    mechanism = scm.mechanism(gene, kind)
    if any(known[p] is None for p in mechanism.parents):
        return scm.supports(kind)[gene].contains(value)
    at = {p: np.array(known[p]) for p in mechanism.parents}
    if not hasattr(mechanism, "expression"):
        return in_law(mechanism.law, [float(a.evaluate(at)) for a in mechanism.arguments], value)
    of = lambda noise: float(mechanism.value(at, np.array(noise)))  # noqa: E731
    if mechanism.noise is None:
        return of(math.nan) == pytest.approx(value, rel=1e-9, abs=1e-12)
    law = mechanism.noise
    if law.atoms is not None:
        return any(of(float(v)) == pytest.approx(value, rel=1e-9, abs=1e-12) for v, _ in law.atoms)
    grid = law.quantile(GRID)
    made = np.broadcast_to(mechanism.value(at, grid), grid.shape)
    if np.allclose(made, value, rtol=1e-12, atol=1e-12):
        return True
    a, b = np.polyfit(grid, made, 1)
    if np.allclose(a * grid + b, made, rtol=1e-9, atol=1e-9 * (1 + abs(b))):
        noise = (value - b) / a if a else math.nan
        near = np.array([noise, noise * (1 - 1e-9) - 1e-12, noise * (1 + 1e-9) + 1e-12, round(noise)])
        return any(law.support.contains(v) for v in near if abs(v - noise) <= 1e-8 * (1 + abs(noise)))
    gap = made - value
    return bool((gap[1:] * gap[:-1] <= 0).any())


def in_law(law, parameters, value):
    """Whether a law of a kernel gives a value."""
    if law in ("normal", "gamma"):
        return law == "normal" or value > 0
    if value < 0 or value != round(value):
        return False
    if law == "bernoulli":
        return parameters[0] > 0 if value == 1 else value == 0 and parameters[0] < 1
    if law == "binomial":
        n, p = parameters
        return value <= n and (p < 1 or value == n) and (p > 0 or value == 0)
    if law == "categorical":
        return value <= len(parameters) and [1 - sum(parameters), *parameters][int(value)] > 0
    return value == 0 or parameters[0] > 0
