"""Model files: read as written, refused in one line that names file, line and entry."""

import json
import random

import numpy as np
import pytest
import yaml
from helpers import quickly
from hypothesis import given, settings
from hypothesis import strategies as st

from poolproof import InputError, read_model
from poolproof.models import Model, parse_law
from poolproof.models.laws import Law
from poolproof.models.yaml_nodes import read_yaml

FORK = """\
name: fork            # a comment
genes:
  Y: {noise: "gamma(2, 1)"}
  X: {equation: "tanh(Y) + 0.15*N", noise: "normal(0, 1)"}
  Z: {equation: "Y**2/5 + 0.2*N", noise: "normal(0, 1)"}
  W: {equation: "hill(X, vmax=2, k=1, n=2) + N", noise: "exponential(1)"}
  C: {kernel: "poisson(1 + 2*Y)"}
  B: {noise: "bernoulli(0.3)"}
aggregation: sum
cells: 20
cell_types:
  T: {fraction: 0.4, genes: {X: {equation: "0.5*Y + N"}}}
"""


@pytest.fixture
def write(tmp_path):
    def written(text, name="model.yaml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return written


def short(genes="{A: {noise: 'normal(0, 1)'}}", aggregation="sum", cells="20", more=""):
    return f"genes: {genes}\naggregation: {aggregation}\ncells: {cells}\n{more}"


def test_read_model__the_example_of_the_manual(write):
    model = read_model(write(FORK))
    assert (model.name, model.cells, model.source) == ("fork", 20, "model.yaml")
    assert model.aggregation.name == "sum"
    assert model.scm.gene_names == ("Y", "X", "Z", "W", "C", "B")
    assert set(model.scm.graph.edges) == {("Y", "X"), ("Y", "Z"), ("X", "W"), ("Y", "C")}
    assert model.scm.mechanism("X").text == "tanh(Y) + 0.15*N"
    in_t = model.scm.mechanism("X", "T")
    assert (in_t.text, in_t.noise) == ("0.5*Y + N", parse_law("normal(0, 1)"))  # the noise of the base cells
    assert model.scm.fractions == {"T": 0.4, "other": 0.6}
    assert np.isfinite(model.scm.sample(100, np.random.default_rng(0))).all()


def test_read_model__takes_paths_text_json_and_mappings(write):
    expected = read_model(FORK).to_dict()
    assert read_model(str(write(FORK))).to_dict() == expected
    assert read_model(write(json.dumps(expected), "model.json")).to_dict() == expected
    assert read_model(write(json.dumps(expected, indent="\t"), "m.json")).to_dict() == expected
    assert read_model(json.dumps(expected)).to_dict() == expected
    assert read_model(expected).to_dict() == expected
    assert read_model(write("\ufeff" + FORK)).to_dict() == expected
    assert read_model(write(FORK.replace("\n", "\r\n"))).to_dict() == expected


def test_read_model__needs_no_compiled_parser(write, monkeypatch):
    content = read_model(FORK).to_dict()
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    assert read_model(FORK).to_dict() == content
    tabs = "\ufeff" + json.dumps(content, indent="\t")
    assert read_model(write(tabs)).to_dict() == content
    with pytest.raises(InputError, match="cannot be read as YAML"):
        read_model("genes: {A: {noise: 3}\n")


def test_aliases__errors_name_the_place_of_use():
    genes = "\n  A: {noise: &n 'normal(0, 1)'}\n  B: {kernel: *n}\n  C: {equation: *n, noise: 3}"
    with pytest.raises(InputError, match=r"^model line 4: genes\.C\.equation: "):
        read_model(short(genes))


def test_to_yaml__is_read_back():
    model = read_model(FORK)
    again = read_model(model.to_yaml())
    assert again.to_dict() == model.to_dict()
    x, y = (m.scm.sample(50, np.random.default_rng(0)) for m in (model, again))
    assert np.array_equal(x, y)
    json.dumps(model.to_dict(), allow_nan=False)


names = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="`"), min_size=1, max_size=12)


