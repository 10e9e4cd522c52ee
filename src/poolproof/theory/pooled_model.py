"""What is worked out once about a model and its pooling, before anything is judged."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import networkx as nx
import numpy as np
import sympy

from .._checks import InputError, printable
from .._random import stream
from ..aggregation import Aggregation
from ..models.algebra import NOISE, NOISE_NAME, gene_symbol
from ..models.laws import Law
from ..models.mechanisms import Equation, Kernel
from ..models.model_file import Model
from ..models.scm import SCM
from ..models.support import Support
from .axis import unequal_weights
from .clock import Clock, out_of_time
from .coincidence import are_independent
from .joint import Joint
from .moments import genes_with_moments
from .normal_form import normal_model
from .numbers import CellNumbers, tell_number
from .one_edge import PASS, UNKNOWN, Edge, Family, judge_family
from .pieces import edge_by_telling
from .witness import axis_functions

MeanCovariance = tuple[np.ndarray, np.ndarray]
ChangedCells = tuple[dict[str, np.ndarray], dict[str, np.ndarray]]
CHANGED = 0.3
"""Share of cells whose parents are drawn anew, in the search under medians."""

MOST_TOLD = 12
"""Joint values of genes up to which it is asked whether sums tell them."""
N_REPEATS = 16
N_CELLS = 2**17
"""Cells of one repeat, where moments have no closed form; fewer where formulas are long."""
FEWEST_CELLS = 2**12
MOST_OPERATIONS = 1_000
"""Operations of a model up to which there are as many."""
GENE = 100
"""Operations that the covariances of one gene are worth."""
SMALLEST_REST = 1e-6
"""Product of standard deviations given others, relative to that without: below, rounding correlates."""


@dataclass(frozen=True, eq=False)
class PoolMoments:
    """Moments of one cell, or what pooling makes of them."""

    covariances: np.ndarray
    """Shape (n_repeats, n_genes, n_genes); one repeat where they are exact."""
    exact: bool

    def partial_correlation(self, x: int, y: int, given: Sequence[int]) -> tuple[float, float]:
        """Partial correlation of genes x and y given others, and its standard error (0 if exact).

        Examples
        --------
        >>> PoolMoments(np.array([[[1.0, 0.5], [0.5, 1.0]]]), True).partial_correlation(0, 1, [])
        (0.5, 0.0)
        """
        chosen = [x, y, *given]
        values = np.array([_partial(c[np.ix_(chosen, chosen)]) for c in self.covariances])
        if self.exact or len(values) == 1:
            return float(values[0]), 0.0
        return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def _partial(covariance: np.ndarray) -> float:
    """Partial correlation of the first two of several variables given the others."""
    a, b, c = covariance[:2, :2], covariance[:2, 2:], covariance[2:, 2:]
    if len(c):
        a = a - b @ np.linalg.lstsq(c, b.T, rcond=1e-12)[0]
    size = np.sqrt(max(a[0, 0], 0.0) * max(a[1, 1], 0.0))
    scale = np.sqrt(covariance[0, 0] * covariance[1, 1])
    return float(np.clip(a[0, 1] / size, -1, 1)) if size > SMALLEST_REST * scale else np.nan


def pool_moments(scm: SCM, aggregation: Aggregation, cells: int | Law, seed: int) -> PoolMoments | None:
    """Covariances of pools up to a factor, as the number of cells grows; None where there is no algebra.

    Sums and means of alike, independent cells have the covariances of one cell. A random number nu adds
    Var(nu)/E(nu) m m' to sums; shares of a total are linearised at their means.

    Parameters
    ----------
    scm
        The model of one cell.
    aggregation
        How cells are pooled. A monotone map changes no independence and is left out.
    cells
        Cells in a pool, or their law.
    seed
        Of the cells that are drawn where moments have no closed form.
    """
    linear = aggregation.inner or aggregation
    if linear.kind == "other":
        return None
    on_axis = linear.kind == "quasi-arithmetic"
    if scm.is_affine and not scm.cell_types and not on_axis:
        mean, covariance = scm.affine_moments()
        means, covariances, exact = mean[None], covariance[None], True
    else:
        n_cells = cells_for_moments(scm)
        draws = (
            _drawn_at_once(scm, linear, seed, n_cells)
            if n_cells == FEWEST_CELLS
            else [_drawn(scm, linear, seed, i, n_cells) for i in range(N_REPEATS)]
        )
        means, covariances = (np.array([d[i] for d in draws]) for i in (0, 1))
        exact = False
    if linear.kind == "composition":
        return PoolMoments(np.array([_closed(m, c) for m, c in zip(means, covariances, strict=True)]), exact)
    if isinstance(cells, Law) and not linear.divides_by_cells and linear.kind == "linear":
        factor = CellNumbers(cells).spread
        covariances = covariances + factor * means[:, :, None] * means[:, None, :]
    return PoolMoments(covariances, exact)


def cells_for_moments(scm: SCM) -> int:
    """Cells of one repeat: fewer, by halves, where the formulas of a model are long."""
    kinds = len(scm.fractions)
    formulas = [
        f
        for m in scm.genes.values()
        for f in (m.formulas if isinstance(m, Kernel) else (m.expression.sympy,))
    ]
    work = sum(1 + f.count_ops() for f in formulas) * kinds**0.5
    work = max(work, GENE * len(scm.genes))
    return max(FEWEST_CELLS, N_CELLS >> max(0, int(np.ceil(np.log2(work / MOST_OPERATIONS)))))


def _drawn(scm: SCM, aggregation: Aggregation, seed: int, repeat: int, n_cells: int) -> MeanCovariance:
    values = scm.sample(n_cells, stream(seed, "cell moments", repeat))
    return _moments_of(axis_functions(aggregation)[0](values))


def _drawn_at_once(scm: SCM, aggregation: Aggregation, seed: int, n_cells: int) -> list[MeanCovariance]:
    """All repeats from one draw: of few cells of many genes the formulas cost more than the cells."""
    values = scm.sample(N_REPEATS * n_cells, stream(seed, "cell moments"))
    return [_moments_of(part) for part in np.split(axis_functions(aggregation)[0](values), N_REPEATS)]


def _moments_of(values: np.ndarray) -> MeanCovariance:
    return values.mean(axis=0), np.cov(values, rowvar=False).reshape(values.shape[1], -1)


def _closed(mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Covariance of shares S / total for many cells, by linearisation at the means, up to a factor."""
    share = mean / mean.sum()
    change = (np.eye(len(mean)) - share[:, None]) / mean.sum()
    return change @ covariance @ change.T


