"""All engines by name: the engines of the package, and the reference engine that they are compared with."""

from dataclasses import dataclass
from typing import Any

from reference_engine import OneStep, ReferenceEngine

from gaussmix._src.engines.complete.engine import CompleteEngine
from gaussmix._src.engines.truncated import TruncatedEngine


@dataclass(frozen=True)
class AllCandidates(TruncatedEngine):
    """Truncated engine in which every component is a candidate, but an exact engine for shared covariances."""

    n_candidates: int = 99

    def step(self, block: Any, state: Any, parameters: Any, *arguments: Any) -> Any:
        if parameters is not None and parameters.whitening.is_shared:
            return self.complete_engine.step(block, state, parameters, *arguments[:3])
        return super().step(block, state, parameters, *arguments)


ENGINES: dict[str, Any] = {"complete": CompleteEngine, "reference": lambda n_threads: ReferenceEngine()}
ENGINES |= {"truncated": TruncatedEngine, "all candidates": AllCandidates}


@dataclass(frozen=True)
class Stepwise(OneStep):
    """Wrapper of an engine that supports only single steps."""

    engine: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)
