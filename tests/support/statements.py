"""A full set of statements as the steps of a run leave them, for tests of the card, the summary and the report.

The figures are drawn from fixed seeds; intervals, rates and ratios are computed from counts as a step would.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tallystick.components.core.evidence import PREDICATES, STATEMENT_TYPE
from tallystick.components.core.files import sha256_of_bytes
from tallystick.components.core.verdicts import Check, Outcome, Verdict

RUN = "2026-11-23T15-00-00"
Statement = dict[str, Any]


def digest(name: str) -> str:
    return sha256_of_bytes(name.encode())


DATA, PLAIN, CHOSEN, BENCHMARK = (digest(n) for n in ("data", "plain", "chosen", "benchmark"))


def statement(
    kind: str, name: str, sha256: str, predicate: dict[str, Any], *, at: str = "2026-11-23T15:00:00+00:00"
) -> Statement:
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": sha256}}],
        "predicateType": f"{PREDICATES}/{kind}/v1",
        "predicate": {**predicate, "run": RUN, "at": at},
    }


def verdict_statement(
    gate: str,
    name: str,
    sha256: str,
    checks: list[Check],
    details: dict[str, Any],
    *,
    minute: int = 0,
    seconds: int = 0,
) -> Statement:
    verdict = Verdict(
        gate=gate,
        subject_name=name,
        subject_sha256=sha256,
        checks=tuple(checks),
        context={"contract_sha256": digest("contract"), "policy_sha256": digest("policy"), "data_sha256": DATA},
    )
    at = f"2026-11-23T15:{minute:02d}:{seconds:02d}+00:00"
    return statement("verdict", name, sha256, {**verdict.to_json(), "details": details}, at=at)


def wilson(count: int, total: int) -> list[float]:
    z = 1.96
    centre = (count + z * z / 2) / (total + z * z)
    half = z * np.sqrt(count * (total - count) / total + z * z / 4) / (total + z * z)
    return [round(float(centre - half), 4), round(float(centre + half), 4)]


def data_validation() -> Statement:
    checks = [
        Check(name="rows", outcome=Outcome.PASS, detail="1,989 rows, at least 500 needed", figure=1989, threshold=500,
              comparison=">=", count=1989, clause="Policy 2.1"),
        Check(name="leakage", outcome=Outcome.PASS, detail="no column alone tells the outcome", figure=0.74,
              threshold=0.95, comparison="<="),
    ]  # fmt: skip
    details = {
        "source": "loans.csv",
        "rows": 1989,
        "data_sha256": DATA,
        "target": {"adverse_rate": 0.1227, "adverse": 244, "rows": 1989, "meaning": "the application was denied"},
        "columns": [
            {"name": "obrat", "role": "feature", "type": "number", "missing": 0, "minimum": 0.0, "maximum": 95.0,
             "mean": 32.4, "unique": 470},
            {"name": "unem", "role": "feature", "type": "number", "missing": 12, "minimum": 1.8, "maximum": 10.6,
             "mean": 3.9, "unique": 9},
        ],
        "groups": {
            "race": {
                "White": {"rows": 1681, "adverse_rate": 0.0916},
                "Black": {"rows": 197, "adverse_rate": 0.3299},
                "Hispanic": {"rows": 111, "adverse_rate": 0.2342},
            },
            "sex": {"Men": {"rows": 1605, "adverse_rate": 0.1215}, "Women": {"rows": 384, "adverse_rate": 0.1276}},
        },
        "excluded": [{"name": "reject_code", "why": "known only after the decision"}],
    }  # fmt: skip
    return verdict_statement("data_validation", "loans.csv", DATA, checks, details, seconds=3)


def training() -> Statement:
    board = [
        ("boosting", "hist_gradient_boosting", 0.895, False, True, PLAIN),
        ("forest", "random_forest", 0.889, False, False, digest("forest")),
        ("scorecard", "logistic_regression", 0.866, True, False, BENCHMARK),
    ]
    predicate = {
        "plain": "boosting",
        "benchmark": "scorecard",
        "rows": 1492,
        "folds": 5,
        "holdout_rows": 497,
        "leaderboard": [
            {"name": name, "kind": kind, "parameters": {"max_iter": 200}, "features": ["obrat", "loanprc", "pubrec"],
             "auc": auc, "auc_interval": [auc - 0.024, auc + 0.022], "seconds": 1.7, "is_benchmark": benchmark,
             "is_plain": plain, "model_sha256": sha}
            for name, kind, auc, benchmark, plain, sha in board
        ],
        "digests": {"data": DATA, "contract": digest("contract"), "policy": digest("policy")},
    }  # fmt: skip
    return statement("training", "boosting", PLAIN, predicate, at="2026-11-23T15:00:14+00:00")


def fairness(
    gate: str, name: str, sha256: str, auc: float, approved: dict[str, dict[str, int]], second: int
) -> Statement:
    """`approved`: approvals by attribute and group among the out-of-fold rows below."""
    rows = {"race": {"White": 1262, "Black": 148, "Hispanic": 82}, "sex": {"Men": 1204, "Women": 288}}
    attributes: dict[str, Any] = {}
    checks = []
    for attribute, groups in rows.items():
        reference = next(iter(groups))
        entries = []
        for sample, share in (("out_of_fold", 1.0), ("holdout", 1 / 3)):
            base = approved[attribute][reference] / groups[reference]
            for group, total in groups.items():
                count, size = round(approved[attribute][group] * share), round(total * share)
                rate, (low, high) = count / size, wilson(count, size)
                ratio = None if group == reference else round(rate / base, 4)
                interval = None if ratio is None else [round(low / base, 4), round(high / base, 4)]
                entries.append({"group": group, "sample": sample, "rows": size, "approval_rate": round(rate, 4),
                                "interval": [low, high], "adverse_impact_ratio": ratio,
                                "ratio_interval": interval})  # fmt: skip
                if ratio is not None and attribute == "race" and sample == "out_of_fold":
                    outcome = Outcome.PASS if ratio >= 0.8 else Outcome.FAIL
                    checks.append(
                        Check(name="adverse_impact_ratio", sample=sample, subject=f"race: {group}", figure=ratio,
                              interval=(interval[0], interval[1]) if interval else None, threshold=0.8,
                              comparison=">=", count=size, outcome=outcome, clause="Policy 4.2",
                              detail=f"race: {group}: adverse impact ratio {ratio:.3f}, line 0.800"))  # fmt: skip
        attributes[attribute] = {"reference": reference, "required": attribute == "race", "groups": entries}
    details = {
        "model": {"name": name, "kind": "hist_gradient_boosting"},
        "auc": {"figure": auc, "interval": [auc - 0.024, auc + 0.022]},
        "threshold": 0.2874,
        "line": 0.8,
        "attributes": attributes,
        "proxy": {"race": {"auc": 0.71, "interval": [0.67, 0.75]}},
    }
    return verdict_statement(gate, name, sha256, checks, details, seconds=second)


def fairness_plain() -> Statement:
    approved = {"race": {"White": 1152, "Black": 99, "Hispanic": 64}, "sex": {"Men": 1060, "Women": 255}}
    return fairness("fairness_gate_plain", "boosting", PLAIN, 0.895, approved, 17)


def fairness_chosen() -> Statement:
    approved = {"race": {"White": 1136, "Black": 112, "Hispanic": 66}, "sex": {"Men": 1062, "Women": 252}}
    return fairness("fairness_gate", "boosting-fewer-features", CHOSEN, 0.881, approved, 34)


def alternatives() -> Statement:
    generator = np.random.default_rng(4)
    tried = []
    for index, method in enumerate(("feature_sets", "regularisation", "reductions", "threshold_optimiser") * 6):
        auc = round(float(0.895 - generator.gamma(2, 0.012)), 4)
        ratio = round(float(0.74 + (0.895 - auc) * 1.6 + generator.normal(0, 0.015)), 4)
        eligible = ratio >= 0.8 and auc >= 0.845
        why = "" if eligible else ("adverse impact ratio below 0.80" if ratio < 0.8 else "costs more than 0.05 of AUC")
        tried.append({"name": f"{method}-{index}", "method": method, "description": f"{method}, variant {index}",
                      "auc": auc, "adverse_impact_ratio": ratio, "worst_group": "race: Black", "approval_rate": 0.877,
                      "eligible": eligible, "why_not": why, "chosen": False})  # fmt: skip
    tried.append({"name": "boosting-fewer-features", "method": "feature_sets",
                  "description": "without obligations and unverifiable items", "auc": 0.881,
                  "adverse_impact_ratio": 0.8407, "worst_group": "race: Black", "approval_rate": 0.877,
                  "eligible": True, "why_not": "", "chosen": True})  # fmt: skip
    predicate = {
        "searched": True,
        "plain": {"name": "boosting", "auc": 0.895, "adverse_impact_ratio": 0.7328},
        "line": 0.8,
        "maximum_auc_loss": 0.05,
        "alternatives": tried,
        "chosen": "boosting-fewer-features",
    }
    return statement("search", "boosting-fewer-features", CHOSEN, predicate, at="2026-11-23T15:00:31+00:00")


def evaluation() -> Statement:
    generator = np.random.default_rng(7)
    adverse = (generator.random(497) < 0.123).astype(int)
    scores = 1 / (1 + np.exp(-(generator.normal(0, 1, 497) + 2.4 * adverse - 2.3)))
    order = np.argsort(-scores)
    roc = [
        [float(np.mean(scores[adverse == 0] >= s)), float(np.mean(scores[adverse == 1] >= s))]
        for s in scores[order][::4]
    ]
    calibration = []
    for part in np.array_split(order[::-1], 8):
        total, bad = len(part), int(adverse[part].sum())
        low, high = wilson(bad, total)
        calibration.append({"mean_score": round(float(scores[part].mean()), 4), "observed": round(bad / total, 4),
                            "low": max(0.0, low), "high": high, "rows": total})  # fmt: skip
    declined = scores >= 0.2874
    confusion = [
        [int((~declined & (adverse == 0)).sum()), int((declined & (adverse == 0)).sum())],
        [int((~declined & (adverse == 1)).sum()), int((declined & (adverse == 1)).sum())],
    ]
    figures = {
        name: {"figure": value, "interval": interval, "count": 497}
        for name, value, interval in (
            ("auc", 0.878, [0.83, 0.921]), ("gini", 0.756, [0.66, 0.842]), ("ks", 0.63, None),
            ("brier", 0.078, [0.062, 0.095]), ("accuracy", 0.893, [0.863, 0.918]),
            ("precision", 0.55, [0.42, 0.67]), ("recall", 0.61, [0.48, 0.73]),
        )
    }  # fmt: skip
    checks = [
        Check(name="auc", sample="holdout", figure=0.878, interval=(0.83, 0.921), threshold=0.7, comparison=">=",
              count=497, outcome=Outcome.PASS, clause="Policy 3.1", detail="AUC 0.878, the policy's line is 0.700"),
        Check(name="brier", sample="holdout", figure=0.078, count=497, outcome=Outcome.RECORDED,
              detail="Brier score 0.078"),
    ]  # fmt: skip
    details = {
        "sample": "holdout", "figures": figures, "roc": [[0.0, 0.0], *roc, [1.0, 1.0]], "calibration": calibration,
        "confusion": confusion, "threshold": 0.2874, "benchmark": {"name": "scorecard", "auc": 0.861},
        "hosmer_lemeshow": {"statistic": 9.1, "degrees": 8, "p_value": 0.33},
    }  # fmt: skip
    return verdict_statement("evaluation", "boosting-fewer-features", CHOSEN, checks, details, seconds=37)


def explainability() -> Statement:
    generator = np.random.default_rng(11)
    named = [
        ("obrat", "Other obligations as a share of income", "R01", 0.41),
        ("pubrec", "A public record of default", "R03", 0.33),
        ("loanprc", "Loan as a share of the property's price", "R02", 0.21),
        ("unem", "Unemployment in the applicant's industry", "R04", 0.09),
        ("term", "Term of the loan", "R05", 0.03),
    ]
    points = []
    for feature, _, _, size in named:
        if feature == "pubrec":
            values = [bool(v) for v in generator.random(200) < 0.07]
            moved = [round(float(1.9 if v else -0.14) + generator.normal(0, 0.1), 4) for v in values]
        elif feature == "term":
            values = [str(v) for v in generator.choice(["short", "long"], 200)]
            moved = [round(float(generator.normal(0, size)), 4) for _ in values]
        else:
            values = [round(float(v), 3) for v in generator.normal(30, 9, 200)]
            moved = [round(float(size * (v - 30) / 8 + generator.normal(0, size / 4)), 4) for v in values]
        points.append({"feature": feature, "values": values, "contributions": moved})
    texts = {
        "R01": "Your monthly obligations are high for your income",
        "R02": "The loan is large for the price of the property",
        "R03": "A public record shows a default or bankruptcy",
    }
    details = {
        "shap": "path_dependent", "base": -2.31, "points": points,
        "importances": [
            {"feature": f, "meaning": meaning, "reason_code": code, "mean_absolute": size}
            for f, meaning, code, size in named
        ],
        "additivity": {"maximum_error": 3.1e-15, "tolerance": 1e-6, "rows": 300},
        "reasons": [
            {"row": 114, "score": 0.81, "decision": "adverse",
             "reasons": [{"code": c, "text": texts[c], "contribution": v} for c, v in (("R03", 1.92), ("R01", 0.7))]},
            {"row": 902, "score": 0.44, "decision": "adverse",
             "reasons": [{"code": c, "text": texts[c], "contribution": v} for c, v in (("R01", 1.1), ("R02", 0.6))]},
        ],
    }  # fmt: skip
    checks = [
        Check(name="additivity", figure=3.1e-15, threshold=1e-6, comparison="<=", count=300, outcome=Outcome.PASS,
              detail="contributions add up to the score for all 300 rows"),
    ]  # fmt: skip
    return verdict_statement("explainability", "boosting-fewer-features", CHOSEN, checks, details, seconds=45)


def registration() -> Statement:
    predicate = {
        "name": "home-loans", "version": "2", "aliases": {"champion": "1", "candidate": "2"},
        "tags": {"digest": f"sha256:{CHOSEN}", "data_sha256": DATA, "git_commit": "0123abcd"}, "tracking": "sqlite",
    }  # fmt: skip
    return statement("registration", "home-loans", CHOSEN, predicate, at="2026-11-23T15:00:52+00:00")


def rollout(name: str = "release", *, fault: str = "") -> Statement:
    """A trial that ends well, or one whose canary starts to answer errors and is taken back."""
    timeline, weight, requests, errors = [], 0.0, 0, 0
    for tick in range(1, 31):
        second = tick * 0.8
        weight = (5.0 if tick < 10 else 0.0) if fault else (5.0, 25.0, 50.0, 100.0)[min(3, tick // 8)]
        requests += round(weight * 0.8)
        errors += round(weight * 0.3) if fault else 0
        timeline.append({
            "t": round(second, 1), "phase": "Progressing", "weight_desired_pct": weight,
            "weight_observed_pct": round(weight * 0.98, 1), "canary_requests": requests, "canary_errors": errors,
            "baseline_requests": tick * 70, "baseline_errors": 0, "canary_p99_s": 0.011, "baseline_p99_s": 0.010,
            "tests": [{"name": "errors", "verdict": "bad" if fault and tick > 8 else "good", "e_bad": 130.0,
                       "e_good": 0.2, "sentence": "errors: odds 40 times the baseline's"}], "reason": "",
        })  # fmt: skip
    predicate = {
        "name": name, "story": f"the new release, {fault}" if fault else "the new release",
        "canary": {"version": "boosting-fewer-features-1a2b3c4d5e", "sha256": CHOSEN},
        "baseline": {"version": "scorecard-9f8e7d6c5b", "sha256": BENCHMARK},
        "phase": "RolledBack" if fault else "Promoted",
        "reason": "errors: odds 40 times the baseline's" if fault else "every step had good evidence",
        "first_bad_answer_s": 1.2 if fault else None, "decided_s": 7.3 if fault else 19.2,
        "traffic_back_s": 7.9 if fault else None, "customers_hit": 12 if fault else 0,
        "requests": {"canary": 36 if fault else 830, "baseline": 2100, "canary_failed": 12 if fault else 0,
                     "baseline_failed": 0},
        "steps": [{"weight_pct": w} for w in (5, 25, 50)], "timeline": timeline,
    }  # fmt: skip
    return statement("rollout", "boosting-fewer-features", CHOSEN, predicate, at="2026-11-23T15:01:20+00:00")


def sample_statements() -> dict[str, Statement]:
    """All statements of a run that was promoted, with one bad release of it taken back."""
    return {
        "data_validation": data_validation(),
        "training": training(),
        "fairness_gate_plain": fairness_plain(),
        "alternatives": alternatives(),
        "fairness_gate": fairness_chosen(),
        "evaluation": evaluation(),
        "explainability": explainability(),
        "registration": registration(),
        "rollout": rollout(),
        "rollout-errors": rollout("errors", fault="answering errors"),
    }
