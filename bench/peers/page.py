"""Write the page of results: bars, seconds, memory, errors, and how they were measured."""

from __future__ import annotations

from typing import Any

from bench.cases import SHAPES, Case
from bench.pages.base import head
from bench.peers.bars import BARS, KINDS, Result, best, cases_of, found, geometric_mean, ratios, title, verdict

Report = dict[str, Any]
HOW = """
## How

All peers fit the same rows from the same initial parameters, in float64. Each fit of a case by a peer is a separate
process, and the peers take turns within a case. The time of an iteration is the difference between a long and a short
fit, divided by the difference of their iterations; the fastest of two or three fits of each length counts. Peers run
with one thread and with one thread per processor, and the faster run counts. Overlapping clusters have centres 1.5
standard deviations from the origin, so that no work can be skipped. Separated clusters have centres whose coordinates
have a standard deviation of 3, and fits start close to them. Only gaussmix and the peers with bars are measured on
separated clusters, because the other peers do the same work for both kinds of clusters.

A peer that would take minutes gets fewer rows, and its time is scaled in proportion. Such times are in *italics*. The
memory of these fits, also in *italics*, is not scaled.

Memory is the rise of the peak resident memory over all fits, without the rows.

Each error is the largest of its kind, compared with mpmath with 50 digits, for 300 rows, 5 features and 4 components.
Errors of weights and log-likelihoods are relative, errors of means are in standard deviations, and errors of
covariances are relative to the product of two standard deviations. The errors after three iterations show that a peer
makes three iterations. "Far" means the same data, shifted by 10,000 standard deviations. Rounding such means to double
alone causes an error of about 1e-12.
"""


def markdown(report: Report) -> str:
    """Return the whole page."""
    results = report["results"]
    lines = head("gaussmix compared with its peers", "`python -m bench.peers`", report["machine"])
    lines += [
        "",
        "## Bars",
        "",
        "The table shows a peer's time per iteration divided by gaussmix's, as a geometric mean over the shapes.",
        "",
    ]
    lines += bars(results)
    for kind in KINDS:
        lines += ["", f"## Milliseconds per iteration: {title(*kind)}", "", *times(report, *kind)]
    lines += ["", "## Extra memory in MB: full, overlapping clusters", "", *memory(report)]
    lines += ["", "## Errors", "", *errors(report), "", "## Versions and failures", "", *peers(report)]
    return "\n".join(lines) + "\n" + HOW


def bars(results: list[Result]) -> list[str]:
    lines = ["| data | peer | at least | reached | |", "|---|---|---:|---:|---|"]
    for bar in BARS:
        reached, met = verdict(bar, results)
        lines.append(f"| {title(bar.structure, bar.separated)} | {bar.peer} | {bar.least:g}× | {reached} | {met} |")
    return lines


def _head(first: str, *last: str) -> list[str]:
    shapes = [f"{n:,}, {d}, {k}" for n, d, k in SHAPES]
    return ["| " + " | ".join([first, *shapes, *last]) + " |", "|---|" + "---:|" * (len(shapes) + len(last))]


def _cell(result: Result | None, value: float | None, form: str) -> str:
    if result is None:
        return "–"
    if "failed" in result:
        return "failed"
    text = "–" if value is None else format(value, form)
    return f"*{text}*" if result["n_rows"] < result["case"]["n_rows"] else text


def times(report: Report, structure: str, separated: bool) -> list[str]:
    """Return a line for each peer that was tried; the last column is the ratio of its time to gaussmix's."""
    lines = _head("n, d, K", "× gaussmix")
    for peer in report["versions"]:
        tried = [found(report["results"], peer, case) for case in cases_of(structure, separated)]
        if not any(tried):
            continue
        cells = [_cell(result, 1e3 * (best(result) or 0), ",.1f") for result in tried]
        values = ratios(report["results"], peer, structure, separated)
        partly = "" if len(values) == len(SHAPES) else f" ({len(values)} of {len(SHAPES)})"
        mean = f"{geometric_mean(values):.1f}{partly}" if values else "–"
        lines.append(f"| {peer} | {' | '.join(cells)} | {mean} |")
    return lines


def memory(report: Report) -> list[str]:
    lines = _head("n, d, K")
    for peer in report["versions"]:
        tried = [found(report["results"], peer, case) for case in cases_of("full", False)]
        if any(tried):
            cells = [_cell(result, None if result is None else result.get("megabytes"), ",.0f") for result in tried]
            lines.append(f"| {peer} | {' | '.join(cells)} |")
    return lines


def errors(report: Report) -> list[str]:
    """Return, by peer and structure, errors of each part after one iteration, and the largest after three and far."""
    lines = [
        "| | weights | means | covariances | log-likelihood | after three | far |",
        "|---|" + "---:|" * 6,
    ]
    for peer, structure_errors in report["errors"].items():
        if "failed" in structure_errors:
            lines.append(f"| {peer} | failed |" + " |" * 5)
            continue
        for structure, found_errors in structure_errors.items():
            one = found_errors["one"].values()
            rest = [_largest(found_errors[name]) for name in ("three", "far")]
            cells = ["–" if value is None else f"{value:.1e}" for value in [*one, *rest]]
            lines.append(f"| {peer}, {structure} | {' | '.join(cells)} |")
    return lines


def _largest(parts: dict[str, float | None]) -> float:
    return max(value for value in parts.values() if value is not None)


def peers(report: Report) -> list[str]:
    lines = [f"- {peer} {version}" for peer, version in report["versions"].items()]
    lines += [f"- {peer}: skipped, {why}" for peer, why in report["skipped"].items()]
    failures = [result for result in report["results"] if "failed" in result]
    return lines + [f"- {result['peer']} on {Case(**result['case']).name}: {result['failed']}" for result in failures]
