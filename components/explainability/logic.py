"""Proves that the reasons an applicant would be given are the arithmetic of the score, and draws what moves it.

The values that are checked here are the ones the model server gives (core/contributions.py), compared with the
score itself, with shap as an independent reference, and with the contract's words and directions. No check can
be switched off. Nothing here changes a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tallystick.components.core.candidates import read_candidate
from tallystick.components.core.contract import Contract
from tallystick.components.core.contributions import contributions
from tallystick.components.core.encoding import encode
from tallystick.components.core.ensembles import Integers, LinearModel, probability, score
from tallystick.components.core.errors import InputError
from tallystick.components.core.frames import feature_values
from tallystick.components.core.model_package import ModelPackage
from tallystick.components.core.pages import render
from tallystick.components.core.policy import Policy
from tallystick.components.core.reasons import ReasonGroups
from tallystick.components.core.verdicts import Verdict
from tallystick.components.explainability.checks import (
    Explained,
    ServedGraph,
    additivity,
    agreement_with_shap,
    by_feature,
    monotonic_directions,
    only_permitted_columns,
    reasons_for_everyone,
    texts_of_the_contract,
)
from tallystick.components.explainability.reference import shap_contributions

_ROWS_EXPLAINED = 300
_ROWS_COMPARED = 150
_SHOWN_FEATURES = 12
_SHOWN_EXAMPLES = 5


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """The gate's verdict and what its report, the card and the release's report are drawn from."""

    verdict: Verdict
    details: dict[str, Any]


def explain(
    package: ModelPackage,
    table: pd.DataFrame,
    contract: Contract,
    policy: Policy,
    *,
    name: str,
    context: Mapping[str, str],
) -> Explanation:
    """Explain a sample of applicants and every declined one, and check the explanations.

    Parameters
    ----------
    package
        The candidate, its bytes already checked.
    table
        The validated data; it is scored by the candidate's arrays.
    name
        What training calls the candidate.
    context
        Digests of data, contract and policy, kept in the verdict.

    Raises
    ------
    InputError
        The data lack a feature of the model, or the policy asks for Shapley values the model cannot give.
    """
    features = package.interface.features
    if missing := [f.name for f in features if f.name not in table.columns]:
        raise InputError("dataset", f"has no column {', '.join(missing)}", "every feature of the model")
    columns = feature_values(table, features)
    matrix = encode(features, columns)
    scores = score(package.arithmetic, matrix)
    declined = np.flatnonzero(scores >= package.interface.threshold)
    sampled = _spread(len(matrix), _ROWS_EXPLAINED, policy.seed)
    rows = np.union1d(sampled, declined)
    base, values = contributions(package.arithmetic, matrix[rows], package.interface)
    explained = Explained(
        package=package,
        rows=rows,
        matrix=matrix[rows],
        scores=scores[rows],
        contributions=values,
        base=base,
        declined=np.isin(rows, declined),
    )
    compared = np.searchsorted(rows, sampled[:_ROWS_COMPARED])
    reference = shap_contributions(package.arithmetic, matrix[rows[compared]])
    graph = ServedGraph(package)
    tolerance = policy.reasons.additivity_tolerance
    checks = (
        *additivity(explained, graph, tolerance=tolerance, clause=policy.reasons.clause),
        agreement_with_shap(explained, compared, reference, tolerance=tolerance),
        texts_of_the_contract(package, contract, clause=policy.reasons.clause),
        only_permitted_columns(package, contract),
        reasons_for_everyone(explained, clause=policy.reasons.clause),
        *monotonic_directions(package, graph, contract, matrix[sampled[:_ROWS_COMPARED]], columns),
    )
    verdict = Verdict(
        gate="explainability",
        subject_name=name,
        subject_sha256=package.digest,
        checks=checks,
        context=dict(context),
    )
    shown = np.searchsorted(rows, sampled)
    return Explanation(verdict=verdict, details=_details(explained, shown, columns, policy, verdict))


def _spread(total: int, wanted: int, seed: int) -> Integers:
    """Positions of at most `wanted` rows, drawn once by the policy's seed, shape (rows,)."""
    order = np.random.default_rng(seed).permutation(total)
    return np.asarray(np.sort(order[:wanted]), dtype=np.int64)


