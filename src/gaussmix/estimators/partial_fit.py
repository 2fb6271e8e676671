"""`partial_fit`: an estimator that learns from a stream of rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import NotFittedError

from gaussmix.covariances import LowRank
from gaussmix.door.parameters import check_rate, drawn_seed
from gaussmix.door.rows import MIN_ROWS, check_source, counted_sum
from gaussmix.em import step
from gaussmix.em.objective.objective import Objective
from gaussmix.em.objective.stopping import Stopping
from gaussmix.em.objective.trace import State, Trace
from gaussmix.errors import counted, warn
from gaussmix.estimators.base import unchanged_on_failure
from gaussmix.estimators.docs import documented
from gaussmix.estimators.fitting import Features
from gaussmix.estimators.likelihood_estimator import LikelihoodEstimator
from gaussmix.families.base import Family
from gaussmix.fit.diagnostics import of_components
from gaussmix.fit.features.table import check_combination, features_of
from gaussmix.fit.fitted import Fitted, RowFacts
from gaussmix.fit.problem import Data, Problem
from gaussmix.fit.stream import Learned, Stream, counting
from gaussmix.formats.record import Damaged
from gaussmix.formats.values import Reader, of_type
from gaussmix.mixture.mixture import Mixture
from gaussmix.report.messages import CollapseWarning, frozen_sentence
from gaussmix.sources.array import ArraySource
from gaussmix.sources.base import Source

STREAM = "partial_fit"  # in the names of `UNSUPPORTED`
LARGEST_SHARE = 2.0**53  # of a step, whose weight may be beyond all doubles in units of the first rows


@documented
class StreamingMixture(LikelihoodEstimator, ABC):
    """An estimator of a mixture that learns from rows as they come."""

    forgetting: float | step.online.Rate | None

    _attributes: ClassVar[Mapping[str, Reader]] = {"n_samples_seen_": of_type(int), "_stream_table": of_type(dict)}
    _stream: Stream  # beside `_fitted`: its rows may still wait for a first fit

    @abstractmethod
    def _settings(self) -> tuple[int, Family, Stopping, float | None, list[Any]]:
        """The parameters that no rows are needed to check; of these the number of components and the structure."""

    @abstractmethod
    def _find(
        self,
        X: ArrayLike | Source,
        sample_weight: ArrayLike | None,
        features: Features,
        rng: np.random.Generator | None = None,
    ) -> Problem:
        """Fit as `fit` does, from a start that `rng` draws."""

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
        with unchanged_on_failure(self):
            self._learn(X, sample_weight)
        return self

    def _learn(self, X: ArrayLike | Source, sample_weight: ArrayLike | None) -> None:
        n_components, family, *_ = self._settings()
        self._features()
        if family.kind is LowRank:  # a step would need all rows
            check_combination({f"covariance_type={family.name!r}", STREAM})
        if "_fitted" in vars(self):
            _ = self._fitted  # a mixture that was changed by hand begins a new stream
        stream = vars(self).get("_stream")
        source = check_source(self, X, sample_weight, reset=stream is None, is_stream=True)
        if stream is None:
            stream = Stream(source.dtype, drawn_seed(self.random_state))
            refusal = family.refusal(source.n_features)
            if refusal is not None:
                raise ValueError(f"{refusal}.")
        if not np.can_cast(source.dtype, stream.dtype):
            raise ValueError("X is float64, but the stream began with float32. Convert X, or begin with float64.")
        if stream.learned is None:
            for name in ("_fitted", "_arrays"):  # of fewer rows
                self.__dict__.pop(name, None)
        elif (self.mixture_.n_components, self.mixture_.family) != (n_components, family):
            raise ValueError(
                f"n_components={n_components} and covariance_type={self.covariance_type!r} are not those with which "
                "the stream began: set them back, or begin a new stream with a new estimator."
            )
        for block in source.blocks():
            rest = counting(block)
            while rest.n_rows:
                stream, portion, rest = stream.filled(rest)
                if portion is not None:
                    stream = replace(stream, learned=self._learned(portion, stream))
        self._stream = replace(stream, n_seen=stream.n_seen + source.n_rows)

    def _learned(self, portion: ArraySource, stream: Stream) -> Learned:
        """Fit the first rows, or make an online step."""
        profile, learned = portion.profile, stream.learned
        if learned is None:
            fitting = self._fit_held(portion, stream)
            sums = step.online.sums_per_weight(fitting.data.source(), fitting.engine, self.mixture_.model)
            return Learned(sums, fitting.objective.ridge, profile.total_weight / profile.n_rows, seen=1.0)
        share = min(profile.total_weight / learned.unit / step.online.STEP_ROWS, LARGEST_SHARE)
        seen = learned.seen + share
        log_kept = check_rate(self.forgetting).log_kept(seen, share)
        source, objective = Data(portion).source(), Objective(learned.ridge)
        of_step = source, self._engine(), self.mixture_.model, learned.sums, objective, log_kept
        sums, model, stuck = step.online.online_step(*of_step)
        trace = Trace(frozen=stuck)
        self._fitted = replace(
            self._fitted,
            mixture=Mixture.of(model).with_feature_names(self._names),
            lower_bound=sums.log_likelihood,
            collapsed=trace.collapsed,
            diagnostics=of_components(State(model, trace), self._names),
            outcome=None,  # this and the next two were of the first rows alone
            traces=None,
            facts=None,
        )
        warn(frozen_sentence(trace), CollapseWarning)
        return replace(learned, sums=sums, seen=seen)

    def _fit_held(self, source: ArraySource, stream: Stream) -> Problem:
        source.feature_names = None if self._names is None else tuple(self._names)
        return self._find(source, None, self._features(), np.random.default_rng(stream.seed))

    def _features(self) -> Features:
        """The features that the fit of a stream uses; raises ValueError for those that need all rows."""
        return features_of(self, {}, STREAM, without=("warm_start", "checkpoint"))

    def _told(self) -> Fitted:
        """What the fit knows; of a stream that makes steps, how many rows there were and their weight."""
        fitted, stream = super()._told(), vars(self).get("_stream")
        if stream is None:
            return fitted
        n_seen, facts = stream.n_seen, fitted.facts
        if facts is not None and (stream.learned is None or not stream.held):  # no row came after the fit
            return replace(fitted, facts=replace(facts, n_rows=n_seen))
        return replace(fitted, facts=RowFacts(n_seen, counted_sum(stream.row_weight, n_seen), None))

    @property
    def n_samples_seen_(self) -> int:
        """Rows of all calls of `partial_fit`; only there."""
        return self._stream.n_seen

    def __sklearn_is_fitted__(self) -> bool:
        return "_stream" in vars(self) or super().__sklearn_is_fitted__()

    def _stored(self) -> Fitted | None:
        """The fit; while a stream is too short for steps, one to the rows that wait."""
        stream = vars(self).get("_stream")
        if stream is not None and "_fitted" not in vars(self):
            n_held, n_components = stream.n_held, self.n_components
            if n_held < max(n_components, MIN_ROWS):
                wanted = f"the {MIN_ROWS} of a fit" if n_components < MIN_ROWS else f"n_components={n_components}"
                raise NotFittedError(
                    f"This {type(self).__name__} has seen {counted(n_held, 'row')} of positive weight, fewer than "
                    f"{wanted}: call partial_fit with more."
                )
            with unchanged_on_failure(self):
                self._fit_held(stream.waiting, stream)
        return super()._stored()

    def _become(self, mixture: Mixture, dtype: np.dtype[Any] | None = None) -> None:
        self.__dict__.pop("_stream", None)
        super()._become(mixture, dtype)

    def _own(self) -> dict[str, Any]:
        stream: Stream | None = vars(self).get("_stream")
        return {} if stream is None else {"n_samples_seen_": stream.n_seen, "_stream_table": stream.table()}

    def _wake(self, own: Mapping[str, Any]) -> None:
        if "_stream_table" not in own:
            return
        try:
            self._stream = Stream.of_table(own["_stream_table"], self.mixture_, own["n_samples_seen_"])
        except (KeyError, TypeError, ValueError):
            raise Damaged("its '_stream_table' is not that of its mixture") from None
