"""Write the reference pages from the code: commands, Python names, inputs, files and their columns, models.

Run ``python docs/make_reference.py`` after a change of options, docstrings, columns, the schema of
verdict.json, example models or what ``check`` says of them. With ``--check`` nothing is written: exit code 1
and one line if a page is stale.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache, cached_property
from importlib import import_module, resources
from importlib.util import module_from_spec, resolve_name, spec_from_file_location
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd

import poolproof
from poolproof import _names as names
from poolproof.cli import commands
from poolproof.pairs import figure_data
from poolproof.theory.text import (
    ORDER,
    aggregation_text,
    cells_text,
    limit_text,
    pool_tables,
    rule_text,
    statement_text,
    witness_sentence,
)


def _beside(name: str) -> Any:
    """Another script of this folder, wherever this one is run from."""
    spec = spec_from_file_location(name, Path(__file__).resolve().parent / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


inputs = _beside("inputs_page")
FOLDER = Path(__file__).resolve().parent / "reference"
COMMAND = "python docs/make_reference.py"
WIDTH = 110
"""Characters of a line of prose."""
HELP_WIDTH = 100
"""Characters of a line of help, whatever the terminal."""

NOTICE = f"<!-- Written by `{COMMAND}`: change the code, not this page. -->"


@cache
def pages() -> dict[str, str]:
    """Text of every page, by file name."""
    return {
        "cli.md": cli_page(),
        **api_pages(),
        "inputs.md": inputs.inputs_page(NOTICE, _table, _join, _fill),
        "files.md": files_page(),
        "models.md": models_page(),
    }


def main(arguments: Sequence[str], folder: Path = FOLDER) -> int:
    """Write the pages, or say which of them is stale; return the exit code."""
    made = pages()
    stale = [name for name, text in made.items() if _text_of(folder / name) != text]
    if "--check" in arguments:
        if stale:
            sys.stderr.write(f"stale: {', '.join(stale)} in docs/reference; run {COMMAND}\n")
        return int(bool(stale))
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")
    return 0


def _text_of(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


# --- the command line -----------------------------------------------------------------------------------

CLI_INTRO = """\
What every command says with `--help`. What the options of `audit` mean is told in more words in the
[README](../../README.md#options); what comes out, in [files](files.md).
"""


def cli_page() -> str:
    """Page of all commands."""
    parts = [NOTICE, "# Command line", CLI_INTRO.strip()]
    for name, text in command_helps():
        parts += [f"## {name}", f"```text\n{text}\n```"]
    return _join(parts)


def command_helps() -> Iterator[tuple[str, str]]:
    """Name and help of every command, parents first."""
    yield from _helps(commands, "poolproof", None)


def _helps(command: click.Command, name: str, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    width = {"terminal_width": HELP_WIDTH, "max_content_width": HELP_WIDTH}
    context = click.Context(command, parent, name, **command.context_settings | width)
    lines = [line.rstrip() for line in command.get_help(context).split("\n")]
    yield context.command_path, "\n".join(lines)
    for child, of in sorted(getattr(command, "commands", {}).items()):
        yield from _helps(of, child, context)


# --- Python ---------------------------------------------------------------------------------------------

API_INTRO = """\
The names of `import poolproof`, the pictures of `poolproof.plot`, and the classes of the results, each on the
page of its part of the package. The installed version is `poolproof.__version__`. “method 6.3” in a docstring
is that section of [the method](../explanation/method.md).

Every example is run by the tests. They start from

{preamble}
"""
PREAMBLE = f"""\
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

import poolproof
from poolproof import (
{textwrap.indent(chr(10).join(f"{name}," for name in poolproof.__all__), "    ")}
)
"""
"""What the examples of docstrings take for granted."""

SECTIONS = ("Parameters", "Returns", "Raises", "Notes", "Examples")
PARTS_OF_A_MODEL = ("Aggregation", "CellType", "Law")
"""Classes that a model file is the way to write; the page leaves them out."""
TABLE_OF = {
    "PAIR_COLUMNS": "pairs.parquet",
    "GENE_COLUMNS": "genes.parquet",
    "POPULATION_COLUMNS": "population.parquet",
    "EQUATION_COLUMNS": "equations.parquet",
    "EDGE_COLUMNS": "edges.parquet",
    "EDGE_CLAIM_COLUMNS": "edges.parquet",
    "SEPARATION_COLUMNS": "separations.parquet",
    "TRIPLE_COLUMNS": "triples.parquet",
    "TRIPLE_GENE_COLUMNS": "triple_genes.parquet",
    "DISTORTION_COLUMNS": "distortion.parquet",
    "DISCOVERED_COLUMNS": "discovered.parquet",
    "ASSIGNMENT_COLUMNS": "assignment.parquet",
    "CURVE_COLUMNS": "pooling_curves.parquet",
    "STUDY_COLUMNS": "study.parquet",
    "COLLECTED_COLUMNS": "collected.parquet",
}
"""File whose columns a registry of ``poolproof._names`` lists."""


INDEX, PICTURE_PAGE = "api.md", "api-pictures.md"
API_PAGES = {
    "api-audit.md": ("Audits, pairs and triples", ("pairs", "triples", "verdict", "report", "_parts")),
    "api-data.md": ("Data and networks", ("data",)),
    "api-pools.md": ("Pools and plans", ("pools", "planning")),
    "api-models.md": ("Models", ("models", "theory")),
    "api-methods.md": ("Methods and the study", ("discovery", "study")),
}
"""Pages of names: title, and the rooms of the package whose names they have."""


def api_pages() -> dict[str, str]:
    """Index of all public names, and the pages of functions and result classes, of pictures, by room."""
    public = {name: getattr(poolproof, name) for name in poolproof.__all__}
    objects = {name: of for name, of in public.items() if inspect.isfunction(of)}
    errors = [name for name, of in public.items() if inspect.isclass(of) and issubclass(of, Exception)]
    pictures = {f"plot.{name}": of for name, of in plot_functions().items()}
    classes = result_classes(objects.values())
    home = {name: _page_of(of) for name, of in [*objects.items(), *classes.items()]}
    home |= dict.fromkeys(pictures, PICTURE_PAGE) | dict.fromkeys(errors, INDEX)

    def render(page: str) -> Renderer:
        return Renderer({*objects, *pictures}, {*classes, *errors}, home, page)

    index = render(INDEX)
    parts = [NOTICE, "# Python", API_INTRO.format(preamble=_code(PREAMBLE.strip())).strip()]
    for page, (title, _) in [*API_PAGES.items(), (PICTURE_PAGE, ("Pictures", ()))]:
        mine = {name: of for name, of in (objects | pictures | classes).items() if home[name] == page}
        parts += [f"## {title}", f"On a page of their own: [{title}]({page}).", _index(index, mine)]
    parts += ["## Errors", *(index.error(name, getattr(poolproof, name)) for name in errors)]
    made = {INDEX: _join(parts)}
    for page, (title, _) in API_PAGES.items():
        on = render(page)
        some = [on.function(name, of) for name, of in objects.items() if home[name] == page]
        results = [on.dataclass(name, of) for name, of in classes.items() if home[name] == page]
        made[page] = _join([NOTICE, f"# {title}", BACK, "## Functions", *some, "## Results", *results])
    on = render(PICTURE_PAGE)
    drawn = [on.function(name, of) for name, of in pictures.items()]
    made[PICTURE_PAGE] = _join(
        [NOTICE, "# Pictures", BACK, on.text(_module_text(poolproof.plot)), "## Functions", *drawn]
    )
    return made


BACK = "All names: [Python](api.md), which also says what the examples start from."


def _page_of(of: Any) -> str:
    """Page of a function or class: that of the room it lives in."""
    room = of.__module__.split(".")[1]
    return next(page for page, (_, rooms) in API_PAGES.items() if room in rooms)


def plot_functions() -> dict[str, Callable[..., Any]]:
    """Public functions of ``poolproof.plot``, in the order of the file; those of other files last."""
    module = poolproof.plot
    listed = {name: getattr(module, name) for name in module.__all__}
    return dict(
        sorted(
            listed.items(),
            key=lambda item: (item[1].__module__ != module.__name__, item[1].__code__.co_firstlineno),
        )
    )


def result_classes(functions: Any) -> dict[str, type]:
    """Dataclasses of the package that functions return, and those that these show in their fields."""
    found: dict[str, type] = {}
    for function in functions:
        _collect(str(inspect.signature(function).return_annotation), function.__module__, found)
    return found


def _collect(annotation: str, module: str, found: dict[str, type]) -> None:
    for word in re.findall(r"[A-Z]\w*", annotation):
        of = getattr(import_module(module), word, None)
        shown = is_dataclass(of) and of.__module__.startswith("poolproof.")
        if shown and word not in found and word not in PARTS_OF_A_MODEL:
            found[word] = of
            for field in fields(of):
                if field.repr:  # what a repr leaves out is an inner matter
                    _collect(str(field.type), of.__module__, found)


def _index(render: Renderer, members: Mapping[str, Any]) -> str:
    rows = [[render.link(name), render.first_line(of)] for name, of in members.items()]
    return _table(["name", "what it is"], rows)


def _module_text(module: Any) -> str:
    return inspect.getdoc(module) or ""


class Renderer:
    """Turns signatures and numpy docstrings into Markdown, with links between the names of the pages."""

    def __init__(
        self, functions: set[str], classes: set[str], home: Mapping[str, str] | None = None, page: str = ""
    ) -> None:
        self.classes = classes
        self.home = home or {}
        self.page = page
        self.anchors = {name: slug(name) for name in functions}
        self.anchors |= {name: slug(f"class {name}") for name in classes}

    def link(self, name: str) -> str:
        """Code, linked where a page has the name."""
        shown = f"`{name}`"
        return f"[{shown}]({self._place(name)}#{self.anchors[name]})" if name in self.anchors else shown

    def _place(self, name: str) -> str:
        """Page of a name; empty where it is this one."""
        page = self.home.get(name, self.page)
        return "" if page == self.page else page

    def function(self, name: str, function: Callable[..., Any]) -> str:
        """Section of a function."""
        return _join([f"### {name}", self.callable(name, function)])

    def callable(self, name: str, function: Callable[..., Any]) -> str:
        """Signature and docstring."""
        return _join([_code(signature(name, function)), self.docstring(function)])

    def dataclass(self, name: str, of: type) -> str:
        """Section of a result class: fields, properties, methods."""
        rows = [
            _fill(f"- `{field}: {kind}`{self._tail(text)}", "  ") for field, kind, text in class_fields(of)
        ]
        parts = [f"### class {name}", self.docstring(of), "**Fields**", "\n".join(rows)]
        for member, value in vars(of).items():
            if member.startswith("_"):
                continue
            if isinstance(value, property | cached_property):
                getter = value.fget if isinstance(value, property) else value.func
                kind = getter.__annotations__["return"]
                text = f"`{name}.{member}: {kind}`{self._tail(inspect.getdoc(getter) or '')}"
                parts += [f"#### {name}.{member}", _fill(text)]
            elif inspect.isfunction(value) or isinstance(value, classmethod):
                function = getattr(of, member)
                parts += [f"#### {name}.{member}", self.callable(f"{name}.{member}", function)]
        return _join(parts)

    def error(self, name: str, of: type) -> str:
        """Section of an exception."""
        bases = " and ".join(self.link(base.__name__) for base in of.__bases__)
        return _join([f"### class {name}", self.docstring(of), f"A kind of {bases}."])

    def first_line(self, of: Any) -> str:
        """First paragraph of a docstring, on one line."""
        return self._inline(" ".join((inspect.getdoc(of) or "").split("\n\n")[0].split()))

    def docstring(self, of: Any) -> str:
        """Sections of a numpy docstring."""
        summary, *sections = _sections(inspect.getdoc(of) or "")
        parts = [self.text(summary[1])]
        for title, body in sections:
            if title == "Attributes":  # they are among the fields
                continue
            if title not in SECTIONS:
                raise ValueError(f"{of.__qualname__}: unknown section {title}")
            parts.append(f"**{title}**")
            if title in ("Parameters", "Raises"):
                parts.append("\n".join(self._entries(body)))
            else:
                parts.append(self.text(body))
        return _join(parts)

    def text(self, text: str) -> str:
        """Paragraphs, lists and examples."""
        parts: list[str] = []
        for chunk in re.split(r"\n\s*\n", text.strip()):
            if chunk.startswith(">>>"):
                parts.append(_code(chunk))
            elif chunk.startswith("- "):
                items = re.split(r"\n(?=- )", chunk)
                parts.append("\n".join(_fill(f"- {self._inline(item[2:])}", "  ") for item in items))
            else:
                parts.append(_fill(self.link(chunk) if chunk in self.anchors else self._inline(chunk)))
        return _join(parts)

    def _entries(self, body: str) -> Iterator[str]:
        """List of what a section says name by name."""
        for name, text in _named(body):
            shown = ", ".join(f"`{part}`" for part in name.split(", "))
            if name in self.anchors:
                shown = self.link(name)
            yield _fill(f"- {shown}{self._tail(textwrap.dedent(text))}", "  ")

    def _tail(self, text: str) -> str:
        return f": {self._inline(' '.join(text.split()))}" if text.strip() else ""

    def _inline(self, text: str) -> str:
        """Roles and literals of reStructuredText as Markdown; signs that Markdown would take are escaped."""
        parts = re.split(r"(:\w+:`[^`]+`|``.+?``|`[^`]+`)", text, flags=re.DOTALL)
        for i, part in enumerate(parts):
            if i % 2 == 0:
                parts[i] = re.sub(r"(\*\w+\*)|([*<])", lambda m: m[1] or f"\\{m[2]}", part)
            elif part.startswith("`"):
                parts[i] = self._literal(part.strip("`").strip())
            else:
                parts[i] = self._role(part)
        return "".join(parts)

    def _literal(self, text: str) -> str:
        """Code; lists of columns lead to the page of files."""
        file = TABLE_OF.get(text.removeprefix("poolproof._names."))
        return f"[`{file}`](files.md#{slug(file)})" if file else f"`{text}`"

    def _role(self, role: str) -> str:
        """Link to the function, class or method that a role names."""
        target = role.split("`")[1].lstrip("~").removeprefix("poolproof.")
        if target in self.anchors:
            return self.link(target)
        owner, _, short = target.rpartition(".")
        owner = owner.split(".")[-1]
        if owner in self.classes:
            return f"[`{owner}.{short}`]({self._place(owner)}#{slug(f'{owner}.{short}')})"
        return self.link(short)


def signature(name: str, function: Callable[..., Any]) -> str:
    """Signature as one writes it, a parameter a line where it is long."""
    found = inspect.signature(function)
    shown: list[str] = []
    kinds = inspect.Parameter
    star = False
    result = _spelled_out(found.return_annotation, function.__module__)
    for parameter in found.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is kinds.KEYWORD_ONLY and not star:
            shown.append("*")
            star = True
        star |= parameter.kind is kinds.VAR_POSITIONAL
        mark = {kinds.VAR_POSITIONAL: "*", kinds.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        default = "" if parameter.default is kinds.empty else f" = {_default(parameter.default)}"
        kind = _spelled_out(parameter.annotation, function.__module__)
        shown.append(f"{mark}{parameter.name}: {kind}{default}")
    line = f"{name}({', '.join(shown)}) -> {result}"
    if len(line) <= HELP_WIDTH:
        return line
    return "\n".join([f"{name}(", *(f"    {part}," for part in shown), f") -> {result}"])


def _default(value: Any) -> str:
    if isinstance(value, type):
        return f"np.{value.__name__}" if value.__module__ == "numpy" else value.__name__
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, float) and value >= 1e6:
        return f"{value:.0e}".replace("e+0", "e")
    return f"{value:_}" if isinstance(value, int) and value >= 10_000 else repr(value)


def _spelled_out(annotation: str, module: str) -> str:
    """Annotation with the package's own names for types replaced by what they stand for."""
    return re.sub(r"(?<![\w.])[A-Z]\w*", lambda word: _alias(word[0], module) or word[0], annotation)


def _alias(name: str, module: str) -> str:
    """What an assignment in a module, or in the module that it imports the name from, says; else nothing."""
    of = import_module(module)
    for node in ast.parse(inspect.getsource(of)).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.unparse(node.value)
        if isinstance(node, ast.ImportFrom) and node.level and name in {alias.name for alias in node.names}:
            home = resolve_name("." * node.level + (node.module or ""), of.__package__)
            return _alias(name, home)
    return ""


def class_fields(of: type) -> Iterator[tuple[str, str, str]]:
    """Name, type and description of every field; that is the string below it, or under Attributes."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(of))).body
    assert isinstance(tree, ast.ClassDef)
    attributes = dict(_named(dict(_sections(inspect.getdoc(of) or "")).get("Attributes", "")))
    for node, after in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign):
            described = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            name = ast.unparse(node.target)
            text = str(after.value.value) if described else attributes.get(name, "")  # type: ignore[union-attr]
            yield name, ast.unparse(node.annotation), inspect.cleandoc(text)


def _sections(text: str) -> list[tuple[str, str]]:
    """Summary, then title and body of every section of a numpy docstring."""
    parts = re.split(r"(?m)^(\w+)\n-{3,}\n", text)
    return [("", parts[0]), *zip(parts[1::2], parts[2::2], strict=True)]


def _named(body: str) -> list[tuple[str, str]]:
    """What a section says name by name."""
    return re.findall(r"(?m)^(\S.*)\n((?:[ ]+.*\n?|\n)*)", body + "\n")


# --- files ----------------------------------------------------------------------------------------------

FILES_INTRO = """\
What `poolproof audit` and `Audit.save` write into their folder. Tables are Apache Parquet; read them with
`pandas.read_parquet` or, in R, `arrow::read_parquet`. A type is the one that pandas gives. A number that
could not be computed is NaN in a table and `null` in `verdict.json`, and a `status` says why.
"""
FILES = {
    "report.html": "the page for people; made from the other files, and remade by `poolproof report DIR`",
    "verdict.json": "the verdict, written last: while it is absent, the result is not complete",
    "pairs.parquet": "one row per ordered pair of genes, strongest association first; "
    "of counts, estimates of r2 above 1 are set to 1 and come last",
    "genes.parquet": "one row per gene",
    "levels.parquet": "with `--within`: the pairs of each level alone",
    "population.parquet": "how bent all pairs are together, and parts of them: the bend share",
    "equations.parquet": "with `--network`: one row per child, tested on all its parents jointly",
    "edges.parquet": "with `--network`: one row per edge, tested beside the child's other parents",
    "discovered.parquet": "with `--discover`: one row per method and pair with an edge in cells or in pools",
    "discovered.graphml": "the same as a graph; its edges have `method` and `found`",
    "separations.parquet": "with `--network`: one row per judged separation that the network claims",
    "triples.parquet": "the strongest triples of each call",
    "triple_genes.parquet": "one row per gene: the triples with it in the middle",
    "distortion.parquet": "one row per middle gene: by how much pooling moves partial correlations",
    "assignment.parquet": "with `--assignment`: one row per gene, how alike the cells of a pool are in it",
    "pooling_curves.parquet": "single cells: one row per regime, size of pool, drawing and measure",
    "figures/": "the numbers behind each picture of the report",
}
"""Meaning of every file."""
MEANING = {
    names.NONLINEAR: "the curve is bent, beyond chance and noise, and not shown to be negligible",
    names.AFFINE: "the bend is shown to be small: `nonlinear_share_upper` lies below the margin",
    names.INCONCLUSIVE: "associated, but these data cannot tell",
    names.NOT_ASSOCIATED: "the regulator does not explain the target, or explains less than `--min-r2`",
    names.OK: "tested",
    names.CONSTANT: "a gene of the pair does not vary",
    names.TOO_FEW_LEVELS: "the regulator takes fewer than three different values, so nothing can bend",
    names.TOO_FEW_SAMPLES: "not enough samples with both values",
    names.TOO_FEW_COUNTS: "too few molecules to take counting noise out, or to show a bend of the pair",
    names.TOO_FEW_REPLICATES: "not enough replicates (donors) to estimate an error from them",
}
"""Meaning of every call and status of a pair."""
TRIPLE_MEANING = {
    names.KEPT: "x and z are separated given y in cells, and in pools of many cells too",
    names.DISTORTED: "separated in cells, but pools show an edge that is not there",
    names.DEPENDENT: "dependent given y, in cells and in pools",
    names.HIDDEN: "dependent given y in cells, but pools lose the edge",
    names.UNDETERMINED: "these samples cannot tell",
}
"""Meaning of every call of a triple."""
NO_VARIANCE = "y leaves nothing of one end that could be compared"
PICTURES = {
    "calls_by_strength": "how associated pairs are called, by tenth of `r2_spline`",
    "share_against_r2": "a random draw of the pairs of each call; `n_pairs` is how many they stand for",
    "genes": "the genes with most non-linear pairs, as regulators and as targets",
    "gallery": "the strongest pairs of each call, no gene twice; one `panel` each",
    "gallery_points": "samples or cells of each panel, in the column `unit` of `gallery`",
    "gallery_curves": "fitted line and curve of each panel; `curve_error` is a standard error",
    "depth": "histogram of the totals of samples or cells",
    "zeros": "histogram of the genes' shares of zeros",
    "mean_variance": "mean and variance of genes; `counting` is the variance of counting noise alone",
}
"""Meaning of every table of figures/."""


COLLECTED_INTRO = "One row an audit: what `poolproof collect` writes."
STUDY_INTRO = "Of [a study](../how-to/study.md), not of an audit: one row per data set, step and setting."


def files_page() -> str:
    """Page of files, columns and keys."""
    statuses = ([f"`{status}`", MEANING[status]] for status in names.PAIR_STATUSES)
    calls = ([f"`{call}`", MEANING[call]] for call in names.PAIR_CALLS)
    parts = [
        NOTICE,
        "# Files of an audit",
        FILES_INTRO.strip(),
        _table(["file", "content"], [[f"`{name}`", text] for name, text in FILES.items()]),
    ]
    parts += ["## pairs.parquet", columns_of(names.PAIR_COLUMNS)]
    parts += ["### Calls", _table(["call", "meaning"], calls)]
    parts += ["### Statuses", _table(["status", "meaning"], statuses)]
    parts += ["## genes.parquet", columns_of(names.GENE_COLUMNS)]
    parts += ["## population.parquet", columns_of(names.POPULATION_COLUMNS)]
    parts += ["## levels.parquet", "The columns of `pairs.parquet`, and"]
    parts += [_columns([("level", "str", "name of the level, the values of the `--within` columns joined")])]
    parts += ["## equations.parquet", columns_of(names.EQUATION_COLUMNS)]
    parts += ["## edges.parquet", columns_of(names.EDGE_COLUMNS + names.EDGE_CLAIM_COLUMNS)]
    parts += ["## separations.parquet", columns_of(names.SEPARATION_COLUMNS)]
    parts += ["## triples.parquet", columns_of(names.TRIPLE_COLUMNS)]
    triple_calls = ([f"`{call}`", TRIPLE_MEANING[call]] for call in names.TRIPLE_CALLS)
    parts += ["### Calls of triples", _table(["call", "meaning"], triple_calls)]
    parts += [f"Statuses are those of pairs, and `{names.NO_VARIANCE_LEFT}`: {NO_VARIANCE}."]
    parts += ["## triple_genes.parquet", columns_of(names.TRIPLE_GENE_COLUMNS)]
    parts += ["## distortion.parquet", columns_of(names.DISTORTION_COLUMNS)]
    parts += ["## assignment.parquet", columns_of(names.ASSIGNMENT_COLUMNS)]
    parts += ["## pooling_curves.parquet", columns_of(names.CURVE_COLUMNS)]
    parts += ["## figures/", _table(["file", "content", "columns"], _figure_rows())]
    parts += ["## verdict.json", *_schema_parts()]
    parts += ["## study.parquet", STUDY_INTRO, columns_of(names.STUDY_COLUMNS)]
    parts += ["## collected.parquet", COLLECTED_INTRO, columns_of(names.COLLECTED_COLUMNS)]
    return _join(parts)


def columns_of(registry: Sequence[names.Column]) -> str:
    """Table of the columns that a registry lists."""
    return _columns([(column.name, column.dtype, column.meaning) for column in registry])


def _columns(rows: Sequence[tuple[str, str, str]]) -> str:
    shown = [[f"`{name}`", dtype, _with_code(meaning)] for name, dtype, meaning in rows]
    return _table(["column", "type", "meaning"], shown)


def _with_code(text: str) -> str:
    """Set names that hold an underscore, and options, as code."""
    return re.sub(r"(?<![`\w-])(\w+_\w+|--[a-z-]+)(?![`\w])", r"`\1`", text)


def _figure_rows() -> Iterator[list[str]]:
    x = np.random.default_rng(0).gamma(2.0, size=(50, 2))
    data = pd.DataFrame(np.column_stack([x, x[:, 0] * 2]), columns=["A", "B", "C"])
    tables = figure_data(poolproof.linearity(data, kind="bulk", scale="additive", threads=1))
    for name, table in tables.items():
        columns = ", ".join(f"`{column}`" for column in table.columns)
        yield [f"`figures/{name}.parquet`", PICTURES[name], columns]


SCHEMA_INTRO = """\
The JSON Schema `verdict.schema.json` ships with the package. A dot leads into an object; shares lie between 0
and 1. The entry `linearity.levels` holds, by name of the level, objects with the keys of `linearity`.
"""


def _schema_parts() -> list[str]:
    schema = json.loads(
        resources.files("poolproof.verdict").joinpath("verdict.schema.json").read_text(encoding="utf-8")
    )
    rows = [[f"`{key}`", kind, _with_code(text)] for key, kind, text in schema_keys(schema)]
    return [SCHEMA_INTRO.strip(), _table(["key", "type", "meaning"], rows)]


def schema_keys(schema: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Dotted key, type and description of every entry of a JSON Schema."""
    yield from _schema_keys(schema, schema["$defs"], "")


def _schema_keys(
    node: Mapping[str, Any], defs: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, str, str]]:
    for key, entry in node.get("properties", {}).items():
        entry, may_be_null = _resolve(entry, defs)
        kind = _schema_type(entry) + (" or null" if may_be_null else "")
        yield prefix + key, kind, entry.get("description", "")
        if key != "levels":
            yield from _schema_keys(entry, defs, f"{prefix}{key}.")


