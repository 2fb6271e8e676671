"""Measure how much faster an EM iteration is where clusters are apart, because work on far components is left out.

    python -m bench.pages.skipping                         # a few minutes; writes bench/results/skipping.*
    python -m bench.pages.skipping --mlbench FOLDER/data   # with Shuttle and Letter, of R's mlbench (needs rdata)

It is compared with a dense iteration of the same shape, on overlapping clusters, where nothing can be left out. Both
are measured in processor time of one thread: the least of the dense iterations, and the least of the last iterations on
clusters that are apart (coordinates of centres have a standard deviation of 3) or on real data, which go on from a fit.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_sample_images

from bench.pages.base import Page, parser_of
from gaussmix import GaussianMixture, Mixture
from gaussmix.em.loop import em_step
from gaussmix.em.objective import Objective
from gaussmix.engines import ENGINES
from gaussmix.families import FAMILIES
from gaussmix.sources.array import ArraySource

# n, d, K, and the least factor that is wanted.
SHAPES: dict[str, list[tuple[int, int, int, int | None]]] = {
    "full": [
        (500_000, 8, 16, None), (200_000, 16, 16, 2), (100_000, 32, 32, 4), (50_000, 64, 32, 5),
        (20_000, 128, 16, None), (100_000, 16, 128, 4), (60_000, 32, 1024, 10),
    ],
    "diag": [(200_000, 16, 16, None), (100_000, 32, 32, None), (50_000, 64, 32, None), (60_000, 32, 1024, None)],
}  # fmt: skip
DENSE_STEPS, STEPS, LAST = 5, 16, 6
SEED = 0


def iteration_times(rows: Any, mixture: Mixture, n_steps: int, ridge: float = 0.0) -> list[float]:
    """Seconds of each of some iterations."""
    source, engine, model, seconds = ArraySource(rows), ENGINES["native"](1), mixture.model, []
    for _ in range(n_steps):
        start = time.thread_time()
        _, model, _ = em_step(source, engine, model, Objective(np.full(rows.shape[1], ridge)), {})
        seconds.append(time.thread_time() - start)
    return seconds


def dense_time(structure: str, n: int, d: int, k: int) -> float:
    """Seconds of an iteration on overlapping clusters."""
    rows, mixture = clusters(structure, n, d, k, 0.05)
    return min(iteration_times(rows, mixture, DENSE_STEPS))


def clusters(structure: str, n: int, d: int, k: int, distance: float) -> tuple[Any, Mixture]:
    """Rows of unit clusters, and a mixture near them."""
    rng = np.random.default_rng(SEED)
    centres = distance * rng.normal(size=(k, d))
    rows = rng.normal(size=(n, d)) + centres[rng.integers(k, size=n)]
    covariances = np.tile(np.eye(d), (k, 1, 1)) if structure == "full" else np.ones((k, d))
    means = centres + 0.1 * distance * rng.normal(size=(k, d))
    return rows, Mixture(np.full(k, 1 / k), means, covariances, FAMILIES[structure])


def compare(structure: str, n: int, d: int, k: int) -> dict[str, Any]:
    """Seconds of an iteration on clusters that are apart, and of a dense one."""
    dense = dense_time(structure, n, d, k)
    apart = min(iteration_times(*clusters(structure, n, d, k, 3.0), STEPS)[-LAST:])
    return {"name": "clusters apart", "structure": structure, "n": n, "d": d, "K": k, "dense": dense, "apart": apart}


def real(name: str, rows: Any, k: int) -> dict[str, Any]:
    """The same for iterations that go on from a fit of real data."""
    n, d = rows.shape
    fitted = GaussianMixture(k, max_iter=20, tol=0, random_state=SEED, n_jobs=1).fit(rows)
    ridge = 1e-6 * float(rows.var(axis=0).mean())
    apart = min(iteration_times(rows, fitted.mixture_, STEPS, ridge)[-LAST:])
    dense = dense_time("full", n, d, k)
    return {"name": name, "structure": "full", "n": n, "d": d, "K": k, "dense": dense, "apart": apart}


def patches() -> Any:
    """Grey patches of 8 × 8 pixels of scikit-learn's two photographs, in steps of 3 and 2 pixels."""
    found = []
    for image in load_sample_images().images:
        windows = np.lib.stride_tricks.sliding_window_view(image.mean(axis=2), (8, 8))[::3, ::2]
        found.append(windows.reshape(-1, 64))
    return np.concatenate(found)


def mlbench(folder: Path, name: str) -> Any:
    """The numeric columns of a data set of the R package."""
    import rdata

    frame = rdata.read_rda(folder / f"{name}.rda")[name]
    return np.ascontiguousarray(frame.select_dtypes("number").to_numpy(dtype=np.float64))


def cells(result: dict[str, Any]) -> tuple[object, ...]:
    """A row of the table."""
    dense, apart, bar = result["dense"], result["apart"], result.get("bar")
    shape = result["name"], result["structure"], f"{result['n']:,}", result["d"], result["K"]
    return (*shape, f"{1e3 * dense:.1f}", f"{1e3 * apart:.1f}", f"{dense / apart:.1f}×", bar and f"{bar}×")


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--mlbench", type=Path, help="folder with Shuttle.rda and LetterRecognition.rda")
    arguments = parser.parse_args()
    results = []
    for structure, shapes in SHAPES.items():
        for n, d, k, bar in shapes:
            results.append(compare(structure, n, d, k) | {"bar": bar})
    results.append(real("grey patches", patches(), 100))
    left_out = []
    for name, k in ("Shuttle", 30), ("LetterRecognition", 26), ("LetterRecognition", 104):
        if arguments.mlbench is None:
            left_out.append(f"{name}, K={k} (no --mlbench)")
        else:
            results.append(real(name, mlbench(arguments.mlbench, name), k))
    page = Page(__file__, "Work that need not be done", "milliseconds of one thread")
    page.table("data | structure | n | d | K | dense | here | factor | bar", map(cells, results), n_words=2)
    page.say(*(f"Left out: {what}." for what in left_out))
    page.write({"results": results, "left out": left_out})


if __name__ == "__main__":
    main()
