"""Cell-level models: structure, draws against closed moments, interventions, cell types, refusals."""

import numpy as np
import pytest
from helpers import quickly
from hypothesis import given, settings
from hypothesis import strategies as st

from poolproof import SCM, InputError
from poolproof.models import CellType, parse_equation, parse_kernel
from poolproof.models.support import finite


def model(genes, cell_types=None, name="test"):
    """A model from texts: (equation, noise), a noise, or a kernel."""
    return SCM(name, read(genes, genes), cell_types or {})


def read(genes, names):
    return {gene: mechanism(gene, text, names) for gene, text in genes.items()}


def mechanism(gene, text, names):
    if isinstance(text, tuple):
        return parse_equation(*text, names, f"genes.{gene}")
    try:
        return parse_kernel(text, names)
    except InputError:
        return parse_equation(None, text, names, f"genes.{gene}")


CHAIN = {
    "Z": ("Y/2 - 1 + 0.5*N", "laplace(1, 1)"),
    "Y": ("2*X + 1 + N", "exponential(2)"),
    "X": ("N", "gamma(2, 1)"),
}
FORK = {
    "Y": ("N", "gamma(2, 1)"),
    "X": ("tanh(Y) + 0.15*N", "normal(0, 1)"),
    "Z": ("Y**2/5 + 0.2*N", "normal(0, 1)"),
    "C": "poisson(1 + 2*Y)",
}


def test_structure__order_parents_graph():
    scm = model(CHAIN)
    assert scm.gene_names == ("Z", "Y", "X")
    assert scm.order == ("X", "Y", "Z")
    assert (scm.parents("Z"), scm.parents("X")) == (("Y",), ())
    assert set(scm.graph.edges) == {("X", "Y"), ("Y", "Z")}
    assert list(scm.graph.nodes) == ["Z", "Y", "X"]
    assert scm.fractions == {"other": 1.0}
    assert scm.is_affine
    assert not model(FORK).is_affine


def test_structure__a_parent_that_cancels_is_none():
    scm = model({"X": ("N", "normal(0, 1)"), "Y": ("N + X - X + 0*X", "normal(0, 1)")})
    assert not scm.graph.edges


def test_affine_moments__by_hand():
    mean, covariance = model(CHAIN).affine_moments()
    # X: 2, 2. Y = 2X + 1 + N: 7, 8 + 4. Z = Y/2 - 1 + N/2: 3.5 - 1 + .5, 3 + 2/4
    np.testing.assert_allclose(mean, [3, 7, 2])
    np.testing.assert_allclose(covariance, [[3.5, 6, 2], [6, 12, 4], [2, 4, 2]])


def test_sample__agrees_with_the_closed_moments():
    scm, n = model(CHAIN), 100_000
    x = scm.sample(n, np.random.default_rng(1))
    assert (x.shape, x.dtype) == ((n, 3), np.float64)
    mean, covariance = scm.affine_moments()
    assert (np.abs(x.mean(axis=0) - mean) < 4.5 * (np.diag(covariance) / n) ** 0.5).all()
    centred = x - mean
    for i in range(3):
        for j in range(3):
            products = centred[:, i] * centred[:, j]
            assert abs(products.mean() - covariance[i, j]) < 4.5 * products.std() / n**0.5


@st.composite
def affine_models(draw):
    """Texts of a random affine model, and its coefficients by matrix."""
    n_genes = draw(st.integers(1, 5))
    names = [f"g{i}" for i in range(n_genes)]
    weights = np.zeros((n_genes, n_genes))
    constants = np.array([draw(st.integers(-4, 4)) / 2 for _ in names])
    scales = np.array([draw(st.integers(1, 4)) / 2 for _ in names])
    for i in range(n_genes):
        for j in range(i):
            weights[i, j] = draw(st.integers(-4, 4)) / 4
    genes = {}
    for i in draw(st.permutations(range(n_genes))):
        parts = [f"{weights[i, j]}*g{j}" for j in range(i)]
        genes[f"g{i}"] = (" + ".join([*parts, f"{scales[i]}*N", f"{constants[i]}"]), "exponential(2)")
    return genes, weights, constants, scales


@settings(deadline=None, max_examples=40)
@given(affine_models())
def test_affine_moments__of_random_models_by_matrix(parts):
    genes, weights, constants, scales = parts
    scm = model(genes)
    through = np.linalg.inv(np.eye(len(weights)) - weights)
    mean = through @ (constants + 2 * scales)
    covariance = through @ np.diag(4 * scales**2) @ through.T
    at = [int(name[1:]) for name in scm.gene_names]
    found = scm.affine_moments()
    np.testing.assert_allclose(found[0], mean[at], atol=1e-10)
    np.testing.assert_allclose(found[1], covariance[np.ix_(at, at)], atol=1e-10)
    edges = {(f"g{j}", f"g{i}") for i in range(len(weights)) for j in range(i) if weights[i, j]}
    assert set(scm.graph.edges) == edges


