"""The results as a page."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.cases import MEMORY_SHAPE, STRUCTURES
from bench.machine import head
from bench.memory import THEIR_ROWS

START, END = "<!-- speed table -->", "<!-- end of speed table -->"


def markdown(report: dict[str, Any]) -> str:
    """The table, and what it was measured on."""
    made_by = "`python -m bench.run`; milliseconds per EM iteration"
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
