"""The one place that knows whether the C++ core can run on this machine."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gaussmix._core import Target


@cache
def native_target() -> Target | None:
    """The best instruction set of the C++ core that this processor has; None where there is none."""
    try:
        from gaussmix import _core
    except ImportError:
        return None
    return _core.active()
