"""What a model file holds: plain values, not checked for making a mixture."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from gaussmix._src.background import Background
from gaussmix._src.errors import counted
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.version import package_version

PathOrFile = str | os.PathLike[str] | BinaryIO
Scalar = str | int | float | bool | None
Json = Any  # a JSON value: finite number, text, true, false, null, or a list or object of these


class Damaged(Exception):
    """Why a file is not a model, as the end of a sentence."""


def are_lists(items: Iterable[Any], *types: Any) -> bool:
    """Whether each item is a list of one value of each of these types."""
    return all(isinstance(one, list) and len(one) == len(types) and all(map(isinstance, one, types)) for one in items)


@dataclass(frozen=True)
class FitRecord:
    """How a mixture was fitted."""

    n_rows: int  # rows of the training data
    row_weight: float  # their total weight; n_rows if there were no weights
    log_likelihood: float  # of the training data under the mixture, nats, a total
    n_steps: int  # EM steps of the run that was kept
    has_converged: bool  # whether that run ended because the likelihood had settled
    # the estimator's parameters by name (reg_covar, init_params, random_state, …), plain values only
    settings: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True)
class EstimatorRecord:
    """The estimator that fitted a mixture."""

    name: str  # of its class
    parameters: Mapping[str, Json]  # by name, as JSON values
    attributes: Mapping[str, Json]  # fitted attributes besides the mixture, by name, as JSON values


@dataclass(frozen=True)
class Details:
    """What a file says about a mixture besides its arrays."""

    # one name per feature, in order; None if the training data had no names
    feature_names: tuple[str, ...] | None = None
    dtype: str | None = None  # type of the training data, such as "float64"; None if unknown
    fit: FitRecord | None = None  # how it was fitted; None if it was not fitted, or if nothing is known of the fit
    # the estimator's parameters and attributes; None if only a mixture was saved
    estimator: EstimatorRecord | None = None
    package_version: str = field(default_factory=package_version)  # the gaussmix that wrote the file


@dataclass(frozen=True, eq=False)
class Record:
    """A mixture as plain values."""

    family: str  # name of the covariance structure
    # weights, means, covariances: its arrays, float64; covariances in the compact form of the structure
    weights: Array
    means: Array
    covariances: Array
    details: Details = field(default_factory=Details)  # everything besides the arrays
    layout: int = 1  # version of the layout it was read from
    # options of the structure, plain values; empty for most
    family_options: Mapping[str, Scalar] = field(default_factory=dict)
    noise: Background | None = None  # beside the components; None if there is none

    def invalid_reason(self) -> str | None:
        """How its parts contradict each other, as the end of a sentence; None if they do not."""
        names, shape = self.details.feature_names, self.means.shape
        if names is not None and len(shape) == 2 and len(names) != shape[1]:
            return f"it names {counted(len(names), 'feature')}, but its means have {shape[1]}"
        return None
