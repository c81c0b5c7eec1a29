"""Asks what a policy does before it is used: how long until a fault is found, and how often a healthy release is hit.

Thousands of streams of requests at once, judged by the engine's own formulas (the comparison of errors and the absolute
guard, which see every kind of failed answer), beside the fixed rules that other tools use, on the same streams. Scores
and latency are simulated with the engine itself, one trial at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tallystick.components.core.policy import RolloutRules
from tallystick.components.rollout_controller.evidence import (
    NOTHING,
    WORSE,
    Floats,
    Pair,
    log_odds_evidence,
    log_rate_evidence,
)
from tallystick.components.rollout_controller.judgement import harm_needed

Integers = npt.NDArray[np.int64]
_STEADY_FROM = 30.0


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Two arms under steady traffic.

    Attributes
    ----------
    requests_per_s, weight_pct
        All requests, and the canary's share of them.
    baseline_rate, canary_rate
        Share of failed answers in either arm, 0 to 1.
    interval_s, duration_s
        Time between two looks, and how long is looked.
    """

    requests_per_s: float
    weight_pct: float
    baseline_rate: float
    canary_rate: float
    interval_s: float
    duration_s: float

    @property
    def looks(self) -> int:
        """How many looks there are."""
        return max(1, round(self.duration_s / self.interval_s))


@dataclass(frozen=True, kw_only=True)
class Streams:
    """Drawn counts, each of shape (streams, looks)."""

    scenario: Scenario
    n_canary: Integers
    k_canary: Integers
    n_baseline: Integers
    k_baseline: Integers


def draw(scenario: Scenario, streams: int, random: np.random.Generator) -> Streams:
    """Answers fail independently. An arm's requests per look are Poisson; where 30 and more are expected they are
    taken as steady, which changes no test (each is conditional on them) and makes large simulations quick.
    """
    shape = (streams, scenario.looks)
    per_look = scenario.requests_per_s * scenario.interval_s
    n_canary = _arrivals(per_look * scenario.weight_pct / 100.0, shape, random)
    n_baseline = _arrivals(per_look * (1.0 - scenario.weight_pct / 100.0), shape, random)
    return Streams(
        scenario=scenario,
        n_canary=n_canary,
        k_canary=random.binomial(n_canary, scenario.canary_rate),
        n_baseline=n_baseline,
        k_baseline=random.binomial(n_baseline, scenario.baseline_rate),
    )


def _arrivals(expected: float, shape: tuple[int, int], random: np.random.Generator) -> Integers:
    if expected >= _STEADY_FROM:
        return np.full(shape, round(expected), dtype=np.int64)
    return random.poisson(expected, shape)


def rolled_back_after_s(streams: Streams, rules: RolloutRules) -> Floats:
    """When the engine's tests on failed answers would take each stream back, in seconds; inf for never.

    alpha is split over all tests of the policy, as the engine splits it, though only these two are played.
    """
    compared_at, guard_at = harm_needed("errors", rules), harm_needed("service_level_errors", rules)
    count, looks = streams.n_canary.shape
    compared, guard, baseline_guard = (_Mixtures(count) for _ in range(3))
    odds = _OddsTable(rules.comparison.tolerated_error_odds_ratio)
    found: Floats = np.full(count, np.inf)
    limit = rules.service_level.maximum_error_rate
    for look in range(looks):
        n_c, k_c = streams.n_canary[:, look], streams.k_canary[:, look]
        n_b, k_b = streams.n_baseline[:, look], streams.k_baseline[:, look]
        compared.advance(odds.evidence(n_c, k_c, n_b, k_b), (n_c > 0) & (n_b > 0) & (k_c + k_b > 0))
        guard.advance(_rate_evidence(n_c, k_c, limit), n_c > 0)
        baseline_guard.advance(_rate_evidence(n_b, k_b, limit), n_b > 0)
        alone = (guard.values() >= guard_at) & ~((baseline_guard.interval > 0) & (baseline_guard.values() > 1.0))
        crossed = (compared.values() >= compared_at) | alone
        found[crossed & np.isinf(found)] = (look + 1) * streams.scenario.interval_s
    return found


class _Mixtures:
    """The engine's mixture over starting times (evidence.py), for many streams at once."""

    def __init__(self, count: int) -> None:
        self.log_r: Floats = np.full((count, len(WORSE)), NOTHING)
        self.interval: Integers = np.zeros(count, dtype=np.int64)

    def advance(self, log_e: Floats, informative: npt.NDArray[np.bool_]) -> None:
        number = self.interval + 1
        mass = np.log(1.0 / (number * (number + 1.0)))
        advanced = np.maximum(np.logaddexp(self.log_r, mass[:, None]) + log_e, NOTHING)
        self.log_r = np.where(informative[:, None], advanced, self.log_r)
        self.interval = self.interval + informative

    def values(self) -> Floats:
        waiting = 1.0 / (self.interval + 1.0)
        result: Floats = np.exp(np.minimum(self.log_r, 600.0)).mean(axis=1) + waiting
        return result


