"""What a model file holds: plain values, not checked for making a mixture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gaussmix.background import Background
from gaussmix.errors import counted
from gaussmix.numerics.arrays import Array
from gaussmix.version import package_version

Scalar = str | int | float | bool | None
Json = Any  # a JSON value: finite number, text, true, false, null, or a list or object of these


def are_lists(items: Iterable[Any], *types: Any) -> bool:
    """Whether each item is a list of one value of each of these types."""
    return all(
        isinstance(item, list) and len(item) == len(types) and all(map(isinstance, item, types)) for item in items
    )


@dataclass(frozen=True)
class FitRecord:
    """How a mixture was fitted.

    Parameters
    ----------
    n_rows : rows of the training data.
    row_weight : their total weight; n_rows if there were no weights.
    log_likelihood : of the training data under the mixture, nats, a total.
    n_steps : EM steps of the run that was kept.
    has_converged : whether that run ended because the likelihood had settled.
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
    attributes : fitted attributes besides the mixture, by name, as JSON values.
    """

    name: str
    parameters: Mapping[str, Json]
    attributes: Mapping[str, Json]


@dataclass(frozen=True)
class Details:
    """What a file says about a mixture besides its arrays.

    Parameters
    ----------
    feature_names : one name per feature, in order; None if the training data had no names.
    dtype : type of the training data, such as "float64"; None if unknown.
    fit : how it was fitted; None if it was not fitted, or if nothing is known of the fit.
    estimator : the estimator's parameters and attributes; None if only a mixture was saved.
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
    family_options : options of the structure, plain values; empty for most.
    weights, means, covariances : its arrays, float64; covariances in the compact form of the structure.
    details : everything besides the arrays.
    layout : version of the layout it was read from.
    noise : beside the components; None for none.
    """

    family: str
    weights: Array
    means: Array
    covariances: Array
    details: Details = field(default_factory=Details)
    layout: int = 1
    family_options: Mapping[str, Scalar] = field(default_factory=dict)
    noise: Background | None = None

    def flaw(self) -> str | None:
        """How its parts contradict each other, as the end of a sentence; None if they do not."""
        names, shape = self.details.feature_names, self.means.shape
        if names is not None and len(shape) == 2 and len(names) != shape[1]:
            return f"it names {counted(len(names), 'feature')}, but its means have {shape[1]}"
        return None