@settings(deadline=None)
@given(st.lists(names.filter(lambda name: name != "N"), min_size=2, max_size=4, unique=True))
def test_to_yaml__keeps_any_name(genes):
    first, second = genes[:2]
    content = {
        "name": first,
        "genes": {gene: {"noise": "normal(0, 1)"} for gene in genes},
        "aggregation": "mean",
        "cells": 3,
        "cell_types": {second + "x": {"fraction": 0.5}},
    }
    content["genes"][second] = {"equation": f"2*`{first}` + N", "noise": "normal(0, 1)"}
    if second + "x" in ("other", "mixed"):
        return
    model = read_model(content)
    assert model.scm.parents(second) == (first,)
    again = read_model(model.to_yaml())
    assert again.to_dict() == model.to_dict()
    assert again.scm.gene_names == tuple(genes)


def test_names__are_text_whatever_they_look_like():
    genes = (
        "NO",
        "ON",
        "yes",
        "off",
        "null",
        "true",
        "1e5",
        "0o17",
        "12345",
        "1.5",
        "~",
        "2021-01-01",
        "MAX",
    )
    listed = "\n".join(f"  {gene}: {{noise: 'normal(0, 1)'}}" for gene in genes)
    model = read_model(
        f"genes:\n{listed}\n  T: {{equation: '`12345` + NO + ON + `1e5` + MAX'}}\naggregation: sum\ncells: 2"
    )
    assert model.scm.gene_names == (*genes, "T")
    assert set(model.scm.parents("T")) == {"12345", "NO", "ON", "1e5", "MAX"}


def test_scalars__only_true_and_false_are_booleans():
    values = read_yaml(
        "[true, false, yes, NO, On, null, ~, 3, -2.5, 1e-3, 0x1F, 012, '3', 1_000, .inf, 1:30]", "f"
    )
    assert values.plain() == [
        True, False, "yes", "NO", "On", None, None, 3, -2.5, 1e-3, "0x1F", 12, "3", "1_000", ".inf", "1:30",
    ]  # fmt: skip


def test_genes__in_all_forms():
    model = read_model(
        short(
            "{A: {noise: {0: 0.5, 2: 0.5}}, B: {noise: 3}, C: {equation: 2}, D: {equation: A}, "
            "E: {noise: 'empirical([1, 2])', equation: 'N + `A`'}, "
            "F: {noise: &n 'gamma(1, 2)'}, G: {noise: *n}}",
        )
    )
    laws = [model.scm.mechanism(gene).noise for gene in "ABEFG"]
    assert [law.text for law in laws] == [
        "discrete({0: 0.5, 2: 0.5})", "constant(3)", "empirical([1, 2])", "gamma(1, 2)", "gamma(1, 2)",
    ]  # fmt: skip
    assert model.scm.sample(1, np.random.default_rng(0))[0, 2] == 2
    assert read_model(model.to_yaml()).to_dict() == model.to_dict()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20", 20),
        ("'7'", 7),
        ("20.0", 20),
        ("poisson(20)", "poisson(20)"),
        ("constant(4)", 4),
        ("{2: 0.5, 20: 0.5}", "discrete({2: 0.5, 20: 0.5})"),
    ],
)
def test_cells__a_number_or_a_law(text, expected):
    cells = read_model(short(cells=text)).cells
    assert (cells.text if isinstance(cells, Law) else cells) == expected


@pytest.mark.parametrize(
    "spec", ["sum", "mean", "geometric", "power(2)", "median", "max", "cpm", "{log1p: sum, scale: 2}"]
)
def test_aggregation__is_handed_on(spec):
    model = read_model(short(aggregation=spec))
    assert read_model(model.to_yaml()).aggregation == model.aggregation


def test_cell_types__inherit_what_they_do_not_say():
    genes = (
        "{A: {noise: 'gamma(1, 1)'}, B: {equation: A + N, noise: 'normal(0, 1)'}, K: {kernel: poisson(A)}}"
    )
    types = """cell_types:
  T: {fraction: 0.2, genes: {B: {noise: 'laplace(0, 1)'}}}
  U: {fraction: 0.2, genes: {B: {equation: '3*A'}, K: {equation: A}, A: {kernel: 'gamma(2, 2)'}}}
"""
    scm = read_model(short(genes, more=types)).scm
    assert (scm.mechanism("B", "T").text, scm.mechanism("B", "T").noise.text) == ("A + N", "laplace(0, 1)")
    assert scm.mechanism("B", "U").noise is None
    assert scm.mechanism("A", "U").text == "gamma(2, 2)"
    assert scm.mechanism("K", "U").parents == ("A",)


# Refusals: the text, and what the one line must say.

