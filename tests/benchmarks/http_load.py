"""A load generator in a process of its own: keeps connections, sends prepared requests, prints what it saw.

python -m tests.benchmarks.http_load REQUESTS.json CONNECTIONS SECONDS
"""

import asyncio
import json
import sys
import time
from pathlib import Path

import uvloop


async def connection(port: int, requests: list[bytes], first: int, end: float, seen: dict) -> None:
    reader = writer = None
    number = first
    while time.perf_counter() < end:
        began = time.perf_counter()
        if writer is None:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(requests[number % len(requests)])
        number += 1
        head = await reader.readuntil(b"\r\n\r\n")
        lowered = head.lower()
        at = lowered.index(b"content-length:") + 15
        await reader.readexactly(int(lowered[at : lowered.index(b"\r", at)]))
        seen["seconds"].append(time.perf_counter() - began)
        seen["failed"] += not head.startswith(b"HTTP/1.1 200")
        if b"server-timing:" in lowered:
            at = lowered.index(b"dur=") + 4
            seen["server_ms"].append(float(lowered[at : lowered.index(b"\r", at)]))
        if b"connection: close" in lowered:
            writer.close()
            writer = None
    if writer:
        writer.close()


async def load(port: int, requests: list[bytes], connections: int, seconds: float) -> dict:
    seen: dict = {"seconds": [], "failed": 0, "server_ms": []}
    began = time.perf_counter()
    callers = (connection(port, requests, 7 * n, began + seconds, seen) for n in range(connections))
    await asyncio.gather(*callers)
    took = time.perf_counter() - began
    ordered, server = sorted(seen["seconds"]), sorted(seen["server_ms"])
    return {
        "per_second": len(ordered) / took,
        "p50_s": ordered[len(ordered) // 2],
        "p99_s": ordered[int(len(ordered) * 0.99)],
        "failed": seen["failed"],
        "server_p50_ms": server[len(server) // 2] if server else None,
    }


if __name__ == "__main__":
    with Path(sys.argv[1]).open() as stream:
        prepared = json.load(stream)
    bodies = [body.encode() for body in prepared["bodies"]]
    head = f"POST {prepared['path']} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: "
    raw = [head.encode() + str(len(body)).encode() + b"\r\n\r\n" + body for body in bodies]
    print(json.dumps(uvloop.run(load(prepared["port"], raw, int(sys.argv[2]), float(sys.argv[3])))))
