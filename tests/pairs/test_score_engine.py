"""The engine of the classical and the robust test against explicit code, one pair at a time."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy import optimize, stats

from poolproof import _names as names
from poolproof._random import stream
from poolproof.basis import spline_basis
from poolproof.pairs import growing_noise, make_design
from poolproof.pairs.calls import CodeTable, code_of
from poolproof.pairs.score_engine import ScoreTest
from poolproof.pairs.score_kernels import bound_pieces

N = 150


class Slow(NamedTuple):
    r2_linear: float
    gain: float
    statistic: float
    p_bend: float
    p_association: float
    share_upper: float


def residuals(columns, nuisance):
    """What the nuisance columns leave of the columns, by QR."""
    q, r = np.linalg.qr(nuisance)
    q = q[:, np.abs(np.diag(r)) > 1e-9]
    return columns - q @ (q.T @ columns)


def leverages(nuisance):
    return np.einsum("ij,ji->i", nuisance, np.linalg.pinv(nuisance))


def own_basis(x, nuisance, k):
    """The spline basis of x, residuals on the nuisance columns, orthonormal, the line first."""
    columns = residuals(spline_basis(x, k), nuisance)
    q, r = np.linalg.qr(columns)
    return q * np.sign(np.diag(r))


def slow_pair(x, y, levels, *, test="robust", k=5):
    """Everything the engine says of one pair.

    ``levels`` holds ``(rows, nuisance, clusters)``: samples, columns to project out with the constant,
    and the replicate of each sample or None.
    """
    parts = []
    for rows, nuisance, clusters in levels:
        q = own_basis(x[rows], nuisance, k)
        parts.append((q, residuals(y[rows], nuisance), nuisance, clusters))
    x_of = [x[rows] for rows, _, _ in levels]
    norm = np.sqrt(sum(v @ v for _, v, _, _ in parts))
    parts = [(q, v / norm, nuisance, clusters) for q, v, nuisance, clusters in parts]
    b = [q[:, 0] @ v for q, v, _, _ in parts]
    s = [q[:, 1:].T @ v for q, v, _, _ in parts]
    line, gain = sum(v**2 for v in b), sum(v @ v for v in s)
    r, size = np.sqrt(gain), np.sqrt(line)
    df_bend, df_all = sum(len(v) for v in s), sum(len(v) + 1 for v in s)
    if test == "classical":
        n_rest = sum(len(v) - nuisance.shape[1] for _, v, nuisance, _ in parts) - df_all
        rest = (1 - line - gain) / n_rest
        f, f_all = gain / df_bend / rest, (line + gain) / df_all / rest
        p = stats.f.sf([f, f_all], [df_bend, df_all], n_rest)
        return Slow(line, gain, f, *p, bound(r, size, rest * np.eye(2)))
    if parts[0][3] is not None:
        return slow_replicates(parts, x_of, b, s, line, gain)
    statistic = explained = common = common_variance = fourth = 0.0
    spread = np.zeros((2, 2))
    for (q, v, nuisance, _), x_level, b_level, s_level in zip(parts, x_of, b, s, strict=True):
        h = leverages(nuisance) + q[:, 0] ** 2
        u = v - b_level * q[:, 0]
        variance = (q.T * (u / (1 - h)) ** 2) @ q
        null = (q.T * (v / (1 - h)) ** 2) @ q
        first = s_level @ np.linalg.solve(variance[1:, 1:], s_level)
        statistic += slow_second(x_level, v, nuisance, q, first)
        score = q.T @ v
        explained += score @ np.linalg.solve(null, score)
        common += score[0]
        common_variance += variance[0, 0]
        fourth += np.sum(q[:, 0] ** 4)
        towards = np.zeros((2, q.shape[1]))
        towards[0, 1:], towards[1, 0] = s_level / r, b_level / size
        spread += towards @ variance @ towards.T
    p_bend, p_all = stats.chi2.sf([statistic, explained], [df_bend, df_all])
    # or by the line that the levels share, with degrees of freedom rounded down to those of the tables
    df = max(d for d in (*range(1, 21), 24, 30, 40, 60, 100, 200) if d <= max(1, len(levels) ** 2 / fourth))
    p_all = min(1.0, 2 * min(p_all, 2 * stats.t.sf(abs(common) / np.sqrt(common_variance), df)))
    return Slow(line, gain, statistic, p_bend, p_all, bound(r, size, spread))


def slow_second(x, v, nuisance, q, first):
    """What is left of the statistic of one level once noise that grows with x was thought of (method 7b)."""
    cut = stats.chi2.isf(0.06, q.shape[1] - 1)
    if first <= cut:
        return first
    second, say = slow_doubt(x, v, nuisance, q)
    return max(first - say * max(first - second, 0), cut)


def slow_doubt(x, v, nuisance, q):
    """The second statistic of bends, and how much it has to say, from 0 to 1."""
    n, bends = len(x), q[:, 1:]
    leverage = (bends**2).sum(axis=1)
    if (leverage @ leverage) / bends.shape[1] * stats.kurtosis(v, fisher=False) <= 0.15:
        return 0.0, 0.0
    u = residuals(v, np.column_stack([nuisance, x]))
    variances = [np.ones(n)]
    for t in ((x - x.min()) / x.std(), (x.max() - x) / x.std()):
        variances += [(t + c) ** 2 for c in (0.05, 0.2, 0.6, 2.0)] + [t + c for c in (0.05, 0.4)]
    fits = [stats.norm.logpdf(u, 0, np.sqrt(np.mean(u**2 / shape) * shape)).sum() for shape in variances]
    shape = variances[int(np.argmax(fits))]
    sd = np.sqrt(shape)
    line = np.column_stack([nuisance, x])
    rest, full = (
        np.sum(residuals(v / sd, columns / sd[:, None]) ** 2)
        for columns in (line, np.column_stack([line, bends]))
    )
    second = (n - line.shape[1]) * (rest - full) / rest
    root = np.linalg.inv(np.linalg.cholesky((bends.T * shape) @ bends)) @ (bends.T * sd)
    kurtosis = np.mean((u / sd) ** 4) / np.mean((u / sd) ** 2) ** 2  # about 0
    doubt = kurtosis * np.sum((root**2).sum(axis=0) ** 2) / bends.shape[1]
    return second, np.clip((doubt - 0.1) / 0.1, 0, 1)


def slow_replicates(parts, x_of, b, s, line, gain):
    """Fits without each replicate in turn; levels joined by Bonferroni, line and bends once more.

    -ln p of bends is looked at a second time, as the statistic is without replicates.
    """
    r, size = np.sqrt(gain), np.sqrt(line)
    everyone = sorted({code for *_, clusters in parts for code in clusters})
    influence = pd.DataFrame(0.0, index=everyone, columns=["bend", "line"])
    found = []
    for (q, v, nuisance, clusters), x_level, b_level, s_level in zip(parts, x_of, b, s, strict=True):
        theta = np.array([b_level, *s_level])
        own = np.unique(clusters)
        without = [np.linalg.lstsq(q[clusters != code], v[clusters != code])[0] for code in own]
        change = np.array(without) - theta
        influence.loc[own, "bend"] += change[:, 1:] @ s_level / r
        influence.loc[own, "line"] += change[:, 0] * b_level / size
        (f, p), of_line = leave_one_out(theta[1:], change[:, 1:]), leave_one_out(theta[:1], change[:, :1])
        if p < 0.06:
            second, say = slow_doubt(x_level, v, nuisance, q)
            other = stats.chi2.sf(second, len(s_level))
            p = min(p * (max(p, other) / p) ** say, 0.06)
        found.append([(f, p), of_line])
    p_bend, p_line = (min(1.0, len(found) * min(p for _, p in of)) for of in zip(*found, strict=True))
    statistic = min((of[0] for of in found), key=lambda pair: pair[1])[0]
    d = len(everyone)
    spread = influence.T.to_numpy() @ influence.to_numpy() * (d - 1) / d
    p_all = min(1.0, 2 * min(p_bend, p_line))
    return Slow(line, gain, statistic, p_bend, p_all, bound(r, size, spread, stats.t.ppf(0.95, d - 1)))


def leave_one_out(theta, change):
    """F of Wald's test with the jackknife covariance, by the law of Hotelling, and its p-value."""
    d, p = change.shape
    t2 = theta @ np.linalg.solve(change.T @ change * (d - 1) / d, theta)
    f = t2 * (d - p) / (p * (d - 1))
    return f, stats.f.sf(f, p, d - p)


