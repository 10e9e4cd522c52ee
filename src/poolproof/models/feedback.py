"""Models with feedback as models of one snapshot: unrolled over steps, or at a steady state that is unique.

What a snapshot of such cells shows is said in method 10.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

import networkx as nx
import numpy as np
import sympy

from .._checks import InputError, printable
from .algebra import NOISE, gene_symbol
from .diagrams import Diagrams, TooLargeError
from .expressions import FUNCTIONS, Formula, Guard, written
from .laws import make_law
from .mechanisms import Equation, Kernel, Mechanism, parse_equation
from .ranges import range_of
from .scm import SCM, CellType
from .support import finite

MAX_STEPS = 50
MAX_ENUMERATED = 20
"""Boolean genes, inputs among them, whose states are all tried for fixed points."""
_NAME = re.compile(r"`([^`]*)`|[^\W\d]\w*")


@dataclass(frozen=True)
class Network:
    """Genes that may act on each other in a circle."""

    genes: Mapping[str, Mechanism]
    cell_types: Mapping[str, CellType] = field(default_factory=dict)
    start: Mapping[str, Mechanism] = field(default_factory=dict)
    """What genes are before the first step; those that are not named start with their regulators at 0."""

    @property
    def graph(self) -> nx.DiGraph:
        """The graph, circles included; only regulators that are genes."""
        graph = nx.DiGraph()
        graph.add_nodes_from(self.genes)
        graph.add_edges_from((p, g) for g, m in self.genes.items() for p in m.parents if p in self.genes)
        return graph

    @property
    def is_cyclic(self) -> bool:
        """Whether some gene acts on itself, directly or not."""
        return not nx.is_directed_acyclic_graph(self.graph)


@dataclass(frozen=True)
class Snapshot:
    """A model of cells, and which of its genes a snapshot shows."""

    scm: SCM
    observed: tuple[str, ...] = ()
    """Genes that are seen; empty: all."""
    told: str = ""
    """How the cells come about, in words; empty where nothing is to say."""
    circles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Regulators of each gene in a linear system at its steady state; else empty."""


def as_snapshot(
    network: Network, name: str, where: str, *, steps: int | None = None, steady_state: bool = False
) -> Snapshot:
    """The model of cells at one time.

    Parameters
    ----------
    steps
        Steps after which cells are seen, all genes taking their next values at once; None: none.
    steady_state
        Whether cells are seen where nothing changes any more.

    Raises
    ------
    InputError
        There is feedback and neither is asked for, or there is no unique steady state.

    Examples
    --------
    >>> from poolproof.models import parse_equation
    >>> genes = {"X": parse_equation("0.5*Y + N", "normal(0, 1)", ["Y"])}
    >>> genes["Y"] = parse_equation("X/2 + N", "normal(0, 1)", ["X"])
    >>> one = as_snapshot(Network(genes), "circle", "model", steady_state=True)
    >>> one.scm.genes["X"].text, one.observed
    ('(4/3)*`noise of X` + (2/3)*`noise of Y`', ('X', 'Y'))
    """
    where = f"{where}: " if where else ""
    if steps is not None and steady_state:
        raise InputError(f"{where}cells are seen after --steps or at their --steady-state; choose one")
    if (steps is not None or steady_state) and network.cell_types:
        raise InputError(f"{where}feedback of cell types that differ is not read")
    if steps is not None:
        return _unrolled(network, name, where, steps)
    if steady_state:
        return _at_rest(network, name, where)
    own = not where and any(gene in m.parents for gene, m in network.genes.items())  # said of the gene itself
    if network.is_cyclic and not own:
        loop = [edge[0] for edge in nx.find_cycle(network.graph)]
        shown = " -> ".join(printable(gene, 40) for gene in [*loop, loop[0]][:12])
        raise InputError(
            f"{where}genes: the graph has a cycle: {shown}; say when cells are seen: --steps 3, or "
            "--steady-state"
        )
    return Snapshot(SCM(name, network.genes, network.cell_types))


# --- steps ----------------------------------------------------------------------------------------------


