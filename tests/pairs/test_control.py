"""The split-count control: seeds, order, what is tested, what passes, and that it is a null."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy import stats

from poolproof.pairs import Design, SplitControl, make_design, split_control
from poolproof.pairs.control import LARGEST_SIZE
from poolproof.pairs.count_engine import CountTest
from poolproof.pairs.intervals import share_of

N, M = 500, 20
NAMES = np.array([f"gene{i}" for i in range(M)], dtype=object)
NO_SHARE = share_of(0, np.zeros(2), np.zeros(3), 0)


def design_of(obs: pd.DataFrame, **options: object) -> Design:
    return make_design(obs, categorical_only=True, min_per_stratum=20, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def counts() -> np.ndarray:
    rng = np.random.default_rng(0)
    modes = np.where(rng.random((N, M)) < 0.5, 0.2, 1.8) * rng.gamma(25.0, 1 / 25, (N, M))
    return rng.poisson(8 * rng.gamma(4.0, 0.25, (N, 1)) * modes).astype(float)


@pytest.fixture(scope="module")
def total(counts: np.ndarray) -> np.ndarray:
    return counts.sum(axis=1) + 2000


def run(
    counts: np.ndarray, total: np.ndarray, names: np.ndarray = NAMES, *, seed: int = 0, **options: object
) -> SplitControl | None:
    design = options.pop("design", None) or design_of(pd.DataFrame(index=range(len(total))))
    known = bool(options.pop("known", False))
    overdispersion = options.pop("overdispersion", 0.0)
    engine = CountTest(counts, total, known, design, overdispersion=overdispersion)  # type: ignore[arg-type]
    return split_control(engine, total, names, design, seed, **options)  # type: ignore[arg-type]


def test_is_fixed_by_the_seed(counts: np.ndarray, total: np.ndarray) -> None:
    first, again, other = (run(counts, total, seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert first != other
    assert first is not None
    assert first.n_pairs == 10 * M  # few genes: split ten times
    assert first.n_genes == M


@pytest.mark.parametrize("max_genes", [2000, 12])
def test_depends_neither_on_gene_order_nor_on_storage(
    counts: np.ndarray, total: np.ndarray, max_genes: int
) -> None:
    order = np.random.default_rng(1).permutation(M)
    plain = run(counts, total, max_genes=max_genes)
    assert plain is not None
    assert plain.n_genes == min(M, max_genes)
    for again in (
        run(counts[:, order], total, NAMES[order], max_genes=max_genes),
        run(sp.csc_matrix(counts), total, max_genes=max_genes),
        run(counts, total, max_genes=max_genes, threads=2),
    ):
        assert again is not None
        found, expected = again.as_dict(), plain.as_dict()
        # Sums over pairs in another order round differently.
        assert found.pop("bend_share") == pytest.approx(expected.pop("bend_share"), abs=1e-12)
        assert found == expected


def test_rejects_at_its_level_where_the_naive_test_always_does(counts: np.ndarray, total: np.ndarray) -> None:
    for known in (False, True):
        control = run(counts, total / (1 if not known else total.mean()), known=known)
        assert control is not None
        assert control.rejected <= stats.binom.ppf(0.999, control.n_pairs, LARGEST_SIZE) / control.n_pairs
        assert control.rejected_naive > 0.5
        assert control.passed


def test_is_a_null_whatever_overdispersion_is_assumed(counts: np.ndarray, total: np.ndarray) -> None:
    """Both halves share a gene's technical noise, so none of it is to be taken out of one of them."""
    assert run(counts, total, overdispersion=0.2) == run(counts, total)


def test_follows_levels_strata_and_replicates(counts: np.ndarray, total: np.ndarray) -> None:
    obs = pd.DataFrame({"type": np.repeat(["a", "b"], N // 2), "donor": [f"d{i % 12:02d}" for i in range(N)]})
    found = {
        name: run(counts, total, design=design_of(obs, **options))
        for name, options in {
            "within": {"within": ["type"]},
            "strata": {"covariates": ["type"]},
            "replicate": {"replicate": "donor"},
        }.items()
    }
    for name, control in found.items():
        assert control is not None, name
        assert control.rejected <= stats.binom.ppf(0.999, control.n_pairs, 0.10) / control.n_pairs, name
    assert len(set(found.values())) == len(found)


def test_is_none_where_nothing_can_be_tested() -> None:
    rng = np.random.default_rng(2)
    sparse = rng.poisson(0.05, (N, M)).astype(float)
    assert run(sparse, np.full(N, 1000.0)) is None
    # testable as they are, not after the split
    scarce = np.zeros((N, M))
    scarce[:60] = 1.0
    scarce[:11] = 3.0
    engine = CountTest(scarce, np.full(N, 1000.0), False, design_of(pd.DataFrame(index=range(N))))
    assert set(engine.regulator_status) == {"ok"}
    assert run(scarce, np.full(N, 1000.0)) is None


def test_passes_up_to_the_band_of_the_allowed_size() -> None:
    """At most the 97.5 % quantile of Binomial(genes, 9 %): 54 of 463, say."""
    most = int(stats.binom.ppf(0.975, 463, LARGEST_SIZE))
    assert SplitControl(1000, most / 463, 0.9, 0.05, 463, NO_SHARE).passed
    assert not SplitControl(1000, (most + 1) / 463, 0.9, 0.05, 463, NO_SHARE).passed
    assert SplitControl(10, 0.2, 0.2, 0.05, 10, NO_SHARE).passed  # 2 of 10 genes say little
    assert not SplitControl(10000, 0.11, 0.9, 0.05, 10000, NO_SHARE).passed
    assert SplitControl(10000, 0.0, 0.0, 0.05, 10000, NO_SHARE).passed


def test_entry_of_the_verdict_file() -> None:
    entry = SplitControl(1000, 0.06, 0.4, 0.05, 500, NO_SHARE).as_dict()
    nothing = dict.fromkeys(("estimate", "low", "high"))
    assert entry == {
        "n_pairs": 1000, "rejected": 0.06, "rejected_naive": 0.4, "level": 0.05, "bend_share": nothing,
    }  # fmt: skip
