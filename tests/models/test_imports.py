"""Models of other formats: what is read, and what is refused with its line."""

import gzip
import json
from itertools import product

import numpy as np
import pytest
from helpers import needed

from poolproof import InputError
from poolproof.models import read_any
from poolproof.models.imports.boolean import parse_rule, rule_mechanism
from poolproof.theory import check

SBML = """<?xml version="1.0" encoding="UTF-8"?>
<sbml xmlns="http://www.sbml.org/sbml/level3/version1/core" level="3" version="1"
 xmlns:qual="http://www.sbml.org/sbml/level3/version1/qual/version1" qual:required="true">
<model id="m">
<listOfCompartments><compartment id="c" constant="true"/></listOfCompartments>
<qual:listOfQualitativeSpecies>
 <qual:qualitativeSpecies qual:id="A" qual:compartment="c" qual:constant="false" qual:maxLevel="1"/>
 <qual:qualitativeSpecies qual:id="B" qual:compartment="c" qual:constant="false" qual:maxLevel="2"/>
 <qual:qualitativeSpecies qual:id="X" qual:compartment="c" qual:constant="false" qual:maxLevel="2"/>
</qual:listOfQualitativeSpecies>
<qual:listOfTransitions><qual:transition qual:id="t">
<qual:listOfInputs>
 <qual:input qual:qualitativeSpecies="A" qual:transitionEffect="none" qual:id="i1"/>
 <qual:input qual:qualitativeSpecies="B" qual:transitionEffect="none" qual:id="i2"/>
</qual:listOfInputs>
<qual:listOfOutputs>
 <qual:output qual:qualitativeSpecies="X" qual:transitionEffect="assignmentLevel" qual:id="o"/>
</qual:listOfOutputs>
<qual:listOfFunctionTerms><qual:defaultTerm qual:resultLevel="0"/>
<qual:functionTerm qual:resultLevel="2"><math xmlns="http://www.w3.org/1998/Math/MathML">
<apply><and/><apply><eq/><ci>A</ci><cn type="integer">1</cn></apply>
<apply><SIGN/><ci>B</ci><cn type="integer">1</cn></apply></apply></math></qual:functionTerm>
<qual:functionTerm qual:resultLevel="1"><math xmlns="http://www.w3.org/1998/Math/MathML">
<apply><gt/><ci>B</ci><cn type="integer">1</cn></apply></math></qual:functionTerm>
</qual:listOfFunctionTerms></qual:transition></qual:listOfTransitions></model></sbml>
"""
BIF = """network tiny { property author someone; }
variable A { type discrete [ 2 ] { off, on }; }
variable B { type discrete [ 3 ] { low, middle, high }; }
variable C { type discrete [ 2 ] { no, yes }; }
probability ( A ) { table 0.6, 0.4; }
probability ( B | A ) {
  (off) 0.5, 0.25, 0.25;
  (on) 0.1, 0.2, 0.7;
}
probability ( C | A, B ) { // a default stands for what is not listed
  default 0.5, 0.5;
  (on, high) 0.1, 0.9;
}
"""
GAUSSIAN = {
    "nodes": ["S", "A", "B", "C"],
    "arcs": [["S", "B"], ["A", "B"], ["A", "C"]],
    "cpds": {
        "S": {"type": "discrete", "parents": [], "levels": ["no", "yes"], "cpt": {"no": 0.25, "yes": 0.75}},
        "A": {"coefficients": {"(Intercept)": [1.5]}, "variance": [4], "parents": []},
        "B": {
            "type": "cgnode",
            "parents": ["S", "A"],
            "coefficients": {"(Intercept)": {"0": 1, "1": 2}, "A": {"0": 3, "1": -1}},
            "sd": {"0": 1, "1": 0.5},
        },
        "C": {"coefficients": {"(Intercept)": [0.5], "A": [-2]}, "variance": [0.25], "parents": ["A"]},
    },
}


