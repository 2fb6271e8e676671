"""Define the problem and the settings of a fit, run the fit, and store the result of the fit."""

from typing import TYPE_CHECKING

from gaussmix._src.lazy import modules

if TYPE_CHECKING:
    from gaussmix._src.fit import ridge as ridge
    from gaussmix._src.fit import saved_result as saved_result
else:
    __getattr__ = modules(__name__, "ridge saved_result")
