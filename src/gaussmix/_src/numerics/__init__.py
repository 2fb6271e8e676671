"""General numerical tools: elementary functions, factorisations, axes, hashing, and access to the C++ core."""

from typing import TYPE_CHECKING

from gaussmix._src.lazy import modules

if TYPE_CHECKING:
    from gaussmix._src.numerics import frames as frames
else:
    __getattr__ = modules(__name__, "frames")
