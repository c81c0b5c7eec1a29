"""One port for objects: a folder on this machine, or a bucket (`s3://bucket/prefix`) by the MinIO client.

Credentials come from the environment that the operator sets from a secret (AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY; endpoint in AWS_ENDPOINT_URL), never from a URI, a parameter or a file of ours.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from tallystick.components.core.errors import InputError, StorageError
from tallystick.components.core.files import write_bytes


class ObjectStore(Protocol):
    """Objects by name; a name is a relative path with `/`."""

    def put(self, name: str, content: bytes) -> None:
        """Store an object whole; an object of that name is replaced."""

    def get(self, name: str) -> bytes:
        """Content of an object; StorageError where there is none."""

    def names(self, prefix: str = "") -> list[str]:
        """Names of all objects that start with `prefix`, sorted."""


class FolderStore:
    """Objects as files under one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, name: str, content: bytes) -> None:
        """Write to a temporary name, then move."""
        write_bytes(self._path(name), content)

    def get(self, name: str) -> bytes:
        """Read one file."""
        try:
            return self._path(name).read_bytes()
        except OSError as error:
            raise StorageError(f"{self._path(name)}: cannot be read ({error.strerror})") from error

    def names(self, prefix: str = "") -> list[str]:
        """Files below the folder; names that begin with a dot are being written and are left out."""
        files = (path.relative_to(self.root) for path in self.root.rglob("*") if path.is_file())
        return sorted(str(file) for file in files if str(file).startswith(prefix) and not file.name.startswith("."))

    def _path(self, name: str) -> Path:
        path = (self.root / name).resolve()
        if not path.is_relative_to(self.root.resolve()):
            raise InputError(name, "leads out of the store", "a relative name without ..")
        return path


class BucketStore:
    """Objects in a bucket, below a prefix."""

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self._client, self._bucket, self._prefix = client, bucket, prefix.strip("/")

    def put(self, name: str, content: bytes) -> None:
        """Store one object."""
        self._call(
            "written",
            lambda: self._client.put_object(self._bucket, self._key(name), io.BytesIO(content), len(content)),
        )

    def get(self, name: str) -> bytes:
        """Read one object."""

        def read() -> bytes:
            response = self._client.get_object(self._bucket, self._key(name))
            try:
                return bytes(response.read())
            finally:
                response.close()
                response.release_conn()

        return bytes(self._call("read", read, name))

    def names(self, prefix: str = "") -> list[str]:
        """Names below the store's prefix."""
        start = self._key(prefix)
        skip = len(self._prefix) + 1 if self._prefix else 0
        listed = self._call(
            "listed",
            lambda: [o.object_name for o in self._client.list_objects(self._bucket, prefix=start, recursive=True)],
        )
        return sorted(str(key)[skip:] for key in listed)

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name

    def _call(self, verb: str, action: Any, name: str = "") -> Any:
        from minio.error import MinioException
        from urllib3.exceptions import HTTPError

        try:
            return action()
        except (MinioException, HTTPError, OSError) as error:
            where = f"s3://{self._bucket}/{self._key(name)}"
            reason = getattr(error, "code", None) or type(error).__name__
            raise StorageError(f"{where}: cannot be {verb} ({reason})") from error


def open_store(uri: str) -> ObjectStore:
    """The store behind a folder's path, `file://` or `s3://bucket/prefix`."""
    parts = urlsplit(uri)
    if parts.scheme == "s3":
        return BucketStore(_minio_client(), parts.netloc, parts.path)
    return FolderStore(Path(_local_path(uri)))


def fetch_file(uri: str, target: Path) -> Path:
    """Bring one file here: a local path as it is, an `s3://` object to `target`.

    Raises
    ------
    InputError
        No such file, or a scheme that is not known.
    StorageError
        The bucket cannot be read.
    """
    parts = urlsplit(uri)
    if parts.scheme == "s3":
        folder, _, name = parts.path.strip("/").rpartition("/")
        store = BucketStore(_minio_client(), parts.netloc, folder)
        write_bytes(target, store.get(name))
        return target
    path = Path(_local_path(uri))
    if not path.is_file():
        raise InputError(uri, "no such file", "a path or s3://bucket/key of a CSV or Parquet file")
    return path


def _local_path(uri: str) -> str:
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return parts.path
    if len(parts.scheme) > 1:
        raise InputError(uri, f"unknown scheme {parts.scheme}://", "a path, file:// or s3://")
    return uri


def _minio_client() -> Any:
    """Reads the process environment: this is the edge."""
    from minio import Minio

    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    parts = urlsplit(endpoint)
    if not parts.netloc:
        raise InputError("AWS_ENDPOINT_URL", f"is {endpoint!r}", "the object store's address, http(s)://host:port")
    return Minio(
        parts.netloc,
        access_key=os.environ.get("AWS_ACCESS_KEY_ID"),
        secret_key=os.environ.get("AWS_SECRET_ACCESS_KEY"),
        region=os.environ.get("AWS_REGION", "us-east-1"),
        secure=parts.scheme == "https",
    )
