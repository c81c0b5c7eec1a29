"""What the engine's loop needs of the world, as Protocols: one set for the local runtime, one for a cluster."""

from __future__ import annotations

from typing import Protocol

from tallystick.components.core.errors import TallystickError
from tallystick.components.rollout_controller.decide import Action
from tallystick.components.rollout_controller.observation import Arm, Observation
from tallystick.components.rollout_controller.state import State


class RetryableError(TallystickError):
    """Something outside did not answer or take what it was given: the next look tries again."""


class Traffic(Protocol):
    """The gateway's configuration."""

    def apply(self, *, weight_pct: float, mirror: bool) -> None:
        """Give the canary this share from now on; RetryableError where it could not be written."""


class Observer(Protocol):
    """Looks at both arms and the gateway."""

    def observe(self) -> Observation:
        """Everything that can be read now; what cannot be read is left out. Never raises for that."""


class Workloads(Protocol):
    """The processes or pods of both arms."""

    def remove(self, arm: Arm) -> None:
        """End an arm that nobody needs any more; once it is gone, nothing happens."""


class Memory(Protocol):
    """Where the state is kept between two looks."""

    def load(self) -> State | None:
        """The last state saved, or None at the first start."""

    def save(self, state: State) -> None:
        """Keep a state; RetryableError where it could not be written."""


class Events(Protocol):
    """Whoever is told what happens."""

    def tell(self, state: State, observation: Observation, action: Action, now: float) -> None:
        """One look has been taken."""


class Clock(Protocol):
    """Time, for those who must wait."""

    def now(self) -> float:
        """Seconds since the epoch."""

    def sleep(self, seconds: float) -> None:
        """Wait."""