class _OddsTable:
    """Log e-values by counts: the same counts come again and again, each is computed once."""

    def __init__(self, null: float) -> None:
        self._null, self._alternatives = null, null * np.array(WORSE)
        self._places: dict[tuple[int, int, int, int], int] = {}
        self._rows: list[Floats] = []

    def evidence(self, n_c: Integers, k_c: Integers, n_b: Integers, k_b: Integers) -> Floats:
        """Shape (streams, alternatives)."""
        sizes = [int(counts.max()) + 1 for counts in (n_c, k_c, n_b, k_b)]
        code = np.ravel_multi_index((n_c, k_c, n_b, k_b), sizes)
        unique, where = np.unique(code, return_inverse=True)
        counts = np.stack(np.unravel_index(unique, sizes), axis=1).tolist()
        rows = np.stack([self._row((a, b, c, d)) for a, b, c, d in counts])
        result: Floats = rows[where.reshape(-1)]
        return result

    def _row(self, counts: tuple[int, int, int, int]) -> Floats:
        place = self._places.get(counts)
        if place is None:
            a, b, c, d = counts
            pair = Pair(n_canary=a, k_canary=b, n_baseline=c, k_baseline=d)
            place = self._places[counts] = len(self._rows)
            self._rows.append(log_odds_evidence(pair, null=self._null, alternatives=self._alternatives))
        return self._rows[place]


def _rate_evidence(n: Integers, k: Integers, limit: float) -> Floats:
    one_error = log_rate_evidence(1, 1, limit=limit, factors=WORSE)
    one_success = log_rate_evidence(1, 0, limit=limit, factors=WORSE)
    result: Floats = np.outer(k, one_error) + np.outer(n - k, one_success)
    return result


@dataclass(frozen=True, kw_only=True)
class FixedRule:
    """A threshold on the canary's average, looked at every so often, as other tools have it.

    Attributes
    ----------
    maximum_rate
        A window with a larger share of failed answers is a failed check.
    window_s
        Length of a window, and time between two checks.
    failures
        So many failed checks in the trial take it back.
    delay_s
        What passes between the last failed check and the rollback.
    empty_fails
        Whether a window without a request is a failed check.
    """

    name: str
    maximum_rate: float
    window_s: float
    failures: int
    delay_s: float = 0.0
    empty_fails: bool = False


FLAGGER = FixedRule(
    name="Flagger's defaults (success rate 99 % over 1 min, threshold 1)",
    maximum_rate=0.01, window_s=60.0, failures=1, delay_s=60.0, empty_fails=True,
)  # fmt: skip
ARGO = FixedRule(
    name="Argo Rollouts (the documentation's success rate 95 %, 1 min, default failure limit 0)",
    maximum_rate=0.05, window_s=60.0, failures=1, empty_fails=True,
)  # fmt: skip


def rolled_back_by_rule_s(streams: Streams, rule: FixedRule) -> Floats:
    """When a fixed rule would take each stream back, in seconds; inf for never."""
    looks = max(1, round(rule.window_s / streams.scenario.interval_s))
    count, windows = streams.n_canary.shape[0], streams.n_canary.shape[1] // looks
    shape = (count, windows, looks)
    n = streams.n_canary[:, : windows * looks].reshape(shape).sum(axis=2)
    k = streams.k_canary[:, : windows * looks].reshape(shape).sum(axis=2)
    failed = np.where(n > 0, k > rule.maximum_rate * n, rule.empty_fails)
    enough = np.cumsum(failed, axis=1) >= rule.failures
    first = np.argmax(enough, axis=1)
    result: Floats = np.where(enough.any(axis=1), (first + 1) * rule.window_s + rule.delay_s, np.inf)
    return result


def tuned_rule(healthy: Streams, *, window_s: float, false_rate: float) -> FixedRule:
    """The sharpest threshold for one window that takes back at most this share of healthy streams."""
    looks = max(1, round(window_s / healthy.scenario.interval_s))
    count, windows = healthy.n_canary.shape[0], healthy.n_canary.shape[1] // looks
    shape = (count, windows, looks)
    n = healthy.n_canary[:, : windows * looks].reshape(shape).sum(axis=2)
    k = healthy.k_canary[:, : windows * looks].reshape(shape).sum(axis=2)
    worst = np.where(n > 0, k / np.maximum(n, 1), 0.0).max(axis=1)
    threshold = float(np.quantile(worst, 1.0 - false_rate, method="higher"))
    return FixedRule(
        name=f"a fixed rule over {window_s:g} s, tuned", maximum_rate=threshold, window_s=window_s, failures=1
    )
