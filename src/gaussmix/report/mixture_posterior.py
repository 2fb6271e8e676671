"""What is believed of a mixture after a Bayesian fit: draws of whole mixtures, and credible intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from gaussmix.checks import Rng, check_count, check_within, generator
from gaussmix.em.approximation import Approximation
from gaussmix.errors import counted
from gaussmix.mixture.mixture import Mixture
from gaussmix.numerics.arrays import Array
from gaussmix.report.inference import values_of

_NAMES = ("weights", "means", "covariances")


class MixturePosterior:
    """The approximate posterior of a mixture: independent Dirichlet or Beta, and Gauss–Wishart or Gauss–gamma parts.

    It is about one labelling of the components, so labels do not switch between draws. Parts that depend on each other
    under the exact posterior are independent here. So intervals are too narrow where components overlap.

    Parameters
    ----------
    approximation : of the components that have rows.
    feature_names : of the columns; None where they have none.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import BayesianGaussianMixture
    >>> X = np.random.default_rng(0).normal(5.0, 2.0, size=(400, 1))
    >>> posterior = BayesianGaussianMixture(5, random_state=0).fit(X).posterior_
    >>> low, high = posterior.interval("means", rng=0)
    >>> bool(low[0, 0] < 5.0 < high[0, 0])
    True
    """

    def __init__(self, approximation: Approximation, feature_names: Sequence[str] | None = None) -> None:
        self._approximation, self._names = approximation, feature_names

    def __repr__(self) -> str:
        found = self._approximation
        components = counted(len(found.mass), "component")
        return f"<MixturePosterior: {components}, {found.prior.family.name}, {found.mass.sum():,.0f} rows>"

    def sample(self, n_samples: int = 1, rng: Rng = None) -> list[Mixture]:
        """Draw mixtures.

        Parameters
        ----------
        n_samples : how many.
        rng : generator, or its seed.

        Returns
        -------
        mixtures : of the components that have rows, in their order. The small weight of further components is shared
            among these.

        Raises
        ------
        ValueError, TypeError : n_samples is no integer ≥ 1, or rng is no generator.
        """
        count, generated = check_count("n_samples", n_samples, 1), generator(rng)
        drawn = (self._approximation.drawn(generated) for _ in range(count))
        return [Mixture.of(model).with_feature_names(self._names) for model in drawn]

    def interval(
        self,
        of: str | Callable[[Mixture], Any],
        confidence: float = 0.95,
        *,
        n_samples: int = 1000,
        rng: Rng = None,
    ) -> Array:
        """A credible interval between quantiles of draws.

        Parameters
        ----------
        of : "weights", "means" or "covariances"; or a function of a mixture that returns numbers, such as
            ``lambda mixture: mixture.log_density(X)``.
        confidence : the probability of the interval, between 0 and 1, as in `Mixture.interval`.
        n_samples : draws; with 1,000 the ends are about 0.1 standard deviations off.
        rng : generator, or its seed.

        Returns
        -------
        ends : (2, …), the lower and the upper end of each number.

        Raises
        ------
        ValueError, TypeError : a parameter can't be used.
        """
        check_within("confidence", confidence, "a number between 0 and 1", lambda value: 0 < value < 1)
        if isinstance(of, str) and of not in _NAMES:
            raise ValueError(f"of={of!r:.60} must be 'weights', 'means', 'covariances' or a function of a mixture.")
        function = attrgetter(of) if isinstance(of, str) else of
        found = np.array([values_of(function, each) for each in self.sample(n_samples, rng)])
        ends: Array = np.quantile(found, [0.5 * (1 - confidence), 0.5 * (1 + confidence)], axis=0)
        return ends
