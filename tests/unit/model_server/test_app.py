"""What a caller gets: the protocol's answers, every refusal with its field, and what is counted and logged."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tallystick.components.core.contributions import contributions
from tallystick.components.core.encoding import encode
from tallystick.components.core.ensembles import score
from tallystick.components.core.model_package import ModelPackage
from tallystick.components.model_server import scoring
from tests.support.infer_requests import infer_request, outputs
from tests.support.packages import REASONS, Lending, write_lending_package
from tests.unit.model_server.conftest import Served

HEADERS = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "x-request-id": "call-7"}


def run(coroutine: Any) -> httpx.Response:
    response: httpx.Response = asyncio.run(coroutine)
    return response


def counted(served: Served, series: str) -> float:
    for line in served.service.counters.exposition().decode().splitlines():
        labels = line.rsplit(" ", 1)[0]
        if line.startswith(series.split("{")[0]) and all(part in labels for part in series.split("{")[1:]):
            return float(line.rsplit(" ", 1)[1])
    raise AssertionError(f"no series {series}")


def declined_rows(package: ModelPackage, data: Lending, count: int, *, declined: bool = True) -> list[dict[str, Any]]:
    scores = score(package.arithmetic, encode(data.features, data.columns))
    chosen = np.flatnonzero((scores >= package.interface.threshold) == declined)[:count]
    return [{name: values[row] for name, values in data.columns.items()} for row in chosen]


def test_the_answer_holds_score_decision_and_reasons(served: Served, package: ModelPackage, data: Lending) -> None:
    rows = data.rows(40)
    response = run(served.post(infer_request(data.features, rows, id="batch-1")))
    assert response.status_code == 200
    answer = response.json()
    assert answer["id"] == "batch-1"
    assert answer["model_name"] == package.name
    assert answer["model_version"] == package.version
    assert answer["parameters"]["digest"] == f"sha256:{package.digest}"
    matrix = encode(data.features, {name: values[:40] for name, values in data.columns.items()})
    expected = score(package.arithmetic, matrix)
    found = outputs(answer)
    np.testing.assert_allclose(found["probability"], expected, atol=1e-12)
    adverse = expected >= package.interface.threshold
    assert found["decision"] == ["adverse" if declined else "favourable" for declined in adverse]
    assert [bool(json.loads(reasons)) for reasons in found["reasons"]] == adverse.tolist()


def test_reasons_are_the_strongest_sums_of_contributions(served: Served, package: ModelPackage, data: Lending) -> None:
    (row,) = declined_rows(package, data, 1)
    answer = run(served.post(infer_request(data.features, [row]))).json()
    told = json.loads(outputs(answer)["reasons"][0])
    matrix = encode(data.features, {name: [value] for name, value in row.items()})
    _, found = contributions(package.arithmetic, matrix, package.interface)
    sums = {
        "R01": found[0, :2].sum(),
        "R02": found[0, 2:4].sum(),
        "R03": found[0, 4:6].sum(),
        "R04": found[0, 6:].sum(),
    }
    expected = sorted((code for code in sums if sums[code] > 0), key=lambda code: -sums[code])
    assert [reason["code"] for reason in told] == expected
    for reason in told:
        assert reason["text"] == REASONS[reason["code"]]
        assert reason["contribution"] == pytest.approx(sums[reason["code"]], abs=1e-12)


def test_reasons_for_any_decision_on_request_and_none_on_request(
    served: Served, package: ModelPackage, data: Lending
) -> None:
    rows = declined_rows(package, data, 2) + declined_rows(package, data, 2, declined=False)
    for wanted, expected in (("adverse", 2), ("always", 4), ("never", 0)):
        answer = run(served.post(infer_request(data.features, rows, parameters={"reasons": wanted}))).json()
        assert sum(bool(json.loads(reasons)) for reasons in outputs(answer)["reasons"]) == expected


def test_only_the_outputs_that_were_asked_for_are_answered(served: Served, data: Lending) -> None:
    body = infer_request(data.features, data.rows(1), outputs=[{"name": "probability"}])
    assert list(outputs(run(served.post(body)).json())) == ["probability"]


def test_one_row_and_many_rows_get_the_same_answers(served: Served, data: Lending) -> None:
    rows = data.rows(30)
    together = outputs(run(served.post(infer_request(data.features, rows))).json())
    for place, row in enumerate(rows):
        alone = outputs(run(served.post(infer_request(data.features, [row]))).json())
        assert {name: values[0] for name, values in alone.items()} == {
            name: values[place] for name, values in together.items()
        }


def changed(request: dict[str, Any], place: int, **changes: Any) -> dict[str, Any]:
    result = copy.deepcopy(request)
    result["inputs"][place].update(changes)
    return result


BAD_TENSORS = [
    ({"data": [-1.0]}, "input 'income': is out of range"),
    ({"data": ["x"]}, "input 'income': is not a number"),
    ({"data": [None]}, "input 'income': is null"),
    ({"data": []}, "input 'income': 0 values for a shape of 1 rows"),
    ({"data": [1.0, 2.0]}, "input 'income': 2 values for a shape of 1 rows"),
    ({"data": [[1.0]]}, "input 'income': is not a number"),
    ({"data": 5}, "input 'income': data is not a list"),
    ({"shape": [2]}, "input 'income': 1 values for a shape of 2 rows"),
    ({"shape": [0]}, "input 'income': shape"),
    ({"shape": [-1]}, "input 'income': shape"),
    ({"shape": [True]}, "input 'income': shape"),
    ({"shape": [1, 2]}, "input 'income': shape"),
    ({"shape": "1"}, "input 'income': shape"),
    ({"datatype": "BYTES"}, "input 'income': datatype"),
    ({"datatype": None}, "input 'income': datatype"),
    ({"name": "race"}, "input 'race': is not an input of this model"),
    ({"name": "loan_ratio"}, "input 'loan_ratio': is given twice"),
    ({"name": 3}, "inputs[0]: is not a tensor with a name"),
]


@pytest.mark.parametrize(("change", "says"), BAD_TENSORS)
def test_a_bad_tensor_is_a_400_that_names_it(served: Served, data: Lending, change: dict[str, Any], says: str) -> None:
    request = changed(infer_request(data.features, data.rows(1)), 0, **change)
    response = run(served.post(request))
    assert response.status_code == 400
    message = response.json()["error"]
    assert says in message or (change.get("shape") == [2] and "its shape differs" in message)
    assert counted(served, 'tallystick_requests_total{outcome="invalid"') == 1


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b"{}", "inputs: is missing"),
        (b'{"inputs": 3}', "inputs: is missing"),
        (b'{"inputs": []}', "inputs: is missing"),
        (b'{"inputs": [7]}', "inputs[0]"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "not JSON"),
        (b'{"inputs": ' + b"9" * 6000 + b"}", "JSON"),
    ],
)
def test_what_is_no_request_is_a_400(served: Served, body: bytes, says: str) -> None:
    response = run(served.post(body))
    assert response.status_code == 400
    assert says in response.json()["error"] or "inputs" in response.json()["error"]


def test_half_a_surrogate_pair_is_refused(served: Served, data: Lending) -> None:
    body = json.dumps(infer_request(data.features, data.rows(1), id="\ud83d"))
    assert run(served.post(body.encode())).status_code == 400


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_not_json_are_refused_with_the_fields_name(served: Served, data: Lending, value: str) -> None:
    body = json.dumps(infer_request(data.features, data.rows(1)))
    first = json.dumps(data.columns["income"][0])
    response = run(served.post(body.replace(f'"data": [{first}]', f'"data": [{value}]').encode()))
    assert response.status_code == 400
    assert "input 'income': is not a finite number" in response.json()["error"]
    assert counted(served, 'tallystick_feature_bin_total{feature="income",bin="out_of_range"') == 1


@pytest.mark.parametrize(
    ("member", "says"),
    [
        ({"id": 4}, "id:"),
        ({"id": "x" * 129}, "id:"),
        ({"parameters": []}, "parameters:"),
        ({"parameters": {"reasons": "some"}}, "parameters.reasons"),
        ({"parameters": {"reasons": ["adverse"]}}, "parameters.reasons"),
        ({"parameters": {"binary_data_output": True}}, "binary_data_output"),
        ({"outputs": {}}, "outputs:"),
        ({"outputs": [{"name": "nothing"}]}, "outputs[0].name"),
        ({"outputs": [{"name": ["probability"]}]}, "outputs[0].name"),
        ({"outputs": ["probability"]}, "outputs[0].name"),
    ],
)
def test_a_bad_member_is_a_400_that_names_it(served: Served, data: Lending, member: dict[str, Any], says: str) -> None:
    response = run(served.post(infer_request(data.features, data.rows(1), **member)))
    assert response.status_code == 400
    assert says in response.json()["error"]


def test_a_missing_input_is_named(served: Served, data: Lending) -> None:
    request = infer_request(data.features, data.rows(1))
    del request["inputs"][3]
    assert run(served.post(request)).json()["error"] == "input 'bankrupt': is missing"


def test_binary_tensors_are_refused_by_name(served: Served) -> None:
    response = run(served.post(b"{}", headers={"Inference-Header-Content-Length": "2"}))
    assert response.status_code == 400
    assert "binary tensors" in response.json()["error"]


def test_limits_hold_on_both_sides(package: ModelPackage, serve_package: Callable[..., Served], data: Lending) -> None:
    body = json.dumps(infer_request(data.features, data.rows(3))).encode()
    served = serve_package(package, maximum_rows=3, maximum_body_bytes=len(body))
    assert run(served.post(body)).status_code == 200
    assert run(served.post(body + b" ")).status_code == 413
    assert run(served.post(b" " * (10 * len(body)))).status_code == 413
    four = json.dumps(infer_request(data.features, data.rows(4)), separators=(",", ":")).encode()
    served = serve_package(package, maximum_rows=3)
    assert run(served.post(four)).status_code == 413
    assert counted(served, 'tallystick_requests_total{outcome="too_large"') == 1


def test_a_body_that_never_ends_is_a_408(package: ModelPackage, serve_package: Callable[..., Served]) -> None:
    served = serve_package(package, read_timeout_s=0.05)
    sent: list[dict[str, Any]] = []

    async def call() -> None:
        waiting = iter([{"type": "http.request", "body": b"{", "more_body": True}])

        async def receive() -> dict[str, Any]:
            for message in waiting:
                return message
            await asyncio.sleep(60)
            raise AssertionError("the server waited")

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {"type": "http", "headers": [], "path_params": {"name": package.name}}
        await served.service.infer(scope, receive, send)  # type: ignore[arg-type]

    asyncio.run(call())
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]
    assert counted(served, 'tallystick_requests_total{outcome="timeout"') == 1


def test_explaining_too_many_rows_stops_in_time(
    package: ModelPackage, serve_package: Callable[..., Served], data: Lending
) -> None:
    served = serve_package(package, compute_timeout_s=0.0)
    body = infer_request(data.features, data.rows(200), parameters={"reasons": "always"})
    response = run(served.post(body))
    assert response.status_code == 413
    assert "fewer rows" in response.json()["error"]


def test_names_and_versions_that_are_not_served_are_404(served: Served, package: ModelPackage, data: Lending) -> None:
    body = infer_request(data.features, data.rows(1))
    version = f"/v2/models/{package.name}/versions/{package.version}"
    assert run(served.post(body, f"{version}/infer")).status_code == 200
    assert run(served.post(body, f"/v2/models/{package.name}/versions/other/infer")).status_code == 404
    assert run(served.post(body, "/v2/models/other/infer")).status_code == 404
    assert run(served.get("/v2/models/other")).status_code == 404
    assert run(served.get("/v2/models/other/ready")).status_code == 404
    assert run(served.get("/nowhere")).json() == {"error": "Not Found"}
    assert run(served.get(f"{version}/infer")).status_code == 405


def test_the_name_that_seldon_gives_is_served_beside_the_models_own(
    package: ModelPackage, serve_package: Callable[..., Served], data: Lending
) -> None:
    served = serve_package(package, name="classifier")
    for name in ("classifier", package.name):
        response = run(served.post(infer_request(data.features, data.rows(1)), f"/v2/models/{name}/infer"))
        assert response.json()["model_name"] == "classifier"
    assert run(served.get("/v2/models/classifier")).json()["name"] == "classifier"


def test_metadata_and_health_speak_the_protocol(served: Served, package: ModelPackage) -> None:
    described = run(served.get(f"/v2/models/{package.name}")).json()
    assert described["versions"] == [package.version]
    assert {entry["name"]: entry["datatype"] for entry in described["inputs"]} == {
        "income": "FP64",
        "loan_ratio": "FP64",
        "late_payments": "INT64",
        "bankrupt": "BOOL",
        "years_employed": "FP64",
        "purpose": "BYTES",
    }
    assert run(served.get("/v2/health/live")).json() == {"live": True}
    assert run(served.get("/v2/health/ready")).json() == {"ready": True}
    assert run(served.get("/v2")).json()["name"] == "tallystick-model-server"
    assert run(served.get(f"/v2/models/{package.name}/ready")).status_code == 200


def test_the_example_can_be_sent_as_it_is(served: Served, package: ModelPackage) -> None:
    example = run(served.get(f"/v2/models/{package.name}/example")).json()
    found = outputs(run(served.post(example)).json())
    assert found["probability"] == [pytest.approx(package.examples.scores[-1], abs=1e-12)]
    assert json.loads(found["reasons"][0])


def test_a_draining_server_is_alive_and_not_ready_and_asks_callers_to_close(served: Served, data: Lending) -> None:
    served.service.draining = True
    assert run(served.get("/v2/health/ready")).status_code == 503
    assert run(served.get("/v2/health/live")).status_code == 200
    response = run(served.post(infer_request(data.features, data.rows(1))))
    assert response.status_code == 200
    assert response.headers["connection"] == "close"


def test_contributions_that_do_not_add_up_are_an_error_and_never_sent(
    served: Served, package: ModelPackage, data: Lending, monkeypatch: pytest.MonkeyPatch
) -> None:
    explain = served.service.scorer._explainer.explain

    def off_by(amount: float) -> Callable[..., Any]:
        def explained(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            found, margin = explain(matrix)
            found[:, 0] += amount
            return found, margin

        return explained

    (row,) = declined_rows(package, data, 1)
    monkeypatch.setattr(served.service.scorer._explainer, "explain", off_by(0.5e-6))
    assert run(served.post(infer_request(data.features, [row]))).status_code == 200
    monkeypatch.setattr(served.service.scorer._explainer, "explain", off_by(2e-6))
    response = run(served.post(infer_request(data.features, [row])))
    assert response.status_code == 500
    assert "outputs" not in response.json()
    assert counted(served, 'tallystick_errors_total{kind="additivity"') == 1
    assert counted(served, 'tallystick_requests_total{outcome="error"') == 1


def test_a_broken_server_answers_and_counts(served: Served, data: Lending, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("income was 12345")

    monkeypatch.setattr(scoring.Scorer, "answer", broken)
    response = run(served.post(infer_request(data.features, data.rows(1))))
    assert response.status_code == 500
    assert counted(served, 'tallystick_errors_total{kind="internal"') == 1
    logged = served.logged()
    assert "ZeroDivisionError" in logged
    assert "12345" not in logged + response.text


def test_request_id_and_trace_are_passed_on_and_logged(served: Served, data: Lending) -> None:
    response = run(served.post(infer_request(data.features, data.rows(1)), headers=HEADERS))
    assert response.headers["x-request-id"] == "call-7"
    assert response.headers["traceparent"] == HEADERS["traceparent"]
    line = json.loads(served.logged().splitlines()[-1])
    assert line["request_id"] == "call-7"
    assert line["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert line["outcome"] == "ok"


@pytest.mark.parametrize("given_id", ["", 'x" y', "a\tb", "é", "x" * 129])
def test_an_id_that_could_forge_a_log_line_is_replaced(served: Served, data: Lending, given_id: str) -> None:
    headers = {"x-request-id": given_id.encode()}
    response = run(served.post(infer_request(data.features, data.rows(1)), headers=headers))
    assert response.status_code == 200
    assert len(response.headers["x-request-id"]) == 32


def test_no_applicants_value_is_logged(served: Served, data: Lending) -> None:
    row = {**data.rows(1)[0], "income": 54321.98, "years_employed": 43.21}
    run(served.post(infer_request(data.features, [row])))
    run(served.post(infer_request(data.features, [{**row, "late_payments": 77.77}])))
    run(served.post(infer_request(data.features, [{**row, "purpose": "yacht-secret"}])))
    logged = served.logged()
    assert logged.count("\n") == 3
    for value in ("54321", "43.21", "77.77", "yacht-secret"):
        assert value not in logged


def test_counters_tell_what_was_answered(served: Served, package: ModelPackage, data: Lending) -> None:
    rows = declined_rows(package, data, 3) + declined_rows(package, data, 5, declined=False)
    for row in rows:
        run(served.post(infer_request(data.features, [row])))
    run(served.post(infer_request(data.features, rows)))
    assert counted(served, 'tallystick_requests_total{outcome="ok"') == 9
    assert counted(served, 'tallystick_decisions_total{decision="adverse"') == 6
    assert counted(served, 'tallystick_decisions_total{decision="favourable"') == 10
    assert counted(served, "tallystick_request_duration_seconds_count{") == 9
    text = served.service.counters.exposition().decode()
    bins = [line for line in text.splitlines() if line.startswith("tallystick_feature_bin_total")]
    for name in data.columns:
        assert sum(float(line.rsplit(" ", 1)[1]) for line in bins if f'feature="{name}"' in line) == 16


def test_series_stay_the_same_whatever_is_sent(served: Served, data: Lending) -> None:
    def series() -> list[str]:
        return [line.rsplit(" ", 1)[0] for line in served.service.counters.exposition().decode().splitlines()]

    before = series()
    for name in ("a", "b\nc", 'd"e', "x" * 1000):
        run(served.post({"inputs": [{"name": name, "shape": [1], "datatype": "FP64", "data": [1]}]}))
        run(served.post(infer_request(data.features, [{**data.rows(1)[0], "purpose": name}])))
    assert series() == before


def test_metrics_are_readable_by_prometheus_own_parser(served: Served) -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    text = run(served.get("/metrics")).text
    families = {family.name: family for family in parser.text_string_to_metric_families(text)}
    assert families["tallystick_requests"].type == "counter"
    assert families["tallystick_request_duration_seconds"].type == "histogram"
    for family in families.values():
        for sample in family.samples:
            assert {"model", "version"} <= set(sample.labels)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture
def send_damaged(served: Served, data: Lending) -> Callable[..., httpx.Response]:
    def send(member: str, place: int, value: Any) -> httpx.Response:
        request = infer_request(data.features, data.rows(1))
        if member == "tensor":
            request["inputs"][place] = value
        else:
            request["inputs"][place][member] = [value] if member == "data" else value
        return run(served.post(json.dumps(request).encode()))

    return send


MEMBERS = ["data", "shape", "datatype", "name", "tensor"]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=json_values, place=st.integers(0, 5), member=st.sampled_from(MEMBERS))
def test_no_value_anywhere_in_a_request_is_a_server_error(
    send_damaged: Callable[..., httpx.Response], value: Any, place: int, member: str
) -> None:
    response = send_damaged(member, place, value)
    assert response.status_code in (200, 400)
    if response.status_code == 400:
        assert response.json()["error"]


def test_models_of_every_kind_answer_with_reasons(
    folder: Any, serve_package: Callable[..., Served], data: Lending
) -> None:
    for kind in ("logistic_regression", "random_forest", "hist_gradient_boosting"):
        package = write_lending_package(folder / kind, kind, data=data)  # type: ignore[arg-type]
        served = serve_package(package)
        rows = declined_rows(package, data, 3)
        found = outputs(run(served.post(infer_request(data.features, rows))).json())
        assert found["decision"] == ["adverse"] * 3
        assert all(json.loads(reasons) for reasons in found["reasons"])