def write(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "rule",
    [
        "!A & (B | C)",
        "A|B&!C",
        "((((A | B) | C) | A) | B)",
        "not (A and B) or !!C",
        "A & !A | C",
        "1 & A | 0",
    ],
)
def test_a_rule_is_the_function_that_it_writes(rule):
    mechanism = rule_mechanism(parse_rule(rule, "here"), "here")
    python = rule.replace("!", " not ").replace("&", " and ").replace("|", " or ").strip()
    for state in product((0, 1), repeat=3):
        values = dict(zip("ABC", state, strict=True))
        truth = float(bool(eval(python, {}, values)))
        arrays = {name: np.array([float(v)]) for name, v in values.items()}
        noise = 0.0 if mechanism.noise is None else float(mechanism.noise.mean)
        assert np.ravel(mechanism.value(arrays, noise))[0] == truth, (rule, state)


def test_what_drops_out_of_a_rule_is_no_parent():
    assert rule_mechanism(parse_rule("A & (B | !B)", "here"), "here").parents == ("A",)
    assert rule_mechanism(parse_rule("A & !A", "here"), "here").noise.mean == 0


def test_brackets_are_read_however_deep_a_chain_of_them_is():
    rule = "(" * 3000 + "A" + " | B)" * 3000
    assert rule_mechanism(parse_rule(rule, "here"), "here").parents == ("A", "B")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("A, B &", "line 2: column 7: expected a name"),
        ("A, (B", "( is not closed"),
        ("A, B)", ") without ("),
        ("A, B ^ C", "unexpected character '^'"),
        ("A B", "expected 'gene, rule'"),
        ("A, B\nA, C", "line 3: A has a rule already, in line 2"),
        ("A, B C", "expected &, | or )"),
        ("", "no rule in the file"),
    ],
)
def test_boolean_lines_that_cannot_be_read_are_named(tmp_path, text, says):
    path = write(tmp_path, "m.bnet", f"targets, factors\n{text}")
    with pytest.raises(InputError) as caught:
        read_any(path)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_boolean_models_of_nineteen_inputs_are_checked(tmp_path):
    names = [f"A{i}" for i in range(19)]
    text = f"X, {' | '.join(names)}\nY, {' & '.join(names)}\n"
    found = check(read_any(write(tmp_path, "wide.bnet", text)), monte_carlo=False)
    forms = found.mechanisms.set_index("gene")["ffc"]
    assert forms["X"] == forms["Y"] == "fails"
    for gene, function in (("X", max), ("Y", min)):
        (row,) = [m for m in found.summary["mechanisms"] if m["gene"] == gene]
        sums = []
        for pool in row["witness"]["pools"]:
            cells = [c["values"] for c in pool["cells"] for _ in range(c["times"])]
            sums.append(
                ({n: sum(c[n] for c in cells) for n in names}, sum(function(c.values()) for c in cells))
            )
        assert sums[0][0] == sums[1][0]
        assert sums[0][1] != sums[1][1]


def test_sergio_tables_are_gamma_kernels_of_hill_terms(tmp_path):
    table = write(tmp_path, "table.txt", "2.0,2.0,0.0,1.0,2.0,-3.0,2.0,2.0\n3.0,1.0,2.0,1.5,1.0\n")
    rates = write(tmp_path, "rates.txt", "0.0,0.8,1.6\n1.0,2.4,0.8\n")
    model = read_any(table, format="sergio", regulators=rates)
    assert list(model.scm.fractions.values()) == [0.5, 0.5]
    assert model.scm.parents("G2") == ("G0", "G1")
    kernel = model.scm.genes["G2"]
    # half responses are means over types: (1 + 2) / 2 and (3 + 1) / 2; shape = P / decay
    values = {"G0": np.array([1.5]), "G1": np.array([2.0])}
    mean, variance = np.ravel(kernel.cumulants(values, 2))
    assert mean == pytest.approx((2 * 0.5 + 3 * 0.5) / 0.8, rel=1e-6)
    assert variance == pytest.approx(mean)
    assert check(model, monte_carlo=False).mechanisms.set_index("gene")["ffc"]["G3"] == "fails"


