"""Files in object stores and on web servers: found by URLs, and read some bytes at a time, many requests at once."""

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
MAX_REQUESTS = 16  # requests
MAX_REQUEST_BYTES, MIN_REQUEST_BYTES = 2**22, 2**16  # bytes that one request asks for, if more are needed and if fewer
RETRY_WAITS = (0.1, 0.4, 1.6, 6.4)  # seconds before a request is made again
MAX_SILENT_SECONDS = 5.0  # seconds of failures after which a warning says that a store is asked again
_WILDCARD = re.compile(r"[*\[]")
# How the libraries of stores say so, where they raise nothing better.
_REFUSED = re.compile(
    r"\b40[13]\b|ACCESS_DENIED|PERMISSION_?DENIED|UNAUTH|AUTHENTICAT|AUTHORIZ|FORBIDDEN|INVALID_ACCESS|SIGNATURE", re.I
)
_ABSENT = re.compile(r"\b404\b|NO_SUCH_|^NO SUCH |NOT_?FOUND", re.I)
_UNREACHED = re.compile(
    r"(could not|cannot|failed to) (connect|resolve)|connection refused|getaddrinfo|name or service", re.I
)
_QUOTED_NAMES = re.compile(r"'[^']*'|\S+://\S+")  # in messages


class Store:
    """A store of files that PyArrow knows. Its methods raise whatever its library raises."""

    def __init__(self, system: Any) -> None:
        self._system = system

    def is_file(self, path: str) -> bool | None:
        """Whether this is a file: false for a folder, None if there is neither."""
        result = self._system.get_file_info(path)
        return result.is_file if result.type else None

    def below(self, folder: str, depth: int | None) -> list[str]:
        """The files in a folder, and in `depth - 1` levels of folders in it; None for all."""
        from pyarrow.fs import FileSelector

        result = self._system.get_file_info(FileSelector(folder, recursive=depth != 1))
        return [each.path for each in result if each.is_file]

    def read(self, path: str, first: int | None, count: int) -> tuple[Hashable, int, bytes]:
        """What changes when a file changes, its size, and `count` bytes from `first` on; None for the last ones."""
        with self._system.open_input_file(path) as file:
            size, message = file.size(), file.metadata()
            version = message.get("ETag", repr(message)) if message else self._system.get_file_info(path).mtime_ns
            start = max(size - count, 0) if first is None else first
            return (size, version), size, file.read_at(min(count, size - start), start)


class _Fsspec(Store):
    """A store that fsspec knows."""

    def is_file(self, path: str) -> bool | None:
        return bool(self._info(path)["type"] == "file")

    def below(self, folder: str, depth: int | None) -> list[str]:
        return list(self._system.find(folder, maxdepth=depth))

    def read(self, path: str, first: int | None, count: int) -> tuple[Hashable, int, bytes]:
        about = self._info(path)
        if about["size"] is None:
            raise OSError(EINVAL, "the server does not say how large the file is; download it first", path)
        start = max(about["size"] - count, 0) if first is None else first
        end = min(start + count, about["size"])
        result = self._system.cat_file(path, start=start, end=end) if start < end else b""
        if len(result) != end - start:
            raise OSError(EINVAL, "the server does not send parts of files; download the file first", path)
        version = repr(sorted((key, value) for key, value in about.items() if key != "url"))  # which may be redirected
        return version, about["size"], result

    def _info(self, path: str) -> dict[str, Any]:
        """What is known of a file now."""
        self._system.invalidate_cache()
        try:
            about: dict[str, Any] = self._system.info(path)
        except FileNotFoundError as error:
            raise error.__cause__ or error from None  # what the server said
        return about


class StoredFile:
    """A file in a store, which may not change after its first bytes were read."""

    def __init__(self, store: Store, path: str, url: str) -> None:
        self._store, self._path, self._url = store, path, url
        self.version: Hashable = None
        self.size = 0  # known, like the stamp, after the first request
        self.suffix = PurePosixPath(url).suffix

    def __str__(self) -> str:
        return self._url

    def read(self, first: int | None, count: int) -> bytes:
        """Some bytes; the last ones where `first` is None.

        Raises OSError: the file has changed, is absent or refused, or the store does not answer, with what to do.
        """
        version, self.size, result = patiently(self._url, partial(self._store.read, self._path, first, count))
        if self.version not in (None, version):
            raise OSError(EIO, FILE_CHANGED, self._url)
        self.version = version
        return result

    def opened(self, requests: Requests | None = None) -> pa.NativeFile:
        """The file, to be read from any place on; its bytes come from `requests` where they are under way."""
        opened = _Opened(self, requests)
        if self.version is None:
            opened.hold(self.read(None, MIN_REQUEST_BYTES), None)
        return pa.PythonFile(opened, "r")


