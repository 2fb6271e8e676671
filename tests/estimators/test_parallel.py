"""Candidates side by side: begun in order, yielded when done, and ended together."""

import threading
import time

import numpy as np
import pytest
from common import Block

from gaussmix import GaussianMixtureIC
from gaussmix.em.accumulate import StepTask
from gaussmix.fit import problem, search
from gaussmix.fit.search import mapped
from gaussmix.sources.base import Source


@pytest.mark.parametrize("n_threads", [1, 3])
def test_each_result_comes_when_it_is_done(n_threads):
    def work(item, is_unwanted):
        time.sleep(0.05 * (item == 0))  # the first ends last
        assert not is_unwanted()
        return item, threading.get_ident()

    done = list(mapped(work, range(9), n_threads))
    assert sorted(item for item, _ in done) == list(range(9))
    assert [item for item, _ in done].index(0) == (0 if n_threads == 1 else 8)
    assert (len({thread for _, thread in done} - {threading.get_ident()}) == 0) == (n_threads == 1)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_ends_the_others(error):
    """They would go on for ever; those that wait for a thread are not begun."""
    begun, items = threading.Event(), []

    def work(item, is_unwanted):
        items.append(item)
        if item == 0:
            begun.wait()
            raise error("enough")
        begun.set()
        while not is_unwanted():
            time.sleep(0.001)
        time.sleep(0.02)  # so that the last is not reached before the others are called off

    with pytest.raises(error, match="enough"):
        list(mapped(work, range(40), 2))
    assert 39 not in items


def test_who_stops_iterating_ends_the_work():
    begun, ended = threading.Event(), threading.Event()

    def work(item, is_unwanted):
        if item == 0:
            begun.wait()
            return
        begun.set()
        while not is_unwanted():
            time.sleep(0.001)
        ended.set()

    results = mapped(work, [0, 1], 2)
    assert next(results) is None
    results.close()
    assert ended.is_set()


def test_threads_share_the_rows_of_the_starts(rng, monkeypatch):
    """Sorting rows takes longer than some fits, and each thread would do it."""
    threads, distinct_rows = [], problem.distinct_rows

    def noted(source):
        threads.append(threading.get_ident())
        time.sleep(0.05)  # so that all threads come before it is done
        return distinct_rows(source)

    monkeypatch.setattr(problem, "distinct_rows", noted)
    how = {"covariance_type": "full", "init_params": "hierarchical", "n_jobs": 3}
    GaussianMixtureIC([1, 2, 3], **how).fit(rng.normal(size=(1000, 3)))
    assert len(threads) == 1


@pytest.mark.heavy
def test_candidates_wait_at_the_same_time_where_a_cluster_has_the_rows(rng, monkeypatch):
    """Also where this process has one processor."""
    together, waited = threading.Barrier(4), threading.local()

    class Elsewhere(Source):
        whole, most_fits, n_rows, n_features, dtype = None, 4, 1000, 3, np.dtype("f8")
        rows = rng.normal(size=(1000, 3))

        def blocks(self):
            return [Block(0, self.rows)]

        def map_merge(self, task):
            if isinstance(task, StepTask) and not hasattr(waited, "is_over"):
                waited.is_over = together.wait(30)
            return super().map_merge(task)

    monkeypatch.setattr(search, "n_threads", lambda n_jobs: 1)
    how = {"covariance_type": "diag", "init_params": "hierarchical"}
    assert GaussianMixtureIC([1, 2, 3, 4], **how).fit(Elsewhere()).results_["failure"] == [None] * 4
