"""`gaussmix fit --checkpoint`: what SIGTERM leaves, and how the same command goes on."""

import os
import re
import signal
import time

import numpy as np
import pytest


@pytest.mark.heavy
@pytest.mark.parametrize("counts", ["5:6", "6"])
def test_a_terminated_fit_goes_on(cli, shell, tmp_path, rng, counts):
    data, path = tmp_path / "rows.npy", tmp_path / "fit.ckpt"
    np.save(data, rng.normal(size=(50_000, 4)))
    command = ["fit", data, "-k", counts, "-s", "full", "--tol", "0", "--max-iter", "300", "--checkpoint", path]
    # A short interval, so that the test knows when the fit is on its way.
    prelude = "import gaussmix.fit.checkpoint as checkpoint; checkpoint.SECONDS = 0.05"
    process = shell(*command, "-o", tmp_path / "never.gmm", prelude=prelude)
    while not path.exists():
        assert process.poll() is None, "the fit ended before the signal"
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + 15
    assert said.splitlines()[-1] == f"gaussmix: terminated; {path} holds the fit: the same command goes on with it."
    assert sorted(os.listdir(tmp_path)) == ["fit.ckpt", "rows.npy"]
    kept = path.read_bytes()
    other = cli(*command[:-2], "--seed", "1", "--checkpoint", path)
    assert other.exit_code == 1
    assert other.stderr.splitlines()[-1].startswith(
        f"gaussmix: {path} is the checkpoint of another fit: --seed was 0 and is 1."
    )
    assert path.read_bytes() == kept
    assert cli(*command, "-o", tmp_path / "resumed.gmm").exit_code == 0
    assert not path.exists()
    assert cli(*command[:-2], "-o", tmp_path / "whole.gmm").exit_code == 0
    assert (tmp_path / "resumed.gmm").read_bytes() == (tmp_path / "whole.gmm").read_bytes()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_checkpoint_of_the_command_line_goes_when_the_fit_ends(cli, faithful, tmp_path):
    plain = cli("fit", faithful, "-k", "2", "--json")
    kept = cli("fit", faithful, "-k", "2", "--json", "--checkpoint", tmp_path / "fit.ckpt")
    assert kept.exit_code == 0
    seconds = r'"seconds": [0-9.e-]+'
    assert re.sub(seconds, "", kept.stdout) == re.sub(seconds, "", plain.stdout)
    assert not (tmp_path / "fit.ckpt").exists()
