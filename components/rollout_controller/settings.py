"""Everything that can be set about one controller, read once at the edge and passed in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to run.

    Attributes
    ----------
    server_image
        Image of the model server where a ModelRollout names none.
    identity
        Who this process is among the candidates for leadership; the pod's name.
    lease_namespace, lease_name
        Where leadership is kept.
    lease_s, renew_s
        How long leadership lasts without being renewed, and how often it is renewed. After a crash the next
        controller takes over within `lease_s`.
    scrape_timeout_s, call_timeout_s
        For one pod's counters, and for one call of the API server.
    health_port
        Where ``/healthz`` answers; 0 for nowhere.
    """

    server_image: str
    identity: str
    lease_namespace: str = "tallystick-system"
    lease_name: str = "tallystick-controller"
    lease_s: float = 15.0
    renew_s: float = 4.0
    scrape_timeout_s: float = 2.0
    call_timeout_s: float = 10.0
    health_port: int = 8080
