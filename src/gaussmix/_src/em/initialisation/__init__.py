"""Initialisation: methods for the first assignment of rows to components."""

from typing import TYPE_CHECKING

from gaussmix._src.lazy import modules

if TYPE_CHECKING:
    from gaussmix._src.em.initialisation import condensation as condensation
    from gaussmix._src.em.initialisation import imputation as imputation
    from gaussmix._src.em.initialisation import label_matching as label_matching
else:
    __getattr__ = modules(__name__, "condensation imputation label_matching")
