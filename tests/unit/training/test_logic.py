import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from tallystick.components.core.candidates import read_candidate
from tallystick.components.core.encoding import encode
from tallystick.components.core.ensembles import score
from tallystick.components.core.errors import InputError
from tallystick.components.core.files import canonical_json
from tallystick.components.core.frames import adverse_outcomes, feature_values
from tallystick.components.core.policy import parse_policy
from tallystick.components.training.packaging import frozen_threshold
from tests.support.lending import POLICY

ONCE_MORE = """
import sys
from pathlib import Path
from tallystick.components.core.contract import parse_contract
from tallystick.components.core.policy import parse_policy
from tallystick.components.training.logic import digests_of, train
from tests.support.lending import CONTRACT, POLICY
dataset, folder = Path(sys.argv[1]), Path(sys.argv[2])
trained = train(dataset, parse_contract(CONTRACT), parse_policy(POLICY), digests=digests_of(dataset, "", "", ""),
                plain=folder / "plain", benchmark=folder / "benchmark", threads=int(sys.argv[3]))
print(trained.plain.model_sha256, trained.benchmark.model_sha256)
"""


def test_the_plain_model_ranks_best_and_is_not_the_benchmark(trained):
    _, result = trained
    best = max((e for e in result.leaderboard if not e.is_benchmark), key=lambda e: e.auc.figure)
    assert best.is_plain
    assert result.plain.name == best.recipe.name
    assert result.benchmark.name == "scorecard"
    assert result.benchmark.features == ("income_eur", "late_payments")


def test_the_benchmark_is_never_the_plain_model_even_where_it_ranks_best(fair, tmp_path):
    candidates = [c for c in fair.policy.training.candidates if c.name != "boosting"]
    weak = [c if c.name == "scorecard" else c.model_copy(update={"features": ("purpose",)}) for c in candidates]
    rules = fair.policy.training.model_copy(update={"candidates": tuple(weak)})
    result = fair.train(tmp_path, policy=fair.policy.model_copy(update={"training": rules}))
    assert result.leaderboard[0].is_benchmark
    assert result.plain.name == "logistic"


