"""Bootstrap and jackknife refits of a mixture, and the standard errors and intervals that follow from them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from gaussmix._src.checks import check_count
from gaussmix._src.em.curvature.parameter_layout import ParameterLayout
from gaussmix._src.errors import name_components, warn
from gaussmix._src.fit.after.bootstrap import MAX_REFIT_STEPS, Refits, Resampling, is_refit_fast, refit_resamples
from gaussmix._src.fit.fitted import FitResult
from gaussmix._src.fit.problem import Problem
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.report import inference
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
from gaussmix._src.report.inference import Inference

# In simulations in which formulas were inaccurate, intervals from refits with these settings had the best coverage.
RESAMPLING = Resampling("weighted", 199, concentration=0.8137)
_REFIT_COVERAGE = ", and intervals from such refits contained 96 %"
SANDWICH_NOTE = "The sandwich estimator was used, because row weights are precisions."


@dataclass(frozen=True, eq=False, repr=False)
class Bootstrap(MixtureEstimates):
    """Uncertainty, estimated from refits, of a mixture's parameters or of any function of the mixture.

    Parameters
    ----------
    names, params, covariance, links, method, notes, draws, draw_weights, frame_library : see `ParameterEstimates`.
        `Inference` estimates the same parameters. All refits start from the maximum of the objective, at which the
        parameters are `params`.
    mixture : the mixture with the parameters `params`.
    n_resamples : number of refits.
    n_collapsed : number of refits in which a component collapsed; `draws` does not contain these refits.
    n_relabelled : number of refits whose components had to be reordered to match the components of `mixture`; `draws`
        has the order after this matching.
    n_at_other_maximum : number of refits that ended at a different maximum, which means that a component kept less than
        half of its rows; `draws` contains these refits.
    """

    n_resamples: int = field(kw_only=True)
    n_collapsed: int = field(kw_only=True)
    n_relabelled: int = field(kw_only=True)
    n_at_other_maximum: int = field(kw_only=True)
    _title: ClassVar[str] = "Bootstrap"

    def estimate(self, function: Function, name: str = "function") -> ParameterEstimates:
        """Estimate a function of the mixture; its uncertainty is computed from its values for all refits.

        Parameters
        ----------
        function, name : same as in `Inference.estimate`.

        Returns
        -------
        estimates : estimates of the function's values, with standard errors and intervals.

        Raises
        ------
        ValueError : the function is not finite for one of the refits.
        """
        value = function_values(function, self.mixture)
        draws = np.array([function_values(function, each).ravel() for each in self.sample_mixtures(self.n_resamples)])
        return self._function_estimates(name, value, weighted_covariance(draws, self.draw_weights), draws)

    def sample_mixtures(self, n_samples: int = MAX_SHOWN_MIXTURES) -> list[Mixture]:
        """Return the first `n_samples` refits as mixtures, so that plots can show them.

        Parameters
        ----------
        n_samples : maximum number of mixtures; the list is shorter if there are fewer refits without a collapsed
            component.
        """
        assert self.draws is not None, "a bootstrap always has draws"
        layout, model = ParameterLayout.at_model(self.mixture._model), self.mixture._model
        models = (layout.to_model(draw, model) for draw in self.draws[: check_count("n_samples", n_samples, 1)])
        return as_mixtures(models, self.mixture)


def weighted_covariance(draws: Array, counts: Array | None) -> Array:
    """Compute the covariance matrix (q, q) of q estimates from n draws of these estimates, (n, q).

    If `counts` is None, the result is the sample covariance of the draws. With `counts` c, the result is the jackknife
    covariance Σ c_i (θ_i − θ̄)(θ_i − θ̄)ᵀ, which for rows of weight 1 agrees with Efron & Tibshirani (1993) eq. 11.5,
    where c = (N − 1) / N.
    """
    draws = draws - draws[0]  # otherwise, rounding of the mean would give constant parameters a variance above 0
    if counts is None:
        centred = draws - draws.mean(axis=0)
        return np.asarray(centred.T @ centred / max(len(draws) - 1, 1))
    centred = draws - counts @ draws / counts.sum()
    return np.asarray((counts[:, None] * centred).T @ centred)


def infer_fit(fit: FitResult, problem: Problem, rng: np.random.Generator, *, are_counts: bool) -> Inference | Bootstrap:
    """Compute standard errors by formula, or by refits if the formula is inaccurate and refits take only seconds.

    Parameters
    ----------
    fit, problem, are_counts : same as in `compute_inference`.
    rng : random generator for the refits.

    Raises
    ------
    ValueError : standard errors of this fit cannot be computed by formula.
    """
    has_precisions = not are_counts and problem.source.row_weight is not None
    kind = "sandwich" if has_precisions else "hessian"
    estimates = inference.compute_inference(fit, problem, kind, are_counts=are_counts)
    is_free = not estimates.optimum.frozen_components  # refits would give standard errors near 0 for frozen components
    if (
        is_free
        and inference.is_weakly_identified(estimates.optimum)
        and is_refit_fast(problem, estimates.mixture._model)
    ):
        try:
            refitted = run_bootstrap(fit, problem, RESAMPLING._replace(is_frequency=are_counts), rng, has_warning=True)
        except ValueError as error:
            estimates = replace(estimates, notes=(*estimates.notes, str(error)))
        else:
            why = inference.weak_identification_note(estimates.optimum, _REFIT_COVERAGE)
            notes = [why if note.startswith(inference.WEAK_NOTE) else note for note in estimates.notes]
            return replace(refitted, notes=tuple(dict.fromkeys((*notes, *refitted.notes))))
    if has_precisions:
        estimates = replace(estimates, notes=(*estimates.notes, SANDWICH_NOTE))
    return estimates


def run_bootstrap(
    fitted: FitResult, problem: Problem, resampling: Resampling, rng: np.random.Generator, *, has_warning: bool = False
) -> Bootstrap:
    """Refit a mixture to resampled rows, and return the estimates.

    Parameters
    ----------
    fitted, problem : the fit, and the `Problem` with the rows and the objective of the fit.
    resampling : settings of the resampling, such as the number of refits.
    rng : random generator that draws the rows.
    has_warning : whether the caller has already warned if the rows differ from the fitted rows.

    Raises
    ------
    ValueError : `fit.after.bootstrap.refit_resamples` fails, or the values of a column are too large or too small for
        double precision.

    Warns
    -----
    RuntimeWarning : the rows differ from the fitted rows.
    """
    check_unit(fitted.mixture)
    ends = refit_resamples(problem, fitted.mixture._model, resampling, rng, fitted.collapsed)
    mixture = Mixture._from_model(ends.model, fitted.mixture.feature_names)
    others = inference.changed_rows_warning(fitted, problem, ends.initial_objective)
    if not has_warning:
        warn(others)
    counts = ends.draw_weights if resampling.kind == "jackknife" else None
    return Bootstrap(
        **parameter_entries(mixture),
        covariance=weighted_covariance(ends.parameter_draws, counts),
        method=f"{ends.n_refits:,} refits, {_RESAMPLING_WORDS[resampling.kind]}",
        notes=(*filter(None, [others]), *_refit_notes(ends)),
        draws=ends.parameter_draws,
        draw_weights=counts,
        frame_library=fitted.frame_library,
        mixture=mixture,
        n_resamples=ends.n_refits,
        n_collapsed=ends.n_collapsed,
        n_relabelled=ends.n_relabelled,
        n_at_other_maximum=ends.n_at_other_maximum,
    )


_RESAMPLING_WORDS = {
    "weighted": "to the rows with random weights",
    "nonparametric": "to rows drawn with replacement",
    "parametric": "to rows drawn from the mixture",
    "jackknife": "each without one row",
}


def _refit_notes(refits: Refits) -> list[str]:
    """Return notes on refits that collapsed, were reordered, ended at a different maximum, or did not converge."""
    words = [
        (refits.n_collapsed, "a component collapsed; these refits are left out"),
        (refits.n_relabelled, "the components had a different order and were reordered"),
        (refits.n_at_other_maximum, "a component kept less than half of its rows; these refits are included"),
        (refits.n_unconverged, f"EM had not converged after {MAX_REFIT_STEPS:,} steps"),
    ]
    notes = [f"In {count / refits.n_refits:.1%} of the refits {what}." for count, what in words if count]
    if refits.degenerate_components:
        which = name_components(refits.degenerate_components).capitalize()
        notes.append(f"{which}: collapsed or without rows in the fit, so that errors and intervals are unreliable.")
    if refits.model.noise is not None:
        notes.append(inference.OF_NOISE)
    return notes


Bootstrap.__module__ = "gaussmix"  # users import the class from `gaussmix`
