"""Ten thousand requests, half of them hostile: no 5xx, no crash, memory flat, counters that add up."""

from __future__ import annotations

import asyncio
import json
import random
import socket
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from tallystick.components.core.model_package import ModelPackage
from tests.integration.test_model_server import DATA, Server, server
from tests.support.infer_requests import infer_request
from tests.support.packages import write_lending_package

REQUESTS = 10_000
GOOD = [json.dumps(infer_request(DATA.features, [row])).encode() for row in DATA.rows(200)]
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1e308, -1e308, 10**30, 10**400, "", "x", "\ud83d", "\x00", [], {}, [[]], [None], {"a": 1},
    float("nan"), float("inf"), -0.0, 5e-324, "NaN", "car\n", "🙂" * 50, ["car"], 999, 998.9999999,
)  # fmt: skip
RAW = (
    b"", b"{", b"}", b"null", b"[]", b"\xff" * 50, b"\x00" * 1000, b'{"inputs":' * 3000, b"[" * 50_000, b'"' * 999,
    b'{"inputs": [{"name": "income", "name": "race"}]}', b"1e999999", b"a" * (2 << 20), b"{}" * 1000,
)  # fmt: skip


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    return write_lending_package(tmp_path_factory.mktemp("fuzzed") / "model", data=DATA)


def hostile(choice: random.Random) -> bytes:
    """A damaged request: a value, a member, or the bytes themselves."""
    way = choice.randrange(4)
    if way == 0:
        return choice.choice(RAW)
    if way == 1:
        content = bytearray(choice.choice(GOOD))
        for _ in range(choice.randint(1, 8)):
            content[choice.randrange(len(content))] = choice.randrange(256)
        return bytes(content)
    request = infer_request(DATA.features, DATA.rows(choice.randint(1, 3)))
    tensor = choice.choice(request["inputs"])
    if way == 2:
        tensor["data"] = [choice.choice(VALUES) for _ in tensor["data"]]
    else:
        target, member = choice.choice([(tensor, choice.choice(list(tensor))), (request, "inputs"), (request, "id")])
        target[member] = choice.choice(VALUES)
        request[choice.choice(["outputs", "parameters", "extra"])] = choice.choice(VALUES)
    return json.dumps(request).encode("utf-8", "surrogatepass")


def memory_kib(found: Server) -> int:
    status = Path(f"/proc/{found.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


async def send(found: Server, bodies: list[bytes]) -> Counter[int]:
    statuses: Counter[int] = Counter()
    waiting = iter(bodies)

    async def caller() -> None:
        async with httpx.AsyncClient(timeout=20) as client:
            for body in waiting:
                statuses[(await client.post(found.infer, content=body)).status_code] += 1

    await asyncio.gather(*(caller() for _ in range(8)))
    return statuses


def test_ten_thousand_requests_half_of_them_hostile(package: ModelPackage, tmp_path: Path) -> None:
    choice = random.Random(20260417)
    bodies = [choice.choice(GOOD) if number % 2 else hostile(choice) for number in range(REQUESTS)]
    with server(package.folder, tmp_path, "--quiet") as found:
        asyncio.run(send(found, bodies[:2000]))
        before = memory_kib(found)
        statuses = asyncio.run(send(found, bodies[2000:]))
        after = memory_kib(found)
        assert set(statuses) <= {200, 400, 413}
        assert statuses[200] >= (REQUESTS - 2000) // 2
        assert statuses[400] > 1000
        assert after - before < 16 * 1024
        ok = found.counted('tallystick_requests_total{outcome="ok"')
        invalid = found.counted('tallystick_requests_total{outcome="invalid"')
        too_large = found.counted('tallystick_requests_total{outcome="too_large"')
        assert ok + invalid + too_large == REQUESTS
        assert found.counted('tallystick_errors_total{kind="internal"') == 0


HTTP_GARBAGE = [
    b"\r\n\r\n",
    b"GET\r\n\r\n",
    b"POST /v2/models/lending/infer HTTP/1.1\r\n\r\n",
    b"POST /v2/models/lending/infer HTTP/1.1\r\ncontent-length: -5\r\n\r\n",
    b"POST /v2/models/lending/infer HTTP/1.1\r\ncontent-length: 99999999999999999999999\r\n\r\n",
    b"POST /v2/models/lending/infer HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n",
    b"POST /v2/models/lending/infer HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n",
    b"GET /v2/models/%00%ff%2e%2e/infer HTTP/1.1\r\nhost: a\r\n\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000 + b"\r\n",
    b"GET / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300),
    bytes(range(256)) * 40,
]


def test_garbage_instead_of_http_is_no_5xx_and_no_crash(package: ModelPackage, tmp_path: Path) -> None:
    with server(package.folder, tmp_path, "--quiet") as found:
        for garbage in HTTP_GARBAGE:
            with socket.create_connection(("127.0.0.1", found.port), timeout=5) as raw:
                raw.settimeout(0.5)
                answer = b""
                try:
                    raw.sendall(garbage)
                    answer = raw.recv(4096)
                except (TimeoutError, ConnectionError):
                    answer = b""
                assert not answer.startswith(b"HTTP/1.1 5"), garbage[:60]
        assert httpx.post(found.infer, content=GOOD[0]).status_code == 200
        assert "Traceback" not in found.log.read_text()


def test_requests_made_from_the_published_openapi_get_documented_answers(package: ModelPackage, tmp_path: Path) -> None:
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    from hypothesis import HealthCheck, given, settings

    with server(package.folder, tmp_path, "--quiet") as found:
        schema = schemathesis.openapi.from_url(f"{found.url}/openapi.json")
        seen: Counter[int] = Counter()
        for operation in schema.get_all_operations():
            strategy = operation.ok().as_strategy()

            @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
            @given(case=strategy)
            def call(case: Any) -> None:
                response = case.call()
                seen[response.status_code] += 1
                assert response.status_code < 500
                documented = case.operation.definition.raw["responses"]
                assert str(response.status_code) in documented, (case.operation.label, response.status_code)

            call()
        assert seen[200] > 0
