"""Bayesian networks of discrete variables in the interchange format (BIF) of pgmpy and bnlearn."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from ..._checks import InputError, printable
from ..feedback import Network
from .tables import Table, table_mechanism

_TOKEN = re.compile(r'\s*(?:(//[^\n]*|/\*.*?\*/)|("[^"]*")|([^\s{}()\[\]|,;"]+)|([{}()\[\]|,;]))', re.DOTALL)
MAX_TOKENS = 5_000_000


@dataclass(frozen=True)
class _Token:
    text: str
    line: int


class _Reader:
    """Tokens of a file, and where they stand."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.tokens = self._tokens(text)
        self.at = 0

    def _tokens(self, text: str) -> list[_Token]:
        found: list[_Token] = []
        place, line, end = 0, 1, len(text.rstrip())
        while place < end:
            one = _TOKEN.match(text, place)
            if one is None:
                raise InputError(f"{self.file} line {line}: a quotation mark is not closed")
            start = next(one.start(i) for i in range(1, 5) if one[i] is not None)
            line += text.count("\n", place, start)
            if one[1] is None:
                found.append(_Token((one[2] or one[3] or one[4]).strip('"'), line))
            line += text.count("\n", start, one.end())
            place = one.end()
            if len(found) > MAX_TOKENS:
                raise InputError(f"{self.file}: more than {MAX_TOKENS:,} words")
        return found

    @property
    def done(self) -> bool:
        return self.at >= len(self.tokens)

    def peek(self) -> str:
        return "" if self.done else self.tokens[self.at].text

    def take(self, expected: str | None = None) -> str:
        """The next word; that one, if one is expected."""
        found = self.peek()
        if self.done or (expected is not None and found != expected):
            raise self.error(f"expected {expected or 'more'}; found {printable(found, 40) or 'the end'}")
        self.at += 1
        return found

    def error(self, message: str, line: int | None = None) -> InputError:
        return InputError(f"{self.file} line {line or self.line}: {message}")

    @property
    def line(self) -> int:
        """The line of the next word."""
        return self.tokens[min(self.at, len(self.tokens) - 1)].line if self.tokens else 1

    def words_until(self, end: str) -> list[str]:
        """Words between commas up to a sign, which is taken too."""
        found: list[str] = []
        while self.peek() != end:
            line, word = self.line, self.take()
            if word in "{}()[]|;":
                raise self.error(f"expected {end}; found {word}", line)
            if word != ",":
                found.append(word)
        self.take(end)
        return found

    def skip_block(self) -> None:
        self.take("{")
        depth = 1
        while depth:
            word = self.take()
            depth += (word == "{") - (word == "}")


def read_bif(text: str, file: str) -> Network:
    """Genes of a network: each has the numbers 0, 1, 2, ... of its states, in the order of the file.

    Raises
    ------
    InputError
        What cannot be read, with its line.

    Examples
    --------
    >>> genes = read_bif('''
    ... variable A { type discrete [ 2 ] { off, on }; }
    ... variable B { type discrete [ 3 ] { low, middle, high }; }
    ... probability ( A ) { table 0.6, 0.4; }
    ... probability ( B | A ) { (off) 0.5, 0.25, 0.25; (on) 0.1, 0.2, 0.7; }
    ... ''', "net.bif").genes
    >>> genes["B"].text
    'categorical((1 - A)*0.25 + A*0.2, (1 - A)*0.25 + A*0.7)'
    """
    reader = _Reader(text, file)
    states: dict[str, list[str]] = {}
    tables: dict[str, Table] = {}
    while not reader.done:
        line, word = reader.line, reader.take()
        if word == "network":
            while reader.peek() != "{":
                reader.take()
            reader.skip_block()
        elif word == "variable":
            name = reader.take()
            if name in states:
                raise reader.error(f"a second variable {printable(name, 40)}", line)
            states[name] = _states(reader)
        elif word == "probability":
            name, table = _probability(reader, states, line)
            if name in tables:
                raise reader.error(f"a second table of {printable(name, 40)}", line)
            tables[name] = table
        else:
            raise reader.error(
                f"expected network, variable or probability; found {printable(word, 40)}", line
            )
    missing = [name for name in states if name not in tables]
    if not states or missing:
        what = f"no probabilities of {printable(missing[0], 40)}" if missing else "no variable in the file"
        raise InputError(f"{file}: {what}")
    return Network({name: table_mechanism(name, tables[name], file) for name in states})


