"""The version of gaussmix. This module has no slow imports, so that `gaussmix --version` is fast."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def package_version() -> str:
    """Return the version of gaussmix, or "unknown" if it runs from a source tree that was never installed."""
    try:
        return version("gaussmix")
    except PackageNotFoundError:
        return "unknown"
