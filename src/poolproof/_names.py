"""Every table column, call and status: dtype, unit and meaning, in one place.

Modules take names from here, documentation is generated from here, and tests compare files with it.
"""

from __future__ import annotations

from dataclasses import dataclass

SCHEMA_VERSION = 2
READABLE_SCHEMAS = (1, 2)
"""Versions of verdict.json that a report can be made from: 1 has no ``population``."""

# Calls of a pair.
NONLINEAR, AFFINE, INCONCLUSIVE, NOT_ASSOCIATED = PAIR_CALLS = (
    "nonlinear",
    "affine",
    "inconclusive",
    "not_associated",
)

# Status of a pair: why a number is missing.
OK = "ok"
CONSTANT = "constant"
TOO_FEW_LEVELS = "too_few_levels"
TOO_FEW_SAMPLES = "too_few_samples"
TOO_FEW_COUNTS = "too_few_counts"
TOO_FEW_REPLICATES = "too_few_replicates"
PAIR_STATUSES = (OK, CONSTANT, TOO_FEW_LEVELS, TOO_FEW_SAMPLES, TOO_FEW_COUNTS, TOO_FEW_REPLICATES)

# Calls of a triple: what pooling does to the relation of x and z given the middle gene y.
KEPT, DISTORTED, DEPENDENT, HIDDEN, UNDETERMINED = TRIPLE_CALLS = (
    "kept",
    "distorted",
    "dependent",
    "hidden",
    "undetermined",
)
NO_VARIANCE_LEFT = "no_variance_left"
TRIPLE_STATUSES = (*PAIR_STATUSES, NO_VARIANCE_LEFT)
CORRECTIONS = ("none", "poisson")

# Separations that a network claims, and what pooling leaves of its edges.
TOO_MANY_GIVEN = "too_many_given"
SEPARATION_STATUSES = (*TRIPLE_STATUSES, TOO_MANY_GIVEN)
# What connects a pair if nothing is given: one regulates the other through others; else a third both.
PATH, COMMON_CAUSE, UNRELATED = RELATIONS = ("path", "common_cause", "unrelated")
SURVIVES, NOT_CONTRADICTED, DISTORTED_EDGE, NOT_SEEN, CANNOT_TELL = EDGE_STATUSES = (
    "survives",
    "not_contradicted",
    "distorted",
    "not_seen",
    "cannot_tell",
)

# The bend share of sets of pairs.
ALL_PAIRS, GIVEN_PAIRS = "all", "given"
POPULATION_SETS = (
    ALL_PAIRS,
    GIVEN_PAIRS,
    "level",
    "strength",
    "better_direction",
    "direct",
    "direct_better_direction",
    "regulator",
    "target",
)
NO_PAIRS, NOTHING_EXPLAINED = "no_pairs", "nothing_explained"
POPULATION_STATUSES = (OK, NO_PAIRS, NOTHING_EXPLAINED)

# Verdicts of an audit.
CONTRADICTED, COMPATIBLE, UNDECIDED = VERDICTS = ("contradicted", "compatible", "inconclusive")

BULK, SINGLE_CELL = KINDS = ("bulk", "single-cell")
SCALES = ("counts", "additive", "log")
TESTS = ("classical", "robust", "corrected")


@dataclass(frozen=True)
class Column:
    """A column of a result table."""

    name: str
    dtype: str
    meaning: str


PAIR_COLUMNS = (
    Column("regulator", "str", "gene x of the ordered pair x -> y"),
    Column("target", "str", "gene y of the ordered pair x -> y"),
    Column("n", "int32", "samples or cells used"),
    Column("r2_linear", "float64", "share of the variance of y that a line in x explains"),
    Column("r2_spline", "float64", "share of the variance of y that the spline in x explains"),
    Column("gain", "float64", "r2_spline minus r2_linear; missing where counts cannot tell it"),
    Column("nonlinear_share", "float64", "gain as a share of r2_spline: the bend in the explained variance"),
    Column("nonlinear_share_upper", "float64", "upper 95 % bound of nonlinear_share"),
    Column("statistic", "float64", "statistic of the test of non-linearity"),
    Column("p_value", "float64", "p-value of the test of non-linearity"),
    Column("q_value", "float64", "Benjamini-Hochberg adjusted p_value over all tested ordered pairs"),
    Column("call", "category", "nonlinear, affine, inconclusive or not_associated"),
    Column("status", "category", "ok, or why numbers are missing"),
)

