"""Kernels of the robust test with replicates: each is left out in turn, by matrix products.

With donors as replicates (their means projected out), theta = Q'y are the coefficients of a regulator's
basis. Leaving out donor d changes them by

    z_d = (I - G_d)^-1 (Q_d'y_d - G_d theta),   G_d = Q_d'Q_d,

and (D - 1)/D sum_d z_d z_d' is the covariance of theta (the jackknife; CR3 of Bell & McCaffrey 2002, *Survey
Methodology* 28:169). It rests on what line and bends leave of y. Sums of scores, centred at their plain mean
over donors, grow with the number of cells: where donors are of unlike size, they hide the strongest relation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

LEAST_LEFT = 1e-3
"""Share of a direction of the basis that the other replicates must hold. Where they hold less, the
coefficient along it rests on one replicate alone, and is 0 without it: the fit of least norm."""


class Influence(NamedTuple):
    """How the coefficients change when one replicate is left out."""

    code: int
    """Code of the replicate, the same in every level."""
    change: list[np.ndarray]
    """One array for each column of the basis, each ``(R, m)``."""


def leave_out_maps(basis: np.ndarray, slices: Sequence[slice]) -> np.ndarray:
    """What turns a replicate's scores and the coefficients into the change z_d.

    Parameters
    ----------
    basis
        Orthonormal columns, shape ``(R, k, n)``, replicate means projected out; unused columns are 0.
    slices
        Rows of every replicate; some may be empty.

    Returns
    -------
    ``[A_d, -A_d G_d]`` with ``A_d = (I - G_d)^-1``, shape ``(R, D, k, 2 k)``.

    Examples
    --------
    >>> half = np.full((1, 1, 4), 0.5)
    >>> leave_out_maps(half, [slice(0, 2), slice(2, 4)])[0, :, 0].tolist()    # half of the column each
    [[2.0, -1.0], [2.0, -1.0]]
    """
    gram = np.stack(
        [np.matmul(part, part.transpose(0, 2, 1)) for part in (basis[:, :, s] for s in slices)], 1
    )
    return _maps(gram)


def _maps(gram: np.ndarray) -> np.ndarray:
    held, directions = np.linalg.eigh(gram)
    back = np.swapaxes(directions, -1, -2)
    left = 1 - held
    alone = left < LEAST_LEFT
    inverse = np.matmul(directions * np.where(alone, 0.0, 1 / np.where(alone, 1.0, left))[..., None, :], back)
    lost = np.matmul(directions * alone[..., None, :], back)
    return np.concatenate([inverse, lost - np.matmul(inverse, gram)], axis=-1)


def influences(
    maps: np.ndarray, flat: np.ndarray, y: np.ndarray, slices: Sequence[slice]
) -> tuple[np.ndarray, list[Influence]]:
    """Coefficients of a block of regulators against targets, and the change by each replicate.

    Parameters
    ----------
    maps
        Of :func:`leave_out_maps`, shape ``(R, D, k, 2 k)``.
    flat
        Columns of the bases, shape ``(k R, n)``, column by column.
    y
        Targets, shape ``(m, n)``, projected.
    slices
        Rows of every replicate.

    Returns
    -------
    theta, shape ``(k, R, m)``, and the influences of the replicates that have samples.
    """
    n_regulators, _, k, _ = maps.shape
    present = [code for code, rows in enumerate(slices) if rows.stop > rows.start]
    scores = {
        code: (flat[:, slices[code]] @ y[:, slices[code]].T).reshape(k, n_regulators, len(y))
        for code in present
    }
    theta = np.add.reduce(list(scores.values()))
    found = []
    for code in present:
        both = np.concatenate([scores[code], theta]).transpose(1, 0, 2)
        change = np.matmul(maps[:, code], both)
        found.append(Influence(code, [np.ascontiguousarray(change[:, j]) for j in range(k)]))
    return theta, found


def masked_influences(
    own: np.ndarray, values: np.ndarray, coefficients: np.ndarray, clusters: np.ndarray
) -> list[Influence]:
    """The same for one regulator whose basis differs by target: pairs with missing values.

    Parameters
    ----------
    own
        Orthonormal columns on the samples of each pair, 0 elsewhere, shape ``(m, k, n)``.
    values
        Targets, shape ``(m, n)``, 0 where missing.
    coefficients
        Shape ``(k, m)``.
    clusters
        Code of the replicate of each sample, shape ``(n,)``.
    """
    found = []
    for code in np.unique(clusters):
        rows = clusters == code
        columns = own[:, :, rows]
        scores = np.matmul(columns, values[:, rows, None])[:, :, 0]
        maps = _maps(np.matmul(columns, columns.transpose(0, 2, 1)))
        change = np.matmul(maps, np.concatenate([scores, coefficients.T], axis=1)[:, :, None])[:, :, 0]
        found.append(Influence(int(code), [column[None] for column in change.T]))
    return found


def spread_of(
    changes: Sequence[Sequence[np.ndarray]], columns: Sequence[int]
) -> dict[tuple[int, int], np.ndarray]:
    """Covariance of the coefficients: ``(D - 1) / D sum_d z_d z_d'`` over the changes of D replicates.

    Keys are positions in ``columns``, ``i <= j``.
    """
    share = (len(changes) - 1) / len(changes)
    spread = {}
    for a, i in enumerate(columns):
        for c, j in enumerate(columns[a:], start=a):
            total = changes[0][i] * changes[0][j]
            for of in changes[1:]:
                total += of[i] * of[j]
            total *= share
            spread[a, c] = total
    return spread
