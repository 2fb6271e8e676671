"""`GaussianMixtureClassifier`: a classifier that fits a mixture to each class and applies Bayes' rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from time import perf_counter
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix._src.checks import check_fraction
from gaussmix._src.em.objective.stopping import StopRule
from gaussmix._src.em.objective.trace import EMState
from gaussmix._src.errors import SingularCovarianceError, about, counted, warn
from gaussmix._src.estimators.base import unchanged_on_failure
from gaussmix._src.estimators.docs import documented
from gaussmix._src.estimators.predictor import Counts, MixturePredictor
from gaussmix._src.estimators.sklearn_bases import ClassifierMixin
from gaussmix._src.families.base import FAMILIES, is_separate
from gaussmix._src.fit.after.diagnostics import SingularColumns, diagnose_components, find_ridge_columns
from gaussmix._src.fit.classes import ClassFit, LabelledRows, count_classes
from gaussmix._src.fit.fit import find_certificate
from gaussmix._src.fit.fitted import BestRun, Diagnosis, FitResult, Outcome, RowSummary
from gaussmix._src.fit.options.table import find_options
from gaussmix._src.fit.plan import Plan
from gaussmix._src.fit.problem import Problem, TrainingData
from gaussmix._src.formats.record import Damaged
from gaussmix._src.formats.values import Reader, array_reader, instance
from gaussmix._src.mixture.class_mixtures import ClassMixtures
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.mixture.words import shorten, weight_text
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.report.messages import constant_sentence, warn_about_run, warn_of_ridge
from gaussmix._src.report.summary import Summary
from gaussmix._src.sources.base import Source
from gaussmix._src.sources.labels import labelled
from gaussmix._src.validation import parameters, targets
from gaussmix._src.validation.labels import Column, take_column
from gaussmix._src.validation.rows import RowsLike, check_source, scale_fractional_weights

_MAX_SHOWN_CLASSES = 10  # number of classes that a summary shows


@documented
@dataclass(eq=False, repr=False, kw_only=True)
class GaussianMixtureClassifier(ClassifierMixin, MixturePredictor):
    """Classifier that applies Bayes' rule, p(c | x) ∝ π_c p(x | c), to a fitted density p(x | c) of each class.

    Parameters
    ----------
    n_components : int, sequence of int or None, default None
        Number of components of each class. With ``n_components=None``, each class has one component, and the covariance
        structure defines what classes share (mclust's EDDA): the classifier is quadratic discriminant analysis for
        "full", linear discriminant analysis for "tied", and Gaussian naive Bayes for "diag". If `n_components` is a
        number, each class has a mixture of `n_components` components, and the structure defines what the components of
        a class share (mclust's MclustDA). Classes then share no covariance, even with "tied" and 1 component. If you
        pass several numbers of components, BIC chooses one of them for each class.
    covariance_type : str, structure or list of these, default "full"
        Covariance structure, as in `GaussianMixture`. If you pass a list of structures or "all", BIC chooses one
        structure for all classes if `n_components` is None, and otherwise one structure for each class.
    priors : (n_classes,), default None
        Prior probabilities of the classes, above 0, in the order of `classes_`. By default, `priors` are the
        proportions of the classes in the training rows. Set `priors` if the class proportions differ in new data, or to
        give all classes equal weight.
    reject_below : float, default 0
        Threshold for p-values (see `density_p_value`). If the p-values of a row are below `reject_below` in all
        classes, `predict` rejects the row: it returns the label -1, or "unknown" if the classes are text.
    <Parameters of MixturePredictor>

    Attributes
    ----------
    classes_ : (n_classes,), the labels of the classes, sorted.
    class_prior_ : (n_classes,), prior probabilities of the classes.
    class_count_ : (n_classes,), total weight of the rows that are known to be in each class.
    mixture_ : Mixture
        The distribution p(x) of the rows of all classes together, in float64. If the structures in `covariance_type_`
        differ, or if components of a class share covariance parameters, the structure of `mixture_` is "spherical",
        "diag" or "full", so that `mixture_.n_parameters` may be larger than `n_parameters_`.
    n_components_ : int
        Number of components of `mixture_`.
    component_class_ : (n_components,), the class of each component of `mixture_`, as an index into `classes_`.
    covariance_type_ : (n_classes,), the name of each class's covariance structure, or its repr if it has options.
    log_likelihood_ : float
        Σ log p(x, c) over rows of known class, plus Σ log p(x) over rows of unknown class, in nats.
    n_parameters_ : int
        Number of free parameters, including the probabilities of the classes.
    n_iter_ : int
        Largest number of EM steps of any class; 1 if no iteration is needed because all classes are known.
    outcome_ : same as in `GaussianMixture`; it exists only if EM was run for all classes together.
    bic_ : float
        −2 log L + p log Σw for likelihood L, p parameters and row weights w, including rows without any observed
        value; lower is better, unlike in mclust.
    n_features_in_, feature_names_in_ : as in scikit-learn.

    Notes
    -----
    With one component per class, no initialisation is needed, all structures in `covariance_type` are fitted even if
    `max_time` is reached, and EM is run only if the class of some rows is unknown.

    In `fit`, the value -1 or a missing value (None, NaN, pandas.NA, null) in y means that the class of a row is
    unknown, so EM divides the row among the classes. The strings "-1" and "nan" also mean unknown, because
    NumPy converts -1 and NaN to these strings if an array also contains text. If y contains only one value besides -1,
    -1 is itself a class.

    References
    ----------
    Bensmail & Celeux (1996), JASA 91, 1743–1748 (EDDA); Hastie & Tibshirani (1996), JRSS B 58, 155–176; Fraley &
    Raftery (2002), JASA 97, 611–631 (MclustDA).

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import GaussianMixtureClassifier
    >>> X = np.array([[0.0, 1], [1, 0], [1, 2], [0, 0], [7, 8], [8, 7], [9, 9], [7, 9]])
    >>> y = ["small"] * 4 + ["large"] * 4
    >>> classifier = GaussianMixtureClassifier(covariance_type="tied", reject_below=1e-6).fit(X, y)
    >>> classifier.predict([[1, 1], [8, 8], [50, -50]])
    array(['small', 'large', 'unknown'], dtype='<U7')
    """

    n_components: Counts | None = field(default=None, kw_only=False)
    priors: ArrayLike | None = None
    reject_below: float = 0.0

    classes_: NDArray[Any] = field(init=False)
    """Labels of the classes (n_classes,), sorted."""
    component_class_: NDArray[np.intp] = field(init=False)
    """Class of each component as an index into `classes_`, (n_components,)."""
    covariance_type_: NDArray[np.str_] = field(init=False)
    """Covariance structure of each class, (n_classes,)."""
    log_likelihood_: float = field(init=False)
    """Log-likelihood of the training rows together with their classes, in nats."""
    bic_: float = field(init=False)
    """Bayesian information criterion of the whole classifier; lower is better."""
    class_count_: Array = field(init=False)
    """Total weight of the training rows of each class, (n_classes,)."""

    _attributes: ClassVar[Mapping[str, Reader]] = {
        "classes_": array_reader("iufbU"),
        "component_class_": array_reader("i"),
        "covariance_type_": array_reader("U"),
        "log_likelihood_": instance(float),
        "class_count_": array_reader("f"),
        "bic_": instance(float),
    }

    @property
    def class_prior_(self) -> Array:
        """Prior probabilities of the classes, (n_classes,), in the order of `classes_`."""
        return self._classes.prior

    def fit(self, X: RowsLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit a mixture to each class.

        Parameters
        ----------
        X : (n_samples, n_features), numbers in data units, with NaN or null for missing values. X is an array, a data
            frame, or a source from `gaussmix.open`, whose rows need not fit into memory.
        y : (n_samples,), classes as numbers or text; -1 or a missing value if the class of a row is unknown. You can
            also pass the name of a column of X that contains the classes, which are read together with X. If
            X does not fit into memory, the column of classes must be numeric.
        sample_weight : (n_samples,), weights ≥ 0. By default, weights are frequencies: a row of weight 2 counts as two
            rows (see `weight_type`). If frequencies sum to less than 2, they are scaled so that their sum is the number
            of rows, because `bic_` needs the number of rows.

        Returns
        -------
        self : the fitted estimator.

        Raises
        ------
        ValueError : if a parameter or the data is invalid, or a class has too few rows.
        TypeError : if a parameter or the data has the wrong type.

        Warns
        -----
        ConvergenceWarning, RuntimeWarning : for the same reasons as in `GaussianMixture`; the message names the class.
            With one component per class, `fit` also warns if a class has fewer than n_features + 1 distinct rows, or
            nearly constant values in a column.
        """
        began = perf_counter()
        with unchanged_on_failure(self), ExitStack() as stack:
            check = partial(check_source, self, sample_weight=sample_weight, reset=True, may_miss=True)
            rows, source = _label_rows(X, y, self._learn_classes, check)
            source = scale_fractional_weights(source, self.weight_type, is_silent=not self._is_choice)
            options = find_options(self, {})
            for option in options:
                stack.enter_context(option)
            known = LabelledRows(TrainingData(source), len(self.classes_), self._engine(source), options)
            targets.check_mass(known.class_weights, self.classes_)
            self._check_parameters(source.n_features, is_complete=known.is_fully_labelled)
            stopping = StopRule(parameters.check_tol(self.tol) or 0.0, parameters.CHECKS["max_iter"](self.max_iter))
            if self.n_components is None:
                best = self._one_component_each(known, stopping)
            else:
                best = self._several_components_each(known, stopping, began)
            self._publish_classes(best, known, RowSummary.from_source(source, rows, None, began))
            if best.em_fit is not None:
                warn_about_run(best.em_fit.final_state, known.data, self._names)
        return self

    def predict(self, X: RowsLike) -> NDArray[Any]:
        """Return the most probable class of each row, (n_samples,); a rejected row gets -1 or "unknown".

        For rows with missing values, the observed values are used. `reject_below` defines which rows are rejected.

        <raises>
        """
        source = self._source(X)
        task = self._labels(source)
        return source.per_row(task, task.keywords["names"].dtype)

    def predict_proba(self, X: RowsLike) -> NDArray[np.floating[Any]]:
        """Return the class probabilities p(c | x), (n_samples, n_classes). Errors are the same as in `predict`."""
        source = self._source(X)
        return self._for_each_class(source, ClassMixtures.probability, engine=self._engine(source))

    def predict_log_proba(self, X: RowsLike) -> Array:
        """Return log p(c | x), (n_samples, n_classes), in nats, which is finite even if p(c | x) underflows.

        Errors are the same as in `predict`.
        """
        source = self._source(X)
        return self._for_each_class(source, ClassMixtures.log_probability, engine=self._engine(source))

    def density_p_value(self, X: RowsLike) -> Array:
        """Return the p-value of each row in each class, (n_samples, n_classes).

        A p-value is the probability that a random draw from the class has a lower density than the row; see
        `Mixture.density_p_value`. Errors are the same as in `predict`.
        """
        return self._for_each_class(self._source(X), ClassMixtures.density_p_value)

    def score(self, X: RowsLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the accuracy: the weighted fraction of rows whose class `predict` returns.

        Rows whose class is unknown (y is -1 or missing) are left out. If `reject_below` is above 0, a row with y = -1
        is not left out, but counts as correct if `predict` rejects the row. As in `fit`, y may be the name of a column
        of X. Errors are the same as in `predict`. In addition, ValueError is raised if no row has a known class.
        """
        self._check_fitted()
        names, level = self._check_rejection()
        encode = partial(targets.encode_labels, classes=names, has_unknown=level > 0)
        _, source = _label_rows(X, y, encode, partial(self._source, sample_weight=sample_weight))
        right = partial(self._labels(source), names=np.arange(len(names)))
        wrong_and_right, _ = source.sum_of(partial(count_classes, n_classes=2, labels=right))
        if not wrong_and_right.sum():
            raise ValueError("Every row whose class is known from y has sample_weight 0.")
        return float(wrong_and_right[1] / wrong_and_right.sum())

    def class_mixture(self, label: Any) -> Mixture:
        """Return the mixture p(x | c) of a class, with the covariance structure of `mixture_`.

        Parameters
        ----------
        label : label of the class, a value in `classes_`.

        Raises
        ------
        NotFittedError : if the classifier is not fitted.
        ValueError : if `label` is not in `classes_`.
        """
        self._check_fitted()
        classes = self.classes_.tolist()
        if np.ndim(label) or label not in classes:
            raise ValueError(f"{label!r} is not one of the classes {', '.join(map(repr, classes))}.")
        return self._classes.each[classes.index(label)]

    def _check_parameters(self, n_features: int, *, is_complete: bool) -> None:
        """Raise ValueError for parameters that are invalid or can't be combined."""
        self._check_rejection()
        if self.priors is not None:
            targets.check_priors(self.priors, self.classes_, is_complete=is_complete)
        if self.n_components is not None:  # these checks come first, because an error in a fit would name a class
            parameters.check_counts(self.n_components)
            for name in ("n_init", "init_params"):
                parameters.CHECKS[name](getattr(self, name))
        if is_complete or self.n_components is None:
            return
        if self._is_choice or not is_separate(parameters.check_family(self), n_features):
            free = ", ".join(repr(name) for name in sorted(FAMILIES) if is_separate(FAMILIES[name], n_features))
            raise ValueError(
                "Some rows have no class (y is -1 or missing), so set a single n_components and a covariance_type "
                f"without shared parameters ({free}), or n_components=None."
            )

    def _one_component_each(self, known: LabelledRows, stopping: StopRule) -> ClassFit:
        """Fit one component for each class; BIC chooses among the structures in `covariance_type`."""
        n_features = known.data.raw_source.n_features
        families = parameters.check_families(self, n_features)
        for sentence in parameters.one_feature_notes(self.covariance_type, n_features):
            warn(sentence)
        ridge = parameters.check_ridge(self._chosen_reg_covar, families)
        try:
            fit = known.fit_one_component_each(families, ridge, stopping)
        except SingularCovarianceError as error:
            classes = ", ".join(repr(self.classes_.tolist()[index]) for index in error.components)
            causes = SingularColumns.find(known.data.raw_source, families).describe(self._names)
            if causes:
                raise ValueError(f"The covariance of class {classes} is singular. {causes}") from None
            raise ValueError(
                f"Too few distinct rows for the covariance of class {classes}: drop columns that are constant or "
                "depend on others, choose a covariance_type that classes share, such as 'tied', or raise reg_covar."
            ) from None
        if ridge is None:
            model = fit.classes.mixture._model
            assert fit.problem is not None, "`fit_one_component_each` fits all classes jointly"
            constant = find_ridge_columns(model, fit.problem.data.default_ridge, known.data.raw_source)
            warn(constant_sentence(model, constant, self._names))
        return fit

    def _several_components_each(self, known: LabelledRows, stopping: StopRule, began: float) -> ClassFit:
        fits = []
        for index, label in enumerate(self.classes_.tolist()):
            class_rows: Any = known.class_rows(index)
            with about(f"Class {label!r}", partial(known.class_indices, index)):
                one = self._mixture_estimator(self._names)
                one.set_params(check_maximum=False)  # The mixtures of all classes are checked together, later.
                if self.max_time is not None:  # The fit of a class may use only the remaining time.
                    one.set_params(max_time=max(0.0, self.max_time - (perf_counter() - began)))
                fits.append(one.fit(class_rows))
        mixtures, n_steps = [fit.mixture_ for fit in fits], max(fit.n_iter_ for fit in fits)
        families = [mixture.family for mixture in mixtures]
        ridge = parameters.check_ridge(self._chosen_reg_covar, families)
        return known.fit_several_components_each(mixtures, n_steps, ridge, stopping)

    def _labels(self, source: Source) -> partial[NDArray[Any]]:
        """Return a function that labels each row of a block with its most probable class."""
        names, level = self._check_rejection()
        return partial(self._classes.labels, engine=self._engine(source), names=names, level=level)

    def _check_rejection(self) -> tuple[NDArray[Any], float]:
        """Check `reject_below`; return the labels that `predict` may return, and `reject_below`.

        The labels are the classes and, if `reject_below` is above 0, the label of rejected rows.
        """
        names, level = self.classes_, check_fraction("reject_below", self.reject_below)
        if level:
            names = np.append(names, np.where([True], targets.no_class(names), names[:1]))
        return names, level

    def _learn_classes(self, y: ArrayLike | None, n_rows: int) -> NDArray[np.int32]:
        """Set `classes_`, and return the class of each row in y; see `check_classes`."""
        self.classes_, codes = targets.check_classes(y, n_rows)
        return codes

    def _for_each_class(self, source: Source, method: Callable[..., Array], **options: Any) -> Array:
        """Call a method of `ClassMixtures` on the rows, and return its values, (n_samples, n_classes)."""
        return source.per_row(partial(method, self._classes, **options), np.float64, (len(self.classes_),))

    def _publish_classes(self, best: ClassFit, known: LabelledRows, row_summary: RowSummary) -> None:
        """Set the fitted attributes from the best fit."""
        total = known.data.raw_source.row_totals.total_weight
        if self.priors is not None:
            best = best.with_prior(parameters.check_floats("priors", self.priors), total)
        self.component_class_ = best.classes.component_class
        self.covariance_type_ = np.array([str(parameters.shown(each)) for each in best.structures])
        self.log_likelihood_, self.bic_ = best.log_likelihood, best.bic(total)
        self.class_count_ = known.class_weights
        mixture = best.classes.mixture.with_feature_names(self._names)
        on_ridge = [] if best.problem is None else self._warn_of_ridge(best.classes, best.problem)
        outcome = None if best.em_fit is None else _make_outcome(*best.em_fit, self._names)
        outcome = None if outcome is None else replace(outcome, diagnostics=[*outcome.diagnostics, *on_ridge])
        n_fixed, dtype = mixture.n_parameters - best.n_parameters, known.data.raw_source.dtype
        what = mixture._model, mixture.feature_names, dtype, n_fixed
        self._fitted = FitResult(*what, n_iter=best.n_steps, outcome=outcome, row_summary=row_summary)
        self._classes = ClassMixtures(mixture, self.component_class_)

    def _warn_of_ridge(self, classes: ClassMixtures, problem: Problem) -> list[Diagnosis]:
        """Return the components that only `reg_covar` keeps from collapsing; issue a warning with their classes."""
        model, labels = classes.mixture._model, self.classes_[classes.component_class].tolist()
        each = "class {1!r}" if self.n_components is None else "component {0} of class {1!r}"
        names = [each.format(*named) for named in enumerate(labels)]
        constant = find_ridge_columns(model, problem.objective.ridge, problem.data.raw_source)
        return warn_of_ridge(problem, model, constant, self._names, names)

    def _add_prediction(self, summary: Summary) -> Summary:
        columns, structures, n_classes = dict(summary.components), self.covariance_type_.tolist(), len(self.classes_)
        first = {"component": columns.pop("component"), "class": self.classes_[self.component_class_]}
        if self.priors is not None:  # `priors` replace the proportions of the classes.
            within = self.mixture_.weights / self.class_prior_[self.component_class_]
            columns["size"] = self.class_count_[self.component_class_] * within
        structure = structures[0] if len(set(structures)) == 1 else "several structures"
        size = f"{n_classes} classes, {counted(self.mixture_.n_components, 'component')}, {structure}"
        changed = {"structure": structure, "log_likelihood": self.log_likelihood_, "bic": self.bic_, "is_final": True}
        lines = [self._class_line(index) for index in range(min(n_classes, _MAX_SHOWN_CLASSES))]
        lines += [("…", f"{n_classes - _MAX_SHOWN_CLASSES} classes more")] if n_classes > _MAX_SHOWN_CLASSES else []
        title, statistics = f"{type(self).__name__}: {size}", {**summary.statistics, **changed}
        return replace(summary, title=title, statistics=statistics, components=first | columns, extra_lines=lines)

    def _class_line(self, index: int) -> tuple[str, str]:
        """Return the heading and the text of the line that describes a class in the summary."""
        n_components = int(np.count_nonzero(self.component_class_ == index))
        parts = [f"weight {weight_text(self.class_prior_[index])}", counted(n_components, "component")]
        parts.append(str(self.covariance_type_[index]))
        rows = self._fitted.row_summary
        is_complete = rows is None or self.class_count_.sum() >= rows.row_weight * (1 - 1e-9)
        noun = "row" if self.class_count_[index] == 1 else "rows"
        parts.append(f"{self.class_count_[index]:,.10g} {'' if is_complete else 'labelled '}{noun}")
        return f"class {shorten(str(self.classes_[index]))}", ", ".join(parts)

    def _restore_attributes(self, own: Mapping[str, Any]) -> None:
        super()._restore_attributes(own)
        n_classes, class_index, mixture = len(self.classes_), self.component_class_, self.mixture_
        if n_classes < 2 or len(set(self.classes_.tolist())) < n_classes:
            raise Damaged("the file's 'classes_' must be at least two different classes")
        if len(class_index) != mixture.n_components or sorted(set(class_index.tolist())) != list(range(n_classes)):
            raise Damaged("the file's 'component_class_' must have a class for each component")
        if (np.diff(class_index) < 0).any() or not np.bincount(class_index, mixture.weights).all():
            raise Damaged("the components must be sorted by class, and each class must have a positive weight")
        for name in ("covariance_type_", "class_count_"):
            if len(own[name]) != n_classes:
                raise Damaged(f"the file's {name!r} must have one value for each class")
        self._classes = ClassMixtures(mixture, class_index)


def _label_rows(
    X: Any, y: Any, encode: Callable[[Any, int], NDArray[np.int32]], check: Callable[[Any], Source]
) -> tuple[Any, Source]:
    """Return X, and a source of its rows with the classes in y, which may be the name of a column of X.

    `check` converts X to a source. `encode(classes, n)` converts n classes to integers. In the returned X,
    the column of classes is not a feature.
    """
    if isinstance(y, str):
        X, y = take_column(X, y, "y", may_miss=True)
    if isinstance(y, Column):
        X = labelled(X, y.position, y.values.astype(np.float64), encode(y.values, len(y.values)))
        return X, check(X)
    source = check(X)
    return X, source.with_assignment(encode(y, source.n_rows))


def _make_outcome(run: EMState, problem: Problem, plan: Plan, names: Sequence[str] | None) -> Outcome:
    """Return the outcome of EM for all classes together."""
    certificate = find_certificate(problem, run, [run.trace], is_requested=plan.check_maximum)
    outcome = Outcome._from_run(BestRun(run, [run.trace], problem), plan.stopping, None, certificate)
    return replace(outcome, diagnostics=diagnose_components(run, names))
