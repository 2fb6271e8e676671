"""Trimmed EM, in which every step leaves out the least probable rows of the data."""

from typing import TYPE_CHECKING

from gaussmix._src.lazy import modules

if TYPE_CHECKING:
    from gaussmix._src.em.trimming import trimming as trimming
else:
    __getattr__ = modules(__name__, "trimming")