N_CORE = 20_000
"""Cells that are drawn to see where most values lie."""


class PooledModel:
    """A model with its pooling, and what each gene's law given its parents says of sums."""

    def __init__(self, model: Model, seed: int, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        shares = (model.aggregation.inner or model.aggregation).kind == "composition"
        self.in_order: frozenset[str] = frozenset()
        """Genes that follow from their parents in a median or maximum."""
        self.n_statements = 1
        """How many statements are judged, which share the work."""
        self.model, self.scm, self.seed = model, normal_model(model.scm, fill_in=not shares), seed
        self.graph: nx.DiGraph = self.scm.graph
        self.linear = model.aggregation.inner or model.aggregation
        self.cell_numbers = CellNumbers(model.cells)
        self.random_number = self.cell_numbers.varies
        self.numbers = self.cell_numbers.shown
        self.largest = max(self.cell_numbers.occurring)
        self.weights = unequal_weights(self.linear)
        if self.linear.weights is not None and {*self.numbers} != {len(self.linear.weights)}:
            raise InputError(
                f"expected one weight for each cell; found {len(self.linear.weights)} weights and "
                f"{self.largest} cells; set the number of cells to that of the weights"
            )
        self.alike_in = model.aggregation.alike_in
        self.supports = _tighter(self.scm.supports(), model.scm.supports())
        _check_signs(self.supports, self.linear, f"{printable(model.source)}: " if model.source else "")

    @cached_property
    def place(self) -> dict[str, int]:
        """The column of each gene."""
        return {gene: i for i, gene in enumerate(self.scm.genes)}

    @cached_property
    def above(self) -> dict[str, set[str]]:
        """Ancestors of each gene."""
        return {gene: nx.ancestors(self.graph, gene) for gene in self.graph}

    @cached_property
    def cores(self) -> dict[str, tuple[float, float]]:
        """Where most values of each gene lie."""
        drawn = self.scm.sample(N_CORE, stream(self.seed, "cores"))
        low, high = np.quantile(drawn, [0.02, 0.98], axis=0)
        return {g: (float(a), float(b)) for g, a, b in zip(self.scm.genes, low, high, strict=True)}

    @cached_property
    def joint(self) -> Joint:
        """Which values of several genes occur together."""
        return Joint(self.scm, self.supports, self.seed)

    @cached_property
    def _judged(self) -> dict[str, Equation | Kernel]:
        return {
            gene: self.scm.mechanism(gene) if self.clock.is_up else self.joint.judged(gene)
            for gene in self.scm.genes
        }

    def of_types(self, gene: str) -> dict[str, Equation | Kernel]:
        """The mechanism of a gene in each cell type, as it acts on cells that occur."""
        if not self.scm.cell_types:
            return dict.fromkeys(self.scm.fractions, self._judged[gene])
        return {name: self.scm.mechanism(gene, name) for name in self.scm.fractions}

    @cached_property
    def families(self) -> dict[str, Family]:
        """What the one-edge criterion says of each gene."""
        return {gene: self._family(gene) for gene in self.scm.genes}

    def _family(self, gene: str) -> Family:
        if self.clock.is_up:
            edges = dict.fromkeys(self.scm.parents(gene), Edge(UNKNOWN, out_of_time()))
            return Family(edges, False, None, free_parents=False, differs_by_type=bool(self.scm.cell_types))
        mechanisms = list(self.of_types(gene).values())
        found = judge_family(mechanisms, self.supports, self.model.aggregation, self.largest)
        edges = dict(found.edges)
        for parent in self.scm.parents(gene):
            edge = edges.get(parent)
            if edge is None:  # on cells that occur, the other parents say it all
                edges[parent] = Edge(PASS, "a multiple of the parent plus the rest", any_weights=True)
            elif edge.status != PASS and self._sums_may_tell:
                edges[parent] = edge_by_telling(mechanisms[0], parent, self.joint, self.largest) or edge
        parents = self.scm.parents(gene)
        exact = all(self._is_plain_root(p) for p in parents)
        return replace(found, edges=edges, free_parents=exact)

    def _is_plain_root(self, gene: str) -> bool:
        """Whether a gene is free, and its support the one that its law has."""
        mechanism = self.scm.mechanism(gene)
        return not mechanism.parents and isinstance(mechanism, Equation) and mechanism.affine() is not None

    def total_is_free(self, gene: str) -> bool:
        """Whether a gene that nothing follows from, with a noise of its own, can make up any total."""
        shown = {gene, *self.scm.parents(gene)}
        for other in self.scm.genes:
            mechanism = self.scm.mechanism(other)
            if other in shown or self.scm.cell_types or self.graph.out_degree(other):
                continue
            support = self.supports[other]
            if support.kind != "interval" or not np.isinf(support.high):
                continue
            if isinstance(mechanism, Kernel):
                if mechanism.law == "gamma":
                    return True
            elif mechanism.noise is not None and mechanism.noise.support.kind == "interval":
                return True
        return False

    def draw_changed(self, equation: Equation, shape: tuple[int, int]) -> ChangedCells | None:
        """Cells of many pools, and the same with some parents drawn anew; None where parents are free."""
        if self.scm.cell_types or all(self._is_plain_root(p) for p in equation.parents):
            return None
        rng = stream(self.seed, "changed cells")
        n = shape[0] * shape[1]
        place = {g: i for i, g in enumerate(self.scm.genes)}
        first, other = (self.scm.sample(n, rng) for _ in range(2))
        changed = rng.random(n) < CHANGED
        second = np.where(changed[:, None], other, first)
        pools = [{p: v[:, place[p]].reshape(shape) for p in equation.parents} for v in (first, second)]
        if equation.noise is not None:
            noise = equation.noise.sample(rng, n).reshape(shape)
            pools = [{**pool, NOISE_NAME: noise} for pool in pools]
        return pools[0], pools[1]

    def learn(self, kept: Mapping[str, str]) -> None:
        """Take in forms that hold, with their scope: the pooled gene then follows its parents' sums."""
        if self.linear.kind == "other" and not self.scm.cell_types and not self.alike_in:
            self.in_order = frozenset(g for g in kept if self.scm.parents(g))
        if not self.has_algebra or self.random_number or self.scm.cell_types or self.alike_in:
            return
        for gene, quantifier in kept.items():
            family = self.families[gene]
            edges = {
                p: e if e.status == PASS else Edge(PASS, "the form holds", any_cells=quantifier == "uniform")
                for p, e in family.edges.items()
            }
            self.families[gene] = replace(family, edges=edges)

    def tell_number(self, genes: Collection[str]) -> bool:
        """Whether the sums of some genes surely tell a number of cells that varies."""
        if self.linear.kind != "linear" or self.linear.divides_by_cells or self.by_type:
            return False
        mechanisms = {g: self.scm.mechanism(g) for g in genes}
        return tell_number(genes, mechanisms, self.supports, self.cell_numbers)

    def tell_cells(self, genes: Sequence[str]) -> bool:
        """Whether the sums of some genes surely tell which of their joint values occur, and how often.

        Cells are alike and independent; so what is independent in a cell given these genes is so in pools:
        given all of their cells the ends are, and the law of a sum depends on how often each value occurs.
        """
        if not self.cells_are_alike or self.weights is not None or self.linear.kind != "linear":
            return False
        key = tuple(sorted(genes))
        if key not in self._telling:
            states = self.joint.states(key) if key else []
            few = states is not None and len(states) <= MOST_TOLD
            self._telling[key] = few and bool(not key or are_independent(states or []))
        return self._telling[key]

    @cached_property
    def _telling(self) -> dict[tuple[str, ...], bool]:
        return {}

    @cached_property
    def with_moments(self) -> frozenset[str]:
        """Genes that surely have all moments on the axis of the aggregation."""
        exponent = self.linear.exponent
        if exponent is not None and exponent < 0:
            return frozenset(g for g, s in self.supports.items() if s.low > 0)
        return genes_with_moments(self.scm)

    @property
    def _sums_may_tell(self) -> bool:
        plain = self.linear.kind == "linear" and self.weights is None
        return plain and not self.random_number and not self.scm.cell_types

    @cached_property
    def moments(self) -> PoolMoments | None:
        """Covariances of pools of many cells."""
        if self.clock.is_up:
            return None
        return pool_moments(self.scm, self.model.aggregation, self.model.cells, self.seed)

    @property
    def has_algebra(self) -> bool:
        """Whether pooling is a sum on some axis."""
        return self.linear.kind in ("linear", "quasi-arithmetic")

    @property
    def is_one_cell(self) -> bool:
        """Whether a pool is a single cell, as it is."""
        return self.largest == 1 and self.linear.kind != "composition"

    def passes(self, gene: str, parent: str) -> bool:
        """Whether the pooled gene depends on that parent's sum only."""
        return self.is_one_cell or self.families[gene].edges[parent].status == PASS

    @cached_property
    def keeps_everything(self) -> bool:
        """Whether pools surely obey the graph of the cells: every edge passes, and nothing is hidden."""
        hidden = self.by_type or self.by_number
        return not hidden and all(self.passes(child, parent) for parent, child in self.graph.edges)

    @cached_property
    def by_type(self) -> list[str]:
        """Genes whose law depends on the type of the cell."""
        return [g for g, family in self.families.items() if family.differs_by_type]

    @cached_property
    def by_number(self) -> list[str]:
        """Genes whose pooled law depends directly on a number of cells that varies."""
        if not self.random_number:
            return []
        if self.linear.divides_by_cells:
            return [
                g
                for g, family in self.families.items()
                if family.differs_by_type or not _is_silent(self.scm.mechanism(g))
            ]
        return [g for g, family in self.families.items() if not family.no_constant]

    @property
    def cells_are_alike(self) -> bool:
        """Whether cells are independent draws of one model."""
        return not self.scm.cell_types and not self.random_number

    def passes_reversed(self, gene: str, parents: frozenset[str]) -> frozenset[str]:
        """Parents, in an equivalent graph, on whose sums alone the pooled gene depends."""
        if len(parents) == 1 and self.weights is None:
            (only,) = parents
            if self.supports[only].kind == "finite" and len(self.supports[only].values) == 2:
                return parents
            if self._gamma_of_poisson(gene, only) or self._poisson_and_part(gene, only):
                return parents
        return parents if self.is_gaussian({gene, *parents}) else frozenset()

    def _gamma_of_poisson(self, gene: str, child: str) -> bool:
        """A gamma rate given its Poisson count is gamma again, its shape affine in the count."""
        root, kernel = self.scm.mechanism(gene), self.scm.mechanism(child)
        if self.linear.kind != "linear" or not isinstance(root, Equation) or not isinstance(kernel, Kernel):
            return False
        if root.parents or root.noise is None or root.noise.name not in ("gamma", "exponential"):
            return False
        plain = root.affine()
        scaled = plain is not None and plain[1] > 0 and plain[2] == 0
        alone = kernel.law == "poisson" and kernel.parents == (gene,)
        return bool(scaled and alone and self.families[child].no_constant and self.passes(child, gene))

    def _poisson_and_part(self, gene: str, child: str) -> bool:
        """A Poisson count and a part of it, at random: the rest is a Poisson count of its own.

        So the whole given the part is the part and an independent count (thinning), and the part given the
        whole is binomial (splitting): both laws depend on sums only.
        """
        if self.linear.kind != "linear" or not self._is_poisson(gene):
            return False
        made = self.scm.mechanism(child)
        if isinstance(made, Kernel):
            chosen = made.law == "binomial" and not made.formulas[1].free_symbols
            return chosen and made.formulas[0] == gene_symbol(gene)
        added = made.noise is not None and made.noise.name == "poisson"
        return added and made.expression.sympy == gene_symbol(gene) + NOISE

    def _is_poisson(self, gene: str) -> bool:
        """Whether a gene surely is a Poisson count: a root, part of one, or independent ones added up."""
        mechanism = self.scm.mechanism(gene)
        parents = mechanism.parents
        if isinstance(mechanism, Kernel):
            part = mechanism.law == "binomial" and not mechanism.formulas[1].free_symbols
            return part and mechanism.formulas[0].is_Symbol and self._is_poisson(parents[0])
        noise = [] if mechanism.noise is None else [NOISE]
        if mechanism.noise is not None and mechanism.noise.name != "poisson":
            return False
        if not parents and not noise:
            return False
        plain = mechanism.expression.sympy == sympy.Add(*map(gene_symbol, parents), *noise)
        return plain and self.joint.are_free(parents) and all(map(self._is_poisson, parents))

    def is_gaussian(self, genes: Iterable[str]) -> bool:
        """Whether some genes are jointly Gaussian: all their ancestors affine with Gaussian noise."""
        if self.linear.kind != "linear":
            return False
        start = set(genes)
        for gene in start.union(*(nx.ancestors(self.graph, g) for g in start)):
            mechanism = self.scm.mechanism(gene)
            if not isinstance(mechanism, Equation) or mechanism.affine() is None:
                return False
            if mechanism.noise is not None and not (
                mechanism.noise.is_gaussian or mechanism.noise.is_constant
            ):
                return False
        return True


def _tighter(found: Mapping[str, Support], written: Mapping[str, Support]) -> dict[str, Support]:
    """Of two supports of a gene the smaller: a formula in normal form may hide its range."""
    return {
        gene: before if one.kind == "interval" and before.low >= one.low and before.high <= one.high else one
        for gene, one, before in ((gene, one, written[gene]) for gene, one in found.items())
    }


def _check_signs(supports: Mapping[str, Support], aggregation: Aggregation, place: str) -> None:
    """Shares and power means are of amounts, which are not negative."""
    if aggregation.kind not in ("composition", "quasi-arithmetic"):
        return
    above = aggregation.name in ("geometric", "harmonic")
    least = "above" if above else "of at least"
    for gene, support in supports.items():
        zero = above and support.low == 0 and (support.kind != "interval" or not support.open_low)
        if support.low < 0 or zero:
            raise InputError(
                f"{place}aggregation: {aggregation.name} needs values {least} 0; "
                f"gene {printable(gene, 40)} can be as low as {support.low:g}; give it a positive noise, or "
                "take another aggregation"
            )


def _is_silent(mechanism: Equation | Kernel) -> bool:
    """A deterministic affine equation with parents: its mean does not know how many cells there are."""
    if not isinstance(mechanism, Equation) or not mechanism.parents:
        return False
    affine = mechanism.affine()
    return affine is not None and (mechanism.noise is None or affine[1] == 0)
