"""Files in Google Cloud Storage and Azure, tested with emulators, which get credentials as users pass them.

The emulators are separate processes, because PyArrow holds Python's lock while it waits for Google's store.
"""

import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO
from urllib.request import Request, urlopen

import numpy as np
import pytest
from common import LEAF_ROWS, FileSource, assert_same_fit

import gaussmix
from gaussmix import GaussianMixture
from gaussmix._src.sources.files import stores

pytest.importorskip("pyarrow")
# raised by the tests themselves
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")
SMALL = "3 MB"  # less memory than the rows take
GOOGLE = """
import sys
from gcp_storage_emulator.server import create_server
running = create_server("127.0.0.1", 0, in_memory=True, default_bucket="bucket")
running.start()
print(running._api._httpd.server_port, flush=True)
sys.stdin.read()
running.stop()
"""
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="  # a publicly known key


@pytest.fixture(scope="module")
def parts():
    rng = np.random.default_rng(11)
    return [rng.normal(size=(n_rows, 3)) for n_rows in (LEAF_ROWS + 77, 40_000)]


def npy(rows):
    file = BytesIO()
    np.save(file, rows)
    return file.getvalue()


@pytest.fixture(scope="module")
def google(parts):
    """Start an emulator of Google Cloud Storage with the files `parts`; return a function from names to URLs."""
    pytest.importorskip("gcp_storage_emulator")
    pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", GOOGLE], text=True, **pipe) as server:
        port = int(server.stdout.readline())
        for number, rows in enumerate(parts):
            url = f"http://127.0.0.1:{port}/upload/storage/v1/b/bucket/o?uploadType=media&name=rows/{number}.npy"
            urlopen(Request(url, data=npy(rows), method="POST"), timeout=60).close()
        yield lambda name: f"gs://anonymous@{name}?endpoint_override=127.0.0.1:{port}&scheme=http"
        server.stdin.close()


def of_azure(port):
    """Return the credentials of the account that every emulator has."""
    account = f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={KEY}"
    return f"{account};BlobEndpoint=http://127.0.0.1:{port}/devstoreaccount1;"


@pytest.fixture(scope="module")
def azure(parts):
    """Return a function that converts names to URLs; an environment variable contains the credentials."""
    pytest.importorskip("adlfs")
    program = shutil.which("azurite-blob") or pytest.skip("needs azurite: npm install --global azurite")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = ["--inMemoryPersistence", "--silent", "--skipApiVersionCheck", "--disableTelemetry", "--blobPort"]
    with (
        subprocess.Popen([program, *settings, str(port)], stdout=subprocess.PIPE, text=True) as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        try:
            began = time.monotonic()
            while "starting" not in server.stdout.readline():
                assert time.monotonic() < began + 60
                assert server.poll() is None
            patch.setenv("AZURE_STORAGE_CONNECTION_STRING", of_azure(port))
            system = pytest.importorskip("fsspec").filesystem("az")
            system.mkdir("bucket")
            for number, rows in enumerate(parts):
                system.pipe_file(f"bucket/rows/{number}.npy", npy(rows))
            yield lambda name: f"az://{name}"
        finally:
            server.terminate()


@pytest.fixture(params=["google", "azure"])
def url(request, monkeypatch):
    monkeypatch.setattr(stores, "RETRY_WAITS", (0.01, 0.01))
    return request.getfixturevalue(request.param)


@pytest.mark.heavy
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_fit_to_files_in_the_cloud_gives_the_same_bits_as_in_memory(url, parts):
    rows, settings = np.concatenate(parts), {"random_state": 0, "max_iter": 2}
    for memory in (SMALL, "64 MB"):
        source = gaussmix.open(url("bucket/rows/[01].npy"), memory=memory)
        assert isinstance(source, FileSource) == (memory == SMALL)
        np.testing.assert_array_equal(np.concatenate([block.rows.copy() for block in source.blocks()]), rows)
    small = gaussmix.open(url("bucket/rows"), memory=SMALL)
    assert_same_fit(GaussianMixture(2, **settings).fit(small), GaussianMixture(2, **settings).fit(rows))


@pytest.mark.parametrize("name", ["nowhere/*.npy", "nowhere/a.npy", "bucket/no.npy", "bucket/no/*"])
def test_missing_buckets_and_objects_raise_file_not_found_error(name, url):
    with pytest.raises(
        FileNotFoundError, match=f"(no such file, bucket|no file name matches).*{re.escape(name)}"
    ) as absent:
        gaussmix.open(url(name))
    assert "scheme" not in str(absent.value), "what follows a question mark may be a secret"


def test_azure_uses_credentials_of_the_environment_and_reports_denied_access(monkeypatch):
    """Send requests to a server in this test, which denies access, instead of the emulator."""
    kind, requests = pytest.importorskip("adlfs").AzureBlobFileSystem, []

    class DenyingHandler(BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append((self.path, self.headers["Authorization"]))
            self.send_response(403)
            self.send_header("x-ms-error-code", "AuthenticationFailed")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), DenyingHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        kind.clear_instance_cache()
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", of_azure(server.server_port))
        with pytest.raises(PermissionError, match="the store denies access; check its credentials"):
            gaussmix.open("az://bucket/rows/*.npy")
        kind.clear_instance_cache()
        server.shutdown()
        thread.join()
    path, authorization = requests[0]
    assert path.startswith("/devstoreaccount1/bucket/rows")
    assert authorization.startswith("SharedKey devstoreaccount1:")
