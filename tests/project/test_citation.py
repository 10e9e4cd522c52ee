"""The citation file says what the package says."""

import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]


def test_citation__agrees_with_the_package():
    said = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert said["cff-version"] == "1.2.0"
    assert said["version"] == project["version"]
    assert said["license"] == project["license"]
    assert [author["name"] for author in said["authors"]] == [author["name"] for author in project["authors"]]
    for required in ("message", "title", "type"):  # the format's own list, with authors and cff-version
        assert said[required]
