"""The engine, and the oracle that the laws compare it with."""

from dataclasses import dataclass
from typing import Any

from reference_engine import OneStep, ReferenceEngine

from gaussmix._src.engines.base import Engine
from gaussmix._src.engines.complete.engine import CompleteEngine

ENGINES = {"complete": CompleteEngine, "reference": lambda n_threads: ReferenceEngine()}


@dataclass(frozen=True)
class Stepwise(OneStep):
    """An engine that makes single steps only, as `engine` makes them."""

    engine: Engine[Any]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)
