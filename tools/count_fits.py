"""A pytest plugin that counts fits by gaussmix. A run without a fit fails, even if its tests pass."""

from __future__ import annotations

import functools
from typing import Any

import pytest

import gaussmix

fits = 0


def _counted(fit: Any) -> Any:
    @functools.wraps(fit)
    def counted(*arguments: Any, **options: Any) -> Any:
        global fits
        fits += 1
        return fit(*arguments, **options)

    return counted


def pytest_configure() -> None:
    """Count the fits of both classes."""
    for cls in (gaussmix.GaussianMixture, gaussmix.BayesianGaussianMixture):
        cls.fit = _counted(cls.fit)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Make a run without fits fail."""
    if not fits and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the number of fits."""
    terminalreporter.write_line(f"{fits} fits by gaussmix")
