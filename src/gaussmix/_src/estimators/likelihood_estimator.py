"""Estimators of the most probable mixture: criteria of its likelihood, and how sure its parameters are."""

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
from gaussmix._src.validation.rows import MIN_ROWS, RowsLike, check_counts_of_rows, check_weight_type, counted_weight

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
    """Log density, nats, below which `trim` left rows out."""

    def bic(self, X: ArrayLike, sample_weight: ArrayLike | None = None, *, X_error: ArrayLike | None = None) -> float:
        """Bayesian information criterion −2 log L + p log Σw; lower is better; Schwarz (1978). Raises as `predict`.

        `sample_weight` are what `weight_type` says. Frequencies that sum to less than two rows are scaled to sum to
        the number of rows, with a RuntimeWarning.
        """
        deviance, total = self._deviance(X, sample_weight, X_error)
        return deviance + self.n_parameters_ * float(np.log(total))

    def aic(self, X: ArrayLike, sample_weight: ArrayLike | None = None, *, X_error: ArrayLike | None = None) -> float:
        """Akaike information criterion −2 log L + 2 p; lower is better; Akaike (1974). Weights as for `bic`."""
        return self._deviance(X, sample_weight, X_error)[0] + 2 * self.n_parameters_

    def inference(
        self,
        X: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        X_error: ArrayLike | None = None,
        kind: str = "auto",
    ) -> Inference | Bootstrap:
        """How sure the weights, means, covariances and any function of the mixture are: by formula, if that suffices.

        It first goes on to the maximum, by EM and Newton's method: where EM ends by `tol`, standard errors may be wrong
        by half. `params` are those of the maximum.

        Parameters
        ----------
        X : (n_samples, n_features), the rows of the fit, which it does not keep. Other rows are noticed by their
            likelihood, with a RuntimeWarning.
        sample_weight : (n_samples,), as in `fit`. Frequencies count rows; precisions enter the
            sandwich squared, and the Hessian as they are.
        labels : as in `fit`. A fit with labels has another maximum without them.
        X_error : measurement errors of X, as for `fit`.
        kind : "hessian", the inverse of the observed information (Louis 1982); "outer", the inverse of the outer
            product of the scores; "sandwich", which is right for a mixture that is only near to the truth (White 1982;
            Boldea & Magnus 2009, JASA 104). A prior and the ridge have their part in the scores. "auto" is "hessian",
            of rows with precisions "sandwich"; where the rows say so little about some parameter that such intervals
            hold it too seldom, it is `bootstrap(X, 199, concentration=0.8137, random_state=0)`, if that takes seconds
            and no component has collapsed or lost its rows.

        Returns
        -------
        inference : with `params`, `bse`, `cov_params()`, `conf_int(alpha)`, `tidy()`, `function(f)`; print it to read
            it. Intervals of weights are symmetric on the logit scale, of variances on the log scale. Components without
            standard errors are named: those that collapsed or lost their rows, and those at a saddle. Where "auto" took
            refits it is a `Bootstrap`, and its `notes` say why.

        Raises
        ------
        NotFittedError : before `fit`.
        ValueError, TypeError : X or a parameter can't be used, or there is no formula, as with `trim`.

        See Also
        --------
        bootstrap : by refits, whatever the rows say.

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
            return report.bootstrap.infer_fit(self._fit_facts(), problem, check_seed(0), are_counts=are_counts)
        return report.inference.compute_inference(self._fit_facts(), problem, kind, are_counts=are_counts)

    def bootstrap(
        self,
        X: ArrayLike,
        n_resamples: int | None = None,
        kind: str = "weighted",
        *,
        sample_weight: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        X_error: ArrayLike | None = None,
        concentration: float = 1.0,
        tol: float = 1e-6,
        random_state: int | np.random.RandomState | None = None,
    ) -> Bootstrap:
        """How sure the weights, means, covariances and any function of the mixture are, by refits from the maximum.

        Parameters
        ----------
        X, sample_weight, labels, X_error : as for `inference`. With labels components keep their order.
        n_resamples : refits. None for 999, or for one without each row with "jackknife", which takes no number.
        kind : "weighted", to the rows with weights drawn from a Dirichlet distribution, so that no component loses all
            its rows (Newton & Raftery 1994); "nonparametric", to rows that are drawn again; "parametric", to rows that
            are drawn from the mixture; "jackknife", each row is left out in turn.
        concentration : of the Dirichlet distribution, 0.1 or more; below 1 weights differ more, and intervals are
            wider: standard errors by 1 / √concentration. Scrucca (2024, arXiv 2405.17265) found 0.8137 best for
            intervals.
        tol : as for the estimator, of each refit.
        random_state : seed of the draws.

        Returns
        -------
        bootstrap : with `params`, `bse`, `cov_params()`, `conf_int(alpha, method)`, `tidy()`, `function(f)` and
            `draws`, a row for each refit. Components are brought into the order of the mixture by their rows. It says
            in how many refits that was necessary, a component collapsed, or EM ended at another maximum.

        Raises
        ------
        NotFittedError : before `fit`.
        ValueError, TypeError : X or a parameter can't be used, or in a third of the refits a component collapsed.

        Notes
        -----
        The core makes the usual refits in one call, with the same bits for any number of threads. No rows are copied,
        except for "parametric".

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
            raise ValueError("n must be None with kind='jackknife', which leaves out each row once.")
        n_resamples = 999 if n_resamples is None else check_count("n_resamples", n_resamples, 2)
        check_within("concentration", concentration, "a number from 0.1 on", lambda value: 0.1 <= value < np.inf)
        if kind != "weighted" and concentration != 1:
            raise ValueError(f"concentration belongs to kind='weighted'. Leave it out with kind={kind!r}.")
        are_counts = check_weight_type(self.weight_type) == "frequency"
        how = after.bootstrap.Resampling(
            kind, n_resamples, float(concentration), check_positive("tol", tol), are_counts
        )
        problem = self._inference_problem(X, sample_weight, labels, X_error)
        return report.bootstrap.run_bootstrap(self._fit_facts(), problem, how, check_seed(random_state))

    def _inference_problem(
        self, X: ArrayLike, sample_weight: ArrayLike | None, labels: ArrayLike | None, X_error: ArrayLike | None
    ) -> Problem:
        """What was fitted, with these rows."""
        X, labels = validation.labels.without_labels(X, labels, self.label_components, may_miss=self._may_miss)
        source = check_counts_of_rows(self._source(X, sample_weight, X_error), self.weight_type)
        if source.n_rows < MIN_ROWS:
            raise ValueError(f"X has {counted(source.n_rows, 'row')}, but needs all rows of the fit. Give them.")
        model = self.mixture_._model
        family, n_components = model.family, model.n_components
        terms = None
        if validation.restrictions.set_terms(self):
            terms = validation.restrictions.check_terms(self, [family], n_components)
            terms = terms.with_initial_values(model.without_noise.weights, model.means, model.covariances)
        outcome = self._fit_facts().outcome
        is_dropped = self.reg_covar == "auto" and outcome is not None and outcome.is_ridge_dropped
        ridge = 0.0 if is_dropped else check_ridge(self.reg_covar, [family], self.prior)
        known = validation.labels.check_labels(labels, self.label_components, source.n_rows, n_components)
        if known is not None:
            known.check_n_components(n_components, model.noise is not None)
            known = None if known.is_empty else known
        trim = trimming.trimming.RowTrimming(float(self.trim)) if self.trim else None
        data = TrainingData(source, known, model.noise, trimming=trim)
        return Problem(data, family, n_components, self._engine(source), ridge, terms=terms)

    def _deviance(self, X: RowsLike, sample_weight: ArrayLike | None, X_error: ArrayLike | None) -> tuple[float, float]:
        """−2 log L and the number of rows as criteria count them."""
        source = check_counts_of_rows(self._source(X, sample_weight, X_error), self.weight_type)
        return -2.0 * self._log_likelihood(source)[0], counted_weight(source)
