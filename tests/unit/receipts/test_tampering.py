"""Each way to cheat that we could think of, found and called by its name.

A tampering is as strong as the cheat can make it: parts are packed and signed again by the honest packer's key,
entries are logged and checkpoints signed by keys that may do so.
"""

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest

from tallystick.components.core import evidence as evidence_module
from tallystick.components.core.errors import ExitCode, InputError
from tallystick.components.core.evidence import EvidenceStore
from tallystick.components.core.receipts.bundle import CHECKPOINT, MANIFEST, PROOFS, encoded, pack
from tallystick.components.core.receipts.checkpoint import Checkpoint, read_checkpoint, sign_checkpoint
from tallystick.components.core.receipts.dsse import seal
from tallystick.components.core.receipts.log import Log
from tallystick.components.core.receipts.requirements import EvidenceRules
from tallystick.components.core.receipts.trust import parse_trust
from tallystick.components.core.receipts.verification import verify_bundle, verify_model_evidence
from tallystick.components.core.verdicts import Outcome
from tests.support.memory_store import MemoryStore
from tests.support.receipts import INPUTS, MODEL, OTHER, PREDICATES, RULES, RUN, STEPS, Desk, edit_json

NOTHING_ASKED = EvidenceRules(statements=("training",))
TAMPERINGS = {}


def tampering(*codes, where=""):
    """Registers one: it returns (bundle, trust) or (bundle, trust, digest asked for)."""

    def register(function):
        TAMPERINGS[function.__name__] = (function, set(codes), where)
        return function

    return register


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    return Desk(tmp_path_factory.mktemp("desk"))


@pytest.fixture(scope="module")
def honest(desk):
    store = desk.release()
    return store, desk.parts(store)


def resign(desk, content, by, change):
    """The statement of an envelope, changed, and signed by somebody."""
    statement = json.loads(base64.b64decode(json.loads(content)["payload"]))
    change(statement)
    return seal(statement, desk.people[by].signer()).to_bytes()


# the bundle's own parts


@tampering("altered", where="documents/report.html")
def the_report_is_exchanged(desk, store, parts):
    return pack({**parts, "documents/report.html": b"<p>all is well</p>"}), desk.trust()


@tampering("missing", "left_out", where="statements/evaluation.json")
def a_statement_is_dropped(desk, store, parts):
    return pack({n: c for n, c in parts.items() if n != "statements/evaluation.json"}), desk.trust()


@tampering("not_named", where="documents/extra.html")
def a_part_is_slipped_in(desk, store, parts):
    return pack({**parts, "documents/extra.html": b"hello"}), desk.trust()


@tampering("unknown_key", where="manifest")
def the_manifest_is_signed_by_a_stranger(desk, store, parts):
    return desk.packed(parts, by="stranger"), desk.trust()


@tampering("wrong_role", where="manifest")
def the_manifest_is_signed_by_the_trainer(desk, store, parts):
    return desk.packed(parts, by="trainer"), desk.trust()


@tampering("bad_signature", where="manifest")
def the_manifests_signature_is_another_ones(desk, store, parts):
    def swap(value):
        other = json.loads(parts["statements/model_card.json"])["signatures"]
        value["signatures"] = other

    return pack({**parts, MANIFEST: edit_json(parts[MANIFEST], swap)}), desk.trust()


@tampering("not_signed", where="manifest")
def the_manifests_signature_is_taken_off(desk, store, parts):
    return pack({**parts, MANIFEST: edit_json(parts[MANIFEST], lambda v: v.update(signatures=[]))}), desk.trust()


@tampering("other_digest", where="manifest.json")
def the_bundle_is_about_another_model_than_asked_for(desk, store, parts):
    return pack(parts), desk.trust(), OTHER


@tampering("other_digest")
def the_manifest_names_another_model(desk, store, parts):
    return desk.packed(parts, digest=OTHER), desk.trust(), OTHER


