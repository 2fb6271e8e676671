"""Define the problem and the plan of a fit, run the fit, and store its result."""

from typing import TYPE_CHECKING

from gaussmix._src.lazy import modules

if TYPE_CHECKING:
    from gaussmix._src.fit import ridge as ridge
else:
    __getattr__ = modules(__name__, "ridge")
