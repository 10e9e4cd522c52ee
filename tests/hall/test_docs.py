import pytest

import poolproof
from poolproof._docs import texts_of


def source(size, colour):
    """Take some.

    Parameters
    ----------
    size, colour
        What one sees:

        - of every one.
    """


def test_texts_of__groups_what_shares_a_text_and_keeps_the_rest():
    @texts_of(source)
    def other(size, colour, seed):
        """Take others.

        Parameters
        ----------
        size, colour
            See :func:`poolproof.source`.
        seed
            As for :func:`poolproof.source`, but odd.
        """

    lines = other.__doc__.splitlines()
    assert lines[4:8] == ["size, colour", "    What one sees:", "", "    - of every one."]
    assert lines[8:] == ["seed", "    As for :func:`poolproof.source`, but odd."]


@pytest.mark.parametrize(
    "text", ["size\n    See :func:`poolproof.unknown`.", "weight\n    See :func:`poolproof.source`."]
)
def test_texts_of__refuses_a_reference_that_leads_nowhere(text):
    def other():
        pass

    other.__doc__ = f"Take others.\n\nParameters\n----------\n{text}\n"
    with pytest.raises(KeyError):
        texts_of(source)(other)


@pytest.mark.parametrize("name", ["audit", "linearity", "screen_triples", "pooling_curves"])
def test_help__says_what_a_scale_is_at_every_function_that_takes_one(name):
    text = getattr(poolproof, name).__doc__
    assert "See :func:`poolproof.describe`" not in text
    assert text.count("``counts``, ``additive``, ``log``, or ``auto``") == 1
