"""`GaussianMixtureIC`: the structure and the number of components chosen by a criterion."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import replace
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from gaussmix.checks import check_count
from gaussmix.em.stopping import Stopping
from gaussmix.engines import check_jobs
from gaussmix.estimators.base import Fitted, fitted_of, unchanged_on_failure
from gaussmix.estimators.checkpoint import checkpointed
from gaussmix.estimators.docs import documented
from gaussmix.estimators.fitting import Data
from gaussmix.estimators.gaussian_mixture import GaussianMixture
from gaussmix.estimators.identity import identity_of
from gaussmix.estimators.messages import SearchWarning, constant_sentence, dropped_sentence, warn, warn_of
from gaussmix.estimators.mixture_estimator import MixtureEstimator
from gaussmix.estimators.parameters import check_number, check_ridge, check_start_names
from gaussmix.estimators.results import results_table
from gaussmix.estimators.searching import Searching
from gaussmix.estimators.structures import FACTORS, HELD_OUT, check_candidates, check_criterion, one_feature_notes
from gaussmix.estimators.validation import check_counts_of_rows, check_source
from gaussmix.selection.candidate import Result
from gaussmix.selection.choice import highest_within_error, lowest
from gaussmix.sources.base import Source
from gaussmix.starts.base import repeated


@documented
class GaussianMixtureIC(MixtureEstimator):
    """Gaussian mixture whose structure and number of components are chosen by a criterion, as `LassoLarsIC` chooses.

    Every pair is fitted, from the same starts for all structures; after `fit` the estimator is the best mixture.

    Parameters
    ----------
    n_components : int or iterable of int, default 1 … 9
        Numbers of components to try, such as ``range(1, 10)``.
    covariance_type : str or list of str, default "all"
        Structures to try, by the names that `GaussianMixture` takes.

        <all>
    n_factors : int or iterable of int, default None
        Numbers of factors to try, for "factor_analyzer".
    noise, shared_loadings, shared_noise : of "factor_analyzer", as for `GaussianMixture`
    criterion : {"bic", "icl", "aic", "aicc", "cv"}, default "bic"
        The criterion. With "bic" (Schwarz 1978), "icl" (Biernacki, Celeux & Govaert 2000), "aic" (Akaike 1974) and
        "aicc" (Hurvich & Tsai 1989) the lowest wins; mclust's have the opposite sign. "cv" is the mean log-likelihood
        of held-out rows, nats per unit of sample weight. The candidate with the fewest parameters wins among those
        within one standard error of the highest.
    n_folds : int, default 5
        Parts that "cv" cuts the rows into, at random.
    tol : float, default 1e-6
        EM ends when a step changes the mean log-likelihood (nats per unit of sample weight) by less. Criteria
        compare totals, so the default is smaller than that of `GaussianMixture`.
    reg_covar : float or "auto", default 0
        Added to every variance, data units². With 0 a component that falls onto too few rows has no likelihood, and
        its candidate fails; a ridge would give it one that wins. See `GaussianMixture` for "auto".
    max_iter : int, default 1000
        Limit on EM steps.
    n_init : int, default 1
        Number of starts of each kind that draws.
    init_params : str or list of str, default "hierarchical"
        Starts, as for `GaussianMixture`; the run with the largest likelihood is kept. A second start,
        ``["hierarchical", "kmeans"]``, doubles the time and sometimes finds a better mixture.
    random_state : int, RandomState or None, default None
        Seed of the starts, the same for every candidate, of the folds and of `sample`.
    n_jobs : int or None, default None
        Candidates fitted at a time; None for every processor (or OMP_NUM_THREADS). Changes no result.

    Attributes
    ----------
    n_components_, covariance_type_, n_factors_ : int, str, and int or None
        What was chosen; `n_factors_` is None for a structure without factors.
    mixture_ : Mixture
        The best mixture itself, in float64.
    results_ : dict of lists of equal length
        A row for each candidate, as `pandas.DataFrame` and `polars.DataFrame` take it: "structure", "n_components",
        where some have factors "n_factors" (None of the others), "log_likelihood" (nats, a total), "n_parameters",
        "bic", "icl", "aic", "aicc" (lower is better), with ``criterion="cv"`` also "cv" (higher is better) and
        "cv_error"; "converged", "n_iter", "seconds", and "failure": why a candidate has no numbers (NaN), None where it
        has. Such a candidate is never chosen.
    best_index_ : int
        The row of `results_` that was chosen.
    weights_, means_, covariances_, precisions_, precisions_cholesky_ : as for `GaussianMixture`
    loadings_, noise_variances_ : as for `GaussianMixture`, where the best has factors
    converged_, n_iter_, lower_bound_, lower_bounds_, collapsed_ : of the best mixture, as for `GaussianMixture`
    n_features_in_, feature_names_in_ : as in scikit-learn.

    See Also
    --------
    GaussianMixture : one structure and one number of components.

    Notes
    -----
    With an integer `random_state`, every row of the table is the mixture that `GaussianMixture` fits with the same
    parameters, and the order of the candidates does not change it. The exception is a row that ends with a lower
    likelihood than one of the same structure with fewer components. EM then starts once more from that mixture, with
    its heaviest component split in two. Among equal criteria, fewer parameters win.

    References
    ----------
    Fraley & Raftery (2002), JASA 97, 611–631; Scrucca, Fraley, Murphy & Raftery (2023), Model-Based Clustering,
    Classification, and Density Estimation Using mclust in R.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import GaussianMixtureIC
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(0, 1, size=(200, 2)), rng.normal(8, 1, size=(100, 2))])
    >>> chosen = GaussianMixtureIC(range(1, 5), random_state=0).fit(X)
    >>> chosen.n_components_
    2
    """

    def __init__(
        self,
        n_components: int | Iterable[int] = tuple(range(1, 10)),
        *,
        covariance_type: str | Iterable[str] = "all",
        n_factors: int | Iterable[int] | None = None,
        noise: str = "diagonal",
        shared_loadings: bool = False,
        shared_noise: bool = False,
        criterion: str = "bic",
        n_folds: int = 5,
        tol: float = 1e-6,
        reg_covar: float | str = 0.0,
        max_iter: int = 1000,
        n_init: int = 1,
        init_params: Any = "hierarchical",
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.n_factors = n_factors
        self.noise = noise
        self.shared_loadings = shared_loadings
        self.shared_noise = shared_noise
        self.criterion = criterion
        self.n_folds = n_folds
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.random_state = random_state
        self.n_jobs = n_jobs

    @property
    def n_components_(self) -> int:
        """Number of components of the best mixture."""
        return self.mixture_.n_components

    @property
    def covariance_type_(self) -> str:
        """Structure of the best mixture."""
        return self.mixture_.family.name

    @property
    def n_factors_(self) -> int | None:
        """Number of factors of each component of the best mixture; None where its structure has none."""
        n_factors: int | None = self.mixture_.family.options.get("n_factors")
        return n_factors

    def fit(self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None) -> Self:
        """Fit every candidate and become the best.

        Parameters
        ----------
        X : (n_samples, n_features), numbers in data units; an array, a data frame, or rows that need not fit into
            memory (`gaussmix.open`).
        y : ignored; pipelines pass it.
        sample_weight : (n_samples,), frequency weights ≥ 0: a row of weight 2 counts as two rows. For "cv" it is one
            row all the same, in one fold. Weights that sum to less than two rows are taken for shares: criteria count
            rows, so such weights are scaled to sum to the number of rows of positive weight.

        Returns
        -------
        self : the fitted estimator.

        Raises
        ------
        ValueError : a parameter or the data can't be used, or no candidate could be fitted: the message counts why.
        TypeError : a parameter or the data is of the wrong type.

        Warns
        -----
        ConvergenceWarning : `max_iter` steps were not enough for the best mixture.
        RuntimeWarning : a component of it lost its mass, or has a covariance so nearly singular that rounding changes
            log densities by more than 1e-6; a structure that was named is "E" or "V" for one feature; or
            `sample_weight` sums to less than two rows.
        """
        with unchanged_on_failure(self):
            self._fit(X, sample_weight)
        return self

    def _flaw(self) -> str | None:
        lengths = {len(column) for column in getattr(self, "results_", {}).values()}
        if len(lengths) > 1 or getattr(self, "best_index_", 0) not in range(max(lengths, default=1)):
            return "its 'results_' are no table with a row 'best_index_'"
        return super()._flaw()

    def _fit(self, X: ArrayLike | Source, sample_weight: ArrayLike | None) -> None:
        for _ in self._fits(X, sample_weight):
            pass

    def _fits(
        self, X: ArrayLike | Source, sample_weight: ArrayLike | None, checkpoint: str | None = None
    ) -> Generator[Result, None, None]:
        """Yield what became of each fit when it is done; the estimator is fitted at the end."""
        criterion, n_folds = check_criterion(self.criterion), check_count("n_folds", self.n_folds, 2)
        names = check_start_names(self.init_params)
        if not names:
            raise TypeError(f"init_params must be the name of a start or several, not {self.init_params!r:.60}.")
        starts = repeated(names, check_count("n_init", self.n_init, 1))
        stopping = Stopping(check_number("tol", self.tol), check_count("max_iter", self.max_iter, 0))
        ridge, n_jobs = check_ridge(self.reg_covar), check_jobs(self.n_jobs)
        source = check_counts_of_rows(check_source(self, X, sample_weight, reset=True))
        data, candidates = Data(source), check_candidates(self, source.n_features)
        searching = Searching(candidates, starts, stopping, ridge, self._rng(), n_jobs)
        identity = partial(identity_of, self, source, self._engine())
        with checkpointed(checkpoint, identity, candidates[0].family, searching.rng) as begin:
            results = yield from replace(searching, begin=begin).results(data)
        if criterion == HELD_OUT:
            results, mean, error = yield from searching.cross_validated(data, results, n_folds)
            self.best_index_ = highest_within_error(results, mean, error)
            self.results_ = results_table(results) | {"cv": mean.tolist(), "cv_error": error.tolist()}
        else:
            self.results_ = results_table(results)
            self.best_index_ = lowest(results, np.array(self.results_[criterion]))
        run = results[self.best_index_].run
        assert run is not None, "what failed is never chosen"
        self._publish(Fitted.of(run, source.dtype), self._names)
        warn_of(run)
        about = source, self._names
        if ridge is None:
            warn(constant_sentence(run.model, data.ridge, *about))
        warn(dropped_sentence(results, *about), SearchWarning)
        for sentence in one_feature_notes(self.covariance_type) if source.n_features == 1 else ():
            warn(sentence, SearchWarning)


def as_single(search: GaussianMixtureIC) -> GaussianMixture:
    """The `GaussianMixture` that ends with the mixture that a search has chosen, with the same parameters."""
    names = GaussianMixture._get_param_names()
    parameters = {name: value for name, value in search.get_params().items() if name in names}
    parameters |= {"n_components": search.n_components_, "covariance_type": search.covariance_type_, "n_jobs": None}
    single = GaussianMixture(**parameters | FACTORS | dict(search.mixture_.family.options))
    single._publish(fitted_of(search), search.mixture_.feature_names)
    return single


def fit_stepwise(
    search: GaussianMixtureIC,
    X: ArrayLike | Source,
    sample_weight: ArrayLike | None = None,
    checkpoint: str | None = None,
) -> Generator[Result, None, None]:
    """Fit as `GaussianMixtureIC.fit` does, and yield what became of each candidate when it is done.

    With ``criterion="cv"`` the fits without each fold follow. Who stops iterating leaves the estimator as it was. A
    search with a checkpoint must be one fit.
    """
    with unchanged_on_failure(search):
        yield from search._fits(X, sample_weight, checkpoint)
