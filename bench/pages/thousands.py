"""Measure mixtures with thousands of components: truncated EM, exact EM, scikit-learn and vamm.

    python -m bench.pages.thousands                          # ten minutes; writes bench/results/thousands.md and .png
    python -m bench.pages.thousands --quick                  # with a 50th of the rows; printed only
    python -m bench.pages.thousands --only overlap growth    # some of the cases, printed only

A step is the median time between the calls of a callback, from the third step on. Fits on the same rows start from the
same weights, means and covariances. These parameters come from an assignment of the rows to the nearest of K randomly
drawn rows, with each covariance shrunk towards the pooled one. All data are drawn from fixed seeds.

vamm (Salwig et al. 2025) is measured if it can be imported; the figures of its own example are recorded here.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from itertools import chain
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import sklearn.mixture
from scipy.spatial import cKDTree
from scipy.special import entr
from sklearn.datasets import load_digits, load_sample_images
from sklearn.feature_extraction.image import extract_patches_2d
from threadpoolctl import threadpool_limits

from bench.pages.base import RESULTS, Page, parser_of, seconds_of
from bench.peak import rise_of_peak
from gaussmix import FactorAnalyzer, GaussianMixture
from gaussmix._src.numerics.arrays import Array

Row = tuple[str, str, str, str]  # case, requirement, measurement, and its description
N_STEPS, N_GROWTH, SPREAD = 20, 1_000_000, 0.35
VAMM: Any = import_module("vamm") if find_spec("vamm") else None
STRUCTURES = "EII", "spherical", "EEI", "diag", FactorAnalyzer(2, shared_noise=True), FactorAnalyzer(2), "tied", "full"
THEIRS = [(name, is_shared) for name in ("isotropic", "diagonal", "mfa", "full") for is_shared in (True, False)]
BOUNDS = 152.27, 151.71, 142.27, 133.06, 132.01, 124.08, 137.55, np.nan  # mean negative bounds of vamm's example


def fit(rows: Array, K: int, posterior: str | int, **options: Any) -> tuple[Any, float, float]:
    """Return the fit, its time, and the median time of its later steps."""
    times: list[float] = []
    own: dict[str, Any] = {"posterior": posterior, "n_jobs": -1, **options}
    gm = GaussianMixture(K, random_state=0, callbacks=[lambda record: times.append(record.seconds)], **own)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seconds = seconds_of(lambda: gm.fit(rows))
    return gm, seconds, float(np.median(np.diff(times)[2:])) if len(times) > 3 else np.nan


def vamm(rows: Array, K: int, structure: str, n_threads: int = 1, **own: Any) -> tuple[float, float, float]:
    """Return the mean negative bound of a fit of vamm, its time, and the median time of its later steps."""
    if VAMM is None:
        return np.nan, np.nan, np.nan
    limits: dict[str, Any] = {"limit": [3, N_STEPS], "eps": [0, 0]} if "init_means" in own else {}
    with threadpool_limits(n_threads):
        model = VAMM.Gaussian(C=K, D=rows.shape[1], H=2, covariance_type=structure, **own)
        bound, log = model.fit(rows, rng=np.random.default_rng(123), C_prime=3, G=15, E=1, **limits)
    return bound, log.time.sum(), np.median(log.time[log.M_step][2:])


def start(rows: Array, K: int) -> dict[str, Array]:
    """Return weights, means and covariances of the rows nearest to each of K rows."""
    n, d = rows.shape
    labels = cKDTree(rows[np.random.default_rng(1).choice(n, K, replace=False)]).query(rows, workers=-1)[1]
    sizes = np.bincount(labels, minlength=K)
    groups = np.split(rows[np.argsort(labels, kind="stable")], np.cumsum(sizes)[:-1])
    scatter = np.array([(group - group.mean(axis=0)).T @ (group - group.mean(axis=0)) for group in groups])
    shrunk = (scatter + (d + 1) * scatter.sum(axis=0) / n) / (sizes + d + 1)[:, None, None]
    means = np.array([group.mean(axis=0) for group in groups])
    return {"weights_init": sizes / n, "means_init": means, "covariances_init": shrunk}


def overlapping(n: int, K: int) -> Array:
    """Return rows of 8 features, K components, standard normal means and standard deviations of about SPREAD."""
    rng = np.random.default_rng(0)
    means, factors = rng.normal(size=(K, 8)), SPREAD * (np.eye(8) + 0.3 * rng.normal(size=(K, 8, 8)))
    group = rng.integers(K, size=n)
    return means[group] + np.einsum("nij,nj->ni", factors[group], rng.normal(size=(n, 8)))


def surface(n: int, _: int) -> Array:
    """Return points of a bumpy closed surface of radius about 1, with noise of 0.005."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 3))
    x /= np.linalg.norm(x, axis=1)[:, None]
    x *= (1 + 0.15 * np.sin(5 * x).prod(axis=1) + 0.05 * np.cos(11 * x).sum(axis=1))[:, None]
    return x + 0.005 * rng.normal(size=(n, 3))


