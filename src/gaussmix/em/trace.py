"""What each step of a fit recorded."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from gaussmix.errors import Outcome


class Frozen(Enum):
    """Why a component keeps its mean and covariance from some step on."""

    LOST = "lost its mass"
    COLLAPSED = "collapsed onto too few distinct rows"


@dataclass
class Trace:
    """The course of one EM run.

    Parameters
    ----------
    log_likelihood : mean log-likelihood (nats per unit of row weight) before each step.
    frozen : component → why its mean and covariance no longer move.
    outcome : why the run ended; None while it goes on.
    """

    log_likelihood: list[float] = field(default_factory=list)
    frozen: dict[int, Frozen] = field(default_factory=dict)
    outcome: Outcome | None = None

    @property
    def n_steps(self) -> int:
        return len(self.log_likelihood)

    @property
    def last(self) -> float:
        """The last mean log-likelihood, −inf before the first step."""
        return self.log_likelihood[-1] if self.log_likelihood else float("-inf")
