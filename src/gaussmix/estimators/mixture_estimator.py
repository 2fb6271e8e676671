"""The methods of an estimator that is a mixture: it labels, scores and draws rows."""

from __future__ import annotations

import os
from abc import ABC
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import DensityMixin

from gaussmix.background import NO_MARGINAL
from gaussmix.checks import check_count, check_positive, check_within
from gaussmix.door.labels import check_labels, without_labels
from gaussmix.door.parameters import check_name, check_ridge, check_seed
from gaussmix.door.restrictions import check_terms
from gaussmix.door.rows import MIN_ROWS, check_counts_of_rows, check_meaning, counted_weight
from gaussmix.engines import check_jobs
from gaussmix.engines.base import Engine
from gaussmix.engines.incomplete import IncompleteEngine
from gaussmix.errors import counted
from gaussmix.estimators.attributes import MixtureAttributes
from gaussmix.estimators.base import FittedValue
from gaussmix.estimators.conversion import to_sklearn
from gaussmix.fit.bootstrap import RESAMPLINGS, Resampling
from gaussmix.fit.inference import KINDS
from gaussmix.fit.problem import Data, Problem
from gaussmix.fit.watch import Callback
from gaussmix.mixture.base import check_alone
from gaussmix.mixture.compare.merging import MIN_OVERLAP, Merging, merge_by_sums
from gaussmix.mixture.explaining import Explanation
from gaussmix.mixture.mixture import Mixture
from gaussmix.noise import Noise
from gaussmix.numerics.arrays import Array, narrowed
from gaussmix.numerics.frames import Frame, made_frame
from gaussmix.priors import Dirichlet, NormalInverseWishart
from gaussmix.report.bootstrap import Bootstrap, bootstrap_of, chosen_of
from gaussmix.report.inference import Inference, OfMixture, inference_of
from gaussmix.report.reading import augmented, explanation_of, summary_of
from gaussmix.report.summary import Summary
from gaussmix.restrictions import Restrictions
from gaussmix.sources.array import ArraySource
from gaussmix.sources.base import Source, in_leaves
from gaussmix.waist.block import Block
from gaussmix.waist.leaves import Sums
from gaussmix.waist.parameters import Parameters

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture as SklearnMixture


