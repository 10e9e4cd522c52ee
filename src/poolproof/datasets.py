"""The registry of real data sets: what each is, where from, its licence, checksum and settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import sha256
from importlib.resources import as_file, files
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ._checks import InputError, printable

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class Dataset:
    """A data set of the registry."""

    name: str
    """What :func:`load_dataset` calls it, and ``dataset:NAME`` on the command line."""
    title: str
    """What was measured, in one line."""
    organism: str
    """Species, and strain where one is stated."""
    assay: str
    """How it was measured."""
    kind: str
    """``bulk`` or ``single-cell``."""
    n_obs: int
    """Samples (bulk) or cells (single-cell)."""
    n_genes: int
    """Genes in the file."""
    scale: str
    """Scale of ``X``: ``counts``, ``additive`` or ``log``."""
    licence: str
    """Licence that the place of origin states."""
    source: str
    """Package or repository that the file was taken from."""
    citation: str
    """The study to cite when the data are used."""
    accession: str
    """Where the raw data are."""
    settings: Mapping[str, Any]
    """Options of an audit that suit the data; :attr:`remarks` says why."""
    remarks: str
    """What to know about the values before using them."""
    sha256: str
    """Checksum of the file, hexadecimal."""


_REGISTRY = {
    entry.name: entry
    for entry in (
        Dataset(
            name="sc_mixology_10x_3lines",
            title="Single cells of three human lung adenocarcinoma lines on one 10x run",
            organism="Homo sapiens",
            assay="10x Chromium 3' single-cell RNA-seq (UMI)",
            kind="single-cell",
            n_obs=895,
            n_genes=889,
            scale="counts",
            licence="MIT",
            source="PYangLab/Cepo, data/cellbench.rda (after LuyiTian/sc_mixology)",
            citation="Tian et al. 2019, Nature Methods 16:479, doi:10.1038/s41592-019-0425-8",
            accession="GEO GSE118767",
            settings=MappingProxyType({"within": "cell_line"}),
            remarks=(
                "The three lines differ in level, so relations are tested within a line. The 889 genes hold "
                "0.8 to 5.0 % of a cell's counts (median 1.6 %): the library size is "
                "obs['total_count_per_cell'], not the row total."
            ),
            sha256="adc265feb08d160037b9debf1a090381c630c6b803696d1cac58f1327893d919",
        ),
        Dataset(
            name="bulk_saureus_imodulon",
            title="Staphylococcus aureus USA300 under many conditions, RNA-seq compendium",
            organism="Staphylococcus aureus USA300",
            assay="RNA-seq",
            kind="bulk",
            n_obs=108,
            n_genes=2820,
            scale="log",
            licence="MIT",
            source="Python package pymodulon 0.2.1 (SBRG/pymodulon), data/objects/staph_data.json.gz",
            citation="Poudel et al. 2020, PNAS 117:17228, doi:10.1073/pnas.2008413117",
            accession="SRA runs in obs['accession']",
            settings=MappingProxyType(
                {"scale": "log", "log_base": 2.0, "log_offset": 0.0, "within": "reference"}
            ),
            remarks=(
                "Values are log2(TPM + 1) minus the same of a reference, so 2^value is (TPM + 1) / "
                "(reference TPM + 1): affine in TPM, by one factor per gene and reference. The three "
                "references serve 42, 40 and 26 samples (obs['reference']), and relations are tested within "
                "them. TPM is a composition: all genes of a sample share one total."
            ),
            sha256="3396282a1aeb083a33064d25b3d281b895942be105821a7c2887de6fa1537f31",
        ),
    )
}


def list_datasets() -> list[Dataset]:
    """Every data set of the registry, in alphabetical order.

    Examples
    --------
    >>> [dataset.name for dataset in list_datasets()]
    ['bulk_saureus_imodulon', 'sc_mixology_10x_3lines']
    """
    return [_REGISTRY[name] for name in sorted(_REGISTRY)]


def dataset_info(name: str) -> Dataset:
    """What is known of a data set: origin, licence, citation, sizes, and the settings that suit it.

    Parameters
    ----------
    name
        A name that :func:`list_datasets` gives.

    Raises
    ------
    InputError
        The registry has no such data set; the message names the likeliest ones.

    Examples
    --------
    >>> dataset_info("sc_mixology_10x_3lines").settings["within"]
    'cell_line'
    """
    if name not in _REGISTRY:
        near = get_close_matches(str(name), _REGISTRY, n=3, cutoff=0.4) or sorted(_REGISTRY)
        raise InputError(
            f"expected the name of a data set; found {printable(name)!r}; did you mean {' or '.join(near)}? "
            "`poolproof datasets list` shows all"
        )
    return _REGISTRY[name]


def load_dataset(name: str) -> AnnData:
    """Read a data set of the registry; every call gives a fresh copy.

    Parameters
    ----------
    name
        A name that :func:`list_datasets` gives.

    Returns
    -------
    AnnData, samples or cells in rows and genes in columns, shape ``(n_obs, n_genes)``; ``X`` on the scale
    that :func:`dataset_info` gives, ``uns["source"]`` with the origin.

    Raises
    ------
    InputError
        The registry has no such data set, or its file differs from the one that was shipped.

    Examples
    --------
    >>> adata = load_dataset("bulk_saureus_imodulon")
    >>> adata.shape
    (108, 2820)

    Its settings go with it: ``poolproof.audit(adata, **dataset_info("bulk_saureus_imodulon").settings)``.
    """
    from anndata import read_h5ad  # not at the top: listing the data sets need not wait for anndata

    dataset = dataset_info(name)
    with as_file(files(__package__) / "data" / f"{dataset.name}.h5ad") as path:
        try:
            found = sha256(path.read_bytes()).hexdigest()
        except OSError:
            found = "no readable file"
        if found != dataset.sha256:
            raise InputError(
                f"the file of data set {name} should have sha256 {dataset.sha256[:16]}; "
                f"found {found[:16]}; install poolproof again"
            )
        return read_h5ad(path)