@pytest.mark.parametrize(
    ("table", "rates", "says"),
    [
        ("2,2,0,1,2,2,2\n", "0,1\n1,1\n", "table.txt line 1: expected target, n"),
        ("2,1,0,0,2\n", "0,1\n", "strengths other than 0"),
        ("2,1,0,1,2\n", "0,1\n2,1\n", "G2 has regulators, and a production rate"),
        ("2,1,7,1,2\n", "0,1\n", "G7 regulates G2, but has neither"),
        ("2,1,3,1,2\n3,1,2,1,2\n", "0,1\n", "regulators in a circle"),
        ("2,1,0,1,2\n", "0,1\n1,1,2\n", "rates.txt line 2: 2 types of cells"),
        ("2,1,x,1,2\n", "0,1\n", "expected a number; found 'x'"),
    ],
)
def test_tables_of_sergio_that_cannot_be_read_are_named(tmp_path, table, rates, says):
    path, second = write(tmp_path, "table.txt", table), write(tmp_path, "rates.txt", rates)
    with pytest.raises(InputError) as caught:
        read_any(path, format="sergio", regulators=second)
    assert says in str(caught.value)


def test_sergio_needs_its_second_file(tmp_path):
    path = write(tmp_path, "table.txt", "2,1,0,1,2\n")
    with pytest.raises(InputError, match="regulators FILE"):
        read_any(path, format="sergio")
    with pytest.raises(InputError, match="name its format"):
        read_any(path)


@pytest.mark.parametrize("packed", [False, True])
def test_bif_tables_are_categorical_kernels(tmp_path, packed):
    path = write(tmp_path, "tiny.bif", BIF)
    if packed:
        path = tmp_path / "tiny.bif.gz"
        path.write_bytes(gzip.compress(BIF.encode()))
    scm = read_any(path).scm
    expected = {(a, b): (0.1, 0.9) if (a, b) == (1, 2) else (0.5, 0.5) for a in (0, 1) for b in (0, 1, 2)}
    for (a, b), row in expected.items():
        values = {"A": np.array([float(a)]), "B": np.array([float(b)])}
        assert np.ravel(scm.genes["C"].cumulants(values, 1))[0] == pytest.approx(row[1], abs=1e-12)
    cells = scm.sample(40_000, np.random.default_rng(1))
    truth = 0.6 * np.array([0.5, 0.25, 0.25]) + 0.4 * np.array([0.1, 0.2, 0.7])
    shares = np.bincount(cells[:, 1].astype(int)) / len(cells)
    assert np.abs(shares - truth).max() < 5 * np.sqrt(0.25 / len(cells))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("(on) 0.1, 0.2, 0.7;", "(on) 0.1, 0.2;", "line 8: expected 3 probabilities"),
        ("(on) 0.1, 0.2, 0.7;", "(on) 0.1, 0.2, 0.9;", "a row of probabilities sums to 1.2"),
        ("(on) 0.1, 0.2, 0.7;", "", "line 6: 1 of 2 rows"),
        ("(on) 0.1", "(maybe) 0.1", "line 8: A has no state maybe"),
        ("( B | A )", "( B | Q )", "line 6: no variable Q"),
        ("table 0.6, 0.4;", "table 0.6, 0.4", "line 5: expected ;"),
        ("type discrete [ 3 ]", "type discrete [ 2 ]", "line 3: expected 2 different states"),
        ("default 0.5, 0.5;", "table 0.5, 0.5;", "line 11: a table of a variable with parents"),
        ("probability ( A ) { table 0.6, 0.4; }", "", "no probabilities of A"),
    ],
)
def test_bif_lines_that_cannot_be_read_are_named(tmp_path, old, new, says):
    assert old in BIF
    path = write(tmp_path, "tiny.bif", BIF.replace(old, new))
    with pytest.raises(InputError) as caught:
        read_any(path)
    assert says in str(caught.value)


