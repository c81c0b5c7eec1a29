"""A real MinIO server for tests, where its program is on PATH (`go install github.com/minio/minio@latest`)."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "tallystick-test", "AWS_SECRET_ACCESS_KEY": "for-tests-on-this-machine-only"}


@contextlib.contextmanager
def minio_server(folder: Path) -> Iterator[dict[str, str]]:
    """Start a server on a free port of 127.0.0.1; gives the environment in which `open_store` finds it."""
    program = shutil.which("minio")
    if program is None:
        pytest.skip("no `minio` server program on PATH")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**CREDENTIALS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_REGION": "us-east-1"}
    with (folder / "minio.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "server", str(folder / "data"), "--address", f"127.0.0.1:{port}", "--console-address",
             "127.0.0.1:0", "--quiet"],
            env={**os.environ, "MINIO_ROOT_USER": CREDENTIALS["AWS_ACCESS_KEY_ID"], "MINIO_UPDATE": "off",
                 "MINIO_ROOT_PASSWORD": CREDENTIALS["AWS_SECRET_ACCESS_KEY"], "MINIO_BROWSER": "off"},
            stdout=log, stderr=subprocess.STDOUT)  # fmt: skip
    try:
        _wait(process, port, folder)
        yield environment
    finally:
        process.terminate()
        process.wait()


def _wait(process: subprocess.Popen, port: int, folder: Path) -> None:
    for _ in range(150):
        if process.poll() is not None:
            raise RuntimeError((folder / "minio.log").read_text())
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.2)
    raise RuntimeError("the MinIO server did not start")
