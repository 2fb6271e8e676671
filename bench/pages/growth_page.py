"""Write the page of growth: tables, plots and fitted exponents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bench.pages.base import head

Report = dict[str, Any]
LETTERS = {"n_rows": "n", "n_features": "d", "n_components": "K"}
PLOTS = {"growth": "growth.png", "threads": "growth-threads.png"}
HOW = """
## How

As in the [peers' table](peers.md), the time of an iteration is the difference between a long and a short fit, and each
point is measured in a process of its own. gaussmix runs with one thread and with all, and the faster counts;
scikit-learn runs with one BLAS thread. Memory is the rise of the peak of the resident memory over all fits of a point,
without the rows. An exponent b means that the figure grows as size^b. It is fitted by least squares on logarithms to
the larger half of the sizes, at least three. A size at which an iteration would take more than 5 s or 3 GB is left out.
"""


def exponent(points: list[dict[str, float]], what: str) -> float | None:
    """The slope of log `what` over log size on the larger half of the sizes, at least three."""
    last = points[-max(3, len(points) // 2) :]
    if len(last) < 3 or min(point[what] for point in last) <= 0:
        return None
    return float(np.polyfit(np.log([p["size"] for p in last]), np.log([p[what] for p in last]), 1)[0])


def markdown(report: Report) -> str:
    """The whole page."""
    lines = head("How time and memory grow", "`python -m bench.pages.growth`", report["machine"])
    lines += ["", f"![time and memory]({PLOTS['growth']})", "", "## Exponents", "", *exponents(report)]
    for varied in report["sweeps"]:
        lines += ["", f"## {LETTERS[varied]}: {_fixed(report, varied)}", "", *table(report, varied)]
    lines += ["", "## Threads", "", *threads(report), "", f"![threads]({PLOTS['threads']})"]
    if (large := report["large"]) is not None:
        lines += ["", "## Many components", "", _large(large)]
    return "\n".join(lines) + "\n" + HOW


def _fixed(report: Report, varied: str) -> str:
    sizes = report["fixed"] | report["fewer"].get(varied, {})
    return ", ".join(f"{LETTERS[name]} = {size:,}" for name, size in sizes.items() if name != varied)


def exponents(report: Report) -> list[str]:
    lines = [
        "| | time by " + " | time by ".join(LETTERS.values()) + " | memory by " + " | memory by ".join(LETTERS.values())
    ]
    lines = [lines[0] + " |", "|---|" + "---:|" * 6]
    for package in next(iter(report["sweeps"].values())):
        cells = [
            exponent(report["sweeps"][varied][package], what) for what in ("seconds", "megabytes") for varied in LETTERS
        ]
        lines.append(f"| {package} | " + " | ".join("–" if b is None else f"{b:.2f}" for b in cells) + " |")
    return lines


def table(report: Report, varied: str) -> list[str]:
    """A line for each size: milliseconds and megabytes of each package."""
    sweeps = report["sweeps"][varied]
    head = " | ".join(f"{package}, ms | MB" for package in sweeps)
    lines = [f"| {LETTERS[varied]} | {head} |", "|---:|" + "---:|" * 2 * len(sweeps)]
    for size in sorted({point["size"] for points in sweeps.values() for point in points}):
        cells = []
        for points in sweeps.values():
            of_size = [point for point in points if point["size"] == size]
            cells += [f"{1e3 * p['seconds']:,.2f} | {p['megabytes']:,.1f}" for p in of_size] or ["– | –"]
        lines.append(f"| {size:,} | {' | '.join(cells)} |")
    return lines


def threads(report: Report) -> list[str]:
    points = report["threads"]
    if not points:
        return ["Not measured."]
    counts = list(points[0]["speed_up"])
    lines = [
        "How many times as fast as with one thread gaussmix is. The last column is the same for as many processes as "
        "there are processors, of one thread each: the host allows no more.",
        "",
        "| n, d, K | " + " | ".join(f"{count} threads" for count in counts if int(count) > 1) + " | processes |",
        "|---|" + "---:|" * len(counts),
    ]
    for point in points:
        case = point["case"]
        of_counts = [point["speed_up"].get(count) for count in counts if int(count) > 1]
        cells = ["–" if value is None else f"{value:.2f}" for value in of_counts]
        shape = f"{case['n_rows']:,}, {case['n_features']}, {case['n_components']}"
        lines.append(f"| {shape} | {' | '.join(cells)} | {point['processes']:.2f} |")
    return lines


def _large(large: dict[str, Any]) -> str:
    if "failed" in large:
        return f"Not measured: {large['failed']}."
    case, seconds = large["case"], min(large["seconds"].values())
    return (
        f"{case['n_rows']:,} rows, {case['n_features']} features, {case['n_components']:,} components: an iteration "
        f"takes {seconds:.1f} s, and a fit {large['megabytes']:.0f} MB beside the rows; the covariances alone are "
        f"{large['covariances']:.0f} MB."
    )


def draw(report: Report, folder: Path) -> None:
    """Write both plots into the folder."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(11, 6), layout="constrained", sharey="row", sharex="col")
    for column, (varied, sweeps) in enumerate(report["sweeps"].items()):
        for row, what in enumerate(("seconds", "megabytes")):
            axis = axes[row, column]
            for package, points in sweeps.items():
                axis.loglog([p["size"] for p in points], [p[what] for p in points], "o-", label=package, markersize=4)
            axis.grid(alpha=0.3)
        axes[0, column].set_title(_fixed(report, varied), fontsize=9)
        axes[1, column].set_xlabel(LETTERS[varied])
    axes[0, 0].set_ylabel("seconds per EM iteration")
    axes[1, 0].set_ylabel("MB beside the rows")
    axes[0, 0].legend(frameon=False)
    figure.savefig(folder / PLOTS["growth"], dpi=90)
    plt.close(figure)

    figure, axis = plt.subplots(figsize=(5, 3.6), layout="constrained")
    for point in report["threads"]:
        case = point["case"]
        label = f"{case['n_rows']:,}, {case['n_features']}, {case['n_components']}"
        counts = [int(count) for count in point["speed_up"]]
        axis.plot(counts, list(point["speed_up"].values()), "o-", label=label, markersize=4)
    axis.set(xlabel="threads", ylabel="times as fast as one")
    axis.grid(alpha=0.3)
    if report["threads"]:
        axis.set_xticks(counts)
        axis.legend(title="n, d, K", frameon=False, fontsize=7, title_fontsize=7)
    figure.savefig(folder / PLOTS["threads"], dpi=90)
    plt.close(figure)
