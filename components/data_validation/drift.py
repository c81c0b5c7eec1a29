"""Compares the data with the sample that an earlier model was developed on, bin by frozen bin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from tallystick.components.core.encoding import Feature
from tallystick.components.core.errors import InputError
from tallystick.components.core.measures.stability import Stability, population_stability
from tallystick.components.core.model_package import Bins, Profile
from tallystick.components.core.policy import DataRules
from tallystick.components.core.profiles import count_into
from tallystick.components.core.verdicts import Check, Outcome


@dataclass(frozen=True, kw_only=True)
class Drift:
    """One feature's bins in the reference and in the data, and how far they are apart."""

    reference: Bins
    found: Bins
    stability: Stability


def drift_of(table: pd.DataFrame, features: Sequence[Feature], reference: Profile, name: str) -> tuple[Drift, ...]:
    """Count the data into the reference's bins, for every feature that the reference has.

    Raises
    ------
    InputError
        The reference has none of the features, or no counts: it is of another model.
    """
    by_name = {bins.name: bins for bins in reference.features}
    shared = [feature for feature in features if feature.name in by_name]
    if not shared or not all(by_name[feature.name].counts for feature in shared):
        raise InputError(
            name,
            "is the profile of other features than the contract's",
            "a profile.json with bins of " + ", ".join(feature.name for feature in features),
        )
    result = []
    for feature in shared:
        frozen = by_name[feature.name]
        found = count_into(frozen, feature, table[feature.name])
        stability = population_stability(_all_bins(frozen), _all_bins(found))
        result.append(Drift(reference=frozen, found=found, stability=stability))
    return tuple(result)


def _all_bins(bins: Bins) -> list[int]:
    return [*bins.counts, bins.missing, bins.out_of_range]


def drift_checks(found: Sequence[Drift], rules: DataRules) -> list[Check]:
    """Judge each feature's index: above the policy's line it fails, unless samples this small reach it by chance.

    Where the noise band itself reaches the line, an index between the two is insufficient evidence.
    """
    checks = [_judge(drift, rules) for drift in found]
    objections = [check for check in checks if check.outcome is not Outcome.PASS]
    return objections or [max(checks, key=lambda check: check.figure or 0.0)] if checks else []


def _judge(drift: Drift, rules: DataRules) -> Check:
    index, noise = drift.stability.index, drift.stability.noise
    outcome = Outcome.PASS
    if index is None or noise is None:
        outcome = Outcome.INSUFFICIENT
    elif index > rules.drift_psi:
        outcome = Outcome.FAIL if index > noise else Outcome.INSUFFICIENT
    text = "undefined" if index is None else f"{index:.3f} (95 % of samples without a shift stay below {noise:.3f})"
    return Check(
        name="population_stability_index",
        outcome=outcome,
        subject=drift.reference.name,
        figure=index,
        threshold=rules.drift_psi,
        comparison="<=",
        count=drift.stability.rows,
        detail=f"column {drift.reference.name}: population stability index {text}; "
        f"allowed: at most {rules.drift_psi:g} (policy: data.drift_psi)",
        clause=rules.clause,
    )


def unmatched_checks(features: Sequence[Feature], reference: Profile) -> list[Check]:
    """Features that the reference has no bins for: recorded, as nobody can say whether they moved."""
    known = {bins.name for bins in reference.features}
    return [
        Check(
            name="population_stability_index",
            outcome=Outcome.RECORDED,
            subject=feature.name,
            detail=f"column {feature.name}: the reference profile does not have it, so nothing can be said of drift",
        )
        for feature in features
        if feature.name not in known
    ]