@tampering("other_inputs", where="inputs/policy.yaml")
def the_policy_is_exchanged_for_a_milder_one(desk, store, parts):
    milder = INPUTS["policy.yaml"].replace(b"minimum: 0.8", b"minimum: 0.5", 1)
    assert milder != INPUTS["policy.yaml"]
    return desk.packed({**parts, "inputs/policy.yaml": milder}), desk.trust()


@tampering("missing", where="inputs/contract.yaml")
def the_contract_is_left_out(desk, store, parts):
    return desk.packed({n: c for n, c in parts.items() if n != "inputs/contract.yaml"}), desk.trust()


@tampering("other_document", where="documents/model_card.md")
def the_model_card_is_embellished(desk, store, parts):
    return desk.packed({**parts, "documents/model_card.md": b"# The best model\n"}), desk.trust()


# statements


@tampering("bad_signature", "not_in_log", where="evaluation")
def a_figure_in_a_statement_is_changed(desk, store, parts):
    def change(value):
        payload = base64.b64decode(value["payload"]).replace(b'"figure":0.8', b'"figure":0.9')
        value["payload"] = base64.b64encode(payload).decode()

    name = "statements/evaluation.json"
    return desk.packed({**parts, name: edit_json(parts[name], change)}), desk.trust()


@tampering("not_in_log", "replaced", where="evaluation")
def a_statement_is_made_again_with_better_figures_by_the_gates_own_key(desk, store, parts):
    name = "statements/evaluation.json"
    better = resign(desk, parts[name], "gatekeeper", lambda s: s["predicate"]["checks"][0].update(figure=0.95))
    return desk.packed({**parts, name: better}), desk.trust()


@tampering("wrong_signer", where="evaluation")
def a_statement_is_countersigned_by_a_key_that_it_does_not_name(desk, store, parts):
    name = "statements/evaluation.json"
    return desk.packed({**parts, name: resign(desk, parts[name], "insider", lambda s: None)}), desk.trust()


@tampering("unknown_key", where="fairness_gate")
def a_verdict_is_signed_by_a_stranger(desk, store, parts):
    return fresh(desk, fairness_gate={"by": "stranger"}), desk.trust()


@tampering("wrong_role", where="fairness_gate")
def a_verdict_is_signed_by_the_trainer(desk, store, parts):
    return fresh(desk, fairness_gate={"by": "trainer"}), desk.trust()


@tampering("wrong_role", where="approval")
def an_approval_is_signed_by_the_gates_key(desk, store, parts):
    store = MemoryStore()
    desk.steps(store)
    desk.approve(store, "gatekeeper")
    return pack(desk.parts(store)), desk.trust()


@tampering("not_signed", where="explainability")
def a_statement_is_unsigned(desk, store, parts):
    name = "statements/explainability.json"
    bare = base64.b64decode(json.loads(parts[name])["payload"])
    return desk.packed({**parts, name: bare}), desk.trust()


@tampering("wrong_form", where="training")
def a_statement_of_an_unknown_type_stands_in_for_another(desk, store, parts):
    name = "statements/training.json"
    odd = resign(desk, parts[name], "trainer", lambda s: s.update(predicateType="https://example.com/training/v1"))
    return desk.packed({**parts, name: odd}), desk.trust()


@tampering("wrong_form", where="training")
def a_statement_does_not_say_what_it_was_made_from(desk, store, parts):
    name = "statements/training.json"
    odd = resign(desk, parts[name], "trainer", lambda s: s["predicate"].pop("digests"))
    return desk.packed({**parts, name: odd}), desk.trust()


@tampering("not_in_log", "replaced", where="fairness_gate")
def two_statements_are_swapped(desk, store, parts):
    one, two = "statements/fairness_gate.json", "statements/fairness_gate_plain.json"
    return desk.packed({**parts, one: parts[two], two: parts[one]}), desk.trust()


@tampering("other_run", where="evaluation")
def a_statement_of_another_run_is_put_in(desk, store, parts):
    store = MemoryStore()
    EvidenceStore(store, "another-run", desk.people["trainer"]).record(
        "training", "training", subject_name="plain", subject_sha256=MODEL, predicate=PREDICATES["training"][2]
    )
    return desk.packed({**parts, "statements/evaluation.json": store.get("another-run/training.json")}), desk.trust()


