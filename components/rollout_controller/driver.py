"""Drives one rollout on a cluster: look, decide, act, remember, tell. The decisions are `decide`'s.

What is decided for the customers' safety is done before it is written down, so that nothing that only concerns our
own books can keep a rollback waiting: not a conflict, not a schema that has changed, not a full etcd. Acting twice
does no harm, so a crash between the two does none either. A driver whose memory was overtaken by another's stops.

The ports are those of the local runtime made asynchronous, since one process drives hundreds of rollouts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tallystick.components.core.errors import InputError, TallystickError
from tallystick.components.rollout_controller import report
from tallystick.components.rollout_controller.adapters import istio, seldon
from tallystick.components.rollout_controller.adapters.pods import Pod, baseline_readiness, canary_readiness
from tallystick.components.rollout_controller.cluster_ports import Cluster, Queue, Scraper, Views
from tallystick.components.rollout_controller.consent import Consent, consent
from tallystick.components.rollout_controller.decide import Action, decide
from tallystick.components.rollout_controller.delivery import Delivery
from tallystick.components.rollout_controller.first_release import decide_first
from tallystick.components.rollout_controller.judgement import TestResult
from tallystick.components.rollout_controller.observation import Arm, Commands, Observation, Reading, References
from tallystick.components.rollout_controller.ports import RetryableError
from tallystick.components.rollout_controller.release import Release
from tallystick.components.rollout_controller.report import Condition
from tallystick.components.rollout_controller.state import ENDS, Phase, State

Object = dict[str, Any]
_MOVING = frozenset({Phase.ROLLING_BACK, Phase.PROMOTING})
_TRIED = frozenset({Phase.SHADOWING, Phase.PROGRESSING, Phase.HOLDING, *_MOVING})
_RETRY_S = 1.0
_QUEUE_S = 2.0
_BOOKS_S = 30.0


class OvertakenError(TallystickError):
    """Another controller has written this rollout's status: it drives now."""


@dataclass(frozen=True, kw_only=True)
class World:
    """All that a driver needs."""

    cluster: Cluster
    views: Views
    queue: Queue
    scraper: Scraper
    now: Callable[[], float]
    tell: Callable[[str, str, str], None]
    server_image: str


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """One look, with what a person should know about it."""

    observation: Observation
    standing: Consent
    fault: str
    hands_off: str
    pods: Mapping[str, int]


