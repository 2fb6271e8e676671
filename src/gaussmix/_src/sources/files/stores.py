"""Read files that are given by URLs, in object stores and on web servers, with many concurrent requests."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from errno import EACCES, EINVAL, EIO, ENOENT
from fnmatch import fnmatchcase
from functools import partial
from io import SEEK_CUR, SEEK_SET
from math import inf
from pathlib import PurePosixPath
from threading import Thread
from typing import Any, TypeVar
from urllib.parse import quote

import pyarrow as pa

from gaussmix._src.errors import warn
from gaussmix._src.sources.files.paths import DELTA_FOLDER, FILE_CHANGED, check_versions, without_secrets

T = TypeVar("T")
MAX_REQUESTS = 16  # maximum number of concurrent requests
MAX_REQUEST_BYTES, MIN_REQUEST_BYTES = 2**22, 2**16  # usual largest and smallest number of bytes per request
RETRY_WAITS = (0.1, 0.4, 1.6, 6.4)  # seconds before each repetition of a failed request
MAX_SILENT_SECONDS = 5.0  # a request that fails for more seconds than this causes a warning
_WILDCARD = re.compile(r"[*\[]")
# Some libraries for stores raise general exceptions, so these patterns classify errors by their messages.
_REFUSED = re.compile(
    r"\b40[13]\b|ACCESS_DENIED|PERMISSION_?DENIED|UNAUTH|AUTHENTICAT|AUTHORIZ|FORBIDDEN|INVALID_ACCESS|SIGNATURE", re.I
)
_ABSENT = re.compile(r"\b404\b|NO_SUCH_|^NO SUCH |NOT_?FOUND", re.I)
_UNREACHED = re.compile(
    r"(could not|cannot|failed to) (connect|resolve)|connection refused|getaddrinfo|name or service", re.I
)
_QUOTED_NAMES = re.compile(r"'[^']*'|\S+://\S+")  # names, which are removed from messages before the search


class Store:
    """A file store that PyArrow supports. The methods may raise any exception of the store's library."""

    def __init__(self, system: Any) -> None:
        self._system = system

    def is_file(self, path: str) -> bool | None:
        """Return True for a file, False for a folder, and None if the path does not exist."""
        result = self._system.get_file_info(path)
        return result.is_file if result.type else None

    def below(self, folder: str, depth: int | None) -> list[str]:
        """Return at least the files in a folder and in `depth - 1` levels of subfolders; in all levels for None."""
        from pyarrow.fs import FileSelector

        result = self._system.get_file_info(FileSelector(folder, recursive=depth != 1))
        return [each.path for each in result if each.is_file]

    def read(self, path: str, first: int | None, count: int) -> tuple[Hashable, int, bytes]:
        """Return a file's version, size, and `count` bytes from offset `first` (None for the last `count` bytes)."""
        with self._system.open_input_file(path) as file:
            size, metadata = file.size(), file.metadata()
            version = metadata.get("ETag", repr(metadata)) if metadata else self._system.get_file_info(path).mtime_ns
            start = max(size - count, 0) if first is None else first
            return (size, version), size, file.read_at(min(count, size - start), start)


class _Fsspec(Store):
    """A file store that fsspec supports."""

    def is_file(self, path: str) -> bool | None:
        return bool(self._info(path)["type"] == "file")

    def below(self, folder: str, depth: int | None) -> list[str]:
        return list(self._system.find(folder, maxdepth=depth))

    def read(self, path: str, first: int | None, count: int) -> tuple[Hashable, int, bytes]:
        info = self._info(path)
        if info["size"] is None:
            raise OSError(EINVAL, "the server does not report the size of the file; download the file first", path)
        start = max(info["size"] - count, 0) if first is None else first
        end = min(start + count, info["size"])
        result = self._system.cat_file(path, start=start, end=end) if start < end else b""
        if len(result) != end - start:
            raise OSError(EINVAL, "the server does not support range requests; download the file first", path)
        # The version does not depend on the URL, because a redirection may change the URL.
        version = repr(sorted((key, value) for key, value in info.items() if key != "url"))
        return version, info["size"], result

    def _info(self, path: str) -> dict[str, Any]:
        """Return the current information about a file."""
        self._system.invalidate_cache()
        try:
            return dict(self._system.info(path))
        except FileNotFoundError as error:
            raise error.__cause__ or error from None  # the server's message is in the cause