BAD = [
    ("", "m.yaml: the file is empty"),
    ("# nothing\n", "m.yaml: the file is empty"),
    (
        "genes",
        "m.yaml line 1: expected a mapping with name, genes, aggregation, cells, cell_types; found genes",
    ),
    ("- a", "expected a mapping with name, genes, aggregation, cells, cell_types; found a list"),
    ("genes: {}\naggregation: sum\ncells: 2", "at least one gene"),
    (
        "genes: 3\naggregation: sum\ncells: 2",
        "m.yaml line 1: genes: expected genes with their equations; found 3",
    ),
    ("aggregation: sum\ncells: 2", "genes is missing; add genes: {...}"),
    ("genes: {A: {noise: 'normal(0, 1)'}}\ncells: 2", "aggregation is missing; add aggregation: sum"),
    ("genes: {A: {noise: 'normal(0, 1)'}}\naggregation: sum", "cells is missing; add cells: 20"),
    (short(more="cell: 3"), "m.yaml line 4: cell: unknown key; did you mean cells?"),
    (short(more="colour: red"), "m.yaml line 4: colour: unknown key; known: name, genes"),
    (short(more="genes: {}"), "m.yaml line 4: genes: this key stands twice, first in line 1"),
    (
        short("\n  A: {noise: 3}\n  B: {noise: 3}\n  A: {noise: 4}"),
        "m.yaml line 4: genes.A: this key stands twice, first in line 2",
    ),
    (short("{A: {noise: 3, 'noise': 4}}"), "genes.A.noise: this key stands twice"),
    (short("\n  A: {equatoin: 3}"), "m.yaml line 2: genes.A.equatoin: unknown key; did you mean equation?"),
    (short("{A: }"), "genes.A: expected a mapping with equation, noise, kernel; found nothing"),
    (short("{A: {}}"), "genes.A: expected an equation, a noise or a kernel"),
    (short("{A: normal}"), "genes.A: expected a mapping"),
    (short("{A: {noise: [1, 2]}}"), "genes.A.noise: expected a law; found a list"),
    (short("{A: {noise: null}}"), "genes.A.noise: expected a law; found nothing"),
    (
        short("{A: {noise: 'norml(0, 1)'}}"),
        "m.yaml line 1: genes.A.noise: no law 'norml'; did you mean normal?",
    ),
    (short("{A: {noise: {0: 0.5, 1: 0.6}}}"), "sum to 1"),
    (
        short("{A: {equation: '2*N'}}"),
        "m.yaml line 1: genes.A.equation: N stands in it, but no noise is given",
    ),
    (short("{A: {equation: 2, noise: 'normal(0, 1)'}}"), "genes.A.noise: the equation does not use N"),
    (short("{A: {kernel: 'poisson(2)', noise: 3}}"), "a kernel is random itself"),
    (short("{A: {kernel: 'poisson(2)', equation: 3}}"), "a kernel is random itself"),
    (
        short("\n  A: {noise: 3}\n  B:\n    equation: 1 + Q"),
        "m.yaml line 4: genes.B.equation: column 5: no gene 'Q'",
    ),
    (
        short("\n  A: {equation: 'B'}\n  B: {equation: 'A'}"),
        "m.yaml line 1: genes: the graph has a cycle: A -> B -> A",
    ),
    (short("\n  A: {equation: A}"), "m.yaml line 2: genes.A: a gene cannot be its own parent"),
    (
        short("\n  A: {noise: 'normal(0, 1)'}\n  B: {equation: 1/A}"),
        "m.yaml line 3: genes.B.equation: 1/A is undefined: A can be 0",
    ),
    (
        short("\n  A: {noise: 'normal(0, 1)'}\n  B: {equation: log(A)}"),
        "m.yaml line 3: genes.B.equation: log(A) is undefined",
    ),
    (
        short("\n  A: {noise: 'normal(0, 1)'}\n  B: {kernel: poisson(A)}"),
        "m.yaml line 3: genes.B.kernel: poisson(A) is undefined",
    ),
    (
        short("{A: {noise: 3}, B: {equation: A**9**9**9}}"),
        "genes.B.equation: column 4: an exponent must lie within",
    ),
    (short("{A: {noise: 3}, B: {equation: 10**10**10*A}}"), "an exponent must lie within"),
    (
        short("{A: {noise: 3}, B: {equation: '__import__(\"os\")'}}"),
        "genes.B.equation: column 12: unexpected character",
    ),
    (short("{A: {noise: 3}, B: {equation: A.real}}"), "an attribute"),
    (short("{N: {noise: 3}}"), "m.yaml line 1: genes.N: the name N is kept for the noise"),
    (short("{" + "G" * 300 + ": {noise: 3}}"), "300 characters; at most 200"),
    (short("{'': {noise: 3}}"), "expected a name"),
    (short("{'A`B': {noise: 3}}"), "a backtick"),
    (short('{"A\\e[31m": {noise: 3}}'), "does not print"),
    (short("{[A]: {noise: 3}}"), "a key must be a plain text"),
    (short("{? {a: 1} : {noise: 3}}"), "a key must be a plain text"),
    (
        short("{A: {noise: !!python/object/apply:os.system [ls]}}"),
        "the tag tag:yaml.org,2002:python/object/apply:os.system is not allowed",
    ),
    (short("{A: !mine {noise: 3}}"), "the tag !mine is not allowed"),
    (short("{A: &a {noise: 3}, B: *a}"), "*a stands for no single text or number"),
    (short("{A: &a {noise: *a}}"), "*a stands for no single text or number"),
    (short("{A: *nope}"), "stands for no single text or number"),
    (short("{<<: {noise: 3}}") + "x: 1", "unknown key"),
    (short("{A: {noise: 3}"), "cannot be read as YAML"),
    ("genes:\n\tA: 3\n", "m.yaml line 2: cannot be read as YAML"),
    ("a: b: c", "m.yaml line 1: cannot be read as YAML"),
    (short() + "--- \nname: two\n", "m.yaml line 4: a second document starts here"),
    ("a: \x07", "cannot be read as YAML"),
    ("[" * 1000, "m.yaml line 1: [0][0]"),
    ("{a: " * 1000, "more than 20 levels"),
    (short(aggregation="sums"), "m.yaml line 2: aggregation: expected sum, mean"),
    (short(aggregation="{log1p: nope}"), "m.yaml line 2: aggregation: "),
    (short(aggregation="{weights: [1, 2]}"), "m.yaml line 2: aggregation: 2 weights, but cells: 20"),
    (short(aggregation="{weights: [1, 2]}", cells="poisson(2)"), "2 weights, but cells: poisson(2)"),
    (short(cells="0"), "m.yaml line 3: cells: expected 1 to 1,000,000,000 cells; found 0"),
    (short(cells="1" * 12), "expected 1 to 1,000,000,000 cells"),
    (
        short(cells="2.5"),
        "m.yaml line 3: cells: expected a whole number of cells or a law, such as 'poisson(20)'; found 2.5",
    ),
    (short(cells="true"), "m.yaml line 3: cells: "),
    (short(cells="normal(20, 1)"), "m.yaml line 3: cells: expected a law of whole numbers from 0 up"),
    (short(cells="{-1: 0.5, 1: 0.5}"), "expected a law of whole numbers from 0 up"),
    (short(cells="constant(0)"), "expected a law of whole numbers from 0 up"),
    (short(cells="[20]"), "m.yaml line 3: cells: expected a law; found a list"),
    (
        short(cells=""),
        "m.yaml line 3: cells: expected a whole number of cells or a law, such as 'poisson(20)'; "
        "found nothing",
    ),
    (short(more="name: [a]"), "m.yaml line 4: name: expected a name; found a list"),
    (short(more="name: ") + "x" * 201, "up to 200 characters"),
    (short(more="cell_types: 3"), "m.yaml line 4: cell_types: expected cell types; found 3"),
    (short(more="cell_types: {T: {}}"), "m.yaml line 4: cell_types.T: fraction is missing"),
    (
        short(more="cell_types:\n  T: {fraction: lots}"),
        "m.yaml line 5: cell_types.T.fraction: expected a number above 0",
    ),
    (
        short(more="cell_types: {T: {fraction: 1.5}}"),
        "cell_types.T.fraction: expected a number above 0 and up to 1",
    ),
    (short(more="cell_types: {T: {fraction: true}}"), "expected a number above 0"),
    (
        short(more="cell_types:\n  T: {fraction: 0.6}\n  U: {fraction: 0.6}"),
        "m.yaml line 4: cell_types: the fractions sum to 1.2",
    ),
    (
        short(more="cell_types: {other: {fraction: 0.5}}"),
        "m.yaml line 4: cell_types.other: this name is kept",
    ),
    (
        short(more="cell_types: {T: {fraction: 0.5, gene: 3}}"),
        "cell_types.T.gene: unknown key; did you mean genes?",
    ),
    (
        short(more="cell_types:\n  T: {fraction: 0.5, genes:\n    {Q: {noise: 3}}}"),
        "m.yaml line 6: cell_types.T.genes.Q: no gene of this name",
    ),
    (
        short(more="cell_types:\n  T: {fraction: 0.5, genes:\n    {A: {equation: log(0 - abs(N))}}}"),
        "m.yaml line 6: cell_types.T.genes.A.equation: log(0 - abs(N)) is undefined",
    ),
]