@tampering("false_verdict", where="evaluation")
def a_verdict_says_pass_where_its_checks_say_fail(desk, store, parts):
    def lie(statement):
        statement["predicate"]["checks"][0]["outcome"] = "fail"

    name = "statements/evaluation.json"
    return desk.packed({**parts, name: resign(desk, parts[name], "gatekeeper", lie)}), desk.trust()


@tampering("gate_refused", where="fairness_gate")
def a_gate_said_no(desk, store, parts):
    return fresh(desk, rules=NOTHING_ASKED, fairness_gate={"outcome": Outcome.FAIL}), desk.trust()


@tampering("gate_refused", where="evaluation")
def a_gate_had_too_little_evidence(desk, store, parts):
    return fresh(desk, rules=NOTHING_ASKED, evaluation={"outcome": Outcome.INSUFFICIENT}), desk.trust()


@tampering("missing", where="explainability")
def a_step_was_never_done(desk, store, parts):
    return fresh(desk, rules=NOTHING_ASKED, skip=("explainability",)), desk.trust()


@tampering("other_digest", where="evaluation")
def a_gate_judged_another_model(desk, store, parts):
    return fresh(desk, rules=NOTHING_ASKED, evaluation={"sha256": OTHER}), desk.trust()


@tampering("other_digest", where="registration")
def another_model_was_registered(desk, store, parts):
    return fresh(desk, registration={"sha256": OTHER}), desk.trust()


# keys


@tampering("unknown_key", where="evaluation")
def the_gates_key_is_not_in_the_trust_file(desk, store, parts):
    return pack(parts), desk.trust(without=("gatekeeper",))


@tampering("revoked", where="evaluation")
def the_gates_key_was_stolen(desk, store, parts):
    return pack(parts), trust_with(desk, "gatekeeper", "revoked: {at: 2030-01-01T00:00:00Z, reason: stolen}")


@tampering("revoked", where="evaluation")
def the_gates_key_was_retired_before_it_signed(desk, store, parts):
    line = "revoked: {at: 2020-01-01T00:00:00Z, reason: retired, compromised: false}"
    return pack(parts), trust_with(desk, "gatekeeper", line)


@tampering("not_valid_then", where="evaluation")
def the_gates_key_had_run_out(desk, store, parts):
    return pack(parts), trust_with(desk, "gatekeeper", "valid_until: 2020-01-01T00:00:00Z")


@tampering("not_valid_then", where="evaluation")
def the_gates_key_was_not_valid_yet(desk, store, parts):
    return pack(parts), trust_with(desk, "gatekeeper", "valid_from: 2099-01-01T00:00:00Z")


# the log


@tampering("checkpoint_not_trusted", where="log")
def the_checkpoint_is_signed_by_a_stranger(desk, store, parts):
    note = sign_checkpoint(read_checkpoint(parts[CHECKPOINT], "x"), desk.people["stranger"].signer())
    return desk.packed({**parts, CHECKPOINT: note}), desk.trust()


@tampering("checkpoint_not_trusted", where="log")
def the_checkpoint_is_signed_by_a_key_that_may_not_keep_the_log(desk, store, parts):
    return pack(parts), desk.trust(roles={n: [r] for n, r in (
        ("trainer", "training"), ("gatekeeper", "gate"), ("clerk", "documentation"), ("registrar", "registration"),
        ("pilot", "rollout"), ("ada", "approver"), ("insider", "gate"))})  # fmt: skip


@tampering("checkpoint_not_trusted", "log_altered", where="log")
def the_checkpoints_size_is_changed(desk, store, parts):
    return desk.packed({**parts, CHECKPOINT: parts[CHECKPOINT].replace(b"\n11\n", b"\n12\n")}), desk.trust()


@tampering("log_altered", "wrong_place", where="log")
def an_entry_of_the_log_is_left_out_of_the_window(desk, store, parts):
    proofs = edit_json(parts[PROOFS], lambda v: v["entries"].pop(4))
    return desk.packed({**parts, PROOFS: proofs}), desk.trust()


