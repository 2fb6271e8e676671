"""All engines by name: the engines of the package, and the reference engine that they are compared with."""

from dataclasses import dataclass, replace
from typing import Any

import array_api_strict as strict
import numpy as np
from reference_engine import OneStep, ReferenceEngine

from gaussmix._src.engines.complete.engine import CompleteEngine
from gaussmix._src.engines.device.engine import DeviceEngine
from gaussmix._src.engines.truncated import TruncatedEngine
from gaussmix._src.numerics.device_array import DeviceArray


@dataclass(frozen=True)
class AllCandidates(TruncatedEngine):
    """Truncated engine in which every component is a candidate; for shared covariances, the exact engine runs."""

    n_candidates: int = 99

    def step(self, block: Any, state: Any, parameters: Any, *arguments: Any) -> Any:
        if parameters is not None and parameters.whitening.is_shared:
            return self.complete_engine.step(block, state, parameters, *arguments[:3])
        return super().step(block, state, parameters, *arguments)


class OnStrictDevice(DeviceEngine):
    """Engine of rows in an array_api_strict array, which NumPy functions cannot read."""

    def make_state(self, block: Any, n_components: int) -> Any:
        return super().make_state(on_strict_device(block), n_components)

    def step(self, block: Any, *arguments: Any) -> Any:
        return super().step(on_strict_device(block), *arguments)

    def _evaluate_rows(self, on_host: Any, function: Any, block: Any, *arguments: Any, **options: Any) -> Any:
        return np.asarray(super()._evaluate_rows(on_host, function, on_strict_device(block), *arguments, **options))


def on_strict_device(block: Any) -> Any:
    """Move the rows and the weights of a block to a device; a block without rows, which no source yields, stays."""
    if not block.n_rows or isinstance(block.rows, DeviceArray):
        return block
    rows, weight = (None if each is None else to_strict(each) for each in (block.rows, block.row_weight))
    return replace(block, rows=DeviceArray(rows), row_weight=None if weight is None else DeviceArray(weight))


def to_strict(values: Any) -> Any:
    """Copy an array to a device of array_api_strict."""
    return strict.asarray(np.array(values), device=strict.Device("device1"))


ENGINES: dict[str, Any] = {"complete": CompleteEngine, "reference": lambda n_threads: ReferenceEngine()}
ENGINES |= {"truncated": TruncatedEngine, "all candidates": AllCandidates, "device": OnStrictDevice}


@dataclass(frozen=True)
class Stepwise(OneStep):
    """Wrapper of an engine that supports only single steps."""

    engine: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)
