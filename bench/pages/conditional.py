"""Time the conditional mean of unknown features given known ones, by gaussmix, by gmr and by plain NumPy.

    python -m bench.pages.conditional               # about two minutes and 5 GB; rewrites bench/results/conditional.md

People use gmr for this (https://github.com/AlexanderFabisch/gmr, `pip install gmr`); if it is not installed, its column
is empty. The NumPy version is vectorised over rows and components, works on pieces of rows whose arrays fit a cache,
and computes beforehand what does not depend on the rows. All take the same mixture, and their answers are compared.
The runs alternate, and the least time of the repeats counts. gmr and NumPy run with one BLAS thread and with all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from threadpoolctl import threadpool_limits

from bench.pages.base import Page, facts, parser_of, seconds_of
from gaussmix import FAMILIES, Mixture

Array = NDArray[np.float64]
SHAPES = [  # rows, features, known features, components
    (1_000_000, 10, 5, 20),
    (200_000, 10, 1, 20),
    (200_000, 10, 9, 20),
    (200_000, 4, 2, 5),
    (50_000, 40, 20, 20),
    (1_000, 10, 5, 20),
]
ONE_ROW = (10, 5, 20)
PIECE = 2_048  # rows: NumPy was fastest with these, of 256, 512 … 16,384 and all
SHORT = 0.02  # seconds that a measurement takes at least, by repetition


def mixture_of(n_features: int, n_components: int) -> Mixture:
    """Covariances of unlike shape about means two standard deviations from 0."""
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(n_components, n_features, n_features)) / np.sqrt(n_features)
    covariances = factors @ factors.transpose(0, 2, 1) + 0.5 * np.eye(n_features)
    means = 2.0 * rng.normal(size=(n_components, n_features))
    return Mixture(np.full(n_components, 1 / n_components), means, covariances, FAMILIES["full"])


def of_gaussmix(mixture: Mixture, n_known: int, n_jobs: int | None) -> Callable[[Array], Array]:
    known = np.arange(n_known)
    return lambda rows: mixture.conditional_mean(rows, known, n_jobs=n_jobs)


def of_numpy(mixture: Mixture, n_known: int) -> Callable[[Array], Array]:
    """Vectorised over rows and components; what does not depend on the rows is computed here, before them."""
    means, unknown_means = mixture.means[:, :n_known], mixture.means[:, n_known:]
    blocks = mixture.covariances[:, :n_known, :n_known]
    factors = np.linalg.inv(np.linalg.cholesky(blocks))
    regressions = np.array(
        [cho_solve(cho_factor(b), c[:n_known, n_known:]).T for b, c in zip(blocks, mixture.covariances, strict=True)]
    )
    scale = np.log(mixture.weights) + np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)

    def mean(rows: Array) -> Array:
        found = np.empty((len(rows), unknown_means.shape[1]))
        for first in range(0, len(rows), PIECE):
            offsets = rows[first : first + PIECE] - means[:, None]  # (K, n, d)
            log_joint = scale[:, None] - 0.5 * ((offsets @ factors.transpose(0, 2, 1)) ** 2).sum(axis=2)
            shared = np.exp(log_joint - log_joint.max(axis=0))
            shared /= shared.sum(axis=0)
            each = unknown_means[:, None] + offsets @ regressions.transpose(0, 2, 1)
            found[first : first + PIECE] = np.einsum("kn,knu->nu", shared, each)
        return found

    return mean


def of_gmr(mixture: Mixture, n_known: int) -> Callable[[Array], Array]:
    from gmr import GMM

    model = GMM(mixture.n_components, mixture.weights, np.array(mixture.means), np.array(mixture.covariances))
    known = np.arange(n_known)
    return lambda rows: model.predict(known, rows)


def measure(shape: tuple[int, int, int, int], repeats: int) -> dict[str, float]:
    """Least seconds of each way."""
    n_rows, n_features, n_known, n_components = shape
    mixture = mixture_of(n_features, n_components)
    rows = mixture.sample(n_rows, np.random.default_rng(1))[0][:, :n_known].copy()
    ways = {
        "gaussmix": of_gaussmix(mixture, n_known, None),
        "gaussmix, 1 thread": of_gaussmix(mixture, n_known, 1),
        "NumPy": of_numpy(mixture, n_known),
    }
    if find_spec("gmr") is not None:
        ways["gmr"] = of_gmr(mixture, n_known)
    expected, least = of_numpy(mixture, n_known)(rows[:1000]), dict.fromkeys(ways, np.inf)
    for _ in range(repeats):
        for name, mean in ways.items():
            for n_threads in (None,) if name.startswith("gaussmix") else (None, 1):
                with threadpool_limits(n_threads, "blas"):
                    np.testing.assert_allclose(mean(rows[:1000]), expected, rtol=1e-8, atol=1e-8)
                    least[name] = min(least[name], seconds_of(partial(mean, rows), least=SHORT))
    return least


def cells(shape: tuple[int, int, int, int], times: dict[str, float]) -> tuple[object, ...]:
    """A row of the table."""
    n_rows, n_features, n_known, n_components = shape
    known = {name: f"{1e3 * seconds:.3g}" for name, seconds in times.items()}
    ratios = {name: f"×{seconds / times['gaussmix']:.1f}" for name, seconds in times.items()}
    shown = [known.get(name) for name in ("gmr", "NumPy", "gaussmix, 1 thread", "gaussmix")]
    return (f"{n_rows:,}", n_features, n_known, n_components, *shown, ratios.get("gmr"), ratios["NumPy"])


def one_row(repeats: int) -> Iterator[tuple[str, str]]:
    """Microseconds of `condition`, the distribution given one row, beside gmr's."""
    n_features, n_known, n_components = ONE_ROW
    mixture = mixture_of(n_features, n_components)
    values: dict[int | str, float] = dict.fromkeys(range(n_known), 0.5)

    def at_first() -> Mixture:
        return Mixture(mixture.weights, mixture.means, mixture.covariances, mixture.family).condition(values)

    calls: dict[str, Callable[[], object]] = {
        "`condition`, the same features known as before": lambda: mixture.condition(values),
        "a new mixture, then `condition`": at_first,
    }
    if find_spec("gmr") is not None:
        from gmr import GMM

        model = GMM(n_components, mixture.weights, np.array(mixture.means), np.array(mixture.covariances))
        row = np.full(n_known, 0.5)
        calls["gmr's `condition`"] = lambda: model.condition(np.arange(n_known), row)
    # Of many short runs, some are not disturbed by other work on a shared machine.
    for name, call in calls.items():
        least = min(seconds_of(call, least=SHORT / 20) for _ in range(20 * repeats))
        yield name, f"{1e6 * least:.3g}"


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    how = f"milliseconds of the conditional mean of all rows, least of {repeats}, the runs alternate"
    machine = facts() | ({"gmr": version("gmr")} if find_spec("gmr") is not None else {})
    page = Page(__file__, "Unknown features from known ones", how, machine)
    names = "n | d | known | K | gmr | NumPy | gaussmix, 1 thread | gaussmix | to gmr | to NumPy"
    page.table(names, (cells(shape, measure(shape, repeats)) for shape in SHAPES), n_words=0)
    n_features, n_known, n_components = ONE_ROW
    page.say(f"One row at a time, d={n_features}, {n_known} known, K={n_components}:")
    page.table("| microseconds", one_row(repeats))
    page.write()


if __name__ == "__main__":
    main()