def patiently(url: str, call: Callable[[], T], *, is_first: bool = False) -> T:
    """What a request to a store returns. It is made again, after longer and longer waits, until it succeeds.

    A warning says so where that takes longer than moments: the library of a store may try for seconds by itself. Where
    no server is reached by a request that `is_first`, it is not made again. Raises OSError: nothing is there, the store
    refuses access, or does not answer.
    """
    began = time.monotonic()
    for wait in (*RETRY_WAITS, None):
        try:
            return call()
        except (ValueError, ImportError, NotImplementedError):
            raise
        except Exception as error:  # of aiohttp and others, which are no OSErrors
            final = _final(error, url, is_first=is_first, is_last=wait is None)
            if final is not None:
                raise final from None
            if time.monotonic() - began > MAX_SILENT_SECONDS:
                began = inf
                warn(f"{url}: the store fails, and is asked again ({_reason(error)}).")
        time.sleep(wait or 0.0)
    raise AssertionError("the last turn returns or raises")


def _final(error: Exception, url: str, *, is_first: bool, is_last: bool) -> OSError | None:
    """A failure in a sentence; None where the request may succeed later, unless this was the last."""
    errno, reason = getattr(error, "errno", None), _reason(error)
    message = _QUOTED_NAMES.sub("", reason)
    if isinstance(error, FileNotFoundError) or _ABSENT.search(message):
        return FileNotFoundError(ENOENT, "there is no such file, bucket or container", url)
    if isinstance(error, PermissionError) or _REFUSED.search(message):
        return PermissionError(EACCES, f"the store refuses access; check its credentials and region ({reason})", url)
    if "libhdfs" in reason:
        return OSError(EINVAL, f"the libraries of Hadoop are needed, and ARROW_LIBHDFS_DIR set ({reason})", url)
    if errno == EINVAL:
        return OSError(EINVAL, getattr(error, "strerror", reason), url)
    if is_first and _UNREACHED.search(message):
        return OSError(EIO, f"no server is there; check the address and the network ({reason})", url)
    if is_last:
        advice = "check its address, or try again later"
        return OSError(EIO, f"the store failed {len(RETRY_WAITS) + 1} times; {advice} ({reason})", url)
    return None


def _reason(error: Exception) -> str:
    """What an error says, in a line."""
    status = getattr(error, "status", None)
    text = str(error) if status is None else f"{status} {getattr(error, 'message', '')}"
    return " ".join(text.split()).rstrip(".") or type(error).__name__


def stored_in(system: Any, path: str) -> StoredFile:
    """A file in a file system of PyArrow."""
    wrapped = getattr(getattr(system, "handler", None), "fs", None)  # of fsspec
    store = _Fsspec(wrapped) if hasattr(wrapped, "cat_file") else Store(system)
    return StoredFile(store, path, path)


def stored(url: str) -> list[StoredFile]:
    """The files that a URL, a pattern or a folder names in a store, in the order of their names.

    In a pattern * stands for any part of a name, [ab] for one of some letters and ** for any folders. Empty if there
    is no such file. Raises OSError as `patiently`, ImportError: the kind of store needs a library. ValueError: the URL
    can't be read.
    """
    scheme, _, rest = url.partition("://")
    address, mark, query = rest.partition("?")
    base, wanted = _split(address)
    shown = without_secrets(url)
    if not base:
        raise ValueError(f"{shown} names no bucket or server: give one, as in '{scheme}://bucket/rows/*.parquet'.")
    store, base, name = _store(scheme, base, mark + query)
    if not wanted:
        is_file = patiently(shown, partial(store.is_file, base), is_first=True)
        if is_file or is_file is None:
            return [StoredFile(store, base, name(base))] if is_file else []
    depth = None if "**" in wanted or not wanted else len(wanted)
    result = patiently(shown, partial(store.below, base, depth), is_first=True)
    chosen = []
    for path in result:
        parts = PurePosixPath(path.removeprefix(base).lstrip("/")).parts
        check_versions(shown if parts[:1] == (DELTA_FOLDER,) else None)
        if _matches(parts, wanted) if wanted else not any(part.startswith((".", "_")) for part in parts):
            chosen.append(path)
    return [StoredFile(store, path, name(path)) for path in sorted(chosen, key=lambda path: PurePosixPath(path).parts)]


def _split(address: str) -> tuple[str, list[str]]:
    """The folder or file that an address names without a pattern, and the parts of the pattern below it."""
    parts = address.rstrip("/").split("/")
    n_plain = next((at for at, part in enumerate(parts) if _WILDCARD.search(part)), len(parts))
    return "/".join(parts[:n_plain]), parts[n_plain:]


def _matches(parts: tuple[str, ...], wanted: list[str]) -> bool:
    """Whether the parts of a path are those of a pattern."""
    if not wanted or not parts:
        return not parts and all(part == "**" for part in wanted)
    is_hidden = parts[0].startswith(".") and not wanted[0].startswith(".")
    if wanted[0] == "**":
        return _matches(parts, wanted[1:]) or (not is_hidden and _matches(parts[1:], wanted))
    return not is_hidden and fnmatchcase(parts[0], wanted[0]) and _matches(parts[1:], wanted[1:])