Z = stats.norm.ppf(0.95)


def bound(r, size, spread, z=Z):
    """Upper bound of the share, by a root finder."""
    if size <= z * np.sqrt(spread[1, 1]):
        return 1.0

    def excess(c):
        towards = np.array([1.0, -c])
        return r - c * size + z * np.sqrt(towards @ spread @ towards)

    high = 1.0
    while excess(high) > 0:
        high *= 2
    c = optimize.brentq(excess, 0, high, xtol=1e-14)
    return c * c / (1 + c * c)


# --- data ----------------------------------------------------------------------------------------------


def mixed_genes(rng, n=N):
    """Columns of every kind, some related: their names and values."""
    z = rng.normal(size=n)
    skewed = rng.lognormal(0, 1, n)
    zeros = rng.gamma(2.0, size=n) * (rng.random(n) < 0.3)
    genes = {
        "normal": z,
        "line": 2 - 0.8 * z + rng.normal(size=n),
        "bent": z**2 + 0.5 * rng.normal(size=n),
        "skewed": skewed,
        "spread": skewed * (1 + 0.4 * rng.normal(size=n)),
        "zeros": zeros,
        "of zeros": 1 + zeros * rng.gamma(3.0, size=n),
        "counts": rng.poisson(1.0 + skewed).astype(float),
        "three levels": rng.binomial(2, 0.4, n).astype(float),
    }
    return list(genes), np.stack(list(genes.values()), axis=1)


