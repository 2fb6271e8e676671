"""Standard errors, covariances and confidence intervals of a fit, with the attribute names of statsmodels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit, ndtri

from gaussmix._src.checks import Rng, check_count, check_within, generator
from gaussmix._src.em.curvature.coordinates import MIN_BACKGROUND_WEIGHT
from gaussmix._src.em.curvature.jacobian import NotSmooth
from gaussmix._src.em.curvature.parameter_layout import ParameterKind, ParameterLayout, StackedModels
from gaussmix._src.em.objective.trace import FreezeReason
from gaussmix._src.em.priors.posterior import PosteriorObjective
from gaussmix._src.errors import (
    ParameterTypeError,
    SingularCovarianceError,
    counted,
    listed,
    name_components,
    warn,
)
from gaussmix._src.fit.after.inference import FLOAT32_ROUNDING, LocalMaximum, ObjectiveMaximiser
from gaussmix._src.fit.fitted import FitResult
from gaussmix._src.fit.problem import Problem
from gaussmix._src.fit.ridge import MAX_RIDGE_FRACTION
from gaussmix._src.mixture.html import table_html
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.mixture.words import names_of
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array, frozen
from gaussmix._src.numerics.frames import made_frame
from gaussmix._src.report.summary import aligned, shortened

Function = Callable[[Mixture], ArrayLike]
DEFAULT_ALPHA = 0.05
MAX_ALPHA = 0.5  # maximum alpha, because a user who passes a larger alpha most likely means 1 − alpha
_ALPHA = "the probability outside of the interval, above 0 and at most 0.5, such as 0.05 for 95 %"
MAX_SHOWN_MIXTURES = 50  # default number of drawn mixtures that a plot shows
# If the fit is farther from the maximum than these numbers of standard errors, a note or a warning says so.
MIN_NOTED_DISTANCE, MIN_WARNED_DISTANCE = 0.05, 1.0
MAX_GAP_ERRORS = 6.0  # largest error of an estimated `posterior_gap`, in its standard errors
MAX_VARIANCE = 1e140  # largest variance, in data units², for which standard errors do not overflow
MAX_FIT_DISTANCE = 3.0  # maximum distance of a fit from the estimates that `tidy` combines with it, in standard errors
MIN_RELIABLE_CURVATURE = 15.0  # curvature in nats over all rows, below which intervals by formula are too narrow
MIN_SIMULATED = 100.0  # smallest total row weight in the simulations that measured the coverage of intervals
WEAK_NOTE = "The rows determine some of the parameters only weakly."
_COVERAGE = " In simulations, 95 % intervals by formula contained 90 % of the true values"
_METHODS = {
    "hessian": "the Hessian of the objective",
    "outer": "the outer product of the scores",
    "sandwich": "the sandwich of Hessian and scores",
}


@dataclass(frozen=True, eq=False, repr=False)
class ParameterEstimates:
    """Estimates of parameters or of functions of a mixture, with their covariance.

    Parameters
    ----------
    names : names of the estimated values.
    params : (q,), the estimated values, in the units of the parameters or of the function.
    covariance : (q, q), covariance matrix of the estimates; NaN for estimates without a standard error, 0 for values
        that are known exactly.
    links : for each value, the transformation that makes the confidence interval symmetric, which is "logit" for a
        weight, "log" for a variance, and "" (no transformation) for other values.
    method : one-line description of how the estimates were computed.
    notes : caveats about the estimates, one sentence each.
    draws : (n, q), estimates from each bootstrap or jackknife refit; None if the covariance comes from a formula.
    draw_weights : (n,), for jackknife refits, which have no quantiles, the factor by which each refit's squared
        deviation enters the covariance; None for bootstrap refits.
    frame_library : library of the data frame that `tidy` returns; None for the first supported library that is
        installed.
    """

    names: tuple[str, ...]
    params: Array
    covariance: Array
    links: tuple[str, ...]
    method: str
    notes: tuple[str, ...] = ()
    draws: Array | None = None
    draw_weights: Array | None = None
    frame_library: str | None = None
    _title: ClassVar[str] = "Estimates"

    def __post_init__(self) -> None:
        for array in (self.params, self.covariance, self.draws):
            if array is not None:
                frozen(array)

    @property
    def bse(self) -> Array:
        """Return the standard errors, (q,)."""
        return np.sqrt(np.diagonal(self.covariance))

    def cov_params(self) -> Array:
        """Return the covariance of the estimates, (q, q)."""
        return self.covariance

    def conf_int(self, alpha: float = DEFAULT_ALPHA, method: str | None = None) -> Array:
        """Return intervals that contain each true value with probability 1 − alpha, (q, 2).

        Parameters
        ----------
        alpha : probability outside the interval, above 0 and at most 0.5.
        method : "wald" gives estimate ± z · standard error, computed on the scale of `links`. "percentile", the default
            for a bootstrap, gives quantiles of the refits. "centred", which also needs a bootstrap, gives quantiles of
            the refits after a shift on the scale of `links` that makes the mean of the refits equal to the estimate.

        Raises
        ------
        ValueError, TypeError : alpha is not a number above 0 and at most 0.5, or the method is not available.
        """
        check_within("alpha", alpha, _ALPHA, lambda value: 0 < value <= MAX_ALPHA)
        known = ("wald",) if self.draws is None or self.draw_weights is not None else ("percentile", "centred", "wald")
        chosen = known[0] if method is None else method
        if chosen not in known:
            raise ValueError(f"method={method!r:.40} is not one of {', '.join(map(repr, known))}.")
        if chosen == "percentile":
            assert self.draws is not None, "a bootstrap always has draws"
            return np.asarray(np.quantile(self.draws, (alpha / 2, 1 - alpha / 2), axis=0).T)
        ends = np.empty((len(self.params), 2))
        for index, (value, link) in enumerate(zip(self.params, self.links, strict=True)):
            there, back, slope = _LINKS[link]
            if not self.bse[index] > 0:
                ends[index] = value if self.bse[index] == 0 else np.nan
                continue
            if chosen == "wald":
                reach = -float(ndtri(alpha / 2)) * self.bse[index] * slope(value)
                moves = np.array([-reach, reach])
            else:
                assert self.draws is not None, "a bootstrap always has draws"
                with np.errstate(divide="ignore"):
                    drawn = there(self.draws[:, index])
                moves = np.quantile(drawn, (alpha / 2, 1 - alpha / 2)) - drawn.mean()
            with np.errstate(over="ignore"):  # a limit of an interval may overflow to infinity
                ends[index] = back(there(value) + moves)
        return ends

    def tidy(self, alpha: float = DEFAULT_ALPHA) -> Any:
        """Return a data frame with the columns "term", "estimate", "std_error", "conf_low" and "conf_high".

        Parameters
        ----------
        alpha : probability outside each interval, as in `conf_int`.
        """
        return made_frame(self._columns(alpha), self.frame_library)

    def _columns(self, alpha: float) -> dict[str, Any]:
        low, high = self.conf_int(alpha).T
        of_numbers = {"estimate": np.array(self.params), "std_error": self.bse, "conf_low": low, "conf_high": high}
        return {"term": list(self.names), **of_numbers}

    def summary(self, alpha: float = DEFAULT_ALPHA) -> str:
        """Return a text table of the estimates with their standard errors and intervals.

        Parameters
        ----------
        alpha : probability outside each interval, as in `conf_int`.
        """
        header, rows = self._cells(alpha)
        notes = ["", *(f"- {note}" for note in self.notes)] if self.notes else []
        lines = [line.rstrip() for line in aligned([header, *shortened(rows)])]
        return "\n".join([f"{self._title} by {self.method}", "", *lines, *notes])

    def __str__(self) -> str:
        return self.summary()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        table = table_html(*self._cells(DEFAULT_ALPHA))
        return f"<div><p>{self._title} by {self.method}</p>{table}<ul>{notes}</ul></div>"

    def _cells(self, alpha: float) -> tuple[list[str], list[list[str]]]:
        header = ["", "estimate", "std error", f"{100 * alpha / 2:.3g} %", f"{100 - 100 * alpha / 2:.3g} %"]
        named = with_intervals(self, alpha)
        return header, [[name if name.isprintable() else repr(name), *texts] for name, texts, _ in named]


def with_intervals(
    estimates: ParameterEstimates, alpha: float = DEFAULT_ALPHA
) -> list[tuple[str, list[str], list[float]]]:
    """Return names, values, standard errors and intervals of the estimates, both as texts and as floats."""
    values = zip(estimates.params, estimates.bse, *estimates.conf_int(alpha).T, strict=True)
    return [(name, _digits(*each), [*map(float, each)]) for name, each in zip(estimates.names, values, strict=True)]


def _digits(value: float, error: float, low: float, high: float) -> list[str]:
    """Format an estimate, its standard error and its interval, rounded to three digits of the standard error."""
    if not error > 0:
        return [f"{value:.6g}", "known" if error == 0 else "", "", ""]
    decimals = 2 - math.floor(math.log10(error))
    if 0 <= decimals <= 7 and abs(value) < 1e7:
        return [f"{each:.{decimals}f}" for each in (value, error, low, high)]
    return [f"{value:.6g}", f"{error:.3g}", f"{low:.6g}", f"{high:.6g}"]


def _unchanged(value: Any) -> Any:
    return value


# This dictionary maps the name of each link to the link function, the inverse function, and the derivative.
_LINKS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], Callable[[float], float]]] = {
    "": (_unchanged, _unchanged, lambda value: 1.0),
    "log": (np.log, np.exp, lambda value: 1 / value),
    "logit": (logit, expit, lambda value: 1 / (value * (1 - value))),
}


def parameter_entries(mixture: Mixture) -> dict[str, Any]:
    """Return names, values and links of all parameters of a mixture as a dict of arguments of `ParameterEstimates`."""
    scale, own = ParameterLayout.at_model(mixture._model), names_of(mixture)
    of_kind = {ParameterKind.WEIGHT: "logit", ParameterKind.VARIANCE: "log"}
    links = tuple(of_kind.get(term.kind, "") for term in scale.terms)
    names = tuple(term.name(own) for term in scale.terms)
    return {"names": names, "params": scale.to_vector(mixture._model), "links": links}


@dataclass(frozen=True, eq=False, repr=False)
class MixtureEstimates(ParameterEstimates):
    """Estimates of all parameters of a mixture.

    Parameters
    ----------
    names, params, covariance, links, method, notes, draws, draw_weights, frame_library : see `ParameterEstimates`.
    mixture : the mixture with the parameters `params`.
    """

    mixture: Mixture = field(kw_only=True)

    def _furthest(self, model: Model, chosen: NDArray[np.bool_] | bool = True) -> float:
        """Return the largest distance of a model's `chosen` parameters (q,) from the estimates, in standard errors."""
        errors, distances = self.bse, np.abs(self.params - ParameterLayout.at_model(model).to_vector(model))
        chosen = chosen & (errors > 0)
        return float((distances[chosen] / errors[chosen]).max(initial=0.0))

    def _function_estimates(
        self, name: str, value: Array, covariance: Array, draws: Array | None = None
    ) -> ParameterEstimates:
        own: dict[str, Any] = {"method": self.method, "notes": self.notes, "frame_library": self.frame_library}
        return ParameterEstimates(
            **value_entries(name, value), **own, covariance=covariance, draws=draws, draw_weights=self.draw_weights
        )


