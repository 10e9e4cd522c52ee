"""Model files: a cell-level model, how cells are pooled, and how many there are in a pool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from .._checks import InputError, printable
from ..aggregation import Aggregation, parse_aggregation
from .feedback import Network, Snapshot, as_snapshot
from .laws import Law, parse_law
from .mechanisms import Equation, Kernel, Mechanism, parse_equation, parse_kernel
from .scm import SCM, CellType, check_name
from .yaml_nodes import MAX_BYTES, Node, located, read_yaml

KEYS = ("name", "genes", "aggregation", "cells", "cell_types")
GENE_KEYS = ("equation", "noise", "kernel")
TYPE_KEYS = ("fraction", "genes")
MAX_CELLS = 10**9


@dataclass(frozen=True, eq=False)
class Model:
    """What a model file says.

    Attributes
    ----------
    name
        Name of the model.
    scm
        The cells.
    aggregation
        What a pool does to its cells.
    cells
        Cells in a pool: a whole number, or a law of it.
    source
        Name of the file; empty where there is none.
    snapshot
        For a model with feedback: what of it is seen, and when; else None.
    """

    name: str
    scm: SCM
    aggregation: Aggregation
    cells: int | Law
    source: str = ""
    snapshot: Snapshot | None = None

    def _repr_html_(self) -> str:
        return f"<pre>{escape(self.to_yaml())}</pre>"

    @property
    def observed(self) -> tuple[str, ...]:
        """Genes that pools show."""
        return (self.snapshot.observed if self.snapshot else ()) or self.scm.gene_names

    def __post_init__(self) -> None:
        """Raise InputError unless cells can be alike: in genes of the model, a fixed number in each pool."""
        for gene in self.aggregation.alike_in:
            if gene not in self.scm.genes:
                raise InputError(f"aggregation.by: no gene {printable(gene, 40)!r} in the model")
        if self.aggregation.alike_in and not isinstance(self.cells, int):
            raise InputError(f"similarity needs a fixed number of cells; found {self.cells.text}")

    def to_dict(self) -> dict[str, Any]:
        """The model as plain values; `read_model` reads it back."""
        content: dict[str, Any] = {
            "name": self.name,
            "genes": {gene: _mechanism_dict(one) for gene, one in self.scm.genes.items()},
            "aggregation": self.aggregation.spec,
            "cells": self.cells if isinstance(self.cells, int) else self.cells.text,
        }
        if self.scm.cell_types:
            content["cell_types"] = {
                name: {
                    "fraction": one.fraction,
                    "genes": {gene: _mechanism_dict(part) for gene, part in one.genes.items()},
                }
                for name, one in self.scm.cell_types.items()
            }
        return content

    def to_yaml(self) -> str:
        """The model as the text of a model file."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True, width=100)


def read_model(model: str | Path | Mapping[str, Any]) -> Model:
    """Read a model of cells and pools.

    Parameters
    ----------
    model
        Path of a YAML or JSON file, the text of one (more than one line, or JSON), or a mapping with the
        same content.

    Raises
    ------
    InputError
        The file cannot be read, or the model cannot be used. One line, which names the file, the line and
        the entry.

    Notes
    -----
    Keys: ``name``, ``genes``, ``aggregation``, ``cells`` and, if there are any, ``cell_types``. A gene has
    an ``equation`` in its parents and its own noise ``N`` with the law ``noise``, or the noise alone, or a
    ``kernel``, a law with parameters in the parents. Names that are no identifiers stand in backticks
    in formulas. In a cell type, what is not given is as in the base cells.

    Examples
    --------
    >>> model = read_model('''
    ... name: fork
    ... genes:
    ...   Y: {noise: "gamma(2, 1)"}
    ...   X: {equation: "tanh(Y) + 0.15*N", noise: "normal(0, 1)"}
    ...   C: {kernel: "poisson(1 + 2*Y)"}
    ... aggregation: sum
    ... cells: 20
    ... ''')
    >>> model.scm.parents("X"), model.cells, model.aggregation.name
    (('Y',), 20, 'sum')
    """
    if isinstance(model, Mapping):
        root, source = located(model), ""
    else:
        text, source = _text_and_name(model)
        root = read_yaml(text, source or "model")
    return _model(root, source)


