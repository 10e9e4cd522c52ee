"""`check` against enumerators written apart from it: all pools, in exact fractions."""

import os
import random
from collections import defaultdict
from fractions import Fraction
from itertools import product

import pytest

from poolproof import InputError, check

FULL = os.environ.get("POOLPROOF_CALIBRATION") == "full"
N_FINITE = 300 if FULL else 20
HALF = Fraction(1, 2)
MAX_POOLS = 60_000

NOISES = {
    "bernoulli(0.5)": {0: HALF, 1: HALF},
    "bernoulli(0.25)": {0: Fraction(3, 4), 1: Fraction(1, 4)},
    "discrete({0: 0.25, 1: 0.5, 2: 0.25})": {0: Fraction(1, 4), 1: HALF, 2: Fraction(1, 4)},
    "discrete({0: 0.5, 1: 0.25, 3: 0.25})": {0: HALF, 1: Fraction(1, 4), 3: Fraction(1, 4)},
    "discrete({0: 0.5, 2: 0.375, 5: 0.125})": {0: HALF, 2: Fraction(3, 8), 5: Fraction(1, 8)},
    "discrete({1: 0.5, 2: 0.5})": {1: HALF, 2: HALF},
    "constant(2)": {2: Fraction(1)},
}
ONE = [
    "{c}*{p}",
    "{p}**2",
    "abs({p} - 1)",
    "max({p} - {c}, 0)",
    "threshold({p}, at={c})",
    "min({p}, {c})",
    "1 - {p}",
]
TWO = [
    "{p}*{q}",
    "max({p}, {q})",
    "min({p}, {q})",
    "max({p} - {q}, 0)",
    "{p} + {c}*{q}",
    "OR({p}, {q})",
    "abs({p} - {q})",
]
WORDS = {
    "abs": abs,
    "max": max,
    "min": min,
    "threshold": lambda x, at: int(x > at),
    "OR": lambda a, b: 1 - (1 - a) * (1 - b),
    "Fraction": Fraction,
    "__builtins__": {},
}
NUMBERS = {
    "discrete({1: 0.5, 2: 0.5})": {1: HALF, 2: HALF},
    "discrete({2: 0.5, 3: 0.5})": {2: HALF, 3: HALF},
    "discrete({0: 0.5, 1: 0.25, 3: 0.25})": {1: HALF, 3: HALF},
}


