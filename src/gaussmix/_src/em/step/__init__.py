"""One run of EM: from a model and an objective it yields the states, step by step, or the best end of several runs."""

from typing import TYPE_CHECKING

from gaussmix._src.lazy import modules

if TYPE_CHECKING:
    from gaussmix._src.em.step import acceleration as acceleration
    from gaussmix._src.em.step import online as online
else:
    __getattr__ = modules(__name__, "acceleration online")