def read_network(text: str, file: str, *, steps: int | None = None, steady_state: bool = False) -> Model:
    """Read the text of a model file whose genes may act on each other in a circle.

    Parameters
    ----------
    file
        Its name, for messages.
    steps, steady_state
        See :func:`poolproof.models.read_any`.
    """
    return _model(read_yaml(text, file), file, steps, steady_state)


def _text_and_name(model: str | Path) -> tuple[str, str]:
    if isinstance(model, str) and ("\n" in model or model.lstrip().startswith("{")):
        return model, ""
    path = Path(model)
    shown = printable(path.name or str(path))
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{shown}: larger than {MAX_BYTES:,} bytes; a model file is small")
        return path.read_bytes().decode("utf-8-sig"), shown
    except UnicodeDecodeError:
        raise InputError(f"{shown}: expected text in UTF-8; save it in that encoding") from None
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or "no usable path"
        raise InputError(f"{printable(path)}: cannot be read: {reason}") from None


def _model(root: Node, source: str, steps: int | None = None, steady_state: bool = False) -> Model:
    entries = root.only(KEYS)
    for key, example in (
        ("genes", "genes: {...}"),
        ("aggregation", "aggregation: sum"),
        ("cells", "cells: 20"),
    ):
        if key not in entries:
            raise root.error(f"{key} is missing; add {example}")
    name = _name(entries, source)
    genes = entries["genes"].mapping("genes with their equations")
    base = _genes(entries["genes"], genes, {})
    types = _cell_types(entries["cell_types"], genes, base) if "cell_types" in entries else {}
    try:
        one = as_snapshot(Network(base, types), name, "", steps=steps, steady_state=steady_state)
    except InputError as error:
        raise _placed(error, root) from None
    aggregation = parse_aggregation(entries["aggregation"].plain(), entries["aggregation"].place)
    cells = _cells(entries["cells"])
    _check_weights(aggregation, cells, entries["aggregation"])
    return Model(name, one.scm, aggregation, cells, source, one if one.told else None)


def _name(entries: Mapping[str, Node], source: str) -> str:
    if "name" not in entries:
        return Path(source).stem or "model"
    name = entries["name"].scalar("a name")
    if len(name) > 200 or not name.isprintable():
        raise entries["name"].error("expected a name of one line and up to 200 characters")
    return name


def _genes(at: Node, names: Mapping[str, Any], base: Mapping[str, Mechanism]) -> dict[str, Mechanism]:
    """Mechanisms of the genes under a node; ``base`` has those of the base cells, for a cell type."""
    found = {}
    for gene, node in at.mapping("genes with their equations").items():
        check_name(gene, node.place)
        if base and gene not in base:
            raise node.error("no gene of this name in the model")
        found[gene] = _mechanism(node, names, base.get(gene))
    return found


def _mechanism(node: Node, names: Mapping[str, Any], base: Mechanism | None) -> Mechanism:
    entries = node.only(GENE_KEYS)
    if not entries:
        raise node.error('expected an equation, a noise or a kernel, such as {noise: "normal(0, 1)"}')
    if "kernel" in entries:
        if len(entries) > 1:
            raise node.error("a kernel is random itself; leave equation and noise out")
        return parse_kernel(entries["kernel"].scalar("a kernel"), names, entries["kernel"].place)
    inherited = base if isinstance(base, Equation) else None
    equation = entries["equation"].scalar("an equation") if "equation" in entries else None
    if equation is None and inherited is not None:
        equation = inherited.text
    noise: Law | None = inherited.noise if inherited is not None else None
    if "noise" in entries:
        noise = parse_law(_law_text(entries["noise"]), entries["noise"].place)
    where = replace(node, line=entries["equation"].line) if "equation" in entries else node
    return parse_equation(equation, noise, names, where.place, spare_noise="noise" not in entries)


