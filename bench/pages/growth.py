"""Measure how time and memory of an EM iteration grow with rows, features, components and threads.

    python -m bench.pages.growth                 # everything, under 12 minutes; rewrites bench/results/growth.*
    python -m bench.pages.growth --most 3e4 --out FOLDER     # only sizes up to this, to FOLDER

scikit-learn is measured beside gaussmix. Covariances are full, and clusters overlap, so that no work can be skipped.
Each point is measured in a process of its own.
"""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.cases import SHAPES, Case
from bench.pages.base import RESULTS, facts, parser_of
from bench.pages.growth_page import draw, markdown
from bench.peers.base import ALL
from bench.peers.process import in_a_process

FIXED = {"n_rows": 100_000, "n_features": 8, "n_components": 16}  # the sizes that a sweep does not vary
SWEEPS = {
    "n_rows": [10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000],
    "n_features": [2, 4, 8, 16, 32, 64, 128, 256],
    "n_components": [2**power for power in range(1, 13)],
}
FEWER = {"n_features": {"n_rows": 20_000}}
PACKAGES = {"gaussmix": [1, ALL], "scikit-learn": [1]}  # threads; with more scikit-learn gains little, and may stall
MOST_SECONDS, MOST_MEGABYTES = 5.0, 3_000.0  # of an iteration; a size that would take more is not tried
BUDGET = 2.0  # seconds for a point
LARGE = Case("full", 200_000, 32, 4_096)
Point = dict[str, Any]


def point(package: str, case: Case, threads: list[int]) -> Point:
    """Best seconds per iteration and megabytes of a package on a case."""
    request = {"peer": package, "case": vars(case), "budget": BUDGET, "threads": threads}
    return in_a_process("bench.peers.measure", json.dumps(request), limit=200)


def sweep(varied: str, sizes: list[int], package: str) -> list[Point]:
    """Points of growing size, until one would cost too much."""
    points: list[Point] = []
    for size in sizes:
        if points and _too_much(points[-1], size / points[-1]["size"]):
            break
        sizes_of: dict[str, Any] = FIXED | FEWER.get(varied, {}) | {varied: size}
        case = Case("full", **sizes_of)
        found = point(package, case, PACKAGES[package])
        print(f"{varied} {size:>10,} {package:14s} {_shown(found)}", flush=True)
        if "failed" in found:
            break
        points.append({"size": size, "seconds": min(found["seconds"].values()), "megabytes": found["megabytes"]})
    return points


def _too_much(last: Point, ratio: float) -> bool:
    return bool(last["seconds"] * ratio > MOST_SECONDS or last["megabytes"] * ratio > MOST_MEGABYTES)


def _shown(found: Point) -> str:
    return found.get("failed") or f"{1e3 * min(found['seconds'].values()):10.2f} ms {found['megabytes']:8.1f} MB"


def threads(most: float) -> list[Point]:
    """Speed-up of gaussmix by threads, and the most that the host allows: that of processes of one thread each."""
    points = []
    counts = sorted({1, 2, ALL, 2 * ALL})
    for shape in SHAPES:
        if shape[0] > most:
            continue
        case = Case("full", *shape)
        with ThreadPoolExecutor(ALL) as pool:
            together = point("gaussmix", case, counts)
            apart = list(pool.map(lambda _, case=case: point("gaussmix", case, [1]), range(ALL)))
        if failed := [found["failed"] for found in (together, *apart) if "failed" in found]:
            print(f"threads {case.name:24s} {failed[0]}")
            continue
        seconds = together["seconds"]
        speed_up = {count: seconds["1"] / seconds[str(count)] for count in counts if str(count) in seconds}
        processes = ALL * seconds["1"] / max(found["seconds"]["1"] for found in apart)
        points.append({"case": vars(case), "speed_up": speed_up, "processes": processes})
        print(f"threads {case.name:24s} {points[-1]['speed_up']} processes {points[-1]['processes']:.2f}", flush=True)
    return points


def large() -> Point:
    """Seconds per iteration and megabytes of LARGE, by one fit of one iteration and one of two."""
    plan = {"n_rows": LARGE.n_rows, "iterations": 1, "repeats": 1}
    request = {"peer": "gaussmix", "case": vars(LARGE), "plan": plan, "threads": [ALL]}
    found = in_a_process("bench.peers.measure", json.dumps(request), limit=300)
    print(f"{LARGE.name}: {_shown(found)}")
    covariances = 8 * LARGE.n_components * LARGE.n_features**2 / 2**20
    return {"case": vars(LARGE), "covariances": covariances, **found}


def run(most: float) -> dict[str, Any]:
    """The report, as bench/results/growth.json holds it."""
    began = time.perf_counter()
    sweeps = {
        varied: {package: sweep(varied, [size for size in sizes if size <= most], package) for package in PACKAGES}
        for varied, sizes in SWEEPS.items()
    }
    report = {"machine": facts(), "fixed": FIXED, "fewer": FEWER, "sweeps": sweeps, "threads": threads(most)}
    report["large"] = large() if LARGE.n_rows <= most else None
    return report | {"minutes": round((time.perf_counter() - began) / 60, 1)}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--most", type=float, default=1e9, help="no size beyond this")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for growth.json, growth.md and plots")
    arguments = parser.parse_args()
    report = run(arguments.most)
    arguments.out.mkdir(exist_ok=True)
    (arguments.out / "growth.json").write_text(json.dumps(report, indent=1) + "\n")
    (arguments.out / "growth.md").write_text(markdown(report))
    draw(report, arguments.out)
    print(f"wrote {arguments.out / 'growth.md'} after {report['minutes']} minutes")


if __name__ == "__main__":
    main()
