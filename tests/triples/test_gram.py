"""All triples by Gram matrices: against sums over explicit triples, laws, and closed forms."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest

import poolproof
from poolproof import _names as names
from poolproof._checks import InputError
from poolproof._random import stream
from poolproof.basis import conditioning_bases
from poolproof.pairs.design import make_design
from poolproof.triples import pooling_distortion, score_gram
from poolproof.triples.distortion import mean_square
from poolproof.triples.folds import bases_of, content_rank, draw_folds, folds_of
from poolproof.triples.gram import TILE, four_folds, powers_of_two, same_end
from poolproof.triples.score_gram import ScoreGram


def world(n, n_genes, rng, *, bent=True):
    """A gamma regulator, its children, and a hidden common cause whose effect grows with the regulator."""
    y = rng.gamma(2.0, 1.0, n)
    curves = [np.tanh(y), y**2 / 5, np.sqrt(y), np.exp(-y)] if bent else [y]
    hidden = rng.normal(size=n) * (0.3 + 0.3 * y)
    children = [
        curves[g % len(curves)] * (0.4 + 0.02 * g) + 0.4 * hidden + rng.normal(size=n) * (0.2 + 0.2 * y)
        for g in range(n_genes - 1)
    ]
    return pd.DataFrame(np.column_stack([y, *children]), columns=[f"g{g:02}" for g in range(n_genes)])


def run(data, **options):
    return pooling_distortion(data, **({"kind": "bulk", "scale": "additive", "dtype": np.float64} | options))


# --- sums over explicit triples ---------------------------------------------------------------------------


def explicit(values, levels, folds):
    """The four sums for middle gene 0: all pairs of ends, all ways to choose folds, projections written out.

    ``levels`` are arrays of rows; ``folds`` the fold of each of their rows.
    """
    n_folds = max(of.max() for of in folds) + 1
    x = np.zeros_like(values)
    for rows in levels:
        x[rows] = values[rows] - values[rows].mean(axis=0)
    x /= np.sqrt((x**2).sum(axis=0))
    n_ends = x.shape[1] - 1
    slopes, known = [], []
    line = np.zeros((n_folds, n_ends))
    covariance = np.zeros((n_folds, n_ends, n_ends))
    line_df = 0
    for rows, of in zip(levels, folds, strict=True):
        q = conditioning_bases(values[rows, :1])[0][0].T
        here, squares = np.zeros((n_folds, 4, n_ends)), np.zeros((n_folds, 4, 4))
        for fold in range(n_folds):
            mine = of == fold
            ends = x[rows][mine, 1:]
            straight = np.column_stack([np.ones(mine.sum()), q[mine, 0]])
            bends = q[mine, 1:] - straight @ np.linalg.pinv(straight) @ q[mine, 1:]
            here[fold], squares[fold] = bends.T @ ends, bends.T @ bends
            line[fold] += ((ends - straight @ np.linalg.pinv(straight) @ ends) ** 2).sum(axis=0)
            whole = np.column_stack([np.ones(mine.sum()), q[mine]])
            rest = ends - whole @ np.linalg.pinv(whole) @ ends
            covariance[fold] += rest.T @ rest
            line_df += mine.sum() - 2
        scale = 4 / np.trace(squares.sum(axis=0))
        slopes.append(scale * here)
        known.append(scale * squares)
    s = np.concatenate(slopes, axis=1)
    found = 0.0
    for way in permutations(range(n_folds), 4):
        for of in known:  # an end that lies on one of the bends, for each of them
            a, b, c, d = (of[fold] for fold in way)
            found += ((a * b).sum(axis=0) * (c * d).sum(axis=0)).sum() / (4 * len(levels))
    apart = 1 - np.eye(n_ends)
    variance = line.sum(axis=0) * (sum(len(rows) for rows in levels) - 2 * len(levels)) / line_df
    moved = sum(
        (apart * (s[a].T @ s[b]) * (s[c].T @ s[d])).sum() for a, b, c, d in permutations(range(n_folds), 4)
    )
    two = list(permutations(range(n_folds), 2))
    partial = sum((apart * covariance[a] * covariance[b]).sum() for a, b in two)
    curve = sum((apart * np.outer(np.diag(covariance[a]), np.diag(covariance[b]))).sum() for a, b in two)
    return moved / found, (apart * np.outer(variance, variance)).sum(), partial, curve


def test_gram__equals_the_sum_over_explicit_triples(monkeypatch):
    """60 genes in float64, to 1e-10: the sum over 3,422 pairs of ends with the first gene in the middle."""
    data = world(200, 60, stream(1, "explicit")).to_numpy()
    monkeypatch.setattr(score_gram, "COARSE", 0)
    monkeypatch.setattr("poolproof.triples.folds.MOST_FOLDS", 5)
    design = make_design(pd.DataFrame(index=range(len(data))))
    rank = content_rank(data, design)
    fold = draw_folds(design, rank, 0)[0]
    sums, status = ScoreGram(data, None, design, dtype=np.float64).sums(np.array([0]))
    found = [float(of[0, 0]) for of in (sums.moved, sums.line, sums.partial, sums.curve)]
    assert status.tolist() == ["ok"]
    assert found == pytest.approx(explicit(data, [np.arange(len(data))], [fold]), rel=1e-10)


def test_gram__levels_each_have_their_own_line_and_bends(monkeypatch):
    data = world(120, 8, stream(2, "levels")).to_numpy()
    data[70:, 3] += 5
    monkeypatch.setattr(score_gram, "COARSE", 0)
    monkeypatch.setattr("poolproof.triples.folds.MOST_FOLDS", 4)
    obs = pd.DataFrame({"kind": ["a"] * 60 + ["b"] * 60})
    design = make_design(obs, within=["kind"])
    fold = draw_folds(design, content_rank(data, design), 0)[0]
    sums, _ = ScoreGram(data, None, design, dtype=np.float64).sums(np.array([0]))
    found = [float(of[0, 0]) for of in (sums.moved, sums.line, sums.partial, sums.curve)]
    levels = [level.rows for level in design.levels]
    assert found == pytest.approx(explicit(data, levels, [fold[:60], fold[60:]]), rel=1e-10)


def test_gram__without_a_fold_is_the_sum_over_the_others(monkeypatch):
    data = world(160, 9, stream(3, "left out")).to_numpy()
    monkeypatch.setattr(score_gram, "COARSE", 0)
    design = make_design(pd.DataFrame(index=range(len(data))))
    gram = ScoreGram(data, None, design, dtype=np.float64)
    sums, _ = gram.sums(np.array([0]))
    ends, middle = gram._ends, np.array([0])
    q = conditioning_bases(data[:, :1])[0]
    bases = bases_of([q], ends.folds)
    s = np.stack(
        [
            np.einsum("jm,mn,nx->jx", bases.bends[0, fold, 0], columns[0][0, 1:], ends.tile(0)[rows])
            for fold, (columns, rows) in enumerate(zip(bases.columns, ends.folds.rows, strict=True))
        ]
    )[:, :, 1:]
    for fold in range(8):
        rest = np.delete(s, fold, axis=0)
        total = 0.0
        for way in permutations(range(7), 4):
            a, b, c, d = (rest[of] for of in way)
            total += (
                np.einsum("jx,jz,lx,lz->", a, b, c, d) - ((a * b).sum(axis=0) * (c * d).sum(axis=0)).sum()
            )
        known = np.delete(bases.known[0], fold, axis=0)
        found = sum(
            ((known[a] * known[b]).sum(axis=0) * (known[c] * known[d]).sum(axis=0)).sum() / 4
            for a, b, c, d in permutations(range(7), 4)
        )
        assert sums.moved[0, 1 + fold] == pytest.approx(total / found, rel=1e-9)
    assert middle[0] == 0


def test_four_folds_and_same_end__against_all_ways_to_choose():
    s = stream(4, "folds").normal(size=(2, 6, 3, 5))
    gram = np.einsum("yajx,yclx->yacjl", s, s)
    for y in range(2):
        every, same = np.zeros(7), np.zeros(7)
        for way in permutations(range(6), 4):
            a, b, c, d = (s[y, of] for of in way)
            both = np.einsum("jx,jz,lx,lz->xz", a, b, c, d)
            without = [0, *(1 + fold for fold in range(6) if fold not in way)]
            every[without] += both.sum()
            same[without] += np.trace(both)
        assert four_folds(gram)[y] == pytest.approx(every)
        assert same_end(s)[y] == pytest.approx(same)


# --- laws ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data():
    return world(300, 12, stream(5, "laws"))


@pytest.fixture(scope="module")
def result(data):
    return run(data)


def assert_near(one, other, tolerance=1e-9):
    left, right = (of.table.set_index("gene").sort_index() for of in (one, other))
    pd.testing.assert_frame_equal(left, right, rtol=tolerance, atol=tolerance)
    for name in ("rms_distortion", "rms_partial"):
        assert one.summary[name] == pytest.approx(other.summary[name], rel=tolerance)


def test_laws__order_units_threads_blocks_and_memory(data, result, monkeypatch):
    rng = stream(6, "orders")
    scale, shift = rng.lognormal(0, 2, 12), rng.uniform(0, 50, 12)
    assert_near(run(data.iloc[:, rng.permutation(12)]), result)
    assert_near(run(data.iloc[rng.permutation(300)]), result)
    assert_near(run(data * scale + shift), result, 1e-6)
    assert_near(run(data, threads=2), result, 0)
    assert_near(run(data, memory=1.0), result)
    for name, of in (("BLOCK", "poolproof.triples.distortion"), ("TILE", "poolproof.triples.score_gram")):
        monkeypatch.setattr(f"{of}.{name}", 5)
    assert_near(run(data), result)


def test_laws__some_middle_genes_alone(data, result):
    part = run(data, middle=["g07", "g00"])
    assert set(part.table["gene"]) == {"g00", "g07"}
    pd.testing.assert_frame_equal(
        part.table.set_index("gene").loc[["g00", "g07"]],
        result.table.set_index("gene").loc[["g00", "g07"]],
        rtol=1e-9,
    )
    assert part.summary["n_triples"] == 2 * 55


def test_same_end__slopes_of_any_size_in_a_fold():
    """A fold's size taken out changes nothing, also where fourth powers do not fit into float32."""
    s = stream(21, "sizes").normal(size=(3, 5, 2, 40)) * 10.0 ** np.array([0, 3, -4, 1, 2])[:, None, None]
    size = powers_of_two(s)
    assert (np.log2(size) == np.ceil(np.log2(size))).all()
    assert same_end(s / size[:, :, None, None], size) == pytest.approx(same_end(s), rel=1e-12)
    ones = np.ones((1, 4, 1, 3), dtype=np.float32)
    assert same_end(ones, np.full((1, 4), 2.0**40)) == pytest.approx(same_end(ones) * 2.0**160)