class StoredFile:
    """A file in a store, which must not change after the first request for its bytes."""

    def __init__(self, store: Store, path: str, url: str) -> None:
        self._store, self._path, self._url = store, path, url
        self.version: Hashable = None
        self.size = 0  # number of bytes; the first request sets `size` and `version`
        self.suffix = PurePosixPath(url).suffix

    def __str__(self) -> str:
        return self._url

    def read(self, first: int | None, count: int) -> bytes:
        """Read `count` bytes from offset `first`, or the last `count` bytes if `first` is None.

        Raises OSError, with advice, if the file has changed or is not accessible, or if the store does not answer.
        """
        version, self.size, result = with_retries(self._url, partial(self._store.read, self._path, first, count))
        if self.version not in (None, version):
            raise OSError(EIO, FILE_CHANGED, self._url)
        self.version = version
        return result

    def opened(self, requests: Requests | None = None) -> pa.NativeFile:
        """Open the file with random access; `requests` are requests that were sent in advance for its bytes."""
        opened = _Opened(self, requests)
        if self.version is None:
            opened.hold(self.read(None, MIN_REQUEST_BYTES), None)
        return pa.PythonFile(opened, "r")


def with_retries(url: str, call: Callable[[], T], *, is_first: bool = False) -> T:
    """Call a function that makes a request to a store, and retry the call with increasing pauses until it succeeds.

    A warning is issued after a few seconds without success, because a store's library may itself retry a request for a
    long time. The first request to a server (`is_first`) is not retried if the server can't be reached. Raises OSError
    if nothing exists at this address, or if the store denies access or does not answer.
    """
    began = time.monotonic()
    for wait in (*RETRY_WAITS, None):
        try:
            return call()
        except (ValueError, ImportError, NotImplementedError):
            raise
        except Exception as error:  # some libraries, such as aiohttp, do not raise OSError
            final = _final(error, url, is_first=is_first, is_last=wait is None)
            if final is not None:
                raise final from None
            if time.monotonic() - began > MAX_SILENT_SECONDS:
                began = inf
                warn(f"{url}: the request failed and is retried ({_reason(error)}).")
        time.sleep(wait or 0.0)
    raise AssertionError("the last attempt must either return a result or raise an error")


def _final(error: Exception, url: str, *, is_first: bool, is_last: bool) -> OSError | None:
    """Return an error with a clear message, or None if the request should be retried because it may succeed later."""
    errno, reason = getattr(error, "errno", None), _reason(error)
    message = _QUOTED_NAMES.sub("", reason)
    if isinstance(error, FileNotFoundError) or _ABSENT.search(message):
        return FileNotFoundError(ENOENT, "there is no such file, bucket or container", url)
    if isinstance(error, PermissionError) or _REFUSED.search(message):
        return PermissionError(EACCES, f"the store denies access; check its credentials and region ({reason})", url)
    if "libhdfs" in reason:
        return OSError(EINVAL, f"install Hadoop's libraries, and set ARROW_LIBHDFS_DIR ({reason})", url)
    if errno == EINVAL:
        return OSError(EINVAL, getattr(error, "strerror", reason), url)
    if is_first and _UNREACHED.search(message):
        return OSError(EIO, f"no server answers; check the address and the network ({reason})", url)
    if is_last:
        advice = "check its address, or try again later"
        return OSError(EIO, f"the store failed {len(RETRY_WAITS) + 1} times; {advice} ({reason})", url)
    return None


def _reason(error: Exception) -> str:
    """Return the message of an error as a single line."""
    status = getattr(error, "status", None)
    text = str(error) if status is None else f"{status} {getattr(error, 'message', '')}"
    return " ".join(text.split()).rstrip(".") or type(error).__name__


def as_stored_file(system: Any, path: str) -> StoredFile:
    """Return a `StoredFile` for a file in a PyArrow file system."""
    wrapped = getattr(getattr(system, "handler", None), "fs", None)  # file system of fsspec inside the PyArrow wrapper
    store = _Fsspec(wrapped) if hasattr(wrapped, "cat_file") else Store(system)
    return StoredFile(store, path, path)


