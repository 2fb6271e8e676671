"""The function `fit_many`, which fits one mixture per group. The C++ core computes most fits in a single call."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from numbers import Integral
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from gaussmix._src.checks import check_count
from gaussmix._src.engines import count_threads
from gaussmix._src.engines.calls import GroupFits
from gaussmix._src.errors import ParameterTypeError, in_table, record_warnings, warn
from gaussmix._src.estimators.bayesian_gaussian_mixture import BayesianGaussianMixture
from gaussmix._src.estimators.gaussian_mixture import GaussianMixture, as_estimator
from gaussmix._src.families.base import Family, check_features
from gaussmix._src.fit.options.base import FitOptions
from gaussmix._src.fit.options.table import find_options
from gaussmix._src.fit.parallel import map_parallel
from gaussmix._src.fit.plan import MIN_RIDGE_FRACTION, Plan
from gaussmix._src.formats.mixtures_file import GROUP_TENSORS
from gaussmix._src.mixture.mixtures import Mixtures
from gaussmix._src.numerics.arrays import Array, Indices
from gaussmix._src.numerics.factorise import MIN_ROUNDING
from gaussmix._src.numerics.threads import limit_threads
from gaussmix._src.report.messages import rounding_sentence
from gaussmix._src.validation.groups import Groups, check_groups, width_sentence
from gaussmix._src.validation.parameters import (
    CHECKS,
    check_counts,
    check_family,
    check_seed,
    check_supported,
    drawn_seed,
)

_MAX_SHOWN_KEYS = 5  # largest number of keys that a warning lists
_PRECISION_WEIGHTS = "weight_type='precision'"
# Options with which the C++ core may fit groups; the estimator fits the groups in which these options have an effect.
_CORE_OPTIONS = {"degenerate='repair'", "degenerate='error'", "check_maximum=False"}


def fit_many(
    groups: Any,
    n_components: int | Sequence[int] = 1,
    *,
    estimator: GaussianMixture | BayesianGaussianMixture | None = None,
    by: Any = None,
    offsets: ArrayLike | None = None,
    sample_weight: Any = None,
    **parameters: Any,
) -> Mixtures:
    """Fit a mixture to each of many groups of rows, such as sensors, cells or customers, in one call.

    Each mixture is bit-identical to ``GaussianMixture(n_components, **parameters).fit(group)`` with the same integer
    `random_state`, for any number of threads. If a group cannot be fitted, the other groups are fitted nevertheless,
    and the key of the group and the reason are stored in `errors` of the result.

    Parameters
    ----------
    groups : list or dict of arrays (n_samples, n_features), array, or data frame
        Rows of the groups. In a dictionary, the keys are the names of the groups; in a list, the groups are named 0, 1,
        … If `groups` is one array, pass `offsets`, and if it is a data frame (pandas, polars or Arrow), pass `by`.
    n_components : int or sequence of int, default 1
        Number of components K of each mixture. If you pass several numbers, such as ``range(1, 6)``, BIC chooses one of
        them for each group, among the fits in which no component would collapse without `reg_covar` (if there are any).
    estimator : GaussianMixture or BayesianGaussianMixture, default None
        Estimator that is cloned and fitted to each group; with `estimator`, pass neither `n_components` nor
        `**parameters`. If the estimator is Bayesian, `lower_bound` of the result contains variational lower bounds.
    by : default None
        Name of the column of the data frame that contains the keys of the groups. The result has the groups in the
        order in which their keys first appear in the column. All columns except `by` are features.
    offsets : array-like of int, (n_groups + 1,), default None
        Bounds of the groups in the array: group i consists of the rows offsets[i] … offsets[i + 1] − 1.
    sample_weight : array-like, default None
        Weights of the rows, ≥ 0: an array or a number if `groups` is an array or data frame, otherwise a list or
        dictionary of arrays with the same keys as `groups`.
    **parameters
        Parameters of `GaussianMixture`, except `warm_start`, `checkpoint`, `verbose`, `callbacks`, `max_time`, `noise`,
        initial parameters, ``degenerate="drop"``, ``check_maximum=True`` and a number as `posterior`. If `random_state`
        is None or a RandomState, one seed is drawn and used for all groups.

    Returns
    -------
    mixtures : Mixtures
        Sequence of the fitted mixtures, with the keys of the groups and the outcome of each fit. ``mixtures["north"]``
        and ``mixtures.get_mixture(key)`` return the `Mixture` of the group with this key, and ``mixtures[i]`` with an
        integer i returns the `Mixture` at index i.

    Raises
    ------
    ValueError : a parameter is not valid, `groups` is empty, or no group is a two-dimensional array or a data frame.
    TypeError : a parameter or `groups` has the wrong type.

    Warns
    -----
    ConvergenceWarning : the fits of some groups did not converge within `max_iter` steps. The message gives the number
        of these groups.
    RuntimeWarning : some groups could not be fitted, or their fits gave other warnings. The message gives the number of
        groups; `errors` and `notes` of the result contain the text for each group. If groups are fitted one at a time,
        `notes` includes warnings from other code, such as a callable `init_params`.

    See Also
    --------
    gaussmix.GaussianMixture : The estimator that fits a mixture to one group.

    Notes
    -----
    The C++ core fits all groups in one call under two conditions: the initialisation is "kmeans", "k-means++" or a
    split-and-merge search, and the covariance structure is not "EVE", "VVE" or "factor_analyzer" and has no
    `max_condition`. Otherwise, the groups are fitted one by one. Unusual groups are also fitted one by one, for example
    a group of over 65,520 rows, a group with a constant column, or a group with a variance below 1,000 times
    `reg_covar`. With a Bayesian estimator, each thread fits one group at a time; if X has one column, the C++ core does
    most of the work.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import fit_many
    >>> rng = np.random.default_rng(0)
    >>> sensors = {name: rng.normal(place, 1.0, size=(200, 2)) for place, name in enumerate(["north", "south", "west"])}
    >>> mixtures = fit_many(sensors, n_components=2, random_state=0)
    >>> len(mixtures), mixtures["south"].means.shape
    (3, (2, 2))
    >>> bool(mixtures.converged.all())
    True
    """
    arguments: dict[str, Any] = {name: parameters.pop(name) for name in ("labels", "X_error") if name in parameters}
    templates = _make_templates(estimator, n_components, parameters)
    options = find_options(templates[0], arguments, "fit_many")
    drawn = drawn_seed(templates[0].random_state)
    if not isinstance(templates[0].random_state, Integral):  # one seed is drawn for all fits
        templates = [template.set_params(random_state=int(drawn[0])) for template in templates]
    checked = check_groups(groups, by, offsets, sample_weight, type(templates[0])())
    calls = [_ManyFits(checked, template, options) for template in templates]
    candidates = [call.fit() for call in calls]
    mixtures = candidates[0]
    if len(calls) > 1:
        criteria = [call.criteria(candidate) for call, candidate in zip(calls, candidates, strict=True)]
        mixtures = _best_by_bic(candidates, *map(np.array, zip(*criteria, strict=True)))
    for sentence, category in _summary_warnings(mixtures):
        warn(sentence, category)
    return mixtures


def _make_templates(
    estimator: GaussianMixture | BayesianGaussianMixture | None, n_components: Any, parameters: dict[str, Any]
) -> Sequence[GaussianMixture | BayesianGaussianMixture]:
    """Return the estimators to clone for each group, one for each number of components.

    Raises ValueError or TypeError for unsupported parameters.
    """
    if hasattr(n_components, "fit"):
        raise ParameterTypeError("The second argument is n_components. Pass the estimator by keyword: estimator=….")
    counts = [1]
    if estimator is None:
        counts = check_counts(n_components)
        template: GaussianMixture | BayesianGaussianMixture = GaussianMixture(counts[0], **parameters)
    elif not isinstance(estimator, GaussianMixture | BayesianGaussianMixture):
        what = f"the class {estimator.__name__}" if isinstance(estimator, type) else type(estimator).__name__
        raise ParameterTypeError(
            f"estimator must be a GaussianMixture or a BayesianGaussianMixture, not {what}. To choose the number "
            "of components of each group, pass several numbers as n_components."
        )
    elif parameters or not isinstance(n_components, Integral) or n_components != 1:
        raise ValueError("fit_many accepts an estimator or parameters, not both: set the parameters on the estimator.")
    else:
        template = clone(estimator)
    is_bayesian, init = isinstance(template, BayesianGaussianMixture), template.init_params
    if not (is_bayesian or isinstance(init, str | list | tuple) or callable(init)):
        raise ValueError("init_params of fit_many must be the name of an initialisation, or a callable.")
    if isinstance(template, GaussianMixture):
        template._checked_parameters()
    return [template, *(clone(template).set_params(n_components=count) for count in counts[1:])]


@dataclass(frozen=True)
class _SingleFit:
    """The result of the fit of one group by an estimator; `estimator` is None if the fit failed."""

    estimator: GaussianMixture | BayesianGaussianMixture | None
    error: str = ""
    notes: tuple[str, ...] = ()


@dataclass(eq=False)
class _ManyFits:
    """The groups, the estimator, and the results so far of one call of `fit_many`."""

    groups: Groups
    template: GaussianMixture | BayesianGaussianMixture
    options: FitOptions
    singles: dict[int, _SingleFit] = field(default_factory=dict)

    def fit(self) -> Mixtures:
        """Fit a mixture to each group."""
        fits = self.fit_in_core()
        is_fitted = np.zeros(len(self.groups.keys), dtype=bool) if fits is None else self.are_completed_in_core(fits)
        self.fit_one_by_one(np.flatnonzero(~is_fitted))
        return self.mixtures(fits, np.flatnonzero(is_fitted))

    def criteria(self, mixtures: Mixtures) -> tuple[Array, NDArray[np.bool_]]:
        """Return the BIC of each group's mixture, (n_groups,), and whether the BIC is reliable.

        BIC is not reliable if a component would collapse without `reg_covar`, because the likelihood then depends on
        `reg_covar`. If a group has no mixture, its BIC is infinite and not reliable.
        """
        bic, is_reliable = np.full(len(mixtures), np.inf), np.zeros(len(mixtures), dtype=bool)
        for index in np.flatnonzero(mixtures.n_components).tolist():
            single: Any = self.singles[index].estimator if index in self.singles else None
            with record_warnings():  # `fit` has given the same warnings
                if single is None:
                    estimator = as_estimator(mixtures[index].with_feature_names(None))
                    estimator.set_params(weight_type=self.template.weight_type)
                    bic[index] = estimator.bic(*self.groups.rows_in_core(index))
                else:
                    bic[index] = single.bic(self.groups.table(index), self.groups.weight(index))
            is_reliable[index] = single is None or not single.outcome_.diagnostics
        return bic, is_reliable

    def fit_in_core(self) -> GroupFits | None:
        """Fit groups in the C++ core; return None if the C++ core does not support the options or the groups."""
        rows = self.groups.rows
        if len(rows):
            warn(check_features(self.template.covariance_type, rows.shape[1]))
        if isinstance(self.template, BayesianGaussianMixture):
            return None
        n_components, family, stopping, ridge, starts = self.template._checked_parameters()
        n_init = CHECKS["n_init"](self.template.n_init)
        engine, init = self.template._engine(), self.template.init_params
        if len(rows):
            check_supported(family, rows.shape[1])
        uses = {name for option in self.options for name in option.used_names} - _CORE_OPTIONS
        if not len(rows) or (uses and not (uses == {_PRECISION_WEIGHTS} and self.groups.row_weight is None)):
            return None
        rng, (groups, indices) = check_seed(self.template.random_state), self.groups.pack_for_core()
        plan = Plan(starts, rng, stopping)
        settings = plan.core_settings(init, family, n_components, rows.shape[1], ridge, n_init)
        if settings is None or not settings.em_settings.max_steps:
            return None
        fits = engine.fit_many(groups, settings)
        return None if fits is None else fits.expand_to_groups(indices, len(self.groups.keys))

    def are_completed_in_core(self, fits: GroupFits) -> NDArray[np.bool_]:
        """Return, for each group, whether the C++ core completed the fit."""
        has_ended: NDArray[np.bool_] = fits.has_converged | (fits.n_steps == self.template.max_iter)
        is_complete = has_ended & (fits.n_steps > 0)
        is_complete[is_complete] = ~self._needs_ridge_check(fits, np.flatnonzero(is_complete))
        return is_complete

    def _needs_ridge_check(self, fits: GroupFits, fitted: Indices) -> NDArray[np.bool_]:
        """Return, for each fit, whether a variance is so small that the estimator checks the effect of `reg_covar`."""
        n_components, n_features = fits.means.shape[1:]
        family, ridge = check_family(self.template), fits.ridge[fitted]
        if not ridge.any():
            return np.zeros(len(fitted), dtype=bool)
        precisions = family.stacked(fits.covariances[fitted], n_components, n_features).ridge_precisions()
        fractions = precisions.reshape(len(fitted), -1, n_features) * ridge[:, None, :]
        needs_check: NDArray[np.bool_] = fractions.max(axis=(1, 2)) > MIN_RIDGE_FRACTION
        return needs_check

    def fit_one_by_one(self, indices: Indices) -> None:
        """Fit groups with the estimator, and record its warnings. Bayesian fits run in several threads."""
        shared_note, threads = None, 1
        if len(self.groups.rows):
            shared_note = check_features(self.template.covariance_type, self.groups.rows.shape[1])
        if isinstance(self.template, BayesianGaussianMixture) and not callable(self.template.init_params):
            threads = count_threads(self.template.n_jobs)

        def fit_group(index: int, should_stop: Callable[[], bool]) -> tuple[int, _SingleFit]:
            return index, self._fit_group(index, shared_note, 1 if threads > 1 else None)

        # The results are sorted, because the threads return them in any order.
        self.singles |= sorted(map_parallel(fit_group, indices.tolist(), threads), key=itemgetter(0))

    def _fit_group(self, index: int, shared_note: str | None, max_threads: int | None) -> _SingleFit:
        """Fit one group, and record all warnings except `shared_note`, a warning that every group would give."""
        refused = self.groups.refused.get(index)
        if refused is not None:
            return _SingleFit(None, refused)
        estimator, rows = clone(self.template), partial(self.groups.indices, index)
        limit = nullcontext() if max_threads is None else limit_threads(max_threads)
        # With several threads the warnings of other code are not recorded, because `catch_warnings` is not thread-safe.
        others = warnings.catch_warnings(record=True) if max_threads is None else nullcontext()
        with record_warnings() as texts, limit, others as caught:
            if caught is not None:
                warnings.simplefilter("always")
            try:
                estimator.fit(self.groups.table(index), sample_weight=self.groups.weight(index))
            except (ValueError, TypeError) as error:
                return _SingleFit(None, in_table(str(error), rows))
        texts += [(str(each.message), each.category) for each in caught or ()]
        sentences = [in_table(text, rows) for text, category in texts if category is not ConvergenceWarning]
        return _SingleFit(estimator, "", tuple(each for each in sentences if each != shared_note))

    def mixtures(self, fits: GroupFits | None, in_core: Indices) -> Mixtures:
        """Return the mixtures of all groups; `in_core` contains the indices of the groups that the C++ core has fitted.

        Raises ValueError if no group could be fitted and the number of features is therefore unknown.
        """
        n_components, family = check_count("n_components", self.template.n_components, 1), check_family(self.template)
        n_groups, n_features = len(self.groups.keys), self._n_features()
        weights = np.full((n_groups, n_components), np.nan)
        means = np.full((n_groups, n_components, n_features), np.nan)
        covariances = np.full((n_groups, *family.shape(n_components, n_features)), np.nan)
        converged, n_iter = np.zeros(n_groups, dtype=bool), np.zeros(n_groups, dtype=np.int64)
        lower_bound, notes, errors = np.full(n_groups, np.nan), dict[Any, Sequence[str]](), dict[Any, str]()
        if fits is not None:
            ends = np.cumsum(np.maximum(fits.n_steps, 0)) - 1
            weights[in_core], means[in_core] = fits.weights[in_core], fits.means[in_core]
            covariances[in_core] = fits.covariances[in_core].reshape(len(in_core), *covariances.shape[1:])
            converged[in_core], n_iter[in_core] = fits.has_converged[in_core], fits.n_steps[in_core]
            lower_bound[in_core] = fits.log_likelihood[ends[in_core]]
            notes |= self._notes(in_core, means, covariances, family)
        for index, single in sorted(self.singles.items()):
            key, estimator = self.groups.keys[index], single.estimator
            if estimator is None:
                errors[key] = single.error
                continue
            if estimator.n_features_in_ != n_features:
                errors[key] = width_sentence(estimator.n_features_in_, n_features)
                continue
            mixture = estimator.mixture_
            weights[index], means[index], covariances[index, ...] = mixture.weights, mixture.means, mixture.covariances
            converged[index], n_iter[index] = estimator.converged_, estimator.n_iter_
            lower_bound[index] = estimator.lower_bound_
            if single.notes:
                notes[key] = single.notes
        return Mixtures(
            self.groups.keys, weights, means, covariances, family, converged, n_iter, lower_bound, errors, notes,
            self.groups.names,
        )  # fmt: skip

    def _n_features(self) -> int:
        """Return the number of features that all groups need; raise ValueError if no group could be fitted."""
        if len(self.groups.rows):
            return int(self.groups.rows.shape[1])
        fitted = [single.estimator for single in self.singles.values() if single.estimator is not None]
        if not fitted:
            raise ValueError(f"No group could be fitted. Group {self.groups.keys[0]!r}: {self.singles[0].error}")
        return fitted[0].n_features_in_

    def _notes(self, in_core: Indices, means: Array, covariances: Array, family: Family) -> dict[Any, Sequence[str]]:
        """Return warnings about nearly singular covariances in fits of the C++ core, in the words of the estimator."""
        if not len(in_core):
            return {}
        error = family.stacked(covariances[in_core], *means.shape[1:]).rounding_error.reshape(len(in_core), -1)
        concerned = in_core[(error > MIN_ROUNDING).any(axis=1)]
        notes: dict[Any, Sequence[str]] = {}
        for index in concerned.tolist():
            own = family.covariances(covariances[index, ...], *means.shape[1:])
            notes[self.groups.keys[index]] = (rounding_sentence(own.rounding_error) or "",)
        return notes


def _best_by_bic(candidates: Sequence[Mixtures], bic: Array, is_reliable: NDArray[np.bool_]) -> Mixtures:
    """Return the mixture of each group with the lowest BIC; if any BIC is reliable, only among the reliable ones.

    `bic` and `is_reliable` (n_candidates, n_groups) are the values of `_ManyFits.criteria`.
    """
    may_win = is_reliable | ~is_reliable.any(axis=0)
    used, best = np.unique(np.where(may_win, bic, np.inf).argmin(axis=0), return_inverse=True)
    candidates = [candidates[index] for index in used]
    first = candidates[0]
    largest = max(each.means.shape[1] for each in candidates)
    of_components = ("weights", "means") if first.family.is_shared else ("weights", "means", "covariances")

    def chosen(name: str) -> Any:
        arrays = [getattr(each, name) for each in candidates]
        if name in of_components:  # components that a candidate lacks become NaN
            widths = [[(0, 0), (0, largest - each.shape[1]), *[(0, 0)] * (each.ndim - 2)] for each in arrays]
            arrays = [np.pad(*each, constant_values=np.nan) for each in zip(arrays, widths, strict=True)]
        return np.array(arrays)[best, np.arange(len(best))]

    of_group = [(key, candidates[index]) for key, index in zip(first.keys, best, strict=True)]
    return replace(
        first,
        **{name: chosen(name) for name in GROUP_TENSORS},
        errors={key: own.errors[key] for key, own in of_group if key in own.errors},
        notes={key: own.notes[key] for key, own in of_group if key in own.notes},
    )


def _summary_warnings(mixtures: Mixtures) -> list[tuple[str, type[Warning]]]:
    """Return warnings that summarise the errors and warnings of all fits, with the category of each warning."""
    ends = zip(mixtures.keys, mixtures.converged, mixtures.n_iter, strict=True)
    slow = [key for key, has_converged, n_steps in ends if n_steps and not has_converged]
    sentences, n_groups = list[tuple[str, type[Warning]]](), len(mixtures)
    with_warning = f"{'was' if len(mixtures.notes) == 1 else 'were'} fitted with a warning"
    joined_notes = {key: " ".join(notes) for key, notes in mixtures.notes.items()}
    for texts, verb in ((mixtures.errors, "could not be fitted"), (joined_notes, with_warning)):
        if texts:
            key, text = next(iter(texts.items()))
            sentence = f"{_list_groups(list(texts), n_groups)} {verb}. Group {key!r}: {text}"
            sentences.append((sentence, RuntimeWarning))
    if slow:
        sentence = f"{_list_groups(slow, n_groups)} did not converge within max_iter steps. Increase max_iter or tol."
        sentences.append((sentence, ConvergenceWarning))
    return sentences


def _list_groups(keys: list[Any], n_groups: int) -> str:
    """Return a text such as "3 of 1,000 groups (1, 5, 'a')"."""
    shown = ", ".join(f"{key!r:.40}" for key in keys[:_MAX_SHOWN_KEYS]) + (", …" if len(keys) > _MAX_SHOWN_KEYS else "")
    return f"{len(keys):,} of {n_groups:,} groups ({shown})"
