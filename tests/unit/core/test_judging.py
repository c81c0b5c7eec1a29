"""Both sides of every line, with tables of applicants small enough to count by hand."""

import dataclasses
import math

import numpy as np
import pytest

from tallystick.components.core.candidates import Predictions, ProxyTest
from tallystick.components.core.contract import parse_contract
from tallystick.components.core.errors import InputError
from tallystick.components.core.judges import Subject, judge_fairness, judge_performance
from tallystick.components.core.policy import parse_policy
from tallystick.components.core.verdicts import Outcome
from tests.support.lending import CONTRACT, POLICY

CONTRACT_ = parse_contract(CONTRACT)
SUBJECT = Subject(name="model", kind="logistic_regression", sha256="ab")


def policy(**fairness):
    base = parse_policy(POLICY)
    return base.model_copy(update={"fairness": base.fairness.model_copy(update=fairness)})


def people(counts, sample="out_of_fold"):
    """Predictions from {group: (approved, declined)}: score 0.1 or 0.9, every tenth with the other outcome."""
    groups, scores = [], []
    for group, (approved, declined) in counts.items():
        groups += [group] * (approved + declined)
        scores += [0.1] * approved + [0.9] * declined
    score = np.array(scores)
    adverse = (score > 0.5).astype(np.int64)
    adverse[::10] = 1 - adverse[::10]
    return Predictions(
        row=np.arange(len(score)),
        sample=np.full(len(score), sample, dtype=object),
        adverse=adverse,
        score=score,
        groups={
            "gender": np.array(groups, dtype=object),
            "age": np.full(len(score), "30 to under 60", dtype=object),
        },
    )


def both(development, holdout):
    late = dataclasses.replace(holdout, row=holdout.row + len(development.row))
    return Predictions(
        **{
            name: np.concatenate([getattr(development, name), getattr(late, name)])
            for name in ("row", "sample", "adverse", "score")
        },
        groups={name: np.concatenate([development.groups[name], late.groups[name]]) for name in development.groups},
    )


def fairness(predictions, rules=None, proxy=()):
    return judge_fairness(
        predictions, contract=CONTRACT_, policy=rules or policy(), threshold=0.5, subject=SUBJECT, proxy=proxy
    )


def ratio_check(verdict, sample="out_of_fold"):
    return next(
        c
        for c in verdict.checks
        if c.name == "adverse_impact_ratio" and c.sample == sample and c.subject == "gender: woman"
    )


def test_a_ratio_on_the_line_passes():
    verdict, details = fairness(people({"man": (100, 0), "woman": (80, 20)}))
    assert verdict.outcome is Outcome.PASS
    assert ratio_check(verdict).figure == pytest.approx(0.8)
    assert details.worst.ratio == pytest.approx(0.8)


def test_a_ratio_under_the_line_fails_and_the_sentence_tells_it_from_the_line():
    verdict, _ = fairness(people({"man": (10000, 0), "woman": (7999, 2001)}))
    assert verdict.outcome is Outcome.FAIL
    check = ratio_check(verdict)
    assert check.outcome is Outcome.FAIL
    assert "0.7999" in check.detail
    assert "at least 0.8" in check.detail


def test_a_group_just_too_small_is_insufficient_evidence_and_just_large_enough_is_judged():
    small, _ = fairness(people({"man": (100, 0), "woman": (29, 0)}))
    assert small.outcome is Outcome.INSUFFICIENT
    assert "needs 30" in ratio_check(small).detail
    large, _ = fairness(people({"man": (100, 0), "woman": (30, 0)}))
    assert large.outcome is Outcome.PASS


def test_a_reference_too_small_is_insufficient_evidence_too():
    verdict, _ = fairness(people({"man": (29, 0), "woman": (100, 0)}))
    assert ratio_check(verdict).outcome is Outcome.INSUFFICIENT


def test_a_group_that_nobody_belongs_to_is_insufficient_evidence():
    verdict, details = fairness(people({"man": (100, 10)}))
    assert verdict.outcome is Outcome.INSUFFICIENT
    assert ratio_check(verdict).figure is None
    assert details.worst is None


def test_a_policy_that_records_small_groups_is_not_stopped_by_them_but_needs_one_check_that_passes():
    verdict, _ = fairness(people({"man": (100, 0), "woman": (5, 5)}), policy(small_groups="record"))
    assert ratio_check(verdict).outcome is Outcome.RECORDED
    assert verdict.outcome is Outcome.INSUFFICIENT


def test_no_required_attribute_is_no_evidence():
    verdict, _ = fairness(people({"man": (100, 0), "woman": (10, 90)}), policy(required=()))
    assert verdict.outcome is Outcome.INSUFFICIENT


