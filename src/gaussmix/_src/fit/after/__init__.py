"""Analyse a finished fit by resampling, standard errors, and tests of the number of components."""

from typing import TYPE_CHECKING

from gaussmix._src.lazy import modules

if TYPE_CHECKING:
    from gaussmix._src.fit.after import bootstrap as bootstrap
    from gaussmix._src.fit.after import diagnostics as diagnostics
    from gaussmix._src.fit.after import inference as inference
else:
    __getattr__ = modules(__name__, "bootstrap diagnostics inference")
