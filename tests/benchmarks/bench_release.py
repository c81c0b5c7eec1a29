"""What a release on one machine costs: the whole demo, its memory, and what KFP and our processes add to the logic."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

MIB = 1 << 20


def measure() -> list[dict]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seconds, memory_mib = _watched([sys.executable, "-m", "tallystick.pipelines.cli", "demo"], folder)
        pipeline_s = _pipeline_seconds(folder / "runs" / "latest")
        direct_s = _direct_seconds(folder / "direct")
    rows = [
        _row("demo: whole run", "s", seconds, 120.0, "at most 120 s"),
        _row("demo: peak memory of all processes", "MiB", memory_mib, 2048.0, "under 2 GiB"),
        {
            "name": "pipeline run over the logic called directly",
            "unit": "s",
            "ours": pipeline_s,
            "peer": direct_s,
            "ratio": pipeline_s / direct_s,
            "goal": "difference under 15 s",
            "holds": pipeline_s - direct_s < 15.0,
        },
    ]
    if os.environ.get("TALLYSTICK_BENCH_TESTS"):  # minutes: only when asked for
        began = time.perf_counter()
        subprocess.run(["make", "test"], check=True, stdout=sys.stderr)
        rows.append(_row("make test", "s", time.perf_counter() - began, 600.0, "under 10 min"))
    return rows


def _row(name: str, unit: str, ours: float, limit: float, goal: str) -> dict:
    return {
        "name": name,
        "unit": unit,
        "ours": ours,
        "peer": None,
        "ratio": None,
        "goal": goal,
        "holds": ours <= limit,
    }


def _watched(command: list[str], folder: Path) -> tuple[float, float]:
    """Wall time, and the largest sum of memory over the command and all below it (proportional share)."""
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    peak = 0.0
    stop = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not stop.wait(0.25):
            total = 0
            try:
                family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            except psutil.Error:
                return
            for member in family:
                try:
                    total += member.memory_full_info().pss
                except (psutil.Error, AttributeError):
                    continue
            peak = max(peak, total / MIB)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    code = process.wait(timeout=600)
    stop.set()
    watcher.join()
    if code != 0:
        raise RuntimeError(f"the demo ended with exit code {code}")
    return time.perf_counter() - began, peak


def _pipeline_seconds(run: Path) -> float:
    """From the start of the first step's process to the end of the trial, as the journal has it."""
    events = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    opened = next(event["time"] for event in events if event["kind"] == "opened")
    ended = max(event["time"] for event in events if event["kind"] == "finished" and event["step"] == "rollout")
    return ended - opened


def _direct_seconds(folder: Path) -> float:
    folder.mkdir()
    answer = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.direct_release", str(folder)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "2", "MPLBACKEND": "Agg"},
        timeout=600,
    )
    shutil.rmtree(folder)
    return float(answer.stdout.strip().splitlines()[-1])
