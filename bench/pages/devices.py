"""Measure an EM step on the device of PyTorch's tensors: gaussmix and scikit-learn, and gaussmix on NumPy arrays.

    python -m bench.pages.devices                     # on the processor; writes bench/results/devices.md
    python -m bench.pages.devices --device cuda       # on a GPU, with the sizes for which GPUs are used
    python -m bench.pages.devices --quick             # with a 20th of the rows; printed only

All fits start from the same parameters. A step is the difference between fits of six steps and of one step, divided by
five; the least of three repeats counts, and the fits alternate.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
import sklearn.mixture
from sklearn import config_context

from bench.pages.base import Page, least_seconds, parser_of
from gaussmix import GaussianMixture

Case = tuple[int, int, int, str]  # rows, features, components and covariance structure
ON_PROCESSOR: list[Case] = [
    *((400_000, 8, 16, name) for name in ("full", "tied", "diag", "spherical")),
    (200_000, 16, 64, "full"),
    (50_000, 64, 32, "full"),
]
ON_GPU: list[Case] = [
    *((10_000_000, 16, 64, name) for name in ("full", "tied", "diag")),
    (1_000_000, 8, 16, "full"),
    (1_000_000, 64, 256, "full"),
    (10_000_000, 3, 4_096, "full"),
]
PRECISIONS: Mapping[str, Callable[[int, int], Any]] = {
    "full": lambda K, d: np.tile(np.eye(d), (K, 1, 1)),
    "tied": lambda K, d: np.eye(d),
    "diag": lambda K, d: np.ones((K, d)),
    "spherical": lambda K, d: np.ones(K),
}


def steps_of(case: Case, device: str, n_threads: int) -> list[float]:
    """Return seconds of a step: gaussmix on the device, scikit-learn on the device, and gaussmix on NumPy arrays."""
    (n_rows, d, K, name), torch = case, import_module("torch")
    rng = np.random.default_rng(0)
    means = 2 * rng.normal(size=(K, d))
    X = means[rng.integers(0, K, n_rows)] + rng.normal(size=(n_rows, d))
    start = {"weights_init": np.full(K, 1 / K), "means_init": means, "precisions_init": PRECISIONS[name](K, d)}
    tensors = {key: torch.tensor(values, device=device) for key, values in start.items()}

    def fit(make: Callable[..., Any], rows: Any, parameters: Mapping[str, Any], n_steps: int) -> None:
        estimator = make(K, covariance_type=name, tol=0.0, random_state=0, max_iter=n_steps, **parameters)
        with warnings.catch_warnings(), config_context(array_api_dispatch=rows is not X):
            warnings.simplefilter("ignore")
            float(estimator.fit(rows).means_[0, 0])  # waits for the device

    ours, theirs = (
        partial(GaussianMixture, n_jobs=n_threads),
        partial(sklearn.mixture.GaussianMixture, init_params="random"),
    )
    of_torch = torch.tensor(X, device=device)
    fits = {"ours": (ours, of_torch, tensors), "theirs": (theirs, of_torch, tensors), "numpy": (ours, X, start)}
    calls = {(key, n): partial(fit, *arguments, n) for key, arguments in fits.items() for n in (1, 6)}
    least: dict[Any, float] = least_seconds(calls, 3)  # type: ignore[arg-type]
    return [(least[key, 6] - least[key, 1]) / 5 for key in fits]


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    os.environ["SCIPY_ARRAY_API"] = "1"  # scikit-learn asks for it
    torch = import_module("torch")
    torch.set_num_threads(arguments.threads)
    page = Page(__file__, "Rows on a device", f"{arguments.threads} threads, device {arguments.device}")
    page.machine["PyTorch"] = torch.__version__
    page.say(f"PyTorch {torch.__version__}; milliseconds of an EM step in float64.")

    def row_of(case: Case) -> list[str]:
        n_rows, d, K, name = case
        ours, theirs, numpy = steps_of(
            (n_rows // 20 if arguments.quick else n_rows, d, K, name), arguments.device, arguments.threads
        )
        return [
            f"{n_rows:,} × {d}, K = {K:,}, {name}",
            *(f"{1e3 * each:.0f}" for each in (ours, theirs, numpy)),
            f"{theirs / ours:.1f}",
        ]

    libraries = "gaussmix + PyTorch | scikit-learn + PyTorch | gaussmix on NumPy arrays | scikit-learn / gaussmix"
    names = f"rows, components, structure | {libraries}"
    page.table(names, map(row_of, ON_PROCESSOR if arguments.device == "cpu" else ON_GPU))
    if not arguments.quick:
        page.write()


if __name__ == "__main__":
    main()