def test_moments__agree_with_the_closed_ones_and_say_their_error():
    scm = model(CHAIN)
    mean, covariance, error = scm.moments(seed=3, n=2**15)
    exact = scm.affine_moments()
    np.testing.assert_allclose(mean, exact[0], rtol=1e-3)
    assert (np.abs(covariance - exact[1]) < 5 * error).all()
    assert (error < 0.02 * np.abs(exact[1])).all()  # random cells would have twice this
    again = scm.moments(seed=3, n=2**15)
    assert np.array_equal(again[1], covariance)
    assert not np.array_equal(scm.moments(seed=4, n=2**15)[1], covariance)


def test_moments__of_the_fork_of_the_notes():
    # numerical integration over the law of Y gives -.50742 for X and Z given Y
    _, c, error = model({name: FORK[name] for name in ("X", "Y", "Z")}).moments(n=2**18)
    r = c / np.sqrt(np.outer(np.diag(c), np.diag(c)))
    partial = (r[0, 2] - r[0, 1] * r[1, 2]) / np.sqrt((1 - r[0, 1] ** 2) * (1 - r[1, 2] ** 2))
    assert partial == pytest.approx(-0.50742, abs=4e-3)
    assert error.max() < 0.05


def test_moments__with_a_kernel_and_with_cell_types():
    scm = model({"Y": ("N", "gamma(2, 1)"), "C": "poisson(1 + 2*Y)"})
    mean, covariance, error = scm.moments(n=2**15)
    exact = np.array([[2, 4], [4, 5 + 8]])  # the rate 1 + 2Y has mean 5, variance 8
    assert (np.abs(covariance - exact) < 5 * error).all()
    np.testing.assert_allclose(mean, [2, 5], rtol=0.02)
    expected = ((12 + 2 * 2**2) / 2**15) ** 0.5  # of a sample variance: fourth cumulant and variance of Y
    assert 0.6 < error[0, 0] / expected < 1.5  # 15 degrees of freedom
    mixed = model(
        {"Y": ("N", "normal(0, 1)")},
        {"T": CellType(0.25, read({"Y": ("N + 4", "normal(0, 1)")}, "Y"))},
    )
    mean, covariance, error = mixed.moments(n=2**15)
    assert mean[0] == pytest.approx(1, abs=0.05)
    assert abs(covariance[0, 0] - (1 + 16 * 0.25 * 0.75)) < 5 * error[0, 0]
    assert covariance.shape == (1, 1)


def test_sample__noises_explain_values():
    scm = model(FORK)
    noises, values = scm.sample_noise_and_values(500, np.random.default_rng(0))
    y, x, z, c = values.T
    assert np.array_equal(y, noises[:, 0])
    np.testing.assert_allclose(x, np.tanh(y) + 0.15 * noises[:, 1])
    np.testing.assert_allclose(z, y**2 / 5 + 0.2 * noises[:, 2])
    assert np.isnan(noises[:, 3]).all()
    assert np.array_equal(c, np.round(c))
    assert np.array_equal(scm.sample(500, np.random.default_rng(0)), values)
    assert scm.sample(0, np.random.default_rng(0)).shape == (0, 4)


def test_sample__shift_is_added_to_the_noise():
    scm, shift = model(CHAIN), np.array([0.0, 10.0, -10.0])
    plain = scm.sample(3, np.random.default_rng(0))
    moved = scm.sample(3, np.random.default_rng(0), shift={"X": shift, "Z": 4.0})
    np.testing.assert_allclose(moved[:, 2] - plain[:, 2], shift)
    np.testing.assert_allclose(moved[:, 1] - plain[:, 1], 2 * shift)
    np.testing.assert_allclose(moved[:, 0] - plain[:, 0], shift + 2)


# Cell types.


def typed():
    base = {"Y": ("N", "gamma(2, 1)"), "X": ("3*Y + N", "normal(0, 1)"), "W": ("N", "normal(0, 1)")}
    own = read({"X": ("W - 5 + N", "normal(0, 1)")}, base)
    return model(base, {"T": CellType(0.4, own), "U": CellType(0.1)})


