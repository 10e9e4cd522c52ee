"""Rules of Boolean models: ``!A & (B | C)`` becomes a formula that is a line in each input."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from ..._checks import InputError, printable
from ..diagrams import Diagrams, TooLargeError
from ..expressions import Formula, written
from ..laws import make_law
from ..mechanisms import Equation, Mechanism, parse_equation

MAX_RULE = 2_000_000
MAX_DEPTH = 200
_TOKEN = re.compile(r"\s*(?:([A-Za-z_0-9][\w.\-:/@]*)|(&&|\|\||[!~&|()]))", re.ASCII)
_SAME = {"&&": "&", "||": "|", "~": "!", "and": "&", "or": "|", "not": "!"}
_CONSTANTS = {"0": False, "1": True, "false": False, "true": True}
_CALLS = {"!": "NOT", "&": "AND", "|": "OR"}
_BINDS = {"|": 1, "&": 2, "!": 3}
_WANTED = {True: "expected a name, 0, 1, ! or (", False: "expected &, | or )"}
_MAX_CALL = 20

ON = 0.5
"""Probability that an input is on, where a model gives none."""


@dataclass(frozen=True)
class Rule:
    """A tree of a rule: a gene, a constant, or NOT, AND, OR of others."""

    kind: str
    """``gene``, ``constant``, ``!``, ``&`` or ``|``."""
    parts: tuple[Rule, ...] = ()
    name: str = ""
    value: bool = False
    depth: int = 0

    def genes(self) -> tuple[str, ...]:
        """Genes that stand in it, in the order in which they do."""
        found: dict[str, None] = {}
        todo = [self]
        while todo:
            one = todo.pop()
            if one.kind == "gene":
                found[one.name] = None
            todo += reversed(one.parts)
        return tuple(found)

    def text(self) -> str:
        """The rule in the language of model files."""
        if self.kind == "gene":
            return written(self.name)
        if self.kind == "constant":
            return str(int(self.value))
        parts = [part.text() for part in self.parts]
        while len(parts) > _MAX_CALL:
            parts = [
                f"{_CALLS[self.kind]}({', '.join(parts[i : i + _MAX_CALL])})"
                if i + 1 < len(parts)
                else parts[i]
                for i in range(0, len(parts), _MAX_CALL)
            ]
        return f"{_CALLS[self.kind]}({', '.join(parts)})"


def parse_rule(text: str, where: str) -> Rule:
    """Read a rule of ``!``, ``&``, ``|``, brackets, names, 0 and 1; also ``~``, ``&&``, ``||``, and, or, not.

    Raises
    ------
    InputError
        It is no such rule. One line, with the place and the column.

    Examples
    --------
    >>> parse_rule("!A & (B | C)", "here").text()
    'AND(NOT(A), OR(B, C))'
    """
    if len(text) > MAX_RULE:
        raise InputError(f"{where}: a rule of more than {MAX_RULE:,} characters")
    done: list[Rule] = []
    signs: list[tuple[str, int]] = []
    wants_part = True
    for token, column in _tokens(text, where):
        if wants_part != (token in "!(" or token not in "&|)"):
            raise InputError(f"{where}: column {column}: {_WANTED[wants_part]}; found {printable(token, 40)}")
        if token in "!(":
            signs.append((token, column))
            continue
        if token in "&|":
            _reduce(done, signs, _BINDS[token], where)
            signs.append((token, column))
        elif token == ")":
            _reduce(done, signs, 0, where)
            if not signs:
                raise InputError(f"{where}: column {column}: ) without (")
            signs.pop()
        else:
            value = _CONSTANTS.get(token.lower())
            done.append(Rule("gene", name=token) if value is None else Rule("constant", value=value))
        wants_part = token in "&|"
    if wants_part:
        raise InputError(f"{where}: column {len(text.rstrip()) + 1}: {_WANTED[True]}; found the end")
    _reduce(done, signs, 0, where)
    if signs:
        raise InputError(f"{where}: column {signs[-1][1]}: ( is not closed")
    return done[0]


def _reduce(done: list[Rule], signs: list[tuple[str, int]], least: int, where: str) -> None:
    """Put together what binds at least as strongly, back to an open bracket."""
    while signs and signs[-1][0] != "(" and _BINDS[signs[-1][0]] >= least:
        sign, _ = signs.pop()
        right = done.pop()
        parts = (right,) if sign == "!" else (*_chain(done.pop(), sign), *_chain(right, sign))
        rule = Rule(sign, parts, depth=1 + max(part.depth for part in parts))
        if rule.depth > MAX_DEPTH:
            raise InputError(f"{where}: nested deeper than {MAX_DEPTH}")
        done.append(rule)


def _chain(rule: Rule, sign: str) -> tuple[Rule, ...]:
    return rule.parts if rule.kind == sign else (rule,)


def _tokens(text: str, where: str) -> Iterator[tuple[str, int]]:
    """Words and signs, with their columns."""
    place, end = 0, len(text.rstrip())
    while place < end:
        one = _TOKEN.match(text, place)
        if one is None:
            rest = text[place:].lstrip()
            raise InputError(
                f"{where}: column {len(text) - len(rest) + 1}: unexpected character {printable(rest[:1])!r}; "
                "a rule is written with !, &, |, brackets and names"
            )
        word = one[1] or one[2]
        yield _SAME.get(word.lower(), word), one.start(1 if one[1] else 2) + 1
        place = one.end()


def rule_mechanism(rule: Rule, where: str) -> Mechanism:
    """The equation of a rule; a gene that drops out of it is no parent.

    Raises
    ------
    InputError
        The rule is too large a function to be read.
    """
    names = rule.genes()
    table = Diagrams(dict.fromkeys(names, (Fraction(0), Fraction(1))))
    try:
        return diagram_mechanism(table, _diagram(rule, table), rule.text())
    except TooLargeError:
        raise InputError(f"{where}: the rule of {len(names)} inputs is too large a function") from None


def diagram_mechanism(table: Diagrams, node: int, text: str) -> Mechanism:
    """The equation of a function of Boolean genes."""
    value = table.value(node)
    if value is not None:
        return parse_equation(None, make_law("constant", float(value)), ())
    return Equation(Formula(text, table.expression(node)), None)


def _diagram(rule: Rule, table: Diagrams) -> int:
    if rule.kind == "gene":
        return table.variable(rule.name)
    if rule.kind == "constant":
        return table.constant(int(rule.value))
    parts = [_diagram(part, table) for part in rule.parts]
    if rule.kind == "!":
        return table.apply(operator.sub, table.constant(1), parts[0])
    found = parts[0]
    for part in parts[1:]:
        found = table.apply(operator.mul if rule.kind == "&" else max, found, part)
    return found


def input_mechanism() -> Mechanism:
    """An input that nothing acts on: on with a probability of a half."""
    return parse_equation(None, make_law("bernoulli", ON), ())


def boolean_genes(rules: Iterable[tuple[str, Rule, str]]) -> dict[str, Mechanism]:
    """Mechanisms of genes with their rules and places; what has no rule, or itself, is an input."""
    listed = list(rules)
    genes: dict[str, Mechanism] = {}
    for name, rule, where in listed:
        is_itself = rule.kind == "gene" and rule.name == name
        genes[name] = input_mechanism() if is_itself else rule_mechanism(rule, where)
    for _, rule, _ in listed:
        for name in rule.genes():
            genes.setdefault(name, input_mechanism())
    return genes