def find_stored_files(url: str) -> list[StoredFile]:
    """Return the files of a URL, a pattern or a folder in a store, in the order of their names; [] if no file matches.

    In a pattern, * matches any part of a name, [ab] matches a or b, and ** matches any number of folders. Raises
    OSError in the same cases as `with_retries`, ImportError if the store's library is not installed, and ValueError if
    the URL is invalid.
    """
    scheme, _, rest = url.partition("://")
    address, mark, query = rest.partition("?")
    base, wanted = _split(address)
    shown = without_secrets(url)
    if not base:
        raise ValueError(f"{shown} has no bucket or server: add one, as in '{scheme}://bucket/rows/*.parquet'.")
    store, base, name = _store(scheme, base, mark + query)
    if not wanted:
        is_file = with_retries(shown, partial(store.is_file, base), is_first=True)
        if is_file or is_file is None:
            return [StoredFile(store, base, name(base))] if is_file else []
    depth = None if "**" in wanted or not wanted else len(wanted)
    result = with_retries(shown, partial(store.below, base, depth), is_first=True)
    chosen = []
    for path in result:
        parts = PurePosixPath(path.removeprefix(base).lstrip("/")).parts
        check_versions(shown if parts[:1] == (DELTA_FOLDER,) else None)
        if _matches(parts, wanted) if wanted else not any(part.startswith((".", "_")) for part in parts):
            chosen.append(path)
    return [StoredFile(store, path, name(path)) for path in sorted(chosen, key=lambda path: PurePosixPath(path).parts)]


def _split(address: str) -> tuple[str, list[str]]:
    """Split an address into the folder or file before the pattern, and the parts of the pattern between slashes."""
    parts = address.rstrip("/").split("/")
    n_plain = next((at for at, part in enumerate(parts) if _WILDCARD.search(part)), len(parts))
    return "/".join(parts[:n_plain]), parts[n_plain:]


def _matches(parts: tuple[str, ...], wanted: list[str]) -> bool:
    """Return whether the parts of a path match the parts of a pattern."""
    if not wanted or not parts:
        return not parts and all(part == "**" for part in wanted)
    is_hidden = parts[0].startswith(".") and not wanted[0].startswith(".")
    if wanted[0] == "**":
        return _matches(parts, wanted[1:]) or (not is_hidden and _matches(parts[1:], wanted))
    return not is_hidden and fnmatchcase(parts[0], wanted[0]) and _matches(parts[1:], wanted[1:])


def _store(scheme: str, base: str, query: str) -> tuple[Store, str, Callable[[str], str]]:
    """Return a URL's store, the path of `base` in this store, and a function that converts paths to URLs."""
    from pyarrow.fs import FileSystem  # imported here, because the import is slow

    url = f"{scheme}://{base}"
    shown = without_secrets(url)
    if scheme in ("gs", "gcs") and "retry_limit_seconds" not in query:
        query += ("&" if query else "?") + "retry_limit_seconds=5"  # by default, PyArrow retries for 15 minutes
    address = quote(url, safe="/:@%+=&,;!$'()~") + query
    try:
        open_store = partial(FileSystem.from_uri, address)  # may make a request to find the region of a bucket
        system, path = with_retries(shown, open_store, is_first=True)
        return Store(system), path, lambda path: f"{scheme}://{path}"
    except (ValueError, NotImplementedError) as error:
        if "nrecognized" not in str(error) and "built without" not in str(error):
            reason = str(error).replace(address, shown).rstrip(".")
            raise ValueError(f"{shown} can't be read as a URL: {reason}.") from None
    try:
        from fsspec.core import url_to_fs

        system, path = with_retries(shown, partial(url_to_fs, f"{scheme}://{base}{query}"), is_first=True)
    except ImportError as error:
        advice = "pip install 'fsspec[http]'" if error.name == "fsspec" else str(error).rstrip(".")
        raise ImportError(f"Reading {shown} needs another library: {advice}.") from None
    except ValueError as error:
        raise ValueError(f"{shown} can't be opened: {str(error).rstrip('.')}.") from None
    return _Fsspec(system), path, lambda path: without_secrets(str(system.unstrip_protocol(path)))


