"""No child is left behind: each way for a run to end is played with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from tallystick.components.core import processes

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
DEAF = [
    sys.executable,
    "-c",
    "import signal,time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)",
]


def wait_for(condition, timeout_s: float = 8.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def python(source: str, *arguments: str, **options) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(source), *arguments], **options)


def read_pid(path: Path) -> int:
    assert wait_for(lambda: path.exists() and path.read_text().strip())
    return int(path.read_text())


def test_a_started_child_runs_the_command_and_its_output_is_in_the_log(tmp_path):
    child = processes.start([sys.executable, "-c", "print('hello'); raise SystemExit(7)"], log=tmp_path / "a" / "log")
    assert child.wait(timeout=10) == 7
    assert (tmp_path / "a" / "log").read_text() == "hello\n"


def test_the_child_gets_the_environment_and_folder_it_was_given(tmp_path):
    child = processes.start(
        [sys.executable, "-c", "import os; print(os.environ.get('COLOUR'), 'HOME' in os.environ, os.getcwd())"],
        log=tmp_path / "log",
        environment={"COLOUR": "green"},
        folder=tmp_path,
    )
    assert child.wait(timeout=10) == 0
    assert (tmp_path / "log").read_text().strip() == f"green False {tmp_path.resolve()}"


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_a_started_child_dies_when_its_parent_is_killed(tmp_path):
    parent = python(
        """
        import sys, time
        from pathlib import Path
        from tallystick.components.core import processes
        folder = Path(sys.argv[1])
        child = processes.start([sys.executable, "-c", "import time; time.sleep(60)"], log=folder / "log")
        (folder / "pid").write_text(str(child.pid))
        time.sleep(60)
        """,
        str(tmp_path),
    )
    child_pid = read_pid(tmp_path / "pid")
    time.sleep(0.3)
    assert alive(child_pid)
    parent.kill()
    parent.wait(timeout=10)
    assert wait_for(lambda: not alive(child_pid))


def test_the_keeper_of_other_systems_ends_its_child_when_the_parent_is_killed(tmp_path):
    parent = python(
        """
        import sys, time
        from pathlib import Path
        from tallystick.components.core import processes
        processes._ENTRY_LINUX = processes._ENTRY_OTHERS
        folder = Path(sys.argv[1])
        code = f"import os,time; open({str(folder / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
        processes.start([sys.executable, "-c", code], log=folder / "log")
        time.sleep(60)
        """,
        str(tmp_path),
    )
    child_pid = read_pid(tmp_path / "pid")
    parent.kill()
    parent.wait(timeout=10)
    assert wait_for(lambda: not alive(child_pid))


def test_stopping_takes_willing_deaf_and_frozen_children_in_bounded_time(tmp_path):
    willing = processes.start(SLEEPER, log=tmp_path / "willing")
    deaf = processes.start(DEAF, log=tmp_path / "deaf")
    frozen = processes.start(DEAF, log=tmp_path / "frozen")
    ended = processes.start([sys.executable, "-c", ""], log=tmp_path / "ended")
    assert wait_for(lambda: all("deaf" in (tmp_path / name).read_text() for name in ("deaf", "frozen")))
    ended.wait(timeout=10)
    frozen.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    processes.stop([willing, deaf, frozen, ended], grace_s=0.5)
    assert time.monotonic() - began < 3.0
    assert [p.poll() for p in (willing, deaf, frozen, ended)] == [-15, -9, -9, 0]


def test_all_descendants_are_ended_also_grandchildren_whose_parent_died(tmp_path):
    result = python(
        """
        import subprocess, sys, time
        from pathlib import Path
        from tallystick.components.core import processes
        folder = Path(sys.argv[1])
        assert processes.adopt_orphans()
        sleeper = "import os,sys,time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"
        subprocess.Popen(["sh", "-c", f'"{sys.executable}" -c "{sleeper}" "{folder}/orphan" & exit 0']).wait()
        subprocess.Popen(["sh", "-c", f'"{sys.executable}" -c "{sleeper}" "{folder}/grandchild"; true'])
        while not all((folder / n).exists() and (folder / n).read_text() for n in ("orphan", "grandchild")):
            time.sleep(0.02)
        print(processes.end_descendants(grace_s=1.0))
        """,
        str(tmp_path),
        stdout=subprocess.PIPE,
    )
    output, _ = result.communicate(timeout=20)
    assert int(output) == 3  # the orphan, the second shell and what it runs
    assert not alive(int((tmp_path / "orphan").read_text()))
    assert not alive(int((tmp_path / "grandchild").read_text()))


def test_nothing_to_end_is_no_error():
    """In a process of its own: what the test run has started below itself is not ours to end."""
    code = "from tallystick.components.core import processes; print(processes.end_descendants(grace_s=0.1))"
    ended = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    assert int(ended.stdout) == 0


def test_a_follower_behind_a_shell_ends_itself_and_its_children_when_the_command_line_is_killed(tmp_path):
    follower = textwrap.dedent(
        """
        import os, subprocess, sys, time
        from pathlib import Path
        from tallystick.components.core import processes
        folder = Path(sys.argv[1])
        assert processes.follow_command_line(os.environ)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        (folder / "child").write_text(str(child.pid))
        (folder / "follower").write_text(str(os.getpid()))
        time.sleep(60)
        """
    )
    (tmp_path / "follower.py").write_text(follower)
    command_line = python(
        """
        import os, subprocess, sys, time
        from tallystick.components.core import processes
        os.environ[processes.ANCESTOR_VARIABLE] = processes.identity()
        subprocess.Popen(["sh", "-c", f"{sys.executable} {sys.argv[1]}/follower.py {sys.argv[1]}; true"])
        time.sleep(60)
        """,
        str(tmp_path),
    )
    child, follower_pid = read_pid(tmp_path / "child"), read_pid(tmp_path / "follower")
    assert alive(child) and alive(follower_pid)
    command_line.kill()
    command_line.wait(timeout=10)
    assert wait_for(lambda: not alive(child) and not alive(follower_pid))


def test_a_pid_that_was_given_to_another_process_counts_as_gone():
    gone: list[bool] = []
    thread = processes.follow(f"{os.getpid()}:1", at_end=lambda: gone.append(True))
    thread.join(timeout=5)
    assert gone == [True]


def test_a_living_ancestor_is_followed_until_it_ends():
    ancestor = subprocess.Popen(SLEEPER)
    gone: list[bool] = []
    thread = processes.follow(processes.identity(ancestor.pid), at_end=lambda: gone.append(True))
    time.sleep(0.3)
    assert gone == []
    ancestor.kill()  # not reaped yet: a zombie is gone as well
    thread.join(timeout=5)
    assert gone == [True]
    ancestor.wait(timeout=5)


@pytest.mark.parametrize("wrong", ["", "17", "x:3", "17:"])
def test_what_is_no_identity_is_refused(wrong):
    with pytest.raises(ValueError, match="not <pid>:<start>"):
        processes.follow(wrong)


def test_nobody_is_followed_where_nobody_is_named():
    assert processes.follow_command_line({}) is False
