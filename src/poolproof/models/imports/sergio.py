"""Interaction tables of SERGIO (Dibaeinia and Sinha 2020): Hill terms of regulators, summed.

A line of the first file is ``target, n, regulators (n), strengths (n), coefficients (n)``, one of the second
``master regulator, production rate in each type of cells``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import networkx as nx

from ..._checks import InputError, printable
from ..feedback import Network
from ..mechanisms import Mechanism, parse_kernel
from ..scm import CellType

DECAY = 0.8
"""Decay rate of every gene: what SERGIO's own examples take."""
NOISE = 1.0
"""Amplitude of the noise, the same."""


@dataclass(frozen=True)
class Term:
    """One regulator of a gene."""

    regulator: str
    strength: float
    """Production rate at saturation; below 0: it represses."""
    coefficient: float
    """Of the Hill function."""


def read_sergio(text: str, file: str, regulators: str, regulators_file: str) -> Network:
    """Genes and types of cells of an interaction table and its master regulators.

    Raises
    ------
    InputError
        A line that cannot be read, with its number; a circle of regulators.

    Notes
    -----
    At rates that its regulators set, a gene with production P, decay d and noise of variance 2 d q^2 x per
    unit of time follows dx = (P - d x) dt + q sqrt(2 d x) dW. Its stationary law is gamma, shape P / (d q^2)
    and scale q^2 (Cox, Ingersoll and Ross 1985); its mean is P / d and its variance q^2 P / d, that of
    SERGIO's noise of production and decay. Regulators are taken as slow against their targets. Half responses
    are means of the regulators over types, as in SERGIO, here those without noise.
    """
    rates = _rates(regulators, regulators_file)
    terms = _terms(text, file)
    for gene, ones in terms.items():
        if gene in rates:
            raise InputError(f"{file}: {gene} has regulators, and a production rate in {regulators_file}")
        for one in ones:
            if one.regulator not in terms and one.regulator not in rates:
                raise InputError(
                    f"{file}: {one.regulator} regulates {gene}, but has neither a line of its own nor a "
                    f"production rate in {regulators_file}"
                )
    return _network(terms, rates, file)


def _network(terms: Mapping[str, Sequence[Term]], rates: Mapping[str, Sequence[float]], file: str) -> Network:
    graph = nx.DiGraph([(one.regulator, gene) for gene, ones in terms.items() for one in ones])
    graph.add_nodes_from(rates)
    if not nx.is_directed_acyclic_graph(graph):
        loop = " -> ".join(edge[0] for edge in nx.find_cycle(graph)[:12])
        raise InputError(f"{file}: regulators in a circle: {loop}; SERGIO's networks have none")
    means = _means(graph, terms, rates)
    n_types = len(next(iter(rates.values())))
    of_rate = [{gene: _gamma(_digits(rate[i]), ()) for gene, rate in rates.items()} for i in range(n_types)]
    genes = {**of_rate[0], **{gene: _target(ones, means) for gene, ones in terms.items()}}
    types = {f"type {i + 1}": CellType(1 / n_types, ones) for i, ones in enumerate(of_rate)}
    return Network(genes, types if n_types > 1 else {})


def _means(
    graph: nx.DiGraph, terms: Mapping[str, Sequence[Term]], rates: Mapping[str, Sequence[float]]
) -> dict[str, float]:
    """Means of genes over types, without noise."""
    by_type: dict[str, list[float]] = {}
    half: dict[str, float] = {}
    for gene in nx.topological_sort(graph):
        if gene in rates:
            by_type[gene] = [rate / DECAY for rate in rates[gene]]
        else:
            n_types = len(next(iter(rates.values())))
            by_type[gene] = [
                sum(_hill(one, by_type[one.regulator][i], half[one.regulator]) for one in terms[gene]) / DECAY
                for i in range(n_types)
            ]
        half[gene] = sum(by_type[gene]) / len(by_type[gene])
    return half


def _hill(term: Term, value: float, half: float) -> float:
    share = value**term.coefficient / (half**term.coefficient + value**term.coefficient) if value > 0 else 0.0
    return abs(term.strength) * (share if term.strength > 0 else 1 - share)


def _target(terms: Sequence[Term], means: Mapping[str, float]) -> Mechanism:
    parts = []
    for one in terms:
        name = "hill" if one.strength > 0 else "hill_repression"
        most, half = _digits(abs(one.strength)), f"{means[one.regulator]:.6g}"
        parts.append(f"{name}({one.regulator}, vmax={most}, k={half}, n={one.coefficient:g})")
    return _gamma(" + ".join(parts), [one.regulator for one in terms])


def _digits(rate: float) -> str:
    """The shape of the gamma law of a production rate, to six digits."""
    return f"{rate / (DECAY * NOISE**2):.6g}"


def _gamma(shape: str, names: Sequence[str]) -> Mechanism:
    return parse_kernel(f"gamma({shape}, {NOISE**2:g})", names)


# --- lines ----------------------------------------------------------------------------------------------


def _terms(text: str, file: str) -> dict[str, list[Term]]:
    found: dict[str, list[Term]] = {}
    for where, fields in _lines(text, file):
        gene = _name(fields[0], where)
        n = _number(fields[1], where) if len(fields) > 1 else 0.0
        if not (n.is_integer() and n >= 1) or len(fields) != 2 + 3 * int(n):
            raise InputError(
                f"{where}: expected target, n, n regulators, n strengths and n Hill coefficients; found "
                f"{len(fields)} fields"
            )
        if gene in found:
            raise InputError(f"{where}: {gene} has a line already")
        k = int(n)
        names = [_name(one, where) for one in fields[2 : 2 + k]]
        strengths, powers = (
            [_number(one, where) for one in fields[start : start + k]] for start in (2 + k, 2 + 2 * k)
        )
        if len(set(names)) < k or 0 in strengths or not all(0 < p <= 20 for p in powers):
            raise InputError(
                f"{where}: expected different regulators, strengths other than 0, coefficients from 0 to 20"
            )
        found[gene] = [Term(*one) for one in zip(names, strengths, powers, strict=True)]
    return found


def _rates(text: str, file: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for where, fields in _lines(text, file):
        rates = [_number(one, where) for one in fields[1:]]
        if not rates or min(rates) <= 0:
            raise InputError(f"{where}: expected a master regulator and its production rates, all above 0")
        if found and len(rates) != len(next(iter(found.values()))):
            raise InputError(f"{where}: {len(rates)} types of cells; the lines before have another number")
        gene = _name(fields[0], where)
        if gene in found:
            raise InputError(f"{where}: {gene} has a line already")
        found[gene] = rates
    return found


def _lines(text: str, file: str) -> list[tuple[str, list[str]]]:
    found = [
        (f"{file} line {number}", [one.strip() for one in line.split(",")])
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip()
    ]
    if not found:
        raise InputError(f"{file}: no line in the file")
    return found


def _name(text: str, where: str) -> str:
    number = _number(text, where)
    if not number.is_integer() or number < 0:
        raise InputError(f"{where}: expected the number of a gene; found {printable(text, 40)!r}")
    return f"G{int(number)}"


def _number(text: str, where: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise InputError(f"{where}: expected a number; found {printable(text, 40)!r}") from None
    if not abs(number) < 1e12:
        raise InputError(f"{where}: a number out of bounds: {printable(text, 40)}")
    return number
