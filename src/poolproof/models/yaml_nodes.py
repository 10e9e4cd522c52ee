"""YAML (and JSON, which is YAML) to located values: every value knows its line and its path.

Stricter than YAML: a key stands once, keys are text, only ``true`` and ``false`` are booleans, and there are
no tags. So a gene may be named NO.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

import yaml

from .._checks import InputError, printable

MAX_BYTES = 1_000_000
MAX_DEPTH = 20
MAX_NODES = 200_000

QUOTE = 'in {...} a text with a comma must be quoted: {noise: "gamma(2, 1)"}'
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}


@dataclass(frozen=True, eq=False)
class Node:
    """A value of a file, and where it stands."""

    content: Any
    """A dict of nodes, a list of nodes, or a text, number, boolean or None."""
    text: str
    """A scalar as written; else empty."""
    path: str
    line: int | None
    file: str

    def error(self, message: str) -> InputError:
        """An error of one line that names the place."""
        return InputError(f"{self.place}: {message}" if self.place else message)

    @property
    def place(self) -> str:
        """``FILE line 7: genes.X.equation``."""
        line = f" line {self.line}" if self.line else ""
        return ": ".join(part for part in (self.file + line, self.path) if part)

    @property
    def kind(self) -> str:
        """What it is, in words."""
        if isinstance(self.content, dict):
            return "a mapping"
        if isinstance(self.content, list):
            return "a list"
        return "nothing" if self.content is None else printable(self.text, 40)

    def mapping(self, what: str) -> dict[str, Node]:
        """The entries, or an error that says what was expected."""
        if not isinstance(self.content, dict):
            raise self.error(f"expected {what}; found {self.kind}")
        return self.content

    def only(self, known: tuple[str, ...]) -> dict[str, Node]:
        """The entries of a mapping that may have certain keys only."""
        entries = self.mapping(f"a mapping with {', '.join(known)}")
        for key, node in entries.items():
            if key not in known:
                if ")" in key and "(" not in key:
                    raise self.error(QUOTE)
                near = get_close_matches(key, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
                raise node.error(f"unknown key; {hint}")
        return entries

    def scalar(self, what: str) -> str:
        """The text of a scalar, as written."""
        if self.content is None or isinstance(self.content, (dict, list)):
            raise self.error(f"expected {what}; found {self.kind}")
        return self.text

    def plain(self) -> Any:
        """Plain Python values."""
        if isinstance(self.content, dict):
            return {key: node.plain() for key, node in self.content.items()}
        if isinstance(self.content, list):
            return [node.plain() for node in self.content]
        return self.content


def read_yaml(text: str, file: str) -> Node:
    """Read a text.

    Raises
    ------
    InputError
        It is no YAML, a key stands twice, a tag is used, or it is too large or too deep.

    Examples
    --------
    >>> node = read_yaml("genes:\\n  NO: yes\\n", "model.yaml")
    >>> node.plain(), node.content["genes"].content["NO"].place
    ({'genes': {'NO': 'yes'}}, 'model.yaml line 2: genes.NO')
    """
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise InputError(f"{file}: larger than {MAX_BYTES:,} bytes; a model file is small")
    if text.lstrip().startswith("{"):
        text = text.replace("\t", "    ")  # JSON may be indented with tabs
    try:
        return _Reader(text, file).document()
    except yaml.YAMLError as error:
        raise InputError(_yaml_message(error, file)) from None


def located(value: Any, path: str = "", file: str = "") -> Node:
    """Nodes of plain Python values, without lines."""
    if isinstance(value, Mapping):
        inner = {str(key): located(one, _join(path, str(key)), file) for key, one in value.items()}
        if len(inner) < len(value):
            raise InputError(f"{path or 'model'}: two keys are the same as text")
        return Node(inner, "", path, None, file)
    if isinstance(value, (list, tuple)):
        return Node([located(one, f"{path}[{i}]", file) for i, one in enumerate(value)], "", path, None, file)
    return Node(value, _scalar_text(value), path, None, file)


def _scalar_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _join(path: str, key: str) -> str:
    shown = printable(key, 40)
    return f"{path}.{shown}" if path else shown


class _Reader:
    """Builds nodes from the parser's events."""

    def __init__(self, text: str, file: str) -> None:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self.events: Iterator[Any] = iter(yaml.parse(text, Loader=loader))
        self.file = file
        self.anchors: dict[str, Node] = {}
        self.n_nodes = 0

    def document(self) -> Node:
        next(self.events)  # the stream starts
        if isinstance(next(self.events), yaml.StreamEndEvent):
            raise InputError(f"{self.file}: the file is empty")
        root = self.node(next(self.events), "", 1, None)
        next(self.events)  # the document ends
        after = next(self.events)
        if not isinstance(after, yaml.StreamEndEvent):
            raise self.error(after, "", "a second document starts here; expected one model")
        return root

    def node(self, event: Any, path: str, depth: int, line: int | None) -> Node:
        """The node that starts with an event; ``line`` is that of its key."""
        line = _line(event) if line is None else line
        self.n_nodes += 1
        if depth > MAX_DEPTH or self.n_nodes > MAX_NODES:
            raise self.error(event, path, f"more than {MAX_DEPTH} levels or {MAX_NODES:,} values")
        if isinstance(event, yaml.AliasEvent):
            return replace(self.alias(event, path), path=path, line=line)
        if event.tag not in (None, "!"):
            raise self.error(event, path, f"the tag {printable(event.tag, 60)} is not allowed")
        if isinstance(event, yaml.MappingStartEvent):
            return Node(self.mapping(path, depth), "", path, line, self.file)
        if isinstance(event, yaml.SequenceStartEvent):
            return Node(self.sequence(path, depth), "", path, line, self.file)
        node = Node(_value(event), event.value, path, line, self.file)
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        return node

    def mapping(self, path: str, depth: int) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise self.error(event, path, "a key must be a plain text")
            key, line = event.value, _line(event)
            inner = _join(path, key)
            if key in entries and ")" in key and "(" not in key:  # what stood after a comma of a text
                raise self.error(event, path, QUOTE)
            if key in entries:
                raise self.error(event, inner, f"this key stands twice, first in line {entries[key].line}")
            entries[key] = self.node(next(self.events), inner, depth + 1, line)
        return entries

    def sequence(self, path: str, depth: int) -> list[Node]:
        items: list[Node] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self.node(event, f"{path}[{len(items)}]", depth + 1, None))
        return items

    def alias(self, event: Any, path: str) -> Node:
        if event.anchor not in self.anchors:
            shown = printable(event.anchor, 40)
            raise self.error(event, path, f"*{shown} stands for no single text or number before this")
        return self.anchors[event.anchor]

    def error(self, event: Any, path: str, message: str) -> InputError:
        return Node(None, "", path, _line(event), self.file).error(message)


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _value(event: Any) -> Any:
    """Value of a scalar: quoted ones are text, of the others only numbers and five words are not."""
    written = event.value
    if event.style in ("'", '"', "|", ">"):
        return written
    if written in _WORDS:
        return _WORDS[written]
    if _NUMBER.fullmatch(written) and len(written) <= 40:
        return int(written) if re.fullmatch(r"[-+]?\d+", written, re.ASCII) else float(written)
    return written


def _yaml_message(error: yaml.YAMLError, file: str) -> str:
    mark: Any = getattr(error, "problem_mark", None)
    line = f" line {mark.line + 1}" if mark else ""
    reason = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"
    return f"{file}{line}: cannot be read as YAML ({printable(reason)}); quote texts with : # {{ or backticks"
