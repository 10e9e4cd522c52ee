"""Write the files of ``tools/`` with the tools themselves; run by hand, not by the tests.

Versions: scanpy 1.11.5, anndata 0.12, decoupler 2.2.0, metacells 0.9.5, SEACells 0.3.3, loompy 3.0.8,
mudata 0.3.10, networkx 3, igraph 1.0.0, causal-learn 0.1.4.8, pgmpy 1.1.2, HTSeq 2.1.2, subread 2.0.3,
samtools 1.16.1.
"""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np

warnings.simplefilter("ignore")
OUT = Path(__file__).resolve().parent / "tools"
GENES = [f"GENE{i}" for i in range(50)]


def cells(n=1200):
    import anndata as ad
    import pandas as pd
    import scipy.sparse as sp

    rng = np.random.default_rng(7)
    rate, load = rng.gamma(2.0, 1.0, (n, 1)), rng.uniform(0.05, 0.8, (1, len(GENES)))
    power = rng.choice([1, 2], (1, len(GENES)))
    counts = rng.poisson(rng.lognormal(0, 0.3, (n, 1)) * (0.1 + load * rate**power)).astype(np.float32)
    obs = pd.DataFrame(
        {"donor": [f"d{i % 30}" for i in range(n)], "ct": rng.choice(["B", "T"], n)},
        index=["".join(rng.choice(list("ACGT"), 16)) + "-1" for _ in range(n)],
    )
    return ad.AnnData(sp.csr_matrix(counts), obs=obs, var=pd.DataFrame(index=GENES))


def write(adata, name):
    adata.write_h5ad(OUT / name, compression="gzip", compression_opts=9)


def pools(adata):
    import decoupler as dc
    import metacells as mc
    import scanpy as sc
    import SEACells

    summed = sc.get.aggregate(adata, by=["donor", "ct"], func="sum")
    summed.X = summed.layers["sum"].copy()
    write(summed, "scanpy_aggregate.h5ad")
    write(
        dc.pp.pseudobulk(adata, sample_col="donor", groups_col="ct", mode="sum"), "decoupler_pseudobulk.h5ad"
    )
    copied = adata[np.asarray(adata.X.sum(axis=1)).ravel() > 0].copy()  # its own sums fail on empty cells
    mc.ut.set_name(copied, "cells")
    copied.obs["metacell"] = np.arange(copied.n_obs) // 25
    write(mc.pl.collect_metacells(copied, name="metacells", random_seed=1), "metacells.h5ad")
    copied = adata.copy()
    copied.layers["raw"] = copied.X.copy()
    copied.obs["SEACell"] = [f"SEACell-{i % 60}" for i in range(copied.n_obs)]
    write(
        SEACells.core.summarize_by_SEACell(copied, SEACells_label="SEACell", summarize_layer="raw"),
        "seacells.h5ad",
    )


def pipelines(adata):
    import scanpy as sc

    adata = adata[:300].copy()
    adata.layers["counts"] = adata.X.copy()
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    write(adata, "scanpy_log1p.h5ad")
    scaled = adata.copy()
    sc.pp.scale(scaled, max_value=2)
    write(scaled, "scanpy_scaled_clipped.h5ad")
    adata.obs["total"] = np.asarray(adata.layers["counts"].sum(axis=1)).ravel()
    residuals = adata.copy()
    sc.pp.regress_out(residuals, ["total"])
    write(residuals, "scanpy_regress_out.h5ad")
    corrected = adata.copy()
    sc.pp.combat(corrected, key="ct")
    write(corrected, "scanpy_combat.h5ad")


def containers(adata):
    import loompy
    import mudata
    import pandas as pd

    part = adata[:60].copy()
    dense = part.X.toarray().T
    (OUT / "loompy_3.loom").unlink(missing_ok=True)
    loompy.create(
        str(OUT / "loompy_3.loom"), dense, {"Gene": np.array(GENES)}, {"CellID": np.array(part.obs_names)}
    )
    part.write_loom(OUT / "anndata.loom")
    part.to_df().astype(int).to_csv(OUT / "plain_60_cells.csv")
    protein = part[:, :3].copy()
    protein.var_names = ["CD3_TotalSeqB", "CD4_TotalSeqB", "CD8_TotalSeqB"]
    mudata.MuData({"rna": part, "prot": protein}).write(OUT / "mudata.h5mu")
    both = pd.concat([part.to_df(), protein.to_df() * 50], axis=1).astype(int)
    both.to_csv(OUT / "rna_and_prot.csv")


