"""What values look like that no control can see: reads taken for molecules, shares tied by one gene."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._checks import printable
from .scale import is_sparse

RARE = 0.2
"""Genes seen in at most this share of cells: most molecules of theirs come one by one."""
MIN_VALUES = 1000
"""Positive counts of rare genes that a word about them needs."""
FEW_ONES = 0.4
"""Share of 1 among positive counts of rare genes below which counts are hardly molecules; UMI data have .6 to
.97, one molecule read ten times over has below .02."""
GAPS_UP_TO = 20
GAPS = 0.25
"""Share of the whole numbers up to 20 that hardly occur: a hundredth of the commonest of them."""
SWING = 0.15
"""Coefficient of variation of what one gene, or genes that vary together, leave of the total."""
ROUNDS = 30
CONSTANT = 0.01
"""Spread of totals, as a share of their mean, up to which amounts are shares of a total (TPM, CPM)."""


def suspicions_of(values: Any, genes: np.ndarray, scale: str, totals: np.ndarray | None) -> list[str]:
    """What there is to say of counts, or of amounts that add up to one and the same total.

    ``scale`` is that of ``values``, shape ``(n, n_genes)``; ``totals`` are those of counts, over all genes.
    """
    if scale == "counts":
        return reads_for_molecules(values) + closure(values, genes, totals)
    if scale != "additive":
        return []
    whole = values.data if is_sparse(values) else values
    rows = np.asarray(values.sum(axis=1)).ravel()
    tied = not np.isnan(rows).any() and (whole >= 0).all() and np.ptp(rows) <= CONSTANT * rows.mean()
    return closure(values, genes) if tied else []


def reads_for_molecules(counts: Any) -> list[str]:
    """A sentence where counts look like reads of amplified molecules; ``counts`` are cells x genes, whole.

    Examples
    --------
    >>> molecules = np.random.default_rng(0).poisson(0.1, (500, 40))
    >>> reads_for_molecules(molecules), len(reads_for_molecules(10 * molecules))
    ([], 1)
    """
    n_cells = counts.shape[0]
    n_positive = np.asarray((counts > 0).sum(axis=0)).ravel()
    rare = np.flatnonzero((n_positive > 0) & (n_positive <= RARE * n_cells))
    part = counts[:, rare]
    values = part.data if is_sparse(part) else np.asarray(part)[np.asarray(part) > 0]
    values = values[values > 0]
    if len(values) < MIN_VALUES:
        return []
    found = np.bincount(np.minimum(values, GAPS_UP_TO + 1).astype(np.int64), minlength=GAPS_UP_TO + 2)
    ones = found[1] / len(values)
    if ones >= FEW_ONES:
        return []
    inner = found[1 : GAPS_UP_TO + 1]
    gaps = float((inner < 0.01 * inner.max()).mean())
    also = f", and {gaps:.0%} of the numbers up to {GAPS_UP_TO} hardly occur" if gaps >= GAPS else ""
    return [
        f"only {ones:.0%} of the positive counts of genes seen in few cells are 1{also}: they look like "
        "reads of amplified molecules, not like molecules (UMIs), and the split-count control cannot see "
        "that; take molecule counts, or pass --test robust"
    ]


def closure(values: Any, genes: np.ndarray, totals: np.ndarray | None = None) -> list[str]:
    """A sentence where one gene, or genes that vary together, swing so strongly that the rest follows.

    Shares of a total (fractions of counts, TPM, CPM) of all other genes move against them.

    Parameters
    ----------
    values
        Amounts or counts, shape ``(n, n_genes)``, dense or CSR, not negative.
    genes
        Names, shape ``(n_genes,)``.
    totals
        What shares are taken of, shape ``(n,)``; None: the sums of the rows.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> values = rng.gamma(20.0, size=(200, 50))
    >>> names = np.array([f"g{i}" for i in range(50)])
    >>> closure(values, names)
    []
    >>> values[:, 3] += 700 * rng.gamma(2.0, size=200)
    >>> closure(values, names)[0][:36]
    'g3 holds between 21% and 77% of the '
    """
    rows = np.asarray(values.sum(axis=1)).ravel() if totals is None else np.asarray(totals, dtype=np.float64)
    used = np.isfinite(rows) & (rows > 0)
    if used.sum() < 10 or values.shape[1] < 3:
        return []
    values, rows = values[np.flatnonzero(used)], rows[used]
    shares = values.multiply(1 / rows[:, None]).tocsr() if is_sparse(values) else values / rows[:, None]
    mean = np.asarray(shares.mean(axis=0)).ravel()
    square = shares.multiply(shares) if is_sparse(shares) else shares * shares
    spread = np.asarray(square.mean(axis=0)).ravel() - mean**2
    top = int(np.argmax(spread))
    one = np.asarray(shares[:, [top]].todense() if is_sparse(shares) else shares[:, [top]]).ravel()
    if _swing(one) > SWING:
        return [_sentence(printable(genes[top], 40), one)]
    programme = _programme(shares, mean)
    together = np.asarray(shares[:, programme].sum(axis=1)).ravel()
    if len(programme) > 1 and _swing(together) > SWING:
        names = ", ".join(printable(genes[g], 30) for g in programme[np.argsort(-mean[programme])][:3])
        return [_sentence(f"a programme of {len(programme):,} genes ({names}, ..)", together)]
    return []


def _programme(shares: Any, mean: np.ndarray) -> np.ndarray:
    """Genes on one side of the leading component of shares that carry its weight."""
    direction = np.sqrt(mean)
    for _ in range(ROUNDS):
        scores = np.asarray(shares @ direction).ravel() - mean @ direction
        direction = np.asarray(shares.T @ scores).ravel() - mean * scores.sum()
        norm = np.sqrt(direction @ direction)
        if norm == 0:
            return np.zeros(0, dtype=np.int64)
        direction = direction / norm
    strong = np.abs(direction) > 0.1 * np.abs(direction).max()
    sides = [np.flatnonzero(strong & (side * direction > 0)) for side in (1, -1)]
    return max(sides, key=lambda genes: float((direction[genes] ** 2).sum()))


def _swing(share: np.ndarray) -> float:
    """Coefficient of variation of the rest, its middle 98 %."""
    rest = 1 - np.clip(share, *np.quantile(share, (0.01, 0.99)))
    return float(rest.std() / rest.mean()) if rest.mean() > 0 else np.inf


def _sentence(who: str, share: np.ndarray) -> str:
    low, high = np.quantile(share, (0.05, 0.95))
    return (
        f"{who} holds between {low:.0%} and {high:.0%} of the total: shares of all other genes move against "
        "it, which can bend affine relations (closure); leave it out of the totals, with size factors from "
        "elsewhere (--size-factors obs:COLUMN), or analyse such samples apart (--within)"
    )
