"""Expression and what goes with it, read and understood: values, samples, gene names, networks, data sets.

The first room of the data's wing; it imports the hall alone, and every other room may import it but those
of the model's wing (models, theory). Read ``io`` (a file becomes AnnData; ``formats``, ``tenx`` and
``containers``, ``loom``, ``other_tables``, ``long_tables`` and ``sample_files`` know the forms, ``streams``
takes pipes, ``orientation`` which way round, ``not_genes`` what is no gene; all of them end in ``tables``),
then ``scale`` and ``depth`` (what the values are), ``marks`` and ``estimated`` (what tools leave in their
files), ``expression`` (the values as an audit takes them, over ``taking``, ``value_checks`` and
``copies``; ``large`` over ``blocks`` and ``backed`` where cells do not fit into memory), ``suspicions`` and
``traps`` (what no control can see in them), ``samples``, ``labels``,
``matching`` and ``networks`` (labels, names, edges; ``network_formats``, ``edge_words``), and ``datasets``
over ``registry`` and ``download``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .datasets import dataset_info as dataset_info
    from .datasets import fetch_dataset as fetch_dataset
    from .datasets import list_datasets as list_datasets
    from .datasets import list_networks as list_networks
    from .datasets import load_dataset as load_dataset
    from .datasets import load_network as load_network
    from .datasets import network_info as network_info
    from .datasets import usable as usable
    from .expression import Expression as Expression
    from .expression import describe as describe
    from .io import read as read
    from .matching import match_edges as match_edges
    from .matching import match_genes as match_genes
    from .networks import read_edges as read_edges
    from .networks import read_regulators as read_regulators
    from .registry import Dataset as Dataset
    from .registry import Network as Network
    from .samples import read_samples as read_samples

_MODULE_OF = {
    "Dataset": "registry",
    "Expression": "expression",
    "Network": "registry",
    "dataset_info": "datasets",
    "describe": "expression",
    "fetch_dataset": "datasets",
    "list_datasets": "datasets",
    "list_networks": "datasets",
    "load_dataset": "datasets",
    "load_network": "datasets",
    "match_edges": "matching",
    "match_genes": "matching",
    "network_info": "datasets",
    "read": "io",
    "read_edges": "networks",
    "read_regulators": "networks",
    "read_samples": "samples",
    "usable": "datasets",
}
__getattr__, __dir__ = lazy_names(__name__, _MODULE_OF)
