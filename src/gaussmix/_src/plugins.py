"""Extensions from other packages, which are found through entry points if a name is unknown in gaussmix."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


@cache
def points(group: str) -> Mapping[str, EntryPoint]:
    """Return a mapping from names to the entry points of a group in all installed packages."""
    from importlib.metadata import entry_points  # imported here because the import takes 40 ms

    return {point.name: point for point in entry_points(group=group)}


def load(group: str, name: str) -> Any:
    """Import the object that a package registers by an entry point; return None if no package registers this name.

    `group` is "gaussmix.families" or "gaussmix.sources". Raises ImportError if the package can't be imported.
    """
    point = points(group).get(name)
    if point is None:
        return None
    try:
        return point.load()
    except Exception as error:
        package = point.dist.name if point.dist else point.value
        raise ImportError(f"{package!r} offers {name!r}, but importing {point.value!r} fails: {error}") from error
