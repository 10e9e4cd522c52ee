"""Plan an experiment: how many pools, of how many cells, read how deep; and take pools apart again.

Imports the hall, data, pairs, triples, pools and report; the command line imports it, and nothing else
does. Read ``laws`` (what pools leave of a pair) and ``powers`` (what tests see of it), ``system`` (pairs of
genes as a pilot or numbers give them), ``designs`` (one design judged by the laws), ``pilot`` (a system
from the user's own cells), ``costs`` (what money buys), ``choosing`` (the public function) and ``page``;
then ``cumulants`` and ``depooling``.
"""