@tampering("log_altered", "wrong_place", where="log")
def two_entries_of_the_log_are_re_ordered(desk, store, parts):
    def swap(value):
        entries = value["entries"]
        entries[4], entries[5] = entries[5], entries[4]

    return desk.packed({**parts, PROOFS: edit_json(parts[PROOFS], swap)}), desk.trust()


@tampering("wrong_place", where="evaluation")
def an_inclusion_proof_is_another_ones(desk, store, parts):
    def swap(value):
        value["inclusion"]["5"] = value["inclusion"]["4"]

    return desk.packed({**parts, PROOFS: edit_json(parts[PROOFS], swap)}), desk.trust()


@tampering("missing", where="log")
def the_log_is_left_out(desk, store, parts):
    return desk.packed({n: c for n, c in parts.items() if not n.startswith("log/")}), desk.trust()


@tampering("log_forked", where="approval")
def the_log_was_written_anew_after_the_approval(desk, store, parts):
    """The keeper drops the refusal of the plain model: the approver's signature remembers the other log."""
    forked = store.copy()
    for name in store.names("log/pending/"):
        forked.remove(name)
    entries = [entry for _, entry in Log(store).entries(0, 11)]
    forked.remove("log/checkpoint")
    log = Log(forked)
    for entry in entries:
        if b"fairness_gate_plain" not in entry:
            log.append(entry)
    forked.remove(f"{RUN}/fairness_gate_plain.json")
    return pack(desk.parts(forked)), desk.trust()


@tampering("log_forked", where="log")
def the_log_is_not_the_one_that_the_verifier_saw(desk, store, parts):
    checkpoint = read_checkpoint(parts[CHECKPOINT], "x")
    seen = Checkpoint(origin=checkpoint.origin, size=4, root=b"\1" * 32)
    known = sign_checkpoint(seen, desk.people["clerk"].signer()).decode()
    return pack(desk.parts(store, known_sizes=[4])), with_known(desk, known)


@tampering("log_forked", where="log")
def the_log_shrank_since_the_verifier_saw_it(desk, store, parts):
    checkpoint = read_checkpoint(parts[CHECKPOINT], "x")
    seen = Checkpoint(origin=checkpoint.origin, size=40, root=checkpoint.root)
    return pack(parts), with_known(desk, sign_checkpoint(seen, desk.people["clerk"].signer()).decode())


@tampering("other_log", where="log")
def it_is_another_log(desk, store, parts):
    text = desk.trust_text().replace("keys:\n", "log: {origin: tallystick.dev/log/mine}\nkeys:\n", 1)
    return pack(parts), parse_trust(text)


@tampering("replaced", "not_in_log", where="fairness_gate")
def a_former_verdict_is_shown_instead_of_the_last_one(desk, store, parts):
    """First it passed, then the gate was asked again and said no; the bundle shows the first and hides the second."""
    store = desk.release()
    passed = store.get(f"{RUN}/fairness_gate.json")
    desk.step(store, "fairness_gate", outcome=Outcome.FAIL)
    failed = store.get(f"{RUN}/fairness_gate.json")
    parts = desk.parts(store)
    forged = {n: c for n, c in parts.items() if not n.startswith("superseded/")}
    forged["statements/fairness_gate.json"] = passed
    forged["statements/zz.json"] = failed
    return desk.packed(forged), desk.trust()


@tampering("superseded", where="fairness_gate")
def the_last_verdict_is_shown_as_the_former_one(desk, store, parts):
    store = desk.release()
    passed = store.get(f"{RUN}/fairness_gate.json")
    desk.step(store, "fairness_gate", outcome=Outcome.FAIL)
    failed = store.get(f"{RUN}/fairness_gate.json")
    store.put(f"{RUN}/fairness_gate.json", passed)
    for name in store.names("superseded/"):
        store.remove(name)
    store.put_once(f"superseded/{RUN}/fairness_gate/{evidence_module.sha256_of_bytes(failed)}.json", failed)
    return pack(desk.parts(store)), desk.trust()