def _resolve(entry: Mapping[str, Any], defs: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """Entry with what it refers to; and whether null may stand in its place."""
    entry = dict(entry)
    choices = entry.pop("oneOf", [])
    may_be_null = {"type": "null"} in choices
    for choice in choices:
        if choice != {"type": "null"}:
            entry = choice | entry
    if "$ref" in entry:
        base, _ = _resolve(defs[entry.pop("$ref").split("/")[-1]], defs)
        entry = {**base, **entry, "properties": {**base.get("properties", {}), **entry.get("properties", {})}}
    return entry, may_be_null


def _schema_type(entry: Mapping[str, Any]) -> str:
    if "enum" in entry:
        return ", ".join(f"`{value}`" for value in entry["enum"])
    if "const" in entry:
        return f"`{entry['const']}`"
    kind = entry.get("type", "object")
    if kind == "array":
        return "list of text"
    words = {"string": "text", "boolean": "true or false"}
    return " or ".join(words.get(part, part) for part in ([kind] if isinstance(kind, str) else kind))


# --- models ---------------------------------------------------------------------------------------------

MODELS_INTRO = """\
The models that come with poolproof. `poolproof check --example NAME` decides one of them, and
`poolproof.example_model(NAME)` reads it; both are good starts for a model of your own, see [how to write a
model](../how-to/write-a-model.md). Below are the file, the verdict, and of longer lists the first rows,
what fails before what holds. Nothing is simulated for this page (`--no-monte-carlo`): every answer has a
rule, which [the rules of check](../explanation/rules-of-check.md) explain.

The files {borrowed} are published networks and are under CC BY-SA 3.0, apart from the licence of poolproof;
their heads name sources and changes.
"""
BORROWED = "CC BY-SA 3.0"
MAX_ROWS = 6
"""Rows of a table of the gallery."""
MAX_GENES = 6
"""Genes of a model file that are shown."""


def models_page() -> str:
    """Page of all example models."""
    models = poolproof.list_models()
    texts = {name: model_text(name) for name in models}
    borrowed = " and ".join(f"`{name}`" for name, text in texts.items() if BORROWED in text)
    parts = [NOTICE, "# Example models", _fill_all(MODELS_INTRO.format(borrowed=borrowed))]
    parts.append(_table(["model", "what it shows"], [[f"[`{n}`](#{slug(n)})", s] for n, s in models.items()]))
    for name, text in texts.items():
        parts += [f"## {name}", *_model_parts(name, text)]
    return _join(parts)


def model_text(name: str) -> str:
    """The file of an example model."""
    return resources.files("poolproof.models").joinpath("gallery", f"{name}.yaml").read_text(encoding="utf-8")


def _model_parts(name: str, text: str) -> Iterator[str]:
    found = poolproof.check(poolproof.example_model(name), monte_carlo=False).summary
    mechanisms = sorted(found["mechanisms"], key=lambda row: ORDER[row["ffc"]])
    separations = sorted(found["separations"], key=lambda row: ORDER[row["cic"]])
    yield f"```yaml\n{_shortened(text)}\n```"
    pooled = f"`{aggregation_text(found['aggregation'])}`, {cells_text(found['cells'])}"
    yield _fill(f"Pooled by {pooled}: **{found['verdict']}**. {' '.join(found['reasons'])}")
    rows = [[f"`{row['gene']}`", row["ffc"], row["quantifier"], row["rule"]] for row in mechanisms]
    yield from _first_rows(["gene", "form", "scope", "rule"], rows)
    rows = [
        [f"`{statement_text(row)}`", row["cic"], row["quantifier"], limit_text(row), rule_text(row)]
        for row in separations
    ]
    yield from _first_rows(["independence in cells", "in pools", "scope", "limit r", "rule"], rows)
    with_witness = [row for row in mechanisms if row["witness"]]
    if with_witness:
        yield from _witness_parts(with_witness[0]["gene"], with_witness[0]["witness"])


def _shortened(text: str) -> str:
    """A model file, of a long one the first genes."""
    lines = text.rstrip("\n").split("\n")
    start = lines.index("genes:") + 1
    end = next(i for i in range(start, len(lines)) if not lines[i].startswith(" "))
    left = end - start - MAX_GENES
    if left > 0:
        lines[start + MAX_GENES : end] = [f"  # ... {left} more genes"]
    return "\n".join(lines)


def _first_rows(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if rows:
        yield _table(header, rows[:MAX_ROWS])
    if len(rows) > MAX_ROWS:
        yield f"... and {len(rows) - MAX_ROWS:,} more."


def _witness_parts(gene: str, witness: Mapping[str, Any]) -> Iterator[str]:
    """Two pools as one table."""
    yield _fill(f"Witness for {gene}. {witness_sentence(gene, witness)}")
    tables = pool_tables(gene, witness)
    rows = [[label, *row] for label, table in zip("AB", tables, strict=True) for row in table.rows]
    yield _table(["pool", *tables[0].heads], rows)


# --- Markdown -------------------------------------------------------------------------------------------


def slug(heading: str) -> str:
    """Anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _join(parts: Sequence[str]) -> str:
    """Blocks with one blank line between them."""
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def _code(text: str) -> str:
    return f"```python\n{text}\n```"


def _fill_all(text: str) -> str:
    """Wrap paragraph by paragraph."""
    return "\n\n".join(map(_fill, text.split("\n\n")))


def _table(header: Sequence[str], rows: Any) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _fill(text: str, indent: str = "") -> str:
    """Wrap prose; a span of code stays on one line."""
    whole = re.sub(r"`[^`]+`", lambda span: span[0].replace(" ", "\0"), " ".join(text.split()))
    lines = textwrap.wrap(
        whole, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines).replace("\0", " ")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
