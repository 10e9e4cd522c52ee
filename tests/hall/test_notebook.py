"""What a notebook shows: text stays text, the columns that were asked for."""

import inspect

import pandas as pd
import pytest

import poolproof
from poolproof._notebook import summary_html

TABLE = pd.DataFrame({"x": ["A", "<b>"], "y": ["B", "C"], "r": [0.12345, float("nan")]})


def test_summary_html__shows_the_columns_that_were_named():
    html = summary_html("Of three", [], TABLE, columns=("x", "r"))
    assert "<th>x</th>" in html
    assert "<th>y</th>" not in html
    assert "0.123" in html
    assert "The 2 strongest of 2 rows" in html


def test_summary_html__a_column_that_is_not_there_is_a_bug():
    with pytest.raises(KeyError):
        summary_html("Of three", [], TABLE, columns=("regulator",))


def test_summary_html__text_stays_text_and_a_line_is_a_paragraph():
    html = summary_html("<i>", ["one\ntwo", "a & b"], TABLE.iloc[:0], ["<script>"])
    assert html.count("<p>") == 3
    assert "<p>two</p>" in html
    assert "\\n" not in html
    assert "&lt;i&gt;" in html
    assert "a &amp; b" in html
    assert "&lt;script&gt;" in html
    assert "<table" not in html


def test_every_result_of_the_public_functions_is_shown_as_html():
    bare = []
    for name in poolproof.__all__:
        function = getattr(poolproof, name)
        made = inspect.signature(function).return_annotation if inspect.isfunction(function) else None
        found = getattr(inspect.getmodule(function), str(made), None)
        if inspect.isclass(found) and found.__module__.startswith("poolproof"):
            bare += [] if hasattr(found, "_repr_html_") else [f"{name} -> {made}"]
    assert bare == []