def test_the_holdout_fails_only_when_its_whole_interval_is_under_the_line():
    fair = people({"man": (100, 0), "woman": (95, 5)})
    # 31 of 45 against 180 of 200: ratio 0.77, interval about 0.61 to 0.90.
    doubtful, _ = fairness(both(fair, people({"man": (180, 20), "woman": (31, 14)}, "holdout")))
    check = ratio_check(doubtful, "holdout")
    assert check.figure < 0.8 < check.interval[1]
    assert doubtful.outcome is Outcome.PASS
    clear, _ = fairness(both(fair, people({"man": (180, 20), "woman": (18, 27)}, "holdout")))
    check = ratio_check(clear, "holdout")
    assert check.interval[1] < 0.8
    assert clear.outcome is Outcome.FAIL
    assert "excludes" in check.detail


def test_a_group_that_the_holdout_lacks_contradicts_nothing():
    verdict, _ = fairness(both(people({"man": (100, 0), "woman": (95, 5)}), people({"man": (50, 0)}, "holdout")))
    assert ratio_check(verdict, "holdout").outcome is Outcome.RECORDED
    assert verdict.passed


def test_both_samples_together_are_recorded():
    verdict, details = fairness(
        both(people({"man": (100, 0), "woman": (95, 5)}), people({"man": (50, 0), "woman": (40, 10)}, "holdout"))
    )
    check = ratio_check(verdict, "both")
    assert (check.outcome, check.count) == (Outcome.RECORDED, 150)
    assert check.figure == pytest.approx(135 / 150)
    groups = details.to_json()["attributes"]["gender"]["groups"]
    assert {entry["sample"] for entry in groups} == {"out_of_fold", "holdout", "both"}


@pytest.mark.parametrize(("declined", "outcome"), [(10, Outcome.PASS), (11, Outcome.FAIL)])
def test_the_line_of_demographic_parity_is_kept_or_broken(declined, outcome):
    rules = policy(demographic_parity_difference=policy().fairness.adverse_impact_ratio.model_copy(
        update={"minimum": None, "maximum": 0.1}
    ))  # fmt: skip
    verdict, _ = fairness(people({"man": (100, 0), "woman": (100 - declined, declined)}), rules)
    check = next(c for c in verdict.checks if c.name == "demographic_parity_difference")
    assert (check.outcome, verdict.outcome) == (outcome, outcome)


def test_attributes_that_are_not_required_are_recorded():
    predictions = people({"man": (100, 0), "woman": (95, 5)})
    predictions.groups["age"][:60] = "under 30"
    predictions.groups["age"][-60:] = "60 and over"
    verdict, details = fairness(predictions)
    checks = [c for c in verdict.checks if c.subject.startswith("age")]
    assert checks
    assert {c.outcome for c in checks} == {Outcome.RECORDED}
    assert details.to_json()["attributes"]["age"]["required"] is False


def test_intersections_of_required_attributes_are_recorded_where_they_are_large_enough():
    predictions = people({"man": (200, 0), "woman": (170, 30)})
    predictions.groups["age"][100:200] = "under 30"
    predictions.groups["age"][300:] = "under 30"
    rules = policy(required=("gender", "age"), small_groups="record")
    verdict, details = fairness(predictions, rules)
    crossed = {c.subject: c for c in verdict.checks if c.subject.startswith("gender x age")}
    check = crossed["gender x age: woman, under 30"]
    assert (check.outcome, check.figure) == (Outcome.RECORDED, pytest.approx(0.7))
    assert not any("60 and over" in subject for subject in crossed)  # nobody is
    assert details.to_json()["intersections"]["gender x age"]["reference"] == "man, 30 to under 60"


@pytest.mark.parametrize(("area", "words"), [(0.8, "a strong proxy"), (0.79, "no strong proxy")])
def test_a_proxy_test_is_recorded_beside_the_policys_figure(area, words):
    test = ProxyTest(attribute="gender", auc=area, low=area - 0.1, high=area + 0.1, rows=200)
    verdict, _ = fairness(people({"man": (100, 0), "woman": (95, 5)}), proxy=(test,))
    check = next(c for c in verdict.checks if c.name == "proxy_auc")
    assert check.outcome is Outcome.RECORDED
    assert words in check.detail
    assert verdict.passed


# Performance: 30 adverse and 70 favourable applicants on the hold-out sample.


def scored(score, adverse, *, first_row=0):
    return Predictions(
        row=np.arange(len(score)) + first_row,
        sample=np.full(len(score), "holdout", dtype=object),
        adverse=np.array(adverse, dtype=np.int64),
        score=np.array(score, dtype=np.float64),
        groups={},
    )