def test_bases__what_rounding_leaves_in_a_cell_is_no_bend():
    """On in two samples of different folds: inside each a line has it all, and elsewhere it is constant."""
    rng = stream(22, "rare")
    for _ in range(20):
        y = np.zeros((60, 1))
        y[[3, 17]] = rng.gamma(1.0, 1.0, (2, 1))
        folds = folds_of(np.arange(60) % 5, np.array([0]), np.arange(60))
        bases = bases_of([conditioning_bases(y + 0.1)[0]], folds)
        assert bases.n_bends.sum() > 0
        assert not bases.bends.any()


def test_laws__float32_is_near_float64(result, data, monkeypatch):
    monkeypatch.setattr("poolproof.triples.distortion.SMALL", 0)
    assert_near(run(data, dtype=np.float32), result, 1e-3)


def test_laws__another_seed_cuts_other_folds(data, result):
    other = run(data, seed=1).summary
    assert other["rms_distortion"] != result.summary["rms_distortion"]
    assert other["rms_distortion"]["estimate"] == pytest.approx(
        result.summary["rms_distortion"]["estimate"], rel=0.2
    )


def test_laws__copies_and_constants_are_harmless(data, result):
    """A copy of the middle gene has nothing left, so its triples weigh nothing; a constant is no end."""
    more = run(data.assign(copy=data["g00"] * 2 + 1, constant=3.0), middle=["g00"])
    alone = result.table.set_index("gene").loc["g00"]
    found = more.table.set_index("gene").loc["g00"]
    assert found["rms_distortion"] == pytest.approx(alone["rms_distortion"], rel=0.2)
    assert found["n_triples"] == 12 * 11 // 2


