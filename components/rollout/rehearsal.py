"""Rehearses three bad releases against the model in service: each must be taken back by itself.

`python -m tallystick.components.rollout.rehearsal` runs them one after another on one site: the champion and the
gateway stay, the canary is a new bad build each time (faulty_build.py). Each leaves a statement of its own.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tallystick.components.core.encoding import encode
from tallystick.components.core.ensembles import score
from tallystick.components.core.errors import StepError
from tallystick.components.core.evidence import EvidenceStore
from tallystick.components.core.journal import step
from tallystick.components.core.model_package import ModelPackage, read_package
from tallystick.components.core.policy import Policy, RolloutRules, parse_policy
from tallystick.components.core.processes import follow_command_line
from tallystick.components.core.storage import open_store
from tallystick.components.rollout.applications import held_out_rows, request_bodies
from tallystick.components.rollout.logic import record_trial, sentence, versions
from tallystick.components.rollout.replay import Replay
from tallystick.components.rollout.site import INFER_PATH, Build, LocalSite
from tallystick.components.rollout.trial import Trial, run_trial
from tallystick.components.rollout_controller.evidence import population_stability_index
from tallystick.components.rollout_controller.state import Phase

_BUILD = "tallystick.components.rollout.faulty_build"
_MONEY = ("dollar", "usd", "eur", "$", "£", "pound", "franc", "twd", "currency")
_FACTORS = (1000.0, 100.0, 12.0, 0.01, 0.001)
_ENOUGH_PSI = 1.0
_FAIL_EVERY = 3


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """One bad build: its trial's name, what is wrong with it, and how it is started."""

    name: str
    story: str
    arguments: tuple[str, ...]


def rehearsals(package: ModelPackage, rows: Sequence[Mapping[str, Any]], rules: RolloutRules) -> list[Rehearsal]:
    """The three bad builds for a model: one breaks, one is slow, one reads a number in the wrong unit."""
    delay_s = 1.2 * rules.service_level.maximum_p99_s
    columns, factor = wrong_unit(package, rows)
    shown = ", ".join(columns) if len(columns) <= 3 else f"{len(columns)} numbers ({columns[0]}, {columns[1]} ...)"
    return [
        Rehearsal(
            name="rollout-errors",
            story=f"A build that answers every {_FAIL_EVERY}rd request with an error.",
            arguments=("--fail-every", str(_FAIL_EVERY)),
        ),
        Rehearsal(
            name="rollout-slow",
            story=f"A build that answers {delay_s:g} s late; {rules.service_level.maximum_p99_s:g} s are allowed.",
            arguments=("--delay", f"{delay_s:g}"),
        ),
        Rehearsal(
            name="rollout-shifted",
            story=f"A build that reads {shown} in the wrong unit, {factor:g} times as large: "
            "it answers in time and without an error, but wrongly.",
            arguments=("--columns", ",".join(columns), "--factor", f"{factor:g}"),
        ),
    ]


def wrong_unit(package: ModelPackage, rows: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, ...], float]:
    """Numbers and a factor by which misreading them shifts the scores most: sums of money where these do.

    Raises
    ------
    StepError
        The model has no number that moves its scores.
    """
    features = package.interface.features
    columns = {feature.name: [row[feature.name] for row in rows] for feature in features}
    right = _score_shares(package, columns)
    numbers = [feature for feature in features if feature.type in ("number", "integer")]
    money = [feature.name for feature in numbers if any(word in feature.unit.lower() for word in _MONEY)]
    best: tuple[float, tuple[str, ...], float] = (0.0, (), 1.0)
    for group in (money, [feature.name for feature in numbers]):
        choices = [(name,) for name in group] + ([tuple(group)] if len(group) > 1 else [])
        for names in choices if best[0] < _ENOUGH_PSI else ():
            for factor in _FACTORS:
                wrong = {name: [None if value is None else value * factor for value in columns[name]] for name in names}
                shift = population_stability_index(right, _score_shares(package, {**columns, **wrong}))
                best = max(best, (shift, names, factor))
    if not best[1]:
        raise StepError("the model has no number whose unit matters: no shifted build can be rehearsed")
    return best[1], best[2]


