"""Logical models in SBML-qual (Chaouiya et al. 2013), read by libSBML, which is an extra."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from ..._checks import InputError, printable
from ..diagrams import Diagrams, TooLargeError
from ..expressions import Formula
from ..feedback import Network
from ..laws import make_law
from ..mechanisms import Equation, Mechanism, parse_equation

MAX_LEVEL = 11
MAX_DEPTH = 200

# What AEON (biodivine-aeon 1.4) writes against SBML-qual, and no function of a gene depends on: a species
# without a compartment, an input said to be essential, an empty list of inputs.
_HARMLESS = {
    3020303: "'compartment' is missing",
    3020501: "'essential' is not part of the definition",
    10103: "listOfInputs cannot be empty",
}


def read_sbml(text: str, file: str) -> Network:
    """Genes of a logical model; inputs, and all at the start, have each level with one probability.

    Raises
    ------
    InputError
        The extra is missing, or what cannot be read, with its line.
    """
    document = _document(text, file)
    model = document.getModel()
    qual = model.getPlugin("qual") if model is not None else None
    if qual is None or not qual.getNumQualitativeSpecies():
        raise InputError(f"{file}: no qualitative species; of SBML the package qual is read, not kinetics")
    levels, fixed = {}, {}
    for i in range(qual.getNumQualitativeSpecies()):
        one = qual.getQualitativeSpecies(i)
        most = one.getMaxLevel() if one.isSetMaxLevel() else 1
        if not 1 <= most <= MAX_LEVEL:
            raise InputError(f"{_at(one, file)}: levels up to {MAX_LEVEL} are read; found {most}")
        levels[one.getId()] = most + 1
        if one.getConstant() and one.isSetInitialLevel():
            fixed[one.getId()] = one.getInitialLevel()
    found: dict[str, Mechanism] = {}
    for i in range(qual.getNumTransitions()):
        transition = qual.getTransition(i)
        for j in range(transition.getNumOutputs()):
            name = transition.getOutput(j).getQualitativeSpecies()
            if name not in levels or name in found:
                raise InputError(
                    f"{_at(transition, file)}: a second transition, or none, of {printable(name, 40)}"
                )
            found[name] = _mechanism(transition, name, levels, file)
    genes = {name: found.get(name) or _input(levels[name], fixed.get(name)) for name in levels}
    return Network(genes, start={name: _input(levels[name], None) for name in found if genes[name].parents})


def _document(text: str, file: str) -> Any:
    try:
        import libsbml  # an extra
    except ImportError:
        raise InputError(
            f"{file}: SBML is read by libSBML; install it: pip install 'poolproof[sbml]'"
        ) from None
    document = libsbml.readSBMLFromString(text)
    for i in range(document.getNumErrors()):
        error = document.getError(i)
        harmless = _HARMLESS.get(error.getErrorId(), "\n") in " ".join(error.getMessage().split())
        if error.getSeverity() >= libsbml.LIBSBML_SEV_ERROR and not harmless:
            said = printable(" ".join(error.getMessage().split()), 160)
            raise InputError(f"{file} line {error.getLine()}: {said}")
    return document


def _at(element: Any, file: str) -> str:
    return f"{file} line {element.getLine()}"


def _input(n_levels: int, level: int | None) -> Mechanism:
    if level is not None:
        return parse_equation(None, make_law("constant", float(level)), ())
    if n_levels == 2:
        return parse_equation(None, make_law("bernoulli", 0.5), ())
    return parse_equation(None, make_law("discrete", {float(v): 1 / n_levels for v in range(n_levels)}), ())


def _mechanism(transition: Any, name: str, levels: Mapping[str, int], file: str) -> Mechanism:
    """The first term whose condition is met gives the level; else the default."""
    inputs = [transition.getInput(i).getQualitativeSpecies() for i in range(transition.getNumInputs())]
    for one in inputs:
        if one not in levels:
            raise InputError(f"{_at(transition, file)}: no species {printable(one, 40)}")
    if (
        inputs in ([], [name])
        and transition.getNumFunctionTerms() == 0
        and transition.getDefaultTerm() is None
    ):
        return _input(levels[name], None)
    reader = _Conditions(dict.fromkeys(inputs), levels, file)
    try:
        default = transition.getDefaultTerm()
        node = reader.table.constant(default.getResultLevel() if default is not None else 0)
        for i in reversed(range(transition.getNumFunctionTerms())):
            term = transition.getFunctionTerm(i)
            node = reader.chosen(
                reader.condition(term.getMath(), _at(term, file)), term.getResultLevel(), node
            )
        return reader.mechanism(node)
    except TooLargeError:
        raise InputError(f"{_at(transition, file)}: the rule of {printable(name, 40)} is too large") from None


class _Conditions:
    """Conditions of a transition as decision diagrams of its inputs, 1 where they are met."""

    def __init__(self, inputs: Mapping[str, object], levels: Mapping[str, int], file: str) -> None:
        self.table = Diagrams({one: [Fraction(v) for v in range(levels[one])] for one in inputs})
        self.file = file

    def chosen(self, condition: int, level: int, otherwise: int) -> int:
        table = self.table
        met = table.apply(operator.mul, condition, table.constant(level))
        unmet = table.apply(operator.sub, table.constant(1), condition)
        return table.apply(operator.add, met, table.apply(operator.mul, unmet, otherwise))

    def mechanism(self, node: int) -> Mechanism:
        value = self.table.value(node)
        if value is not None:
            return parse_equation(None, make_law("constant", float(value)), ())
        return Equation(Formula(self.table.text(node), self.table.expression(node)), None)

    def condition(self, math: Any, where: str, depth: int = 0) -> int:
        """The diagram of a condition in MathML."""
        import libsbml

        if math is None or depth > MAX_DEPTH:
            raise InputError(f"{where}: a condition is missing, or nested too deeply")
        kind = math.getType()
        parts = [math.getChild(i) for i in range(math.getNumChildren())]
        table = self.table
        if kind in (libsbml.AST_CONSTANT_TRUE, libsbml.AST_CONSTANT_FALSE):
            return table.constant(int(kind == libsbml.AST_CONSTANT_TRUE))
        if kind in (libsbml.AST_LOGICAL_AND, libsbml.AST_LOGICAL_OR):
            found = table.constant(int(kind == libsbml.AST_LOGICAL_AND))
            for part in parts:
                inside = self.condition(part, where, depth + 1)
                found = table.apply(operator.mul if kind == libsbml.AST_LOGICAL_AND else max, found, inside)
            return found
        if kind == libsbml.AST_LOGICAL_NOT and len(parts) == 1:
            return table.apply(operator.sub, table.constant(1), self.condition(parts[0], where, depth + 1))
        compared = {
            libsbml.AST_RELATIONAL_EQ: _equal,
            libsbml.AST_RELATIONAL_NEQ: _not_equal,
            libsbml.AST_RELATIONAL_GEQ: _at_least,
            libsbml.AST_RELATIONAL_GT: _above,
            libsbml.AST_RELATIONAL_LEQ: _at_most,
            libsbml.AST_RELATIONAL_LT: _below,
        }.get(kind)
        if compared is None or len(parts) != 2:
            raise InputError(
                f"{where}: a condition of comparisons, and, or and not is read; found another sign"
            )
        return table.apply(compared, *(self._level(part, where) for part in parts))

    def _level(self, math: Any, where: str) -> int:
        """The diagram of a species, or of a number."""
        if math.isName() and math.getName() in self.table.values:
            return self.table.variable(math.getName())
        if math.isNumber() and float(math.getValue()).is_integer():
            return self.table.constant(int(math.getValue()))
        raise InputError(f"{where}: expected an input of the transition or a whole number")


def _equal(a: Fraction, b: Fraction) -> Fraction:
    return Fraction(int(a == b))


def _not_equal(a: Fraction, b: Fraction) -> Fraction:
    return Fraction(int(a != b))


def _at_least(a: Fraction, b: Fraction) -> Fraction:
    return Fraction(int(a >= b))


def _above(a: Fraction, b: Fraction) -> Fraction:
    return Fraction(int(a > b))


def _at_most(a: Fraction, b: Fraction) -> Fraction:
    return Fraction(int(a <= b))


def _below(a: Fraction, b: Fraction) -> Fraction:
    return Fraction(int(a < b))
