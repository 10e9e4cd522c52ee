"""What a pool does to its cells: sums, means, power means, shares, medians (method 1)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from ._arrays import dense_columns
from ._checks import InputError, check_range, finite_number, positive_number, printable
from ._grouping import check_groups, divide_rows, indicator, medians, runs

LINEAR, QUASI_ARITHMETIC, MAPPED, COMPOSITION, OTHER = KINDS = (
    "linear",
    "quasi-arithmetic",
    "mapped",
    "composition",
    "other",
)
SIMILARITY = "similarity"
MAX_WEIGHTS = 100_000
MAX_EXPONENT = 100.0
BLOCK_VALUES = 2**22
"""Values of a sparse matrix that are made dense at a time."""


@dataclass(frozen=True)
class Log1p:
    """The strictly rising map S -> log(1 + scale S) of a pooled value, per gene."""

    scale: float = 1.0

    def forward(self, pooled: np.ndarray) -> np.ndarray:
        """Map pooled values; InputError where 1 + scale S is not above 0."""
        check_range(pooled * self.scale > -1.0, pooled, "log1p", f"above {-1.0 / self.scale:g}")
        return np.log1p(self.scale * pooled)

    def inverse(self, mapped: np.ndarray) -> np.ndarray:
        """Map back."""
        return np.expm1(mapped) / self.scale


@dataclass(frozen=True)
class Aggregation:
    """How a pool's value of a gene follows from the values of its cells.

    Make one with the constructors (``Aggregation.sum()``) or with :func:`parse_aggregation`.

    Examples
    --------
    >>> cells = np.array([[1.0, 0.0], [3.0, 2.0], [5.0, 4.0]])
    >>> Aggregation.mean().pool(cells, np.array([0, 0, 1]), n_groups=2)
    array([[2., 1.],
           [5., 4.]])
    >>> print(Aggregation.log1p(Aggregation.sum(), scale=0.5))
    log1p(0.5 * sum)
    """

    kind: str
    """``linear``, ``quasi-arithmetic``, ``mapped``, ``composition`` or ``other``."""
    name: str
    """Short text that says which one, such as ``power(2)``."""
    sentence: str
    """What it does, in words."""
    weights: tuple[float, ...] | None = None
    """Weight of each cell of a pool, in the order of its rows; None: all 1."""
    divides_by_cells: bool = False
    """Whether the sum over cells is divided by their number."""
    exponent: float | None = None
    """Exponent of a power mean: 0 is the geometric mean, -1 the harmonic one."""
    scale: float | None = None
    """What the shares of a pool add up to, in a composition."""
    outer: Log1p | None = None
    """Map of the pooled value, after ``inner``."""
    inner: Aggregation | None = None
    """What is done before the map ``outer``."""
    by: tuple[str, ...] = ()
    """Genes whose values the cells of a pool share (metacells); none: cells come together by chance."""

    @classmethod
    def sum(cls) -> Aggregation:
        """Sum over cells: molecules add."""
        return cls(LINEAR, "sum", "adds the cells of a pool")

    @classmethod
    def mean(cls) -> Aggregation:
        """Mean over cells."""
        sentence = "adds the cells of a pool and divides by their number"
        return cls(LINEAR, "mean", sentence, divides_by_cells=True)

    @classmethod
    def similarity(cls, by: Sequence[str], name: str = "sum") -> Aggregation:
        """Sum or mean over cells that are alike in genes ``by`` (method 5); InputError without such genes."""
        genes = (by,) if isinstance(by, str) else tuple(by)
        if not genes or not all(isinstance(g, str) and g for g in genes) or len(set(genes)) < len(genes):
            raise InputError("similarity needs by: a list of different genes in which cells are alike")
        plain = cls.mean() if name == "mean" else cls.sum()
        shown = printable(", ".join(genes[:5]) + (", ..." if len(genes) > 5 else ""), 80)
        alike = f"{plain.sentence}; cells of a pool are alike in {shown}"
        return replace(plain, name=f"{name}(similarity by {shown})", sentence=alike, by=genes)

    @classmethod
    def weighted(cls, weights: Sequence[float]) -> Aggregation:
        """Sum over cells with a positive weight for each cell, the same for all genes.

        Raises
        ------
        InputError
            There are no weights, or one is not a positive number.
        """
        numbers = tuple(finite_number(weight, "a weight") for weight in weights)
        if not 1 <= len(numbers) <= MAX_WEIGHTS:
            raise InputError(f"weights must be 1 to {MAX_WEIGHTS:,} numbers; found {len(numbers):,}")
        if min(numbers) <= 0:
            raise InputError(f"weights must be above 0; found {min(numbers):g}")
        shown = ", ".join(f"{weight:g}" for weight in numbers[:5]) + (", ..." if len(numbers) > 5 else "")
        sentence = f"adds the {len(numbers)} cells of a pool, each times its own weight"
        return cls(LINEAR, f"weights({shown})", sentence, weights=numbers)

    @classmethod
    def power(cls, exponent: float) -> Aggregation:
        """Power mean (mean of x^p)^(1/p) of values of at least 0; p = 0 is the geometric mean.

        Raises
        ------
        InputError
            The exponent is not a number between -100 and 100.
        """
        p = finite_number(exponent, "the exponent of power")
        if abs(p) > MAX_EXPONENT:
            raise InputError(f"the exponent of power must lie between -100 and 100; found {p:g}")
        if p == 1.0:
            return cls.mean()
        names = {0.0: "geometric", -1.0: "harmonic"}
        words = {0.0: "logarithms", -1.0: "reciprocals"}.get(p, f"cells to the power {p:g}")
        sentence = f"takes the mean of the {words} of a pool, and goes back"
        return cls(QUASI_ARITHMETIC, names.get(p, f"power({_text(p)})"), sentence, None, True, p)

    @classmethod
    def geometric(cls) -> Aggregation:
        """Geometric mean of values of at least 0; one cell with 0 makes it 0."""
        return cls.power(0.0)

    @classmethod
    def harmonic(cls) -> Aggregation:
        """Harmonic mean of values of at least 0; one cell with 0 makes it 0."""
        return cls.power(-1.0)

    @classmethod
    def cpm(cls, scale: float = 1e6, log: bool = False) -> Aggregation:
        """Share of each gene in the pool's total, times ``scale``; with ``log``, log1p of that.

        A pool whose total is 0 has no shares: NaN.

        Raises
        ------
        InputError
            The scale is not a positive number.
        """
        factor = positive_number(scale, "the scale of cpm")
        name = "cpm" if factor == 1e6 else f"cpm({_text(factor)})"
        sentence = f"adds the cells of a pool and scales each pool's total over all genes to {factor:g}"
        shares = cls(COMPOSITION, name, sentence, scale=factor)
        return cls.log1p(shares) if log else shares

    @classmethod
    def log1p(cls, inner: Aggregation, scale: float = 1.0) -> Aggregation:
        """Return log(1 + scale S) of a linear or composition aggregation S.

        Raises
        ------
        InputError
            The scale is not a positive number, or ``inner`` is neither linear nor a composition.
        """
        factor = positive_number(scale, "the scale of log1p")
        if inner.kind not in (LINEAR, COMPOSITION) or inner.outer:
            raise InputError(f"log1p goes over sum, mean, weights or cpm; found {inner.name}")
        kind = MAPPED if inner.kind == LINEAR else COMPOSITION
        factor_text = "" if factor == 1.0 else f"{_text(factor)} * "
        sentence = f"{inner.sentence}, then takes log(1 + {factor_text}value) gene by gene"
        return cls(kind, f"log1p({factor_text}{inner.name})", sentence, outer=Log1p(factor), inner=inner)

    @classmethod
    def median(cls) -> Aggregation:
        """Median over cells, gene by gene."""
        return cls(OTHER, "median", "takes the median over the cells of a pool, gene by gene")

    @classmethod
    def maximum(cls) -> Aggregation:
        """Largest cell, gene by gene."""
        return cls(OTHER, "max", "takes the largest value among the cells of a pool, gene by gene")

    def __str__(self) -> str:
        return self.name

    @property
    def spec(self) -> str | dict[str, Any]:
        """The form that a model file uses; :func:`parse_aggregation` reads it back.

        Examples
        --------
        >>> Aggregation.log1p(Aggregation.weighted([1, 2])).spec
        {'log1p': {'weights': [1.0, 2.0]}, 'scale': 1.0}
        """
        if self.outer and self.inner:
            return {"log1p": self.inner.spec, "scale": self.outer.scale}
        if self.weights is not None:
            return {"weights": list(self.weights)}
        if self.by:
            return {"mean" if self.divides_by_cells else "sum": SIMILARITY, "by": list(self.by)}
        if self.kind == COMPOSITION and self.scale != 1e6:
            return {"cpm": self.scale}
        return self.name

    @property
    def alike_in(self) -> tuple[str, ...]:
        """Genes whose values the cells of a pool share, also where a map follows; none: by chance."""
        return self.inner.by if self.inner else self.by

    @property
    def adds_parts(self) -> bool:
        """Whether parts of a pool may be added, a zero adding nothing: zeros of sparse cells stay out."""
        return self.kind != OTHER and (self.exponent is None or self.exponent > 0)

    @property
    def axis(self) -> tuple[Any, Any] | None:
        """The axis phi on which a power mean is linear, and back, as ``sympy.Lambda``; None for others.

        Examples
        --------
        >>> Aggregation.geometric().axis
        (Lambda(x, log(x)), Lambda(x, exp(x)))
        """
        if self.exponent is None:
            return None
        import sympy

        x = sympy.Symbol("x", positive=True)
        if self.exponent == 0.0:
            return sympy.Lambda(x, sympy.log(x)), sympy.Lambda(x, sympy.exp(x))
        p = sympy.Rational(str(self.exponent))
        return sympy.Lambda(x, x**p), sympy.Lambda(x, x ** (1 / p))

    @property
    def merge(self) -> np.ufunc | None:
        """How parts of a pool combine: ``numpy.add``, ``numpy.maximum``, or None where they do not."""
        if self.kind == OTHER:
            return np.maximum if self.name == "max" else None
        return np.add

    @property
    def cell_weights(self) -> tuple[float, ...] | None:
        """Weight of each cell of a pool, also where a map follows; None: all 1."""
        return self.inner.weights if self.inner else self.weights

    def on_axis(self, values: np.ndarray) -> np.ndarray:
        """Values of cells as they are merged: on the axis of a power mean, unchanged else.

        Raises
        ------
        InputError
            A power mean or a composition of a negative value.

        Examples
        --------
        >>> Aggregation.harmonic().on_axis(np.array([2.0, 4.0]))
        array([0.5 , 0.25])
        """
        if self.exponent is None:
            if self.kind == COMPOSITION:
                check_range(values >= 0, values, self.name, "of at least 0")
            return values
        check_range(values >= 0, values, self.name, "of at least 0")
        with np.errstate(divide="ignore", over="ignore"):
            return np.log(values) if self.exponent == 0 else np.power(values, self.exponent)

    def finish(self, totals: np.ndarray, n_cells: np.ndarray) -> np.ndarray:
        """From merged cells to the pools' values.

        Parameters
        ----------
        totals
            Merged values of :meth:`on_axis`, shape ``(n_pools, n_genes)``.
        n_cells
            Cells of each pool, shape ``(n_pools,)``.

        Returns
        -------
        Shape ``(n_pools, n_genes)``; NaN where a pool has no value: a mean or maximum of no cells, shares
        of a total of 0.

        Raises
        ------
        InputError
            log1p of a value that is too small.
        """
        if self.outer and self.inner:
            return self.outer.forward(self.inner.finish(totals, n_cells))
        sizes = np.asarray(n_cells, dtype=np.float64)[:, None]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            if self.kind == COMPOSITION:
                return totals / totals.sum(axis=1, keepdims=True) * self.scale
            if self.kind == OTHER:
                return np.where(sizes > 0, totals, np.nan)
            if self.divides_by_cells:
                totals = totals / sizes
            if self.exponent is None:
                return totals
            return np.exp(totals) if self.exponent == 0 else np.power(totals, 1.0 / self.exponent)

    def pool(self, values: Any, groups: np.ndarray, n_groups: int) -> Any:
        """Pool the rows of a matrix.

        Parameters
        ----------
        values
            Cells x genes, dense or sparse.
        groups
            Pool of each row, shape ``(n_cells,)``: whole numbers from 0 to ``n_groups - 1``; -1: in no pool.
        n_groups
            Number of pools.

        Returns
        -------
        Shape ``(n_groups, n_genes)``, float64: sparse (CSR) for sparse values and a linear aggregation, else
        dense. A pool without cells is 0 in a sum, its log1p included, and NaN in every other aggregation.

        Raises
        ------
        InputError
            Shapes do not fit, a group is out of range, a pool has not as many cells as there are weights, or
            a value is outside the domain of the aggregation.

        Examples
        --------
        >>> cells = sp.csr_matrix([[1, 0], [2, 0], [0, 4]])
        >>> Aggregation.sum().pool(cells, np.array([0, -1, 0]), 1).toarray()
        array([[1., 4.]])
        """
        sparse = sp.issparse(values)
        values = values if sparse else np.asarray(values, dtype=np.float64)
        groups = check_groups(values, groups, n_groups)
        self.check_sizes(np.bincount(groups[groups >= 0], minlength=n_groups))
        method = self._pool_sparse if sparse else self._pool_dense
        return method(values, groups, n_groups)

    def pool_blocks(self, values: np.ndarray) -> np.ndarray:
        """Pools of equally many cells, shape ``(n_pools, n_cells, n_genes)`` -> ``(n_pools, n_genes)``.

        Raises
        ------
        InputError
            Pools are empty, have not as many cells as there are weights, or hold a value outside the domain.

        Examples
        --------
        >>> Aggregation.maximum().pool_blocks(np.arange(8.0).reshape(2, 2, 2))
        array([[2., 3.],
               [6., 7.]])
        """
        values = np.asarray(values, dtype=np.float64)
        if values.ndim != 3 or values.shape[1] == 0:
            raise InputError(f"pools x cells x genes expected, cells at least 1; found shape {values.shape}")
        n_pools, n_cells, _ = values.shape
        sizes = np.full(n_pools, n_cells)
        self.check_sizes(sizes)
        if self.merge is None:
            return np.median(values, axis=1)
        on_axis = self.on_axis(values)
        if self.cell_weights is not None:
            return self.finish(np.einsum("k,pkg->pg", self.cell_weights, on_axis), sizes)
        return self.finish(self.merge.reduce(on_axis, axis=1), sizes)

    def check_sizes(self, n_cells: np.ndarray) -> None:
        """Raise InputError unless pools have as many cells as there are weights."""
        if self.cell_weights is None:
            return
        wrong = np.flatnonzero(n_cells != len(self.cell_weights))
        if len(wrong):
            raise InputError(
                f"{self.name} needs pools of exactly {len(self.cell_weights)} cells; pool {wrong[0]} has "
                f"{n_cells[wrong[0]]}"
            )

    def _pool_sparse(self, values: Any, groups: np.ndarray, n_groups: int) -> Any:
        if not self.adds_parts:
            return self._pool_columns(values, groups, n_groups)
        used = values.tocsr()[groups >= 0].astype(np.float64)
        used.data = self.on_axis(used.data)
        weight = indicator(groups[groups >= 0], n_groups, self.cell_weights)
        totals, sizes = (weight @ used).tocsr(), np.bincount(groups[groups >= 0], minlength=n_groups)
        if self.kind != LINEAR:
            return self.finish(totals.toarray(), sizes)
        return divide_rows(totals, sizes) if self.divides_by_cells else totals

    def _pool_columns(self, values: Any, groups: np.ndarray, n_groups: int) -> np.ndarray:
        """Make a few genes dense at a time."""
        n_cells, n_genes = values.shape
        pooled, columns = np.empty((n_groups, n_genes)), values.tocsc()
        for genes in runs(n_genes, 1 + BLOCK_VALUES // max(1, n_cells)):
            pooled[:, genes] = self._pool_dense(dense_columns(columns, genes), groups, n_groups)
        return pooled

    def _pool_dense(self, values: np.ndarray, groups: np.ndarray, n_groups: int) -> np.ndarray:
        order = np.argsort(groups, kind="stable")[np.count_nonzero(groups < 0) :]
        sizes = np.bincount(groups[order], minlength=n_groups)
        used = values[order]
        if self.merge is None:
            return medians(used, sizes)
        totals = np.zeros((n_groups, values.shape[1]))
        starts = (np.cumsum(sizes) - sizes)[sizes > 0]
        if self.merge is np.add:
            totals = indicator(groups[order], n_groups, self.cell_weights) @ self.on_axis(used)
        elif len(starts):
            totals[sizes > 0] = self.merge.reduceat(self.on_axis(used), starts, axis=0)
        return self.finish(totals, sizes)


def parse_aggregation(spec: Any, where: str = "aggregation") -> Aggregation:
    """Read the aggregation of a model file.

    Parameters
    ----------
    spec
        ``sum``, ``mean``, ``geometric``, ``harmonic``, ``power(p)``, ``median``, ``max``, ``cpm``,
        ``{"cpm": scale}``, ``{"weights": [...]}``, ``{"sum": "similarity", "by": [genes]}`` or
        ``{"log1p": spec, "scale": factor}``.
    where
        Place in the file, for messages.

    Raises
    ------
    InputError
        It is none of these; the message starts with ``where``.

    Examples
    --------
    >>> parse_aggregation({"log1p": "sum", "scale": 0.1}).kind
    'mapped'
    """
    try:
        if isinstance(spec, str):
            return _parse_text(spec.strip())
        if isinstance(spec, Mapping):
            return _parse_mapping(spec)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    raise InputError(f"{where}: {_EXPECTED}; found {printable(repr(spec))}")


_NAMED = {
    "sum": Aggregation.sum,
    "mean": Aggregation.mean,
    "geometric": Aggregation.geometric,
    "harmonic": Aggregation.harmonic,
    "median": Aggregation.median,
    "max": Aggregation.maximum,
    "cpm": Aggregation.cpm,
}
_EXPECTED = f"expected {', '.join(_NAMED)}, power(p), {{log1p: ..., scale: ...}} or {{weights: [...]}}"


def _parse_text(text: str) -> Aggregation:
    if text in _NAMED:
        return _NAMED[text]()
    power = re.fullmatch(r"power\(\s*([-+.0-9eE]{1,30})\s*\)", text)
    if power:
        return Aggregation.power(finite_number(power[1], "the exponent of power"))
    raise InputError(f"{_EXPECTED}; found {printable(text)!r}")


def _parse_mapping(spec: Mapping[Any, Any]) -> Aggregation:
    if set(spec) == {"weights"} and isinstance(spec["weights"], Sequence):
        if isinstance(spec["weights"], str):
            raise InputError(f"weights must be a list of numbers; found {printable(spec['weights'])!r}")
        return Aggregation.weighted(spec["weights"])
    for name in ("sum", "mean"):
        if set(spec) == {name, "by"}:
            if spec[name] != SIMILARITY:
                raise InputError(f"by goes with {{{name}: {SIMILARITY}}}; found {printable(spec[name])!r}")
            by = spec["by"]
            return Aggregation.similarity(by if isinstance(by, list | tuple | str) else (), name)
    if set(spec) == {"cpm"}:
        return Aggregation.cpm(spec["cpm"])
    if "log1p" in spec and set(spec) <= {"log1p", "scale"}:
        if isinstance(spec["log1p"], Mapping) and "log1p" in spec["log1p"]:
            raise InputError("log1p goes over sum, mean, weights or cpm; found log1p")
        return Aggregation.log1p(parse_aggregation(spec["log1p"], "log1p"), spec.get("scale", 1.0))
    raise InputError(f"{_EXPECTED}; found the keys {printable(', '.join(map(str, spec)))}")


def _text(number: float) -> str:
    """The shortest text that reads back as the number."""
    return repr(number).removesuffix(".0")
