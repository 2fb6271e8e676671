"""The base class of estimators that predict from a mixture, with the parameters and the `summary` that all share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from numpy.typing import ArrayLike

from gaussmix._src.em.initialisation.base import Initialisation
from gaussmix._src.estimators.base import Estimator, FittedValue
from gaussmix._src.estimators.gaussian_mixture import GaussianMixture
from gaussmix._src.estimators.gaussian_mixture_ic import GaussianMixtureIC
from gaussmix._src.estimators.mixture_estimator import MixtureEstimator
from gaussmix._src.families import Family, Structure
from gaussmix._src.fit.fitted import frame_library
from gaussmix._src.other_names import check_attribute
from gaussmix._src.report.reading import make_summary
from gaussmix._src.report.summary import Summary
from gaussmix._src.sources.base import Source
from gaussmix._src.validation.parameters import names_several
from gaussmix._src.validation.rows import RowsLike, check_source, scale_precisions

Counts = int | Iterable[int]
Structures = Structure | Literal["all"] | Family | Iterable[Structure | Family]


@dataclass(eq=False, repr=False, kw_only=True)
class MixturePredictor(Estimator, ABC):
    """An estimator that fits a mixture and uses the mixture for predictions; the fields are the parameters of the fit.

    If you pass several numbers of components or several structures, `GaussianMixtureIC` chooses the mixture by BIC.

    Parameters
    ----------
    tol : float or "auto", default 1e-3
        EM ends when a step changes the mean log-likelihood (nats per unit of sample weight) by less than `tol`. With
        ``tol="auto"``, EM continues to a maximum, as in `GaussianMixture`.
    check_maximum : bool or "auto", default "auto"
        Whether `fit` checks if EM ended at a maximum of the likelihood, as in `GaussianMixture`.
    reg_covar : "auto" or float, default "auto"
        Value added to every variance, in data units². ``reg_covar="auto"`` is 1e-6 of a robust variance of each
        feature, or 0 if BIC chooses the mixture.
    max_iter : int, default 100
        Largest number of EM steps in each run.
    max_time : float or None, default None
        Time limit in seconds. When the limit is reached, `fit` keeps the best result so far, as in `GaussianMixture`.
        If BIC chooses the mixture, candidates are skipped or stopped, as in `GaussianMixtureIC`.
    n_init : int, default 1
        Number of runs for each random method or function in `init_params`; the run with the highest likelihood is kept.
    init_params : str, list of str, array or callable, default "auto"
        Method or methods of initialising EM, as in `GaussianMixture`. If BIC chooses the mixture, only names of methods
        are allowed, and "auto" has the same meaning as in `GaussianMixtureIC`.
    weight_type : {"frequency", "precision"}, default "frequency"
        Meaning of `sample_weight`, as in `GaussianMixture`.
    random_state : int, RandomState or None, default None
        Seed of the initialisation and of all other random draws.
    n_jobs : int or None, default None
        Number of threads, as in `GaussianMixture`. The result does not depend on `n_jobs`.

    Attributes
    ----------
    n_components_ : int
        Number of components of `mixture_`.
    converged_, n_iter_, lower_bound_, lower_bounds_, outcome_ : same as in `GaussianMixture`.
    results_, best_index_ : same as in `GaussianMixtureIC`; they exist only if BIC chooses the mixture.
    n_features_in_, feature_names_in_ : as in scikit-learn.
    """

    covariance_type: Structures = "full"
    init_params: Initialisation = "auto"
    check_maximum: bool | Literal["auto"] = "auto"

    results_: ClassVar[FittedValue[dict[str, list[Any]]]] = FittedValue()
    """Table of the candidate mixtures, as a dict from column names to lists."""
    best_index_: ClassVar[FittedValue[int]] = FittedValue()
    """Index of the best candidate mixture in `results_`."""

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            check_attribute(self, name)
            return object.__getattribute__(self, name)  # raises Python's own AttributeError

    @property
    def n_components_(self) -> int:
        """Number of components of `mixture_`."""
        return self.mixture_.n_components

    @property
    def _is_choice(self) -> bool:
        """Whether the parameters name several structures or several numbers of components, so that BIC chooses one."""
        n_components = self.n_components
        is_several = isinstance(n_components, Iterable) and not isinstance(n_components, str)
        return is_several or names_several(self.covariance_type)

    @property
    def _chosen_reg_covar(self) -> float | str:
        """`reg_covar`, but 0 instead of "auto" if BIC chooses, because collapsed components would win otherwise."""
        is_auto = isinstance(self.reg_covar, str) and self.reg_covar == "auto"
        return 0.0 if self._is_choice and is_auto else self.reg_covar

    def _training_rows(self, X: RowsLike, sample_weight: ArrayLike | None) -> Source:
        """Check X for `fit`, and return a source of its rows with scaled weights; raises ValueError or TypeError."""
        source = check_source(self, X, sample_weight, reset=True, may_miss=self._may_miss)
        return scale_precisions(source, self.weight_type)

    def _fit_mixture(self, rows: Source, X: object, names: Sequence[str] | None) -> None:
        """Fit or choose a mixture for `rows`, which the user passed as X; warnings use the feature names `names`."""
        fitted: Any = self._mixture_estimator(names)  # Any, because the `fit` of this estimator also accepts a source
        state = fitted.fit(rows)._fitted
        summary = None if state.row_summary is None else replace(state.row_summary, frame_library=frame_library(X))
        self._fitted = replace(state, row_summary=summary)

    def summary(self) -> Summary:
        """Return a one-page summary of the fit, which you can print, show in a notebook, or convert with `to_latex()`.

        Returns
        -------
        summary : a page with the settings of the prediction, the data, the log-likelihood and BIC (if known), the
            reason why EM stopped, and warnings. A table lists for each component the weight, the size (effective
            number of rows), the mean ± standard deviation of each feature, and the component with the largest overlap.
            `to_frame()` of the summary returns the table as a data frame.

        Raises
        ------
        NotFittedError : if the estimator is not fitted.

        Examples
        --------
        >>> from gaussmix import GaussianMixtureDetector
        >>> rows = [[0.0], [1.0], [2.0], [7.0], [8.0], [9.0]]
        >>> print(GaussianMixtureDetector(2, random_state=0).fit(rows).summary())
        GaussianMixtureDetector: 2 components, full
        <BLANKLINE>
        data            6 rows of 1 feature (x0)
        outliers        log density below -3.33009 nats, fitted with coverage=0.95
        log-likelihood  -11.46 nats, before the last step
        parameters      5
        BIC             31.87, lower is better
        search          no move tried
        stopped         after 2 steps. The mean log-likelihood changed by less than tol.
        <BLANKLINE>
        component  weight  size             x0  nearest   overlap
                0  0.5000   3.0  1.000 ± 0.817        1  0.000102
                1  0.5000   3.0  8.000 ± 0.817        0  0.000102
        """
        page = make_summary(type(self).__name__, self._fit_result(), names=self._shown_names())
        known = {name: value for name, value in page.statistics.items() if name != "icl" or value is not None}
        return self._add_prediction(replace(page, statistics=known))

    @abstractmethod
    def _add_prediction(self, summary: Summary) -> Summary:
        """Return a summary of the mixture, with information about the prediction added."""

    def _shown_names(self) -> tuple[str, ...] | None:
        """Return feature names for the summary if the mixture has no feature names; None means the names x0, x1, …."""
        return None

    def _mixture_estimator(self, names: Sequence[str] | None) -> MixtureEstimator:
        """Return an estimator for the mixture, with the same parameters; `names` are feature names for its warnings."""
        # `weight_type` is left out, because the weights of the rows have already been scaled.
        em_parameters = {each.name for each in fields(MixturePredictor) if each.init} - {"weight_type"}
        parameters = {name: getattr(self, name) for name in em_parameters} | {"reg_covar": self._chosen_reg_covar}
        cls = GaussianMixtureIC if self._is_choice else GaussianMixture
        estimator = cls(**parameters)
        estimator._names_without_frame = names
        return estimator
