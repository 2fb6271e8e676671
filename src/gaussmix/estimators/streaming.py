"""`partial_fit`: an estimator that learns from a stream of rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import NotFittedError

from gaussmix.covariances import LowRank
from gaussmix.door.noise import noise_of
from gaussmix.door.parameters import check_rate, drawn_seed
from gaussmix.door.restrictions import given_terms
from gaussmix.door.rows import check_source, counted_sum
from gaussmix.door.warnings import warn
from gaussmix.em.objective import Ridge
from gaussmix.em.online import STEP_ROWS, Rate, online_step, sums_per_weight
from gaussmix.em.stopping import Stopping
from gaussmix.em.trace import State, Trace
from gaussmix.errors import counted
from gaussmix.estimators.base import FOUND, Fitted, unchanged_on_failure
from gaussmix.estimators.docs import documented
from gaussmix.estimators.mixture_estimator import MixtureEstimator
from gaussmix.families.base import Family
from gaussmix.fit.diagnostics import of_components
from gaussmix.fit.facts import RowFacts
from gaussmix.fit.problem import Data, Problem
from gaussmix.fit.stream import Learned, Stream, counting
from gaussmix.formats.values import of_type
from gaussmix.mixture.mixture import Mixture
from gaussmix.noise import Noise
from gaussmix.report.messages import frozen_sentence
from gaussmix.sources.array import ArraySource
from gaussmix.sources.base import Source

LARGEST_SHARE = 2.0**53  # of a step, whose weight may be beyond all doubles in units of the first rows
_OF_A_FIT = [*(name for name in Fitted.__dataclass_fields__ if name != "dtype"), "outcome_", "traces_"]


@documented
class StreamingMixture(MixtureEstimator, ABC):
    """An estimator of a mixture that learns from rows as they come."""

    n_samples_seen_: int
    n_parameters_: int
    trim: float
    degenerate: str
    forgetting: float | Rate | None
    noise: bool | float | Noise

    _attributes = FOUND | {
        "n_samples_seen_": of_type(int),
        "_stream_table": of_type(dict),
    }
    _stream: Stream
    _read: dict[str, list[Any]]

    @abstractmethod
    def _settings(self) -> tuple[int, Family, Stopping, int, float | None]:
        """The parameters that no rows are needed to check; of these the number of components and the structure."""

    @abstractmethod
    def _found(
        self, X: ArrayLike | Source, sample_weight: ArrayLike | None = None, rng: np.random.Generator | None = None
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
        if self.trim:
            raise ValueError(
                f"partial_fit can't leave out the share trim={self.trim!r}: which rows are least likely, only all of "
                "them tell. Use fit."
            )
        if noise_of(self.noise) is not None:
            raise ValueError("partial_fit has no noise: its volume is that of all rows. Use fit.")
        if family.kind is LowRank:
            raise ValueError(
                f"partial_fit can't learn covariance_type={family.name!r}: what its steps sum up changes with each "
                'step. Use fit, or a structure such as "diag" or "full".'
            )
        if self.weight_meaning == "precision":
            raise ValueError(
                "partial_fit takes frequencies only: weight_meaning='precision' scales weights by their mean over all "
                "rows, which a stream does not know. Set weight_meaning='frequency'."
            )
        if self.degenerate != "freeze":
            raise ValueError(
                f"partial_fit freezes components that get stuck: degenerate={self.degenerate!r} is for fit alone. Set "
                "degenerate='freeze'."
            )
        for name in given_terms(self):
            raise ValueError(f"partial_fit does not support {name}. Use fit.")
        is_first = "_stream" not in vars(self)
        source = check_source(self, X, sample_weight, reset=is_first, is_stream=True)
        stream = Stream(source.dtype, drawn_seed(self.random_state)) if is_first else self._stream
        if not np.can_cast(source.dtype, stream.dtype):
            raise ValueError("X is float64, and the stream began with float32: convert X, or begin with float64.")
        if is_first:
            refusal = family.refusal(source.n_features)
            if refusal is not None:
                raise ValueError(f"{refusal}.")
        if stream.learned is None:
            for name in (*_OF_A_FIT, "cutoff_", "_parts", "_facts"):
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
        self._stream = stream
        self.n_samples_seen_ = (0 if is_first else self.n_samples_seen_) + source.n_rows
        self._dtype = stream.dtype

    def _learned(self, portion: ArraySource, stream: Stream) -> Learned:
        """Fit the first rows, or make an online step."""
        profile, learned = portion.profile, stream.learned
        if learned is None:
            fitting = self._fit_held(portion, stream)
            sums = sums_per_weight(fitting.data.source(), fitting.engine, self.mixture_.model)
            return Learned(sums, fitting.objective.ridge, profile.total_weight / profile.n_rows, seen=1.0)
        share = min(profile.total_weight / learned.unit / STEP_ROWS, LARGEST_SHARE)
        seen = learned.seen + share
        log_kept = check_rate(self.forgetting).log_kept(seen, share)
        sums, model, stuck = online_step(
            Data(portion).source(), self._engine(), self.mixture_.model, learned.sums, Ridge(learned.ridge), log_kept
        )
        trace = Trace(frozen=stuck)
        for name in ("outcome_", "traces_", "_facts"):  # of the first rows alone
            self.__dict__.pop(name, None)
        self._hold(Mixture.of(model).with_feature_names(self._names))
        self.lower_bound_, self.collapsed_ = sums.log_likelihood, trace.collapsed
        self.diagnostics_ = of_components(State(model, trace), self._names)
        warn(frozen_sentence(trace))
        return replace(learned, sums=sums, seen=seen)

    def _fit_held(self, source: ArraySource, stream: Stream) -> Problem:
        source.feature_names = None if self._names is None else tuple(self._names)
        return self._found(source, rng=np.random.default_rng(stream.seed))

    def _forget(self) -> None:
        """Forget the stream."""
        for name in ("_stream", "n_samples_seen_"):
            self.__dict__.pop(name, None)

    def _row_facts(self) -> RowFacts | None:
        """What is known of the rows; of a stream that makes steps, how many there were and their weight."""
        facts, stream = super()._row_facts(), vars(self).get("_stream")
        if stream is None:
            return facts
        if facts is not None and (stream.learned is None or not stream.held):  # no row came after the fit
            return replace(facts, n_rows=self.n_samples_seen_)
        return RowFacts(self.n_samples_seen_, counted_sum(stream.row_weight, self.n_samples_seen_), None, None)

    @property
    def _stream_table(self) -> dict[str, list[Any]]:
        """The stream as a model file holds it; raises AttributeError where there is none."""
        return self._stream.table()

    @_stream_table.setter
    def _stream_table(self, values: dict[str, list[Any]]) -> None:
        self._read = values  # it can be checked when the mixture is there

    def _flaw(self) -> str | None:
        values = self.__dict__.pop("_read", None)
        if values is not None:
            try:
                self._stream = Stream.of_table(values, self.mixture_)
            except (KeyError, TypeError, ValueError):
                return "its '_stream_table' is not that of its mixture"
        return super()._flaw()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """What a fit finds, before a stream is long enough for steps: found by a fit to the rows that are there."""
            stream = vars(self).get("_stream")
            if name not in _OF_A_FIT or stream is None or stream.learned is not None:
                return super().__getattr__(name)  # raises
            n_held, n_components = stream.n_held, self.n_components
            if n_held < n_components:
                raise NotFittedError(
                    f"This {type(self).__name__} has seen {counted(n_held, 'row')} of positive weight, fewer than "
                    f"n_components={n_components}: call partial_fit with more."
                )
            with unchanged_on_failure(self):
                self._fit_held(stream.waiting, stream)
            return vars(self)[name]
