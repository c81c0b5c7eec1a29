"""What is read from outside: a server's metrics, Envoy's configuration and counters, a Prometheus server."""

from __future__ import annotations

import json

import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from tallystick.components.rollout_controller.adapters.envoy import EnvoyAdmin, EnvoyFiles
from tallystick.components.rollout_controller.adapters.exposition import NotMetricsError, count, parse
from tallystick.components.rollout_controller.adapters.prometheus import PrometheusSource
from tallystick.components.rollout_controller.adapters.scraping import ServerScraper, read_metrics
from tallystick.components.rollout_controller.metrics import EngineMetrics
from tallystick.components.rollout_controller.observation import Counts
from tests.unit.rollout_controller.fake_site import Behaviour, FakeSite, rules

METRICS = """\
# HELP tallystick_requests_total Requests to infer, by outcome.
# TYPE tallystick_requests_total counter
tallystick_requests_total{model="credit",version="a",outcome="ok"} 90
tallystick_requests_total{model="credit",version="a",outcome="invalid"} 4
tallystick_requests_total{model="credit",version="a",outcome="too_large"} 1
tallystick_requests_total{model="credit",version="a",outcome="timeout"} 2
tallystick_requests_total{model="credit",version="a",outcome="error"} 3
tallystick_request_duration_seconds_bucket{model="credit",version="a",le="0.01"} 60
tallystick_request_duration_seconds_bucket{model="credit",version="a",le="0.1"} 95
tallystick_request_duration_seconds_bucket{model="credit",version="a",le="+Inf"} 100
tallystick_score_bin_total{model="credit",version="a",bin="0"} 40
tallystick_score_bin_total{model="credit",version="a",bin="2"} 50
tallystick_decisions_total{model="credit",version="a",decision="adverse"} 12
tallystick_decisions_total{model="credit",version="a",decision="favourable"} 78
tallystick_feature_bin_total{model="credit",version="a",feature="a \\"b\\", {c}",bin="0"} 5
tallystick_reference_bin_ratio{model="credit",version="a",feature="__score__",bin="0"} 0.3
tallystick_reference_bin_ratio{model="credit",version="a",feature="__score__",bin="1"} 0.3
tallystick_reference_bin_ratio{model="credit",version="a",feature="__score__",bin="2"} 0.4
tallystick_reference_bin_ratio{model="credit",version="a",feature="income",bin="0"} 0.1
"""
WANTED = Counts(
    requests=100, failed=5, refused=5, timed=100, within=((0.01, 60), (0.1, 95)), scores=(40, 0, 50), adverse=12,
    favourable=78,
)  # fmt: skip


def client(answer) -> httpx.Client:
    return httpx.Client(transport=httpx.MockTransport(answer))


def test_a_servers_metrics_become_counts():
    found = read_metrics(METRICS)
    assert found.counts == WANTED
    assert found.reference == (0.3, 0.3, 0.4)


def test_beside_a_gateway_the_server_speaks_of_scores_and_decisions_alone():
    assert read_metrics(METRICS, traffic=False).counts == Counts(scores=(40, 0, 50), adverse=12, favourable=78)


@pytest.mark.parametrize(
    "garbage",
    [
        "<html>502 Bad Gateway</html>",
        "",
        "tallystick_requests_total{outcome=ok} 3",
        'tallystick_requests_total{outcome="ok"} many',
        'tallystick_requests_total{outcome="ok"} NaN',
        'tallystick_requests_total{outcome="ok"} -3',
        'tallystick_requests_total{outcome="ok"} 2.5',
        'tallystick_requests_total{outcome="ok"} 1e300',
        METRICS.replace('le="0.1"', 'le="soon"'),
        METRICS.replace('bin="2"} 50', 'bin="two"} 50'),
    ],
)
def test_garbage_is_no_reading_and_no_error(garbage):
    with pytest.raises(NotMetricsError):
        read_metrics(garbage)
    scraper = server(lambda request: httpx.Response(200, text=garbage))
    assert scraper.read() is None


def server(answer) -> ServerScraper:
    return ServerScraper(
        client=client(answer), arm="canary", instance="pod-1", address="http://pod", started="7", timeout_s=0.5,
        traffic=True,
    )  # fmt: skip


def test_an_endpoint_that_is_gone_slow_or_failing_is_no_reading():
    def gone(request):
        raise httpx.ConnectError("refused")

    def slow(request):
        raise httpx.ReadTimeout("slow")

    for answer in (gone, slow, lambda request: httpx.Response(500, text=METRICS)):
        assert server(answer).read() is None
        assert server(answer).ready() == "unready"
    reading, reference = server(lambda request: httpx.Response(200, text=METRICS)).read()
    assert (reading.counts, reading.key, reading.started) == (WANTED, "server/canary/pod-1", "7")
    assert len(reference) == 3


def test_labels_with_escapes_are_read_whole():
    (sample,) = parse('m{a="x \\"y\\" {z}",b="1\\n2"} 3 1700000000', {"m"})
    assert sample.labels == {"a": 'x "y" {z}', "b": "1\n2"}
    assert sample.value == 3


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 0.5])
def test_what_is_no_count_is_refused(value):
    with pytest.raises(NotMetricsError):
        count(value)