@tampering("wrong_order", where="model_card")
def the_card_was_written_before_the_gates_had_spoken(desk, store, parts):
    order = [step for step in STEPS if step != "model_card"]
    order.insert(2, "model_card")
    return fresh(desk, order=order), desk.trust()


@tampering("back_dated", where="registration")
def a_statement_is_back_dated(desk, store, parts):
    return fresh_dated(desk, "registration", timedelta(days=-30)), desk.trust()


@tampering("post_dated", where="registration")
def a_statement_is_dated_in_the_future(desk, store, parts):
    return fresh_dated(desk, "registration", timedelta(days=30)), desk.trust()


# approvals and overrides


@tampering("not_approved", where="approval")
def nobody_approved(desk, store, parts):
    store = MemoryStore()
    desk.steps(store)
    return pack(desk.parts(store)), desk.trust()


@tampering("not_approved", where="approval")
def one_person_approved_twice_where_two_are_asked_for(desk, store, parts):
    store = desk.release()
    desk.approve(store)
    return pack(desk.parts(store)), desk.trust(approvals=2)


@tampering("approved_by_author", where="approval")
def an_author_approved_with_the_right_to_approve(desk, store, parts):
    store = MemoryStore()
    desk.steps(store)
    desk.approve(store, "insider")
    return pack(desk.parts(store)), desk.trust()


@tampering("approved_by_author", where="approval")
def the_signer_of_a_verdict_approved(desk, store, parts):
    store = MemoryStore()
    desk.steps(store, evaluation={"by": "insider"})
    desk.approve(store, "insider")
    return pack(desk.parts(store)), desk.trust()


@tampering("approved_too_early", where="approval")
def it_was_approved_before_the_evidence_was_complete(desk, store, parts):
    store = MemoryStore()
    desk.steps(store, skip=("explainability",))
    desk.approve(store, rules=NOTHING_ASKED)
    desk.step(store, "explainability")
    return pack(desk.parts(store)), desk.trust()


@tampering("approved_too_early", where="approval")
def a_verdict_was_given_again_after_the_approval(desk, store, parts):
    store = desk.release()
    desk.step(store, "evaluation")
    return pack(desk.parts(store)), desk.trust()


@tampering("approved_other_evidence", where="approval")
def the_approval_was_given_on_other_evidence(desk, store, parts):
    honest = desk.release()
    step = next(name for name in EvidenceStore(honest, RUN).statements() if name.startswith("approval"))
    said = EvidenceStore(honest, RUN).statement(step)["predicate"]
    said["evidence"]["evaluation"] = OTHER
    EvidenceStore(honest, RUN, desk.people["ada"]).record(
        step, "approval", subject_name="model", subject_sha256=MODEL, predicate=said
    )
    return pack(desk.parts(honest)), desk.trust()


@tampering("left_out", where="fairness_gate")
def a_refusal_before_the_second_try_is_hidden(desk, store, parts):
    store = MemoryStore()
    desk.steps(store, skip=STEPS[5:])
    desk.step(store, "fairness_gate", outcome=Outcome.FAIL)
    desk.step(store, "fairness_gate")
    desk.steps(store, skip=STEPS[:5])
    desk.approve(store)
    return desk.packed({n: c for n, c in desk.parts(store).items() if not n.startswith("superseded/")}), desk.trust()


@tampering("left_out", where="data_validation")
def the_window_of_the_log_is_shortened_to_hide_a_refusal(desk, store, parts):
    """The packer is in it: all entries that are shown are right, and only begin after the refusal."""
    store = MemoryStore()
    desk.step(store, "data_validation", outcome=Outcome.FAIL)
    desk.steps(store)
    desk.approve(store)
    log, parts = Log(store), desk.parts(store)

    def shorten(value):
        value["start"] += 1
        del value["entries"][0], value["inclusion"]["0"]
        value["window"] = encoded(log.window(1, log.size()))

    shown = {n: c for n, c in parts.items() if not n.startswith("superseded/")}
    return desk.packed({**shown, PROOFS: edit_json(parts[PROOFS], shorten)}), desk.trust()


