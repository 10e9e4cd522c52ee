"""W, which keeps a bend whole that the variance of its own score would take off."""

import numpy as np
import pandas as pd
import pytest

from poolproof.pairs import make_design
from poolproof.pairs.design import Level
from poolproof.pairs.kept_bends import MOST, bends_kept

N, N_DONORS = 500, 25
RNG = np.random.default_rng(0)
FRACTION = RNG.lognormal(0, 0.6, N)
WEIGHT = 1 + 0.2 * RNG.random(N)
FACTOR = np.array([[1.3, 0.0], [0.4, 0.8]])


def level_of(donors: bool = False) -> Level:
    obs = pd.DataFrame({"donor": [f"d{i // (N // N_DONORS):02d}" for i in range(N)]})
    return make_design(obs, replicate="donor" if donors else None).levels[0]


def found_of(
    degree: int, fraction: np.ndarray = FRACTION, weight: np.ndarray = WEIGHT, *, donors: bool = False
) -> np.ndarray:
    """W as a matrix."""
    size = (FACTOR @ FACTOR.T)[[0, 0, 1], [0, 1, 1]][:, None]
    w22, w23, w33 = bends_kept(fraction[None], size, np.array([degree]), weight[None], level_of(donors))[:, 0]
    return np.array([[w22, w23], [w23, w33]])


def bends_of(fraction: np.ndarray, degree: int) -> np.ndarray:
    """Orthonormal degrees 2 and 3, shape ``(n, 2)``; those above ``degree`` 0."""
    q = np.linalg.qr(np.vander(fraction, 4, increasing=True))[0][:, 2:].copy()
    q *= np.sign(np.array([fraction**2, fraction**3]) @ q).diagonal()
    q[:, degree - 1 :] = 0.0
    return q


@pytest.mark.parametrize("donors", [False, True])
@pytest.mark.parametrize("degree", [2, 3])
def test_a_bend_without_noise_is_kept_whole(degree: int, donors: bool) -> None:
    w = found_of(degree, donors=donors)
    q, slopes = bends_of(FRACTION, degree), np.array([0.7, -0.5 * (degree == 3)])
    psi = N * (q * (q @ (FACTOR.T @ slopes))[:, None]) @ FACTOR[:, :].T
    if degree == 2:
        psi[:, 1] = 0.0
    mean = psi.mean(axis=0)
    if donors:
        left = psi.reshape(N_DONORS, -1, 2).sum(axis=1) - N / N_DONORS * mean
        taken = np.einsum("da,ab,db->", left, w, left) / N / (1 - 1 / N_DONORS)
    else:
        taken = np.einsum("i,ia,ab,ib->", WEIGHT, psi - mean, w, psi - mean) / N
    bend = N * slopes[: degree - 1] @ (FACTOR @ FACTOR.T)[: degree - 1, : degree - 1] @ slopes[: degree - 1]
    assert taken > 0.01 * bend  # else nothing is shown
    assert N * mean @ w @ mean - taken == pytest.approx(bend)


def test_where_no_cell_stands_out_nothing_changes() -> None:
    even = np.linspace(1, 2, N)
    w = found_of(3, even)
    np.testing.assert_allclose(w, np.linalg.inv(FACTOR @ FACTOR.T), rtol=0.05)


def test_what_is_put_back_is_limited() -> None:
    w = found_of(2, weight=100 * WEIGHT)
    assert w[0, 0] == pytest.approx(1 / (1 - MOST) / FACTOR[0, 0] ** 2)
    assert (w[1:] == 0).all()
