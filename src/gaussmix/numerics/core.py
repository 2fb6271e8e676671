"""The C++ core."""

from __future__ import annotations

from functools import cache

import gaussmix._core as core

__all__ = ["core", "native_target"]


@cache
def native_target() -> core.Target:
    """The core for the best instruction set that this processor has."""
    target = core.active()
    assert target is not None, "the portable kernels run anywhere"
    return target
