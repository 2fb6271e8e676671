"""A pytest plugin that runs scikit-learn's own mixture tests on gaussmix's classes with the same names.

The plugin is loaded with ``-p redirect`` before scikit-learn's test modules are imported, so that they find gaussmix's
classes under scikit-learn's names. scikit-learn's private functions are not replaced.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

import pytest
import sklearn.mixture

import gaussmix

GAUSSMIX_CLASSES = {name: getattr(gaussmix, name) for name in ("GaussianMixture", "BayesianGaussianMixture")}
SKLEARN_CLASSES = {name: getattr(sklearn.mixture, name) for name in GAUSSMIX_CLASSES}

for module_name, module in list(sys.modules.items()):
    for name, cls in GAUSSMIX_CLASSES.items():
        if module_name.startswith("sklearn.mixture") and vars(module).get(name) is SKLEARN_CLASSES[name]:
            setattr(module, name, cls)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests that do not concern gaussmix's classes on NumPy arrays."""
    dropped = [item for item in items if _is_excluded(item)]
    config.hook.pytest_deselected(items=dropped)
    items[:] = [item for item in items if item not in dropped]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Raise an error if a test module still uses scikit-learn's classes."""
    for item in session.items:
        if any(vars(item.module).get(name, cls) is not cls for name, cls in GAUSSMIX_CLASSES.items()):
            raise pytest.UsageError(f"{item.module.__name__} was imported before its names were replaced")


def _is_excluded(item: pytest.Item) -> bool:
    """Check whether a test is for another estimator, or for arrays of a library that may not be installed here."""
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    estimator = parameters.get("estimator")
    is_other_estimator = estimator is not None and not isinstance(estimator, tuple(GAUSSMIX_CLASSES.values()))
    library, device = parameters.get("array_namespace", "numpy"), parameters.get("device_name")
    is_absent = library not in ("numpy", "array_api_strict", "torch") or find_spec(library) is None
    return is_other_estimator or is_absent or device in ("cuda", "mps", "xpu")
