"""The engine's own metrics: phase, shares, evidence, exposure and time to rollback of each rollout, for Prometheus.

An Events port over a registry that is passed in. Labels are the rollout's name and a test's name: few and fixed.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge

from tallystick.components.rollout_controller.decide import Action
from tallystick.components.rollout_controller.observation import Observation
from tallystick.components.rollout_controller.state import Phase, State


class EngineMetrics:
    """Gauges of all rollouts of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"tallystick_rollout_{name}", text, ("rollout", *labels), registry=registry)

        self._phase = gauge("phase", "1 for the phase the rollout is in, else 0.", "phase")
        self._weight = gauge("weight_ratio", "Share the new release should have, 0 to 1.")
        self._observed = gauge("configured_weight_ratio", "Share the gateway is configured to, as read back.")
        self._harm = gauge("harm_evidence", "E-value against the release, by test.", "test")
        self._health = gauge("health_evidence", "E-value for the release at this step, by test.", "test")
        self._needed = gauge("harm_evidence_needed", "E-value at which the release is taken back, by test.", "test")
        self._exposed = gauge("exposed_requests", "Requests of customers that the new release answered.")
        self._rollback = gauge("rollback_seconds", "From the decision until the rollback was confirmed.")

    def teller(self, rollout: str) -> RolloutMetrics:
        """The Events port of one rollout."""
        return RolloutMetrics(self, rollout)

    def tell(self, rollout: str, state: State, observation: Observation, action: Action) -> None:
        """Set all gauges of one rollout."""
        for phase in Phase:
            self._phase.labels(rollout, phase.value).set(state.phase is phase)
        self._weight.labels(rollout).set(state.weight_pct / 100.0)
        if observation.weight_pct is not None:
            self._observed.labels(rollout).set(observation.weight_pct / 100.0)
        for result in action.results:
            self._harm.labels(rollout, result.name).set(result.e_bad)
            self._health.labels(rollout, result.name).set(result.e_good)
            self._needed.labels(rollout, result.name).set(result.bad_at)
        self._exposed.labels(rollout).set(state.exposed)

    def rolled_back(self, rollout: str, seconds: float) -> None:
        """A rollback was confirmed so long after it was decided."""
        self._rollback.labels(rollout).set(seconds)


class RolloutMetrics:
    """The Events port of one rollout over :class:`EngineMetrics`."""

    def __init__(self, metrics: EngineMetrics, rollout: str) -> None:
        self._metrics, self._rollout = metrics, rollout
        self._decided: float | None = None

    def tell(self, state: State, observation: Observation, action: Action, now: float) -> None:
        """One look has been taken."""
        self._metrics.tell(self._rollout, state, observation, action)
        if state.phase is Phase.ROLLING_BACK and self._decided is None:
            self._decided = now
        if state.phase is Phase.ROLLED_BACK and self._decided is not None:
            self._metrics.rolled_back(self._rollout, now - self._decided)
            self._decided = None
