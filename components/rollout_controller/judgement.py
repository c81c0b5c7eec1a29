"""What the counts say about a release: per test good, bad or hold, with a sentence that holds the numbers.

Harm is looked for over the whole trial and spends `alpha`, split over all tests. Health is shown anew at
every step and spends `beta`. Three traps shape it:

- Where neither arm makes an error the comparison knows nothing, so health may also be shown by the canary's own
  rate against the service level.
- A moment in which the machine stands still slows every request that is in flight: many slow answers, one event. So
  no single look may decide about latency: its evidence of harm is capped (a smaller e-value is an e-value still).
- A new model's scores rightly differ from the old one's. Both count them in bins of their *own* profile; bins are
  compared by rank, and the null hypothesis is "the shift is within the policy's maximum PSI", not "no shift".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal

import numpy as np

from tallystick.components.core.policy import RolloutRules
from tallystick.components.rollout_controller.counting import Interval, add
from tallystick.components.rollout_controller.evidence import (
    BETTER,
    MUCH_BETTER,
    NOTHING,
    WORSE,
    Floats,
    Pair,
    advance_mixture,
    log_odds_evidence,
    log_rate_evidence,
    mixture_value,
    product_value,
    tolerated_odds_ratio,
)
from tallystick.components.rollout_controller.observation import Counts, References
from tallystick.components.rollout_controller.wording import because, compared_edges, figures, level_figures

Finding = Literal["good", "bad", "hold"]

_TAIL = 0.02
_SLOW_LOOKS = 1.5
_GUARDS = ("service_level_errors", "service_level_slow")
_SHARES = {"errors": 4, "slow": 2, "scores": 2, "decisions": 1, "service_level_errors": 1, "service_level_slow": 1}
_PRIOR_REQUESTS = 10.0
_SMALLEST_RATE = 1e-6


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """An e-process for harm: log of its started part per alternative, and how many intervals it has seen."""

    log_r: tuple[float, ...] = (NOTHING,) * len(WORSE)
    interval: int = 0

    @property
    def value(self) -> float:
        """The e-value; 1 before the first interval."""
        return mixture_value(np.array(self.log_r), self.interval)

    def advanced(self, log_e: Floats) -> Mixture:
        """One interval further."""
        number = self.interval + 1
        return Mixture(log_r=tuple(advance_mixture(np.array(self.log_r), log_e, number).tolist()), interval=number)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that the trial has learnt; part of the engine's state.

    Attributes
    ----------
    harm, health
        E-processes by unit: a test, or a cut or edge of it. Health holds log e-values per alternative.
    canary, baseline
        Counts of the whole trial, over spans that agree in both arms.
    step_canary
        Counts of the canary since the present step's share took.
    """

    harm: Mapping[str, Mixture] = field(default_factory=dict)
    health: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    canary: Counts = field(default_factory=Counts)
    baseline: Counts = field(default_factory=Counts)
    step_canary: Counts = field(default_factory=Counts)

    def next_step(self) -> Evidence:
        """Health must be shown anew; harm is never forgotten."""
        return replace(self, health={}, step_canary=Counts())


@dataclass(frozen=True, kw_only=True)
class TestResult:
    """One test's finding.

    Attributes
    ----------
    e_bad, e_good
        Evidence of harm and of health; 1 is none.
    bad_at, good_at
        What they must reach.
    incident
        The service level is missed in the canary, and in the baseline too.
    """

    __test__ = False

    name: str
    finding: Finding
    e_bad: float
    e_good: float
    bad_at: float
    good_at: float
    sentence: str
    required: bool
    incident: bool = False