def interval_columns(estimates: MixtureEstimates, mixture: Mixture) -> dict[str, Array]:
    """Return standard errors and intervals of weights and means as columns for `tidy` of a fit.

    Each column has a value for each component, followed by a value for noise if there is noise. Raises ValueError if
    the mixture has other parameters than the estimates, or is more than three standard errors away.
    """
    scale = ParameterLayout.at_model(mixture._model)
    if scale.terms != ParameterLayout.at_model(estimates.mixture._model).terms:
        raise ValueError("estimates must come from inference, bootstrap or posterior_ of this estimator.")
    of_rows = np.array([term.kind in (ParameterKind.WEIGHT, ParameterKind.MEAN) for term in scale.terms])
    furthest = estimates._furthest(mixture._model, of_rows)
    if furthest > MAX_FIT_DISTANCE:
        raise ValueError(
            f"The estimates differ from this mixture by up to {furthest:.2g} standard errors: they belong to another "
            "fit, or this fit ended far from its maximum. Use estimates.tidy() for a table, or fit with a lower tol."
        )
    low, high = estimates.conf_int().T
    features, K, columns = names_of(mixture), mixture.n_components, dict[str, Array]()
    weights = [index for index, term in enumerate(scale.terms) if term.kind is ParameterKind.WEIGHT]
    none = np.full(len(weights) - K, np.nan)
    for name, numbers in {"std_error": estimates.bse, "conf_low": low, "conf_high": high}.items():
        columns[f"weight_{name}"] = numbers[weights]
        means = numbers[len(weights) : len(weights) + K * len(features)].reshape(K, -1)
        columns |= {f"mean_{feature}_{name}": np.append(means[:, j], none) for j, feature in enumerate(features)}
    return columns