def observations(rng, n=N):
    return pd.DataFrame(
        {
            "batch": rng.choice(list("abc"), n),
            "age": rng.normal(50, 10, n),
            "type": rng.choice(["T", "B"], n),
            "donor": rng.choice([f"d{i}" for i in range(16)], n),
        }
    )


def nuisance_of(obs, rows, columns):
    """The constant, dummies and numbers: what the design projects out."""
    parts = [np.ones((len(rows), 1))]
    for column in columns:
        values = obs[column].iloc[rows]
        if values.dtype.kind == "f":
            parts.append(values.to_numpy()[:, None])
        else:
            parts.append(pd.get_dummies(values, drop_first=True, dtype=float).to_numpy())
    return np.hstack(parts)


DESIGNS = {
    "plain": {},
    "covariates": {"covariates": ["batch", "age"]},
    "within": {"within": ["type"]},
    "within and covariates": {"within": ["type"], "covariates": ["batch", "age"]},
    "replicate": {"replicate": "donor"},
    "replicate and covariates": {"replicate": "donor", "covariates": ["age"]},
    "replicate within": {"replicate": "donor", "within": ["type"]},
}


def build(options, test, *, dtype=np.float64, values=None, factors=None):
    rng = stream(0, "mixed")
    gene_names, matrix = mixed_genes(rng)
    obs = observations(rng)
    matrix = matrix if values is None else values
    design = make_design(obs, **options)
    engine = ScoreTest(matrix, factors, design, test=test, dtype=dtype)
    within = obs[options["within"][0]].to_numpy() if "within" in options else np.zeros(N)
    columns = [*options.get("covariates", []), *([options["replicate"]] if "replicate" in options else [])]
    levels = []
    for level in np.unique(within):
        rows = np.flatnonzero(within == level)
        clusters = obs["donor"].to_numpy()[rows] if "replicate" in options else None
        levels.append((rows, nuisance_of(obs, rows, columns), clusters))
    return engine, gene_names, matrix, levels


def everything(engine, dtype=np.float64, exact=True):
    features = engine.features(np.arange(engine.n_genes))
    return engine.outcome(features.astype(dtype), slice(None), dtype, exact=exact)


