"""Access to the C++ core, gaussmix._core."""

from __future__ import annotations

import os
from functools import cache

import gaussmix._core as core
from gaussmix._src.errors import warn

__all__ = ["COMPONENTS", "LABELS", "LOG_DENSITY", "RESPONSIBILITIES", "core", "native_target"]

LOG_DENSITY, RESPONSIBILITIES, COMPONENTS, LABELS = range(4)  # outputs of `Target.evaluate`; COMPONENTS is log p(x, k)


@cache
def native_target() -> core.Target:
    """Return the C++ core, compiled for the best instruction set that this processor supports."""
    target = core.active()
    assert target is not None, "the portable kernels run anywhere"
    if (faster := core.omitted()) and not os.environ.get("GAUSSMIX_ISA"):
        warn(
            f"gaussmix was compiled without the faster kernels that this processor can run ({faster}). Install it from "
            "source on this machine, or set GAUSSMIX_INSTRUCTION_SETS=all in the environment before installing it."
        )
    return target
