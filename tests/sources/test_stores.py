"""Files in object stores and on web servers: the same bits as local files, concurrent requests, and error messages.

The server is moto's, in a thread, behind a counter that can make requests fail or wait.
"""

import glob
import os
import re
import shlex
import threading
from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset
import pyarrow.feather
import pyarrow.parquet
import pytest
from click.testing import CliRunner
from common import LEAF_ROWS, FileSource, assert_same_fit
from pyarrow import fs

import gaussmix
from gaussmix import GaussianMixture, Mixture
from gaussmix._src.cli.program import program
from gaussmix._src.sources.files import stores
from gaussmix._src.sources.files.listing import list_files

fsspec, moto_server = pytest.importorskip("fsspec"), pytest.importorskip("moto.server")
N_ROWS, NAMES = LEAF_ROWS + 1_234, ["a", "b", "c"]
SMALL = "3 MB"  # less memory than the rows take


class ConcurrentRequests:
    """Counts the running requests, and lets each one wait until `wanted` requests run or 20 s have passed.

    Therefore the tests do not depend on how long a request takes.
    """

    def __init__(self, wanted=0):
        self._changed, self._wanted, self._n_now, self.n_max = threading.Condition(), wanted, 0, 0

    def __enter__(self):
        with self._changed:
            self._n_now += 1
            self.n_max = max(self.n_max, self._n_now)
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: self.n_max >= self._wanted, timeout=20):
                self._wanted = 0  # no further request waits

    def __exit__(self, *_):
        with self._changed:
            self._n_now -= 1


class Counted:
    """A WSGI application that counts requests, and can make them fail or wait."""

    def __init__(self, application):
        self._application, self._lock = application, threading.Lock()
        self.clear()

    def clear(self):
        self.status, self.n_failures, self.failing = "503 Slow Down", 0, ""
        self.concurrent, self.made = ConcurrentRequests(), Counter()

    def __call__(self, environ, start):
        key = environ["PATH_INFO"]
        with self._lock:
            self.made[environ["REQUEST_METHOD"], key] += 1
            fails = self.n_failures > 0 and self.failing in key
            self.n_failures -= fails
        with self.concurrent:
            if fails:
                start(self.status, [("Content-Length", "0")])
                return [b""]
            return list(self._application(environ, start))


@pytest.fixture(scope="module")
def server():
    """Start a local S3 server, which environment variables name as users would."""
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Silent(WSGIRequestHandler):
        def log_request(self, *_):
            pass

    counted = Counted(moto_server.DomainDispatcherApplication(moto_server.create_backend_app))
    running = make_server("127.0.0.1", 0, counted, threaded=True, request_handler=Silent)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    counted.url = f"http://127.0.0.1:{running.port}"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": counted.url,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "someone",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_EC2_METADATA_DISABLED": "true",
        }.items():
            patch.setenv(name, value)
        counted.system = fs.S3FileSystem(allow_bucket_creation=True, endpoint_override=counted.url)
        counted.system.create_dir("bucket")
        yield counted
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture(autouse=True)
def short_retry_waits(monkeypatch, request):
    monkeypatch.setattr(stores, "RETRY_WAITS", (0.01, 0.01))
    if "server" in request.fixturenames:
        request.getfixturevalue("server").clear()


def put(server, key, write):
    contents = BytesIO()
    write(contents)
    with server.system.open_output_stream(f"bucket/{key}") as file:
        file.write(contents.getvalue())


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(N_ROWS, 3)) + 4 * rng.normal(size=(3, 3))[rng.integers(3, size=N_ROWS)]
    return rows, pa.table({**dict(zip(NAMES, rows.T, strict=True)), "text": np.array(["x"] * N_ROWS)})