def networks():
    import igraph
    import networkx as nx
    from causallearn.graph.Edge import Edge
    from causallearn.graph.Endpoint import Endpoint
    from causallearn.graph.GeneralGraph import GeneralGraph
    from causallearn.graph.GraphNode import GraphNode
    from pgmpy.factors.discrete import TabularCPD
    from pgmpy.models import DiscreteBayesianNetwork
    from pgmpy.readwrite import BIFWriter

    edges = [("STAT1", "IRF1"), ("STAT1", "GBP1"), ("MYC", "MAX")]
    graph = nx.DiGraph(edges)
    nx.set_node_attributes(graph, {n: "TF" if n in ("STAT1", "MYC") else "target" for n in graph}, "label")
    nx.write_graphml(graph, OUT / "networkx_class_label.graphml")
    nx.write_gexf(graph, OUT / "networkx.gexf")
    nx.write_edgelist(nx.DiGraph(edges), OUT / "networkx_edgelist.txt")
    nx.write_gml(nx.DiGraph(edges), OUT / "networkx.gml")
    named = igraph.Graph.TupleList(edges, directed=True)
    named.write_graphml(str(OUT / "igraph.graphml"))
    named.write_gml(str(OUT / "igraph.gml"))
    named.write_dot(str(OUT / "igraph.dot"))
    nodes = {n: GraphNode(n) for n in graph}
    found = GeneralGraph(list(nodes.values()))
    for a, b in edges[:2]:
        found.add_edge(Edge(nodes[a], nodes[b], Endpoint.TAIL, Endpoint.ARROW))
    found.add_edge(Edge(nodes["MYC"], nodes["MAX"], Endpoint.TAIL, Endpoint.TAIL))
    (OUT / "causallearn_graph.txt").write_text(str(found))
    model = DiscreteBayesianNetwork(edges)
    for node in model.nodes():
        parents = list(model.predecessors(node))
        values = np.full((2, 2 ** len(parents)), 0.5)
        model.add_cpds(TabularCPD(node, 2, values, parents, [2] * len(parents)))
    BIFWriter(model).write(str(OUT / "pgmpy.bif"))


def reads():
    """Twelve samples of reads on thirty genes: counted by htseq-count and featureCounts."""
    rng = np.random.default_rng(3)
    work = OUT / "work"
    work.mkdir(exist_ok=True)
    lines, length = [], 500
    for g in range(30):
        start = 1 + 400 * g  # neighbours share 100 bases: reads there are ambiguous, or counted in fractions
        lines.append(
            f"chr1\tmade\texon\t{start}\t{start + length - 1}\t.\t+\t.\t"
            f'gene_id "ENSG{g:011d}"; transcript_id "T{g}";'
        )
    (work / "genes.gtf").write_text("\n".join(lines) + "\n")
    bams = []
    mean = rng.gamma(1.5, 40, 30)
    for s in range(12):
        sam = ["@HD\tVN:1.6\tSO:coordinate", "@SQ\tSN:chr1\tLN:20000"]
        counts = rng.poisson(mean * rng.lognormal(0, 0.5) * rng.lognormal(0, 0.4, 30))
        starts = [1 + 400 * g + rng.integers(0, 450, n) for g, n in enumerate(counts)]
        places = np.sort(np.concatenate([*starts, rng.integers(13000, 19000, 30)]))
        for i, place in enumerate(places):
            sam.append(f"r{s}_{i}\t0\tchr1\t{place}\t50\t50M\t*\t0\t0\t{'A' * 50}\t{'I' * 50}\tNH:i:1")
        (work / f"s{s}.sam").write_text("\n".join(sam) + "\n")
        bam = work / f"sample{s}.bam"
        subprocess.run(["samtools", "view", "-b", "-o", bam, work / f"s{s}.sam"], check=True)
        bams.append(str(bam))
    htseq = Path(sys.executable).parent / "htseq-count"
    out = subprocess.run(
        [htseq, "-s", "no", *bams, work / "genes.gtf"], check=True, capture_output=True, text=True
    )
    (OUT / "htseq_count_12_bams.txt").write_text(out.stdout)
    count = ["featureCounts", "-a", str(work / "genes.gtf"), "-o"]
    for name, more in (("featurecounts.txt", []), ("featurecounts_fraction.txt", ["-O", "--fraction"])):
        subprocess.run([*count, OUT / name, *more, *bams], check=True, capture_output=True)
        text = (OUT / name).read_text().replace(str(work) + os.sep, "").replace(str(OUT) + os.sep, "")
        (OUT / name).write_text(text)
    for path in (*work.iterdir(), *OUT.glob("*.summary")):
        path.unlink()
    work.rmdir()


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    made = cells()
    for step in (lambda: pools(made), lambda: pipelines(made), lambda: containers(made), networks, reads):
        step()
