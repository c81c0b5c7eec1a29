import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tallystick.components.core.candidates import HOLDOUT, OUT_OF_FOLD, read_candidate
from tallystick.components.core.errors import InputError
from tallystick.components.core.files import canonical_json
from tallystick.components.core.judges import Subject, judge_fairness
from tallystick.components.core.measures.discrimination import auc
from tallystick.components.training.alternatives import Tried, Yardstick, with_margin
from tallystick.components.training.crossvalidation import Workshop
from tallystick.components.training.group_thresholds import WHY_NOT, group_thresholds
from tallystick.components.training.logic import candidate_recipes, digests_of
from tallystick.components.training.recipes import Recipe
from tallystick.components.training.samples import split
from tallystick.components.training.search import Search
from tallystick.components.training.searching import search
from tests.support.lending import CONTRACT, POLICY


def changed(policy, **rules):
    return policy.model_copy(update={"search": policy.search.model_copy(update=rules)})


def searched(lender, folder, chosen, *, policy=None, plain_is_fair=False, **options):
    return search(
        lender.dataset,
        lender.contract,
        policy or changed(lender.policy, maximum_alternatives=60, maximum_auc_loss=0.15),
        plain=folder / "plain",
        benchmark=folder / "benchmark",
        plain_is_fair=plain_is_fair,
        digests=digests_of(lender.dataset, "", CONTRACT, POLICY),
        chosen=chosen,
        **options,
    )


def lenient(policy):
    """A benchmark that an alternative may be far below: these tests are about fairness."""
    rules = policy.evaluation.model_copy(update={"maximum_auc_below_benchmark": 0.3})
    return changed(policy, maximum_alternatives=60, maximum_auc_loss=0.15).model_copy(update={"evaluation": rules})


@pytest.fixture(scope="module")
def found(biased, refused, tmp_path_factory):
    folder = tmp_path_factory.mktemp("chosen") / "chosen"
    return folder, searched(biased, refused[0], folder, policy=lenient(biased.policy))


def fairness(candidate, lender, policy=None):
    return judge_fairness(
        candidate.predictions,
        contract=lender.contract,
        policy=policy or lender.policy,
        threshold=candidate.model.interface.threshold,
        subject=Subject(name="x", kind="y"),
    )


def test_the_plain_model_of_the_biased_data_is_refused(biased, refused):
    verdict, details = fairness(read_candidate(refused[0] / "plain"), biased)
    assert not verdict.passed
    assert details.worst.ratio < 0.8


def test_the_chosen_keeps_the_line_before_the_gate_itself(biased, found):
    folder, result = found
    assert result.predicate["chosen_is_eligible"]
    verdict, details = fairness(read_candidate(folder), biased)
    assert verdict.passed, verdict.sentence()
    assert details.worst.ratio >= 0.8
    chosen = next(entry for entry in result.predicate["alternatives"] if entry["chosen"])
    assert details.worst.ratio == pytest.approx(chosen["confirmed_adverse_impact_ratio"])
    assert details.auc.figure == pytest.approx(chosen["confirmed_auc"])


def test_the_chosen_is_the_most_accurate_eligible_one(found):
    _, result = found
    eligible = [entry for entry in result.predicate["alternatives"] if entry["eligible"]]
    best = max(eligible, key=lambda entry: entry["auc"])
    assert best["chosen"]
    assert sum(entry["chosen"] for entry in result.predicate["alternatives"]) == 1


def test_every_alternative_is_kept_with_its_figures_and_why_not(found):
    value = json.loads(canonical_json(found[1].predicate))
    assert {entry["method"] for entry in value["alternatives"]} == {
        "feature_sets", "regularisation", "reductions", "threshold_optimiser",
    }  # fmt: skip
    for entry in value["alternatives"]:
        assert entry["eligible"] is (entry["why_not"] == "")
        assert 0.4 < entry["auc"] < 1.0
        assert entry["adverse_impact_ratio"] > 0
    names = [entry["name"] for entry in value["alternatives"]]
    assert len(set(names)) == len(names)
    assert "folds shuffled anew" in value["note"]
    assert value["not_tried"][0]["method"].startswith("ExponentiatedGradient")