def _store(scheme: str, base: str, query: str) -> tuple[Store, str, Callable[[str], str]]:
    """The store of a URL, the path of its base in it, and what makes names for messages of paths: without secrets."""
    from pyarrow.fs import FileSystem  # slow to import

    url = f"{scheme}://{base}"
    shown = without_secrets(url)
    if scheme in ("gs", "gcs") and "retry_limit_seconds" not in query:
        query += ("&" if query else "?") + "retry_limit_seconds=5"  # of 15 minutes
    address = quote(url, safe="/:@%+=&,;!$'()~") + query
    try:
        open_store = partial(FileSystem.from_uri, address)  # which asks where a bucket is
        system, path = patiently(shown, open_store, is_first=True)
        return Store(system), path, lambda path: f"{scheme}://{path}"
    except (ValueError, NotImplementedError) as error:
        if "nrecognized" not in str(error) and "built without" not in str(error):
            reason = str(error).replace(address, shown).rstrip(".")
            raise ValueError(f"{shown} can't be read as a URL: {reason}.") from None
    try:
        from fsspec.core import url_to_fs

        system, path = patiently(shown, partial(url_to_fs, f"{scheme}://{base}{query}"), is_first=True)
    except ImportError as error:
        advice = "pip install 'fsspec[http]'" if error.name == "fsspec" else str(error).rstrip(".")
        raise ImportError(f"{shown} needs another library: {advice}.") from None
    except ValueError as error:
        raise ValueError(f"{shown} can't be opened: {str(error).rstrip('.')}.") from None
    return _Fsspec(system), path, lambda path: without_secrets(str(system.unstrip_protocol(path)))


def _run_in_thread(task: Callable[[], T]) -> Future[T]:
    """A task that is done by a thread of its own. It is a daemon, since Python must end while a store is slow."""
    work = Future[T]()

    def run() -> None:
        try:
            work.set_result(task())
        except BaseException as error:
            work.set_exception(error)

    Thread(target=run, name="gaussmix-request", daemon=True).start()
    return work


def at_once(tasks: Iterable[Callable[[], T]]) -> Iterator[T]:
    """What tasks return, in their order; so many are under way at once."""
    under_way = deque[Future[T]]()
    for task in tasks:
        under_way.append(_run_in_thread(task))
        if len(under_way) == MAX_REQUESTS:
            yield under_way.popleft().result()
    while under_way:
        yield under_way.popleft().result()


class Requests:
    """The bytes of stored files that a pass needs, asked for ahead.

    Parameters
    ----------
    wanted : for each file, in their order, the places and numbers of bytes in the order in which they are needed.
    largest : bytes that one request asks for.
    """

    def __init__(self, wanted: Mapping[StoredFile, Iterable[tuple[int, int]]], largest: int) -> None:
        self._order = {file: index for index, file in enumerate(wanted)}
        self._coming = at_once(
            partial(_read, file, start, min(largest, first + count - start))
            for file, ranges in wanted.items()
            for first, count in ranges
            for start in range(first, first + count, largest)
        )
        self._next: tuple[StoredFile, int, bytes] | None = None

    def take(self, file: StoredFile) -> tuple[bytes, int] | None:
        """The next bytes of a file, and their place; None where no more were asked for. Those of later files stay."""
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
    """Bytes of a file, from a place on, and how many of them were not read."""

    data: bytes
    first: int
    left: int


class _Opened:
    """A stored file as Python's readers take it. What was asked for ahead is in memory until it was read."""

    def __init__(self, file: StoredFile, requests: Requests | None) -> None:
        self._file, self._requests, self._position, self.closed = file, requests, 0, False
        self._chunks: list[_Chunk] = []
        self._step = MIN_REQUEST_BYTES  # bytes to ask for where nothing was asked for ahead: more and more

    def hold(self, data: bytes, first: int | None) -> _Chunk:
        """Keep some bytes from a place on, or the last ones, until they are read."""
        partitions = _Chunk(data, self._file.size - len(data) if first is None else first, len(data))
        self._chunks.append(partitions)
        return partitions

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        self._position = offset + {SEEK_SET: 0, SEEK_CUR: self._position}.get(whence, self._file.size)
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, count: int = -1) -> bytes:
        """Bytes from here on."""
        end, pieces = self._file.size if count < 0 else min(self._position + count, self._file.size), []
        while self._position < end:
            partitions = self._around(self._position, end)
            piece = memoryview(partitions.data)[self._position - partitions.first : end - partitions.first]
            pieces.append(piece)
            self._position, partitions.left = self._position + len(piece), partitions.left - len(piece)
            if partitions.left <= 0:
                self._chunks.remove(partitions)
        return b"".join(pieces)

    def _around(self, start: int, end: int) -> _Chunk:
        """The bytes around a place: what is held, or comes, or is asked for now, up to an end."""
        partitions = next((each for each in self._chunks if 0 <= start - each.first < len(each.data)), None)
        while partitions is None and self._requests is not None and (taken := self._requests.take(self._file)):
            new = self.hold(*taken)
            partitions = new if 0 <= start - new.first < len(new.data) else None
        if partitions is None:
            n_bytes = min(max(end - start, self._step), self._file.size - start)
            partitions = self.hold(self._file.read(start, n_bytes), start)
            self._step = min(2 * self._step, MAX_REQUEST_BYTES)
        return partitions

    def close(self) -> None:
        self.closed = True