@tampering("not_approved", where="approval")
def the_approval_is_for_another_model(desk, store, parts):
    store = MemoryStore()
    desk.steps(store)
    approver = desk.people["ada"]
    honest = desk.release()
    said = EvidenceStore(honest, RUN).statement(f"approval-{approver.signer().public.key_id[:12]}")["predicate"]
    EvidenceStore(store, RUN, approver).record(
        "approval-x", "approval", subject_name="model", subject_sha256=OTHER, predicate=said
    )
    return pack(desk.parts(store)), desk.trust()


@tampering("wrong_role", "gate_refused", where="override")
def an_override_is_signed_by_an_approver(desk, store, parts):
    return overridden(desk, by="ada"), desk.trust()


@tampering("override_by_author", "gate_refused", where="override")
def an_author_overrides_the_gate(desk, store, parts):
    return overridden(desk, by="insider"), desk.trust()


@tampering("override_too_early", "gate_refused", where="override")
def an_override_was_given_in_advance(desk, store, parts):
    store = MemoryStore()
    desk.steps(store, skip=("fairness_gate",))
    desk.override(store, ["fairness_gate"])
    desk.step(store, "fairness_gate", outcome=Outcome.FAIL)
    desk.approve(store)
    return pack(desk.parts(store)), desk.trust()


def fresh(desk, *, rules=RULES, skip=(), order=STEPS, **changes):
    """Another story that happened so, each statement signed and logged when it was made, and approved."""
    store = MemoryStore()
    desk.steps(store, skip=skip, order=order, **changes)
    desk.approve(store, rules=rules)
    return pack(desk.parts(store))


