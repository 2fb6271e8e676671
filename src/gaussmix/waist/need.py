"""What a family asks the engine to accumulate, and how rows are shared among components."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Second(IntEnum):
    """Second moments of a component about its anchor; the numbers are those of the C++ core."""

    NONE = 0
    TRACE = 1  # Σ γ ‖x − a‖²              (n_components,)
    DIAGONAL = 2  # Σ γ (x − a)²              (n_components, n_features)
    FULL = 3  # Σ γ (x − a)(x − a)ᵀ       (n_components, n_features, n_features)


class Rule(IntEnum):
    """How a row is shared among components; the numbers are those of the C++ core."""

    SOFT = 0  # by responsibility: EM
    HARD = 1  # to the most probable component: k-means under a shared spherical whitening
    GIVEN = 2  # as `Block.given` says: an M-step first


@dataclass(frozen=True)
class Need:
    """Second moments to accumulate; `pooled` ones are summed over components (their first axis is gone)."""

    second: Second
    pooled: bool = False
