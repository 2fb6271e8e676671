"""Where random numbers come from."""

from __future__ import annotations

import numpy as np

Rng = np.random.Generator | int | None


def generator(rng: Rng, otherwise: int | None = None) -> np.random.Generator:
    """A generator itself, the one of a seed, or where None is given the one of the seed `otherwise`.

    Parameters
    ----------
    otherwise : None for numbers that nobody can foresee.

    Raises
    ------
    TypeError, ValueError : rng is no generator and no seed.
    """
    try:
        return np.random.default_rng(otherwise if rng is None else rng)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"rng must be a numpy.random.Generator, an integer ≥ 0 that seeds one, or None, not {rng!r:.60}."
        ) from None