@dataclass(frozen=True, eq=False, repr=False)
class Inference(MixtureEstimates):
    """Uncertainty, computed by formula, of a mixture's parameters or of any function of the mixture.

    The estimated parameters are the weights (with the weight of noise last), followed by the means and the covariances.
    A covariance is represented by the entries of its lower triangle, row by row, or by its structure's parameters.
    Covariances that all components share are listed once.

    Parameters
    ----------
    names, params, covariance, links, method, notes, draws, draw_weights, frame_library : see `ParameterEstimates`.
    mixture : the mixture at the maximum, with the parameters `params`.
    optimum : the maximum of the objective, with its derivatives.
    kind : method that computed the covariance, which is "hessian", "outer" or "sandwich".
    """

    optimum: LocalMaximum = field(kw_only=True)
    kind: str = field(kw_only=True)
    _title: ClassVar[str] = "Inference"

    def estimate(self, function: Function, name: str = "function") -> ParameterEstimates:
        """Estimate a function of the mixture and its standard errors by the delta method.

        Parameters
        ----------
        function : a function that takes a `Mixture` and returns a number or an array. The function must be smooth near
            the fitted mixture.
        name : name of the function's values in the result.

        Returns
        -------
        estimates : estimates of the function's values, with standard errors and intervals.

        Raises
        ------
        ValueError : the function is not finite for a mixture near the fitted mixture.
        """
        value = function_values(function, self.mixture)
        own = self.mixture

        def values_at(model: Model) -> Array:
            return function_values(function, Mixture._from_model(model, own.feature_names)).ravel()

        covariance = np.full((value.size, value.size), np.nan)
        if self.optimum.information.coordinates.n_parameters:  # no parameters are free if the only component is frozen
            covariance = self.optimum.delta_method_covariance(self.optimum.differentiate(values_at), self.kind)
        return self._function_estimates(name, value, covariance)

    def sample_mixtures(self, n_samples: int = MAX_SHOWN_MIXTURES, rng: Rng = 0) -> list[Mixture]:
        """Draw mixtures from the normal approximation of the estimates' distribution, for example for a plot.

        Parameters
        ----------
        n_samples : number of mixtures to draw.
        rng : a `numpy.random.Generator`, or a seed.
        """
        drawn = self.optimum.draw_models(check_count("n_samples", n_samples, 1), self.kind, generator(rng))
        return as_mixtures(drawn, self.mixture)


