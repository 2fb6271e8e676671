"""`forgetting`: how fast a stream is forgotten, which only `partial_fit` needs to know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gaussmix.door.parameters import check_rate
from gaussmix.fit.features.base import FitFeature


class Forgetting(FitFeature):
    """Check `forgetting`; no fit uses it."""

    def __init__(self, estimator: Any, arguments: Mapping[str, Any]) -> None:
        check_rate(estimator.forgetting)