@pytest.mark.parametrize(("text", "said"), BAD, ids=range(len(BAD)))
def test_read_model__refuses_in_one_line(text, said, write):
    path = write(text, "m.yaml")

    def refusal():
        with pytest.raises(InputError) as caught:
            read_model(path)
        return str(caught.value)

    message = quickly(0.5, refusal)
    assert said in message
    assert message.startswith("m.yaml")
    assert message.isprintable()
    assert len(message) < 400


def test_read_model__refuses_unreadable_files(write, tmp_path):
    with pytest.raises(InputError, match=r"no\.yaml: cannot be read: No such file"):
        read_model(tmp_path / "no.yaml")
    with pytest.raises(InputError, match="Is a directory"):
        read_model(tmp_path)
    with pytest.raises(InputError, match=r"model\.yaml: expected text in UTF-8"):
        read_model(write(b"name: \xff\xfe"))
    with pytest.raises(InputError, match=r"larger than 1,000,000 bytes"):
        read_model(write("# " + "x" * 1_000_000))
    with pytest.raises(InputError, match=r"larger than 1,000,000 bytes"):
        read_model("# " + "x" * 1_000_000 + "\n")
    for odd in ("no\x00path", "", "x" * 5000):
        with pytest.raises(InputError):
            read_model(odd)


