"""Run a fit: the problem, the plan, the run itself and the result."""

from typing import TYPE_CHECKING

from gaussmix._src.lazy import modules

if TYPE_CHECKING:
    from gaussmix._src.fit import ridge as ridge
else:
    __getattr__ = modules(__name__, "ridge")
