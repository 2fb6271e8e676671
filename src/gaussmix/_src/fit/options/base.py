"""Define the interface of fit options: five methods that, by default, return their first argument unchanged."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from gaussmix._src.em.objective.trace import EMState
    from gaussmix._src.em.step.best_of import EMRun
    from gaussmix._src.families.base import Family
    from gaussmix._src.fit.fitted import FitResult
    from gaussmix._src.fit.plan import Plan
    from gaussmix._src.fit.problem import Problem
    from gaussmix._src.sources.base import Source


class FitOption(ABC):
    """An option of a fit, which is also a context manager that is active during the fit.

    The option is created before rows are read, and checks the parameters that request the option. The attribute
    `used_names` lists the names in `UNSUPPORTED_PAIRS` that apply to this fit. If `used_names` is empty, because the
    parameters are equivalent to their defaults, the fit does not use the option.

    Parameters
    ----------
    estimator : estimator that is fitted, with its parameters.
    arguments : arguments of `fit` by name; for a stream, the only key is `partial_fit`.

    Raises
    ------
    ValueError, TypeError : a parameter has an invalid value.
    """

    is_sequential = False  # whether a model selection must fit its candidates one after another
    can_run_in_core = True  # if False, `adapt_plan` by default sets `Plan.can_run_in_core` to False

    def __init__(self, estimator: Any, arguments: Mapping[str, Any]) -> None:
        self.estimator, self.arguments = estimator, arguments
        self.used_names = self.check_parameters()

    @abstractmethod
    def check_parameters(self) -> Sequence[str]:
        """Check the parameters of the option, and return the names in `UNSUPPORTED_PAIRS` that apply to the fit."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        return None

    def adapt_source(self, source: Source) -> Source:
        """Return the rows to fit, given the validated rows of X."""
        return source

    def adapt_problem(self, problem: Problem, candidates: Sequence[tuple[Family, int]]) -> Problem:
        """Return the problem changed by this option; `candidates` lists all pairs (structure, number of components)."""
        return problem

    def adapt_plan(self, plan: Plan, problem: Problem) -> Plan:
        """Return the plan (settings of the fit) changed by this option."""
        return plan if self.can_run_in_core else replace(plan, can_run_in_core=False)

    def adapt_runs(self, runs: Iterable[EMRun], problem: Problem, plan: Plan) -> Iterable[EMRun]:
        """Return the EM runs of one fit, changed by this option; a model selection makes one fit per candidate."""
        return runs

    def adapt_result(self, fitted: FitResult, problem: Problem, run: EMState) -> FitResult:
        """Return the result of the fit changed by this option; `run` is the final state of the best run."""
        return fitted


FitOptions = Sequence[FitOption]
