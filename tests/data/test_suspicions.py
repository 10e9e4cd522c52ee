"""What values look like that no control can see."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from poolproof import describe
from poolproof.data.suspicions import closure, reads_for_molecules, suspicions_of

NAMES = np.array([f"g{i}" for i in range(50)])


def test_reads__molecules_pass_and_reads_are_flagged():
    rng = np.random.default_rng(0)
    molecules = rng.poisson(rng.gamma(1.0, 0.1, (800, 60)))
    assert reads_for_molecules(molecules) == []
    assert "0% of the positive counts" in reads_for_molecules(10 * molecules)[0]
    assert "hardly occur" in reads_for_molecules(10 * molecules)[0]
    reads = rng.poisson(10.0 * molecules)
    assert len(reads_for_molecules(reads)) == 1
    assert reads_for_molecules(sp.csr_matrix(reads)) == reads_for_molecules(reads)


def test_reads__too_few_values_say_nothing():
    assert reads_for_molecules(10 * np.random.default_rng(0).poisson(0.1, (20, 20))) == []


@pytest.mark.parametrize("sparse", [False, True])
def test_closure__one_gene_or_one_programme(sparse):
    rng = np.random.default_rng(1)

    def said(values):
        return closure(sp.csr_matrix(values) if sparse else values, NAMES)

    plain = rng.gamma(20.0, size=(300, 50))
    assert said(plain) == []
    one = plain.copy()
    one[:, 3] += 700 * rng.gamma(2.0, size=300)
    assert said(one)[0].startswith("g3 holds between")
    many = plain.copy()
    many[:, :12] *= 3 * rng.gamma(2.0, size=(300, 1))
    assert said(many)[0].startswith("a programme of 12 genes")


def test_suspicions__amounts_only_where_they_are_shares():
    rng = np.random.default_rng(2)
    values = rng.gamma(20.0, size=(300, 50))
    values[:, 3] += 700 * rng.gamma(2.0, size=300)
    assert suspicions_of(values, NAMES, "additive", None) == []
    shares = 1e6 * values / values.sum(axis=1, keepdims=True)
    assert len(suspicions_of(shares, NAMES, "additive", None)) == 1
    assert suspicions_of(np.log1p(shares), NAMES, "log", None) == []


def test_logs_rounded_to_whole_numbers__are_doubted_and_counts_are_not():
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(5.0, np.geomspace(1.0, 4e3, 40), (80, 40))).astype(float)
    columns = [f"GENE{i}" for i in range(40)]
    said = "logs rounded to whole numbers"

    def notes(values):
        table = pd.DataFrame(values, index=[f"s{i}" for i in range(80)], columns=columns)
        return " ".join(describe(table, kind="bulk").warnings)

    assert said not in notes(counts)
    assert said in notes(np.round(np.log2(counts + 1)))
    assert said not in notes(rng.poisson(8.0, (80, 40)).astype(float)), "the least that counts vary"
