"""The record of a run for people: one page that a risk committee can read, drawn from statements alone.

The page stands alone: no script, nothing loaded. A run that stopped early gives a page of what there is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from tallystick.components.core.pages import UNKNOWN, render
from tallystick.components.core.statements import details_of, verdict_of
from tallystick.components.core.verdicts import Verdict
from tallystick.components.release_record.summary import refusal, trials
from tallystick.components.release_record.words import (
    GATE_WORDS,
    gate_words,
    holdout_notes,
    plain_refusal,
    search_words,
    sentence,
    worst_ratio,
)

Statements = Mapping[str, Mapping[str, Any]]

BADGES = {
    "promoted": ("pass", "released"),
    "refused": ("fail", "refused"),
    "rolled_back": ("fail", "rolled back"),
    "broke": ("fail", "broke"),
    "bad_input": ("fail", "bad input"),
    "interrupted": ("insufficient", "interrupted"),
}
_SHAP = {
    "linear": "For this linear model a contribution is the coefficient times the distance from the average applicant.",
    "path_dependent": "Contributions are path-dependent Shapley values, as the policy fixes.",
    "interventional": "Contributions are interventional Shapley values, as the policy fixes.",
}
_BENEATH = {
    "promoted": "Every gate passed, and the trial on traffic ended well. What was measured stands below.",
    "refused": "The registry and what serves customers are unchanged.",
    "rolled_back": "The release that was in service serves again.",
    "broke": "The registry keeps what it held. What was measured until then stands below.",
    "bad_input": "Nothing was trained or registered from it. What was found stands below.",
    "interrupted": "What was measured until then stands below.",
}
_PHASES = {"Promoted": ("pass", "promoted"), "RolledBack": ("fail", "taken back")}
_REHEARSALS = {
    "rollout-errors": "A build that answers errors",
    "rollout-slow": "A build that answers slowly",
    "rollout-shifted": "A build whose scores are shifted",
}
_MEASURES = {
    "auc": ("Ranking: AUC", "1 ranks everybody right, 0.5 is chance"),
    "gini": ("Ranking: Gini", "2 x AUC - 1"),
    "ks": ("Separation: Kolmogorov-Smirnov", "largest gap between the two groups' score distributions"),
    "brier": ("Probabilities: Brier score", "mean squared error of the probability; 0 is perfect"),
    "accuracy": ("Decisions: accuracy", "share decided as it turned out"),
    "precision": ("Decisions: precision", "share of the declined who turned out adverse"),
    "recall": ("Decisions: recall", "share of the adverse who were declined"),
}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stop on the path through the gates; `look` is the badge's style."""

    title: str
    look: str
    badge: str
    words: str
    verdict: Verdict | None = None


@dataclass(frozen=True, kw_only=True)
class TrialView:
    """One trial with its picture."""

    title: str
    look: str
    badge: str
    details: Mapping[str, Any]
    plot: Markup
    taken_s: float | None  # from the first bad answer until all traffic was back


def build_report(statements: Statements, summary: Mapping[str, Any]) -> str:
    """The whole release on one page.

    Parameters
    ----------
    statements
        Of the run, by step; any of them may be missing.
    summary
        What :func:`build_summary` made of them.

    Returns
    -------
    str
        HTML; the same bytes for the same statements and summary.
    """
    look, ending = BADGES[summary["outcome"]]
    first, rest = _parted(str(summary["headline"]))
    return render(
        "release.html.j2",
        Path(__file__).parent,
        summary=summary,
        look=look,
        ending=ending,
        headline=first,
        beneath=rest or _BENEATH[summary["outcome"]],
        facts=_facts(statements, summary),
        stages=_stages(statements),
        plain_refusal=plain_refusal(statements),
        data=details_of(statements["data_validation"]) if "data_validation" in statements else None,
        training=details_of(statements["training"]) if "training" in statements else None,
        fairness=_fairness(statements),
        alternatives=_alternatives(statements),
        performance=_performance(statements),
        explanation=_explanation(statements),
        trials=_trials(statements),
        fixed=_fixed,
        fixed_interval=_fixed_interval,
        sentence=sentence,
    )


def _parted(headline: str) -> tuple[str, str]:
    """The headline's first sentence, and the others."""
    first, dot, rest = headline.partition(". ")
    return first + dot.strip(), rest


