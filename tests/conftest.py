"""What several test files share."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Scripts that make the frozen references need programs that the tests do without.
collect_ignore_glob = ["reference/make_*.py"]

settings.register_profile("fixed", derandomize=True)  # the same cases in every run
settings.load_profile("fixed")

SHARED = Path(
    os.environ.get("POOLPROOF_SHARED_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data"
)


def shared_data(name: str) -> Path:
    """Path of a real data file that lies beside the checkout, not in it.

    Where the file is absent the test is skipped, except under ``CI=true``: there it fails.
    """
    path = SHARED / name
    if not path.is_file():
        reason = f"needs the data file {name} in a folder shared/data beside the checkout"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path
