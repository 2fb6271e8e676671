"""Rows from which the reference values were computed: data of the examples, scikit-learn's iris, and `tables.npz`."""

from functools import cache
from pathlib import Path

import numpy as np
from sklearn.datasets import load_iris

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples"


@cache
def rows_of(name):
    """Return a data set (n_rows, n_features) by its name in the R scripts."""
    if name == "iris":
        return load_iris().data
    if name in ("eruptions", "noise"):
        faithful = rows_of("faithful")
        return faithful[:, :1] if name == "eruptions" else np.concatenate([faithful, read_archive("uniform")])
    if name in ("faithful", "galaxies", "banknote"):
        width = {"faithful": 2, "galaxies": 1, "banknote": 6}[name]
        return np.loadtxt(EXAMPLES / f"{name}.csv", delimiter=",", skiprows=1, ndmin=2, usecols=range(width))
    return read_archive(name)


def read_archive(name):
    """Return an array of `tables.npz`."""
    with np.load(HERE / "tables.npz") as tables:
        return tables[name]
