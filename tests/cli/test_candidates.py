"""Which fits are tried, and tried again."""

from __future__ import annotations

import numpy as np
import pytest

from gaussmix.cli import candidates
from gaussmix.cli.candidates import Failed, Fitted, choose_by_bic, fit_candidates
from gaussmix.facade.gaussian_mixture import GaussianMixture

ROWS = np.zeros((4, 1))


def estimator(n_components, collapsed=()):
    """As if fitted."""
    made = GaussianMixture(n_components)
    made.collapsed_ = list(collapsed)
    return made


def play(monkeypatch, reached):
    """Stand in for the fits: `reached` gives the log-likelihood for (n_components, n_init); None for a failure."""
    asked = []

    def fit_candidate(rows, n_components, settings, row_weight):
        asked.append((n_components, settings["n_init"]))
        found = reached[asked[-1]]
        if found is None:
            return Failed(n_components, "singular", "It is singular.")
        return Fitted(n_components, estimator(n_components), found, -2 * found, ())

    monkeypatch.setattr(candidates, "fit_candidate", fit_candidate)
    counts = sorted({k for k, _ in reached})
    return asked, list(fit_candidates(ROWS, counts, {"n_init": 1}, lambda _: None))


def test_a_fit_below_a_smaller_one_gets_more_starts(monkeypatch):
    asked, found = play(monkeypatch, {(1, 1): -10.0, (2, 1): -5.0, (3, 1): -7.0, (3, 5): -4.0, (4, 1): -3.0})
    assert asked == [(1, 1), (2, 1), (3, 1), (3, 5), (4, 1)]
    assert [c.log_likelihood for c in found] == [-10.0, -5.0, -4.0, -3.0]


@pytest.mark.parametrize("second", [-8.0, None])
def test_more_starts_never_make_a_fit_worse(monkeypatch, second):
    _, found = play(monkeypatch, {(1, 1): -10.0, (2, 1): -5.0, (3, 1): -7.0, (3, 5): second})
    assert found[-1].log_likelihood == -7.0


def test_a_failure_is_not_tried_again(monkeypatch):
    asked, found = play(monkeypatch, {(1, 1): -10.0, (2, 1): None})
    assert asked == [(1, 1), (2, 1)]
    assert isinstance(found[-1], Failed)


def test_a_collapsed_fit_is_chosen_only_where_all_are():
    sound, spike = Fitted(1, estimator(1), -9.0, 20.0, ()), Fitted(2, estimator(2, [1]), -1.0, 5.0, ())
    assert choose_by_bic([sound, spike]) is sound
    assert choose_by_bic([spike]) is spike
