"""Refits of a mixture, and what they say of its numbers."""

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
from gaussmix._src.report.inference import Function, Inference, MixtureEstimates, ParameterEstimates

RESAMPLING = Resampling("weighted", 199, concentration=0.8137)  # with it intervals held best where formulas fall short
_REFIT_COVERAGE = ", those of these refits 96 %"


@dataclass(frozen=True, eq=False, repr=False)
class Bootstrap(MixtureEstimates):
    """How sure the weights, means and covariances of a mixture are, by refits; and any function of it.

    Parameters
    ----------
    names, params, covariance, links, method, notes, draws, draw_weights, frame_library : as for `ParameterEstimates`;
        the parameters are those of `Inference`. `params` are the maximum that the refits began at.
    mixture : the one with `params`.
    n_resamples : refits that were made.
    n_collapsed : of them, in which a component collapsed; `draws` has no row for these.
    n_relabelled : whose components ended in another order. `draws` has them in that of `mixture`.
    n_at_other_maximum : that ended at another maximum, where a component has less than half of its rows. `draws` has
        them.
    """

    n_resamples: int = field(kw_only=True)
    n_collapsed: int = field(kw_only=True)
    n_relabelled: int = field(kw_only=True)
    n_at_other_maximum: int = field(kw_only=True)
    _title: ClassVar[str] = "Bootstrap"

    def estimate(self, function: Function, name: str = "function") -> ParameterEstimates:
        """How sure a function of the mixture is, by its values at every refit.

        Parameters
        ----------
        function, name : as for `Inference.estimate`.

        Returns
        -------
        estimates : of the function.

        Raises
        ------
        ValueError : the function is not finite for a refit.
        """
        value = inference.function_values(function, self.mixture)
        draws = np.array(
            [inference.function_values(function, each).ravel() for each in self.sample_mixtures(self.n_resamples)]
        )
        return self._function_estimates(name, value, weighted_covariance(draws, self.draw_weights), draws)

    def sample_mixtures(self, n_samples: int = inference.MAX_SHOWN_MIXTURES) -> list[Mixture]:
        """The first refits, as mixtures, for pictures: fewer than `n_samples` where some collapsed or none is left.

        Parameters
        ----------
        n_samples : how many.
        """
        assert self.draws is not None, "a bootstrap has them"
        scale, model = ParameterLayout.at_model(self.mixture._model), self.mixture._model
        models = (scale.to_model(draw, model) for draw in self.draws[: check_count("n_samples", n_samples, 1)])
        return inference.as_mixtures(models, self.mixture)


def weighted_covariance(draws: Array, counts: Array | None) -> Array:
    """The covariance of the estimates (q, q) from draws (n, q).

    That of the draws; with counts that of the jackknife, Σ c_i (θ_i − θ̄)(θ_i − θ̄)ᵀ. Of rows of weight 1 that is Efron &
    Tibshirani (1993) eq. 11.5, c = (N − 1) / N.
    """
    if counts is None:
        centred = draws - draws.mean(axis=0)
        return np.asarray(centred.T @ centred / max(len(draws) - 1, 1))
    centred = draws - counts @ draws / counts.sum()
    return np.asarray((counts[:, None] * centred).T @ centred)


def infer_fit(fit: FitResult, problem: Problem, rng: np.random.Generator, *, are_counts: bool) -> Inference | Bootstrap:
    """How sure a fit is: by formula, or by refits where formulas fall short and refits take seconds.

    Parameters
    ----------
    fit, problem, are_counts : as for `compute_inference`.
    rng : of the refits.

    Raises
    ------
    ValueError : there is no formula.
    """
    has_precisions = not are_counts and problem.source.row_weight is not None
    kind = "sandwich" if has_precisions else "hessian"
    estimates = inference.compute_inference(fit, problem, kind, are_counts=are_counts)
    is_free = not estimates.optimum.frozen_components  # of frozen components refits would give errors near 0
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
        estimates = replace(estimates, notes=(*estimates.notes, "The sandwich, because row weights are precisions."))
    return estimates


def run_bootstrap(
    fitted: FitResult, problem: Problem, how: Resampling, rng: np.random.Generator, *, has_warning: bool = False
) -> Bootstrap:
    """Refits of a fit, and what they say.

    Parameters
    ----------
    fitted, problem : the fit, its rows and its objective.
    how : rows are drawn.
    rng : that draws them.
    has_warning : whether other rows than those of the fit have been warned of.

    Raises
    ------
    ValueError : as `fit.after.bootstrap.refit_resamples`, or the unit of the rows is too large or too small.

    Warns
    -----
    RuntimeWarning : the rows are not those of the fit.
    """
    inference.check_unit(fitted.mixture)
    ends = refit_resamples(problem, fitted.mixture._model, how, rng, fitted.collapsed)
    mixture = Mixture._from_model(ends.model, fitted.mixture.feature_names)
    others = inference.another_rows(fitted, problem, ends.initial_objective)
    if not has_warning:
        warn(others)
    counts = ends.draw_weights if how.kind == "jackknife" else None
    return Bootstrap(
        **inference.parameter_entries(mixture),
        covariance=weighted_covariance(ends.parameter_draws, counts),
        method=f"{ends.n_refits:,} refits, {_RESAMPLING_WORDS[how.kind]}",
        notes=(*filter(None, [others]), *_refit_notes(ends)),
        draws=ends.parameter_draws,
        draw_weights=counts,
        frame_library=None if fitted.row_summary is None else fitted.row_summary.frame_library,
        mixture=mixture,
        n_resamples=ends.n_refits,
        n_collapsed=ends.n_collapsed,
        n_relabelled=ends.n_relabelled,
        n_at_other_maximum=ends.n_at_other_maximum,
    )


_RESAMPLING_WORDS = {
    "weighted": "to the rows with random weights",
    "nonparametric": "to rows drawn from the rows",
    "parametric": "to rows drawn from the mixture",
    "jackknife": "each without one row",
}


def _refit_notes(refits: Refits) -> list[str]:
    """What became of the refits."""
    words = [
        (refits.n_collapsed, "a component collapsed; they are left out"),
        (refits.n_relabelled, "the components came in another order, and were brought back into it"),
        (refits.n_at_other_maximum, "a component ended elsewhere, with less than half of its rows; they are counted"),
        (refits.n_unconverged, f"EM had not settled after {MAX_REFIT_STEPS:,} steps"),
    ]
    notes = [f"In {count / refits.n_refits:.1%} of the refits {what}." for count, what in words if count]
    if refits.degenerate_components:
        which = name_components(refits.degenerate_components).capitalize()
        notes.append(f"{which}: collapsed or without rows in the fit, so that errors and intervals mean little there.")
    if refits.model.noise is not None:
        notes.append(inference.OF_NOISE)
    return notes


Bootstrap.__module__ = "gaussmix"  # where users import it from
