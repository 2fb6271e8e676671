"""Measure the bytes a row that calls take beside a file that does not fit into their memory.

    python -m bench.pages.memory                     # some minutes; rewrites bench/results/memory.md

Each call runs in a process of its own, over two files of different length. The peak of the one less that of the other,
over the rows that it has more, is what a row takes. Calls that stream take about nothing.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from bench.pages.base import RESULTS, facts, head, parser_of

RESULT = RESULTS / "memory.md"
N_ROWS, N_FEATURES, N_COMPONENTS, MEMORY = (1_000_000, 4_000_000), 4, 4, "16 MB"
FIT = f"GaussianMixture({N_COMPONENTS}, max_iter=2, tol=0, random_state=0)"
FITTED = f"{FIT}.fit(few)"
CALLS = {
    "fit": f"{FIT}.fit(source)",
    "score, bic": f"gm = {FITTED}; gm.score(source); gm.bic(source)",
    "partial_fit": f"{FIT}.partial_fit(source)",
    "merge": f"{FITTED}.merge(source)",
    "GaussianMixtureDetector, contamination": "GaussianMixtureDetector(2, contamination=0.1, max_iter=2).fit(source)",
    "GaussianMixtureIC, bic": "GaussianMixtureIC([1, 2], max_iter=2).fit(source)",
    "GaussianMixtureIC, cv": "GaussianMixtureIC([1, 2], criterion='cv', max_iter=2).fit(source)",
    "trim": f"{FIT}.set_params(trim=0.05).fit(source)",
    "GaussianMixtureClassifier, classes as int64": "GaussianMixtureClassifier(max_iter=2).fit(source, classes)",
    "predict": f"{FITTED}.predict(source)",
    "score_samples": f"{FITTED}.score_samples(source)",
    "predict_proba": f"{FITTED}.predict_proba(source)",
}


def peak(call: str, path: Path, n_rows: int) -> float:
    """Bytes of the peak of a process that makes a call."""
    code = f"""
from pathlib import Path
import numpy as np
from gaussmix import *
from gaussmix import open
few = np.load({str(path)!r}, mmap_mode="r")[:1000].copy()
source = open({str(path)!r}, memory={MEMORY!r})
classes = np.arange({n_rows if "classes" in call else 1}) % 2
{call}
(peak,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(int(peak.split()[1]) * 1024)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    parser_of(__doc__).parse_args()
    few, many = N_ROWS
    how = f'`python -m bench.pages.memory`; {few:,} and {many:,} rows × {N_FEATURES} in .npy, memory="{MEMORY}"'
    lines = head("Memory of calls on files", how, facts())
    lines += ["", f"K = {N_COMPONENTS}. Peaks are of whole processes.", ""]
    lines += ["| call | bytes a row | peak, MB |", "|---|---:|---:|"]
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="gaussmix-bench-") as place:
        paths = [Path(place) / f"{n_rows}.npy" for n_rows in N_ROWS]
        for n_rows, path in zip(N_ROWS, paths, strict=True):
            np.save(path, rng.normal(size=(n_rows, N_FEATURES)) + 3 * rng.integers(3, size=(n_rows, 1)))
        for name, call in CALLS.items():
            small, large = (peak(call, path, n_rows) for path, n_rows in zip(paths, N_ROWS, strict=True))
            lines.append(f"| {name} | {(large - small) / (many - few):.1f} | {large / 1e6:.0f} |")
            print(lines[-1], flush=True)
    RESULT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
