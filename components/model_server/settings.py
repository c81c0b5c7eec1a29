"""Everything that can be set about one server process, read once at the edge and passed in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to serve.

    Attributes
    ----------
    model
        Folder, ``s3://bucket/prefix`` or ``models:/name@alias`` of the model's package.
    digest
        ``sha256:...`` that the package must have; empty serves whatever is there, and says so in the log.
    name
        Name in URLs and answers beside the package's own; Seldon calls a model by its unit's name.
    host, port, metrics_port
        Where to listen; the metrics port answers the same requests (0: none). Seldon scrapes a port of its own.
    workers
        Processes that share the port and the counters.
    maximum_body_bytes, maximum_rows
        Above either a request is answered 413.
    read_timeout_s
        A body must have arrived within this time: else 408.
    compute_timeout_s
        Explaining many rows stops after this time.
    drain_quiet_s, drain_limit_s
        After SIGTERM the server is not ready and goes on answering, telling callers to close their connections,
        until no request has come for `drain_quiet_s` or `drain_limit_s` have passed; then it ends.
    log_requests
        One line for each request; without it, one for each refused or failed one.
    prediction_log
        File or ``kafka://host:port/topic`` that keeps answers (never features); empty keeps none.
    """

    model: str
    digest: str = ""
    name: str = ""
    host: str = "127.0.0.1"
    port: int = 9000
    metrics_port: int = 0
    workers: int = 1
    maximum_body_bytes: int = 1 << 20
    maximum_rows: int = 1000
    read_timeout_s: float = 5.0
    compute_timeout_s: float = 10.0
    drain_quiet_s: float = 2.0
    drain_limit_s: float = 20.0
    log_requests: bool = True
    prediction_log: str = ""
