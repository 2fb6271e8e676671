"""`gaussmix plot` draws what the displays draw, and refuses in a sentence."""

import numpy as np
import pytest

from gaussmix import FAMILIES, Mixture

BEGINNINGS = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF", "jpg": b"\xff\xd8"}


@pytest.mark.heavy(but=2)
@pytest.mark.parametrize("format", BEGINNINGS)
def test_a_picture_has_the_format_of_its_name(format, cli, model, faithful, tmp_path):
    path = tmp_path / f"picture.{format}"
    result = cli("plot", model, faithful, "-o", path, "--dpi", 40)
    assert (result.exit_code, result.stdout) == (0, f"Picture written to {path}\n")
    assert path.read_bytes().startswith(BEGINNINGS[format])


@pytest.mark.heavy(but=3)
@pytest.mark.parametrize("kind", ["pairs", "components", "uncertainty"])
@pytest.mark.parametrize("dark", [True, False], ids=["dark", "light"])
def test_every_kind_and_theme(kind, dark, cli, model, faithful, tmp_path):
    from matplotlib.image import imread

    path = tmp_path / "picture.png"
    arguments = ["--kind", kind, "--dpi", 40, *(["--dark"] if dark else [])]
    assert cli("plot", model, faithful, "-o", path, "-q", *arguments).exit_code == 0
    corner = imread(path)[0, 0, :3]
    assert np.allclose(corner, 0.0 if dark else 1.0)


def test_a_model_alone(cli, model, tmp_path):
    assert cli("plot", model, "-o", tmp_path / "alone.png", "--dpi", 40).exit_code == 0
    assert (tmp_path / "alone.png").stat().st_size > 1000


def test_what_cannot_be_drawn_is_a_sentence(cli, model, faithful, tmp_path):
    wide = tmp_path / "wide.gmm"
    Mixture([1.0], np.zeros((1, 9)), np.ones(1), FAMILIES["spherical"]).save(wide)
    cases = {
        ("plot", model, "-o", "picture.xyz"): "a picture is written as 'png', 'svg', 'pdf', 'jpg', 'webp'",
        ("plot", model, "-o", "picture.png", "--kind", "uncertainty"): "name DATA after the model",
        ("plot", wide, "-o", tmp_path / "wide.png"): "choose some by --features A,B.",
        ("plot", model, "-o", tmp_path / "a.png", "--features", "wait"): "wait",
    }
    for arguments, said in cases.items():
        result = cli(*arguments)
        assert result.exit_code in (1, 2)
        assert said in result.stderr
        assert result.stderr.count("\n") == 1


@pytest.mark.heavy
def test_without_matplotlib_the_extra_is_named(shell, model, faithful, tmp_path):
    prelude = "import sys\nsys.modules['matplotlib'] = None"
    for verb in (["plot", model, "-o", tmp_path / "a.png"], ["report", faithful, "-o", tmp_path / "a.html"]):
        said, complaints = shell(*verb, prelude=prelude).communicate(timeout=60)
        assert said == ""
        assert complaints == "gaussmix: Pictures need matplotlib: install it with pip install 'gaussmix[plot]'.\n"
