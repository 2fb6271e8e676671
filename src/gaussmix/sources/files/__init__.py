"""Tables in files, read ahead of the work, as sources."""

from typing import TYPE_CHECKING

from gaussmix.lazy import modules

if TYPE_CHECKING:
    from gaussmix.sources.files import listing as listing
    from gaussmix.sources.files import npy as npy
else:
    __getattr__ = modules(__name__, "listing npy")