def test_the_feature_that_carries_the_gap_comes_first(found):
    gap = found[1].predicate["gap"]
    assert (gap["attribute"], gap["group"]) == ("gender", "woman")
    assert gap["features"][0]["feature"] == "income_eur"


def test_the_chosen_model_does_not_see_the_group(found):
    folder, _ = found
    model = read_candidate(folder).model
    assert "gender" not in {feature.name for feature in model.interface.features}
    assert b"gender" not in (folder / "model" / "interface.json").read_bytes()


def test_searching_again_finds_the_same_model(biased, refused, found, tmp_path):
    again = searched(biased, refused[0], tmp_path / "again", policy=lenient(biased.policy), threads=1)
    assert again.chosen.model_sha256 == found[1].chosen.model_sha256
    assert again.predicate == found[1].predicate


def test_the_holdout_sample_has_no_part_in_the_search(biased, refused):
    policy = lenient(biased.policy)
    samples = split(pd.read_parquet(biased.dataset), biased.contract, policy)
    blinded = replace(
        samples,
        holdout=replace(
            samples.holdout,
            matrix=np.full_like(samples.holdout.matrix, np.nan),
            adverse=1 - samples.holdout.adverse,
            groups={},
        ),
    )
    plain = read_candidate(refused[0] / "plain")
    chosen = []
    for given in (samples, blinded):
        workshop = Workshop.of(given, fold_count=3, seed=policy.seed, threads=2)
        again = Workshop.of(given, fold_count=3, seed=policy.seed, threads=2, shuffle=1)
        scores = plain.predictions.of(OUT_OF_FOLD).score
        yardstick = Yardstick(
            contract=biased.contract,
            policy=policy,
            rows=given.development,
            benchmark=read_candidate(refused[0] / "benchmark").predictions.of(OUT_OF_FOLD),
            benchmark_name="scorecard",
            plain_auc=auc(given.development.adverse, scores).figure,
        )
        recipe = next(r for r in candidate_recipes(policy) if r.name == plain.training.name)
        chosen.append(
            Search(
                workshop, again, yardstick,
                plain=recipe, plain_scores=scores, worst=("gender", "woman"), progress=lambda done, text: None,
            ).run()
        )  # fmt: skip
    assert [a.to_json() for a in chosen[0].alternatives] == [a.to_json() for a in chosen[1].alternatives]


def test_a_fair_plain_model_is_handed_on_as_it_is(fair, trained, tmp_path):
    result = searched(fair, trained[0], tmp_path / "chosen", plain_is_fair=True)
    assert result.predicate["searched"] is False
    assert result.predicate["alternatives"] == []
    assert read_candidate(tmp_path / "chosen").model.digest == trained[1].plain.model_sha256


def test_without_an_eligible_alternative_the_gate_is_given_one_to_refuse(biased, refused, tmp_path):
    strict = biased.policy.fairness.model_copy(
        update={
            "adverse_impact_ratio": biased.policy.fairness.adverse_impact_ratio.model_copy(update={"minimum": 0.99})
        }
    )
    policy = changed(biased.policy, maximum_auc_loss=0.01).model_copy(update={"fairness": strict})
    result = searched(biased, refused[0], tmp_path / "chosen", policy=policy)
    assert result.predicate["chosen_is_eligible"] is False
    assert not any(entry["eligible"] for entry in result.predicate["alternatives"])
    verdict, _ = fairness(read_candidate(tmp_path / "chosen"), biased, policy)
    assert not verdict.passed


def test_the_number_of_alternatives_is_the_policys(biased, refused, tmp_path):
    policy = changed(lenient(biased.policy), maximum_alternatives=5)
    result = searched(biased, refused[0], tmp_path / "chosen", policy=policy)
    assert len([e for e in result.predicate["alternatives"] if e["method"] != "threshold_optimiser"]) == 5
    assert result.predicate["left_out"] > 0


