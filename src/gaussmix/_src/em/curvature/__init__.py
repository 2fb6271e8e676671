"""Derivatives of the objective at a mixture, for optimality certificates and standard errors."""

from typing import TYPE_CHECKING

from gaussmix._src.lazy import modules

if TYPE_CHECKING:
    from gaussmix._src.em.curvature import certify as certify
else:
    __getattr__ = modules(__name__, "certify")
