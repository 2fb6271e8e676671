"""A pytest plugin that runs scikit-learn's own mixture tests on `gaussmix.GaussianMixture`.

Loaded with ``-p redirect`` before scikit-learn's test modules are imported, so that they find our class under
scikit-learn's names. Its private functions stay scikit-learn's own.
"""

from __future__ import annotations

import sys

import pytest
import sklearn.mixture

import gaussmix

THEIRS = sklearn.mixture.GaussianMixture

for name, module in list(sys.modules.items()):
    if name.startswith("sklearn.mixture") and vars(module).get("GaussianMixture") is THEIRS:
        module.GaussianMixture = gaussmix.GaussianMixture


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what does not concern our class on NumPy arrays."""
    dropped = [item for item in items if _is_not_ours(item)]
    config.hook.pytest_deselected(items=dropped)
    items[:] = [item for item in items if item not in dropped]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse to test scikit-learn with scikit-learn."""
    for item in session.items:
        if item.module.GaussianMixture is not gaussmix.GaussianMixture:
            raise pytest.UsageError(f"{item.module.__name__} was imported before its names were replaced")


def _is_not_ours(item: pytest.Item) -> bool:
    """Another estimator's case, or arrays of a library that may or may not be installed here (torch, cupy, …)."""
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    estimator = parameters.get("estimator")
    is_other_estimator = estimator is not None and not isinstance(estimator, gaussmix.GaussianMixture)
    return is_other_estimator or parameters.get("array_namespace", "numpy") != "numpy"