def test_only_the_policys_methods_are_tried(biased, refused, tmp_path):
    policy = changed(lenient(biased.policy), methods=("reductions",))
    result = searched(biased, refused[0], tmp_path / "chosen", policy=policy)
    assert {entry["method"] for entry in result.predicate["alternatives"]} == {"reductions"}


def test_the_benchmark_is_judged_and_never_chosen(biased, refused, tmp_path):
    narrow = [
        c.model_copy(update={"features": ("late_payments",)}) if c.name == "scorecard" else c
        for c in biased.policy.training.candidates
    ]
    policy = changed(lenient(biased.policy), methods=("regularisation",))
    policy = policy.model_copy(update={"training": policy.training.model_copy(update={"candidates": tuple(narrow)})})
    result = searched(biased, refused[0], tmp_path / "chosen", policy=policy)
    scorecard = next(e for e in result.predicate["alternatives"] if e["name"] == "scorecard")
    assert scorecard["adverse_impact_ratio"] >= 0.8
    assert not scorecard["eligible"]
    assert "benchmark" in scorecard["why_not"]


def test_other_data_than_the_plain_model_was_trained_on_are_refused(fair, refused, tmp_path):
    with pytest.raises(InputError, match="not the data that the plain candidate was trained on"):
        searched(fair, refused[0], tmp_path / "chosen")


@pytest.mark.parametrize(("loss", "eligible"), [(0.0999, False), (0.1001, True)])
def test_the_cost_in_accuracy_is_allowed_or_too_much(biased, refused, loss, eligible):
    policy = changed(lenient(biased.policy), maximum_auc_loss=loss, margin=0.0)
    samples = split(pd.read_parquet(biased.dataset), biased.contract, policy)
    rows = samples.development
    scores = np.random.default_rng(1).random(len(rows.row))  # as good as chance and as fair
    area = auc(rows.adverse, scores).figure
    benchmark = read_candidate(refused[0] / "benchmark").predictions
    yardstick = Yardstick(
        contract=biased.contract, policy=policy, rows=rows, benchmark=benchmark, benchmark_name="scorecard",
        plain_auc=area + 0.1,
    )  # fmt: skip
    recipe = Recipe(name="chance", kind="logistic_regression")
    judged = yardstick.judge(Tried(recipe=recipe, method="feature_sets", description="", scores=scores))
    assert judged.keeps_lines
    # The benchmark's AUC is far above chance; only the cost against the plain model is looked at here.
    assert ("against the plain model" in judged.why_not) is not eligible


def test_a_margin_moves_every_line_and_leaves_none_impossible(biased):
    rules = biased.policy.fairness
    line = rules.adverse_impact_ratio.model_copy(update={"minimum": 0.97})
    most = line.model_copy(update={"minimum": None, "maximum": 0.03})
    policy = changed(
        biased.policy.model_copy(
            update={
                "fairness": rules.model_copy(update={"adverse_impact_ratio": line, "equalised_odds_difference": most})
            }
        ),
        margin=0.05,
    )
    moved = with_margin(policy).fairness
    assert moved.adverse_impact_ratio.minimum == 1.0
    assert moved.equalised_odds_difference.maximum == 0.0
    assert moved.demographic_parity_difference is None


def test_thresholds_per_group_are_fair_and_never_eligible(refused):
    rows = read_candidate(refused[0] / "plain").predictions.of(OUT_OF_FOLD)
    alternative = group_thresholds(
        rows.score, rows.adverse, rows.groups["gender"], attribute="gender", reference="man", minimum=30
    )
    assert alternative.adverse_impact_ratio == pytest.approx(1.0, abs=0.03)
    assert alternative.why_not == WHY_NOT
    assert not alternative.eligible


def test_thresholds_that_cannot_be_fitted_are_said_to_be_so(refused):
    rows = read_candidate(refused[0] / "plain").predictions.of(HOLDOUT)
    alternative = group_thresholds(
        rows.score, np.zeros_like(rows.adverse), rows.groups["gender"], attribute="gender", reference="man", minimum=30
    )
    assert alternative.auc is None
    assert "could not fit" in alternative.why_not
