"""Draw the results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from bench.cases import SHAPES
from bench.peers.bars import KINDS, best, cases_of, found, title
from bench.peers.page import PLOTS, Report

MARKERS = "os^vD<>pP*"
LABELS = [f"{n:,}\nd={d}\nK={k}" for n, d, k in SHAPES]


def draw(report: Report, folder: Path) -> None:
    """Write every plot of the page into the folder."""
    figure, axes = plt.subplots(1, len(KINDS), figsize=(14, 4.6), sharey=True, layout="constrained")
    for axis, kind in zip(axes, KINDS, strict=True):
        values = {
            peer: [best(found(report["results"], peer, case)) for case in cases_of(*kind)]
            for peer in report["versions"]
        }
        _lines(axis, values)
        axis.set_title(title(*kind))
    axes[0].set_ylabel("seconds per EM iteration")
    _finish(figure, axes[0], folder / PLOTS["seconds"])

    figure, axis = plt.subplots(figsize=(7.5, 4.6), layout="constrained")
    values = {peer: [_megabytes(report, peer, case) for case in cases_of("full", False)] for peer in report["versions"]}
    _lines(axis, values)
    axis.set_ylabel("MB beside the rows, full")
    _finish(figure, axis, folder / PLOTS["memory"])


def _megabytes(report: Report, peer: str, case: Any) -> float | None:
    """Megabytes with all rows; None if the peer had fewer, because memory need not grow in proportion."""
    result = found(report["results"], peer, case)
    if result is None or "failed" in result or result["n_rows"] < case.n_rows:
        return None
    return result["megabytes"]


def _lines(axis: Axes, values: dict[str, list[float | None]]) -> None:
    for number, (peer, of_peer) in enumerate(values.items()):
        heights = [float("nan") if value is None else value for value in of_peer]
        ours = peer == "gaussmix"
        axis.plot(
            range(len(SHAPES)), heights, marker=MARKERS[number % len(MARKERS)], label=peer, color=f"C{number % 10}",
            linewidth=2.5 if ours else 1, markersize=7 if ours else 5, zorder=3 if ours else 2,
        )  # fmt: skip
    axis.set_yscale("log")
    axis.set_xticks(range(len(SHAPES)), LABELS, fontsize=7)
    axis.grid(axis="y", alpha=0.3)


def _finish(figure: Any, legend_of: Axes, path: Path) -> None:
    handles, labels = legend_of.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    figure.savefig(path, dpi=90)
    plt.close(figure)