GENE_COLUMNS = (
    Column("gene", "str", "gene name"),
    Column("symbol", "str", "name for display, from --gene-column"),
    Column("mean", "float64", "mean of the values on the tested scale"),
    Column("variance", "float64", "variance of the values on the tested scale"),
    Column("zero_share", "float64", "share of samples or cells with the value 0"),
    Column("status", "category", "ok, or why the gene was not tested as a regulator"),
    Column("n_as_regulator", "int64", "associated ordered pairs with this gene as x"),
    Column("n_nonlinear_as_regulator", "int64", "of those, called nonlinear"),
    Column("n_affine_as_regulator", "int64", "of those, called affine"),
    Column("n_inconclusive_as_regulator", "int64", "of those, called inconclusive"),
    Column("n_as_target", "int64", "associated ordered pairs with this gene as y"),
    Column("n_nonlinear_as_target", "int64", "of those, called nonlinear"),
    Column("n_affine_as_target", "int64", "of those, called affine"),
    Column("n_inconclusive_as_target", "int64", "of those, called inconclusive"),
    Column("n_contradicting", "int64", "unordered pairs with this gene that contradict the affine model"),
)

POPULATION_COLUMNS = (
    Column(
        "set",
        "category",
        "all pairs tested (given: those whose direction was given), or a part: level, strength (R2 in the "
        "other half of the samples), better_direction, direct, direct_better_direction, regulator, target",
    ),
    Column("name", "str", "which level, strength or gene; empty where there is one such set"),
    Column("n_pairs", "int64", "ordered pairs in the set, associated or not"),
    Column(
        "bend_share",
        "float64",
        "bend in what regulators explain of their targets: sum of bends over sum of bends and lines, bias "
        "taken off; may be below 0 by chance; missing where nothing is explained",
    ),
    Column("standard_error", "float64", "of bend_share, over samples (or replicates) and modules of genes"),
    Column("low", "float64", "lower end of the 95 % interval"),
    Column("high", "float64", "upper end of the 95 % interval"),
    Column("explained", "float64", "share of the variance of a target that a pair explains, on average"),
    Column("status", "category", "ok, no_pairs, or nothing_explained: less than 3 standard errors above 0"),
)

LEVEL_COLUMN = Column("level", "str", "level of --within; the other columns are those of pairs.parquet")

EQUATION_COLUMNS = (
    Column("target", "str", "the child"),
    Column("n_parents", "int32", "parents in the network"),
    Column("parents", "str", "their names, joined by semicolons"),
    Column("n", "int32", "samples or cells used"),
    Column("k", "int32", "columns of each parent's spline basis, the linear one included"),
    Column("df", "int32", "degrees of freedom of the test"),
    Column("r2_linear", "float64", "share of the variance of the child that an affine equation explains"),
    Column("r2_spline", "float64", "share that a sum of splines of the parents explains"),
    Column("gain", "float64", "r2_spline minus r2_linear"),
    Column("nonlinear_share", "float64", "gain as a share of r2_spline"),
    Column("nonlinear_share_upper", "float64", "upper 95 % bound of nonlinear_share"),
    Column("statistic", "float64", "statistic of the joint test of non-linearity"),
    Column("p_value", "float64", "p-value of the joint test of non-linearity"),
    Column("q_value", "float64", "Benjamini-Hochberg adjusted p_value over the children tested"),
    Column("call", "category", "as in pairs.parquet; missing where there is no test"),
    Column("status", "category", "ok, or why numbers are missing"),
)

EDGE_COLUMNS = (
    Column("regulator", "str", "the parent"),
    Column("target", "str", "the child"),
    Column("joint_statistic", "float64", "statistic of the bend of this parent, beside the other parents"),
    Column("joint_df", "int32", "its degrees of freedom"),
    Column("joint_p_value", "float64", "its p-value"),
    Column("joint_q_value", "float64", "Benjamini-Hochberg adjusted joint_p_value over the edges tested"),
    Column("joint_status", "category", "ok, or why numbers are missing; collinear: others carry it"),
)

JUDGED_COLUMNS = (
    Column("n", "int32", "samples or cells used"),
    Column("correlation", "float64", "correlation of x and z, nothing conditioned on"),
    Column("partial_linear", "float64", "partial correlation given lines in what is given: what pools show"),
    Column("partial_linear_se", "float64", "its standard error"),
    Column("partial_spline", "float64", "the same given curves (counts: of degree 2): what cells show"),
    Column("partial_spline_se", "float64", "its standard error"),
    Column("p_value", "float64", "p-value of the call: the larger of its two one-sided tests"),
    Column("q_value", "float64", "Benjamini-Hochberg adjusted p_value over all that were screened or judged"),
    Column("call", "category", "kept, distorted, dependent, hidden or undetermined"),
    Column("status", "category", "ok, or why numbers are missing; too_many_given: counts allow one gene"),
)
"""What is said of two genes, x and z, given others: of triples and of separations."""

