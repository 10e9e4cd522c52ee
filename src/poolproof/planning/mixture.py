"""True effects behind many noisy ones: a mixture of normal laws fitted by expectation and maximisation.

Stephens 2017 (Biostatistics 18:275): z ~ N(theta, 1), theta from a mixture of normal laws around 0 whose
standard deviations lie on a fixed grid; only the weights are fitted. Then everything is in closed form: a
study of r times as many samples has z ~ N(sqrt(r) theta, 1).
"""

from __future__ import annotations

import numpy as np
from scipy import special

SMALLEST = 0.2
"""Smallest standard deviation of the grid: such effects look like none here, but not in more samples."""
STEP = np.sqrt(2.0)
MAX_ROUNDS = 500


def fit_effects(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit the law of effects.

    Parameters
    ----------
    z
        Effects over their standard errors, shape ``(m,)``; signs do not matter.

    Returns
    -------
    Standard deviations of the parts, 0 first, and their weights, each of shape ``(c,)``.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> z = rng.normal(size=5000) + np.where(np.arange(5000) < 1000, 5 * rng.normal(size=5000), 0)
    >>> scales, weights = fit_effects(z)
    >>> bool(0.15 < weights[scales > 2].sum() < 0.25)
    True
    """
    largest = max(float(np.abs(z).max(initial=0.0)), 1.0)
    n_steps = int(np.ceil(np.log(largest / SMALLEST) / np.log(STEP))) + 1
    scales = np.concatenate([[0.0], SMALLEST * STEP ** np.arange(max(n_steps, 2))])
    variance = 1 + scales**2
    log_density = -0.5 * (z[:, None] ** 2 / variance + np.log(variance))
    density = np.exp(log_density - log_density.max(axis=1, keepdims=True))
    weights = np.full(len(scales), 1.0 / len(scales))
    for _ in range(MAX_ROUNDS):
        joint = density * weights
        new = (joint / joint.sum(axis=1, keepdims=True)).mean(axis=0)
        done = np.abs(new - weights).max() < 1e-6
        weights = new
        if done:
            break
    return scales, weights


def draw_effects(
    z: np.ndarray, scales: np.ndarray, weights: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """One draw of every true effect given its z, shape ``(m,)``, in standard errors of the pilot."""
    variance = 1 + scales**2
    log_density = np.log(np.maximum(weights, 1e-300)) - 0.5 * (z[:, None] ** 2 / variance + np.log(variance))
    density = np.exp(log_density - log_density.max(axis=1, keepdims=True))
    cumulated = np.cumsum(density, axis=1)
    part = (rng.random(len(z))[:, None] * cumulated[:, -1:] > cumulated).sum(axis=1)
    shrunk = scales[part] ** 2 / variance[part]
    return np.asarray(shrunk * z + np.sqrt(shrunk) * rng.normal(size=len(z)))


def share_beyond(scales: np.ndarray, weights: np.ndarray, ratio: float, z: float) -> float:
    """Share of effects beyond |z| in a study of ``ratio`` times as many samples.

    Examples
    --------
    >>> round(share_beyond(np.array([0.0]), np.array([1.0]), 4.0, 1.96), 3)
    0.05
    """
    return float((weights * 2 * special.ndtr(-z / np.sqrt(1 + ratio * scales**2))).sum())