def _details(
    explained: Explained, shown: Integers, columns: Mapping[str, Any], policy: Policy, verdict: Verdict
) -> dict[str, Any]:
    interface = explained.package.interface
    values = by_feature(explained.contributions, explained.package)[shown]
    sizes = np.abs(values).mean(axis=0)
    order = sorted(range(len(sizes)), key=lambda i: (-sizes[i], interface.features[i].name))
    additive = [check for check in verdict.checks if check.name == "additivity"]
    return {
        "shap": "linear" if isinstance(explained.package.arithmetic, LinearModel) else interface.shap,
        "space": "log odds" if explained.package.arithmetic.link == "logit" else "probability",
        "base": float(explained.base),
        "base_score": float(probability(np.array([explained.base]), explained.package.arithmetic.link)[0]),
        "importances": [
            {
                "feature": interface.features[i].name,
                "meaning": interface.features[i].meaning,
                "reason_code": interface.features[i].reason_code,
                "mean_absolute": _four_digits(sizes[i]),
            }
            for i in order
        ],
        "points": [
            {
                "feature": interface.features[i].name,
                "values": [_plain(columns[interface.features[i].name][row]) for row in explained.rows[shown]],
                "contributions": [_four_digits(v) for v in values[:, i]],
            }
            for i in order[:_SHOWN_FEATURES]
        ],
        "additivity": {
            "maximum_error": max(check.figure or 0.0 for check in additive),
            "tolerance": policy.reasons.additivity_tolerance,
            "rows": len(explained.rows),
        },
        "reasons": _examples(explained),
        "reason_texts": dict(sorted(interface.reasons.items())),
    }


def _examples(explained: Explained) -> list[dict[str, Any]]:
    """Declined applicants from the highest score to the lowest, evenly spread."""
    declined = np.flatnonzero(explained.declined)
    if not len(declined):
        return []
    ordered = declined[np.lexsort((explained.rows[declined], -explained.scores[declined]))]
    chosen = ordered[np.unique(np.linspace(0, len(ordered) - 1, _SHOWN_EXAMPLES).round().astype(np.intp))]
    groups = ReasonGroups(explained.package.interface)
    return [
        {
            "row": int(explained.rows[i]),
            "score": _four_digits(explained.scores[i]),
            "decision": "adverse",
            "reasons": [
                {"code": r.code, "text": r.text, "contribution": _four_digits(r.contribution)}
                for r in groups.principal(explained.contributions[i])
            ],
        }
        for i in chosen
    ]


def _four_digits(value: float | np.floating[Any]) -> float:
    return float(f"{value:.4g}")


def _plain(value: Any) -> bool | int | float | str | None:
    """A cell of the table as JSON holds it."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, np.generic):
        return _plain(value.item())
    return _four_digits(value) if np.isfinite(value) else None


def read_dataset(path: Path) -> pd.DataFrame:
    """The validated data that the step before wrote (Parquet, whatever the file is called).

    Raises
    ------
    InputError
        Not there or damaged.
    """
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise InputError(
            str(path), f"cannot be read ({error})", "the Parquet file that data_validation wrote"
        ) from error


def explain_candidate(candidate: Path, dataset: Path, contract: Contract, policy: Policy) -> Explanation:
    """Read a candidate's folder and the data, and explain the one on the other."""
    read = read_candidate(candidate)
    training = read.training
    context = {
        "data_sha256": training.data_sha256,
        "dataset_sha256": training.dataset_sha256,
        "contract_sha256": training.contract_sha256,
        "policy_sha256": training.policy_sha256,
        "kind": read.model.kind,
    }
    return explain(read.model, read_dataset(dataset), contract, policy, name=training.name, context=context)


def report_page(explanation: Explanation) -> str:
    """The step's own HTML page."""
    from tallystick.components.core.plots import importances_plot, shap_summary_plot

    return render(
        "explainability.html.j2",
        Path(__file__).parent,
        verdict=explanation.verdict,
        details=explanation.details,
        summary_plot=shap_summary_plot(explanation.details),
        importances_plot=importances_plot(explanation.details),
    )