# --- against explicit code -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("test", "name"),
    [
        *(("robust", name) for name in DESIGNS),
        *(("classical", name) for name in DESIGNS if not name.startswith("replicate")),
    ],
)
def test_outcome__equals_explicit_code(test, name):
    options = DESIGNS[name]
    engine, gene_names, matrix, levels = build(options, test)
    found = everything(engine)
    p_bend, p_association = (np.exp(-law.minus_log_p()) for law in (found.bend, found.association))
    assert found.tested.all()
    assert np.broadcast_to(found.n, p_bend.shape).min() == N
    for i in range(len(gene_names)):
        for j in range(len(gene_names)):
            if i == j:
                continue
            slow = slow_pair(matrix[:, i], matrix[:, j], levels, test=test, k=engine.k)
            fast = Slow(
                found.r2_linear[i, j],
                found.gain[i, j],
                found.statistic[i, j],
                p_bend[i, j],
                p_association[i, j],
                found.share_upper[i, j],
            )
            assert fast == pytest.approx(slow, rel=1e-6, abs=1e-9), (gene_names[i], gene_names[j])


@pytest.mark.parametrize(("n_small", "k"), [(12, 2), (20, 3), (29, 4), (30, 5)])
def test_outcome__small_levels_have_small_bases(n_small, k, monkeypatch):
    monkeypatch.setattr(growing_noise, "HEED", 0.0)  # HC3 alone
    rng = stream(0, "small level")
    x, y = rng.gamma(2.0, size=(2, 130))
    rows = [np.arange(n_small), np.arange(n_small, 130)]
    obs = pd.DataFrame({"type": np.where(np.arange(130) < n_small, "A", "B")})
    engine = ScoreTest(np.stack([x, y], axis=1), None, make_design(obs, within=["type"]), dtype=np.float64)
    found = everything(engine)
    statistic = 0.0
    total = np.linalg.norm(np.concatenate([y[at] - y[at].mean() for at in rows]))
    for at, columns in zip(rows, (k, 5), strict=True):
        q, v = spline_basis(x[at], columns), (y[at] - y[at].mean()) / total
        u = (v - q[:, 0] * (q[:, 0] @ v)) / (1 - 1 / len(at) - q[:, 0] ** 2)
        s = q[:, 1:].T @ v
        statistic += s @ np.linalg.solve((q[:, 1:].T * u**2) @ q[:, 1:], s)
    assert found.statistic[0, 1] == pytest.approx(statistic, rel=1e-8)
    assert np.exp(-found.bend.minus_log_p()[0, 1]) == pytest.approx(stats.chi2.sf(statistic, k - 1 + 4))


def test_outcome__classical_f_equals_two_fits_of_least_squares():
    engine, _, matrix, _ = build({"covariates": ["batch", "age"]}, "classical")
    found = everything(engine)
    obs = observations_of("mixed")
    z = nuisance_of(obs, np.arange(N), ["batch", "age"])
    for i, j in [(0, 2), (3, 4), (5, 6), (8, 1)]:
        x, y = matrix[:, i], matrix[:, j]
        bends = spline_basis(x)[:, 1:]
        small, large = (residuals(y, np.column_stack([z, x, *extra])) for extra in ([], [bends]))
        df, rest = bends.shape[1], N - z.shape[1] - 1 - bends.shape[1]
        f = (small @ small - large @ large) / df / (large @ large / rest)
        assert found.statistic[i, j] == pytest.approx(f, rel=1e-9)
        assert np.exp(-found.bend.minus_log_p()[i, j]) == pytest.approx(stats.f.sf(f, df, rest), rel=1e-8)


def observations_of(name):
    rng = stream(0, name)
    mixed_genes(rng)
    return observations(rng)


def test_outcome__covariates_as_residuals_by_hand():
    """Projected out of basis and target: the same as residuals of both in a plain regression."""
    engine, _, matrix, _ = build({"covariates": ["batch", "age"]}, "robust")
    z = nuisance_of(observations_of("mixed"), np.arange(N), ["batch", "age"])
    found = everything(engine)
    q, y = residuals(spline_basis(matrix[:, 3]), z), residuals(matrix[:, 4], z)
    r2 = 1 - np.sum((y - q @ np.linalg.lstsq(q, y)[0]) ** 2) / (y @ y)
    r2_linear = np.corrcoef(q[:, 0], y)[0, 1] ** 2
    assert found.r2_spline[3, 4] == pytest.approx(r2, rel=1e-9)
    assert found.r2_linear[3, 4] == pytest.approx(r2_linear, rel=1e-9)


