"""Registers a model whose evidence is whole, and hands on the champion that it must be tried against.

Registering is not releasing: the alias `candidate` moves here, the alias `champion` only when a trial on live
traffic has ended in promotion. The exception is a first release: with no champion there is nothing to try
against, so the benchmark scorecard becomes the incumbent, if it is itself fair by the same policy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tallystick.components.core.candidates import MODEL, CandidateModel, read_candidate
from tallystick.components.core.contract import Contract
from tallystick.components.core.files import canonical_json, sha256_of_bytes, sha256_of_file
from tallystick.components.core.model_package import read_package
from tallystick.components.core.verdicts import Outcome, Verdict
from tallystick.components.registration.evidence_check import RegistrationRefusedError, passed_verdicts
from tallystick.components.registration.registry import (
    CANDIDATE,
    CHAMPION,
    DIGEST_TAG,
    RegisteredVersion,
    Registry,
    open_registry,
    shown,
)

_MEASURES = ("auc", "gini", "ks", "brier", "accuracy", "precision", "recall")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be registered, and on what evidence.

    Attributes
    ----------
    candidate, benchmark
        Folders as training writes them.
    card
        The model card, kept with the model.
    champion
        Where the champion's package is put, in the folder ``model``.
    judge_fairness
        Judges a model's fairness under the contract and policy at hand: the candidate's again, and the
        benchmark's when there is no champion.
    judge_performance
        Judges the candidate's performance beside the benchmark's, again.
    """

    candidate: Path
    benchmark: Path
    card: Path
    champion: Path
    contract: Contract
    contract_sha256: str
    policy_sha256: str
    statements: Mapping[str, Mapping[str, Any]]
    tracking_uri: str
    run_id: str
    judge_fairness: Callable[[CandidateModel], Verdict]
    judge_performance: Callable[[CandidateModel, CandidateModel], Verdict]


@dataclass(frozen=True, kw_only=True)
class Registration:
    """What stands in the registry now.

    Attributes
    ----------
    is_new
        False where this very model had been registered before.
    incumbent
        True where the benchmark became champion because there was none.
    """

    name: str
    version: str
    model_sha256: str
    champion_version: str
    champion_sha256: str
    tags: dict[str, str]
    tracking: str
    is_new: bool
    incumbent: bool

    def predicate(self) -> dict[str, Any]:
        """What the statement of this step says."""
        return {
            "name": self.name,
            "version": self.version,
            "aliases": {CHAMPION: self.champion_version, CANDIDATE: self.version},
            "champion": {
                "version": self.champion_version,
                "sha256": self.champion_sha256,
                "first_release": self.incumbent,
            },
            "tags": self.tags,
            "tracking": self.tracking,
            "is_new": self.is_new,
        }


def register(request: Request) -> Registration:
    """Register the candidate and fetch the champion; the registry is unchanged when anything fails.

    Raises
    ------
    RegistrationRefusedError
        The evidence is incomplete or says no, or there is no champion and the benchmark may not become it.
    StorageError
        The registry cannot be reached or written.
    InputError
        The champion in the registry is not the model that its digest names.
    """
    candidate, benchmark = read_candidate(request.candidate), read_candidate(request.benchmark)
    verdicts = passed_verdicts(
        request.statements,
        candidate.training,
        contract_sha256=request.contract_sha256,
        policy_sha256=request.policy_sha256,
        judged_again={
            "evaluation": request.judge_performance(candidate, benchmark),
            "fairness_gate": request.judge_fairness(candidate),
        },
    )
    tags = _tags(candidate, request, role=CANDIDATE)
    tags |= {"tallystick.card_sha256": sha256_of_file(request.card), **_figures(verdicts, request.statements)}
    with open_registry(request.tracking_uri, request.contract.name) as registry:
        champion = registry.alias(CHAMPION)
        incumbent = None if champion else _incumbent(benchmark, request)
        known = registry.version_with(candidate.model.digest)
        if incumbent is not None:
            champion = _add(registry, incumbent, request, tags=_tags(incumbent, request, role="incumbent"))
            registry.point(CHAMPION, champion.version)
        if champion is None:
            raise RegistrationRefusedError(f"{request.contract.name} has no champion and no incumbent could be made")
        version = known or _add(registry, candidate, request, tags=tags, card=request.card)
        registry.point(CANDIDATE, version.version)
        _fetch(registry, champion, request.champion)
    return Registration(
        name=request.contract.name,
        version=version.version,
        model_sha256=candidate.model.digest,
        champion_version=champion.version,
        champion_sha256=champion.digest,
        tags=tags,
        tracking=shown(request.tracking_uri),
        is_new=known is None,
        incumbent=incumbent is not None,
    )


