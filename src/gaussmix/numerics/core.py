"""The C++ core."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING

from gaussmix.errors import warn

if TYPE_CHECKING:
    from gaussmix._core import Target


@cache
def native_target() -> Target:
    """The core for the best instruction set that this processor has and that was compiled."""
    import gaussmix._core as core

    target = core.active()
    assert target is not None, "the portable kernels run anywhere"
    if (faster := core.omitted()) and not os.environ.get("GAUSSMIX_ISA"):
        warn(
            f"gaussmix was compiled without the faster kernels that this processor can run ({faster}). Install it from "
            "source on this machine, or with GAUSSMIX_INSTRUCTION_SETS=all in the environment."
        )
    return target
