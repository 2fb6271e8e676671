"""Measure an EM step on the device of PyTorch's tensors: gaussmix, scikit-learn, tgmm, and gaussmix on NumPy arrays.

    python -m bench.pages.devices                     # on the processor; writes bench/results/devices.md
    python -m bench.pages.devices --device cuda       # on a GPU, with larger tables; writes bench/results/gpu.md
    python -m bench.pages.devices --quick             # with a 20th of the rows; printed only

All fits start from the same parameters. A step is the difference between fits of six steps and of one step, divided by
five; the least of three repeats counts, and the fits alternate. On a machine with a GPU, fits of NumPy arrays are not
repeated, because they take seconds. The limit is the time that the two matrix products of a step would take at the rate
of a product of two 4096 x 4096 matrices on the same device. tgmm is measured if it is installed. On a GPU, steps are
also measured without gaussmix's Triton kernels.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any
from unittest.mock import patch

import numpy as np
import sklearn.mixture
from sklearn import config_context

from bench.pages.base import Page, least_seconds, parser_of
from gaussmix import GaussianMixture
from gaussmix._src.engines.device import passes

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
N_FEATURES_OF_PRODUCTS: Mapping[str, Callable[[int], int]] = {  # values per row in the two matrix products of a step
    "full": lambda d: (d + 1) * (d + 2) // 2,
    "tied": lambda d: d + 1,
    "diag": lambda d: 2 * d + 1,
    "spherical": lambda d: 2 * d + 1,
}
# Above this number of rows times components, only gaussmix on the device is measured, because other packages need an
# array (n_rows, n_components), and computations with NumPy arrays take long.
MAX_RESPONSIBILITIES = 10**9


def rate_of_products(device: str) -> float:
    """Return the multiply-adds per second of a large matrix product in float64."""
    torch = import_module("torch")
    matrix = torch.ones((4096, 4096), dtype=torch.float64, device=device)
    seconds = least_seconds({"product": lambda: float((matrix @ matrix)[0, 0])}, 4)["product"]
    return 4096**3 / seconds


def steps_of(case: Case, device: str, n_threads: int) -> dict[str, float]:
    """Return seconds of a step of each package that is measured, and MB of memory in addition to the rows on a GPU."""
    (n_rows, d, K, name), torch = case, import_module("torch")
    generator = torch.Generator(device).manual_seed(0)
    normal = partial(torch.randn, dtype=torch.float64, device=device, generator=generator)
    means = 2 * normal(K, d)
    X = means[torch.randint(K, (n_rows,), device=device, generator=generator)] + normal(n_rows, d)
    precisions = torch.tensor(PRECISIONS[name](K, d), device=device)
    start = {"weights_init": torch.full_like(means[:, 0], 1 / K), "means_init": means, "precisions_init": precisions}

    def fit(make: Callable[..., Any], rows: Any, parameters: Mapping[str, Any], n_steps: int) -> None:
        estimator = make(K, covariance_type=name, tol=0.0, random_state=0, max_iter=n_steps, **parameters)
        with warnings.catch_warnings(), config_context(array_api_dispatch=rows is X):
            warnings.simplefilter("ignore")
            float(estimator.fit(rows).means_[0, 0])  # waits for the device

    def fit_tgmm(n_steps: int) -> None:
        options = {"covariance_type": {"tied": "tied_full"}.get(name, name), "max_iter": n_steps, "tol": 1e-300}
        initial = {"init_means": means, "init_covariances": precisions}  # equal, because all are identities
        options |= {"device": device, "batch_size": 65_520}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            float(import_module("tgmm").GaussianMixture(K, d, **options, **initial).fit(X).means_[0, 0])

    ours = partial(GaussianMixture, n_jobs=n_threads)
    fits: dict[str, Callable[[int], None]] = {"ours": partial(fit, ours, X, start)}
    if device != "cpu":
        fits["library"] = patch.object(passes, "has_kernels", lambda rows: False)(partial(fit, ours, X, start))
    if n_rows * K <= MAX_RESPONSIBILITIES:
        theirs = partial(sklearn.mixture.GaussianMixture, init_params="random")
        fits["scikit-learn"] = partial(fit, theirs, X, start)
        if find_spec("tgmm") is not None:
            fits["tgmm"] = fit_tgmm
        fits["numpy"] = partial(fit, ours, X.cpu().numpy(), {key: each.cpu().numpy() for key, each in start.items()})
    once = [key for key in fits if key == "numpy" and device != "cpu"]
    result: dict[str, float] = {}
    for names, n_repeats in (([key for key in fits if key not in once], 3), (once, 1)):
        least = least_seconds({f"{key} {n}": partial(fits[key], n) for key in names for n in (1, 6)}, n_repeats)
        result |= {key: (least[f"{key} 6"] - least[f"{key} 1"]) / 5 for key in names}
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        fits["ours"](2)
        result["memory"] = (torch.cuda.max_memory_allocated() - before) / 1e6
    return result


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    os.environ["SCIPY_ARRAY_API"] = "1"  # scikit-learn asks for it
    torch = import_module("torch")
    torch.set_num_threads(arguments.threads)
    is_gpu = arguments.device != "cpu"
    name = torch.cuda.get_device_name() if is_gpu else "the processor"
    page = Page(__file__, "Rows on a device", f"n_threads = {arguments.threads}, device: {name}")
    if is_gpu:
        page.name = "gpu"
    page.machine["PyTorch"] = torch.__version__
    rate = rate_of_products(arguments.device)
    others = "".join(f", {name} {version(name)}" for name in ("tgmm", "triton") if find_spec(name) is not None)
    page.say(
        f"PyTorch {torch.__version__}{others}; milliseconds of an EM step in float64. A large matrix product runs at "
        f"{2e-9 * rate:,.0f} GFLOP/s; the limit is the time of the two products of a step at this rate."
    )

    def row_of(case: Case) -> list[str]:
        n_rows, d, K, name = case
        n_rows = n_rows // 20 if arguments.quick else n_rows
        steps = steps_of((n_rows, d, K, name), arguments.device, arguments.threads)
        limit = 2 * n_rows * K * N_FEATURES_OF_PRODUCTS[name](d) / rate
        columns = ("ours", *(["library"] if is_gpu else []), "scikit-learn", "tgmm", "numpy")
        milliseconds = [steps.get(key) for key in columns] + [limit]
        others = [f"{steps[key] / steps['ours']:.1f}" if key in steps else "" for key in ("scikit-learn", "tgmm")]
        return [
            f"{n_rows:,} × {d}, K = {K:,}, {name}",
            *("" if each is None else f"{1e3 * each:.1f}" for each in milliseconds),
            *others,
            *([f"{steps['memory']:,.0f}"] if is_gpu else []),
        ]

    ours = "gaussmix + PyTorch" + (" | … without kernels" if is_gpu else "")
    libraries = f"{ours} | scikit-learn + PyTorch | tgmm | gaussmix on NumPy arrays | limit"
    ratios = "scikit-learn / gaussmix | tgmm / gaussmix" + (" | MB in addition to the rows" if is_gpu else "")
    page.table(f"rows, components, structure | {libraries} | {ratios}", map(row_of, ON_GPU if is_gpu else ON_PROCESSOR))
    if not arguments.quick:
        page.write()


if __name__ == "__main__":
    main()
