"""One method on one table, in this process: checked, in the order of names, seeded, silent."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .._checks import InputError, PoolproofError, check_whole, printable
from .graph import Graph
from .libraries import seeded, silent
from .methods import Method, find_method
from .preflight import as_table, prepare


def run_method(
    values: np.ndarray,
    names: Sequence[str],
    method: str,
    *,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
) -> Graph:
    """Run a method after the preflight; see :func:`poolproof.discover`.

    Columns go in by the order of their names and the graph is brought back, so that no order of columns
    decides. Random numbers of Python and numpy are set, and put back as they were.

    Raises
    ------
    InputError
        The preflight refuses, or the method has no such option.
    PoolproofError
        The method failed; the message is one line.

    Examples
    --------
    >>> values = np.array([[0.0, 1], [1, 3], [2, 2], [3, 5]])
    >>> run_method(values, ["b", "a"], "correlation").weights.round(3).tolist()
    [[0.0, 0.832], [0.832, 0.0]]
    """
    chosen = find_method(method)
    options = dict(options or {})
    check_whole("seed", seed, 0)
    check_options(chosen, options)
    names = tuple(names)
    order = sorted(range(len(names)), key=lambda i: names[i])
    ordered = tuple(names[i] for i in order)
    values = as_table(values, names)[:, order]
    standard = prepare(values, ordered, method=method, more_samples=chosen.more_samples)
    with seeded(seed), silent():
        graph = _call(chosen, standard, ordered, seed, options)
    return graph.reordered(names)


def check_options(method: Method, options: Mapping[str, Any]) -> None:
    """Refuse an option that the method does not have.

    Examples
    --------
    >>> check_options(find_method("correlation"), {"alpha": 0.1})
    Traceback (most recent call last):
    poolproof._checks.InputError: method correlation has no option 'alpha'; it has: none
    """
    known = list(inspect.signature(method.run).parameters.values())
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in known):
        return
    own = [parameter.name for parameter in known[2:] if parameter.name != "seed"]
    for name in options:
        if name not in own:
            raise InputError(
                f"method {printable(method.name)} has no option {printable(name)!r}; it has: "
                f"{', '.join(own) or 'none'}"
            )


def _call(
    method: Method, values: np.ndarray, names: tuple[str, ...], seed: int, options: Mapping[str, Any]
) -> Graph:
    try:
        graph = method.run(values, names, seed=seed, **options)
    except PoolproofError:
        raise
    except Exception as error:
        raise PoolproofError(f"{printable(method.name)} failed: {in_one_line(error)}") from error
    if not isinstance(graph, Graph):
        raise PoolproofError(f"{printable(method.name)} gave a {type(graph).__name__}; expected a Graph")
    return graph


def in_one_line(error: BaseException) -> str:
    """Kind and first line of an error, printable.

    Examples
    --------
    >>> in_one_line(ValueError("two" + chr(10) + "lines"))
    'ValueError: two'
    """
    first = (str(error).strip().splitlines() or [""])[0]
    return printable(f"{type(error).__name__}: {first}".removesuffix(": "), 200)
