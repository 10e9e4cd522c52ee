"""The gallery of models that come with the package."""

from __future__ import annotations

from difflib import get_close_matches
from importlib.resources import as_file, files
from importlib.resources.abc import Traversable

from .._checks import InputError, printable
from .model_file import Model, read_model

_FOLDER = "gallery"
_ENDING = ".yaml"


def list_models() -> dict[str, str]:
    """Names of the example models, and in one sentence what each shows.

    Examples
    --------
    >>> list_models()["fork-affine-arm"]
    'A fork with one bent and one affine arm: the bent form is lost, the conditional independence is kept.'
    """
    return {
        file.name.removesuffix(_ENDING): _first_line(file)
        for file in sorted((files(__package__) / _FOLDER).iterdir(), key=lambda file: file.name)
        if file.name.endswith(_ENDING)
    }


def example_model(name: str) -> Model:
    """Read an example model.

    Parameters
    ----------
    name
        One of :func:`list_models`.

    Raises
    ------
    InputError
        There is none of that name.

    Examples
    --------
    >>> fork = example_model("fork-section4")
    >>> list(fork.scm.genes), fork.cells
    (['Y', 'X', 'Z'], 20)
    """
    known = list_models()
    if name not in known:
        near = get_close_matches(str(name), known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise InputError(f"expected the name of an example model; found {printable(name)!r}; {hint}")
    with as_file(files(__package__) / _FOLDER / f"{name}{_ENDING}") as path:
        return read_model(path)


def _first_line(file: Traversable) -> str:
    """The comment that a model file starts with."""
    with file.open(encoding="utf-8") as lines:
        return lines.readline().removeprefix("#").strip()
