"""Small studies for the tests: settings that take seconds, and data sets made by hand."""

import copy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from poolproof import describe, run_study
from poolproof.pools.meter import restrict
from poolproof.study import plan as _study_plan
from poolproof.study.subject import Subject, by_name

YEAST, ISLETS, AUREUS = "bulk_yeast_segregants_eqtl", "bulk_islet_fadista", "bulk_saureus_imodulon"
SMALL = {
    "max_genes": 30,
    "few_genes": 16,
    "max_pairs": 200,
    "strength": [0.02, 0.2, 0.5],
    "margins": [0.05, 0.1, 0.3],
    "min_r2s": [0.01, 0.02, 0.1],
    "bases": [3, 5],
    "parts": [0.5],
    "repeats": 1,
    "groups": 4,
}


def small_content():
    """The content of study.yaml, with settings that take seconds."""
    content = copy.deepcopy(_study_plan._content()) | copy.deepcopy(SMALL)
    content["controls"]["n_pairs"] = 20
    content["edges"]["max_edges"] = 30
    return content


def toy_subject(adata, *, few=None, unit=None, networks=(), options=None, name="toy", **values):
    """A data set of the study made of an AnnData; all its genes are chosen."""
    every = describe(adata, **values)
    order = by_name(every, np.arange(len(every.genes)))
    entry = SimpleNamespace(name=name, unit=unit, dataset=SimpleNamespace(networks=networks))
    chosen = restrict(every, order)
    fewer = restrict(every, order[: few or len(order)])
    return Subject(entry, every, fewer, adata.obs, chosen, adata.obs, options or {}, ())


def bulk(n=150, n_genes=30, seed=0, noise=20.0, **obs):
    """Amounts that follow three hidden levels, with noise in proportion."""
    rng = np.random.default_rng(seed)
    levels = rng.gamma(4.0, 0.25, (n, 3))
    values = levels @ rng.uniform(0, 1, (3, n_genes)) * rng.gamma(noise, 1 / noise, (n, n_genes)) * 50
    return made(values, obs)


def counts(n=600, n_genes=20, seed=0, sparse=True, depth=(300, 3000), shape=4.0, **obs):
    """Counts of molecules of cells whose levels follow three hidden ones."""
    rng = np.random.default_rng(seed)
    share = rng.gamma(shape, 1 / shape, (n, 3)) @ rng.uniform(0, 1, (3, n_genes))
    share *= rng.uniform(2, 6, n_genes)
    totals = rng.uniform(*depth, n)
    values = rng.poisson(share * totals[:, None] / np.mean(depth))
    adata = made(values, obs)
    adata.obs["total_counts"] = np.maximum(totals, values.sum(axis=1))
    if sparse:
        adata.X = sp.csr_matrix(adata.X)
    return adata


def made(values, obs):
    n, n_genes = values.shape
    table = pd.DataFrame(obs, index=[f"s{i}" for i in range(n)])
    genes = pd.DataFrame(index=[f"gene{i:03d}" for i in range(n_genes)])
    return AnnData(np.asarray(values, dtype=np.float64), obs=table, var=genes)


def with_settings(subject, **options):
    """The same data set with other options of the tests."""
    return replace(subject, options={**subject.options, **options})


def row(step, setting, dataset="a", group="bulk", **more):
    """A row of the table of a study."""
    return {"dataset": dataset, "group": group, "step": step, "setting": setting, **more}


def without_drawing(patch):
    """Draw nothing: it takes most of the time of a small study."""
    patch.setattr(
        "poolproof.report.audit_page.write_report",
        lambda folder: (Path(folder) / "report.html").write_text("report"),
    )
    patch.setattr("poolproof.study.page.drawing_of", lambda ax: "<svg/>")
    patch.setattr(
        "poolproof.study.page.svg_of",
        lambda ax: {"src": "data:image/svg+xml,", "width": 200, "height": 200},
    )
    patch.setattr("poolproof.study.page.draw_dots", lambda *_: None)
    patch.setattr("poolproof.study.page.draw_lines", lambda *_: None)
    patch.setattr("poolproof.study.page.draw_calls", lambda *_: None)
    patch.setattr("poolproof.study.page.draw_shares", lambda *_: None)


def quick_study(folder, **options):
    """A small study of one data set, without pictures, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        content = small_content()
        _study_plan.study_settings.cache_clear()
        patch.setattr(_study_plan, "_content", lambda: content)
        without_drawing(patch)
        try:
            return run_study(folder, **{"only": [YEAST], "threads": 1, **options})
        finally:
            _study_plan.study_settings.cache_clear()
