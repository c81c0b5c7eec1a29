"""The model server as a process: how it starts, refuses to start, ends, and what survives a worker's death."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tallystick.components.core.model_package import FILES, MANIFEST, ModelPackage
from tests.support.infer_requests import infer_request, outputs
from tests.support.packages import lending, write_lending_package

DATA = lending()
BODIES = [json.dumps(infer_request(DATA.features, [row])).encode() for row in DATA.rows(50)]
START_S = 30


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    return write_lending_package(tmp_path_factory.mktemp("served") / "model", data=DATA)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def infer(self) -> str:
        return f"{self.url}/v2/models/lending/infer"

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(child) for child in children.split()]

    def counted(self, series: str) -> float:
        for line in httpx.get(f"{self.url}/metrics").text.splitlines():
            if line.startswith(series.split("{")[0] + "{") and all(part in line for part in series.split("{")[1:]):
                return float(line.rsplit(" ", 1)[1])
        raise AssertionError(f"no series {series}")

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]


@contextlib.contextmanager
def server(
    model: Path | str, folder: Path, *arguments: str, environment: dict[str, str] | None = None
) -> Iterator[Server]:
    """A server that is ready; killed when the block ends, with whatever it started."""
    port = free_port()
    log = folder / f"server-{port}.log"
    command = [sys.executable, "-m", "tallystick.components.model_server", "--model", str(model), "--port", str(port)]
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*command, *arguments],
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )
    try:
        found = Server(process, port, log)
        wait_until_ready(found)
        yield found
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until_ready(found: Server) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        assert found.process.poll() is None, found.log.read_text()
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{found.url}/v2/health/ready").status_code == 200:
                return
        time.sleep(0.05)
    raise AssertionError(f"not ready: {found.log.read_text()}")


def start_that_fails(model: Path | str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tallystick.components.model_server", "--model", str(model), "--port", "0"]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60, check=False)


def copied(package: ModelPackage, folder: Path) -> Path:
    target = folder / "model"
    target.mkdir()
    for name in (MANIFEST, *FILES):
        (target / name).write_bytes((package.folder / name).read_bytes())
    return target


def test_a_started_server_answers_and_names_its_digest(package: ModelPackage, tmp_path: Path) -> None:
    with server(package.folder, tmp_path, "--digest", f"sha256:{package.digest}") as found:
        answer = httpx.post(found.infer, content=BODIES[0]).json()
        assert answer["parameters"]["digest"] == f"sha256:{package.digest}"
        assert 0 < outputs(answer)["probability"][0] < 1
        assert [event["event"] for event in found.events()] == ["ready", "infer"]


@pytest.mark.parametrize("name", [MANIFEST, *FILES])
def test_one_byte_changed_anywhere_and_the_server_does_not_start(
    package: ModelPackage, tmp_path: Path, name: str
) -> None:
    model = copied(package, tmp_path)
    content = bytearray((model / name).read_bytes())
    content[len(content) // 2] ^= 0x01
    (model / name).write_bytes(content)
    ended = start_that_fails(model, "--digest", f"sha256:{package.digest}")
    assert ended.returncode == 2
    assert "was altered" in ended.stderr or "the model's digest is" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("name", [MANIFEST, *FILES])
def test_a_missing_file_and_the_server_does_not_start(package: ModelPackage, tmp_path: Path, name: str) -> None:
    model = copied(package, tmp_path)
    (model / name).unlink()
    ended = start_that_fails(model)
    assert ended.returncode == 2
    assert name in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_pickle_beside_the_model_is_refused(package: ModelPackage, tmp_path: Path) -> None:
    model = copied(package, tmp_path)
    (model / "model.pkl").write_bytes(b"\x80\x04.")
    ended = start_that_fails(model)
    assert ended.returncode == 2
    assert "model.pkl: is not named in the manifest" in ended.stderr


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("/nowhere/at/all", "no such folder"),
        ("ftp://host/model", "unknown scheme ftp"),
        ("s3://bucket/x", "AWS_ENDPOINT"),
    ],
)
def test_a_model_that_cannot_be_fetched_is_one_clear_line(
    model: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    ended = start_that_fails(model)
    assert ended.returncode == 2
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_that_is_taken_is_one_clear_line(package: ModelPackage) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ended = start_that_fails(package.folder, "--port", str(taken.getsockname()[1]))
    assert ended.returncode == 2
    assert "cannot be listened on" in ended.stderr


def test_ports_and_name_come_from_the_environment_that_seldon_sets(package: ModelPackage, tmp_path: Path) -> None:
    metrics_port = free_port()
    seldon = {"PREDICTIVE_UNIT_ID": "classifier", "PREDICTIVE_UNIT_METRICS_SERVICE_PORT": str(metrics_port)}
    with server(package.folder, tmp_path, environment=seldon) as found:
        assert httpx.post(f"{found.url}/v2/models/classifier/infer", content=BODIES[0]).status_code == 200
        assert 'outcome="ok"} 1' in httpx.get(f"http://127.0.0.1:{metrics_port}/metrics").text


@dataclass
class Load:
    """Callers that keep their connections, go elsewhere when told to close, and remember every failure."""

    urls: list[str]
    answered: int = 0
    failed: list[str] = field(default_factory=list)
    stop: bool = False

    async def run(self, callers: int) -> None:
        await asyncio.gather(*(self._caller(number) for number in range(callers)))

    async def _caller(self, number: int) -> None:
        place = number % len(self.urls)
        async with httpx.AsyncClient(timeout=10) as client:
            while not self.stop:
                try:
                    response = await client.post(self.urls[place], content=BODIES[self.answered % len(BODIES)])
                except httpx.TransportError as error:
                    self.failed.append(repr(error))
                    place = (place + 1) % len(self.urls)
                    continue
                self.answered += response.status_code == 200
                if response.status_code != 200:
                    self.failed.append(f"{response.status_code} {response.text}")
                if response.headers.get("connection") == "close":
                    place = (place + 1) % len(self.urls)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sigterm_under_load_fails_no_request(package: ModelPackage, tmp_path: Path, workers: str) -> None:
    quick = ("--drain-quiet-seconds", "0.5", "--quiet", "--workers", workers)
    with server(package.folder, tmp_path, *quick) as ending, server(package.folder, tmp_path, "--quiet") as staying:
        load = Load([ending.infer, staying.infer])

        async def scenario() -> float:
            running = asyncio.create_task(load.run(8))
            await asyncio.sleep(0.7)
            told = time.monotonic()
            os.kill(ending.process.pid, signal.SIGTERM)
            while ending.process.poll() is None and time.monotonic() - told < 20:
                await asyncio.sleep(0.02)
            took = time.monotonic() - told
            await asyncio.sleep(0.5)
            load.stop = True
            await running
            return took

        took = asyncio.run(scenario())
        assert load.failed == []
        assert load.answered > 100
        assert ending.process.poll() == 0
        assert took < 5
        assert staying.counted('tallystick_requests_total{outcome="ok"') > 0


def test_nothing_is_kept_in_the_home_folder_and_no_telemetry_runs(package: ModelPackage, tmp_path: Path) -> None:
    home = tmp_path / "home"
    kept = home / ".cache" / "tallystick"
    kept.mkdir(parents=True)
    with server(package.folder, tmp_path, environment={"HOME": str(home), "XDG_CACHE_HOME": ""}) as found:
        assert httpx.post(found.infer, content=BODIES[0]).status_code == 200
        files = [path for path in home.rglob("*") if path.is_file()]
    assert {path.parent for path in files} <= {kept}  # the compiled kernel, and no device identifier


def test_sigterm_while_nothing_comes_ends_soon(package: ModelPackage, tmp_path: Path) -> None:
    with server(package.folder, tmp_path, "--drain-quiet-seconds", "0.2") as found:
        idle = httpx.Client()
        idle.get(f"{found.url}/v2/health/live")
        found.process.terminate()
        assert found.process.wait(timeout=5) == 0
        assert [event["event"] for event in found.events()][-2:] == ["draining", "ended"]
        idle.close()


def test_a_killed_worker_comes_back_and_counters_stay_right(package: ModelPackage, tmp_path: Path) -> None:
    with server(package.folder, tmp_path, "--workers", "2", "--quiet") as found:
        first = found.workers()
        assert len(first) == 2
        load = Load([found.infer])

        async def scenario() -> None:
            running = asyncio.create_task(load.run(8))
            await asyncio.sleep(0.7)
            os.kill(first[0], signal.SIGKILL)
            await asyncio.sleep(1.5)
            load.stop = True
            await running

        asyncio.run(scenario())
        assert len(load.failed) <= 8  # what the killed worker had in hand, one for each caller at most
        assert load.answered > 100
        now = found.workers()
        assert len(now) == 2
        assert first[1] in now
        assert found.counted("tallystick_worker_restarts_total{") == 1
        counted = found.counted('tallystick_requests_total{outcome="ok"')
        assert load.answered <= counted <= load.answered + len(load.failed)
        assert found.counted("tallystick_request_duration_seconds_count{") == counted


def test_workers_end_when_their_parent_is_killed(package: ModelPackage, tmp_path: Path) -> None:
    with server(package.folder, tmp_path, "--workers", "2", "--drain-quiet-seconds", "0.1") as found:
        workers = found.workers()
        os.kill(found.process.pid, signal.SIGKILL)
        found.process.wait()
        end = time.monotonic() + 10
        while time.monotonic() < end and any(Path(f"/proc/{worker}").exists() for worker in workers):
            time.sleep(0.05)
        assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


def test_the_prediction_log_holds_answers_and_no_features(package: ModelPackage, tmp_path: Path) -> None:
    kept = tmp_path / "kept" / "predictions.jsonl"
    with server(package.folder, tmp_path, "--prediction-log", str(kept)) as found:
        top = {**package.examples.rows[-1], "income": 43210.75}
        body = infer_request(DATA.features, [top])
        response = httpx.post(found.infer, json=body, headers={"x-request-id": "call-1"})
        (entry,) = [json.loads(line) for line in kept.read_text().splitlines()]
    assert entry["request_id"] == "call-1"
    assert entry["scores"] == outputs(response.json())["probability"]
    assert entry["reasons"][0] == json.loads(outputs(response.json())["reasons"][0])
    assert entry["digest"] == f"sha256:{package.digest}"
    assert "43210.75" not in kept.read_text()


def test_a_prediction_log_that_cannot_be_opened_is_one_clear_line(package: ModelPackage) -> None:
    ended = start_that_fails(package.folder, "--prediction-log", "/proc/nothing/here")
    assert ended.returncode == 1
    assert "the prediction log cannot be opened" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_full_prediction_log_is_counted_and_stops_no_answer(package: ModelPackage, tmp_path: Path) -> None:
    with server(package.folder, tmp_path, "--prediction-log", "/dev/full") as found:
        assert httpx.post(found.infer, content=BODIES[0]).status_code == 200
        assert found.counted('tallystick_errors_total{kind="prediction_log"') == 1
