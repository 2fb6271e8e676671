"""The base class of estimators of a posterior distribution of mixtures: attributes and predictive density."""

from __future__ import annotations

import warnings
from abc import ABC
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from gaussmix._src.em.bayes.variational_posterior import GaussWishartPrior, VariationalPosterior
from gaussmix._src.em.priors.concentration import DirichletWeights, StickBreakingWeights
from gaussmix._src.estimators.mixture_estimator import MixtureEstimator, sum_log_density
from gaussmix._src.fit.fitted import FitResult
from gaussmix._src.formats.record import Damaged
from gaussmix._src.formats.values import Reader, array_reader, instance
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array, narrowed
from gaussmix._src.numerics.elementary import exponential
from gaussmix._src.numerics.frames import made_frame
from gaussmix._src.report.mixture_posterior import MixturePosterior
from gaussmix._src.report.summary import Summary
from gaussmix._src.sources.base import Source
from gaussmix._src.validation.parameters import check_name
from gaussmix._src.validation.priors import TYPES
from gaussmix._src.validation.rows import RowsLike

HOW = ("predictive", "plugin")
MIN_MASS = 1e-3  # smallest expected number of rows of components that reports show
_STEP_FACTOR = 10  # maximum difference of two lower bounds for the same rows, as a multiple of the last gain
_ROUNDING = 1e-9  # relative rounding error of a lower bound


class PosteriorEstimator(MixtureEstimator, ABC):
    """An estimator that fits an approximate posterior distribution; `mixture_` is the mixture of posterior means."""

    mass_: Array
    """Expected number of rows of each component, (n_components,)."""
    weight_concentration_prior_type_: str
    """Type of the weights' prior: a Dirichlet process or a Dirichlet distribution."""
    weight_concentration_prior_: float
    """Concentration of the prior of the weights."""
    mean_precision_prior_: float
    """Weight of the prior of the means, in rows."""
    degrees_of_freedom_prior_: float
    """Degrees of freedom of the prior of the covariances."""
    mean_prior_: Array
    """Prior mean (n_features,), in data units."""
    covariance_prior_: Array
    """Scale S of the prior of the covariances, in the shape of a single covariance; data units²."""
    _instead: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("aic", "aic_", "bic", "bic_"), "lower_bound_, with which you can compare fits"),
        **dict.fromkeys(("bootstrap", "inference"), "posterior_, which has credible intervals"),
    }
    _attributes: ClassVar[Mapping[str, Reader]] = {
        "mass_": array_reader("f"),
        "weight_concentration_prior_type_": partial(check_name, "weight_concentration_prior_type_", known=TYPES),
        "weight_concentration_prior_": instance(float),
        "mean_precision_prior_": instance(float),
        "mean_prior_": array_reader("f"),
        "degrees_of_freedom_prior_": instance(float),
        "covariance_prior_": lambda value: np.asarray(value, dtype=np.float64),
    }

    def _keep_posterior(self, approximation: VariationalPosterior, n_components: int) -> Model:
        """Set fitted attributes from a posterior, extended by empty components to `n_components`; return the model."""
        full = approximation.with_empty_components(n_components - len(approximation.counts))
        prior = approximation.prior
        weights = prior.weight_prior.mean_weights(full.counts)
        self.mass_ = full.counts
        self.weight_concentration_prior_type_ = TYPES[isinstance(prior.weight_prior, DirichletWeights)]
        self.weight_concentration_prior_ = prior.weight_prior.concentration
        self.mean_precision_prior_, self.degrees_of_freedom_prior_ = prior.mean_precision, prior.dof
        self.mean_prior_, self.covariance_prior_ = prior.mean, prior.scale
        return Model(weights / weights.sum(), full.means, full.covariances, prior.family)

    def _wake(self, own: Mapping[str, Any]) -> None:
        super()._wake(own)
        mixture = self.mixture_
        if self.mass_.shape != mixture.weights.shape or not (self.mass_ >= 0).all() or not self.mass_.any():
            raise Damaged("the file's 'mass_' must have a number of rows ≥ 0 for each component")
        numbers = self.weight_concentration_prior_, self.mean_precision_prior_, self.degrees_of_freedom_prior_
        shapes = (mixture.n_features,), mixture.family.kind.shape(1, mixture.n_features, True)
        if (self.mean_prior_.shape, self.covariance_prior_.shape) != shapes or min(numbers) <= 0:
            raise Damaged("the prior does not fit the mixture")

    @property
    def _prior(self) -> GaussWishartPrior:
        """The prior that the fit used."""
        family, alpha = self.mixture_.family, self.weight_concentration_prior_
        is_process = self.weight_concentration_prior_type_ == TYPES[0]
        concentration = StickBreakingWeights(alpha) if is_process else DirichletWeights(alpha, len(self.mass_))
        of_means = self.mean_prior_, self.mean_precision_prior_
        dof, scale = self.degrees_of_freedom_prior_, self.covariance_prior_
        return GaussWishartPrior(family, concentration, *of_means, dof, scale)

    @property
    def _full_posterior(self) -> VariationalPosterior:
        """The approximate posterior of all components, including components without rows."""
        model = self.mixture_._model
        return VariationalPosterior(self._prior, self.mass_, model.means, model.covariances)

    @property
    def _approximation(self) -> VariationalPosterior:
        """The approximate posterior of only those components that have rows."""
        return self._full_posterior.take(self._occupied)

    @property
    def _occupied(self) -> NDArray[np.intp]:
        """Indices of the components that have rows."""
        return np.flatnonzero(self.mass_ > 0)

    @property
    def _reported(self) -> NDArray[np.intp]:
        """Indices of the components with a mass above `MIN_MASS` or, if all masses are smaller, above a lower limit."""
        return np.flatnonzero(self.mass_ > MIN_MASS * min(1.0, self.mass_.max()))

    @property
    def weight_concentration_(self) -> Array | tuple[Array, ...]:
        """Parameters of the weights' posterior: a Dirichlet distribution, or Beta distributions (stick-breaking)."""
        values = self._prior.weight_prior.posterior_parameters(self.mass_)
        return values if len(values) > 1 else values[0]

    @property
    def mean_precision_(self) -> Array:
        """Posterior value of β, the weight of each component's mean as a number of rows, (n_components,)."""
        return self._full_posterior.mean_precisions

    @property
    def degrees_of_freedom_(self) -> Array | float:
        """Posterior degrees of freedom ν, (n_components,); a single number if components share a covariance."""
        dof = self._full_posterior.dof
        return float(dof[0]) if self.mixture_.family.is_shared else dof

    @property
    def posterior_(self) -> MixturePosterior:
        """The posterior distribution of the components with rows; it draws mixtures and gives credible intervals."""
        indices = self._occupied[self._occupied <= self._reported[-1]]  # up to the last component in reports
        mixture = self._take_components(indices, self.mixture_.weights[indices])
        return MixturePosterior(self._full_posterior.take(indices), mixture, self._fitted.frame_library)
