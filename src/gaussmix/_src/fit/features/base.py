"""What an option of a fit is: five methods, each of which returns its argument unchanged by default."""

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
    """Something that a fit uses besides rows, a structure and starts. It is also the context in which the fit runs.

    It is made before rows are read, and checks the parameters that ask for it. `used_names` says what of it the fit
    uses, in the names of `UNSUPPORTED_PAIRS`. If that is nothing, because the values mean the same as the defaults, it
    is left out.

    Parameters
    ----------
    estimator : with its parameters.
    arguments : those of `fit`, by name; of the fit of a stream, `partial_fit` alone.

    Raises
    ------
    ValueError, TypeError : a parameter can't be used.
    """

    is_sequential = False  # whether the candidates of a model selection have to be fitted one after the other

    def __init__(self, estimator: Any, arguments: Mapping[str, Any]) -> None:
        self.estimator, self.arguments = estimator, arguments
        self.used_names = self.check_parameters()

    @abstractmethod
    def check_parameters(self) -> Sequence[str]:
        """Check the parameters, and say what of the feature the fit uses."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        return None

    def adapt_source(self, source: Source) -> Source:
        """The rows of the fit, from the checked rows of X."""
        return source

    def adapt_problem(self, problem: Problem, candidates: Sequence[tuple[Family, int]]) -> Problem:
        """What is fitted. `candidates` are all structures and numbers of components; the problem is of the first."""
        return problem

    def adapt_plan(self, plan: Plan, problem: Problem) -> Plan:
        """How it is fitted."""
        return plan

    def adapt_runs(self, runs: Iterable[EMRun], problem: Problem, plan: Plan) -> Iterable[EMRun]:
        """The runs of EM, one for each start; in a model selection those of one candidate."""
        return runs

    def adapt_result(self, fitted: FitResult, problem: Problem, run: EMState) -> FitResult:
        """What the fit found, from the end of its best run."""
        return fitted


FitOptions = Sequence[FitOption]