def _fixed(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3f}"


def _fixed_interval(value: Sequence[float] | None) -> str:
    return UNKNOWN if not value else f"{value[0]:.3f} to {value[1]:.3f}"


def _facts(statements: Statements, summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(figure, what it is): the few numbers on top."""
    facts: list[tuple[str, str]] = []
    if "evaluation" in statements:
        auc = details_of(statements["evaluation"])["figures"]["auc"]
        words = "AUC on applications never seen: 1 ranks everybody right, 0.5 is chance"
        facts.append((_fixed(auc["figure"]), f"{words}; 95 % interval {_fixed_interval(auc['interval'])}"))
    for step, whose in (("fairness_gate", "the chosen model"), ("fairness_gate_plain", "the plain model")):
        verdict = verdict_of(statements.get(step))
        worst = worst_ratio(verdict) if verdict else None
        if worst is None or worst.figure is None:
            continue
        group = worst.subject.rpartition(": ")[2]
        known = f"; 95 % interval {_fixed_interval(worst.interval)}" if worst.interval else ""
        words = f"lowest adverse impact ratio of {whose} ({group}); the policy's line is {worst.threshold:.2f}{known}"
        facts.append((f"{worst.figure:.2f}", words))
    found = dict(trials(statements))
    release = found.pop("rollout", None)
    if release is not None:
        asked = (release.get("requests") or {}).get("canary", 0)
        words = f"of {asked:,} answers in the trial of this release failed, came late or were wrong"
        facts.append((f"{release.get('customers_hit') or 0:,}", words))
    if found:
        back = sum(details["phase"] == "RolledBack" for details in found.values())
        facts.append((f"{back} of {len(found)}", "bad builds in the rehearsal were taken back by themselves"))
    if summary.get("seconds") is not None:
        facts.append((f"{summary['seconds']:.0f} s", "for the whole run"))
    return facts


def _stages(statements: Statements) -> list[Stage]:
    """The path through the gates, in the order of the pipeline; a stop that was not reached says so."""
    stages = [_gate(statements, "data_validation")]
    if "training" in statements:
        found = details_of(statements["training"])
        words = (
            f"{len(found['leaderboard'])} candidates on {found['rows']:,} applications; the most accurate is "
            f"{found['plain']} (the plain model)"
        )
        stages.append(Stage(title="Candidates trained", look="recorded", badge="done", words=words))
    stages.append(_gate(statements, "fairness_gate_plain"))
    if "alternatives" in statements:
        words = search_words(statements)
        title = "Search for a fairer model"
        stages.append(Stage(title=title, look="recorded", badge="done", words=words))
    stages += [_gate(statements, gate) for gate in ("evaluation", "fairness_gate", "explainability")]
    stages.append(_registered(statements))
    stages.append(_tried(statements))
    return stages


def _gate(statements: Statements, step: str) -> Stage:
    verdict = verdict_of(statements.get(step))
    title = GATE_WORDS[step]
    if verdict is None:
        return _not_reached(title)
    look = str(verdict.outcome.value).split()[0]
    words = gate_words(step, verdict, details_of(statements[step]))
    return Stage(title=title, look=look, badge=verdict.outcome.value, words=words, verdict=verdict)


def _not_reached(title: str) -> Stage:
    return Stage(title=title, look="recorded", badge="not reached", words="")


def _registered(statements: Statements) -> Stage:
    if reason := refusal(statements):
        return Stage(title="Registered with its evidence", look="fail", badge="refused", words=sentence(reason))
    if "registration" not in statements:
        return _not_reached("Registered with its evidence")
    found = details_of(statements["registration"])
    words = f"version {found['version']} of {found['name']}; tried against version {found['aliases']['champion']}"
    if not found.get("is_new", True):
        words += "; this very model had been registered before"
    if found["aliases"]["champion"] == found["version"]:
        words += ", and is the one in service"
    if found.get("champion", {}).get("first_release"):
        words += ", the benchmark scorecard: there was no champion yet"
    return Stage(title="Registered with its evidence", look="pass", badge="done", words=words)


def _tried(statements: Statements) -> Stage:
    title = "Trial on live traffic"
    release = dict(trials(statements)).get("rollout")
    if release is None:
        return _not_reached(title)
    look, badge = _PHASES.get(release["phase"], ("insufficient", release["phase"]))
    return Stage(title=title, look=look, badge=badge, words=release["reason"])


def _fairness(statements: Statements) -> dict[str, Any] | None:
    from tallystick.components.core.plots import group_rates_plot

    labelled = [
        (label, details_of(statements[step]))
        for step, label in (("fairness_gate_plain", "Plain model"), ("fairness_gate", "Chosen model"))
        if step in statements
    ]
    if not labelled:
        return None
    same = len(labelled) == 2 and statements["fairness_gate"]["subject"] == statements["fairness_gate_plain"]["subject"]
    shown = labelled[-1:] if same else labelled
    samples = {entry["sample"] for attribute in shown[-1][1]["attributes"].values() for entry in attribute["groups"]}
    return {
        "development": Markup(group_rates_plot(shown, sample="out_of_fold", key="groups")),  # noqa: S704
        "holdout": Markup(group_rates_plot(shown, sample="holdout", key="groups-h")) if "holdout" in samples else None,  # noqa: S704
        "line": shown[-1][1]["line"],
        "holdout_notes": holdout_notes(verdict_of(statements.get("fairness_gate"))),
        "proxy": shown[-1][1].get("proxy", {}),
    }


def _alternatives(statements: Statements) -> dict[str, Any] | None:
    from tallystick.components.core.plots import alternatives_plot

    if "alternatives" not in statements:
        return None
    found = details_of(statements["alternatives"])
    if not found["searched"]:
        return {"words": search_words(statements), "plot": None, "chosen": None, "tried": []}
    return {
        "words": search_words(statements),
        "plot": Markup(alternatives_plot(found)),  # noqa: S704 - drawn here
        "chosen": next((entry for entry in found["alternatives"] if entry["chosen"]), None),
        "tried": found["alternatives"],
        "note": found.get("note", ""),
    }


def _performance(statements: Statements) -> dict[str, Any] | None:
    from tallystick.components.core.plots import calibration_plot, roc_plot

    if "evaluation" not in statements:
        return None
    found = details_of(statements["evaluation"])
    verdict = verdict_of(statements["evaluation"])
    lines = {check.name: check for check in verdict.checks} if verdict else {}
    rows = []
    known = list(_MEASURES)
    for name in sorted(found["figures"], key=lambda n: known.index(n) if n in known else len(known)):
        measured = found["figures"][name]
        title, words = _MEASURES.get(name, (name, ""))
        check = lines.get(name)
        rows.append({"title": title, "words": words, "measured": measured, "check": check})
    drawn = bool(found["roc"])
    return {
        "rows": rows,
        "roc": Markup(roc_plot(found)) if drawn else None,  # noqa: S704 - drawn here
        "calibration": Markup(calibration_plot(found)) if drawn else None,  # noqa: S704 - drawn here
        "confusion": found["confusion"],
        "benchmark": found["benchmark"],
    }


def _explanation(statements: Statements) -> dict[str, Any] | None:
    from tallystick.components.core.plots import importances_plot, shap_summary_plot

    if "explainability" not in statements:
        return None
    found = details_of(statements["explainability"])
    return {
        "shap": _SHAP.get(found["shap"], found["shap"]),
        "additivity": found["additivity"],
        "examples": [example for example in found["reasons"] if example["reasons"]],
        "summary": Markup(shap_summary_plot(found)),  # noqa: S704 - drawn here
        "importances": Markup(importances_plot(found)),  # noqa: S704 - drawn here
    }


def _trials(statements: Statements) -> list[TrialView]:
    from tallystick.components.core.plots_traffic import all_back_s, traffic_plot

    views = []
    for step, details in trials(statements):
        look, badge = _PHASES.get(details["phase"], ("insufficient", details["phase"]))
        rehearsal = step != "rollout"
        if rehearsal:  # a bad build that is taken back is what should happen
            look = "pass" if details["phase"] == "RolledBack" else "fail"
        title = _REHEARSALS.get(step, step) if rehearsal else "The release"
        plot = Markup(traffic_plot(details, key=f"traffic-{step}")) if details["timeline"] else Markup("")  # noqa: S704
        first, back = details.get("first_bad_answer_s"), all_back_s(details)
        taken = None if first is None or back is None else back - first
        views.append(TrialView(title=title, look=look, badge=badge, details=details, plot=plot, taken_s=taken))
    return views
