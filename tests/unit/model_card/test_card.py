"""The card against a full set of statements: what it must tell, that it adds nothing, and that its two forms agree."""

from __future__ import annotations

import copy
import re

import pytest

from tallystick.components.core.errors import InputError
from tallystick.components.core.evidence import EvidenceStore
from tallystick.components.core.files import sha256_of_bytes
from tallystick.components.core.model_package import package_digest
from tallystick.components.core.storage import FolderStore
from tallystick.components.model_card.blocks import Bullets, Card, Paragraph, Section, Table, html, markdown
from tallystick.components.model_card.logic import card_html, card_markdown
from tallystick.components.model_card.steps import write_card
from tallystick.components.model_card.told import significant
from tests.support.candidates import write_candidate
from tests.support.documents import CONTRACT_YAML, POLICY_YAML
from tests.support.statements import CHOSEN, sample_statements


@pytest.fixture
def statements():
    return sample_statements()


def section(text: str, heading: str) -> str:
    return text.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def test_every_section_of_a_whole_run_is_there_in_order(statements):
    headings = re.findall(r"^## (.+)$", card_markdown(statements, CONTRACT_YAML, POLICY_YAML), re.MULTILINE)
    assert headings == [
        "Intended use",
        "Data",
        "Kept out of the model",
        "Training",
        "Search for a less discriminatory alternative",
        "Performance",
        "Fairness",
        "Reasons",
        "Limits",
        "Policy clauses",
        "Digests",
    ]


def test_figures_stand_with_their_intervals_and_lines(statements):
    card = card_markdown(statements, CONTRACT_YAML, POLICY_YAML)
    assert "| AUC (1.0 ranks perfectly, 0.5 is chance) | 0.878 | 0.830 to 0.921 | \\>= 0.7 |" in card
    black = next(
        entry
        for entry in statements["fairness_gate"]["predicate"]["details"]["attributes"]["race"]["groups"]
        if entry["group"] == "Black" and entry["sample"] == "out_of_fold"
    )
    low, high = black["ratio_interval"]
    assert f"| {black['adverse_impact_ratio']:.3f} | {low:.3f} to {high:.3f} |" in section(card, "Fairness")


def test_what_is_kept_out_is_named_with_the_reason(statements):
    kept_out = section(card_markdown(statements, CONTRACT_YAML, POLICY_YAML), "Kept out of the model")
    assert "| reject\\_code | excluded | known only after the decision |" in kept_out
    assert "| race | sensitive |" in kept_out


def test_features_that_the_model_uses_come_first_and_are_told_from_the_others(statements):
    importances = statements["explainability"]["predicate"]["details"]["importances"]
    importances[:] = [entry for entry in importances if entry["feature"] in ("unem", "pubrec")]
    rows = [
        line.split(" | ")[:2]
        for line in section(card_markdown(statements, CONTRACT_YAML, POLICY_YAML), "Data").splitlines()
        if line.startswith(("| yes", "| no"))
    ]
    assert rows == [["| yes", "pubrec"], ["| yes", "unem"], ["| no", "obrat"], ["| no", "loanprc"], ["| no", "term"]]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "\N{EN DASH}"), (0.0, "0"), (0.00099, "9.9e-04"), (0.001, "0.001"), (0.0211, "0.0211"), (143.2, "143"),
     (999.4, "999"), (999.9, "1,000"), (1000.0, "1,000"), (-7920.0, "-7,920")],
)  # fmt: skip
def test_figures_of_very_different_sizes_are_readable(value, text):
    assert significant(value) == text


def test_which_shap_is_stated(statements):
    assert "path-dependent Shapley values" in card_markdown(statements, CONTRACT_YAML, POLICY_YAML)
    statements["explainability"]["predicate"]["details"]["shap"] = "interventional"
    assert "interventional Shapley values" in card_markdown(statements, CONTRACT_YAML, POLICY_YAML)


def test_the_digests_are_whole(statements):
    digests = section(card_markdown(statements, CONTRACT_YAML, POLICY_YAML), "Digests")
    assert f"sha256:{CHOSEN}" in digests
    assert "sha256:" + statements["training"]["predicate"]["digests"]["policy"] in digests


def test_clauses_are_listed_with_the_worst_outcome_of_their_checks(statements):
    clauses = section(card_markdown(statements, CONTRACT_YAML, POLICY_YAML), "Policy clauses")
    assert "| Policy 4.2 | fairness gate | 2 | pass |" in clauses
    statements["fairness_gate"]["predicate"]["checks"][0]["outcome"] = "fail"
    clauses = section(card_markdown(statements, CONTRACT_YAML, POLICY_YAML), "Policy clauses")
    assert "| Policy 4.2 | fairness gate | 2 | fail |" in clauses


@pytest.mark.parametrize("words", ["compliant", "complies", "lawful", "satisfies", "certif"])
def test_no_card_claims_that_a_law_is_kept(statements, words):
    for text in (
        card_markdown(statements, CONTRACT_YAML, POLICY_YAML),
        card_html(statements, CONTRACT_YAML, POLICY_YAML),
    ):
        assert words not in text.lower()
    assert "no statement that any law is complied with" in card_markdown(statements, CONTRACT_YAML, POLICY_YAML)


