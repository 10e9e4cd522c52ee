"""A model that several tests answer, and its answer under other names."""

LONG = "n" * 300


FORK = {
    "name": "fork",
    "aggregation": "sum",
    "cells": 20,
    "verdict": "partial",
    "reasons": ["2 of 4 mechanisms keep their form; 2 fail, 0 undecided."],
    "mechanisms": [
        {
            "gene": "Y",
            "parents": [],
            "ffc": "holds",
            "quantifier": "uniform",
            "rule": "no parents",
            "witness": None,
        },
        {
            "gene": "Z",
            "parents": ["Y"],
            "ffc": "holds",
            "quantifier": "uniform",
            "rule": "affine",
            "witness": None,
        },
        {
            "gene": "X",
            "parents": ["Y"],
            "ffc": "fails",
            "quantifier": "law",
            "rule": "not affine",
            "witness": {
                "pools": [
                    {
                        "cells": [
                            {"values": {"Y": 0.0, "N": 0.5}, "child": 0.5, "times": 1},
                            {"values": {"Y": 2.0, "N": 0.5}, "child": 4.5, "times": 1},
                        ],
                        "pooled": {"values": {"Y": 2.0, "N": 1.0}, "child": 5.0},
                    },
                    {
                        "cells": [{"values": {"Y": 1.0, "N": 0.5}, "child": 1.5, "times": 2}],
                        "pooled": {"values": {"Y": 2.0, "N": 1.0}, "child": 3.0},
                    },
                ],
                "difference": -2.0,
                "same_noise": True,
                "further_cells": 18,
            },
        },
        {
            "gene": "K",
            "parents": ["Y"],
            "ffc": "fails",
            "quantifier": "law",
            "rule": "in law: the variance is not affine",
            "witness": {
                "pools": [
                    {
                        "cells": [{"values": {"Y": 0.0}, "times": 1}, {"values": {"Y": 2.0}, "times": 1}],
                        "pooled": {"values": {"Y": 2.0}},
                        "child_cumulants": [2.0, 4.0, 8.0, 16.0],
                    },
                    {
                        "cells": [{"values": {"Y": 1.0}, "times": 2}],
                        "pooled": {"values": {"Y": 2.0}},
                        "child_cumulants": [2.0, 2.0, 2.0, 2.0],
                    },
                ],
                "same_noise": True,
                "further_cells": 1,
            },
        },
    ],
    "separations": [
        {
            "x": "X",
            "y": "Z",
            "given": ["Y"],
            "cic": "holds",
            "quantifier": "uniform",
            "rule": "the edges that pass the one-edge criterion separate them",
            "limit_partial_correlation": -1e-12,
            "limit_standard_error": 0.0,
            "uniform": "holds",
            "monte_carlo": None,
        },
        {
            "x": "X",
            "y": "K",
            "given": ["Y"],
            "cic": "fails",
            "quantifier": "limit",
            "rule": "partial correlation of many cells",
            "limit_partial_correlation": -0.5071,
            "limit_standard_error": 1e-5,
            "uniform": "fails",
            "monte_carlo": "broken",
        },
        {
            "x": "Z",
            "y": "K",
            "given": ["Y"],
            "cic": "holds",
            "quantifier": "law",
            "rule": "a reversed kernel depends on the sum only",
            "limit_partial_correlation": None,
            "limit_standard_error": 0.0,
            "uniform": "fails",
            "monte_carlo": None,
        },
    ],
    "lost_dependences": [
        {
            "x": "X",
            "y": "Z",
            "given": ["K"],
            "kind": "collider",
            "limit_partial_correlation": 0.0001,
            "limit_standard_error": 1e-5,
        }
    ],
    "surviving_edges": [["Y", "Z"]],
    "monte_carlo": {
        "n_pools": 2000,
        "n_tested": 1,
        "n_broken": 1,
        "level": 1e-3,
        "detectable": 0.08,
        "power": 0.8,
        "seed": 0,
    },
    "settings": {
        "max_given": None,
        "separations_listed": "all",
        "monte_carlo": True,
        "n_pools": 2000,
        "seed": 0,
    },
    "tool": {"name": "poolproof", "version": "0.1.0"},
}


def renamed(summary, names):
    """The same answer with other names of genes."""

    def of(value):
        if isinstance(value, dict):
            return {names.get(k, k): of(v) for k, v in value.items()}
        if isinstance(value, list):
            return [of(v) for v in value]
        return names.get(value, value) if isinstance(value, str) else value

    return of(summary)
