"""The gallery: every file can be read, shows what its first line says, and says where it is from."""

import json
import re
from importlib.resources import files

import numpy as np
import pytest

from poolproof import InputError, check, example_model, list_models, read_model

FOLDER = files("poolproof.models") / "gallery"
PUBLISHED = ("arth150", "ecoli70")
NAMES = tuple(list_models())


def text_of(name):
    return (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


def answers(name, *, monte_carlo=False, **options):
    """Forms by gene, independences by statement, and the whole answer."""
    found = check(example_model(name), monte_carlo=monte_carlo, **options)
    forms = {m["gene"]: m["ffc"] for m in found.summary["mechanisms"]}
    separations = {(s["x"], s["y"], *s["given"]): s for s in found.summary["separations"]}
    return forms, separations, found


def test_list_models__has_the_gallery():
    assert set(NAMES) == {
        "affine-grn",
        "and-gate",
        "arth150",
        "binary-middle",
        "cell-types",
        "chain-nongaussian",
        "collider-product",
        "ecoli70",
        "fork-affine-arm",
        "fork-section4",
        "geometric-power-laws",
        "hill-toggle",
        "log1p-sum",
        "poisson-chain",
        "random-cells",
    }
    assert list(NAMES) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_models__begin_with_a_sentence_and_bear_their_name(name):
    first = text_of(name).split("\n")[0]
    assert re.fullmatch(r"# \S.*\.", first)
    assert list_models()[name] == first[2:]
    assert example_model(name).name == name


@pytest.mark.parametrize("name", NAMES)
def test_models__come_back_from_their_text(name):
    model = example_model(name)
    again = read_model(model.to_dict())
    assert again.to_dict() == model.to_dict()
    assert list(again.scm.graph.edges) == list(model.scm.graph.edges)


@pytest.mark.parametrize("name", PUBLISHED)
def test_models__of_others_state_origin_and_licence(name):
    head = text_of(name).split("name:")[0]
    for words in ("CC BY-SA 3.0", "bnlearn", "pgmpy 1.1.2", "Changes:"):
        assert words in head


def test_example_model__unknown_name_gets_a_hint():
    with pytest.raises(InputError, match=r"found 'fork-section5'; did you mean fork-section4\?"):
        example_model("fork-section5")
    with pytest.raises(InputError, match="there are affine-grn, and-gate"):
        example_model("\x1b[31m")
    with pytest.raises(InputError, match="expected the name of an example model"):
        example_model("../models/affine-grn")


# --- what each is to show -------------------------------------------------------------------------------


def test_affine_grn__everything_survives():
    forms, separations, found = answers("affine-grn")
    assert found.verdict == "recoverable"
    assert set(forms.values()) == {"holds"}
    assert separations
    assert {s["cic"] for s in separations.values()} == {"holds"}


def test_fork_affine_arm__form_lost_independence_kept():
    forms, separations, _ = answers("fork-affine-arm")
    assert (forms["X"], forms["Z"]) == ("fails", "holds")
    assert separations["X", "Z", "Y"]["cic"] == "holds"


def test_fork_section4__has_the_limit_of_the_method():
    forms, separations, found = answers("fork-section4")
    assert (forms["X"], forms["Z"]) == ("fails", "fails")
    assert found.verdict == "not-recoverable"  # at 20 cells, by transforms
    one = separations["X", "Z", "Y"]
    assert one["cic"] == "fails"
    assert one["limit_partial_correlation"] == pytest.approx(-0.507, abs=0.002)


def test_chain_nongaussian__breaks():
    forms, separations, _ = answers("chain-nongaussian")
    assert (forms["Y"], forms["Z"]) == ("holds", "fails")
    assert separations["X", "Z", "Y"]["cic"] == "fails"


def test_binary_middle__the_independence_is_kept_and_any_function_of_it_too():
    forms, separations, _ = answers("binary-middle")
    assert (forms["Y"], forms["Z"]) == ("fails", "holds")
    assert separations["X", "Z", "Y"]["cic"] == "holds"


def test_geometric_power_laws__survive_the_geometric_mean_not_the_sum():
    forms, separations, _ = answers("geometric-power-laws")
    assert set(forms.values()) == {"holds"}
    assert {s["cic"] for s in separations.values()} == {"holds"}
    forms, _, _ = answers("geometric-power-laws", aggregation="sum")
    assert (forms["Y"], forms["Z"]) == ("fails", "fails")


def test_log1p_sum__form_on_the_additive_scale():
    forms, separations, found = answers("log1p-sum")
    assert set(forms.values()) == {"holds"}
    assert {s["cic"] for s in separations.values()} == {"holds"}
    assert "additive scale" in found.summary["mechanisms"][1]["rule"]


def test_and_gate__fails_from_two_cells():
    forms, _, found = answers("and-gate")
    assert (forms["C"], forms["D"]) == ("fails", "holds")
    (witness,) = [m["witness"] for m in found.summary["mechanisms"] if m["witness"]]
    assert [len(pool["cells"]) for pool in witness["pools"]] == [2, 2]
    forms, _, _ = answers("and-gate", cells=1)
    assert forms["C"] == "holds"


def test_random_cells__the_number_is_a_common_cause():
    _, separations, _ = answers("random-cells")
    assert separations["X", "Z", "Y"]["cic"] == "fails"
    _, separations, _ = answers("random-cells", cells=20)
    assert separations["X", "Z", "Y"]["cic"] == "holds"


def test_poisson_chain__kept_for_this_law_only():
    forms, separations, _ = answers("poisson-chain")
    assert (forms["Y"], forms["Z"]) == ("holds", "fails")
    one = separations["X", "Z", "Y"]
    assert (one["cic"], one["quantifier"], one["uniform"]) == ("holds", "law", "fails")


def test_collider_product__independence_kept_dependence_faded():
    _, separations, found = answers("collider-product")
    assert separations["X", "Z"]["cic"] == "holds"
    faded = {(lost["x"], lost["y"]) for lost in found.summary["lost_dependences"]}
    assert {("X", "Y"), ("Z", "Y")} <= faded


def test_cell_types__are_a_common_cause():
    forms, separations, _ = answers("cell-types")
    assert (forms["X"], forms["Z"]) == ("fails", "fails")
    assert separations["X", "Z", "Y"]["cic"] == "fails"


def test_hill_toggle__is_bent_everywhere():
    model = example_model("hill-toggle")
    assert list(model.scm.graph.edges) == [
        ("signal", "A"),
        ("A", "B"),
        ("A", "reporter_A"),
        ("B", "reporter_B"),
    ]
    bent = [g for g in model.scm.genes if model.scm.mechanism(g).affine() is None]
    assert bent == ["A", "B", "reporter_A", "reporter_B"]
    rng = np.random.default_rng(0)
    signal, a, b = model.scm.sample(4000, rng)[:, :3].T
    assert np.corrcoef(signal, a)[0, 1] > 0.3
    assert np.corrcoef(a, b)[0, 1] < -0.3


@pytest.mark.parametrize(("name", "genes", "edges"), [("ecoli70", 46, 70), ("arth150", 107, 150)])
def test_published_networks__are_linear_gaussian_of_the_published_size(name, genes, edges):
    scm = example_model(name).scm
    assert (len(scm.genes), scm.graph.number_of_edges()) == (genes, edges)
    assert scm.is_affine
    assert all(m.noise.is_gaussian for m in scm.genes.values())


def test_ecoli70__has_the_published_coefficients():
    scm = example_model("ecoli70").scm
    coefficients, noise, constant = scm.mechanism("atpD").affine()
    assert {g: float(c) for g, c in coefficients.items()} == {"sucA": 0.2603, "ygcE": -0.7252}
    assert (float(noise), float(constant)) == (1.0, -0.0403)
    assert scm.mechanism("atpD").noise.variance == pytest.approx(0.4131, rel=1e-8)


def test_ecoli70__every_independence_survives():
    forms, separations, found = answers("ecoli70")
    assert found.verdict == "markov-class"
    assert len(separations) == 46 * 45 // 2 - 70
    assert {s["cic"] for s in separations.values()} == set(forms.values()) == {"holds"}
    json.dumps(found.summary)
