"""One way to run a fit: what is to be fitted, how, and what was found."""

from typing import TYPE_CHECKING

from gaussmix._src.lazy import modules

if TYPE_CHECKING:
    from gaussmix._src.fit import ridge as ridge
else:
    __getattr__ = modules(__name__, "ridge")
