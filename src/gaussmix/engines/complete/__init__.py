"""The engine of complete rows: the C++ core."""

from typing import TYPE_CHECKING

from gaussmix.lazy import modules

if TYPE_CHECKING:
    from gaussmix.engines.complete import far as far
else:
    __getattr__ = modules(__name__, "far")
