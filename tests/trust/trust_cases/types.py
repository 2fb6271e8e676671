"""Rows of any type, layout and container give the same results as an array of float64 with equal values."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from trust_cases.case import CENTRES, INITS, STRUCTURES, Case, Model, blobs, expect, expect_close, initial

INTEGERS = "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"
NAMES = ["height", "width", "depth"]


def cases() -> Iterator[Case]:
    """Yield cases of every structure, from initial parameters and from each initialisation."""
    for structure in STRUCTURES:
        for dtype in INTEGERS:
            name = f"{np.dtype(dtype).name}, {structure}"
            yield Case("integers", f"{name}, given", compare(integers().astype(dtype), initial_of(structure, 40, 6)))
            for start in INITS:
                parameters = {"covariance_type": structure, "init_params": start, "random_state": 0}
                yield Case("integers", f"{name}, {start}", compare(integers().astype(dtype), parameters))
        distant = initial_of(structure, 1e15 + 40, 6)
        yield Case("integers", f"int64 about 1e15, {structure}", compare(integers() + 10**15, distant))
        boolean = initial(structure, np.array([[0.0, 0, 0], [1, 1, 1], [1, 0, 0]]), 4.0)
        yield Case("types", f"bool, {structure}", compare(blobs() > 2.0, boolean))
        yield Case("types", f"float16, {structure}", compare((blobs() / 2).astype("f2"), initial_of(structure, 0, 0.5)))
        for origin in (0.0, 1e4, -1e6):
            check = compare((blobs() + origin).astype("f4"), initial_of(structure, origin))
            yield Case("float32", f"float32 about {origin:g}, {structure}", check)
        for unit in (1e-30, 1e-20, 1e-15, 1e15, 1e18, 1e30):
            start = initial_of(structure, 0, unit) | {"reg_covar": 1e-6 * unit**2}
            check = compare((blobs() * unit).astype("f4"), start)
            yield Case("float32", f"float32 in units of {unit:g}, {structure}", check)
        for name, convert in LAYOUTS.items():
            for dtype in ("f8", "f4"):
                check = compare(blobs().astype(dtype), initial_of(structure), convert)
                yield Case("layouts", f"{name} {np.dtype(dtype).name}, {structure}", check)


def integers() -> Any:
    """Return integers from 0 to 127, which every integer type can represent."""
    return np.clip(np.round(blobs() * 6 + 40), 0, 127).astype(np.int64)


def initial_of(structure: str, origin: float = 0.0, unit: float = 1.0) -> dict[str, Any]:
    return initial(structure, CENTRES * unit + origin, 1 / unit**2)


def compare(X: Any, parameters: dict[str, Any], convert: Any = lambda X: X) -> Any:
    """Return a check that converted X gives the same fit and predictions as X in float64, and keeps column names."""

    def check(model: Model) -> None:
        # `unit` is the tolerance of predictions.
        in_float64, converted, unit = X.astype(np.float64), convert(X), 1e-6 if X.dtype == np.float32 else 1e-9
        plain, fitted = model(3, **parameters).fit(in_float64), model(3, **parameters).fit(converted)
        for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
            expected = getattr(plain, name)
            expect_close(getattr(fitted, name), expected, unit * np.abs(expected).max(), name)
        expected = plain.score_samples(in_float64)
        expect_close(fitted.score_samples(converted), expected, unit * (1 + np.abs(expected)), "score_samples")
        expect_close(fitted.predict_proba(converted), plain.predict_proba(in_float64), unit, "predict_proba")
        # Rows of unsigned integers must give the same score, because differences must not wrap around.
        expect_close(expected.mean(), fitted.score(converted), unit * (1 + abs(expected.mean())), "score")
        if hasattr(converted, "columns"):
            expect(list(fitted.feature_names_in_) == NAMES, "feature_names_in_ differs from the names of the columns")

    return check


def strided(X: Any) -> Any:
    array = np.full((2 * len(X), 2 * X.shape[1]), np.nan, dtype=X.dtype)
    array[::2, 1::2] = X
    return array[::2, 1::2]


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
    "strided": strided,
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
