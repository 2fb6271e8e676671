"""What the estimators that predict from a mixture share: its parameters, and how it is fitted or chosen."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

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

Counts = int | Iterable[int]
Structures = Structure | Literal["all"] | Family | Iterable[Structure | Family]


@dataclass(eq=False, repr=False, kw_only=True)
class MixturePredictor(Estimator, ABC):
    """An estimator that fits a mixture, or several, and predicts from it; its fields are the parameters of EM.

    With several numbers of components, or several structures, `GaussianMixtureIC` chooses by BIC.

    Parameters
    ----------
    tol : float or "auto", default 1e-3
        EM ends when a step changes the mean log-likelihood (nats per unit of sample weight) by less; "auto" ends
        it at a maximum, as for `GaussianMixture`.
    check_maximum : bool or "auto", default "auto"
        Whether `fit` finds out if EM ended at a maximum, as for `GaussianMixture`.
    reg_covar : "auto" or float, default "auto"
        Added to every variance, data units². "auto" is 1e-6 of a robust variance of each feature; where BIC chooses, 0.
    max_iter : int, default 100
        Limit on EM steps.
    max_time : float or None, default None
        Seconds after which `fit` ends with what it has, as for `GaussianMixture`. Where BIC chooses, no more candidates
        are begun then, as for `GaussianMixtureIC`.
    n_init : int, default 1
        Number of starts of each kind that draws; the run that ends with the largest likelihood is kept.
    init_params : str, list of str, array or callable, default "auto"
        Starts, as for `GaussianMixture`; as for `GaussianMixtureIC`, and only names, where BIC chooses.
    weight_type : {"frequency", "precision"}, default "frequency"
        What `sample_weight` says, as for `GaussianMixture`.
    random_state : int, RandomState or None, default None
        Seed of the starts and of what else is drawn.
    n_jobs : int or None, default None
        Threads; None for every processor (or OMP_NUM_THREADS). The result is the same for any number.

    Attributes
    ----------
    converged_, n_iter_, lower_bound_, lower_bounds_, outcome_ : as for `GaussianMixture`
    results_, best_index_ : as for `GaussianMixtureIC`, where BIC chooses
    n_features_in_, feature_names_in_ : as in scikit-learn.
    """

    covariance_type: Structures = "full"
    init_params: Initialisation = "auto"
    check_maximum: bool | Literal["auto"] = "auto"

    results_: ClassVar[FittedValue[dict[str, list[Any]]]] = FittedValue()
    """A list for each column of the table of candidates."""
    best_index_: ClassVar[FittedValue[int]] = FittedValue()
    """Index of the best candidate in `results_`."""

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            check_attribute(self, name)
            return object.__getattribute__(self, name)  # raises, in Python's words

    @property
    def _is_choice(self) -> bool:
        """Whether several structures or numbers of components are named."""
        n_components = self.n_components
        is_several = isinstance(n_components, Iterable) and not isinstance(n_components, str)
        return is_several or names_several(self.covariance_type)

    @property
    def _chosen_reg_covar(self) -> float | str:
        """Where BIC chooses, "auto" is 0: with a ridge, components on too few rows would win by their likelihood."""
        is_auto = isinstance(self.reg_covar, str) and self.reg_covar == "auto"
        return 0.0 if self._is_choice and is_auto else self.reg_covar

    def _fit_mixture(self, rows: Source, X: object, names: Sequence[str] | None) -> None:
        """Fit or choose the mixture of rows that the user gave as X; `names` are of their features, for warnings."""
        fitted: Any = self._mixture_estimator(names)  # an estimator that takes a source
        state = fitted.fit(rows)._fitted
        summary = None if state.row_summary is None else replace(state.row_summary, frame_library=frame_library(X))
        self._fitted = replace(state, row_summary=summary)

    def summary(self) -> Summary:
        """What the fit found, in a page: `print` it, end a cell of a notebook with it, or take its `to_latex()`.

        Returns
        -------
        summary : what this estimator predicts with; the data, log-likelihood and BIC as far as they are known, why
            EM stopped, and warnings. For each component its weight, its size (effective rows), mean ± sd of each
            feature, and the component that it overlaps most with. `to_frame()` gives the components as a data frame.

        Raises
        ------
        NotFittedError : before `fit`.

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
        search          no higher than EM alone: 0 moves tried, 0 kept
        stopped         after 2 steps. The mean log-likelihood changed by less than tol.
        <BLANKLINE>
        component  weight  size             x0  nearest   overlap
                0  0.5000   3.0  1.000 ± 0.817        1  0.000102
                1  0.5000   3.0  8.000 ± 0.817        0  0.000102
        """
        page = make_summary(type(self).__name__, self._fit_facts(), names=self._shown_names())
        known = {name: value for name, value in page.statistics.items() if name != "icl" or value is not None}
        return self._with_its_own(replace(page, statistics=known))

    @abstractmethod
    def _with_its_own(self, summary: Summary) -> Summary:
        """A summary of the mixture, with what there is to say of the prediction."""

    def _shown_names(self) -> tuple[str, ...] | None:
        """The names of the features of the mixture, where they have none of their own; None for x0, x1 …."""
        return None

    def _mixture_estimator(self, names: Sequence[str] | None) -> MixtureEstimator:
        """An estimator that fits one mixture with these parameters; `names` are of the features, for its warnings."""
        of_em = {each.name for each in fields(MixturePredictor) if each.init} - {"weight_type"}  # these are as meant
        parameters = {name: getattr(self, name) for name in of_em} | {"reg_covar": self._chosen_reg_covar}
        cls = GaussianMixtureIC if self._is_choice else GaussianMixture
        made = cls(**parameters)
        made._names_without_frame = names
        return made
