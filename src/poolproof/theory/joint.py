"""Which values of several genes occur together: parents are rarely free of each other (method 2).

Genes are written in noises, which are free. Finite parts are enumerated, the rest is bounded by interval
arithmetic on what was written; and whether a cell can occur is shown by finding the noises that make it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cached_property

import networkx as nx
import numpy as np
import sympy
from scipy.linalg import qr

from .._random import stream
from ..models.algebra import NOISE, NOISE_NAME, constant_value, evaluate_sympy, exact_value, gene_symbol
from ..models.diagrams import TooLargeError, diagrams_of
from ..models.expressions import Formula
from ..models.laws import Law
from ..models.mechanisms import BernoulliKernel, BinomialKernel, Equation, Kernel, Mechanism
from ..models.ranges import range_of
from ..models.scm import SCM
from ..models.support import Support, interval
from .normal_form import FROM_VARIABLES, normal_expression

MAX_STATES = 4_000
MAX_WRITTEN = 400
"""Operations in a gene that is written in noises."""
N_POINTS = 120
EXACT = 1e-9
N_DRAWS = 2_000
NO_SHARE = 1e-12
"""A probability that is what rounding leaves of none."""
N_STEPS = 400

State = tuple[sympy.Expr, ...]


class Joint:
    """Joint supports of the genes of a model without cell types; with types, supports are boxes."""

    def __init__(self, scm: SCM, supports: Mapping[str, Support], seed: int) -> None:
        self.scm, self.supports, self.seed = scm, supports, seed
        self.known = not scm.cell_types
        self._written: dict[str, sympy.Expr | None] = {}
        self.bases: dict[sympy.Symbol, Support] = {}

    # --- genes in noises ------------------------------------------------------------------------------------

    def written(self, gene: str) -> sympy.Expr:
        """A gene in noises; its own symbol where that would be long or a kernel makes it."""
        found = self._written.get(gene)
        if found is None:
            found = self._write(gene)
            self._written[gene] = found
        return found

    def _write(self, gene: str) -> sympy.Expr:
        mechanism = self.scm.mechanism(gene)
        own = sympy.Symbol(f"`N` of {gene}", real=True)
        if isinstance(mechanism, Equation):
            expression = self.in_noises(mechanism.expression.sympy, own)
            if expression.count_ops() <= MAX_WRITTEN:
                if mechanism.noise is not None:
                    self.bases[own] = mechanism.noise.support
                return expression
        elif isinstance(mechanism, BinomialKernel) and not mechanism.formulas[1].free_symbols:
            self.bases[own] = interval(0, 1)  # the share of successes
            return self.in_noises(mechanism.formulas[0], own) * own
        self.bases[gene_symbol(gene)] = self.supports[gene]
        return gene_symbol(gene)

    def in_noises(self, expression: sympy.Expr, noise: sympy.Symbol = NOISE) -> sympy.Expr:
        """A formula in genes, and its N, in noises."""
        parts = {v: self.written(v.name) for v in expression.free_symbols if v != NOISE}
        return expression.xreplace({**parts, NOISE: noise})

    def are_free(self, genes: Sequence[str]) -> bool:
        """Whether no two genes have an ancestor in common, or are one another's."""
        above = [nx.ancestors(self.scm.graph, g) | {g} for g in genes]
        return sum(map(len, above)) == len(set().union(*above)) if genes else True

    # --- mechanisms -----------------------------------------------------------------------------------------

    def judged(self, gene: str) -> Mechanism:
        """The mechanism as it acts on cells that occur: what parents' relations make affine is written so."""
        mechanism = self.scm.mechanism(gene)
        if not self.known or len(mechanism.parents) < 2 or self.are_free(mechanism.parents):
            return mechanism
        if isinstance(mechanism, Kernel):
            arguments = tuple(self._formula(one, mechanism, None) for one in mechanism.arguments)
            return type(mechanism)(arguments) if arguments != mechanism.arguments else mechanism
        found = self._formula(mechanism.expression, mechanism, mechanism.noise)
        if found is mechanism.expression:
            return mechanism
        return Equation(found, mechanism.noise if NOISE in found.sympy.free_symbols else None)

    def _formula(self, formula: Formula, mechanism: Mechanism, noise: Law | None) -> Formula:
        found = self._on_support(formula.sympy, mechanism.parents, noise)
        return formula if found == formula.sympy else Formula(formula.text, found)

    def _on_support(self, expression: sympy.Expr, parents: Sequence[str], noise: Law | None) -> sympy.Expr:
        supports = {gene_symbol(p): self.supports[p] for p in parents}
        if noise is not None:
            supports[NOISE] = noise.support
        plain = normal_expression(expression, supports, self._range)
        if _is_affine(plain):
            return plain
        line = self._line(plain, parents, noise)
        return plain if line is None else line

    def _range(self, part: sympy.Expr) -> Support:
        """Range of a formula in genes and N, over cells that occur."""
        if NOISE in part.free_symbols or part.count_ops() > MAX_WRITTEN:
            return interval(-np.inf, np.inf) if NOISE in part.free_symbols else self._box(part)
        written = self.in_noises(part)
        if written.count_ops() > MAX_WRITTEN:
            return self._box(part)
        one = range_of(written, self.bases)
        two = range_of(sympy.factor(sympy.expand(written)), self.bases)
        low, high = max(one.low, two.low), min(one.high, two.high)
        open_low = any(r.open_low for r in (one, two) if r.low == low)
        open_high = any(r.open_high for r in (one, two) if r.high == high)
        return interval(low, high, open_low=open_low, open_high=open_high)

    def _box(self, part: sympy.Expr) -> Support:
        return range_of(part, {v: self.supports[v.name] for v in part.free_symbols})

    def _line(self, expression: sympy.Expr, parents: Sequence[str], noise: Law | None) -> sympy.Expr | None:
        """The affine function of parents and N that a formula is on all cells that occur, if it is one."""
        states = self.states(parents)
        if states is not None:
            return self._line_on_states(expression, parents, states)
        own = sympy.Symbol("`N`", real=True)
        columns = [self.written(p) for p in parents] + ([own] if noise is not None else [])
        target = self.in_noises(expression, own)
        if target.count_ops() > MAX_WRITTEN:
            return None
        bases = self.bases | ({own: noise.support} if noise is not None else {})
        values = _at_points([target, *columns], bases, stream(self.seed, "joint support"))
        if values is None:
            return None
        slopes = _fitted(values[0], values[1:])
        if slopes is None:
            return None
        rest = _constant(target - sympy.Add(*(c * v for c, v in zip(slopes, columns, strict=True))), bases)
        if rest is None:
            return None
        symbols = [gene_symbol(p) for p in parents] + ([NOISE] if noise is not None else [])
        return sympy.Add(rest, *(c * v for c, v in zip(slopes, symbols, strict=True)))

    def _line_on_states(
        self, expression: sympy.Expr, parents: Sequence[str], states: Sequence[State]
    ) -> sympy.Expr | None:
        """The same where parents have finitely many joint values, in exact numbers."""
        symbols = [gene_symbol(p) for p in parents]
        if expression.free_symbols - {*symbols}:
            affine_in_noise = sympy.expand(expression).coeff(NOISE, 1)
            rest = sympy.expand(expression - affine_in_noise * NOISE)
            if affine_in_noise.free_symbols or NOISE in rest.free_symbols:
                return None
            line = self._line_on_states(rest, parents, states)
            return None if line is None else line + affine_in_noise * NOISE
        values = [exact_value(expression, dict(zip(symbols, s, strict=True))) for s in states]
        if not all(v.is_Rational for v in (*values, *(x for s in states for x in s))):
            return None
        solved = _solved([(*s, sympy.Integer(1)) for s in states], values)
        if solved is None:
            return None
        return sympy.Add(solved[-1], *(c * v for c, v in zip(solved, symbols, strict=False)))

    # --- states ---------------------------------------------------------------------------------------------

    def states(self, genes: Sequence[str]) -> list[State] | None:
        """All joint values of some genes, exact, in order; None where they are not finitely many."""
        if not self.known:
            return None
        key = tuple(genes)
        if key not in self._states:
            self._states[key] = self._enumerated(key)
        return self._states[key]

    @cached_property
    def _states(self) -> dict[tuple[str, ...], list[State] | None]:
        return {}

    def _enumerated(self, genes: tuple[str, ...]) -> list[State] | None:
        above = set(genes).union(*(nx.ancestors(self.scm.graph, g) for g in genes))
        order = [g for g in self.scm.order if g in above]
        rows: set[State] = {()}
        names: list[str] = []
        for i, gene in enumerate(order):
            mechanism = self.scm.mechanism(gene)
            grown = set()
            for row in rows:
                outcomes = _outcomes(mechanism, dict(zip(names, row, strict=True)))
                if outcomes is None:
                    return None
                grown |= {(*row, value) for value in outcomes}
                if len(grown) > MAX_STATES:
                    return None
            later = {*genes}.union(*(self.scm.parents(g) for g in order[i + 1 :]))
            kept = [j for j, name in enumerate([*names, gene]) if name in later]
            names = [[*names, gene][j] for j in kept]
            rows = {tuple(row[j] for j in kept) for row in grown}
        at = [names.index(g) for g in genes]
        return sorted({tuple(row[j] for j in at) for row in rows}, key=lambda s: tuple(map(float, s)))

    # --- cells ----------------------------------------------------------------------------------------------

    def can_occur(self, cell: Mapping[str, float]) -> bool:
        """Tell whether noises were found that make a cell with these values of some genes."""
        shown = [g for g in cell if g != NOISE_NAME]
        if not self.known:
            return all(self.supports[g].contains(cell[g]) for g in shown)
        states = self.states(shown)
        if states is not None:
            return any(
                np.allclose([float(v) for v in s], [cell[g] for g in shown], 1e-9, 1e-12) for s in states
            )
        return self._found(cell, shown)

    def _found(self, cell: Mapping[str, float], shown: Sequence[str]) -> bool:
        """Draw what is not shown, and look for noises of the shown genes in each draw."""
        above = set(shown).union(*(nx.ancestors(self.scm.graph, g) for g in shown))
        hidden = [g for g in self.scm.order if g in above and g not in shown]
        rng = stream(self.seed, "cells that occur")
        n = N_DRAWS if hidden else 1
        values: dict[str, np.ndarray] = {}
        possible = np.ones(n, dtype=bool)
        for gene in self.scm.order:
            if gene not in above:
                continue
            mechanism = self.scm.mechanism(gene)
            if gene in cell:
                values[gene] = np.full(n, cell[gene])
                possible &= _reached(mechanism, values, cell[gene], n)
                if not possible.any() and self._through(cell, shown, gene, hidden):
                    possible[:] = True
            else:
                try:
                    values[gene] = mechanism.sample(values, rng, n)
                except ValueError:
                    return False
        return bool(possible.any())

    def _through(
        self, cell: Mapping[str, float], shown: Sequence[str], gene: str, hidden: Sequence[str]
    ) -> bool:
        """A gene that follows one hidden parent exactly: whether a value of that parent gives it."""
        mechanism = self.scm.mechanism(gene)
        if not isinstance(mechanism, Equation) or mechanism.noise is not None or len(mechanism.parents) != 1:
            return False
        (parent,) = mechanism.parents
        if parent not in hidden or any(parent in nx.ancestors(self.scm.graph, g) for g in shown if g != gene):
            return False
        root = self.scm.mechanism(parent)
        if not isinstance(root, Equation) or root.parents or root.noise is None:
            return False
        expression = mechanism.expression.sympy.xreplace({gene_symbol(parent): root.expression.sympy})
        return bool(_solved_for_noise(expression, root.noise, {}, cell[gene], 1)[0])


