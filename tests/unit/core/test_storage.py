"""One port for objects: what a folder and a bucket do, and what is said when they cannot."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tallystick.components.core.errors import ExitCode, InputError, StorageError
from tallystick.components.core.storage import FolderStore, fetch_file, open_store

OBJECT = b"age\n41\n"


class _Bucket(BaseHTTPRequestHandler):
    """Answers as an S3 store does: one object, and an error by name for every other."""

    def do_GET(self) -> None:
        if self.path == "/bucket/folder/a.csv":
            self._answer(200, OBJECT, "text/csv")
            return
        code = "AccessDenied" if "secret" in self.path else "NoSuchKey"
        status = 403 if "secret" in self.path else 404
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>"
        self._answer(status, body.encode(), "application/xml")

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Bucket)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    yield
    server.shutdown()
    server.server_close()
    thread.join()


def test_folder_keeps_objects_by_name(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    store.put("run/a.json", b"1")
    store.put("run/b.json", b"2")
    store.put("run/a.json", b"3")
    store.put("other/c.json", b"4")
    assert store.get("run/a.json") == b"3"
    assert store.names("run/") == ["run/a.json", "run/b.json"]
    assert store.names() == ["other/c.json", "run/a.json", "run/b.json"]


def test_folder_does_not_list_what_is_being_written(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.put("a", b"1")
    (tmp_path / ".b.x7").write_bytes(b"half")
    assert store.names() == ["a"]


def test_object_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nothing: cannot be read"):
        FolderStore(tmp_path).get("nothing")


@pytest.mark.parametrize("name", ["../a", "a/../../b", "/etc/passwd"])
def test_names_cannot_lead_out_of_the_store(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="leads out of the store"):
        FolderStore(tmp_path / "store").put(name, b"")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_local_file_is_taken_where_it_is(tmp_path: Path, prefix: str) -> None:
    (tmp_path / "a.csv").write_bytes(OBJECT)
    assert fetch_file(f"{prefix}{tmp_path}/a.csv", tmp_path / "copy") == tmp_path / "a.csv"
    assert not (tmp_path / "copy").exists()


def test_object_is_brought_here(bucket: None, tmp_path: Path) -> None:
    assert fetch_file("s3://bucket/folder/a.csv", tmp_path / "copy").read_bytes() == OBJECT


def test_object_without_right_names_the_variables(bucket: None, tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        fetch_file("s3://bucket/secret.csv", tmp_path / "copy")
    assert str(caught.value) == (
        "s3://bucket/secret.csv: cannot be read "
        "(AccessDenied: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of somebody who may)"
    )
    assert caught.value.exit_code is ExitCode.BROKE
    assert list(tmp_path.iterdir()) == []


def test_object_that_the_bucket_does_not_have_is_named(bucket: None, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"s3://bucket/none.csv: cannot be read \(NoSuchKey"):
        fetch_file("s3://bucket/none.csv", tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("s3://bucket", "s3://bucket: names no object; allowed: s3://bucket/key"),
        ("s3:///key", "s3:///key: names no object"),
        ("s3://b_/key", "a bucket's name by the rules of S3"),
        ("ftp://host/a.csv", "ftp://host/a.csv: unknown scheme ftp://; allowed: a path, file:// or s3://"),
        ("nowhere.csv", "nowhere.csv: no such file"),
    ],
)
def test_addresses_that_cannot_be(bucket: None, tmp_path: Path, uri: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        fetch_file(uri, tmp_path / "copy")
    assert says in str(caught.value)


@pytest.mark.parametrize("endpoint", ["", "minio:9000", "nonsense"])
def test_bucket_without_an_endpoint_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, endpoint: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(InputError, match=r"^AWS_ENDPOINT_URL: is .*allowed: the object store's address, http"):
        open_store("s3://bucket/evidence")
