"""Output that somebody stops reading (``poolproof datasets list | head -1``): the work goes on without it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any


class _Outliving:
    """A stream of text that drops what is written once its reader has gone."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with self._kept():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._kept():
            self._stream.flush()

    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            # what is still held back for the pipe must go somewhere, or the interpreter fails at its end
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def outliving_pipes() -> Iterator[None]:
    """While a command runs, a closed pipe behind standard output or error ends nothing.

    So files are written whole, and the exit code tells about the work, not about the reader.
    """
    with (
        contextlib.redirect_stdout(_Outliving(sys.stdout)),
        contextlib.redirect_stderr(_Outliving(sys.stderr)),
    ):
        yield
