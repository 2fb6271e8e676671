"""Random numbers that depend only on a key and a row number: the reference for cpp/kernels/philox.hpp."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.numerics.arrays import Array

Words32 = NDArray[np.uint64]  # 32-bit words, stored in 64-bit integers

LABEL_STREAM = 1  # last word of the counters for uniform variates that select components; 0 for normal variates
LOW_WORD_MASK = np.uint64(0xFFFFFFFF)
WORD_BITS = np.uint64(32)
PHILOX_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
PHILOX_KEY_INCREMENTS = 0x9E3779B9, 0xBB67AE85
N_PHILOX_ROUNDS = 10


def philox(counter: tuple[Words32, Words32, Words32, Words32], key: int) -> tuple[Words32, Words32, Words32, Words32]:
    """Return four random 32-bit words (Philox4x32-10) for each counter of four 32-bit words.

    See Salmon, Moraes, Dror & Shaw (2011), "Parallel random numbers: as easy as 1, 2, 3", SC11, section 3.3.

    Parameters
    ----------
    counter : four arrays with words 0 to 3 of the counters, the lowest word first. The arrays are broadcast against
        each other.
    key : 64-bit key of the random numbers.
    """
    a, b, c, d = counter
    keys = [key & 0xFFFFFFFF, key >> 32]
    for _ in range(N_PHILOX_ROUNDS):
        p, q = PHILOX_MULTIPLIERS[0] * a, PHILOX_MULTIPLIERS[1] * c
        a, b = (q >> WORD_BITS) ^ b ^ np.uint64(keys[0]), q & LOW_WORD_MASK
        c, d = (p >> WORD_BITS) ^ d ^ np.uint64(keys[1]), p & LOW_WORD_MASK
        keys = [(word + step) & 0xFFFFFFFF for word, step in zip(keys, PHILOX_KEY_INCREMENTS, strict=True)]
    return a, b, c, d


def label_uniforms(key: int, first_row: int, end_row: int) -> Array:
    """Return the uniform variates in [0, 1) that select the components of rows first_row … end_row − 1."""
    # For each counter, Philox returns enough words for two rows.
    pairs = np.arange(first_row // 2, (end_row + 1) // 2, dtype=np.uint64)
    a, b, c, d = philox(philox_counter(pairs, 0, LABEL_STREAM), key)
    both = np.stack([words_to_uniform(a, b), words_to_uniform(c, d)], axis=1).ravel()
    return both[first_row % 2 :][: end_row - first_row]


def philox_counter(rows: Words32, index_in_row: int, purpose: int) -> tuple[Words32, Words32, Words32, Words32]:
    """Return Philox counters, each made of a row number (64 bits), an index within the row, and a purpose."""
    constant = [np.full(rows.shape, word, np.uint64) for word in (index_in_row, purpose)]
    return rows & LOW_WORD_MASK, rows >> WORD_BITS, constant[0], constant[1]


def words_to_uniform(low_word: Words32, high_word: Words32) -> Array:
    """Return (2²¹ a + b mod 2²¹) 2⁻⁵³ for words a and b. The result has 53 bits, so that it is exact in float64."""
    return ((low_word << np.uint64(21)) | (high_word & np.uint64(0x1FFFFF))).astype(np.float64) * 2.0**-53
