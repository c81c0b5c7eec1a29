"""The data validation as a Kubeflow component. What it does is in logic.py."""

from kfp import dsl

from tallystick.components.core import images


@dsl.component(base_image=images.reference("data_validation"), install_kfp_package=False)
def data_validation(
    data: str,
    contract_yaml: str,
    policy_yaml: str,
    evidence: str,
    run_id: str,
    reference_profile: str,
    dataset: dsl.Output[dsl.Dataset],
    profile: dsl.Output[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
) -> bool:
    """Check data against its contract; True where it may be learned from.

    Args:
        data: CSV or Parquet file: a path, file://, s3://bucket/key or example:NAME.
        contract_yaml: The data contract, as YAML text.
        policy_yaml: The policy, as YAML text.
        evidence: Where the statement of this step is kept: a folder or s3://bucket/prefix.
        run_id: Name of the run in the evidence.
        reference_profile: profile.json of an earlier model or validation to measure drift against, or empty.
        dataset: The rows to learn from, as one Parquet file; not written where the data is refused.
        profile: The features' distributions in frozen bins, as JSON; not written where the data is refused.
        report: What was found, as a self-contained page.
    """
    from pathlib import Path

    from tallystick.components.core.journal import step
    from tallystick.components.data_validation.logic import run

    with step("data_validation") as journal:
        passed, digests = run(
            data=data,
            contract_yaml=contract_yaml,
            policy_yaml=policy_yaml,
            evidence=evidence,
            run_id=run_id,
            reference_profile=reference_profile,
            dataset=Path(dataset.path),
            profile=Path(profile.path),
            report=Path(report.path),
            journal=journal,
        )
        dataset.metadata.update(digests)
    return passed
