"""The sections of the card. Each takes what was stated and returns text and tables; none measures anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tallystick.components.core.contract import Column, Contract
from tallystick.components.core.policy import Policy
from tallystick.components.core.verdicts import Outcome
from tallystick.components.model_card.blocks import Block, Bullets, Paragraph, Section, Table
from tallystick.components.model_card.told import (
    GATES,
    SAMPLES,
    Told,
    number,
    share,
    share_span,
    significant,
    span,
)

_SHOWN_ALTERNATIVES = 8
_SHOWN_FEATURES = 15
_MEASURES = {
    "auc": "AUC (1.0 ranks perfectly, 0.5 is chance)",
    "gini": "Gini (2 AUC - 1)",
    "ks": "Kolmogorov-Smirnov distance",
    "brier": "Brier score (0 is perfect)",
    "accuracy": "Accuracy at the threshold",
    "precision": "Precision at the threshold",
    "recall": "Recall at the threshold",
}
_SHAP = {
    "linear": (
        "linear contributions: the coefficient times the distance from the average training applicant, which are the "
        "Shapley values of a linear model whose inputs are averaged one by one"
    ),
    "path_dependent": (
        "path-dependent Shapley values: a fact that is left out is averaged over the training applicants that "
        "reach the same place in each tree"
    ),
    "interventional": (
        "interventional Shapley values: a fact that is left out is averaged over a fixed sample of applicants"
    ),
}
_NOT_STATED = Paragraph("The step made no statement in this run.")


def intended_use(told: Told, contract: Contract, policy: Policy) -> Section:
    """What the score means and where it becomes a decision."""
    threshold = told.details("fairness_gate").get("threshold")
    rule = (
        f"chosen once so that {share(policy.decision.approval_rate)} of the development applicants are approved"
        if policy.decision.approval_rate is not None
        else "given by the policy"
    )
    blocks: list[Block] = [Paragraph(contract.description)] if contract.description else []
    blocks += [
        Paragraph(
            f"The score is the probability that {contract.target.meaning}. A score of {number(threshold, 4)} or more "
            f"is the adverse decision; this threshold was {rule}, and is frozen in the model."
        ),
        Paragraph(
            "It is meant for applicants of the kind that the data below describe. Other products, regions or times, "
            "and any use beside this decision, were not tested."
        ),
    ]
    return Section("Intended use", tuple(blocks))


def data(told: Told, contract: Contract) -> Section:
    """Where the data come from, how many there are, and how the groups fare in them."""
    found = told.details("data_validation")
    if not found:
        return Section("Data", (_NOT_STATED,))
    target = found["target"]
    blocks: list[Block] = [
        Paragraph(
            f"{found['rows']:,} applications from {found['source']}; in {target['adverse']:,} of them "
            f"({share(target['adverse_rate'])}) {target['meaning']}."
        )
    ]
    if contract.source:
        blocks.append(Paragraph(f"Source: {contract.source}"))
    measured = {column["name"]: column for column in found["columns"]}
    used = {entry["feature"] for entry in told.details("explainability").get("importances", ())}
    rows: tuple[tuple[str, ...], ...] = tuple(
        ("yes" if column.name in used else "no", *_column_row(column, measured.get(column.name, {})))
        for column in sorted(contract.features, key=lambda column: column.name not in used)
    )
    header: tuple[str, ...] = (
        "Used",
        "Column",
        "Meaning",
        "Unit",
        "Smallest",
        "Mean",
        "Largest",
        "Missing",
        "May move the score",
    )
    if not used:
        header, rows = header[1:], tuple(row[1:] for row in rows)
    blocks.append(Table(header, rows, frozenset(range(len(header) - 5, len(header) - 1))))
    groups = [
        (name, group, f"{entry['rows']:,}", share(entry["adverse_rate"]))
        for name, attribute in found["groups"].items()
        for group, entry in attribute.items()
    ]
    if groups:
        blocks.append(Paragraph("Groups in the data, used for testing fairness only:"))
        blocks.append(Table(("Attribute", "Group", "Rows", "Adverse outcome"), tuple(groups), frozenset({2, 3})))
    return Section("Data", tuple(blocks))


def _column_row(column: Column, measured: Mapping[str, Any]) -> tuple[str, ...]:
    direction = {"increasing": "only up", "decreasing": "only down", None: "either way"}[column.monotonic]
    figures = (significant(measured.get(key)) for key in ("minimum", "mean", "maximum"))
    return (column.name, column.meaning, column.unit, *figures, f"{measured.get('missing', 0):,}", direction)


def kept_out(contract: Contract) -> Section:
    """Columns that are known and never enter the model, and why."""
    excluded = tuple((c.name, "excluded", c.why) for c in contract.columns if c.role == "excluded")
    sensitive = tuple(
        (c.name, "sensitive", c.meaning or "used for testing fairness only")
        for c in contract.columns
        if c.role == "sensitive"
    )
    if not excluded + sensitive:
        return Section("Kept out of the model", ())
    note = Paragraph("Sensitive columns are used for testing fairness only; excluded columns are not used at all.")
    return Section("Kept out of the model", (note, Table(("Column", "Role", "Why"), excluded + sensitive)))


def training(told: Told, policy: Policy) -> Section:
    """Which candidates were trained and how they compare."""
    found = told.details("training")
    if not found:
        return Section("Training", (_NOT_STATED,))
    rows = tuple(
        (
            entry["name"],
            entry["kind"].replace("_", " "),
            str(len(entry["features"])),
            number(entry["auc"]),
            span(entry["auc_interval"]),
            _role(entry),
        )
        for entry in sorted(found["leaderboard"], key=lambda e: (-e["auc"], e["name"]))
    )
    blocks = (
        Paragraph(
            f"Developed on {found['rows']:,} applications, scored by {found['folds']}-fold cross-validation; "
            f"{found['holdout_rows']:,} others were held out and never used in training or search. Seed {policy.seed}. "
            "The most accurate candidate is the plain model, chosen without a look at fairness; the benchmark is a "
            "simple scorecard that every released model must match."
        ),
        Table(("Candidate", "Kind", "Features", "AUC", "95 % interval", "Role"), rows, frozenset({2, 3, 4})),
    )
    return Section("Training", blocks)


def _role(entry: Mapping[str, Any]) -> str:
    roles = [word for word, key in (("plain model", "is_plain"), ("benchmark", "is_benchmark")) if entry[key]]
    return ", ".join(roles)


def alternatives(told: Told, policy: Policy) -> Section:
    """What was tried to find a less discriminatory model, and what was taken."""
    heading = "Search for a less discriminatory alternative"
    found = told.details("alternatives")
    if not found:
        return Section(heading, (_NOT_STATED,))
    if not found["searched"]:
        return Section(heading, (Paragraph("The plain model kept every fairness line, so no search was made."),))
    plain, tried = found["plain"], found["alternatives"]
    eligible = [entry for entry in tried if entry["eligible"]]
    blocks: list[Block] = [
        Paragraph(
            f"The plain model {plain['name']} (AUC {number(plain['auc'])}) has a lowest adverse impact ratio of "
            f"{number(plain['adverse_impact_ratio'])}, below the policy's line of {number(found['line'], 2)}. "
            f"{len(tried)} alternatives were tried; {len(eligible)} keep every line at a cost of at most "
            f"{number(found['maximum_auc_loss'], 2)} of AUC. Taken: {found['chosen'] or 'none'}."
        )
    ]
    order = sorted(tried, key=lambda e: (not e["chosen"], not e["eligible"], -(e["auc"] or 0.0), e["name"]))
    rows = tuple(
        (
            entry["name"],
            entry["description"],
            number(entry["auc"]),
            number(entry["adverse_impact_ratio"]),
            entry["worst_group"] or "",
            "taken" if entry["chosen"] else "kept every line" if entry["eligible"] else entry["why_not"],
        )
        for entry in order[:_SHOWN_ALTERNATIVES]
    )
    header = ("Alternative", "What it is", "AUC", "Lowest ratio", "For", "Result")
    blocks.append(Table(header, rows, frozenset({2, 3})))
    if len(tried) > len(rows):
        blocks.append(Paragraph(f"The other {len(tried) - len(rows)} stand in the run's evidence."))
    return Section(heading, tuple(blocks))


def performance(told: Told) -> Section:
    """Measures on the hold-out data with intervals and the policy's lines."""
    found = told.details("evaluation")
    if not found:
        return Section("Performance", (_NOT_STATED,))
    verdict = told.verdict("evaluation")
    lines = {check.name: check for check in verdict.checks} if verdict else {}
    rows = []
    known = list(_MEASURES)
    for name in sorted(found["figures"], key=lambda n: known.index(n) if n in known else len(known)):
        entry = found["figures"][name]
        line = lines.get(name)
        kept = f"{line.comparison} {significant(line.threshold)}" if line and line.threshold is not None else "recorded"
        rows.append((_MEASURES.get(name, name), number(entry["figure"]), span(entry["interval"]), kept))
    (tn, fp), (fn, tp) = found["confusion"]
    sample = SAMPLES.get(found["sample"], found["sample"])
    blocks = (
        Paragraph(f"Measured on the {sample}."),
        Table(("Measure", "Figure", "95 % interval", "Policy's line"), tuple(rows), frozenset({1, 2})),
        Paragraph(
            f"At the threshold: {tp:,} adverse cases declined, {fn:,} approved; {tn:,} favourable cases approved, "
            f"{fp:,} declined. The benchmark {found['benchmark']['name']} has an AUC of "
            f"{number(found['benchmark']['auc'])}."
        ),
    )
    return Section("Performance", blocks)


