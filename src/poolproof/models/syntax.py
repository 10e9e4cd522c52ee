"""Text of a model file to a checked syntax tree: nothing in it is ever run."""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass
from functools import cached_property

import sympy

from .._checks import InputError, printable

MAX_LENGTH = 2_000
MAX_NODES = 500
MAX_LAW_LENGTH, MAX_LAW_NODES = 300_000, 40_000
"""The same for a law, which may list measured values."""
MAX_DEPTH = 50
MAX_DIGITS = 30

_NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_BACKTICKS = re.compile(r"`([^`]*)`")
_HINTS = {
    "^": "a power is written **",
    "<": "a comparison is written threshold(x, at=...)",
    ">": "a comparison is written threshold(x, at=...)",
    "&": "write AND(a, b)",
    "|": "write OR(a, b)",
    "!": "write NOT(a)",
    "~": "write NOT(a)",
    "`": "a backtick is not closed",
    "%": "only + - * / ** are known",
    "@": "only + - * / ** are known",
}

_Operator = ast.Add | ast.Sub | ast.Mult | ast.Div | ast.Pow | ast.USub | ast.UAdd | ast.Load
_COMMON = (ast.BinOp, ast.UnaryOp, ast.Call, ast.Name, ast.Constant, ast.keyword, ast.List, _Operator)
FORMULA = _COMMON
"""Nodes that a formula may hold."""
LAW = (*_COMMON, ast.Dict)
"""Nodes that a law may hold."""

_NAMED = {
    ast.Attribute: "an attribute (a dot after a name)",
    ast.Subscript: "an index in brackets",
    ast.Tuple: "a comma outside a function",
    ast.Lambda: "lambda",
    ast.IfExp: "if ... else",
    ast.Compare: "a comparison",
    ast.BoolOp: "and, or (write AND(a, b), OR(a, b))",
    ast.Not: "not (write NOT(a))",
    ast.Starred: "a starred argument",
    ast.ListComp: "a comprehension",
    ast.GeneratorExp: "a comprehension",
    ast.FloorDiv: "//",
}


@dataclass(frozen=True, eq=False)
class Source:
    """A text, its syntax tree, and where the text stands.

    Only the listed kinds of nodes are in the tree. Positions in the tree are bytes of ``text``.
    """

    text: str
    where: str
    tree: ast.expr

    @cached_property
    def _bytes(self) -> bytes:
        return self.text.encode()

    def segment(self, node: ast.expr) -> str:
        """The part of the text that a node stands for."""
        return self._bytes[node.col_offset : node.end_col_offset].decode()

    def name(self, node: ast.Name) -> str:
        """A name as written, without its backticks (Python would normalise some letters)."""
        written = self.segment(node)
        return written[1:-1] if written.startswith("`") else written

    def number(self, node: ast.expr) -> sympy.Rational:
        """The exact value of a number, with or without a sign."""
        if isinstance(node, ast.UnaryOp):
            value = self.number(node.operand)
            return -value if isinstance(node.op, ast.USub) else value
        if not isinstance(node, ast.Constant):
            raise self.error(f"expected a number; found {printable(self.segment(node), 40)!r}", node)
        return self._literal(node)

    def _literal(self, node: ast.Constant) -> sympy.Rational:
        written = self.segment(node)
        if not _NUMBER.fullmatch(written):
            raise self.error(f"expected a plain number; found {printable(written, 40)!r}", node)
        mantissa = re.split("[eE]", written)[0]
        lost = float(written) == 0.0 and re.search("[1-9]", mantissa)
        if sum(c.isdigit() for c in mantissa) > MAX_DIGITS or abs(float(written)) > 1e50 or lost:
            raise self.error(
                f"the number {printable(written, 40)} is out of bounds: up to {MAX_DIGITS} digits and 1e50",
                node,
            )
        return sympy.Rational(written)

    def error(self, message: str, node: ast.AST | int | None = None) -> InputError:
        """An error of one line that names the place."""
        offset = node if isinstance(node, int) else getattr(node, "col_offset", None)
        if offset is None:
            return InputError(f"{self.where}: {message}")
        column = len(self._bytes[:offset].decode(errors="ignore")) + 1
        return InputError(f"{self.where}: column {column}: {message}")


