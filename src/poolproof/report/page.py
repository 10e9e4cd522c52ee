"""What every page shares: its policy, text that stays text, pictures inside it, moving it into place."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import warnings
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any, cast
from urllib.parse import quote

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .._checks import printable

NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
MAX_TEXT = 2_000
"""Characters of one sentence or name."""


def resource(name: str) -> str:
    """Text of a file of the package."""
    return (files(__package__) / "templates" / name).read_text(encoding="utf-8")


def template(name: str, filters: Mapping[str, Callable[..., Any]]) -> Template:
    """A template of the package; text from data is escaped, a missing value is an error."""
    environment = Environment(
        loader=FunctionLoader(resource),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {**SHARED_FILTERS, **filters}
    return environment.get_template(name)


def policy(style: str, script: str) -> str:
    """Content-security policy: our style and script by their hashes, pictures in the page, no more."""
    style_hash, script_hash = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)
    )
    return (
        f"default-src 'none'; style-src 'sha256-{style_hash}'; script-src 'sha256-{script_hash}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def text_of(value: object) -> str:
    """Text from data, control characters and direction marks as escapes."""
    return printable(str(value)[: MAX_TEXT + 1], MAX_TEXT)


def name_of(value: object) -> Markup:
    """A name apart from the direction of what surrounds it; cut by the style, whole in its title."""
    text = escape(text_of(value))
    return Markup('<bdi class="name" title="{0}">{0}</bdi>').format(text)


def plural(n: int, word: str) -> str:
    """A count with its noun."""
    return f"{n:,} {word}" if n == 1 else f"{n:,} {word}s"


def share_text(value: float | None) -> str:
    """A share in per cent; a dash where it is not known.

    Examples
    --------
    >>> share_text(0.125), share_text(None)
    ('12.5%', '–')
    """
    return "–" if value is None or value != value else f"{value:.1%}"


def when(value: object) -> str:
    """Date and time of a result file, readable.

    Examples
    --------
    >>> when("2026-01-02T03:04:05.678+00:00")
    '2026-01-02 03:04 UTC'
    """
    return re.sub(r"^([\d-]+)T(\d\d:\d\d).*\+00:00$", r"\1 \2 UTC", text_of(value))


def count_text(value: int) -> str:
    """A count, its thousands apart."""
    return f"{value:,}"


def unbroken(text: str) -> str:
    """A sentence without a line break before a per cent sign."""
    return text.replace(" %", "\u00a0%")


SHARED_FILTERS: Mapping[str, Callable[..., Any]] = {
    "text": text_of,
    "name": name_of,
    "plural": plural,
    "share": share_text,
    "when": when,
    "count": count_text,
    "unbroken": unbroken,
}
"""What every template may use."""


def json_of(value: Any) -> Markup:
    """JSON that cannot end the element it stands in."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def drawing_of(ax: Axes) -> str:
    """A picture as the text of an SVG file; the same picture gives the same text."""
    text = io.StringIO()
    with warnings.catch_warnings(), rc_context({"svg.fonttype": "path", "svg.hashsalt": "poolproof"}):
        warnings.filterwarnings("ignore", message="Glyph")  # a name in a script that the font lacks
        cast(Figure, ax.figure).savefig(text, format="svg", dpi=150, metadata=NO_METADATA)
    return text.getvalue()


def svg_of(ax: Axes) -> dict[str, Any]:
    """A picture as a data address, with its size in pixels."""
    drawing = " ".join(drawing_of(ax).split())
    width, height = (round(96 * inches) for inches in cast(Figure, ax.figure).get_size_inches())
    # Not in base64: the dense layers are in it already, and a second time costs a third of the page.
    return {"src": f"data:image/svg+xml,{quote(drawing, safe=_PLAIN)}", "width": width, "height": height}


_PLAIN = " /;,=+-.!*"
"""Punctuation that stands for itself in an address between double quotes."""


def address_of(text: str, kind: str) -> str:
    """Text as a data address."""
    return f"data:{kind};base64,{base64.b64encode(text.encode()).decode()}"
