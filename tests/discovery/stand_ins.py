"""Functions that stand in for methods in the tests of the worker."""

import os
import random
import sys
import time

import numpy as np

from poolproof.discovery.graph import Graph


def sleep(values, names, *, seed=0, seconds=60.0):
    time.sleep(seconds)
    return Graph.of(names)


def die(values, names, *, seed=0):
    os.abort()


def leave(values, names, *, seed=0):
    os._exit(3)


def fail(values, names, *, seed=0):
    raise ZeroDivisionError("nothing\nto divide by")


def give_nothing(values, names, *, seed=0):
    return "no graph"


def shout(values, names, *, seed=0):
    print("printed")
    print("complained", file=sys.stderr)
    os.write(1, b"written\n")
    os.write(2, b"written as well\n")
    return Graph.of(names)


def tell(values, names, *, seed=0):
    none = np.zeros((len(names), len(names)), dtype=bool)
    facts = {
        "pid": os.getpid(),
        "threads": [os.environ["OMP_NUM_THREADS"], os.environ["RAYON_NUM_THREADS"]],
        "drawn": [random.random(), np.random.rand()],  # noqa: NPY002
    }
    return Graph(names, none, none.copy(), facts=facts)
