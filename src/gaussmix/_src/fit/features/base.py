"""Define the interface of fit options: five methods that return their argument unchanged by default."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
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
    """An option of a fit, which is also a context manager for the duration of the fit.

    The option is created before rows are read, and checks the parameters that request it. The attribute `used_names`
    lists the names in `UNSUPPORTED_PAIRS` that apply to this fit. If `used_names` is empty, because the parameters are
    equivalent to their defaults, the option is dropped.

    Parameters
    ----------
    estimator : estimator with its parameters.
    arguments : arguments of `fit` by name; for a stream, the only key is `partial_fit`.

    Raises
    ------
    ValueError, TypeError : a parameter has an invalid value.
    """

    is_sequential = False  # whether candidates of a model selection must be fitted one after the other

    def __init__(self, estimator: Any, arguments: Mapping[str, Any]) -> None:
        self.estimator, self.arguments = estimator, arguments
        self.used_names = self.check_parameters()

    @abstractmethod
    def check_parameters(self) -> Sequence[str]:
        """Check the parameters, and return the names in `UNSUPPORTED_PAIRS` that the fit uses."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        return None

    def adapt_source(self, source: Source) -> Source:
        """Return the rows of the fit, given the validated rows of X."""
        return source

    def adapt_problem(self, problem: Problem, candidates: Sequence[tuple[Family, int]]) -> Problem:
        """Return the problem of the fit; `candidates` lists all pairs of a structure and a number of components."""
        return problem

    def adapt_plan(self, plan: Plan, problem: Problem) -> Plan:
        """Return the plan of the fit."""
        return plan

    def adapt_runs(self, runs: Iterable[EMRun], problem: Problem, plan: Plan) -> Iterable[EMRun]:
        """Return the EM runs, one per initialisation; in a model selection, the runs of one candidate."""
        return runs

    def adapt_result(self, fitted: FitResult, problem: Problem, run: EMState) -> FitResult:
        """Return the result of the fit, given the final state of the best run."""
        return fitted


FitOptions = Sequence[FitOption]
