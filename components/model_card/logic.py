"""Writes the model card from what the run has stated, the contract and the policy, and from nothing else.

The same statements give the same bytes. A card tells what was measured against one lender's policy; it never
says that a law is complied with. Statements made after it (registration, rollout) are not part of it, so the
card that is printed later is the card that was registered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tallystick.components.core.contract import Contract, parse_contract
from tallystick.components.core.errors import InputError
from tallystick.components.core.policy import Policy, parse_policy
from tallystick.components.model_card.blocks import Card, html, markdown
from tallystick.components.model_card.sections import (
    alternatives,
    clauses,
    data,
    digests,
    fairness,
    intended_use,
    kept_out,
    limits,
    performance,
    reasons,
    training,
)
from tallystick.components.model_card.told import Told

Statements = Mapping[str, Mapping[str, Any]]


def card_markdown(statements: Statements, contract_yaml: str, policy_yaml: str) -> str:
    """The card as Markdown.

    Parameters
    ----------
    statements
        Of the run, by step; the chosen model is the one that ``fairness_gate`` judged.
    contract_yaml, policy_yaml
        The texts the run was made with.

    Raises
    ------
    InputError
        No model was judged, so there is nothing to write a card of.
    """
    return markdown(build_card(statements, parse_contract(contract_yaml), parse_policy(policy_yaml)))


def card_html(statements: Statements, contract_yaml: str, policy_yaml: str) -> str:
    """The same card as one self-contained page."""
    return html(build_card(statements, parse_contract(contract_yaml), parse_policy(policy_yaml)))


def build_card(statements: Statements, contract: Contract, policy: Policy) -> Card:
    """Put the card together; a section whose statement is missing says so."""
    if "fairness_gate" not in statements:
        raise InputError("evidence", "no model was judged in this run", "a run that reached fairness_gate")
    told = Told(statements)
    sections = (
        intended_use(told, contract, policy),
        data(told, contract),
        kept_out(contract),
        training(told, policy),
        alternatives(told, policy),
        performance(told),
        fairness(told, policy),
        reasons(told, policy),
        limits(told, contract, policy),
        clauses(told, policy),
        digests(told),
    )
    return Card(
        title=f"Model card: {told.model_name} for {contract.name}",
        lead=(
            f"Estimates the probability that {contract.target.meaning}. This card tells what was measured under the "
            f"policy \N{LEFT DOUBLE QUOTATION MARK}{policy.name}\N{RIGHT DOUBLE QUOTATION MARK}; it is no statement "
            "that any law is complied with, and no legal advice."
        ),
        facts=told.headline_facts(),
        sections=tuple(section for section in sections if section.blocks),
    )
