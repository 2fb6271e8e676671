"""Time an EM iteration of gaussmix and of scikit-learn, and measure the memory of a fit, in one run.

    python -m bench.pages.scikit_learn                     # everything, ten minutes; rewrites its page and README.md
    python -m bench.pages.scikit_learn --structure full    # one structure, printed only

Both fit the same rows from the same parameters, and n_iter_ is checked. The runs alternate, and the least time of the
repeats counts. The time of an iteration is the difference between a long and a short fit, so that validation and the
final E-step cancel out. scikit-learn runs with 1 and with 2 BLAS threads, and the faster counts: its threads stall on
shared machines.
"""

from __future__ import annotations

import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Theirs
from threadpoolctl import threadpool_limits

from bench.cases import MEMORY_SHAPE, STRUCTURES, Case, cases
from bench.memory import THEIR_ROWS, extra_memory
from bench.pages.base import RESULTS, facts, head, parser_of
from gaussmix import GaussianMixture as Ours
from gaussmix.numerics.arrays import Array

README = Path(__file__).parents[2] / "README.md"
START, END = "<!-- speed table -->", "<!-- end of speed table -->"  # in the README
EXTRA = {Ours: 20, Theirs: 5}  # iterations by which a long fit exceeds a short one


def seconds(estimator: type[Any], case: Case, rows: Array, max_iter: int, **options: int) -> float:
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
    """Seconds per iteration of each: its least long fit less its least short one."""
    rows = case.rows()
    ways: dict[str, tuple[type[Any], dict[str, int], int]] = {  # with the number of BLAS threads
        "ours": (Ours, {}, 2),
        "ours, 1 thread": (Ours, {"n_jobs": 1}, 2),
        "sklearn 1": (Theirs, {}, 1),
        "sklearn 2": (Theirs, {}, 2),
    }
    least = dict.fromkeys(((name, extra) for name in ways for extra in (False, True)), np.inf)
    for _ in range(repeats):
        for name, (estimator, options, blas_threads) in ways.items():
            time.sleep(0.1)  # until BLAS threads have stopped to spin
            with threadpool_limits(blas_threads):
                for long in False, True:
                    elapsed = seconds(estimator, case, rows, 1 + EXTRA[estimator] * long, **options)
                    least[name, long] = min(least[name, long], elapsed)
    extra = {name: EXTRA[estimator] for name, (estimator, _, _) in ways.items()}
    return {name: (least[name, True] - least[name, False]) / extra[name] for name in ways}


def ratio(times: dict[str, float]) -> float:
    """scikit-learn's time with its better number of threads, by ours."""
    return min(times["sklearn 1"], times["sklearn 2"]) / times["ours"]


def markdown(report: dict[str, Any]) -> str:
    """The page: a table for each structure, and the memory."""
    made_by = "`python -m bench.pages.scikit_learn`; milliseconds per EM iteration"
    lines = head("gaussmix beside scikit-learn", made_by, report["machine"])
    for structure in STRUCTURES:
        results = [r for r in report["results"] if r["case"]["structure"] == structure]
        lines += _table(structure, results)
    ours, theirs = report["memory"]["gaussmix"], report["memory"]["sklearn"]
    n_rows, n_features, n_components = MEMORY_SHAPE
    lines += [
        "",
        "## Memory",
        "",
        f"A full fit with the default start, d={n_features}, K={n_components}: gaussmix needs {ours:.0f} MB beside "
        f"{n_rows:,} rows; scikit-learn {theirs:.0f} MB beside {THEIR_ROWS:,}.",
    ]
    return "\n".join(lines) + "\n"


def _table(structure: str, results: list[dict[str, Any]]) -> list[str]:
    mean = np.exp(np.mean([np.log(r["ratio"]) for r in results]))
    lines = [
        "",
        f"## {structure}: ×{mean:.1f} in the geometric mean",
        "",
        "| n, d, K | gaussmix | gaussmix, 1 thread | scikit-learn, 1 BLAS thread | 2 BLAS threads | ratio |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for result in results:
        case, seconds = result["case"], result["seconds"]
        times = " | ".join(
            f"{1e3 * seconds[name]:.1f}" for name in ("ours", "ours, 1 thread", "sklearn 1", "sklearn 2")
        )
        shape = f"{case['n_rows']:,}, {case['n_features']}, {case['n_components']}"
        lines.append(f"| {shape} | {times} | ×{result['ratio']:.1f} |")
    return lines


def summary(report: dict[str, Any]) -> str:
    """The table for the README: how many times longer scikit-learn takes, structure by structure."""
    machine = report["machine"]
    lines = [
        f"How many times longer scikit-learn {machine['scikit-learn']} takes for an EM iteration "
        f"({machine['processor']}, {machine['processors used']} cores, {machine['instruction set']}; "
        "[all figures](bench/results/sklearn.md)):",
        "",
        "| rows, features, components | " + " | ".join(STRUCTURES) + " |",
        "|---|" + "---:|" * len(STRUCTURES),
    ]
    ratios: dict[tuple[int, ...], list[str]] = {}
    for result in report["results"]:
        case = result["case"]
        shape = case["n_rows"], case["n_features"], case["n_components"]
        ratios.setdefault(shape, []).append(f"{result['ratio']:.0f}×")
    lines += [f"| {n:,}, {d}, {k} | {' | '.join(values)} |" for (n, d, k), values in ratios.items()]
    ours, theirs = report["memory"]["gaussmix"], report["memory"]["sklearn"]
    n_rows = MEMORY_SHAPE[0] // 1_000_000
    lines += [
        "",
        f"A fit of {n_rows} million rows (8 features, 32 components) needs {ours:.0f} MB beside the data; scikit-learn "
        f"needs {theirs:.0f} MB for a tenth of them.",
    ]
    return "\n".join(lines)


def with_table(page: str, table: str) -> str:
    """The page with the table between its two marks."""
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
