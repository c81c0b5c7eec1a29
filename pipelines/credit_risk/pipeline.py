"""The pipeline `credit_risk`: from a data file to a model that serves, or a refusal that says why.

One source for a laptop and a cluster: what this compiles to is what runs in both places. Contract and policy
are texts among the parameters, so that a compiled version carries the rules it was approved with; another
lender's data is another contract and policy, and no code.

Gates return a plain bool, because a condition on anything else is skipped silently by the local runner.
"""

from pathlib import Path

from kfp import dsl

from tallystick.components.data_validation.component import data_validation
from tallystick.components.evaluation.component import evaluation
from tallystick.components.explainability.component import explainability
from tallystick.components.fairness_gate.component import fairness_gate
from tallystick.components.model_card.component import model_card
from tallystick.components.registration.component import registration
from tallystick.components.release_record.component import release_record
from tallystick.components.rollout.component import rollout
from tallystick.components.training.component import search_alternatives, train_candidates

_HERE = Path(__file__).parent
CONTRACT = (_HERE / "contract.yaml").read_text(encoding="utf-8")
POLICY = (_HERE / "policy.yaml").read_text(encoding="utf-8")


def _not_cached(task: dsl.PipelineTask) -> None:
    """Every step leaves a statement in the evidence; a step taken from a cache would leave none."""
    task.set_caching_options(False)


@dsl.pipeline(
    name="credit-risk",
    description="Validates, trains, judges, explains, registers and tries a lending model; refuses what fails a gate.",
)
def credit_risk(
    data: str = "example:loanapp",
    contract_yaml: str = CONTRACT,
    policy_yaml: str = POLICY,
    evidence: str = "s3://tallystick/evidence",
    run_id: str = dsl.PIPELINE_JOB_ID_PLACEHOLDER,
    mlflow_tracking_uri: str = "http://mlflow.tallystick.svc:5000",
    git_commit: str = "unknown",
    reference_profile: str = "",
) -> None:
    """A governed model release.

    Args:
        data: CSV or Parquet file by path or s3:// URL, or example:loanapp (Boston Fed mortgage applications, 1990).
        contract_yaml: The data contract, as YAML text: columns, meanings, ranges, sensitive attributes, reasons.
        policy_yaml: The policy, as YAML text: candidates, thresholds, search, rollout steps.
        evidence: Where the statements of every step are kept: a folder or s3://bucket/prefix.
        run_id: Name of this run in the evidence; the default is Kubeflow's own id of the run.
        mlflow_tracking_uri: The MLflow server that logs the training and holds the registry.
        git_commit: Commit of the contract and policy, recorded with the model.
        reference_profile: profile.json of an earlier model by path or s3:// URL, to compare the data with; or empty.
    """
    record = release_record(run_id=run_id, evidence=evidence)
    record.set_caching_options(False)
    with dsl.ExitHandler(record, name="release"):
        validated = data_validation(
            data=data,
            contract_yaml=contract_yaml,
            policy_yaml=policy_yaml,
            evidence=evidence,
            run_id=run_id,
            reference_profile=reference_profile,
        )
        _not_cached(validated)
        dataset = validated.outputs["dataset"]
        rules = {
            "contract_yaml": contract_yaml,
            "policy_yaml": policy_yaml,
            "evidence": evidence,
            "run_id": run_id,
        }
        with dsl.If(validated.outputs["Output"] == True, name="data-is-valid"):  # noqa: E712 - builds a condition
            trained = train_candidates(
                dataset=dataset, mlflow_tracking_uri=mlflow_tracking_uri, git_commit=git_commit, **rules
            )
            _not_cached(trained)
            plain_gate = fairness_gate(candidate=trained.outputs["plain"], statement="fairness_gate_plain", **rules)
            plain_gate.set_display_name("fairness-gate-plain")
            _not_cached(plain_gate)
            searched = search_alternatives(
                dataset=dataset,
                plain=trained.outputs["plain"],
                benchmark=trained.outputs["benchmark"],
                plain_is_fair=plain_gate.outputs["Output"],
                mlflow_tracking_uri=mlflow_tracking_uri,
                **rules,
            )
            _not_cached(searched)
            chosen = searched.outputs["chosen"]
            benchmark = trained.outputs["benchmark"]
            evaluated = evaluation(candidate=chosen, benchmark=benchmark, **rules)
            _not_cached(evaluated)
            gate = fairness_gate(candidate=chosen, statement="fairness_gate", **rules)
            _not_cached(gate)
            explained = explainability(candidate=chosen, dataset=dataset, **rules)
            _not_cached(explained)
            with (
                dsl.If(evaluated.outputs["Output"] == True, name="is-good-enough"),  # noqa: E712
                dsl.If(gate.outputs["Output"] == True, name="is-fair"),  # noqa: E712
                dsl.If(explained.outputs["Output"] == True, name="is-explained"),  # noqa: E712
            ):
                card = model_card(candidate=chosen, **rules)
                _not_cached(card)
                registered = registration(
                    candidate=chosen,
                    benchmark=benchmark,
                    card=card.outputs["card"],
                    mlflow_tracking_uri=mlflow_tracking_uri,
                    **rules,
                )
                _not_cached(registered)
                tried = rollout(
                    candidate=chosen,
                    champion=registered.outputs["champion"],
                    dataset=dataset,
                    model_version=registered.outputs["Output"],
                    mlflow_tracking_uri=mlflow_tracking_uri,
                    **rules,
                )
                _not_cached(tried)
