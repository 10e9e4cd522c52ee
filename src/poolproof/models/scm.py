"""A structural causal model of cells: genes, how each follows from its parents, and cell types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import fsum
from typing import Any

import networkx as nx
import numpy as np
import sympy

from .._checks import InputError, printable
from .._random import stream
from .algebra import NOISE, NOISE_NAME, gene_symbol
from .argument_checks import checked
from .expressions import parse_expression
from .laws import Law, parse_law
from .mechanisms import Equation, Kernel, Mechanism
from .ranges import Rewrite, Supports, check_defined
from .support import Support

BASE = "other"
"""Name of the cells that belong to no cell type of the model."""

MIXED = "mixed"
"""In place of a cell type: every cell's type is drawn."""

MAX_NAME = 200
MAX_GENES = 2_000
MAX_REWRITTEN = 2_000  # operations in a formula that is written in noises
_N_RANDOMISATIONS = 16


@dataclass(frozen=True)
class CellType:
    """A share of the cells, and the genes that follow other mechanisms in them."""

    fraction: float
    genes: Mapping[str, Mechanism] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class SCM:
    """A structural causal model of single cells.

    Attributes
    ----------
    name
        Name of the model.
    genes
        Mechanism of each gene; the order is that of all arrays.
    cell_types
        Cell types with their share and their own mechanisms. What the shares leave of 1 are base cells,
        named ``other``.

    Raises
    ------
    InputError
        The model has no gene, a cycle, an unknown parent, a formula that is undefined somewhere on its
        support, or shares above 1.

    Examples
    --------
    >>> from poolproof.models import parse_equation
    >>> scm = SCM("chain", {
    ...     "X": parse_equation(None, "normal(0, 1)", []),
    ...     "Y": parse_equation("2*X + N", "normal(0, 1)", ["X"]),
    ... })
    >>> scm.parents("Y"), scm.is_affine
    (('X',), True)
    >>> scm.affine_moments()[1]
    array([[1., 2.],
           [2., 5.]])
    """

    name: str
    genes: Mapping[str, Mechanism]
    cell_types: Mapping[str, CellType] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_names(self)
        _check_fractions(self.cell_types)
        _check_parents(self)
        _ = self.order  # raises on a cycle
        _ = self._supports  # raises where a formula is undefined

    # Structure.

    @property
    def gene_names(self) -> tuple[str, ...]:
        """Genes in the order of all arrays."""
        return tuple(self.genes)

    @cached_property
    def fractions(self) -> dict[str, float]:
        """Share of each cell type; ``other`` is what is left. Without cell types, all cells are that."""
        shares = {name: one.fraction for name, one in self.cell_types.items()}
        rest = 1 - fsum(shares.values())
        return {**shares, BASE: rest} if rest > 1e-9 else shares

    def mechanism(self, gene: str, cell_type: str | None = None) -> Mechanism:
        """How a gene follows from its parents, in cells of a type (None or ``other``: the base)."""
        own = self._type(cell_type)
        return own[gene] if gene in own else self.genes[gene]

    def _type(self, cell_type: str | None) -> Mapping[str, Mechanism]:
        if cell_type in self.cell_types:
            return self.cell_types[str(cell_type)].genes
        if cell_type is None or cell_type == BASE:
            return {}
        known = ", ".join(map(printable, self.fractions))
        raise InputError(f"no cell type {printable(cell_type, 40)!r}; the model has {known}")

    def parents(self, gene: str, cell_type: str | None = None) -> tuple[str, ...]:
        """Parents of a gene, in the order of the genes; without a type, those in any type."""
        kinds = self.fractions if cell_type is None else (cell_type,)
        found = {parent for kind in kinds for parent in self.mechanism(gene, kind).parents}
        return tuple(name for name in self.genes if name in found)

    @cached_property
    def graph(self) -> nx.DiGraph:
        """The graph: an edge for every parent in any cell type."""
        graph = nx.DiGraph()
        graph.add_nodes_from(self.genes)
        graph.add_edges_from((parent, gene) for gene in self.genes for parent in self.parents(gene))
        return graph

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Genes with parents before children; ties in the given order."""
        place = {gene: position for position, gene in enumerate(self.genes)}
        try:
            return tuple(nx.lexicographical_topological_sort(self.graph, key=place.__getitem__))
        except nx.NetworkXUnfeasible:
            loop = [edge[0] for edge in nx.find_cycle(self.graph)]
            shown = " -> ".join(printable(gene, 40) for gene in [*loop, loop[0]][:12])
            raise InputError(f"genes: the graph has a cycle: {shown}; a model must have none") from None

    def do(self, values: Mapping[str, float | str | Law]) -> SCM:
        """The model after an intervention: each named gene is set to a number, or drawn from a law.

        Raises
        ------
        InputError
            No such gene, or no such law.

        Examples
        --------
        >>> from poolproof.models import parse_equation
        >>> scm = SCM("one", {"X": parse_equation(None, "normal(0, 1)", [])})
        >>> scm.do({"X": 3}).affine_moments()[0]
        array([3.])
        """
        _check_known(values, self.genes, "do")
        noise = parse_expression(NOISE_NAME, ())
        fixed: dict[str, Mechanism] = {}
        for gene, value in values.items():
            law = value if isinstance(value, Law) else parse_law(value, f"do.{printable(gene, 40)}")
            fixed[gene] = Equation(noise, law)
        types = {
            name: replace(one, genes={g: m for g, m in one.genes.items() if g not in fixed})
            for name, one in self.cell_types.items()
        }
        return SCM(self.name, {**self.genes, **fixed}, types)

    # Supports.

    def supports(self, cell_type: str | None = None) -> dict[str, Support]:
        """Where each gene's values lie, in cells of one type or, without it, of any type."""
        if cell_type is not None:
            self._type(cell_type)  # raises for an unknown type
            return dict(self._supports.get(cell_type) or self._checked_supports(cell_type))
        parts = list(self._supports.values())
        joint = dict(parts[0])
        for part in parts[1:]:
            joint = {gene: joint[gene].union(part[gene]) for gene in joint}
        return {gene: joint[gene] for gene in self.genes}

    @cached_property
    def _supports(self) -> dict[str, dict[str, Support]]:
        """Supports of all genes by cell type; refuses what is undefined somewhere."""
        return {kind: self._checked_supports(kind) for kind in self.fractions}

    def _checked_supports(self, cell_type: str) -> dict[str, Support]:
        found: dict[str, Support] = {}
        in_noises = _Noises(self, cell_type, found)
        for gene in self.order:
            mechanism = self.mechanism(gene, cell_type)
            kind = "equation" if isinstance(mechanism, Equation) else "kernel"
            part = f"cell_types.{printable(cell_type, 40)}." if gene in self._type(cell_type) else ""
            where = f"{part}genes.{printable(gene, 40)}.{kind}"
            known = mechanism.symbol_supports(found)
            # what cancels (0 * log(Y)) is not computed, and its gene may be worked out later
            guards = [g for g in mechanism.guards if g.argument.free_symbols <= set(known)]
            check_defined(guards, known, where, in_noises.rewriter(gene, known))
            found[gene] = mechanism.support(found)
        return {gene: found[gene] for gene in self.genes}

    # Draws.

    def sample(
        self,
        n: int,
        rng: np.random.Generator,
        cell_type: str | None = MIXED,
        *,
        shift: Mapping[str, np.ndarray | float] | None = None,
    ) -> np.ndarray:
        """Draw cells.

        Parameters
        ----------
        n
            Number of cells.
        rng
            Random generator.
        cell_type
            A type, ``other`` or None for base cells, or ``mixed``: each cell's type is drawn.
        shift
            What is added to the noise N of a gene: a number, or one per cell, shape ``(n,)``.

        Returns
        -------
        float64, shape ``(n, n_genes)``, columns in the order of the genes.

        Raises
        ------
        InputError
            A value is no finite number.
        """
        return self.sample_noise_and_values(n, rng, cell_type, shift=shift)[1]

    def sample_noise_and_values(
        self,
        n: int,
        rng: np.random.Generator,
        cell_type: str | None = MIXED,
        *,
        shift: Mapping[str, np.ndarray | float] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw cells; noises and values, both ``(n, n_genes)``. Genes without a noise have NaN there."""
        if cell_type != MIXED or len(self.fractions) == 1:
            kind = next(iter(self.fractions)) if cell_type == MIXED else cell_type
            return self._draw(n, rng, kind, shift or {})
        types = self.draw_types(n, rng)
        noises, values = np.empty((2, n, len(self.genes)))
        for code, kind in enumerate(self.fractions):
            cells = np.flatnonzero(types == code)
            part = {gene: _rows(added, cells) for gene, added in (shift or {}).items()}
            noises[cells], values[cells] = self._draw(len(cells), rng, kind, part)
        return noises, values

    def draw_types(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Types of cells, as positions in `fractions`, shape ``(n,)``."""
        shares = np.array(list(self.fractions.values()))
        return rng.choice(len(shares), size=n, p=shares / shares.sum())

    def _draw(
        self, n: int, rng: np.random.Generator, kind: str | None, shift: Mapping[str, np.ndarray | float]
    ) -> tuple[np.ndarray, np.ndarray]:
        noises: dict[str, np.ndarray] = {}
        values: dict[str, np.ndarray] = {}
        for gene in self.order:
            mechanism = self.mechanism(gene, kind)
            if isinstance(mechanism, Kernel):
                values[gene] = mechanism.sample(values, rng, n)
                noises[gene] = np.full(n, np.nan)
                continue
            noise = (
                mechanism.noise.sample(rng, n) + shift.get(gene, 0.0)
                if mechanism.noise
                else np.full(n, np.nan)
            )
            noises[gene] = noise
            values[gene] = checked(np.broadcast_to(mechanism.value(values, noise), (n,)), mechanism.text)
        return _columns(noises, self.genes, n), _columns(values, self.genes, n)

    # Moments.

    def is_affine_in(self, cell_type: str | None = None) -> bool:
        """Whether all equations are affine in parents and noise, in cells of one type."""
        parts = (self.mechanism(gene, cell_type) for gene in self.genes)
        return all(isinstance(part, Equation) and part.affine() is not None for part in parts)

    @cached_property
    def is_affine(self) -> bool:
        """Whether all equations, in every cell type, are affine in parents and noise."""
        return all(map(self.is_affine_in, self.fractions))

    def affine_moments(self, cell_type: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Mean ``(n_genes,)`` and covariance ``(n_genes, n_genes)`` of one cell, from the coefficients.

        Raises
        ------
        InputError
            An equation is not affine, or the model has several cell types and none is named.
        """
        if cell_type is None and len(self.fractions) > 1:
            raise InputError("moments from coefficients are those of one cell type; name one of the model's")
        kind = next(iter(self.fractions)) if cell_type is None else cell_type
        place = {gene: position for position, gene in enumerate(self.genes)}
        mean = np.zeros(len(place))
        loading = np.zeros((len(place), len(place)))  # of the noises, scaled to their standard deviation
        for gene in self.order:
            mechanism, row = self.mechanism(gene, kind), place[gene]
            affine = mechanism.affine() if isinstance(mechanism, Equation) else None
            if affine is None or not isinstance(mechanism, Equation):
                raise InputError(
                    f"genes.{printable(gene, 40)}: {printable(mechanism.text, 60)} is not affine"
                )
            coefficients, scale, constant = affine
            mean[row] = float(constant)
            for parent, weight in coefficients.items():
                mean[row] += float(weight) * mean[place[parent]]
                loading[row] += float(weight) * loading[place[parent]]
            if mechanism.noise:
                mean[row] += float(scale) * mechanism.noise.mean
                loading[row, row] = float(scale) * mechanism.noise.variance**0.5
        return mean, loading @ loading.T

    def moments(self, seed: int = 0, n: int = 2**18) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean, covariance and the standard error of each covariance, by simulation.

        Where all noises are named, 16 randomly shifted Sobol sequences of ``n / 16`` cells each (rounded to a
        power of 2); with kernels or several cell types, 16 samples of random cells. The error is that
        between the 16.

        Examples
        --------
        >>> from poolproof.models import parse_equation
        >>> scm = SCM("one", {"X": parse_equation("exp(N)", "normal(0, 1)", [])})
        >>> mean, covariance, error = scm.moments(n=2**14)
        >>> bool(abs(mean[0] - np.exp(0.5)) < 0.01)
        True
        """
        size = 2 ** max(3, round(np.log2(max(n, 2) / _N_RANDOMISATIONS)))
        means, covariances = [], []
        for part in range(_N_RANDOMISATIONS):
            values = self._spread(size, stream(seed, "moments", part))
            means.append(values.mean(axis=0))
            covariances.append(np.atleast_2d(np.cov(values, rowvar=False)))
        error = np.std(covariances, axis=0, ddof=1) / _N_RANDOMISATIONS**0.5
        return np.mean(means, axis=0), np.mean(covariances, axis=0), error

    def _spread(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Cells from a Sobol sequence in the noises, or random ones where that is not possible."""
        kinds = list(self.fractions)
        parts = {gene: self.mechanism(gene, kinds[0]) for gene in self.order}
        equations = {gene: part for gene, part in parts.items() if isinstance(part, Equation)}
        noisy = [gene for gene, part in equations.items() if part.noise]
        if len(kinds) > 1 or not noisy or len(equations) < len(parts):
            return self.sample(n, rng)
        from scipy.stats import qmc  # loads slowly

        points = (qmc.Sobol(len(noisy), scramble=False).random(n) + rng.random(len(noisy))) % 1
        points = np.clip(points, 1e-12, 1 - 1e-12)
        values: dict[str, np.ndarray] = {}
        for gene, part in equations.items():
            noise = part.noise.quantile(points[:, noisy.index(gene)]) if part.noise else np.nan
            values[gene] = checked(np.broadcast_to(part.value(values, noise), (n,)), part.text)
        return _columns(values, self.genes, n)


class _Noises:
    """Genes of one cell type written in the noises, which are independent of each other.

    A gene with a kernel, or one that would be too long, is a variable of its own.
    """

    def __init__(self, scm: SCM, cell_type: str, found: Mapping[str, Support]) -> None:
        self.scm, self.cell_type, self.found = scm, cell_type, found
        self.written: dict[sympy.Symbol, sympy.Expr] = {}
        self.supports: dict[sympy.Symbol, Support] = {}

    def rewriter(self, gene: str, known: Supports) -> Rewrite:
        """How formulas of a gene are written in noises; long ones stay as they are."""

        def rewrite(expr: sympy.Expr) -> tuple[sympy.Expr, Supports]:
            self._write_ancestors(gene)
            written = self._replaced(expr, gene)
            return (expr, known) if written is None else (written, self.supports)

        return rewrite

    def _write_ancestors(self, gene: str) -> None:
        above = nx.ancestors(self.scm.graph, gene)
        for one in self.scm.order:
            if one in above and gene_symbol(one) not in self.written:
                self.written[gene_symbol(one)] = self._gene(one)

    def _gene(self, gene: str) -> sympy.Expr:
        mechanism = self.scm.mechanism(gene, self.cell_type)
        if isinstance(mechanism, Equation):
            written = self._replaced(mechanism.expression.sympy, gene)
            if written is not None:
                return written
        self.supports[gene_symbol(gene)] = self.found[gene]
        return gene_symbol(gene)

    def _replaced(self, expr: sympy.Expr, gene: str) -> sympy.Expr | None:
        """An expression of a gene's parents and its N in noises, or None where that is too long."""
        parts = {symbol: self.written[symbol] for symbol in expr.free_symbols - {NOISE}}
        mechanism = self.scm.mechanism(gene, self.cell_type)
        if NOISE in expr.free_symbols and isinstance(mechanism, Equation) and mechanism.noise is not None:
            parts[NOISE] = gene_symbol(f"`N` of {gene}")  # no gene's name has backticks
            self.supports[parts[NOISE]] = mechanism.noise.support
        sizes = {symbol: 1 + part.count_ops() for symbol, part in parts.items()}
        if sum(size * expr.count(symbol) for symbol, size in sizes.items()) > MAX_REWRITTEN:
            return None
        return expr.xreplace(parts)


def _check_names(scm: SCM) -> None:
    if not scm.genes:
        raise InputError("genes: a model needs at least one gene")
    if len(scm.genes) > MAX_GENES:
        raise InputError(f"genes: {len(scm.genes):,} genes; a model has at most {MAX_GENES:,}")
    for gene in scm.genes:
        check_name(gene, "genes")
        if gene == NOISE_NAME:
            raise InputError("genes.N: the name N is kept for the noise; give the gene another name")
    for name in scm.cell_types:
        check_name(name, "cell_types")
        if name in (MIXED, BASE):
            raise InputError(
                f"cell_types.{name}: this name is kept for {'all' if name == MIXED else 'base'} cells"
            )


def check_name(name: object, where: str) -> str:
    """Return the name of a gene or a cell type if it is one.

    Raises
    ------
    InputError
        It is empty, longer than 200 characters, or has a backtick or characters that do not print.
    """
    if not isinstance(name, str) or not name.strip() or name != name.strip():
        raise InputError(
            f"{where}: expected a name without blanks around it; found {printable(repr(name), 40)}"
        )
    if len(name) > MAX_NAME:
        raise InputError(
            f"{where}: the name {printable(name, 40)} has {len(name)} characters; at most {MAX_NAME}"
        )
    if "`" in name or not name.isprintable():
        raise InputError(
            f"{where}: the name {printable(name, 40)!r} has a backtick or a character that does not print"
        )
    return name


def _check_fractions(cell_types: Mapping[str, CellType]) -> None:
    for name, one in cell_types.items():
        if not 0 < one.fraction <= 1:
            where = f"cell_types.{printable(name, 40)}.fraction"
            raise InputError(f"{where}: expected a number above 0 and up to 1; found {one.fraction:g}")
    total = fsum(one.fraction for one in cell_types.values())
    if total > 1 + 1e-9:
        raise InputError(f"cell_types: the fractions sum to {total:g}; expected at most 1")


def _check_parents(scm: SCM) -> None:
    for name, one in scm.cell_types.items():
        _check_known(one.genes, scm.genes, f"cell_types.{printable(name, 40)}.genes")
    for kind in scm.fractions:
        for gene in scm.genes:
            parents = scm.mechanism(gene, kind).parents
            if gene in parents:
                raise InputError(f"genes.{printable(gene, 40)}: a gene cannot be its own parent")
            _check_known(parents, scm.genes, f"genes.{printable(gene, 40)}")


def _check_known(names: Any, genes: Mapping[str, Mechanism], where: str) -> None:
    for name in names:
        if name not in genes:
            raise InputError(f"{where}: no gene {printable(name, 40)!r} in the model")


def _rows(added: np.ndarray | float, cells: np.ndarray) -> np.ndarray | float:
    return added[cells] if isinstance(added, np.ndarray) and added.ndim else added


def _columns(values: Mapping[str, np.ndarray], genes: Mapping[str, Mechanism], n: int) -> np.ndarray:
    """Columns in the order of the genes, shape ``(n, n_genes)``."""
    listed = [values[gene] for gene in genes]
    return np.stack(listed).T if listed else np.empty((n, 0))  # each column lies in one piece
