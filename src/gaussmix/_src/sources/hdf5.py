"""Read rows of an HDF5 data set, such as X of an AnnData: once if they fit into memory, otherwise in every pass."""

from __future__ import annotations

from collections.abc import Iterator
from errno import EIO
from typing import Any

from gaussmix._src.errors import invented_names
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.leaves import LEAF_ROWS
from gaussmix._src.numerics.arrays import Array, Rows
from gaussmix._src.sources.base import Source
from gaussmix._src.sources.files.base import MAX_CHUNK_BYTES, Chosen, Reader, open_source
from gaussmix._src.sources.open_options import OpenOptions


def open_hdf5(data: Any, request: OpenOptions) -> Source:
    """Open an `h5py.Dataset`, and name the columns x0, x1, …; raise ValueError if it is not a table of numbers."""
    return open_source(_DatasetReader(data, request), request.memory)


class _DatasetReader(Reader):
    """A reader of an HDF5 data set that reads at most 65,520 rows at a time."""

    order = "C"
    has_names = False

    def __init__(self, data: Any, request: OpenOptions) -> None:
        if not data:
            raise ValueError("The file of this HDF5 data set is closed. Open the file again, and pass its data set.")
        self.name = f"data set {data.name!r} of {data.file.filename}"
        if data.ndim != 2 or data.shape[1] == 0 or data.dtype.kind not in "biuf":
            contents = f"{data.dtype} of shape {data.shape}"
            raise ValueError(f"The {self.name} contains {contents}, not rows and columns of numbers.")
        self._data, self.n_rows, self.weights, self.may_miss = data, len(data), request.weights, request.missing
        names = invented_names(data.shape[1])
        chosen = Chosen.from_columns(f"The {self.name}", names, request.columns, request.weights, data.dtype)
        self.names, self._indices, self._weight_index, self.dtype, self.integer_columns = chosen

    def parts(self) -> Iterator[Block]:
        try:
            n_rows = max(MAX_CHUNK_BYTES // max(self._data[:1].nbytes, 1), 1)  # `nbytes` is the size of one row
            if self._data.chunks is not None:  # rounds up to whole chunks, because HDF5 reads whole chunks
                n_rows = -(-n_rows // self._data.chunks[0]) * self._data.chunks[0]
            n_rows = min(n_rows, LEAF_ROWS)
            for first in range(0, self.n_rows, n_rows):
                yield Block(first, self._data[first : first + n_rows])
        except (OSError, RuntimeError, ValueError) as error:  # RuntimeError if the file is closed
            raise OSError(EIO, f"can't be read: {error}", self.name) from None

    def put_part(self, part: Block, first: int, rows: Rows, row_weight: Array | None) -> None:
        taken = part.rows[first : first + len(rows)]
        rows[...] = taken if self._indices == list(range(taken.shape[1])) else taken[:, self._indices]
        if row_weight is not None:
            row_weight[...] = taken[:, self._weight_index]
