"""Time whole searches, 14 structures × K = 1 … 9, for the lowest BIC, by gaussmix and by R's mclust.

    python -m bench.pages.choosing                # rewrites bench/results/choosing.md
    python -m bench.pages.choosing --case iris    # one case, printed only

Both search the same candidates on the same numbers, each with its defaults. The time in which R starts and reads the
file is not counted. Without R or mclust only gaussmix is timed.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_iris

from bench.pages.base import RESULTS, facts, head, parser_of
from bench.peers.mclust import Mclust
from gaussmix import GaussianMixtureIC
from gaussmix.families import family_named

BARS = {"iris": 5, "2,000 × 6": 15, "20,000 × 8": 30}  # mclust's time by ours, at least
SHORT = 1000  # rows


def clusters(n_rows: int, n_features: int, n_clusters: int) -> NDArray[np.float64]:
    """Rows of Gaussian clusters that overlap a little, each with its own covariance."""
    rng = np.random.default_rng(0)
    centres = 2.0 * rng.normal(size=(n_clusters, n_features))
    shapes = rng.normal(size=(n_clusters, n_features, n_features)) / np.sqrt(n_features) + np.eye(n_features)
    labels = rng.integers(n_clusters, size=n_rows)
    offsets: NDArray[np.float64] = np.einsum("nij,nj->ni", shapes[labels], rng.normal(size=(n_rows, n_features)))
    return centres[labels] + offsets


CASES: dict[str, Callable[[], NDArray[np.float64]]] = {
    "iris": lambda: load_iris().data,
    "2,000 × 6": lambda: clusters(2000, 6, 5),
    "20,000 × 8": lambda: clusters(20_000, 8, 6),
    "58,000 × 9": lambda: clusters(58_000, 9, 7),
}


def repeats(rows: NDArray[np.float64]) -> int:
    """How often a search runs. The least time counts, because other work easily disturbs a short search."""
    return 5 if len(rows) < SHORT else 1


def ours(rows: NDArray[np.float64]) -> dict[str, Any]:
    """Seconds, the lowest BIC, and the structure and number of components that have it."""
    seconds = np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(repeats(rows)):
            began = perf_counter()
            best = GaussianMixtureIC(random_state=0).fit(rows)
            seconds = min(seconds, perf_counter() - began)
    chosen = f"{best.covariance_type_} {best.n_components_}"
    return {"seconds": seconds, "bic": best.results_["bic"][best.best_index_], "chosen": chosen}


def theirs(rows: NDArray[np.float64], limit: float) -> dict[str, Any]:
    """The same of mclust, or why it was not measured."""
    missing = Mclust().missing()
    if missing is not None:
        return {"skipped": missing}
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder) / "data.csv", Path(folder) / "out.json"
        np.savetxt(data, rows, delimiter=",", fmt="%.17g")
        script = Path(__file__).with_suffix(".R")
        try:
            words = [str(script), str(data), str(out), str(repeats(rows))]
            subprocess.run(["Rscript", "--vanilla", *words], check=True, timeout=limit)
        except subprocess.TimeoutExpired:
            return {"skipped": f"over {limit:g} s"}
        found: dict[str, Any] = json.loads(out.read_text())
    return found


def line(name: str, mine: dict[str, Any], other: dict[str, Any]) -> str:
    """A row of the table."""
    begin = f"| {name} | {mine['seconds']:.2f} | {mine['bic']:.3f} ({mine['chosen']}) |"
    if "skipped" in other:
        return f"{begin} – | {other['skipped']} | – | {BARS.get(name, '–')} |"
    model, n_components = other["chosen"].split()
    peer = f"{family_named(model).name} {n_components}"
    factor = other["seconds"] / mine["seconds"]
    return f"{begin} {other['seconds']:.2f} | {other['bic']:.3f} ({peer}) | {factor:.1f} | {BARS.get(name, '–')} |"


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--case", action="append", choices=CASES, help="only this one, and nothing is written")
    parser.add_argument("--limit", type=float, default=600, help="seconds that mclust may take for a case")
    options = parser.parse_args()
    made_by = (
        "`python -m bench.pages.choosing`: seconds of a whole search, 14 structures × K = 1 … 9, for the lowest BIC"
    )
    lines = [
        *head("Choosing a mixture, beside R's mclust", made_by, facts() | {"mclust": _version()}),
        "",
        "| data | gaussmix | lowest BIC | mclust | lowest BIC | times as fast | bar |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in options.case or CASES:
        rows = CASES[name]()
        ours(rows[:50])  # loads what the first call loads
        lines.append(line(name, ours(rows), theirs(rows, options.limit)))
        print(lines[-1], flush=True)
    if options.case is None:
        (RESULTS / "choosing.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _version() -> str:
    return Mclust().missing() or Mclust().version()


if __name__ == "__main__":
    main()
