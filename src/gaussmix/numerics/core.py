"""The C++ core."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gaussmix._core import Target


@cache
def native_target() -> Target:
    """The core for the best instruction set that this processor has."""
    import gaussmix._core as core

    target = core.active()
    assert target is not None, "the portable kernels run anywhere"
    return target
