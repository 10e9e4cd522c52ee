"""Association of few samples: the line against the noise that is left beside it (method 7b)."""

from __future__ import annotations

import numpy as np

from .._arrays import add
from .outcome import StudentLaw
from .score_kernels import Moments


def common_line(levels: list[Moments], most: np.ndarray) -> StudentLaw:
    """The line, summed over levels, against the noise that is left beside it.

    Squared t with the HC3 variance and 1 / sum q_1^4 degrees of freedom: those of that variance where noise
    is normal and equal (Satterthwaite's; Bell & McCaffrey 2002), so that few far samples do not show a line.
    """
    score = add(of.b for of in levels)
    variance = add(of.variance[0, 0] for of in levels)
    nothing = np.finfo(score.dtype).eps ** 2
    value = np.minimum(score * score / np.maximum(variance, nothing), 1e30)
    fourth = [of.fourth for of in levels if of.fourth is not None]
    n_levels = add((of > 0).astype(float) for of in fourth)
    total = add(fourth)
    df = n_levels**2 / np.where(total > 0, total, np.inf)
    return StudentLaw.of(value.astype(score.dtype), np.minimum(df, most))
