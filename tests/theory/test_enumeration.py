"""Exact laws of pools with finitely many values, against all configurations of cells in exact fractions."""

from collections import defaultdict
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolproof import SCM
from poolproof.models import parse_equation, parse_kernel
from poolproof.theory.enumeration import independent_in_pools

COIN = "bernoulli(0.5)"
THREE = "discrete({0: 0.25, 1: 0.5, 2: 0.25})"


def scm(**genes):
    """A model from laws (text), equations with their noise (pairs) and kernels (lists of one text)."""
    parts = {}
    for name, how in genes.items():
        if isinstance(how, list):
            parts[name] = parse_kernel(how[0], list(genes), name)
        else:
            equation, noise = (None, how) if isinstance(how, str) else how
            parts[name] = parse_equation(equation, noise, list(genes), name)
    return SCM("model", parts)


def decide(of, n_cells, among=("Y",), x="X", z="Z"):
    return independent_in_pools(of, x, z, among, of.gene_names, n_cells)


def sums_by_listing(cells, n_cells):
    """Law of the sums over n cells, from a law of one cell: every configuration, one by one."""
    law = defaultdict(Fraction)
    for pool in product(cells, repeat=n_cells):
        weight = Fraction(1)
        for _, p in pool:
            weight *= p
        law[tuple(map(sum, zip(*(values for values, _ in pool), strict=True)))] += weight
    return law


def factorises(law):
    """Whether x and z (first two) are independent given the rest, in exact fractions."""
    xs, zs, both, alone = (defaultdict(Fraction) for _ in range(4))
    for (x, z, *rest), p in law.items():
        g = tuple(rest)
        both[x, z, g] += p
        xs[x, g] += p
        zs[z, g] += p
        alone[g] += p
    return all(
        both[x, z, g] * alone[g] == xs[x, g] * zs[z, g]
        for g in alone
        for x in {x for x, h in xs if h == g}
        for z in {z for z, h in zs if h == g}
    )


# --- by hand ------------------------------------------------------------------------------------------------


def test_fork_of_squares__breaks_at_two_cells():
    """S_Y = 2 comes from cells 1, 1 or 0, 2: both arms know which."""
    of = scm(Y=THREE, X=("Y**2 + N", COIN), Z=("Y**2 + 2*N", COIN))
    assert decide(of, 1) is True
    assert decide(of, 2) is False


def test_fork_with_one_affine_arm__holds():
    of = scm(Y=THREE, X=("3*Y + N", COIN), Z=("Y**2 + 2*N", COIN))
    assert [decide(of, k) for k in (1, 2, 7)] == [True] * 3


def test_zero_one_three__holds_at_two_cells_and_not_at_three():
    of = scm(Y="discrete({0: 0.4, 1: 0.3, 3: 0.3})", X=("Y**2 + N", COIN), Z=("Y**2 - N", COIN))
    assert [decide(of, k) for k in (2, 3)] == [True, False]


def test_and_gate__its_two_children_of_gates_depend_at_two_cells():
    of = scm(A=COIN, B=COIN, X=("AND(A, B) + N", COIN), Z=("OR(A, B) + 2*N", COIN))
    assert [decide(of, k, ("A", "B")) for k in (1, 2)] == [True, False]


def test_binary_middle__holds_in_large_pools():
    of = scm(X=COIN, Y=["bernoulli(0.2 + 0.5*X)"], Z=("exp(3*Y) + N", COIN))
    assert decide(of, 10) is True


def test_collider__is_independent_alone_and_not_given_the_child():
    of = scm(X=COIN, Z=COIN, Y=("X + Z", None))
    assert decide(of, 3, ()) is True
    assert decide(of, 3, ("Y",)) is False


def test_infinitely_many_values__are_not_decided():
    assert decide(scm(Y=THREE, X=("Y**2 + N", "normal(0, 1)"), Z=("Y", None)), 2) is None
    assert decide(scm(Y=THREE, X=["poisson(Y)"], Z=("Y", None)), 2) is None


def test_too_many_sums__are_not_decided():
    noise = "empirical([" + ", ".join(str(i * i * 0.137) for i in range(60)) + "])"
    of = scm(Y=THREE, X=("Y**2 + N", noise), Z=("Y**3 + N", noise))
    assert decide(of, 200) is None


@pytest.mark.parametrize("factor", ["0.0000000001", "0.001", "1000", "10000000000", "0.1", "1/3"])
def test_units__do_not_matter(factor):
    x = f"{factor}*(Y**2 + N)"
    y = "discrete({0: 0.4, 1: 0.3, 3: 0.3})"
    of = scm(Y=y, X=(x, COIN), Z=("Y**2 - N", COIN))
    assert [decide(of, k) for k in (2, 3)] == [True, False]


