"""What a fit tells the user beside its result."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from sklearn.exceptions import ConvergenceWarning

from gaussmix.em.restarts import Run
from gaussmix.em.trace import Frozen, Trace
from gaussmix.errors import Outcome, name_components
from gaussmix.estimators.rounding import rounding_sentence

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


def notices_of(run: Run) -> Iterator[tuple[str, type[Warning]]]:
    """What the user should know of a run, and the kind of warning that says it."""
    mixture, trace = run
    for sentence in frozen_sentence(trace), rounding_sentence(mixture):
        if sentence is not None:
            yield sentence, RuntimeWarning
    if trace.outcome is not Outcome.CONVERGED and trace.n_steps > 0:
        yield _NOT_CONVERGED, ConvergenceWarning


@contextmanager
def about(subject: str) -> Iterator[None]:
    """Begin errors and warnings with what they are about; warnings name the line that calls the caller's caller."""
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            yield
    except ValueError as error:
        raise ValueError(f"{subject}: {error}") from error
    for notice in said:
        warnings.warn(f"{subject}: {notice.message}", notice.category, stacklevel=5)


def frozen_sentence(trace: Trace) -> str | None:
    """Say which components stopped moving, why, and what to do; None where all move."""
    said = []
    for reason, advice in _ADVICE.items():
        components = sorted(k for k, why in trace.frozen.items() if why is reason)
        if components:
            said.append(f"{name_components(components)} {reason.value}: {advice}")
    return " ".join(said) or None
