"""What a model file says beside the mixture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version

Scalar = str | int | float | bool | None


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
class Details:
    """What is known of a mixture beside its numbers.

    Parameters
    ----------
    feature_names : one name per feature, in order; None where the training data had no names.
    dtype : type of the training data, such as "float64"; None where unknown.
    fit : how it was fitted; None for a mixture that was not.
    package_version : the gaussmix that wrote the file.
    """

    feature_names: tuple[str, ...] | None = None
    dtype: str | None = None
    fit: FitRecord | None = None
    package_version: str = field(default_factory=package_version)
