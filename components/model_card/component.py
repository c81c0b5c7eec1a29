"""The step model_card as Kubeflow runs it; what it does is in logic.py."""

from kfp import dsl
from kfp.dsl import HTML, Input, Markdown, Model, Output

from tallystick.components.core import images


@dsl.component(base_image=images.reference("model_card"), install_kfp_package=False)
def model_card(
    candidate: Input[Model],
    contract_yaml: str,
    policy_yaml: str,
    evidence: str,
    run_id: str,
    card: Output[Markdown],
    page: Output[HTML],
) -> None:
    """Writes the model card from what the run has stated, the contract and the policy.

    Args:
        candidate: Folder of the chosen model; its digest must be the one the gates judged.
        contract_yaml: The data contract.
        policy_yaml: The policy.
        evidence: Where the statements of every step are kept.
        run_id: Name of this run in the evidence.
        card: The card as Markdown.
        page: The same card as a page.
    """
    from pathlib import Path

    from tallystick.components.core.journal import step
    from tallystick.components.model_card.steps import write_card

    with step("model_card"):
        write_card(
            candidate=Path(candidate.path),
            contract_yaml=contract_yaml,
            policy_yaml=policy_yaml,
            evidence=evidence,
            run_id=run_id,
            card=Path(card.path),
            page=Path(page.path),
        )