class _Books:
    """The e-processes while one interval is entered into them."""

    def __init__(self, evidence: Evidence) -> None:
        self.harm = dict(evidence.harm)
        self.health = dict(evidence.health)

    def enter_harm(self, unit: str, log_e: Floats, *, cap: float = math.inf) -> None:
        self.harm[unit] = self.harm.get(unit, Mixture()).advanced(np.minimum(log_e, cap))

    def enter_health(self, unit: str, log_e: Floats) -> None:
        before = self.health.get(unit, (0.0,) * len(BETTER))
        self.health[unit] = tuple(max(NOTHING, a + b) for a, b in zip(before, log_e.tolist(), strict=True))

    def enter_odds(self, unit: str, pair: Pair, *, harm_null: float, health_null: float, cap: float = math.inf) -> None:
        """The comparison's two sides. Units exist from the first look on, so that the split of alpha is fixed."""
        self.harm.setdefault(unit, Mixture())
        self.health.setdefault(unit, (0.0,) * len(BETTER))
        if pair.informative:
            worse = harm_null * np.array(WORSE)
            self.enter_harm(unit, log_odds_evidence(pair, null=harm_null, alternatives=worse), cap=cap)
            better = health_null * np.array(BETTER)
            self.enter_health(unit, log_odds_evidence(pair, null=health_null, alternatives=better))


def learn(evidence: Evidence, interval: Interval, rules: RolloutRules, references: References) -> Evidence:
    """Enter one interval's counts."""
    books = _Books(evidence)
    canary, baseline = interval.compared("canary"), interval.compared("baseline")
    _errors(books, canary, baseline, rules)
    _slow(books, canary, baseline, rules)
    if canary.scores and baseline.scores:
        cuts = _cuts(len(canary.scores), len(baseline.scores), references)
        _bins(books, "scores", canary.scores, baseline.scores, evidence.baseline.scores, cuts, rules)
    new, old, earlier = [(counts.favourable, counts.adverse) for counts in (canary, baseline, evidence.baseline)]
    if sum(new) or sum(old):
        _bins(books, "decisions", new, old, earlier, [_DECISION], rules)
    for name, counts in (("canary", interval.total("canary")), ("baseline", interval.total("baseline"))):
        _service_level(books, name, counts, rules)
    return Evidence(
        harm=books.harm,
        health=books.health,
        canary=add([evidence.canary, canary]),
        baseline=add([evidence.baseline, baseline]),
        step_canary=add([evidence.step_canary, interval.total("canary")]),
    )


def _errors(books: _Books, canary: Counts, baseline: Counts, rules: RolloutRules) -> None:
    """Any answer that is no result counts: a caller's own mistakes hit both arms alike."""
    pair = Pair(
        n_canary=canary.requests,
        k_canary=canary.failed + canary.refused,
        n_baseline=baseline.requests,
        k_baseline=baseline.failed + baseline.refused,
    )
    limits = rules.comparison
    books.enter_odds(
        "errors", pair, harm_null=limits.tolerated_error_odds_ratio, health_null=limits.maximum_error_odds_ratio
    )


def harm_needed(test: str, rules: RolloutRules) -> float:
    """The e-value at which a test takes the release back.

    alpha is split over the policy's tests and the two guards in fixed shares that sum to 1: most to errors, the most
    common harm and the one that has to be found soonest.
    """
    shares = {name: _SHARES[name] for name in (*rules.comparison.tests, *_GUARDS)}
    return sum(shares.values()) / (rules.comparison.alpha * shares[test])


def _slow_cap(rules: RolloutRules) -> float:
    """Log of what one look may say about latency: so much that two bad looks in a row suffice, and one does not."""
    return math.log(harm_needed("service_level_slow", rules)) / _SLOW_LOOKS


def _slow(books: _Books, canary: Counts, baseline: Counts, rules: RolloutRules) -> None:
    common = {edge for edge, _ in canary.within} & {edge for edge, _ in baseline.within}
    limits = rules.comparison
    for edge in compared_edges(common, rules):
        pair = Pair(
            n_canary=canary.timed,
            k_canary=canary.slower_than(edge),
            n_baseline=baseline.timed,
            k_baseline=baseline.slower_than(edge),
        )
        books.enter_odds(
            f"slow>{edge:g}",
            pair,
            harm_null=limits.tolerated_slow_odds_ratio,
            health_null=limits.maximum_slow_odds_ratio,
            cap=_slow_cap(rules),
        )


