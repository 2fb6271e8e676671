"""Laws of sources."""

from gaussmix.sources.array import ArraySource
from gaussmix.testing import check_source


def test_an_array_keeps_the_laws_of_sources(rng):
    check_source(ArraySource, rng)