def test_gaussian_networks_are_affine_and_hybrid_nodes_kernels(tmp_path):
    scm = read_any(write(tmp_path, "net.json", json.dumps(GAUSSIAN))).scm
    coefficients, noise, constant = scm.genes["C"].affine()
    assert (float(coefficients["A"]), float(noise), float(constant)) == (-2.0, 0.5, 0.5)
    for state, (mean, sd) in {0: (1 + 3 * 2, 1), 1: (2 - 2, 0.5)}.items():
        values = {"S": np.array([float(state)]), "A": np.array([2.0])}
        first, second = np.ravel(scm.genes["B"].cumulants(values, 2))
        assert (first, second) == pytest.approx((mean, sd**2))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda net: net["arcs"].pop(), "the arc A -> C stands in arcs or cpds alone"),
        (lambda net: net["cpds"]["C"].update(variance=[-1]), "cpds.C: expected variances of at least 0"),
        (lambda net: net["cpds"]["C"]["coefficients"].update(Q=[1]), "expected coefficients of (Intercept)"),
        (lambda net: net["cpds"].pop("C"), "an entry of cpds for each node"),
        (lambda net: net["cpds"]["B"]["sd"].pop("1"), "expected 2 numbers"),
    ],
)
def test_gaussian_networks_that_cannot_be_read_say_where(tmp_path, change, says):
    net = json.loads(json.dumps(GAUSSIAN))
    change(net)
    with pytest.raises(InputError) as caught:
        read_any(write(tmp_path, "net.json", json.dumps(net)))
    assert says in str(caught.value)


def test_logical_models_of_sbml_are_functions_of_their_levels(tmp_path):
    needed("libsbml")
    scm = read_any(write(tmp_path, "m.sbml", SBML.replace("SIGN", "eq"))).scm
    for a, b in product((0, 1), (0, 1, 2)):
        truth = 2 if a == 1 and b == 1 else 1 if b > 1 else 0
        values = {"A": np.array([float(a)]), "B": np.array([float(b)])}
        assert float(np.ravel(scm.genes["X"].value(values, 0.0))[0]) == truth
    assert [float(v) for v in scm.supports()["B"].values] == [0, 1, 2]


def test_sbml_of_aeon_is_read_though_it_has_no_compartments(tmp_path):
    """`findings/biodivine-sbml-not-valid.sh`: its inputs have an attribute too many."""
    needed("libsbml")
    valid = SBML.replace("SIGN", "eq")
    aeon = valid.replace(' qual:compartment="c"', "").replace("<qual:input ", '<qual:input essential="true" ')
    source = '<qual:output qual:qualitativeSpecies="B" qual:transitionEffect="assignmentLevel" qual:id="o2"/>'
    aeon = aeon.replace(
        "</qual:listOfTransitions>",
        '<qual:transition qual:id="t2"><qual:listOfInputs></qual:listOfInputs><qual:listOfOutputs>'
        f"{source}</qual:listOfOutputs></qual:transition></qual:listOfTransitions>",
    )
    assert aeon.count("essential") == 2
    assert aeon.count("compartment=") == 0
    as_valid = read_any(write(tmp_path, "m.sbml", valid)).scm
    assert read_any(write(tmp_path, "aeon.sbml", aeon)).scm.supports() == as_valid.supports()
    for wrong in (aeon.replace("essential", "decisive"), aeon.replace('qual:id="X"', "")):
        with pytest.raises(InputError, match=r"wrong\.sbml line"):
            read_any(write(tmp_path, "wrong.sbml", wrong))


def test_sbml_that_cannot_be_read_is_named_with_its_line(tmp_path):
    needed("libsbml")
    with pytest.raises(InputError, match=r"m\.sbml line"):
        read_any(write(tmp_path, "m.sbml", SBML.replace("SIGN", "plus")))
    head = '<sbml xmlns="http://www.sbml.org/sbml/level3/version1/core" level="3" version="1">'
    plain = write(tmp_path, "plain.xml", head + "<model/></sbml>")
    with pytest.raises(InputError, match="of SBML the package qual is read"):
        read_any(plain)
    with pytest.raises(InputError, match=r"m\.xml line"):
        read_any(write(tmp_path, "m.xml", "no xml"))


@pytest.mark.parametrize("name", ["m.bnet", "m.bif", "m.json"])
def test_files_that_are_no_text_are_refused(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        read_any(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_any(tmp_path / "none" / name)
