"""The base class of estimators whose result is a mixture, with the methods that label, score and draw rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal, Self
from weakref import ref

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix._src import estimators, mixture, numerics, report, validation
from gaussmix._src.background import NO_MARGINAL
from gaussmix._src.engines import check_jobs, count_threads
from gaussmix._src.engines.base import Engine
from gaussmix._src.errors import ParameterTypeError, warn
from gaussmix._src.estimators.attributes import MixtureAttributes
from gaussmix._src.estimators.docs import documented
from gaussmix._src.estimators.fitting import start_fit
from gaussmix._src.estimators.sklearn_bases import DensityMixin
from gaussmix._src.fit.problem import Problem, TrainingData
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.leaves import Sums
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.mixture import MIN_OVERLAP
from gaussmix._src.numerics.arrays import Array, check_size, narrowed
from gaussmix._src.sources.array import ArraySource
from gaussmix._src.sources.base import Source, in_leaves
from gaussmix._src.sources.row_statistics import Cells
from gaussmix._src.validation.rows import RowsLike, check_counts_of_rows

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture as SklearnMixture

    from gaussmix._src.em.objective.trace import EMState
    from gaussmix._src.fit.features.base import FitOptions
    from gaussmix._src.fit.fitted import FitResult
    from gaussmix._src.fit.monitor import Callback
    from gaussmix._src.mixture.compare.merging import Merging
    from gaussmix._src.mixture.explaining import Explanation
    from gaussmix._src.mixture.mixture import Mixture
    from gaussmix._src.report.inference import MixtureEstimates
    from gaussmix._src.report.summary import Summary


@documented
@dataclass(eq=False, repr=False, kw_only=True)
class MixtureEstimator(DensityMixin, MixtureAttributes, ABC):
    """An estimator whose result is a mixture, by which it labels, scores and draws rows."""

    missing: Literal["allow", "error"] = "allow"
    callbacks: Sequence[Callback] | None = None

    def set_callbacks(self, *callbacks: Any) -> Self:
        """Register callbacks of scikit-learn 1.9 or later, such as `ProgressBar` and `ScoringMonitor`.

        `fit` reports a hierarchy of tasks to them: the fit, its runs from each initialisation, and the EM steps over
        all rows in each run. `GaussianMixtureIC` adds a level for the candidates. If a callback returns True at the end
        of a task, the enclosing task ends early.

        Parameters
        ----------
        callbacks : objects that follow scikit-learn's protocol; without arguments, all callbacks are removed.

        Returns
        -------
        self : the estimator.

        Raises
        ------
        TypeError : a callback does not follow the protocol.
        ImportError : scikit-learn is older than 1.9.
        """
        try:
            from sklearn.callback import CallbackSupportMixin
        except ImportError:
            raise ImportError(
                "set_callbacks needs scikit-learn 1.9 or later. The parameter callbacks takes functions."
            ) from None
        CallbackSupportMixin.set_callbacks(self, *callbacks)
        return self

    def fit(
        self,
        X: ArrayLike,
        y: object = None,
        sample_weight: ArrayLike | None = None,
        *,
        labels: ArrayLike | None = None,
        X_error: ArrayLike | None = None,
    ) -> Self:
        """Fit the mixture; a model selection fits every candidate and keeps the best.

        Parameters
        ----------
        <rows>
        labels : known components of rows; None if none are known. An array (n_samples,) has the index of each row's
            component, or −1 or None if it is unknown (see `label_components`). An array (n_samples, n_components) is
            True for each possible component, or has prior responsibilities ≥ 0, of which only ratios within a row
            matter. A string names a column of X with labels, numeric if X is not in memory, which is not a feature.
        <error>

        Returns
        -------
        self : the fitted estimator.

        Raises
        ------
        ValueError : a parameter or the data can't be used; no initialisation has positive definite covariances; the
            prior is not positive definite; no candidate could be fitted; or `checkpoint` is of a different fit.
        TypeError : a parameter or the data is of the wrong type.
        OSError : the file `checkpoint` can't be read, or its folder does not exist.

        Warns
        -----
        ConvergenceWarning : `max_iter` steps or `max_time` seconds were not enough, or initialisations were skipped.
        ConvergenceWarning and RuntimeWarning : a component became empty or collapsed and was frozen, or X has fewer
            distinct rows than components.
        SearchWarning : candidates failed, which may have changed the choice, or were skipped because `max_time` was
            over. The message gives reasons, responsible columns and advice. (This is a kind of RuntimeWarning.)
        RuntimeWarning : a covariance is so nearly singular that rounding changes log densities by more than 1e-6. Or X
            has a constant column, whose variance would be only the automatic `reg_covar`. Or X has one feature, so that
            the structure is mclust's "E" or "V". Or candidates are compared, and `sample_weight` sums to less than two
            rows. Or `checkpoint` can't be written, and the fit continues without it. Or y, which is ignored, has
            unknown labels like the argument `labels`.
        """
        with start_fit(self, X, y, sample_weight, labels, X_error) as (X, options):
            self._find(X, sample_weight, options)
        return self

    @abstractmethod
    def _find(self, X: RowsLike, sample_weight: ArrayLike | None, options: FitOptions) -> Any:
        """Fit with the options in use, and store the result in this estimator."""

    def _finish(self, fitted: FitResult, options: FitOptions, problem: Problem, run: EMState, X: object) -> None:
        """Store the result of a fit, and a weak reference to X, by which `labels_` predicts while X exists."""
        for option in options:
            fitted = option.adapt_result(fitted, problem, run)
        self._fitted, source = fitted, problem.data.raw_source
        if source.has_errors:
            self._rows = "predict would need X_error"
        elif fitted.cutoff is not None:
            self._rows = "predict can't leave out the rows that trim left out"
        elif not (isinstance(source, ArraySource) or source.is_on_device):
            self._rows = "these were in a file or on a cluster"
        else:
            self._rows = "these were not an array or a data frame"
            with suppress(TypeError):  # Python has no weak references to lists.
                self._rows = ref(X)

    def fit_predict(
        self,
        X: ArrayLike,
        y: object = None,
        sample_weight: ArrayLike | None = None,
        *,
        labels: ArrayLike | None = None,
        X_error: ArrayLike | None = None,
    ) -> NDArray[np.int64]:
        """Fit and return the label of each row, (n_samples,); rows that `trim` left out get −1.

        All other labels are the same as from `fit(X).predict(X)`, so a row with a known label may get another label.
        Parameters and errors are the same as in `fit`.
        """
        groups = getattr(self, "label_components", None)
        X, labels = validation.labels.without_labels(X, labels, groups, may_miss=self._may_miss)
        self.fit(X, y, sample_weight, labels=labels, X_error=X_error)
        predicted = self.predict(X, X_error=X_error)
        cutoff = self._fitted.cutoff
        if cutoff is None:
            return self._labelled(predicted)
        rows = self._source(X, X_error=X_error)
        n_components = self.mixture_.n_components
        known = validation.labels.check_labels(labels, groups, rows.n_rows, n_components)
        source = TrainingData(rows, known, self.mixture_._model.noise).labelled_source(n_components)
        is_retained = partial(_is_above_cutoff, engine=self._engine(source), cutoff=cutoff)
        return self._labelled(np.where(self._per_row(source, is_retained, np.bool_), predicted, -1))

    def predict(self, X: ArrayLike, *, X_error: ArrayLike | None = None) -> NDArray[np.int64]:
        """Return the most probable component of each row, (n_samples,), the first in a tie, or −1 for noise.

        Parameters
        ----------
        X : (n_samples, n_features), data units. Missing values (NaN) are ignored, so that a row without any value gets
            the component with the largest weight.
        X_error : measurement errors of X, as in `fit`.

        Raises
        ------
        NotFittedError : before `fit`.
        ValueError, TypeError : X is not numbers of shape (n_samples, n_features).
        """
        source = self._source(X, X_error=X_error)
        return self._per_row(source, self._engine(source).labels, np.int64)

    def predict_proba(self, X: ArrayLike, *, X_error: ArrayLike | None = None) -> NDArray[np.floating[Any]]:
        """Return the responsibilities p(k | x), Bishop (2006) eq. 9.13, (n_samples, n_components).

        Rows sum to 1 or, with noise, to 1 − p(noise | x). A row without any value has the weights as responsibilities.

        Parameters and errors are the same as in `predict`. In addition, a result above 4 GB raises ValueError. With
        thousands of components, use `mixture_.responsibilities(X, sparse=True)`.
        """
        source = self._source(X, X_error=X_error)
        if not source.is_lazy:
            instead = "take predict(X), mixture_.responsibilities(X, sparse=True), or some of the rows at a time"
            check_size(source.n_rows, self.mixture_.n_components, instead)
        method = partial(_responsibilities, engine=self._engine(source))
        return self._per_row(source, method, source.dtype, (self.mixture_.n_components,))

    def score_samples(self, X: ArrayLike, *, X_error: ArrayLike | None = None) -> NDArray[np.floating[Any]]:
        """Return the log density log p(x) of the observed values of each row, (n_samples,), nats.

        With `X_error`, it is the density of the measured values. Parameters and errors are the same as in `predict`.
        """
        source = self._source(X, X_error=X_error)
        values = source.per_row(self._density(source), np.float64, ())
        return narrowed(values, source.dtype) if isinstance(values, np.ndarray) else values

    def denoise(self, X: ArrayLike, X_error: ArrayLike | None = None) -> tuple[Array, Array]:
        """Return the mean and covariance of each true row, given its measured values and the mixture.

        Bovy, Hogg & Roweis (2011), Annals of Applied Statistics 5, eq. 15–17. Missing values are estimated, too.

        Parameters
        ----------
        X : (n_samples, n_features), data units.
        X_error : measurement errors of X, as in `fit`; without them, observed values count as exact.

        Returns
        -------
        means : (n_samples, n_features), data units.
        covariances : (n_samples, n_features, n_features), data units².

        Raises
        ------
        NotFittedError, ValueError, TypeError : as in `predict`; or X is not in memory, or the mixture has noise.
        """
        source = self._source(X, X_error=X_error)
        if self.mixture_._model.noise is not None:
            raise ValueError("denoise does not support noise. Fit with noise=False.")
        if not isinstance(source, ArraySource):
            raise ValueError("denoise needs an array or a data frame in memory. Read some of the rows at a time.")
        from gaussmix._src.engines.incomplete import IncompleteEngine

        engine = IncompleteEngine(count_threads(self.n_jobs))
        rows = [engine.expected_rows(block, self.mixture_.parameters) for block in source.blocks()]
        return rows[0]

    def score(
        self,
        X: ArrayLike,
        y: object = None,
        sample_weight: ArrayLike | None = None,
        *,
        X_error: ArrayLike | None = None,
    ) -> float:
        """Return the weighted mean of log p(x), nats. Parameters and errors are the same as in `predict`."""
        source = self._source(X, sample_weight, X_error)
        log_likelihood, total = self._log_likelihood(source)
        return log_likelihood / total

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
        X : (n_samples, n_features), the rows from which overlaps are estimated.
        sample_weight : (n_samples,), weights ≥ 0; only their ratios matter.
        min_overlap : smallest overlap of two clusters, from 0 to 1, at which they are merged. The overlap is the
            fraction of the rows of one cluster that would be assigned to the other cluster. Hennig (2010) proposes
            0.025. A smaller value leads to fewer clusters.
        X_error : measurement errors of X, as in `fit`.

        Returns
        -------
        merging : for each number of clusters, the cluster of each component, the entropy and, for any rows, the
            responsibilities of the clusters. If there are `merging.n_clusters` clusters, no two of them overlap.

        Raises
        ------
        NotFittedError : before `fit`.
        ValueError, TypeError : X or a parameter can't be used.

        Notes
        -----
        Each step merges the overlapping pair whose union lowers the entropy of the responsibilities most, as in Baudry
        et al. (2010) and mclust's `clustCombi`. `Merging` gives the equations.

        Examples
        --------
        >>> from gaussmix import FAMILIES, GaussianMixture, Mixture
        >>> four = Mixture([0.25] * 4, [[0.0], [20.0], [40.0], [60.0]], [1.0] * 4, FAMILIES["spherical"])
        >>> X = four.sample(400, rng=0)[0]
        >>> [GaussianMixture(n, random_state=0, tol=1e-6).fit(X).merge(X).n_clusters for n in (1, 4, 6)]
        [1, 4, 4]
        """
        from gaussmix._src.mixture.compare.merging import merge_by_sums

        source = self._source(X, sample_weight, X_error)
        own = self._labelling
        assign = partial(self._engine(source).responsibilities, parameters=own.parameters)
        return merge_by_sums(own, assign, source.sum_of, min_overlap)

    def summary(
        self, X: ArrayLike | None = None, sample_weight: ArrayLike | None = None, *, X_error: ArrayLike | None = None
    ) -> Summary:
        """Summarise the fit on one page, to print, to show in a notebook, or to convert by `to_latex()`.

        Parameters
        ----------
        X : (n_samples, n_features), rows whose log-likelihood, BIC, ICL and number in each component are shown. Pass X
            for exact values, because an estimator does not store its rows. Without X, the log-likelihood is the value
            before the last EM step, sizes are weights times the number of rows, and ICL is left out. After a model
            selection without `trim` and labels, `results_` provides all criteria, so that X is not needed.
        sample_weight : (n_samples,), as in `bic`.
        X_error : measurement errors of X, as in `fit`.

        Returns
        -------
        summary : a page with the data, log-likelihood, number of parameters, BIC, ICL, reason why EM stopped, and
            warnings. For each component it has the weight, the size (effective rows), and the mean ± standard deviation
            of each feature. It also names the component with the largest overlap ∫ √(N_i N_j), from 0 (apart) to 1
            (equal), unless there are thousands of components.

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
        arguments = type(self).__name__, self._fit_facts()
        if X is None:
            return report.reading.make_summary(*arguments)
        source = check_counts_of_rows(self._source(X, sample_weight, X_error), self.weight_type)
        return report.reading.make_summary(*arguments, (source, self._engine(source)))

    def tidy(self, estimates: MixtureEstimates | None = None) -> Any:
        """Return the components as a data frame with a row for each component, and a row −1 for noise.

        Parameters
        ----------
        estimates : a result of `inference`, `bootstrap` or `posterior_.estimates`, which adds standard errors and 95 %
            intervals of weights and means, in columns such as "weight_std_error", "mean_x_conf_low" and
            "mean_x_conf_high". `estimates.tidy()` has a row for each parameter instead, including covariances.

        Returns
        -------
        frame : in the library of the fitted data frame; after a fit to an array or a file, in the first library that is
            installed of pandas, polars and pyarrow. Columns: "component", "weight", "size" (effective rows), ``mean_x``
            and ``sd_x`` for each feature x, and "nearest" (−1 if there is none) and "overlap" as in `summary`.

        Raises
        ------
        NotFittedError : before `fit`.
        ImportError : no library of data frames is installed.
        ValueError : `estimates` belongs to a mixture of another size, or differs by more than 3 standard errors.
        TypeError : `estimates` is of another type.
        """
        summary = self.summary()
        if estimates is not None:
            if not isinstance(estimates, report.inference.MixtureEstimates):
                what = type(estimates).__name__
                raise ParameterTypeError(
                    f"estimates must be a result of inference, bootstrap or posterior_ for all parameters, not {what}."
                )
            more = report.inference.interval_columns(estimates, self._fit_facts().mixture)
            summary = replace(summary, components={**summary.components, **more})
        return summary.to_frame()

    def glance(
        self, X: ArrayLike | None = None, sample_weight: ArrayLike | None = None, *, X_error: ArrayLike | None = None
    ) -> Any:
        """Return the facts about the fit as a data frame of one row; parameters and errors are as in `summary`.

        Returns
        -------
        frame : in the same library as in `tidy`. Columns: "n_rows", "n_features", "n_missing" (values), "n_components",
            "structure", "n_parameters", "log_likelihood" (nats, a total), "bic", "icl" (null if unknown), "is_final"
            (False before the last step), "converged", "n_iter", "stopped", "certificate" (a sentence) and "seconds".
            From `outcome_` come "is_maximum", "remaining_gain", "label_change_fraction", "n_starts",
            "n_starts_at_best", "n_moves_tried", "n_moves_accepted" and "search_gain".

        Warns
        -----
        RuntimeWarning : `X_error` was passed to `fit`, but not to `glance`.
        """
        summary = self.summary(X, sample_weight, X_error=X_error)
        if report.reading.EXACT in summary.warnings:
            warn(report.reading.EXACT, RuntimeWarning)
        return numerics.frames.made_frame(
            {name: [value] for name, value in summary.statistics.items()}, summary.frame_library
        )

    def augment(self, X: ArrayLike, *, X_error: ArrayLike | None = None) -> Any:
        """Return the rows as a data frame, with a label, a density and a p-value for each row.

        Parameters
        ----------
        X : (n_samples, n_features), an array or a data frame in memory, which may have columns that are not features.
        X_error : measurement errors of X, as in `fit`.

        Returns
        -------
        frame : all columns of X, in the library of X or, if X is an array, in the same library as in `tidy`. Columns
            are added: "component" (as in `predict`), "uncertainty" (1 minus the largest responsibility), "log_density"
            (nats) and "p_value". The p-value is the probability that a draw from the mixture, without its noise, has a
            lower density than the row, and is NaN with `X_error` or missing values. If more than a few rows lie where
            the mixture has no mass, for example because of other units, a RuntimeWarning is issued.

        Raises
        ------
        NotFittedError : before `fit`.
        ValueError : X can't be used, or already has a column with one of these names.
        TypeError : X can't be used, or is not in memory.
        """
        source, frame = self._rows_of_table(X, X_error)
        return report.reading.augmented(self._labelling, source, self._engine(source), frame, self)

    def explain(self, X: ArrayLike, *, X_error: ArrayLike | None = None) -> Explanation:
        """Explain why each row belongs to its component, and which features make the row unlikely.

        Parameters
        ----------
        X : (n_samples, n_features), an array or a data frame in memory. Pass only some rows, because `explain` takes
            longer than `predict`. The data frame may have columns that are not features. Missing values are ignored.
        X_error : measurement errors of X, as in `fit`; they widen the components.

        Returns
        -------
        explanation : an object to print or to convert by `to_frame()`. For each row it has the two most probable
            components, and the log ratio of their probabilities with its terms. It also has the squared Mahalanobis
            distance with the contributions of the features, which add up to it (Garthwaite & Koch 2016).

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
        return report.reading.make_explanation(self._labelling, source, self._engine(source), frame)

    def sample(self, n_samples: int = 1) -> tuple[Array, NDArray[np.int64]]:
        """Draw rows from the mixture, in random order.

        Parameters
        ----------
        n_samples : number of rows, at least 1.

        Returns
        -------
        X : (n_samples, n_features), data units.
        y : (n_samples,), the component that each row was drawn from.

        Raises
        ------
        NotFittedError : before `fit`.
        ValueError, TypeError : n_samples is not an integer of at least 1.
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
        estimator : an estimator that predicts, scores and samples as this one does. The parameters that both libraries
            have, attributes such as `n_iter_` and the feature names are copied. If scikit-learn does not have the
            structure, the simplest of its four structures that can represent the covariances is used.

        Raises
        ------
        NotFittedError : before `fit`.
        ValueError : the mixture has noise, which scikit-learn does not support.
        SingularCovarianceError : a covariance is not positive definite.

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
        return estimators.conversion.to_sklearn(self, self.mixture_)

    def _source(self, X: RowsLike, sample_weight: ArrayLike | None = None, X_error: ArrayLike | None = None) -> Source:
        source = super()._source(X, sample_weight, X_error)
        noise = self.mixture_.noise if source.may_miss else None
        if noise is not None and noise.bounds is None:
            if source.collect(Cells).n_missing.any():
                raise ValueError(f"X has missing cells, and {NO_MARGINAL}. Fit with a box as the volume of noise.")
            source = source.without_states()
            source.may_miss = False  # The file has been read and has no missing values.
        return source

    @property
    def _labelling(self) -> Mixture:
        """The mixture whose responsibilities label rows."""
        return self.mixture_

    def _exported(self) -> tuple[Mixture, None]:
        """Return the mixture that exports write, and None in place of an outlier threshold; raises NotFittedError."""
        self._check_fitted()
        return self.mixture_, None

    def _rows_of_table(self, X: ArrayLike, X_error: ArrayLike | None) -> tuple[Source, numerics.frames.Frame | None]:
        """Check X; return its rows and, if X is a data frame, the frame with all its columns."""
        frame, names = numerics.frames.Frame.from_table(X), self._names
        return self._source(X if frame is None or names is None else frame.only(names), X_error=X_error), frame

    def _per_row(self, source: Source, method: Callable[..., Any], dtype: Any, shape: tuple[int, ...] = ()) -> Any:
        """Return the values of a method of an engine for each row, in the type of array of the rows."""
        return source.per_row(partial(method, parameters=self.mixture_.parameters), dtype, shape)

    def _log_likelihood(self, source: Source) -> tuple[float, float]:
        """Return Σ s log p(x), nats, and the total weight."""
        log_likelihood, total = source.sum_of(partial(sum_log_density, density=self._density(source)))
        return log_likelihood, total


def sum_log_density(leaf: Block, density: Callable[[Block], Array]) -> Sums:
    """Return Σ s log p(x), nats, and Σ s for a block of rows; `density` computes log p."""
    values = density(leaf)
    with np.errstate(over="ignore"):  # The sum may be −∞.
        return Sums((float((values if leaf.row_weight is None else values * leaf.row_weight).sum()), leaf.total_weight))


def _is_above_cutoff(block: Block, parameters: Parameters, engine: Engine[Any], cutoff: float) -> NDArray[np.bool_]:
    """Return which rows have a log density of at least `cutoff`."""
    return in_leaves(block, partial(engine.log_density, parameters=parameters)) >= cutoff


def _responsibilities(block: Block, parameters: Parameters, engine: Engine[Any]) -> NDArray[np.floating[Any]]:
    """Return the responsibilities of a block, in the type of its rows."""
    return engine.responsibilities(block, parameters).astype(block.rows.dtype, copy=False)