def value_entries(name: str, value: Array) -> dict[str, Any]:
    """Return names, values and links of a function's values as a dict of arguments of `ParameterEstimates`."""
    names = (name,) if not value.ndim else tuple(f"{name}[{i}]" for i in range(value.size))
    return {"names": names, "params": value.ravel(), "links": ("",) * value.size}


def as_mixtures(models: Iterable[Model], like: Mixture) -> list[Mixture]:
    return [Mixture._from_model(model, like.feature_names) for model in models]


def function_values(function: Function, mixture: Mixture) -> Array:
    """Evaluate a user's function; raise TypeError if it isn't callable, ValueError if a value is not finite."""
    if not callable(function):
        raise ParameterTypeError(f"Pass a function that takes a mixture and returns numbers, not {function!r:.60}.")
    values = np.asarray(function(mixture))
    if values.dtype.kind not in "biuf" or not np.isfinite(values).all():
        raise ValueError(f"The function must return finite numbers for mixtures near the estimate, not {values!s:.60}.")
    return values.astype(np.float64)


def check_unit(mixture: Mixture) -> None:
    """Raise ValueError if the standard error of a variance would overflow or underflow in double precision."""
    variances = mixture._model.covariances.variances()
    wrong = (variances > MAX_VARIANCE) | ((variances > 0) & (variances < 1 / MAX_VARIANCE))
    if wrong.any():
        k, j = np.argwhere(wrong)[0]
        raise ValueError(
            f"Standard errors need variances from {1 / MAX_VARIANCE:.0e} to {MAX_VARIANCE:.0e}, but the variance of "
            f"{names_of(mixture)[j]} in component {k} is {variances[k, j]:.3g}. Rescale this column."
        )