@pytest.mark.parametrize("options", DESIGNS.values(), ids=DESIGNS)
def test_outcome__float32_agrees_where_it_has_no_doubt(options):
    engine, _, _, _ = build(options, "robust", dtype=np.float32)
    exact, fast = everything(engine), everything(engine, np.float32, exact=False)
    off_diagonal = ~np.eye(engine.n_genes, dtype=bool)
    sure = off_diagonal & ~np.broadcast_to(fast.doubt, off_diagonal.shape)
    assert sure.mean() > 0.8
    for name in ("r2_linear", "gain", "share_upper", "statistic"):
        np.testing.assert_allclose(
            getattr(fast, name)[sure], getattr(exact, name)[sure], rtol=2e-3, atol=1e-5, err_msg=name
        )
    codes = [of.bend.codes({}).astype(int)[sure] for of in (exact, fast)]
    weak = exact.bend.minus_log_p()[sure] < 0.25  # the table reads small statistics as none
    assert np.abs(codes[0] - codes[1])[~weak].max() <= 20


def test_outcome__float32_doubts_what_few_samples_carry():
    """Genes that are off in a few samples: what these samples say of a bend is all that is known of it."""
    rng = stream(0, "few carry")
    values = 5 + 0.3 * rng.normal(size=(N, 40)) + rng.normal(size=(N, 1))
    for gene in range(30):
        off = rng.choice(N, 1 + gene % 4, replace=False)
        values[np.ix_(off, rng.choice(40, 3))] *= 0.05
    values[:3, :30] += 10.0 ** rng.uniform(-1, 3, (3, 30))
    engine, _, _, _ = build({}, "robust", values=values, dtype=np.float32)
    exact, fast = everything(engine), everything(engine, np.float32, exact=False)
    sure = ~np.eye(engine.n_genes, dtype=bool) & ~fast.doubt
    for of in ("bend", "association"):
        right, found = (getattr(outcome, of).minus_log_p() for outcome in (exact, fast))
        error = np.abs(found - right) / np.maximum(right, 0.5)
        assert error[sure].max() < 3e-3, of  # what is recomputed around a cut
        assert error.max() > 0.01, of


def test_outcome__codes_are_those_of_the_p_values():
    engine, _, _, _ = build({"within": ["type"]}, "robust")
    found = everything(engine)
    tables: dict[tuple[float, float], CodeTable] = {}
    for law in (found.bend, found.association):
        exact = code_of(law.minus_log_p()).astype(int)
        difference = exact - law.codes(tables).astype(int)
        relevant = law.minus_log_p() > 0.25
        assert np.abs(difference[relevant]).max() <= 20
    assert len(tables) >= 2  # bases of unlike size have laws of their own


def test_outcome__blocks_and_sparse_targets_give_the_same():
    engine, _, matrix, _ = build({"covariates": ["age"]}, "robust")
    sparse, _, _, _ = build({"covariates": ["age"]}, "robust", values=sp.csc_matrix(matrix))
    whole = everything(engine)
    for other in (engine, sparse):
        features = other.features(np.array([5, 2, 0]))
        part = other.outcome(features.take(np.array([2, 0])), np.array([7, 1, 4]), np.float64, exact=True)
        where = np.ix_([0, 5], [7, 1, 4])
        for name in ("r2_linear", "gain", "share_upper", "statistic"):
            np.testing.assert_allclose(getattr(part, name), getattr(whole, name)[where], rtol=1e-9)


def test_outcome__without_memory_values_are_prepared_again():
    rng = stream(0, "mixed")
    _, matrix = mixed_genes(rng)
    design = make_design(observations(rng), covariates=["batch"])
    kept, again = (ScoreTest(matrix, None, design, memory=memory) for memory in (1e9, 0.0))
    np.testing.assert_allclose(everything(kept).statistic, everything(again).statistic, rtol=1e-12)


def test_outcome__size_factors_divide_the_values():
    factors = stream(0, "factors").choice([0.5, 1.0, 2.0], N)  # exact, so that equal values stay equal
    engine, _, matrix, _ = build({}, "robust")
    divided, _, _, _ = build({}, "robust", values=matrix * factors[:, None], factors=factors)
    off_diagonal = ~np.eye(engine.n_genes, dtype=bool)
    a, b = everything(engine), everything(divided)
    np.testing.assert_allclose(a.statistic[off_diagonal], b.statistic[off_diagonal], rtol=1e-6)


