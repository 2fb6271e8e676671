"""Online EM, which performs an M-step after every few thousand rows of a stream, and gradually forgets earlier rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, expm1, inf, log, log1p
from numbers import Real
from typing import Any

from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.em.objective.trace import FreezeReason
from gaussmix._src.em.step.accumulate import StepTask
from gaussmix._src.em.step.maximise import next_model
from gaussmix._src.engines.base import Engine
from gaussmix._src.errors import ParameterTypeError
from gaussmix._src.interfaces.moments import Moments
from gaussmix._src.model import Model
from gaussmix._src.sources.base import Source
from gaussmix._src.value import Value

# A step of online EM reads 35 tiles (groups of 144 rows that the C++ core processes together). A block of 65,520 rows,
# which is called a leaf, is read in 13 steps.
STEP_ROWS = 5_040


@dataclass(frozen=True, eq=False, repr=False)
class ForgettingRate(Value):
    """Rate at which a stream of rows is forgotten, for `GaussianMixture(forgetting=…)`.

    Parameters
    ----------
    decay : float, default 0.7 Exponent above 0.5 and at most 1. In step t, the new rows have the weight (t + 1)^−decay,
        and all earlier rows together have the remaining weight, so that both weights sum to 1. With `decay=1`, all
        steps have equal weight; with smaller values, earlier steps are forgotten sooner.
    half_life : float, default None Number of rows, at least 5,040, after which the weight of an earlier row has fallen
        to one half or less. Set `half_life` if the distribution of the data drifts. Keep the default None if all rows
        come from the same distribution.

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
        decay = (
            log1p(-(total_weight**-self.decay)) if total_weight > 1 else 0.0
        )  # if `total_weight` is 1, the rows of this step weigh too little to change the sums
        if self.half_life is not None:
            decay = min(decay, -log(2) * STEP_ROWS / self.half_life)
        return step_weight * decay


def moments_per_weight(source: Source, engine: Engine[Any], model: Model) -> Moments:
    """Compute the moments of all rows about the model's means, divided by the total row weight."""
    spec = model.family.moment_spec(model.covariances)
    task = StepTask(engine, model.n_components, model.parameters, spec, anchor=model.means)
    moments = task.sum_moments(source)
    return moments.scaled(1 / moments.row_weight)


def online_step(
    source: Source, engine: Engine[Any], model: Model, sums: Moments, objective: Objective, log_decay_factor: float
) -> tuple[Moments, Model, Mapping[int, FreezeReason]]:
    """Update `sums` with new rows, and perform an M-step. All sums are per unit of row weight.

    The new sums are (1 − γ) S + γ s, with earlier sums S and sums s of the new rows; `log_decay_factor` is log(1 − γ),
    from `ForgettingRate.log_decay_factor`. See Cappé & Moulines (2009), JRSS B 71, eq. 9 and 10. The covariance
    structure must need the same moments in every step, whatever the current covariances. A component that degenerates
    keeps its mean and covariance in this step, but is not frozen, because later rows may belong to it.
    """
    new = moments_per_weight(source, engine, model)
    sums = new.scaled(-expm1(log_decay_factor)) + sums.scaled(exp(log_decay_factor))
    following, frozen = next_model(sums, model, objective, {})
    return sums, following, frozen


ForgettingRate.__module__ = "gaussmix"  # the module from which users import the class
