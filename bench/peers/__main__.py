"""Measure gaussmix and its installed peers in one run, for one table.

    python -m bench.peers                      # all peers, about 12 minutes; rewrites bench/results/peers.md
    python -m bench.peers --quick              # gaussmix, scikit-learn and oneDAL: the bars, under 8 minutes
    python -m bench.peers --peer oneDAL --shape 2 --budget 1    # a part, printed only

Every measurement is a separate process with a time limit, so that the others continue if one crashes or hangs.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from bench.cases import SHAPES, Case
from bench.pages.base import facts
from bench.peers import PEERS
from bench.peers.bars import BARS, KINDS, Result, cases_of, title, verdict
from bench.peers.page import markdown
from bench.peers.process import SCRATCH, in_a_process

RESULTS = Path(__file__).parents[1] / "results"
QUICK = [name for name, peer in PEERS.items() if peer.whole]


def chosen_cases(shapes: list[int] | None, peer: str) -> list[Case]:
    """Return cases of all shapes, or of the given ones; separated clusters only for peers with a bar."""
    kinds = [(structure, separated) for structure, separated in KINDS if structure in PEERS[peer].structures]
    kinds = [kind for kind in kinds if PEERS[peer].whole or not kind[1]]
    return [case for kind in kinds for number, case in enumerate(cases_of(*kind)) if shapes is None or number in shapes]


def measured(peers: list[str], shapes: list[int] | None, budget: float) -> list[Result]:
    """Yield results, peer after peer within each case, so that other work on the machine is similar for all peers."""
    results = []
    for case in [case for kind in KINDS for case in cases_of(*kind)]:
        for peer in peers:
            if case not in chosen_cases(shapes, peer):
                continue
            request = {"peer": peer, "case": vars(case), "budget": budget}
            result = {"peer": peer, "case": vars(case), **in_a_process("bench.peers.measure", json.dumps(request))}
            results.append(result)
            print(f"{case.name:42s} {peer:14s} {_shown(result)}", flush=True)
    return results


def _shown(result: Result) -> str:
    if "failed" in result:
        return str(result["failed"])
    rows = "" if result["n_rows"] == result["case"]["n_rows"] else f", on {result['n_rows']:,} rows"
    memory = "" if result["megabytes"] is None else f"{result['megabytes']:8.1f} MB"
    return f"{1e3 * min(result['seconds'].values()):10.2f} ms {memory}{rows}"


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure, and return the contents of the page."""
    wanted = arguments.peer or (QUICK if arguments.quick else list(PEERS))
    skipped = {name: why for name in wanted if (why := PEERS[name].missing()) is not None}
    for name, why in skipped.items():
        print(f"{name}: skipped, {why}")
    peers = [name for name in wanted if name not in skipped]
    return {
        "machine": facts(),
        "versions": {name: PEERS[name].version() for name in peers},
        "skipped": skipped,
        "errors": {name: in_a_process("bench.peers.exact", name) for name in peers},
        "results": measured(peers, arguments.shape, arguments.budget),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="only those with a bar")
    parser.add_argument("--peer", choices=list(PEERS), action="append", help="only this; may be repeated")
    parser.add_argument("--shape", type=int, choices=range(len(SHAPES)), action="append", help="only this")
    parser.add_argument("--budget", type=float, default=4.0, help="seconds for a peer on a case (default %(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ[SCRATCH] = scratch
        report = run(arguments)
    for bar in BARS:
        reached, met = verdict(bar, report["results"])
        print(f"{title(bar.structure, bar.separated)}: {reached} {bar.peer}, at least {bar.least:g}×: {met}")
    if not (arguments.peer or arguments.shape):
        (RESULTS / "peers.md").write_text(markdown(report))


if __name__ == "__main__":
    main()
