"""The compiled pipeline: the same bytes each time, and nothing in it that must not be submitted."""

import os
import subprocess
import sys

import pytest
import yaml

from tallystick.components.core import images
from tallystick.pipelines.compiling import (
    CompiledPipelineError,
    check_compiled,
    compile_manifests,
    compile_pipeline,
)
from tallystick.pipelines.credit_risk.pipeline import CONTRACT, POLICY, credit_risk


@pytest.fixture(scope="module")
def compiled():
    return compile_pipeline(credit_risk)


def test_another_process_with_another_hash_seed_compiles_the_same_bytes(compiled):
    again = subprocess.run(
        [sys.executable, "-m", "tallystick.pipelines.cli", "compile"],
        env={**os.environ, "PYTHONHASHSEED": "4242"},
        capture_output=True,
        check=True,
    )
    assert again.stdout.decode() == compiled


def test_every_parameter_has_a_concrete_default_and_a_description(compiled):
    parameters = yaml.safe_load(compiled)["root"]["inputDefinitions"]["parameters"]
    for name, parameter in parameters.items():
        assert "defaultValue" in parameter, name
        assert parameter["description"], name
    assert parameters["contract_yaml"]["defaultValue"] == CONTRACT
    assert parameters["policy_yaml"]["defaultValue"] == POLICY


def test_every_step_runs_an_image_of_the_lock_and_is_never_cached(compiled):
    specification = yaml.safe_load(compiled)
    known = set(images.references().values())
    executors = specification["deploymentSpec"]["executors"]
    assert {executor["container"]["image"] for executor in executors.values()} <= known
    dags = [specification["root"]["dag"]] + [
        component["dag"] for component in specification["components"].values() if "dag" in component
    ]
    for dag in dags:
        for name, task in dag["tasks"].items():
            runs = "executorLabel" in specification["components"][task["componentRef"]["name"]]
            assert not (runs and task.get("cachingOptions", {}).get("enableCache")), name


def test_pip_install_is_refused(compiled):
    with pytest.raises(CompiledPipelineError, match="pip install"):
        check_compiled(compiled.replace("python3 -m kfp", "pip install x; python3 -m kfp", 1))


def test_a_dangling_component_is_refused(compiled):
    with pytest.raises(CompiledPipelineError, match="comp-nowhere"):
        check_compiled(
            compiled.replace("name: comp-training", "name: comp-nowhere").replace(
                "name: comp-train-candidates", "name: comp-nowhere"
            )
        )


def test_an_image_outside_the_lock_is_refused(compiled):
    some = images.reference("training")
    with pytest.raises(CompiledPipelineError, match="not in the image lock"):
        check_compiled(compiled.replace(some, "docker.io/library/python:latest"))


@pytest.mark.parametrize("text", ["password: hunter2", "AWS_SECRET_ACCESS_KEY=abc", "api_key: abc"])
def test_what_reads_like_a_secret_is_refused(compiled, text):
    specification = yaml.safe_load(compiled)
    specification["root"]["inputDefinitions"]["parameters"]["data"]["defaultValue"] = text
    with pytest.raises(CompiledPipelineError, match="secret"):
        check_compiled(yaml.safe_dump(specification))


def test_the_kubernetes_form_names_its_version_by_its_content(compiled):
    pipeline, version = yaml.safe_load_all(compile_manifests(credit_risk, namespace="lending"))
    assert (pipeline["kind"], version["kind"]) == ("Pipeline", "PipelineVersion")
    assert {pipeline["metadata"]["namespace"], version["metadata"]["namespace"]} == {"lending"}
    assert version["spec"]["pipelineName"] == pipeline["metadata"]["name"] == "credit-risk"
    assert version["spec"]["pipelineSpec"] == yaml.safe_load(compiled)
    assert version["metadata"]["name"].startswith("credit-risk-")
