"""Check the parameters of `BayesianGaussianMixture` that define the prior."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from gaussmix._src.checks import check_finite, check_positive
from gaussmix._src.em.bayes.variational import BayesianTerms
from gaussmix._src.em.bayes.variational_posterior import GaussWishartPrior
from gaussmix._src.em.initialisation.sample import RIDGE_FRACTION
from gaussmix._src.em.priors.concentration import DirichletWeights, StickBreakingWeights, WeightPrior
from gaussmix._src.em.priors.terms import OverallMoments
from gaussmix._src.errors import SingularCovarianceError, column_named
from gaussmix._src.families.base import Family, has_conjugate_prior
from gaussmix._src.interfaces.moment_spec import Second
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.validation.parameters import MAX_VALUE, check_column_names, check_family, check_name

TYPES = ("dirichlet_process", "dirichlet_distribution")
MAX_ERROR = 1e-2  # in nats; a default prior counts as singular if rounding errors of its log density are larger
MIN_PRIOR = 1e-100  # minimum of prior parameters (in rows); division by smaller values would overflow
MAX_PRIOR = 1e9  # maximum of prior parameters (in rows), above which rounding errors of log Γ make the bound inaccurate


def check_conjugate(estimator: Any) -> Family:
    """Return the covariance structure of an estimator; raise ValueError if this structure has no conjugate prior."""
    family = check_family(estimator)
    if not has_conjugate_prior(family):
        raise ValueError(
            f"covariance_type={estimator.covariance_type!r} has no conjugate prior, but exact lower bounds need one. "
            "Choose another structure, or use prior= in GaussianMixture."
        )
    return family


def check_prior(estimator: Any, family: Family, n_components: int, n_features: int, ridge: float) -> BayesianTerms:
    """Check the prior parameters of an estimator, and return the terms of the prior; may raise ValueError or TypeError.

    If the covariance of X is singular, the default prior adds `ridge` (in squared units of the data) to the variances.
    If `ridge` is too small, the default prior adds the automatic `reg_covar` instead.
    """
    alpha = _positive("weight_concentration_prior", estimator.weight_concentration_prior, 1.0 / n_components, MAX_PRIOR)
    kind = check_name("weight_concentration_prior_type", estimator.weight_concentration_prior_type, TYPES)
    is_process = kind == TYPES[0]
    concentration: WeightPrior = StickBreakingWeights(alpha) if is_process else DirichletWeights(alpha, n_components)
    precision = _positive("mean_precision_prior", estimator.mean_precision_prior, 1.0)
    dof = _positive("degrees_of_freedom_prior", estimator.degrees_of_freedom_prior, float(n_features), MAX_PRIOR)
    limit = n_features - 1 if family.kind.second is Second.FULL else 0
    if dof <= limit:  # the message begins as in scikit-learn
        raise ValueError(
            f"The parameter 'degrees_of_freedom_prior' should be greater than {limit}, but got {dof:.3f}. With "
            "fewer degrees of freedom, the prior of a covariance matrix does not exist."
        )
    for name in ("mean_prior", "covariance_prior"):
        check_column_names(name, getattr(estimator, name), estimator._names)
    mean, scale = _mean(estimator.mean_prior, n_features), _scale(estimator.covariance_prior, family, n_features)
    make = partial(GaussWishartPrior, family, concentration, mean_precision=precision, dof=dof)
    return BayesianTerms(make_prior=partial(_prior, make, family.kind.second, mean, scale, ridge, estimator._names))


def _prior(
    make: Callable[..., GaussWishartPrior],
    form: Second,
    mean: Array | None,
    scale: Array | None,
    ridge: float,
    names: Sequence[str] | None,
    moments: OverallMoments,
) -> tuple[GaussWishartPrior, Array | None]:
    """Return the prior, and the automatic ridge or None; compute `mean` and `scale` from the rows if these are None."""
    scales = _default_scales(moments, form, ridge) if scale is None else [(scale, None)]
    for candidate, automatic in scales:
        prior = make(mean=moments.mean if mean is None else mean, scale=candidate)
        try:
            rounding = prior.covariance.rounding_error.max()
        except SingularCovarianceError:
            continue
        if scale is not None or rounding <= MAX_ERROR:
            return prior, automatic
    raise ValueError(_NOT_POSITIVE if scale is not None else _variance_message(moments, names))


def _default_scales(moments: OverallMoments, form: Second, ridge: float) -> Iterator[tuple[Array, Array | None]]:
    """Yield scale matrices to try for the default prior, each with the automatic ridge, or None if it was not added.

    These scale matrices are the covariance of X, this covariance plus the user's `reg_covar`, and this covariance plus
    the automatic `reg_covar`. The automatic `reg_covar` is at least a millionth of each variance, so that dependent
    columns remain correlated in any units of measurement. If X does not have more rows than columns, correlations
    cannot be estimated, and are set to 0.
    """
    variances, is_short = moments.variances, moments.total_weight - moments.empty_weight <= len(moments.mean)

    def with_ridge(ridge: Array | float) -> Array:
        if form is not Second.FULL:
            return np.array(variances + ridge if form is Second.DIAGONAL else (variances + ridge).mean())
        added = np.diag(np.broadcast_to(ridge, variances.shape))
        return np.asarray((np.diag(variances) if is_short else moments.covariance) + added)

    yield with_ridge(0.0), None
    if ridge:
        yield with_ridge(ridge), None
    assert moments.automatic_ridge is not None, "moments of data have an automatic ridge"
    automatic = np.maximum(moments.automatic_ridge(), RIDGE_FRACTION * variances)
    yield with_ridge(automatic), automatic


def _variance_message(moments: OverallMoments, names: Sequence[str] | None) -> str:
    """Return an error message that names the column of smallest variance, which is only rounding error."""
    column = int(moments.variances.argmin())
    return (
        f"X varies so little in {column_named(column, names)} that its variance, {moments.variances[column]:.2g}, is "
        "only rounding error. Multiply the column by a large number, or remove it."
    )


_NOT_POSITIVE = "covariance_prior must be positive definite: positive variances, or a matrix with positive eigenvalues."


def _positive(name: str, value: Any, default: float, upper: float = np.inf) -> float:
    if value is None:
        return default
    if (x := check_positive(name, value)) > upper:
        raise ValueError(f"{name}={x:g} must be at most {upper:g}, because larger values make the bound inaccurate.")
    if x < MIN_PRIOR:
        raise ValueError(
            f"{name}={x:g} must be at least {MIN_PRIOR:g}, because division by a smaller value would overflow."
        )
    return x


def _mean(value: Any, n_features: int) -> Array | None:
    if value is None:
        return None
    mean = _finite_array("mean_prior", value, (n_features,))
    if np.abs(mean).max() > MAX_VALUE:
        raise ValueError(f"mean_prior must be within ±{MAX_VALUE:g}, because squares of larger values overflow.")
    return mean


def _scale(value: Any, family: Family, n_features: int) -> Array | None:
    """Check `covariance_prior`, and return an array of the shape that the covariance structure requires."""
    if value is None:
        return None
    form = family.kind.second
    shape: tuple[int, ...] = {Second.FULL: (n_features, n_features), Second.DIAGONAL: (n_features,)}.get(form, ())
    scale = _finite_array("covariance_prior", value, shape)
    if form is Second.FULL and not np.allclose(scale, scale.T, rtol=1e-6, atol=0):
        raise ValueError("covariance_prior must be symmetric.")
    if form is not Second.FULL and not (scale > 0).all():
        raise ValueError(_NOT_POSITIVE)
    return scale


def _finite_array(name: str, value: Any, shape: tuple[int, ...]) -> Array:
    """Return an array of finite numbers; raise ValueError if the array does not have the given shape."""
    array = check_finite(name, value)
    if array.shape != shape:
        wanted = f"shape {shape}" if shape else "a number"
        raise ValueError(f"{name} has shape {array.shape}, but covariance_type and X need {wanted}.")
    return array
