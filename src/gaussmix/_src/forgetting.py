"""The rate at which a stream forgets rows, which `GaussianMixture` accepts as `forgetting`."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log, log1p
from numbers import Real

from gaussmix._src.em.step.online import STEP_ROWS
from gaussmix._src.errors import ParameterTypeError
from gaussmix._src.value import Value


@dataclass(frozen=True, eq=False, repr=False)
class ForgettingRate(Value):
    """Rate at which a stream of rows is forgotten, for `GaussianMixture(forgetting=…)`.

    Parameters
    ----------
    decay : float, default 0.7
        Exponent above 0.5 and at most 1. In step t, the new rows have the weight (t + 1)^−decay, and all earlier rows
        together have the remaining weight, so that both weights sum to 1. With `decay=1`, all steps have equal weight;
        with smaller values, earlier steps are forgotten sooner.
    half_life : float, default None
        Number of rows, at least 5,040, after which the weight of an earlier row has fallen to one half or less. Set
        `half_life` if the distribution of the data drifts. Keep the default None if all rows come from the same
        distribution.

    Raises
    ------
    ValueError : `decay` or `half_life` is outside its range.
    TypeError : `decay` or `half_life` is not a number.

    Examples
    --------
    >>> from gaussmix import GaussianMixture, ForgettingRate
    >>> GaussianMixture(2, forgetting=ForgettingRate(half_life=100_000)).forgetting
    ForgettingRate(half_life=100000)
    """

    decay: float = 0.7
    half_life: float | None = None

    def __post_init__(self) -> None:
        for name, value in {"decay": self.decay, "half_life": self.half_life or 0.0}.items():
            if isinstance(value, bool) or not isinstance(value, (float, Real)):
                raise ParameterTypeError(f"{name} must be a number, not {value!r}.")
        if not 0.5 < self.decay <= 1:
            raise ValueError(f"decay={self.decay!r} must be a number above 0.5 and at most 1.")
        if self.half_life is not None and not STEP_ROWS <= self.half_life < inf:
            raise ValueError(f"half_life={self.half_life!r} must be None or at least {STEP_ROWS} rows (one step).")

    def log_decay_factor(self, total_weight: float, step_weight: float) -> float:
        """Return step_weight · log(1 − γ), the log of the factor by which a step scales earlier sums.

        Parameters
        ----------
        total_weight : total weight of all rows up to the end of this step, divided by the weight of a full step: at
            least 1.
        step_weight : weight of the rows of this step, divided by the weight of a full step.
        """
        # After the first fit, `total_weight` is 1 only if the rows of this step are too light to change the sums.
        log_factor = log1p(-(total_weight**-self.decay)) if total_weight > 1 else 0.0
        if self.half_life is not None:
            log_factor = min(log_factor, -log(2) * STEP_ROWS / self.half_life)
        return step_weight * log_factor


ForgettingRate.__module__ = "gaussmix"  # the module from which users import the class