def parse_source(text: object, where: str, allowed: tuple[object, ...] = FORMULA) -> Source:
    """Parse a text into a checked tree.

    Names that are no identifiers are written in backticks.

    Parameters
    ----------
    text
        What stands in the file; numbers are taken as text.
    where
        Place for messages, such as ``genes.X.equation``.
    allowed
        `FORMULA` or `LAW`.

    Raises
    ------
    InputError
        The text is too long or too deep, no formula, or holds anything that is not allowed.

    Examples
    --------
    >>> source = parse_source("2 * `HLA-A`", "here")
    >>> source.segment(source.tree.right)
    '`HLA-A`'
    """
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{where}: expected a text such as '2*Y + N'; found {printable(repr(text), 40)}")
    most = MAX_LAW_LENGTH if ast.Dict in allowed else MAX_LENGTH
    if len(text) > most:
        raise InputError(f"{where}: the text has {len(text):,} characters; at most {most:,} are read")
    plain = re.sub(r"[\t\r\n]", " ", text).strip()
    unparsed = Source(plain, where, ast.Constant(0))
    masked = _mask_names(unparsed, braces=ast.Dict in allowed)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's remarks on odd literals; they are refused below
            tree = ast.parse(masked, mode="eval").body
    except SyntaxError as error:
        raise unparsed.error(_syntax_message(error), max(0, (error.offset or 1) - 1)) from None
    except (ValueError, RecursionError, MemoryError):
        raise unparsed.error(f"nested too deeply; at most {MAX_DEPTH} levels are read") from None
    source = Source(plain, where, tree)
    _check_tree(source, allowed)
    return source


def _mask_names(source: Source, *, braces: bool) -> str:
    """Put underscores, byte for byte, in place of names in backticks; refuse other odd characters."""

    def mask(found: re.Match[str]) -> str:
        if not found[1].strip():
            raise source.error("an empty name in backticks", len(source.text[: found.start()].encode()))
        return "_" * len(found[0].encode())

    masked = _BACKTICKS.sub(mask, source.text)
    for position, c in enumerate(masked):
        if not (c.isalnum() or c in "_ +-*/().,=[]" or (braces and c in "{}:")):
            hint = _HINTS.get(c, "names with other characters are written in `backticks`")
            raise source.error(
                f"unexpected character {printable(c)!r}: {hint}", len(masked[:position].encode())
            )
    return masked


def _syntax_message(error: SyntaxError) -> str:
    reason = printable((error.msg or "").split("(")[0].strip().rstrip("."), 60)
    return f"cannot be read as a formula ({reason}); a gene whose name is a Python word goes in `backticks`"


def _check_tree(source: Source, allowed: tuple[object, ...]) -> None:
    """Walk the tree without recursion; refuse what is too large or not allowed."""
    todo: list[tuple[ast.AST, int, ast.AST]] = [(source.tree, 1, source.tree)]
    count = 0
    while todo:
        node, depth, place = todo.pop()
        place = node if hasattr(node, "col_offset") else place
        if not isinstance(node, allowed):  # type: ignore[arg-type]
            what = _NAMED.get(type(node), f"Python's {type(node).__name__}")
            raise source.error(
                f"{what} is not allowed; allowed are numbers, genes, N, + - * / ** and functions by name",
                place,
            )
        if isinstance(node, ast.keyword) and node.arg is None:
            raise source.error("** before an argument is not allowed", place)
        if not isinstance(node, _Operator):
            count += 1
        if depth > MAX_DEPTH:
            raise source.error(f"nested too deeply; at most {MAX_DEPTH} levels are read")
        most = MAX_LAW_NODES if ast.Dict in allowed else MAX_NODES
        if count > most:
            raise source.error(f"more than {most:,} numbers, names and signs; split the formula")
        todo += [(c, depth if _same_chain(node, c) else depth + 1, place) for c in ast.iter_child_nodes(node)]


def _same_chain(node: ast.AST, child: ast.AST) -> bool:
    """Whether a long sum or product goes on: a + b + c is no deeper than a + b."""
    chains = ((ast.Add, ast.Sub), (ast.Mult, ast.Div))
    return (
        isinstance(node, ast.BinOp)
        and isinstance(child, ast.BinOp)
        and child is node.left
        and any(isinstance(node.op, chain) and isinstance(child.op, chain) for chain in chains)
    )
