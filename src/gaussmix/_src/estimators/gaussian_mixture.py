"""`GaussianMixture`: scikit-learn's estimator of this name, fitted by gaussmix."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from gaussmix._src import estimators, mixture, validation
from gaussmix._src.checks import check_count
from gaussmix._src.em.initialisation.base import repeat_starts
from gaussmix._src.em.objective.stopping import StopRule
from gaussmix._src.errors import ParameterTypeError, SingularCovarianceError, warn
from gaussmix._src.estimators.docs import documented
from gaussmix._src.estimators.fitting import apply_options, check_hooks, fit_rows, make_fitted
from gaussmix._src.estimators.likelihood_estimator import LikelihoodEstimator
from gaussmix._src.families import Family, Structure
from gaussmix._src.families.base import check_features
from gaussmix._src.fit import after
from gaussmix._src.fit.fit import fit
from gaussmix._src.fit.fitted import FitResult, RowSummary
from gaussmix._src.fit.options.table import changed_parameters
from gaussmix._src.fit.plan import ModelStart, Plan
from gaussmix._src.fit.problem import Problem, TrainingData
from gaussmix._src.formats.values import Reader, instance
from gaussmix._src.validation import parameters
from gaussmix._src.validation.rows import RowsLike, check_enough_rows

if TYPE_CHECKING:
    from gaussmix._src.fit.options.base import FitOptions
    from gaussmix._src.fit.stream import Stream
    from gaussmix._src.forgetting import ForgettingRate
    from gaussmix._src.mixture.mixture import Mixture
    from gaussmix._src.model import Model


class CheckedParameters(NamedTuple):
    """The parameters of a fit that do not depend on the rows; `ridge` is None for an automatic `reg_covar`."""

    n_components: int
    family: Family
    stopping: StopRule
    ridge: float | None
    starts: list[Any]


@documented
@dataclass(eq=False, repr=False, kw_only=True)
class GaussianMixture(LikelihoodEstimator):
    """Gaussian mixture fitted by EM, with the names and meanings of `sklearn.mixture.GaussianMixture`.

    Parameters
    ----------
    n_components : int, default 1
        Number of components K. If you do not know the number of groups, `GaussianMixtureIC` chooses K by BIC.
    covariance_type : str or structure, default "full"
        Covariance structure; choose one with few parameters if X has few rows or many features. "full" has a covariance
        matrix for each component, "tied" one matrix for all components, "diag" a variance for each component and
        feature, and "spherical" one variance for each component. The notes explain mclust's names, such as "VVE", and
        structures with options. For many features, use ``FactorAnalyzer(n_factors)``; "factor_analyzer" has one factor.
    trim : float, default 0
        Fraction of the total row weight, below 1/2, that is left out of the fit; choose at least the expected fraction
        of outliers. Each EM step leaves out the rows of lowest density. `fit_predict` gives the label −1 to exactly the
        rows that were left out, even if fewer are outliers; `predict` ignores `trim`. If `init_params` is a name, a run
        starts from the best of 21 short fits with equal diagonal covariances: one from this method, and 20 from random
        rows. There are no short fits if `init_params` is an array or a function, or if you pass `means_init`.
    tol : float or "auto", default 1e-3
        EM ends when a step changes the mean log-likelihood by less than `tol`, in nats (natural logarithms) per unit of
        sample weight. If EM converges slowly, it may stop far from the maximum; lower `tol`, or set ``tol="auto"``.
        With "auto", EM continues until all further steps together would raise the mean log-likelihood by less than 1e-4
        nats, as estimated by the check of `check_maximum`. With "auto", also raise `max_iter`, because 100 steps are
        often too few. ValueError is raised for "auto" if `check_maximum` does not support the mixture.
    check_maximum : bool or "auto", default "auto"
        Whether `fit` checks at its end, without changing the mixture, if it is near a local maximum of the likelihood;
        `outcome_` stores the result. The check takes three passes over the rows or, with missing values, `X_error` or
        factor analysers, four passes per parameter. "auto" runs the check only if three passes suffice and take at most
        a tenth of the time of the fit. There is no check for user-defined structures or more than 4,000 parameters, or
        after `max_time`: `outcome_.is_maximum` is None, and with True, `outcome_.reason` explains why.
    reg_covar : "auto" or float, default "auto"
        Value added to every variance, in data units², which keeps covariances positive definite; raise the value if
        components collapse. ``reg_covar="auto"`` uses 1e-6 of a robust variance of each feature, or 0 with
        `max_condition` or a prior on covariances. When EM has converged, `fit` estimates how much the automatic value
        lowers the mean log-likelihood. If the automatic value costs more than 1e-5 nats, and each component has at
        least 5 (n_features + 1) distinct rows, EM continues with ``reg_covar=0``, and `fit` keeps the better result.
    max_iter : int, default 100
        Largest number of EM steps in each run; raise `max_iter` after a ConvergenceWarning. 0 returns the initial
        mixture. With more than 262,080 rows, EM usually runs on a sample and then on all rows, and `max_iter` limits
        each phase. No sample is used with `labels`, `X_error`, initial parameters, an array or function as
        `init_params`, or, unless `trim` is set, "hierarchical" or "random". A split-and-merge search has its own limit.
    max_time : float or None, default None
        Time limit in seconds. When the limit is reached, `fit` completes the current EM step, keeps the best result so
        far and issues a ConvergenceWarning, which also reports skipped initialisations. If the rows are on a cluster of
        computers (Dask, Spark or Ray), the current step is interrupted instead, unless it is the first step of a run.
        If the cluster has no worker process when the limit is reached, `fit` raises TimeoutError.
    acceleration : {"auto"} or None, default None
        Whether to accelerate EM; set "auto" if EM needs hundreds of steps. If many more steps seem necessary after the
        first 20 steps, a quasi-Newton method proposes parameters, and EM continues from a proposal only if the proposal
        raises the likelihood. A proposal counts as a step, so `max_iter` still limits the passes over the rows.
        `acceleration` has no effect if `posterior` limits the candidate components.
    n_init : int, default 1
        Number of runs for each random method or function in `init_params`; the run with the highest likelihood (with
        `prior`, posterior density) is kept. Raise `n_init` to avoid poor local maxima. "hierarchical", "tree", an
        array, and a name together with `means_init` are deterministic and give only one run. "auto" with `noise` gives
        two runs instead of one.
    init_params : str, list of str, array or callable, default "auto"
        Method of initialising EM. "search" finds a high likelihood, "hierarchical" is deterministic, and "tree" suits
        thousands of components; "kmeans", "k-means++", "random" and "random_from_data" are as in scikit-learn. The
        notes describe all methods and "auto". If you pass a list of names, the best run is kept. You can also pass the
        initial component of each row, (n_samples,), which EM may change, or responsibilities (n_samples, n_components),
        or a function ``(X, n_components, rng)`` that returns such an array; `rng` is a `numpy.random.Generator`.
    weights_init, means_init : array-like, default None
        Initial weights (n_components,), whose sum is 1, and means (n_components, n_features), to start from a known
        solution. `init_params` provides the other parameters. However, if you pass `means_init`, and `init_params` is a
        name, the other parameters are computed from the rows nearest to each mean, and there is only one run.
    precisions_init, covariances_init : array-like, default None
        Initial precisions (inverse covariances) or initial covariances, in the shape of `covariances_`, but not both.
        Factor analysers support neither; pass `means_init`, or an array as `init_params`.
    noise : bool, float or Noise, default False
        Whether the mixture has a noise component for outliers: a uniform density 1 / V. By default, V is the smaller
        volume of two boxes around all rows, along the features and along the principal axes. `predict` labels a row −1
        if noise is its most probable component. A number between 0 and 1 is the initial weight of noise, and True means
        0.1. ``Noise(0.2, volume=V)`` sets the initial weight and V; `volume` may also be a box [minima, maxima].
    label_components : dict, default None
        Dictionary from the values in the argument `labels` of `fit` to lists of the components that each value allows,
        such as ``{"cat": [0, 1], "dog": [2]}``. EM assigns a row only to components that its label allows. The values
        −1, None and NaN mean an unknown label. Without `label_components`, each value is the index of a component.
    degenerate : {"freeze", "drop", "repair", "error"}, default "freeze"
        What to do if, in spite of `reg_covar`, a component becomes empty or collapses onto too few distinct rows.
        "freeze" stops updating the component's mean and covariance, but raises SingularCovarianceError if the initial
        covariance is already singular. "drop" removes the component, so that `mixture_` has fewer components. "repair"
        replaces it by one half of the component with the largest weight; after 10 repairs in a run, further components
        are frozen. "error" ends the run, and `fit` raises DegenerateError if no run is left.
    weight_type : {"frequency", "precision"}, default "frequency"
        Meaning of `sample_weight`. With "frequency", a row of weight 2 counts as two rows. With "precision", a weight
        is the reliability of a row relative to other rows (unrelated to `precisions_`) or a survey weight, and weights
        are scaled so that their sum is the number of rows of positive weight. "frequency" and "precision" differ in
        BIC, AIC, standard errors and the effect of a prior, but without a prior, give the same mixture up to the
        automatic `reg_covar`.
    random_state : int, RandomState or None, default None
        Seed of the initialisation and of `sample`; pass an integer to get the same result in every call.
    posterior : {"auto", "exact"} or int, default "auto"
        Number of candidate components of each row. An EM step compares the row only with its candidates and a few other
        components, so that the time of a step hardly grows with `n_components`. If `posterior` is a number, EM
        maximises a lower bound, which is about `outcome_.posterior_gap` below the log-likelihood. "exact" uses all
        components, and so does "auto" below 1,000 components or 2²⁷ pairs of a row and a component.
    warm_start : bool, default False
        Whether `fit` starts from the previous fit; `n_init`, `init_params` and parameters such as `means_init` are then
        ignored. The previous fit must have the same numbers of components and features and the same covariance
        structure, and both fits or neither must have `noise`. A previous fit that differs is silently ignored.
    prior : {"default"}, NormalInverseWishart, Dirichlet or None, default None
        Prior on the parameters. With a prior, `fit` maximises the posterior density (MAP) instead of the likelihood.
        "default" keeps components from collapsing: it is the prior of Fraley & Raftery (2007) for means and
        covariances, as in mclust, and for "full", weighs as much as about 2 n_features rows in each component.
        `Dirichlet` is a prior on weights, `NormalInverseWishart` on means, covariances and optionally weights.
    restrictions : Restrictions or None, default None
        Constraints on the parameters: ``Restrictions(equal_weights=True)``, a lower bound `min_weight` on all weights,
        or lists of components with `fixed_means`, `fixed_covariances` or `fixed_weights`. The fixed values come from
        `means_init`, `covariances_init` (or `precisions_init`) and `weights_init`. For example, ``means_init=[[0],
        [5]], restrictions=Restrictions(fixed_means=[1])`` fixes the second mean.
    forgetting : float, ForgettingRate or None, default None
        How fast `partial_fit` forgets earlier rows; set `forgetting` if the distribution drifts. By default, online
        step t (of 5,040 rows) gives its rows the weight (t + 1)^−0.7, and all earlier rows together the remaining
        weight; the first 65,520 rows count as one step. A number, at least 5,040, is a half-life in rows: after this
        number of later rows, the weight of a row has fallen to one half, or to less if the default forgets faster.
        For a fixed distribution, ``ForgettingRate(decay=1)`` gives all steps equal weights.
    <missing>
    callbacks : list of functions or None, default None
        Functions that are called after every EM step over all rows, but not after steps without the automatic
        `reg_covar`. Each receives a record with `start` (index of the run), `iteration` (steps of the run),
        `log_likelihood` (nats per row, before the step), `mixture` (after the step), `seconds` (since the fit began)
        and `rows_per_second`. If one returns True, `fit` returns the best mixture so far. Model files omit callbacks.
    verbose, verbose_interval : int, default 0 and 10
        If `verbose` is positive, `fit` prints progress every `verbose_interval` steps; ``verbose=2`` also prints times.
        Before the first step, `fit` prints the moves of a split-and-merge search. If `posterior` limits the candidate
        components, `fit` also prints `outcome_.posterior_gap`. Steps without the automatic `reg_covar` are not printed.
    n_jobs : int or None, default None
        Number of threads; −1 uses all processors, and so does None unless the environment variable OMP_NUM_THREADS is
        set. The result does not depend on `n_jobs`.
    checkpoint : path or None, default None
        File to which `fit` saves its progress every 5 seconds and at the end of each run. If a fit was killed, call
        `fit` again with the same data and settings to continue; `random_state` may be None. The result is the same as
        without the interruption, up to the last digits, because EM may then sum the rows in a different order. `fit`
        deletes the file at its end, even after `max_time`. `partial_fit` does not use checkpoints.

    Attributes
    ----------
    weights_ : (n_components,), the mixing proportions of the components
    means_ : (n_components, n_features), the means of the components, in data units
    covariances_, precisions_, precisions_cholesky_ : data units², 1 / data units², and 1 / data units
        With K components and d features, the shape is (K, d, d) for "full", factor analysers and other structures with
        an orientation, (d, d) for "tied", (K, d) for "diag", VEI and EVI, (d,) for EEI, (K,) for "spherical", and ()
        for EII. C in `precisions_cholesky_` satisfies C Cᵀ = Σ⁻¹: an upper triangular matrix, or the square roots of
        the precisions if Σ is diagonal. For factor analysers, the three arrays are read-only.
    loadings_, noise_variances_ : (K, d, n_factors), in data units, and (K, d), in data units²
        The loadings Λ_k and the diagonal of Ψ_k in Σ_k = Λ_k Λ_kᵀ + Ψ_k; both arrays exist only for "factor_analyzer".
    noise_weight_ : float
        Weight of the noise component; 0 without `noise`. The sum of `weights_` is 1 − `noise_weight_`.
    mixture_ : Mixture
        The fitted mixture distribution, in float64. If you set `mixture_`, the estimator behaves as if `fit` had
        returned this mixture. You can also set `weights_`, `means_`, or one of the arrays of covariances or precisions,
        or change these arrays in place. The next call of a method such as `predict`, or reading `mixture_`, builds the
        new mixture and updates the other arrays. ValueError is raised if two arrays imply different covariances. After
        a fit to rows on a device (GPU), the arrays are copies: set them, because changes in place have no effect.
    converged_ : bool, whether the run with the highest likelihood met the tolerance `tol`
    outcome_ : Outcome
        How the fit ended: the reason, whether a maximum was reached, how many starts agree, what the search gained, and
        which components collapsed or are kept from collapsing by `reg_covar`; see `gaussmix.Outcome`.
    n_iter_ : int
        Number of EM steps over all rows in the best run. After a split-and-merge search, `n_iter_` is often 2, because
        the search ends close to a maximum. Steps on a sample (see `max_iter`), which has about 65,520 rows, are not
        counted, and neither are the steps that select the initial axes of EVE and VVE (see the notes).
    lower_bound_, lower_bounds_ : float and list of float
        Mean log-likelihood (nats) before the last EM step, and a list of the `n_iter_` values before each EM step of
        the best run. `lower_bound_` is usually slightly below ``score(X)``, which is evaluated after the last step.
        With `trim`, the values are means over the rows that were kept. With `prior`, the values include the log prior
        density, up to a constant and divided by the total row weight.
    n_parameters_ : int
        Number of free parameters in `bic` and `aic`: noise counts as 2, fixed parameters and equal weights as 0.
    cutoff_ : float
        Log density (nats) below which `trim` left rows out; this attribute exists only with `trim`. New rows with
        ``score_samples(X) < cutoff_`` are also outliers.
    n_samples_seen_ : int, the number of rows passed to `partial_fit` since the last `fit`; absent without `partial_fit`
    labels_ : (n_samples,)
        Labels of the fitted rows: the result of `predict(X)`, computed on first access, or after `fit_predict`, the
        labels that `fit_predict` returned. Until the first access, keep a reference to X and do not change X, because
        the estimator does not store X. AttributeError is raised if X no longer exists, is a list or is not in memory,
        after `fit` with `X_error` or `trim`, and after `partial_fit`, `load` or copying the estimator.
    n_features_in_, feature_names_in_ : as in scikit-learn.

    See Also
    --------
    gaussmix.Mixture : the fitted distribution and its methods.

    Notes
    -----
    The three letters of mclust's structures Σ_k = λ_k D_k A_k D_kᵀ stand for the volume λ, the shape A and the
    orientation D. The letter E means equal for all components, V means varying, and I means the identity matrix.

    <letters>

    For EVE and VVE, the initial mixture is the best result of up to ten EM runs from different axes D. `max_iter`,
    `n_iter_` and callbacks do not count the steps of these runs, not even with ``max_iter=0``.

    A structure with options is an object, whose base class is `Family`. `FactorAnalyzer` assumes Σ_k = Λ_k Λ_kᵀ + Ψ_k,
    with n_features · n_factors loadings Λ_k and a diagonal Ψ_k. As an alternative to `reg_covar`, the option
    `max_condition` of `Full`, `Tied`, `Diag`, `Spherical`, `EEI` and `EII` bounds the ratio of the largest to the
    smallest eigenvalue among the covariances of all components. `check_maximum` takes variances at this bound as fixed.

    ``init_params="search"`` runs k-means, and then merges and splits components while the likelihood rises.
    "hierarchical" is Ward clustering of at most 2,000 rows, and "tree" is a fast k-means. ``init_params="auto"`` means
    "tree" if `posterior` limits the candidate components. Otherwise, "auto" means "kmeans" if there is one component,
    if you pass initial parameters or `labels` of all rows, or if `max_iter` is below 20. In all other cases, "auto"
    means "search", and with `noise` a second search, without rows that have no near neighbours (Byers & Raftery 1998).
    "auto", "search" and "tree" scale columns by their spread, except for "spherical", EII, VVE, EVE, EEV, VEV,
    isotropic Ψ_k and `max_condition`.
    For at least 1,000 components and at least 2²⁷ pairs of a row and a component, ``posterior="auto"`` begins with 8
    candidate components. While `posterior_gap` is above 0.002 nats per row, EM steps try more neighbours, and then
    twice as many candidates, up to 64. Fits are exact if components share a covariance.

    Results for NumPy arrays are bit-identical for any number of threads and on any processor. Under scikit-learn's
    option `array_api_dispatch`, arrays of PyTorch, CuPy and JAX are fitted on their device. Attributes and predictions
    are arrays of the same library as X, and each EM step agrees with an EM step for NumPy arrays up to about 1e-9.

    References
    ----------
    Dempster, Laird & Rubin (1977), JRSS B 39; Bishop (2006), Pattern Recognition and Machine Learning, 9.2; Celeux &
    Govaert (1995), Pattern Recognition 28, for the structures; McLachlan & Peel (2000), Finite Mixture Models, chapter
    8, Tipping & Bishop (1999), Neural Computation 11, and McNicholas & Murphy (2008), Statistics and Computing 18, for
    "factor_analyzer". Louis (1982), JRSS B 44, and Oakes (1999), JRSS B 61, for `check_maximum`. Neykov et al. (2007),
    Computational Statistics & Data Analysis 52, and García-Escudero et al. (2008), Annals of Statistics 36, for `trim`.

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

    n_components: int = field(default=1, kw_only=False)
    covariance_type: Structure | Family = "full"
    weights_init: ArrayLike | None = None
    means_init: ArrayLike | None = None
    precisions_init: ArrayLike | None = None
    covariances_init: ArrayLike | None = None
    posterior: Literal["auto", "exact"] | int = "auto"
    warm_start: bool = False
    forgetting: float | ForgettingRate | None = None
    verbose: int = 0
    verbose_interval: int = 10

    _attributes: ClassVar[Mapping[str, Reader]] = {"n_samples_seen_": instance(int), "_stream_table": instance(dict)}
    _needs_attributes = False  # files may lack `_attributes`, which only `partial_fit` sets
    # The stream is not a part of `_fitted`, because the first rows of a stream may still wait for the first fit.
    _stream: Stream = field(init=False)

    @classmethod
    def from_sklearn(cls, estimator: Any) -> Self:
        """Create a fitted estimator from a fitted estimator of scikit-learn.

        Parameters
        ----------
        estimator : a fitted GaussianMixture or BayesianGaussianMixture of scikit-learn. The parameters, the feature
            names, and attributes such as `n_iter_` are copied. From a BayesianGaussianMixture, only the point estimates
            and the parameters that `GaussianMixture` also has are copied.

        Raises
        ------
        TypeError : if `estimator` is not a fitted mixture estimator.
        ValueError : if the arrays of the estimator are not a valid mixture.

        Examples
        --------
        >>> from gaussmix import GaussianMixture
        >>> from sklearn.mixture import BayesianGaussianMixture
        >>> theirs = BayesianGaussianMixture(n_components=2, random_state=0).fit([[0.0], [0.2], [4.0], [4.2]])
        >>> gm = GaussianMixture.from_sklearn(theirs)
        >>> bool((gm.predict([[0.1], [4.1]]) == theirs.predict([[0.1], [4.1]])).all())
        True
        """
        result = cls(**estimators.conversion.shared_parameters(estimator))
        model, names = mixture.conversion.from_sklearn(estimator)
        result._set_fit(model, names, np.result_type(np.float32, np.asarray(estimator.means_)))
        for name, value in estimators.conversion.fit_attributes(estimator).items():
            setattr(result, name, value)
        return result

    def partial_fit(self, X: RowsLike, y: object = None, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the mixture to the next rows of a stream.

        The first 65,520 rows are stored and then fitted by `fit`, without `warm_start`. Each later portion of 5,040
        rows takes one online EM step. An online step consists of an E-step over the 5,040 rows, whose sums are averaged
        with the sums of all earlier rows, and an M-step. The result therefore depends on the order of the rows, but not
        on how the rows are divided among calls.

        You can read attributes after every call. Before 65,520 rows have arrived, reading an attribute fits all rows so
        far. Later, attributes come from the last online step, so that up to 5,039 newer rows are not yet used. After an
        online step, `lower_bound_` is the mean log-likelihood (nats) of rows before the step that used them; recent
        rows have larger weights. `converged_`, `n_iter_` and `lower_bounds_` describe the fit to the first 65,520 rows.

        `fit` and changes of fitted attributes discard the stream, and the next call begins a new stream. A model file
        contains the stream, so that the stream continues after `load`. The automatic `reg_covar` is computed from the
        first 65,520 rows.

        Parameters
        ----------
        <fit>

        Raises
        ------
        ValueError : if a parameter or the data is invalid, the features differ from earlier calls, X is float64 after
            earlier float32 rows, or `n_components` or `covariance_type` has changed since the fit to the first 65,520
            rows. `partial_fit` does not support missing values, factor analysers, ``weight_type="precision"``, `noise`,
            `trim`, `prior`, `restrictions`, a number as `posterior`, or values of `degenerate` other than "freeze".
            Errors leave the stream unchanged.
        TypeError : if a parameter or the data has the wrong type.

        Warns
        -----
        RuntimeWarning, ConvergenceWarning : as in `fit`, or if a component was frozen in the last online step, or if a
            new stream replaces a mixture that does not come from `partial_fit`.

        References
        ----------
        Cappé & Moulines (2009), On-line expectation-maximization algorithm for latent data models, JRSS B 71.

        Examples
        --------
        >>> import numpy as np
        >>> from gaussmix import GaussianMixture
        >>> rng = np.random.default_rng(0)
        >>> gm = GaussianMixture(n_components=2, random_state=0)
        >>> for _ in range(100):
        ...     _ = gm.partial_fit(rng.choice([-3, 3], size=(1000, 1)) + rng.normal(size=(1000, 1)))
        >>> np.sort(gm.means_.ravel()).round(1).tolist(), gm.n_samples_seen_
        ([-3.0, 3.0], 100000)
        """
        estimators.streaming.learn(self, X, sample_weight)
        return self

    def _fit_mixture(self, X: RowsLike, sample_weight: ArrayLike | None, options: FitOptions) -> Problem:
        began = perf_counter()
        problem, plan = self._checked(X, sample_weight, options)
        source, family = problem.data.raw_source, problem.family
        if source.n_features == 1 or self.covariance_type in ("E", "V"):
            warn(check_features(self.covariance_type, source.n_features))
        try:
            best = fit(problem, plan, options)
        except SingularCovarianceError as error:
            raise after.diagnostics.explain_singular(error, source, family, self._names) from None
        trace = best.final_state.trace
        row_summary = RowSummary.from_source(source, X, trace.last_objective if trace.n_steps else None, began)
        fitted = make_fitted(best, plan, row_summary, self._names)
        self._finish(fitted, options, best, X)
        return best.problem

    def _checked(self, X: RowsLike, sample_weight: ArrayLike | None, options: FitOptions) -> tuple[Problem, Plan]:
        """Check the data and all parameters; return the optimisation problem and the plan of the fit."""
        n_components, family, stopping, ridge, starts = self._checked_parameters()
        source = fit_rows(self, X, sample_weight, options)
        check_enough_rows(source, n_components)
        parameters.check_supported(family, source.n_features)
        if source.may_miss:
            validation.incomplete.check_pairs(source, [family], self._names)
        problem = Problem(TrainingData(source), family, n_components, self._engine(source), ridge)
        plan = Plan(starts, self._rng(), stopping)
        return apply_options(options, problem, plan, [(family, n_components)]) if options else (problem, plan)

    def _model_start(self, problem: Problem) -> ModelStart | None:
        """Return the previous fit as an initialisation, or None if there is no previous fit that suits the problem."""
        if not hasattr(self, "mixture_") or not problem.can_continue_from(self._fitted.model):
            return None
        reached = getattr(self, "lower_bound_", float("-inf"))
        return ModelStart(problem.adopt_model(self._fitted.model), reached, self._fitted.collapsed)

    def _checked_parameters(self) -> CheckedParameters:
        """Return the parameters that do not depend on the rows, checked and converted."""
        check_hooks(self)
        if isinstance(self.n_components, Iterable) and not isinstance(self.n_components, str):
            raise ParameterTypeError(
                f"n_components must be an integer ≥ 1, not {self.n_components!r:.60}. To choose the number of "
                f"components, use GaussianMixtureIC({self.n_components!r:.60})."
            )
        n_components = check_count("n_components", self.n_components, 1)
        family, names = parameters.check_family(self), changed_parameters(self)
        tolerance: Any = self.tol
        stopping, starts = StopRule(tolerance, self.max_iter), [self.init_params]
        if not names.isdisjoint(("tol", "max_iter")):
            stopping = StopRule(parameters.check_tol(tolerance) or 0.0, parameters.CHECKS["max_iter"](self.max_iter))
        ridge = parameters.check_ridge(self.reg_covar, [family], self.prior)
        if not names.isdisjoint(("n_init", "init_params")):
            n_init = parameters.CHECKS["n_init"](self.n_init)
            starts = repeat_starts(self.init_params, parameters.check_start_names(self.init_params), n_init)
        return CheckedParameters(n_components, family, stopping, ridge, starts)

    @property
    def n_samples_seen_(self) -> int:
        """Number of rows that were passed to `partial_fit` since the last `fit`; exists only after `partial_fit`."""
        if "_stream" not in vars(self):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute 'n_samples_seen_'")
        return self._stream.n_rows_seen

    def __sklearn_is_fitted__(self) -> bool:
        return "_stream" in vars(self) or super().__sklearn_is_fitted__()

    def _stored(self) -> FitResult | None:
        """Return the result of the fit; if a stream is still too short for online steps, first fit its rows."""
        if "_stream" in vars(self) and "_fitted" not in vars(self):
            estimators.streaming.fit_waiting(self)
        return super()._stored()

    def _fit_result(self) -> FitResult:
        fitted = super()._fit_result()
        return estimators.streaming.with_rows_seen(fitted, self._stream) if "_stream" in vars(self) else fitted

    def _set_fit(self, model: Model, names: tuple[str, ...] | None = None, dtype: np.dtype[Any] | None = None) -> None:
        self.__dict__.pop("_stream", None)
        super()._set_fit(model, names, dtype)

    def _saved_attributes(self) -> dict[str, Any]:
        if "_stream" not in vars(self):
            return {}
        return {"n_samples_seen_": self._stream.n_rows_seen, "_stream_table": self._stream.to_table()}

    def _restore_attributes(self, own: Mapping[str, Any]) -> None:
        if "_stream_table" in own:
            self._stream = estimators.streaming.restored_stream(own, self._fitted.model)


def as_estimator(mixture: Mixture, n_jobs: int | None = None) -> GaussianMixture:
    """Return a fitted estimator that uses a given mixture to label and score rows."""
    family, noise = parameters.shown(mixture.family), mixture.noise is not None
    estimator = GaussianMixture(mixture.n_components, covariance_type=family, noise=noise, n_jobs=n_jobs)
    estimator._fitted = FitResult(mixture._model, mixture.feature_names)
    return estimator
