"""The model server beside what the tutorials run: Seldon's Python wrapper with scikit-learn and shap.

Same fitted model, same applications, one process pinned to one core, the load on another; rounds of the two
servers alternate and the least disturbed round of each is shown, so that a busy machine hits neither alone. The
peer is set up in its own environment under build/bench; where it cannot be installed its rows are left out and
the reason is printed.
"""

import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tallystick.components.core.contributions import contributions
from tallystick.components.core.encoding import encode
from tallystick.components.core.model_package import ModelPackage
from tallystick.components.model_server.counters import Counters
from tests.support.infer_requests import infer_request
from tests.support.packages import Lending, _ensemble, lending, write_lending_package

ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / "build" / "bench" / "seldon-wrapper"
PINS = ("seldon-core==1.17.1", "scikit-learn==1.5.2", "shap==0.46.0", "numpy<2", "setuptools<81")
KINDS = ("hist_gradient_boosting", "random_forest")
APPLICATIONS = 400
SECONDS, ROUNDS, CONNECTIONS = 3.0, 3, 16
CORES = sorted(os.sched_getaffinity(0))
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


def measure() -> list[dict]:
    data = lending(rows=3000, extra_numbers=14)
    rows: list[dict] = []
    peer = _peer_python()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_data(data, folder / "data.npz")
        for kind in KINDS:
            package, theirs = _same_model(kind, data, folder, peer)
            rows += _accuracy(kind, package, data, theirs)
            for reasons, label, times in (("adverse", "reasons on declines", 8.0), ("always", "reasons on all", 5.0)):
                rows += _side_by_side(kind, package, data, folder, peer, reasons=reasons, label=label, times=times)
            if kind == "hist_gradient_boosting":
                rows += _alone(package, data, folder)
    return rows


def _row(name: str, unit: str, ours: float, goal: str, holds: bool | None, peer: float | None = None) -> dict:
    ratio = None if peer is None else ours / peer
    return {"name": name, "unit": unit, "ours": ours, "peer": peer, "ratio": ratio, "goal": goal, "holds": holds}


def _peer_python() -> Path | None:
    """The peer's interpreter; None, with the reason printed, where it cannot be installed."""
    python = ENVIRONMENT / "bin" / "python"
    if (ENVIRONMENT / "bin" / "seldon-core-microservice").exists():
        return python
    try:
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True, capture_output=True)
        install = [str(python), "-m", "pip", "install", "-q", *PINS]
        subprocess.run(install, check=True, capture_output=True, timeout=900)
    except (subprocess.SubprocessError, OSError) as error:
        sys.stderr.write(f"no peer: Seldon's wrapper could not be installed ({type(error).__name__})\n")
        return None
    return python


def _write_data(data: Lending, path: Path) -> None:
    codes = [feature.reason_code for feature in data.features for _ in feature.encoded_names]
    groups = np.array([sorted(set(codes)).index(code) for code in codes])
    np.savez(path, matrix=encode(data.features, data.columns), adverse=data.adverse, groups=groups)


def _same_model(kind: str, data: Lending, folder: Path, peer: Path | None) -> tuple[ModelPackage, Any]:
    """Our package of the very model that the peer fits; our own fit where there is no peer."""
    parameters = {"max_iter": 200} if kind == KINDS[0] else {"n_estimators": 200, "max_depth": 8}
    if peer is None:
        return write_lending_package(folder / kind, kind, data=data, parameters=parameters), None  # type: ignore[arg-type]
    dumped = folder / f"{kind}.npz"
    script = Path(__file__).with_name("seldon_peer.py")
    command = [str(peer), str(script), "dump", kind, str(folder / "data.npz"), str(dumped)]
    subprocess.run(command, check=True, capture_output=True)
    arrays = dict(np.load(dumped))
    count = sum(key.endswith("_0") for key in arrays)
    parts = [tuple(arrays[f"tree{n}_{place}"] for place in range(6)) for n in range(count)]
    link = "identity" if kind == "random_forest" else "logit"
    arithmetic = _ensemble(parts, float(arrays["base"]), link)
    package = write_lending_package(folder / kind, kind, data=data, arithmetic=arithmetic)  # type: ignore[arg-type]
    return package, arrays


def _accuracy(kind: str, package: ModelPackage, data: Lending, theirs: Any) -> list[dict]:
    if theirs is None:
        return []
    matrix = encode(data.features, data.columns)[:200]
    _, found = contributions(package.arithmetic, matrix, package.interface)
    worst = float(np.abs(found - theirs["shap"]).max())
    return [_row(f"{kind}: largest difference from shap's values", "margin", worst, "under 1e-6", worst < 1e-6)]


