"""The base class of estimators whose result is a mixture, with the methods that label, score and draw rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal, Self
from weakref import ref

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix._src import estimators, mixture, numerics, report, validation
from gaussmix._src.engines import check_jobs, count_threads
from gaussmix._src.engines.base import Engine
from gaussmix._src.errors import ParameterTypeError, warn
from gaussmix._src.estimators.attributes import MixtureAttributes
from gaussmix._src.estimators.base import TrainingRows
from gaussmix._src.estimators.docs import documented
from gaussmix._src.estimators.fitting import start_fit
from gaussmix._src.estimators.sklearn_bases import DensityMixin
from gaussmix._src.fit.problem import TrainingData
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.leaves import Sums
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.mixture import MIN_OVERLAP
from gaussmix._src.noise_component import NO_MARGINAL
from gaussmix._src.numerics.arrays import Array, check_size, narrowed
from gaussmix._src.sources.array import ArraySource
from gaussmix._src.sources.base import Source, has_values
from gaussmix._src.sources.row_statistics import Cells
from gaussmix._src.validation.rows import RowsLike, scale_fractional_weights

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture as SklearnMixture

    from gaussmix._src.fit.fitted import BestRun, FitResult
    from gaussmix._src.fit.monitor import Callback
    from gaussmix._src.fit.options.base import FitOptions
    from gaussmix._src.mixture.compare.merging import Merging
    from gaussmix._src.mixture.explaining import Explanation
    from gaussmix._src.mixture.mixture import Mixture
    from gaussmix._src.report.estimates import MixtureEstimates
    from gaussmix._src.report.summary import Summary

_NO_REFERENCE = "X was neither an array nor a data frame"


@documented
@dataclass(eq=False, repr=False, kw_only=True)
class MixtureEstimator(DensityMixin, MixtureAttributes, ABC):
    """An estimator that fits a mixture, and that labels, scores and draws rows with this mixture."""

    missing: Literal["allow", "error"] = "allow"
    callbacks: Sequence[Callback] | None = None

    def set_callbacks(self, *callbacks: Any) -> Self:
        """Register callbacks of scikit-learn 1.9 or later, such as `ProgressBar` and `ScoringMonitor`.

        `fit` reports a hierarchy of tasks to the callbacks: the fit, its runs from each initialisation, and the EM
        steps over all rows in each run. `GaussianMixtureIC` adds a level for the candidate mixtures. If a callback
        returns True at the end of a task, the enclosing task ends early.

        Parameters
        ----------
        callbacks : objects that follow scikit-learn's callback protocol. Without arguments, all callbacks are removed.

        Returns
        -------
        self : the estimator.

        Raises
        ------
        TypeError : if a callback does not follow scikit-learn's protocol.
        ImportError : if scikit-learn is older than 1.9.
        """
        try:
            from sklearn.callback import CallbackSupportMixin
        except ImportError:
            raise ImportError(
                "set_callbacks needs scikit-learn 1.9 or later. Pass functions as the parameter callbacks instead."
            ) from None
        CallbackSupportMixin.set_callbacks(self, *callbacks)
        return self

    def fit(
        self,
        X: RowsLike,
        y: object = None,
        sample_weight: ArrayLike | None = None,
        *,
        labels: ArrayLike | None = None,
        X_error: ArrayLike | None = None,
    ) -> Self:
        """Fit the mixture.

        `GaussianMixtureIC` fits each candidate mixture, which is a combination of a number of components and a
        covariance structure, and keeps the best candidate.

        Parameters
        ----------
        <rows>
        labels : known components of rows, which EM never changes; None if the components of all rows are unknown. An
            array (n_samples,) contains the index of a component for each row (see `label_components`), or −1 or None if
            the component is unknown; in results of `predict`, −1 means noise instead. An array (n_samples,
            n_components) is True for each possible component of a row, or contains factors ≥ 0 that multiply the
            weights of the components. With `noise`, you can add a last column for the noise component. A string is the
            name of a column of X that contains the labels and is not a feature; the column must be numeric if X is not
            in memory.
        <error>

        Returns
        -------
        self : the fitted estimator.

        Raises
        ------
        ValueError : if a parameter or the data is invalid, the prior or all initial covariances are not positive
            definite, `GaussianMixtureIC` could fit no candidate mixture, or `checkpoint` belongs to a different fit.
        TypeError : if a parameter or the data has the wrong type.
        OSError : if the file `checkpoint` can't be read, or its folder does not exist.

        Warns
        -----
        ConvergenceWarning : if `max_iter` or `max_time` ended a run early, or if initialisations were skipped.
        ConvergenceWarning and RuntimeWarning : one warning of both classes, if a component became empty or collapsed
            and was frozen, if X has fewer distinct rows than components, or if only `reg_covar` keeps a component from
            collapsing. With your own value of `reg_covar`, only `GaussianMixtureIC` issues the last warning.
        SearchWarning : if candidate mixtures of `GaussianMixtureIC` failed, which may have changed the choice, or were
            skipped because `max_time` was reached. The message gives the reasons, the columns that caused failures, and
            advice. SearchWarning is a subclass of RuntimeWarning.
        RuntimeWarning : if a covariance is so nearly singular that rounding changes log densities by more than 1e-6, or
            if X has a constant column, whose variance would be only the automatic `reg_covar`. A RuntimeWarning is also
            issued if X has one feature, so that the structure is mclust's "E" or "V", or if mixtures are compared by a
            criterion and `sample_weight` sums to less than 2. A RuntimeWarning is also issued if `checkpoint` can't be
            written, so that the fit continues without a checkpoint, or if y, which is ignored, looks like `labels`.
        """
        with start_fit(self, X, y, sample_weight, labels, X_error) as (rows, options):
            self._fit_mixture(rows, sample_weight, options)
        source = self._label_source
        if isinstance(labels, str) and isinstance(source, TrainingRows):  # `rows` no longer exists after this call
            self._label_source = _NO_REFERENCE
            with suppress(TypeError):
                self._label_source = source._replace(reference=ref(X), label_column=labels)
        return self

    @abstractmethod
    def _fit_mixture(self, X: RowsLike, sample_weight: ArrayLike | None, options: FitOptions) -> Any:
        """Fit the mixture with the options in use, and store the result in this estimator."""

    def _finish(self, fitted: FitResult, options: FitOptions, best: BestRun, X: object) -> None:
        """Store the result of a fit, and a weak reference to X, so that `labels_` can be predicted while X exists."""
        for option in options:
            fitted = option.adapt_result(fitted, best.problem, best.final_state)
        self._fitted, source = fitted, best.problem.data.raw_source
        if source.has_errors:
            self._label_source = "predict would need X_error"
        elif fitted.cutoff is not None:
            self._label_source = "predict can't leave out the rows that trim left out"
        elif not (isinstance(source, ArraySource) or source.is_on_device):
            self._label_source = "X was in a file or on a cluster"
        else:
            self._label_source = _NO_REFERENCE
            with suppress(TypeError):  # for example, lists do not support weak references
                self._label_source = TrainingRows(ref(X), source.sampled_checksum)

    def fit_predict(
        self,
        X: RowsLike,
        y: object = None,
        sample_weight: ArrayLike | None = None,
        *,
        labels: ArrayLike | None = None,
        X_error: ArrayLike | None = None,
    ) -> NDArray[np.int64]:
        """Fit the mixture, and return the label of each row, (n_samples,); rows that `trim` left out get −1.

        All other labels are the same as from `fit(X).predict(X)`, so a row may get a label that differs from its known
        label in `labels`. Parameters and errors are the same as in `fit`.
        """
        X, labels = validation.labels.without_labels(self, X, labels)
        # Only what was passed is passed on, because `fit` and `predict` of a subclass may have fewer parameters.
        row_options = {} if X_error is None else {"X_error": X_error}
        options = {"sample_weight": sample_weight, "labels": labels, **row_options}
        self.fit(X, y, **{name: value for name, value in options.items() if value is not None})
        predicted = self.predict(X, **row_options)
        return self._labelled(self._trimmed(predicted, X, labels, X_error))

    def predict(self, X: RowsLike, *, X_error: ArrayLike | None = None) -> NDArray[np.int64]:
        """Return the index of the most probable component of each row, (n_samples,), or −1 for noise.

        If several components are equally probable, the lowest index is returned.

        Parameters
        ----------
        X : (n_samples, n_features), rows to label, in data units. Missing values (NaN) are ignored. A row without any
            observed value gets the component with the largest weight, or −1 if noise has a larger weight.
        X_error : measurement errors of X, as in `fit`.

        Raises
        ------
        NotFittedError : if the estimator is not fitted.
        ValueError, TypeError : if X does not contain numbers, or does not have shape (n_samples, n_features).
        """
        source = self._source(X, X_error=X_error)
        return self._per_row(source, self._engine(source).labels, np.int64)

    def predict_proba(self, X: RowsLike, *, X_error: ArrayLike | None = None) -> NDArray[np.floating[Any]]:
        """Return the responsibilities p(k | x), Bishop (2006) eq. 9.13, (n_samples, n_components).

        Each row of the result sums to 1 or, with noise, to 1 − p(noise | x). For a row without any observed value, the
        responsibilities are the weights of the components.

        Parameters and errors are the same as in `predict`. In addition, ValueError is raised if the result would exceed
        4 GB. With thousands of components, use `mixture_.responsibilities(X, sparse=True)`.
        """
        source = self._source(X, X_error=X_error)
        if not source.is_lazy:
            instead = "use predict(X) or mixture_.responsibilities(X, sparse=True), or pass fewer rows at a time"
            check_size(source.n_rows, self._fitted.model.n_components, instead)
        method = partial(_responsibilities, engine=self._engine(source))
        return self._per_row(source, method, source.dtype, (self._fitted.model.n_components,))

    def score_samples(self, X: RowsLike, *, X_error: ArrayLike | None = None) -> NDArray[np.floating[Any]]:
        """Return the log density log p(x) of the observed values of each row, (n_samples,), in nats.

        With `X_error`, the result is the log density of the measured values. The result is about −9e307, and not −inf,
        for all rows that are more than 1e154 standard deviations from every mean. Parameters and errors are as in
        `predict`.
        """
        source = self._source(X, X_error=X_error)
        values = source.per_row(self._density(source), np.float64, ())
        return narrowed(values, source.dtype) if isinstance(values, np.ndarray) else values

    def denoise(self, X: RowsLike, X_error: ArrayLike | None = None) -> tuple[Array, Array]:
        """Return the mean and covariance of the true values of each row, given the measured values and the mixture.

        See Bovy, Hogg & Roweis (2011), Annals of Applied Statistics 5, eq. 15–17. Missing values are also estimated.

        Parameters
        ----------
        X : (n_samples, n_features), measured rows, in data units.
        X_error : measurement errors of X, as in `fit`. If you omit `X_error`, observed values count as exact.

        Returns
        -------
        means : (n_samples, n_features), means of the true values, in data units.
        covariances : (n_samples, n_features, n_features), covariances of the true values, in data units².

        Raises
        ------
        NotFittedError, ValueError, TypeError : as in `predict`, or if X is not in memory, or if the mixture has noise.
        """
        source = self._source(X, X_error=X_error)
        if self._fitted.model.noise is not None:
            raise ValueError("denoise does not support noise. Fit with noise=False.")
        if not isinstance(source, ArraySource):
            raise ValueError("denoise needs an array or a data frame in memory. Pass the rows in smaller portions.")
        from gaussmix._src.engines.incomplete import IncompleteEngine

        engine = IncompleteEngine(count_threads(self.n_jobs))
        (block,) = source.blocks()
        return engine.expected_rows(block, self._fitted.model.parameters)

    def score(
        self, X: RowsLike, y: object = None, sample_weight: ArrayLike | None = None, *, X_error: ArrayLike | None = None
    ) -> float:
        """Return the weighted mean of the log densities log p(x), in nats; see `predict` for parameters and errors."""
        source = self._source(X, sample_weight, X_error)
        log_likelihood, total = self._log_likelihood(source)
        return log_likelihood / total

    def merge(
        self,
        X: RowsLike,
        sample_weight: ArrayLike | None = None,
        *,
        min_overlap: float = MIN_OVERLAP,
        X_error: ArrayLike | None = None,
    ) -> Merging:
        """Merge overlapping components into clusters; each step merges two components or clusters.

        Parameters
        ----------
        X : (n_samples, n_features), rows from which the overlaps are estimated.
        sample_weight : (n_samples,), weights ≥ 0; only their ratios matter, but entropies are proportional to weights.
        min_overlap : smallest overlap, from 0 to 1, at which two clusters are merged. The overlap is the
            fraction of the rows of one cluster that would be assigned to the other cluster. Hennig (2010) proposes
            0.025. A smaller `min_overlap` leads to fewer clusters.
        X_error : measurement errors of X, as in `fit`.

        Returns
        -------
        merging : an object that gives, for each number of clusters, the cluster of each component, the entropy and
            responsibilities for any rows. With `merging.n_clusters` clusters, overlaps are below `min_overlap`.

        Raises
        ------
        NotFittedError : if the estimator is not fitted.
        ValueError, TypeError : if X or a parameter is invalid.

        Notes
        -----
        Each step merges those two overlapping clusters whose union lowers the entropy of the responsibilities most, as
        `clustCombi` in mclust does (Baudry and others 2010). The documentation of `Merging` gives the equations.

        Examples
        --------
        >>> from gaussmix import FAMILIES, GaussianMixture, Mixture
        >>> four = Mixture([0.25] * 4, [[0.0], [20.0], [40.0], [60.0]], [1.0] * 4, FAMILIES["spherical"])
        >>> X = four.sample(400, rng=0)[0]
        >>> [GaussianMixture(n, random_state=0, tol=1e-6).fit(X).merge(X).n_clusters for n in (1, 4, 6)]
        [1, 4, 4]
        """
        from gaussmix._src.mixture.compare.merging import MAX_STORED, merge_by_sums

        source = self._source(X, sample_weight, X_error)
        own = self._labelling
        if own.noise is not None:
            raise ValueError("merge does not support noise. Replace mixture_ by mixture_.without_noise first.")
        assign = partial(self._engine(source).responsibilities, parameters=own.parameters)
        n_empty = source.collect(Cells).n_empty if source.may_miss else 0
        if 0 < n_empty < source.n_rows:  # Rows without observed values say nothing about the overlap of clusters.
            source = source.part(has_values, source.n_rows - n_empty)
        rows = source.whole
        if rows is None or rows.n_rows * own.n_components > MAX_STORED:
            return merge_by_sums(own, assign, source.sum_of, min_overlap)
        stored = Block(0, np.asfortranarray(assign(rows)), rows.row_weight)
        return merge_by_sums(own, attrgetter("rows"), stored.sum_of, min_overlap)

    def summary(
        self, X: RowsLike | None = None, sample_weight: ArrayLike | None = None, *, X_error: ArrayLike | None = None
    ) -> Summary:
        """Return a one-page summary of the fit, which you can print, show in a notebook, or convert with `to_latex()`.

        Parameters
        ----------
        X : (n_samples, n_features), rows for which the log-likelihood, BIC, ICL and sizes of components are computed.
            Pass the training rows for exact values, because estimators do not store rows. Without X, the log-likelihood
            is the value before the last EM step, sizes are weights times the number of rows, and ICL is left out. After
            a model selection without `trim` or labels, X is not needed, because `results_` has all criteria.
        sample_weight : (n_samples,), as in `bic`.
        X_error : measurement errors of X, as in `fit`.

        Returns
        -------
        summary : a page with the size of the data, the log-likelihood, the number of parameters, BIC, ICL, the reason
            why EM stopped, and warnings. A table lists for each component the weight, the size (effective number of
            rows), and the mean ± standard deviation of each feature. Unless there are thousands of components, the
            table also shows the component with the largest overlap ∫ √(N_i N_j), from 0 (far apart) to 1 (identical).

        Raises
        ------
        NotFittedError, ValueError, TypeError : if the estimator is not fitted, or X is invalid.

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
        search          no move tried
        stopped         after 2 steps. The mean log-likelihood changed by less than tol.
        <BLANKLINE>
        component  weight  size             x0  nearest   overlap
                0  0.5000   3.0  1.000 ± 0.817        1  0.000102
                1  0.5000   3.0  8.000 ± 0.817        0  0.000102
        """
        arguments = type(self).__name__, self._fit_result()
        if X is None:
            return report.reading.make_summary(*arguments)
        source = scale_fractional_weights(self._source(X, sample_weight, X_error), self.weight_type)
        return report.reading.make_summary(*arguments, (source, self._engine(source)))

    def tidy(self, estimates: MixtureEstimates | None = None) -> Any:
        """Return a data frame with a row for each component; the noise component, if any, has the index −1.

        Parameters
        ----------
        estimates : a result of `inference`, `bootstrap` or `posterior_.estimates`. If you pass `estimates`, the data
            frame also has standard errors and 95 % intervals of weights and means, in columns such as
            "weight_std_error", "mean_x_conf_low" and "mean_x_conf_high". For a data frame with a row for each
            parameter, including covariances, call `estimates.tidy()`.

        Returns
        -------
        frame : a data frame from the same library as the training data. After a fit to an array or a file, the first
            library that is installed is used: pandas, polars or pyarrow. Columns: "component", "weight", "size"
            (effective number of rows), ``mean_x`` and ``sd_x`` for each feature x, "nearest" (the component with the
            largest overlap, or −1) and "overlap".

        Raises
        ------
        NotFittedError : if the estimator is not fitted.
        ImportError : if neither pandas, polars nor pyarrow is installed.
        ValueError : if `estimates` belongs to a mixture of a different size, or differs from this mixture by more than
            3 standard errors.
        TypeError : if `estimates` has the wrong type.
        """
        summary = self.summary()
        if estimates is not None:
            if not isinstance(estimates, report.estimates.MixtureEstimates):
                what = type(estimates).__name__
                raise ParameterTypeError(
                    f"estimates must be a result of inference, bootstrap or posterior_ for all parameters, not {what}."
                )
            more = report.estimates.interval_columns(estimates, self._fit_result().mixture)
            summary = replace(summary, components={**summary.components, **more})
        return summary.to_frame()

    def glance(
        self, X: RowsLike | None = None, sample_weight: ArrayLike | None = None, *, X_error: ArrayLike | None = None
    ) -> Any:
        """Return statistics of the fit as a data frame with one row; parameters and errors are as in `summary`.

        Returns
        -------
        frame : a data frame from the same library as in `tidy`. Columns: "n_rows", "n_features", "n_missing" (values),
            "n_components", "structure", "n_parameters", "log_likelihood" (nats, a total), "bic", "icl" (null if
            unknown), "is_final" (False if the log-likelihood is the value before the last step), "converged", "n_iter",
            "stopped", "certificate" (a sentence) and "seconds" (null after loading or unpickling). From `outcome_` come
            "is_maximum", "remaining_gain", "label_change_fraction", "n_starts", "n_starts_at_best", "n_moves_tried",
            "n_moves_accepted" and "search_gain".

        Warns
        -----
        RuntimeWarning : if `X_error` was passed to `fit`, but not to `glance`.
        """
        summary = self.summary(X, sample_weight, X_error=X_error)
        if report.reading.EXACT in summary.warnings:
            warn(report.reading.EXACT, RuntimeWarning)
        return numerics.frames.made_frame(
            {name: [value] for name, value in summary.statistics.items()}, summary.frame_library
        )

    def augment(self, X: RowsLike, *, X_error: ArrayLike | None = None) -> Any:
        """Return the rows as a data frame, with a label, a density and a p-value for each row.

        Parameters
        ----------
        X : (n_samples, n_features), an array or a data frame in memory, which may have columns that are not features.
        X_error : measurement errors of X, as in `fit`.

        Returns
        -------
        frame : a data frame with all columns of X, from the library of X or, if X is an array, from the same library as
            in `tidy`. The added columns are "component" (as in `predict`), "uncertainty" (1 minus the largest
            responsibility), "log_density" (nats) and "p_value". The p-value is the probability that a random draw from
            the mixture without noise has a lower density than the row; it is NaN with `X_error` or missing values. A
            RuntimeWarning is issued if more than a few rows lie where the mixture has almost no probability, for
            example because X has different units.

        Raises
        ------
        NotFittedError : if the estimator is not fitted.
        ValueError : if X is invalid, or already has a column with the name of an added column.
        TypeError : if X is invalid, or is not in memory.
        """
        source, frame = self._rows_of_table(X, X_error)
        return report.reading.augment_rows(self._labelling, source, self._engine(source), frame, self)

    def explain(self, X: RowsLike, *, X_error: ArrayLike | None = None) -> Explanation:
        """Explain why each row belongs to its component, and which features make the row unlikely.

        Parameters
        ----------
        X : (n_samples, n_features), an array or a data frame in memory. Pass only some rows, because `explain` takes
            longer than `predict`. The data frame may have columns that are not features. Missing values are ignored.
        X_error : measurement errors of X, as in `fit`, which are added to the covariances of the components.

        Returns
        -------
        explanation : an object that you can print, or convert to a data frame with `to_frame()`. For each row, the
            object contains the two most probable components, and the log ratio of their probabilities as a sum of
            terms. The object also contains the squared Mahalanobis distance and the contribution of each feature; the
            contributions add up to the squared distance (Garthwaite & Koch 2016).

        Raises
        ------
        NotFittedError : if the estimator is not fitted.
        ValueError, TypeError : if X is invalid, or is not in memory.

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
        return report.reading.make_explanation(self._labelling, source, self._engine(source), frame)

    def sample(self, n_samples: int = 1) -> tuple[Array, NDArray[np.int64]]:
        """Draw rows from the mixture, in random order.

        Parameters
        ----------
        n_samples : number of rows, at least 1.

        Returns
        -------
        X : (n_samples, n_features), the drawn rows, in data units.
        y : (n_samples,), the index of the component from which each row was drawn; −1 for noise.

        Raises
        ------
        NotFittedError : if the estimator is not fitted.
        ValueError, TypeError : if `n_samples` is not a positive integer.
        """
        self._check_fitted()
        if isinstance(n_samples, bool) or not isinstance(n_samples, Integral):
            raise ParameterTypeError(f"Invalid value for 'n_samples': {n_samples!r} is not an integer.")
        if n_samples < 1:
            raise ValueError(f"Invalid value for 'n_samples': {n_samples}. Draw at least one row.")
        mixture.sampling.check_array_size("n_samples", int(n_samples), self.mixture_.n_features)
        X, y = self.mixture_.sample(int(n_samples), self._rng(), n_jobs=check_jobs(self.n_jobs))
        return self._fitted.in_library_of_rows(X), self._fitted.in_library_of_rows(y)

    def to_sklearn(self) -> SklearnMixture:
        """Return a fitted `sklearn.mixture.GaussianMixture` with this mixture.

        Returns
        -------
        estimator : a scikit-learn estimator that predicts, scores and samples from the same mixture. Parameters that
            both libraries have, attributes such as `n_iter_` and the feature names are copied. If scikit-learn lacks
            the covariance structure, the simplest of its four structures that can represent the covariances is used.

        Raises
        ------
        NotFittedError : if the estimator is not fitted.
        ValueError : if the mixture has noise, which scikit-learn does not support.
        SingularCovarianceError : if a covariance is not positive definite.

        Examples
        --------
        >>> import numpy as np
        >>> from gaussmix import GaussianMixture
        >>> X = np.array([[0.0], [0.2], [4.0], [4.2]])
        >>> theirs = GaussianMixture(2, random_state=0).fit(X).to_sklearn()
        >>> len(set(theirs.predict(X)))
        2
        """
        return estimators.conversion.to_sklearn(self, self.mixture_)

    def _source(self, X: RowsLike, sample_weight: ArrayLike | None = None, X_error: ArrayLike | None = None) -> Source:
        source = super()._source(X, sample_weight, X_error)
        noise = self._fitted.model.noise if source.may_miss else None
        if noise is not None and noise.bounds is None:
            if source.collect(Cells).n_missing.any():
                raise ValueError(f"X has missing values, and {NO_MARGINAL}. Fit with a box as the volume of noise.")
            source = source.without_states()
            source.may_miss = False  # All rows were read above and have no missing values.
        return source

    def _trimmed(
        self, predicted: NDArray[np.int64], X: RowsLike, labels: ArrayLike | None, X_error: ArrayLike | None
    ) -> NDArray[np.int64]:
        """Return the predicted labels of the rows X of the fit, with −1 for the rows that `trim` left out."""
        cutoff = self._fitted.cutoff
        if cutoff is None:
            return predicted
        from gaussmix._src.em.trimming.trimming import are_above_cutoff

        rows, model = self._source(X, X_error=X_error), self._fitted.model
        groups = getattr(self, "label_components", None)
        known = validation.labels.check_labels(
            labels, groups, rows.n_rows, [model.n_components], has_noise=model.noise is not None
        )
        source = TrainingData(rows, known, model.noise).labelled_source(model.n_components)
        is_retained = partial(are_above_cutoff, engine=self._engine(source), cutoff=cutoff)
        return np.where(self._per_row(source, is_retained, np.bool_), predicted, -1)

    @property
    def _labelling(self) -> Mixture:
        """The mixture whose responsibilities `predict` uses to label rows."""
        return self.mixture_

    def _exported(self) -> Mixture:
        """Return the mixture to export; raises NotFittedError."""
        return self.mixture_

    def _rows_of_table(self, X: RowsLike, X_error: ArrayLike | None) -> tuple[Source, numerics.frames.Frame | None]:
        """Check X; return a source of the features and, if X is a data frame, the data frame with all columns."""
        frame, names = numerics.frames.Frame.from_table(X), self._names
        return self._source(X if frame is None or names is None else frame.only(names), X_error=X_error), frame

    def _per_row(self, source: Source, method: Callable[..., Any], dtype: Any, shape: tuple[int, ...] = ()) -> Any:
        """Apply an engine's method to all rows, and return its values in the same type of array as the rows."""
        return source.per_row(partial(method, parameters=self._fitted.model.parameters), dtype, shape)

    def _log_likelihood(self, source: Source) -> tuple[float, float]:
        """Return the weighted sum of log densities Σ s log p(x), in nats, and the total weight Σ s."""
        return source.sum_of(partial(sum_log_density, density=self._density(source)))


def sum_log_density(leaf: Block, density: Callable[[Block], Array]) -> Sums:
    """Return Σ s log p(x), in nats, and Σ s for a block of rows; `density` computes log p."""
    values = density(leaf)
    with np.errstate(over="ignore"):  # The sum may overflow to −∞.
        return Sums((float((values if leaf.row_weight is None else values * leaf.row_weight).sum()), leaf.total_weight))


def _responsibilities(block: Block, parameters: Parameters, engine: Engine[Any]) -> NDArray[np.floating[Any]]:
    """Return the responsibilities for the rows of a block, in the dtype of the rows."""
    return engine.responsibilities(block, parameters).astype(block.rows.dtype, copy=False)