def _law_text(node: Node) -> Any:
    return node.plain() if isinstance(node.content, dict) else node.scalar("a law")


def _cell_types(node: Node, names: Mapping[str, Any], base: Mapping[str, Mechanism]) -> dict[str, CellType]:
    found = {}
    for name, entry in node.mapping("cell types").items():
        entries = entry.only(TYPE_KEYS)
        if "fraction" not in entries:
            raise entry.error("fraction is missing; add the share of the cells, such as fraction: 0.4")
        fraction = entries["fraction"].content
        if isinstance(fraction, bool) or not isinstance(fraction, (int, float)) or not 0 < fraction <= 1:
            raise entries["fraction"].error("expected a number above 0 and up to 1")
        genes = _genes(entries["genes"], names, base) if "genes" in entries else {}
        found[name] = CellType(float(fraction), genes)
    return found


def _cells(node: Node) -> int | Law:
    number = node.content
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if isinstance(number, int) and not isinstance(number, bool):
        if not 1 <= number <= MAX_CELLS:
            raise node.error(f"expected 1 to {MAX_CELLS:,} cells; found {printable(node.text, 40)}")
        return number
    if isinstance(number, (float, bool)) or number is None:
        found = printable(node.text, 40) or "nothing"
        raise node.error(f"expected a whole number of cells or a law, such as 'poisson(20)'; found {found}")
    law = parse_law(_law_text(node), node.place)
    if not law.support.is_whole or law.support.low < 0 or law.support.high == 0:
        raise node.error(f"expected a law of whole numbers from 0 up; found {law.text}")
    return int(law.support.low) if law.is_constant else law


def _check_weights(aggregation: Aggregation, cells: int | Law, node: Node) -> None:
    weights = aggregation.cell_weights
    if weights is not None and cells != len(weights):
        shown = cells if isinstance(cells, int) else cells.text
        raise node.error(f"{len(weights)} weights, but cells: {shown}; expected one weight for each cell")


def _placed(error: InputError, root: Node) -> InputError:
    """An error of the whole model, with the line of the entry that it starts with."""
    message = str(error)
    node, start = root, ""
    while isinstance(node.content, dict):
        inner = [one for one in node.content.values() if _is_at(message, one.path)]
        if not inner:
            break
        node = max(inner, key=lambda one: len(one.path))
        start = node.path
    if not start:
        return root.error(message)
    rest = message.removeprefix(start).removeprefix(":").removeprefix(".").strip()
    return node.error(rest)


def _is_at(message: str, path: str) -> bool:
    return message.startswith((f"{path}:", f"{path}."))


def _mechanism_dict(mechanism: Mechanism) -> dict[str, str]:
    if isinstance(mechanism, Kernel):
        return {"kernel": mechanism.text}
    noise = {"noise": mechanism.noise.text} if mechanism.noise else {}
    return noise if mechanism.is_noise else {"equation": mechanism.text, **noise}


def cell_number(cells: int | str | Law) -> int | Law:
    """Check the number of cells in a pool, or its law.

    Raises
    ------
    InputError
        It is no whole number of at least 1, and no law of whole numbers.

    Examples
    --------
    >>> cell_number("poisson(20)").mean
    20.0
    """
    if isinstance(cells, str):
        cells = parse_law(cells, "cells")
    if isinstance(cells, Law):
        if not cells.support.is_whole or cells.support.low < 0 or not cells.mean > 0:
            raise InputError(
                f"cells needs a law of whole numbers of at least 0; found {printable(cells.text)}"
            )
        return cells
    if isinstance(cells, bool) or not isinstance(cells, (int, np.integer)) or cells < 1:
        raise InputError(f"cells must be a whole number of at least 1, or a law; found {printable(cells)!r}")
    return int(cells)
