"""All triples by Gram matrices, counts: squares of residual covariances, from the products of cells.

With slopes b and g of the ends on P_1 and P_2, the residual covariance of all ends in a part is
``C - U T U'``: U has four columns, b, g, a_1 and a_2, and T their coefficients (see ``count_gram``). Over all
pairs of ends the product of two such is that of C, of C with U, and of U with U. C is made of columns of
cells, a_1 and a_2 are sums of cells, and b and g are sums of a_1 and a_2: so all of it follows from the
products of the cells with each other over all ends. No middle gene changes these, and ends are met once.
"""

from __future__ import annotations

import numpy as np

from .count_parts import Middle, Source


class Residuals:
    """Products of the cells of a source over all ends, and what they say of any middle gene."""

    def __init__(self, source: Source, dtype: type) -> None:
        layout, columns = source.layout, source.columns
        self._layout, self._columns = layout, columns
        self._n, n_slots = len(layout.stratum), len(layout.slots)
        self._tied, self._mean = self._n + np.arange(n_slots), self._n + n_slots + np.arange(n_slots)
        products = np.zeros((len(columns.part), len(columns.part)))
        for at in range(source.n_tiles):
            right = columns.right(source.tile(at), layout)
            products += right @ right.T
        self.squares = self._squares(products)
        """Sum over all pairs of ends of the product of their covariances in two parts, shape ``(S, S)``."""
        rows = [part for cells in layout.folds.cells for part in cells]
        slots = [np.flatnonzero(layout.slots[:, 0] == part) for part in range(len(rows))]
        self._rows, self._slots = rows, slots
        self._places = [
            np.concatenate([np.arange(of.start, of.stop), self._mean[mine]])
            for of, mine in zip(rows, slots, strict=True)
        ]
        """Columns on the right that add up to a_1 and a_2 of each part."""
        self._products = [products[at].astype(dtype) for at in self._places]
        self._filled = np.array([part for part, of in enumerate(rows) if of.stop > of.start])
        self._starts = np.array([rows[part].start for part in self._filled])
        self._slot_starts = np.searchsorted(layout.slots[:, 0], self._filled)

    def _squares(self, products: np.ndarray) -> np.ndarray:
        """From the products of right columns: those of left ones, times them, summed over parts."""
        layout, columns = self._layout, self._columns
        order = np.concatenate([np.arange(self._n), self._mean, self._tied])
        lefts = products[np.ix_(order, order)]
        for _ in range(2):  # rows, then columns
            lefts[: self._n] *= columns.weight[:, None]
            lefts[self._mean] += (
                columns.excess[:, None] * lefts[self._tied]
            )  # there stand tied means, and means
            lefts = lefts.T
        lefts = lefts * products
        member = (columns.part[:, None] == np.arange(len(layout.level))).astype(np.float64)
        return np.asarray(member.T @ lefts @ member)

    def of(self, middle: Middle, right: np.ndarray, row: np.ndarray) -> np.ndarray:
        """Sum over all pairs of ends of the product of their residual covariances in two folds.

        Parameters
        ----------
        middle
            A block of middle genes.
        right
            Their own columns on the right, shape ``(Y, columns)``: no middle gene is an end.
        row
            What they have themselves in the sum of squares of covariances of two parts, ``(Y, S, S)``.

        Returns
        -------
        Shape ``(Y, B, B)``.
        """
        level = self._layout.level
        n_middle, n_levels = middle.used.shape
        n_parts = len(level)
        used = middle.used[:, level]
        gram, mixed = self._with_slopes(middle, right)
        t = _coefficients(middle, used)
        both = np.einsum("ysij,ysjrk,yrkl,ysirl->ysr", t, gram, t, gram, optimize=True)
        mixed *= used[:, :, None]
        every = (self.squares - row) * (used[:, :, None] & used[:, None])
        every = every - mixed - mixed.transpose(0, 2, 1) + both
        shape = (n_middle, n_parts // n_levels, n_levels, n_parts // n_levels, n_levels)
        return np.asarray(every.reshape(shape).sum(axis=(2, 4)))

    def _with_slopes(self, middle: Middle, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Products of the vectors of two parts, ``(Y, S, 4, S, 4)``; and of C with U T U', ``(Y, S, S)``.

        In the latter the part of C is the second axis, that of U the third.
        """
        level = self._layout.level
        n_middle, n_levels = middle.used.shape
        n_parts, n_columns = len(level), right.shape[1]
        used = middle.used[:, level]
        size = np.where(middle.used[:, None], middle.size, np.inf)
        weights = [
            np.concatenate([middle.f[:, :, rows], middle.d[:, :, mine]], axis=2, dtype=right.dtype)
            * used[:, part, None, None]
            for part, (rows, mine) in enumerate(zip(self._rows, self._slots, strict=True))
        ]
        a = np.empty((n_middle, 2, n_parts, n_columns), dtype=right.dtype)
        for part, (weight, of, at) in enumerate(zip(weights, self._products, self._places, strict=True)):
            a[:, :, part] = (weight.reshape(2 * n_middle, -1) @ of).reshape(n_middle, 2, n_columns)
            own = np.matmul(weight, right[:, at, None])  # (Y, 2, 1)
            a[:, :, part] -= own * right[:, None]
        of_a = np.empty((n_middle, 2, n_parts, 2, n_parts))
        flat = a.reshape(n_middle, 2 * n_parts, n_columns)
        for part, (weight, at) in enumerate(zip(weights, self._places, strict=True)):
            found = np.matmul(weight, flat[:, :, at].transpose(0, 2, 1))
            of_a[:, :, part] = found.reshape(n_middle, 2, 2, n_parts)
        folds = (n_parts // n_levels, n_levels)
        rows = of_a.reshape(n_middle, 2, *folds, 2, n_parts).sum(axis=2) / size[..., None, None]
        four = np.concatenate([rows[:, :, level], of_a], axis=1)  # (Y, 4, S, 2, S)
        last = four.reshape(n_middle, 4, n_parts, 2, *folds).sum(axis=4) / size[:, None, None]
        gram = np.concatenate([last[..., level], four], axis=3).transpose(0, 2, 1, 4, 3)
        slopes = a.reshape(n_middle, 2, *folds, n_columns).sum(axis=2) / size[..., None].astype(a.dtype)
        mixed = np.zeros((n_middle, n_parts, n_parts))
        own_terms = middle.own.astype(a.dtype)
        for y in range(n_middle):
            vectors = (*slopes[y][:, level], *a[y])
            mixed[y, self._filled] = self._summed(vectors, own_terms[y]).T
        return gram, mixed

    def _summed(self, vectors: tuple[np.ndarray, ...], own: np.ndarray) -> np.ndarray:
        """Sums of ``u' T v`` over the columns of each part, u and v those of U on the left and right.

        ``vectors``: products of b, g, a_1, a_2 of each part with the right columns, ``(S, columns)`` each;
        ``own``: H_11, R_2 and Q_22 of each part, ``(3, S)``. Shape ``(S, filled parts)``.
        """
        columns = self._columns
        cells, tied, mean = (
            [vector[:, at] for vector in vectors] for at in (slice(self._n), self._tied, self._mean)
        )
        h, r, q = own[:, :, None]
        of_cells = _form(cells, cells, h, r, q)
        of_cells *= columns.weight.astype(of_cells.dtype)
        of_slots = 2 * _form(mean, tied, h, r, q)
        of_slots += columns.excess.astype(of_slots.dtype) * _form(mean, mean, h, r, q)
        return np.asarray(
            np.add.reduceat(of_cells, self._starts, axis=1, dtype=np.float64)
            + np.add.reduceat(of_slots, self._slot_starts, axis=1, dtype=np.float64)
        )


def _form(
    u: list[np.ndarray], v: list[np.ndarray], h: np.ndarray, r: np.ndarray, q: np.ndarray
) -> np.ndarray:
    """``u' T v``, elementwise over parts and columns."""
    found = u[0] * (v[2] - h * v[0] - r * v[1])
    found += u[1] * (v[3] - q * v[1] - r * v[0])
    found += u[2] * v[0]
    found += u[3] * v[1]
    return found


def _coefficients(middle: Middle, used: np.ndarray) -> np.ndarray:
    """T of each part, shape ``(Y, S, 4, 4)``; 0 where a level is not used."""
    t = np.zeros((*used.shape, 4, 4))
    h, r, q = (middle.own[:, j] for j in range(3))
    t[:, :, 0, 0], t[:, :, 1, 1] = -h, -q
    t[:, :, 0, 1] = t[:, :, 1, 0] = -r
    t[:, :, 0, 2] = t[:, :, 2, 0] = t[:, :, 1, 3] = t[:, :, 3, 1] = 1.0
    return t * used[:, :, None, None]
