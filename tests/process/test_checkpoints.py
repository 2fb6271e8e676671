"""kill -9 at random moments: the fit that goes on ends with the bits of one that was never killed."""

import os

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork to begin fits again at once")


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("fit", "n_kills"),
    [("small", 3), *(pytest.param(name, 1, marks=pytest.mark.heavy) for name in ("tied", "orders float32"))],
)
def test_a_killed_fit_goes_on_to_the_same_bits(child, fit, n_kills, tmp_path, request):
    seed = sum(request.node.name.encode())
    answer = child("killed_fits", name=fit, path=str(tmp_path / "fit.ckpt"), n_kills=n_kills, seed=seed)
    print("kills, ends, most kills of one fit, seconds of one that is not killed:", answer)
    assert answer["kills"] >= n_kills
    assert answer["ends"] > 0
    assert answer["other"] == 0, "every end has the bits of the fit that was never killed"
    assert os.listdir(tmp_path) == []
