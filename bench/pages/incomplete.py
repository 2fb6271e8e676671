"""Time steps over rows with missing cells beside steps over the same rows whole, and steps over rows with errors.

    python -m bench.pages.incomplete                # about a minute; rewrites bench/results/incomplete.md

One thread, float64, a covariance of its own for each component. The runs alternate; the least processor time counts.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.pages.base import Page, least_seconds, parser_of, seconds_of
from gaussmix import _core

Array = NDArray[np.float64]
SOFT, TRIANGULAR, FULL = 0, 2, 3
ROUNDS = 7


class Mixture(NamedTuple):
    """Parameters as the core takes them; log_scale are those of complete rows."""

    log_weight: Array
    log_scale: Array
    means: Array
    factors: Array

    @classmethod
    def drawn(cls, rng: np.random.Generator, n_components: int, n_features: int) -> Mixture:
        shape = (n_components, n_features)
        factors = 0.3 * np.tril(rng.normal(size=(*shape, n_features))) / np.sqrt(n_features) + 1.2 * np.eye(n_features)
        log_weight = np.full(n_components, -np.log(n_components))
        log_det = np.log(np.einsum("kii->ki", factors)).sum(axis=1)
        log_scale = log_weight + log_det - 0.5 * n_features * np.log(2 * np.pi)
        return cls(log_weight, log_scale, rng.normal(size=shape), factors)


def with_missing(name: str, n_components: int, missing: NDArray[np.bool_]) -> tuple[object, ...]:
    """A step over rows of standard normal numbers, whole and with missing cells."""
    target, rng = _core.active(), np.random.default_rng(1)
    assert target is not None, "the core is built"
    mixture = Mixture.drawn(rng, n_components, missing.shape[1])
    rows = rng.normal(size=missing.shape)
    holes = np.where(missing, np.nan, rows)
    density = (mixture.log_scale, mixture.means, TRIANGULAR, mixture.factors, mixture.means)
    known = (None, None, None, None, mixture.log_weight, mixture.means, mixture.factors, -np.inf)
    works = {
        "whole": lambda: target.step(rows, None, None, None, *density, SOFT, FULL, 1),
        "incomplete": lambda: target.step_incomplete(holes, *known, FULL, 1),
    }
    whole, incomplete = least_seconds(works, ROUNDS, time.process_time).values()
    n_rows, n_features = missing.shape
    n_patterns = len(np.unique(np.packbits(missing, axis=1), axis=0))
    shape = f"{n_rows:,}", n_features, n_components, f"{n_patterns:,}", f"{missing.mean():.0%}"
    return name, *shape, f"{1e3 * whole:.3g}", f"{1e3 * incomplete:.3g}", f"{incomplete / whole:.2f}"


def with_errors(n_rows: int, n_features: int, n_components: int, is_full: bool) -> tuple[object, ...]:
    """A step over rows that have an error each."""
    target, rng = _core.active(), np.random.default_rng(2)
    assert target is not None, "the core is built"
    mixture = Mixture.drawn(rng, n_components, n_features)
    rows, error = rng.normal(size=(n_rows, n_features)), rng.uniform(0.1, 1, (n_rows, n_features))
    if is_full:
        error = error[:, :, None] * np.eye(n_features) + 0.01
    known = (None, None, None, error, mixture.log_weight, mixture.means, mixture.factors, -np.inf)
    seconds = min(
        seconds_of(lambda: target.step_incomplete(rows, *known, FULL, 1), time.process_time) for _ in range(ROUNDS)
    )
    kind = "covariances" if is_full else "variances"
    return f"{n_rows:,}", n_features, n_components, kind, f"{1e9 * seconds / n_rows / n_components:.1f}"


def of_patterns(n_rows: int, n_features: int, n_patterns: int, share: float) -> NDArray[np.bool_]:
    """Some patterns, each of about as many rows."""
    rng = np.random.default_rng(0)
    patterns = rng.uniform(size=(n_patterns, n_features)) < share
    return patterns[rng.integers(n_patterns, size=n_rows)]


def of_cells(n_rows: int, n_features: int, share: float) -> NDArray[np.bool_]:
    """Each cell by itself."""
    return np.random.default_rng(0).uniform(size=(n_rows, n_features)) < share


def main() -> None:
    parser_of(__doc__).parse_args()
    how = f"least processor time of {ROUNDS} runs in turns, one thread"
    page = Page(__file__, "Missing cells and errors", how)
    page.say("A step over rows with missing cells, and over the same rows whole, milliseconds:")
    cases = [
        ("few patterns", 16, of_patterns(1_000_000, 16, 256, 0.15)),
        ("each cell by itself", 16, of_cells(1_000_000, 16, 0.15)),
        ("each cell by itself, nearly a pattern for each row", 16, of_cells(200_000, 32, 0.15)),
        ("small", 3, of_patterns(2_000, 5, 28, 0.3)),
    ]
    names = "| n | d | K | patterns | missing | whole | with missing cells | ratio"
    page.table(names, (with_missing(*case) for case in cases))
    page.say("A step over rows with an error each, nanoseconds for each row and component:")
    shapes = [(2, 3), (2, 10), (6, 3), (6, 10)]
    rows = (with_errors(100_000, *shape, is_full) for shape in shapes for is_full in (False, True))
    page.table("n | d | K | errors | ns", rows, n_words=0)
    page.write()


if __name__ == "__main__":
    main()
