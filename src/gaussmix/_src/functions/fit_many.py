"""`fit_many`: a mixture for each of many groups. Usual fits are made by the core, all in one call."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
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
from gaussmix._src.errors import ParameterTypeError, counted, record_warnings, warn
from gaussmix._src.estimators.bayesian_gaussian_mixture import BayesianGaussianMixture
from gaussmix._src.estimators.gaussian_mixture import GaussianMixture
from gaussmix._src.families.base import Family, check_features
from gaussmix._src.fit.features.base import FitOptions
from gaussmix._src.fit.features.table import find_options
from gaussmix._src.fit.plan import MIN_RIDGE_FRACTION, fit_settings
from gaussmix._src.fit.search import map_parallel
from gaussmix._src.mixture.mixtures import Mixtures
from gaussmix._src.numerics.arrays import Array, Indices
from gaussmix._src.numerics.factorise import MIN_ROUNDING
from gaussmix._src.numerics.threads import limit_threads
from gaussmix._src.report.messages import rounding_sentence
from gaussmix._src.validation.groups import Grouped, grouped
from gaussmix._src.validation.parameters import CHECKS, check_family, check_seed, check_supported, drawn_seed

_MAX_SHOWN_KEYS = 5  # keys in a warning
_PRECISION_WEIGHTS = "weight_type='precision'"
_CORE_OPTIONS = {"degenerate='repair'", "degenerate='error'", "check_maximum=False"}  # up to a step that needs them


def fit_many(
    groups: Any,
    n_components: int = 1,
    *,
    estimator: GaussianMixture | BayesianGaussianMixture | None = None,
    by: Any = None,
    offsets: ArrayLike | None = None,
    sample_weight: Any = None,
    **parameters: Any,
) -> Mixtures:
    """Fit a mixture to each of many groups of rows, such as sensors, cells or customers, in one call.

    Each mixture has the bits of ``GaussianMixture(n_components, **parameters).fit(group)`` with the same integer
    `random_state`, for any number of threads. A group that can't be fitted is named, and does not stop the others.

    Parameters
    ----------
    groups : list or dict of arrays (n_samples, n_features), array, or data frame
        The rows of each group. A dictionary has the keys of the groups; in a list they are 0, 1, … An array goes with
        `offsets`, a data frame (pandas, polars or Arrow) with `by`.
    n_components : int, default 1
        Number of components K of each mixture.
    estimator : GaussianMixture or BayesianGaussianMixture, default None
        What to fit, with its parameters, instead of `n_components` and `**parameters`. The `lower_bound` of a Bayesian
        fit is its bound.
    by : default None
        The column of the data frame with the groups; its values are the keys, in the order of their
        first appearance. The other columns are the features.
    offsets : array-like of int, (n_groups + 1,), default None
        Group i has the rows offsets[i] … offsets[i + 1] − 1 of the array.
    sample_weight : array-like, default None
        Weights ≥ 0, one for each row of the array or frame; for a list or dictionary of arrays one of weights.
    **parameters
        Of `GaussianMixture`, without `warm_start`, `checkpoint`, `verbose` and numbers to start from. A `random_state`
        of None or a RandomState draws one seed for all groups.

    Returns
    -------
    mixtures : Mixtures
        A sequence: ``mixtures["north"]`` is the `Mixture` of a key, ``mixtures[i]`` with a whole number that of the
        group in place i, and ``mixtures.at(key)`` that of any key; with keys, outcomes and errors.

    Raises
    ------
    ValueError : a parameter can't be used, there are no groups, or none of them is a table.
    TypeError : a parameter or groups is of the wrong type.

    Warns
    -----
    ConvergenceWarning : how many groups `max_iter` steps were not enough for, with the first keys.
    RuntimeWarning : how many groups could not be fitted, or had another warning, with the first keys. `errors` and
        `notes` of the result have the sentences of each. Warnings that are not gaussmix's own, such as a callable
        start's, are among them where groups are fitted one at a time.

    See Also
    --------
    gaussmix.GaussianMixture : the fit of one group.

    Notes
    -----
    The core makes all fits in one call, where they start from "kmeans" or "k-means++", once or several times, or with a
    search, and the structure is none of "EVE", "VVE" and "factor_analyzer". Other fits are made one by one, and so are
    the fits of groups with something unusual, such as a constant column or a variance that is partly the ridge.
    Bayesian fits are made one by one too, several at a time; the core makes most of a fit of one column.

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
    template = _make_template(estimator, n_components, parameters)
    options = find_options(template, {}, "fit_many", ignored=("label_components",))
    drawn = drawn_seed(template.random_state)
    if not isinstance(template.random_state, Integral):  # every fit has the same seed
        template.random_state = int(drawn[0])
    result = grouped(groups, by, offsets, sample_weight, type(template)())
    fitting = _GroupFits(result, template, options)
    fits = fitting.by_core()
    is_made = np.zeros(len(result.keys), dtype=bool) if fits is None else fitting.is_made(fits)
    fitting.one_by_one(np.flatnonzero(~is_made))
    mixtures = fitting.mixtures(fits, np.flatnonzero(is_made))
    for sentence, category in _sentences(mixtures):
        warn(sentence, category)
    return mixtures


