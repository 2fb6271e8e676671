"""Peak memory of a fit beyond its data, each measured in a process of its own."""

from __future__ import annotations

import argparse
import subprocess
import sys

from bench.cases import MEMORY_SHAPE, Case
from bench.peak import rise_of_peak

THEIR_ROWS = 500_000  # scikit-learn's arrays grow with n; a tenth of the rows is enough to see by how much


def extra_memory() -> dict[str, float]:
    """Megabytes beyond the rows: ours on all of them, scikit-learn's on a tenth."""
    return {"gaussmix": _in_a_process("gaussmix", MEMORY_SHAPE[0]), "sklearn": _in_a_process("sklearn", THEIR_ROWS)}


def _in_a_process(package: str, n_rows: int) -> float:
    command = [sys.executable, "-m", "bench.memory", package, str(n_rows)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _peak_of_a_fit(package: str, n_rows: int) -> float:
    """How much the peak of the resident memory rises in a fit with the default start, in MB."""
    import warnings

    if package == "gaussmix":
        from gaussmix import GaussianMixture
    else:
        from sklearn.mixture import GaussianMixture
    rows = Case("full", n_rows, *MEMORY_SHAPE[1:]).rows()
    warnings.simplefilter("ignore")
    GaussianMixture(2, max_iter=1).fit(rows[:1000])  # what is loaded once
    model = GaussianMixture(MEMORY_SHAPE[2], max_iter=3, random_state=0)
    return rise_of_peak(lambda: model.fit(rows))[1]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", choices=["gaussmix", "sklearn"])
    parser.add_argument("n_rows", type=int)
    arguments = parser.parse_args()
    print(_peak_of_a_fit(arguments.package, arguments.n_rows))
