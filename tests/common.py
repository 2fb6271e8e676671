"""What many tests need of the inside of gaussmix: where it lies is said here alone."""

from gaussmix.sources.array import ArraySource
from gaussmix.sources.files.base import FileSource
from gaussmix.testing.closeness import EPS, assert_close, assert_same_bits
from gaussmix.testing.problems import groups, moved
from gaussmix.waist.block import Block
from gaussmix.waist.leaves import LEAF_ROWS

__all__ = [
    "EPS",
    "LEAF_ROWS",
    "ArraySource",
    "Block",
    "FileSource",
    "assert_close",
    "assert_same_bits",
    "groups",
    "moved",
]