def route_dump(canary: int, baseline: int, mirror: bool) -> dict:
    clusters = [{"name": "canary", "weight": canary}, {"name": "baseline", "weight": baseline}]
    action = {"weighted_clusters": {"clusters": [{k: v for k, v in c.items() if v} for c in clusters]}}
    if mirror:
        action["request_mirror_policies"] = [{"cluster": "canary"}]
    return {"configs": [{"route_config": {"virtual_hosts": [{"routes": [{"route": action}]}]}}]}


@pytest.mark.parametrize(("canary", "mirror", "wanted"), [(0, False, (0.0, False)), (250, True, (25.0, True))])
def test_envoys_route_is_read_back(canary, mirror, wanted):
    dump = route_dump(canary, 1000 - canary, mirror)
    admin = EnvoyAdmin(client=client(lambda r: httpx.Response(200, json=dump)), port=1, started="", timeout_s=1)
    assert admin.read_route() == wanted


@pytest.mark.parametrize("answer", ["{}", "[]", '{"configs": []}', "no json", '{"configs": [{"route_config": 3}]}'])
def test_an_envoy_that_cannot_be_understood_gives_nothing(answer):
    admin = EnvoyAdmin(client=client(lambda r: httpx.Response(200, text=answer)), port=1, started="", timeout_s=1)
    assert admin.read_route() is None
    seen = admin.look()
    assert (seen.weight_pct, seen.mirrored) == (None, None)


def test_envoys_counters_are_what_the_customers_got():
    text = """\
envoy_cluster_upstream_rq_xx{envoy_response_code_class="2",envoy_cluster_name="canary"} 7
envoy_cluster_upstream_rq_xx{envoy_response_code_class="4",envoy_cluster_name="canary"} 2
envoy_cluster_upstream_rq_xx{envoy_response_code_class="5",envoy_cluster_name="canary"} 1
envoy_cluster_upstream_rq_xx{envoy_response_code_class="2",envoy_cluster_name="baseline"} 90
envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="canary",le="50"} 8
envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="canary",le="+Inf"} 9
"""
    admin = EnvoyAdmin(client=client(lambda r: httpx.Response(200, text=text)), port=1, started="s", timeout_s=1)
    canary, baseline = admin.read_counters()
    assert canary.counts == Counts(requests=10, failed=1, refused=2, timed=9, within=((0.05, 8),))
    assert baseline.counts == Counts(requests=90)


def test_weights_are_written_whole_and_add_up(tmp_path):
    files = EnvoyFiles(folder=tmp_path, port=1, admin_port=2, timeout_s=1.0)
    files.write_route(weight_pct=12.5, mirror=True)
    route = json.loads((tmp_path / "routes.json").read_text())["resources"][0]["virtual_hosts"][0]["routes"][0]["route"]
    assert {c["name"]: c["weight"] for c in route["weighted_clusters"]["clusters"]} == {"canary": 125, "baseline": 875}
    assert route["request_mirror_policies"][0]["cluster"] == "canary"
    assert [path.name for path in tmp_path.iterdir()] == ["routes.json"]


def prometheus(answer) -> PrometheusSource:
    selectors = {arm: {"version": version} for arm, version in (("canary", "b"), ("baseline", "a"))}
    return PrometheusSource(client=client(answer), address="http://prometheus", selectors=selectors)


def series(at: float, **labels) -> list[dict]:
    return [
        {"metric": {"__name__": "tallystick_requests_total", "outcome": "ok", **labels}, "value": [at, "90"]},
        {"metric": {"__name__": "tallystick_requests_total", "outcome": "error", **labels}, "value": [at, "10"]},
    ]


def test_prometheus_gives_the_same_counts_per_pod_and_leaves_stale_ones_out():
    asked = []

    def answer(request):
        asked.append(request.url.params["query"])
        result = [*series(1000.0, pod="p1"), *series(900.0, pod="p2")]
        return httpx.Response(200, json={"status": "success", "data": {"result": result}})

    readings = prometheus(answer).read(1010.0)
    assert [(r.arm, r.instance, r.counts) for r in readings] == [
        ("canary", "p1", Counts(requests=100, failed=10)),
        ("baseline", "p1", Counts(requests=100, failed=10)),
    ]
    assert 'version="b"' in asked[0]
    assert "rate(" not in asked[0]


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(503),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json={"status": "error"}),
        httpx.Response(200, json={"status": "success", "data": {"result": []}}),
        httpx.Response(200, json={"status": "success", "data": {"result": [{"metric": {}, "value": 3}]}}),
    ],
)
def test_a_prometheus_that_is_down_or_talks_nonsense_is_no_evidence(answer):
    assert prometheus(lambda request: answer).read(1000.0) == ()


def test_the_engine_tells_its_own_state_as_metrics():
    registry = CollectorRegistry()
    events = EngineMetrics(registry).teller("credit")
    site = FakeSite(rules(), canary=Behaviour(errors=0.9))
    for _ in range(6):
        site.traffic(200)
        seen = site.observe()
        site.look()
        events.tell(site.state, seen, site.action, site.now)
    text = generate_latest(registry).decode()
    assert 'tallystick_rollout_phase{phase="RolledBack",rollout="credit"} 1.0' in text
    assert 'tallystick_rollout_weight_ratio{rollout="credit"} 0.0' in text
    assert registry.get_sample_value("tallystick_rollout_exposed_requests", {"rollout": "credit"}) > 0
    assert registry.get_sample_value("tallystick_rollout_rollback_seconds", {"rollout": "credit"}) == 2.0
    assert registry.get_sample_value("tallystick_rollout_harm_evidence", {"rollout": "credit", "test": "errors"}) > 275
