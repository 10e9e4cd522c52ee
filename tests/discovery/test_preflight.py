"""Each trap that libraries answer wrongly, refused with one line before they see it."""

import numpy as np
import pytest
from systems import linear_dag

import poolproof
from poolproof import InputError
from poolproof.discovery.methods import METHODS, WEIGHTS
from poolproof.discovery.preflight import prepare

VALUES, NAMES, _ = linear_dag(6, 100, 1)
EVERY = list(METHODS)
GRAPHS = [name for name, method in METHODS.items() if method.gives != WEIGHTS]


def changed(value, column=2, rows=slice(3, 4)):
    values = VALUES.copy()
    values[rows, column] = value
    return values


TRAPS = {
    "missing": (
        changed(np.nan),
        "expected no missing values; with some: g002. Leave these samples or genes out",
    ),
    "all missing": (changed(np.nan, rows=slice(None)), "expected values; without any: g002. Leave it out"),
    "infinite": (changed(np.inf), "expected finite values; infinite: g002. Leave these samples or genes out"),
    "constant": (changed(7.3, rows=slice(None)), "expected genes that vary; constant: g002. Leave it out"),
    "nearly constant": (
        changed(1e9 + 1e-3 * VALUES[:, 2], rows=slice(None)),
        "expected genes that vary; constant: g002. Leave it out",
    ),
    "copy": (
        changed(VALUES[:, 0], column=4, rows=slice(None)),
        "expected genes that differ; g004 is a copy or a multiple of g000. Leave one out",
    ),
    "multiple": (
        changed(-3e5 * VALUES[:, 1] + 4, column=5, rows=slice(None)),
        "expected genes that differ; g005 is a copy or a multiple of g001. Leave one out",
    ),
}


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("name", EVERY)
def test_traps__refused_with_one_line_before_any_library_is_loaded(name, trap, monkeypatch):
    monkeypatch.setattr("poolproof.discovery.libraries.import_module", None)  # a call would fail otherwise
    values, message = TRAPS[trap]
    with pytest.raises(InputError) as caught:
        poolproof.discover(values, NAMES, name)
    assert str(caught.value) == message


@pytest.mark.parametrize("n", [5, 6])
@pytest.mark.parametrize("name", GRAPHS)
def test_few_samples__refused_by_methods_that_give_a_graph(name, n):
    expected = (
        f"{name} needs more samples than genes; found {n} samples of 6 genes: choose fewer genes, or a method"
    )
    with pytest.raises(InputError) as caught:
        poolproof.discover(VALUES[:n], NAMES, name)
    assert str(caught.value) == f"{expected} that gives weights"


@pytest.mark.parametrize("name", ["correlation", "partial_correlation", "tree_importance"])
def test_few_samples__allowed_for_weights(name):
    weights = poolproof.discover(VALUES[:5], NAMES, name).weights
    assert np.isfinite(weights).all()
    assert (weights >= 0).all()


@pytest.mark.parametrize(
    ("values", "names", "message"),
    [
        (VALUES[:, :5], NAMES, r"one column for each of the 6 names; found shape \(100, 5\)"),
        (VALUES[:, 0], NAMES, "found shape"),
        (VALUES[:, :1], NAMES[:1], "at least 2 genes; found 1"),
        (VALUES[:2], NAMES, "at least 3 samples; found 2"),
        (VALUES, (*NAMES[:5], "g000"), "names that differ"),
        ([["a", "b"], ["c", "d"], ["e", "f"]], "ab", "expected numbers"),
        (np.array([[1.0, 2], [3, 4], [5, 7]], dtype=object) * 1j, "ab", "expected numbers"),
    ],
)
def test_prepare__refuses_what_is_no_table(values, names, message):
    with pytest.raises(InputError, match=message):
        prepare(values, names)


def test_prepare__names_from_a_file_are_shown_harmless_and_not_all_of_them():
    names = ["\x1b[31mred", *"bcdef"]
    values = VALUES.copy()
    values[:, :5] = 1.0
    with pytest.raises(InputError, match=r"constant: \\x1b\[31mred, b, c and 2 more. Leave them out"):
        prepare(values, names)


def test_prepare__standardises_and_leaves_the_input_alone():
    values = 10.0 ** np.arange(-150, 150, 50) * VALUES + 1e-160
    before = values.copy()
    standard = prepare(values, NAMES)
    assert (values == before).all()
    assert standard.mean(axis=0) == pytest.approx(0, abs=1e-12)
    assert standard.std(axis=0) == pytest.approx(1)
    assert standard == pytest.approx(VALUES, abs=1e-9)


def test_prepare__genes_that_are_merely_close_may_stay():
    values = VALUES.copy()
    values[:, 3] = values[:, 2] + 1e-3 * np.random.default_rng(0).normal(size=100)
    prepare(values, NAMES)


@pytest.mark.parametrize("seed", [-1, 1.5, True])
def test_discover__refuses_other_seeds(seed):
    with pytest.raises(InputError, match="seed must be a whole number"):
        poolproof.discover(VALUES, NAMES, "correlation", seed=seed)


@pytest.mark.parametrize("limit", [0, -1, float("nan")])
def test_discover__refuses_other_limits(limit):
    with pytest.raises(InputError, match="time_limit must be above 0"):
        poolproof.discover(VALUES, NAMES, "correlation", time_limit=limit)


@pytest.mark.parametrize("options", [{"alpha": 0}, {"alpha": 1.5}, {"max_given": -1}])
def test_options__refused_by_the_method(options):
    with pytest.raises(InputError, match="|".join(options)):
        poolproof.discover(VALUES, NAMES, "spline_pc", **options)


def test_options__unknown_ones_are_named():
    with pytest.raises(InputError, match=r"method pc has no option 'penalty'; it has: alpha, max_given"):
        poolproof.discover(VALUES, NAMES, "pc", penalty=2)


def test_failures__of_a_library_are_one_line(monkeypatch):
    import flopsearch

    def fail(*_, **__):
        raise RuntimeError("Cholesky failed\nand more")

    monkeypatch.setattr(flopsearch, "flop", fail)
    with pytest.raises(poolproof.PoolproofError, match=r"^flop failed: RuntimeError: Cholesky failed$"):
        poolproof.discover(VALUES, NAMES, "flop")