def _score_shares(package: ModelPackage, columns: Mapping[str, Sequence[Any]]) -> list[float]:
    """How many scores fall into each bin of the profile; half a row is added so that no bin is empty."""
    import numpy as np

    edges = np.array(package.profile.score.edges)
    scores = score(package.arithmetic, encode(package.interface.features, columns))
    counts = np.bincount(np.searchsorted(edges, scores, side="left"), minlength=len(edges) + 1)
    return [float(count) + 0.5 for count in counts]


def rehearse(
    champion: Path,
    dataset: Path,
    *,
    policy: Policy,
    store: EvidenceStore,
    folder: Path,
) -> list[Trial]:
    """Try the three bad builds; all must be rolled back.

    Parameters
    ----------
    champion
        Folder of the model in service; its predictions are looked for beside it.

    Raises
    ------
    StepError
        A bad build was promoted, or a trial could not be held.
    """
    package = read_package(champion)
    features = package.interface.features
    rows = held_out_rows(dataset, champion.parent / "predictions.parquet", features)
    columns = {feature.name: [row[feature.name] for row in rows] for feature in features}
    expected = score(package.arithmetic, encode(features, columns)).tolist()
    bodies = request_bodies(features, rows)
    planned = rehearsals(package, rows, policy.rollout)
    trials = []
    with LocalSite(folder, policy.rollout) as site:
        for number, plan in enumerate(planned):
            build = Build(package=package, module=_BUILD, arguments=plan.arguments)
            with step(plan.name) as journal:
                journal.progress(0.0, "starting the bad build")
                if number == 0:
                    site.open(Build(package=package), build)
                else:
                    site.start_arm("canary", build)
                replay = Replay(
                    port=site.files.port, path=INFER_PATH, bodies=bodies, expected=expected,
                    rate=policy.rollout.replay_requests_per_s,
                    slow_after_s=policy.rollout.service_level.maximum_p99_s, seed=policy.seed + number,
                )  # fmt: skip
                replay.start()
                try:
                    trial = run_trial(
                        site, replay, policy.rollout, name=plan.name, story=plan.story, journal=journal,
                        memory=folder / f"{plan.name}.json",
                    )  # fmt: skip
                finally:
                    replay.stop()
                trial.details.update(versions(package, package))
                trial.details["canary"]["version"] = f"{package.version} ({plan.name.removeprefix('rollout-')})"
                record_trial(store, trial)
                taken_back = trial.phase is Phase.ROLLED_BACK
                journal.event("outcome", rollout=plan.name, text=sentence(trial), good=taken_back)
                if not taken_back:
                    raise StepError(f"{plan.name}: a bad build ended as {trial.phase.value}: {trial.reason}")
                trials.append(trial)
    return trials


def main() -> int:
    """The command; exit code 0 when all three were taken back."""
    parser = argparse.ArgumentParser(prog="rehearsal", description="try three bad builds of the model in service")
    for name, text in (
        ("champion", "folder of the model in service"),
        ("dataset", "validated data (Parquet)"),
        ("contract", "contract.yaml (the run's; the model itself says what it takes)"),
        ("policy", "policy.yaml"),
        ("evidence", "where statements are kept"),
        ("run-id", "name of the run in the evidence"),
    ):
        parser.add_argument(f"--{name}", required=True, help=text)
    parser.add_argument("--logs", default="", help="folder for logs; default: beside the evidence")
    options = parser.parse_args()
    follow_command_line(os.environ)
    with step("rehearsal"):
        rehearse(
            Path(options.champion),
            Path(options.dataset),
            policy=parse_policy(Path(options.policy).read_text(encoding="utf-8"), options.policy),
            store=EvidenceStore(open_store(options.evidence), options.run_id),
            folder=Path(options.logs or Path(options.evidence).parent / "rehearsal"),
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
