"""Derivatives of the objective with respect to parameters, for certificates of optimality and standard errors."""

from typing import TYPE_CHECKING

from gaussmix._src.lazy import modules

if TYPE_CHECKING:
    from gaussmix._src.em.curvature import certify as certify
else:
    __getattr__ = modules(__name__, "certify")
