"""Keep log-likelihoods and processor times of many fits in a file, or compare them with another version's file."""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from bench.pages.base import facts, line_of

LOWER = 0.01  # a fit is listed if it ends lower by this, in nats per row
Fit = tuple[Any, float]  # nats per row, or the error; processor seconds
Fits = dict[str, dict[str, Fit]]  # table → kind of fit → its result


def parse(parser: argparse.ArgumentParser, n_tables: int) -> argparse.Namespace:
    """Parse the options of a page whose fits are kept and compared."""
    parser.add_argument("--n", type=int, default=n_tables, help="number of tables")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write log-likelihoods and times there")
    parser.add_argument("--against", type=Path, metavar="FILE", help="compare with what another version kept there")
    return parser.parse_args()


def fit(make: Callable[[], Any], value: Callable[[Any], float], n_repeats: int = 1) -> Fit:
    """Fit on one thread, and return the value of the fit and the least seconds of the repeats."""
    seconds = float("inf")
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(n_repeats):
            began = time.process_time()
            try:
                made = make()
            except Exception as error:
                return f"{type(error).__name__}: {error}"[:60], time.process_time() - began
            seconds = min(seconds, time.process_time() - began)
        return float(value(made)), seconds


def report(measured: Iterable[tuple[str, dict[str, Fit]]], arguments: argparse.Namespace) -> Fits:
    """Measure all tables, keep the results if requested, and print means or the comparison."""
    fits: Fits = {}
    for table, results in measured:
        fits[table] = results
        print(table, {what: f"{nats:.9}, {seconds:.2} s" for what, (nats, seconds) in results.items()}, flush=True)
    if arguments.keep is not None:
        keep(fits, arguments.keep)
    if arguments.against is not None:
        compare(fits, json.loads(arguments.against.read_text(encoding="utf-8"))["fits"])
    return fits


def keep(fits: Fits, path: Path) -> None:
    """Write a line for each table, with log-likelihoods to 10 digits and seconds to 4."""
    lines = []
    for table, results in fits.items():
        rounded = {
            what: [nats if isinstance(nats, str) else float(f"{nats:.10g}"), float(f"{seconds:.4g}")]
            for what, (nats, seconds) in results.items()
        }
        lines.append(f"{json.dumps(table)}: {json.dumps(rounded, separators=(',', ':'))}")
    path.write_text(
        f'{{"machine": {json.dumps(facts())},\n"fits": {{\n' + ",\n".join(lines) + "\n}}\n", encoding="utf-8"
    )


def compare(fits: Fits, before: Fits) -> None:
    """Print the changes of all tables in both files, for each kind of fit and in total, and list lower fits."""
    pairs = [
        (table, what, before[table][what], now)
        for table, results in fits.items()
        for what, now in results.items()
        if what in before.get(table, {})
    ]
    lower = []
    print(line_of(("fits", "tables", "mean change", f"lower by > {LOWER}", "seconds before", "now", "ratio of times")))
    for kind in [*dict.fromkeys(what for _, what, _, _ in pairs), "all"]:
        some = [pair for pair in pairs if kind in (pair[1], "all")]
        both = [pair for pair in some if not isinstance(pair[2][0], str) and not isinstance(pair[3][0], str)]
        change = np.array([now[0] - then[0] for _, _, then, now in both])
        seconds = np.array([(then[1], now[1]) for _, _, then, now in some])
        ratio = np.exp(np.mean(np.log(seconds[:, 1] / seconds[:, 0])))
        share = f"{(change < -LOWER).sum()} ({(change < -LOWER).mean():.1%})"
        times = *(f"{total:.2f}" for total in seconds.sum(axis=0)), f"{ratio:.3f}"
        print(line_of((kind, len(some), f"{change.mean():+.5f}", share, *times)))
    for table, what, then, now in pairs:
        if isinstance(then[0], str) or isinstance(now[0], str):
            if then[0] != now[0]:
                print(f"{what}, {table}: {then[0]} → {now[0]}")
        elif now[0] < then[0] - LOWER:
            lower.append((now[0] - then[0], f"{what}, {table}: {then[0]:.4f} → {now[0]:.4f}"))
    print(*(text for _, text in sorted(lower)), sep="\n")
