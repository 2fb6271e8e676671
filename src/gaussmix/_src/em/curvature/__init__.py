"""Derivatives of the objective at a mixture, which certificates of optimality and standard errors need."""

from typing import TYPE_CHECKING

from gaussmix._src.lazy import modules

if TYPE_CHECKING:
    from gaussmix._src.em.curvature import certify as certify
else:
    __getattr__ = modules(__name__, "certify")
