"""The corrected test by compiled loops: the answers of the one that numpy does."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from helpers import needed

import poolproof
from poolproof.pairs import Linearity, count_engine, make_design, quick_counts, screening
from poolproof.pairs.count_engine import CountTest
from poolproof.pairs.count_kernels import CountDepth, count_features

needed("numba")

N, M = 1200, 40
OPTIONS = {"one level": {}, "strata": {"covariates": ["batch"]}}
OPTIONS["levels"] = OPTIONS["strata"] | {"within": ["level"]}
APART = ~np.eye(M, dtype=bool)


def counted(seed: int, n: int = N, m: int = M) -> tuple[np.ndarray, np.ndarray]:
    """Counts of genes along lines, along squares, alone, and in bursts, and size factors that are known."""
    rng = np.random.default_rng(seed)
    cause = rng.gamma(2.0, 0.5, (n, 1))
    kind = np.arange(m) % 4
    noise = rng.gamma(2.0, 0.5, (n, m))
    bursts = 10 * (rng.random((n, m)) < 0.1)
    level = np.choose(kind, [0.4 + 0.6 * cause * noise, cause**2, noise, bursts])
    mean = rng.lognormal(1.0, 1.0, m)
    mean[-1] = 0.02
    size = rng.gamma(4.0, 0.25, n) + 0.2
    return rng.poisson(mean * size[:, None] * level).astype(float), size


def labels(n: int = N) -> pd.DataFrame:
    return pd.DataFrame({"level": np.arange(n) % 2, "batch": np.arange(n) % 6}).astype(str)


@pytest.fixture(params=OPTIONS)
def engine(request: pytest.FixtureRequest) -> CountTest:
    counts, size = counted(1)
    design = make_design(labels(), categorical_only=True, min_per_stratum=20, **OPTIONS[request.param])
    return CountTest(counts, size, True, design, agree_below=0.1, bound_p=0.05)


@pytest.mark.parametrize("many", [0.0, 1.0])
def test_outcomes__are_those_of_numpy(
    engine: CountTest, many: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the rounding of float32, whether bounds are multiplied for all pairs or one by one."""
    monkeypatch.setattr(quick_counts, "MANY", many)
    block = engine.features(np.arange(M)).astype(np.float32)
    found = []
    for quick in (False, True):
        engine.quick = quick
        found.append(engine.outcome(block, slice(None), np.float32, exact=False, bound_from=0.02))
    numpy, loops = found
    sure = APART & ~numpy.doubt & ~loops.doubt
    assert sure.mean() > 0.8
    assert (numpy.doubt & ~loops.doubt).sum() <= 0.002 * M * M  # those next to the limit of doubt
    assert np.array_equal(numpy.tested, loops.tested)
    for name in ("r2_linear", "gain", "share_upper", "statistic"):
        of = [np.where(sure, getattr(outcome, name), 0.0) for outcome in found]
        np.testing.assert_allclose(*of, rtol=2e-3, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(
        *(np.where(sure, outcome.association.laws[1].value, 0) for outcome in found), rtol=1e-3, atol=1e-4
    )
    assert 10 < (loops.share_upper < 1).sum() < M * M / 2


def test_bursty_targets__are_guarded(engine: CountTest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the guard statistics are larger: the loops guard as numpy does."""
    block = engine.features(np.arange(M)).astype(np.float32)
    engine.quick = True
    guarded = engine.outcome(block, slice(None), np.float32, exact=False)
    monkeypatch.setattr(count_engine, "SIGNIFICANT", np.inf)
    plain = engine.outcome(block, slice(None), np.float32, exact=False)
    lower = guarded.statistic < 0.99 * plain.statistic
    assert lower.sum() >= 8
    assert (guarded.statistic <= plain.statistic).all()


@pytest.mark.parametrize("option", [*OPTIONS, "replicates"])
@pytest.mark.parametrize("known", [False, True])
def test_columns__are_those_of_numpy(option: str, known: bool) -> None:
    counts, _ = counted(2)
    given = OPTIONS.get(option, {"replicate": "batch"})
    design = make_design(labels(), categorical_only=True, min_per_stratum=20, **given)
    total = np.random.default_rng(3).poisson(900, N).astype(float)
    for level in design.levels:
        x, depth = np.ascontiguousarray(counts[level.rows].T), CountDepth(total[level.rows], known)
        numpy = count_features(x, depth, level, overdispersion=0.02)
        loops = quick_counts.quick_features(x, depth, level, overdispersion=0.02)
        for name, values in vars(numpy).items():
            unit = np.abs(numpy.with_y).max() if name.startswith("d") else 1.0
            np.testing.assert_allclose(
                getattr(loops, name), values, rtol=1e-7, atol=1e-9 * unit, err_msg=name
            )


def screened(data: object, monkeypatch: pytest.MonkeyPatch, **options: object) -> list[Linearity]:
    """The same screen in float32 by numpy and by compiled loops."""
    monkeypatch.setattr(screening, "SMALL", 0)
    found = []
    for least in (np.inf, 0):
        monkeypatch.setattr(count_engine, "COMPILED_FROM", least)
        found.append(
            poolproof.linearity(data, test="corrected", population=False, control=False, threads=1, **options)
        )
    return found


def same(numpy: Linearity, loops: Linearity, least: int) -> None:
    """Every call the same, and numbers within the rounding of float32."""
    keys = ["regulator", "target"]
    first, second = (of.table.set_index(keys).sort_index() for of in (numpy, loops))
    assert len(first) >= least
    p = ["p_value", "q_value"]
    pd.testing.assert_frame_equal(first.drop(columns=p), second.drop(columns=p), rtol=5e-3, atol=1e-6)
    pd.testing.assert_frame_equal(first[p], second[p], rtol=0.03)
    assert (first["call"] == second["call"]).all()
    counts = [name for name in numpy.summary if name.startswith("n_")]
    assert {n: numpy.summary[n] for n in counts} == {n: loops.summary[n] for n in counts}


@pytest.mark.parametrize("option", OPTIONS)
def test_calls__are_those_of_numpy(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counts, _ = counted(4, m=120)
    total = 3000 - counts.sum(axis=1)
    table = pd.DataFrame(np.column_stack([counts, np.maximum(total, 0)]), index=labels().index.astype(str))
    table.columns = [f"g{j}" for j in range(121)]
    data = ad.AnnData(table, obs=labels().rename(index=str))
    same(*screened(data, monkeypatch, kind="single-cell", scale="counts", **OPTIONS[option]), 100)


def test_calls__of_a_real_set_with_levels__are_those_of_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    same(*screened(poolproof.load_dataset("sc_mixology_10x_3lines"), monkeypatch, within="cell_line"), 100)