@pytest.mark.parametrize(("threads", "libraries"), [(1, "1"), (3, "2")])
def test_the_same_data_and_policy_give_the_same_model_in_another_process(trained, fair, tmp_path, threads, libraries):
    _, result = trained
    done = subprocess.run(
        [sys.executable, "-c", ONCE_MORE, str(fair.dataset), str(tmp_path), str(threads)],
        env={**os.environ, "OMP_NUM_THREADS": libraries, "OPENBLAS_NUM_THREADS": libraries, "PYTHONHASHSEED": "9"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == [result.plain.model_sha256, result.benchmark.model_sha256]


def test_another_seed_gives_another_model(trained, fair, tmp_path):
    _, result = trained
    other = fair.train(tmp_path, policy=fair.policy.model_copy(update={"seed": 8}))
    assert other.plain.model_sha256 != result.plain.model_sha256


def test_the_folder_holds_what_the_gates_read(trained, fair):
    folder, result = trained
    candidate = read_candidate(folder / "plain")
    assert candidate.model.digest == result.plain.model_sha256
    assert candidate.model.interface.threshold == result.plain.threshold
    predictions = candidate.predictions
    assert sorted(predictions.row) == list(range(1200))
    assert (predictions.sample == "holdout").sum() == 300
    assert set(predictions.groups) == {"gender", "age"}
    table = pd.read_parquet(fair.dataset)
    np.testing.assert_array_equal(predictions.adverse, adverse_outcomes(table, fair.contract)[predictions.row])


def test_holdout_scores_are_the_stored_models_and_out_of_fold_scores_are_not(trained, fair):
    folder, result = trained
    candidate = read_candidate(folder / "plain")
    features = candidate.model.interface.features
    predictions = candidate.predictions
    rows = pd.read_parquet(fair.dataset).iloc[predictions.row]
    scores = score(candidate.model.arithmetic, encode(features, feature_values(rows, features)))
    held = predictions.sample == "holdout"
    np.testing.assert_allclose(predictions.score[held], scores[held], atol=1e-12)
    assert (np.abs(predictions.score[~held] - scores[~held]) > 1e-6).mean() > 0.9
    assert result.plain.auc_out_of_fold == pytest.approx(
        roc_auc_score(predictions.adverse[~held], predictions.score[~held])
    )


def test_examples_are_made_up_and_have_the_models_scores(trained, fair):
    folder, _ = trained
    model = read_candidate(folder / "plain").model
    columns = {feature.name: [row[feature.name] for row in model.examples.rows] for feature in model.interface.features}
    np.testing.assert_allclose(
        model.examples.scores, score(model.arithmetic, encode(model.interface.features, columns)), atol=1e-12
    )
    assert any(value is None for row in model.examples.rows for value in row.values())
    table = pd.read_parquet(fair.dataset)
    names = list(columns)
    real = {tuple(row) for row in table[names].itertuples(index=False, name=None)}
    full = [tuple(row[name] for name in names) for row in model.examples.rows if None not in row.values()]
    # A quantile of every column on its own: it may coincide with an applicant by chance, not every time.
    assert sum(row in real for row in full) < len(full)


def test_the_profile_is_the_development_samples(trained):
    folder, result = trained
    model = read_candidate(folder / "plain").model
    assert model.profile.rows == 900 == result.rows
    assert sum(model.profile.score.counts) == 900
    assert model.profile.adverse_rate == pytest.approx(0.2, abs=0.01)  # the policy approves 80 %


def test_nothing_in_the_model_tells_the_time_the_place_or_the_group(trained):
    folder, _ = trained
    for path in (folder / "plain" / "model").iterdir():
        content = path.read_bytes()
        assert str(folder).encode() not in content
        assert b"gender" not in content


def test_the_statement_can_be_written_and_names_every_candidate(trained):
    _, result = trained
    value = json.loads(canonical_json(result.statement()))
    assert {entry["name"] for entry in value["leaderboard"]} == {"scorecard", "logistic", "boosting"}
    assert sum(entry["is_plain"] for entry in value["leaderboard"]) == 1
    assert value["rows"] + value["holdout_rows"] == 1200
    low, high = value["leaderboard"][0]["auc_interval"]
    assert low < value["leaderboard"][0]["auc"] < high


def test_a_proxy_test_names_a_group_that_a_feature_gives_away(refused, trained):
    # The bias lowers women's recorded income by 45 %; without it the features say nothing about gender.
    assert trained[1].plain.proxy[0].auc == pytest.approx(0.5, abs=0.06)
    assert refused[1].plain.proxy[0].auc > 0.7


def test_a_policy_with_an_unknown_parameter_stops_before_anything_is_trained(fair, tmp_path):
    text = POLICY.replace("max_leaf_nodes: 6", "max_leaves: 6")
    with pytest.raises(InputError, match=r"training\.candidates\[boosting\]\.parameters\.max_leaves"):
        fair.train(tmp_path, policy=parse_policy(text))
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_dataset_is_the_users_to_mend(fair, tmp_path):
    (tmp_path / "data.parquet").write_bytes(fair.dataset.read_bytes()[:500])
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        replace(fair, dataset=tmp_path / "data.parquet").train(tmp_path)


def test_the_threshold_is_the_policys_probability_or_the_score_of_the_first_declined(fair):
    scores = np.arange(10) / 10
    assert frozen_threshold(scores, fair.policy) == 0.8  # 8 of 10 approved, below it
    fixed = fair.policy.decision.model_copy(update={"threshold": 0.35, "approval_rate": None})
    assert frozen_threshold(scores, fair.policy.model_copy(update={"decision": fixed})) == 0.35


def test_equal_scores_at_the_threshold_are_all_declined(fair):
    scores = np.array([0.1] * 5 + [0.2] * 5)
    threshold = frozen_threshold(scores, fair.policy)
    assert (scores < threshold).sum() == 5
