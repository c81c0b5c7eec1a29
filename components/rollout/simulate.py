"""`tallystick simulate`: what a policy's trial would do, before it is used: false alarms, and time to find a fault.

The arithmetic is simulation.py's; here are the arguments, the table and the plot.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tallystick.components.core.errors import ExitCode, InputError
from tallystick.components.core.files import write_text
from tallystick.components.core.policy import RolloutRules, parse_policy
from tallystick.components.rollout.simulation import (
    ARGO,
    FLAGGER,
    Scenario,
    draw,
    rolled_back_after_s,
    rolled_back_by_rule_s,
)
from tallystick.components.rollout_controller.evidence import Floats

FAULTS = (0.01, 0.03, 0.1, 0.3, 1.0)
_LONGEST_LOOKS = 400


@dataclass(frozen=True, kw_only=True)
class Healthy:
    """How often a release no worse than the baseline is taken back at one step's share, with the 95 % interval."""

    weight_pct: float
    looks: int
    duration_s: float
    ours: float
    interval: tuple[float, float]
    flagger: float
    argo: float


@dataclass(frozen=True, kw_only=True)
class Found:
    """How long a fault lasts that begins with a step; seconds, inf where more than that share is never found."""

    weight_pct: float
    error_rate: float
    median_s: float
    ninety_pct_s: float
    found: float
    failed_answers: float


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """The whole answer."""

    requests_per_s: float
    error_rate: float
    streams: int
    alpha: float
    healthy: tuple[Healthy, ...]
    faults: tuple[Found, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values; what never happens is null."""
        text = json.dumps(asdict(self)).replace("Infinity", "null")
        value: dict[str, Any] = json.loads(text)
        return value


def forecast(
    rules: RolloutRules,
    *,
    requests_per_s: float,
    error_rate: float,
    faults: tuple[float, ...] = FAULTS,
    streams: int = 2000,
    seed: int = 1,
) -> Forecast:
    """Play every step of a policy, healthy and with faults of several sizes.

    Parameters
    ----------
    requests_per_s, error_rate
        The service's traffic, and its usual share of failed answers.
    faults
        Shares of failed answers of a bad release.
    streams
        Simulated trials each.
    """
    random = np.random.default_rng(seed)
    duration_s = min(rules.deadline_s, _LONGEST_LOOKS * rules.interval_s)
    healthy, found = [], []
    for step in rules.steps:
        usual = Scenario(
            requests_per_s=requests_per_s,
            weight_pct=step.weight_pct,
            baseline_rate=error_rate,
            canary_rate=error_rate,
            interval_s=rules.interval_s,
            duration_s=duration_s,
        )
        healthy.append(_healthy(usual, rules, streams, random))
        for fault in faults:
            bad = Scenario(**{**asdict(usual), "canary_rate": fault})
            found.append(_found(bad, rules, min(streams, 500), random))
    return Forecast(
        requests_per_s=requests_per_s, error_rate=error_rate, streams=streams, alpha=rules.comparison.alpha,
        healthy=tuple(healthy), faults=tuple(found),
    )  # fmt: skip


def _healthy(scenario: Scenario, rules: RolloutRules, streams: int, random: np.random.Generator) -> Healthy:
    from tallystick.components.core.measures.intervals import wilson

    drawn = draw(scenario, streams, random)
    ours = int(np.isfinite(rolled_back_after_s(drawn, rules)).sum())
    return Healthy(
        weight_pct=scenario.weight_pct,
        looks=scenario.looks,
        duration_s=scenario.duration_s,
        ours=ours / streams,
        interval=wilson(ours, streams),
        flagger=float(np.isfinite(rolled_back_by_rule_s(drawn, FLAGGER)).mean()),
        argo=float(np.isfinite(rolled_back_by_rule_s(drawn, ARGO)).mean()),
    )


def _found(scenario: Scenario, rules: RolloutRules, streams: int, random: np.random.Generator) -> Found:
    drawn = draw(scenario, streams, random)
    times: Floats = rolled_back_after_s(drawn, rules)
    looks = np.minimum(np.round(times / scenario.interval_s), scenario.looks).astype(np.int64)
    failed = np.cumsum(drawn.k_canary, axis=1)[np.arange(streams), looks - 1]
    return Found(
        weight_pct=scenario.weight_pct,
        error_rate=scenario.canary_rate,
        median_s=float(np.quantile(times, 0.5, method="higher")),
        ninety_pct_s=float(np.quantile(times, 0.9, method="higher")),
        found=float(np.isfinite(times).mean()),
        failed_answers=float(failed.mean()),
    )


def table(answer: Forecast) -> str:
    """The answer as text for a terminal."""
    lines = [
        f"At {answer.requests_per_s:g} requests/s of which {100 * answer.error_rate:g} % fail "
        f"({answer.streams} simulated trials each):",
        "",
        "A healthy release is taken back (promised: at most "
        f"{100 * answer.alpha:g} % over all tests; failed answers alone are simulated)",
        f"  {'share':>6}  {'looked for':>11}  {'here':>7}  {'95 % interval':>17}  {'Flagger':>8}  {'Argo':>7}",
    ]
    for row in answer.healthy:
        low, high = (100 * bound for bound in row.interval)
        lines.append(
            f"  {row.weight_pct:>5g} %  {_seconds(row.duration_s):>11}  {100 * row.ours:>5.2f} %  "
            f"{low:>6.2f} - {high:>5.2f} %  {100 * row.flagger:>6.1f} %  {100 * row.argo:>5.1f} %"
        )
    lines += [
        "",
        "A release that fails more often is found",
        f"  {'share':>6}  {'fails':>6}  {'half within':>11}  {'90 % within':>11}  {'found':>6}  {'failed answers':>14}",
    ]
    lines += [
        f"  {row.weight_pct:>5g} %  {100 * row.error_rate:>4g} %  {_seconds(row.median_s):>11}  "
        f"{_seconds(row.ninety_pct_s):>11}  {100 * row.found:>4.0f} %  {row.failed_answers:>14.1f}"
        for row in answer.faults
    ]
    return "\n".join(lines) + "\n"


def _seconds(value: float) -> str:
    if not np.isfinite(value):
        return "never"
    return f"{value:g} s" if value < 600 else f"{value / 60:.0f} min"


def plot(answer: Forecast) -> str:
    """Time to find a fault by its size, one line a step, as an SVG document."""
    from tallystick.components.core.svg import BLUE, GREEN, ORANGE, PURPLE, VERMILLION, inline_svg, new_axes, new_figure

    figure = new_figure(8.0, 4.0)
    axes = new_axes(figure)
    weights = list(dict.fromkeys(row.weight_pct for row in answer.faults))
    for number, weight in enumerate(weights):
        rows = [row for row in answer.faults if row.weight_pct == weight and np.isfinite(row.median_s)]
        colour = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE)[number % 5]
        axes.plot([100 * row.error_rate for row in rows], [row.median_s for row in rows], "o-", color=colour,
                  label=f"{weight:g} % of the requests")  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="Share of failed answers (%)", ylabel="Half are found within (s)")
    axes.legend()
    alt = f"Time until half of the faults are found, by their size, at {answer.requests_per_s:g} requests per second."
    return inline_svg(figure, key="simulate", alt=alt)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("policy", type=Path, help="policy.yaml, of which `rollout` is used")
    parser.add_argument("--requests-per-second", type=float, default=20.0, help="the service's traffic (default: 20)")
    parser.add_argument("--error-rate", type=float, default=0.003, help="share of answers that fail as it is (0.003)")
    parser.add_argument(
        "--fault", type=float, action="append", help="share that fails in a bad release; may be given many times"
    )
    parser.add_argument("--trials", type=int, default=2000, help="simulated trials for each setting (2000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plot", type=Path, help="write the plot here (SVG)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")


def run(options: argparse.Namespace) -> ExitCode:
    """Answer the question and print it."""
    for name, value, low, high in (
        ("--requests-per-second", options.requests_per_second, 1e-3, 1e5),
        ("--error-rate", options.error_rate, 0.0, 0.99),
        ("--trials", options.trials, 10, 100_000),
        *(("--fault", fault, 1e-4, 1.0) for fault in options.fault or ()),
    ):
        if not low <= value <= high:
            raise InputError(name, f"is {value:g}", f"{low:g} to {high:g}")
    try:
        text = options.policy.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(str(options.policy), f"cannot be read ({error.strerror})", "a policy.yaml") from error
    answer = forecast(
        parse_policy(text, str(options.policy)).rollout,
        requests_per_s=options.requests_per_second,
        error_rate=options.error_rate,
        faults=tuple(options.fault or FAULTS),
        streams=options.trials,
        seed=options.seed,
    )
    if options.plot:
        write_text(options.plot, plot(answer))
    sys.stdout.write(json.dumps(answer.to_json(), indent=2) + "\n" if options.json else table(answer))
    return ExitCode.DONE
