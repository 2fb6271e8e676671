"""`GaussianMixture`: scikit-learn's estimator, on gaussmix."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from gaussmix._src import estimators, mixture, validation
from gaussmix._src.checks import check_count
from gaussmix._src.em.objective.stopping import StopRule
from gaussmix._src.errors import ParameterTypeError, SingularCovarianceError, warn
from gaussmix._src.estimators.docs import documented
from gaussmix._src.estimators.fitting import check_hooks, fit_rows, make_fitted, with_features
from gaussmix._src.estimators.likelihood_estimator import LikelihoodEstimator
from gaussmix._src.families import Family, Structure
from gaussmix._src.families.base import check_features
from gaussmix._src.fit import after
from gaussmix._src.fit.features.table import changed_parameters
from gaussmix._src.fit.fit import fit
from gaussmix._src.fit.fitted import FitResult, RowSummary
from gaussmix._src.fit.plan import ModelStart, Plan
from gaussmix._src.fit.problem import Problem, TrainingData
from gaussmix._src.formats.values import Reader, instance
from gaussmix._src.validation import parameters
from gaussmix._src.validation.rows import RowsLike, check_enough_rows

if TYPE_CHECKING:
    from gaussmix._src.em.step.online import ForgettingRate
    from gaussmix._src.fit.features.base import FitOptions
    from gaussmix._src.fit.stream import Stream
    from gaussmix._src.mixture.mixture import Mixture
    from gaussmix._src.model import Model


@documented
@dataclass(eq=False, repr=False, kw_only=True)
class GaussianMixture(LikelihoodEstimator):
    """Gaussian mixture fitted by EM, with the names and meanings of `sklearn.mixture.GaussianMixture`.

    Parameters
    ----------
    n_components : int, default 1
        Number of components K.
    covariance_type : str or structure, default "full"
        "full": a covariance matrix per component; "tied": one for all; "diag": a variance per component and feature;
        "spherical": one variance per component. Or one of mclust's structures, Σ_k = λ_k D_k A_k D_kᵀ, by letters for
        the volume λ, the shape A and the orientation D, which are E, equal for all components, V, varying, or I, the
        identity.

        <letters>

        A structure with options is a value. `FactorAnalyzer(n_factors)`, also "factor_analyzer", is for many features:
        Σ_k = Λ_k Λ_kᵀ + Ψ_k, at the cost of 2 d q per row and component. `Full`, `Tied`, `Diag`, `Spherical`, `EEI` and
        `EII` take a bound on the ratio of eigenvalues, an alternative to `reg_covar`: ``Full(max_condition=100)``.
    trim : float, default 0
        Share of the row weight, below 1/2, that each step leaves out: the rows that are least likely under the mixture
        so far. Gross outliers then have no say, wherever they are. `cutoff_` says which rows were left out in the end,
        and `fit_predict` labels them −1. EM raises the mean log-likelihood of the rows it keeps, and starts where the
        best of 21 starts with one variance per feature leads. Neykov et al. (2007), García-Escudero et al. (2008).
    tol : float or "auto", default 1e-3
        EM ends when a step changes the mean log-likelihood (nats per unit of sample weight) by less. Where EM creeps,
        that is far from the maximum. With "auto" it goes on until less than 1e-4 nats are left to gain, as
        `check_maximum` finds out; raise `max_iter` then, since 100 steps often do not suffice. It needs rows that have
        a certificate.
    check_maximum : bool or "auto", default "auto"
        Whether `fit` finds out if it ended at a maximum, and what is left to gain: `outcome_`. It takes three passes
        over the rows, which cost the more the more parameters there are; four passes for each parameter where rows have
        missing cells or errors, and for factor analysers. "auto" finds it out where that costs at most a tenth of the
        fit, by counting operations, and never in so many passes. With `trim` it is about the rows that are kept, and
        variances at a bound stay at it. Structures of your own and more than 4,000 parameters have no certificate.
        ``tol="auto"`` always makes one.
    reg_covar : "auto" or float, default "auto"
        Added to every variance, data units². "auto" is 1e-6 of a robust variance of each feature, so that
        the units of the data do not matter; with a bound on eigenvalues or a prior of covariances it is 0. If "auto"
        costs likelihood although each component has 5 distinct rows for each feature and 5 more, EM goes on without it.
    max_iter : int, default 100
        Limit on EM steps; 0 returns the start. Above 262,080 rows it limits the steps on the sample and those on all
        rows each.
    max_time : float or None, default None
        Seconds after which `fit` ends with what it has, with a ConvergenceWarning. It is asked after each step, and on
        a cluster during all but the first, so the first start and its first step are always made; starts that are left
        out are warned of too. If a cluster has no worker then, `fit` raises TimeoutError.
    acceleration : {"auto"} or None, default None
        "auto" takes far fewer steps where EM is slow: after 20 steps, if many seem to be left, a quasi-Newton method
        proposes where to go on. EM judges each proposal and goes back if it is no better. A proposal counts as a step,
        so `max_iter` still limits the passes over the rows. With None a step is exactly one of EM, as it is in any case
        where few components share a row (`posterior`).
    n_init : int, default 1
        Number of starts of each kind that draws; the run that ends with the largest likelihood is kept.
    init_params : str, list of str, array or callable, default "auto"
        "kmeans", "k-means++", "random", "random_from_data", "hierarchical" (Ward, on at most 2,000 rows), "tree"
        (k-means from the cells of a tree, quick for thousands of components), "search" (k-means and, with fewer than 10
        components, groups by distance from the centre or along a feature; then components are merged and split while
        the likelihood grows), or several of these (the run with the largest likelihood is kept); integer labels
        (n_samples,); responsibilities (n_samples, n_components); or a callable ``(X, n_components, rng)`` that returns
        either. "auto" is "search" for several components, but "tree" where few components share a row (`posterior`),
        and k-means with initial parameters, where each row has a label, and with `max_iter` below 20. "auto" and
        "search" divide each column by its own spread, unless the structure depends on units; "kmeans" does not.
    weights_init, means_init : array-like, default None
        Weights (n_components,) and means (n_components, n_features) to start from. With `means_init` the
        rest of the start comes from the rows nearest to each mean, where `init_params` is a name.
    precisions_init, covariances_init : array-like, default None
        Precisions or covariances to start from, not both, in the shape of `covariances_`.
    noise : bool, float or Noise, default False
        Whether some rows are of no component, but of a uniform background of density 1 / V with a weight of its own;
        `predict` labels them −1. A number between 0 and 1 is the weight to begin with, 0.1 by default. `Noise` also
        takes the volume V, or a box.
    label_components : dict, default None
        The components of each label in `labels` of `fit`, {label: [component, …]}; None where a label is the number of
        its component. With it, labels may be text.
    degenerate : {"freeze", "drop", "repair", "error"}, default "freeze"
        What to do with a component that collapses onto too few distinct rows, or that no row belongs to any more:
        "freeze" keeps its mean and covariance as they were; "drop" goes on without it, so that `mixture_` has fewer
        components than `n_components`; "repair" puts one half of the heaviest component in its place, up to 10 times in
        a run, and freezes after that; "error" ends the run, and the fit where every start ends so. Only "freeze" is
        for `partial_fit`.
    weight_type : {"frequency", "precision"}, default "frequency"
        What `sample_weight` says. "frequency": a row of weight 2 counts as two rows. "precision": how much a row is to
        be trusted compared with the others; such weights are scaled to a mean of 1 over the rows of positive weight, so
        that BIC, the automatic ridge and checks of the number of rows count rows.
    random_state : int, RandomState or None, default None
        Seed of the starts and of `sample`.
    posterior : {"auto", "exact"} or int, default "auto"
        How many components share a row. "exact": all. An integer: each row keeps this number of candidates, and a step
        tries them, their neighbours and some others, so that its time hardly grows with `n_components`. EM then
        raises a lower bound of the log-likelihood, and `outcome_` says how far below it is. "auto": all below 1,000
        components, else 8 candidates, and twice as many, up to 64, while the bound is more than 0.002 nats per row
        below. Structures that share a covariance are always exact.
    warm_start : bool, default False
        Continue from the last fit instead of starting again.
    prior : {"default"}, NormalInverseWishart, Dirichlet or None, default None
        What is believed of means and covariances, of weights, or of all, before the rows are seen; the fit then is the
        most probable mixture (maximum a posteriori). "default" is that of Fraley & Raftery (2007) for means and
        covariances, which keeps components from collapsing and counts for a few rows. `Dirichlet` is of weights alone.
    restrictions : Restrictions or None, default None
        What the fit may not change: equal weights, a smallest weight, and means, covariances and weights that stay.
    forgetting : float, ForgettingRate or None, default None
        For `partial_fit`, a half-life in rows, at least 5,040: so many rows later, a row counts at most half. For data
        that drift. None is right where all rows come from one distribution. See `ForgettingRate` for more.
    <missing>
    callbacks : list of functions or None, default None
        Each is called after every step of EM over all rows with a record that has `start` (number of the start, from
        0), `iteration` (steps made from there), `log_likelihood` (of the mixture before the step, nats per row),
        `mixture` (after it), `seconds` (since the fit began) and `rows_per_second`. One that returns True ends the fit,
        which keeps the best mixture so far. Files of the model do not hold them. For callbacks of scikit-learn see
        `set_callbacks`.
    verbose, verbose_interval : int, default 0 and 10
        Print progress every so many steps, and what a search does before them; times too where `verbose` is 2. Where
        few components share a row, the gap to the log-likelihood too (`posterior`).
    n_jobs : int or None, default None
        Threads; None for every processor (or OMP_NUM_THREADS). The result is the same for any number.
    checkpoint : path or None, default None
        A file in which `fit` notes every 5 seconds, and at the end of each start, where it stands. A fit that was
        killed goes on from there when it is called again with the same data and settings, and ends with the same bits;
        where passes over many rows visit them by component, the last digits may differ. The file is removed when the
        fit ends. `partial_fit` has none.

    Attributes
    ----------
    weights_ : (n_components,)
    means_ : (n_components, n_features), data units
    covariances_, precisions_, precisions_cholesky_ : data units² and their inverses
        (K, d, d) for "full" and the others with an orientation, (d, d) for "tied", (K, d) for "diag", VEI and EVI,
        (d,) for EEI, (K,) for "spherical", () for EII. The upper triangular C in `precisions_cholesky_` satisfies
        C Cᵀ = Σ⁻¹. For "factor_analyzer" these and the next two are read-only, and made whenever they are asked for.
    loadings_, noise_variances_ : (K, d, q), data units, and (K, d), data units²
        Λ_k and the diagonal of Ψ_k, for "factor_analyzer" only.
    noise_weight_ : float
        Weight of the background, 0 without; `weights_` sum to 1 less this.
    mixture_ : Mixture
        The fitted distribution itself, in float64. It can be set: the estimator is then as if fitted to it. So can
        `weights_`, `means_` and matrices, one after the other or in place; when the estimator is next used, a mixture
        is made of them. Until then the other arrays are those of the old mixture.
    converged_ : bool
    outcome_ : record
        How the fit ended: `reason`, a sentence; `is_maximum`, True near a maximum, False at a saddle, on a ridge or
        far from a maximum, None if `check_maximum` did not find it out; near a maximum `remaining_gain`, what all
        further steps would add to `lower_bound_`, nats per row, and `label_change_fraction`, the share of the labels
        that they may change; `rate`, the part of its gain that each step leaves for the next; `n_starts` that were run;
        and `n_starts_at_best` of them, whose last values differ from the best by no more than `tol` and what they would
        still gain.
        `collapsed` lists the components that fell onto too few distinct rows and were frozen, because the likelihood of
        such a fit can't be compared with other likelihoods. If `reg_covar` is above 0, no component is frozen;
        `on_ridge` then lists the components that only `reg_covar` keeps from collapsing, with a warning that says why.
        `is_ridge_dropped` says that the fit ended without the automatic `reg_covar`. A warm start leaves collapsed
        components frozen.
        `diagnostics` lists what was unusual: components that collapsed or lost their mass, and what was done; nearly
        singular covariances; constant columns; components on the ridge. Each entry has `component`, `feature`, `step`
        and `cause`, a few words. `traces` is what `lower_bounds_` says, for each start that ended with a finite
        likelihood.
        After a search, `n_moves_tried` and `n_moves_accepted` count its moves of components, and `search_gain` is how
        much higher it led than EM from k-means, nats per row; None without a search.
        Where few components shared each row (`posterior`), `n_candidates` is their number, and `posterior_gap` how far
        `lower_bound_` is below the mean log-likelihood, nats per row, estimated from about 4,096 rows, with the
        standard error `posterior_gap_error`; else None.
    n_iter_ : int
        Steps of the best run over all rows, after the moves of a search: often 2, since these leave little to gain.
        What the search did is in `outcome_`. Above 262,080 rows, a fit from a named start first settles on the sample
        of the starts (about 65,520 rows); those steps are not counted.
    lower_bound_, lower_bounds_ : float and list of float
        Mean log-likelihood (nats) at the last and at each step of the best run; with `trim` of the rows that are kept.
        With `prior` the log density of the prior is added, divided by the sum of the weights of the
        rows and up to a constant: what EM raises.
    n_parameters_ : int
        Number of free parameters, which `bic` and `aic` count. Fixed ones are not free, nor are equal weights.
    cutoff_ : float
        Log density (nats) below which `fit` left rows out, by the mixture it ended with: ``score_samples(X) < cutoff_``
        tells outliers also among new rows. Only with `trim`.
    n_samples_seen_ : int
        Rows of all calls of `partial_fit`; only there.
    labels_ : (n_samples,)
        `predict` of the array or data frame that was fitted, as it is when this is first asked for; after `fit_predict`
        what that returned. A fit keeps no rows: where nobody else does, or they were in a file or on a cluster, in a
        list, with `X_error` or with `trim`, there are none, and the AttributeError says so. Files do not hold them.
    n_features_in_, feature_names_in_ : as in scikit-learn.

    See Also
    --------
    gaussmix.Mixture : what can be asked of the fitted distribution.

    References
    ----------
    Dempster, Laird & Rubin (1977), JRSS B 39; Bishop (2006), Pattern Recognition and Machine Learning, 9.2; Celeux &
    Govaert (1995), Pattern Recognition 28, for the structures; McLachlan & Peel (2000), Finite Mixture Models, chapter
    8, Tipping & Bishop (1999), Neural Computation 11, and McNicholas & Murphy (2008), Statistics and Computing 18, for
    "factor_analyzer". Louis (1982), JRSS B 44, and Oakes (1999), JRSS B 61, for `check_maximum`.

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
    _needs_attributes = False  # only a stream has them
    _stream: Stream = field(init=False)  # beside `_fitted`: its rows may still wait for a first fit

    @classmethod
    def from_sklearn(cls, estimator: Any) -> Self:
        """Make a fitted estimator of one that scikit-learn has fitted.

        Parameters
        ----------
        estimator : a fitted GaussianMixture or BayesianGaussianMixture of scikit-learn. Its parameters, the names of
            its features and how its fit went come along. From a Bayesian one the point estimates are taken, as by its
            own `sample`, and the parameters that have a meaning here.

        Raises
        ------
        TypeError : estimator is not a fitted mixture.
        ValueError : its numbers make no mixture.

        Examples
        --------
        >>> from gaussmix import GaussianMixture
        >>> from sklearn.mixture import BayesianGaussianMixture
        >>> theirs = BayesianGaussianMixture(n_components=2, random_state=0).fit([[0.0], [0.2], [4.0], [4.2]])
        >>> gm = GaussianMixture.from_sklearn(theirs)
        >>> bool((gm.predict([[0.1], [4.1]]) == theirs.predict([[0.1], [4.1]])).all())
        True
        """
        made = cls(**estimators.conversion.shared_parameters(estimator))
        model, names = mixture.conversion.from_sklearn(estimator)
        made._become(model, names, np.result_type(np.float32, np.asarray(estimator.means_)))
        for name, value in estimators.conversion.fit_facts(estimator).items():
            setattr(made, name, value)
        return made

    def partial_fit(self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None) -> Self:
        """Learn from the next rows of a stream.

        The first 65,520 rows are held and fitted as by `fit`, without `warm_start`. After that every 5,040 rows are an
        online step: one E-step over them, whose sums are mixed into those of all rows before, and an M-step. So the
        result depends on the rows and their order; where calls cut them changes no bit.

        Attributes may be read after every call. Until 65,520 rows are there, they come from a fit to the rows so far,
        made when one is first read. Later they come from the steps made so far: up to 5,039 rows wait for the next.
        Then `lower_bound_` is the mean log-likelihood (nats per unit of weight) that rows had before their step,
        averaged like the sums; `converged_`, `n_iter_` and `lower_bounds_` are about the first fit.

        `fit` forgets the stream, and the first call after `fit` begins a new one. A model file holds the stream, which
        goes on after `load`. The automatic ridge is that of the first 65,520 rows.

        Parameters
        ----------
        <fit>

        Raises
        ------
        ValueError : a parameter or the data can't be used; `covariance_type` is "factor_analyzer"; the features are
            others than before; X is float64 after float32; or the size or structure of the mixture was changed.
            The stream then is what it was before the call.
        TypeError : a parameter or the data is of the wrong type.

        Warns
        -----
        RuntimeWarning, ConvergenceWarning : as `fit`; or a component stayed where it was in the last step.

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

    def _find(self, X: RowsLike, sample_weight: ArrayLike | None, options: FitOptions) -> Problem:
        began = perf_counter()
        problem, plan = self._checked(X, sample_weight, options)
        source, family = problem.data.raw_source, problem.family
        if source.n_features == 1 or self.covariance_type in ("E", "V"):
            warn(check_features(self.covariance_type, source.n_features))
        try:
            run, ends, solved = fit(problem, plan, options)
        except SingularCovarianceError as error:
            raise after.diagnostics.explain_singular(error, source, family, self._names) from None
        facts = RowSummary.from_source(source, X, run.trace.last_objective if run.trace.n_steps else None, began)
        is_dropped = solved is not problem
        fitted = make_fitted(solved, plan, run, ends, facts, self._names, is_ridge_dropped=is_dropped)
        self._finish(fitted, options, solved, run, X)
        return solved

    def _checked(self, X: RowsLike, sample_weight: ArrayLike | None, options: FitOptions) -> tuple[Problem, Plan]:
        """Return what is fitted and how, from everything that the user passed."""
        n_components, family, stopping, ridge, starts = self._settings()
        source = fit_rows(self, X, sample_weight, options)
        check_enough_rows(source, n_components)
        parameters.check_supported(family, source.n_features)
        if source.may_miss:
            validation.incomplete.check_pairs(source, [family], self._names)
        problem = Problem(TrainingData(source), family, n_components, self._engine(source), ridge)
        plan = Plan(starts, self._rng(), stopping)
        return with_features(options, problem, plan, [(family, n_components)]) if options else (problem, plan)

    def _model_start(self, problem: Problem) -> ModelStart | None:
        """The start of a fit that continues from the one before; None if there is none like it."""
        if not hasattr(self, "mixture_") or not problem.can_continue_from(self._fitted.model):
            return None
        reached = getattr(self, "lower_bound_", float("-inf"))
        return ModelStart(problem.adopt_model(self._fitted.model), reached, self._fitted.collapsed)

    def _settings(self) -> tuple[int, Family, StopRule, float | None, list[Any]]:
        """The parameters that no rows are needed to check."""
        check_hooks(self)
        if isinstance(self.n_components, Iterable) and not isinstance(self.n_components, str):
            raise ParameterTypeError(
                f"n_components must be an integer ≥ 1, not {self.n_components!r:.60}: to choose among several, use "
                f"GaussianMixtureIC({self.n_components!r:.60})."
            )
        n_components = check_count("n_components", self.n_components, 1)
        family, names = parameters.check_family(self), changed_parameters(self)
        tolerance: Any = self.tol
        max_steps, starts = self.max_iter, [self.init_params]
        if not names.isdisjoint(("tol", "max_iter")):
            tolerance, max_steps = parameters.check_tol(tolerance) or 0.0, parameters.CHECKS["max_iter"](max_steps)
        ridge = parameters.check_ridge(self.reg_covar, [family], self.prior)
        if not names.isdisjoint(("n_init", "init_params")):
            n_init = parameters.CHECKS["n_init"](self.n_init)
            starts = Plan.repeat_starts(self.init_params, parameters.check_start_names(self.init_params), n_init)
        return n_components, family, StopRule(tolerance, max_steps), ridge, starts

    @property
    def n_samples_seen_(self) -> int:
        """Rows of all calls of `partial_fit`; only there."""
        if "_stream" not in vars(self):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute 'n_samples_seen_'")
        return self._stream.n_rows_seen

    def __sklearn_is_fitted__(self) -> bool:
        return "_stream" in vars(self) or super().__sklearn_is_fitted__()

    def _stored(self) -> FitResult | None:
        """The fit; while a stream is too short for steps, one to the rows that wait."""
        if "_stream" in vars(self) and "_fitted" not in vars(self):
            estimators.streaming.fit_waiting(self)
        return super()._stored()

    def _fit_facts(self) -> FitResult:
        fitted = super()._fit_facts()
        return estimators.streaming.with_rows_seen(fitted, self._stream) if "_stream" in vars(self) else fitted

    def _become(self, model: Model, names: tuple[str, ...] | None = None, dtype: np.dtype[Any] | None = None) -> None:
        self.__dict__.pop("_stream", None)
        super()._become(model, names, dtype)

    def _own(self) -> dict[str, Any]:
        if "_stream" not in vars(self):
            return {}
        return {"n_samples_seen_": self._stream.n_rows_seen, "_stream_table": self._stream.to_table()}

    def _wake(self, own: Mapping[str, Any]) -> None:
        if "_stream_table" in own:
            self._stream = estimators.streaming.restored_stream(own, self._fitted.model)


def as_estimator(mixture: Mixture, n_jobs: int | None = None) -> GaussianMixture:
    """A fitted estimator of a mixture, to label and score rows with."""
    family, noise = parameters.shown(mixture.family), mixture.noise is not None
    estimator = GaussianMixture(mixture.n_components, covariance_type=family, noise=noise, n_jobs=n_jobs)
    estimator._fitted = FitResult(mixture._model, mixture.feature_names)
    return estimator
