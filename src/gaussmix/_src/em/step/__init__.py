"""Runs of EM, which yield a state after each step, and the choice of the best of several runs."""

from typing import TYPE_CHECKING

from gaussmix._src.lazy import modules

if TYPE_CHECKING:
    from gaussmix._src.em.step import acceleration as acceleration
    from gaussmix._src.em.step import online as online
else:
    __getattr__ = modules(__name__, "acceleration online")
