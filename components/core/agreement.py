"""Checks that a contract and a policy speak of the same columns and groups before anything runs."""

from __future__ import annotations

from tallystick.components.core.contract import Contract
from tallystick.components.core.errors import InputError
from tallystick.components.core.policy import Policy


def check_agreement(contract: Contract, policy: Policy, *, policy_name: str = "policy.yaml") -> None:
    """Refuse a policy that names an attribute or feature which the contract does not have.

    Raises
    ------
    InputError
        With the policy's field and the names that the contract offers.
    """
    attributes = list(contract.sensitive)
    for attribute in policy.fairness.required:
        if attribute not in contract.sensitive:
            raise InputError(
                f"{policy_name}: fairness.required",
                f"{attribute!r} is no sensitive attribute of the contract",
                ", ".join(attributes) or "none: the contract has no `sensitive`",
            )
    features = {column.name for column in contract.features}
    for candidate in policy.training.candidates:
        for feature in candidate.features:
            if feature not in features:
                raise InputError(
                    f"{policy_name}: training.candidates[{candidate.name}].features",
                    f"{feature!r} is no feature of the contract",
                    ", ".join(sorted(features)),
                )
