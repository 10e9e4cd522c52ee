"""Models that people have: Boolean rules, SERGIO's tables, Bayesian networks, logical models of SBML.

``read_any`` goes by the suffix of the file, or by a format that is named; every reader takes text and
returns mechanisms. What is not read is named with its line.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from ..._checks import InputError, check_choice, printable
from ...aggregation import parse_aggregation
from ..feedback import Network, as_snapshot
from ..model_file import Model, read_network
from .bif import read_bif
from .bnet import read_bnet
from .gaussian import is_gaussian_json, read_gaussian
from .sbml import read_sbml
from .sergio import read_sergio

FORMATS = ("model", "bnet", "sergio", "bif", "linear-gaussian", "sbml-qual")
"""Formats by name; ``model`` is a model file."""
SUFFIXES = {
    ".bnet": "bnet",
    ".bif": "bif",
    ".sbml": "sbml-qual",
    ".xml": "sbml-qual",
    ".yaml": "model",
    ".yml": "model",
    ".json": "model",
}
CELLS = 20
"""Cells in a pool of a model whose format says nothing of pools."""
MAX_BYTES = 20_000_000

_READERS: Mapping[str, Callable[[str, str], Network]] = {
    "bnet": read_bnet,
    "bif": read_bif,
    "linear-gaussian": read_gaussian,
    "sbml-qual": read_sbml,
}


def read_any(
    path: str | Path,
    *,
    format: str | None = None,
    regulators: str | Path | None = None,
    steps: int | None = None,
    steady_state: bool = False,
) -> Model:
    """Read a model of cells in one of several formats.

    Parameters
    ----------
    path
        The file; ``.bif.gz`` is unpacked.
    format
        ``model`` (a model file), ``bnet``, ``sergio``, ``bif``, ``linear-gaussian`` or ``sbml-qual``; None:
        by the suffix, and by its keys for JSON.
    regulators
        For ``sergio``: the file of master regulators and their production rates.
    steps
        For a model with feedback: steps after which cells are seen; None: none.
    steady_state
        For a model with feedback: cells are seen at its steady state, if it is unique.

    Returns
    -------
    Model
        Its pools are sums of 20 cells where the format says nothing of pools.

    Raises
    ------
    InputError
        The file cannot be read; one line that names the file, and the line where there is one.

    Notes
    -----
    Inputs of Boolean models are on with a probability of 1/2. Genes with states have their numbers 0, 1, 2,
    in the order of the file.
    """
    file = Path(path)
    shown = printable(file.name or str(file))
    chosen = _format(file, format, shown)
    if (chosen == "sergio") != (regulators is not None):
        raise InputError(
            f"{shown}: a table of SERGIO needs its master regulators: --regulators FILE"
            if regulators is None
            else f"{shown}: regulators are a second file of SERGIO's tables; name --format sergio"
        )
    text = read_text(file)
    if chosen == "model" and format is None and file.suffix.lower() == ".json" and _has_gaussian_keys(text):
        chosen = "linear-gaussian"
    if chosen == "model":
        return read_network(text, shown, steps=steps, steady_state=steady_state)
    if regulators is not None:
        second = Path(regulators)
        network = read_sergio(text, shown, read_text(second), printable(second.name))
    else:
        network = _READERS[chosen](text, shown)
    name = file.name.split(".")[0] or "model"
    one = as_snapshot(network, name, shown, steps=steps, steady_state=steady_state)
    seen = one if one.told else None
    return Model(name, one.scm, parse_aggregation("sum", "aggregation"), CELLS, shown, seen)


def _format(file: Path, format: str | None, shown: str) -> str:
    if format is not None:
        return check_choice("format", format, FORMATS)
    name = file.name.lower().removesuffix(".gz")
    found = SUFFIXES.get(Path(name).suffix)
    if found is None:
        raise InputError(
            f"{shown}: expected a file that ends in {', '.join(SUFFIXES)}; or name its --format: "
            f"{', '.join(FORMATS)}"
        )
    return found


def read_text(file: Path) -> str:
    """The text of a file, unpacked where it is packed by gzip.

    Raises
    ------
    InputError
        It cannot be read, is too large or no UTF-8.
    """
    shown = printable(file.name or str(file))
    try:
        if file.stat().st_size > MAX_BYTES:
            raise InputError(f"{shown}: larger than {MAX_BYTES:,} bytes; a model file is small")
        content = file.read_bytes()
        if content[:2] == b"\x1f\x8b":
            with gzip.open(file) as packed:
                content = packed.read(MAX_BYTES + 1)
            if len(content) > MAX_BYTES:
                raise InputError(f"{shown}: larger than {MAX_BYTES:,} bytes when unpacked")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{shown}: expected text in UTF-8; save it in that encoding") from None
    except (OSError, ValueError, EOFError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or "no usable file"
        raise InputError(f"{printable(file)}: cannot be read: {reason}") from None


def _has_gaussian_keys(text: str) -> bool:
    try:
        return is_gaussian_json(json.loads(text))
    except (ValueError, RecursionError):
        return False
