"""Implement the parameters `prior` and `restrictions`, that is, priors and fixed parameters of mixtures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gaussmix._src.em.objective.trace import EMState
from gaussmix._src.em.priors.posterior import PosteriorObjective
from gaussmix._src.errors import name_components, warn
from gaussmix._src.families.base import Family
from gaussmix._src.fit.fitted import Diagnosis, FitResult
from gaussmix._src.fit.options.base import FitOption
from gaussmix._src.fit.options.table import INITIAL_PARAMETERS
from gaussmix._src.fit.problem import Problem
from gaussmix._src.validation.initial import check_init_parameters
from gaussmix._src.validation.parameters import check_column_names, check_counts, check_family
from gaussmix._src.validation.restrictions import check_terms, set_terms

MIN_EXPECTED_ROWS = 0.5  # with fewer expected rows, a component is determined only by its prior


class Priors(FitOption):
    """Fit option for priors and fixed parameters."""

    can_run_in_core = False

    def check_parameters(self) -> Sequence[str]:
        estimator = self.estimator
        # Model selection itself checks which structures support the prior.
        families = [] if hasattr(estimator, "criterion") else [check_family(estimator)]
        self._terms = check_terms(estimator, families, max(check_counts(estimator.n_components)))
        if self._terms.is_empty:
            return ()
        options = getattr(estimator.restrictions, "non_default_params", {})
        used_names = [*set_terms(estimator), *(name for name in options if np.size(options[name]))]
        used_names += ["component indices"] if self._terms.has_component_terms else []
        return [*used_names, "prior on the weights"] if np.any(self._terms.weight_update.concentration) else used_names

    def adapt_problem(self, problem: Problem, candidates: Sequence[tuple[Family, int]]) -> Problem:
        terms = self._terms
        for name in ("mean", "scale"):
            value = getattr(terms.prior, name, None)
            check_column_names(f"the prior's {name}", value, self.estimator._names)
        if any(getattr(self.estimator, name, None) is not None for name in INITIAL_PARAMETERS):
            # Only `GaussianMixture`, which has a single candidate, has initial parameters.
            user_init = check_init_parameters(self.estimator, *candidates[0], problem.data.raw_source)
            terms = terms.with_initial_values(user_init.weights, user_init.means, user_init.covariances)
        return replace(problem, terms=terms)

    def adapt_result(self, fitted: FitResult, problem: Problem, run: EMState) -> FitResult:
        assert fitted.outcome is not None, "the fit has just ended"
        idle, diagnoses = find_prior_only_components(problem, run), list(fitted.outcome.diagnostics)
        warn(describe_prior_only_components(idle))
        index = next((i for i, each in enumerate(diagnoses) if each.component is None), len(diagnoses))
        cause = "almost no row belongs to it, so only the prior determines it"
        diagnoses[index:index] = [Diagnosis(k, None, None, cause) for k in idle]
        outcome = replace(fitted.outcome, diagnostics=diagnoses)
        fitted = replace(fitted, outcome=outcome, n_fixed=problem.objective.n_fixed_parameters(run.model))
        # Without model selection, the stored log-likelihood would contain the log density of the prior.
        return fitted if fitted.results is not None else fitted.without_likelihood()


def find_prior_only_components(problem: Problem, final_state: EMState) -> list[int]:
    """Return the components that only the prior determines, because their expected number of rows is below one half."""
    objective = problem.objective
    # Variational fits have a different report of components that only the prior determines.
    if type(objective) is not PosteriorObjective or objective.prior is None:
        return []
    total_weight = problem.data.raw_source.row_totals.total_weight
    light = np.flatnonzero(final_state.model.weights * total_weight < MIN_EXPECTED_ROWS).tolist()
    return [
        k
        for k in light
        if k not in final_state.trace.frozen_components and k not in objective.weight_update.fixed_weights
    ]


def describe_prior_only_components(components: Sequence[int]) -> str | None:
    """Return a warning, with advice, that only the prior determines `components`; None if `components` is empty."""
    if not components:
        return None
    return (
        f"{name_components(components)}: almost no row belongs there, so only the prior determines mean and "
        "covariance. Lower n_components, or lower shrinkage and dof of the prior."
    )