def test_cell_types__structure():
    scm = typed()
    assert scm.fractions == pytest.approx({"T": 0.4, "U": 0.1, "other": 0.5})
    assert scm.mechanism("X", "T").text == "W - 5 + N"
    assert scm.mechanism("X", "U").text == scm.mechanism("X", "other").text == scm.mechanism("X").text
    assert scm.parents("X") == ("Y", "W")
    assert scm.parents("X", "T") == ("W",)
    assert scm.parents("X", "other") == ("Y",)
    assert set(scm.graph.edges) == {("Y", "X"), ("W", "X")}
    full = model({"X": ("N", "normal(0, 1)")}, {"A": CellType(0.5), "B": CellType(0.5)})
    assert list(full.fractions) == ["A", "B"]
    for name in ("Q", "mixed"):
        with pytest.raises(InputError, match="no cell type"):
            scm.mechanism("X", name)


def test_cell_types__samples():
    scm, n = typed(), 40_000
    types = scm.draw_types(n, np.random.default_rng(0))
    assert np.abs(np.bincount(types) / n - [0.4, 0.1, 0.5]).max() < 4.5 * (0.25 / n) ** 0.5
    x = scm.sample(n, np.random.default_rng(1))
    in_t, base = scm.sample(n, np.random.default_rng(2), "T"), scm.sample(n, np.random.default_rng(3), None)
    assert in_t[:, 1].mean() == pytest.approx(-5, abs=0.05)
    assert base[:, 1].mean() == pytest.approx(6, abs=0.15)
    assert x[:, 1].mean() == pytest.approx(0.4 * -5 + 0.6 * 6, abs=0.2)
    assert np.corrcoef(in_t, rowvar=False)[0, 1] == pytest.approx(0, abs=0.03)
    with pytest.raises(InputError, match="one cell type"):
        scm.affine_moments()
    assert scm.affine_moments("T")[0].tolist() == [2, -5, 0]
    assert scm.affine_moments("other")[0].tolist() == [2, 6, 0]


def test_cell_types__shifts_go_to_their_cells():
    scm, shift = typed(), np.arange(50.0) * 1000
    x = scm.sample(50, np.random.default_rng(1), shift={"W": shift})
    assert np.abs(x[:, 2] - shift).max() < 10


def test_supports__by_type_and_joint():
    scm = model(
        {"B": "bernoulli(0.3)", "X": ("B + 1", None)},
        {"T": CellType(0.5, read({"X": ("5*B", None)}, "BX"))},
    )
    assert scm.supports("other") == {"B": finite([0, 1]), "X": finite([1, 2])}
    assert scm.supports("T")["X"] == finite([0, 5])
    assert scm.supports()["X"] == finite([0, 1, 2, 5])
    assert list(scm.supports()) == ["B", "X"]
    with pytest.raises(InputError, match="no cell type"):
        scm.supports("Q")


def test_supports__hold_the_samples():
    for genes in (CHAIN, FORK):
        scm = model(genes)
        values = scm.sample(2000, np.random.default_rng(0))
        for gene, column in zip(scm.gene_names, values.T, strict=True):
            assert all(scm.supports()[gene].contains(value) for value in column)


# Interventions.


def test_do__cuts_the_parents_and_keeps_the_rest():
    scm = typed().do({"X": 2, "W": "uniform(0, 1)"})
    x = scm.sample(2000, np.random.default_rng(0))
    assert (x[:, 1] == 2).all()
    assert 0 < x[:, 2].min() < x[:, 2].max() < 1
    assert not scm.graph.edges
    assert scm.mechanism("X", "T").text == "N"  # in every cell type
    assert typed().mechanism("X").text == "3*Y + N"
    causes = model(CHAIN).do({"Y": 4})
    assert causes.affine_moments()[0].tolist() == [1.5, 4, 2]
    with pytest.raises(InputError, match="no gene 'Q'"):
        scm.do({"Q": 1})
    with pytest.raises(InputError, match=r"do\.X: "):
        scm.do({"X": "norml(0, 1)"})


# Models that cannot be used.

NOISE = ("N", "normal(0, 1)")
BAD = {
    "at least one gene": {},
    "cycle: A -> B -> C -> A": {"A": ("C", None), "B": ("A", None), "C": ("B", None), "D": NOISE},
    "cannot be its own parent": {"A": ("A + N", "normal(0, 1)")},
    "the name N is kept": {"N": NOISE},
    "300 characters; at most 200": {"G" * 300: NOISE},
    "expected a name": {"": NOISE},
    "without blanks": {" A": NOISE},
    "a backtick": {"A`B": NOISE},
    "does not print": {"A\x1b[31m": NOISE},
    r"B\.equation: 1/A is undefined: A can be 0": {"A": NOISE, "B": ("1/A", None)},
    r"B\.equation: log\(A - 1\) is undefined": {"A": ("N", "gamma(1, 1)"), "B": ("log(A - 1)", None)},
    r"A\.kernel: poisson\(-1\) is undefined": {"A": "poisson(-1)"},
    r"C\.kernel: bernoulli\(B\) is undefined: B can be outside 0 to 1": {
        "A": NOISE,
        "B": ("A**3", None),
        "C": "bernoulli(B)",
    },
}


