"""The policy: which candidates are tried, which figures must hold, and how a release is tried.

Thresholds and regimes are a file because rules change; no threshold is a constant in code. Where a
field carries a `clause`, it is printed beside the check that serves it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tallystick.components.core.documents import Document, parse
from tallystick.components.core.receipts.requirements import EvidenceRules

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
OpenFraction = Annotated[float, Field(gt=0.0, lt=1.0)]
PositiveInt = Annotated[int, Field(ge=1)]
Parameter = bool | int | float | str | None
ModelKind = Literal["logistic_regression", "random_forest", "hist_gradient_boosting"]
ShapMethod = Literal["path_dependent", "interventional"]
ComparisonTest = Literal["errors", "slow", "scores", "decisions"]
CandidateName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


class DataRules(Document):
    """What the data must be before anything is trained on it."""

    minimum_rows: PositiveInt = 500
    minimum_adverse: PositiveInt = 50
    holdout_fraction: Annotated[float, Field(ge=0.1, le=0.5)] = 0.25
    folds: Annotated[int, Field(ge=2, le=20)] = 5
    maximum_missing: Fraction = 0.2
    leakage_auc: Annotated[float, Field(gt=0.5, le=1.0)] = 0.95
    leakage_p_value: OpenFraction = 1e-6
    drift_psi: Annotated[float, Field(gt=0.0)] = 0.25
    clause: str = ""


class Candidate(Document):
    """One model to train. ``features`` narrows the contract's features; empty means all."""

    name: CandidateName
    kind: ModelKind
    parameters: dict[str, Parameter] = Field(default_factory=dict)
    features: tuple[str, ...] = ()


class TrainingRules(Document):
    """Which models are trained; the best by cross-validated AUC is the plain candidate.

    ``benchmark`` names the candidate that is the challenger benchmark: a simple scorecard that every
    released model must match, and the incumbent of a first release when no champion is registered.
    """

    candidates: Annotated[tuple[Candidate, ...], Field(min_length=1)]
    benchmark: CandidateName

    @model_validator(mode="after")
    def _names(self) -> TrainingRules:
        names = [candidate.name for candidate in self.candidates]
        if len(set(names)) != len(names):
            raise ValueError("two candidates have the same name")
        if self.benchmark not in names:
            raise ValueError(f"benchmark {self.benchmark!r} is none of the candidates: {', '.join(names)}")
        if len(names) == 1:
            raise ValueError("give at least one candidate beside the benchmark")
        return self


class DecisionRule(Document):
    """Where the score becomes a decision: a fixed probability, or the score that approves this share.

    The approval rate is turned into a threshold once, on out-of-fold scores, and then frozen in the model.
    """

    threshold: OpenFraction | None = None
    approval_rate: OpenFraction | None = None

    @model_validator(mode="after")
    def _one(self) -> DecisionRule:
        if (self.threshold is None) == (self.approval_rate is None):
            raise ValueError("give either `threshold` or `approval_rate`")
        return self


class Line(Document):
    """A line that a figure must keep: a minimum or a maximum."""

    minimum: float | None = None
    maximum: float | None = None
    clause: str = ""

    @model_validator(mode="after")
    def _one(self) -> Line:
        if (self.minimum is None) == (self.maximum is None):
            raise ValueError("give either `minimum` or `maximum`")
        return self


class UnitLine(Line):
    """A line for a figure that lives between 0 and 1."""

    @model_validator(mode="after")
    def _possible(self) -> UnitLine:
        value = self.minimum if self.minimum is not None else self.maximum
        if value is not None and not 0.0 <= value <= 1.0:
            raise ValueError(f"the figure lies between 0 and 1, {value:g} can never be met or never be missed")
        return self


class EvaluationRules(Document):
    """Lines on the hold-out sample. A measure without a line is recorded.

    All are better when larger and take a ``minimum``, except ``brier``, which takes a ``maximum``.
    """

    auc: UnitLine | None = None
    gini: UnitLine | None = None
    ks: UnitLine | None = None
    brier: UnitLine | None = None
    accuracy: UnitLine | None = None
    precision: UnitLine | None = None
    recall: UnitLine | None = None
    maximum_auc_below_benchmark: Fraction = 0.02
    minimum_adverse: PositiveInt = 30

    @model_validator(mode="after")
    def _possible(self) -> EvaluationRules:
        for name in ("auc", "gini", "ks", "accuracy", "precision", "recall"):
            line: Line | None = getattr(self, name)
            if line and line.minimum is None:
                raise ValueError(f"{name}: give `minimum` (more is better)")
            if line and line.minimum == 1.0:
                raise ValueError(f"{name}: a minimum of 1 can only be met by a model that knows the outcome")
        if self.brier and self.brier.maximum is None:
            raise ValueError("brier: give `maximum` (less is better)")
        if self.brier and self.brier.maximum == 0.0:
            raise ValueError("brier: a maximum of 0 can only be met by a model that knows the outcome")
        return self


