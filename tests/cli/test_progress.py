"""Tests of the progress bars, which several fits may advance at the same time, and of the line below the bars."""

import re
from threading import Thread
from time import sleep

import numpy as np
import pytest

from gaussmix import GaussianMixture
from gaussmix._src.cli.show.progress import Bars
from gaussmix._src.fit.monitor import Step


@pytest.fixture
def bars():
    return Bars(disable=True)


@pytest.mark.parametrize("parts", [[40, 60, 40, 60], [40, 40, 60, 60], [100, 100], [40, 40, 40, 40, 40]])
def test_bars_show_simultaneous_passes_one_after_the_other(parts, bars):
    advance, seen = bars.rows(100, 8), []
    for part in parts:
        advance(part)
        task = bars.tasks[0]
        seen.append((int(task.description.removeprefix("pass ")), task.completed))
    assert all(0 < completed <= 100 for _, completed in seen)
    assert seen == sorted(seen)
    assert seen[-1] == (2, 100)


def test_bars_count_the_rows_of_a_table_of_unknown_size(bars):
    advance = bars.rows(None, 8)
    for _ in range(3):
        advance(50)
    assert (bars.tasks[0].description, bars.tasks[0].completed) == ("pass 1", 150)


class SlowInt(int):
    """Integer whose addition takes long enough that another thread can run in the meantime."""

    def __radd__(self, other):
        sleep(0.02)
        return int(other) + int(self)


def test_bars_count_all_rows_of_concurrent_threads(bars):
    advance = bars.rows(1_000, 8)
    threads = [Thread(target=advance, args=(SlowInt(10),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert bars.tasks[0].completed == 80


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("n_labels", [0, 2])
def test_the_stability_bar_ends_with_the_last_repeat(n_labels, cli, tmp_path, rng, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # makes rich treat any output as a terminal
    rows = [f"{value},{number % 2 if number < n_labels else ''}" for number, value in enumerate(rng.normal(size=60))]
    (tmp_path / "t.csv").write_text("\n".join(["x,kind", *rows]))
    labels = ["--labels", "kind"] if n_labels else ["--exclude", "kind"]
    result = cli("fit", tmp_path / "t.csv", "-k", "2:3", "-s", "full", "--criterion", "stability", *labels)
    assert result.exit_code == 0
    done, total = re.findall(r"(\d+)/(\d+)", result.stderr)[-1]
    assert done == total


def test_the_progress_line_shows_the_gain_next_to_the_tolerance(bars, rng):
    steps, seen = [], []
    rows = np.concatenate([rng.normal(size=(50, 2)), rng.normal(1, 2, size=(50, 2))])
    calls = [steps.append, bars.steps(1e-4), lambda step: seen.append(bars.below)]
    params = {"init_params": "random", "n_init": 2, "max_iter": 1000, "random_state": 0}
    GaussianMixture(2, tol=1e-4, **params, callbacks=calls).fit(rows)
    assert seen[0] == f"step 1: {steps[0].log_likelihood:.6g} nats per row"
    gain = steps[2].log_likelihood - steps[1].log_likelihood
    assert seen[2] == f"step 3: {steps[2].log_likelihood:.6g} nats per row, gained {gain:.1e} (--tol 0.0001)"
    assert seen[[step.start for step in steps].index(1)].startswith("step 1: ")
    assert [str(each) for each in bars.get_renderables()][-1] == seen[-1]


def test_the_progress_line_shows_a_gain_only_between_successive_steps(bars):
    """Check that no gain is shown at the first step of a resumed start, and without a tolerance."""

    def gain(show, *details):
        start, iteration, value, candidate = details
        show(Step(start, iteration, value, None, 0.0, 0.0, candidate))
        return bars.below.partition(", gained ")[2]

    show = bars.steps(1e-3)
    assert gain(show, 0, 6, -5.0, None) == ""
    assert gain(show, 0, 7, -4.0, None) == "1.0e+00 (--tol 0.001)"
    assert gain(show, 1, 8, -3.0, None) == gain(show, 1, 9, -3.0, 2) == gain(show, 1, 12, -3.0, 2) == ""
    assert gain(show, 1, 13, -1.0, 2) == "2.0e+00 (--tol 0.001)"
    without = bars.steps(None)
    assert gain(without, 0, 1, -5.0, None) == gain(without, 0, 2, -4.0, None) == ""


@pytest.mark.parametrize(("options", "is_shown"), [((), True), (("--prior", "default"), False)])
def test_the_progress_line_of_a_penalised_fit_shows_no_gain(options, is_shown, cli, tmp_path, monkeypatch, rng):
    monkeypatch.setenv("FORCE_COLOR", "1")
    np.save(tmp_path / "rows.npy", rng.normal(size=(70_000, 1)))
    arguments = "-k", 1, "-s", "full", "--tol", 1e-3, "--memory", "200kB"
    result = cli("fit", tmp_path / "rows.npy", *arguments, *options)
    assert result.exit_code == 0
    assert "nats per row" in result.stderr
    assert ("(--tol 0.001)" in result.stderr) is is_shown