def _incumbent(benchmark: CandidateModel, request: Request) -> CandidateModel:
    """The benchmark, if it is fair enough to be what customers get while the candidate is tried."""
    verdict = request.judge_fairness(benchmark)
    if not verdict.passed:
        raise RegistrationRefusedError(
            f"{request.contract.name} has no champion to try the candidate against, and the benchmark "
            f"{benchmark.training.name} may not take its place: {verdict.sentence()}; register a champion first, "
            "or name a fair benchmark in the policy (training.benchmark)"
        )
    return benchmark


def _add(
    registry: Registry, model: CandidateModel, request: Request, *, tags: Mapping[str, str], card: Path | None = None
) -> RegisteredVersion:
    """Store the package and create its version; one that is there already is taken as it is."""
    known = registry.version_with(model.model.digest)
    if known is not None:
        return known
    folders = {"model": model.folder / MODEL}
    upload = registry.upload(
        folders,
        experiment=request.contract.name,
        run_name=f"{request.run_id}: registration of {model.training.name}",
        tags={key: tags[key] for key in (DIGEST_TAG, "tallystick.run", "tallystick.git_commit")},
    )
    if card is not None:
        registry.attach(upload, card.read_text(encoding="utf-8"), "card/model_card.md")
    return registry.add(upload, description=f"{model.model.version} ({model.model.kind})", tags=tags)


def _fetch(registry: Registry, champion: RegisteredVersion, folder: Path) -> None:
    """Bring the champion's package and check that it is the model its version names."""
    registry.download(champion, folder / "model")
    read_package(folder / "model", expected_digest=champion.digest)


def _tags(model: CandidateModel, request: Request, *, role: str) -> dict[str, str]:
    training = model.training
    commit = request.statements.get("training", {}).get("predicate", {}).get("git_commit", "unknown")
    return {
        DIGEST_TAG: model.model.digest,
        "tallystick.data_sha256": training.data_sha256,
        "tallystick.dataset_sha256": training.dataset_sha256,
        "tallystick.contract_sha256": training.contract_sha256,
        "tallystick.policy_sha256": training.policy_sha256,
        "tallystick.evidence_sha256": sha256_of_bytes(canonical_json(dict(request.statements))),
        "tallystick.name": training.name,
        "tallystick.kind": training.kind,
        "tallystick.package": model.model.version,
        "tallystick.threshold": f"{training.threshold:.6g}",
        "tallystick.role": role,
        "tallystick.run": request.run_id,
        "tallystick.git_commit": str(commit),
    }


def _figures(verdicts: Mapping[str, Verdict], statements: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The verdicts' main figures as tags: outcome of each gate, measures, the lowest adverse impact ratio."""
    tags = {f"tallystick.{gate}": verdict.outcome.value for gate, verdict in verdicts.items()}
    measured = statements["evaluation"]["predicate"]["details"].get("figures", {})
    for name in _MEASURES:
        figure = measured.get(name, {}).get("figure")
        if figure is not None:
            tags[f"tallystick.{name}"] = f"{figure:.4f}"
    ratios = [
        check.figure
        for check in verdicts["fairness_gate"].checks
        if check.name == "adverse_impact_ratio" and check.outcome is Outcome.PASS and check.figure is not None
    ]
    if ratios:
        tags["tallystick.lowest_adverse_impact_ratio"] = f"{min(ratios):.4f}"
    return tags
