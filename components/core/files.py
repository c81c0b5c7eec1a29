"""Files that are whole or absent: write to a temporary name beside the target, then move."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tallystick.components.core.errors import StorageError

_CHUNK_BYTES = 1 << 20


@contextlib.contextmanager
def _written_beside(path: Path, content: bytes) -> Iterator[Path]:
    """A whole, flushed file beside `path` for the block to put in place; what the block leaves of it is removed."""
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)
        yield Path(temporary)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` so that a reader sees the old file or the new one, never a part.

    Raises
    ------
    StorageError
        The folder cannot be written or the disk is full; nothing is left behind.
    """
    with _written_beside(path, content) as temporary:
        temporary.replace(path)


def write_bytes_once(path: Path, content: bytes) -> bool:
    """Write `content` only where there is no file of that name; True for the one writer that made it.

    Raises
    ------
    StorageError
        The folder cannot be written or the disk is full; nothing is left behind.
    """
    with _written_beside(path, content) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        return True


def write_text(path: Path, content: str) -> None:
    """Like :func:`write_bytes`, for text in UTF-8."""
    write_bytes(path, content.encode())


def canonical_json(value: Any) -> bytes:
    """Serialise so that equal values give equal bytes: sorted keys, no spaces, no NaN.

    Raises
    ------
    ValueError
        A float is NaN or infinite: such a record could not be read back by a strict reader.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON with a stable order (indent 2, no NaN)."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def sha256_of_bytes(content: bytes) -> str:
    """Hexadecimal SHA-256 of `content`."""
    return hashlib.sha256(content).hexdigest()


def sha256_of_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, read in pieces of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_CHUNK_BYTES):
            digest.update(piece)
    return digest.hexdigest()


@contextlib.contextmanager
def folder_written_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `path` when the block ends well, and vanishes otherwise."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror or error})") from error
    try:
        yield temporary
        temporary.chmod(0o755)
        if path.exists():
            shutil.rmtree(path)
        temporary.replace(path)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
