"""Tries a candidate on replayed traffic beside the champion, and promotes it or takes it back.

The two models run in real server processes behind a real Envoy on this machine; the engine that decides is the one
that runs on a cluster. Held-out applications stand in for customers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tallystick.components.core.contract import parse_contract
from tallystick.components.core.errors import StepError
from tallystick.components.core.evidence import EvidenceStore
from tallystick.components.core.files import write_text
from tallystick.components.core.journal import Journal
from tallystick.components.core.model_package import ModelPackage, read_package
from tallystick.components.core.policy import RolloutRules, parse_policy
from tallystick.components.core.storage import open_store
from tallystick.components.rollout.applications import all_features, held_out_rows, request_bodies
from tallystick.components.rollout.replay import Replay
from tallystick.components.rollout.site import INFER_PATH, Build, LocalSite
from tallystick.components.rollout.trial import Trial, run_trial

LONGEST_WARM_S = 5.0
STORY = "The new release takes over step by step while held-out applications arrive as traffic."


@dataclass(frozen=True, kw_only=True)
class Release:
    """What is tried, against what, and with which applications.

    Attributes
    ----------
    candidate, champion
        Folders that hold `model/`; the candidate's predictions say which rows are held out.
    dataset
        The validated data.
    folder
        For logs, configuration and the engine's state.
    """

    candidate: Path
    champion: Path
    dataset: Path
    folder: Path
    rules: RolloutRules
    seed: int


def build_of(package: ModelPackage, other: ModelPackage) -> Build:
    """The product's server; where the other model takes more inputs, the build that reads those past."""
    own = {feature.name for feature in package.interface.features}
    others = sorted({feature.name for feature in other.interface.features} - own)
    if not others:
        return Build(package=package)
    return Build(
        package=package, module="tallystick.components.rollout.builds", arguments=("--others", ",".join(others))
    )


def try_release(release: Release, *, name: str, story: str, journal: Journal) -> Trial:
    """Run the whole trial; its details name both versions.

    Raises
    ------
    StepError
        The champion or the gateway does not come up: nothing can be said about the candidate.
    InputError
        A folder is no model, or no application is held out.
    """
    candidate = read_package(release.candidate / "model")
    champion = read_package(release.champion / "model")
    features = all_features(candidate.interface.features, champion.interface.features)
    rows = held_out_rows(release.dataset, release.candidate / "predictions.parquet", features)
    release.folder.mkdir(parents=True, exist_ok=True)
    # Here nothing serves after the trial, so the old version is kept warm only as long as one can wait for it.
    rules = release.rules.model_copy(update={"keep_warm_s": min(release.rules.keep_warm_s, LONGEST_WARM_S)})
    with LocalSite(release.folder, rules) as site:
        site.open(build_of(champion, candidate), build_of(candidate, champion))
        replay = Replay(
            port=site.files.port,
            path=INFER_PATH,
            bodies=request_bodies(features, rows),
            rate=rules.replay_requests_per_s,
            slow_after_s=rules.service_level.maximum_p99_s,
            seed=release.seed,
        )
        replay.start()
        try:
            trial = run_trial(
                site, replay, rules,
                name=name, story=story, journal=journal, memory=release.folder / "state.json",
            )  # fmt: skip
        finally:
            replay.stop()
    trial.details.update(versions(candidate, champion))
    return trial


def versions(canary: ModelPackage, baseline: ModelPackage) -> dict[str, dict[str, str]]:
    """Who was tried against whom, by version and digest."""
    return {
        arm: {"version": package.version, "sha256": package.digest}
        for arm, package in (("canary", canary), ("baseline", baseline))
    }


def record_trial(store: EvidenceStore, trial: Trial) -> None:
    """Keep a trial as a statement about the canary's model, named as the trial is."""
    details = trial.details
    canary = details["canary"]
    store.record(
        details["name"],
        "rollout",
        subject_name=canary["version"],
        subject_sha256=canary["sha256"],
        predicate={"details": details},
    )


def run_rollout(
    candidate: Path,
    champion: Path,
    dataset: Path,
    *,
    model_version: str,
    contract_yaml: str,
    policy_yaml: str,
    evidence: str,
    run_id: str,
    mlflow_tracking_uri: str,
    timeline: Path,
    journal: Journal,
) -> Trial:
    """The step `rollout`: try, keep the statement and the page, and on promotion move the alias `champion`."""
    from tallystick.components.rollout.champion import set_champion

    contract, policy = parse_contract(contract_yaml), parse_policy(policy_yaml)
    journal.progress(0.0, "starting both models and the gateway")
    release = Release(
        candidate=candidate,
        champion=champion,
        dataset=dataset,
        folder=timeline.parent / "trial",
        rules=policy.rollout,
        seed=policy.seed,
    )
    trial = try_release(release, name="rollout", story=STORY, journal=journal)
    record_trial(EvidenceStore(open_store(evidence), run_id), trial)
    write_text(timeline, page(trial))
    if trial.promoted:
        set_champion(mlflow_tracking_uri, model=contract.name, version=model_version)
    journal.event("outcome", rollout="rollout", text=sentence(trial), good=trial.promoted)
    if trial.phase.value == "Failed":
        raise StepError(f"the trial could not be held: {trial.reason}; logs are in {release.folder}")
    return trial


def sentence(trial: Trial) -> str:
    """How it ended, in one line."""
    details = trial.details
    if trial.promoted:
        asked = details["requests"]["canary"]
        return f"promoted after {details['decided_s']:.1f} s; it answered {asked} requests of the trial"
    if trial.phase.value == "RolledBack":
        hit = details["customers_hit"]
        return f"taken back ({trial.reason}); {hit} customers got a bad answer"
    return f"{trial.phase.value}: {trial.reason}"


def page(trial: Trial) -> str:
    """The trial as one HTML page."""
    from tallystick.components.core.pages import render
    from tallystick.components.core.plots_traffic import traffic_plot

    details: dict[str, Any] = trial.details
    return render(
        "rollout.html.j2",
        Path(__file__).parent,
        details=details,
        sentence=sentence(trial),
        plot=traffic_plot(details),
        tests=details["timeline"][-1]["tests"] if details["timeline"] else [],
    )


def figures(trial: Trial) -> dict[str, float]:
    """Finite figures for Kubeflow's table of metrics."""
    details = trial.details
    requests = details["requests"]
    values = {
        "canary_requests": requests["canary"],
        "canary_failed": requests["canary_failed"],
        "baseline_requests": requests["baseline"],
        "baseline_failed": requests["baseline_failed"],
        "customers_hit": details["customers_hit"],
        "decided_s": details["decided_s"],
        "traffic_back_s": details["traffic_back_s"],
    }
    return {name: float(value) for name, value in values.items() if value is not None}
