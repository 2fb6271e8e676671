"""The one place that finds out whether the C++ core can run on this machine."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gaussmix._core import Target


@cache
def native_target() -> Target | None:
    """The core for the best instruction set that this processor has; None if the core cannot run."""
    try:
        from gaussmix import _core
    except ImportError:
        return None
    return _core.active()
