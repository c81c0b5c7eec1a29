"""The sentences of the record: what happened, for people who did not write the code. Nothing here decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tallystick.components.core.statements import details_of, subject_of, verdict_of
from tallystick.components.core.verdicts import Check, Outcome, Verdict

Statements = Mapping[str, Mapping[str, Any]]

GATE_WORDS = {
    "data_validation": "The data",
    "fairness_gate_plain": "Fairness of the plain model",
    "evaluation": "Accuracy on applications never seen",
    "fairness_gate": "Fairness of the chosen model",
    "explainability": "Reasons for decisions",
}
_SHUT = {
    "data_validation": "the data are not fit to be learned from",
    "performance": "the model is not accurate enough",
    "evaluation": "the model is not accurate enough",
    "fairness": "the model is not fair by the policy",
    "fairness_gate": "the model is not fair by the policy",
    "explainability": "the model's decisions cannot be explained as they must be",
}


def promoted(statements: Statements) -> str:
    """What was released, and what had been refused before it."""
    name, _ = subject_of(statements["fairness_gate"])
    sentences = [f"Released: {_quoted(name)} passed every gate and its trial on live traffic."]
    plain = plain_refusal(statements)
    if plain:
        sentences.append(plain)
    return " ".join(sentences)


def plain_refusal(statements: Statements) -> str:
    """Why the plain model was refused; empty where it was not."""
    verdict = verdict_of(statements.get("fairness_gate_plain"))
    if verdict is None or verdict.passed:
        return ""
    worst = worst_ratio(verdict)
    if worst is None or worst.figure is None or worst.threshold is None:
        return f"The most accurate model, {_quoted(verdict.subject_name)}, was refused: {first_objection(verdict)}."
    return (
        f"The most accurate model, {_quoted(verdict.subject_name)}, was refused: its adverse impact ratio for "
        f"{group_of(worst)} is {worst.figure:.2f}, below the policy's line of {worst.threshold:.2f}."
    )


def refused(statements: Statements, shut: Verdict | None, message: str) -> str:
    """Why nothing was released."""
    if shut is None:
        return f"Refused, nothing was released: {message or 'a gate said no'}"
    why = _SHUT.get(shut.gate, f"the gate {shut.gate} is shut")
    if shut.outcome is Outcome.INSUFFICIENT:
        why = f"there is not enough evidence ({shut.gate.replace('_', ' ')})"
    return f"Refused, nothing was released: {why}. {sentence(first_objection(shut))}"


def rolled_back(statements: Statements, release: Mapping[str, Any]) -> str:
    """That a release was tried and taken back."""
    canary = release.get("canary") or {}
    hit = release.get("customers_hit") or 0
    after = f" after {release['decided_s']:.1f} s" if release.get("decided_s") is not None else ""
    customers = "no customer" if hit == 0 else "1 customer" if hit == 1 else f"{hit:,} customers"
    return (
        f"Rolled back: {canary.get('version') or 'the new release'} was taken back{after} of its trial "
        f"({release['reason']}); {customers} got a bad answer."
    )


def broke(message: str) -> str:
    """That it was our fault or the machine's."""
    return f"The run broke: {message or 'see the log'}"


def bad_input(message: str) -> str:
    """That the user can mend it."""
    return f"Nothing was released: {message or 'something that was given cannot be used'}"


def interrupted(statements: Statements) -> str:
    """That somebody ended the run."""
    last = max(statements, key=lambda step: statements[step]["predicate"]["at"], default="")
    after = f" after {last.replace('_', ' ')}" if last else " before any step had ended"
    return f"Interrupted{after}; nothing was released."


def first_objection(verdict: Verdict) -> str:
    """The first check that keeps a gate shut, in its own words."""
    return verdict.objections[0].detail if verdict.objections else "no check could be made"


def worst_ratio(verdict: Verdict, sample: str = "out_of_fold") -> Check | None:
    """The lowest adverse impact ratio among the checks that decide."""
    deciding = [
        check
        for check in verdict.checks
        if check.name == "adverse_impact_ratio"
        and check.sample == sample
        and check.figure is not None
        and check.outcome in (Outcome.PASS, Outcome.FAIL)
    ]
    return min(deciding, key=lambda check: check.figure or 0.0, default=None)


def holdout_notes(verdict: Verdict | None) -> list[str]:
    """Ratios of the chosen model that lie below the line on the hold-out data although their interval reaches it."""
    return [
        sentence(check.detail)
        for check in (verdict.checks if verdict else ())
        if check.name == "adverse_impact_ratio"
        and check.sample == "holdout"
        and check.outcome is Outcome.PASS
        and check.figure is not None
        and check.threshold is not None
        and check.figure < check.threshold
    ]


def group_of(check: Check) -> str:
    """``Black applicants`` of the subject ``race: Black``."""
    return f"{check.subject.rpartition(': ')[2]} applicants"


def gate_words(step: str, verdict: Verdict, details: Mapping[str, Any]) -> str:
    """What a gate found, in one or two sentences."""
    if not verdict.passed:
        more = len(verdict.objections) - 1
        return sentence(first_objection(verdict)) + (f" And {more} more." if more else "")
    kept = sum(check.outcome is Outcome.PASS for check in verdict.checks)
    checks = f"{kept} check{'' if kept == 1 else 's'}, all kept."
    if step == "data_validation":
        return f"{details['rows']:,} applications from {details['source']}. {checks}"
    if step == "evaluation" and (auc := details["figures"]["auc"]["figure"]) is not None:
        return f"AUC {auc:.3f}; {checks}"
    if step == "explainability":
        error, rows = details["additivity"]["maximum_error"], details["additivity"]["rows"]
        return f"The reasons add up to the score within {error:.0e} for {rows:,} applicants. {checks}"
    worst = worst_ratio(verdict)
    if worst is None or worst.figure is None:
        return checks
    return f"Lowest adverse impact ratio {worst.figure:.2f} ({group_of(worst)}), line {worst.threshold:.2f}. {checks}"


def search_words(statements: Statements) -> str:
    """What the search for a less discriminatory alternative did."""
    found = details_of(statements["alternatives"])
    if not found["searched"]:
        return "The plain model kept every fairness line, so no alternative was looked for."
    tried = found["alternatives"]
    eligible = sum(bool(entry["eligible"]) for entry in tried)
    chosen = next((entry for entry in tried if entry["chosen"]), None)
    words = f"{len(tried)} alternatives were tried; {eligible} of them keep every line of the policy."
    if chosen is None or not chosen["eligible"]:
        return words + " None was good enough to be taken."
    cost = (found["plain"]["auc"] or 0.0) - (chosen["auc"] or 0.0)
    price = f"costs {cost:.3f} of AUC" if cost > 0 else f"gains {-cost:.3f} of AUC"
    best = max(entry["auc"] for entry in tried if entry["eligible"])
    which = "The most accurate of them" if chosen["auc"] == best else "One of them"
    return f"{words} {which} was taken; it {price} against the plain model."


def _quoted(name: str) -> str:
    return f"\N{LEFT DOUBLE QUOTATION MARK}{name}\N{RIGHT DOUBLE QUOTATION MARK}"


def sentence(text: str) -> str:
    """Starts with a capital, ends with a full stop."""
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "?", "!")) else f"{text}."
