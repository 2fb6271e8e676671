"""The version of gaussmix, apart from all that is slow to import: `gaussmix --version` needs no more."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def package_version() -> str:
    """The version of gaussmix; "unknown" if it runs from a source tree that was never installed."""
    try:
        return version("gaussmix")
    except PackageNotFoundError:
        return "unknown"