def test_detectable__is_the_gain_of_unit_noncentrality():
    engine, _, matrix, levels = build({}, "robust")
    (rows, nuisance, _), k = levels[0], engine.k
    found = engine.detectable(engine.features(np.arange(engine.n_genes)), np.arange(engine.n_genes))
    for i, j in [(0, 1), (3, 4), (5, 0)]:
        q = own_basis(matrix[rows, i], nuisance, k)
        v = residuals(matrix[rows, j], nuisance)
        v /= np.linalg.norm(v)
        h = 1 / N + q[:, 0] ** 2
        u = v - q[:, 0] * (q[:, 0] @ v)
        m = (q[:, 1:].T * (u / (1 - h)) ** 2) @ q[:, 1:]
        assert found[i, j] == pytest.approx((k - 1) / np.trace(np.linalg.inv(m)), rel=1e-6)


# --- missing values ------------------------------------------------------------------------------------


def with_missing(rng, matrix, share=0.1):
    holes = rng.random(matrix.shape) < share
    holes[:, :2] = False  # the first two stay complete
    return np.where(holes, np.nan, matrix)


MISSING = {name: DESIGNS[name] for name in ("plain", "covariates", "within", "replicate")}


@pytest.mark.parametrize("options", MISSING.values(), ids=MISSING)
def test_missing__a_pair_equals_its_complete_samples_by_hand(options):
    values = with_missing(stream(0, "missing"), mixed_genes(stream(0, "mixed"))[1])
    engine, gene_names, matrix, levels = build(options, "robust", values=values)
    found = everything(engine)
    p_bend, p_association = (np.exp(-law.minus_log_p()) for law in (found.bend, found.association))
    checked = 0
    for i in range(2, len(gene_names)):
        for j in range(2):  # targets without missing values: rows dropped by hand
            known = ~np.isnan(matrix[:, i])
            x, y = matrix[known, i], matrix[known, j]
            position = np.cumsum(known) - 1
            dropped = []
            for rows, nuisance, clusters in levels:
                keep = known[rows]
                own = None if clusters is None else clusters[keep]
                dropped.append((position[rows[keep]], nuisance[keep], own))
            slow = slow_pair(x, y, dropped, k=engine.k)
            fast = Slow(
                found.r2_linear[i, j],
                found.gain[i, j],
                found.statistic[i, j],
                p_bend[i, j],
                p_association[i, j],
                found.share_upper[i, j],
            )
            assert fast == pytest.approx(slow, rel=1e-6, abs=1e-9), (gene_names[i], gene_names[j])
            assert found.n[i, j] == known.sum()
            checked += 1
    assert checked == 14


def test_missing__in_the_target_keeps_the_basis_of_the_regulator():
    """The knots are those of all known values of the regulator; everything else is of the pair."""
    values = with_missing(stream(0, "missing"), mixed_genes(stream(0, "mixed"))[1])
    engine, _, matrix, _ = build({}, "robust", values=values)
    found = everything(engine)
    for i, j in [(0, 4), (3, 4), (4, 3), (5, 2)]:
        known = ~np.isnan(matrix[:, i])
        both = ~np.isnan(matrix[:, j]) & known
        columns = spline_basis(matrix[known, i])[both[known]]
        ones = np.ones((both.sum(), 1))
        q = np.linalg.qr(residuals(columns, ones))[0]
        v = residuals(matrix[both, j], ones)
        v /= np.linalg.norm(v)
        h = 1 / len(v) + q[:, 0] ** 2
        u = v - q[:, 0] * (q[:, 0] @ v)
        s = q[:, 1:].T @ v
        m = (q[:, 1:].T * (u / (1 - h)) ** 2) @ q[:, 1:]
        assert found.n[i, j] == both.sum()
        assert found.statistic[i, j] == pytest.approx(s @ np.linalg.solve(m, s), rel=1e-7)
        assert found.r2_spline[i, j] == pytest.approx(np.sum((q.T @ v) ** 2), rel=1e-9)


def test_missing__screening_doubts_what_it_filled():
    values = with_missing(stream(0, "missing"), mixed_genes(stream(0, "mixed"))[1])
    engine, _, matrix, _ = build({}, "robust", values=values, dtype=np.float32)
    holes = np.isnan(matrix).any(axis=0)
    fast = everything(engine, np.float32, exact=False)
    assert (fast.doubt | ~(holes[:, None] | holes[None])).all()


