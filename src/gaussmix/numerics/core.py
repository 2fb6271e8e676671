"""The one place that finds out whether the C++ core can run on this machine."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gaussmix._core import Target


@cache
def native_target() -> Target | None:
    """The core for the best instruction set that this processor has; None if the core cannot run."""
    return _target_or_reason()[0]


def why_not_native() -> str:
    """A sentence on what keeps the core from running."""
    return _target_or_reason()[1]


@cache
def _target_or_reason() -> tuple[Target | None, str]:
    try:
        import gaussmix._core as core
    except ModuleNotFoundError:
        return None, "Its C++ core is not installed; gcc or clang (on Windows clang-cl) compiles it from source."
    except ImportError as error:  # it lacks symbols, or was compiled for another platform
        return None, f"Its C++ core cannot be loaded ({error}); reinstall gaussmix."
    return core.active(), "Its C++ core has no kernels for this processor: they need arm64, or x86-64 with AVX2."
