"""Three-valued verdicts: what opens a gate, what keeps it shut, and both sides of a threshold."""

import json

import pytest

from tallystick.components.core.verdicts import Check, Outcome, Verdict, compare, finite


def verdict(*outcomes: Outcome) -> Verdict:
    checks = tuple(
        Check(name=f"c{place}", outcome=outcome, detail=f"detail {place}") for place, outcome in enumerate(outcomes)
    )
    return Verdict(gate="g", subject_name="s", subject_sha256="0" * 64, checks=checks)


@pytest.mark.parametrize(
    ("outcomes", "whole"),
    [
        ((Outcome.PASS,), Outcome.PASS),
        ((Outcome.PASS, Outcome.RECORDED), Outcome.PASS),
        ((Outcome.PASS, Outcome.INSUFFICIENT), Outcome.INSUFFICIENT),
        ((Outcome.PASS, Outcome.INSUFFICIENT, Outcome.FAIL), Outcome.FAIL),
        ((Outcome.RECORDED,), Outcome.INSUFFICIENT),
        ((), Outcome.INSUFFICIENT),
    ],
)
def test_verdict_of_its_checks(outcomes: tuple[Outcome, ...], whole: Outcome) -> None:
    found = verdict(*outcomes)
    assert found.outcome is whole
    assert found.passed is (whole is Outcome.PASS)


def test_objections_are_what_keeps_the_gate_shut() -> None:
    found = verdict(Outcome.PASS, Outcome.FAIL, Outcome.RECORDED, Outcome.INSUFFICIENT)
    assert [check.name for check in found.objections] == ["c1", "c3"]
    assert found.sentence() == "g: fail: detail 1; detail 3"


def test_sentence_names_three_objections_and_counts_the_rest() -> None:
    assert verdict(*[Outcome.FAIL] * 5).sentence() == "g: fail: detail 0; detail 1; detail 2 (and 2 more)"
    assert verdict(Outcome.PASS, Outcome.RECORDED).sentence() == "g: pass (1 checks)"
    assert verdict().sentence() == "g: insufficient evidence: no check could be made"


@pytest.mark.parametrize(
    ("figure", "comparison", "outcome"),
    [
        (0.8, ">=", Outcome.PASS),
        (0.7999999, ">=", Outcome.FAIL),
        (0.8, "<=", Outcome.PASS),
        (0.8000001, "<=", Outcome.FAIL),
        (None, ">=", Outcome.INSUFFICIENT),
        (float("nan"), "<=", Outcome.INSUFFICIENT),
        (float("inf"), ">=", Outcome.INSUFFICIENT),
    ],
)
def test_threshold_itself_passes_and_an_undefined_figure_is_no_evidence(
    figure: float | None, comparison: str, outcome: Outcome
) -> None:
    assert compare(figure, comparison, 0.8) is outcome  # type: ignore[arg-type]


@pytest.mark.parametrize(("count", "outcome"), [(29, Outcome.INSUFFICIENT), (30, Outcome.PASS), (None, Outcome.PASS)])
def test_too_few_rows_are_no_evidence(count: int | None, outcome: Outcome) -> None:
    assert compare(0.9, ">=", 0.8, count=count, minimum_count=30) is outcome


def test_verdict_survives_json_and_its_outcome_is_never_believed() -> None:
    check = Check(
        name="auc", outcome=Outcome.FAIL, detail="d", figure=0.7, interval=(0.6, 0.8), threshold=0.8, comparison=">="
    )
    found = Verdict(gate="g", subject_name="s", subject_sha256="0" * 64, checks=(check,), context={"a": "b"})
    value = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert value["outcome"] == "fail"
    value["outcome"] = "pass"
    assert Verdict.from_json(value) == found
    assert Verdict.from_json(value).outcome is Outcome.FAIL


def test_finite_drops_what_json_cannot_hold() -> None:
    assert finite(1.5) == 1.5
    assert [finite(value) for value in (None, float("nan"), float("inf"), float("-inf"))] == [None] * 4