def fresh_dated(desk, step, shift):
    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + shift

    store = MemoryStore()
    desk.steps(store, skip=(step,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evidence_module, "datetime", Clock)
        desk.step(store, step)
    desk.approve(store)
    return pack(desk.parts(store))


def overridden(desk, by, reason="The committee accepts it until the next review."):
    store = MemoryStore()
    desk.steps(store, fairness_gate={"outcome": Outcome.FAIL})
    desk.override(store, ["fairness_gate"], by=by, reason=reason)
    desk.approve(store)
    return pack(desk.parts(store))


def trust_with(desk, name, line):
    text = desk.trust_text()
    start = text.index(f'name: "{name}"')
    return parse_trust(text[:start] + f'name: "{name}"\n    {line}' + text[start + len(f'name: "{name}"') :])


def with_known(desk, known):
    block = "log:\n  known: |\n" + "".join(f"    {line}\n" for line in known.splitlines())
    return parse_trust(desk.trust_text().replace("keys:\n", block + "keys:\n", 1))


@pytest.mark.parametrize("name", TAMPERINGS)
def test_found_and_named(desk, honest, name):
    make, codes, where = TAMPERINGS[name]
    content, trust, *digest = make(desk, *honest)
    result = verify_bundle(content, trust, digest=digest[0] if digest else MODEL)
    found = {problem.code for problem in result.problems}
    assert result.exit_code is ExitCode.GATE_REFUSED
    assert codes <= found, [vars(problem) for problem in result.problems]
    assert any(where.removeprefix("statements/").removesuffix(".json") in p.where for p in result.problems)
    assert all(problem.sentence for problem in result.problems)


def test_there_are_enough_of_them():
    assert len(TAMPERINGS) >= 30


def test_the_honest_story_holds_as_a_bundle_and_where_it_is_kept(desk, honest):
    store, parts = honest
    assert verify_bundle(pack(parts), desk.trust(), digest=f"sha256:{MODEL}").holds
    assert verify_model_evidence(EvidenceStore(store, RUN), MODEL, desk.trust()).holds


def test_an_override_by_who_may_lets_pass_and_stays_visible(desk):
    result = verify_bundle(overridden(desk, "olga"), desk.trust(), digest=MODEL)
    assert result.holds
    assert result.overrides == (
        "fairness_gate was overridden by olga@bank.example: The committee accepts it until the next review.",
    )


def test_a_bundle_is_verified_years_later_when_its_keys_have_run_out(desk, honest):
    text = desk.trust_text().replace("    roles:", '    valid_until: "2027-12-31T00:00:00Z"\n    roles:')
    later = datetime(2035, 1, 1, tzinfo=UTC)
    assert verify_bundle(pack(honest[1]), parse_trust(text), digest=MODEL, now=later).holds


def test_a_retired_key_is_still_good_for_what_it_signed_before(desk, honest):
    trust = trust_with(desk, "gatekeeper", "revoked: {at: 2030-01-01T00:00:00Z, reason: rotated, compromised: false}")
    assert verify_bundle(pack(honest[1]), trust, digest=MODEL).holds


def test_a_log_that_continues_the_one_known_is_proved(desk, honest):
    store, _ = honest
    log = Log(store)
    seen = Checkpoint(origin=log.origin(), size=4, root=log.root(4))
    trust = with_known(desk, sign_checkpoint(seen, desk.people["clerk"].signer()).decode())
    result = verify_bundle(pack(desk.parts(store, known_sizes=[4])), trust, digest=MODEL)
    assert result.holds
    assert "it continues the log that was known with 4 entries" in result.proved
    unproved = verify_bundle(pack(honest[1]), trust, digest=MODEL)
    assert {problem.code for problem in unproved.problems} == {"missing"}


def test_no_byte_of_a_bundle_can_be_flipped_unnoticed(desk, honest):
    content = pack(honest[1])
    trust = desk.trust()
    for place in [*range(0, len(content), 211), *range(len(content) - 400, len(content), 7)]:
        flipped = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        try:
            result = verify_bundle(flipped, trust, digest=MODEL)
        except InputError:
            continue
        assert not result.holds, place


def test_no_byte_of_any_part_can_be_flipped_even_when_the_packer_packs_it_again(desk, honest):
    """Each part in turn, first, middle and last byte; report.html is only the packer's word and is left out."""
    trust = desk.trust()
    for name, content in honest[1].items():
        if name in (MANIFEST, "documents/report.html"):
            continue
        for place in (0, len(content) // 2, len(content) - 2):
            flipped = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
            result = verify_bundle(desk.packed({**honest[1], name: flipped}), trust, digest=MODEL)
            assert not result.holds, (name, place)


@pytest.mark.parametrize("content", [b"", b"PK", b"\x00" * 100, pack({"a": b"b"}), pack({MANIFEST: b"{}"})],
                         ids=["empty", "torn", "zeros", "no manifest", "no statement"])  # fmt: skip
def test_what_is_no_bundle_is_bad_input_and_no_traceback(desk, content):
    with pytest.raises(InputError):
        verify_bundle(content, desk.trust())


def test_a_truncated_bundle_is_bad_input(desk, honest):
    content = pack(honest[1])
    for size in (10, 1000, len(content) // 2, len(content) - 1):
        with pytest.raises(InputError):
            verify_bundle(content[:size], desk.trust())


def test_evidence_without_signatures_does_not_hold_and_says_why(desk):
    store = MemoryStore()
    EvidenceStore(store, RUN).record("training", "training", subject_name="m", subject_sha256=MODEL, predicate={})
    result = verify_model_evidence(EvidenceStore(store, RUN), MODEL, desk.trust())
    assert ("not_signed", "training is not signed") in {(p.code, p.sentence) for p in result.problems}


def test_a_run_that_left_nothing_does_not_hold(desk):
    result = verify_model_evidence(EvidenceStore(MemoryStore(), RUN), MODEL, desk.trust())
    assert [p.code for p in result.problems] == ["missing"]


def test_of_a_shared_log_only_the_runs_own_stretch_is_shown(desk):
    store = MemoryStore()
    log = Log(store)
    for number in range(300):
        log.append(b'{"envelope":"%064d","kind":"verdict","run":"other","step":"evaluation","subject":""}' % number)
    desk.steps(store)
    desk.approve(store)
    parts = desk.parts(store)
    proofs = json.loads(parts[PROOFS])
    assert (proofs["start"], len(proofs["entries"])) == (300, 10)
    assert verify_bundle(pack(parts), desk.trust(), digest=MODEL).holds
