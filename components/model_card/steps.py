"""Joins the card to what is outside it: the candidate's folder, the evidence, the files."""

from __future__ import annotations

from pathlib import Path

from tallystick.components.core.candidates import MODEL
from tallystick.components.core.errors import InputError
from tallystick.components.core.evidence import EvidenceStore
from tallystick.components.core.files import sha256_of_bytes, write_text
from tallystick.components.core.model_package import package_digest
from tallystick.components.core.statements import subject_of
from tallystick.components.core.storage import open_store
from tallystick.components.model_card.logic import card_html, card_markdown


def write_card(
    *, candidate: Path, contract_yaml: str, policy_yaml: str, evidence: str, run_id: str, card: Path, page: Path
) -> None:
    """Write both forms of the card, and leave the statement ``model_card``.

    Raises
    ------
    InputError
        No model was judged in this run, or it is not the candidate.
    """
    store = EvidenceStore(open_store(evidence), run_id)
    statements = store.statements()
    markdown = card_markdown(statements, contract_yaml, policy_yaml)
    name, judged = subject_of(statements["fairness_gate"])
    digest = package_digest(candidate / MODEL)
    if digest != judged:
        raise InputError(
            str(candidate), f"holds the model sha256:{digest}", f"the one that was judged, sha256:{judged}"
        )
    write_text(card, markdown)
    write_text(page, card_html(statements, contract_yaml, policy_yaml))
    store.record(
        "model_card",
        "model_card",
        subject_name=name,
        subject_sha256=digest,
        predicate={"sha256": sha256_of_bytes(markdown.encode()), "markdown": markdown},
    )
