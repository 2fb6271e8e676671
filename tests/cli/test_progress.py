"""The bar of rows, which several fits at the same time move."""

from threading import Thread
from time import sleep

import pytest
from rich.progress import Progress

from gaussmix.cli.show.progress import Bars


@pytest.fixture
def shown():
    return Progress(disable=True)


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


@pytest.mark.parametrize("verb", ["fit", "report"])
def test_the_bar_of_fits_counts_structures_too(verb, cli, faithful, tmp_path, monkeypatch):
    totals, fits = [], Bars.fits
    monkeypatch.setattr(Bars, "fits", lambda bars, total: totals.append(total) or fits(bars, total))
    assert cli(verb, faithful, "-k", "1:2", "-s", "spherical,diag", "-o", tmp_path / "out").exit_code == 0
    assert totals == [4]
