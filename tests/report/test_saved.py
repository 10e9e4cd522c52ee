"""Audits read back from their folder: what was written, by name, and what is refused."""

import json

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

import poolproof
from poolproof import InputError


@pytest.fixture(scope="module")
def audit():
    random = np.random.default_rng(0)
    x = random.gamma(2.0, size=300)
    columns = {"x": x, "line": 2 * x + random.normal(size=300), "<script>bent": np.tanh(x)}
    values = pd.DataFrame(columns | {f"g{i}": random.gamma(2.0, size=300) + x for i in range(4)})
    return poolproof.audit(values, kind="bulk", scale="additive", seed=3)


@pytest.fixture(scope="module")
def folder(audit, tmp_path_factory):
    return audit.save(tmp_path_factory.mktemp("saved") / "audit")


def test_read_audit__has_the_verdict_and_the_tables_of_the_audit(audit, folder):
    saved = poolproof.read_audit(str(folder))
    assert (saved.verdict, saved.reasons, saved.next_steps) == (
        audit.verdict,
        audit.reasons,
        audit.next_steps,
    )
    assert saved.limits == audit.limits
    assert saved.settings["margin"] == audit.settings["margin"]
    assert saved.folder == folder
    assert (
        saved.table[["regulator", "target"]]
        .astype(str)
        .equals(audit.table[["regulator", "target"]].astype(str))
    )
    np.testing.assert_allclose(saved.table["r2_spline"], audit.table["r2_spline"], rtol=1e-6)
    pd.testing.assert_frame_equal(
        saved["population"], audit.linearity.population.table, check_dtype=False, check_exact=False
    )
    written = {path.stem for path in folder.rglob("*.parquet")}
    assert set(saved) == written
    assert len(saved) == len(written)
    assert saved["genes"] is saved["genes"], "a table is read once"


def test_read_audit__is_drawn_by_the_functions_of_plot(folder):
    saved = poolproof.read_audit(folder)
    row = saved["gallery"].iloc[0]
    assert isinstance(poolproof.plot.pair(saved, row["regulator"], row["target"]), Axes)
    assert isinstance(poolproof.plot.calls_by_strength(saved), Axes)


def test_read_audit__shows_itself_and_escapes(audit, folder):
    saved = poolproof.read_audit(folder)
    assert str(saved).splitlines()[0] == f"Verdict: {audit.verdict}"
    assert all(reason in str(saved) for reason in audit.reasons)
    assert "population" in str(saved)
    html = saved._repr_html_()
    assert "<table" in html
    assert "<script>" not in html


def test_read_audit__what_is_no_audit_is_refused(folder, tmp_path):
    with pytest.raises(InputError, match="folder of a complete audit"):
        poolproof.read_audit(tmp_path)
    (tmp_path / "verdict.json").write_text((folder / "verdict.json").read_text())
    with pytest.raises(InputError, match=r"no pairs\.parquet"):
        poolproof.read_audit(tmp_path)
    later = json.loads((folder / "verdict.json").read_text()) | {"schema_version": 99}
    (tmp_path / "verdict.json").write_text(json.dumps(later))
    (tmp_path / "pairs.parquet").write_bytes(b"")
    with pytest.raises(InputError, match="schema version"):
        poolproof.read_audit(tmp_path)
    with pytest.raises(KeyError):
        poolproof.read_audit(folder)["nothing"]
