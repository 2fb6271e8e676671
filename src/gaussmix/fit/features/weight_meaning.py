"""`weight_meaning`: what `sample_weight` says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gaussmix.door.rows import as_meant, check_meaning
from gaussmix.fit.features.base import FitFeature
from gaussmix.sources.base import Source


class WeightMeaning(FitFeature):
    """Weights that are precisions."""

    def __init__(self, estimator: Any, arguments: Mapping[str, Any]) -> None:
        self._meaning = check_meaning(estimator.weight_meaning)
        self.uses = ("weight_meaning='precision'",) if self._meaning == "precision" else ()

    def rows(self, source: Source) -> Source:
        return as_meant(source, self._meaning)
