"""Linear-Gaussian and hybrid networks as JSON: nodes, arcs, and a table of coefficients for each node.

The layout is that of the files that pgmpy and bnRep make from bnlearn's networks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np

from ..._checks import InputError, printable
from ..expressions import Formula, written
from ..feedback import Network
from ..mechanisms import Mechanism, NormalKernel, parse_equation
from .tables import Table, check_size, column_formula, table_mechanism

KEYS = {"nodes", "arcs", "cpds"}
INTERCEPT = "(Intercept)"


def is_gaussian_json(content: object) -> bool:
    """Whether a JSON value has the keys of such a file."""
    return isinstance(content, Mapping) and set(content) >= KEYS


def read_gaussian(text: str, file: str) -> Network:
    """Genes of a network: affine with Gaussian noise, categorical, or affine for each state of parents.

    Raises
    ------
    InputError
        What cannot be read, with the node.

    Examples
    --------
    >>> genes = read_gaussian('''{"nodes": ["A", "B"], "arcs": [["A", "B"]], "cpds": {
    ... "A": {"coefficients": {"(Intercept)": [1.5]}, "variance": [4], "parents": []},
    ... "B": {"coefficients": {"(Intercept)": [0.5], "A": [2]}, "variance": [0.25], "parents": ["A"]}}}
    ... ''', "net").genes
    >>> genes["B"].text, genes["B"].noise.text
    ('0.5 + 2*A + 0.5*N', 'normal(0, 1)')
    """
    try:
        content = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        raise InputError(f"{file} line {line}: this is no JSON") from None
    if not is_gaussian_json(content) or not isinstance(content["cpds"], dict):
        raise InputError(f"{file}: expected the keys nodes, arcs and cpds")
    nodes, cpds = content["nodes"], content["cpds"]
    if not isinstance(nodes, list) or set(map(str, nodes)) != set(cpds):
        raise InputError(f"{file}: expected an entry of cpds for each node, and no other")
    levels = {
        str(n): [str(v) for v in _list(cpds[str(n)].get("levels"))]
        for n in nodes
        if isinstance(cpds[str(n)], dict) and "levels" in cpds[str(n)]
    }
    found = {str(node): _mechanism(str(node), cpds[str(node)], levels, file) for node in nodes}
    _check_arcs(content["arcs"], {name: cpds[name] for name in found}, file)
    return Network(found)


def _mechanism(name: str, node: Any, levels: Mapping[str, Sequence[str]], file: str) -> Mechanism:
    where = f"{file}: cpds.{printable(name, 40)}"
    if not isinstance(node, dict):
        raise InputError(f"{where}: expected a mapping")
    if "cpt" in node or node.get("type") == "discrete":
        return _discrete(name, node, levels, where)
    coefficients = node.get("coefficients")
    if not isinstance(coefficients, dict) or not {"variance", "sd"} & set(node):
        raise InputError(f"{where}: expected coefficients and a variance, or levels and a cpt")
    if node.get("type") in ("cgnode", "conditional gaussian") or "dlevels" in node:
        return _conditional(node, coefficients, levels, where)
    if INTERCEPT not in coefficients or set(coefficients) - {INTERCEPT} != set(_parents(node)):
        raise InputError(f"{where}: expected coefficients of (Intercept) and of each parent")
    parts = [_text(_one(coefficients[INTERCEPT], where))]
    for parent, value in coefficients.items():
        if parent != INTERCEPT:
            if parent in levels:
                raise InputError(
                    f"{where}: a plain coefficient of a parent with states, {printable(parent, 40)}"
                )
            parts.append(f"{_text(_one(value, where))}*{written(parent)}")
    sd = _sds(node, where)[0]
    text = " + ".join(parts).replace("+ -", "- ")
    names = [parent for parent in coefficients if parent != INTERCEPT]
    if sd == 0:
        return parse_equation(text, None, names, where)
    return parse_equation(f"{text} + {_text(sd)}*N", "normal(0, 1)", names, where)


def _discrete(
    name: str, node: Mapping[str, Any], levels: Mapping[str, Sequence[str]], where: str
) -> Mechanism:
    parents = _parents(node)
    for parent in parents:
        if parent not in levels:
            raise InputError(
                f"{where}: a parent without states, {printable(parent, 40)}, cannot be read here"
            )
    own, cpt = levels.get(name, ()), node.get("cpt")
    rows: dict[tuple[int, ...], list[float]] = {}
    if not parents and isinstance(cpt, dict):
        rows[()] = [_one(cpt.get(state), where) for state in own]
    elif isinstance(cpt, dict):
        for states, row in cpt.items():
            given = dict(one.split("=", 1) for one in states.split(", ") if "=" in one)
            key = tuple(_place(given.get(p), levels[p], f"{where}.{printable(p, 40)}") for p in parents)
            if not isinstance(row, dict):
                raise InputError(f"{where}: expected a probability for each state")
            rows[key] = [_one(row.get(state), where) for state in own]
    elif isinstance(cpt, list):
        for entry in cpt:
            if not isinstance(entry, dict):
                raise InputError(f"{where}: expected rows with a state for each parent")
            key = tuple(_place(entry.get(p), levels[p], f"{where}.{printable(p, 40)}") for p in parents)
            at = _place(entry.get(name), own, where)
            row = rows.setdefault(key, [0.0] * len(own))
            row[at] = _one(entry.get("Freq", entry.get("p", entry.get("prob"))), where)
    else:
        raise InputError(f"{where}: a cpt of this layout is not read; a table of states with Freq is")
    table = Table(tuple(parents), tuple(len(levels[p]) for p in parents), rows)
    return table_mechanism(name, table, file=where.split(":")[0])


def _conditional(
    node: Mapping[str, Any], coefficients: Mapping[str, Any], levels: Mapping[str, Sequence[str]], where: str
) -> Mechanism:
    """Mean and variance are affine in real parents, with numbers of their own for each state of the others.

    States are counted with the first of these parents running fastest, as in bnlearn.
    """
    discrete = [p for p in _parents(node) if p in levels]
    sizes = [len(levels[p]) for p in discrete]
    check_size(sizes, where)

    def column(values: Any) -> Formula:
        listed = list(values.values()) if isinstance(values, dict) else values
        numbers = [_one(v, where) for v in _list(listed)]
        if len(numbers) != int(np.prod(sizes)):
            raise InputError(
                f"{where}: expected {int(np.prod(sizes))} numbers, one for each state of its parents"
            )
        return column_formula(discrete, sizes, np.reshape(numbers, sizes, order="F"), where)

    text, mean = "", None
    for parent, values in coefficients.items():
        part = column(values)
        if parent in levels:
            raise InputError(f"{where}: a coefficient of a parent with states, {printable(parent, 40)}")
        factor = parse_equation(
            "1" if parent == INTERCEPT else written(parent), None, [parent], where
        ).expression
        shown = f"({part.text})" if parent == INTERCEPT else f"({part.text})*{written(parent)}"
        text = f"{text} + {shown}" if text else shown
        mean = part.sympy * factor.sympy if mean is None else mean + part.sympy * factor.sympy
    if mean is None:
        raise InputError(f"{where}: no coefficients")
    return NormalKernel((Formula(text, mean), column(_sds(node, where))))


def _sds(node: Mapping[str, Any], where: str) -> list[float]:
    """Standard deviations, from those or from variances."""
    power = 1.0 if "sd" in node else 0.5
    found = [_one(v, where) for v in _list_of(node.get("sd", node.get("variance")))]
    if min(found, default=-1.0) < 0:
        raise InputError(f"{where}: expected variances of at least 0")
    return [v**power for v in found]


def _list_of(values: Any) -> list[Any]:
    return list(values.values()) if isinstance(values, dict) else _list(values)


def _check_arcs(arcs: object, cpds: Mapping[str, Any], file: str) -> None:
    """Raise InputError if the arcs are not those of the tables."""
    listed = set()
    for arc in _list(arcs):
        ends = (arc.get("from"), arc.get("to")) if isinstance(arc, dict) else tuple(_list(arc))
        if len(ends) != 2:
            raise InputError(f"{file}: expected arcs of two nodes")
        listed.add((str(ends[0]), str(ends[1])))
    of_tables = {(parent, name) for name, node in cpds.items() for parent in _parents(node)}
    for a, b in sorted(listed ^ of_tables)[:1]:
        raise InputError(
            f"{file}: the arc {printable(a, 40)} -> {printable(b, 40)} stands in arcs or cpds alone"
        )


def _parents(node: Mapping[str, Any]) -> list[str]:
    parents = node.get("parents") or []
    return [str(p) for p in ([parents] if isinstance(parents, str) else _list(parents))]


def _place(state: object, states: Sequence[str], where: str) -> int:
    if str(state) not in states:
        raise InputError(f"{where}: no state {printable(state, 40)}")
    return list(states).index(str(state))


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _one(value: object, where: str) -> float:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
        raise InputError(f"{where}: expected a number; found {printable(value, 40)}")
    return float(value)


def _text(value: float) -> str:
    return repr(value).removesuffix(".0")
