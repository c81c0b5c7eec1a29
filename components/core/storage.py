"""One port for objects: a folder on this machine, or a bucket (`s3://bucket/prefix`) by the MinIO client.

Credentials come from the environment that the operator sets from a secret (AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY; endpoint in AWS_ENDPOINT_URL), never from a URI, a parameter or a file of ours.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from tallystick.components.core.errors import InputError, MissingObjectError, StorageError
from tallystick.components.core.files import write_bytes, write_bytes_once

_CONFLICT_TRIES = 5


_HINTS = {
    "AccessDenied": ": set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of somebody who may",
    "InvalidAccessKeyId": ": AWS_ACCESS_KEY_ID is not known there",
    "SignatureDoesNotMatch": ": AWS_SECRET_ACCESS_KEY is not the right one",
    "NoSuchBucket": ": there is no such bucket",
    "NoSuchKey": ": there is no such object",
    "MaxRetryError": ": AWS_ENDPOINT_URL does not answer",
}


class ObjectStore(Protocol):
    """Objects by name; a name is a relative path with `/`."""

    def put(self, name: str, content: bytes) -> None:
        """Store an object whole; an object of that name is replaced."""

    def put_once(self, name: str, content: bytes) -> bool:
        """Store an object only where there is none of that name; of many writers exactly one is told True."""

    def get(self, name: str) -> bytes:
        """Content of an object; MissingObjectError where there is none, StorageError where it cannot be told."""

    def remove(self, name: str) -> None:
        """Remove an object; one that is not there is no error. A store that must keep what it has keeps it."""

    def exclusive(self, name: str) -> contextlib.AbstractContextManager[None]:
        """Keep other writers waiting where the store can, to spare work; nothing may depend on it for safety."""

    def names(self, prefix: str = "") -> list[str]:
        """Names of all objects that start with `prefix`, sorted."""


class FolderStore:
    """Objects as files under one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, name: str, content: bytes) -> None:
        """Write to a temporary name, then move."""
        write_bytes(self._path(name), content)

    def put_once(self, name: str, content: bytes) -> bool:
        """Write to a temporary name, then link: the link fails where the name exists."""
        return write_bytes_once(self._path(name), content)

    def get(self, name: str) -> bytes:
        """Read one file."""
        try:
            return self._path(name).read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise MissingObjectError(f"{self._path(name)}: cannot be read ({error.strerror})") from error
        except OSError as error:
            raise StorageError(f"{self._path(name)}: cannot be read ({error.strerror})") from error

    def remove(self, name: str) -> None:
        """Unlink one file."""
        try:
            self._path(name).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"{self._path(name)}: cannot be removed ({error.strerror})") from error

    @contextlib.contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        """Hold a lock that goes with the process, however it ends."""
        import fcntl

        path = self._path(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StorageError(f"{path}: cannot be written ({error.strerror})") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def names(self, prefix: str = "") -> list[str]:
        """Files below the folder; names that begin with a dot are being written and are left out."""
        below = self.root / prefix.rpartition("/")[0]
        files = (path.relative_to(self.root) for path in below.rglob("*") if path.is_file())
        return sorted(str(file) for file in files if str(file).startswith(prefix) and not file.name.startswith("."))

    def _path(self, name: str) -> Path:
        # By its text alone: following links for every object costs more than reading it.
        if name.startswith("/") or ".." in name.split("/"):
            raise InputError(name, "leads out of the store", "a relative name without ..")
        return self.root / name


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

    def put_once(self, name: str, content: bytes) -> bool:
        """Store with `If-None-Match: *`: the store itself refuses a second object of that name.

        Raises
        ------
        StorageError
            The store cannot be written, or does not know conditional writes.

        References
        ----------
        Amazon S3 API, PutObject: 412 where the object exists, 409 where another write is under way.
        """
        import urllib3

        key = self._key(name)

        def send() -> int:
            # The client has no conditional put; a pre-signed address lets a plain one carry the header.
            address = self._client.get_presigned_url("PUT", self._bucket, key, expires=timedelta(minutes=5))
            for _ in range(_CONFLICT_TRIES):
                answer = _plain_client().request(
                    "PUT", address, body=content, headers={"If-None-Match": "*"}, retries=urllib3.Retry(0)
                )
                if answer.status != 409:
                    break
            return int(answer.status)

        status = int(self._call("written", send, name))
        if status not in (200, 204, 412):
            raise StorageError(f"s3://{self._bucket}/{key}: cannot be written once (HTTP status {status})")
        return status != 412

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

    def remove(self, name: str) -> None:
        """Objects in a bucket stay: it may be locked, and a lister can tell what was there."""

    def exclusive(self, name: str) -> contextlib.AbstractContextManager[None]:
        """Writers of a bucket may be on other machines: there is nothing to wait on."""
        return contextlib.nullcontext()

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
            if reason == "NoSuchKey":
                raise MissingObjectError(f"{where}: cannot be {verb} ({reason})") from error
            raise StorageError(f"{where}: cannot be {verb} ({reason}{_HINTS.get(reason, '')})") from error
        except ValueError as error:
            raise InputError(f"s3://{self._bucket}", str(error), "a bucket's name by the rules of S3") from error


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
        if not parts.netloc or not name:
            raise InputError(uri, "names no object", "s3://bucket/key")
        store = BucketStore(_minio_client(), parts.netloc, folder)
        write_bytes(target, store.get(name))
        return target
    path = Path(_local_path(uri))
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "no such file"
        raise InputError(uri, found, "the path, file:// or s3://bucket/key of a file")
    return path


def _local_path(uri: str) -> str:
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return parts.path
    if len(parts.scheme) > 1:
        raise InputError(uri, f"unknown scheme {parts.scheme}://", "a path, file:// or s3://")
    return uri


@functools.cache
def _plain_client() -> Any:
    import urllib3

    return urllib3.PoolManager(timeout=urllib3.Timeout(connect=10, read=60))


def _minio_client() -> Any:
    """Reads the process environment: this is the edge."""
    from minio import Minio

    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    parts = urlsplit(endpoint)
    if not parts.netloc:
        found = f"is {endpoint!r}" if endpoint else "is not set, and an s3:// address is to be read or written"
        raise InputError("AWS_ENDPOINT_URL", found, "the object store's address, http(s)://host:port")
    return Minio(
        parts.netloc,
        access_key=os.environ.get("AWS_ACCESS_KEY_ID"),
        secret_key=os.environ.get("AWS_SECRET_ACCESS_KEY"),
        region=os.environ.get("AWS_REGION", "us-east-1"),
        secure=parts.scheme == "https",
    )
