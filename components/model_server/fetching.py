"""Brings a model's package to this machine: a folder as it is, `s3://` by the MinIO client, `models:/` by MLflow.

What arrives is not trusted: the reader checks every byte against the manifest, and the manifest's digest
against the one that was told.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from tallystick.components.core.errors import InputError, StorageError
from tallystick.components.core.files import write_bytes
from tallystick.components.core.model_package import FILES, MANIFEST
from tallystick.components.core.storage import ObjectStore, open_store

_ALLOWED = "a folder, s3://bucket/prefix or models:/name@alias"


@contextlib.contextmanager
def fetched_package(uri: str) -> Iterator[Path]:
    """A local folder with the package that `uri` names, for as long as the block runs.

    A local folder is used where it is, so that a server which reads one needs no place to write.

    Raises
    ------
    InputError
        No such folder, a scheme that is not known, or no place to put what is fetched.
    StorageError
        The bucket or the registry cannot be read.
    """
    scheme = urlsplit(uri).scheme
    if scheme in ("s3", "models"):
        with _scratch_folder() as target:
            yield _from_store(open_store(uri), target) if scheme == "s3" else _from_registry(uri, target)
        return
    if scheme not in ("", "file") and len(scheme) > 1:
        raise InputError(uri, f"unknown scheme {scheme}:", _ALLOWED)
    folder = Path(urlsplit(uri).path if scheme == "file" else uri)
    if not folder.is_dir():
        raise InputError(uri, "no such folder", _ALLOWED)
    yield folder


@contextlib.contextmanager
def _scratch_folder() -> Iterator[Path]:
    try:
        folder = tempfile.TemporaryDirectory(prefix="model-")
    except OSError as error:
        problem = f"the model cannot be put anywhere ({error.strerror})"
        raise InputError("temporary folder", problem, "a writable /tmp, for instance an emptyDir") from error
    with folder as path:
        yield Path(path)


def _from_store(store: ObjectStore, target: Path) -> Path:
    """Only the files a package has are fetched, whatever else lies beside them."""
    for name in (MANIFEST, *FILES):
        write_bytes(target / name, store.get(name))
    return target


def _from_registry(uri: str, target: Path) -> Path:
    """`models:/` needs MLflow, which is no part of the server's image by itself."""
    try:
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise InputError(uri, "needs MLflow, which is not installed", _ALLOWED, "install mlflow-skinny") from error
    try:
        fetched = Path(download_artifacts(artifact_uri=uri, dst_path=str(target)))
    except (MlflowException, OSError) as error:
        raise StorageError(f"{uri}: cannot be fetched from the registry ({type(error).__name__})") from error
    found = sorted(path.parent for path in fetched.rglob(MANIFEST))
    if len(found) != 1:
        raise InputError(uri, f"holds {len(found)} model packages", f"one folder with {MANIFEST}")
    return found[0]