def _constant(expression: sympy.Expr, bases: Mapping[sympy.Symbol, Support]) -> sympy.Expr | None:
    """The number that a formula is everywhere; None where it is none, or that is not shown."""
    symbols = sorted(expression.free_symbols, key=str)
    if len(symbols) >= FROM_VARIABLES and all(bases[v].kind == "finite" for v in symbols):
        table = diagrams_of({v.name: bases[v] for v in symbols})
        try:
            value = None if table is None else table.value(table.of(expression))
        except TooLargeError:
            return None
        return None if value is None else sympy.Rational(value.numerator, value.denominator)
    rest = normal_expression(expression, {v: bases[v] for v in symbols})
    rest = sympy.simplify(rest) if rest.free_symbols else rest
    return None if rest.free_symbols else rest


def _is_affine(expression: sympy.Expr) -> bool:
    return all(sympy.diff(expression, v).is_number for v in expression.free_symbols) and not expression.has(
        sympy.Heaviside, sympy.Max, sympy.Min, sympy.Abs, sympy.sign
    )


def _at_points(
    expressions: Sequence[sympy.Expr], bases: Mapping[sympy.Symbol, Support], rng: np.random.Generator
) -> np.ndarray | None:
    symbols = sorted(set().union(*(e.free_symbols for e in expressions)), key=str)
    at = {v.name: rng.choice(bases[v].sample_grid(41), N_POINTS) for v in symbols}
    rows = np.array([np.broadcast_to(evaluate_sympy(e, at), N_POINTS) for e in expressions])
    usable = np.isfinite(rows).all(axis=0)
    return rows[:, usable] if usable.sum() >= 2 * len(rows) + 8 else None


