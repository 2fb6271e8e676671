"""What a model file holds: plain values, with no word on whether they make a mixture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from gaussmix.numerics.arrays import Array

Scalar = str | int | float | bool | None
Json = Any  # what JSON has: numbers that are finite, text, true, false, null, lists and objects of these


def package_version() -> str:
    """The version of gaussmix; "unknown" where it runs from a source tree that was never installed."""
    try:
        return version("gaussmix")
    except PackageNotFoundError:
        return "unknown"


@dataclass(frozen=True)
class FitRecord:
    """How a mixture was fitted.

    Parameters
    ----------
    n_rows : rows of the training data.
    row_weight : their total weight; n_rows where there were no weights.
    log_likelihood : of the training data under the mixture, nats, a total.
    n_steps : EM steps of the run that was kept.
    has_converged : that run ended because the likelihood had settled.
    settings : the estimator's parameters by name (reg_covar, init_params, random_state, …), plain values only.
    """

    n_rows: int
    row_weight: float
    log_likelihood: float
    n_steps: int
    has_converged: bool
    settings: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True)
class EstimatorRecord:
    """The estimator that fitted a mixture.

    Parameters
    ----------
    name : of its class.
    parameters : by name, as JSON values.
    attributes : what its fit found beside the mixture, by name, as JSON values.
    """

    name: str
    parameters: Mapping[str, Json]
    attributes: Mapping[str, Json]


@dataclass(frozen=True)
class Details:
    """What is known of a mixture beside its numbers.

    Parameters
    ----------
    feature_names : one name per feature, in order; None where the training data had no names.
    dtype : type of the training data, such as "float64"; None where unknown.
    fit : how it was fitted; None for a mixture that was not, or where nothing was kept of it.
    estimator : what an estimator needs to wake up as it was; None where only a mixture was saved.
    package_version : the gaussmix that wrote the file.
    """

    feature_names: tuple[str, ...] | None = None
    dtype: str | None = None
    fit: FitRecord | None = None
    estimator: EstimatorRecord | None = None
    package_version: str = field(default_factory=package_version)


@dataclass(frozen=True, eq=False)
class Record:
    """A mixture as plain values.

    Parameters
    ----------
    family : name of the covariance structure.
    family_options : what it is made of beside, plain values; none for most.
    weights, means, covariances : its arrays, float64; covariances in the compact form of the structure.
    details : what is known beside.
    layout : version of the layout it was read from.
    """

    family: str
    weights: Array
    means: Array
    covariances: Array
    details: Details = field(default_factory=Details)
    layout: int = 1
    family_options: Mapping[str, Scalar] = field(default_factory=dict)

    def flaw(self) -> str | None:
        """Say how its parts contradict each other, as the end of a sentence; None where they don't."""
        names, shape = self.details.feature_names, self.means.shape
        if names is not None and len(shape) == 2 and len(names) != shape[1]:
            return f"it names {len(names)} features, but its means have {shape[1]}"
        return None