def _make_template(
    estimator: GaussianMixture | BayesianGaussianMixture | None, n_components: int, parameters: dict[str, Any]
) -> GaussianMixture | BayesianGaussianMixture:
    """The estimator of every group; raises ValueError or TypeError for parameters that one fit can't use, or many."""
    if hasattr(n_components, "fit"):
        raise ParameterTypeError("The second argument is n_components. Name the estimator: estimator=….")
    if estimator is None:
        made: GaussianMixture | BayesianGaussianMixture = GaussianMixture(n_components, **parameters)
    elif not isinstance(estimator, GaussianMixture | BayesianGaussianMixture):
        what = f"the class {estimator.__name__}" if isinstance(estimator, type) else f"{estimator!r:.60}"
        raise ParameterTypeError(f"estimator must be like GaussianMixture() or BayesianGaussianMixture(), not {what}.")
    elif n_components != 1 or parameters:
        raise ValueError("Parameters of fit_many are those of its estimator. Set them there.")
    else:
        made = clone(estimator)
    is_bayesian, init = isinstance(made, BayesianGaussianMixture), made.init_params
    if not (is_bayesian or isinstance(init, str | list | tuple) or callable(init)):
        raise ValueError("init_params of fit_many must be the name of a start or a callable.")
    if isinstance(made, GaussianMixture):
        made._settings()
    return made


@dataclass(frozen=True)
class _Single:
    """The fit of a group that was fitted alone; no estimator where it failed."""

    estimator: GaussianMixture | BayesianGaussianMixture | None
    error: str = ""
    notes: tuple[str, ...] = ()


