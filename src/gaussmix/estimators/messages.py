"""What a fit says beside its result: the sentences, and warnings that name the line of the user's program."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from gaussmix.em.restarts import Run
from gaussmix.em.trace import Frozen, Trace
from gaussmix.errors import Outcome, name_components
from gaussmix.mixture.mixture import Mixture

ROUNDED = 1e-6  # nats: the smallest rounding of a log density that is worth a warning

_ADVICE = {
    Frozen.LOST: "no row belongs to it any more, and it stays where it was. Lower n_components, or try another start "
    "(init_params, n_init).",
    Frozen.COLLAPSED: "its mean and covariance were frozen before that. Raise reg_covar, lower n_components, or try "
    "another start (init_params, n_init).",
}

# scikit-learn's sentence: programs match it.
_NOT_CONVERGED = (
    "Best performing initialization did not converge. Try different init parameters, or increase "
    "max_iter, tol, or check for degenerate data."
)


def warn(sentence: str, category: type[Warning] = RuntimeWarning) -> None:
    """Warn at the line that called into gaussmix, however deep in gaussmix the reason was found."""
    for level in count(1):  # from Python 3.12 on, `skip_file_prefixes` does this
        frame = sys._getframe(level)
        if frame.f_back is None or not frame.f_globals.get("__name__", "").startswith(("gaussmix.", "contextlib")):
            break
    warnings.warn(sentence, category, stacklevel=level + 1)


@contextmanager
def about(subject: str) -> Iterator[None]:
    """Begin errors and warnings with what they are about."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
    except ValueError as error:
        raise ValueError(f"{subject}: {error}") from error
    for warning in caught:
        warn(f"{subject}: {warning.message}", warning.category)


def warn_of(run: Run) -> None:
    """Warn of what the user should know of a run."""
    mixture, trace = run
    for sentence in frozen_sentence(trace), rounding_sentence(mixture):
        if sentence is not None:
            warn(sentence)
    if trace.outcome is not Outcome.CONVERGED and trace.n_steps > 0:
        warn(_NOT_CONVERGED, ConvergenceWarning)


def frozen_sentence(trace: Trace) -> str | None:
    """Say which components stopped moving, why, and what to do; None where all move."""
    sentences = []
    for reason, advice in _ADVICE.items():
        components = sorted(k for k, why in trace.frozen.items() if why is reason)
        if components:
            sentences.append(f"{name_components(components)} {reason.value}: {advice}")
    return " ".join(sentences) or None


def rounding_sentence(mixture: Mixture) -> str | None:
    """Say which covariances are so nearly singular that log densities have lost digits; None where none is.

    The rounding of Σ is multiplied by Σ_jj (Σ⁻¹)_jj, the ratio of the variance of feature j to the variance that is
    left of it when the other features are known.
    """
    family, shape = mixture.family, mixture.means.shape
    precisions = mixture.whitening.precision_diagonals()
    inflation = (family.variances(mixture.covariances, *shape) * precisions).max(axis=1)
    error = shape[1] * float(np.finfo(np.float64).eps) * inflation
    concerned = np.flatnonzero(error > ROUNDED)
    if not concerned.size:
        return None
    return (
        f"{name_components(concerned.tolist())}: nearly singular covariance, so that rounding changes log densities "
        f"by about {error.max():.1g} nats. Raise reg_covar, leave out columns that others determine or rows far from "
        "all others, or raise n_components."
    )