def fairness(told: Told, policy: Policy) -> Section:
    """Approval rates and ratios by group, on both samples, and the proxy test."""
    found = told.details("fairness_gate")
    blocks: list[Block] = [
        Paragraph(
            "The adverse impact ratio is a group's approval rate over its reference group's; 1.00 is parity. The "
            f"policy's line is {number(found['line'], 2)}. It is a warning line of this policy and no legal limit."
        )
    ]
    by_weight = sorted(found["attributes"].items(), key=lambda item: (not item[1]["required"], item[0]))
    for name, attribute in by_weight:
        decides = "decides" if attribute["required"] else "is recorded and does not decide"
        blocks.append(
            Paragraph(f"{name.replace('_', ' ').capitalize()} ({decides}; reference: {attribute['reference']})")
        )
        rows = tuple(
            (
                entry["group"],
                SAMPLES.get(entry["sample"], entry["sample"]),
                f"{entry['rows']:,}",
                share(entry["approval_rate"]),
                share_span(entry["interval"]),
                number(entry["adverse_impact_ratio"]),
                span(entry["ratio_interval"]),
            )
            for entry in attribute["groups"]
        )
        header = ("Group", "Sample", "Rows", "Approved", "95 % interval", "Ratio", "95 % interval")
        blocks.append(Table(header, rows, frozenset({2, 3, 4, 5, 6})))
    proxies = tuple(
        f"{name}: the model's inputs predict it with an AUC of {number(test['auc'], 2)} ({span(test['interval'], 2)}); "
        f"the policy's warning line is {number(policy.fairness.proxy_auc, 2)}"
        for name, test in found.get("proxy", {}).items()
    )
    if proxies:
        blocks += [
            Paragraph("Could the inputs stand in for a sensitive attribute? 0.5 is not at all:"),
            Bullets(proxies),
        ]
    return Section("Fairness", tuple(blocks))


