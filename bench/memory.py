"""Measure the peak of memory that a fit takes in addition to its data, with each fit in a separate process."""

from __future__ import annotations

import argparse
import subprocess
import sys
import warnings
from importlib import import_module

from bench.cases import MEMORY_SHAPE, Case
from bench.peak import rise_of_peak

THEIR_ROWS = 500_000  # a tenth of the rows shows how scikit-learn's arrays grow with n


def extra_memory() -> dict[str, float]:
    """Return megabytes besides the rows: of gaussmix with all rows, of scikit-learn with a tenth of them."""
    return {"gaussmix": _in_a_process("gaussmix", MEMORY_SHAPE[0]), "sklearn": _in_a_process("sklearn", THEIR_ROWS)}


def _in_a_process(package: str, n_rows: int) -> float:
    command = [sys.executable, "-m", "bench.memory", package, str(n_rows)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _peak_of_a_fit(package: str, n_rows: int) -> float:
    """Return the megabytes by which the peak of the resident memory rises in a fit with the default initialisation."""
    mixtures = import_module("gaussmix" if package == "gaussmix" else "sklearn.mixture")
    rows = Case("full", n_rows, *MEMORY_SHAPE[1:]).rows()
    warnings.simplefilter("ignore")
    mixtures.GaussianMixture(2, max_iter=1).fit(rows[:1000])  # loads everything that a first fit loads
    model = mixtures.GaussianMixture(MEMORY_SHAPE[2], max_iter=3, random_state=0)
    return rise_of_peak(lambda: model.fit(rows))[1]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", choices=["gaussmix", "sklearn"])
    parser.add_argument("n_rows", type=int)
    arguments = parser.parse_args()
    print(_peak_of_a_fit(arguments.package, arguments.n_rows))