def test_tiles__many_ends(monkeypatch):
    """More ends than a tile holds."""
    data = world(100, 30, stream(7, "tiles"))
    whole = run(data)
    assert TILE > 30
    monkeypatch.setattr("poolproof.triples.score_gram.TILE", 7)
    assert_near(run(data), whole)


# --- known answers ---------------------------------------------------------------------------------------


def fork(n, rng):
    """The fork of method 4."""
    y = rng.gamma(2.0, 1.0, n)
    return pd.DataFrame(
        {"X": np.tanh(y) + 0.15 * rng.normal(size=n), "Y": y, "Z": y**2 / 5 + 0.2 * rng.normal(size=n)}
    )


def test_fork__tends_to_its_closed_form():
    """Linear partial correlation -.507 of two genes that are independent given a curve (method 4)."""
    y = stream(8, "fork limit").gamma(2.0, 1.0, 400_000)
    x, z = np.tanh(y), y**2 / 5
    cov = np.cov([x, z, y])
    left = cov[:2, :2] - np.outer(cov[:2, 2], cov[:2, 2]) / cov[2, 2]
    limit = abs(left[0, 1]) / np.sqrt((left[0, 0] + 0.15**2) * (left[1, 1] + 0.2**2))
    assert limit == pytest.approx(0.507, abs=0.005)
    found = run(fork(20_000, stream(9, "fork")), middle=["Y"]).table.iloc[0]
    assert found["rms_distortion"] == pytest.approx(limit, abs=0.02)
    assert found["rms_distortion_low"] < limit < found["rms_distortion_high"]
    assert found["rms_partial"] < 0.02