def reasons(told: Told, policy: Policy) -> Section:
    """Which Shapley values, what they were checked against, and what moves the score."""
    found = told.details("explainability")
    if not found:
        return Section("Reasons", (_NOT_STATED,))
    additivity = found["additivity"]
    rows = tuple(
        (entry["meaning"] or entry["feature"], entry["reason_code"], significant(entry["mean_absolute"]))
        for entry in found["importances"][:_SHOWN_FEATURES]
    )
    space = found.get("space", "log odds")
    blocks = (
        Paragraph(
            f"A declined applicant is told up to {policy.reasons.maximum} principal reasons, in the contract's words. "
            f"They rest on {_SHAP[found['shap']]}. Another kind of Shapley value may rank the reasons differently; the "
            "policy fixes this one."
        ),
        Paragraph(
            f"Reasons and score agree within {additivity['maximum_error']:.1e} for {additivity['rows']:,} applicants "
            f"(tolerance {additivity['tolerance']:.0e})."
        ),
        Table(("Fact", "Reason", f"Mean size of its contribution ({space})"), rows, frozenset({2})),
    )
    return Section("Reasons", blocks)


def limits(told: Told, contract: Contract, policy: Policy) -> Section:
    """What the figures do not say, from the figures themselves."""
    items = [
        f"The outcome is what was decided or happened in the past ({contract.target.meaning}); what the data got "
        "wrong, the model may have learnt.",
        "Intervals are 95 % intervals of sampling error alone: they do not cover a change of the population.",
    ]
    small = sorted(
        {
            f"{entry['group']} ({name}, {entry['rows']} rows)"
            for name, attribute in told.details("fairness_gate").get("attributes", {}).items()
            for entry in attribute["groups"]
            if entry["rows"] < policy.fairness.minimum_group
        }
    )
    if small:
        items.append(f"Too few people for a judgement ({policy.fairness.minimum_group} needed): {', '.join(small)}.")
    recorded = [n for n, a in told.details("fairness_gate").get("attributes", {}).items() if not a["required"]]
    if recorded:
        items.append(f"Recorded, without a line that decides: {', '.join(recorded)}.")
    for verdict in told.verdicts():
        unsure = [check.detail for check in verdict.checks if check.outcome is Outcome.INSUFFICIENT]
        items += [f"Not enough evidence: {detail}." for detail in unsure]
    return Section("Limits", (Bullets(tuple(items)),))


