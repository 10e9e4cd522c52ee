"""Laws as they are written in a model file: ``gamma(2, 1)``, ``discrete({0: 0.7, 1: 0.3})``."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any

from .._checks import InputError, printable
from .families import Law
from .m_finite_laws import FAMILIES, MAX_ATOMS
from .support import Support
from .syntax import LAW, Source, parse_source

__all__ = ["Law", "Support", "make_law", "parse_law"]

_MAX_PARAMETER = 1e50  # sixth cumulants stay finite


def parse_law(text: object, where: str = "law") -> Law:
    """Read a law.

    Parameters
    ----------
    text
        Such as ``"normal(0, 1)"`` or ``"gamma(shape=2, scale=1)"``; a mapping of values to
        probabilities is a discrete law; a single number is a constant.
    where
        Place for messages.

    Raises
    ------
    InputError
        No such law, or parameters that it cannot have.

    Notes
    -----
    normal(mean, sd), uniform(low, high), gamma(shape, scale), exponential(scale), laplace(loc, scale),
    lognormal(log_mean, log_sd), poisson(rate), bernoulli(p), discrete({value: p}), empirical([values]),
    constant(value). Scales are not rates: exponential(2) has mean 2.

    Examples
    --------
    >>> law = parse_law("gamma(2, 1)")
    >>> law.mean, law.variance, law.text
    (2.0, 2.0, 'gamma(2, 1)')
    >>> parse_law({0: 0.7, 1: 0.3}).text
    'discrete({0: 0.7, 1: 0.3})'
    """
    if isinstance(text, Mapping):
        return make_law("discrete", tuple(_pair(v, p, where) for v, p in text.items()), where=where)
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        return make_law("constant", text, where=where)
    source = parse_source(text, where, LAW)
    tree = source.tree
    if not isinstance(tree, ast.Call):
        if isinstance(tree, (ast.Constant, ast.UnaryOp)):
            return make_law("constant", float(source.number(tree)), where=where)
        raise source.error(f"expected a law such as 'normal(0, 1)'; found {printable(source.text, 40)!r}")
    if not isinstance(tree.func, ast.Name):
        raise source.error("expected the name of a law before the brackets", tree)
    positional = [_argument(source, node) for node in tree.args]
    named: dict[str, Any] = {}
    for keyword in tree.keywords:
        if keyword.arg in named:
            raise source.error(f"{keyword.arg} is given twice", keyword)
        named[str(keyword.arg)] = _argument(source, keyword.value)
    return make_law(source.name(tree.func), *positional, where=where, **named)


def make_law(name: str, *parameters: Any, where: str = "law", **named: Any) -> Law:
    """Make a law from its name and its parameters.

    Raises
    ------
    InputError
        No such law, or parameters that it cannot have.

    Examples
    --------
    >>> make_law("normal", 0, 1).text
    'normal(0, 1)'
    """
    if name not in FAMILIES:
        near = get_close_matches(name.lower(), FAMILIES, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise InputError(f"{where}: no law {printable(name, 40)!r}{hint} (known: {', '.join(FAMILIES)})")
    values = _matched(name, parameters, named, where)
    law = FAMILIES[name](*(_checked(name, value, where) for value in values))
    problem = law.problem()
    if problem:
        raise InputError(f"{where}: {name}: {problem}")
    return law


def _matched(name: str, parameters: tuple[Any, ...], named: Mapping[str, Any], where: str) -> list[Any]:
    """Parameters in order, each once."""
    known = [field.name.rstrip("_") for field in fields(FAMILIES[name])]  # type: ignore[arg-type]
    given = {**dict(zip(known, parameters, strict=False)), **named}
    twice = len(given) < len(parameters) + len(named)
    if twice or len(parameters) > len(known) or set(given) != set(known):
        found = ", ".join([f"{len(parameters)} without a name", *(printable(key, 20) for key in named)])
        raise InputError(f"{where}: expected {name}({', '.join(known)}); found parameters: {found}")
    return [given[key] for key in known]


def _checked(name: str, value: Any, where: str) -> Any:
    """A parameter as a float, or a tuple of floats or pairs."""
    if name not in ("discrete", "empirical"):
        if isinstance(value, (list, tuple, Mapping)):
            raise InputError(f"{where}: {name}: expected a number; found a list")
        return _number(value, where)
    items = list(value.items()) if isinstance(value, Mapping) else value
    if not isinstance(items, (list, tuple)) or (name == "discrete" and not all(map(_is_pair, items))):
        way = "discrete({0: 0.5, 1: 0.5})" if name == "discrete" else "empirical([1, 2.5, 4])"
        raise InputError(f"{where}: expected {way}, pairs or values; found {printable(value, 40)}")
    if len(items) > MAX_ATOMS:
        raise InputError(f"{where}: {name}: {len(items):,} values; at most {MAX_ATOMS:,} are read")
    if name == "discrete":
        return tuple(_pair(v, p, where) for v, p in items)
    return tuple(_number(v, where) for v in items)


def _is_pair(item: Any) -> bool:
    return isinstance(item, (list, tuple)) and len(item) == 2


def _pair(value: Any, probability: Any, where: str) -> tuple[float, float]:
    return _number(value, where), _number(probability, where)


def _number(value: Any, where: str) -> float:
    try:
        number = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not abs(number) <= _MAX_PARAMETER:
        raise InputError(f"{where}: expected a finite number up to 1e50; found {printable(value, 40)!r}")
    return number + 0.0  # no negative zero


def _argument(source: Source, node: ast.expr) -> Any:
    """A number, a list of numbers, or pairs of numbers."""
    if isinstance(node, ast.List):
        return [float(source.number(item)) for item in node.elts]
    if isinstance(node, ast.Dict):
        if any(key is None for key in node.keys):
            raise source.error("** inside braces is not allowed", node)
        keys = [float(source.number(key)) for key in node.keys if key is not None]
        return tuple(zip(keys, (float(source.number(item)) for item in node.values), strict=True))
    return float(source.number(node))
