"""The results as a page."""

from __future__ import annotations

from typing import Any

import numpy as np
from cases import MEMORY_SHAPE, STRUCTURES
from memory import THEIR_ROWS


def markdown(report: dict[str, Any]) -> str:
    """The table, and what it was measured on."""
    lines = ["# gaussmix beside scikit-learn", "", "Made by `python bench/run.py`; milliseconds per EM iteration.", ""]
    lines += [f"- {name}: {value}" for name, value in report["machine"].items()]
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