class Finite:
    """A random model of a few genes with finitely many values, as text and as Python."""

    def __init__(self, seed):
        rng = random.Random(seed)
        self.rng, self.genes, self.spec = rng, [], {}
        self.cells = {(): Fraction(1)}  # law of one cell: values of all genes, then their noises
        for name in "ABCD"[: rng.choice([3, 3, 4])]:
            self._add(name)
        self.aggregation, self.numbers, self.weights = "sum", {}, None
        self._pooling()

    def _add(self, name):
        rng = self.rng
        parents = rng.sample(self.genes, min(len(self.genes), rng.choice([0, 1, 1, 2])))
        rows = [dict(zip(self.genes, cell, strict=False)) for cell in self.cells]
        if not parents:
            law = rng.choice(list(NOISES))
            self.spec[name], how = {"noise": law}, (None, NOISES[law])
        elif rng.random() < 0.25:
            self.spec[name], how = self._kernel(parents[0], rows)
        else:
            self.spec[name], how = self._equation(parents)
        self._extend(name, how)

    def _equation(self, parents):
        rng, c = self.rng, self.rng.choice([1, 2, 3])
        text = rng.choice(ONE if len(parents) == 1 else TWO).format(p=parents[0], q=parents[-1], c=c)
        law = rng.choice([None, *NOISES][:6])
        text += rng.choice(["", " + 1", f" - {parents[0]}"])
        if law is None:
            return {"equation": text}, (text, {None: Fraction(1)})
        text += rng.choice([" + N", " + 2*N", f" + {parents[0]}*N"])
        return {"equation": text, "noise": law}, (text, NOISES[law])

    def _kernel(self, parent, rows):
        values = {row[parent] for row in rows}
        if self.rng.random() < 0.4 and all(v >= 0 for v in values):
            return {"kernel": f"binomial({parent}, 0.5)"}, ("binomial", parent)
        low, high = min(values), max(values)
        text = self.rng.choice(
            [
                f"({parent} - ({low}) + 1)/{4 * (high - low + 1)}",
                f"({parent} - ({low}))**2/{2 * (high - low + 1) ** 2}",
            ]
        )
        return {"kernel": f"bernoulli({text})"}, ("bernoulli", text)

    def _extend(self, name, how):
        grown = defaultdict(Fraction)
        n = len(self.genes)
        for cell, p in self.cells.items():
            values = dict(zip(self.genes, map(Fraction, cell[:n]), strict=True))
            for value, noise, share in outcomes(how, values):
                grown[(*cell[:n], value, *cell[n:], noise)] += p * share
        self.cells = {cell: p for cell, p in grown.items() if p}
        self.genes.append(name)
        self.how = {**getattr(self, "how", {}), name: how}

    def _pooling(self):
        rng = self.rng
        kind = rng.choice(["sum", "sum", "sum", "mean", "random", "random mean", "weights", "cpm"])
        self.cells_text = rng.choice([1, 2, 2, 3, 3, 4])
        self.numbers = {self.cells_text: Fraction(1)}
        if kind.startswith("random"):
            self.cells_text = rng.choice(list(NUMBERS))
            self.numbers = NUMBERS[self.cells_text]
        if kind == "weights":
            self.weights = rng.choice([(1, 2), (1, 1, 2), (1, 3), (1, 2, 3), (1, 10)])
            self.cells_text = len(self.weights)
            self.numbers = {len(self.weights): Fraction(1)}
            self.aggregation = {"weights": list(self.weights)}
        elif kind != "random" and kind != "sum":
            self.aggregation = kind.split()[-1]
        if self.aggregation == "cpm" and any(v < 0 for cell in self.cells for v in cell[: len(self.genes)]):
            self.aggregation = "sum"

    @property
    def content(self):
        return {
            "name": "random",
            "genes": self.spec,
            "aggregation": self.aggregation,
            "cells": self.cells_text,
        }

    def pooled(self, states, n):
        """Law of pools of n cells: ``states`` has what of a cell adds up, and a probability or anything."""
        law = {None: Fraction(1)}
        for i in range(n):
            weight = self.weights[i] if self.weights else 1
            grown = defaultdict(Fraction)
            for total, p in law.items():
                for state, q in states.items():
                    new = tuple(
                        (t + weight * s) for t, s in zip(total or (0,) * len(state), state, strict=True)
                    )
                    grown[new] += p * q
            if len(grown) > MAX_POOLS:
                raise OverflowError
            law = grown
        return law

    def shown(self, total, n, of_all):
        """What a pool shows of sums; None where it shows nothing."""
        if self.aggregation == "mean":
            return tuple(Fraction(t) / n for t in total)
        if self.aggregation == "cpm":
            return tuple(Fraction(t) / of_all for t in total) if of_all else None
        return total

    def independent(self, x, y, given):
        """Whether pooled x and y are independent given pooled others."""
        n_genes, of = len(self.genes), [self.genes.index(g) for g in (x, y, *given)]
        law = defaultdict(Fraction)
        for cell, p in self.cells.items():
            law[(*(cell[i] for i in of), sum(cell[:n_genes]))] += p
        table = defaultdict(Fraction)
        for n, share in self.numbers.items():
            for total, p in self.pooled(law, n).items():
                key = self.shown(total[:-1], n, total[-1])
                if key is not None:
                    table[key] += share * p
        groups = defaultdict(dict)
        for (a, b, *rest), p in table.items():
            groups[tuple(rest)][a, b] = p
        return all(factorises(group) for group in groups.values())

    def has_form(self, gene):
        """Whether one function gives the pooled gene: of parents and noise, or in law for a kernel."""
        parents = self.parents(gene)
        if isinstance(self.how[gene][0], str) and self.how[gene][0] in ("binomial", "bernoulli"):
            return self.aggregation != "cpm" and self.law_form(gene, parents)
        n_genes, place = len(self.genes), self.genes.index(gene)
        of = [*(self.genes.index(p) for p in parents), n_genes + place]
        rows = {(*(c[i] or 0 for i in of), c[place], sum(c[:n_genes])) for c in self.cells}
        seen = {}
        for n in self.numbers:
            for total in self.pooled(dict.fromkeys(rows, Fraction(1)), n):
                key = self.shown(total[:-1], n, total[-1])
                if key is not None and seen.setdefault(key[:-1], key[-1]) != key[-1]:
                    return False
        return True

    def law_form(self, gene, parents):
        """Whether the law of the pooled gene, given its parents' cells, depends on their sums alone."""
        of = [self.genes.index(p) for p in parents]
        states = {tuple(c[i] for i in of) for c in self.cells}
        laws = {
            s: {
                (v,): p
                for v, _, p in outcomes(self.how[gene], dict(zip(parents, map(Fraction, s), strict=True)))
                if p
            }
            for s in states
        }
        seen = {}
        for n in self.numbers:
            if len(states) ** n > 4_000:
                raise OverflowError
            for pool in product(states, repeat=n):
                law = {(Fraction(0),): Fraction(1)}
                for i, state in enumerate(pool):
                    weight = self.weights[i] if self.weights else 1
                    grown = defaultdict(Fraction)
                    for (t,), p in law.items():
                        for (v,), q in laws[state].items():
                            grown[(t + weight * v,)] += p * q
                    law = grown
                sums = tuple(
                    sum((self.weights[i] if self.weights else 1) * s[j] for i, s in enumerate(pool))
                    for j in range(len(of))
                )
                key = self.shown(sums, n, 1)
                shown = frozenset((self.shown(t, n, 1), p) for t, p in law.items())
                if seen.setdefault(key, shown) != shown:
                    return False
        return True

    def parents(self, gene):
        text = (
            " ".join(self.spec[gene].values())
            if "noise" not in self.spec[gene]
            else self.spec[gene].get("equation", "")
        )
        return [
            g for g in self.genes if g in text and g != gene and self.genes.index(g) < self.genes.index(gene)
        ]