def test_read_model__refuses_bad_mappings():
    for odd in (
        {},
        {"genes": {1: {"noise": 3}, "1": {"noise": 4}}},
        {"genes": object()},
        {"genes": {"A": 3}},
    ):
        with pytest.raises(InputError):
            read_model(odd)


def test_read_model__a_billion_laughs_are_not_funny():
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    with pytest.raises(InputError, match="stands for no single text"):
        read_model("\n".join(lines))


def test_read_model__large_files_are_quick():
    genes = "\n".join(
        f"  g{i}: {{equation: '0.5*g{i - 1} + N', noise: 'normal(0, 1)'}}"
        if i
        else "  g0: {noise: 'normal(0, 1)'}"
        for i in range(300)
    )
    model = quickly(5, lambda: read_model(f"genes:\n{genes}\naggregation: sum\ncells: 10\n"))
    assert len(model.scm.genes) == 300


def test_read_model__damaged_files_are_models_or_input_errors():
    chance = random.Random(7)
    pieces = [*"{}[]:,\"'`*!#\n\tN0()\\%~|>\u202e", "&a", "- ", "e9", "**", "--- "]
    outcomes = set()
    for _ in range(400):
        text = FORK
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(text))
            end = min(len(text), at + chance.choice([0, 0, 1, 5, 30]))
            text = text[:at] + chance.choice(pieces) + text[end:]
        try:
            outcomes.add(type(read_model(text + "\n")))
        except InputError as error:
            outcomes.add(str(error).isprintable())
    assert outcomes == {Model, True}


def test_messages__name_the_way_out():
    head = "aggregation: sum\ncells: 2\ngenes:\n"
    with pytest.raises(InputError, match=r'a text with a comma must be quoted: {noise: "gamma\(2, 1\)"}'):
        read_model(head + "  Y: {noise: gamma(2, 1)}\n")
    with pytest.raises(InputError, match=r"line 5: genes.X: in {...} a text with a comma must be quoted"):
        read_model(head + "  Y: {noise: 'gamma(2, 1)'}\n  X: {equation: max(Y, 1), noise: normal(0, 1)}\n")
    listed = ", ".join(f"{i / 7:.4f}" for i in range(300))
    assert len(read_model(head + f"  Y: {{noise: 'empirical([{listed}])'}}\n").scm.genes) == 1
    with pytest.raises(InputError, match=r"with min\(x, 100\) say"):
        read_model(head + "  Y: {noise: 'gamma(2, 1)'}\n  X: {equation: exp(2000*Y)}\n").scm.sample(
            100, np.random.default_rng(0)
        )