@pytest.fixture(scope="module")
def bucket(server, table):
    rows, arrow = table
    parquet = pa.parquet.write_table
    put(server, "rows/part-1.parquet", lambda file: parquet(arrow.slice(0, 20_001), file, row_group_size=9_000))
    put(server, "rows/part-2.parquet", lambda file: parquet(arrow.slice(20_001), file, compression="none"))
    put(server, "rows/_SUCCESS", lambda file: file.write(b"x"))
    put(server, "by-rows.npy", lambda file: np.save(file, rows))
    put(server, "by-columns.npy", lambda file: np.save(file, np.asfortranarray(rows)))
    put(server, "table.feather", lambda file: pa.feather.write_feather(arrow, file, compression="lz4"))
    put(server, "table.csv", lambda file: pa.csv.write_csv(arrow, file))
    return server


def rows_of(source):
    return np.concatenate([block.rows.copy() for block in source.blocks()])


def opened(name, **options):
    return gaussmix.open(name, columns=None if name.endswith(".npy") else NAMES, **options)


@pytest.mark.filterwarnings("ignore:.* is slow to read")
@pytest.mark.parametrize(
    "name",
    ["s3://bucket/rows", "s3://bucket/rows/part-[0-9].parquet", "s3://bucket/by-rows.npy", "s3://bucket/by-columns.npy",
     "s3://bucket/table.feather", "s3://bucket/table.csv"],
)  # fmt: skip
def test_rows_in_an_object_store_equal_those_of_the_local_file(name, bucket, table):
    for memory in (SMALL, "128 MB"):
        source = opened(name, memory=memory)
        assert isinstance(source, FileSource) == (memory == SMALL)
        np.testing.assert_array_equal(rows_of(source), table[0])


def test_files_on_a_web_server_can_be_read(bucket, table):
    """Check URLs with a query, such as signed URLs, on a server that lists no files."""
    name = f"{bucket.url}/bucket/rows/part-2.parquet?signature=secret"
    np.testing.assert_array_equal(rows_of(opened(name)), table[0][20_001:])
    bucket.n_failures, bucket.status = 10**6, "403 Forbidden"
    with pytest.raises(PermissionError, match="the store denies access; check its credentials") as refused:
        opened(name)
    assert "secret" not in str(refused.value)


