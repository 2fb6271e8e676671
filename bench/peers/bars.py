"""Define the bars: required ratios of the best peers' seconds per iteration to gaussmix's, and whether they are met."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.cases import SHAPES, Case

Result = dict[str, Any]  # peer, case, and the result of measure.py or the reason of its failure
KINDS = [("full", False), ("diag", False), ("full", True)]  # structure, and whether clusters are separated


@dataclass(frozen=True)
class Bar:
    """A lower bound on the geometric mean of a peer's seconds divided by gaussmix's, over all shapes."""

    structure: str
    separated: bool
    peer: str
    least: float


BARS = [
    Bar("full", False, "scikit-learn", 28),
    Bar("full", False, "oneDAL", 5),
    Bar("diag", False, "scikit-learn", 12),
    Bar("diag", False, "oneDAL", 4),
    Bar("full", True, "scikit-learn", 60),
    Bar("full", True, "oneDAL", 12),
]


def title(structure: str, separated: bool) -> str:
    return f"{structure}, {'separated' if separated else 'overlapping'} clusters"


def cases_of(structure: str, separated: bool) -> list[Case]:
    return [Case(structure, *shape, separated) for shape in SHAPES]


def found(results: list[Result], peer: str, case: Case) -> Result | None:
    """Return the peer's result on the case, or None if it was not tried."""
    return next((r for r in results if r["peer"] == peer and r["case"] == vars(case)), None)


def best(result: Result | None) -> float | None:
    """Return the seconds with the best number of threads, or None without a result."""
    return None if result is None or "failed" in result else min(result["seconds"].values())


def ratios(results: list[Result], peer: str, structure: str, separated: bool) -> list[float]:
    """Return the peer's seconds divided by gaussmix's, for the shapes on which both have a result."""
    pairs = [
        (best(found(results, peer, case)), best(found(results, "gaussmix", case)))
        for case in cases_of(structure, separated)
    ]
    return [theirs / ours for theirs, ours in pairs if theirs is not None and ours is not None]


def geometric_mean(values: list[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))


def verdict(bar: Bar, results: list[Result]) -> tuple[str, str]:
    """Return what was reached, and whether this meets the bar; the verdict is open if a shape is missing."""
    values = ratios(results, bar.peer, bar.structure, bar.separated)
    if not values:
        return "–", "open: not measured"
    reached = geometric_mean(values)
    if len(values) < len(SHAPES):
        return f"{reached:.1f}×", f"open: {len(values)} of {len(SHAPES)} shapes"
    return f"{reached:.1f}×", "met" if reached >= bar.least else "not met"
