"""Standard errors, covariances and confidence intervals of a fit, with the attribute names of statsmodels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.checks import Rng, check_count, generator
from gaussmix._src.em.curvature.coordinates import MIN_NOISE_WEIGHT, find_noise_at_bound
from gaussmix._src.em.curvature.jacobian import NotSmooth
from gaussmix._src.em.objective.trace import FreezeReason
from gaussmix._src.em.priors.posterior import PosteriorObjective
from gaussmix._src.errors import SingularCovarianceError, counted, listed, name_components, warn
from gaussmix._src.fit.after.diagnostics import columns_text
from gaussmix._src.fit.after.inference import FLOAT32_ROUNDING, LocalMaximum
from gaussmix._src.fit.fitted import FitResult
from gaussmix._src.fit.problem import Problem
from gaussmix._src.fit.ridge import MAX_RIDGE_FRACTION
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.mixture.words import names_of
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.report.estimates import (
    MAX_SHOWN_MIXTURES,
    Function,
    MixtureEstimates,
    ParameterEstimates,
    as_mixtures,
    check_unit,
    function_values,
    parameter_entries,
)

# If the fit is farther from the maximum than these numbers of standard errors, a note or a warning reports this.
MIN_NOTED_DISTANCE, MIN_WARNED_DISTANCE = 0.05, 1.0
MAX_GAP_ERRORS = 6.0  # largest error of an estimated `posterior_gap`, in its standard errors
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

        Raises
        ------
        ValueError : drawn covariances overflow, because the rows hardly determine some parameters.
        """
        drawn = self.optimum.draw_models(check_count("n_samples", n_samples, 1), self.kind, generator(rng))
        return as_mixtures(drawn, self.mixture)


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
    # The Hessian needs no outer product of scores. The outer product alone estimates the Hessian of the weighted
    # objective, so that each row has its weight, whatever the weight means. Only the sandwich may need squared weights.
    is_frequency = None if kind == "hessian" else are_counts or kind == "outer"
    try:
        peak = LocalMaximum.from_model(problem, fitted.mixture._model, fitted.collapsed, is_frequency=is_frequency)
    except (NotSmooth, SingularCovarianceError) as error:  # differentiation may reach a singular covariance
        reason = error if isinstance(error, NotSmooth) else "a covariance is nearly singular"
        raise ValueError(
            f"Standard errors can't be computed by formula, because {reason}. Use bootstrap(X)."
        ) from error
    objective = problem.objective
    lacks_standard_error = peak.lacks_standard_error(objective)
    covariance = peak.parameter_covariance(kind, lacks_standard_error)
    mixture = Mixture._from_model(peak.model, fitted.mixture.feature_names)
    rows_warning = changed_rows_warning(fitted, problem, peak.initial_objective)
    warn(rows_warning)
    at_ridge = peak.model.covariances.ridge_fractions(objective.variance_floor) > MAX_RIDGE_FRACTION
    columns = [names_of(mixture)[j] for j in np.flatnonzero(at_ridge.any(axis=0))]
    entries = parameter_entries(mixture) | {
        "covariance": covariance,
        "method": _METHODS[kind],
        "frame_library": fitted.frame_library,
    }
    inference = Inference(**entries, mixture=mixture, optimum=peak, kind=kind)
    furthest = inference._largest_distance(fitted.mixture._model)
    shift_note = _SHIFTED.format(furthest) if furthest > MIN_NOTED_DISTANCE else None
    if furthest > MIN_WARNED_DISTANCE and rows_warning is None:
        warn(shift_note)
    has_prior = isinstance(objective, PosteriorObjective) and objective.prior is not None
    is_unknown = np.isnan(np.diagonal(covariance)) & ~lacks_standard_error
    rounding_note = None
    if is_unknown.any() and not peak.flat_directions.shape[1]:
        rounding_note = _ROUNDED.format(listed(np.array(inference.names)[is_unknown].tolist()))
    sentences = [rows_warning, shift_note, _OF_PRIOR if has_prior else None, rounding_note]
    for k, is_at_bound in enumerate(find_noise_at_bound(peak.model, objective)):
        if is_at_bound.any():
            which = "All components" if peak.model.covariances.is_shared else f"Component {k}"
            columns_of = columns_text(np.flatnonzero(is_at_bound).tolist(), names_of(mixture))
            sentences.append(_AT_BOUND.format(which, columns_of))
    sentences += _notes(peak, covariance, lacks_standard_error, columns)
    return replace(inference, notes=tuple(filter(None, sentences)))


