"""`GaussianMixture`: scikit-learn's estimator, on gaussmix."""

from __future__ import annotations

import os
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from gaussmix.checks import check_count
from gaussmix.covariances import LowRank
from gaussmix.em.restarts import Run, best_run
from gaussmix.em.stopping import Stopping
from gaussmix.estimators.base import Fitted, unchanged_on_failure
from gaussmix.estimators.checkpoint import check_place, checkpointed
from gaussmix.estimators.docs import documented
from gaussmix.estimators.fitting import Data, Fitting, InitialParameters
from gaussmix.estimators.identity import identity_of
from gaussmix.estimators.initial import check_covariances, check_means, check_weights
from gaussmix.estimators.messages import constant_sentence, few_rows_sentence, warn, warn_of
from gaussmix.estimators.parameters import (
    check_acceleration,
    check_flag,
    check_number,
    check_rate,
    check_ridge,
    check_start_names,
    check_verbose,
)
from gaussmix.estimators.streaming import StreamingMixture
from gaussmix.estimators.structures import check_family
from gaussmix.estimators.validation import check_enough_rows, check_source
from gaussmix.estimators.verbosity import printed
from gaussmix.families.base import Family
from gaussmix.families.one_feature import check_features
from gaussmix.mixture.mixture import Mixture
from gaussmix.sources.base import Source


