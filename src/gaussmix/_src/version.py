"""The version of gaussmix, in a module without slow imports, so that `gaussmix --version` is fast."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def package_version() -> str:
    """Return the version of gaussmix, or "unknown" if it runs from a source tree that was never installed."""
    try:
        return version("gaussmix")
    except PackageNotFoundError:
        return "unknown"