TRIPLE_COLUMNS = (
    Column("x", "str", "one end"),
    Column("y", "str", "the middle gene, which is given"),
    Column("z", "str", "the other end"),
    *JUDGED_COLUMNS,
)

TRIPLE_GENE_COLUMNS = (
    Column("gene", "str", "the middle gene"),
    Column("symbol", "str", "name for display, from --gene-column"),
    Column("status", "category", "ok, or why the gene was not conditioned on"),
    Column("n_ends", "int64", "genes associated with it, the ends of its triples"),
    Column("n_screened", "int64", "triples screened with this gene in the middle; 0 where it was not drawn"),
    Column("n_kept", "int64", "separated given the spline and given the line"),
    Column("n_distorted", "int64", "separated given the spline, not given the line: false edges to come"),
    Column("n_dependent", "int64", "dependent given either"),
    Column("n_hidden", "int64", "dependent given the spline, not given the line: lost edges"),
    Column("n_undetermined", "int64", "not to be told with these samples"),
)

DISCOVERED_COLUMNS = (
    Column("method", "str", "method of causal discovery or network inference"),
    Column("regulator", "str", "a gene; the cause, where an arrow was found (in pools, else in cells)"),
    Column("target", "str", "the other gene"),
    Column("found", "str", "both, pools_only (distortion) or cells_only (lost)"),
    Column("kind_cells", "str", "in single cells: directed, reversed, undirected, bidirected; None: no edge"),
    Column("kind_pools", "str", "the same in pools"),
    Column("weight_cells", "float64", "weight in single cells, where the method gives weights"),
    Column("weight_pools", "float64", "the same in pools"),
)

DISTORTION_COLUMNS = (
    Column("gene", "str", "the middle gene"),
    Column("symbol", "str", "name for display, from --gene-column"),
    Column("rms_distortion", "float64", "by how much pooling moves partial correlations given it"),
    Column("rms_distortion_low", "float64", "lower end of its 95 % interval"),
    Column("rms_distortion_high", "float64", "upper end"),
    Column("rms_partial", "float64", "how large partial correlations given a curve in it are"),
    Column("rms_partial_low", "float64", "lower end of its 95 % interval"),
    Column("rms_partial_high", "float64", "upper end"),
    Column("square_distortion", "float64", "mean square of the distortion; below 0 by chance"),
    Column("square_distortion_se", "float64", "its standard error"),
    Column("n_triples", "int64", "triples with this gene in the middle: all pairs of other genes"),
    Column("status", "category", "ok, or why the gene was not conditioned on"),
)
"""Root mean squares over all triples of a middle gene."""

ASSIGNMENT_COLUMNS = (
    Column("gene", "str", "a gene that varies"),
    Column(
        "shared", "float64", "share of its variance that cells of a pool share; random pools: 0 on average"
    ),
    Column("p_value", "float64", "p-value of the F test of random pools"),
    Column("q_value", "float64", "Benjamini-Hochberg adjusted p_value"),
    Column("own_shared", "float64", "the same of what the other genes leave of it; missing where not drawn"),
    Column("own_p_value", "float64", "its p-value"),
    Column("own_q_value", "float64", "its adjusted p-value"),
)

CURVE_COLUMNS = (
    Column("regime", "str", "within (donors, types), mixed (labels ignored) or between (pseudobulk)"),
    Column("n_cells", "int32", "cells in each pool; between: their median"),
    Column("repeat", "int32", "which drawing of pools"),
    Column("n_pools", "int32", "pools, the same for every number of cells of a regime"),
    Column("measure", "str", "what was measured"),
    Column("value", "float64", "the measurement"),
    Column("prediction", "float64", "what many cells should show, from the single cells; missing where none"),
)

EDGE_CLAIM_COLUMNS = (
    Column("n_separations", "int64", "judged separations that give this parent for this child"),
    Column("n_separations_distorted", "int64", "of those, distorted by pooling (q within fdr)"),
    Column("n_separations_failed", "int64", "of those, dependent or hidden: the claim fails in these data"),
    Column("pool_status", "category", "survives, not_contradicted, distorted, not_seen or cannot_tell"),
    Column("pool_reason", "str", "why, in a sentence"),
)

