"""Causal discovery and network inference under pooling: methods, tasks with truth, metrics, one run over all.

An optional room (``poolproof[discovery]``): it imports the rooms of both wings, and only report and cli may import it.
Read ``graph`` (what a method finds), ``methods`` (one file each, over ``preflight`` and ``worker``: what may go
in, and how long it may take), ``tasks`` (systems with truth), ``pooled`` (how cells become pools), ``metrics``,
``running`` (tasks x pools x methods x seeds), ``prediction`` (what check and audit said beforehand), ``page``.
"""