@pytest.mark.parametrize("said", BAD)
def test_scm__refuses_in_one_line(said):
    with pytest.raises(InputError, match=said) as caught:
        model(BAD[said])
    assert str(caught.value).isprintable()


def test_scm__unknown_parents_and_genes():
    far = parse_equation("Q", None, ["Q"])
    with pytest.raises(InputError, match="no gene 'Q' in the model"):
        SCM("m", {"A": far})
    with pytest.raises(InputError, match=r"cell_types\.T\.genes: no gene 'Q'"):
        model({"A": NOISE}, {"T": CellType(0.5, read({"Q": NOISE}, "Q"))})


@pytest.mark.parametrize(
    ("types", "said"),
    [
        ({"T": CellType(0.6), "U": CellType(0.6)}, "sum to 1.2; expected at most 1"),
        ({"T": CellType(0)}, r"cell_types\.T\.fraction: expected a number above 0"),
        ({"T": CellType(float("nan"))}, "expected a number above 0"),
        ({"other": CellType(0.5)}, "kept for base cells"),
        ({"mixed": CellType(0.5)}, "kept for all cells"),
        (
            {"T": CellType(0.5, read({"B": ("log(A)", None)}, "AB"))},
            r"^cell_types\.T\.genes\.B\.equation: log",
        ),
        ({"T": CellType(0.5, read({"A": ("B", None)}, "AB"))}, "cycle"),
    ],
)
def test_scm__refuses_bad_cell_types(types, said):
    with pytest.raises(InputError, match=said):
        model({"A": NOISE, "B": ("A + N", "normal(0, 1)")}, types)


PASSES = {
    "Z = log(X - Y), X above Y": {
        "Y": ("N", "gamma(2, 1)"),
        "X": ("Y + N", "exponential(1)"),
        "Z": ("log(X - Y)", None),
    },
    "a square is never negative": {"Y": NOISE, "X": ("Y**2 - 2*Y + 1", None), "Z": ("sqrt(X)", None)},
    "shares": {
        "Y": ("N", "gamma(2, 1)"),
        "X": ("N", "gamma(2, 1)"),
        "Z": "bernoulli(Y/(X + Y))",
    },
    "a count and more": {"C": "poisson(3)", "D": ("C + N", "gamma(1, 1)"), "E": "binomial(C, hill(D))"},
}


@pytest.mark.parametrize("name", PASSES)
def test_scm__takes_what_is_defined_everywhere(name):
    scm = model(PASSES[name])
    assert np.isfinite(scm.sample(1000, np.random.default_rng(0))).all()


def test_scm__refuses_a_difference_that_changes_sign():
    genes = {"Y": ("N", "gamma(2, 1)"), "X": ("Y/2 + N", "exponential(1)"), "Z": ("log(X - Y)", None)}
    with pytest.raises(InputError, match=r"genes\.Z\.equation: log\(X - Y\) is undefined: X - Y can be 0"):
        model(genes)


def test_scm__doubts_in_large_networks_are_settled_quickly():
    genes = {"g0": ("N", "gamma(2, 1)"), "g1": ("g0 + N", "gamma(2, 1)")}
    for i in range(2, 60):  # in noises, as sums of all paths, these would be longer than any computer
        genes[f"g{i}"] = (f"g{i - 1} + g{i - 2} + log(1 + g{i - 1} - g{i - 2})*0 + N", "gamma(2, 1)")
    genes["end"] = ("log(g59 - g58)", None)

    def settle():
        model(genes)
        with pytest.raises(InputError, match="g58 - g59 can be 0 or less"):
            model({**genes, "end": ("log(g58 - g59)", None)})

    quickly(8, settle)


def test_scm__long_chains_are_no_deep_recursion():
    genes = {"g0": ("N", "gamma(2, 1)")}
    for i in range(1, 400):
        genes[f"g{i}"] = (f"g{i - 1} + N", "gamma(2, 1)")
    model({**genes, "end": ("log(g399 - g398)", None)})


def test_scm__large_networks_are_quick():
    genes = {"g0": NOISE}
    for i in range(1, 150):
        parents = [f"0.5*g{j}" for j in range(max(0, i - 3), i)]
        genes[f"g{i}"] = (" + ".join([*parents, "N"]), "normal(0, 1)")

    def use():
        scm = model(genes)
        scm.affine_moments()
        scm.sample(100, np.random.default_rng(0))

    quickly(5, use)
