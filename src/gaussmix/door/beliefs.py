"""The prior of a Bayesian mixture, as an estimator's parameters say it, checked."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from gaussmix.checks import check_positive
from gaussmix.door.parameters import check_family, check_name, check_numbers
from gaussmix.em.approximation import GaussWishart
from gaussmix.em.concentration import Concentration, DirichletWeights, StickWeights
from gaussmix.em.terms import OverallMoments
from gaussmix.em.variational import Bayesian
from gaussmix.errors import SingularCovariance, column_named
from gaussmix.families.base import Family, has_conjugate_prior
from gaussmix.numerics.arrays import Array
from gaussmix.waist.need import Second

TYPES = ("dirichlet_process", "dirichlet_distribution")
FARTHEST = 1e150  # data units
MOST = 1e9  # rows: of more, the logarithms of gamma functions have no digits left for the bound


def check_conjugate(estimator: Any) -> Family:
    """The structure that an estimator names; raises ValueError unless it has a conjugate prior."""
    family = check_family(estimator)
    if not has_conjugate_prior(family):
        raise ValueError(
            f"covariance_type={estimator.covariance_type!r} has no conjugate prior, which the exact bound needs. "
            "Choose another structure, or use prior= in GaussianMixture."
        )
    return family


def check_prior(estimator: Any, family: Family, n_components: int, n_features: int, ridge: float) -> Bayesian:
    """The prior of an estimator for data with so many features; raises ValueError or TypeError.

    The ridge, data units², is what the variance of a constant column is believed to be.
    """
    of_weights = _positive("weight_concentration_prior", estimator.weight_concentration_prior, 1.0 / n_components, MOST)
    kind = check_name("weight_concentration_prior_type", estimator.weight_concentration_prior_type, TYPES)
    concentration: Concentration = DirichletWeights(of_weights, n_components)
    if kind == TYPES[0]:
        concentration = StickWeights(of_weights)
    precision = _positive("mean_precision_prior", estimator.mean_precision_prior, 1.0)
    dof = _positive("degrees_of_freedom_prior", estimator.degrees_of_freedom_prior, float(n_features), MOST)
    least = n_features - 1 if family.kind.second is Second.FULL else 0
    if dof <= least:  # the sentence begins as scikit-learn's does
        raise ValueError(
            f"The parameter 'degrees_of_freedom_prior' should be greater than {least}, but got {dof:.3f}. With fewer, "
            "there is no such prior of a covariance matrix."
        )
    mean, scale = _mean(estimator.mean_prior, n_features), _scale(estimator.covariance_prior, family, n_features)
    of_prior = family, concentration, precision, dof, mean, scale
    return Bayesian(belief=partial(_belief, *of_prior, ridge, estimator._names))


def _belief(
    family: Family,
    concentration: Concentration,
    precision: float,
    dof: float,
    mean: Array | None,
    scale: Array | None,
    ridge: float,
    names: Sequence[str] | None,
    moments: OverallMoments,
) -> GaussWishart:
    """The prior, whose mean and scale are those of the rows where the user gives none."""
    of_prior = family, concentration, moments.mean if mean is None else mean, precision, dof
    if scale is not None:
        candidates, sentence = [scale], _NOT_POSITIVE
    else:
        variances, sentence, form = np.array(moments.variances), _of_constant(moments, names), family.kind.second
        candidates = [variances, variances + ridge]
        if form is Second.FULL:
            candidates = [moments.covariance, *map(np.diag, candidates)]
        elif form is Second.TRACE:
            candidates = [np.array(each.mean()) for each in candidates]
    for candidate in candidates:
        found = GaussWishart(*of_prior, candidate)
        try:
            _ = found.covariance.whitening
        except SingularCovariance:
            continue
        return found
    raise ValueError(sentence)


def _of_constant(moments: OverallMoments, names: Sequence[str] | None) -> str:
    """Say that the covariance of X is no prior, and name the column, which is the one that varies least."""
    return (
        "covariance_prior is the covariance of X by default, but X has the same number in "
        f"{column_named(int(moments.variances.argmin()), names)}. Set reg_covar above 0 (scikit-learn's is 1e-6), give "
        "covariance_prior, or remove the column."
    )


_NOT_POSITIVE = "covariance_prior must be positive definite: give a covariance that some rows could have."


def _positive(name: str, value: Any, otherwise: float, most: float = np.inf) -> float:
    if value is None:
        return otherwise
    if (found := check_positive(name, value)) > most:
        raise ValueError(f"{name}={found:g} must be at most {most:g}: of larger numbers the bound would be rounding.")
    return found


def _mean(value: Any, n_features: int) -> Array | None:
    if value is None:
        return None
    mean = _numbers("mean_prior", value, (n_features,))
    if np.abs(mean).max() > FARTHEST:
        raise ValueError(f"mean_prior must be within ±{FARTHEST:g}: squares of larger numbers overflow.")
    return mean


def _scale(value: Any, family: Family, n_features: int) -> Array | None:
    """The covariance prior in the form of the structure."""
    if value is None:
        return None
    form = family.kind.second
    shape: tuple[int, ...] = {Second.FULL: (n_features, n_features), Second.DIAGONAL: (n_features,)}.get(form, ())
    scale = _numbers("covariance_prior", value, shape)
    if form is Second.FULL and not np.allclose(scale, scale.T, rtol=1e-6, atol=0):
        raise ValueError("covariance_prior must be symmetric.")
    if form is not Second.FULL and not (scale > 0).all():
        raise ValueError(_NOT_POSITIVE)
    return scale


def _numbers(name: str, value: Any, shape: tuple[int, ...]) -> Array:
    """Finite numbers of a shape."""
    found = np.array(check_numbers(name, value))
    if found.shape != shape:
        wanted = f"shape {shape}" if shape else "a number"
        raise ValueError(f"{name} has shape {found.shape}, but covariance_type and X need {wanted}.")
    if not np.isfinite(found).all():
        raise ValueError(f"{name} holds NaN or infinity.")
    return found
