"""A model server of one file for tests: the protocol's routes, the server's counters, and faults on request.

It runs in a pod from nothing but Python. TALLYSTICK_MODEL may end in ``?fault=...``, and POST /fault sets one later:
none, errors, crash (at the next request), crash_at_start, never_ready, slow.
"""

import contextlib
import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

EDGES = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
MODEL = os.environ.get("TALLYSTICK_MODEL", "")


class Server:
    def __init__(self) -> None:
        self.fault = MODEL.partition("?fault=")[2] or "none"
        self.lock = threading.Lock()
        self.outcomes = {"ok": 0, "error": 0, "invalid": 0, "too_large": 0, "timeout": 0}
        self.within = dict.fromkeys(EDGES, 0)
        self.bins = [0] * 10
        self.total = 0
        self.draining = False

    def infer(self) -> int:
        started = time.perf_counter()
        if self.fault == "crash":
            os._exit(3)
        if self.fault == "slow":
            time.sleep(0.6)
        status = 500 if self.fault == "errors" else 200
        with self.lock:
            self.outcomes["ok" if status == 200 else "error"] += 1
            if status == 200:
                self.bins[self.total % 10] += 1
            self.total += 1
            took = time.perf_counter() - started
            for edge in EDGES:
                self.within[edge] += took <= edge
        return status

    def metrics(self) -> str:
        with self.lock:
            name = "tallystick_request_duration_seconds"
            lines = [f'tallystick_requests_total{{outcome="{o}"}} {n}' for o, n in self.outcomes.items()]
            lines += [f'{name}_bucket{{le="{edge}"}} {n}' for edge, n in self.within.items()]
            lines += [f'{name}_bucket{{le="+Inf"}} {self.total}', f"{name}_count {self.total}"]
            lines += [f'tallystick_score_bin_total{{bin="{j}"}} {n}' for j, n in enumerate(self.bins)]
            adverse = sum(self.bins[7:])
            lines += [f'tallystick_decisions_total{{decision="adverse"}} {adverse}']
            lines += [f'tallystick_decisions_total{{decision="favourable"}} {sum(self.bins) - adverse}']
        return "\n".join(lines) + "\n"


SERVER = Server()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        if self.path == "/metrics":
            self._answer(200, SERVER.metrics())
        elif self.path.endswith("/ready"):
            ready = SERVER.fault != "never_ready" and not SERVER.draining
            self._answer(200 if ready else 503, "{}")
        else:
            self._answer(200, json.dumps({"pod": os.environ.get("HOSTNAME"), "model": MODEL}))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.path == "/fault":
            SERVER.fault = body.decode()
            self._answer(200, "{}")
            return
        status = SERVER.infer()
        self._answer(status, json.dumps({"version": os.environ.get("PREDICTOR_ID", ""), "status": status}))

    def _answer(self, status: int, text: str) -> None:
        content = text.encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        if SERVER.draining:
            self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        pass


def main() -> None:
    if SERVER.fault == "crash_at_start":
        sys.exit(3)
    servers = [QuietServer(("0.0.0.0", port), Handler) for port in (9000, 6000)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    ended.wait()
    SERVER.draining = True
    time.sleep(4)
    with contextlib.suppress(OSError):
        for server in servers:
            server.shutdown()


if __name__ == "__main__":
    main()