def test_the_same_statements_give_the_same_bytes_and_later_ones_change_nothing(statements):
    before = {k: v for k, v in statements.items() if not k.startswith(("registration", "rollout"))}
    card = card_markdown(before, CONTRACT_YAML, POLICY_YAML)
    assert card_markdown(dict(reversed(statements.items())), CONTRACT_YAML, POLICY_YAML) == card
    assert card_html(before, CONTRACT_YAML, POLICY_YAML) == card_html(statements, CONTRACT_YAML, POLICY_YAML)


def test_a_group_too_small_to_judge_is_a_limit(statements):
    limits = section(card_markdown(statements, CONTRACT_YAML, POLICY_YAML), "Limits")
    assert "Hispanic (race, 27 rows)" in limits
    assert "Black" not in limits.split("Too few people")[1].split("\n")[0]


def test_a_run_without_a_search_says_so(statements):
    statements["alternatives"]["predicate"].update(searched=False, alternatives=[], chosen="boosting")
    found = section(
        card_markdown(statements, CONTRACT_YAML, POLICY_YAML), "Search for a less discriminatory alternative"
    )
    assert "no search was made" in found


@pytest.mark.parametrize("step", ["data_validation", "training", "alternatives", "evaluation", "explainability"])
def test_a_step_that_stated_nothing_leaves_a_gap_that_is_told(statements, step):
    del statements[step]
    assert "The step made no statement in this run." in card_markdown(statements, CONTRACT_YAML, POLICY_YAML)
    card_html(statements, CONTRACT_YAML, POLICY_YAML)


def test_without_a_judged_model_there_is_no_card(statements):
    del statements["fairness_gate"]
    with pytest.raises(InputError, match="no model was judged"):
        card_markdown(statements, CONTRACT_YAML, POLICY_YAML)


def test_figures_that_are_not_known_are_dashes(statements):
    details = statements["fairness_gate"]["predicate"]["details"]
    entry = details["attributes"]["race"]["groups"][1]
    entry.update(approval_rate=None, interval=None, adverse_impact_ratio=None, ratio_interval=None)
    details["proxy"]["race"].update(auc=None, interval=None)
    assert "None" not in card_markdown(statements, CONTRACT_YAML, POLICY_YAML)
    assert ">None<" not in card_html(statements, CONTRACT_YAML, POLICY_YAML)


def test_words_of_a_contract_cannot_become_markup(statements):
    hostile = CONTRACT_YAML.replace("A public record of default", '"<script>alert(1)</script> | *x* `y` [z](w)"')
    text = card_markdown(statements, hostile, POLICY_YAML)
    assert "<script>" not in text
    assert "\\| \\*x\\* \\`y\\`" in text
    assert "<script>" not in card_html(statements, hostile, POLICY_YAML)


def test_both_forms_hold_the_same_words():
    card = Card(
        title="T",
        lead="L",
        facts=(("1", "one"),),
        sections=(Section("S", (Paragraph("p"), Bullets(("b",)), Table(("h", "n"), (("c", "2"),), frozenset({1})))),),
    )
    assert markdown(card) == "# T\n\nL\n\n- **1** one\n\n## S\n\np\n\n- b\n\n| h | n |\n| --- | ---: |\n| c | 2 |\n"
    page = re.sub(r"<[^>]+>", " ", html(card).split("<main>")[1].split("</main>")[0]).split()
    assert page == ["T", "L", "1", "one", "S", "p", "b", "h", "n", "c", "2"]


def test_the_step_writes_both_forms_and_a_statement_about_the_judged_model(statements, tmp_path):
    write_candidate(tmp_path / "candidate", rows=300)
    digest = package_digest(tmp_path / "candidate" / "model")
    store = EvidenceStore(FolderStore(tmp_path / "evidence"), "run")
    for step, statement in statements.items():
        judged = digest if step in ("fairness_gate", "evaluation", "explainability") else "0" * 64
        predicate = {**copy.deepcopy(statement["predicate"]), "subject_sha256": judged}
        store.record(step, "verdict", subject_name="boosting", subject_sha256=judged, predicate=predicate)
    arguments = {
        "candidate": tmp_path / "candidate",
        "contract_yaml": CONTRACT_YAML,
        "policy_yaml": POLICY_YAML,
        "evidence": str(tmp_path / "evidence"),
        "run_id": "run",
        "card": tmp_path / "card",
        "page": tmp_path / "page",
    }
    write_card(**arguments)
    predicate = store.statement("model_card")["predicate"]
    text = (tmp_path / "card").read_text(encoding="utf-8")
    assert predicate["markdown"] == text
    assert predicate["sha256"] == sha256_of_bytes(text.encode())
    assert (tmp_path / "page").read_text(encoding="utf-8").startswith("<!doctype html>")
    write_candidate(tmp_path / "other", "random_forest", rows=300)
    with pytest.raises(InputError, match="the one that was judged"):
        write_card(**{**arguments, "candidate": tmp_path / "other"})