def _run_in_thread(task: Callable[[], T]) -> Future[T]:
    """Run a task in a new daemon thread, so that Python can exit even if a store does not answer."""
    work = Future[T]()

    def run() -> None:
        try:
            work.set_result(task())
        except BaseException as error:
            work.set_exception(error)

    Thread(target=run, name="gaussmix-request", daemon=True).start()
    return work


def run_tasks(tasks: Iterable[Callable[[], T]]) -> Iterator[T]:
    """Run up to `MAX_REQUESTS` tasks concurrently, and yield their results in the order of the tasks."""
    under_way = deque[Future[T]]()
    for task in tasks:
        under_way.append(_run_in_thread(task))
        if len(under_way) == MAX_REQUESTS:
            yield under_way.popleft().result()
    while under_way:
        yield under_way.popleft().result()


class Requests:
    """Requests, made in advance, for the bytes of stored files that a pass will read.

    Parameters
    ----------
    wanted : byte ranges (offset, size) of each file, in the order in which the pass reads them.
    largest : maximum number of bytes per request.
    """

    def __init__(self, wanted: Mapping[StoredFile, Iterable[tuple[int, int]]], largest: int) -> None:
        self._order = {file: index for index, file in enumerate(wanted)}
        self._coming = run_tasks(
            partial(_read, file, start, min(largest, first + count - start))
            for file, ranges in wanted.items()
            for first, count in ranges
            for start in range(first, first + count, largest)
        )
        self._next: tuple[StoredFile, int, bytes] | None = None

    def take(self, file: StoredFile) -> tuple[bytes, int] | None:
        """Return the next requested bytes of a file and their offset; None if no further bytes were requested."""
        while True:
            self._next = self._next or next(self._coming, None)
            if self._next is None or self._order[self._next[0]] > self._order[file]:
                return None
            (owner, first, result), self._next = self._next, None
            if owner is file:
                return result, first


def _read(file: StoredFile, first: int, count: int) -> tuple[StoredFile, int, bytes]:
    return file, first, file.read(first, count)


@dataclass
class _Chunk:
    """A range of bytes of a file: the bytes, their offset in the file, and the number of these bytes not yet read."""

    data: bytes
    first: int
    left: int


class _Opened:
    """A file in a store, with the interface of Python's files; received bytes are held until the caller reads them."""

    def __init__(self, file: StoredFile, requests: Requests | None) -> None:
        self._file, self._requests, self._position, self.closed = file, requests, 0, False
        self._chunks: list[_Chunk] = []
        self._step = MIN_REQUEST_BYTES  # minimum number of bytes in the next request; doubled after each request

    def hold(self, data: bytes, first: int | None) -> _Chunk:
        """Store bytes until they are read; `first` is their offset in the file, or None for the last bytes."""
        chunk = _Chunk(data, self._file.size - len(data) if first is None else first, len(data))
        self._chunks.append(chunk)
        return chunk

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        self._position = offset + {SEEK_SET: 0, SEEK_CUR: self._position}.get(whence, self._file.size)
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, count: int = -1) -> bytes:
        """Read up to `count` bytes from the current position; all remaining bytes if `count` is negative."""
        end, pieces = self._file.size if count < 0 else min(self._position + count, self._file.size), []
        while self._position < end:
            chunk = self._chunk_at(self._position, end)
            piece = memoryview(chunk.data)[self._position - chunk.first : end - chunk.first]
            pieces.append(piece)
            self._position, chunk.left = self._position + len(piece), chunk.left - len(piece)
            if chunk.left <= 0:
                self._chunks.remove(chunk)
        return b"".join(pieces)

    def _chunk_at(self, start: int, end: int) -> _Chunk:
        """Return a chunk with the byte at `start`: a stored chunk, or the chunk from a pending or new request."""
        chunk = next((each for each in self._chunks if 0 <= start - each.first < len(each.data)), None)
        while chunk is None and self._requests is not None and (taken := self._requests.take(self._file)):
            new = self.hold(*taken)
            chunk = new if 0 <= start - new.first < len(new.data) else None
        if chunk is None:
            n_bytes = min(max(end - start, self._step), self._file.size - start)
            chunk = self.hold(self._file.read(start, n_bytes), start)
            self._step = min(2 * self._step, MAX_REQUEST_BYTES)
        return chunk

    def close(self) -> None:
        self.closed = True
