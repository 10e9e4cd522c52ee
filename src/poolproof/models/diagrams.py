"""Decision diagrams: functions of variables with few values, without a row for each combination.

A diagram asks one variable after another, in a fixed order, and shares what is equal (Bryant 1986; with
numbers at its ends: Bahar et al. 1993). OR of 20 inputs has 20 nodes, where a table has a million rows.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction

import numpy as np
import sympy

from .expressions import written
from .support import Support

MAX_NODES = 50_000
"""Nodes of all diagrams of one table."""
MAX_WRITTEN = 5_000
"""Nodes that a formula is written from, those shared counted each time."""

Operation = Callable[[Fraction, Fraction], Fraction]
Choice = tuple[tuple[str, int], ...]


_OFF_ON = (Fraction(0), Fraction(1))


class TooLargeError(Exception):
    """A diagram would be too large, or the function has values that are no fractions."""


class Diagrams:
    """Diagrams of functions of the same variables; a diagram is the number of its first node."""

    def __init__(self, values: Mapping[str, Sequence[Fraction]]) -> None:
        self.values = {name: tuple(some) for name, some in values.items()}
        self._order = {name: i for i, name in enumerate(self.values)}
        self._names = tuple(self.values)
        self._nodes: list[tuple[int, tuple[int, ...]] | Fraction] = []
        self._known: dict[object, int] = {}
        self._done: dict[object, int] = {}

    # --- making -------------------------------------------------------------------------------------------

    def constant(self, value: Fraction | int) -> int:
        """The diagram of a constant."""
        return self._node(Fraction(value), Fraction(value))

    def variable(self, name: str) -> int:
        """The diagram of a variable."""
        return self._branch(self._order[name], tuple(self.constant(v) for v in self.values[name]))

    def _branch(self, level: int, children: tuple[int, ...]) -> int:
        return children[0] if len(set(children)) == 1 else self._node((level, children), (level, children))

    def _node(self, key: object, content: tuple[int, tuple[int, ...]] | Fraction) -> int:
        found = self._known.get(key)
        if found is None:
            if len(self._nodes) >= MAX_NODES:
                raise TooLargeError
            found = self._known[key] = len(self._nodes)
            self._nodes.append(content)
        return found

    def apply(self, operation: Operation, a: int, b: int) -> int:
        """The diagram of ``operation(f, g)`` from those of f and g."""
        key = (operation, a, b)
        found = self._done.get(key)
        if found is None:
            found = self._done[key] = self._applied(operation, a, b)
        return found

    def _applied(self, operation: Operation, a: int, b: int) -> int:
        one, two = self._nodes[a], self._nodes[b]
        if isinstance(one, Fraction) and isinstance(two, Fraction):
            return self.constant(operation(one, two))
        if operation is operator.mul and 0 in (one, two):
            return self.constant(0)
        level = min(node[0] for node in (one, two) if not isinstance(node, Fraction))
        n = len(self.values[self._names[level]])
        below = tuple(self.apply(operation, self._at(a, level, i), self._at(b, level, i)) for i in range(n))
        return self._branch(level, below)

    def _at(self, node: int, level: int, i: int) -> int:
        """What is left of a diagram that starts at a level, or below it, at the i-th value."""
        content = self._nodes[node]
        return node if isinstance(content, Fraction) or content[0] != level else content[1][i]

    def of(self, expression: sympy.Expr) -> int:
        """The diagram of a formula in these variables.

        Raises
        ------
        TooLargeError
            It is too large, or the formula is none of sums, products, powers, extremes and steps.
        """
        if expression.is_Symbol:
            return self.variable(expression.name)
        if expression.is_Rational:
            return self.constant(Fraction(int(expression.p), int(expression.q)))
        if expression.is_Pow and expression.exp.is_Integer and 0 < expression.exp <= 100:
            base = found = self.of(expression.base)
            for _ in range(int(expression.exp) - 1):
                found = self.apply(operator.mul, found, base)
            return found
        if expression.func is sympy.Heaviside:
            return self.apply(_step, self.of(expression.args[0]), self.of(expression.args[1]))
        if expression.func is sympy.Abs:
            inside = self.of(expression.args[0])
            return self.apply(max, inside, self.apply(operator.mul, self.constant(-1), inside))
        joined = _JOINING.get(expression.func)
        if joined is None:
            raise TooLargeError
        found, *others = (self.of(part) for part in expression.args)
        for other in others:
            found = self.apply(joined, found, other)
        return found

    # --- reading ------------------------------------------------------------------------------------------

    def value(self, node: int) -> Fraction | None:
        """The value of a constant; None for anything else."""
        content = self._nodes[node]
        return content if isinstance(content, Fraction) else None

    def names(self, node: int) -> tuple[str, ...]:
        """Variables that a function depends on, in order."""
        found: set[int] = set()
        todo, seen = [node], {node}
        while todo:
            content = self._nodes[todo.pop()]
            if not isinstance(content, Fraction):
                found.add(content[0])
                todo += [c for c in content[1] if c not in seen]
                seen |= {*content[1]}
        return tuple(self._names[level] for level in sorted(found))

    def at(self, node: int, name: str, i: int) -> int:
        """The function with a variable at its i-th value."""
        key = (name, i, node)
        found = self._done.get(key)
        if found is None:
            content, level = self._nodes[node], self._order[name]
            if isinstance(content, Fraction) or content[0] > level:
                found = node
            elif content[0] == level:
                found = content[1][i]
            else:
                found = self._branch(content[0], tuple(self.at(c, name, i) for c in content[1]))
            self._done[key] = found
        return found

    def step(self, node: int, name: str, i: int, start: int = 0) -> int:
        """What the function gains as a variable goes from one of its values to its i-th."""
        return self.apply(operator.sub, self.at(node, name, i), self.at(node, name, start))

    def ways_other_than(self, node: int, value: Fraction) -> Iterator[Choice]:
        """Values, by position, of some variables at which a function differs from a number, way by way."""
        content = self._nodes[node]
        if isinstance(content, Fraction):
            if content != value:
                yield ()
            return
        for i, child in enumerate(content[1]):
            for below in self.ways_other_than(child, value):
                yield ((self._names[content[0]], i), *below)

    def ends(self, node: int) -> set[Fraction]:
        """All values of a function.

        Examples
        --------
        >>> x, y = sympy.symbols("X Y", real=True)
        >>> table = Diagrams({"X": (Fraction(0), Fraction(1)), "Y": (Fraction(0), Fraction(1))})
        >>> sorted(map(int, table.ends(table.of(x + y - x * y))))
        [0, 1]
        """
        found: set[Fraction] = set()
        todo, seen = [node], {node}
        while todo:
            content = self._nodes[todo.pop()]
            if isinstance(content, Fraction):
                found.add(content)
            else:
                todo += [c for c in {*content[1]} if c not in seen]
                seen |= {*content[1]}
        return found

    def table(self, names: Sequence[str], numbers: np.ndarray) -> int:
        """The diagram of a table with one axis for each of some variables, in the order of the diagrams."""
        if not names:
            return self.constant(Fraction(repr(float(numbers))))
        children = tuple(self.table(names[1:], part) for part in numbers)
        return self._branch(self._order[names[0]], children)

    def expression(self, node: int) -> sympy.Expr:
        """A formula: through all values of a variable, a line where it has two.

        Raises
        ------
        TooLargeError
            It would be too long.

        Examples
        --------
        >>> x, y = sympy.symbols("X Y", real=True)
        >>> table = Diagrams({"X": (Fraction(0), Fraction(1)), "Y": (Fraction(0), Fraction(1))})
        >>> table.expression(table.of(sympy.Max(x, y) * x**2 + y * (1 - x)))
        X + Y*(1 - X)
        """
        if self._size(node, {}) > MAX_WRITTEN:
            raise TooLargeError
        return self._written(node)

    def _written(self, node: int) -> sympy.Expr:
        content = self._nodes[node]
        if isinstance(content, Fraction):
            return _rational(content)
        name = self._names[content[0]]
        symbol = sympy.Symbol(name, real=True)
        terms = []
        for child, places in self._groups(content).items():
            below = self._written(child)
            if below != 0:
                terms.append(sympy.Add(*(self._indicator(symbol, i) for i in places)) * below)
        return sympy.Add(*terms)

    def _groups(self, content: tuple[int, tuple[int, ...]]) -> dict[int, list[int]]:
        """Places of the values that lead to each child."""
        found: dict[int, list[int]] = {}
        for i, child in enumerate(content[1]):
            found.setdefault(child, []).append(i)
        return found

    def _indicator(self, symbol: sympy.Symbol, i: int) -> sympy.Expr:
        """The polynomial that is 1 at the i-th value of a variable, and 0 at the others (Lagrange)."""
        values = self.values[symbol.name]
        return sympy.Mul(
            *((symbol - _rational(v)) / _rational(values[i] - v) for j, v in enumerate(values) if j != i)
        )

    def text(self, node: int) -> str:
        """The same formula in the language of model files."""
        content = self._nodes[node]
        if isinstance(content, Fraction):
            return repr(float(content)).removesuffix(".0")
        name, values = written(self._names[content[0]]), self.values[self._names[content[0]]]
        terms = []
        for child, places in self._groups(content).items():
            below = self.text(child)
            if below == "0":
                continue
            shares = [
                "*".join(
                    f"({name} - {float(v):g})/{float(values[i] - v):g}"
                    for j, v in enumerate(values)
                    if j != i
                )
                for i in places
            ]
            if values == _OFF_ON:
                shares = [name if i else f"(1 - {name})" for i in places]
            share = shares[0] if len(shares) == 1 else f"({' + '.join(shares)})"
            terms.append(
                share if below == "1" else f"{share}*({below})" if "+" in below else f"{share}*{below}"
            )
        return " + ".join(terms)

    def _size(self, node: int, known: dict[int, int]) -> int:
        if node not in known:
            content = self._nodes[node]
            below = () if isinstance(content, Fraction) else content[1]
            known[node] = 1 + sum(self._size(child, known) for child in below)
        return known[node]


def _rational(value: Fraction) -> sympy.Rational:
    return sympy.Rational(value.numerator, value.denominator)


def _step(inside: Fraction, at_zero: Fraction) -> Fraction:
    return at_zero if inside == 0 else Fraction(int(inside > 0))


_JOINING: Mapping[object, Operation] = {
    sympy.Add: operator.add,
    sympy.Mul: operator.mul,
    sympy.Max: max,
    sympy.Min: min,
}


def diagrams_of(supports: Mapping[str, Support]) -> Diagrams | None:
    """Diagrams of variables with finite supports; None where a value is no fraction.

    Examples
    --------
    >>> from poolproof.models.support import finite
    >>> diagrams_of({"X": finite([0, 2])}).values
    {'X': (Fraction(0, 1), Fraction(2, 1))}
    """
    if not all(s.kind == "finite" and all(v.is_Rational for v in s.values) for s in supports.values()):
        return None
    return Diagrams({n: [Fraction(int(v.p), int(v.q)) for v in s.values] for n, s in supports.items()})
