"""Settings from arguments and environment, and refusals while a model is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tallystick.components.core.ensembles import LinearModel
from tallystick.components.core.errors import InputError
from tallystick.components.core.model_package import Examples, ModelPackage
from tallystick.components.model_server.__main__ import parse_settings
from tallystick.components.model_server.openapi import describe
from tallystick.components.model_server.scoring import EXAMPLE_TOLERANCE, Scorer, load_session
from tests.support.packages import Lending, write_lending_package
from tests.unit.model_server.conftest import Served

SELDON = {
    "PREDICTIVE_UNIT_ID": "classifier",
    "PREDICTIVE_UNIT_HTTP_SERVICE_PORT": "9000",
    "PREDICTIVE_UNIT_METRICS_SERVICE_PORT": "6000",
    "TALLYSTICK_MODEL": "s3://models/credit",
    "TALLYSTICK_MODEL_DIGEST": "sha256:ab",
}


def test_seldons_environment_is_enough() -> None:
    settings = parse_settings([], SELDON)
    assert (settings.name, settings.host, settings.port, settings.metrics_port) == ("classifier", "0.0.0.0", 9000, 6000)
    assert (settings.model, settings.digest) == ("s3://models/credit", "sha256:ab")


def test_arguments_come_before_the_environment() -> None:
    given = ["--model", "here", "--digest", "sha256:cd", "--port", "1", "--host", "127.0.0.1", "--name", "other"]
    settings = parse_settings(given, SELDON)
    assert (settings.name, settings.host, settings.port) == ("other", "127.0.0.1", 1)
    assert (settings.model, settings.digest) == ("here", "sha256:cd")


def test_without_seldon_only_this_machine_can_call() -> None:
    assert parse_settings(["--model", "here"], {}).host == "127.0.0.1"


@pytest.mark.parametrize("arguments", [[], ["--model", "x", "--workers", "0"], ["--model", "x", "--port", "many"]])
def test_a_wrong_argument_ends_with_the_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_settings(arguments, {})
    assert ended.value.code == 2
    assert "usage: model_server" in capsys.readouterr().err


@pytest.mark.parametrize(("off_by", "starts"), [(EXAMPLE_TOLERANCE / 2, True), (EXAMPLE_TOLERANCE * 3, False)])
def test_a_model_must_give_its_examples_their_scores(package: ModelPackage, off_by: float, starts: bool) -> None:
    scores = (package.examples.scores[0] + off_by, *package.examples.scores[1:])
    changed = replace(package, examples=Examples(rows=package.examples.rows, scores=scores))
    if starts:
        assert Scorer(changed, load_session(changed)).ready()
        return
    with pytest.raises(InputError, match="stored rows their stored scores"):
        Scorer(changed, load_session(changed))


def test_a_model_without_examples_or_with_impossible_ones_is_refused(package: ModelPackage) -> None:
    session = load_session(package)
    with pytest.raises(InputError, match="holds no rows"):
        Scorer(replace(package, examples=Examples(rows=(), scores=())), session)
    rows = ({**package.examples.rows[0], "purpose": "boat"},)
    with pytest.raises(InputError, match="purpose"):
        Scorer(replace(package, examples=Examples(rows=rows, scores=(0.5,))), session)


def test_arrays_that_are_another_model_than_the_graph_are_refused(tmp_path: Path, data: Lending) -> None:
    linear = write_lending_package(tmp_path / "model", "logistic_regression", data=data)
    assert isinstance(linear.arithmetic, LinearModel)
    other = replace(linear.arithmetic, coefficients=linear.arithmetic.coefficients + 1e-3)
    changed = replace(linear, arithmetic=other)
    with pytest.raises(InputError, match="another model than the graph"):
        Scorer(changed, load_session(changed))


def test_a_graph_of_other_columns_is_refused(package: ModelPackage) -> None:
    fewer = replace(package.interface, features=package.interface.features[:-1])
    with pytest.raises(InputError, match="features of 6 columns"):
        load_session(replace(package, interface=fewer))


def test_a_graph_that_cannot_be_run_is_refused(package: ModelPackage, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(InputError, match="cannot be run"):
        load_session(replace(package, folder=tmp_path))


def test_a_server_whose_model_answers_wrongly_is_not_ready(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    assert served.service.scorer.ready()
    monkeypatch.setattr(served.service.scorer, "score", lambda matrix: np.array([0.123]))
    assert not served.service.scorer.ready()


def test_the_openapi_has_the_contracts_names_types_and_ranges(package: ModelPackage) -> None:
    document = describe(package, "credit", maximum_rows=10)
    infer: Any = document["paths"]["/v2/models/credit/infer"]["post"]
    schema = infer["requestBody"]["content"]["application/json"]["schema"]
    tensors = {tensor["title"]: tensor["properties"] for tensor in schema["properties"]["inputs"]["items"]["oneOf"]}
    assert list(tensors) == ["income", "loan_ratio", "late_payments", "bankrupt", "years_employed", "purpose"]
    assert tensors["late_payments"]["data"]["items"] == {"type": "integer", "minimum": 0, "maximum": 60}
    assert {"type": "null"} in tensors["purpose"]["data"]["items"]["anyOf"]
    assert json.loads(json.dumps(document)) == document


def test_interventional_reasons_need_background_rows(
    tmp_path: Path, data: Lending, serve_package: Callable[..., Any]
) -> None:
    package = write_lending_package(tmp_path / "model", data=data, interface={"shap": "interventional"})
    with pytest.raises(InputError, match="background"):
        serve_package(package)