def compute_inference(fitted: FitResult, problem: Problem, kind: str, *, are_counts: bool) -> Inference:
    """Compute standard errors at the maximum of the objective that is nearest to a fit.

    Parameters
    ----------
    fitted : the result of the fit.
    problem : rows and objective of the fit.
    kind : name of the method that computes the covariance, one of `fit.after.inference.INFORMATION_KINDS`.
    are_counts : whether row weights are counts of equal rows. If the row weights are not counts, the sandwich estimator
        uses their squares.

    Raises
    ------
    ValueError : standard errors cannot be computed by formula, there are too few rows for `kind`, or the values of a
        column are too large or too small for double precision.

    Warns
    -----
    RuntimeWarning : the rows differ from the fitted rows, or the fit ended more than one standard error away from the
        maximum.
    """
    check_unit(fitted.mixture)
    how = None if kind == "hessian" else are_counts or kind != "sandwich"
    try:
        peak = LocalMaximum.from_model(problem, fitted.mixture._model, fitted.collapsed, is_frequency=how)
    except NotSmooth as error:
        raise ValueError(f"inference can't use a formula here: {error}. Use bootstrap(X).") from None
    except SingularCovarianceError as error:  # differentiation reached a singular covariance
        sentence = "inference can't use a formula here: a covariance is nearly singular. Use bootstrap(X)."
        raise ValueError(sentence) from error
    covariance = peak.parameter_covariance(kind, problem.objective)
    mixture = Mixture._from_model(peak.model, fitted.mixture.feature_names)
    others = another_rows(fitted, problem, peak.initial_objective)
    warn(others)
    stacked = StackedModels.from_models([peak.model])
    fractions = ObjectiveMaximiser(problem, peak.total_weight).ridge_fractions(stacked)
    at_ridge = fractions[0] > MAX_RIDGE_FRACTION
    columns = [names_of(mixture)[j] for j in np.flatnonzero(at_ridge[[*peak.frozen_components]].any(axis=0))]
    entries = parameter_entries(mixture) | {
        "covariance": covariance,
        "method": _METHODS[kind],
        "frame_library": fitted.frame_library,
    }
    inference = Inference(**entries, mixture=mixture, optimum=peak, kind=kind)
    furthest = inference._furthest(fitted.mixture._model)
    shift_note = _SHIFTED.format(furthest) if furthest > MIN_NOTED_DISTANCE else None
    if furthest > MIN_WARNED_DISTANCE and others is None:
        warn(shift_note)
    objective = problem.objective
    has_prior = isinstance(objective, PosteriorObjective) and objective.prior is not None
    of_prior = _OF_PRIOR if has_prior else None
    has_no_error = peak.has_no_standard_error(objective)
    lost = np.isnan(np.diagonal(covariance)) & ~has_no_error
    rounded = None
    if lost.any() and not peak.flat_directions.shape[1]:
        rounded = _ROUNDED.format(listed(np.array(inference.names)[lost].tolist()))
    sentences = filter(None, [others, shift_note, of_prior, rounded])
    return replace(inference, notes=(*sentences, *_notes(peak, covariance, has_no_error, columns)))


def another_rows(fitted: FitResult, problem: Problem, before: float) -> str | None:
    """Return a warning if the number of rows or their objective differs from that of the fit; otherwise None.

    `before` is the objective of the fitted mixture for the rows. The objectives that the fit recorded end with the
    objective before the last EM step, so `before` and the last recorded objective may differ by about the gain of one
    step.
    """
    n_rows, heights, outcome = problem.source.n_rows, fitted.lower_bounds, fitted.outcome
    if fitted.row_summary is not None and fitted.row_summary.n_rows != n_rows:
        return f"The fit had {counted(fitted.row_summary.n_rows, 'row')}, and X has {n_rows:,}. {_OTHER_ROWS}"
    if not heights:
        return None
    rounding = FLOAT32_ROUNDING * max(1.0, abs(heights[-1]))
    # The absolute difference is compared, because an EM step with a ridge (`reg_covar`) may lower the objective.
    max_difference = 2 * abs(heights[-1] - heights[-2]) if len(heights) > 1 else np.inf
    if outcome is not None and outcome.posterior_gap is not None:  # truncated EM records a bound
        gap = abs(outcome.posterior_gap) + MAX_GAP_ERRORS * (outcome.posterior_gap_error or 0.0)
        max_difference += gap if np.isfinite(gap) else np.inf
    if abs(before - heights[-1]) <= max_difference + rounding:
        return None
    return (
        f"The objective of the fit ended at {heights[-1]:.6g} nats a row, and is {before:.6g} for this X: other rows, "
        f"weights, labels or errors. {_OTHER_ROWS}"
    )