@dataclass(frozen=True, kw_only=True)
class _Cut:
    """One boundary: in the canary's bins, in the baseline's, the baseline's expected share above, and the odds
    ratio that the two models' own profiles already have there (1 for equal deciles)."""

    canary: int
    baseline: int
    share: float
    reference: float


_DECISION = _Cut(canary=1, baseline=1, share=0.5, reference=1.0)


def _cuts(canary_bins: int, baseline_bins: int, references: References) -> list[_Cut]:
    above_canary = _shares_above(canary_bins, references.canary)
    above_baseline = _shares_above(baseline_bins, references.baseline)
    cuts = []
    for j in range(1, canary_bins):
        nearest = min(range(1, baseline_bins), key=lambda m: abs(above_baseline[m] - above_canary[j]), default=None)
        if nearest is None:
            continue
        c, b = above_canary[j], above_baseline[nearest]
        if _TAIL <= c <= 1 - _TAIL and _TAIL <= b <= 1 - _TAIL:
            cuts.append(_Cut(canary=j, baseline=nearest, share=b, reference=c / (1 - c) / (b / (1 - b))))
    return cuts


def _shares_above(bins: int, shares: Sequence[float]) -> list[float]:
    used = shares if len(shares) == bins and sum(shares) > 0 else (1.0 / bins,) * bins
    total = sum(used)
    return [sum(used[j:]) / total for j in range(bins)]


def _bins(
    books: _Books,
    test: str,
    canary: Sequence[int],
    baseline: Sequence[int],
    earlier: Sequence[int],
    cuts: Sequence[_Cut],
    rules: RolloutRules,
) -> None:
    """Compare two distributions cut by cut, in both directions.

    The tolerated odds ratio depends on the baseline's share at the cut; it is taken from what came before the
    interval (`earlier`), so that each interval's null is fixed before its data are seen.
    """
    maximum_psi = rules.comparison.maximum_score_psi
    n_canary, n_baseline, n_earlier = sum(canary), sum(baseline), sum(earlier)
    for cut in cuts:
        pair = Pair(
            n_canary=n_canary,
            k_canary=sum(canary[cut.canary :]),
            n_baseline=n_baseline,
            k_baseline=sum(baseline[cut.baseline :]),
        )
        share = (sum(earlier[cut.baseline :]) + _PRIOR_REQUESTS * cut.share) / (n_earlier + _PRIOR_REQUESTS)
        if not _TAIL <= share <= 1 - _TAIL:
            continue
        rising = _tolerated(round(share, 3), maximum_psi) * cut.reference
        falling = _tolerated(round(1 - share, 3), maximum_psi) / cut.reference
        books.enter_odds(f"{test}>{cut.canary}", pair, harm_null=rising, health_null=rising)
        books.enter_odds(f"{test}<{cut.canary}", pair.complement, harm_null=falling, health_null=falling)


@lru_cache(maxsize=4096)
def _tolerated(share: float, maximum_psi: float) -> float:
    return tolerated_odds_ratio(share, maximum_psi)


def _service_level(books: _Books, arm: str, counts: Counts, rules: RolloutRules) -> None:
    level = rules.service_level
    error_limit = min(max(level.maximum_error_rate, _SMALLEST_RATE), 1 - _SMALLEST_RATE)
    _enter_rate(books, f"{arm}:errors", counts.requests, counts.failed, counts.failed, limit=error_limit)
    edges = [edge for edge, _ in counts.within if edge < math.inf]
    at_least = min((edge for edge in edges if edge >= level.maximum_p99_s), default=None)
    at_most = max((edge for edge in edges if edge <= level.maximum_p99_s), default=None)
    if at_least is not None and at_most is not None:
        surely, perhaps = counts.slower_than(at_least), counts.slower_than(at_most)
        _enter_rate(
            books, f"{arm}:slow", counts.timed, surely, perhaps, limit=level.maximum_slow_rate, cap=_slow_cap(rules)
        )


