"""Runs log writers, kills them at random with SIGKILL, starts them again, and checks what the log then holds."""

import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tallystick.components.core.receipts.log import Log
from tallystick.components.core.receipts.merkle import leaf_hash, root_from_inclusion, root_of
from tallystick.components.core.storage import open_store

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Crashes:
    kills: int
    seconds: float


def write_with_crashes(
    uri: str, folder: Path, *, writers: int, each: int, pause_s: float, environment: dict[str, str]
) -> Crashes:
    """Every `pause_s` one writer, drawn by a fixed seed, is killed and started again, until all are done."""
    draw = random.Random(20261123)
    folder.mkdir(parents=True, exist_ok=True)

    def start(number: int) -> subprocess.Popen:
        command = [sys.executable, "-m", "tests.support.log_writer", uri, f"writer {number}", str(each),
                   str(folder / str(number))]  # fmt: skip
        return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}, stderr=subprocess.PIPE)

    running = {number: start(number) for number in range(writers)}
    kills, began = 0, time.monotonic()
    try:
        while running:
            time.sleep(draw.uniform(0.5, 1.5) * pause_s)
            for number, process in list(running.items()):
                if process.poll() is not None:
                    assert process.returncode == 0, process.stderr.read().decode()
                    process.stderr.close()
                    del running[number]
            if running:
                number = draw.choice(sorted(running))
                running[number].kill()
                if running[number].wait() != 0:
                    kills += 1
                running[number].stderr.close()
                running[number] = start(number)
    finally:
        for process in running.values():
            process.kill()
            process.wait()
            process.stderr.close()
    return Crashes(kills=kills, seconds=time.monotonic() - began)


def check_nothing_lost_doubled_or_moved(uri: str, *, writers: int, each: int) -> None:
    log = Log(open_store(uri))
    size = log.size()
    entries = [entry for _, entry in log.entries(0, size)]
    expected = [f"writer {number} entry {i}".encode() for number in range(writers) for i in range(each)]
    assert sorted(entries) == sorted(expected)
    for number in range(writers):
        own = [entry for entry in entries if entry.startswith(b"writer %d " % number)]
        assert own == expected[number * each : (number + 1) * each]
    hashes = [leaf_hash(entry) for entry in entries]
    root = root_of(hashes)
    assert log.root(size) == root == log.audit(size)
    for index in range(0, size, max(1, size // 200)):
        assert root_from_inclusion(index, size, hashes[index], log.inclusion(index, size)) == root
