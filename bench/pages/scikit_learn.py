"""Time an EM iteration of gaussmix and of scikit-learn, and measure the memory of a fit, in one run.

    python -m bench.pages.scikit_learn                     # everything, ten minutes; rewrites its page and README.md
    python -m bench.pages.scikit_learn --structure full    # one structure, printed only

Both fit the same rows from the same parameters, and n_iter_ is checked. The runs alternate, and the least time of the
repeats counts. The time of an iteration is the difference between a long and a short fit, so that validation and the
final E-step cancel out. scikit-learn runs with 1 and with 2 BLAS threads, and the faster run counts, because its
threads stall on shared machines.
"""

from __future__ import annotations

import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Theirs
from threadpoolctl import threadpool_limits

from bench.cases import MEMORY_SHAPE, STRUCTURES, Case, cases
from bench.memory import THEIR_ROWS, extra_memory
from bench.pages.base import Page, least_seconds, line_of, parser_of
from gaussmix import GaussianMixture as Ours
from gaussmix._src.numerics.arrays import Array

README = Path(__file__).parents[2] / "README.md"
START, END = "<!-- speed table -->", "<!-- end of speed table -->"  # marks around the table in the README
EXTRA = {Ours: 20, Theirs: 5}  # iterations by which a long fit exceeds a short one


def seconds(estimator: type[Any], case: Case, rows: Array, max_iter: int, **options: int) -> float:
    """Return the wall time of a fit of exactly `max_iter` iterations."""
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
    """Return seconds per iteration of each: its least long fit minus its least short one."""
    rows = case.rows()
    ways: dict[str, tuple[type[Any], dict[str, int], int]] = {  # last entry: number of BLAS threads
        "ours": (Ours, {}, 2),
        "ours, 1 thread": (Ours, {"n_jobs": 1}, 2),
        "sklearn 1": (Theirs, {}, 1),
        "sklearn 2": (Theirs, {}, 2),
    }
    least = dict.fromkeys(((name, extra) for name in ways for extra in (False, True)), np.inf)
    for _ in range(repeats):
        for name, (estimator, options, blas_threads) in ways.items():
            time.sleep(0.1)  # until BLAS threads have stopped spinning
            with threadpool_limits(blas_threads):
                for long in False, True:
                    elapsed = seconds(estimator, case, rows, 1 + EXTRA[estimator] * long, **options)
                    least[name, long] = min(least[name, long], elapsed)
    extra = {name: EXTRA[estimator] for name, (estimator, _, _) in ways.items()}
    return {name: (least[name, True] - least[name, False]) / extra[name] for name in ways}


FITTED = Case("full", 500_000, 8, 16, separated=True), Case("full", 500_000, 8, 16)


def whole_fits(case: Case) -> dict[str, float]:
    """Return processor seconds of a whole default fit on one core: the least of two of each."""
    rows, kinds = case.rows(), {"ours": (Ours, {"n_jobs": 1}), "sklearn": (Theirs, {})}

    def fit(estimator: type[Any], options: dict[str, int]) -> Any:
        return estimator(case.n_components, random_state=0, **options).fit(rows)

    with threadpool_limits(1):
        return least_seconds({name: partial(fit, *kind) for name, kind in kinds.items()}, 2, time.process_time)


def ratio(times: dict[str, float]) -> float:
    """Return the ratio of scikit-learn's time, with its better number of threads, to gaussmix's."""
    return min(times["sklearn 1"], times["sklearn 2"]) / times["ours"]


def cells(result: dict[str, Any]) -> tuple[str, ...]:
    """Return a row of a table."""
    case, seconds = result["case"], result["seconds"]
    times = (f"{1e3 * seconds[name]:.1f}" for name in ("ours", "ours, 1 thread", "sklearn 1", "sklearn 2"))
    return f"{case['n_rows']:,}, {case['n_features']}, {case['n_components']}", *times, f"×{result['ratio']:.1f}"


def fit_cells(case: Case, seconds: dict[str, float]) -> tuple[str, ...]:
    """Return a row of the table of whole fits."""
    shown_seconds = (f"{seconds[name]:.2f}" for name in ("ours", "sklearn"))
    shape = f"{case.n_rows:,}, {case.n_features}, {case.n_components}, {'apart' if case.separated else 'overlapping'}"
    return shape, *shown_seconds, f"×{seconds['sklearn'] / seconds['ours']:.1f}"


