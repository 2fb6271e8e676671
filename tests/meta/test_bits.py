"""No bit of a fit comes from the BLAS, LAPACK or NumPy's elementary functions: theirs depend on the processor.

`contract`, `numerics.elementary` and the core stand for them. What is allowed here decides no bit of a fit by the core.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "gaussmix"
ROOMS = ["covariances", "em", "engines", "families", "numerics", "starts", "waist"]

FORBIDDEN = {
    *(f"np.{name}" for name in ["dot", "vdot", "inner", "matmul", "tensordot"]),
    *(f"np.{name}" for name in ["exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "logaddexp"]),
    *(f"np.{name}" for name in ["sin", "cos", "tan", "arctan2", "tanh", "hypot", "power", "cbrt"]),
}

ALLOWED = {
    # reports
    "covariances/dense.py:Dense.conditional",
    "covariances/dense.py:Dense.transform",
    "em/approximation.py:Approximation._drawn_roots",
    "em/approximation.py:Approximation.drawn",
    "em/coordinates.py:Coordinates._covariances_at",
    "em/coordinates.py:Coordinates.colours",
    "em/information.py:Information.is_held",
    "em/natural.py:Stacked.responsibilities",
    "em/student_mixture.py:StudentMixture._tails",
    "numerics/elementary.py:log_sum",
    "waist/whitening/low_rank.py:_shrunk",
    "waist/whitening/triangular.py:TriangularWhitening.precision_times",
    "waist/whitening/triangular.py:TriangularWhitening.whiten",
    # bounds with room for rounding, and limits
    "em/fall.py:_stretches",
    "em/scores.py:",
    "engines/far.py:_without_negligible",
    "waist/parameters.py:Parameters.near_box",
}


def found(tree: ast.AST, place: str = "") -> Iterator[str]:
    """Functions (with their classes) that use what is forbidden; empty at the top of a module."""
    for node in ast.iter_child_nodes(tree):
        inner = f"{place}.{node.name}".lstrip(".") if isinstance(node, ast.FunctionDef | ast.ClassDef) else place
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.MatMult):
            yield place
        elif isinstance(node, ast.Attribute):
            name = ast.unparse(node)
            if name in FORBIDDEN or (name.startswith("np.linalg.") and name != "np.linalg.LinAlgError"):
                yield place
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "np.einsum" and len(node.args) > 2:
            yield place  # of one array it is a view
        yield from found(node, inner)


@pytest.mark.heavy
def test_the_blas_and_numpy_decide_no_bit() -> None:
    paths = sorted(path for room in ROOMS for path in (PACKAGE / room).rglob("*.py"))
    assert len(paths) > 100
    trees = {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in paths}
    users = {f"{name}:{place}" for name, tree in trees.items() for place in found(tree)}
    assert users - ALLOWED == set(), "use contract, numerics.elementary or numerics.factorise"
    assert ALLOWED - users == set(), "these need no permission"


def test_each_forbidden_form_is_found() -> None:
    for form in "a @ b", "a @= b", "np.exp(a)", "x = np.linalg.inv(a).T", 'np.einsum("ij,jk", a, b)', "f(np.log)":
        assert {*found(ast.parse(f"class C:\n def f(self):\n  {form}"))} == {"C.f"}, form
    assert [*found(ast.parse('np.einsum("ii->i", a)'))] == []