class FairnessRules(Document):
    """Lines per group against the attribute's reference group.

    A group smaller than ``minimum_group`` gives insufficient evidence. ``required`` names the attributes
    that decide; the others of the contract are recorded. On out-of-fold data the figure itself must keep
    the line; on the hold-out sample, which is smaller, the interval must not exclude it.
    """

    required: tuple[str, ...]
    adverse_impact_ratio: UnitLine
    demographic_parity_difference: UnitLine | None = None
    equalised_odds_difference: UnitLine | None = None
    minimum_group: Annotated[int, Field(ge=5)] = 30
    proxy_auc: Annotated[float, Field(gt=0.5, le=1.0)] = 0.8
    small_groups: Literal["refuse", "record"] = "refuse"

    @model_validator(mode="after")
    def _directions(self) -> FairnessRules:
        if self.adverse_impact_ratio.minimum is None:
            raise ValueError("adverse_impact_ratio: give `minimum` (1.0 is parity)")
        for name in ("demographic_parity_difference", "equalised_odds_difference"):
            line: Line | None = getattr(self, name)
            if line and line.maximum is None:
                raise ValueError(f"{name}: give `maximum` (0.0 is parity)")
        return self


class SearchRules(Document):
    """The search for a less discriminatory alternative when the plain candidate is refused.

    Among alternatives that keep every fairness line with ``margin`` to spare the most accurate is taken,
    as long as it costs at most ``maximum_auc_loss`` against the plain candidate.
    """

    methods: tuple[Literal["feature_sets", "regularisation", "reductions", "threshold_optimiser"], ...] = (
        "feature_sets",
        "regularisation",
        "reductions",
        "threshold_optimiser",
    )
    maximum_auc_loss: Fraction = 0.05
    margin: Fraction = 0.0
    maximum_alternatives: Annotated[int, Field(ge=1, le=200)] = 40
    clause: str = ""


class ReasonRules(Document):
    """Which SHAP, and how many reasons (12 CFR 1002.9, comment 9(b)(2)-1: more than four is not helpful)."""

    shap: ShapMethod = "path_dependent"
    background_rows: Annotated[int, Field(ge=10, le=1000)] = 100
    maximum: Annotated[int, Field(ge=1, le=4)] = 4
    additivity_tolerance: Annotated[float, Field(gt=0.0, le=1e-3)] = 1e-6
    clause: str = ""


class RolloutStep(Document):
    """One step of a trial: the canary's share, and what must be seen before the next."""

    weight_pct: Annotated[int, Field(ge=1, le=50)]
    minimum_time_s: Annotated[float, Field(ge=0.0)] = 60.0
    minimum_requests: PositiveInt = 200


class ServiceLevel(Document):
    """The absolute guard beside the comparison with the baseline.

    At most ``maximum_error_rate`` of the answers may be errors, and at most ``maximum_slow_rate`` may take longer
    than ``maximum_p99_s`` (0.01 is what a 99th percentile says; a short trial needs a larger one, as showing 1 %
    takes at least 300 requests). Fewer than ``minimum_requests`` prove nothing good.
    """

    maximum_error_rate: Fraction = 0.05
    maximum_p99_s: Annotated[float, Field(gt=0.0)] = 1.0
    maximum_slow_rate: OpenFraction = 0.01
    minimum_requests: PositiveInt = 20