def _fitted(target: np.ndarray, columns: np.ndarray) -> list[sympy.Expr] | None:
    """Slopes of a line through all points, in readable numbers; None where there is none."""
    centred = columns - columns.mean(axis=1, keepdims=True)
    size = np.maximum(np.abs(centred).max(axis=1, keepdims=True), 1e-300)
    _, r, order = qr((centred / size).T, mode="economic", pivoting=True)
    steps = np.abs(np.diag(r))
    used = sorted(order[: int((steps > 1e-10 * max(steps.max(initial=0.0), 1e-300)).sum())])
    goal = target - target.mean()
    slopes = np.zeros(len(columns))
    if used:
        slopes[used] = np.linalg.lstsq(centred[used].T, goal, rcond=None)[0]
    if np.abs(goal - slopes @ centred).max() > EXACT * max(np.abs(target).max(), 1e-300):
        return None
    tolerance = EXACT * max(np.abs(slopes).max(), 1e-12)
    return [sympy.nsimplify(float(s), rational=True, tolerance=tolerance) for s in slopes]


def _solved(rows: Sequence[State], values: Sequence[sympy.Expr]) -> list[sympy.Expr] | None:
    """A solution of rows * x = values in exact numbers, free unknowns 0; None where there is none."""
    table = [
        [Fraction(int(x.p), int(x.q)) for x in (*row, value)] for row, value in zip(rows, values, strict=True)
    ]
    n, pivots, top = len(rows[0]), [], 0
    for column in range(n):
        at = next((i for i in range(top, len(table)) if table[i][column]), None)
        if at is None:
            continue
        table[top], table[at] = table[at], table[top]
        table[top] = [x / table[top][column] for x in table[top]]
        for i, row in enumerate(table):
            if i != top and row[column]:
                table[i] = [x - row[column] * y for x, y in zip(row, table[top], strict=True)]
        pivots.append(column)
        top += 1
    if any(row[n] for row in table[top:]):
        return None
    found = [sympy.Integer(0)] * n
    for i, column in enumerate(pivots):
        found[column] = sympy.Rational(table[i][n].numerator, table[i][n].denominator)
    return found