class Driver:
    """One rollout, from wherever it was left."""

    def __init__(self, body: Mapping[str, Any], world: World) -> None:
        self._world = world
        self._delivery = Delivery(world.cluster, world.views, world.tell, server_image=world.server_image)
        self._status: Object = dict(body.get("status") or {})
        self._version = str(body["metadata"]["resourceVersion"])
        self._state = State()
        if engine := self._status.get("engine"):
            self._state = State.from_json(json.loads(engine))
        self._baseline = str((self._status.get("baseline") or {}).get("version") or "")
        self._claimed = bool(engine)
        self._written_s = 0.0
        self._in_force_at: float | None = None
        self._disturbance = ""
        self.finished = bool(self._status.get("finished"))

    @property
    def state(self) -> State:
        """The engine's state as of the last look."""
        return self._state

    async def look(self, release: Release) -> float:
        """Look once and do what follows; returns when to look again, in seconds.

        Raises
        ------
        OvertakenError
            Somebody else drives this rollout.
        """
        try:
            if not self._claimed and (blocked := self._world.queue.claim(release)):
                self._state = replace(self._state, reason=blocked)
                await self._record(release, None, [_refusal("Queued", blocked)])
                return _QUEUE_S
            if not self._claimed and (refusal := await self._prepare(release)):
                self._state = replace(self._state, reason=refusal.message)
                await self._record(release, None, [refusal])
                return release.rules.interval_s
            seen = await self._observe(release)
            if not self._baseline:
                return await self._first(release, seen)
            if await self._target_is_gone(release):
                return await self._fail(release, seen)
            return await self._trial(release, seen)
        except RetryableError:
            return _RETRY_S

    async def refuse(self, error: InputError, generation: int, namespace: str, name: str) -> None:
        """Say that the resource cannot be understood; nothing else is touched."""
        found = Condition(type="Accepted", status=False, reason="Malformed", message=str(error))
        if any(c["type"] == "Accepted" and c["message"] == found.message for c in self._status.get("conditions") or ()):
            return
        listed = report.conditions(
            self._status.get("conditions") or (), [found], now=self._world.now(), generation=generation
        )
        self._world.tell("Warning", "Malformed", str(error))
        await self._write(namespace, name, {"observedGeneration": generation, "conditions": listed,
                                            "reason": str(error)[:1024]})  # fmt: skip

    async def give_back(self, release: Release) -> None:
        """The rollout is being deleted: all traffic to the version in service, and the other one goes.

        Raises
        ------
        RetryableError
            Not everything is as it should be yet: call again.
        """
        if not self._baseline or self.finished:
            return
        if self._state.phase is Phase.PROMOTED:
            await self._delivery.remove(release, self._baseline)
            return
        await self._delivery.set_traffic(release, self._baseline, weight_pct=0.0, urgent=True)
        await self._delivery.remove(release, release.version)
        self._world.tell("Warning", "GivenBack", f"deleted in phase {self._state.phase}: all traffic is back at "
                                                 f"{self._baseline}")  # fmt: skip

    async def _prepare(self, release: Release) -> Condition | None:
        """Find out what is in service; a sentence where it cannot be released to."""
        live = await self._world.cluster.deployment(release.namespace, release.target)
        shares = seldon.traffic(live)
        serving = [name for name, share in shares.items() if share > 0]
        if live is not None and self._never_served(release, live):
            serving = []
        if release.version in serving:
            return _refusal("AlreadyServing", f"{release.version} is already in service at {release.target}")
        if len(serving) > 1 or (
            live is not None and len(shares) > 1 and not set(shares) <= {release.version, *serving}
        ):
            return _refusal(
                "TargetUnsteady", f"{release.target} has the predictors {', '.join(sorted(shares))}; it must have one"
            )
        self._baseline = serving[0] if serving else ""
        self._claimed = True
        message = f"replaces {self._baseline}" if self._baseline else "the first version of this target"
        await self._record(release, None, [Condition(type="Accepted", status=True, reason="Valid", message=message)])
        if self._baseline:
            await self._delivery.install(release, self._baseline)
        return None

    def _never_served(self, release: Release, live: Mapping[str, Any]) -> bool:
        found = seldon.predictors(live)
        by = str((found[0].get("labels") or {}).get("tallystick.dev/rollout", "")) if len(found) == 1 else ""
        return bool(by) and self._world.views.failed_first(release.namespace, by)

    async def _observe(self, release: Release) -> _Seen:
        """Everything that can be read now."""
        world, place = self._world, release.place
        pods = world.views.pods(place)
        new = [pod for pod in pods if pod.version == release.version]
        old = [pod for pod in pods if pod.version == self._baseline] if self._baseline else []
        readiness, fault = canary_readiness(new, release.server.replicas)
        phase = self._state.phase
        readings: tuple[Reading, ...] = ()
        references = References()
        if phase in _TRIED or phase is Phase.PROMOTED:
            arms: list[tuple[Arm, Pod]] = [*(("canary", p) for p in new), *(("baseline", p) for p in old)]
            readings, references = await world.scraper.read(arms)
        standing = consent(release, world.views.approvals(release.namespace))
        hands_off = self._hands_off(release)
        superseded = world.queue.superseded_by(release) if phase not in (Phase.PROMOTING, Phase.PROMOTED) else ""
        commands = Commands(
            approved=standing.granted,
            paused=bool(hands_off),
            promote=release.promote and standing.granted,
            abort=release.abort or bool(superseded) or (bool(standing.rejected_by) and phase not in ENDS),
        )
        observation = Observation(
            readings=readings,
            canary=readiness,
            baseline=baseline_readiness(old) if self._baseline else "unknown",
            weight_pct=await self._weight(release),
            mirrored=False,
            references=references,
            commands=commands,
        )
        return _Seen(
            observation=observation,
            standing=standing,
            fault=fault,
            hands_off=hands_off,
            pods={"canary": len(new), "baseline": len(old)},
        )

    def _hands_off(self, release: Release) -> str:
        """Why traffic that somebody else sets is obeyed; empty when it is not."""
        if release.paused:
            return "paused by hand"
        live = self._world.views.deployment(release.place) or {}
        record = ((live.get("metadata") or {}).get("annotations") or {}).get(seldon.BREAK_GLASS, "")
        return f"the glass was broken by {record}" if record else ""

    async def _weight(self, release: Release) -> float | None:
        """The share at the gateway: read from the API server itself whenever something is being moved."""
        if self._state.phase not in _MOVING:
            watched = self._world.views.virtual_service(release.place)
            return istio.weight_pct(watched, deployment=release.target, canary=release.version)
        try:
            live = await self._world.cluster.virtual_service(*release.place)
        except RetryableError:
            return None
        if live is None and self._state.phase is Phase.ROLLING_BACK:
            return 0.0  # without a route nobody reaches it
        return istio.weight_pct(live, deployment=release.target, canary=release.version)

    async def _target_is_gone(self, release: Release) -> bool:
        """Whether the SeldonDeployment has been deleted under us; the API server itself has the last word."""
        if self._world.views.deployment(release.place) is not None or self._state.phase in ENDS:
            return False
        return await self._world.cluster.deployment(*release.place) is None

    async def _fail(self, release: Release, seen: _Seen) -> float:
        reason = f"the SeldonDeployment {release.target} has been deleted"
        self._enter(replace(self._state, phase=Phase.FAILED, weight_pct=0.0, reason=reason))
        await self._record(release, seen, self._conditions(seen), finished=True)
        return release.rules.interval_s

    async def _first(self, release: Release, seen: _Seen) -> float:
        state, action = decide_first(self._state, seen.observation, self._world.now(), rules=release.rules)
        self._enter(state)
        if action.start and not seen.pods["canary"]:
            await self._delivery.install(release, self._baseline)
        await self._record(release, seen, self._conditions(seen), finished=action.finished)
        return action.look_again_s

    async def _trial(self, release: Release, seen: _Seen) -> float:
        rules, now = release.rules, self._world.now()
        if self._state.phase is Phase.PROMOTED and self._world.queue.superseded_by(release):
            rules = rules.model_copy(update={"keep_warm_s": 0.0})
        state, action = decide(self._state, seen.observation, now, rules=rules)
        state = _explained(state, self._state, seen, self._world.queue.superseded_by(release))
        rising = state.weight_pct > self._state.weight_pct
        self._notice_disturbance(seen)
        self._enter(state)
        if rising:  # the books first: a crash in between leaves the smaller share at the gateway
            await self._record(release, seen, self._conditions(seen), results=action.results)
        done = await self._act(release, seen, action)
        finished = action.finished and done
        await self._record(release, seen, self._conditions(seen), results=action.results, finished=finished)
        if not done:
            return _RETRY_S
        return min(action.look_again_s, _RETRY_S) if state.phase in _MOVING else action.look_again_s

    async def _act(self, release: Release, seen: _Seen, action: Action) -> bool:
        """Do what was decided; False when something must be tried again."""
        state = self._state
        obeyed = bool(seen.hands_off) and state.phase is Phase.HOLDING
        try:
            if state.phase in (Phase.PENDING, Phase.AWAITING_APPROVAL):
                await self._delivery.install(release, self._baseline)
            elif action.set_weight_pct is not None and not obeyed and state.phase not in (Phase.FAILED,):
                await self._delivery.set_traffic(
                    release, self._baseline, weight_pct=state.weight_pct, urgent=state.weight_pct == 0.0
                )
            if action.may_remove is not None:
                await self._delivery.remove(
                    release, self._baseline if action.may_remove == "baseline" else release.version
                )
        except RetryableError as error:
            self._world.tell("Warning", "Retrying", str(error)[:500])
            return False
        return True

    def _notice_disturbance(self, seen: _Seen) -> None:
        """A share that was in force and is no longer, without our doing, is somebody's hand."""
        observed, desired = seen.observation.weight_pct, self._state.weight_pct
        if observed == desired:
            self._in_force_at = desired
            return
        if self._in_force_at != desired or self._state.phase not in _TRIED or self._state.phase in _MOVING:
            return
        self._in_force_at = None
        what = "the routes are gone or cannot be read" if observed is None else f"the gateway's share is {observed:g} %"
        answer = "it is left so" if seen.hands_off else "it is set again"
        self._disturbance = f"{what}, {desired:g} % is desired: changed by another; {answer}"
        self._world.tell("Warning", "ChangedByHand", self._disturbance)

    def _conditions(self, seen: _Seen) -> list[Condition]:
        return report.findings(
            self._state,
            seen.observation.weight_pct,
            seen.standing,
            hands_off=seen.hands_off,
            disturbance=self._disturbance,
        )

    def _enter(self, state: State) -> None:
        """Take the new state and tell what changed."""
        before, self._state = self._state, state
        if before.phase is not state.phase or before.weight_pct != state.weight_pct:
            bad = state.phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.FAILED, Phase.HOLDING)
            self._world.tell(
                "Warning" if bad else "Normal", state.phase.value, f"{state.weight_pct:g} %: {state.reason}"
            )

    async def _record(
        self,
        release: Release,
        seen: _Seen | None,
        found: Sequence[Condition],
        *,
        results: Sequence[TestResult] = (),
        finished: bool = False,
    ) -> None:
        """Keep the state in the resource when it matters; a failure to do so is no reason to stop."""
        now = self._world.now()
        status = report.status(
            self._status,
            release,
            self._state,
            now=now,
            baseline=self._baseline,
            finished=finished,
            found=found,
            observation=seen.observation if seen else None,
            results=results,
            standing=seen.standing if seen else None,
            pods=seen.pods if seen else None,
        )
        if not self._claimed:
            status["engine"] = None
        same = report.visible(status) == report.visible(self._status)
        if same and (self._state.phase not in _TRIED) and now - self._written_s < _BOOKS_S:
            return
        if same and self._state.phase is Phase.AWAITING_APPROVAL:
            return
        await self._write(release.namespace, release.name, status)
        self._written_s = now
        self.finished = finished

    async def _write(self, namespace: str, name: str, status: Mapping[str, Any]) -> None:
        """Write if nobody else has written the engine's memory in the meantime.

        A conflict about anything else (a label, a finalizer, a pause) is no conflict for us.
        """
        for _ in range(4):
            try:
                written = await self._world.cluster.write_status(namespace, name, self._version, status)
            except RetryableError:
                live = await self._world.cluster.rollout(namespace, name)
                if live is None:
                    return
                kept = live.get("status") or {}
                if kept.get("engine") != self._status.get("engine"):
                    raise OvertakenError(f"ModelRollout {namespace}/{name} is driven by another controller") from None
                self._version = live["metadata"]["resourceVersion"]
                continue
            self._version = written["metadata"]["resourceVersion"]
            self._status = dict(written.get("status") or {})
            return
        raise RetryableError(f"the status of ModelRollout {namespace}/{name} could not be written")


def _refusal(reason: str, message: str) -> Condition:
    return Condition(type="Accepted", status=False, reason=reason, message=message)


def _explained(state: State, before: State, seen: _Seen, superseded: str) -> State:
    """Put the cause that only the cluster knows into the engine's reason."""
    if state.phase is before.phase:
        return state
    if state.phase in (Phase.ROLLING_BACK, Phase.FAILED):
        if seen.fault and seen.observation.canary == "dead":
            return replace(state, reason=f"{state.reason}: {seen.fault}")
        if seen.standing.rejected_by:
            return replace(state, reason=f"rejected by {seen.standing.rejected_by}")
        if superseded:
            return replace(state, reason=f"superseded by {superseded}")
    return state
