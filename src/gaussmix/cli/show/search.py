"""A search as tables for people: the best candidates, and the criterion of all."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from gaussmix.cli.show.notices import in_options
from gaussmix.door.parameters import HELD_OUT
from gaussmix.errors import FailureKind
from gaussmix.estimators.gaussian_mixture_ic import GaussianMixtureIC

_MOST = 10  # candidates that are shown one by one, if several structures were tried
_FAILED = "–"


def show_top(console: Console, search: GaussianMixtureIC) -> None:
    """Print every candidate if there is one structure, otherwise the best in their order."""
    results, criterion = search.results_, search.criterion
    names = structures(results)
    several = len(set(names)) > 1
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in (*["structure"] * several, "K", "log-likelihood", criterion.upper(), "steps"):
        table.add_column(heading, justify="left" if heading == "structure" else "right", no_wrap=True)
    table.add_column("converged")  # the only one that may wrap: a reason can be long
    for place in _best_first(search) if several else range(len(names)):
        row = {name: column[place] for name, column in results.items()}
        begin = [*[names[place]] * several, str(row["n_components"])]
        if row["failure"] is not None:
            why = "failed: " * FailureKind.of_text(row["failure"]).was_begun + in_options(row["failure"])
            table.add_row(*begin, *[_FAILED] * 3, why, style="dim")
            continue
        is_best = place == search.best_index_
        ended = ("yes" if row["converged"] else "no") + (f"  ← {_mark(criterion)}" if is_best else "")
        numbers = f"{row['log_likelihood']:.2f}", _value(row[criterion], criterion), str(row["n_iter"])
        table.add_row(*begin, *numbers, ended, style="bold" if is_best else None)
    console.print(table)


def structures(results: dict[str, list[Any]]) -> list[str]:
    """The name of each candidate's structure, with its number of factors if it has some."""
    n_factors = results.get("n_factors", [None] * len(results["structure"]))
    pairs = zip(results["structure"], n_factors, strict=True)
    return [name if count is None else f"{name} {count}" for name, count in pairs]


def _best_first(search: GaussianMixtureIC) -> list[int]:
    """The candidates with the best values in order, and the chosen one even if it is not among them ("cv")."""
    values = np.array(search.results_[search.criterion])
    order = np.argsort(-values if search.criterion == HELD_OUT else values, kind="stable")
    shown: list[int] = [place for place in order.tolist() if math.isfinite(values[place])][:_MOST]
    return shown if search.best_index_ in shown else [*shown[:-1], search.best_index_]


def show_matrix(console: Console, search: GaussianMixtureIC) -> None:
    """Print the criterion of every structure (rows) and K (columns), in as many tables as the width requires."""
    results, criterion = search.results_, search.criterion
    pairs = list(zip(structures(results), results["n_components"], strict=True))
    names, counts = (list(dict.fromkeys(each)) for each in zip(*pairs, strict=True))
    if len(names) == 1:
        return
    texts = [_value(value, criterion, 1) for value in results[criterion]]
    texts[search.best_index_] += "*"
    cells = dict(zip(pairs, texts, strict=True))
    width = 3 + max(map(len, cells.values()))
    at_a_time = max(1, (console.width - max(len("structure"), *map(len, names))) // width)
    for first in range(0, len(counts), at_a_time):
        shown = counts[first : first + at_a_time]
        table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
        table.add_column("structure", no_wrap=True)
        for count in shown:
            table.add_column(f"K = {count}", justify="right", no_wrap=True)
        for name in names:
            table.add_row(name, *(cells[name, count] for count in shown))
        console.print(f"\n{criterion.upper()} of each; * marks the {_mark(criterion)}:\n" if first == 0 else "")
        console.print(table)
    kinds = Counter(FailureKind.of_text(why) for why in results["failure"] if why is not None)
    failed = {kind.words: number for kind, number in kinds.items() if kind.was_begun}
    left_out = [f"{number} {in_options(kind.words)}" for kind, number in kinds.items() if not kind.was_begun]
    said = [f"{sum(failed.values())} failed: {', '.join(failed)}", *left_out] if failed else left_out
    if said:
        console.print("\n" + "\n".join(f"{_FAILED} {each}." for each in said), soft_wrap=True)


def _mark(criterion: str) -> str:
    return "simplest within an error of the highest" if criterion == HELD_OUT else f"lowest {criterion.upper()}"


def _value(value: float, criterion: str, decimals: int = 2) -> str:
    """A criterion in few digits: totals with one or two decimals, means over rows with four."""
    if math.isnan(value):
        return _FAILED
    return f"{value:.{4 if criterion == HELD_OUT else decimals}f}"
