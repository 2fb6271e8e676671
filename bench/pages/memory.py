"""Measure the bytes per row that calls take in addition to a file that does not fit into memory.

    python -m bench.pages.memory                     # a few minutes; rewrites bench/results/memory.md

Each call runs in a separate process, over two files of different length. The bytes per row are the difference of the
rises of the peak between both files, divided by the difference of their rows; arrays that are passed in do not count.
Calls that read rows block by block take almost no memory per row.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.pages.base import Page, parser_of

N_ROWS, N_FEATURES, N_COMPONENTS, MEMORY = (1_000_000, 4_000_000), 4, 4, "16 MB"
FIT = f"GaussianMixture({N_COMPONENTS}, max_iter=2, tol=0, random_state=0)"
FITTED = f"{FIT}.fit(few)"
SEARCH = "GaussianMixtureIC([1, 2], covariance_type='diag', init_params='kmeans', max_iter=2, random_state=0)"
CALLS = {
    "fit": f"{FIT}.fit(source)",
    "score, bic": f"gm = {FITTED}; gm.score(source); gm.bic(source)",
    "partial_fit": f"{FIT}.partial_fit(source)",
    "merge": f"{FITTED}.merge(source)",
    "GaussianMixtureDetector, contamination": "GaussianMixtureDetector(2, contamination=0.1, max_iter=2).fit(source)",
    "GaussianMixtureIC, bic": f"{SEARCH}.fit(source)",
    "GaussianMixtureIC, cv": f"{SEARCH}.set_params(criterion='cv', n_folds=2).fit(source)",
    "trim": f"{FIT}.set_params(trim=0.05).fit(source)",
    "labels= a column": f"{FIT}.fit(table, labels='label')",
    "labels= an array": f"{FIT}.fit(source, labels=classes)",
    "GaussianMixtureClassifier, y= a column": "GaussianMixtureClassifier(max_iter=2).fit(table, 'label')",
    "GaussianMixtureClassifier, y= an array": "GaussianMixtureClassifier(max_iter=2).fit(source, classes)",
    "the same, two components for each class": (
        "GaussianMixtureClassifier(2, max_iter=2, init_params='kmeans', random_state=0).fit(source, classes)"
    ),
    "its score, y= a column": (
        "GaussianMixtureClassifier().fit(few, (few[:, 0] > 0).astype(int)).score(table, 'label')"
    ),
    "predict": f"{FITTED}.predict(source)",
    "score_samples": f"{FITTED}.score_samples(source)",
    "predict_proba": f"{FITTED}.predict_proba(source)",
}


def rise(call: str, path: Path, n_rows: int) -> float:
    """Return the bytes by which the peak of a process rises in a call."""
    code = f"""
import numpy as np
import pyarrow.dataset
from bench.peak import rise_of_peak
from gaussmix import *
from gaussmix import open
few = np.load({str(path)!r}, mmap_mode="r")[:1000].copy()
source = open({str(path)!r}, memory={MEMORY!r})
table = open({str(path.with_suffix(".parquet"))!r}, memory={MEMORY!r})
classes = np.arange({n_rows}) % 2
GaussianMixture(2, max_iter=2).fit(few)
def call():
    {call}
print(rise_of_peak(call)[1] * 2**20)
"""
    one_arena = os.environ | {"MALLOC_ARENA_MAX": "1"}  # memory of separate arenas would blur the difference
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=one_arena)
    return float(done.stdout)


def measured() -> Iterator[tuple[str, ...]]:
    """Return the rows of the table."""
    few, many = N_ROWS
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="gaussmix-bench-") as place:
        paths = [Path(place) / f"{n_rows}.npy" for n_rows in N_ROWS]
        for n_rows, path in zip(N_ROWS, paths, strict=True):
            rows = rng.normal(size=(n_rows, N_FEATURES)) + 3 * rng.integers(3, size=(n_rows, 1))
            np.save(path, rows)
            columns = {f"x{number}": column for number, column in enumerate(rows.T)}
            table = pa.table({**columns, "label": np.arange(n_rows) % 2})
            pq.write_table(table, path.with_suffix(".parquet"), compression="none", row_group_size=65_520)
        for name, call in CALLS.items():
            small, large = (rise(call, path, n_rows) for path, n_rows in zip(paths, N_ROWS, strict=True))
            yield name, f"{(large - small) / (many - few):.1f}", f"{large / 1e6:.0f}"


def main() -> None:
    parser_of(__doc__).parse_args()
    few, many = N_ROWS
    how = f'{few:,} and {many:,} rows × {N_FEATURES} in .npy, memory="{MEMORY}"'
    page = Page(__file__, "Memory of calls on files", how)
    page.say(f"K = {N_COMPONENTS}. The last column is the rise of the peak memory in the call, for {many:,} rows.")
    page.table("call | bytes per row | rise, MB", measured())
    page.write()


if __name__ == "__main__":
    main()