def _states(reader: _Reader) -> list[str]:
    reader.take("{")
    found: list[str] = []
    while reader.peek() != "}":
        line, word = reader.line, reader.take()
        if word == "property":
            while reader.take() != ";":
                pass
            continue
        if word != "type" or reader.take() != "discrete":
            raise reader.error("expected 'type discrete [ n ] { states };': other types are not read", line)
        reader.take("[")
        n = reader.take()
        reader.take("]")
        reader.take("{")
        found = reader.words_until("}")
        reader.take(";")
        if str(len(found)) != n or len(set(found)) < len(found) or len(found) < 2:
            raise reader.error(f"expected {printable(n, 20)} different states, at least 2", line)
    reader.take("}")
    if not found:
        raise reader.error("a variable without a type")
    return found


def _probability(reader: _Reader, states: dict[str, list[str]], line: int) -> tuple[str, Table]:
    reader.take("(")
    name = reader.take()
    parents: list[str] = []
    if reader.peek() == "|":
        reader.take()
        parents = reader.words_until(")")
    else:
        reader.take(")")
    for one in (name, *parents):
        if one not in states:
            raise reader.error(f"no variable {printable(one, 40)} before this line", line)
    reader.take("{")
    rows: dict[tuple[int, ...], list[float]] = {}
    default: list[float] | None = None
    while reader.peek() != "}":
        at, word = reader.line, reader.take()
        if word == "table":
            if parents:
                raise reader.error(
                    "a table of a variable with parents says nothing of their order; write a row for each of "
                    "their states: (state, ...) p, p;",
                    at,
                )
            rows[()] = _numbers(reader, len(states[name]), at)
        elif word == "default":
            default = _numbers(reader, len(states[name]), at)
        elif word == "(":
            key = _key(reader, reader.words_until(")"), parents, states, at)
            if key in rows:
                raise reader.error("a second row of these states", at)
            rows[key] = _numbers(reader, len(states[name]), at)
        elif word == "property":
            while reader.take() != ";":
                pass
        else:
            raise reader.error(f"expected table, default or (states); found {printable(word, 40)}", at)
    reader.take("}")
    n_rows = prod(len(states[p]) for p in parents)
    if len(rows) < n_rows and default is None:
        raise reader.error(f"{len(rows)} of {n_rows:,} rows of probabilities of {printable(name, 40)}", line)
    return name, Table(tuple(parents), tuple(len(states[p]) for p in parents), rows, default, line)


def _key(
    reader: _Reader, words: Sequence[str], parents: Sequence[str], states: dict[str, list[str]], line: int
) -> tuple[int, ...]:
    if len(words) != len(parents):
        raise reader.error(f"expected a state for each of {len(parents)} parents; found {len(words)}", line)
    found = []
    for word, parent in zip(words, parents, strict=True):
        if word not in states[parent]:
            raise reader.error(f"{printable(parent, 40)} has no state {printable(word, 40)}", line)
        found.append(states[parent].index(word))
    return tuple(found)


def _numbers(reader: _Reader, n: int, line: int) -> list[float]:
    words = reader.words_until(";")
    try:
        found = [float(word) for word in words]
    except ValueError:
        raise reader.error("expected probabilities", line) from None
    if len(found) != n or not all(0 <= p <= 1 for p in found):
        raise reader.error(f"expected {n} probabilities from 0 to 1; found {len(found)} numbers", line)
    return found
