"""Steps of EM that an engine makes by itself."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from gaussmix.numerics.arrays import Array


class Gaussians(Protocol):
    """The numbers of a mixture.

    Parameters
    ----------
    weights : (n_components,).
    means : (n_components, n_features), data units.
    covariances : in compact form, data units².
    """

    @property
    def weights(self) -> Array: ...

    @property
    def means(self) -> Array: ...

    @property
    def covariances(self) -> Array: ...


class Control(NamedTuple):
    """When to end, and what steps are left to the loop in Python, which knows more.

    Parameters
    ----------
    ridge : (n_features,), added to every variance at each step, data units².
    tolerance : end where the mean log-likelihood changes by less, nats per unit of row weight.
    max_steps : limit on the number of steps.
    previous : mean log-likelihood before the step before the first.
    lost_share : the least share of the row weight that a component may have.
    noise : the least standard deviation, as a part of the mean, of a feature without a ridge.
    loss : how many times larger second moments about the anchor may be than about the new means.
    """

    ridge: Array
    tolerance: float
    max_steps: int
    previous: float
    lost_share: float
    noise: float
    loss: float


class Course(NamedTuple):
    """Where some steps of EM led.

    Parameters
    ----------
    weights, means, covariances : after the last step.
    log_likelihood : mean before each step, nats per unit of row weight; none where the first is for Python.
    """

    weights: Array
    means: Array
    covariances: Array
    log_likelihood: list[float]
