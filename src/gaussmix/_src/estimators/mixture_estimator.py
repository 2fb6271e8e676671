"""The methods of an estimator that is a mixture: it labels, scores and draws rows."""

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
    """An estimator that is its mixture: it labels, scores and draws rows."""

    missing: Literal["allow", "error"] = "allow"
    callbacks: Sequence[Callback] | None = None

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

    def fit(
        self,
        X: ArrayLike,
        y: object = None,
        sample_weight: ArrayLike | None = None,
        *,
        labels: ArrayLike | None = None,
        X_error: ArrayLike | None = None,
    ) -> Self:
        """Fit the mixture; of several candidates fit each, and become the best.

        Parameters
        ----------
        <rows>
        labels : what is known of the components of rows; None if nothing is. (n_samples,): the number of its component,
            −1 or None if it is not known (see `label_components`). A table (n_samples, n_components): True where a
            component is possible; or numbers ≥ 0, prior responsibilities; only the ratios within a row count. Or the
            name of a column of X that has the labels and is then no feature: numbers if X does not fit into memory.
        <error>

        Returns
        -------
        self : the fitted estimator.

        Raises
        ------
        ValueError : a parameter or the data can't be used, no start has positive definite covariances, or the prior is
            not positive definite. If no candidate could be fitted, the message counts why. Or `checkpoint` is damaged,
            or of another fit.
        TypeError : a parameter or the data is of the wrong type.
        OSError : the file `checkpoint` can't be read, or there is no such folder.

        Warns
        -----
        ConvergenceWarning : `max_iter` steps or `max_time` seconds were not enough, or some starts had no time left.
        ConvergenceWarning and RuntimeWarning : a component lost its mass or collapsed and was frozen, or X has fewer
            distinct rows than components.
        SearchWarning : candidates failed, and that may have changed the choice: how many, why, which columns are
            constant, have two values or follow from others, and what to do. Or some were not begun when `max_time` was
            over. It is a RuntimeWarning.
        RuntimeWarning : a component has a covariance so nearly singular that rounding changes log densities by more
            than 1e-6; or X has a constant column, whose variance would be the automatic ridge alone; or one feature,
            for which the structure is mclust's "E" or "V"; or several candidates are compared and `sample_weight` sums
            to less than two rows; or `checkpoint` can't be written, and the fit goes on without; or y, which is
            ignored, has known and unknown labels, as for `labels`.
        """
        with start_fit(self, X, y, sample_weight, labels, X_error) as (X, options):
            self._find(X, sample_weight, options)
        return self

    @abstractmethod
    def _find(self, X: RowsLike, sample_weight: ArrayLike | None, options: FitOptions) -> Any:
        """Fit with the features, and become what was found."""

    def _finish(self, fitted: FitResult, options: FitOptions, problem: Problem, run: EMState, X: object) -> None:
        """Become what a fit found; `labels_` finds its rows in memory while somebody else keeps them."""
        for option in options:
            fitted = option.adapt_result(fitted, problem, run)
        self._fitted, source = fitted, problem.data.raw_source
        if source.has_errors:
            self._rows = "predict does not know X_error"
        elif fitted.cutoff is not None:
            self._rows = "predict does not know which of them trim left out"
        elif not (isinstance(source, ArraySource) or source.is_on_device):
            self._rows = "these were in a file or on a cluster"
        else:
            self._rows = "these were no array or data frame"
            with suppress(TypeError):  # a list has no weak references
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
        """Fit and label the rows, (n_samples,): `fit(X).predict(X)`, and −1 for rows that `trim` left out.

        Parameters and errors are those of `fit`. As in `predict`, known labels do not decide for their own rows.
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
        """The most probable component of each row, (n_samples,); the first of equals, and −1 for noise.

        Parameters
        ----------
        X : (n_samples, n_features), data units. Missing cells (NaN) say nothing: rows of them get that of most weight.
        X_error : measurement errors of X, as for `fit`.

        Raises
        ------
        NotFittedError : before `fit`.
        ValueError, TypeError : X is not numbers of shape (n_samples, n_features).
        """
        source = self._source(X, X_error=X_error)
        return self._per_row(source, self._engine(source).labels, np.int64)

    def predict_proba(self, X: ArrayLike, *, X_error: ArrayLike | None = None) -> NDArray[np.floating[Any]]:
        """Responsibilities p(k | x), Bishop (2006) eq. 9.13: (n_samples, n_components).

        Rows sum to 1, less p(noise | x) where there is noise. Those of a row without any value are the weights.

        Parameters and errors as for `predict`, and ValueError for an array above 4 GB. Of thousands of components take
        `mixture_.responsibilities(X, sparse=True)`.
        """
        source = self._source(X, X_error=X_error)
        if not source.is_lazy:
            instead = "take predict(X), mixture_.responsibilities(X, sparse=True), or some of the rows at a time"
            check_size(source.n_rows, self.mixture_.n_components, instead)
        method = partial(_responsibilities, engine=self._engine(source))
        return self._per_row(source, method, source.dtype, (self.mixture_.n_components,))

    def score_samples(self, X: ArrayLike, *, X_error: ArrayLike | None = None) -> NDArray[np.floating[Any]]:
        """log p(x) of each row, (n_samples,), nats: of what is observed of it, errors included.

        Parameters and errors as for `predict`.
        """
        source = self._source(X, X_error=X_error)
        values = source.per_row(self._density(source), np.float64, ())
        return narrowed(values, source.dtype) if isinstance(values, np.ndarray) else values

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
        """Mean of log p(x) per unit of weight, nats. Parameters and errors as for `predict`."""
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
        from gaussmix._src.mixture.compare.merging import merge_by_sums

        source = self._source(X, sample_weight, X_error)
        own = self._labelling
        assign = partial(self._engine(source).responsibilities, parameters=own.parameters)
        return merge_by_sums(own, assign, source.sum_of, min_overlap)

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
            overlaps most with: ∫ √(N_i N_j), from 0, apart, to 1, equal. Thousands of components are not compared.

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
        """The components as a data frame: a row for each, and one for noise, component −1.

        Parameters
        ----------
        estimates : what `inference`, `bootstrap` or `posterior_.estimates` found: weights and means get their standard
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
        ValueError : `estimates` is about a mixture of another size, or more than 3 standard errors away.
        TypeError : `estimates` is something else.
        """
        summary = self.summary()
        if estimates is not None:
            if not isinstance(estimates, report.inference.MixtureEstimates):
                what = type(estimates).__name__
                raise ParameterTypeError(
                    f"estimates must be what inference, bootstrap or posterior_ found of all parameters, not {what}."
                )
            more = report.inference.interval_columns(estimates, self._fit_facts().mixture)
            summary = replace(summary, components={**summary.components, **more})
        return summary.to_frame()

    def glance(
        self, X: ArrayLike | None = None, sample_weight: ArrayLike | None = None, *, X_error: ArrayLike | None = None
    ) -> Any:
        """The fit as a whole, as a data frame of one row; parameters, library and errors as `summary` and `tidy`.

        Returns
        -------
        frame : "n_rows", "n_features", "n_missing" (cells), "n_components", "structure", "n_parameters",
            "log_likelihood" (nats, a total), "bic", "icl" (null where unknown), "is_final" (False where they are those
            before the last step), "converged", "n_iter", "stopped", "certificate" (a sentence), "is_maximum",
            "remaining_gain" (nats per row) and "label_change_fraction" as in `outcome_`, "n_starts",
            "n_starts_at_best", "n_moves_tried", "n_moves_accepted", "search_gain" and "seconds".

        Warns
        -----
        RuntimeWarning : the fit had `X_error`, and there is none here.
        """
        summary = self.summary(X, sample_weight, X_error=X_error)
        if report.reading.EXACT in summary.warnings:
            warn(report.reading.EXACT, RuntimeWarning)
        return numerics.frames.made_frame(
            {name: [value] for name, value in summary.statistics.items()}, summary.frame_library
        )

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
            "uncertainty", 1 less the largest responsibility, "log_density", nats, and "p_value", the share of the
            mixture's mass that is less probable, without its noise; NaN with `X_error` or where cells are missing.
            If more than a few rows lie where there is no mass, as rows in other units do, a RuntimeWarning says so.

        Raises
        ------
        NotFittedError : before `fit`.
        ValueError : X can't be used, or has a column of one of these names.
        TypeError : X can't be used, or is not in memory.
        """
        source, frame = self._rows_of_table(X, X_error)
        return report.reading.augmented(self._labelling, source, self._engine(source), frame, self)

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
        return report.reading.make_explanation(self._labelling, source, self._engine(source), frame)

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
            raise ParameterTypeError(f"Invalid value for 'n_samples': {n_samples!r} is not an integer.")
        if n_samples < 1:
            raise ValueError(f"Invalid value for 'n_samples': {n_samples}. Draw at least one row.")
        mixture.sampling.check_array_size("n_samples", int(n_samples), self.mixture_.n_features)
        X, y = self.mixture_.sample(int(n_samples), self._rng(), n_jobs=check_jobs(self.n_jobs))
        return self._fitted.in_library_of_rows(X), self._fitted.in_library_of_rows(y)

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
        ValueError : the mixture has noise, and mixtures of scikit-learn have none.
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
            source.may_miss = False  # of a file, which was not known to be complete
        return source

    @property
    def _labelling(self) -> Mixture:
        """The mixture whose responsibilities label rows."""
        return self.mixture_

    def _exported(self) -> tuple[Mixture, None]:
        """The mixture that exports write, and no limit of outliers; raises NotFittedError."""
        self._check_fitted()
        return self.mixture_, None

    def _rows_of_table(self, X: ArrayLike, X_error: ArrayLike | None) -> tuple[Source, numerics.frames.Frame | None]:
        """The rows, and the data frame that they came in, which may have more columns than the features."""
        frame, names = numerics.frames.Frame.from_table(X), self._names
        return self._source(X if frame is None or names is None else frame.only(names), X_error=X_error), frame

    def _per_row(self, source: Source, method: Callable[..., Any], dtype: Any, shape: tuple[int, ...] = ()) -> Any:
        """What a method of an engine says of each row, in the kind of array that the rows came in."""
        return source.per_row(partial(method, parameters=self.mixture_.parameters), dtype, shape)

    def _log_likelihood(self, source: Source) -> tuple[float, float]:
        """Σ s log p(x), nats, and the total weight."""
        log_likelihood, total = source.sum_of(partial(sum_log_density, density=self._density(source)))
        return log_likelihood, total


def sum_log_density(leaf: Block, density: Callable[[Block], Array]) -> Sums:
    """Σ s log p(x), nats, and Σ s of a leaf; `density` gives log p."""
    values = density(leaf)
    with np.errstate(over="ignore"):  # −∞
        return Sums((float((values if leaf.row_weight is None else values * leaf.row_weight).sum()), leaf.total_weight))


def _is_above_cutoff(block: Block, parameters: Parameters, engine: Engine[Any], cutoff: float) -> NDArray[np.bool_]:
    """Which rows have at least a log density."""
    return in_leaves(block, partial(engine.log_density, parameters=parameters)) >= cutoff


def _responsibilities(block: Block, parameters: Parameters, engine: Engine[Any]) -> NDArray[np.floating[Any]]:
    """In the type of the rows."""
    return engine.responsibilities(block, parameters).astype(block.rows.dtype, copy=False)