def _outcomes(mechanism: Mechanism, values: Mapping[str, sympy.Expr]) -> set[sympy.Expr] | None:
    """Exact values of one gene given its parents'; None where they are not finitely many."""
    known = {gene_symbol(p): values[p] for p in mechanism.parents}
    if isinstance(mechanism, Kernel):
        return _of_kernel(mechanism, [exact_value(f, known) for f in mechanism.formulas])
    if mechanism.noise is None:
        return {exact_value(mechanism.expression.sympy, known)}
    if mechanism.noise.atoms is None:
        return None
    return {exact_value(mechanism.expression.sympy, {**known, NOISE: v}) for v, _ in mechanism.noise.atoms}


def _of_kernel(kernel: Kernel, parameters: Sequence[sympy.Expr]) -> set[sympy.Expr] | None:
    at = [constant_value(p) for p in parameters]
    if isinstance(kernel, BernoulliKernel):
        return {sympy.Integer(v) for v in (0, 1) if (at[0] > 0 if v else at[0] < 1)}
    if isinstance(kernel, BinomialKernel) and at[0] <= 200:
        n = round(at[0])
        if not 0 < at[1] < 1:
            return {sympy.Integer(n if at[1] >= 1 else 0)}
        return {sympy.Integer(v) for v in range(n + 1)}
    if kernel.law == "categorical":
        shares = [1 - sum(at), *at]
        return {sympy.Integer(v) for v, share in enumerate(shares) if share > NO_SHARE}
    if kernel.law == "poisson" and at[0] == 0:
        return {sympy.Integer(0)}
    return None