@dataclass(eq=False)
class _GroupFits:
    """The fits of many groups, as they are made."""

    groups: Grouped
    template: GaussianMixture | BayesianGaussianMixture
    options: FitOptions
    singles: dict[int, _Single] = field(default_factory=dict)

    def by_core(self) -> GroupFits | None:
        """Fits of the groups that the core can fit; None if it can fit none of them."""
        if isinstance(self.template, BayesianGaussianMixture):
            return None
        n_components, family, stopping, ridge, _ = self.template._settings()
        n_init = CHECKS["n_init"](self.template.n_init)
        engine, init, rows = self.template._engine(), self.template.init_params, self.groups.rows
        if len(rows):
            check_supported(family, rows.shape[1])
            warn(check_features(self.template.covariance_type, rows.shape[1]))
        uses = {name for option in self.options for name in option.used_names} - _CORE_OPTIONS
        if not len(rows) or (uses and not (uses == {_PRECISION_WEIGHTS} and self.groups.row_weight is None)):
            return None
        rng, (some, indices) = check_seed(self.template.random_state), self.groups.for_core()
        settings = fit_settings(init, family, n_components, rows.shape[1], ridge, stopping, rng, n_init)
        if settings is None or not settings.em_settings.max_steps:
            return None
        fits = engine.fit_many(some, settings)
        return None if fits is None else fits.expand_to_groups(indices, len(self.groups.keys))

    def is_made(self, fits: GroupFits) -> NDArray[np.bool_]:
        """Whether the core has made all of the fit of each group."""
        is_ended: NDArray[np.bool_] = fits.has_converged | (fits.n_steps == self.template.max_iter)
        is_made = is_ended & (fits.n_steps > 0)
        is_made[is_made] = ~self._feels_ridge(fits, np.flatnonzero(is_made))
        return is_made

    def _feels_ridge(self, fits: GroupFits, made: Indices) -> NDArray[np.bool_]:
        """Whether the ridge has such a part in a variance that `fit.fit` finds out what it does."""
        n_components, n_features = fits.means.shape[1:]
        family, ridge = check_family(self.template), fits.ridge[made]
        if self.template.reg_covar != "auto" or not ridge.any():
            return np.zeros(len(made), dtype=bool)
        precisions = family.stacked(fits.covariances[made], n_components, n_features).ridge_precisions()
        fractions = precisions.reshape(len(made), -1, n_features) * ridge[:, None, :]
        is_felt: NDArray[np.bool_] = fractions.max(axis=(1, 2)) > MIN_RIDGE_FRACTION
        return is_felt

    def one_by_one(self, indices: Indices) -> None:
        """Fit groups by the estimator, and keep what it says; Bayesian fits of several groups at a time."""
        shared_note, threads = None, 1
        if len(self.groups.rows):
            shared_note = check_features(self.template.covariance_type, self.groups.rows.shape[1])
        if isinstance(self.template, BayesianGaussianMixture) and not callable(self.template.init_params):
            threads = count_threads(self.template.n_jobs)

        def fitted(index: int, should_stop: Callable[[], bool]) -> tuple[int, _Single]:
            return index, self._fitted(index, shared_note, 1 if threads > 1 else None)

        self.singles |= sorted(map_parallel(fitted, indices.tolist(), threads), key=itemgetter(0))  # in any order

    def _fitted(self, index: int, shared_note: str | None, max_threads: int | None) -> _Single:
        """The fit of one group; `shared_note` is what every one of them would say."""
        refused = self.groups.refused.get(index)
        if refused is not None:
            return _Single(None, refused)
        estimator, limit = clone(self.template), nullcontext() if max_threads is None else limit_threads(max_threads)
        others = warnings.catch_warnings(record=True) if max_threads is None else nullcontext()  # not for threads
        with record_warnings() as texts, limit, others as caught:
            if caught is not None:
                warnings.simplefilter("always")
            try:
                estimator.fit(self.groups.table(index), sample_weight=self.groups.weight(index))
            except (ValueError, TypeError) as error:
                return _Single(None, str(error))
        texts += [(str(each.message), each.category) for each in caught or ()]
        sentences = [sentence for sentence, category in texts if category is not ConvergenceWarning]
        return _Single(estimator, "", tuple(each for each in sentences if each != shared_note))

    def mixtures(self, fits: GroupFits | None, made: Indices) -> Mixtures:
        """What was found, in arrays, with the groups that the core has made.

        Raises ValueError where nothing says how many features there are.
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
            weights[made], means[made], n_iter[made] = fits.weights[made], fits.means[made], fits.n_steps[made]
            covariances[made] = fits.covariances[made].reshape(len(made), *covariances.shape[1:])
            converged[made], lower_bound[made] = fits.has_converged[made], fits.log_likelihood[ends[made]]
            notes |= self._rounded(made, means, covariances, family)
        for index, single in sorted(self.singles.items()):
            key, estimator = self.groups.keys[index], single.estimator
            if estimator is None:
                errors[key] = single.error
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
        """Number of features of all groups; those that have others are refused."""
        if len(self.groups.rows):
            wanted = int(self.groups.rows.shape[1])
        else:
            fitted = [single.estimator for single in self.singles.values() if single.estimator is not None]
            if not fitted:
                key, single = self.groups.keys[0], self.singles[0]
                raise ValueError(f"No group could be fitted. Group {key!r}: {single.error}")
            wanted = fitted[0].n_features_in_
        for index, single in self.singles.items():
            result = wanted if single.estimator is None else single.estimator.n_features_in_
            if result != wanted:
                columns = counted(result, "column")
                sentence = f"It has {columns}, but the others have {wanted}. Groups need the same columns."
                self.singles[index] = _Single(None, sentence)
        return wanted

    def _rounded(self, made: Indices, means: Array, covariances: Array, family: Family) -> dict[Any, Sequence[str]]:
        """What the estimator says of nearly singular covariances, for groups that the core has fitted."""
        if not len(made):
            return {}
        error = family.stacked(covariances[made], *means.shape[1:]).rounding_error.reshape(len(made), -1)
        concerned = made[(error > MIN_ROUNDING).any(axis=1)]
        notes: dict[Any, Sequence[str]] = {}
        for index in concerned.tolist():
            own = family.covariances(covariances[index, ...], *means.shape[1:])
            notes[self.groups.keys[index]] = (rounding_sentence(own.rounding_error) or "",)
        return notes


def _sentences(mixtures: Mixtures) -> list[tuple[str, type[Warning]]]:
    """What a user should know of all fits together."""
    ends = zip(mixtures.keys, mixtures.converged, mixtures.n_iter, strict=True)
    slow = [key for key, has_converged, n_steps in ends if n_steps and not has_converged]
    sentences: list[tuple[str, type[Warning]]] = []
    noted = f"{'was' if len(mixtures.notes) == 1 else 'were'} fitted with a warning"
    for texts, verb in ((mixtures.errors, "could not be fitted"), (mixtures.notes, noted)):
        if texts:
            first = next(iter(texts))
            example = texts[first] if isinstance(texts[first], str) else " ".join(texts[first])
            sentence = f"{_some(list(texts), len(mixtures))} {verb}. Group {first!r}: {example}"
            sentences.append((sentence, RuntimeWarning))
    if slow:
        sentence = f"{_some(slow, len(mixtures))} did not converge in max_iter steps. Raise max_iter or tol."
        sentences.append((sentence, ConvergenceWarning))
    return sentences


def _some(keys: list[Any], n_groups: int) -> str:
    """ "3 of 1,000 groups (1, 5, 'a')"."""
    shown = ", ".join(f"{key!r:.40}" for key in keys[:_MAX_SHOWN_KEYS]) + (", …" if len(keys) > _MAX_SHOWN_KEYS else "")
    return f"{len(keys):,} of {n_groups:,} groups ({shown})"
