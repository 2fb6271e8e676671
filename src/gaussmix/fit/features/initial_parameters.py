"""`weights_init`, `means_init`, `precisions_init` and `covariances_init`: parameters that a fit starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gaussmix.door.initial import given_parameters
from gaussmix.door.parameters import check_start_names
from gaussmix.fit.features.base import FitFeature
from gaussmix.fit.plan import Plan
from gaussmix.fit.problem import Problem

_NAMES = "weights_init", "means_init", "precisions_init", "covariances_init"


class GivenParameters(FitFeature):
    """Parameters that a fit starts from."""

    def __init__(self, estimator: Any, arguments: Mapping[str, Any]) -> None:
        self._estimator = estimator
        self.uses = [name for name in _NAMES if getattr(estimator, name) is not None]

    def plan(self, plan: Plan, problem: Problem) -> Plan:
        given = given_parameters(self._estimator, problem.family, problem.n_components, problem.data.original)
        is_complete = not (given.weights is None or given.means is None or given.covariances is None)
        draws_nothing = is_complete or (given.means is not None and check_start_names(self._estimator.init_params))
        starts = plan.starts[:1] if draws_nothing else plan.starts
        return replace(plan, given=given, starts=starts, may_search=False, in_one_call=False)
