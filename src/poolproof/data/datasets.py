"""The registry of real data: what, where from, licence, checksum, settings; and reading the files."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._checks import InputError, check_column, printable
from .download import copy_to, locate
from .registry import USER, Dataset, Entry, Network, find_entry, known_datasets, known_networks

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

USABLE_KEY = "poolproof_usable"
"""Key of ``uns`` under which :func:`usable` tells what it left out."""


def list_datasets() -> list[Dataset]:
    """Every data set of the registry, in alphabetical order.

    Examples
    --------
    >>> [dataset.name for dataset in list_datasets() if dataset.place == "package"]
    ['bulk_saureus_imodulon', 'sc_mixology_10x_3lines']
    """
    return list(known_datasets().values())


def list_networks() -> list[Network]:
    """Every regulatory network of the registry, in alphabetical order.

    Examples
    --------
    >>> [network.name for network in list_networks() if network.organism == "Mus musculus"]
    ['network_mouse_dorothea', 'network_mouse_mdc_chipseq', 'network_mouse_trrust']
    """
    return list(known_networks().values())


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
    return find_entry(name, known_datasets(), "data set")


def network_info(name: str) -> Network:
    """What is known of a network: origin, licence, evidence, and the data sets that it goes with.

    Parameters
    ----------
    name
        A name that :func:`list_networks` gives.

    Raises
    ------
    InputError
        The registry has no such network; the message names the likeliest ones.

    Examples
    --------
    >>> network_info("network_ecoli_regulon").datasets
    ('bulk_ecoli_precise',)
    """
    return find_entry(name, known_networks(), "network")


def fetch_dataset(
    name: str, *, out: str | PathLike[str] | None = None, force: bool = False, progress: bool = False
) -> Path:
    """Path of the file of a data set or network, downloaded on first use; its checksum is always verified.

    Looked for in the package, in the folder ``data`` of the checkout that the package runs from, in the wheel
    ``poolproof-data`` where it is installed, and in the cache (``POOLPROOF_CACHE``), else downloaded into the
    cache from the project's address (``POOLPROOF_DATA_URL``: http, https, file, or a folder).

    Parameters
    ----------
    name
        A name that :func:`list_datasets` or :func:`list_networks` gives.
    out
        Folder to copy the file into; None leaves it where it is.
    force
        Whether the copy may replace another file of that name.
    progress
        Whether a download shows a bar on standard error.

    Returns
    -------
    Path of the file (an h5ad, or for a network a gzipped csv), or of its copy in ``out``. Files that lie in
    the package, a checkout or the cache are not to be changed.

    Raises
    ------
    InputError
        The registry has no such name; the file is not ours to pass on; it is damaged; or it cannot be
        downloaded or written.

    Examples
    --------
    >>> fetch_dataset("sc_mixology_10x_3lines").name
    'sc_mixology_10x_3lines.h5ad'
    """
    known: dict[str, Entry] = {**known_datasets(), **known_networks()}
    entry = find_entry(name, known, "data set or network")
    path = locate(entry, progress=progress)
    return path if out is None else copy_to(path, Path(out), force=force)


def load_dataset(name: str, *, path: str | PathLike[str] | None = None, progress: bool = False) -> AnnData:
    """Read a data set of the registry; every call gives a fresh copy.

    Parameters
    ----------
    name
        A name that :func:`list_datasets` gives.
    path
        A data set that is not ours to pass on: your file, in any format that :func:`poolproof.read` reads.
    progress
        Whether a download shows a bar on standard error.

    Returns
    -------
    AnnData, samples or cells in rows and genes in columns, shape ``(n_obs, n_genes)``; ``X`` on the scale
    that :func:`dataset_info` gives, ``uns["source"]`` with the origin. All samples: :func:`usable` leaves
    out those that should not be used.

    Raises
    ------
    InputError
        The registry has no such data set; its file is damaged, cannot be downloaded, or is not ours to
        pass on and ``path`` is not given; the file at ``path`` has another shape.

    Examples
    --------
    >>> adata = load_dataset("bulk_saureus_imodulon")
    >>> adata.shape
    (108, 2820)

    Its settings go with it: ``poolproof.audit(adata, **dataset_info("bulk_saureus_imodulon").settings)``.
    """
    dataset = dataset_info(name)
    if path is not None:
        return _read_own(dataset, path)
    from anndata import read_h5ad  # not at the top: listing the data sets need not wait for anndata

    return read_h5ad(locate(dataset, progress=progress))


def load_network(name: str, *, progress: bool = False) -> pd.DataFrame:
    """Read a network of the registry.

    Parameters
    ----------
    name
        A name that :func:`list_networks` gives.
    progress
        Whether a download shows a bar on standard error.

    Returns
    -------
    Table of edges as :func:`read_edges` gives it: text columns ``regulator``, ``target``, ``sign`` (1, -1,
    or 0 for unknown), ``evidence`` and others, each ordered pair once, the row named first. To choose by
    evidence, where a pair has several, read every row: ``pandas.read_csv(fetch_dataset(name))``.

    Raises
    ------
    InputError
        The registry has no such network, or its file is damaged or cannot be downloaded.

    Examples
    --------
    >>> edges = load_network("network_ecoli_regulon")
    >>> list(edges.columns)
    ['regulator', 'target', 'sign', 'evidence', 'source_gene_id', 'target_name', 'in_data']
    """
    from .networks import read_edges

    return read_edges(locate(network_info(name), progress=progress))


def usable(adata: AnnData, dataset: Dataset) -> AnnData:
    """Leave out the samples that the registry says should not be used: doublets, wells of poor quality.

    Parameters
    ----------
    adata
        What :func:`load_dataset` gave.
    dataset
        What :func:`dataset_info` gave.

    Returns
    -------
    The usable samples, a copy. Where the data set has a filter, ``uns["poolproof_usable"]`` has it (columns
    with their values), the numbers of samples before and after, and a sentence.

    Raises
    ------
    InputError
        A column of the filter is missing, or no sample is left.

    Examples
    --------
    >>> adata = load_dataset("sc_mixology_10x_3lines")
    >>> usable(adata, dataset_info("sc_mixology_10x_3lines")).shape    # nothing to leave out
    (895, 889)
    """
    if not dataset.filter:
        return adata.copy()
    keep = np.ones(adata.n_obs, dtype=bool)
    option = f"filter of {dataset.name}"
    for column, values in dataset.filter.items():
        check_column(adata.obs.columns, column, where="the table of samples", option=option)
        keep &= adata.obs[column].isin(values).to_numpy()
    if not keep.any():
        raise InputError(f"expected usable samples of {dataset.name}; found none with {_spelled(dataset)}")
    kept = adata[keep].copy()
    n_out = adata.n_obs - kept.n_obs
    kept.uns[USABLE_KEY] = {
        "filter": {column: list(values) for column, values in dataset.filter.items()},
        "n_before": adata.n_obs,
        "n_after": kept.n_obs,
        "sentence": f"{n_out:,} of {adata.n_obs:,} samples left out: not {_spelled(dataset)}",
    }
    return kept


def usable_notes(adata: AnnData) -> list[str]:
    """What :func:`usable` has left out, as sentences."""
    found: Any = adata.uns.get(USABLE_KEY)
    return [] if found is None else [str(found["sentence"])]


def _spelled(dataset: Dataset) -> str:
    """The filter in words."""
    return ", ".join(f"{column} {' or '.join(map(str, values))}" for column, values in dataset.filter.items())


def _read_own(dataset: Dataset, path: str | PathLike[str]) -> AnnData:
    """A file that the user gives for a data set that does not come with us."""
    from .io import read

    if dataset.place != USER:
        raise InputError(
            f"{dataset.name} comes with poolproof and needs no path; to read a file, use read(PATH)"
        )
    adata = read(Path(path))
    if adata.shape != (dataset.n_obs, dataset.n_genes):
        raise InputError(
            f"{printable(Path(path).name)}: expected {dataset.n_obs:,} samples x {dataset.n_genes:,} genes "
            f"of {dataset.name}; found {adata.n_obs:,} x {adata.n_vars:,}; use read(PATH) for other data"
        )
    return adata
