"""Puts a test's figures into one sentence for an operator; it decides nothing."""

from __future__ import annotations

import math

from tallystick.components.core.policy import RolloutRules
from tallystick.components.rollout_controller.evidence import population_stability_index
from tallystick.components.rollout_controller.observation import Counts

_MAXIMUM_EDGES = 6


def slow_after_s(rules: RolloutRules) -> float:
    """Answers faster than this are never slow."""
    return rules.comparison.slow_after_s or rules.service_level.maximum_p99_s / 4.0


def compared_edges(edges: set[float], rules: RolloutRules) -> list[float]:
    """The bucket edges at which the arms are compared: finite, and at or above the floor."""
    return sorted(edge for edge in edges if slow_after_s(rules) <= edge < math.inf)[:_MAXIMUM_EDGES]


def because(finding: str, e_bad: float, e_good: float, bad_at: float, good_at: float) -> str:
    """Which side has enough evidence, or how much either has."""
    if finding == "bad":
        return f"evidence of harm {e_bad:.3g}, {bad_at:.3g} suffices"
    if finding == "good":
        return f"evidence of health {e_good:.3g}, {good_at:.3g} suffices"
    return f"not decided (harm {e_bad:.3g} of {bad_at:.3g}, health {e_good:.3g} of {good_at:.3g})"


def figures(test: str, canary: Counts, baseline: Counts, rules: RolloutRules) -> str:
    """The counts of one comparison over the whole trial."""
    if test == "errors":
        return (
            f"{canary.failed + canary.refused} of {canary.requests} answers failed, "
            f"{baseline.failed + baseline.refused} of {baseline.requests} in the baseline"
        )
    if test == "slow":
        edge = next(iter(compared_edges({edge for edge, _ in canary.within}, rules)), None)
        if edge is None:
            return "no answer was timed"
        return (
            f"{canary.slower_than(edge)} of {canary.timed} answers took over {edge:g} s, "
            f"{baseline.slower_than(edge)} of {baseline.timed} in the baseline"
        )
    if test == "scores":
        if not sum(canary.scores) or not sum(baseline.scores):
            return "no score was counted"
        if len(canary.scores) != len(baseline.scores):
            return f"scores of {sum(canary.scores)} and {sum(baseline.scores)} answers in different bins"
        psi = population_stability_index([n + 0.5 for n in baseline.scores], [n + 0.5 for n in canary.scores])
        return (
            f"scores of {sum(canary.scores)} and {sum(baseline.scores)} answers differ by a PSI of {psi:.2g} "
            f"(tolerated {rules.comparison.maximum_score_psi:g})"
        )
    shares = [
        f"{100 * counts.adverse / (counts.adverse + counts.favourable):.3g} %"
        if counts.adverse + counts.favourable
        else "none"
        for counts in (canary, baseline)
    ]
    return f"adverse decisions {shares[0]}, {shares[1]} in the baseline"


def level_figures(kind: str, canary: Counts, rules: RolloutRules) -> str:
    """The counts of the service level over the whole trial."""
    level = rules.service_level
    if kind == "errors":
        allowed = 100 * level.maximum_error_rate
        return f"{canary.failed} of {canary.requests} answers were errors, {allowed:g} % are allowed"
    edge = max((edge for edge, _ in canary.within if edge <= level.maximum_p99_s), default=None)
    if edge is None:
        return "no answer was timed"
    return (
        f"{canary.slower_than(edge)} of {canary.timed} answers took over {edge:g} s, "
        f"{100 * level.maximum_slow_rate:g} % are allowed"
    )