def test_sixteen_requests_run_at_the_same_time(bucket, table):
    source = gaussmix.open("s3://bucket/by-rows.npy", memory=SMALL)
    bucket.clear()
    bucket.concurrent = ConcurrentRequests(stores.MAX_REQUESTS)
    np.testing.assert_array_equal(rows_of(source), table[0])
    assert bucket.concurrent.n_max == stores.MAX_REQUESTS == 16
    n_requests = -(-table[0].nbytes // stores.MIN_REQUEST_BYTES)
    assert bucket.made == {("HEAD", "/bucket/by-rows.npy"): n_requests, ("GET", "/bucket/by-rows.npy"): n_requests}


def test_guide_code_for_object_stores_runs(bucket, table, tmp_path, monkeypatch):
    """Check that the guide's Python code and command run, and give the same fit as rows in memory."""
    monkeypatch.chdir(tmp_path)
    text = (Path(__file__).parents[2] / "docs/guide/files.md").read_text(encoding="utf-8")
    section = re.search(r"^## Object stores.*?(?=^## )", text, re.MULTILINE | re.DOTALL)[0]
    ((_, code), (_, command), *_) = re.findall(r"^```(python|bash)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    namespace = {}
    with pytest.warns(RuntimeWarning, match="left out column 'text'"):
        exec(code, namespace)
    assert_same_fit(namespace["gm"], GaussianMixture(2, random_state=0).fit(table[0][:, :2]))
    words = [*shlex.split(command)[1:], "--max-iter", "5", "-o", "found.gmm"]
    assert CliRunner().invoke(program, words).exit_code == 0
    assert Mixture.load("found.gmm").n_features == 2
    assert len(os.listdir("kept")) == 1


class TestFailures:
    def test_failed_requests_are_repeated(self, bucket, table):
        """Check that failed requests are repeated, even if a store's library tries only once, as for web servers."""
        for name in ("s3://bucket/rows", f"{bucket.url}/bucket/by-rows.npy"):
            source = opened(name, memory=SMALL)
            bucket.n_failures = 5
            np.testing.assert_array_equal(rows_of(source), table[0])

    def test_requests_that_are_repeated_for_long_warn_once(self, monkeypatch):
        """Check a store whose library retries for ten seconds before it reports that there is no server."""
        monkeypatch.setattr(stores, "MAX_SILENT_SECONDS", 0.0)

        def fail():
            raise TimeoutError("no answer")

        with (
            pytest.warns(RuntimeWarning, match=r"^s3://b/a: the request failed and is retried \(no") as caught,
            pytest.raises(OSError, match=r"the store failed 3 times"),
        ):
            stores.with_retries("s3://b/a", fail)
        assert len(caught) == 1

    @pytest.mark.parametrize(
        "reason",
        [
            "AWS Error NETWORK_CONNECTION during HeadObject operation: curlCode: 7, Could not connect to server",
            "AWS Error NETWORK_CONNECTION during HeadBucket operation: curlCode: 6, Could not resolve hostname",
            "Status(UNAVAILABLE: Retry policy exhausted - CURL error [7]=Could not connect to server",
            "Cannot connect to host 127.0.0.1:9 ssl:default [Connect call failed ('127.0.0.1', 9)]",
        ],
    )
    def test_the_first_request_is_not_repeated_if_there_is_no_server(self, reason):
        """Check the number of requests, because the S3 library retries for 6 s, so that five requests took 39 s."""
        tried = []

        def fail():
            tried.append(None)
            raise OSError(reason)

        with pytest.raises(OSError, match="no server answers; check the address and the network"):
            stores.with_retries("s3://b/a", fail, is_first=True)
        assert len(tried) == 1
        with pytest.raises(OSError, match="the store failed 3 times"):
            stores.with_retries("s3://b/a", fail)

    def test_a_store_that_always_fails_raises_os_error(self, bucket):
        name = f"{bucket.url}/bucket/by-rows.npy"
        bucket.n_failures = 10**6
        with pytest.raises(OSError, match=r"the store failed 3 times; check its address, or try again later \(503"):
            gaussmix.open(name)

    def test_denied_access_raises_permission_error(self, bucket):
        bucket.n_failures, bucket.status, bucket.failing = 10**6, "403 Forbidden", "by-rows"
        with pytest.raises(PermissionError, match=r"the store denies access; check its credentials .*:"):
            gaussmix.open("s3://bucket/by-rows.npy")

    @pytest.mark.parametrize(
        "name", ["s3://nowhere/*.npy", "s3://nowhere/a.npy", "s3://bucket/no.npy", "s3://bucket/no/*"]
    )
    def test_missing_buckets_and_objects_raise_file_not_found_error(self, name, bucket):
        with pytest.raises(FileNotFoundError, match=f"(no such file, bucket|no file name matches).*{re.escape(name)}"):
            gaussmix.open(name)

    @pytest.mark.parametrize("suffix", ["npy", "parquet"])
    def test_an_object_changed_or_deleted_between_passes_is_reported(self, suffix, bucket, table):
        def write(rows):
            if suffix == "npy":
                return lambda file: np.save(file, rows)
            return lambda file: pa.parquet.write_table(pa.table({"a": rows[:, 0], "b": rows[:, 1]}), file)

        rows = table[0]
        put(bucket, f"changing.{suffix}", write(rows))
        source = gaussmix.open(f"s3://bucket/changing.{suffix}", memory="1 MB")
        rows_of(source)
        put(bucket, f"changing.{suffix}", write(rows[::-1]))  # a file of the same size
        with pytest.raises(OSError, match=rf"changed while it was read; .*'s3://bucket/changing.{suffix}'"):
            GaussianMixture(2).fit(source)
        bucket.system.delete_file(f"bucket/changing.{suffix}")
        with pytest.raises(FileNotFoundError, match=rf"no such file.*'s3://bucket/changing.{suffix}'"):
            rows_of(source)

    def test_the_folder_of_a_delta_table_is_rejected(self, bucket):
        """Check the error, because some files may contain deleted rows."""
        put(bucket, "delta/1.parquet", lambda file: pa.parquet.write_table(pa.table({"a": [1.0]}), file))
        put(bucket, "delta/_delta_log/0.json", lambda file: file.write(b"{}"))
        with pytest.raises(ValueError, match=r"pass deltalake\.DeltaTable\('s3://bucket/delta'\) instead"):
            gaussmix.open("s3://bucket/delta")
        assert gaussmix.open("s3://bucket/delta/1.parquet").n_rows == 1

    @pytest.mark.parametrize(
        ("name", "kind", "sentence"),
        [
            ("s3://", ValueError, "s3:// has no bucket or server: add one, as in 's3://bucket/rows"),
            ("nothing://a/b", ValueError, "nothing://a/b can't be opened: Protocol not known"),
            ("hdfs://nowhere/a.npy", OSError, "install Hadoop's libraries, and set ARROW_LIBHDFS_DIR"),
            ("ftp://127.0.0.1:1/a.npy", OSError, "no server answers; check the address and the network ([Errno"),
            (Path("s3://bucket/a.npy"), FileNotFoundError, "pass a URL as a string, because a Path removes one"),
        ],
    )
    def test_invalid_urls_are_rejected(self, name, kind, sentence):
        with pytest.raises(kind, match=re.escape(sentence)):
            gaussmix.open(name)


def test_the_copy_in_a_cache_is_read_instead_of_the_object(bucket, table, tmp_path):
    put(bucket, "kept.parquet", lambda file: pa.parquet.write_table(table[1], file))
    open_copy = lambda: opened("s3://bucket/kept.parquet", memory=SMALL, cache=tmp_path / "kept")  # noqa: E731
    np.testing.assert_array_equal(rows_of(open_copy()), table[0])
    bucket.clear()
    np.testing.assert_array_equal(rows_of(open_copy()), table[0])
    assert bucket.made["GET", "/bucket/kept.parquet"] == 2  # two requests: for the first bytes, and for the footer
    assert len(os.listdir(tmp_path / "kept")) == 1
    put(bucket, "kept.parquet", lambda file: pa.parquet.write_table(table[1].slice(1), file))
    np.testing.assert_array_equal(rows_of(open_copy()), table[0][1:])
    with pytest.raises(ValueError, match="cache= can store copies of files, but not of a RecordBatchReader"):
        gaussmix.open(table[1].to_reader(), cache=tmp_path)
    assert len(os.listdir(tmp_path / "kept")) == 2


class Store(fsspec.spec.AbstractFileSystem):
    """An fsspec store that counts its requests, with contents `files`. For "whole" files it ignores ranges."""

    protocol, cachable = "test", False
    files: dict[str, bytes] = {}  # noqa: RUF012
    concurrent = ConcurrentRequests()

    def info(self, path, **_):
        path = self._strip_protocol(path)
        if path in self.files:
            return {"name": path, "size": len(self.files[path]), "type": "file", "ETag": hash(self.files[path])}
        if any(each.startswith(f"{path}/") for each in self.files):
            return {"name": path, "size": 0, "type": "directory"}
        raise FileNotFoundError(path)

    def ls(self, path, detail=True, **_):
        path = self._strip_protocol(path)
        below = [each.removeprefix(f"{path}/").split("/")[0] for each in self.files if each.startswith(f"{path}/")]
        entries = [self.info(f"{path}/{each}") for each in sorted(set(below))]
        return entries if detail else [each["name"] for each in entries]

    def cat_file(self, path, start=None, end=None, **_):
        path = self._strip_protocol(path)
        with self.concurrent:
            return self.files[path] if "whole" in path else self.files[path][start:end]

    def _open(self, path, mode="rb", **_):
        return Ranges(self, path, mode, block_size=2**16, cache_type="none")


class Ranges(fsspec.spec.AbstractBufferedFile):
    def _fetch_range(self, start, end):
        return self.fs.cat_file(self.path, start, end)


@pytest.fixture
def store():
    fsspec.register_implementation("test", Store, clobber=True)
    Store.files.clear()
    Store.concurrent = ConcurrentRequests()
    return Store


@pytest.fixture
def tree(store, tmp_path):
    """Create files of the same names on this machine and in a store."""
    for name in TREE:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        store.files[f"root/{name}"] = b""
    return tmp_path


TREE = (
    "a.csv",
    "b.csv",
    "d/a.csv",
    "d/b.csv",
    "d/e/b.csv",
    "d.csv",
    ".hidden.csv",
    "_kept/c.csv",
    "d/.h/b.csv",
    ".h/a",
)


@pytest.mark.parametrize(
    "pattern",
    ["a.csv", "*.csv", "d/*.csv", "**/*.csv", "*/*.csv", "d/**/b.csv", "[a-c].csv", "d/[!a].csv", "*", "e*", "**/d/*",
     ".*.csv", ".h/*", "**", "d/**", "**/**"],
)  # fmt: skip
def test_patterns_match_the_same_files_in_a_store_as_locally(pattern, tree):
    expected = {path for path in glob.glob(pattern, root_dir=tree, recursive=True) if (tree / path).is_file()}
    actual = [str(file).removeprefix("test://root/") for file in stores.find_stored_files(f"test://root/{pattern}")]
    assert actual == [path.as_posix() for path in sorted(map(Path, expected))]


def test_a_folder_lists_the_same_files_in_a_store_as_locally(tree):
    actual = [str(file).removeprefix("test://root/") for file in stores.find_stored_files("test://root/")]
    assert actual == [path.relative_to(tree).as_posix() for path in list_files(str(tree))]


def test_row_groups_larger_than_the_memory_limit_are_read(store, table):
    """Check that columns are requested one after the other, each with its own dictionary."""
    rows, arrow = table
    contents = BytesIO()
    pa.parquet.write_table(arrow, contents)
    store.files["root/large.parquet"] = contents.getvalue()
    source = opened("test://root/large.parquet", memory="1 MB")
    store.concurrent = ConcurrentRequests(8)
    np.testing.assert_array_equal(rows_of(source), rows)
    assert store.concurrent.n_max >= 8


def test_data_sets_in_stores_are_read_by_concurrent_requests(store, table):
    rows, arrow = table
    for part in range(16):
        contents = BytesIO()
        pa.parquet.write_table(arrow.slice(part * 5_000, 5_000 if part < 15 else None), contents, row_group_size=1_000)
        store.files[f"root/{part:02}.parquet"] = contents.getvalue()
    system = fs.PyFileSystem(fs.FSSpecHandler(Store()))
    source = gaussmix.open(pa.dataset.dataset("root", filesystem=system), columns=NAMES, memory=SMALL)
    store.concurrent = ConcurrentRequests(6)
    np.testing.assert_array_equal(rows_of(source), rows)
    assert store.concurrent.n_max >= 6
    store.files["root/03.parquet"] = store.files["root/04.parquet"]
    with pytest.raises(OSError, match=r"changed while it was read.*root/03.parquet"):
        rows_of(source)
    del store.files["root/03.parquet"]
    with pytest.raises(FileNotFoundError, match=r"root/03.parquet"):
        rows_of(source)


def test_a_server_without_range_requests_is_rejected(store):
    store.files["whole/a.npy"] = b"\x93NUMPY" + bytes(10**5)
    with pytest.raises(OSError, match="the server does not support range requests; download the file first:"):
        gaussmix.open("test://whole/a.npy")


def test_a_file_url_is_read_as_a_local_path(table, tmp_path):
    path = tmp_path / "with space.npy"
    np.save(path, table[0])
    source = gaussmix.open(path.as_uri(), memory=SMALL)
    assert source.reader.files[0].path == path
    np.testing.assert_array_equal(rows_of(source), table[0])
