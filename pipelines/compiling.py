"""Compiles a pipeline to bytes that can be approved: the same source gives the same bytes.

KFP's writer of plain YAML puts parameter defaults into a comment, which breaks on texts of several lines; the
plain form is therefore taken from its Kubernetes manifests, which have no comments.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import yaml
from kfp.compiler import Compiler
from kfp.compiler.compiler_utils import KubernetesManifestOptions

from tallystick.components.core import images
from tallystick.components.core.errors import TallystickError
from tallystick.components.core.files import sha256_of_bytes

_SECRET_NAMES = re.compile(
    r"(password|passwd|secret[_-]?key|access[_-]?key|api[_-]?key|token)\s*[=:]\s*\S", re.IGNORECASE
)


class CompiledPipelineError(TallystickError):
    """The compiled pipeline is not what may be submitted: it installs packages, dangles or holds a secret."""


def compile_pipeline(pipeline: Any) -> str:
    """The pipeline as plain YAML, checked by :func:`check_compiled`."""
    version = _manifests(pipeline, version="any", namespace="any")[-1]["spec"]
    documents = [version["pipelineSpec"]] + ([version["platformSpec"]] if "platformSpec" in version else [])
    text = _dump(documents)
    check_compiled(text)
    return text


def compile_manifests(pipeline: Any, *, namespace: str) -> str:
    """`Pipeline` and `PipelineVersion` resources for `kubectl apply` on a Kubeflow in Kubernetes-native mode.

    A version cannot be changed once applied, so it is named by the digest of the compiled pipeline.
    """
    digest = sha256_of_bytes(compile_pipeline(pipeline).encode())
    return _dump(_manifests(pipeline, version=f"{pipeline.name}-{digest[:12]}", namespace=namespace))


def _manifests(pipeline: Any, *, version: str, namespace: str) -> list[dict[str, Any]]:
    options = KubernetesManifestOptions(
        pipeline_name=pipeline.name,
        pipeline_version_name=version,
        namespace=namespace,
        include_pipeline_manifest=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "manifests.yaml"
        Compiler().compile(pipeline, str(path), kubernetes_manifest_format=True, kubernetes_manifest_options=options)
        return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def _dump(documents: list[dict[str, Any]]) -> str:
    return yaml.safe_dump_all(documents, sort_keys=True, allow_unicode=True, width=120)


def check_compiled(text: str) -> None:
    """Refuse what must not be submitted.

    Raises
    ------
    CompiledPipelineError
        A package would be installed in a pod, a component reference leads nowhere, an image is not in the
        lock, or something reads like a secret.
    """
    specification = next(iter(yaml.safe_load_all(text)))
    if "pip install" in text:
        raise CompiledPipelineError("the compiled pipeline runs `pip install` in a pod: images are built, not mended")
    if found := _SECRET_NAMES.search(text):
        raise CompiledPipelineError(f"the compiled pipeline holds what reads like a secret: {found.group(0)[:20]}...")
    components = specification["components"]
    executors = specification["deploymentSpec"]["executors"]
    for name in _references(specification):
        if name not in components:
            raise CompiledPipelineError(f"the compiled pipeline names a component that it does not have: {name}")
    for name, component in components.items():
        if "executorLabel" in component and component["executorLabel"] not in executors:
            raise CompiledPipelineError(f"component {name} has no executor {component['executorLabel']}")
    known = set(images.references().values())
    for name, executor in executors.items():
        image = executor["container"]["image"]
        if image not in known:
            raise CompiledPipelineError(f"{name} runs {image}, which is not in the image lock")


def _references(value: Any) -> list[str]:
    """All names under `componentRef` anywhere in the specification."""
    if isinstance(value, dict):
        own = [value["componentRef"]["name"]] if "componentRef" in value else []
        return own + [name for inner in value.values() for name in _references(inner)]
    if isinstance(value, list):
        return [name for inner in value for name in _references(inner)]
    return []
