"""The engine, and the oracle that the laws compare it with."""

from dataclasses import dataclass
from typing import Any

from reference_engine import OneStep, ReferenceEngine

from gaussmix._src.engines.complete.engine import CompleteEngine
from gaussmix._src.engines.truncated import TruncatedEngine


@dataclass(frozen=True)
class AllCandidates(TruncatedEngine):
    """Truncated EM in which every component is a candidate; exact EM where components share a matrix."""

    n_candidates: int = 99

    def step(self, block: Any, state: Any, parameters: Any, *arguments: Any) -> Any:
        if parameters is not None and parameters.whitening.is_shared:
            return self.complete_engine.step(block, state, parameters, *arguments[:3])
        return super().step(block, state, parameters, *arguments)


ENGINES: dict[str, Any] = {"complete": CompleteEngine, "reference": lambda n_threads: ReferenceEngine()}
ENGINES |= {"truncated": TruncatedEngine, "all candidates": AllCandidates}


@dataclass(frozen=True)
class Stepwise(OneStep):
    """An engine that makes single steps only, as `engine` makes them."""

    engine: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)
