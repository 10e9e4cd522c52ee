"""MultiQC itself reads what a collection leaves for it."""

import json
import os
import shutil
import subprocess

import numpy as np
import pandas as pd
from helpers import missing

import poolproof


def test_multiqc__shows_the_audits(tmp_path):
    program = shutil.which("multiqc")
    if program is None:
        missing("the program multiqc on the PATH (pip install multiqc, in an environment of its own)")
    random = np.random.default_rng(0)
    values = random.gamma(2.0, size=(80, 1)) + random.gamma(2.0, size=(80, 12))
    values = pd.DataFrame(values, columns=list("ABCDEFGHIJKL"))
    for margin in (0.1, 0.2):
        audit = poolproof.audit(values, kind="bulk", scale="additive", margin=margin, triples="none")
        audit.save(tmp_path / "audits" / f"margin_{margin:g}")
    found = poolproof.collect(tmp_path / "audits")
    found.save(tmp_path / "summary")
    done = subprocess.run(
        [program, "--no-version-check", "--no-ansi", "-o", "shown", "summary"],
        cwd=tmp_path,
        env=os.environ | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Found 2 samples" in done.stderr + done.stdout
    data = json.loads((tmp_path / "shown" / "multiqc_data" / "multiqc_data.json").read_text())
    shown = data["report_saved_raw_data"]["multiqc_poolproof_table"]
    assert sorted(shown) == ["margin_0.1", "margin_0.2"]
    for name, row in shown.items():
        mine = found.table.set_index("audit").loc[name]
        assert row["verdict"] == mine["verdict"]
        assert row["bend_share"] == float(mine["bend_share"])