# --- statuses ------------------------------------------------------------------------------------------


def statuses(values, options=None, obs=None, test="robust"):
    obs = pd.DataFrame(index=range(len(values))) if obs is None else obs
    engine = ScoreTest(np.asarray(values, dtype=float), None, make_design(obs, **(options or {})), test=test)
    return list(engine.regulator_status), list(engine.target_status)


def test_status__of_constant_and_two_level_genes():
    n = 30
    values = np.stack(
        [np.full(n, 4.0), np.arange(n) % 2, np.arange(n) % 3, np.arange(n), 1e9 + np.zeros(n)], axis=1
    )
    regulator, target = statuses(values)
    assert regulator == [names.CONSTANT, names.TOO_FEW_LEVELS, names.OK, names.OK, names.CONSTANT]
    assert target == [names.CONSTANT, names.OK, names.OK, names.OK, names.CONSTANT]


def test_status__a_gene_needs_three_levels_inside_one_level_of_within():
    obs = pd.DataFrame({"type": np.repeat(["A", "B"], 20)})
    two_each = np.tile([0.0, 1.0], 20) + np.repeat([0.0, 5.0], 20)
    only_in_b = np.concatenate([np.zeros(20), np.arange(20.0)])
    between = np.repeat([0.0, 1.0], 20)
    regulator, target = statuses(np.stack([two_each, only_in_b, between], axis=1), {"within": ["type"]}, obs)
    assert regulator == [names.TOO_FEW_LEVELS, names.OK, names.CONSTANT]
    assert target == [names.OK, names.OK, names.CONSTANT]


def test_status__a_gene_that_the_covariates_explain_is_constant():
    rng = stream(0, "explained")
    obs = pd.DataFrame({"batch": np.repeat(["a", "b", "c"], 10)})
    by_batch = np.repeat([1.0, 7.0, 3.0], 10)
    regulator, _ = statuses(np.stack([by_batch, rng.normal(size=30)], axis=1), {"covariates": ["batch"]}, obs)
    assert regulator == [names.CONSTANT, names.OK]


def test_status__too_few_samples_for_the_classical_test():
    rng = stream(0, "few")
    obs = pd.DataFrame({"batch": list("aabbccddee")})
    regulator, _ = statuses(rng.normal(size=(10, 2)), {"covariates": ["batch"]}, obs, "classical")
    assert regulator == [names.TOO_FEW_SAMPLES] * 2


@pytest.mark.parametrize(
    ("n_donors", "expected"), [(4, "too_few_replicates"), (5, "ok"), (9, "ok"), (16, "ok")]
)
def test_status__replicates(n_donors, expected):
    rng = stream(0, "donors")
    obs = pd.DataFrame({"donor": np.arange(160) % n_donors})
    values = rng.normal(size=(160, 2))
    regulator, target = statuses(values, {"replicate": "donor"}, obs)
    assert regulator == [expected] * 2
    assert target == ["ok"] * 2
    # a basis of k columns needs k + 3 replicates: k shrinks with their number
    engine = ScoreTest(values, None, make_design(obs, replicate="donor"))
    assert engine.k == {4: 2, 5: 2, 9: 3, 16: 5}[n_donors]


def test_status__pairs_with_few_common_samples_are_untested():
    rng = stream(0, "common")
    values = rng.normal(size=(40, 3))
    values[:25, 0] = np.nan
    values[31:, 1] = np.nan  # 6 in common, where 15 samples have a basis of 2 columns and need 7
    engine = ScoreTest(values, None, make_design(pd.DataFrame(index=range(40))))
    found = everything(engine)
    tested = np.broadcast_to(found.tested, (3, 3))
    assert not tested[0, 1]
    assert not tested[1, 0]
    assert tested[0, 2]
    assert tested[2, 1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bound_pieces__of_a_bend_too_small_for_its_inverse(dtype):
    tiny = np.array([[0.0, np.finfo(dtype).tiny, 0.5]], dtype=dtype)
    for pieces in (bound_pieces([], tiny, tiny, 0), bound_pieces([], tiny[:, ::-1], tiny, 0)):
        assert all((piece == 0).all() for piece in pieces)
