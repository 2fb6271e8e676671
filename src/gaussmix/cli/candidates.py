"""Mixtures with several numbers of components, fitted to the same rows, of which one is chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix.cli.notices import heard
from gaussmix.errors import SingularCovariance, name_components
from gaussmix.facade.gaussian_mixture import GaussianMixture

MORE_STARTS = 4  # where a fit ends below one with fewer components


@dataclass(frozen=True)
class Fitted:
    """A fit that succeeded.

    Parameters
    ----------
    n_components : of the mixture.
    estimator : fitted.
    log_likelihood : of the rows, nats, a total.
    bic : lower is better.
    notices : what the library warned of.
    """

    n_components: int
    estimator: GaussianMixture
    log_likelihood: float
    bic: float
    notices: tuple[str, ...]


@dataclass(frozen=True)
class Failed:
    """A fit that could not be done, and why: in a few words for a table, and in a sentence."""

    n_components: int
    briefly: str
    reason: str


Candidate = Fitted | Failed


def fit_candidates(
    rows: NDArray[np.float64],
    counts: Iterable[int],
    settings: Mapping[str, Any],
    announce: Callable[[int], None],
    row_weight: NDArray[np.float64] | None = None,
) -> Iterator[Candidate]:
    """Fit a mixture with each number of components; `announce` is called before each.

    The best likelihood rises with the number of components. Where a fit ends below a smaller mixture its start was
    unlucky, so more starts are made.

    Parameters
    ----------
    rows : (n_rows, n_features), finite.
    counts : numbers of components.
    settings : the estimator's parameters.
    row_weight : (n_rows,); None where all are 1.
    """
    reached: dict[int, float] = {}
    for n_components in counts:
        announce(n_components)
        candidate = fit_candidate(rows, n_components, settings, row_weight)
        smaller = max((found for k, found in reached.items() if k < n_components), default=-np.inf)
        if isinstance(candidate, Fitted):
            if candidate.log_likelihood < smaller:
                more = {**settings, "n_init": settings["n_init"] + MORE_STARTS}
                again = fit_candidate(rows, n_components, more, row_weight)
                candidate = max(candidate, again, key=_reached)
            reached[n_components] = _reached(candidate)
        yield candidate


def _reached(candidate: Candidate) -> float:
    return candidate.log_likelihood if isinstance(candidate, Fitted) else -np.inf


def fit_candidate(
    rows: NDArray[np.float64],
    n_components: int,
    settings: Mapping[str, Any],
    row_weight: NDArray[np.float64] | None = None,
) -> Candidate:
    """Fit one; what is wrong with the data for this number of components is part of the result."""
    if len(rows) < n_components:
        reason = f"there are fewer rows ({len(rows)}) than components."
        return Failed(n_components, "fewer rows than components", reason)
    estimator = GaussianMixture(n_components, **settings)
    try:
        with heard() as notices:
            estimator.fit(rows, sample_weight=row_weight)
            total = len(rows) if row_weight is None else float(row_weight.sum())
            log_likelihood = estimator.score(rows, sample_weight=row_weight) * total
            bic = estimator.bic(rows, row_weight)
    except SingularCovariance as error:
        return Failed(n_components, f"singular covariance: {name_components(error.components)}", str(error))
    except ValueError as error:
        return Failed(n_components, "can't be fitted", str(error))
    return Fitted(n_components, estimator, log_likelihood, bic, tuple(notices))


def choose_by_bic(candidates: Sequence[Candidate]) -> Fitted:
    """The candidate with the lowest BIC, the smaller of equals; one with a collapsed component only where all have one.

    Raises
    ------
    ValueError : none was fitted; the message says why, once for each reason.
    """
    fitted = [candidate for candidate in candidates if isinstance(candidate, Fitted)]
    if not fitted:
        reasons = dict.fromkeys(c.reason for c in candidates if isinstance(c, Failed))
        raise ValueError(f"No mixture could be fitted: {' '.join(reasons)}")
    return min(fitted, key=lambda c: (bool(c.estimator.collapsed_), c.bic, c.n_components))


def rises_further(candidates: Sequence[Candidate], chosen: Fitted) -> bool:
    """The best of several candidates is the largest that was tried, so a still larger one may be better."""
    return len(candidates) > 1 and chosen.n_components == max(c.n_components for c in candidates)