@pytest.mark.parametrize("p", ["0.00001", "0.0000001"])
def test_rare_states__count_as_well(p):
    of = scm(Y=COIN, X=("Y*N", f"bernoulli({p})"), Z=("Y*N", f"bernoulli({p})"))
    assert decide(of, 2, ()) is False


# --- against all configurations -----------------------------------------------------------------------------

SMALL = st.integers(-2, 2)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([(0, 1, 2), (0, 1, 3), (0, 2), (-1, 0, 1)]),
    st.tuples(*[SMALL] * 6),
    st.sampled_from(["fork", "chain", "collider", "none"]),
    st.integers(2, 3),
)
def test_all_configurations__give_the_same_answer(values, c, shape, n_cells):
    """X, Y and Z with integer polynomials and coins; the law of a cell is listed here, in fractions."""
    into_y = shape in ("chain", "collider")
    out_x, out_z = shape == "fork", shape in ("fork", "chain")
    law = f"discrete({{{', '.join(f'{v}: {1 / len(values)!r}' for v in values)}}})"
    given_y = "Y" if shape != "none" else None

    def root(name, other):
        return f"{c[0]}*{other}**2 + {c[1]}*{other} + N" if name else None

    genes = {
        "X": (root(out_x, "Y"), COIN) if out_x else law,
        "Y": (f"{c[2]}*X**2 + {c[3]}*X{' + 3*Z' if shape == 'collider' else ''} + N", COIN)
        if into_y
        else law,
        "Z": (f"{c[4]}*Y**2 + {c[5]}*Y + N", COIN) if out_z else law,
    }
    cells = []
    sides = [(0, Fraction(1, 2)), (1, Fraction(1, 2))]
    thirds = [(v, Fraction(1, len(values))) for v in values]
    for (a, p), (b, q), (d, r) in product(
        sides if out_x else thirds, sides if into_y else thirds, sides if out_z else thirds
    ):
        x = None if out_x else a
        z = None if out_z else d
        y = c[2] * x**2 + c[3] * x + (3 * z if shape == "collider" else 0) + b if into_y else b
        x = c[0] * y**2 + c[1] * y + a if out_x else x
        z = c[4] * y**2 + c[5] * y + d if out_z else z
        cells.append(((x, z, y) if given_y else (x, z), p * q * r))
    of = scm(**genes)
    among = (given_y,) if given_y else ()
    assert decide(of, n_cells, among) == factorises(sums_by_listing(cells, n_cells))


@settings(max_examples=10, deadline=None)
@given(
    st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(1, 4), st.integers(1, 4)), st.integers(2, 3)
)
def test_kernels_on_coins__give_the_same_answer(tenths, n_cells):
    """A chain of bernoulli kernels and its end in three values."""
    p0, p1, a, b = tenths
    of = scm(
        X="discrete({0: 0.25, 1: 0.5, 2: 0.25})",
        Y=[f"bernoulli({(p0 + 1) / 10} + {p1 / 10}*X)"],
        Z=(f"{a}*Y + {b}*N", COIN),
    )
    cells = []
    for x, y, n in product(range(3), range(2), range(2)):
        p = Fraction(p0 + 1, 10) + Fraction(p1, 10) * x
        weight = Fraction((1, 2, 1)[x], 4) * (p if y else 1 - p) / 2
        cells.append(((x, a * y + b * n, y), weight))
    assert decide(of, n_cells) is True
    assert factorises(sums_by_listing(cells, n_cells))
    without = sums_by_listing([((x, z), w) for (x, z, _), w in cells], n_cells)
    assert decide(of, n_cells, ()) == factorises(without)


def test_differences_that_may_be_rounding__are_not_decided():
    for x in (("Y**2 / 10000000000 + N", COIN), ["bernoulli(0.5 + 0.00000000001*Y**2)"]):
        assert decide(scm(Y=THREE, X=x, Z=["bernoulli(Y**2 / 4)"]), 2) is None
    far_off = ("1000000000000 + Y**2 + N", COIN)
    assert decide(scm(Y=THREE, X=far_off, Z=["bernoulli(Y**2 / 4)"]), 2) is None
    assert decide(scm(Y=THREE, X=("1000 + Y**2 + N", COIN), Z=["bernoulli(Y**2 / 4)"]), 2) is False


def test_many_cells__rounding_of_their_sums_does_not_decide():
    for n_cells in (7, 16):
        assert decide(scm(Y=THREE, X=("0.1*Y + 0.7*N", COIN), Z=["bernoulli(Y**2 / 5)"]), n_cells) is True
