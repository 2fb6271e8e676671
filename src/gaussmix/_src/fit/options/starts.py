"""Implement initial parameters such as `means_init`, and `warm_start`, which starts from the previous mixture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gaussmix._src.fit.options.base import FitOption
from gaussmix._src.fit.options.table import INITIAL_PARAMETERS
from gaussmix._src.fit.plan import Plan
from gaussmix._src.fit.problem import Problem
from gaussmix._src.validation.initial import check_init_parameters
from gaussmix._src.validation.parameters import check_flag, check_start_names, seed_restorer


class InitialValues(FitOption):
    """Fit option for initial parameters that the user passed."""

    def check_parameters(self) -> Sequence[str]:
        return [name for name in INITIAL_PARAMETERS if getattr(self.estimator, name) is not None]

    def adapt_plan(self, plan: Plan, problem: Problem) -> Plan:
        user_init = check_init_parameters(self.estimator, problem.family, problem.n_components, problem.data.raw_source)
        is_complete = not (user_init.weights is None or user_init.means is None or user_init.covariances is None)
        draws_nothing = is_complete or (user_init.means is not None and check_start_names(self.estimator.init_params))
        starts = plan.starts[:1] if draws_nothing else plan.starts
        return replace(plan, user_init=user_init, starts=starts, may_search=False, can_run_in_core=False)


class WarmStart(FitOption):
    """Fit option that starts EM from the previous mixture, if it has the size and structure of the new mixture."""

    def check_parameters(self) -> Sequence[str]:
        self._restore_seed = seed_restorer(self.estimator.random_state)
        return ("warm_start",) if check_flag("warm_start", self.estimator.warm_start) else ()

    def adapt_plan(self, plan: Plan, problem: Problem) -> Plan:
        start = self.estimator._model_start(problem)
        if start is None:
            return plan
        self._restore_seed()
        return replace(plan, starts=[start])