def _unrolled(network: Network, name: str, where: str, steps: int) -> Snapshot:
    if not 1 <= steps <= MAX_STEPS:
        raise InputError(f"{where}expected 1 to {MAX_STEPS} steps; found {steps}")
    graph = network.graph
    inputs = [gene for gene in network.genes if not graph.in_degree(gene)]
    at = [
        {gene: gene if gene in inputs or t == steps else f"{gene}@{t}" for gene in network.genes}
        for t in range(steps + 1)
    ]
    taken = {one for names in at[:-1] for gene, one in names.items() if one != gene} & set(network.genes)
    if taken:
        raise InputError(f"{where}the name {printable(min(taken), 40)} is that of a step; rename this gene")
    found: dict[str, Mechanism] = {gene: network.genes[gene] for gene in inputs}
    for gene in network.genes:
        if gene not in inputs:
            found[at[0][gene]] = network.start.get(gene) or _alone(network.genes[gene], where)
    for t in range(1, steps + 1):
        found |= {
            at[t][gene]: renamed(network.genes[gene], at[t - 1])
            for gene in network.genes
            if gene not in inputs
        }
    seen = set(network.genes)
    whole = nx.DiGraph([(p, g) for g, m in found.items() for p in m.parents])
    above = seen.union(*(nx.ancestors(whole, g) for g in seen if g in whole))
    scm = SCM(name, {g: m for g, m in found.items() if g in above})
    words = (
        f"Cells are seen after {steps} {'step' if steps == 1 else 'steps'}, in which all genes take their "
        "next values at once (X@1 is X after the first); regulators act one step before, which no pool of "
        "this snapshot shows."
    )
    return Snapshot(scm, tuple(network.genes), words)


def _alone(mechanism: Mechanism, where: str) -> Mechanism:
    """A mechanism whose regulators are at 0."""
    zero = {gene_symbol(p): sympy.Integer(0) for p in mechanism.parents}
    if isinstance(mechanism, Kernel):
        arguments = tuple(Formula(_at_zero(a, mechanism), a.sympy.subs(zero)) for a in mechanism.arguments)
        if any(not a.sympy.is_finite for a in arguments):
            raise InputError(f"{where}{printable(mechanism.text, 60)} is undefined with its regulators at 0")
        return replace(mechanism, arguments=arguments)
    value = mechanism.expression.sympy.subs(zero)
    if value.has(sympy.zoo, sympy.nan, sympy.oo) or value.is_real is False:
        raise InputError(f"{where}{printable(mechanism.text, 60)} is undefined with its regulators at 0")
    if mechanism.noise is None or NOISE not in value.free_symbols:
        return parse_equation(None, make_law("constant", float(value)), ())
    return Equation(Formula(_at_zero(mechanism.expression, mechanism), value), mechanism.noise)


def _at_zero(formula: Formula, mechanism: Mechanism) -> str:
    return _replaced(formula.text, dict.fromkeys(mechanism.parents, "0"))


def renamed(mechanism: Mechanism, names: Mapping[str, str]) -> Mechanism:
    """The same mechanism of genes with other names."""
    symbols = {gene_symbol(p): gene_symbol(names.get(p, p)) for p in mechanism.parents}
    shown = {p: written(names.get(p, p)) for p in mechanism.parents}
    if isinstance(mechanism, Kernel):
        return replace(mechanism, arguments=tuple(_renamed(a, symbols, shown) for a in mechanism.arguments))
    return Equation(_renamed(mechanism.expression, symbols, shown), mechanism.noise)


def _renamed(
    formula: Formula, symbols: Mapping[sympy.Symbol, sympy.Symbol], shown: Mapping[str, str]
) -> Formula:
    guards = tuple(
        Guard(g.argument.xreplace(dict(symbols)), g.need, _replaced(g.text, shown)) for g in formula.guards
    )
    return Formula(_replaced(formula.text, shown), formula.sympy.xreplace(dict(symbols)), guards)


def _replaced(text: str, shown: Mapping[str, str]) -> str:
    """A formula with other names of genes; a function keeps its own."""

    def one(found: re.Match[str]) -> str:
        name = found[1] if found[1] is not None else found[0]
        called = found[1] is None and name in FUNCTIONS and text[found.end() :].lstrip().startswith("(")
        return found[0] if called else shown.get(name, found[0])

    return _NAME.sub(one, text)


# --- steady states --------------------------------------------------------------------------------------


def _at_rest(network: Network, name: str, where: str) -> Snapshot:
    if all(_is_boolean(m) for m in network.genes.values()):
        return _fixed_points(network, name, where)
    if all(isinstance(m, Equation) and m.affine() is not None for m in network.genes.values()):
        return _linear(network, name, where)
    raise InputError(
        f"{where}a steady state is found for linear equations with noise, and for Boolean rules; take --steps"
    )


