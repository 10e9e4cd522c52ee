"""A table of samples beside an expression table: cell types, donors, batches for text input."""

from __future__ import annotations

import zlib
from os import PathLike

import pandas as pd
from anndata import AnnData

from .._checks import InputError, printable
from .formats import decode, parse_text, read_decompressed
from .io import unique_names
from .streams import whole_file


def read_samples(path: str | PathLike[str], adata: AnnData) -> list[str]:
    """Read a table of samples and add its columns to ``adata.obs``, in place.

    Parameters
    ----------
    path
        Text table (comma, tab or semicolon; .gz too), one row a sample, its name in the first column.
    adata
        The samples; matched by name. Samples that the table does not name get missing values.

    Returns
    -------
    Sentences that say how many samples were found.

    Raises
    ------
    InputError
        The file cannot be read, names a sample twice, or names none of the samples.
    """
    try:
        table = _read_table(path)
    except (OSError, ValueError, EOFError, zlib.error) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"--samples {printable(path)}: expected a text table with one row a sample; {printable(reason)}"
        ) from error
    if table.index.has_duplicates:
        twice = table.index[table.index.duplicated()][0]
        raise InputError(
            f"--samples {printable(path)}: sample {printable(twice)!r} stands there twice; keep one row"
        )
    found = adata.obs_names.isin(table.index)
    if not found.any():
        raise InputError(
            f"--samples {printable(path)}: none of its names is a sample of the input; it has "
            f"{printable(table.index[0])!r}, the input {printable(adata.obs_names[0])!r}"
        )
    for column in table.columns:
        adata.obs[str(column)] = table[column].reindex(adata.obs_names).to_numpy()
    return [f"{int(found.sum()):,} of {adata.n_obs:,} samples found in the table of samples"]


def sample_names(path: str | PathLike[str]) -> list[str]:
    """Names in the first column of a table of samples; none where `read_samples` will refuse it."""
    try:
        return [str(name) for name in _read_table(path).index]
    except (OSError, ValueError, EOFError, zlib.error):
        return []


def _read_table(path: str | PathLike[str]) -> pd.DataFrame:
    """Columns of the file, as numbers where every entry is one; rows by name, which stays text."""
    with whole_file(path) as whole:
        frame, labels = parse_text(decode(read_decompressed(whole)))
    frame.columns = pd.Index(unique_names(labels)[0])
    return frame.set_index(frame.columns[0])
