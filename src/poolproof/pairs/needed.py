"""How many samples would narrow a bend share, from the parts of its error (method 7c)."""

from __future__ import annotations

import math


def samples_needed(n: float, error: float, of_samples: float, target: float) -> tuple[float, float]:
    """How many samples bring the standard error of a bend share down to a target.

    The part over samples falls as 1 / sqrt(n). The part over genes holds some noise of samples too, so that
    it falls as well, between not at all and as fast.

    Parameters
    ----------
    n
        Samples (or replicates) now.
    error
        Standard error of the share now.
    of_samples
        Its part over samples; squares add up.
    target
        Standard error that is wanted, positive.

    Returns
    -------
    The least number, if all of the error falls with the samples; and the most, if the part over genes stays:
    infinite where that part alone is above the target.

    Examples
    --------
    >>> [round(n) for n in samples_needed(100, 0.05, 0.04, 0.04)]
    [156, 229]
    >>> samples_needed(100, 0.05, 0.03, 0.025)
    (400.0, inf)
    """
    least = n * (error / target) ** 2
    of_genes = max(error**2 - of_samples**2, 0.0)
    room = target**2 - of_genes
    return least, n * of_samples**2 / room if room > 0 else math.inf