def clauses(told: Told, policy: Policy) -> Section:
    """Which clause of the policy was served by which checks, and how they ended."""
    rows: dict[tuple[str, str], list[Outcome]] = {}
    for gate in GATES:
        verdict = told.verdict(gate)
        for check in verdict.checks if verdict else ():
            if check.clause:
                rows.setdefault((check.clause, gate), []).append(check.outcome)
    table = tuple(
        (clause, gate.replace("_", " "), str(len(outcomes)), _worst(outcomes))
        for (clause, gate), outcomes in rows.items()
    )
    regimes = (
        [Paragraph("The policy names these regimes: " + "; ".join(policy.regimes) + ".")] if policy.regimes else []
    )
    if not table:
        return Section("Policy clauses", tuple(regimes))
    return Section(
        "Policy clauses", (*regimes, Table(("Clause", "Served by", "Checks", "Outcome"), table, frozenset({2})))
    )


def _worst(outcomes: list[Outcome]) -> str:
    for outcome in (Outcome.FAIL, Outcome.INSUFFICIENT, Outcome.PASS):
        if outcome in outcomes:
            return outcome.value
    return Outcome.RECORDED.value


def digests(told: Told) -> Section:
    """What exactly the card speaks of."""
    found = {"model": told.model_sha256, **told.details("training").get("digests", {})}
    rows = tuple((name, f"sha256:{value}") for name, value in found.items() if value)
    commit = told.details("training").get("git_commit")
    if commit:
        rows = (*rows, ("git commit", str(commit)))
    return Section("Digests", (Table(("What", "Digest"), rows),))
