"""The approximate posterior distribution of a mixture after a Bayesian fit."""

from __future__ import annotations

from typing import Any

import numpy as np

from gaussmix._src.checks import Rng, check_count, generator
from gaussmix._src.em.bayes.variational_posterior import VariationalPosterior
from gaussmix._src.em.curvature.parameter_layout import ParameterLayout
from gaussmix._src.errors import counted
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.report.bootstrap import weighted_covariance
from gaussmix._src.report.estimates import (
    Function,
    MixtureEstimates,
    ParameterEstimates,
    as_mixtures,
    check_unit,
    function_values,
    parameter_entries,
    value_entries,
)


class MixturePosterior:
    """Approximate posterior distribution of a mixture after variational inference.

    The weights have Dirichlet or Beta distributions, and the components have normal-Wishart or normal-gamma
    distributions. Labels do not switch between draws, because the approximation describes a single labelling of the
    components. The approximation treats weights and component parameters as independent, although they depend on each
    other in the exact posterior. Therefore credible intervals are too narrow if components overlap.

    Parameters
    ----------
    approximation : variational posterior of all components up to the last non-empty component.
    mixture : mixture of the non-empty components, with the posterior means as parameters.
    frame_library : library of the data frames in results; None for the first supported library that is installed.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import BayesianGaussianMixture
    >>> X = np.random.default_rng(0).normal(5.0, 2.0, size=(400, 1))
    >>> posterior = BayesianGaussianMixture(5, random_state=0).fit(X).posterior_
    >>> print(posterior.estimates(rng=0))
    Estimates by 1,000 draws from the posterior
    <BLANKLINE>
                     estimate  std error  2.5 %  97.5 %
          weight[0]         1      known
        mean[0, x0]     4.927      0.100  4.725   5.112
    variance[0, x0]     3.961      0.282  3.468   4.573
    """

    def __init__(self, approximation: VariationalPosterior, mixture: Mixture, frame_library: str | None = None) -> None:
        self._approximation, self._mixture, self._library = approximation, mixture, frame_library

    def __repr__(self) -> str:
        state = self._approximation
        components = counted(self._mixture.n_components, "component")
        return f"<MixturePosterior: {components}, {state.prior.family.name}, {state.counts.sum():,.0f} rows>"

    def sample(self, n_samples: int = 1, rng: Rng = None) -> list[Mixture]:
        """Draw mixtures from the posterior.

        Parameters
        ----------
        n_samples : number of mixtures to draw.
        rng : a `numpy.random.Generator`, or a seed.

        Returns
        -------
        mixtures : list of mixtures; each mixture has the components to which rows belong, in the order of `mixture_`.
            The small total weight of empty components is distributed among these components.

        Raises
        ------
        ValueError, TypeError : n_samples is not an integer ≥ 1, or rng is neither a generator nor a seed.
        """
        count, generated = check_count("n_samples", n_samples, 1), generator(rng)
        return as_mixtures((self._approximation.draw_model(generated) for _ in range(count)), self._mixture)

    def estimates(self, n_samples: int = 1000, rng: Rng = None) -> MixtureEstimates:
        """Estimate all weights, means and covariances with posterior standard deviations and credible intervals.

        Parameters
        ----------
        n_samples : number of mixtures to draw; with 1,000 mixtures the limits of intervals are accurate to about 0.1
            standard deviations.
        rng : a `numpy.random.Generator`, or a seed.

        Returns
        -------
        estimates : estimates that `print` shows as a table. The result has the same attributes and methods as the
            result of `inference`: `params` are the parameters of `mixture_`, and `conf_int(alpha)` returns quantiles of
            the draws; there are also `bse`, `cov_params()` and `tidy()`. Components without rows are not included.

        Raises
        ------
        ValueError, TypeError : a parameter is invalid, or the values of a column are too large or too small for double
            precision.
        """
        check_unit(self._mixture)
        layout = ParameterLayout.at_model(self._mixture._model)
        check_count("n_samples", n_samples, 2)
        draws = np.array([layout.to_vector(each._model) for each in self.sample(n_samples, rng)])
        estimates = self._estimates(draws, parameter_entries(self._mixture))
        return MixtureEstimates(**vars(estimates), mixture=self._mixture)

    def estimate(
        self, function: Function, name: str = "function", n_samples: int = 1000, rng: Rng = None
    ) -> ParameterEstimates:
        """Estimate the value of a function of the mixture, with a credible interval.

        Parameters
        ----------
        function, name : same as in `Inference.estimate`, such as ``lambda mixture: mixture.log_density(X)``.
        n_samples, rng : same as in `estimates`.

        Returns
        -------
        estimates : an object like the result of `estimates`, in which `params` has the values of the function for
            `mixture_`.

        Raises
        ------
        TypeError : `function` is not callable, or a parameter is invalid.
        ValueError : the function is not finite for one of the drawn mixtures, or a parameter is invalid.
        """
        value = function_values(function, self._mixture)
        check_count("n_samples", n_samples, 2)
        draws = np.array([function_values(function, each).ravel() for each in self.sample(n_samples, rng)])
        return self._estimates(draws, value_entries(name, value))

    def _estimates(self, draws: Array, names_and_values: dict[str, Any]) -> ParameterEstimates:
        method = f"{counted(len(draws), 'draw')} from the posterior"
        covariance = weighted_covariance(draws, None)
        return ParameterEstimates(
            **names_and_values, covariance=covariance, method=method, draws=draws, frame_library=self._library
        )


MixturePosterior.__module__ = "gaussmix"  # users import the class from `gaussmix`