class Comparison(Document):
    """Canary against the concurrent baseline.

    ``alpha`` is the chance, over the whole trial and all tests together, that a healthy release is rolled
    back; ``beta`` that a bad one gets its positive evidence at a step. The ``maximum_*`` values are what still
    counts as good: odds ratio of errors, odds ratio of slow answers, shift of the score distribution (PSI).
    A release is rolled back for more errors or slow answers when the odds ratio is shown to be above
    ``tolerated_error_odds_ratio`` (1: no worse than the baseline) or ``tolerated_slow_odds_ratio`` (a new process
    is a little slower at first), for its scores when the shift is shown to be above ``maximum_score_psi``. Answers
    faster than ``slow_after_s`` are never slow, however fast the baseline is (default: a quarter of the service
    level's ``maximum_p99_s``). ``tests`` are those that must give positive evidence.
    """

    alpha: Annotated[float, Field(gt=0.0, le=0.2)] = 0.01
    beta: Annotated[float, Field(gt=0.0, le=0.2)] = 0.05
    tolerated_error_odds_ratio: Annotated[float, Field(ge=1.0, le=10.0)] = 1.0
    tolerated_slow_odds_ratio: Annotated[float, Field(ge=1.0, le=10.0)] = 1.5
    maximum_error_odds_ratio: Annotated[float, Field(gt=1.0)] = 10.0
    maximum_slow_odds_ratio: Annotated[float, Field(gt=1.0)] = 10.0
    maximum_score_psi: Annotated[float, Field(gt=0.0)] = 0.25
    slow_after_s: Annotated[float, Field(gt=0.0)] | None = None
    tests: Annotated[tuple[ComparisonTest, ...], Field(min_length=1)] = ("errors", "slow", "scores", "decisions")

    @model_validator(mode="after")
    def _possible(self) -> Comparison:
        for kind in ("error", "slow"):
            tolerated = getattr(self, f"tolerated_{kind}_odds_ratio")
            if getattr(self, f"maximum_{kind}_odds_ratio") <= tolerated:
                raise ValueError(
                    f"maximum_{kind}_odds_ratio must be above tolerated_{kind}_odds_ratio, which is {tolerated:g}"
                )
        if len(set(self.tests)) != len(self.tests):
            raise ValueError("tests: one stands twice")
        return self


class ShadowStep(Document):
    """Before any customer is served: requests are mirrored, and the canary's answers are thrown away."""

    minimum_time_s: Annotated[float, Field(ge=0.0)] = 60.0
    minimum_requests: PositiveInt = 200


class RolloutRules(Document):
    """How a release is tried on live traffic.

    Attributes
    ----------
    interval_s
        Time between two looks.
    deadline_s, maximum_requests
        The longest a trial may expose customers, in time and in requests that the canary answered, without
        having been promoted; ``on_deadline`` says whether it is then rolled back or held for a person.
    startup_s
        How long the canary may take to become ready before anything is sent to it.
    unready_s
        How long it may be unready during the trial. One that is known to be dead is taken back at once.
    keep_warm_s
        How long the old version stays ready after the promotion, for an instant return.
    replay_requests_per_s
        Rate at which held-out applications are replayed where there is no live traffic (the local runtime).
    """

    steps: Annotated[tuple[RolloutStep, ...], Field(min_length=1)]
    shadow: ShadowStep | None = None
    service_level: ServiceLevel = Field(default_factory=ServiceLevel)
    comparison: Comparison = Field(default_factory=Comparison)
    interval_s: Annotated[float, Field(gt=0.0)] = 15.0
    deadline_s: Annotated[float, Field(gt=0.0)] = 3600.0
    maximum_requests: PositiveInt | None = None
    on_deadline: Literal["roll_back", "hold"] = "roll_back"
    startup_s: Annotated[float, Field(gt=0.0)] = 300.0
    unready_s: Annotated[float, Field(gt=0.0)] = 30.0
    keep_warm_s: Annotated[float, Field(ge=0.0)] = 600.0
    replay_requests_per_s: Annotated[float, Field(gt=0.0, le=2000.0)] = 150.0

    @model_validator(mode="after")
    def _rising(self) -> RolloutRules:
        weights = [step.weight_pct for step in self.steps]
        if weights != sorted(set(weights)):
            raise ValueError(f"steps: weights must rise, found {weights}")
        least = sum(step.minimum_time_s for step in self.steps)
        if self.deadline_s <= least:
            raise ValueError(f"deadline_s: the steps alone take {least:g} s, found {self.deadline_s:g}; allowed: more")
        return self


class Policy(Document):
    """A whole ``policy.yaml``."""

    version: Literal[1]
    name: Annotated[str, Field(min_length=1, max_length=80)]
    description: str = ""
    regimes: tuple[str, ...] = ()
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 20260417
    data: DataRules = Field(default_factory=DataRules)
    training: TrainingRules
    decision: DecisionRule
    evaluation: EvaluationRules = Field(default_factory=EvaluationRules)
    fairness: FairnessRules
    search: SearchRules = Field(default_factory=SearchRules)
    reasons: ReasonRules = Field(default_factory=ReasonRules)
    rollout: RolloutRules
    evidence: EvidenceRules = Field(default_factory=EvidenceRules)


def parse_policy(text: str, name: str = "policy.yaml") -> Policy:
    """Read a policy; see :func:`tallystick.components.core.documents.parse` for what it raises."""
    return parse(text, Policy, name)
