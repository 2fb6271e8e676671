"""Where a fit begins: at parameters such as `means_init`, with `warm_start` at the mixture of the fit before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gaussmix._src.fit.features.base import FitFeature
from gaussmix._src.fit.plan import Plan
from gaussmix._src.fit.problem import Problem
from gaussmix._src.validation.initial import given_parameters
from gaussmix._src.validation.parameters import check_flag, check_start_names, seed_kept

_NAMES = "weights_init", "means_init", "precisions_init", "covariances_init"


class GivenParameters(FitFeature):
    """Parameters that a fit starts from."""

    def used(self) -> Sequence[str]:
        return [name for name in _NAMES if getattr(self.estimator, name) is not None]

    def plan(self, plan: Plan, problem: Problem) -> Plan:
        given = given_parameters(self.estimator, problem.family, problem.n_components, problem.data.original)
        is_complete = not (given.weights is None or given.means is None or given.covariances is None)
        draws_nothing = is_complete or (given.means is not None and check_start_names(self.estimator.init_params))
        starts = plan.starts[:1] if draws_nothing else plan.starts
        return replace(plan, given=given, starts=starts, may_search=False, in_one_call=False)


class WarmStart(FitFeature):
    """A start from the mixture of the fit before, if it has the size and the structure of this one."""

    def used(self) -> Sequence[str]:
        self._put_back = seed_kept(self.estimator.random_state)
        return ("warm_start",) if check_flag("warm_start", self.estimator.warm_start) else ()

    def plan(self, plan: Plan, problem: Problem) -> Plan:
        start = self.estimator._onward(problem)
        if start is None:
            return plan
        self._put_back()
        return replace(plan, starts=[start])
