"""The reference is that of the code, the explanation's numbers are those of its tables."""

import doctest
import importlib
import importlib.util
import inspect
import json
import math
import re
import sys
from itertools import pairwise
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest

import poolproof
from poolproof import _names as names
from poolproof.cli import commands

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
MISLEAD = DOCS / "explanation" / "why-the-usual-tests-mislead.md"


def load_script(name):
    """A script of docs/, as a module."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def reference():
    return load_script("make_reference")


@pytest.fixture(scope="module")
def figures():
    return load_script("make_calibration_figures")


@pytest.fixture(scope="module")
def pages(reference):
    return reference.pages()


# --- reference: fresh -----------------------------------------------------------------------------------


API = ("audit", "data", "pools", "models", "methods", "pictures")
WRITTEN = ["cli.md", "api.md", *(f"api-{part}.md" for part in API), "inputs.md", "files.md", "models.md"]


def test_reference__has_these_pages(pages):
    assert [*pages] == WRITTEN


@pytest.fixture(scope="module")
def api(pages):
    """The pages of Python names as one text."""
    return "\n".join(text for name, text in pages.items() if name.startswith("api"))


@pytest.mark.parametrize("name", WRITTEN)
def test_reference__is_that_of_the_code(pages, name):
    written = (DOCS / "reference" / name).read_text(encoding="utf-8")
    assert written == pages[name], "run python docs/make_reference.py"


def test_check__says_in_one_line_what_to_run(reference, tmp_path, capsys):
    assert reference.main([], tmp_path) == 0
    assert reference.main(["--check"], tmp_path) == 0
    assert capsys.readouterr() == ("", "")
    page = tmp_path / "api.md"
    page.write_text(page.read_text(encoding="utf-8") + "more\n", encoding="utf-8")
    (tmp_path / "cli.md").unlink()
    assert reference.main(["--check"], tmp_path) == 1
    said = capsys.readouterr().err
    assert said == "stale: cli.md, api.md in docs/reference; run python docs/make_reference.py\n"
    assert page.read_text(encoding="utf-8").endswith("more\n")  # --check writes nothing


def test_pages__do_not_depend_on_the_terminal(reference, pages, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "dumb")
    assert reference.cli_page() == pages["cli.md"]


# --- reference: complete --------------------------------------------------------------------------------


def command_paths(command, path):
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from command_paths(child, f"{path} {name}")


COMMANDS = dict(command_paths(commands, "poolproof"))


@pytest.mark.parametrize("path", COMMANDS)
def test_cli__has_every_command_and_option(pages, path):
    section = section_of(pages["cli.md"], f"## {path}")
    words = {"--help"}
    for parameter in COMMANDS[path].params:
        if getattr(parameter, "hidden", False):  # an option that is refused with the way out
            continue
        words |= (
            {parameter.human_readable_name} if isinstance(parameter, click.Argument) else {*parameter.opts}
        )
    for word in words:
        assert re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", section), word


def section_of(page, heading):
    """Text from a heading to the next of its rank."""
    assert f"\n{heading}\n" in page
    rank = heading.split(" ")[0]
    return re.split(rf"(?m)^#{{1,{len(rank)}}} ", page.split(f"\n{heading}\n")[1])[0]


@pytest.mark.parametrize("name", poolproof.__all__)
def test_api__has_every_public_name(pages, api, name):
    heading = name if inspect.isfunction(getattr(poolproof, name)) else f"class {name}"
    assert section_of(api, f"### {heading}").strip()
    assert f"`{name}`](" in pages["api.md"] or heading in pages["api.md"]


def test_api__has_every_picture_field_and_method(reference, api):
    page = api
    for name in ("pair", "calls_by_strength", "share_against_r2", "genes", "data_overview"):
        assert f"plot.{name}" in section_of(page, f"### plot.{name}")
    classes = reference.result_classes(
        getattr(poolproof, name) for name in poolproof.__all__ if name.islower()
    )
    assert {"Audit", "Linearity", "Expression", "Dataset", "Equations", "Check", "SCM"} <= set(classes)
    for name, of in classes.items():
        section = section_of(page, f"### class {name}")
        for field in of.__dataclass_fields__:
            assert f"- `{field}: " in section
        for member in vars(of):
            if not member.startswith("_") and member not in of.__dataclass_fields__:
                assert f"#### {name}.{member}\n" in section


@pytest.mark.parametrize("name", WRITTEN)
def test_reference__ranks_of_headings_are_not_skipped(pages, name):
    text = re.sub(r"(?ms)^```.*?^```", "", pages[name])
    ranks = [len(marks) for marks in re.findall(r"(?m)^(#+) ", text)]
    assert ranks[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(ranks))


def test_api__every_parameter_of_a_function_is_shown_with_its_default(api):
    section = section_of(api, "### linearity")
    for parameter in inspect.signature(poolproof.linearity).parameters.values():
        assert f"    {parameter.name}: " in section
        assert re.search(rf"^- .*`{parameter.name}`", section, flags=re.MULTILINE)
    assert 'test: str = "auto",' in section
    assert "max_rows: int = 2_000_000," in section
    assert "memory: float = 4e9," in section


def test_api__holds_no_restructured_text(api):
    prose = re.sub(r"```python\n.*?```", "", api, flags=re.DOTALL)
    assert not re.search(r":\w+:`|``|^-{3,}$|\n\.\. ", prose)


def test_api__examples_run_from_the_preamble_alone(reference):
    functions = [getattr(poolproof, name) for name in poolproof.__all__ if name.islower()]
    shown = [*functions, *reference.plot_functions().values()]
    for of in reference.result_classes(functions).values():
        shown += [member for member in vars(of).values() if inspect.isfunction(member)]
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    run = 0
    for function in shown:
        start = {}
        exec(reference.PREAMBLE, start)
        text = inspect.getdoc(function) or ""
        example = doctest.DocTestParser().get_doctest(text, start, function.__qualname__, None, None)
        said = []
        assert doctest.DocTestRunner(optionflags=flags).run(example, out=said.append).failed == 0, "".join(
            said
        )
        run += bool(example.examples)
    assert run >= len(functions)


@pytest.fixture(scope="module")
def small_audit(tmp_path_factory):
    """Folder of an audit that writes every file."""
    rng = np.random.default_rng(0)
    x = rng.gamma(2.0, size=(120, 2))
    values = np.column_stack([x, 2 * x[:, 0] + rng.normal(size=120)])
    obs = pd.DataFrame({"kind": np.repeat(["a", "b"], 60)})
    data = pd.DataFrame(values, columns=["A", "B", "C"])
    network = pd.DataFrame({"regulator": ["A", "B"], "target": ["C", "C"]})
    result = poolproof.audit(
        data, kind="bulk", scale="additive", obs=obs, within="kind", network=network, threads=1
    )
    return result.save(tmp_path_factory.mktemp("audit") / "out")


def columns_on(section):
    """Name and type of every column of the tables of a section."""
    return re.findall(r"^\| `(\w+)` \| (\w+) \|", section, flags=re.MULTILINE)


@pytest.mark.parametrize("name", ["pairs", "genes", "levels", "equations", "edges"])
def test_files__columns_and_types_are_those_written(pages, small_audit, name):
    table = pd.read_parquet(small_audit / f"{name}.parquet")
    section = section_of(pages["files.md"], f"## {name}.parquet").split("### Calls")[0]
    listed = columns_on(section)
    if name == "levels":
        listed = [
            *columns_on(section_of(pages["files.md"], "## pairs.parquet").split("### Calls")[0]),
            *listed,
        ]
    found = [(column, "str" if of == "object" else str(of)) for column, of in table.dtypes.items()]
    assert [column for column, _ in listed] == [column for column, _ in found]
    assert listed == found


def test_files__names_every_file_picture_call_and_status(pages, small_audit):
    page = pages["files.md"]
    for path in small_audit.iterdir():
        assert f"`{path.name}{'/' * path.is_dir()}`" in page
    for path in (small_audit / "figures").iterdir():
        row = next(line for line in page.split("\n") if line.startswith(f"| `figures/{path.name}` |"))
        for column in pd.read_parquet(path).columns:
            assert f"`{column}`" in row
    for word in (*names.PAIR_CALLS, *names.PAIR_STATUSES):
        assert re.search(rf"^\| `{word}` \| \S", page, flags=re.MULTILINE)


FREE = ("settings", "linearity.levels", "population.levels", "population.strength")
"""Objects whose keys are names of data or of options."""


def test_files__verdict_keys_are_those_written(pages, small_audit):
    section = section_of(pages["files.md"], "## verdict.json")
    listed = set(re.findall(r"^\| `([\w.]+)` \|", section, flags=re.MULTILINE))
    verdict = json.loads((small_audit / "verdict.json").read_text(encoding="utf-8"))

    def keys(of, prefix=""):
        for key, value in of.items():
            yield prefix + key
            if isinstance(value, dict) and prefix + key not in FREE:
                yield from keys(value, f"{prefix}{key}.")

    assert set(keys(verdict)) <= listed
    assert {"linearity.control.rejected_naive", "data.kind", "equations.n_edges_bent"} <= listed


def test_schema_keys__resolves_references_and_null(reference):
    schema = {
        "$defs": {"n": {"type": "integer"}, "more": {"type": "object", "properties": {"a": {"const": 1}}}},
        "properties": {
            "n": {"$ref": "#/$defs/n", "description": "how many"},
            "part": {"oneOf": [{"type": "null"}, {"$ref": "#/$defs/more"}], "description": "a part"},
        },
    }
    assert list(reference.schema_keys(schema)) == [
        ("n", "integer", "how many"),
        ("part", "object or null", "a part"),
        ("part.a", "`1`", ""),
    ]


def test_renderer__turns_a_docstring_into_markdown(reference):
    def example(first, second):
        """Do a thing, as :func:`poolproof.audit` does, to *all* of 2 * 3 < 7.

        Parameters
        ----------
        first, second
            Words such as ``a - b``.

        Raises
        ------
        InputError
            Never.

        Examples
        --------
        >>> 1 + 1
        2

        And so on.
        """

    shown = reference.Renderer({"audit"}, {"InputError"}).docstring(example)
    assert shown == (
        "Do a thing, as [`audit`](#audit) does, to *all* of 2 \\* 3 \\< 7.\n\n"
        "**Parameters**\n\n- `first`, `second`: Words such as `a - b`.\n\n"
        "**Raises**\n\n- [`InputError`](#class-inputerror): Never.\n\n"
        "**Examples**\n\n```python\n>>> 1 + 1\n2\n```\n\nAnd so on.\n"
    )


# --- the explanation's numbers --------------------------------------------------------------------------

QUOTED = re.compile(r"(?:(under|over|at most) )?(\d+)(?: to (\d+))? %")
SAID_BEFORE = {"5 %", "70 % zeros"}
"""Percentages of the text that are settings, not measured."""


def test_numbers__are_those_of_the_tables(figures):
    page = MISLEAD.read_text(encoding="utf-8")
    assert figures.page_text(page) == page, "run python docs/make_calibration_figures.py --from-csv"
    assert figures.main(["--check"]) == 0


def test_numbers__a_changed_one_is_noticed(figures, monkeypatch, tmp_path, capsys):
    page = tmp_path / MISLEAD.name
    page.write_text(
        MISLEAD.read_text(encoding="utf-8").replace("| classical F | 20 % |", "| classical F | 21 % |")
    )
    monkeypatch.setattr(figures, "PAGE", page)
    assert figures.main(["--check"]) == 1
    assert "make_calibration_figures.py --from-csv" in capsys.readouterr().err


def test_numbers__every_percentage_is_measured(figures):
    """Inside the marks it occurs in the csv of that figure; outside there is none but settings."""
    text = MISLEAD.read_text(encoding="utf-8")
    blocks = dict(re.findall(r"<!-- numbers: (\w+) -->\n(.*?)<!-- end -->", text, flags=re.DOTALL))
    assert set(blocks) == set(figures.STUDIES)
    for name, block in blocks.items():
        table = pd.read_csv(figures.FIGURES / f"{name}.csv").select_dtypes("number")
        shares = table.to_numpy().ravel()
        whole = {math.floor(100 * share + 0.5) for share in shares if 0 <= share <= 1}
        quoted = QUOTED.findall(block.replace("70 % zeros", "").replace("the level 5 %", ""))
        assert len(quoted) > 3
        for word, *numbers in quoted:
            for number in filter(None, numbers):
                few, many = (shares > 0) & (shares < 0.005), (shares >= 0.995) & (shares < 1)
                near = {"under": few.any(), "over": many.any()}.get(word, False)
                assert near or int(number) in whole, f"{name}: {word} {number} %"
    outside = re.sub(r"<!-- numbers.*?<!-- end -->", "", text, flags=re.DOTALL)
    for setting in SAID_BEFORE:
        outside = outside.replace(setting, "")
    assert "%" not in outside


@pytest.fixture
def study_page():
    return load_script("make_study_page")


def test_study_page__says_what_the_summary_beside_it_says(study_page, capsys):
    assert study_page.main(["--check"]) == 0, "run python docs/make_study_page.py STUDY"
    summary = json.loads(study_page.SUMMARY.read_text(encoding="utf-8"))
    page = study_page.PAGE.read_text(encoding="utf-8")
    marks = set(re.findall(r"<!-- study: (\w+) -->", page))
    assert marks == set(summary["findings"]) | set(study_page.TABLES)
    assert len(summary["datasets"]) >= 8
    pictures = set(re.findall(r"figures/(study_\w+\.svg)", page))
    assert pictures == {path.name for path in study_page.FIGURES.glob("study_*.svg")}
    changed = page.replace(f"{summary['datasets'][0]['n_associated']:,}", "another")
    assert study_page.page_text(changed, summary) != changed


def test_percent__says_what_is_not_quite_none_or_all(figures):
    shares = (0, 0.004, 0.005, 0.056, 0.996, 1)
    assert list(map(figures.percent, shares)) == ["0 %", "under 1 %", "1 %", "6 %", "over 99 %", "100 %"]
    assert figures.percent_range(pd.Series([0.012, 0.064])) == "1 to 6 %"
    assert figures.percent_range(pd.Series([0.001, 0.014])) == "at most 1 %"


@pytest.mark.parametrize(
    ("study", "of"),
    [("noise", {"law": "gamma", "n": 70}), ("counting", {"law": "two states", "mean_count": 5})],
)
def test_tables__a_part_made_again_agrees(figures, study, of):
    """The same seed on fewer pairs: the shares in the csv are those of the code of today."""
    table = pd.read_csv(figures.FIGURES / f"{study}.csv")
    laws = figures.X_LAWS if study == "noise" else figures.LEVEL_LAWS
    make = figures.noise_rows if study == "noise" else figures.counting_rows
    law, size = of.values()
    again = pd.DataFrame(make(law, laws[law], size, n_pairs=60))
    key = "n" if study == "noise" else "mean_count"
    kept = table[(table["law"] == law) & (table[key] == size)]
    both = kept.merge(again, on=["law", key, "test"], suffixes=("", "_again"))
    assert len(both) == 2
    spread = np.sqrt(both["rejected"].clip(0.01, 0.99) * (1 - both["rejected"].clip(0.01, 0.99)) / 60)
    assert ((both["rejected"] - both["rejected_again"]).abs() < 4 * spread).all(), both


@pytest.mark.parametrize("name", ["noise", "counting", "split_counts", "power", "log_scale"])
def test_figures__are_pictures_with_a_text_in_their_place(figures, name):
    picture = (figures.FIGURES / f"{name}.svg").read_text(encoding="utf-8")
    assert picture.startswith("<?xml")
    assert "<script" not in picture
    assert re.search(rf"!\[[^\]]{{80,}}\]\(figures/{name}\.svg\)", MISLEAD.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", sorted((DOCS / "explanation").glob("*.md")), ids=lambda path: path.name)
def test_explanation__lines_fit(path):
    lines = path.read_text(encoding="utf-8").split("\n")
    assert [line for line in lines if len(line) > 110 and not line.startswith(("|", "> "))] == []


# --- inputs ---------------------------------------------------------------------------------------------

DATA_TABLES = {
    "marks": "MARKS",
    "not_genes": "NOT_GENES",
    "tenx": "LAYOUTS",
    "sample_files": "SAMPLE_FILES",
    "long_tables": "LONG_TABLES",
    "containers": "OTHER_HDF5",
    "network_formats": "NETWORK_FORMATS",
    "edge_words": "EDGE_TYPES",
}


def rows_of_data_tables():
    for module, name in DATA_TABLES.items():
        yield from getattr(importlib.import_module(f"poolproof.data.{module}"), name)


def test_inputs__has_every_row_of_every_table(pages):
    page = pages["inputs.md"].replace("\\|", "|")
    for row in rows_of_data_tables():
        assert f"| {row.tool} |" in page, row.tool
    for form in importlib.import_module("poolproof.data.io").FORMATS:
        assert f"| `{form}` |" in page


def test_inputs__a_version_is_one_that_was_run(reference):
    makers = [*(ROOT / "tests" / "data" / "cases").glob("make_*.py"), *(ROOT / "findings").glob("*.sh")]
    run = "\n".join(path.read_text(encoding="utf-8") for path in makers).replace("==", " ").lower()
    named = {"starsolo": "star", "poolproof": ""}
    tools = [row.tool for row in rows_of_data_tables()] + [row[0] for row in reference.inputs.TRAPS]
    versions = {found for text in tools for found in re.findall(r"([\w|-]+) (\d+(?:\.\d+)+)", text)}
    assert len(versions) > 20
    for tool, version in versions:
        name = named.get(tool.lower(), tool.lower())
        assert re.search(rf"{re.escape(name)} {re.escape(version)}\b", run), (tool, version)
