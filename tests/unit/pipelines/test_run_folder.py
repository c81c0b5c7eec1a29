"""Run folders: one run at a time, and `latest` always leads to the newest."""

import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from tallystick.components.core.errors import InputError
from tallystick.pipelines.run_folder import find_run, run_folder

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_new_run_gets_its_own_folder_and_latest_leads_to_it(tmp_path):
    with run_folder(tmp_path, now=NOW) as first:
        assert first.run_id.startswith("20260102-030405-")
    with run_folder(tmp_path, now=NOW) as second:
        assert second.path != first.path
        assert (tmp_path / "latest").resolve() == second.path.resolve()


def test_a_second_run_in_the_same_folder_is_told_who_is_there(tmp_path):
    with (
        run_folder(tmp_path, now=NOW),
        pytest.raises(InputError, match=rf"another run is using this folder .process {os.getpid()}."),
        run_folder(tmp_path, now=NOW),
    ):
        pass


def test_the_lock_of_a_killed_run_is_free_again(tmp_path):
    code = (
        "import os,signal,sys;from pathlib import Path;from datetime import datetime,UTC;"
        "from tallystick.pipelines.run_folder import run_folder\n"
        "with run_folder(Path(sys.argv[1]), now=datetime.now(UTC)): os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert killed.returncode == -9
    with run_folder(tmp_path, now=NOW) as folder:
        assert folder.path.is_dir()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match=r"cannot be written.*--runs-dir"), run_folder(tmp_path / "file", now=NOW):
        pass


def test_a_run_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(InputError, match="is not a run's folder"):
        find_run(tmp_path, "20260101-000000-abcd")
