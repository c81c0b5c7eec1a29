"""The model registry: the one place of this step that talks to MLflow. It decides nothing.

Every change can be taken back until the whole registration has ended well. MLflow's client is given its address
and reads nothing from the environment.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tallystick.components.core.errors import StorageError
from tallystick.components.core.model_package import MANIFEST

DIGEST_TAG = "tallystick.model_sha256"
CHAMPION, CANDIDATE = "champion", "candidate"


@dataclass(frozen=True, kw_only=True)
class RegisteredVersion:
    """A version in the registry; `digest` is the model's as its tag tells it, without ``sha256:``."""

    version: str
    digest: str
    source: str


class Registry:
    """One registered model of one MLflow server, or of a SQLite file."""

    def __init__(self, client: Any, tracking_uri: str, name: str) -> None:
        self._client, self._uri, self.name = client, tracking_uri, name
        self._undo = contextlib.ExitStack()

    def version_with(self, digest: str) -> RegisteredVersion | None:
        """The version that holds the model of this digest."""
        found = [v for v in self._versions() if v.digest == digest]
        return found[0] if found else None

    def _versions(self) -> list[RegisteredVersion]:
        listed = self._client.search_model_versions(f"name='{self.name}'", max_results=10_000)
        versions = [_version(entry) for entry in listed]
        return sorted(versions, key=lambda entry: int(entry.version))

    def alias(self, alias: str) -> RegisteredVersion | None:
        """The version an alias points to."""
        try:
            model = self._client.get_registered_model(self.name)
        except self._client_errors() as error:
            if getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        number = model.aliases.get(alias)
        return None if number is None else _version(self._client.get_model_version(self.name, str(number)))

    def upload(
        self, folders: Mapping[str, Path], *, experiment: str, run_name: str, tags: Mapping[str, str]
    ) -> _Upload:
        """Store folders as artifacts of an MLflow run of their own."""
        run = self._client.create_run(
            _experiment(self._client, self._uri, experiment), run_name=run_name, tags=dict(tags)
        )
        identity, location = str(run.info.run_id), str(run.info.artifact_uri)
        self._undo.callback(_remove_run, self._client, identity, location)
        for name, folder in folders.items():
            self._client.log_artifacts(identity, str(folder), name)
        self._client.set_terminated(identity)
        return _Upload(run_id=identity, artifact_uri=location)

    def attach(self, upload: _Upload, text: str, name: str) -> None:
        """Keep a text beside what was uploaded."""
        self._client.log_text(upload.run_id, text, name)

    def add(self, upload: _Upload, *, description: str, tags: Mapping[str, str]) -> RegisteredVersion:
        """Create a version whose source is the package among the uploaded artifacts."""
        try:
            self._client.create_registered_model(self.name)
            self._undo.callback(self._client.delete_registered_model, self.name)
        except self._client_errors() as error:
            if getattr(error, "error_code", "") != "RESOURCE_ALREADY_EXISTS":
                raise
        created = self._client.create_model_version(
            self.name, f"{upload.artifact_uri}/model", run_id=upload.run_id, tags=dict(tags), description=description
        )
        self._undo.callback(self._client.delete_model_version, self.name, str(created.version))
        return _version(created)

    def point(self, alias: str, version: str) -> None:
        """Let an alias name a version."""
        before = self.alias(alias)
        if before is not None and before.version == version:
            return
        self._client.set_registered_model_alias(self.name, alias, version)
        if before is None:
            self._undo.callback(self._client.delete_registered_model_alias, self.name, alias)
        else:
            self._undo.callback(self._client.set_registered_model_alias, self.name, alias, before.version)

    def download(self, version: RegisteredVersion, target: Path) -> None:
        """Bring a version's package to the folder `target`; its bytes are for the caller to check."""
        from mlflow.artifacts import download_artifacts

        temporary = target.with_name(f".{target.name}.download")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            download_artifacts(artifact_uri=version.source, dst_path=str(temporary), tracking_uri=self._uri)
            found = sorted(path.parent for path in temporary.rglob(MANIFEST))
            if len(found) != 1:
                raise StorageError(f"{shown(version.source)}: holds {len(found)} model packages, one was expected")
            shutil.rmtree(target, ignore_errors=True)
            shutil.move(found[0], target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def keep(self) -> None:
        """All went well: nothing is taken back."""
        self._undo.pop_all()

    def take_back(self) -> None:
        """Undo every change since the registry was opened, the last one first."""
        self._undo.close()

    @staticmethod
    def _client_errors() -> type[Exception]:
        from mlflow.exceptions import MlflowException

        error: type[Exception] = MlflowException
        return error


@dataclass(frozen=True, kw_only=True)
class _Upload:
    run_id: str
    artifact_uri: str


@contextlib.contextmanager
def open_registry(tracking_uri: str, name: str) -> Iterator[Registry]:
    """The registry of one model; a block that fails leaves it as it was.

    A SQLite store is locked for the whole block: two processes that create its tables at once, or register
    the same model at once, wait for each other. The lock's file is the one that training uses.

    Raises
    ------
    StorageError
        The registry cannot be reached, read or written.
    """
    # MLflow reports its use to its makers, and draws bars into the log, unless these are set before it is imported.
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    with _exclusive(tracking_uri):
        registry: Registry | None = None
        try:
            client = MlflowClient(tracking_uri, registry_uri=tracking_uri)
            registry = Registry(client, tracking_uri, name)
            yield registry
            registry.keep()
        except (MlflowException, SQLAlchemyError, OSError) as error:
            problem = " ".join(str(error).split())[:300]
            raise StorageError(f"{shown(tracking_uri)}: the model could not be registered ({problem})") from error
        finally:
            if registry is not None:
                registry.take_back()


@contextlib.contextmanager
def _exclusive(tracking_uri: str) -> Iterator[None]:
    database = _sqlite_file(tracking_uri)
    if database is None:
        yield
        return
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        lock = database.with_name(database.name + ".lock").open("a")
    except OSError as error:
        raise StorageError(f"{database.parent}: cannot be written ({error.strerror or error})") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sqlite_file(tracking_uri: str) -> Path | None:
    prefix = "sqlite:///"
    return Path(tracking_uri.removeprefix(prefix)) if tracking_uri.startswith(prefix) else None


def _experiment(client: Any, tracking_uri: str, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        database = _sqlite_file(tracking_uri)
        # Left alone, MLflow puts artifacts below whatever folder the process happens to run in.
        location = (database.resolve().parent / "artifacts").as_uri() if database else None
        return str(client.create_experiment(name, artifact_location=location))
    return str(found.experiment_id)


def _remove_run(client: Any, run_id: str, artifact_uri: str) -> None:
    """Take an upload back; artifacts in a bucket are left to the bucket's own expiry."""
    client.delete_run(run_id)
    parts = urlsplit(artifact_uri)
    if parts.scheme in ("", "file"):
        shutil.rmtree(Path(unquote(parts.path)), ignore_errors=True)


def _version(entry: Any) -> RegisteredVersion:
    tags: dict[str, str] = dict(entry.tags or {})
    digest = tags.get(DIGEST_TAG, "").removeprefix("sha256:")
    return RegisteredVersion(version=str(entry.version), digest=digest, source=str(entry.source))


def shown(uri: str) -> str:
    """An address without a user's name or password."""
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