def test_more_samples_than_residual_covariances_take(monkeypatch):
    """Residual covariances of a part of the samples say the same, within their interval."""
    data = world(1500, 10, stream(10, "many"))
    whole = run(data)
    monkeypatch.setattr(score_gram, "MOST_SAMPLES", 600)
    part = run(data)
    assert part.summary["rms_distortion"] == pytest.approx(whole.summary["rms_distortion"])
    assert part.summary["rms_partial"]["estimate"] == pytest.approx(
        whole.summary["rms_partial"]["estimate"], abs=0.05
    )
    assert part.summary["rms_partial"] != whole.summary["rms_partial"]


def test_missing_values__leave_out_the_sample_where_they_are_in_the_middle():
    """A sample without the middle gene counts as little as if it were not there."""
    data = world(400, 8, stream(11, "missing"))
    holes = data.copy()
    gone = np.flatnonzero(stream(12, "holes").random(400) < 0.05)
    holes.iloc[gone, 0] = np.nan
    found = run(holes, middle=["g00"]).table.iloc[0]
    without = run(data.drop(index=data.index[gone]), middle=["g00"]).table.iloc[0]
    assert found["rms_partial"] == pytest.approx(without["rms_partial"], abs=0.03)
    assert found["rms_distortion"] == pytest.approx(without["rms_distortion"], abs=0.03)


# --- folds -----------------------------------------------------------------------------------------------


def test_folds__of_whole_replicates():
    obs = pd.DataFrame({"donor": [f"d{i % 11}" for i in range(300)], "type": ["a", "b", "c"] * 100})
    design = make_design(obs, within=["type"], replicate="donor")
    codes, used = draw_folds(design, np.arange(300), 0)
    assert used.all()
    donors = np.concatenate([obs["donor"].to_numpy()[level.rows] for level in design.levels])
    assert all(len(set(codes[donors == donor])) == 1 for donor in set(donors))
    sizes = np.bincount(codes)
    assert len(sizes) == 8
    assert sizes.max() <= 2 * sizes.min()


