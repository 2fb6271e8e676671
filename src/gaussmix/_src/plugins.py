"""Extensions from other packages, found by their entry points. Entry points are searched only if a name is unknown."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


@cache
def points(group: str) -> Mapping[str, EntryPoint]:
    """Return the entry points of a group in all installed packages, by name."""
    from importlib.metadata import entry_points  # 40 ms, which a fit with built-in parts does not wait for

    return {point.name: point for point in entry_points(group=group)}


def load(group: str, name: str) -> Any:
    """Import what a package offers under a name in "gaussmix.families" or "gaussmix.sources"; None if none does.

    Raises ImportError if the package can't be imported.
    """
    point = points(group).get(name)
    if point is None:
        return None
    try:
        return point.load()
    except Exception as error:
        package = point.dist.name if point.dist else point.value
        raise ImportError(f"The package {package!r} offers {name!r}, but {point.value!r} fails: {error}") from error
