"""Starts: how rows are first shared among components."""

from typing import TYPE_CHECKING

from gaussmix._src.lazy import modules

if TYPE_CHECKING:
    from gaussmix._src.em.initialisation import condensed as condensed
    from gaussmix._src.em.initialisation import guided as guided
else:
    __getattr__ = modules(__name__, "condensed guided")
