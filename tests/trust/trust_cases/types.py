"""Numbers of any type, in any layout and from any container, give the results of their values."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from trust_cases.case import CENTRES, STARTS, STRUCTURES, Case, Model, blobs, expect, expect_close, given

INTEGERS = "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"
NAMES = ["height", "width", "depth"]


def cases() -> Iterator[Case]:
    """Yield cases of every structure, from given parameters and some initialisations."""
    for structure in STRUCTURES:
        for dtype in INTEGERS:
            name = f"{np.dtype(dtype).name}, {structure}"
            yield Case("integers", f"{name}, given", same(whole().astype(dtype), start_of(structure, 40, 6)))
            for start in STARTS:
                drawn = {"covariance_type": structure, "init_params": start, "random_state": 0}
                yield Case("integers", f"{name}, {start}", same(whole().astype(dtype), drawn))
        far = start_of(structure, 1e15 + 40, 6)
        yield Case("integers", f"int64 about 1e15, {structure}", same(whole() + 10**15, far))
        truth_values = given(structure, np.array([[0.0, 0, 0], [1, 1, 1], [1, 0, 0]]), 4.0)
        yield Case("types", f"bool, {structure}", same(blobs() > 2.0, truth_values))
        yield Case("types", f"float16, {structure}", same((blobs() / 2).astype("f2"), start_of(structure, 0, 0.5)))
        for origin in (0.0, 1e4, -1e6):
            check = same((blobs() + origin).astype("f4"), start_of(structure, origin))
            yield Case("float32", f"float32 about {origin:g}, {structure}", check)
        for unit in (1e-30, 1e-20, 1e-15, 1e15, 1e18, 1e30):
            start = start_of(structure, 0, unit) | {"reg_covar": 1e-6 * unit**2}
            check = same((blobs() * unit).astype("f4"), start)
            yield Case("float32", f"float32 in units of {unit:g}, {structure}", check)
        for name, lay_out in LAYOUTS.items():
            for dtype in ("f8", "f4"):
                check = same(blobs().astype(dtype), start_of(structure), lay_out)
                yield Case("layouts", f"{name} {np.dtype(dtype).name}, {structure}", check)


def whole() -> Any:
    """Return whole numbers from 0 to 127, which every integer type can represent."""
    return np.clip(np.round(blobs() * 6 + 40), 0, 127).astype(np.int64)


def start_of(structure: str, origin: float = 0.0, unit: float = 1.0) -> dict[str, Any]:
    return given(structure, CENTRES * unit + origin, 1 / unit**2)


def same(X: Any, parameters: dict[str, Any], lay_out: Any = lambda X: X) -> Any:
    """Check fit and predictions against the same values in float64; a frame's names are kept."""

    def check(model: Model) -> None:
        # tolerance of predictions
        wide, laid_out, unit = X.astype(np.float64), lay_out(X), 1e-6 if X.dtype == np.float32 else 1e-9
        plain, fitted = model(3, **parameters).fit(wide), model(3, **parameters).fit(laid_out)
        for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
            expected = getattr(plain, name)
            expect_close(getattr(fitted, name), expected, unit * np.abs(expected).max(), name)
        expected = plain.score_samples(wide)
        expect_close(fitted.score_samples(laid_out), expected, unit * (1 + np.abs(expected)), "score_samples")
        expect_close(fitted.predict_proba(laid_out), plain.predict_proba(wide), unit, "predict_proba")
        # The rows as integers must give the same results, because a difference of unsigned numbers must not wrap
        # around.
        expect_close(expected.mean(), fitted.score(laid_out), unit * (1 + abs(expected.mean())), "score")
        if hasattr(laid_out, "columns"):
            expect(list(fitted.feature_names_in_) == NAMES, "the names of the columns are lost")

    return check


def every_other(X: Any) -> Any:
    wide = np.full((2 * len(X), 2 * X.shape[1]), np.nan, dtype=X.dtype)
    wide[::2, 1::2] = X
    return wide[::2, 1::2]


def unaligned(X: Any) -> Any:
    rows = np.zeros(X.nbytes + 1, dtype=np.uint8)[1:].view(X.dtype).reshape(X.shape)
    rows[:] = X
    return rows


def read_only(X: Any) -> Any:
    X = X.copy()
    X.flags.writeable = False
    return X


def memory_map(X: Any) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows"
        X.tofile(path)
        return np.memmap(path, dtype=X.dtype, mode="r", shape=X.shape)


def pandas_frame(X: Any) -> Any:
    import pandas

    return pandas.DataFrame(X, columns=NAMES)


def polars_frame(X: Any) -> Any:
    import polars

    return polars.DataFrame(X, schema=NAMES)


LAYOUTS = {
    "little-endian": lambda X: X.astype(X.dtype.newbyteorder("<")),
    "big-endian": lambda X: X.astype(X.dtype.newbyteorder(">")),
    "Fortran": np.asfortranarray,
    "strided": every_other,
    "negative strides": lambda X: np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1],
    "unaligned": unaligned,
    "lists": lambda X: X.tolist(),
    "array subclass": lambda X: np.ma.masked_array(X, mask=False),
    "objects": lambda X: X.astype(object),
    "long double": lambda X: X.astype("g"),
    "read-only": read_only,
    "memory map": memory_map,
    "pandas": pandas_frame,
    "polars": polars_frame,
}
