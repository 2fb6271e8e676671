"""What the estimators that predict from a mixture share: its parameters, and how it is fitted or chosen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gaussmix.estimators.base import Estimator
from gaussmix.estimators.gaussian_mixture import GaussianMixture
from gaussmix.estimators.gaussian_mixture_ic import GaussianMixtureIC
from gaussmix.estimators.mixture_estimator import MixtureEstimator
from gaussmix.estimators.structures import EVERY

_OF_MIXTURE = ("n_factors", "tol", "reg_covar", "max_iter", "n_init", "init_params", "random_state", "n_jobs")

Counts = int | Iterable[int]
Structures = str | Iterable[str]


class MixturePredictor(Estimator):
    """An estimator that fits a mixture, or several, and predicts from it.

    With several numbers of components, or several structures, `GaussianMixtureIC` chooses by BIC.
    """

    n_components: Any
    covariance_type: Structures
    n_factors: Counts | None
    tol: float
    reg_covar: float | str
    max_iter: int
    n_init: int
    init_params: Any

    def _keep(self, parameters: Mapping[str, Any]) -> None:
        """Set the parameters of a constructor, its `locals()`, as attributes: scikit-learn wants them named there."""
        for name, value in parameters.items():
            if name not in ("self", "__class__"):
                setattr(self, name, value)

    @property
    def _is_choice(self) -> bool:
        """Whether several structures or numbers of components or factors are named."""
        counts = self.n_components, self.n_factors
        several = any(isinstance(count, Iterable) and not isinstance(count, str) for count in counts)
        return several or not isinstance(self.covariance_type, str) or self.covariance_type == EVERY

    @property
    def _chosen_reg_covar(self) -> float | str:
        """Where BIC chooses, "auto" is 0: with a ridge, components on too few rows would win by their likelihood."""
        is_auto = isinstance(self.reg_covar, str) and self.reg_covar == "auto"
        return 0.0 if self._is_choice and is_auto else self.reg_covar

    def _mixture_estimator(self, names: Sequence[str] | None) -> MixtureEstimator:
        """An estimator that fits one mixture with these parameters; `names` are of the features, for its warnings."""
        parameters: dict[str, Any] = {name: getattr(self, name) for name in _OF_MIXTURE}
        parameters |= {"covariance_type": self.covariance_type, "reg_covar": self._chosen_reg_covar}
        cls = GaussianMixtureIC if self._is_choice else GaussianMixture
        made = cls(self.n_components, **parameters)
        made._names_without_frame = names
        return made
