"""A system of genes as planning sees it: what pairs of cells explain in each other, and how cells vary."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from .._checks import InputError

MOST_BENT = 0.9
"""Largest part of what a pair explains that is taken to be bend."""


@dataclass(frozen=True, eq=False)
class System:
    """Pairs of genes in single cells, noise of counting taken out; arrays have shape ``(m,)``.

    The pairs stand for all pairs that would be tested, unrelated ones included.
    """

    line: np.ndarray
    """Share of the variance of y (over cells of one donor) that the line of x explains."""
    bend: np.ndarray
    """Share that the bends of x explain."""
    molecules_x: np.ndarray
    """Mean count of x in a cell at `depth`; infinite: values that are not counted."""
    molecules_y: np.ndarray
    cv2_x: np.ndarray
    """Variance of the level of x over cells of one donor, over its squared mean."""
    cv2_y: np.ndarray
    n22: np.ndarray
    """Excess kurtosis + 2 - squared skewness of the level of x over cells."""
    between_x: np.ndarray
    """Variance over donors, over that inside them."""
    between_y: np.ndarray
    line_between: np.ndarray
    """Share of the variance over donors that the line explains there."""
    n_pairs: float
    """Ordered pairs that would be tested."""
    depth: float
    """Molecules of a cell over all genes, at which `molecules_x` was read; NaN: not counted."""
    saturation: float = 0.0
    """Of the sequencing at that depth: 1 - molecules / reads."""
    dependence: float = 1.0
    """By how much the errors of pairs hang together: measured variance of the bend share over that of
    independent pairs; NaN: not known, and the error of the share is not either."""
    n_measured: float = 10_000.0
    """Pairs to which `dependence` belongs: more pairs share the samples, and narrow the share no further."""
    genes_error: float = 0.0
    """Standard error of the bend share over genes, which more samples do not lessen."""
    distortion: float = 0.0
    """Root mean square of what pooling adds to a partial correlation; NaN: not known."""
    higher: float = 0.0
    """Part of the bends beyond degree 2, which pools lose faster."""
    spread: float = 1.0
    """Variance of the noise along the bend over its mean."""
    unknown: tuple[str, ...] = ()
    """Sentences: what could not be told, and what was taken instead."""
    source: str = "numbers by hand"
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def counted(self) -> bool:
        """Whether values are counts, with their noise."""
        return bool(np.isfinite(self.depth))

    @property
    def bend_share(self) -> float:
        """Bend share of all pairs, weighted by their variance."""
        whole = float((self.line + self.bend).sum())
        return float(self.bend.sum()) / whole if whole > 0 else float("nan")

    def at_quantiles(self, n: int) -> System:
        """At most n of the pairs, at even steps of what counts of both show of the line."""
        m = len(self.line)
        if m <= n:
            return self
        noise = (1 + 1 / (self.molecules_x * self.cv2_x)) * (1 + 1 / (self.molecules_y * self.cv2_y))
        order = np.argsort(self.line / noise, kind="stable")
        at = order[((np.arange(n) + 0.5) * m / n).astype(int)]
        arrays = {f.name: getattr(self, f.name)[at] for f in fields(self) if _is_array(getattr(self, f.name))}
        return replace(self, **arrays)


def _is_array(value: object) -> bool:
    return isinstance(value, np.ndarray)


def by_hand(
    *,
    r2: float = 0.1,
    bend_share: float = 0.15,
    related: float = 0.1,
    n_genes: int = 1000,
    molecules: float = np.inf,
    depth: float = np.nan,
    saturation: float = 0.0,
    cv2: float = 0.5,
    n22: float = 3.0,
    between: float = 0.0,
    r2_between: float = 0.0,
    distortion: float = 0.03,
    genes_error: float = 0.02,
    n_pairs: int = 400,
) -> System:
    """A system from a few numbers: a part of the pairs is related, their r2 exponentially spread.

    Parameters
    ----------
    r2
        Mean share of the variance of y that x explains, of related pairs, in cells.
    bend_share
        Part of it that is bend.
    related
        Part of the pairs that are related at all.
    n_genes
        Genes that would be tested.
    molecules
        Mean count of a gene in a cell; infinite: values are not counted.
    depth
        Molecules of a cell over all genes.
    saturation
        Of the sequencing, 0 to 1: 1 - molecules / reads.
    cv2
        Variance of a gene's level over cells, over its squared mean.
    n22
        Excess kurtosis + 2 - squared skewness of a level over cells: 2 normal, 3 gamma of shape 2.
    between
        Variance of a gene over donors, over that inside them.
    r2_between
        As ``r2``, over donors.
    distortion
        Root mean square of what pooling adds to a partial correlation.
    genes_error
        Standard error of the bend share over genes, which samples do not lessen (.00 to .05 in data sets).
    n_pairs
        Pairs that stand for all.

    Raises
    ------
    InputError
        A number is outside its range.

    Examples
    --------
    >>> system = by_hand(r2=0.1, bend_share=0.2, related=0.5)
    >>> round(system.bend_share, 3), round(float((system.line + system.bend)[:200].mean()), 2)
    (0.2, 0.1)
    """
    for name, value in (("r2", r2), ("bend_share", bend_share), ("related", related)):
        if not 0 <= value <= 1:
            raise InputError(f"expected {name} between 0 and 1; found {value:g}")
    for name, value in (("cv2", cv2), ("n22", n22), ("molecules", molecules)):
        if not value > 0:
            raise InputError(f"expected {name} above 0; found {value:g}")
    if not 0 <= saturation < 1:
        raise InputError(f"expected saturation from 0 to below 1; found {saturation:g}")
    count = max(round(related * n_pairs), 1) if related > 0 else 0
    explained = np.zeros(n_pairs)
    explained[:count] = _exponential(count, r2)
    of_donors = np.zeros(n_pairs)
    of_donors[:count] = _exponential(count, r2_between)
    every = np.ones(n_pairs)
    line, bend = split_explained(explained, bend_share)
    return System(
        line=line,
        bend=bend,
        molecules_x=every * molecules,
        molecules_y=every * molecules,
        cv2_x=every * cv2,
        cv2_y=every * cv2,
        n22=every * n22,
        between_x=every * between,
        between_y=every * between,
        line_between=of_donors,
        n_pairs=n_genes * (n_genes - 1),
        depth=depth if np.isfinite(molecules) else np.nan,
        saturation=saturation,
        distortion=distortion,
        genes_error=genes_error,
    )


def _exponential(n: int, mean: float) -> np.ndarray:
    """Quantiles of an exponential law, cut at .9, with this mean."""
    if n == 0 or mean <= 0:
        return np.zeros(n)
    values = -np.log1p(-(np.arange(n) + 0.5) / n)
    values = np.minimum(values * mean / values.mean(), 0.9)
    return np.asarray(values * mean / values.mean())


def bend_weights(n: int) -> np.ndarray:
    """Weights of mean 1 by which bends differ between pairs of one strength: squares of normal effects.

    Shuffled by the golden ratio, so that they do not go with strength.
    """
    from scipy import special

    u = (np.arange(n) * 0.6180339887498949 + 0.5 / max(n, 1)) % 1.0
    return np.asarray(special.ndtri(0.5 + 0.5 * np.clip(u, 1e-6, 1 - 1e-6)) ** 2)


def split_explained(explained: np.ndarray, bend_share: float) -> tuple[np.ndarray, np.ndarray]:
    """Line and bend of pairs that explain so much, the bends of this share in all and unlike each other."""
    weights = bend_weights(len(explained))
    whole = float(explained.sum())
    scale = bend_share
    for _ in range(50):  # the largest are cut, the others take it over
        part = np.minimum(weights * scale, MOST_BENT)
        now = float((explained * part).sum())
        if now <= 0 or abs(now - bend_share * whole) < 1e-9 * whole:
            break
        scale *= bend_share * whole / now
    bend = explained * np.minimum(weights * scale, MOST_BENT)
    return explained - bend, bend
