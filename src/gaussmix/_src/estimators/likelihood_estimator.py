"""The base class of estimators that maximise a likelihood or posterior density: criteria and standard errors."""

from __future__ import annotations

import os
from abc import ABC
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike

from gaussmix._src import report, validation
from gaussmix._src.checks import check_count, check_positive, check_within
from gaussmix._src.em import trimming
from gaussmix._src.em.initialisation.base import Initialisation
from gaussmix._src.errors import counted
from gaussmix._src.estimators.base import FittedValue
from gaussmix._src.estimators.mixture_estimator import MixtureEstimator
from gaussmix._src.fit import after
from gaussmix._src.fit.problem import Problem, TrainingData
from gaussmix._src.validation.parameters import check_name, check_ridge, check_seed
from gaussmix._src.validation.rows import MIN_ROWS, RowsLike, check_weight_type, count_rows, scale_fractional_weights

if TYPE_CHECKING:
    from gaussmix._src.noise import Noise
    from gaussmix._src.priors import Dirichlet, NormalInverseWishart
    from gaussmix._src.report.bootstrap import Bootstrap
    from gaussmix._src.report.inference import Inference
    from gaussmix._src.restrictions import Restrictions


@dataclass(eq=False, repr=False, kw_only=True)
class LikelihoodEstimator(MixtureEstimator, ABC):
    """An estimator whose mixture has the largest likelihood or, with a prior, the largest posterior density."""

    init_params: Initialisation = "auto"
    trim: float = 0.0
    check_maximum: bool | Literal["auto"] = "auto"
    acceleration: Literal["auto"] | None = None
    noise: bool | float | Noise = False
    label_components: Mapping[Any, Sequence[int]] | None = None
    degenerate: Literal["freeze", "drop", "repair", "error"] = "freeze"
    prior: Literal["default"] | NormalInverseWishart | Dirichlet | None = None
    restrictions: Restrictions | None = None
    checkpoint: str | os.PathLike[str] | None = None

    cutoff_: ClassVar[FittedValue[float]] = FittedValue()
    """Log density (nats) below which rows were left out of the fit by `trim`."""

    def bic(self, X: RowsLike, sample_weight: ArrayLike | None = None, *, X_error: ArrayLike | None = None) -> float:
        """Return the Bayesian information criterion −2 log L + p log Σw (Schwarz 1978); lower is better.

        Σw leaves out rows without any observed value. Frequencies (see `weight_type`) with a sum below 2 are scaled to
        sum to the number of rows, and a RuntimeWarning is issued. Errors are the same as in `predict`.
        """
        deviance, row_count, _ = self._deviance(X, sample_weight, X_error)
        return deviance + self.n_parameters_ * float(np.log(row_count))

    def aic(self, X: RowsLike, sample_weight: ArrayLike | None = None, *, X_error: ArrayLike | None = None) -> float:
        """Return Akaike's information criterion −2 log L + 2 p (1974), with weights as in `bic`; lower is better."""
        return self._deviance(X, sample_weight, X_error)[0] + 2 * self.n_parameters_

    def inference(
        self,
        X: RowsLike,
        *,
        sample_weight: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        X_error: ArrayLike | None = None,
        kind: str = "auto",
    ) -> Inference | Bootstrap:
        """Estimate standard errors and intervals of all parameters, with refits if formulas are inaccurate.

        `inference` first continues the fit to the maximum by EM and Newton's method. Standard errors at the end of
        `fit` might be wrong by 50 %, because EM stops before the maximum when gains fall below `tol`. The result's
        `params` are the parameters at the maximum.

        Parameters
        ----------
        X : (n_samples, n_features), the training rows, which the estimator does not store. If the likelihood shows that
            X differs from the training rows, a RuntimeWarning is issued.
        sample_weight : (n_samples,), as in `fit`. If weights are precisions, the Hessian contains the weights, and the
            sandwich estimator also contains squared weights.
        labels : same as in `fit`. Pass the labels that you passed to `fit`, because the maximum depends on the labels.
        X_error : measurement errors of X, as in `fit`.
        kind : method. "hessian" inverts the observed information (Louis 1982), and "outer" inverts the sum of outer
            products of the scores. "sandwich" is valid even if the true density is not of the fitted form (White 1982;
            Boldea & Magnus 2009, JASA 104). The scores (gradients of the objective) include the prior and `reg_covar`.
            "auto" is "hessian", or "sandwich" if row weights are precisions. If the rows determine a parameter so
            weakly that confidence intervals would contain the true value too rarely, "auto" calls `bootstrap(X, 199,
            concentration=0.8137, random_state=0)` instead. "auto" runs no refits if they would take more than a few
            seconds, or if a component has collapsed or is empty.

        Returns
        -------
        inference : an object with `params`, `bse`, `cov_params()`, `conf_int(alpha)`, `tidy()` and `estimate(f)`;
            printing the object shows a table of the estimates. Intervals of weights are symmetric on the logit scale,
            and intervals of variances on the log scale. Collapsed and empty components, and components at a saddle
            point, have no standard errors; `notes` names these components. If "auto" ran refits, the object is a
            `Bootstrap`, and its `notes` give the reason.

        Raises
        ------
        NotFittedError : if the estimator is not fitted.
        ValueError, TypeError : if X or a parameter is invalid, or the fit (for example with `trim`) has no formula.

        See Also
        --------
        bootstrap : estimates standard errors and intervals with refits.

        Examples
        --------
        >>> import numpy as np
        >>> from gaussmix import GaussianMixture
        >>> X = np.random.default_rng(0).normal(np.repeat([0.0, 8.0], 200))[:, None]
        >>> found = GaussianMixture(2, random_state=0).fit(X).inference(X)
        >>> print(found)
        Inference by the Hessian of the objective
        <BLANKLINE>
                         estimate  std error    2.5 %  97.5 %
              weight[0]    0.5001     0.0250   0.4513  0.5490
              weight[1]    0.4999     0.0250   0.4510  0.5487
            mean[0, x0]    0.0162     0.0683  -0.1175  0.1500
            mean[1, x0]    7.9124     0.0725   7.7702  8.0545
        variance[0, x0]    0.9278     0.0946   0.7598  1.1330
        variance[1, x0]     1.048      0.106    0.860   1.277
        >>> gap = found.estimate(lambda mixture: abs(mixture.means[0, 0] - mixture.means[1, 0]))
        >>> gap.conf_int().round(2)
        array([[7.7 , 8.09]])
        """
        check_name("kind", kind, ("auto", *after.inference.INFORMATION_KINDS))
        problem = self._inference_problem(X, sample_weight, labels, X_error)
        are_counts = check_weight_type(self.weight_type) == "frequency"
        if kind == "auto":
            return report.bootstrap.infer_fit(self._fit_result(), problem, check_seed(0), are_counts=are_counts)
        return report.inference.compute_inference(self._fit_result(), problem, kind, are_counts=are_counts)

    def bootstrap(
        self,
        X: RowsLike,
        n_resamples: int | None = None,
        kind: str = "weighted",
        *,
        sample_weight: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        X_error: ArrayLike | None = None,
        concentration: float = 1.0,
        tol: float | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> Bootstrap:
        """Estimate standard errors and intervals of all parameters with refits that start from the maximum.

        Parameters
        ----------
        X, sample_weight, labels, X_error : same as in `inference`. With labels, all refits keep the components' order.
        n_resamples : number of refits; None means 999. Pass None with "jackknife", which runs one refit per row.
        kind : method of resampling the rows for each refit. "weighted" draws row weights from a Dirichlet distribution,
            so that no component loses all its rows (Newton & Raftery 1994). "nonparametric" draws rows with
            replacement, "parametric" draws rows from the mixture, and "jackknife" leaves out each row in turn.
            "parametric" does not support labels, missing values, `X_error` or weights that are precisions.
        concentration : concentration of the Dirichlet weights, at least 0.1. Standard errors are multiplied by about
            1 / √concentration. For intervals, Scrucca (2024, arXiv 2405.17265) uses 0.8137.
        tol : convergence tolerance of each refit, with the same meaning as the parameter `tol` of the estimator. By
            default, `tol` is 1e-6 divided by the number of rows, or by its square for the jackknife, because the
            difference between a refit and the fit shrinks with the number of rows.
        random_state : seed of the random draws.

        Returns
        -------
        bootstrap : an object with `params`, `bse`, `cov_params()`, `conf_int(alpha, method)`, `tidy()`, `estimate(f)`
            and `draws`, which has a row for each refit. The components of each refit are put into the order of the
            fitted mixture, by comparing which rows belong to each component. `notes` counts the refits in which the
            order changed, a component collapsed, or EM ended at a different maximum.

        Raises
        ------
        NotFittedError : if the estimator is not fitted.
        ValueError, TypeError : if X or a parameter is invalid, or a component collapsed in more than a third of refits.

        Notes
        -----
        The result does not depend on the number of threads. Rows are not copied, except with "parametric".

        Examples
        --------
        >>> import numpy as np
        >>> from gaussmix import GaussianMixture
        >>> X = np.random.default_rng(0).normal(np.repeat([0.0, 8.0], 200))[:, None]
        >>> found = GaussianMixture(2, random_state=0).fit(X).bootstrap(X, random_state=0)
        >>> found.conf_int()[2].round(2)
        array([-0.11,  0.15])
        """
        check_name("kind", kind, after.bootstrap.RESAMPLING_KINDS)
        if kind == "jackknife" and n_resamples is not None:
            raise ValueError("n_resamples must be None with kind='jackknife', which runs one refit per row.")
        n_resamples = 999 if n_resamples is None else check_count("n_resamples", n_resamples, 2)
        wanted = "a finite number ≥ 0.1"
        concentration = check_within("concentration", concentration, wanted, lambda value: 0.1 <= value < np.inf)
        if kind != "weighted" and concentration != 1:
            raise ValueError(f"concentration applies only to kind='weighted'. Do not set it for kind={kind!r}.")
        are_counts = check_weight_type(self.weight_type) == "frequency"
        settings = kind, n_resamples, concentration, None if tol is None else check_positive("tol", tol), are_counts
        resampling = after.bootstrap.Resampling(*settings)
        problem = self._inference_problem(X, sample_weight, labels, X_error)
        return report.bootstrap.run_bootstrap(self._fit_result(), problem, resampling, check_seed(random_state))

    def _inference_problem(
        self, X: RowsLike, sample_weight: ArrayLike | None, labels: ArrayLike | None, X_error: ArrayLike | None
    ) -> Problem:
        """Return the optimisation problem that `fit` solved, with X as the rows."""
        X, labels = validation.labels.without_labels(self, X, labels)
        source = scale_fractional_weights(self._source(X, sample_weight, X_error), self.weight_type)
        if source.n_rows < MIN_ROWS:
            raise ValueError(f"X has {counted(source.n_rows, 'row')}, but must contain all training rows.")
        model = self.mixture_._model
        family, n_components = model.family, model.n_components
        terms = None
        if validation.restrictions.set_terms(self):
            terms = validation.restrictions.check_terms(self, [family], n_components)
            terms = terms.with_initial_values(model.without_noise.weights, model.means, model.covariances)
        outcome = self._fit_result().outcome
        is_dropped = self.reg_covar == "auto" and outcome is not None and outcome.is_ridge_dropped
        ridge = 0.0 if is_dropped else check_ridge(self.reg_covar, [family], self.prior)
        known = validation.labels.check_labels(
            labels, self.label_components, source.n_rows, [n_components], has_noise=model.noise is not None
        )
        trim = trimming.trimming.RowTrimming(float(self.trim)) if self.trim else None
        data = TrainingData(source, known, model.noise, trimming=trim)
        return Problem(data, family, n_components, self._engine(source), ridge, terms=terms)

    def _deviance(
        self, X: RowsLike, sample_weight: ArrayLike | None, X_error: ArrayLike | None
    ) -> tuple[float, float, float]:
        """Return −2 log L, the row weight that information criteria use, and the total row weight."""
        source = scale_fractional_weights(self._source(X, sample_weight, X_error), self.weight_type)
        log_likelihood, total = self._log_likelihood(source)
        return -2.0 * log_likelihood, count_rows(source), total
