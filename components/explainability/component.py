"""The step explainability as Kubeflow runs it; what it does is in logic.py."""

from kfp import dsl
from kfp.dsl import HTML, Dataset, Input, Model, Output

from tallystick.components.core import images


@dsl.component(base_image=images.reference("explainability"), install_kfp_package=False)
def explainability(
    candidate: Input[Model],
    dataset: Input[Dataset],
    contract_yaml: str,
    policy_yaml: str,
    evidence: str,
    run_id: str,
    report: Output[HTML],
) -> bool:
    """Checks that the reasons given for a score are exact, permitted and in the contract's words.

    Args:
        candidate: Folder of the chosen model.
        dataset: The validated data.
        contract_yaml: The data contract.
        policy_yaml: The policy; `reasons` says which Shapley values and how many reasons.
        evidence: Where the statements of every step are kept.
        run_id: Name of this run in the evidence.
        report: What moves the score, examples of reasons, and every check.

    Returns:
        Whether every check passed.
    """
    from pathlib import Path

    from tallystick.components.core.contract import parse_contract
    from tallystick.components.core.evidence import EvidenceStore
    from tallystick.components.core.files import write_text
    from tallystick.components.core.journal import step
    from tallystick.components.core.policy import parse_policy
    from tallystick.components.core.storage import open_store
    from tallystick.components.explainability.logic import explain_candidate, report_page

    with step("explainability") as journal:
        contract, policy = parse_contract(contract_yaml), parse_policy(policy_yaml)
        journal.progress(0.1, "explaining applicants and comparing with shap")
        explanation = explain_candidate(Path(candidate.path), Path(dataset.path), contract, policy)
        store = EvidenceStore(open_store(evidence), run_id)
        store.record_verdict("explainability", explanation.verdict, explanation.details)
        write_text(Path(report.path), report_page(explanation))
        journal.verdict(explanation.verdict)
    return explanation.verdict.passed
