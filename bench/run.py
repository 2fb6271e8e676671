"""gaussmix beside scikit-learn, in one run: seconds per EM iteration and extra memory of a fit.

    python -m bench.run                       # everything, about ten minutes; rewrites bench/results and README.md
    python -m bench.run --structure full      # one structure, printed only

Both fit the same rows from the same parameters, n_iter_ is checked, the runs are interleaved and the least of the
repeats counts. An iteration is the difference between a long and a short fit, so validation and the final E-step drop
out. scikit-learn runs with 1 and with 2 BLAS threads, and the better one counts: its threads stall on shared machines.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Theirs
from threadpoolctl import threadpool_limits

from bench.cases import STRUCTURES, Case, cases
from bench.machine import facts
from bench.memory import extra_memory
from bench.table import markdown, summary, with_table
from gaussmix import GaussianMixture as Ours

RESULTS = Path(__file__).parent / "results"
README = Path(__file__).parent.parent / "README.md"
EXTRA = {Ours: 20, Theirs: 5}  # iterations by which a long fit exceeds a short one


def seconds(estimator, case: Case, rows, max_iter: int, **options) -> float:
    """Wall time of a fit of exactly `max_iter` iterations."""
    model = estimator(
        case.n_components, covariance_type=case.structure, tol=0, reg_covar=1e-6, max_iter=max_iter,
        **case.start(), **options,
    )  # fmt: skip
    start = time.perf_counter()
    model.fit(rows)
    elapsed = time.perf_counter() - start
    assert model.n_iter_ == max_iter, (model.n_iter_, max_iter)
    return elapsed


def measure(case: Case, repeats: int) -> dict[str, float]:
    """Seconds per iteration of each contestant: its least long fit less its least short one, runs interleaved."""
    rows = case.rows()
    contestants = {
        "ours": (Ours, {}, 2),
        "ours, 1 thread": (Ours, {"n_jobs": 1}, 2),
        "sklearn 1": (Theirs, {}, 1),
        "sklearn 2": (Theirs, {}, 2),
    }
    least = dict.fromkeys(((name, extra) for name in contestants for extra in (False, True)), np.inf)
    for _ in range(repeats):
        for name, (estimator, options, blas_threads) in contestants.items():
            time.sleep(0.1)  # let BLAS threads that still spin fall asleep
            with threadpool_limits(blas_threads):
                for long in False, True:
                    elapsed = seconds(estimator, case, rows, 1 + EXTRA[estimator] * long, **options)
                    least[name, long] = min(least[name, long], elapsed)
    extra = {name: EXTRA[estimator] for name, (estimator, _, _) in contestants.items()}
    return {name: (least[name, True] - least[name, False]) / extra[name] for name in contestants}


def ratio(times: dict[str, float]) -> float:
    """How many times longer scikit-learn takes at its better number of threads."""
    return min(times["sklearn 1"], times["sklearn 2"]) / times["ours"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--structure", choices=STRUCTURES, action="append", help="only this; may be repeated")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    results = []
    for case in cases(arguments.structure or STRUCTURES):
        times = measure(case, arguments.repeats)
        results.append({"case": vars(case), "seconds": times, "ratio": ratio(times)})
        shown = "  ".join(f"{name} {value * 1e3:9.2f} ms" for name, value in times.items())
        print(f"{case.name:32s} {shown}  ×{ratio(times):.1f}", flush=True)
    for structure in arguments.structure or STRUCTURES:
        ratios = [r["ratio"] for r in results if r["case"]["structure"] == structure]
        print(f"{structure}: geometric mean ×{np.exp(np.mean(np.log(ratios))):.1f}, least ×{min(ratios):.1f}")
    if arguments.structure:
        return
    report = {"machine": facts(), "results": results, "memory": extra_memory()}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "sklearn.json").write_text(json.dumps(report, indent=1) + "\n")
    (RESULTS / "sklearn.md").write_text(markdown(report))
    README.write_text(with_table(README.read_text(), summary(report)))
    print(f"wrote {RESULTS / 'sklearn.md'} and the table in {README}")


if __name__ == "__main__":
    main()