def ranked(adverse=30):
    """A score that is right but for 10 favourable rows on top of everything."""
    outcome = np.array([0] * 10 + [1] * adverse + [0] * 60)
    return scored(np.linspace(0.95, 0.05, len(outcome)), outcome)


def performance(predictions, benchmark=None, **evaluation):
    base = parse_policy(POLICY)
    lines = {"auc": None, "minimum_adverse": 30, **evaluation}
    rules = base.model_copy(update={"evaluation": base.evaluation.model_copy(update=lines)})
    return judge_performance(
        predictions,
        benchmark or predictions,
        policy=rules,
        threshold=0.6,
        subject=SUBJECT,
        benchmark_name="scorecard",
    )


def line(**values):
    from tallystick.components.core.policy import UnitLine

    return UnitLine(**values)


def test_figures_by_hand():
    verdict, details = performance(ranked())
    # Every adverse row beats the 60 favourable ones below it and loses to the 10 above it.
    assert details.figures["auc"].figure == pytest.approx(60 / 70)
    assert details.figures["gini"].figure == pytest.approx(2 * 60 / 70 - 1)
    assert details.figures["ks"].figure == pytest.approx(60 / 70)
    declined = int((np.linspace(0.95, 0.05, 100) >= 0.6).sum())  # 39: the 10 on top and 29 adverse
    assert details.confusion == ((60, 10), (1, declined - 10))
    assert details.figures["accuracy"].figure == pytest.approx((60 + declined - 10) / 100)
    assert details.figures["precision"].figure == pytest.approx((declined - 10) / declined)
    assert details.figures["recall"].figure == pytest.approx((declined - 10) / 30)
    assert verdict.passed


@pytest.mark.parametrize(
    ("name", "kept", "broken"),
    [
        ("auc", {"minimum": 60 / 70 - 1e-9}, {"minimum": 60 / 70 + 1e-6}),
        ("ks", {"minimum": 0.857}, {"minimum": 0.858}),
        ("recall", {"minimum": 29 / 30}, {"minimum": 0.97}),
        ("brier", {"maximum": 0.99}, {"maximum": 0.01}),
    ],
)
def test_each_line_is_kept_or_broken(name, kept, broken):
    assert performance(ranked(), **{name: line(**kept)})[0].outcome is Outcome.PASS
    verdict, _ = performance(ranked(), **{name: line(**broken)})
    assert verdict.outcome is Outcome.FAIL
    assert [check.name for check in verdict.objections] == [name]


def test_one_adverse_row_too_few_is_insufficient_evidence():
    verdict, _ = performance(ranked(adverse=29), auc=line(minimum=0.5))
    assert verdict.outcome is Outcome.INSUFFICIENT
    assert "29 adverse rows, of 30" in verdict.objections[0].detail


def test_precision_is_undefined_when_nobody_is_declined():
    outcome = [1] * 30 + [0] * 70
    verdict, details = performance(scored([0.2] * 100, outcome), precision=line(minimum=0.1))
    assert details.figures["precision"].figure is None
    assert verdict.outcome is Outcome.INSUFFICIENT


@pytest.mark.parametrize(("allowed", "outcome"), [(0.15, Outcome.PASS), (0.14, Outcome.FAIL)])
def test_a_model_may_be_below_the_benchmark_by_what_the_policy_allows(allowed, outcome):
    model = ranked()  # AUC 60/70, the benchmark 1: below by 0.1429
    perfect = scored(model.adverse * 0.8 + 0.1, model.adverse)
    verdict, details = performance(model, perfect, maximum_auc_below_benchmark=allowed)
    assert details.difference == pytest.approx(-10 / 70)
    assert verdict.outcome is outcome


def test_other_rows_cannot_be_compared():
    model = ranked()
    with pytest.raises(InputError, match="different rows"):
        performance(model, scored(model.score, model.adverse, first_row=5))


def test_a_sample_of_one_outcome_gives_no_curve_and_no_nan():
    verdict, details = performance(scored([0.2] * 50, [0] * 50), auc=line(minimum=0.5))
    values = details.to_json()
    assert values["roc"] == []
    assert values["figures"]["auc"]["figure"] is None
    assert verdict.outcome is Outcome.INSUFFICIENT
    assert not any(isinstance(v, float) and math.isnan(v) for m in values["figures"].values() for v in m.values())


def test_the_curve_is_thinned_for_the_record_and_stays_finite():
    generator = np.random.default_rng(5)
    adverse = (generator.random(3000) < 0.3).astype(int)
    _, details = performance(scored(generator.random(3000), adverse))
    assert len(details.roc) == 200
    assert np.isfinite(np.array(details.roc)).all()
