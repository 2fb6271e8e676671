"""The work of a step, counted by the core, and which passes are long enough for more than plain steps."""

from __future__ import annotations

from functools import lru_cache

from gaussmix.numerics.core import native_target
from gaussmix.waist.whitening.base import FactorShape

# Multiply-adds of a pass, which take about a millisecond. On shorter passes neither float32 nor another order of the
# rows pays, and the core may make many steps in one call.
LONG_PASS = 1e7


@lru_cache(maxsize=64)
def work_per_row(factor_shape: FactorShape, n_components: int, n_features: int) -> float:
    """Multiply-adds of a step for each row, with one factor for each component; an exponential counts as 20."""
    target = native_target()
    assert target is not None, "only the native engine asks"
    return target.work_per_row(factor_shape, n_components, n_features)


def is_long(n_rows: int, factor_shape: FactorShape, n_components: int, n_features: int) -> bool:
    """Whether a pass takes at least `LONG_PASS` multiply-adds."""
    return n_rows * work_per_row(factor_shape, n_components, n_features) >= LONG_PASS
