"""What a fit tells the user beside its result."""

from __future__ import annotations

from gaussmix.em.trace import Frozen, Trace
from gaussmix.errors import name_components

_ADVICE = {
    Frozen.LOST: "no row belongs to it any more, and it stays where it was. Lower n_components, or try another start "
    "(init_params, n_init).",
    Frozen.COLLAPSED: "its mean and covariance were frozen before that. Raise reg_covar, lower n_components, or try "
    "another start (init_params, n_init).",
}


def frozen_sentence(trace: Trace) -> str | None:
    """Say which components stopped moving, why, and what to do; None where all move."""
    said = []
    for reason, advice in _ADVICE.items():
        components = sorted(k for k, why in trace.frozen.items() if why is reason)
        if components:
            said.append(f"{name_components(components)} {reason.value}: {advice}")
    return " ".join(said) or None