_OTHER_ROWS = "The estimates are therefore for a new fit to this X, started at the mixture."


_OF_PRIOR = (
    "The prior shifts the estimates. In simulations with overlapping components, 95 % intervals of fits with "
    "prior='default' contained 88 to 91 % of the true values."
)


_ROUNDED = (
    "Standard errors of {} are unknown, because rounding leaves negative variances. Use kind='hessian', or "
    "bootstrap(X)."
)
_SHIFTED = "The estimates are for the maximum, which is up to {:.2g} standard errors from the fit."


def is_weakly_identified(peak: LocalMaximum) -> bool:
    """Check whether the rows determine some parameter so weakly that formulas for standard errors are inaccurate.

    Formulas for standard errors approximate the objective by a parabola. Up to one standard error from the maximum, the
    parabola is accurate only if the curvature is large in all directions. The result is False if the curvature is zero
    in some direction, because in this case refits cannot give standard errors either.
    """
    return not peak.flat_directions.shape[1] and peak.least_curvature < MIN_RELIABLE_CURVATURE


def weak_identification_note(peak: LocalMaximum, further: str = "") -> str:
    """Return a note on weakly determined parameters; if rows suffice, it states the intervals' simulated coverage."""
    return WEAK_NOTE if peak.total_weight < MIN_SIMULATED else f"{WEAK_NOTE}{_COVERAGE}{further}."


def _notes(
    peak: LocalMaximum, covariance: Array, has_no_error: NDArray[np.bool_], at_ridge: Sequence[str]
) -> list[str]:
    """Return caveats about the estimates.

    Parameters
    ----------
    peak : the maximum, whose parameters have standard errors.
    covariance : covariance matrix of the parameters, with NaN for parameters without standard errors.
    has_no_error : mask of the parameters that cannot have standard errors (`LocalMaximum.has_no_standard_error`).
    at_ridge : columns whose variance in a component is `reg_covar`.
    """
    notes, terms = [], peak.parameter_vector.terms
    for why, words in _OF_FROZEN.items():
        components = sorted(k for k, each in peak.frozen_components.items() if each is why)
        if components:
            notes.append(f"{name_components(components).capitalize()}: {words}.")
    if at_limit := {terms[i].component for i in np.flatnonzero(has_no_error)} - peak.frozen_components.keys():
        which = name_components(sorted(at_limit)).capitalize()
        notes.append(f"{which}: the weight is at min_weight, so it has no standard error and is treated as known.")
    if at_ridge:
        notes.append(f"Only reg_covar gives a variance in {listed(at_ridge)} there. Leave out what is constant.")
    unknown = [terms[index] for index in np.flatnonzero(np.isnan(np.diagonal(covariance)))]
    lost = {term.component for term in unknown} - peak.frozen_components.keys()
    if peak.flat_directions.shape[1]:
        these = sorted(k for k in lost if k >= 0)
        which = name_components(these).capitalize() if these else "Shared parameters"
        notes.append(
            f"{which}: no standard error, because the fit is not at a maximum: the objective does not fall in "
            f"{counted(peak.flat_directions.shape[1], 'direction')}. The other standard errors are valid only if the "
            "parameters do not move in these directions. Try other starts, or lower n_components."
        )
    elif is_weakly_identified(peak):
        notes.append(f"{weak_identification_note(peak)} Use bootstrap(X).")
    if peak.model.noise is not None:
        notes.append(OF_NOISE)
        if peak.model.noise.weight <= MIN_BACKGROUND_WEIGHT:
            notes.append("Next to no row is noise, so the weight of the noise is treated as known, too.")
    return notes


OF_NOISE = "Weights are fractions of all rows, noise included. The volume of the noise is treated as known."
_OF_FROZEN = {
    FreezeReason.LOST: "no standard errors, because almost no rows are left",
    FreezeReason.COLLAPSED: "no standard errors of mean and covariance after a collapse onto too few distinct rows, or "
    "where only the ridge gives variance in some direction",
}


ParameterEstimates.__module__ = MixtureEstimates.__module__ = Inference.__module__ = (
    "gaussmix"  # users import these classes from `gaussmix`
)