def patches(n: int, _: int) -> Array:
    """Return patches of 8 × 8 grey values of two photographs without their means, with noise of one grey value."""
    rng, grey = np.random.default_rng(0), (image @ [0.299, 0.587, 0.114] for image in load_sample_images().images)
    every = np.concatenate([extract_patches_2d(image, (8, 8)).reshape(-1, 64) for image in grey])
    rows = every[rng.permutation(len(every))[:n]]
    return rows - rows.mean(axis=1)[:, None] + rng.normal(size=rows.shape)


def same_start(required: str, data: Callable[[int, int], Array], n: int, K: int, max_iter: int) -> Iterator[Row]:
    """Fit by default and exactly from the same start, without its time; return the loss in nats per row, and times."""
    rows, new = np.split(data(n, K), [-n // 20])
    own = {**start(rows, K), "max_iter": max_iter}
    (auto, seconds, step), (exact, longer, exact_step) = (fit(rows, K, each, **own) for each in ("auto", "exact"))
    end, entropy = auto.outcome_, entr(exact.predict_proba(new[:2_000])).sum(axis=1).mean()
    measured = "the same bits, " * bool(np.array_equal(auto.means_, exact.means_))
    measured += (
        f"{exact.score(new) - auto.score(new):.4f} in 1/{longer / seconds:.1f} ({seconds:.1f} of {longer:.1f} s)"
    )
    if getattr(end, "posterior_gap", None) is not None:
        measured += f"; gap {end.posterior_gap:.4f} ± {end.posterior_gap_error:.4f}, {end.n_candidates} candidates"
    how = (
        f"whole fits of at most {max_iter} steps: {auto.n_iter_} of {step:.3f} s, {exact.n_iter_} of {exact_step:.3f} s"
    )
    how += f"; {len(new):,} new rows, whose exact posteriors have an entropy of {entropy:.2f} nats"
    yield f"{data.__name__}: {len(rows):,} x {rows.shape[1]}, K={K:,}", required, measured, how


def whole(n: int, K: int) -> Iterator[Row]:
    rows = surface(n, K)
    (gm, seconds, step), megabytes = rise_of_peak(lambda: fit(rows, K, "auto"))
    measured = f"{seconds / 60:.1f} minutes, {megabytes / 1e3:.2f} GB"
    how = f"a default fit with its initialisation, {gm.n_iter_} steps of {step:.2f} s; the rise of the resident peak"
    yield f"surface: {n:,} x 3, K={K:,}", "≤ 5 minutes, ≤ 1.5 GB besides the rows", measured, how


def steps(n: int, sizes: Sequence[int]) -> Iterator[Row]:
    """Measure times of steps on one thread, with full and diagonal covariances and with factor analysers."""
    how = "one thread, 3 candidates; vamm with G = 15 and one by chance"
    for K in sizes:
        rows = overlapping(n, K)
        begin = {"means_init": start(rows, K)["means_init"], "init_params": "kmeans", "max_iter": N_STEPS, "tol": 0}
        for name, theirs in ("full", "full"), ("diag", "diagonal"), (FactorAnalyzer(2), "mfa"):
            own = {**begin, "covariance_type": name, "reg_covar": 1e-3, "n_jobs": 1}
            three, exact = (1e3 * fit(rows, K, each, **own)[2] for each in (3, "exact"))
            other = 1e3 * vamm(rows, K, theirs, init_means=begin["means_init"])[2]
            measured = f"1/{other / three:.1f} ({three:.1f} of {other:.0f} ms); exact {exact:.0f} ms"
            yield f"a step, {n:,} x 8, K={K:,}, {name}", "≤ 1/10 of vamm's time", measured, how


def digits() -> Iterator[Row]:
    """Run vamm's example: digits with standard normal noise, 100 components, 2 factors, seed 123."""
    rows = load_digits().data
    rows += np.random.default_rng(123).standard_normal(size=rows.shape)
    for structure, (theirs, is_shared), bound in zip(STRUCTURES, THEIRS, BOUNDS, strict=True):
        gm, seconds, _ = fit(rows, 100, "auto", covariance_type=structure)
        found, longer, _ = vamm(rows, 100, theirs, shared=is_shared)
        measured = f"{-gm.score(rows):.2f} in {seconds:.2f} s, {len(gm.outcome_.on_ridge)} components on the ridge"
        how = f"a default fit; vamm on one thread: {found:.2f} in {longer:.2f} s"
        yield f"digits, K=100, {structure}", f"≤ {bound}" if bound > 0 else "says that it collapses", measured, how


def growth(n: int, sizes: Sequence[int], *, is_drawn: bool) -> Iterator[Row]:
    """Measure times of steps for each number of components, and draw them if requested."""
    rows, times, names = surface(n, 0), list[list[float]](), ("8 candidates", "exact", "scikit-learn", "vamm")
    few, some = rows[: max(n // 100, 5_000)], rows[: max(n // 10, 5_000)]
    how = f"full, two threads; in proportion: scikit-learn (one thread) with {len(few):,} rows, vamm with {len(some):,}"
    for K in sizes:
        own, plain = {**start(rows, K), "max_iter": N_STEPS, "tol": 0}, [np.nan] * 2
        if len(few) // 2 >= K:
            begin = {"tol": 0, "init_params": "random_from_data", "random_state": 0}
            models = [sklearn.mixture.GaussianMixture(K, max_iter=m, **begin) for m in (1, 3)]
            with threadpool_limits(1):  # two BLAS threads may stall
                plain = [min(seconds_of(partial(model.fit, few)) for _ in range(2)) for model in models]
        few_steps = own | {"max_iter": N_STEPS if K < 10_000 else 4}  # a single step may take minutes
        ours = [fit(rows, K, 8, **own)[2], fit(rows, K, "exact", **few_steps)[2]]
        theirs = vamm(some, K, "full", 2, init_means=own["means_init"])[2]
        times.append([*ours, (plain[1] - plain[0]) / 2 * n / len(few), theirs * n / len(some)])
        known = [(name, seconds) for name, seconds in zip(names, times[-1], strict=True) if np.isfinite(seconds)]
        measured = ", ".join(f"{name} {seconds:.3f} s" for name, seconds in known)
        yield f"a step, {n:,} x 3, K={K:,}", "", measured, how
    powers = np.polyfit(np.log(sizes), np.log(times), 1)[0]
    known = [(name, power) for name, power in zip(names, powers, strict=True) if np.isfinite(power)]
    measured = ", ".join(f"{name} K^{power:.2f}" for name, power in known)
    yield f"a step, K = {sizes[0]:,} … {sizes[-1]:,}", "slower than K^0.15", measured, "a line through the logarithms"
    if is_drawn:
        figure, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
        ax.loglog(sizes, times, marker="o", label=names)
        ax.set(xlabel="components", ylabel="seconds of a step")
        figure.legend(loc="outside upper center", ncols=2, fontsize=9)
        figure.savefig(RESULTS / "thousands.png", dpi=130)


def cases(share: float, K: int, *, is_drawn: bool = False) -> dict[str, Iterator[Row]]:
    """Return iterators, which measure all cases with a fraction of the rows and a Kth of the components."""
    half, large = "≤ 0.002 in 1/", 4_096 // K
    return {
        "whole": whole(int(10_000_000 * share), 65_536 // K),
        "overlap": same_start(half + "30", overlapping, int(1_020_000 * share), large, 30),
        "surface": same_start(half + "8", surface, int(420_000 * share), large, 30),
        "patches": same_start("a gap ≤ 0.01 in 1/5", patches, int(220_000 * share), 1_000 // K, 10),
        "growth": growth(int(N_GROWTH * share), [4**i // K for i in range(4, 9)], is_drawn=is_drawn),
        "steps": steps(int(30_000 * share**0.4), [1_024 // K, large]),
        "digits": digits(),
        "few": same_start("0 in 1/1", overlapping, int(1_020_000 * share), 64, 30),
    }


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--quick", action="store_true", help="few rows and components")
    parser.add_argument("--only", nargs="*", choices=list(cases(1, 1)), help="these cases")
    args = parser.parse_args()
    every, page = (
        cases(0.02, 16) if args.quick else cases(1, 1, is_drawn=args.only is None),
        Page(__file__, "Thousands of components", "see its help"),
    )
    page.table("case | required | measured | how", chain.from_iterable(every[name] for name in args.only or every), 4)
    if not args.quick and args.only is None:
        page.say("![Time of a step](thousands.png)")
        page.write()


if __name__ == "__main__":
    main()