def select_structure(results: list[dict[str, Any]], structure: str) -> list[dict[str, Any]]:
    return [result for result in results if result["case"]["structure"] == structure]


def mean_ratio(results: list[dict[str, Any]]) -> float:
    """Return the geometric mean."""
    return float(np.exp(np.mean([np.log(result["ratio"]) for result in results])))


def summary(
    machine: dict[str, str], results: list[dict[str, Any]], memory: dict[str, float], fits: list[dict[str, float]]
) -> str:
    """Return the table for the README: how many times longer scikit-learn takes, structure by structure."""
    apart, mixed = fits
    lines = [
        f"The table shows how many times longer scikit-learn {machine['scikit-learn']} takes for an EM iteration "
        f"({machine['processor']}, {machine['processors used']} cores, {machine['instruction set']}; "
        "[all figures](bench/results/scikit_learn.md)):",
        "",
        line_of(["rows, features, components", *STRUCTURES]),
        "|---|" + "---:|" * len(STRUCTURES),
    ]
    ratios: dict[str, list[str]] = {}
    for result in results:
        ratios.setdefault(cells(result)[0], []).append(f"{result['ratio']:.0f}×")
    lines += [line_of([shape, *values]) for shape, values in ratios.items()]
    lines += [
        "",
        "A complete default fit (full, 500,000 rows, 8 features, 16 components, one core) took "
        f"{apart['ours']:.2f} s for separate clusters and {mixed['ours']:.2f} s for overlapping clusters. "
        f"scikit-learn's default fits took {apart['sklearn']:.1f} and {mixed['sklearn']:.1f} s.",
        f"A fit of {MEMORY_SHAPE[0] // 1_000_000} million rows (8 features, 32 components) needs "
        f"{memory['gaussmix']:.0f} MB besides the data; scikit-learn needs {memory['sklearn']:.0f} MB for a tenth "
        "as many rows.",
    ]
    return "\n".join(lines)


def with_table(page: str, table: str) -> str:
    """Return the page with the table between its two marks."""
    before, _, rest = page.partition(START)
    after = rest.partition(END)[2]
    return f"{before}{START}\n{table}\n{END}{after}"


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--structure", choices=STRUCTURES, action="append", help="only this; may be repeated")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    results: list[dict[str, Any]] = []
    for case in cases(arguments.structure or STRUCTURES):
        times = measure(case, arguments.repeats)
        results.append({"case": vars(case), "seconds": times, "ratio": ratio(times)})
        shown = "  ".join(f"{name} {value * 1e3:9.2f} ms" for name, value in times.items())
        print(f"{case.name:32s} {shown}  ×{ratio(times):.1f}", flush=True)
    for structure in arguments.structure or STRUCTURES:
        own = select_structure(results, structure)
        least = min(result["ratio"] for result in own)
        print(f"{structure}: geometric mean ×{mean_ratio(own):.1f}, least ×{least:.1f}")
    if arguments.structure:
        return
    memory, (n_rows, n_features, n_components) = extra_memory(), MEMORY_SHAPE
    page = Page(__file__, "gaussmix compared with scikit-learn", "milliseconds per EM iteration")
    for structure in STRUCTURES:
        own = select_structure(results, structure)
        page.say(f"## {structure}: ×{mean_ratio(own):.1f} in the geometric mean")
        names = "n, d, K | gaussmix | gaussmix, 1 thread | scikit-learn, 1 BLAS thread | 2 BLAS threads | ratio"
        page.table(names, map(cells, own))
    page.say(
        "## Memory",
        "",
        f"A default fit (full, d={n_features}, K={n_components}) needs {memory['gaussmix']:.0f} MB in addition to "
        f"{n_rows:,} rows with gaussmix, and {memory['sklearn']:.0f} MB in addition to {THEIR_ROWS:,} rows with "
        "scikit-learn.",
    )
    fits = [whole_fits(case) for case in FITTED]
    page.say("## A whole default fit", "", "Processor seconds on one core, full covariances, default initialisations.")
    page.table("n, d, K | gaussmix | scikit-learn | ratio", map(fit_cells, FITTED, fits))
    page.write()
    README.write_text(with_table(README.read_text(), summary(page.machine, results, memory, fits)))


if __name__ == "__main__":
    main()
