"""The bar of rows, which several fits at the same time move."""

from threading import Thread
from time import sleep

import numpy as np
import pytest

from gaussmix import GaussianMixture
from gaussmix.cli.show.progress import Bars, Shown
from gaussmix.fit.monitor import Step


@pytest.fixture
def shown():
    return Shown(disable=True)


@pytest.mark.parametrize("parts", [[40, 60, 40, 60], [40, 40, 60, 60], [100, 100], [40, 40, 40, 40, 40]])
def test_passes_at_the_same_time_are_shown_one_after_the_other(parts, shown):
    advance, seen = Bars(shown).rows(100, 8), []
    for part in parts:
        advance(part)
        task = shown.tasks[0]
        seen.append((int(task.description.removeprefix("pass ")), task.completed))
    assert all(0 < completed <= 100 for _, completed in seen)
    assert seen == sorted(seen)
    assert seen[-1] == (2, 100)


def test_of_a_table_of_unknown_size_rows_are_counted(shown):
    advance = Bars(shown).rows(None, 8)
    for _ in range(3):
        advance(50)
    assert (shown.tasks[0].description, shown.tasks[0].completed) == ("pass 1", 150)


class SlowInt(int):
    """Takes time to be added, in which another thread may add another."""

    def __radd__(self, other):
        sleep(0.02)
        return int(other) + int(self)


def test_threads_lose_no_rows(shown):
    advance = Bars(shown).rows(1_000, 8)
    threads = [Thread(target=advance, args=(SlowInt(10),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert shown.tasks[0].completed == 80


@pytest.mark.parametrize("n_labels", [0, 2])
def test_the_bar_of_stability_ends_with_the_last_repeat(n_labels, cli, tmp_path, rng, monkeypatch):
    totals, done = [], []
    monkeypatch.setattr(Bars, "fits", lambda bars, total: totals.append(total) or (lambda: done.append(1)))
    rows = [f"{value},{number % 2 if number < n_labels else ''}" for number, value in enumerate(rng.normal(size=60))]
    (tmp_path / "t.csv").write_text("\n".join(["x,kind", *rows]))
    labels = ["--labels", "kind"] * (n_labels > 0)
    assert cli("fit", tmp_path / "t.csv", "-k", "2:3", "-s", "full", "--criterion", "stability", *labels).exit_code == 0
    assert totals == [len(done)]


def test_a_line_tells_the_gain_beside_the_tolerance(shown, rng):
    bars, steps, seen = Bars(shown), [], []
    assert not bars.is_shown
    rows = np.concatenate([rng.normal(size=(50, 2)), rng.normal(1, 2, size=(50, 2))])
    calls = [steps.append, bars.steps(1e-4), lambda step: seen.append(shown.below)]
    how = {"init_params": "random", "n_init": 2, "max_iter": 1000, "random_state": 0}
    GaussianMixture(2, tol=1e-4, **how, callbacks=calls).fit(rows)
    assert seen[0] == f"step 1: {steps[0].log_likelihood:.6g} nats a row"
    gain = steps[2].log_likelihood - steps[1].log_likelihood
    assert seen[2] == f"step 3: {steps[2].log_likelihood:.6g} nats a row, gained {gain:.1e} (--tol 0.0001)"
    assert seen[[step.start for step in steps].index(1)].startswith("step 1: ")
    assert [str(each) for each in shown.get_renderables()][-1] == seen[-1]


def test_a_line_tells_a_gain_only_after_the_step_before(shown):
    """A resumed run begins with a later step; with a prior EM compares something else than the likelihood."""

    def seen(tell, *where):
        start, iteration, value, candidate = where
        tell(Step(start, iteration, value, None, 0.0, 0.0, candidate))
        return shown.below.partition(", gained ")[2]

    tell = Bars(shown).steps(1e-3)
    assert seen(tell, 0, 6, -5.0, None) == ""
    assert seen(tell, 0, 7, -4.0, None) == "1.0e+00 (--tol 0.001)"
    assert seen(tell, 1, 8, -3.0, None) == seen(tell, 1, 9, -3.0, 2) == seen(tell, 1, 12, -3.0, 2) == ""
    assert seen(tell, 1, 13, -1.0, 2) == "2.0e+00 (--tol 0.001)"
    without = Bars(shown).steps(None)
    assert seen(without, 0, 1, -5.0, None) == seen(without, 0, 2, -4.0, None) == ""


@pytest.mark.parametrize(("options", "tol"), [((), [1e-3]), (("--prior", "default"), [None])])
def test_no_gain_of_the_likelihood_stands_beside_the_tolerance_of_the_objective(
    options, tol, cli, tmp_path, monkeypatch, rng
):
    given, steps = [], Bars.steps
    monkeypatch.setattr(Bars, "is_shown", True)
    monkeypatch.setattr(Bars, "steps", lambda bars, tol: given.append(tol) or steps(bars, tol))
    np.save(tmp_path / "rows.npy", rng.normal(size=(70_000, 1)))
    how = "-k", 1, "-s", "full", "--tol", 1e-3, "--memory", "200kB"
    assert cli("fit", tmp_path / "rows.npy", *how, *options).exit_code == 0
    assert given == tol
