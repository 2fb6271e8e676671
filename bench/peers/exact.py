"""Measure the errors of a peer's iterations, by comparing its fits of a small case with fits by mpmath with 50 digits.

The reference is `em_step` of tests/oracle/exact/exact.py. The table runs `python -m bench.peers.exact OUT PEER`.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.cases import Case
from bench.peers import PEERS
from bench.peers.base import Fit, Peer, Problem
from bench.peers.process import SCRATCH, parse_arguments

SHAPE = (300, 5, 4)  # rows, features, components; for this size mpmath takes seconds
STEPS = 3
OFFSET = 1e4  # distance of the rows from the origin, in standard deviations
PARTS = ("weights", "means", "covariances", "log-likelihood")


@cache
def _oracle() -> Any:
    sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "oracle" / "exact"))
    import exact  # the line above adds its folder to the path

    return exact


def exact_steps(problem: Problem) -> list[Fit]:
    """Return the parameters at the start and after each step, rounded to double, with their log-likelihoods."""
    oracle, family = _oracle(), problem.structure
    rows = problem.rows.tolist()
    parameters = tuple(array.tolist() for array in (problem.weights, problem.means, problem.covariances))
    fits = []
    for _ in range(STEPS + 1):
        log_likelihood, _, following = oracle.em_step(family, rows, *parameters)
        weights, means, covariances = (np.array(oracle.floats(part)) for part in parameters)
        fits.append(Fit(weights, means, covariances, float(log_likelihood)))
        parameters = following
    return fits


def stored_steps(problem: Problem, name: str) -> list[Fit]:
    """Return the steps of a problem for all peers; the first peer computes them and writes them to a file."""
    file = Path(os.environ[SCRATCH]) / f"{name}.json"
    if not file.exists():
        file.write_text(json.dumps([vars(fit) for fit in exact_steps(problem)], default=np.ndarray.tolist))
    fits = json.loads(file.read_text())
    return [
        Fit(np.array(fit["weights"]), np.array(fit["means"]), np.array(fit["covariances"]), fit["log_likelihood"])
        for fit in fits
    ]


def errors(fit: Fit, exact: list[Fit], step: int) -> dict[str, float | None]:
    """Return the largest error of each part of a fit after `step` iterations.

    Errors of weights and log-likelihood are relative, errors of means are in standard deviations, and errors of
    covariances are relative to the product of two standard deviations. A peer's log-likelihood may belong to the
    parameters before or after the last M-step.
    """
    truth = exact[step]
    full = truth.covariances.ndim == 3
    sd = np.sqrt(np.diagonal(truth.covariances, axis1=1, axis2=2) if full else truth.covariances)
    units = sd[:, :, None] * sd[:, None, :] if full else sd**2
    totals = [known.log_likelihood for known in exact[step - 1 : step + 1] if known.log_likelihood is not None]
    stated = fit.log_likelihood
    return {
        "weights": _largest(fit.weights / truth.weights - 1),
        "means": _largest((fit.means - truth.means) / sd),
        "covariances": _largest((fit.covariances - truth.covariances) / units),
        "log-likelihood": None if stated is None else float(min(abs(stated / total - 1) for total in totals)),
    }


def _largest(values: NDArray[np.float64]) -> float:
    return float(np.abs(values).max())


def measure_errors(peer: Peer, structure: str) -> dict[str, Any]:
    """Return errors after one iteration, after three (which shows that three are made), and with rows far from 0."""
    near = Problem.of(Case(structure, *SHAPE))
    far = replace(near, rows=near.rows + OFFSET, means=near.means + OFFSET)
    found = {}
    for name, problem, steps in (("one", near, 1), ("three", near, STEPS), ("far", far, 1)):
        peer.prepare(problem)
        exact = stored_steps(problem, f"{structure} {'far' if problem is far else 'near'}")
        found[name] = errors(peer.fit(problem, steps, 1), exact, steps)
    return found


if __name__ == "__main__":
    arguments = parse_arguments(__doc__, "peer")
    peer = PEERS[arguments.peer]
    arguments.out.write_text(json.dumps({structure: measure_errors(peer, structure) for structure in peer.structures}))
