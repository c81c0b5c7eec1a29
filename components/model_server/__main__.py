"""Starts the model server: reads arguments and the environment that Seldon Core sets, and nothing else does.

python -m tallystick.components.model_server --model FOLDER --digest sha256:... --port 9000
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections.abc import Mapping, Sequence

from tallystick.components.core.errors import ExitCode, InputError, TallystickError
from tallystick.components.core.model_package import read_package
from tallystick.components.model_server.counters import Counters
from tallystick.components.model_server.fetching import fetched_package
from tallystick.components.model_server.logs import Log
from tallystick.components.model_server.serving import listen, load_service, serve
from tallystick.components.model_server.settings import Settings
from tallystick.components.model_server.workers import Workers


def parse_settings(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Settings from arguments, and where one is not given from the environment.

    Seldon Core sets PREDICTIVE_UNIT_HTTP_SERVICE_PORT, PREDICTIVE_UNIT_METRICS_SERVICE_PORT and PREDICTIVE_UNIT_ID;
    the chart sets TALLYSTICK_MODEL and TALLYSTICK_MODEL_DIGEST.
    """
    in_seldon = "PREDICTIVE_UNIT_ID" in environment
    defaults = Settings(model="")
    parser = argparse.ArgumentParser(
        prog="model_server", description="Serves one model over the Open Inference Protocol v2."
    )
    add = parser.add_argument
    add("--model", default=environment.get("TALLYSTICK_MODEL"), help="folder, s3://bucket/prefix or models:/name@alias")
    add("--digest", default=environment.get("TALLYSTICK_MODEL_DIGEST", ""), help="sha256:... the model must have")
    add("--name", default=environment.get("PREDICTIVE_UNIT_ID", ""), help="name in URLs beside the model's own")
    add("--host", default="0.0.0.0" if in_seldon else defaults.host, help="address to listen on")  # noqa: S104 - a pod's own address
    add("--port", type=int, default=_port(environment, "PREDICTIVE_UNIT_HTTP_SERVICE_PORT", defaults.port))
    add("--metrics-port", type=int, default=_port(environment, "PREDICTIVE_UNIT_METRICS_SERVICE_PORT", 0))
    add("--workers", type=int, default=defaults.workers, choices=range(1, 65), metavar="N", help="processes")
    add(
        "--drain-quiet-seconds", type=float, default=defaults.drain_quiet_s, help="end when no request came for so long"
    )
    add("--drain-limit-seconds", type=float, default=defaults.drain_limit_s, help="end after so long in any case")
    add("--quiet", action="store_true", help="log only requests that were refused or failed")
    add("--prediction-log", default="", help="file or kafka://host:port/topic that keeps answers, never features")
    add("--maximum-rows", type=int, default=defaults.maximum_rows, help="rows a request may have")
    add("--maximum-body-bytes", type=int, default=defaults.maximum_body_bytes, help="bytes a request may have")
    given = parser.parse_args(arguments)
    if not given.model:
        parser.error("give --model or TALLYSTICK_MODEL: a folder, s3://bucket/prefix or models:/name@alias")
    return Settings(
        model=given.model,
        digest=given.digest,
        name=given.name,
        host=given.host,
        port=given.port,
        metrics_port=given.metrics_port,
        workers=given.workers,
        drain_quiet_s=given.drain_quiet_seconds,
        drain_limit_s=given.drain_limit_seconds,
        log_requests=not given.quiet,
        prediction_log=given.prediction_log,
        maximum_rows=given.maximum_rows,
        maximum_body_bytes=given.maximum_body_bytes,
    )


def _port(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, "")
    return int(text) if text.isdigit() else default


def run(settings: Settings, log: Log) -> int:
    """Fetch, check, load and serve; returns the exit code."""
    with fetched_package(settings.model) as folder:
        package = read_package(folder, expected_digest=settings.digest or None)
        counters = Counters(package, workers=settings.workers)
        sockets = _listen(settings)
        told = {"model": package.name, "version": package.version, "digest": f"sha256:{package.digest}"}
        if not settings.digest:
            log.line("warning", "digest_not_checked", **told)

        def work(worker: int) -> int:
            service = load_service(package, counters, settings, log)
            log.line("info", "ready", **told, port=settings.port, worker=worker)
            serve(service, sockets)
            return int(ExitCode.DONE)

        if settings.workers == 1:
            return work(0)
        load_service(package, counters, settings, log)  # a model that cannot be served is told once, here
        workers = Workers(settings.workers, run=work, counters=counters, log=log, limit_s=settings.drain_limit_s)
        return workers.supervise()


def _listen(settings: Settings) -> list[socket.socket]:
    ports = dict.fromkeys([settings.port, *([settings.metrics_port] if settings.metrics_port else [])])
    try:
        return [listen(settings.host, port) for port in ports]
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        raise InputError(where, f"cannot be listened on ({error.strerror})", "a free port") from error


def main() -> int:
    """Run until told to end; the exit code is the error tree's."""
    settings = parse_settings(sys.argv[1:], os.environ)
    log = Log()
    try:
        code = run(settings, log)
    except TallystickError as error:
        log.line("error", "not_started", reason=str(error))
        sys.stderr.write(f"model_server: {error}\n")
        return int(error.exit_code)
    log.line("info", "ended", code=code)
    return code


if __name__ == "__main__":
    sys.exit(main())