class MixtureEstimator(DensityMixin, MixtureAttributes, ABC):
    """An estimator that is its mixture: it labels, scores and draws rows."""

    trim: float
    acceleration: Literal["auto"] | None
    noise: bool | float | Noise
    label_components: Mapping[Any, Sequence[int]] | None
    degenerate: Literal["freeze", "drop", "repair", "error"]
    prior: Literal["default"] | NormalInverseWishart | Dirichlet | None
    restrictions: Restrictions | None
    callbacks: Sequence[Callback] | None
    checkpoint: str | os.PathLike[str] | None

    cutoff_ = FittedValue[float]()

    def set_callbacks(self, *callbacks: Any) -> Self:
        """Set callbacks of scikit-learn 1.9 or later, such as `ProgressBar` and `ScoringMonitor`.

        `fit` is their task. It has a task for each start, and in that one for each step of EM over all rows. A search
        has one for each candidate, which has those. A callback that returns True ends what its task is a part of.

        Parameters
        ----------
        callbacks : of scikit-learn's protocol; none removes those that were set.

        Returns
        -------
        self : the estimator.

        Raises
        ------
        TypeError : one does not follow the protocol.
        ImportError : scikit-learn is older.
        """
        try:
            from sklearn.callback import CallbackSupportMixin
        except ImportError:
            raise ImportError(
                "set_callbacks needs scikit-learn 1.9 or later. The parameter callbacks takes functions."
            ) from None
        CallbackSupportMixin.set_callbacks(self, *callbacks)
        return self

    def fit_predict(
        self,
        X: ArrayLike,
        y: object = None,
        sample_weight: ArrayLike | None = None,
        *,
        labels: ArrayLike | None = None,
        X_error: ArrayLike | None = None,
    ) -> NDArray[np.int64]:
        """Fit and label the rows, (n_samples,): `fit(X).predict(X)`, and −1 for rows that `trim` left out.

        Parameters and errors are those of `fit`. As in `predict`, known labels do not decide for their own rows.
        """
        X, labels = without_labels(X, labels, getattr(self, "label_components", None), may_miss=self._may_miss)
        found: NDArray[np.int64] = self.fit(X, sample_weight=sample_weight, labels=labels, X_error=X_error).predict(
            X, X_error=X_error
        )
        cutoff = self._fitted.cutoff
        if cutoff is None:
            return self._labelled(found)
        rows = self._source(X, X_error=X_error)
        n_components = self.mixture_.n_components
        known = check_labels(labels, self.label_components, rows.n_rows, n_components)
        source = Data(rows, known, self.mixture_.model.noise).labelled(n_components)
        is_kept = partial(_is_kept, engine=self._engine(source), cutoff=cutoff)
        return self._labelled(np.where(self._per_row(source, is_kept, np.bool_), found, -1))

    def predict(self, X: ArrayLike, *, X_error: ArrayLike | None = None) -> NDArray[np.int64]:
        """The most probable component of each row, (n_samples,); the first of equals, and −1 for noise.

        Parameters
        ----------
        X : (n_samples, n_features), data units; the cells that are missing (NaN) say nothing.
        X_error : measurement errors of X, as for `fit`.

        Raises
        ------
        NotFittedError : before `fit`.
        ValueError, TypeError : X is not numbers of shape (n_samples, n_features).
        """
        source = self._source(X, X_error=X_error)
        labels: NDArray[np.int64] = self._per_row(source, self._engine(source).labels, np.int64)
        return labels

    def predict_proba(self, X: ArrayLike, *, X_error: ArrayLike | None = None) -> NDArray[np.floating[Any]]:
        """Responsibilities p(k | x), Bishop (2006) eq. 9.13: (n_samples, n_components).

        Rows sum to 1, less p(noise | x) where there is noise.

        Parameters and errors as for `predict`.
        """
        source = self._source(X, X_error=X_error)
        method = partial(_responsibilities, engine=self._engine(source))
        shared: NDArray[np.floating[Any]] = self._per_row(source, method, source.dtype, (self.mixture_.n_components,))
        return shared

    def score_samples(self, X: ArrayLike, *, X_error: ArrayLike | None = None) -> NDArray[np.floating[Any]]:
        """log p(x) of each row, (n_samples,), nats: of what is observed of it, errors included.

        Parameters and errors as for `predict`.
        """
        source = self._source(X, X_error=X_error)
        found = source.per_row(self._density(source), np.float64, ())
        return narrowed(found, source.dtype) if isinstance(found, np.ndarray) else found

    def denoise(self, X: ArrayLike, X_error: ArrayLike | None = None) -> tuple[Array, Array]:
        """What the true rows are, given what was measured: their means and covariances under the mixture.

        Bovy, Hogg & Roweis (2011), Annals of Applied Statistics 5, eq. 15–17. A cell that is missing is one without a
        measurement.

        Parameters
        ----------
        X : (n_samples, n_features), data units.
        X_error : measurement errors of X, as for `fit`; without them, cells that are there are exact.

        Returns
        -------
        means : (n_samples, n_features), data units.
        covariances : (n_samples, n_features, n_features), data units².

        Raises
        ------
        NotFittedError, ValueError, TypeError : as `predict`; X is not in memory; or the mixture has noise.
        """
        source = self._source(X, X_error=X_error)
        if self.mixture_.model.noise is not None:
            raise ValueError("denoise does not support noise. Fit with noise=False.")
        if not isinstance(source, ArraySource):
            raise ValueError("denoise needs an array or a data frame in memory. Read some of the rows at a time.")
        engine = IncompleteEngine(self._engine())
        found = [engine.expected_rows(block, self.mixture_.parameters) for block in source.blocks()]
        return found[0]

    def score(
        self,
        X: ArrayLike,
        y: object = None,
        sample_weight: ArrayLike | None = None,
        *,
        X_error: ArrayLike | None = None,
    ) -> float:
        """Mean of log p(x) per unit of weight, nats. Parameters and errors as for `predict`."""
        source = self._source(X, sample_weight, X_error)
        log_likelihood, total = self._log_likelihood(source)
        return log_likelihood / total

    def bic(self, X: ArrayLike, sample_weight: ArrayLike | None = None, *, X_error: ArrayLike | None = None) -> float:
        """Bayesian information criterion −2 log L + p log Σw; lower is better; Schwarz (1978). Raises as `predict`.

        `sample_weight` are what `weight_meaning` says. Frequencies that sum to less than two rows are scaled to sum to
        the number of rows, with a RuntimeWarning.
        """
        deviance, total = self._deviance(X, sample_weight, X_error)
        return deviance + self.n_parameters_ * float(np.log(total))

    def aic(self, X: ArrayLike, sample_weight: ArrayLike | None = None, *, X_error: ArrayLike | None = None) -> float:
        """Akaike information criterion −2 log L + 2 p; lower is better; Akaike (1974). Weights as for `bic`."""
        return self._deviance(X, sample_weight, X_error)[0] + 2 * self.n_parameters_

    def merge(
        self,
        X: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        min_overlap: float = MIN_OVERLAP,
        X_error: ArrayLike | None = None,
    ) -> Merging:
        """Merge components that overlap into clusters, two at a time.

        Parameters
        ----------
        X : (n_samples, n_features), the rows that say which components overlap.
        sample_weight : (n_samples,), weights ≥ 0; only their ratios matter.
        min_overlap : clusters are merged while a share of the rows of one, at least this one, would be assigned to
            the other: 0 to 1. Hennig (2010) proposes 0.025. With a smaller one there are fewer clusters.
        X_error : measurement errors of X, as for `fit`.

        Returns
        -------
        merging : for each number of clusters the cluster of each component, the entropy and, for any rows, the
            clusters' responsibilities; in `merging.n_clusters` clusters no two overlap.

        Raises
        ------
        NotFittedError : before `fit`.
        ValueError, TypeError : X or a parameter can't be used.

        Notes
        -----
        Of the pairs that overlap, the one whose union lowers the entropy of the responsibilities most is merged, as by
        Baudry et al. (2010) and mclust's `clustCombi`. `Merging` gives the equations.

        Examples
        --------
        >>> from gaussmix import FAMILIES, GaussianMixture, Mixture
        >>> four = Mixture([0.25] * 4, [[0.0], [20.0], [40.0], [60.0]], [1.0] * 4, FAMILIES["spherical"])
        >>> X = four.sample(400, rng=0)[0]
        >>> [GaussianMixture(n, random_state=0, tol=1e-6).fit(X).merge(X).n_clusters for n in (1, 4, 6)]
        [1, 4, 4]
        """
        source = self._source(X, sample_weight, X_error)
        mixture = self._labelling
        check_alone("merge", [mixture])  # before the rows are read
        share = partial(self._engine(source).responsibilities, parameters=mixture.parameters)
        return merge_by_sums(mixture, share, source.sum_of, min_overlap)

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
        sample_weight : (n_samples,), as in `fit`. Frequencies count rows; with precisions the sandwich has their
            squares, and the Hessian has not.
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
        >>> gap = found.function(lambda mixture: abs(mixture.means[0, 0] - mixture.means[1, 0]))
        >>> gap.conf_int().round(2)
        array([[7.7 , 8.09]])
        """
        check_name("kind", kind, ("auto", *KINDS))
        problem = self._problem_of(X, sample_weight, labels, X_error)
        are_counts = check_meaning(self.weight_meaning) == "frequency"
        if kind == "auto":
            return chosen_of(self._told(), problem, check_seed(0), are_counts=are_counts)
        return inference_of(self._told(), problem, kind, are_counts=are_counts)

    def bootstrap(
        self,
        X: ArrayLike,
        n: int | None = None,
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
        n : refits. None for 999, or for one without each row with "jackknife", which takes no number.
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
        check_name("kind", kind, RESAMPLINGS)
        if kind == "jackknife" and n is not None:
            raise ValueError("n must be None with kind='jackknife', which leaves out each row once.")
        n = 999 if n is None else check_count("n", n, 2)
        check_within("concentration", concentration, "a number from 0.1 on", lambda number: 0.1 <= number < np.inf)
        if kind != "weighted" and concentration != 1:
            raise ValueError(f"concentration belongs to kind='weighted'. Leave it out with kind={kind!r}.")
        are_counts = check_meaning(self.weight_meaning) == "frequency"
        how = Resampling(kind, n, float(concentration), check_positive("tol", tol), are_counts)
        problem = self._problem_of(X, sample_weight, labels, X_error)
        return bootstrap_of(self._told(), problem, how, check_seed(random_state))

    def _problem_of(
        self,
        X: ArrayLike,
        sample_weight: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        X_error: ArrayLike | None = None,
    ) -> Problem:
        """What was fitted, with these rows."""
        X, labels = without_labels(X, labels, self.label_components, may_miss=self._may_miss)
        source = check_counts_of_rows(self._source(X, sample_weight, X_error), self.weight_meaning)
        if source.n_rows < MIN_ROWS:
            raise ValueError(f"X has {counted(source.n_rows, 'row')}, but needs all rows of the fit. Give them.")
        model = self.mixture_.model
        family, n_components = model.family, model.n_components
        terms = check_terms(self, [family], n_components)
        terms = terms.with_values(model.without_noise.weights, model.means, model.covariances)
        ridge = check_ridge(self.reg_covar, [family], self.prior)
        known = check_labels(labels, self.label_components, source.n_rows, n_components)
        if known is not None:
            known.check_size(n_components, model.noise is not None)
            known = None if known.is_empty else known
        data = Data(source, known, model.noise, trim=float(self.trim))
        return Problem(data, family, n_components, self._engine(source), ridge, terms=terms)

    def summary(
        self, X: ArrayLike | None = None, sample_weight: ArrayLike | None = None, *, X_error: ArrayLike | None = None
    ) -> Summary:
        """What the fit found, in a page: `print` it, end a cell of a notebook with it, or take its `to_latex()`.

        Parameters
        ----------
        X : (n_samples, n_features), rows whose log-likelihood, BIC, ICL and numbers in each component are shown. A fit
            does not keep its rows. Without X the sizes are weights times rows, and the log-likelihood is that before
            the last step of EM; ICL is left out. A search knows all of them; after one with `trim` or labels they are
            left out, since `results_` has them of the rows that were kept, or of rows and labels.
        sample_weight : (n_samples,), as for `bic`.
        X_error : measurement errors of X, as for `fit`.

        Returns
        -------
        summary : with the data, log-likelihood, number of parameters, BIC, ICL, why EM stopped, and warnings. For each
            component its weight, its size (effective rows), mean ± sd of each feature, and the component that it
            overlaps most with: ∫ √(N_i N_j), from 0, apart, to 1, equal.

        Raises
        ------
        NotFittedError : before `fit`.
        ValueError, TypeError : X can't be used.

        Examples
        --------
        >>> from gaussmix import GaussianMixture
        >>> rows = [[0.0], [1.0], [2.0], [7.0], [8.0], [9.0]]
        >>> print(GaussianMixture(2, random_state=0).fit(rows).summary(rows))
        GaussianMixture: 2 components, full
        <BLANKLINE>
        data            6 rows of 1 feature (x0)
        log-likelihood  -11.46 nats
        parameters      5
        BIC             31.87, lower is better
        ICL             31.87
        stopped         after 2 steps. The mean log-likelihood changed by less than tol.
        <BLANKLINE>
        component  weight  size             x0  nearest   overlap
                0  0.5000   3.0  1.000 ± 0.817        1  0.000102
                1  0.5000   3.0  8.000 ± 0.817        0  0.000102
        """
        told = type(self).__name__, self._told()
        if X is None:
            return summary_of(*told)
        source = check_counts_of_rows(self._source(X, sample_weight, X_error), self.weight_meaning)
        return summary_of(*told, (source, self._engine(source)))

    def tidy(self, sure: OfMixture | None = None) -> Any:
        """The components as a data frame: a row for each, and one for noise, component −1.

        Parameters
        ----------
        sure : what `inference`, `bootstrap` or `posterior_.estimates` found: weights and means get their standard
            errors and 95 % intervals, in columns such as "weight_std_error", "mean_x_conf_low" and "mean_x_conf_high".
            Its `tidy()` has a row for each number instead, those of covariances too.

        Returns
        -------
        frame : in the library of the data frame that was fitted; of arrays and files in pandas, polars or pyarrow, the
            first that is installed. Columns: "component", "weight", "size" (effective rows), ``mean_x`` and
            ``sd_x`` for each feature x, "nearest" (−1 for none) and "overlap" as in `summary`.

        Raises
        ------
        NotFittedError : before `fit`.
        ImportError : no library of data frames is installed.
        ValueError : `sure` is about a mixture of another size, or more than 3 standard errors away.
        TypeError : `sure` is something else.
        """
        summary = self.summary()
        if sure is not None:
            if not isinstance(sure, OfMixture):
                what = type(sure).__name__
                raise TypeError(
                    f"sure must be what inference, bootstrap or posterior_ found of all parameters, not {what}."
                )
            more = sure.columns_beside(self._told().mixture)
            summary = replace(summary, components={**summary.components, **more})
        return summary.to_frame()

    def glance(
        self, X: ArrayLike | None = None, sample_weight: ArrayLike | None = None, *, X_error: ArrayLike | None = None
    ) -> Any:
        """The fit as a whole, as a data frame of one row; parameters, library and errors as `summary` and `tidy`.

        Returns
        -------
        frame : "n_rows", "n_features", "n_components", "structure", "n_parameters", "log_likelihood" (nats, a total),
            "bic", "icl" (null where unknown), "is_final" (False where they are those before the last step),
            "converged", "n_iter", "stopped", "standing" (a sentence), "is_maximum", "remaining_gain" (nats per row) and
            "changing_labels" as in `outcome_`, "n_starts", "n_agreed" and "seconds".
        """
        summary = self.summary(X, sample_weight, X_error=X_error)
        return made_frame({name: [value] for name, value in summary.facts.items()}, summary.library)

    def augment(self, X: ArrayLike, *, X_error: ArrayLike | None = None) -> Any:
        """The rows with what the mixture says of each, as a data frame.

        Parameters
        ----------
        X : (n_samples, n_features), an array or a data frame in memory. The frame may have more columns than the
            features: text, dates, identifiers.
        X_error : measurement errors of X, as for `fit`.

        Returns
        -------
        frame : all of X in its own library, of an array as `tidy`, with the columns "component" (as `predict`),
            "uncertainty", 1 less the largest responsibility, and "log_density", nats.

        Raises
        ------
        NotFittedError : before `fit`.
        ValueError : X can't be used, or has a column of one of these names.
        TypeError : X can't be used, or is not in memory.
        """
        source, frame = self._rows_of_table(X, X_error)
        return augmented(self._labelling, source, self._engine(source), frame, self._density(source))

    def explain(self, X: ArrayLike, *, X_error: ArrayLike | None = None) -> Explanation:
        """Why rows belong to their components and to no other, and which features make them unlikely.

        Parameters
        ----------
        X : (n_samples, n_features), an array or a data frame in memory; some rows, since it takes longer than
            `predict`. The frame may have more columns than the features. Cells that are missing have no part.
        X_error : measurement errors of X, as for `fit`; they widen the components.

        Returns
        -------
        explanation : print it to read it, or take its `to_frame()`. For each row: the component, the runner-up, the log
            ratio of their probabilities and its parts; the squared Mahalanobis distance and the parts of the features,
            which add up to it (Garthwaite & Koch 2016).

        Raises
        ------
        NotFittedError : before `fit`.
        ValueError, TypeError : X can't be used, or is not in memory.

        Examples
        --------
        >>> from gaussmix import GaussianMixture
        >>> rows = [[0.0, 1.0], [1.0, 0.0], [2.0, 3.0], [7.0, 9.0], [8.0, 6.0], [9.0, 8.0]]
        >>> gm = GaussianMixture(2, covariance_type="diag", random_state=0).fit(rows)
        >>> why = gm.explain([[4.0, 1.0]])
        >>> bool(abs(why.contributions.sum() - why.squared_distance[0]) < 1e-12)
        True
        """
        source, frame = self._rows_of_table(X, X_error)
        return explanation_of(self._labelling, source, self._engine(source), frame)

    def sample(self, n_samples: int = 1) -> tuple[Array, NDArray[np.int64]]:
        """Draw rows from the mixture, in random order.

        Parameters
        ----------
        n_samples : how many, at least 1.

        Returns
        -------
        X : (n_samples, n_features), data units.
        y : (n_samples,), the component each row was drawn from.

        Raises
        ------
        NotFittedError : before `fit`.
        ValueError, TypeError : n_samples is not an integer of at least 1.
        """
        self._check_fitted()
        if isinstance(n_samples, bool) or not isinstance(n_samples, Integral):
            raise TypeError(f"Invalid value for 'n_samples': {n_samples!r} is not an integer.")
        if n_samples < 1:
            raise ValueError(f"Invalid value for 'n_samples': {n_samples}. Draw at least one row.")
        return self.mixture_.sample(int(n_samples), self._rng(), n_jobs=check_jobs(self.n_jobs))

    def to_sklearn(self) -> SklearnMixture:
        """Make a fitted `sklearn.mixture.GaussianMixture` with this mixture.

        Returns
        -------
        estimator : predicts, scores and samples as this one does. The parameters that both libraries know, how the fit
            went and the names of the features come along. A structure that scikit-learn does not have becomes the
            simplest of its four that can hold the covariances.

        Raises
        ------
        NotFittedError : before `fit`.
        ValueError : the mixture has noise, which scikit-learn's has not.
        SingularCovariance : a covariance is not positive definite.

        Examples
        --------
        >>> import numpy as np
        >>> from gaussmix import GaussianMixture
        >>> X = np.array([[0.0], [0.2], [4.0], [4.2]])
        >>> theirs = GaussianMixture(2, random_state=0).fit(X).to_sklearn()
        >>> len(set(theirs.predict(X)))
        2
        """
        self._check_fitted()
        return to_sklearn(self, self.mixture_)

    def _source(
        self, X: ArrayLike | Source, sample_weight: ArrayLike | None = None, X_error: ArrayLike | None = None
    ) -> Source:
        source = super()._source(X, sample_weight, X_error)
        noise = self.mixture_.noise
        if source.may_miss and noise is not None and noise.box is None:
            raise ValueError(f"X has missing cells, and {NO_MARGINAL}. Fit with a box as the volume of noise.")
        return source

    @property
    def _labelling(self) -> Mixture:
        """The mixture whose responsibilities label rows."""
        return self.mixture_

    def _density(self, source: Source) -> Callable[[Block], Array]:
        """What gives the log density of the rows of a block."""
        return partial(self._engine(source).log_density, parameters=self.mixture_.parameters)

    def _exported(self) -> tuple[Mixture, None]:
        """The mixture that exports write, and no limit of outliers; raises NotFittedError."""
        self._check_fitted()
        return self.mixture_, None

    def _rows_of_table(self, X: ArrayLike, X_error: ArrayLike | None) -> tuple[Source, Frame | None]:
        """The rows, and the data frame that they came in, which may have more columns than the features."""
        frame, names = Frame.of(X), self._names
        return self._source(X if frame is None or names is None else frame.only(names), X_error=X_error), frame

    def _per_row(self, source: Source, method: Callable[..., Any], dtype: Any, shape: tuple[int, ...] = ()) -> Any:
        """What a method of an engine says of each row, in the kind of array that the rows came in."""
        return source.per_row(partial(method, parameters=self.mixture_.parameters), dtype, shape)

    def _log_likelihood(self, source: Source) -> tuple[float, float]:
        """Σ s log p(x), nats, and the total weight."""
        log_likelihood, total = source.sum_of(partial(log_likelihood_of, density=self._density(source)))
        return log_likelihood, total

    def _deviance(
        self, X: ArrayLike, sample_weight: ArrayLike | None, X_error: ArrayLike | None
    ) -> tuple[float, float]:
        """−2 log L and the number of rows as criteria count them."""
        source = check_counts_of_rows(self._source(X, sample_weight, X_error), self.weight_meaning)
        return -2.0 * self._log_likelihood(source)[0], counted_weight(source)


def log_likelihood_of(leaf: Block, density: Callable[[Block], Array]) -> Sums:
    """Σ s log p(x), nats, and Σ s of a leaf; `density` gives log p."""
    return Sums((float((leaf.weight * density(leaf)).sum()), leaf.total_weight))


def _is_kept(block: Block, parameters: Parameters, engine: Engine[Any], cutoff: float) -> NDArray[np.bool_]:
    """Which rows have at least a log density."""
    return in_leaves(block, partial(engine.log_density, parameters=parameters)) >= cutoff


def _responsibilities(block: Block, parameters: Parameters, engine: Engine[Any]) -> NDArray[np.floating[Any]]:
    """In the type of the rows."""
    return engine.responsibilities(block, parameters).astype(block.rows.dtype, copy=False)