# --- noises that make a value -------------------------------------------------------------------------------


def _reached(mechanism: Mechanism, values: Mapping[str, np.ndarray], value: float, n: int) -> np.ndarray:
    """Whether a value can come from given parents, elementwise."""
    if isinstance(mechanism, Kernel):
        return np.broadcast_to(_of_law(mechanism, values, value), n)
    expression = mechanism.expression.sympy
    at = {p: values[p] for p in mechanism.parents}
    if mechanism.noise is None:
        found = np.broadcast_to(evaluate_sympy(expression, at), n)
        return np.abs(found - value) <= 1e-9 * (1e-9 + np.abs(found) + abs(value))
    scale = sympy.diff(expression, NOISE)
    if scale.is_number and not expression.has(sympy.Heaviside) and scale != 0:
        start = np.broadcast_to(evaluate_sympy(expression, {**at, NOISE_NAME: np.zeros(n)}), n)
        noise = (value - start) / float(scale)
        size = (np.abs(start) + abs(value)) / abs(float(scale))
        return _inside(mechanism.noise.support, noise, size)
    return _solved_for_noise(expression, mechanism.noise, at, value, n)


def _inside(support: Support, noise: np.ndarray, size: np.ndarray) -> np.ndarray:
    slack = 1e-9 * (size + 1e-9)
    if support.kind == "finite":
        return (np.abs(noise[:, None] - support.floats) <= slack[:, None]).any(axis=1)
    found = (noise >= support.low - slack) & (noise <= support.high + slack)
    return found & (np.abs(noise - np.rint(noise)) <= slack) if support.kind == "integers" else found


def _solved_for_noise(
    expression: sympy.Expr, law: Law, at: Mapping[str, np.ndarray], value: float, n: int
) -> np.ndarray:
    """Whether some noise gives a value: by listing them, or where a continuous formula passes it."""
    support = law.support
    if support.kind == "interval":
        grid = law.quantile(np.linspace(0.5, N_STEPS - 0.5, N_STEPS) / N_STEPS)
        ends = law.quantile(np.array([1e-9, 1 - 1e-9]))
        grid = np.sort(np.concatenate([grid, ends]))
    else:
        grid = support.sample_grid(60)
    full = {p: np.repeat(v[:200, None], len(grid), axis=1) for p, v in at.items()}
    m = min(n, 200)
    full[NOISE_NAME] = np.broadcast_to(grid, (m, len(grid)))
    gap = np.broadcast_to(evaluate_sympy(expression, full), (m, len(grid))) - value
    found = (np.abs(gap) <= 1e-9 * (1e-9 + abs(value))).any(axis=1)
    if support.kind == "interval" and not expression.has(sympy.Heaviside, sympy.sign):
        with np.errstate(all="ignore"):
            crossing = np.isfinite(gap[:, 1:]) & np.isfinite(gap[:, :-1]) & (gap[:, 1:] * gap[:, :-1] <= 0)
        found = found | crossing.any(axis=1)
    return np.pad(found, (0, n - m))


def _of_law(kernel: Kernel, values: Mapping[str, np.ndarray], value: float) -> np.ndarray:
    at = [np.asarray(evaluate_sympy(f, {p: values[p] for p in kernel.parents})) for f in kernel.formulas]
    if kernel.law == "normal":
        return at[1] > 0
    if kernel.law == "gamma":
        return (at[0] > 0) & (value > 0)
    count = float(value).is_integer() and value >= 0
    if kernel.law == "categorical":
        share = 1 - sum(at) if value == 0 else at[int(value) - 1] if count and value <= len(at) else at[0] * 0
        return np.asarray(share > NO_SHARE)
    if kernel.law == "bernoulli":
        return np.asarray(at[0] > 0 if value == 1 else (value == 0) & (at[0] < 1))
    if kernel.law == "binomial":
        certain = ((at[1] < 1) | (value == at[0])) & ((at[1] > 0) | (value == 0))
        return np.asarray(count & (value <= at[0]) & certain)
    return np.asarray(count & ((at[0] > 0) | (value == 0)))
