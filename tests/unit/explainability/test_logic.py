"""The explainability gate on real models: what it passes, and each fault that it must not pass."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pandas as pd
import pytest

from tallystick.components.core.contract import parse_contract
from tallystick.components.core.errors import InputError
from tallystick.components.core.files import canonical_json
from tallystick.components.core.model_package import ModelPackage
from tallystick.components.core.policy import parse_policy
from tallystick.components.core.verdicts import Outcome
from tallystick.components.explainability import checks, logic
from tallystick.components.explainability.reference import shap_contributions
from tests.support.candidates import LENDING_POLICY_YAML, lending_table, write_candidate
from tests.support.documents import LENDING_CONTRACT_YAML
from tests.support.packages import lending, write_lending_package

CONTRACT = parse_contract(LENDING_CONTRACT_YAML)
POLICY = parse_policy(LENDING_POLICY_YAML)
KINDS = ("hist_gradient_boosting", "random_forest", "logistic_regression")


@pytest.fixture(scope="module", params=KINDS)
def package(request, tmp_path_factory) -> ModelPackage:
    return write_lending_package(tmp_path_factory.mktemp(request.param) / "model", request.param, data=lending(600))


@pytest.fixture(scope="module")
def boosting(tmp_path_factory) -> ModelPackage:
    return write_lending_package(tmp_path_factory.mktemp("b") / "model", data=lending(600))


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return lending_table(lending(600))


def explain(package, table, contract=CONTRACT, policy=POLICY):
    return logic.explain(package, table, contract, policy, name="boosting", context={"data_sha256": "0" * 64})


def outcomes(explanation, name):
    return [check.outcome for check in explanation.verdict.checks if check.name == name]


def with_interface(package, **values):
    return dataclasses.replace(package, interface=dataclasses.replace(package.interface, **values))


def test_a_sound_model_of_every_kind_passes_with_its_figures(package, table):
    explanation = explain(package, table)
    assert explanation.verdict.outcome is Outcome.PASS, explanation.verdict.sentence()
    figures = {check.name: check.figure for check in explanation.verdict.checks}
    assert figures["additivity"] < 1e-12
    assert figures["agreement_with_shap"] < 1e-12
    assert explanation.verdict.subject_sha256 == package.digest


def test_the_reference_gives_the_shapley_values_of_their_definition(tmp_path):
    """Average marginal contribution over all orders, a feature not yet in the order being averaged by cover."""
    package = write_lending_package(
        tmp_path / "model", data=lending(400), parameters={"max_iter": 2, "max_leaf_nodes": 6, "min_samples_leaf": 10}
    )
    model = package.arithmetic
    matrix = np.array([[20000.0, 4.0, 3, 1, 2.0, 0, 0, 0, 1, 0], [60000.0, 1.0, 0, 0, 8.0, 0, 1, 0, 0, 0]])
    used = sorted(set(model.feature[model.feature >= 0].tolist()))

    def value(row, known, node):
        if model.feature[node] < 0:
            return model.value[node]
        feature = model.feature[node]
        left, right = model.left[node], model.right[node]
        if feature in known:
            return value(row, known, left if row[feature] <= model.threshold[node] else right)
        share = model.cover[left] / model.cover[node]
        return share * value(row, known, left) + (1 - share) * value(row, known, right)

    def expected(row, known):
        return model.base + sum(value(row, known, root) for root in model.roots)

    base, found = shap_contributions(model, matrix)
    assert base == pytest.approx(expected(matrix[0], set()), abs=1e-12)
    for row, values in zip(matrix, found, strict=True):
        by_hand = dict.fromkeys(range(matrix.shape[1]), 0.0)
        for order in itertools.permutations(used):
            for position, feature in enumerate(order):
                before = set(order[:position])
                by_hand[feature] += expected(row, before | {feature}) - expected(row, before)
        assert values == pytest.approx([by_hand[i] / math.factorial(len(used)) for i in by_hand], abs=1e-12)


def test_contributions_that_do_not_add_up_to_the_score_are_refused(boosting, table, monkeypatch):
    real = logic.contributions

    def shifted(model, matrix, interface):
        base, values = real(model, matrix, interface)
        values = values.copy()
        values[0, 0] += 1e-3
        return base, values

    monkeypatch.setattr(logic, "contributions", shifted)
    explanation = explain(boosting, table)
    assert explanation.verdict.outcome is Outcome.FAIL
    assert Outcome.FAIL in outcomes(explanation, "additivity")


def test_a_graph_that_serves_another_score_than_the_arrays_is_refused(boosting, table, tmp_path):
    other = write_lending_package(tmp_path / "other", data=lending(600, seed=8))
    swapped = dataclasses.replace(boosting, folder=other.folder)
    explanation = explain(swapped, table)
    (arrays, graph) = outcomes(explanation, "additivity")
    assert arrays is Outcome.PASS
    assert graph is Outcome.FAIL


def test_values_that_add_up_but_are_not_shapley_values_are_refused(boosting, table, monkeypatch):
    real = logic.contributions

    def swapped(model, matrix, interface):
        base, values = real(model, matrix, interface)
        return base, values[:, ::-1]

    monkeypatch.setattr(logic, "contributions", swapped)
    explanation = explain(boosting, table)
    assert set(outcomes(explanation, "additivity")) == {Outcome.PASS}
    assert outcomes(explanation, "agreement_with_shap") == [Outcome.FAIL]


@pytest.mark.parametrize(("error", "expected"), [(0.9e-6, Outcome.PASS), (1.1e-6, Outcome.FAIL)])
def test_agreement_with_shap_is_judged_at_the_policys_tolerance(boosting, table, error, expected):
    explained = _explained(boosting, table)
    compared = np.arange(20)
    reference = (explained.base, explained.contributions[compared] + error)
    assert checks.agreement_with_shap(explained, compared, reference, tolerance=1e-6).outcome is expected
    shifted = (explained.base + error, explained.contributions[compared])
    assert checks.agreement_with_shap(explained, compared, shifted, tolerance=1e-6).outcome is expected


def _explained(package, table, rows=60):
    from tallystick.components.core.contributions import contributions
    from tallystick.components.core.encoding import encode
    from tallystick.components.core.ensembles import score
    from tallystick.components.core.frames import feature_values

    features = package.interface.features
    matrix = encode(features, feature_values(table, features))[:rows]
    scores = score(package.arithmetic, matrix)
    base, values = contributions(package.arithmetic, matrix, package.interface)
    return checks.Explained(
        package=package,
        rows=np.arange(rows),
        matrix=matrix,
        scores=scores,
        contributions=values,
        base=base,
        declined=scores >= package.interface.threshold,
    )


def test_a_reason_in_other_words_than_the_contracts_is_refused(boosting, table):
    reasons = {**boosting.interface.reasons, "R02": "Because the computer says so"}
    explanation = explain(with_interface(boosting, reasons=reasons), table)
    assert outcomes(explanation, "reason_texts") == [Outcome.FAIL]
    detail = next(c.detail for c in explanation.verdict.checks if c.name == "reason_texts")
    assert "late_payments, bankrupt" in detail


def test_a_model_that_uses_a_sensitive_column_is_refused(boosting, table):
    text = LENDING_CONTRACT_YAML.replace("{name: bankrupt, role: feature,", "{name: bankrupt, role: sensitive,")
    explanation = explain(boosting, table, contract=parse_contract(text))
    assert outcomes(explanation, "sensitive_columns") == [Outcome.FAIL]
    assert explanation.verdict.outcome is Outcome.FAIL


def test_a_declared_direction_that_the_model_keeps_passes_and_its_opposite_fails(tmp_path, table):
    """More late payments raise this logistic score by its coefficient at every step."""
    package = write_lending_package(tmp_path / "m", "logistic_regression", data=lending(600))
    assert package.arithmetic.coefficients[2] > 0
    declared = "{name: late_payments, role: feature, type: integer,"
    for direction, expected in (("increasing", Outcome.PASS), ("decreasing", Outcome.FAIL)):
        contract = parse_contract(LENDING_CONTRACT_YAML.replace(declared, f"{declared} monotonic: {direction},"))
        explanation = explain(package, table, contract=contract)
        assert outcomes(explanation, "monotonic") == [expected]


def test_a_boosted_model_without_constraints_is_caught_moving_against_the_direction(boosting, table):
    declared = "{name: income, role: feature, type: number,"
    contract = parse_contract(LENDING_CONTRACT_YAML.replace(declared, f"{declared} monotonic: increasing,"))
    explanation = explain(boosting, table, contract=contract)
    (check,) = [c for c in explanation.verdict.checks if c.name == "monotonic"]
    assert check.outcome is Outcome.FAIL
    assert check.subject == "income"
    assert check.figure > 0.001


def test_a_model_that_declines_nobody_gives_no_evidence_of_its_reasons(boosting, table):
    explanation = explain(with_interface(boosting, threshold=1.5), table)
    assert outcomes(explanation, "reasons_given") == [Outcome.INSUFFICIENT]
    assert explanation.verdict.outcome is Outcome.INSUFFICIENT
    assert explanation.details["reasons"] == []


def test_a_declined_applicant_whose_facts_all_speak_in_favour_has_no_principal_reason(boosting, table):
    explained = _explained(boosting, table)
    flattering = dataclasses.replace(
        explained, contributions=-np.abs(explained.contributions), declined=np.arange(60) < 1
    )
    assert checks.reasons_for_everyone(flattering, clause="").outcome is Outcome.FAIL


def test_data_without_a_feature_of_the_model_are_bad_input(boosting, table):
    with pytest.raises(InputError, match="has no column income"):
        explain(boosting, table.drop(columns="income"))


def test_the_details_are_what_the_plots_and_the_card_need(boosting, table):
    details = explain(boosting, table).details
    canonical_json(details)  # finite and plain
    sizes = [entry["mean_absolute"] for entry in details["importances"]]
    assert sizes == sorted(sizes, reverse=True)
    assert {entry["feature"] for entry in details["importances"]} == {f.name for f in boosting.interface.features}
    assert all(len(p["values"]) == len(p["contributions"]) == 300 for p in details["points"])
    employed = next(p for p in details["points"] if p["feature"] == "years_employed")
    assert None in employed["values"]
    first = details["reasons"][0]
    assert first["score"] == max(example["score"] for example in details["reasons"])
    contributions = [reason["contribution"] for reason in first["reasons"]]
    assert contributions == sorted(contributions, reverse=True)
    assert contributions[-1] > 0
    assert len(contributions) <= POLICY.reasons.maximum
    texts = {column.reason.code: column.reason.text for column in CONTRACT.features}
    assert all(
        texts[reason["code"]] == reason["text"] for example in details["reasons"] for reason in example["reasons"]
    )


def test_the_same_model_and_data_give_the_same_details(boosting, table):
    assert canonical_json(explain(boosting, table).details) == canonical_json(explain(boosting, table).details)


def test_a_candidates_folder_is_explained_and_drawn(tmp_path):
    _, table = write_candidate(tmp_path / "candidate")
    table.to_parquet(tmp_path / "dataset")
    explanation = logic.explain_candidate(tmp_path / "candidate", tmp_path / "dataset", CONTRACT, POLICY)
    assert explanation.verdict.passed
    assert set(explanation.verdict.context) >= {"data_sha256", "contract_sha256", "policy_sha256"}
    page = logic.report_page(explanation)
    assert page.count("<svg") >= 2
    assert "Credit history shows past problems" in page
    assert "http-equiv" not in page


def test_a_damaged_dataset_is_bad_input(tmp_path):
    (tmp_path / "dataset").write_bytes(b"PAR1 and nothing more")
    with pytest.raises(InputError, match="Parquet file that data_validation wrote"):
        logic.read_dataset(tmp_path / "dataset")