@pytest.mark.parametrize(
    ("obs", "options", "status"),
    [
        (pd.DataFrame({"d": [f"d{i % 3}" for i in range(90)]}), {"replicate": "d"}, "too_few_replicates"),
        (pd.DataFrame({"l": [f"l{i % 6}" for i in range(90)]}), {"within": "l"}, "too_few_samples"),
    ],
)
def test_folds__too_few(obs, options, status):
    data = world(90, 5, stream(13, "few"))
    found = run(data, obs=obs.set_index(data.index), **options)
    assert (found.table["status"] == status).all()
    assert found.summary["rms_distortion"]["estimate"] is None
    assert "not measured" in found.sentence


def test_folds__small_levels_are_left_out_with_a_note():
    data = world(130, 6, stream(14, "small"))
    obs = pd.DataFrame({"l": ["a"] * 115 + ["b"] * 15}, index=data.index)
    found = run(data, obs=obs, within="l")
    assert found.summary["n_samples"] == 115
    assert any("15 samples" in said for said in found.warnings)
    assert found.summary["n_folds"] == 8


def test_folds__four_give_no_interval_of_the_distortion():
    found = run(world(22, 5, stream(15, "four"))).summary
    assert found["n_folds"] == 4
    assert found["rms_distortion"]["low"] is None


def test_folds_of__coarse_joins_two():
    folds = folds_of(np.arange(40) % 8, np.array([0]), np.arange(40))
    assert [rows.stop - rows.start for rows in folds.coarse().rows] == [10] * 4


# --- what it says ----------------------------------------------------------------------------------------


def test_result__columns_and_sentence(result):
    assert list(result.table.columns) == [column.name for column in names.DISTORTION_COLUMNS]
    assert "further pooling moves partial correlations by" in result.sentence
    assert "660 triples" in str(result)
    assert result.summary["n_triples"] == 12 * 55
    assert "<table" in result._repr_html_()
    low, value, high = (result.table[f"rms_distortion{end}"] for end in ("_low", "", "_high"))
    assert ((low <= value) & (value <= high)).all()


def test_audit__has_the_distortion_and_its_file(tmp_path):
    data = world(60, 5, stream(20, "audit"))
    audit = poolproof.audit(data, kind="bulk", scale="additive")
    entry = audit.summary["triples"]["distortion"]
    assert entry == audit.triples.distortion.summary
    assert audit.triples.distortion.sentence in str(audit)
    audit.save(tmp_path / "audit")
    written = pd.read_parquet(tmp_path / "audit" / "distortion.parquet")
    assert list(written["gene"]) == list(data.columns)


def test_screen__names_of_middle_genes_hold_for_the_distortion_too(data):
    found = poolproof.screen_triples(data, kind="bulk", scale="additive", middle=["g03"])
    assert found.distortion.table["gene"].tolist() == ["g03"]
    listed = poolproof.screen_triples(data, kind="bulk", scale="additive", triples=[("g01", "g00", "g02")])
    assert listed.distortion is None
    assert listed.summary["distortion"] is None


def test_binary_genes_have_no_bends():
    data = world(100, 5, stream(16, "binary")).assign(on=np.arange(100) % 2 * 1.0)
    status = run(data).table.set_index("gene")["status"]
    assert status["on"] == "too_few_levels"
    assert status["g00"] == "ok"


def test_refusals():
    data = world(60, 4, stream(17, "bad"))
    with pytest.raises(InputError, match="names of middle genes"):
        run(data, middle=2)
    with pytest.raises(InputError, match="needs counts"):
        run(data, correction="poisson")
    with pytest.raises(InputError, match="dtype"):
        run(data, dtype=int)


def test_mean_square__jackknife():
    values = stream(18, "jackknife").normal(3, 1, size=10)
    above = np.concatenate([[values.sum()], values.sum() - values])
    below = np.concatenate([[10.0], np.full(10, 9.0)])
    found, error = mean_square(above, below)
    assert found == pytest.approx(values.mean())
    assert error == pytest.approx(values.std(ddof=1) / np.sqrt(10))