def _linear(network: Network, name: str, where: str) -> Snapshot:
    """X = (I - B)^-1 (c + D N), exactly, where the iteration X <- B X + c + D N comes to rest."""
    genes = list(network.genes)
    place = {gene: i for i, gene in enumerate(genes)}
    n = len(genes)
    matrix, noises, constants = sympy.zeros(n, n), [], sympy.zeros(n, 1)
    for gene, mechanism in network.genes.items():
        affine = mechanism.affine() if isinstance(mechanism, Equation) else None
        if affine is None:
            raise InputError(f"{where}{printable(gene, 40)} is not affine")
        coefficients, scale, constant = affine
        for parent, weight in coefficients.items():
            matrix[place[gene], place[parent]] = weight
        noises.append(scale)
        constants[place[gene]] = constant
    radius = float(np.abs(np.linalg.eigvals(np.array(matrix.tolist(), dtype=float))).max())
    if radius >= 1:
        raise InputError(
            f"{where}the largest eigenvalue of the linear system is {radius:.3g} in size; from 1 on cells "
            "come to no steady state"
        )
    total = (sympy.eye(n) - matrix).inv()
    found: dict[str, Mechanism] = {}
    for gene, mechanism in network.genes.items():
        if isinstance(mechanism, Equation) and mechanism.noise is not None:
            found[noise_name(gene)] = parse_equation(None, mechanism.noise, ())
    for gene in genes:
        row = total[place[gene], :]
        parts = {
            noise_name(other): row[j] * noises[j] for other, j in place.items() if row[j] * noises[j] != 0
        }
        found[gene] = _combination(parts, (row * constants)[0, 0])
    regulators = {gene: m.parents for gene, m in network.genes.items()}
    words = "Cells are seen at the only steady state of a linear system, X = (I - B)^-1 (c + N)."
    return Snapshot(SCM(name, found), tuple(genes), words, regulators)


def noise_name(gene: str) -> str:
    """The name of a gene's noise, where that is a variable of its own."""
    return f"noise of {gene}"


def _combination(parts: Mapping[str, sympy.Expr], constant: sympy.Expr) -> Mechanism:
    value = constant + sympy.Add(*(c * gene_symbol(p) for p, c in parts.items()))
    terms = [f"({c})*{written(p)}" for p, c in parts.items()] + ([str(constant)] if constant != 0 else [])
    if not parts:
        return parse_equation(None, make_law("constant", float(constant)), ())
    return Equation(Formula(" + ".join(terms), value), None)


def _is_boolean(mechanism: Mechanism) -> bool:
    """Whether a gene is an input with the values 0 and 1, a constant of them, or a rule of such genes."""
    if not isinstance(mechanism, Equation):
        return False
    if mechanism.noise is None:
        known = {gene_symbol(p): finite([0, 1]) for p in mechanism.parents}
        if len(mechanism.parents) > MAX_ENUMERATED:
            return False
        values = range_of(mechanism.expression.sympy, known)
    else:
        values = mechanism.noise.support if mechanism.is_noise else finite([2])
    return values.kind == "finite" and {*values.values} <= {sympy.Integer(0), sympy.Integer(1)}


def _fixed_points(network: Network, name: str, where: str) -> Snapshot:
    """Every gene as a function of the inputs, where these leave one fixed point each."""
    genes, graph = list(network.genes), network.graph
    if len(genes) > MAX_ENUMERATED:
        raise InputError(
            f"{where}fixed points of {len(genes)} genes; up to {MAX_ENUMERATED} are tried out; take --steps"
        )
    inputs = [g for g in genes if not graph.in_degree(g)]
    ruled = [g for g in genes if g not in inputs]
    states = _states(len(genes))
    values = {g: states[:, i] for i, g in enumerate([*inputs, *ruled])}
    fixed = np.ones(len(states), dtype=bool)
    for gene in ruled:
        found = network.genes[gene]
        if isinstance(found, Equation):
            fixed &= np.broadcast_to(found.value(values, 0.0), fixed.shape) == values[gene]
    per_input = fixed.reshape(2 ** len(inputs), -1).sum(axis=1)
    odd = np.flatnonzero(per_input != 1)
    if len(odd):
        first = ", ".join(
            f"{printable(g, 40)} = {int(v)}"
            for g, v in zip(inputs, _states(len(inputs))[odd[0]], strict=True)
        )
        raise InputError(
            f"{where}{per_input[odd[0]]} fixed points{' at ' + first if first else ''}; a steady state must "
            "be the only one; take --steps"
        )
    table = Diagrams(dict.fromkeys(inputs, (Fraction(0), Fraction(1))))
    rows = {g: v[fixed].reshape((2,) * len(inputs)) for g, v in values.items()}
    mechanisms: dict[str, Mechanism] = {g: network.genes[g] for g in inputs}
    for gene in ruled:
        mechanisms[gene] = _of_inputs(table, table.table(inputs, rows[gene]), where)
    words = (
        "Cells are seen at the only fixed point that their inputs leave; each gene is a function of these."
    )
    return Snapshot(SCM(name, {g: mechanisms[g] for g in genes}), (), words)


def _of_inputs(table: Diagrams, node: int, where: str) -> Mechanism:
    value = table.value(node)
    if value is not None:
        return parse_equation(None, make_law("constant", float(value)), ())
    try:
        return Equation(Formula(table.text(node), table.expression(node)), None)
    except TooLargeError:
        raise InputError(f"{where}a function of the inputs is too large") from None


def _states(n: int) -> np.ndarray:
    """All combinations of n values 0 and 1, the last running fastest, shape ``(2**n, n)``."""
    codes = np.arange(2**n)[:, None]
    return ((codes >> np.arange(n - 1, -1, -1)) & 1).astype(float)
