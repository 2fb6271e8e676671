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
    """Concentration of the prior on the weights."""
    mean_precision_prior_: float
    """Weight of the prior on the means, in rows."""
    degrees_of_freedom_prior_: float
    """Degrees of freedom of the prior on the covariances."""
    mean_prior_: Array
    """Prior mean (n_features,), in data units."""
    covariance_prior_: Array
    """Scale S of the prior on the covariances, in the shape of a single covariance; data units²."""
    _instead: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("aic", "aic_", "bic", "bic_", "BIC", "icl"), "lower_bound_, with which you can compare fits"),
        **dict.fromkeys(
            ("bootstrap", "bse", "conf_int", "confint", "cov_params", "inference", "params"),
            "posterior_, which has credible intervals",
        ),
        **dict.fromkeys(("n_clusters_", "n_components_"), "(mass_ > 0).sum(), which counts the components with rows"),
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
        """Add empty components to a posterior up to `n_components`, set fitted attributes, and return the model."""
        full = approximation.with_empty_components(n_components - len(approximation.counts))
        prior = approximation.prior
        weights = prior.weight_prior.mean_weights(full.counts)
        self.mass_ = full.counts
        self.weight_concentration_prior_type_ = TYPES[isinstance(prior.weight_prior, DirichletWeights)]
        self.weight_concentration_prior_ = prior.weight_prior.concentration
        self.mean_precision_prior_, self.degrees_of_freedom_prior_ = prior.mean_precision, prior.dof
        self.mean_prior_, self.covariance_prior_ = prior.mean, prior.scale
        return Model(weights / weights.sum(), full.means, full.covariances, prior.family)

    def _restore_attributes(self, own: Mapping[str, Any]) -> None:
        super()._restore_attributes(own)
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
        mean_prior = self.mean_prior_, self.mean_precision_prior_
        dof, scale = self.degrees_of_freedom_prior_, self.covariance_prior_
        return GaussWishartPrior(family, concentration, *mean_prior, dof, scale)

    @property
    def _full_posterior(self) -> VariationalPosterior:
        """The approximate posterior of all components, including components without rows."""
        model = self.mixture_._model
        return VariationalPosterior(self._prior, self.mass_, model.means, model.covariances)

    @property
    def _approximation(self) -> VariationalPosterior:
        """The approximate posterior of the components up to the last component that has rows.

        Components without rows between other components remain, because each stick-breaking fraction of a Dirichlet
        process affects the weights of all later components.
        """
        return self._full_posterior.take(np.arange(self._occupied[-1] + 1))

    @property
    def _e_step_parameters(self) -> Parameters:
        """The parameters of the components of `_approximation`, in which no row can belong to an empty component."""
        parameters, has_rows = self._approximation.e_step_parameters, self._approximation.counts > 0
        return replace(parameters, log_scale=np.where(has_rows, parameters.log_scale, -np.inf))

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
        last = self._reported[-1]  # the last component in reports
        indices = self._occupied[self._occupied <= last]
        mixture = self._take_components(indices, self.mixture_.weights[indices])
        approximation = self._full_posterior.take(np.arange(last + 1))
        return MixturePosterior(approximation, mixture, self._fitted.frame_library)

    def _fit_result(self) -> FitResult:
        indices = np.arange(self._reported[-1] + 1)
        return replace(
            super()._fit_result(), model=self._take_components(indices, self.mixture_.weights[indices])._model
        )

    def _exported(self) -> Mixture:
        return self._fit_result().mixture

    @property
    def _labelling(self) -> Mixture:
        """The mixture with the same responsibilities as the posterior; components without rows have the weight 0."""
        weights = np.zeros(self._occupied[-1] + 1)
        weights[self._occupied] = exponential(self._approximation.e_step_log_weights[self._occupied])
        return self._take_components(np.arange(len(weights)), weights)

    def _take_components(self, indices: NDArray[np.intp], weights: Array) -> Mixture:
        """Return the mixture of the components at `indices`, with `weights` scaled to sum to 1."""
        model = replace(self.mixture_._model.take(indices), weights=weights / weights.sum())
        return Mixture._from_model(model, self.mixture_.feature_names)

    def summary(
        self, X: RowsLike | None = None, sample_weight: ArrayLike | None = None, *, X_error: ArrayLike | None = None
    ) -> Summary:
        """Summarise the fit on one page; if you pass X, the page also shows how the prior affects the result.

        Parameters
        ----------
        X, sample_weight, X_error : same as in `fit`. If you pass X, the fit is repeated with four other priors,
            starting from this fit: `weight_concentration_prior` and `mean_precision_prior` are halved and doubled. For
            each prior, the page shows the lower bound and how many components have rows. If the lower bound shows that
            X differs from the training rows, or that the fit had labels, the page has a warning instead.

        Returns
        -------
        summary : a page as in `GaussianMixture`, with the lower bound instead of the log-likelihood, and without
            the empty components after the last component with rows.

        Raises
        ------
        NotFittedError : if the estimator is not fitted.
        ValueError, TypeError : if X is invalid.
        """
        lines = [("components", components_used(self)), ("lower bound", f"{self.lower_bound_:.2f} nats")]
        page, others = super().summary(), None
        if X is not None:
            self._source(X, sample_weight, X_error)  # checks the features of X
            again = partial(self._refit, X, sample_weight, X_error)
            others = self._another_bound(again(max_iter=1).lower_bounds_[0])
        if X is not None and others is None:
            for name in ("weight_concentration_prior", "mean_precision_prior"):
                for words, factor in (("half", 0.5), ("twice", 2.0)):
                    other = again(**{name: factor * vars(self)[f"{name}_"]})
                    lines.append((f"{words} {name}", f"{components_used(other)}, bound {other.lower_bound_:.2f} nats"))
        statistics = {name: each for name, each in page.statistics.items() if name != "icl"}
        return replace(
            page, extra_lines=lines, statistics=statistics, warnings=[*page.warnings, *filter(None, [others])]
        )

    def _refit(self, X: RowsLike, sample_weight: ArrayLike | None, X_error: ArrayLike | None, **changes: Any) -> Self:
        """Fit a copy of the estimator with changed parameters; the copy starts from this fit."""
        other: Self = clone(self)
        other.__dict__ |= {key: vars(self)[key] for key in ("_fitted", *self._attributes)}
        other.set_params(**changes, warm_start=True, verbose=0, callbacks=None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # The first fit has already issued the same warnings.
            other.fit(X, sample_weight=sample_weight, X_error=X_error)
        return other

    def _another_bound(self, here: float) -> str | None:
        """Return a warning if the lower bound `here` shows that X differs from the training rows; otherwise None.

        `here` is the lower bound of the fitted posterior for X, and `lower_bound_` is the bound before the last step.
        """
        bounds = self.lower_bounds_
        step = abs(bounds[-1] - bounds[-2]) if len(bounds) > 1 else np.inf
        if abs(here - self.lower_bound_) <= _STEP_FACTOR * max(step, float(self.tol)) + _ROUNDING * abs(here):
            return None
        return (
            f"Other priors were not tried, because the lower bound is {self.lower_bound_:.2f} nats for the fit, but "
            f"{here:.2f} for this X: rows, weights, errors or parameters have changed, or the fit had labels."
        )

    def glance(
        self, X: RowsLike | None = None, sample_weight: ArrayLike | None = None, *, X_error: ArrayLike | None = None
    ) -> Any:
        """Return statistics of the fit as a data frame with one row; X is not needed.

        The data frame has the same columns as in `GaussianMixture`, except that "lower_bound" (nats, for all rows)
        replaces "log_likelihood", "bic", "icl" and "is_final".
        """
        summary = super().summary()
        values = {"lower_bound" if name == "bic" else name: each for name, each in summary.statistics.items()}
        values["lower_bound"] = self.lower_bound_
        left_out = "log_likelihood", "icl", "is_final"
        return made_frame(
            {name: [each] for name, each in values.items() if name not in left_out}, summary.frame_library
        )

    def _set_fit(self, model: Model, names: tuple[str, ...] | None = None, dtype: np.dtype[Any] | None = None) -> None:
        raise ValueError(
            "Arrays of a BayesianGaussianMixture can't be set, because they do not determine the posterior. Set them "
            "in a GaussianMixture."
        )

    def _per_row(self, source: Source, method: Callable[..., Any], dtype: Any, shape: tuple[int, ...] = ()) -> Any:
        method = partial(_extend_to_all, method=method, parameters=self._e_step_parameters, shape=shape)
        return source.per_row(method, dtype, shape)

    def score_samples(
        self, X: RowsLike, *, how: str = HOW[0], X_error: ArrayLike | None = None
    ) -> NDArray[np.floating[Any]]:
        """Return the log density of each row, (n_samples,), in nats.

        Parameters
        ----------
        X : (n_samples, n_features), rows, in data units. If a row has missing values, the density of its observed
            values is returned.
        how : "predictive" returns the density of the next row given the data, a mixture of t distributions (Bishop
            2006, eq. 10.81), which integrates to 1. "plugin" returns the same value as scikit-learn, log Σ exp E log π
            N(x), which is not the log of a density, because its exponential integrates to less than 1.
        X_error : measurement errors of X, as in `fit`; allowed only with "plugin".

        Raises
        ------
        NotFittedError : if the estimator is not fitted.
        ValueError, TypeError : if X or `how` is invalid.
        """
        source = self._source(X, X_error=X_error)
        values = source.per_row(self._density(source, how), np.float64, ())
        return narrowed(values, source.dtype) if isinstance(values, np.ndarray) else values

    def score(
        self,
        X: RowsLike,
        y: object = None,
        sample_weight: ArrayLike | None = None,
        *,
        how: str = HOW[0],
        X_error: ArrayLike | None = None,
    ) -> float:
        """Return the weighted mean of `score_samples`, in nats per unit of weight."""
        source = self._source(X, sample_weight, X_error)
        log_likelihood, total = source.sum_of(partial(sum_log_density, density=self._density(source, how)))
        return float(log_likelihood / total)

    def _density(self, source: Source, how: str = HOW[0]) -> Any:
        """Return a function that computes the log densities of a block of rows; `score_samples` explains `how`."""
        engine = self._engine(source)
        if check_name("how", how, HOW) == "plugin":
            return partial(engine.log_density, parameters=self._e_step_parameters)
        if source.has_errors:
            raise ValueError(
                'The predictive density has no formula for X_error. Use score_samples or score with how="plugin".'
            )
        return partial(self._approximation.predictive_density.log_density, engine=self._engine())


def components_used(estimator: PosteriorEstimator) -> str:
    """Return a phrase for summaries: the number of components that have rows, and `n_components`."""
    return f"{len(estimator._reported)} of at most {len(estimator.mass_)} have rows"


def _extend_to_all(block: Block, method: Callable[..., Any], parameters: Parameters, shape: tuple[int, ...]) -> Any:
    """Extend labels or responsibilities, which `method` computes for the first components, to all components."""
    values = method(block, parameters=parameters)
    if not shape:
        return values.astype(np.int64)
    full = np.zeros((block.n_rows, *shape), dtype=values.dtype)
    full[:, : values.shape[1]] = values
    return full
