"""An audit read back from its folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from .._checks import InputError, printable
from .._files import FIGURES, RESULTS
from .._notebook import summary_html
from .audit_page import read_table, read_verdict


class SavedAudit(Mapping[str, pd.DataFrame]):
    """An audit as it lies in its folder: its verdict, and its tables by the names of their files.

    ``saved["population"]`` is the content of ``population.parquet``, ``saved["gallery"]`` that of
    ``figures/gallery.parquet``. A table is read when it is asked for. Functions of :mod:`poolproof.plot` draw
    from it what the report shows; pairs outside its gallery need the data: see :func:`poolproof.audit`.
    """

    def __init__(self, folder: Path, summary: dict[str, Any]) -> None:
        self.folder = folder
        """Where the audit lies."""
        self.summary = summary
        """The content of verdict.json."""
        stems = [Path(name).stem for name in RESULTS if name.endswith(".parquet")]
        paths = [path for stem in stems if (path := folder / f"{stem}.parquet").exists()]
        self._paths = {path.stem: path for path in paths}
        for path in sorted((folder / FIGURES).glob("*.parquet")):
            self._paths.setdefault(path.stem, path)  # figures have a table of genes too
        self._read: dict[str, pd.DataFrame] = {}

    def __getitem__(self, name: str) -> pd.DataFrame:
        if name not in self._paths:
            raise KeyError(f"{name}: expected one of {', '.join(self)}")
        if name not in self._read:
            self._read[name] = read_table(self._paths[name])
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    @property
    def verdict(self) -> str:
        """``contradicted``, ``compatible`` or ``inconclusive``."""
        return str(self.summary["verdict"])

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why, each sentence with its number."""
        return tuple(self.summary["reasons"])

    @property
    def next_steps(self) -> tuple[str, ...]:
        """What would settle the verdict, or follows from it."""
        return tuple(self.summary.get("next_steps") or ())

    @property
    def limits(self) -> tuple[str, ...]:
        """What the verdict does not say."""
        return tuple(self.summary["limits"])

    @property
    def settings(self) -> dict[str, Any]:
        """All options, defaults filled in."""
        return dict(self.summary["settings"])

    @property
    def table(self) -> pd.DataFrame:
        """The pair table."""
        return self["pairs"]

    def __str__(self) -> str:
        notes = self.summary["data"]["warnings"]
        return "\n".join(
            [
                f"Verdict: {self.verdict}",
                *(f"  {reason}" for reason in self.reasons),
                *(f"Next: {step}" for step in self.next_steps),
                *(f"Limit: {limit}" for limit in self.limits),
                *(f"Note: {printable(note, 400)}" for note in notes),
                f"Tables: {', '.join(self)}",
            ]
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        sentences = [*self.reasons, *(f"Next: {step}" for step in self.next_steps)]
        more = [*self.limits, *self.summary["data"]["warnings"], f"Tables: {', '.join(self)}"]
        return summary_html(f"Verdict: {self.verdict}", sentences, self.table, more)


def read_audit(folder: str | Path) -> SavedAudit:
    """Read back what an audit wrote, from the command line or by :meth:`Audit.save`.

    Parameters
    ----------
    folder
        Of a complete audit.

    Returns
    -------
    SavedAudit: verdict, reasons and settings, and its tables as a mapping.

    Raises
    ------
    InputError
        The folder holds no complete audit, or one of a later version.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import poolproof
    >>> rng = np.random.default_rng(0)
    >>> data = pd.DataFrame(rng.gamma(2.0, size=(60, 3)), columns=["A", "B", "C"])
    >>> folder = Path(tempfile.mkdtemp()) / "audit"
    >>> _ = poolproof.audit(data, kind="bulk", scale="additive").save(folder)
    >>> saved = poolproof.read_audit(folder)
    >>> saved.verdict, saved["genes"]["gene"].tolist()
    ('inconclusive', ['A', 'B', 'C'])
    """
    place = Path(folder)
    if not (place / "pairs.parquet").exists() and (place / "verdict.json").exists():
        raise InputError(
            f"expected the folder of a complete audit; {printable(place, 400)} has no pairs.parquet; run "
            "poolproof audit again"
        )
    return SavedAudit(place, read_verdict(place))
