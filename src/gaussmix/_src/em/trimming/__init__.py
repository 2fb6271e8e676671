"""EM on the rows that are not trimmed: the least probable rows have no part in a step."""

from typing import TYPE_CHECKING

from gaussmix._src.lazy import modules

if TYPE_CHECKING:
    from gaussmix._src.em.trimming import trimming as trimming
else:
    __getattr__ = modules(__name__, "trimming")
