"""What gaussmix must reach beside the best of the others, and what it did: ratios of seconds per iteration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.cases import SHAPES, Case

Result = dict[str, Any]  # of one peer on one case: peer, case, and what measure.py found or why it failed
KINDS = [("full", False), ("diag", False), ("full", True)]  # structure, separated


@dataclass(frozen=True)
class Bar:
    """A geometric mean over the shapes of a peer's seconds by ours."""

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
    """The peer's result on the case, unless it was not tried."""
    return next((r for r in results if r["peer"] == peer and r["case"] == vars(case)), None)


def best(result: Result | None) -> float | None:
    """Seconds of the best number of threads."""
    return None if result is None or "failed" in result else min(result["seconds"].values())


def ratios(results: list[Result], peer: str, structure: str, separated: bool) -> list[float]:
    """The peer's seconds by ours, for the shapes that both did."""
    pairs = [
        (best(found(results, peer, case)), best(found(results, "gaussmix", case)))
        for case in cases_of(structure, separated)
    ]
    return [theirs / ours for theirs, ours in pairs if theirs is not None and ours is not None]


def geometric_mean(values: list[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))


def verdict(bar: Bar, results: list[Result]) -> tuple[str, str]:
    """What was reached, and whether that meets the bar: open where a shape is missing."""
    values = ratios(results, bar.peer, bar.structure, bar.separated)
    if not values:
        return "–", "open: not measured"
    reached = geometric_mean(values)
    if len(values) < len(SHAPES):
        return f"{reached:.1f}×", f"open: {len(values)} of {len(SHAPES)} shapes"
    return f"{reached:.1f}×", "met" if reached >= bar.least else "not met"
