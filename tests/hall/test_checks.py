"""Checks that every room shares."""

import numpy as np
import pytest

from poolproof import InputError
from poolproof._checks import check_threads, check_whole


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_whole__gives_a_plain_int(value):
    found = check_whole("n", value, 3)
    assert found == 3
    assert type(found) is int


@pytest.mark.parametrize("value", [0, True, np.True_, 3.0, "3", None, float("nan"), [3]])
def test_whole__says_what_was_expected_and_found(value):
    with pytest.raises(InputError, match=r"^n must be a whole number of at least 1; found '.*'$"):
        check_whole("n", value, 1)


def test_whole__hostile_text_stays_on_one_line():
    with pytest.raises(InputError) as raised:
        check_whole("n", "1\x1b[31m\n", 1)
    assert str(raised.value).isprintable()


def test_threads__none_is_all_processors():
    assert check_threads(None) >= 1
    with pytest.raises(InputError, match="threads must be a whole number of at least 1; found '0'"):
        check_threads(0)