def outcomes(how, values):
    """Value, noise and probability of a gene given its parents."""
    kind, rest = how
    if kind == "binomial":
        from math import comb

        n = int(values[rest])
        return [(v, None, Fraction(comb(n, v), 2**n)) for v in range(n + 1)]
    if kind == "bernoulli":
        p = Fraction(eval(rest, WORDS, values))  # text that this file made
        return [(1, None, p), (0, None, 1 - p)]
    if kind is None:
        return [(v, v, p) for v, p in rest.items()]
    return [(eval(kind, WORDS, {**values, "N": n}), n, p) for n, p in rest.items()]


def factorises(group):
    xs, ys = defaultdict(Fraction), defaultdict(Fraction)
    for (a, b), p in group.items():
        xs[a] += p
        ys[b] += p
    total = sum(group.values())
    return all(group.get((a, b), 0) * total == pa * pb for a, pa in xs.items() for b, pb in ys.items())


def compared(seed):
    """Right, wrong and undecided statements on one random model, and the wrong ones in words."""
    model = Finite(seed)
    try:
        found = check(model.content, monte_carlo=False).summary
    except InputError:  # shares of a gene that might be negative, as far as ranges show
        return {"right": 0, "undecided": 0}, []
    counts, wrong = {"right": 0, "undecided": 0}, []
    rows = [(r["ffc"], r["quantifier"], r, None) for r in found["mechanisms"] if r["parents"]]
    rows += [(r["cic"], r["quantifier"], r, r["y"]) for r in found["separations"]]
    for answer, scope, row, other in rows:
        if answer == "undecided" or scope == "limit":
            counts["undecided"] += 1
            continue
        try:
            truth = (
                model.has_form(row["gene"])
                if other is None
                else model.independent(row["x"], other, row["given"])
            )
        except OverflowError:
            continue
        if truth == (answer == "holds"):
            counts["right"] += 1
        else:
            wrong.append((seed, model.content, {k: v for k, v in row.items() if k != "witness"}))
    return counts, wrong


@pytest.mark.calibration
def test_random_finite_models__no_statement_is_wrong():
    right = undecided = 0
    for seed in range(N_FINITE):
        counts, wrong = compared(seed)
        assert not wrong, wrong
        right, undecided = right + counts["right"], undecided + counts["undecided"]
    assert right > 2 * N_FINITE
    assert undecided <= 0.2 * (right + undecided)
