"""The trust file, the statements' types, and what registration asks for."""

import json
from datetime import UTC, datetime

import pytest

from tallystick.components.core.errors import EvidenceRefusedError, InputError
from tallystick.components.core.evidence import PREDICATES, EvidenceStore
from tallystick.components.core.files import canonical_json
from tallystick.components.core.policy import parse_policy
from tallystick.components.core.receipts.keys import generate_key
from tallystick.components.core.receipts.local_keys import trust_entry, trust_text
from tallystick.components.core.receipts.predicates import KINDS, form_problem, schemas
from tallystick.components.core.receipts.requirements import EvidenceRules, require_complete
from tallystick.components.core.receipts.trust import ROLE_OF_KIND, parse_trust
from tallystick.components.core.verdicts import Outcome
from tests.support.memory_store import MemoryStore
from tests.support.receipts import INPUTS, MODEL, OTHER, RUN, Desk
from tests.support.statements import sample_statements

KEY = generate_key()[0].public
BY = {"name": "n", "key": "ab" * 32, "authors": [], "image": "", "commit": ""}


def text(extra="", *, entry=None):
    return trust_text([entry or trust_entry(KEY, "gate", "gates@bank.example", ["gate"])]) + extra


def key(extra):
    return parse_trust(text(extra)).keys[0]


def test_a_key_may_sign_in_its_roles_and_in_no_other():
    entry = key("")
    now = datetime(2026, 11, 23, tzinfo=UTC)
    assert entry.objection("gate", now) is None
    assert entry.objection("approver", now)[0] == "wrong_role"


def test_both_ends_of_a_keys_validity():
    entry = key('    valid_from: "2026-01-01T00:00:00Z"\n    valid_until: "2027-01-01T00:00:00Z"\n')
    instants = {
        "2025-12-31T23:59:59+00:00": "not_valid_then", "2026-01-01T00:00:00+00:00": None,
        "2026-12-31T23:59:59+00:00": None, "2027-01-01T00:00:00+00:00": "not_valid_then",
    }  # fmt: skip
    for instant, code in instants.items():
        objection = entry.objection("gate", datetime.fromisoformat(instant))
        assert (objection[0] if objection else None) == code


def test_a_retired_key_is_good_before_that_moment_and_a_stolen_one_never_was():
    before, then = datetime(2026, 5, 31, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)
    line = '    revoked: {{at: "2026-06-01T00:00:00Z", reason: rotated, compromised: {}}}\n'
    retired, stolen = key(line.format("false")), key(line.format("true"))
    assert retired.objection("gate", before) is None
    assert retired.objection("gate", then)[0] == "revoked"
    assert stolen.objection("gate", before)[0] == "revoked"


@pytest.mark.parametrize(("wrong", "message"), [
    (text("    role: gate\n"), "unknown key"),
    (text(entry=trust_entry(KEY, "a", "p", ["gatekeeper"])), "roles"),
    (text(trust_entry(KEY, "b", "p", ["gate"])), "one key stands twice"),
    (text(trust_entry(generate_key()[0].public, "gate", "p", ["gate"])), "the same name"),
    (text('    valid_from: "2026-01-01T00:00:00"\n'), "timezone"),
    (text('    valid_from: "2027-01-01T00:00:00Z"\n    valid_until: "2026-01-01T00:00:00Z"\n'), "not after"),
    (text().replace("BEGIN PUBLIC", "BEGIN PUBLIK"), "is not a public key"),
    (trust_text([]), "keys"),
    ("version: 2\n", "version"),
])  # fmt: skip
def test_a_trust_file_that_says_nothing_clear_is_refused(wrong, message):
    with pytest.raises(InputError, match=r"trust\.yaml") as caught:
        parse_trust(wrong)
    assert message in str(caught.value)


def test_every_kind_of_statement_has_a_role_and_a_schema_that_is_current():
    assert set(KINDS) == set(ROLE_OF_KIND)
    for path, content in schemas().items():
        assert path.read_text(encoding="utf-8") == content, f"{path.name} is stale: run `make generate`"
        assert json.loads(content)["$id"].startswith(PREDICATES)


def test_the_statements_that_the_steps_make_are_of_their_types():
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    files = {path.name.split(".")[0]: json.loads(content) for path, content in schemas().items()}
    for step, made in sample_statements().items():
        statement = json.loads(canonical_json(made))
        statement["predicate"]["by"] = BY
        kind = statement["predicateType"].split("/")[-2]
        if kind == "rollout":
            statement["predicate"].setdefault("details", {})
        if kind == "training":
            statement["predicate"].update({k: statement["predicate"].get(k) or v for k, v in DIGESTS.items()})
        assert form_problem(statement) == "", step
        jsonschema.Draft202012Validator(files[kind]).validate(statement["predicate"])


DIGESTS = {"digests": {"data": "ab" * 32, "contract": "ab" * 32, "policy": "ab" * 32}}


@pytest.mark.parametrize("change", [
    lambda s: s.update(_type="https://in-toto.io/Statement/v0.1"),
    lambda s: s.update(predicateType=f"{PREDICATES}/verdict/v2"),
    lambda s: s.update(subject=[]),
    lambda s: s.update(subject=s["subject"] * 2),
    lambda s: s.update(subject=[{"name": "m", "digest": {"sha1": "ab"}}]),
    lambda s: s["predicate"].pop("at"),
    lambda s: s["predicate"].update(at="2026-11-23T15:00:00"),
    lambda s: s["predicate"].update(outcome="perfect"),
    lambda s: s["predicate"]["by"].update(key="short"),
])  # fmt: skip
def test_a_statement_of_another_form_is_not_read(tmp_path, change):
    desk = Desk(tmp_path)
    store = MemoryStore()
    desk.step(store, "evaluation")
    statement = EvidenceStore(store, RUN).statement("evaluation")
    assert form_problem(statement) == ""
    change(statement)
    assert form_problem(statement)


def test_registration_asks_for_every_step_passed_and_about_this_very_model(tmp_path):
    desk = Desk(tmp_path)
    store = MemoryStore()
    desk.steps(store)
    evidence = EvidenceStore(store, RUN)
    rules = parse_policy(INPUTS["policy.yaml"].decode()).evidence
    require_complete(evidence.statements(), rules, digest=f"sha256:{MODEL}")
    with pytest.raises(EvidenceRefusedError, match="another model") as caught:
        require_complete(evidence.statements(), rules, digest=OTHER)
    assert caught.value.exit_code == 3
    for outcome in (Outcome.FAIL, Outcome.INSUFFICIENT):
        desk.step(store, "evaluation", outcome=outcome)
        with pytest.raises(EvidenceRefusedError, match=f"evaluation: it ended with '{outcome.value}'"):
            require_complete(evidence.statements(), rules, digest=MODEL)
    require_complete(evidence.statements(), rules, digest=MODEL, overridden=frozenset({"evaluation"}))
    with pytest.raises(EvidenceRefusedError, match="there is no such statement"):
        require_complete({}, rules, digest=MODEL)


def test_a_rollout_counts_when_it_ended_in_promotion(tmp_path):
    desk = Desk(tmp_path)
    store = MemoryStore()
    rules = EvidenceRules(statements=("rollout",))
    for phase, fine in (("Promoted", True), ("RolledBack", False)):
        desk.step(store, "rollout", said={"details": {"phase": phase}})
        statements = EvidenceStore(store, RUN).statements()
        if fine:
            require_complete(statements, rules, digest=MODEL)
        else:
            with pytest.raises(EvidenceRefusedError, match="RolledBack"):
                require_complete(statements, rules, digest=MODEL)