def changed_rows_warning(fitted: FitResult, problem: Problem, before: float) -> str | None:
    """Return a warning if the number of rows or their objective is not the same as in the fit; otherwise None.

    `before` is the objective of the fitted mixture for the rows. The objectives that the fit recorded end with the
    objective before the last EM step, so `before` and the last recorded objective may differ by about the gain of one
    step.
    """
    n_rows, objectives, outcome = problem.source.n_rows, fitted.lower_bounds, fitted.outcome
    if fitted.row_summary is not None and fitted.row_summary.n_rows != n_rows:
        return f"The fit had {counted(fitted.row_summary.n_rows, 'row')}, and X has {n_rows:,}. {_OTHER_ROWS}"
    if not objectives:
        return None
    rounding = FLOAT32_ROUNDING * max(1.0, abs(objectives[-1]))
    # The absolute difference is compared, because an EM step with a ridge (`reg_covar`) may lower the objective.
    max_difference = 2 * abs(objectives[-1] - objectives[-2]) if len(objectives) > 1 else np.inf
    if outcome is not None and outcome.posterior_gap is not None:  # truncated EM records a bound
        gap = abs(outcome.posterior_gap) + MAX_GAP_ERRORS * (outcome.posterior_gap_error or 0.0)
        max_difference += gap if np.isfinite(gap) else np.inf
    if abs(before - objectives[-1]) <= max_difference + rounding:
        return None
    return (
        f"The objective of the fit ended at {objectives[-1]:.6g} nats per row, but is {before:.6g} for this X: rows, "
        f"weights, labels or errors differ. {_OTHER_ROWS}"
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
_AT_BOUND = (
    "{}: the noise variance of {} is at its lower bound, so it has no standard error, and formulas treat it as known. "
    "Raise reg_covar, or lower n_factors."
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
    peak: LocalMaximum, covariance: Array, lacks_standard_error: NDArray[np.bool_], at_ridge: Sequence[str]
) -> list[str]:
    """Return caveats about the estimates.

    Parameters
    ----------
    peak : the maximum, whose parameters have standard errors.
    covariance : covariance matrix of the parameters, with NaN for parameters without standard errors.
    lacks_standard_error : mask of parameters that cannot have standard errors (`LocalMaximum.lacks_standard_error`).
    at_ridge : columns whose variance in a component, or in all components, is only `reg_covar`.
    """
    notes, terms = [], peak.layout.terms
    for why, words in _OF_FROZEN.items():
        components = sorted(k for k, each in peak.frozen_components.items() if each is why)
        if components:
            notes.append(f"{name_components(components).capitalize()}: {words}.")
    if at_limit := {terms[i].component for i in np.flatnonzero(lacks_standard_error)} - peak.frozen_components.keys():
        which = name_components(sorted(at_limit)).capitalize()
        notes.append(f"{which}: the weight is at min_weight, so it has no standard error and is treated as known.")
    if at_ridge:
        which = "All components have" if peak.model.covariances.is_shared else "Some components have"
        notes.append(
            f"{which} a variance in {listed(at_ridge)} only because of reg_covar. Leave out columns that are constant "
            "in a component."
        )
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
        if peak.model.noise.weight <= MIN_NOISE_WEIGHT:
            notes.append("Almost no row is noise, so the weight of the noise is treated as known, too.")
    return notes


OF_NOISE = "Weights are fractions of all rows, noise included. The volume of the noise is treated as known."
_OF_FROZEN = {
    FreezeReason.EMPTY: "no standard errors, because almost no rows are left",
    FreezeReason.COLLAPSED: "no standard errors of mean and covariance after a collapse onto too few distinct rows, or "
    "if only the ridge gives variance in some direction",
}


Inference.__module__ = "gaussmix"  # users import the class from `gaussmix`