def _enter_rate(
    books: _Books, unit: str, n: int, surely: int, perhaps: int, *, limit: float, cap: float = math.inf
) -> None:
    """One arm's own rate: harm counts what is surely an event, health what may be one."""
    books.harm.setdefault(unit, Mixture())
    if n > 0:
        books.enter_harm(unit, log_rate_evidence(n, surely, limit=limit, factors=WORSE), cap=cap)
        books.enter_health(unit, log_rate_evidence(n, perhaps, limit=limit, factors=MUCH_BETTER))


def judge(evidence: Evidence, rules: RolloutRules) -> tuple[TestResult, ...]:
    """What each test says now. The tests of the policy come first, then the service level's two."""
    wanted = rules.comparison.tests
    good_at = 1.0 / rules.comparison.beta
    results = []
    for test in wanted:
        e_bad, e_good, bad_at = _harm_of(evidence, test), _health_of(evidence, test, rules), harm_needed(test, rules)
        finding: Finding = "bad" if e_bad >= bad_at else "good" if e_good >= good_at else "hold"
        words = figures(test, evidence.canary, evidence.baseline, rules)
        results.append(
            TestResult(
                name=test, finding=finding, e_bad=e_bad, e_good=e_good, bad_at=bad_at, good_at=good_at,
                sentence=f"{words}: {because(finding, e_bad, e_good, bad_at, good_at)}", required=True,
            )
        )  # fmt: skip
    return (*results, *(_guard(kind, evidence, rules, good_at) for kind in ("errors", "slow")))


def _harm_of(evidence: Evidence, test: str) -> float:
    values = [mixture.value for unit, mixture in evidence.harm.items() if _belongs(unit, test)]
    return float(np.mean(values)) if values else 1.0


def _health_of(evidence: Evidence, test: str, rules: RolloutRules) -> float:
    """Evidence of health.

    Errors and slow answers: the mean of the comparison and of the canary's own rate, each of which shows that
    the release is not bad. Scores and decisions: the weakest cut, as all must hold.
    """
    own = [product_value(np.array(evidence.health[unit])) for unit in evidence.health if _belongs(unit, test)]
    if test in ("scores", "decisions"):
        return min(own, default=1.0)
    if evidence.step_canary.requests < rules.service_level.minimum_requests:
        return 1.0
    absolute = evidence.health.get(f"canary:{test}")
    compared = [min(own, default=1.0)] if own else []
    parts = compared + ([product_value(np.array(absolute))] if absolute is not None else [])
    return float(np.mean(parts)) if parts else 1.0


def _belongs(unit: str, test: str) -> bool:
    return unit == test or unit.startswith((f"{test}>", f"{test}<"))


def _guard(kind: str, evidence: Evidence, rules: RolloutRules, good_at: float) -> TestResult:
    """The absolute guard; a baseline that misses the service level as well makes it an incident, not a bad release."""
    bad_at = harm_needed(f"service_level_{kind}", rules)
    e_bad = evidence.harm.get(f"canary:{kind}", Mixture()).value
    health = evidence.health.get(f"canary:{kind}")
    e_good = product_value(np.array(health)) if health else 1.0
    baseline = evidence.harm.get(f"baseline:{kind}", Mixture())
    incident = e_bad >= bad_at and baseline.interval > 0 and baseline.value > 1.0
    finding: Finding = "bad" if e_bad >= bad_at and not incident else "good" if e_good >= good_at else "hold"
    words = level_figures(kind, evidence.canary, rules)
    reason = "the baseline misses it too" if incident else because(finding, e_bad, e_good, bad_at, good_at)
    return TestResult(
        name=f"service_level_{kind}", finding=finding, e_bad=e_bad, e_good=e_good, bad_at=bad_at, good_at=good_at,
        sentence=f"{words}: {reason}", required=False, incident=incident,
    )  # fmt: skip
