"""The pipeline's logic called directly in one process, without KFP: what the pipeline's overhead is measured against.

Prints the seconds that the steps took, imports of our own modules and their libraries included, as a person
who calls the logic from a script would wait for them.
"""

import contextlib
import os
import sys
import time
from pathlib import Path


def main(folder: Path) -> float:
    from kfp import dsl

    from tallystick.components.data_validation.component import data_validation
    from tallystick.components.evaluation.component import evaluation
    from tallystick.components.explainability.component import explainability
    from tallystick.components.fairness_gate.component import fairness_gate
    from tallystick.components.model_card.component import model_card
    from tallystick.components.registration.component import registration
    from tallystick.components.rollout.component import rollout
    from tallystick.components.training.component import search_alternatives, train_candidates
    from tallystick.pipelines.credit_risk.pipeline import CONTRACT, POLICY

    def made(kind: type, name: str):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        return kind(name=name, uri=str(folder / name))

    rules = {"contract_yaml": CONTRACT, "policy_yaml": POLICY, "evidence": str(folder / "evidence"), "run_id": "direct"}
    (folder / "mlflow").mkdir(parents=True)
    tracking = {"mlflow_tracking_uri": f"sqlite:///{folder / 'mlflow' / 'mlflow.db'}"}
    began = time.perf_counter()
    dataset = made(dsl.Dataset, "dataset")
    data_validation.python_func(
        data="example:loanapp",
        reference_profile="",
        dataset=dataset,
        profile=made(dsl.Artifact, "profile"),
        report=made(dsl.HTML, "validation.html"),
        **rules,
    )
    plain, benchmark, chosen = (made(dsl.Model, name) for name in ("plain", "benchmark", "chosen"))
    train_candidates.python_func(
        dataset=dataset, git_commit="unknown", plain=plain, benchmark=benchmark, **tracking, **rules
    )
    is_fair = fairness_gate.python_func(
        candidate=plain,
        statement="fairness_gate_plain",
        report=made(dsl.HTML, "plain.html"),
        metrics=made(dsl.Metrics, "plain.metrics"),
        **rules,
    )
    search_alternatives.python_func(
        dataset=dataset,
        plain=plain,
        benchmark=benchmark,
        plain_is_fair=is_fair,
        chosen=chosen,
        report=made(dsl.HTML, "search.html"),
        **tracking,
        **rules,
    )
    evaluation.python_func(
        candidate=chosen,
        benchmark=benchmark,
        metrics=made(dsl.Metrics, "metrics"),
        curves=made(dsl.ClassificationMetrics, "curves"),
        report=made(dsl.HTML, "evaluation.html"),
        **rules,
    )
    fairness_gate.python_func(
        candidate=chosen,
        statement="fairness_gate",
        report=made(dsl.HTML, "fairness.html"),
        metrics=made(dsl.Metrics, "fairness.metrics"),
        **rules,
    )
    explainability.python_func(candidate=chosen, dataset=dataset, report=made(dsl.HTML, "reasons.html"), **rules)
    card, champion = made(dsl.Markdown, "card.md"), made(dsl.Model, "champion")
    model_card.python_func(candidate=chosen, card=card, page=made(dsl.HTML, "card.html"), **rules)
    version = registration.python_func(
        candidate=chosen, benchmark=benchmark, card=card, champion=champion, **tracking, **rules
    )
    rollout.python_func(
        candidate=chosen,
        champion=champion,
        dataset=dataset,
        model_version=version,
        timeline=made(dsl.HTML, "timeline.html"),
        metrics=made(dsl.Metrics, "rollout.metrics"),
        **tracking,
        **rules,
    )
    return time.perf_counter() - began


if __name__ == "__main__":
    os.environ["TALLYSTICK_JOURNAL"] = str(Path(sys.argv[1]) / "journal.jsonl")
    with contextlib.redirect_stdout(sys.stderr):
        seconds = main(Path(sys.argv[1]))
    print(seconds)
