"""The one place where training talks to MLflow: runs, parameters, metrics, digests, artifacts.

MLflow's client is given the address of its store and reads nothing from the environment. A SQLite store is
brought up to date under a file lock, because two processes that create its tables at once break it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tallystick.components.core.errors import StorageError
from tallystick.components.core.verdicts import finite

_PARAMETER_LENGTH = 500
_PARENT = "mlflow.parentRunId"


@dataclass(frozen=True, kw_only=True)
class LoggedRun:
    """One MLflow run; `folders` are logged as artifacts by name."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, Path] = field(default_factory=dict)


def log_runs(tracking_uri: str, experiment: str, parent: LoggedRun, children: Sequence[LoggedRun]) -> str:
    """Log one run with nested runs below it, and return the parent's id.

    Raises
    ------
    StorageError
        The tracking store cannot be reached or written.
    """
    # MLflow reports its use to its makers unless this is set before it is imported.
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        client = open_client(tracking_uri)
        experiment_id = _experiment(client, tracking_uri, experiment)
        parent_id = _log(client, experiment_id, parent, {})
        for child in children:
            _log(client, experiment_id, child, {_PARENT: parent_id})
        return parent_id
    except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:  # ImportError: no driver for the database
        problem = " ".join(str(error).split())[:300]
        raise StorageError(f"{_shown(tracking_uri)}: the training could not be logged ({problem})") from error


def open_client(tracking_uri: str) -> Any:
    """A client of the tracking store, whose tables are there when it returns."""
    from mlflow.tracking import MlflowClient

    with _initialisation_lock(tracking_uri):
        client = MlflowClient(tracking_uri, registry_uri=tracking_uri)
        client.get_experiment_by_name("Default")
    return client


@contextlib.contextmanager
def _initialisation_lock(tracking_uri: str) -> Iterator[None]:
    database = _sqlite_file(tracking_uri)
    if database is None:
        yield
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with database.with_name(database.name + ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sqlite_file(tracking_uri: str) -> Path | None:
    prefix = "sqlite:///"
    return Path(tracking_uri.removeprefix(prefix)) if tracking_uri.startswith(prefix) else None


def _experiment(client: Any, tracking_uri: str, name: str) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        database = _sqlite_file(tracking_uri)
        # Left alone, MLflow puts artifacts below whatever folder the process happens to run in.
        location = (database.resolve().parent / "artifacts").as_uri() if database else None
        try:
            return str(client.create_experiment(name, artifact_location=location))
        except MlflowException:
            found = client.get_experiment_by_name(name)  # another process was faster
            if found is None:
                raise
    return str(found.experiment_id)


def _log(client: Any, experiment_id: str, run: LoggedRun, tags: Mapping[str, str]) -> str:
    from mlflow.entities import Metric, Param

    begun = client.create_run(experiment_id, run_name=run.name, tags={**run.tags, **tags})
    identity = str(begun.info.run_id)
    now = int(time.time() * 1000)
    metrics = [Metric(key, value, now, 0) for key, given in run.metrics.items() if (value := finite(given)) is not None]
    parameters = [Param(key, str(value)[:_PARAMETER_LENGTH]) for key, value in run.parameters.items()]
    client.log_batch(identity, metrics=metrics, params=parameters)
    for name, folder in run.folders.items():
        client.log_artifacts(identity, str(folder), name)
    client.set_terminated(identity)
    return identity


def _shown(tracking_uri: str) -> str:
    """The store's address without a user's name or password."""
    parts = urlsplit(tracking_uri)
    if "@" not in parts.netloc:
        return tracking_uri
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