@contextlib.contextmanager
def _process(command: list[str], environment: dict[str, str], ready: str) -> Iterator[tuple[subprocess.Popen, float]]:
    """A server pinned to the first core, and the seconds it took to answer its readiness address."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            ["taskset", "-c", str(CORES[0]), *command],
            env={**os.environ, **ONE_THREAD, **environment},
            cwd=Path(__file__).parent,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            while True:
                with contextlib.suppress(OSError), urllib.request.urlopen(ready, timeout=2) as answer:
                    if answer.status == 200:
                        break
                if process.poll() is not None or time.perf_counter() - began > 120:
                    log.seek(0)
                    raise RuntimeError(f"{command[0]} did not start: {log.read().decode()[-2000:]}")
                time.sleep(0.01)
            yield process, time.perf_counter() - began
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            process.wait()


def _ours(package: ModelPackage) -> tuple[list[str], dict[str, str], str, int]:
    port = _free_port()
    command = [sys.executable, "-m", "tallystick.components.model_server", "--model", str(package.folder)]
    return [*command, "--port", str(port), "--quiet"], {}, f"http://127.0.0.1:{port}/v2/health/ready", port


def _theirs(kind: str, package: ModelPackage, folder: Path, peer: Path, reasons: str) -> Any:
    ports = [_free_port() for _ in range(3)]
    command = [str(peer.with_name("seldon-core-microservice")), "seldon_peer", "--service-type", "MODEL"]
    command += ["--workers", "1", "--threads", "1", "--log-level", "ERROR"]
    for flag, port in zip(("--http-port", "--grpc-port", "--metrics-port"), ports, strict=True):
        command += [flag, str(port)]
    environment = {
        "PEER_DATA": str(folder / "data.npz"),
        "PEER_KIND": kind,
        "PEER_REASONS": reasons,
        "PEER_THRESHOLD": repr(package.interface.threshold),
    }
    return command, environment, f"http://127.0.0.1:{ports[0]}/health/ping", ports[0]


def _load(port: int, path: str, bodies: list[str], folder: Path, connections: int = CONNECTIONS) -> dict:
    prepared = folder / "requests.json"
    prepared.write_text(json.dumps({"port": port, "path": path, "bodies": bodies}))
    command = ["taskset", "-c", str(CORES[-1]), sys.executable, "-m", "tests.benchmarks.http_load", str(prepared)]
    done = subprocess.run(
        [*command, str(connections), str(SECONDS)], check=True, capture_output=True, cwd=ROOT, text=True
    )
    found: dict = json.loads(done.stdout)
    if found["failed"]:
        raise RuntimeError(f"{found['failed']} requests failed")
    return found


def _bodies(data: Lending, reasons: str) -> list[str]:
    parameters = {"reasons": reasons}
    return [json.dumps(infer_request(data.features, [row], parameters=parameters)) for row in data.rows(APPLICATIONS)]


def _side_by_side(
    kind: str,
    package: ModelPackage,
    data: Lending,
    folder: Path,
    peer: Path | None,
    *,
    reasons: str,
    label: str,
    times: float,
) -> list[dict]:
    matrix = encode(data.features, data.columns)[:APPLICATIONS]
    their_bodies = [json.dumps({"data": {"ndarray": [line]}}) for line in matrix.tolist()]
    path = f"/v2/models/{package.name}/infer"
    ours: list[dict] = []
    theirs: list[dict] = []
    *our_start, our_port = _ours(package)
    with contextlib.ExitStack() as running:
        running.enter_context(_process(*our_start))
        if peer:
            *their_start, their_port = _theirs(kind, package, folder, peer, reasons)
            running.enter_context(_process(*their_start))
        for _ in range(ROUNDS):
            ours.append(_load(our_port, path, _bodies(data, reasons), folder))
            if peer:
                theirs.append(_load(their_port, "/api/v1.0/predictions", their_bodies, folder))

    speed, tail = max(entry["per_second"] for entry in ours), min(entry["p99_s"] for entry in ours)
    their_speed = max((entry["per_second"] for entry in theirs), default=None)
    their_tail = min((entry["p99_s"] for entry in theirs), default=None)
    holds = None if their_speed is None else speed >= times * their_speed
    rows = [_row(f"{kind}: requests, {label}", "1/s", speed, f"at least {times:g} times", holds, their_speed)]
    tail_holds = None if their_tail is None or reasons != "adverse" else tail <= their_tail / 8
    goal = "at most an eighth" if reasons == "adverse" else "-"
    rows.append(_row(f"{kind}: 99th percentile, {label}", "s", tail, goal, tail_holds, their_tail))
    return rows


def _alone(package: ModelPackage, data: Lending, folder: Path) -> list[dict]:
    """Server time of a score alone, start, memory, and what counting costs."""
    path = f"/v2/models/{package.name}/infer"
    starts, memory, timed, speeds = [], [], [], []
    for _ in range(ROUNDS):
        *start, port = _ours(package)
        with _process(*start) as (process, seconds):
            starts.append(seconds)
            timed.append(_load(port, path, _bodies(data, "never"), folder, connections=1))
            speeds.append(_load(port, path, _bodies(data, "never"), folder)["per_second"])
            status = Path(f"/proc/{process.pid}/status").read_text()
            memory.append(int(status.split("VmRSS:")[1].split()[0]) / 1024)
    server_ms, start_s = (statistics.median(figures) for figures in ([e["server_p50_ms"] for e in timed], starts))
    memory_mib, share = max(memory), _counting_share(package, data, 1 / max(speeds))
    return [
        _row("score alone: median server time", "ms", server_ms, "at most 0.3 ms", server_ms <= 0.3),
        _row("start to ready", "s", start_s, "under 1.5 s", start_s < 1.5),
        _row("memory of a worker after load", "MiB", memory_mib, "under 150 MiB", memory_mib < 150),
        _row("counting bins: share of throughput, scores alone", "ratio", share, "under 0.05", share < 0.05),
    ]


def _counting_share(package: ModelPackage, data: Lending, request_s: float) -> float:
    """Time to count one answered row, as a share of the time a request takes when the server is busy."""
    counters = Counters(package)
    columns = [[values[0]] for values in data.columns.values()]
    spent = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(2000):
            counters.answered(columns, [0.2], ["favourable"])
        spent.append((time.perf_counter() - began) / 2000)
    return min(spent) / request_s


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