@documented
class GaussianMixture(StreamingMixture):
    """Gaussian mixture fitted by EM, with the names and meanings of `sklearn.mixture.GaussianMixture`.

    Parameters
    ----------
    n_components : int, default 1
        Number of components K.
    covariance_type : str, default "full"
        "full": a covariance matrix per component; "tied": one for all; "diag": a variance per component and feature;
        "spherical": one variance per component. Or one of mclust's structures, Σ_k = λ_k D_k A_k D_kᵀ, by letters for
        the volume λ, the shape A and the orientation D, which are E, equal for all components, V, varying, or I, the
        identity.

        <letters>

        Or "factor_analyzer", for many features: Σ_k = Λ_k Λ_kᵀ + Ψ_k, with `n_factors` columns in Λ_k and a diagonal
        Ψ_k, at the cost of 2 d q per row and component.
    n_factors : int, default None
        Number q of factors of each component, from 1 to d − 1, for "factor_analyzer"; None is 1.
    noise : {"diagonal", "isotropic"}, default "diagonal"
        Ψ_k of "factor_analyzer": a noise variance for each feature, or one for all, which makes the mixture one of
        probabilistic principal components.
    shared_loadings, shared_noise : bool, default False
        Whether Λ_k, or Ψ_k, of "factor_analyzer" is the same for all components.
    tol : float, default 1e-3
        EM ends when a step changes the mean log-likelihood (nats per unit of sample weight) by less.
    reg_covar : "auto" or float, default "auto"
        Added to every variance, data units². "auto" is 1e-6 of a robust variance of each feature, so that
        the units of the data do not matter; 0 gives plain maximum likelihood.
    max_iter : int, default 100
        Limit on EM steps; 0 returns the start. Above 262,080 rows it limits the steps on the sample and those on all
        rows each.
    acceleration : {"auto"} or None, default None
        "auto" takes far fewer steps where EM is slow: after 20 steps, if many seem to be left, a quasi-Newton method
        proposes where to go on. EM judges each proposal and goes back if it is no better. A proposal counts as a step,
        so `max_iter` still limits the passes over the rows. With None a step is exactly one of EM.
    n_init : int, default 1
        Number of starts of each kind that draws; the run that ends with the largest likelihood is kept.
    init_params : str, list of str, array or callable, default "kmeans"
        "kmeans", "k-means++", "random", "random_from_data", "hierarchical" (Ward, on at most 2,000 rows), "search"
        (k-means, and then components are merged and split while the likelihood grows; slower, mostly much better), or
        several of these (the run with the largest likelihood is kept); integer labels (n_samples,);
        responsibilities (n_samples, n_components); or a callable ``(X, n_components, rng)`` that returns either.
    weights_init, means_init : array-like, default None
        Weights (n_components,) and means (n_components, n_features) to start from. With `means_init` the
        rest of the start comes from the rows nearest to each mean, where `init_params` is a name.
    precisions_init, covariances_init : array-like, default None
        Precisions or covariances to start from, not both, in the shape of `covariances_`.
    random_state : int, RandomState or None, default None
        Seed of the starts and of `sample`.
    warm_start : bool, default False
        Go on from the last fit instead of starting anew.
    learning_decay : float, default 0.7
        For `partial_fit`, above 0.5 and at most 1: step t gives its rows the share (t + 1)^−learning_decay, and all
        rows before them the rest. At 1 all steps count the same; the lower, the sooner early ones are forgotten.
    forgetting : float, default None
        For `partial_fit`, a half-life in rows, at least 5,040: so many rows later, a row counts at most half. For data
        that drift. None is right where all rows come from one distribution.
    verbose, verbose_interval : int, default 0 and 10
        Print progress every so many steps; times too where `verbose` is 2.
    n_jobs : int or None, default None
        Threads; None for every processor (or OMP_NUM_THREADS). The result is the same for any number.
    checkpoint : path or None, default None
        A file in which `fit` notes every 5 seconds, and at the end of each start, where it stands. A fit that was
        killed goes on from there when it is called again with the same data and settings, and ends with the same bits.
        The file is removed when the fit ends. `partial_fit` has none.

    Attributes
    ----------
    weights_ : (n_components,)
    means_ : (n_components, n_features), data units
    covariances_, precisions_, precisions_cholesky_ : data units² and their inverses
        (K, d, d) for "full" and the others with an orientation, (d, d) for "tied", (K, d) for "diag", VEI and EVI,
        (d,) for EEI, (K,) for "spherical", () for EII. The upper triangular C in `precisions_cholesky_` satisfies
        C Cᵀ = Σ⁻¹. For "factor_analyzer" matrices are made whenever they are asked for.
    loadings_, noise_variances_ : (K, d, q), data units, and (K, d), data units²
        Λ_k and the diagonal of Ψ_k, for "factor_analyzer" only.
    mixture_ : Mixture
        The fitted distribution itself, in float64.
    converged_ : bool
    n_iter_ : int
        Steps of the best run over all rows. Above 262,080 rows, a fit from a named start first settles on the sample of
        the starts (about 65,520 rows); those steps are not counted.
    lower_bound_, lower_bounds_ : float and list of float
        Mean log-likelihood (nats) at the last and at each step of the best run.
    collapsed_ : list of int
        Components that fell onto too few distinct rows and were frozen; the likelihood of such a fit can't be compared
        with that of others. With a `reg_covar` above 0 none is frozen. A warm start leaves them frozen.
    n_samples_seen_ : int
        Rows of all calls of `partial_fit`; only there.
    n_features_in_, feature_names_in_ : as in scikit-learn.

    See Also
    --------
    gaussmix.Mixture : what can be asked of the fitted distribution.

    References
    ----------
    Dempster, Laird & Rubin (1977), JRSS B 39; Bishop (2006), Pattern Recognition and Machine Learning, 9.2; Celeux &
    Govaert (1995), Pattern Recognition 28, for the structures; McLachlan & Peel (2000), Finite Mixture Models, chapter
    8, Tipping & Bishop (1999), Neural Computation 11, and McNicholas & Murphy (2008), Statistics and Computing 18, for
    "factor_analyzer".

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import GaussianMixture
    >>> X = np.array([[1, 2], [1, 4], [1, 0], [10, 2], [10, 4], [10, 0]])
    >>> gm = GaussianMixture(n_components=2, random_state=0).fit(X)
    >>> gm.means_[gm.means_[:, 0].argsort()].round(6)
    array([[ 1.,  2.],
           [10.,  2.]])
    >>> labels = gm.predict([[0, 0], [12, 3]])
    >>> bool(labels[0] != labels[1])
    True
    """

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        n_factors: int | None = None,
        noise: str = "diagonal",
        shared_loadings: bool = False,
        shared_noise: bool = False,
        tol: float = 1e-3,
        reg_covar: float | str = "auto",
        max_iter: int = 100,
        acceleration: str | None = None,
        n_init: int = 1,
        init_params: Any = "kmeans",
        weights_init: ArrayLike | None = None,
        means_init: ArrayLike | None = None,
        precisions_init: ArrayLike | None = None,
        covariances_init: ArrayLike | None = None,
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        learning_decay: float = 0.7,
        forgetting: float | None = None,
        verbose: int = 0,
        verbose_interval: int = 10,
        n_jobs: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.n_factors = n_factors
        self.noise = noise
        self.shared_loadings = shared_loadings
        self.shared_noise = shared_noise
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.acceleration = acceleration
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.covariances_init = covariances_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.learning_decay = learning_decay
        self.forgetting = forgetting
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.n_jobs = n_jobs
        self.checkpoint = checkpoint

    def fit(self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the mixture.

        Parameters
        ----------
        <fit>

        Raises
        ------
        ValueError : a parameter or the data can't be used, or no start has positive definite covariances. Or
            `checkpoint` is damaged, or of another fit.
        TypeError : a parameter or the data is of the wrong type.
        OSError : the file `checkpoint` can't be read, or there is no such folder.

        Warns
        -----
        ConvergenceWarning : `max_iter` steps were not enough.
        RuntimeWarning : a component lost its mass or collapsed and was frozen, or has a covariance so nearly
            singular that rounding changes log densities by more than 1e-6; X has fewer distinct rows than components,
            or with `reg_covar` "auto" a constant column; or X has one feature, for which the structure is mclust's "E"
            or "V"; or `checkpoint` can't be written, and the fit goes on without.
        """
        with unchanged_on_failure(self):
            self._fit(X, sample_weight)
        return self

    def _fit(self, X: ArrayLike | Source, sample_weight: ArrayLike | None) -> None:
        self._forget()
        self._found(X, sample_weight)

    def _found(
        self, X: ArrayLike | Source, sample_weight: ArrayLike | None = None, rng: np.random.Generator | None = None
    ) -> Fitting:
        fitting, stopping, n_init, given = self._checked(X, sample_weight)
        note = check_features(self.covariance_type, fitting.source.n_features)
        warn(note)
        verbose, interval = check_verbose(self.verbose), check_count("verbose_interval", self.verbose_interval, 1)
        if (
            check_flag("warm_start", self.warm_start)
            and rng is None
            and hasattr(self, "converged_")
            and fitting.continues(self.mixture_.model)
        ):
            model, reached, collapsed = self.mixture_.model, self.lower_bound_, self.collapsed_
            before: list[Any] = [model.weights, model.means, model.covariances.array, reached, collapsed]
            drawn = np.random.default_rng(0)  # which nothing draws from
            runs: list[Run] = [partial(fitting.run_on, model, stopping, reached, collapsed)]
        else:
            before, drawn = [], rng or self._rng()
            runs = fitting.runs(self.init_params, given, n_init, stopping, drawn)
        identity = partial(identity_of, self, fitting.data.original, fitting.engine, before)
        place = check_place(self.checkpoint) if rng is None else None  # a stream can't be read again
        with checkpointed(place, identity, fitting.family, drawn) as begin:
            run = best_run(printed(begin(runs), verbose, interval))
        self._publish(Fitted.of(run, fitting.source.dtype), self._names)
        warn_of(run)
        warn(few_rows_sentence(fitting.data.original, fitting.n_components))
        if fitting.ridge is None:
            warn(constant_sentence(run.model, fitting.objective.ridge, fitting.data.original, self._names))
        return fitting

    def _checked(
        self, X: ArrayLike | Source, sample_weight: ArrayLike | None
    ) -> tuple[Fitting, Stopping, int, InitialParameters]:
        """Everything the user passed, as objects."""
        n_components, family, stopping, n_init, ridge = self._settings()
        source = check_source(self, X, sample_weight, reset=True)
        check_enough_rows(source, n_components)
        refusal = family.refusal(source.n_features)
        if refusal is not None:
            raise ValueError(f"{refusal}.")
        fitting = Fitting(Data(source), family, self._engine(), n_components, ridge, self.acceleration is not None)
        return fitting, stopping, n_init, self._given(fitting)

    def _settings(self) -> tuple[int, Family, Stopping, int, float | None]:
        """The parameters that no rows are needed to check."""
        n_components = check_count("n_components", self.n_components, 1)
        family = check_family(self)
        stopping = Stopping(check_number("tol", self.tol), check_count("max_iter", self.max_iter, 0))
        n_init = check_count("n_init", self.n_init, 1)
        ridge = check_ridge(self.reg_covar)
        check_acceleration(self.acceleration)
        check_start_names(self.init_params)
        check_rate(self.learning_decay, self.forgetting)
        return n_components, family, stopping, n_init, ridge

    def _given(self, fitting: Fitting) -> InitialParameters:
        """The start parameters that the user passed, checked."""
        family, shape = fitting.family, (fitting.n_components, fitting.source.n_features)
        if self.precisions_init is not None and self.covariances_init is not None:
            raise ValueError("Give precisions_init or covariances_init, not both.")
        covariances = None
        if family.kind is LowRank and not (self.precisions_init is None and self.covariances_init is None):
            name = "precisions_init" if self.covariances_init is None else "covariances_init"
            raise ValueError(
                f"{name} can't start covariance_type={family.name!r}, whose covariances are loadings and noise: give "
                "means_init, or labels or responsibilities as init_params."
            )
        if self.covariances_init is not None:
            covariances = check_covariances(self.covariances_init, family, *shape, "covariance")
        elif self.precisions_init is not None:
            precisions = check_covariances(self.precisions_init, family, *shape, "precision")
            covariances = precisions.inverse()
        return InitialParameters(
            None if self.weights_init is None else check_weights(self.weights_init, shape[0]),
            None if self.means_init is None else check_means(self.means_init, *shape),
            covariances,
        )


def estimator_of(mixture: Mixture, n_jobs: int | None = None) -> GaussianMixture:
    """A fitted estimator of a mixture, to label and score rows with."""
    family = mixture.family
    estimator = GaussianMixture(mixture.n_components, covariance_type=family.name, n_jobs=n_jobs)
    estimator.set_params(**family.options)
    estimator.mixture_ = mixture
    return estimator
