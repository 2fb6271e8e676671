"""Numbers of any type, in any layout and from any container, are taken at their value."""

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
    """Every structure, from given parameters and some starts."""
    for structure in STRUCTURES:
        for dtype in INTEGERS:
            for start in (None, *STARTS):
                name = f"{np.dtype(dtype).name}, {structure}, {start or 'given'}"
                yield Case("integers", name, integers(structure, dtype, start))
        yield Case("integers", f"int64 about 1e15, {structure}", same_fit(structure, whole() + 10**15, 1e15))
        yield Case("types", f"bool, {structure}", truth_values(structure))
        yield Case("types", f"float16, {structure}", same_fit(structure, (blobs() / 2).astype("f2"), 0, 0.5))
        for name, X, origin, unit in singles():
            yield Case("float32", f"float32 {name}, {structure}", single(structure, X, origin, unit))
        for name, lay_out in LAYOUTS.items():
            for dtype in ("f8", "f4"):
                check = same_answers(structure, lay_out, dtype)
                yield Case("layouts", f"{name} {np.dtype(dtype).name}, {structure}", check)


def whole() -> Any:
    """Whole numbers from 0 to 127: what every integer type holds."""
    return np.clip(np.round(blobs() * 6 + 40), 0, 127).astype(np.int64)


def start_of(structure: str, origin: float = 0.0, unit: float = 1.0) -> dict[str, Any]:
    return given(structure, CENTRES * unit + origin, 1 / unit**2)


def integers(structure: str, dtype: str, start: str | None) -> Any:
    rows = whole().astype(dtype)
    parameters = (
        start_of(structure, 40, 6)
        if start is None
        else {"covariance_type": structure, "init_params": start, "random_state": 0}
    )
    return compare(rows, parameters)


def same_fit(structure: str, X: Any, origin: float, unit: float = 6.0) -> Any:
    start = start_of(structure, origin + (40 if unit == 6 else 0), unit)
    return compare(X, start)


def compare(X: Any, parameters: dict[str, Any]) -> Any:
    """The fit of the same values in float64, log densities with all their digits."""

    def check(model: Model) -> None:
        plain = model(3, **parameters).fit(X.astype(np.float64))
        fitted = model(3, **parameters).fit(X)
        expect_close(fitted.means_, plain.means_, 1e-9 * np.abs(plain.means_).max(), "means_")
        expected = plain.score_samples(X.astype(np.float64))
        expect_close(fitted.score_samples(X), expected, 1e-6, "score_samples")
        expect_close(fitted.predict_proba(X).sum(axis=1), np.ones(len(X)), 1e-12, "the sum of predict_proba")
        # And the rows as integers are no other rows: a difference of unsigned numbers must not wrap around.
        expect_close(expected.mean(), fitted.score(X), 1e-6, "score")

    return check


def truth_values(structure: str) -> Any:
    def check(model: Model) -> None:
        X = blobs() > 2.0
        start = given(structure, np.array([[0.0, 0, 0], [1, 1, 1], [1, 0, 0]]), 4.0)
        plain, fitted = model(3, **start).fit(X.astype(float)), model(3, **start).fit(X)
        expect_close(fitted.score_samples(X), plain.score_samples(X.astype(float)), 1e-6, "score_samples")

    return check


def singles() -> Iterator[tuple[str, Any, float, float]]:
    """Name, rows, origin and unit."""
    X = blobs()
    for origin in (0.0, 1e4, -1e6):
        yield f"about {origin:g}", (X + origin).astype("f4"), origin, 1.0
    for unit in (1e-30, 1e-20, 1e-15, 1e15, 1e18, 1e30):
        yield f"in units of {unit:g}", (X * unit).astype("f4"), 0.0, unit


def single(structure: str, X: Any, origin: float, unit: float) -> Any:
    """The fit of the same values in float64, as exact as float32 can say it."""

    def check(model: Model) -> None:
        start, wide = start_of(structure, origin, unit), X.astype(np.float64)
        plain, fitted = (model(3, **start, reg_covar=1e-6 * unit**2).fit(rows) for rows in (wide, X))
        size = np.abs(plain.means_).max()
        expect_close(fitted.means_, plain.means_, 1e-6 * size, "means_")
        for name in ("weights_", "covariances_", "precisions_", "precisions_cholesky_"):
            expected = getattr(plain, name)
            expect_close(getattr(fitted, name), expected, 1e-5 * np.abs(expected).max(), name)
        expected = plain.score_samples(wide)
        expect_close(fitted.score_samples(X), expected, 1e-5 * (1 + np.abs(expected)), "score_samples")
        expect_close(fitted.predict_proba(X), plain.predict_proba(wide), 1e-5, "predict_proba")

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


def same_answers(structure: str, lay_out: Any, dtype: str) -> Any:
    """The answers for a plain array; a frame's names are kept."""

    def check(model: Model) -> None:
        X = blobs().astype(dtype)
        start, laid_out = start_of(structure), lay_out(X)
        plain, fitted = model(3, **start).fit(X.astype(np.float64)), model(3, **start).fit(laid_out)
        unit = 1e-9 if dtype == "f8" else 1e-5
        expect_close(fitted.means_, plain.means_, unit, "means_")
        expected = plain.score_samples(X.astype(np.float64))
        expect_close(fitted.score_samples(laid_out), expected, unit * (1 + np.abs(expected)), "score_samples")
        if hasattr(laid_out, "columns"):
            expect(list(fitted.feature_names_in_) == NAMES, "the names of the columns are lost")

    return check