SEPARATION_COLUMNS = (
    Column("x", "str", "one gene"),
    Column("z", "str", "the other; the network has no edge between them"),
    Column("given", "str", "genes that separate them, joined by semicolons; empty: none needed"),
    Column("n_given", "int32", "how many"),
    Column("relation", "category", "path, common_cause or unrelated: what connects them if nothing is given"),
    *JUDGED_COLUMNS,
)

STUDY_COLUMNS = (
    Column("dataset", "str", "name in the registry"),
    Column("group", "str", "bulk, single-cell, or pools of cell lines, which count as neither"),
    Column(
        "step", "str", "what was varied: audit, population, pairs, tests, ...; see the how-to of the study"
    ),
    Column("setting", "str", "how it was set"),
    Column("value", "float64", "the setting as a number; missing where it is none"),
    Column("repeat", "int32", "which drawing, or which group of samples was left out; 0 where there is one"),
    Column("n_obs", "int32", "samples or cells in the analysis"),
    Column("n_genes", "int32", "genes in the analysis"),
    Column("test", "str", "robust, corrected or classical"),
    Column("n_tested", "int64", "ordered pairs tested"),
    Column(
        "bend_share",
        "float64",
        "of what genes explain in each other, over all pairs tested; see population.parquet",
    ),
    Column("low", "float64", "lower end of its 95 % interval, over samples (or replicates) and genes"),
    Column("high", "float64", "upper end of its 95 % interval"),
    Column("explained", "float64", "share of the variance of a target that a pair explains, on average"),
    Column("floor", "float64", "bend share that affine equations with common causes can make; audits only"),
    Column("excess", "float64", "bend share of the genes of the floor, less the floor; audits only"),
    Column("limit", "float64", "excess that affine equations reach by chance; audits only"),
    Column("control_share", "float64", "bend share of counts split in two, whose truth is 0; audits only"),
    Column("verdict", "str", "contradicted, compatible or inconclusive; audits only"),
    Column("n_associated", "int64", "of those, associated"),
    Column("share_nonlinear", "float64", "of the associated, called non-linear"),
    Column("share_affine", "float64", "of the associated, called affine"),
    Column("share_inconclusive", "float64", "of the associated, called inconclusive"),
    Column("share_contradicting", "float64", "of the associated unordered pairs, non-linear both ways"),
    Column("share_rejected", "float64", "of the tested pairs with a p-value of at most 5 %; controls only"),
    Column("share_settled", "float64", "of the pairs decided with all samples, called the same; parts only"),
    Column(
        "share_reversed", "float64", "of the pairs decided with all samples, called the opposite; parts only"
    ),
    Column(
        "measurement", "float64", "what a pooling curve measures; setting names it, value is the pool's size"
    ),
)

SHARES = ("share_nonlinear", "share_affine", "share_inconclusive", "share_contradicting")
"""Shares of an analysis of pairs that the study compares."""

COLLECTED_COLUMNS = (
    Column("audit", "str", "folder of the audit, without what all have in common"),
    Column("data", "str", "name of the data"),
    Column("verdict", "str", "contradicted, compatible or inconclusive"),
    Column("kind", "str", "bulk or single-cell"),
    Column("test", "str", "robust, corrected or classical"),
    Column("n_obs", "int64", "samples or cells"),
    Column("n_genes", "int64", "genes"),
    Column("n_pairs", "int64", "ordered pairs tested"),
    Column("n_associated", "int64", "of them associated"),
    Column("bend_share", "float64", "bend share of all pairs together"),
    Column("low", "float64", "lower end of its 95 % interval"),
    Column("high", "float64", "upper end"),
    Column("margin", "float64", "largest share that counts as affine"),
    Column("floor_of_same_genes", "float64", "share that affine equations would show in some of the genes"),
    Column("share_of_same_genes", "float64", "bend share of those genes"),
    Column("share_nonlinear", "float64", "associated pairs called non-linear"),
    Column("share_affine", "float64", "associated pairs called affine"),
    Column("control_bend_share", "float64", "bend share of the split-count control"),
    Column("within", "str", "columns whose levels were analysed apart"),
    Column("replicate", "str", "column of the independent unit"),
    Column("version", "str", "of poolproof"),
    Column("created", "str", "when, UTC"),
    Column("seed", "int64", "of every random draw"),
    Column("reason", "str", "first reason of the verdict"),
)
