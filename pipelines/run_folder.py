"""Where a local run keeps what it makes, and the lock that lets one run at a time use a folder.

runs/
  latest -> <id>      the newest run that began
  mlflow/             tracking store and registry, shared by all runs
  <id>/               report.html summary.json journal.jsonl pipeline.log pipeline.yaml
                      input/ evidence/ artifacts/ model/ logs/
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tallystick.components.core.errors import InputError


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run."""

    root: Path
    run_id: str

    @property
    def path(self) -> Path:
        """``runs/<id>``."""
        return self.root / self.run_id

    @property
    def journal(self) -> Path:
        """Events of all steps, one JSON object a line."""
        return self.path / "journal.jsonl"

    @property
    def log(self) -> Path:
        """What the steps printed."""
        return self.path / "pipeline.log"

    @property
    def compiled(self) -> Path:
        """The compiled pipeline that ran."""
        return self.path / "pipeline.yaml"

    @property
    def evidence(self) -> Path:
        """Store of the statements."""
        return self.path / "evidence"

    @property
    def artifacts(self) -> Path:
        """KFP's pipeline root."""
        return self.path / "artifacts"

    @property
    def temporary(self) -> Path:
        """For the steps' temporary files; removed at the end."""
        return self.path / ".tmp"

    @property
    def tracking_uri(self) -> str:
        """MLflow's store, shared by all runs below one root."""
        return f"sqlite:///{(self.root / 'mlflow' / 'mlflow.db').resolve()}"


@contextlib.contextmanager
def run_folder(root: Path, *, now: datetime) -> Iterator[RunFolder]:
    """Make a new run's folder and hold the lock on `root` while the block runs.

    Raises
    ------
    InputError
        `root` cannot be written, or another run is using it.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        handle = os.open(root / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise InputError(
            str(root), f"cannot be written ({error.strerror})", "", "choose another folder with --runs-dir"
        ) from error
    try:
        _lock(handle, root)
        run_id = f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        folder = RunFolder(root, run_id)
        try:
            for path in (folder.path, folder.temporary, folder.path / "input", root / "mlflow"):
                path.mkdir(parents=True, exist_ok=True)
            _point_latest(root, run_id)
        except OSError as error:
            raise InputError(
                str(root), f"cannot be written ({error.strerror})", "", "choose another folder with --runs-dir"
            ) from error
        yield folder
    finally:
        os.close(handle)


def _lock(handle: int, root: Path) -> None:
    """flock goes with the process, however it ends; the pid inside is only for the message."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
        raise InputError(
            str(root),
            f"another run is using this folder (process {holder})",
            "one run at a time: they share a registry",
            "wait for it, or choose another folder with --runs-dir",
        ) from error
    os.ftruncate(handle, 0)
    os.pwrite(handle, str(os.getpid()).encode(), 0)


def _point_latest(root: Path, run_id: str) -> None:
    temporary = root / f".latest.{run_id}"
    temporary.symlink_to(run_id)
    temporary.replace(root / "latest")


def find_run(root: Path, run: str) -> RunFolder:
    """An existing run by its id or ``latest``.

    Raises
    ------
    InputError
        There is no such run.
    """
    path = (root / run).resolve()
    if not (path / "journal.jsonl").is_file():
        raise InputError(str(root / run), "is not a run's folder", "an id from the runs folder, or latest")
    return RunFolder(path.parent, path.name)
